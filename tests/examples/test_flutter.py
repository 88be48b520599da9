"""The Flutter package: it can be parsed, and the fields that it names are the API's.

Where ``flutter`` is installed, it is analysed and its own tests are run.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tree_sitter_dart_orchard
from tree_sitter import Language, Node, Parser

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "examples" / "flutter"
DOCUMENT = ROOT / "docs" / "openapi.json"
FILES = sorted(PACKAGE.rglob("*.dart"))
OF_THE_GATEWAY = {"message"}
READ = re.compile(r"(?:json|answer)(?:\.json)?\['(\w+)'\](?:\??\['(\w+)'\])?")
SENT = re.compile(r"'(\w+)': (?:contentType|masks|profile|personBox),")


def parse(source: bytes) -> Node:
    return Parser(Language(tree_sitter_dart_orchard.language())).parse(source).root_node


def faults(node: Node) -> Iterator[str]:
    """Where the grammar does not fit, and what stands there."""
    if node.is_error or node.is_missing:
        yield f"line {node.start_point.row + 1}: {(node.text or b'')[:60]!r}"
    for child in node.children:
        yield from faults(child)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_file_can_be_parsed(path: Path) -> None:
    assert list(faults(parse(path.read_bytes()))) == []


@pytest.mark.parametrize("source", [b"final x = ;", b"void main() {", b"int f( => 1;"])
def test_what_is_no_dart_cannot(source: bytes) -> None:
    assert list(faults(parse(source)))


def properties(*schemas: str) -> set[str]:
    """The names of the fields of the API's schemas."""
    known: dict[str, Any] = json.loads(DOCUMENT.read_text())["components"]["schemas"]
    return {name for schema in schemas for name in known[schema]["properties"]}


def test_the_fields_that_are_read_and_sent_are_the_apis() -> None:
    source = "".join(path.read_text() for path in (PACKAGE / "lib" / "src").glob("*.dart"))

    read = {name for pair in READ.findall(source) for name in pair if name}
    sent = set(SENT.findall(source))

    answers = "MaskAnswer JobAnswer UploadAnswer FormAnswer FoundAnswer RefusedAnswer ImageAnswer"
    assert len(read) >= 15
    assert read - OF_THE_GATEWAY <= properties(*answers.split(), "ErrorAnswer", "ErrorBody")
    assert sent == {"content_type", "masks", "profile", "person_box"}
    assert sent <= properties("UploadBody")


def test_the_mask_block_has_the_names_of_the_service() -> None:
    source = (PACKAGE / "lib" / "src" / "mask_block.dart").read_text()

    block = json.loads(DOCUMENT.read_text())["components"]["schemas"]["MaskBlock"]["properties"]
    assert set(re.findall(r"'([^']+)': ", source)) - {"Mask"} == set(block)


def test_the_package_passes_its_own_checks(tmp_path: Path) -> None:
    if shutil.which("flutter") is None:
        pytest.skip("flutter is not installed: the package is parsed, but not run")
    package = tmp_path / "package"
    shutil.copytree(PACKAGE, package)
    for command in (["pub", "get"], ["analyze"], ["test"]):
        subprocess.run(["flutter", *command], cwd=package, check=True)
