"""What the README lists is what there is."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from tests.contract.template_file import PARAMETERS, of_type

from tryon_masks.domain.errors import Refusal, StartError, TryonMasksError
from tryon_masks.domain.kinds import MaskKind
from tryon_masks.domain.profiles import Profile
from tryon_masks.entrypoints.http import routes
from tryon_masks.schema.requests import DOCUMENT_KEY, MaskRequestBody
from tryon_masks.settings import Settings

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / name
    for name in (
        "README.md",
        "benchmarks/README.md",
        "docs/architecture.md",
        "docs/faults.md",
        "docs/library.md",
        "docs/local.md",
        "docs/operations.md",
        "docs/privacy.md",
        "models/README.md",
        "tests/README.md",
    )
]
README = PAGES[0].read_text()
SHOWN: dict[type, Callable[[Any], str]] = {
    bool: lambda value: str(int(value)),
    int: str,
    float: "{:g}".format,
    str: str,
    tuple: ",".join,
}
CODE = re.compile(r"`([^`]+)`")


def section(title: str) -> str:
    """The text under a heading, up to the next one of its level."""
    return README.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def table(title: str, first: str) -> list[list[str]]:
    """The rows of the table under ``title`` whose first heading is ``first``."""
    lines = section(title).split(f"| {first} |", 1)[1].splitlines()[2:]
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def names(cells: list[str]) -> list[str]:
    """What the cells have in code letters."""
    return [name for cell in cells for name in CODE.findall(cell)]


def family(error: type[TryonMasksError]) -> Iterator[type[TryonMasksError]]:
    for child in error.__subclasses__():
        yield child
        yield from family(child)


def test_every_setting_is_listed_with_its_default() -> None:
    listed = {row[0].strip("`"): row[1].strip("`") for row in table("Settings", "variable")}
    assert listed.keys() == {field.name.upper() for field in fields(Settings)}
    for field in fields(Settings):
        if field.default not in (MISSING, None):
            assert SHOWN[type(field.default)](field.default) == listed[field.name.upper()]


def test_every_error_is_listed_with_its_status() -> None:
    listed = {
        code.strip("`"): int(status) for code, status, _ in table("The answer", "code | HTTP")
    }
    coded = {
        error.code: error.status
        for error in (TryonMasksError, *family(TryonMasksError))
        if "code" in vars(error) and not issubclass(error, StartError | Refusal)
    }
    assert {routes.NotFound.code, routes.MethodNotAllowed.code} < coded.keys()
    assert listed == coded


def test_every_refusal_is_listed() -> None:
    listed = names([row[0] for row in table("The answer", "code | when")])
    assert sorted(listed) == sorted(error.code for error in family(Refusal))


def test_every_field_of_a_request_is_listed() -> None:
    listed = names([row[0] for row in table("Calling the API", "field")])
    assert set(listed) - {"data.json"} == set(MaskRequestBody.model_fields)
    assert DOCUMENT_KEY in section("Calling the API")


def test_every_kind_and_profile_is_listed() -> None:
    assert set(names([row[0] for row in table("Masks", "kind")])) == set(MaskKind)
    assert set(names([row[0] for row in table("Masks", "`profile`")])) == set(Profile)


def test_every_parameter_of_the_template_is_listed_with_its_default() -> None:
    listed: dict[str, str] = {}
    for first, second, _ in table("Deploying", "parameter"):
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
    page = (ROOT / "docs" / "operations.md").read_text()
    explained = re.findall(r"^\| `(\w+Alarm)` \|", page, re.MULTILINE)
    assert sorted(explained) == sorted(of_type("AWS::CloudWatch::Alarm"))


def test_what_pages_link_to_is_there() -> None:
    links = {
        page.parent / link
        for page in PAGES
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text())
    }
    assert ROOT / "LICENSE" in links
    assert [link for link in links if not link.exists()] == []


def test_every_make_target_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        name
        for page in PAGES
        for name in re.findall(r"(?:`|^ {4}|: )make ([a-z]+)", page.read_text(), re.MULTILINE)
    }
    assert {"demo", "test"} <= named <= targets
