"""The template as CloudFormation reads it: long forms, rules, conditions, parameters put in."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # it has no types
    """Reads CloudFormation's short forms as their long ones."""


def _long_form(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    name = suffix if suffix in {"Ref", "Condition"} else f"Fn::{suffix}"
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
        return {name: value.split(".", 1) if suffix == "GetAtt" else value}
    if isinstance(node, yaml.SequenceNode):
        return {name: loader.construct_sequence(node, deep=True)}
    assert isinstance(node, yaml.MappingNode)
    return {name: loader.construct_mapping(node, deep=True)}


_Loader.add_multi_constructor("!", _long_form)

TEMPLATE: dict[str, Any] = yaml.load((ROOT / "template.yaml").read_text(), _Loader)
PARAMETERS: dict[str, dict[str, Any]] = TEMPLATE["Parameters"]
RESOURCES: dict[str, dict[str, Any]] = TEMPLATE["Resources"]


def of_type(kind: str) -> dict[str, dict[str, Any]]:
    """Properties of the resources of one type, by name."""
    return {name: body["Properties"] for name, body in RESOURCES.items() if body["Type"] == kind}


class Deployment:
    """The template with parameter values put in, as far as CloudFormation knows them beforehand.

    A reference to a resource becomes the resource's name, if ``values`` does not know better.
    """

    def __init__(self, **given: str) -> None:
        defaults = {n: str(p["Default"]) for n, p in PARAMETERS.items() if "Default" in p}
        self.values = defaults | given

    def refused(self) -> list[str]:
        """What CloudFormation says instead of deploying."""
        said = [f"{name} has no value" for name in PARAMETERS.keys() - self.values.keys()]
        for name, value in self.values.items():
            rule = PARAMETERS[name]
            if not re.fullmatch(rule.get("AllowedPattern", ".*"), value):
                said.append(f"{name} does not match its pattern")
            if value not in map(str, rule.get("AllowedValues", [value])):
                said.append(f"{name} is not an allowed value")
        if said:
            return said
        for rule in TEMPLATE["Rules"].values():
            if self.resolve(rule["RuleCondition"]):
                said += [
                    one["AssertDescription"]
                    for one in rule["Assertions"]
                    if not self.resolve(one["Assert"])
                ]
        return said

    def resolve(self, node: Any) -> Any:
        match node:
            case {"Ref": "AWS::NoValue"}:
                return None
            case {"Ref": name}:
                return self.values.get(name, name)
            case {"Condition": name}:
                return self.resolve(TEMPLATE["Conditions"][name])
            case {"Fn::Equals": [one, other]}:
                return self.resolve(one) == self.resolve(other)
            case {"Fn::Not": [what]}:
                return not self.resolve(what)
            case {"Fn::If": [condition, yes, no]}:
                holds = self.resolve(TEMPLATE["Conditions"][condition])
                return self.resolve(yes if holds else no)
            case {"Fn::FindInMap": [table, row, column]}:
                return TEMPLATE["Mappings"][table][str(self.resolve(row))][column]
            case {"Fn::Join": [glue, what]}:
                parts = self.resolve(what)
                return parts if isinstance(parts, str) else glue.join(parts)
            case {"Fn::Select": [index, what]}:
                return self.resolve(what)[index]
            case {"Fn::Split": [glue, what]}:
                return self.resolve(what).split(glue)
            case {"Fn::GetAtt": [name, attribute]}:
                return self.values.get(f"{name}.{attribute}", f"{name}.{attribute}")
            case {"Fn::Sub": str(text)}:
                return re.sub(r"\$\{([^}]+)\}", lambda m: self.values.get(m[1], m[1]), text)
            case {"Fn::Sub": [str(text), names]}:
                known = {name: str(self.resolve(value)) for name, value in names.items()}
                known |= {name: self.values[name] for name in self.values.keys() - known.keys()}
                return re.sub(r"\$\{([^}]+)\}", lambda m: known.get(m[1], m[1]), text)
            case dict():
                done = {key: self.resolve(value) for key, value in node.items()}
                return {key: value for key, value in done.items() if value is not None}
            case list():
                return [one for one in map(self.resolve, node) if one is not None]
            case _:
                return node

    def environment(self) -> dict[str, str]:
        variables = self.resolve(TEMPLATE["Globals"]["Function"]["Environment"]["Variables"])
        return {name: str(value) for name, value in variables.items()}

    def statements(self, role: str) -> list[dict[str, Any]]:
        """What ``role`` may do, wherever the template says so."""
        policies = [p["PolicyDocument"] for p in RESOURCES[role]["Properties"]["Policies"]]
        policies += [
            policy["PolicyDocument"]
            for policy in of_type("AWS::IAM::RolePolicy").values()
            if policy["RoleName"] == {"Ref": role}
        ]
        return [s for policy in policies for s in self.resolve(policy["Statement"])]
