"""Many photos by a list: JSON Lines in, JSON Lines out, and what is done already is skipped.

A line of the list is an object with ``photo`` (an address, or a path beside the list), and where
wanted ``id`` (names the masks in a folder), ``user_id`` and any of the API's mask options.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Any
from urllib.parse import unquote, urlsplit

from pydantic import ConfigDict, Field, StrictStr, ValidationError

from tryon_masks.domain.errors import InvalidRequest
from tryon_masks.domain.identity import resolve_user_id
from tryon_masks.files import replacing
from tryon_masks.schema.requests import PROBLEMS_SHOWN, OptionsBody, UserId, invalid
from tryon_masks.service import MaskOptions

MADE = frozenset({"success", "partial", "refused"})
"""A line with one of these is done; an error may pass another time."""


_START = b'{"id": "'
"""What every line of results begins with, so that nobody else's file is mended."""


class _Line(OptionsBody):
    # Worker processes import this, and read no list.
    model_config = ConfigDict(defer_build=True)

    photo: Annotated[StrictStr, Field(min_length=1, max_length=4096)]
    id: Annotated[StrictStr, Field(pattern=r"^\w[\w.-]{0,127}$")] | None = None
    user_id: UserId | None = None


@dataclass(frozen=True)
class Item:
    """One line. ``digest`` changes with whatever may change its masks."""

    item_id: str
    photo: Path | str
    user_id: str
    options: MaskOptions
    digest: str


def read_list(path: Path, *made_by: str) -> list[Item]:
    """Read every line of the list ``path``; empty ones are skipped.

    ``made_by``: what makes the masks; of something else, lines are not done yet.

    Raises
    ------
    InvalidRequest
        With the problems of every line.
    OSError
    """
    items: dict[str, Item] = {}
    problems = []
    for number, text in enumerate(path.read_text("utf-8-sig").splitlines(), 1):
        if not text.strip():
            continue
        try:
            item = _item(text, path.parent, made_by)
            if item.item_id in items:
                raise InvalidRequest(f"another line has the id {item.item_id}: give it one")
            items[item.item_id] = item
        except InvalidRequest as error:
            problems.append(f"line {number}: {error}")
    if problems:
        more = len(problems) - PROBLEMS_SHOWN
        shown = problems[:PROBLEMS_SHOWN] + ([f"and {more} more"] if more > 0 else [])
        raise InvalidRequest("\n".join(shown))
    return list(items.values())


def _item(text: str, folder: Path, made_by: Sequence[str]) -> Item:
    try:
        line = _Line.model_validate(json.loads(text))
    except ValidationError as error:
        raise invalid(error.errors()) from error
    except (ValueError, RecursionError) as error:
        raise InvalidRequest("not JSON") from error
    what: list[object] = [line.model_dump(mode="json"), *made_by]
    photo: Path | str = line.photo
    if re.match("https?://", line.photo, re.IGNORECASE):
        stem = PurePosixPath(unquote(urlsplit(line.photo).path)).stem
    else:
        photo = folder / line.photo
        if not photo.is_file():
            raise InvalidRequest(f"no such file: {line.photo}")
        stem = photo.stem
        stat = photo.stat()
        what += [stat.st_size, stat.st_mtime_ns]
    return Item(
        item_id=line.id or re.sub(r"[^\w.-]", "_", stem) or "photo",
        photo=photo,
        user_id=resolve_user_id(None, line.user_id),
        options=line.options(),
        digest=hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16],
    )


def _line(item: Item, answer: Mapping[str, Any]) -> str:
    # In this order: a line begins as _START says.
    return json.dumps({"id": item.item_id, "digest": item.digest, **answer}) + "\n"


class Results:
    """The answers so far, one a line, each in the file before the next is made."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def answers(self) -> dict[tuple[str, str], dict[str, Any]]:
        """(id, digest) -> the last answer that the file knows.

        Raises
        ------
        InvalidRequest
            The file is something else.
        OSError
        """
        try:
            return {
                (line["id"], line["digest"]): {**line, "status": line["status"]}
                for line in self._lines()
            }
        except (ValueError, TypeError, KeyError) as error:
            raise InvalidRequest(f"{self._path} holds something else than results") from error

    def add(self, item: Item, answer: Mapping[str, Any]) -> None:
        """Write one answer."""
        with self._path.open("a") as file:
            file.write(_line(item, answer))
            file.flush()
            os.fsync(file.fileno())

    def replace(self, answers: Iterable[tuple[Item, Mapping[str, Any]]]) -> None:
        """Write all answers in place of what is there."""
        with replacing(self._path) as unfinished, unfinished.open("w") as file:
            file.writelines(_line(item, answer) for item, answer in answers)

    def mend(self) -> None:
        """Cut off a last line that was not finished."""
        lines, unfinished = self._read()
        if unfinished:
            with self._path.open("r+b") as file:
                file.truncate(len(lines))

    def _lines(self) -> Iterator[Any]:
        lines, unfinished = self._read()
        if unfinished[: len(_START)] != _START[: len(unfinished)]:
            raise ValueError("not ours")
        yield from map(json.loads, lines.splitlines())

    def _read(self) -> tuple[bytes, bytes]:
        whole = self._path.read_bytes() if self._path.exists() else b""
        end = whole.rfind(b"\n") + 1
        return whole[:end], whole[end:]
