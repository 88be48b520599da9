"""The garment parser's classes, in the order of its output planes."""

from __future__ import annotations

from enum import IntEnum, unique


@unique
class Class(IntEnum):
    """One a pixel. Left and right come from the skeleton; a bare foot counts as its shoe."""

    BACKGROUND = 0
    HAT = 1
    HAIR = 2
    EYEWEAR = 3
    FACE = 4
    NECK = 5
    TORSO_SKIN = 6
    ARM = 7
    HAND = 8
    LEG = 9
    TOP = 10
    OUTERWEAR = 11
    DRESS = 12
    SKIRT = 13
    TROUSERS = 14
    BELT = 15
    LEGWEAR = 16
    SHOE = 17
    BAG = 18
    SCARF = 19


CLASSES = tuple(Class)
