"""One photo of a sheet: small pictures of it and its masks, and what is known of them."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tryon_masks import images
from tryon_masks.domain.errors import TryonMasksError
from tryon_masks.domain.identity import ANONYMOUS
from tryon_masks.library import MaskMaker, Result
from tryon_masks.service import RefusedMask, Status
from tryon_masks.telemetry import request_log, step

SIDE = 512
"""Pixels of the longer side of a card's pictures."""
CardStatus = Literal["error"] | Status
WORST_FIRST: tuple[CardStatus, ...] = ("error", "refused", "partial", "success")


@dataclass(frozen=True)
class Made:
    """What is known of a mask that was made.

    ``coverage``: share of the frame that is masked. ``confidence``: of the models; None: unknown.
    Both 0 to 1.
    """

    coverage: float
    confidence: float | None = None


@dataclass(frozen=True)
class Pictures:
    """A photo as a WebP, and its masks by kind as PNGs that are clear where the photo is kept.

    ``width`` and ``height`` give the photo's aspect.
    """

    width: int
    height: int
    photo: bytes
    masks: Mapping[str, bytes]


@dataclass(frozen=True)
class Card:
    """One photo of a sheet.

    Attributes
    ----------
    name
        How the photo is called on the sheet.
    status
        As in an answer.
    rank
        The lower, the worse: where the photo stands on the sheet.
    made, refused
        What is known of each mask, in the order in which they were asked for.
    error
        Code and message where the photo as a whole failed.
    pictures
        None: the photo cannot be shown; ``note`` or ``error`` says why.
    note
        What else is to be said.
    """

    name: str
    status: CardStatus
    rank: float
    made: Mapping[str, Made]
    refused: Sequence[RefusedMask]
    error: tuple[str, str] | None
    pictures: Pictures | None
    note: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return JSON values, as ``sheet.js`` reads them; pictures are base64."""
        shown = self.pictures
        return {
            "name": self.name,
            "status": self.status,
            "rank": round(self.rank, 4),
            "made": {
                kind: {name: value and round(value, 4) for name, value in asdict(mask).items()}
                for kind, mask in self.made.items()
            },
            "refused": [asdict(one) for one in self.refused],
            "error": self.error and {"code": self.error[0], "message": self.error[1]},
            "note": self.note,
            "pictures": shown
            and {
                "width": shown.width,
                "height": shown.height,
                "photo": _base64(shown.photo),
                "masks": {kind: _base64(png) for kind, png in shown.masks.items()},
            },
        }


def rank(status: CardStatus, made: Mapping[str, Made]) -> float:
    """Return how far from the front of a sheet a photo belongs, whose worst comes first.

    Photos that failed stand before refused ones, then come those with some of their masks, then
    those with all. Among equals the mask of least confidence decides.
    """
    confidences = [mask.confidence or 0.0 for mask in made.values()]
    return WORST_FIRST.index(status) + min(confidences, default=0.0)


def draw(rgb: NDArray[np.uint8], masks: Mapping[str, NDArray[np.uint8]]) -> Pictures:
    """Return the pictures of a photo (h, w, 3) of any size, and of its masks (h, w) in theirs."""
    with step("draw_card", "sheet"):
        height, width = rgb.shape[:2]
        return Pictures(
            width,
            height,
            images.preview(rgb, SIDE).data,
            {kind: images.stencil(mask, "hard").data for kind, mask in masks.items()},
        )


def card_of(name: str, outcome: Result | TryonMasksError) -> Card:
    """Return the card of what the library made of a photo; it has no pictures of a failed one."""
    if isinstance(outcome, TryonMasksError):
        error = (outcome.code, str(outcome))
        return Card(name, "error", rank("error", {}), {}, [], error, None)
    made = {
        kind: Made(quality.coverage, quality.confidence)
        for kind, quality in outcome.quality.items()
    }
    with request_log(outcome.request_id, ANONYMOUS):
        pictures = draw(outcome.small_photo, outcome.masks)
    standing = rank(outcome.status, made)
    return Card(name, outcome.status, standing, made, outcome.refused, None, pictures)


def cards_of(
    maker: MaskMaker, photos: Mapping[Path, str], jobs: int, options: Mapping[str, Any]
) -> Iterator[Card]:
    """Make the masks of many photos, and yield the card of each as it is done.

    Parameters
    ----------
    photos
        Path -> its name on the sheet.
    jobs
        Photos at a time.
    options
        As for a call of the maker, without ``max_side``.

    Raises
    ------
    InvalidRequest
        An option is wrong.
    """
    names = list(photos.values())
    for item in maker.batch(photos, jobs=jobs, max_side=SIDE, **options):
        outcome = item.result or item.error
        assert outcome is not None  # noqa: S101 - it is one of the two
        yield card_of(names[item.index], outcome)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
