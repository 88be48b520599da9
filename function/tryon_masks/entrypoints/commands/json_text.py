"""Setting one member of a JSON file and leaving every other character of it alone."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from tryon_masks.files import replacing

_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()


def with_member(text: str, name: str, value: object) -> str:
    """``text``, one JSON object with at least one member, with ``name`` set to ``value``.

    A member of that name keeps its place; a new one goes to the end, in the style of the first:
    on a line of its own and indented like it, or on the same line.
    """
    members = _members(text)
    first, last = members[0], members[-1]
    before = text[text.index("{") + 1 : first.start]
    newline = "\r\n" if "\r\n" in before else "\n" if "\n" in before else ""
    indent = before.rpartition("\n")[2] if newline else ""
    comma, colon = (", ", ": ") if text[first.value - 1] == " " else (",", ":")
    written = json.dumps(
        value,
        ensure_ascii=text.isascii(),
        indent=indent or None,
        separators=(",", colon) if indent else (comma, colon),
    ).replace("\n", newline + indent)
    for member in reversed(members):
        if member.name == name:
            return text[: member.value] + written + text[member.end :]
    gap = "," + newline + indent if newline else comma
    return text[: last.end] + gap + json.dumps(name) + colon + written + text[last.end :]


def replace_text(path: Path, text: str) -> None:
    """Write ``path`` anew in one move, with its permissions: readers see all of it or the old one.

    Raises
    ------
    OSError
    """
    path = path.resolve()
    with replacing(path) as unfinished:
        unfinished.write_bytes(text.encode())
        shutil.copymode(path, unfinished)


@dataclass(frozen=True)
class _Member:
    """Offsets into the text: ``start`` of the name, ``value`` and ``end`` of its value."""

    name: str
    start: int
    value: int
    end: int


def _members(text: str) -> list[_Member]:
    members = []
    at = _after_space(text, text.index("{") + 1)
    while text[at] != "}":
        name, colon = _DECODER.raw_decode(text, at)
        value = _after_space(text, _after_space(text, colon) + 1)
        _, end = _DECODER.raw_decode(text, value)
        members.append(_Member(name, at, value, end))
        at = _after_space(text, end)
        if text[at] == ",":
            at = _after_space(text, at + 1)
    return members


def _after_space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at
