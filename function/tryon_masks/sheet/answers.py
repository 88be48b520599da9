"""Cards of masks that lie on this machine already, by the answers that tell of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlsplit
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from tryon_masks import images
from tryon_masks.domain.errors import InvalidRequest, TryonMasksError
from tryon_masks.domain.identity import ANONYMOUS
from tryon_masks.files import read_file
from tryon_masks.service import RefusedMask
from tryon_masks.sheet.card import SIDE, Card, CardStatus, Made, Pictures, draw, rank
from tryon_masks.telemetry import request_log, step


class _Error(BaseModel):
    code: str
    message: str


class Answer(BaseModel):
    """What is read of a line that ``generate`` or ``batch`` has written."""

    photo: str
    status: CardStatus
    id: str | None = None
    masks: dict[str, str] = {}
    quality: dict[str, Made] = {}
    refused: list[RefusedMask] = []
    error: _Error | None = None


def read_answers(path: Path) -> list[Answer]:
    """Return the answers in a file of JSON Lines; of several about one photo, the last.

    Raises
    ------
    InvalidRequest
        A line is no answer.
    OSError
    """
    answers: dict[str, Answer] = {}
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        if line.strip():
            try:
                answer = Answer.model_validate_json(line)
            except ValidationError as error:
                raise InvalidRequest(f"{path}, line {number}: no answer about a photo") from error
            answers[answer.id or answer.photo] = answer
    return list(answers.values())


def card_of_answer(answer: Answer, limits: images.Limits) -> Card:
    """Return the card of an answer, with the photo and those of its masks that lie here as files.

    The card's note names what does not, or cannot be read.
    """
    error = None if answer.error is None else (answer.error.code, answer.error.message)
    with request_log(uuid4().hex, ANONYMOUS), step("show_answer", "sheet"):
        masks = {kind: _path(address) for kind, address in answer.masks.items()}
        pictures, notes = read_pictures(_path(answer.photo), masks, limits)
    return Card(
        answer.photo,
        answer.status,
        rank(answer.status, answer.quality),
        answer.quality,
        answer.refused,
        error,
        pictures,
        " ".join(notes),
    )


def read_pictures(
    photo: Path | None, masks: Mapping[str, Path | None], limits: images.Limits
) -> tuple[Pictures | None, list[str]]:
    """Return pictures of files, none where the photo cannot be read; and what cannot be, in words.

    Parameters
    ----------
    photo, masks
        None: it lies elsewhere.
    """
    notes: list[str] = []
    limits = replace(limits, working_side=SIDE)
    rgb = _read("The photo", photo, limits, notes)
    if rgb is None:
        return None, notes
    read = {kind: _read(f"The mask {kind}", path, limits, notes) for kind, path in masks.items()}
    greys = {kind: grey[:, :, 0] for kind, grey in read.items() if grey is not None}
    return draw(rgb, greys), notes


def _read(
    what: str, path: Path | None, limits: images.Limits, notes: list[str]
) -> NDArray[np.uint8] | None:
    """The picture (h, w, 3) in a file, on the card's grid; None, and a note, without one."""
    if path is None:
        notes.append(f"{what} does not lie on this machine.")
        return None
    try:
        with step("read_file", "sheet"):
            return images.decode(read_file(path, limits.max_bytes + 1), limits).rgb
    except TryonMasksError as error:
        notes.append(f"{what}: {error}")
        return None


def _path(address: str) -> Path | None:
    """The file behind a path or a ``file:`` address; None: it is the address of another machine."""
    parts = urlsplit(address)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    return None if parts.scheme in ("http", "https") else Path(address)
