"""What the documents list is what there is."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest
from tests.contract.event_files import event_names
from tests.contract.pages import shell_blocks
from tests.contract.template_file import PARAMETERS, RESOURCES, TEMPLATE, of_type

from tryon_masks.domain.errors import Refusal, StartError, TryonMasksError
from tryon_masks.domain.kinds import MaskKind
from tryon_masks.domain.profiles import Profile
from tryon_masks.entrypoints import cli
from tryon_masks.entrypoints.http import routes
from tryon_masks.jobs.submit import NotFound
from tryon_masks.model_sets import model_sets
from tryon_masks.schema.requests import DOCUMENT_KEY, MaskRequestBody
from tryon_masks.settings import Settings

ROOT = Path(__file__).parents[2]
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "models" / "cards").glob("*.md")),
    ROOT / "benchmarks" / "README.md",
    ROOT / "models" / "README.md",
    ROOT / "models" / "garment_parser" / "README.md",
    ROOT / "tests" / "README.md",
    ROOT / "examples" / "README.md",
    ROOT / "examples" / "flutter" / "README.md",
]
SHOWN: dict[type, Callable[[Any], str]] = {
    bool: lambda value: str(int(value)),
    int: str,
    float: "{:g}".format,
    str: str,
    tuple: ",".join,
}
CODE = re.compile(r"`([^`]+)`")


def page(name: str) -> str:
    """The text of a page of docs/."""
    return (ROOT / "docs" / f"{name}.md").read_text()


def table(name: str, first: str) -> list[list[str]]:
    """The rows of the one table of a page whose head begins with ``first``."""
    head = re.escape(f"| {first} |")
    (rest,) = re.findall(rf"^{head}.*\n\|[-:|]+\|\n((?:\|.*\n)+)", page(name), re.MULTILINE)
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rest.splitlines()]


def names(cells: list[str]) -> list[str]:
    """What the cells have in code letters."""
    return [name for cell in cells for name in CODE.findall(cell)]


def family(error: type[TryonMasksError]) -> Iterator[type[TryonMasksError]]:
    for child in error.__subclasses__():
        yield child
        yield from family(child)


def test_every_setting_is_listed_with_its_default() -> None:
    listed = {row[0].strip("`"): row[1].strip("`") for row in table("settings", "variable")}
    options = {name: one for info in model_sets().values() for name, one in info.options.items()}
    known = [field for field in fields(Settings) if field.name != "model_options"]
    assert listed.keys() == {field.name.upper() for field in known} | options.keys()
    assert {name: listed[name] for name in options} == {
        name: option.default for name, option in options.items()
    }
    for field in known:
        if field.default not in (MISSING, None):
            assert SHOWN[type(field.default)](field.default) == listed[field.name.upper()]


def test_every_error_is_listed_with_its_status() -> None:
    listed = {code.strip("`"): int(status) for code, status, _ in table("answers", "code | HTTP")}
    errors: list[type[TryonMasksError]] = [TryonMasksError, *family(TryonMasksError)]
    coded = {
        error.code: error.status
        for error in errors
        if "code" in vars(error) and not issubclass(error, StartError | Refusal)
    }
    assert {NotFound.code, routes.MethodNotAllowed.code} < coded.keys()
    assert listed == coded


def test_every_refusal_is_listed() -> None:
    listed = names([row[0] for row in table("answers", "code | when")])
    assert sorted(listed) == sorted(error.code for error in family(Refusal))


def test_every_field_of_a_request_is_listed() -> None:
    listed = names([row[0] for row in table("http-api", "field")])
    assert set(listed) - {"data.json"} == set(MaskRequestBody.model_fields)
    assert DOCUMENT_KEY in page("http-api")


def test_every_kind_and_profile_is_listed() -> None:
    assert set(names([row[0] for row in table("masks", "kind")])) == set(MaskKind)
    assert set(names([row[0] for row in table("masks", "`profile`")])) == set(Profile)


def test_every_parameter_of_the_template_is_listed_with_its_default() -> None:
    listed: dict[str, str] = {}
    for first, second, _ in table("deploying", "parameter"):
        parameters = names([first])
        defaults = [text.strip("` ") for text in second.split(",")]
        listed |= dict(zip(parameters, defaults * len(parameters), strict=False))
    assert listed.keys() == PARAMETERS.keys()
    for name, parameter in PARAMETERS.items():
        default = str(parameter.get("Default", ""))
        if default:
            assert listed[name] == default
        else:
            assert listed[name] in ("", "none", "off")


def test_every_alarm_is_explained() -> None:
    explained = re.findall(r"^\| `(\w+Alarm)` \|", page("operations"), re.MULTILINE)
    assert sorted(explained) == sorted(of_type("AWS::CloudWatch::Alarm"))


def test_the_readme_can_be_read_in_one_go() -> None:
    assert len((ROOT / "README.md").read_bytes()) <= 9000


def test_every_setting_says_how_it_is_set_on_a_stack() -> None:
    said = {row[0].strip("`"): row[3] for row in table("settings", "variable")}
    declared = {
        **TEMPLATE["Globals"]["Function"]["Environment"]["Variables"],
        **RESOURCES["ApiFunction"]["Properties"]["Environment"]["Variables"],
    }
    defaults = {row[0].strip("`"): row[1].strip("`") for row in table("settings", "variable")}
    variables = {k: v for k, v in declared.items() if v != {"Ref": "AWS::NoValue"}}
    for name, value in variables.items():
        if isinstance(value, dict) and value.get("Ref") in PARAMETERS:
            assert said[name] == f"`{value['Ref']}`"
            default = str(PARAMETERS[value["Ref"]].get("Default", ""))
            assert name in {"MASK_STORE", "ORT_THREADS"} or default == defaults[name]
        else:
            assert said[name].startswith("*the stack*")
    image = (ROOT / "Dockerfile").read_text()
    for name in said.keys() - variables.keys():
        how, _, why = said[name].partition(": ")
        if re.search(rf"^(ENV| +) *{name}=", image, re.MULTILINE):
            assert how == "*the image*"
        elif defaults[name]:
            assert (how in {"*default*", "*never*"} and why) or how == "*no use*"
        else:
            assert how == "*no use*"
    assert names([said["MODEL_SET"]]) == ["ModelSet"]


def test_every_margin_is_listed() -> None:
    listed = {names(row[:1])[0]: row[2] for row in table("masks", "`profile`")}
    assert listed == {profile: f"{profile.margin:g}" for profile in Profile}


def test_every_route_is_listed() -> None:
    listed = {row[0].strip("`") for row in table("http-api", "route")}
    paths = json.loads((ROOT / "docs" / "openapi.json").read_text())["paths"]
    routes = {f"{method.upper()} {path}" for path, how in paths.items() for method in how}
    assert listed == routes | {"POST /"}


def test_every_event_is_listed() -> None:
    listed = names([row[0] for row in table("local", "event")])
    assert sorted(listed) == sorted(f"{name}.json" for name in event_names())
    commands = "\n".join(shell_blocks("local", "sam local"))
    assert sorted(re.findall(r"events/([\w-]+)\.json.*", commands)) == event_names()


def test_every_module_of_the_architecture_is_there() -> None:
    files = [
        str(path) for part in ("function", "tests", "docs") for path in (ROOT / part).rglob("*.py")
    ]
    named = set(re.findall(r"`([\w/]+\.py)`", page("architecture")))
    assert len(named) > 40
    assert [name for name in named if not any(path.endswith(f"/{name}") for path in files)] == []


def options(command: str, capsys: pytest.CaptureFixture[str]) -> set[str]:
    """What the help of a command of the command line offers, beside help and log."""
    assert cli.main([command, "--help"]) == 0
    offered = re.findall(r"(?<![\w-])--[a-z][a-z-]*", capsys.readouterr().out)
    return set(offered) - {"--help", "--verbose"}


def test_every_option_of_the_command_line_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    _, *parts = re.split(r"^## ", page("cli"), flags=re.MULTILINE)
    sections = {part.partition("\n")[0]: part for part in parts}
    commands = {names([row[0]])[0] for row in table("cli", "command")}
    assert commands == sections.keys()
    listed = {
        command: set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text)) - {"--verbose"}
        for command, text in sections.items()
    }
    listed["data-json"] ^= listed["generate"]  # "generate's options, except"
    for command in commands:
        assert listed[command] == options(command, capsys), command


def anchors(path: Path) -> set[str]:
    """What the headings of a page can be linked as."""
    titles = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    plain = (re.sub(r"[^\w\s-]", "", title).strip().lower() for title in titles)
    return {re.sub(r"\s", "-", title) for title in plain}


def test_what_pages_link_to_is_there() -> None:
    links = [
        (page, *link.partition("#")[::2])
        for page in PAGES
        for link in re.findall(r"\]\(([^):]+)\)", page.read_text())
    ]
    files = {page.parent / path for page, path, _ in links if path}
    assert ROOT / "LICENSE" in files
    assert [path for path in files if not path.exists()] == []
    pages = [(page.parent / path if path else page, anchor) for page, path, anchor in links]
    lost = [(page.name, one) for page, one in pages if one and one not in anchors(page)]
    assert lost == []


def test_every_make_target_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        name
        for page in PAGES
        for name in re.findall(r"(?:`|^ {4}|^|: )make ([a-z]+)", page.read_text(), re.MULTILINE)
    }
    assert {"demo", "test"} <= named <= targets
