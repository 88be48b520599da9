"""The page of old and new names names what there is."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT, _, DOCSTRINGS = (ROOT / "docs" / "renames.md").read_text().partition("## Ten docstrings")
FILES = [
    path.relative_to(ROOT)
    for folder in ("function", "models", "benchmarks", "tests")
    for path in sorted((ROOT / folder).rglob("*.py"))
]


def rows(text: str) -> list[list[str]]:
    """The rows of all tables, without their heads."""
    tables = re.findall(r"^\|.+\n\|[-|]+\|\n((?:\|.*\n)+)", text, re.MULTILINE)
    return [
        [cell.strip() for cell in line.strip("|").split(" | ")]
        for table in tables
        for line in table.splitlines()
    ]


def defined(node: ast.AST) -> Iterator[str]:
    """Names that ``node`` itself gives: of a class, a function, a variable, an attribute."""
    match node:
        case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
            yield node.name
        case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
            yield name
        case ast.arg(arg=name):
            yield name


@cache
def names() -> frozenset[str]:
    """Every name that the code gives, ``Class.member`` too."""
    found: set[str] = set()
    for path in FILES:
        for node in ast.walk(ast.parse((ROOT / path).read_text())):
            found.update(defined(node))
            if isinstance(node, ast.ClassDef):
                inside = (name for child in ast.walk(node) for name in defined(child))
                found.update(f"{node.name}.{name}" for name in inside)
    return frozenset(found)


def test_every_new_name_exists() -> None:
    settings = {name.upper() for name in names() if name.islower()}
    places = {str(place) for path in FILES for place in (path, *path.parents)}
    shown = [(row, re.findall(r"`([^`]+)`", row[1])) for row in rows(TEXT)]
    assert len(shown) > 100
    lost, owner = [], ""
    for row, new in shown:
        for name in new:
            plain = name.partition("[")[0]
            if "/" in name or name.endswith(".py"):
                there = any(f"/{place}".endswith(f"/{name.rstrip('/')}") for place in places)
            else:
                # `Class.one`, `two`: the second is the same class's, or stands alone.
                there = not plain or bool({plain, f"{owner}.{plain}"} & (names() | settings))
                owner = plain.rpartition(".")[0] or owner
            lost += [] if there else [(name, row)]
    assert lost == []


def test_the_docstrings_are_those_of_today() -> None:
    shown = rows(DOCSTRINGS)
    assert len(shown) == 10
    for name, _, after in shown:
        module, *_, last = name.strip("`").split(".")
        (path,) = (
            path for path in FILES if path.name == f"{module}.py" and path.parts[0] == "function"
        )
        source = re.sub(r"\s+", " ", (ROOT / path).read_text().replace("``", "`"))
        assert re.search(rf"\b{last}\b", source)
        assert re.sub(r" \*.+\*$", "", after) in source
