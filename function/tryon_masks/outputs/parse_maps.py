"""Parse maps in the labels and palettes that data sets use, from the canonical part map.

A part without a label of its own takes the label named in :data:`LABELS`, the label of what
lies nearest to it (:data:`NEAREST_PARTS`), or 0. ``docs/try-on-models.md`` shows the tables.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from io import BytesIO

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tryon_masks.domain.parts import ARMS, BOTTOMS, HANDS, TOPS, Part, PartMap, where
from tryon_masks.ports import EncodedImage


class LabelSet(StrEnum):
    """``viton-hd`` is CIHP's: LIP's numbers, but 10 is the skin of neck and torso."""

    LIP = "lip"
    ATR = "atr"
    VITON_HD = "viton-hd"


Colours = tuple[tuple[int, int, int], ...]

LIP_PALETTE: Colours = (
    (0, 0, 0),
    (128, 0, 0),
    (255, 0, 0),
    (0, 85, 0),
    (170, 0, 51),
    (255, 85, 0),
    (0, 0, 85),
    (0, 119, 221),
    (85, 85, 0),
    (0, 85, 85),
    (85, 51, 0),
    (52, 86, 128),
    (0, 128, 0),
    (0, 0, 255),
    (51, 170, 221),
    (0, 255, 255),
    (85, 255, 170),
    (170, 255, 85),
    (255, 255, 0),
    (255, 170, 0),
)
ATR_PALETTE: Colours = (
    (0, 0, 0),
    (128, 0, 0),
    (0, 128, 0),
    (128, 128, 0),
    (0, 0, 128),
    (128, 0, 128),
    (0, 128, 128),
    (128, 128, 128),
    (64, 0, 0),
    (192, 0, 0),
    (64, 128, 0),
    (192, 128, 0),
    (64, 0, 128),
    (192, 0, 128),
    (64, 128, 128),
    (192, 128, 128),
    (0, 64, 0),
    (128, 64, 0),
)

_LIP = {
    Part.HAT: 1,
    Part.HAIR: 2,
    Part.GLOVE: 3,
    Part.EYEWEAR: 4,
    Part.TOP: 5,
    Part.DRESS: 6,
    Part.OUTERWEAR: 7,
    Part.LEGWEAR: 8,
    Part.TROUSERS: 9,
    Part.SCARF: 11,
    Part.SKIRT: 12,
    Part.FACE: 13,
    Part.LEFT_ARM: 14,
    Part.RIGHT_ARM: 15,
    Part.LEFT_LEG: 16,
    Part.RIGHT_LEG: 17,
    Part.LEFT_SHOE: 18,
    Part.RIGHT_SHOE: 19,
}
_ATR = {
    Part.HAT: 1,
    Part.HAIR: 2,
    Part.EYEWEAR: 3,
    Part.TOP: 4,
    Part.SKIRT: 5,
    Part.TROUSERS: 6,
    Part.DRESS: 7,
    Part.BELT: 8,
    Part.LEFT_SHOE: 9,
    Part.RIGHT_SHOE: 10,
    Part.FACE: 11,
    Part.LEFT_LEG: 12,
    Part.RIGHT_LEG: 13,
    Part.LEFT_ARM: 14,
    Part.RIGHT_ARM: 15,
    Part.BAG: 16,
    Part.SCARF: 17,
}
_CIHP_TORSO_SKIN = 10
"""CIHP's label for torso skin, which LIP has for jumpsuits."""

SHARED_LABELS: dict[LabelSet, dict[Part, int]] = {
    LabelSet.LIP: _LIP,
    LabelSet.ATR: _ATR,
    LabelSet.VITON_HD: {**_LIP, Part.TORSO_SKIN: _CIHP_TORSO_SKIN},
}
"""Classes that both have: a round trip keeps them."""

LABELS: dict[LabelSet, dict[Part, int]] = {
    LabelSet.LIP: {**_LIP, Part.LEFT_HAND: 14, Part.RIGHT_HAND: 15},
    LabelSet.ATR: {
        **_ATR,
        Part.LEFT_HAND: 14,
        Part.RIGHT_HAND: 15,
        Part.OUTERWEAR: 4,
        Part.LEGWEAR: 6,
        Part.NECK: 11,
        Part.TORSO_SKIN: 11,
    },
    LabelSet.VITON_HD: {
        **SHARED_LABELS[LabelSet.VITON_HD],
        Part.LEFT_HAND: 14,
        Part.RIGHT_HAND: 15,
        Part.NECK: _CIHP_TORSO_SKIN,
    },
}
"""Every part's label; what is neither here nor in :data:`NEAREST_PARTS` is 0."""

_UNDER_BELTS = TOPS | BOTTOMS | {Part.DRESS}
NEAREST_PARTS: dict[LabelSet, dict[Part, frozenset[Part]]] = {
    LabelSet.LIP: {Part.BELT: _UNDER_BELTS},
    LabelSet.ATR: {Part.GLOVE: (ARMS | HANDS) - {Part.GLOVE}},
    LabelSet.VITON_HD: {Part.BELT: _UNDER_BELTS},
}
"""Parts that count as whichever of these others lies nearest."""

PALETTES: dict[LabelSet, Colours] = {
    LabelSet.LIP: LIP_PALETTE,
    LabelSet.ATR: ATR_PALETTE,
    LabelSet.VITON_HD: LIP_PALETTE,
}

VITON_HD_UPPER = (5, 6, 7, _CIHP_TORSO_SKIN)
VITON_HD_ARMS = (14, 15)
"""What an agnostic parse map of VITON-HD lacks: these, and of the arms what is repainted."""


@dataclass(frozen=True)
class ParseMap:
    """``labels``: shape (H, W), uint8, labels of ``label_set``."""

    labels: NDArray[np.uint8]
    label_set: LabelSet

    def png(self) -> EncodedImage:
        """Encode a palette PNG: its pixels are the labels, its colours those of the label set."""
        return palette_png(self.labels, PALETTES[self.label_set])


def parse_map(part_map: PartMap, label_set: LabelSet) -> ParseMap:
    """Translate the part map into another label set.

    Parameters
    ----------
    part_map
        Shape (H, W), uint8, values of :class:`~tryon_masks.domain.parts.Part`.
    label_set
        Whose labels the result has.
    """
    parts = part_map
    for part, others in NEAREST_PARTS[label_set].items():
        parts = _as_nearest(parts, part, others)
    table = np.zeros(256, np.uint8)
    for part, number in LABELS[label_set].items():
        table[part] = number
    return ParseMap(table[parts], label_set)


def without_upper(parse: ParseMap, mask: NDArray[np.uint8]) -> ParseMap:
    """Make VITON-HD's agnostic parse map: no upper clothes, torso skin or repainted arms.

    ``mask``: shape (H, W), 255 where the photo is repainted.
    """
    gone = np.isin(parse.labels, VITON_HD_UPPER)
    gone |= np.isin(parse.labels, VITON_HD_ARMS) & (mask >= 128)
    return ParseMap(np.where(gone, np.uint8(0), parse.labels), parse.label_set)


def palette_png(labels: NDArray[np.uint8], palette: Colours) -> EncodedImage:
    """Encode labels (H, W), uint8, as a PNG of mode P."""
    image = Image.fromarray(labels, "P")
    image.putpalette([value for colour in palette for value in colour])
    file = BytesIO()
    image.save(file, "PNG")
    return EncodedImage(file.getvalue(), "image/png", "png")


def _as_nearest(parts: PartMap, part: Part, others: frozenset[Part]) -> PartMap:
    here, there = parts == part, where(parts, others)
    if not here.any() or not there.any():
        return parts
    away = (~there).astype(np.uint8)
    _, regions = cv2.distanceTransformWithLabels(
        away, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    regions = np.asarray(regions)
    names = np.zeros(int(regions.max()) + 1, np.uint8)
    names[regions[there]] = parts[there]
    return np.where(here, names[regions], parts)
