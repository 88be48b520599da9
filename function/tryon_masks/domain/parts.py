"""The canonical part labels: one set, whatever model made the part map."""

from __future__ import annotations

from enum import IntEnum, unique

import cv2
import numpy as np
from numpy.typing import NDArray

PartMap = NDArray[np.uint8]
"""Shape (H, W), dtype uint8, one :class:`Part` value per pixel."""

BoolMask = NDArray[np.bool_]
"""Shape (H, W), dtype bool."""


@unique
class Part(IntEnum):
    """One label per pixel. Left and right are the person's own."""

    BACKGROUND = 0
    HAT = 1
    HAIR = 2
    EYEWEAR = 3
    FACE = 4
    NECK = 5
    TORSO_SKIN = 6
    TOP = 7
    OUTERWEAR = 8
    DRESS = 9
    SKIRT = 10
    TROUSERS = 11
    BELT = 12
    LEFT_ARM = 13
    RIGHT_ARM = 14
    LEFT_HAND = 15
    RIGHT_HAND = 16
    LEFT_LEG = 17
    RIGHT_LEG = 18
    LEGWEAR = 19
    LEFT_SHOE = 20
    RIGHT_SHOE = 21
    BAG = 22
    SCARF = 23
    GLOVE = 24
    OTHER_PERSON = 25


HEAD = frozenset({Part.HAT, Part.HAIR, Part.EYEWEAR, Part.FACE})
ARMS = frozenset({Part.LEFT_ARM, Part.RIGHT_ARM})
HANDS = frozenset({Part.LEFT_HAND, Part.RIGHT_HAND, Part.GLOVE})
LEGS = frozenset({Part.LEFT_LEG, Part.RIGHT_LEG})
SHOES = frozenset({Part.LEFT_SHOE, Part.RIGHT_SHOE})
TOPS = frozenset({Part.TOP, Part.OUTERWEAR})
BOTTOMS = frozenset({Part.SKIRT, Part.TROUSERS})
PROTECTED = HEAD | HANDS | SHOES | {Part.BAG, Part.OTHER_PERSON}
"""What no try-on may touch."""


def where(part_map: PartMap, parts: frozenset[Part] | set[Part]) -> BoolMask:
    """Return which pixels carry any of some parts.

    Parameters
    ----------
    part_map
        Any shape, uint8, values of :class:`Part`.
    parts
        The labels to look for.

    Returns
    -------
    The same shape, dtype bool.
    """
    if part_map.size == 0:
        return np.zeros(part_map.shape, bool)  # OpenCV has no table look-up for nothing
    table = np.zeros(256, np.uint8)
    table[[int(part) for part in parts]] = 1
    return np.asarray(cv2.LUT(part_map, table)).view(bool)
