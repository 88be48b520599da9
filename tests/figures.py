"""The painted figure of :mod:`tests.fakes` as a parsed person, in every way the tests need it.

It stands on a 300 x 400 grid, facing us, in a red top with half sleeves and blue trousers; its
torso length T is 100 pixels.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray
from tests import fakes

from tryon_masks.domain.kinds import MaskKind
from tryon_masks.domain.masks import Mask, MaskShaper
from tryon_masks.domain.parts import BoolMask, Part, PartMap, where
from tryon_masks.domain.person import Box, Person
from tryon_masks.domain.profiles import Expand, Profile
from tryon_masks.domain.skeleton import Keypoint, Point, Skeleton
from tryon_masks.vision.compact.classes import CLASSES, Class

HIP_LINE = 210
"""Row of the hips."""
KNEES = 290
FEET_TOP = 367
SHAPE = (fakes.HEIGHT, fakes.WIDTH)

POINTS: dict[str, Point] = {
    **{name: (float(x), float(y)) for name, (x, y) in fakes.POINTS.items()},
    "left_mouth": (156.0, 72.0),
    "right_mouth": (144.0, 72.0),
    "left_pinky": (207.0, 222.0),
    "right_pinky": (93.0, 222.0),
}
JOINTS = tuple(POINTS)

LIMBS = {
    Class.ARM: (Part.LEFT_ARM, Part.RIGHT_ARM),
    Class.HAND: (Part.LEFT_HAND, Part.RIGHT_HAND),
    Class.LEG: (Part.LEFT_LEG, Part.RIGHT_LEG),
    Class.SHOE: (Part.LEFT_SHOE, Part.RIGHT_SHOE),
}
"""What the parser has one class for, and the part map a left and a right part."""


def skeleton(lost: Iterable[str] = (), moved: Mapping[str, Point] | None = None) -> Skeleton:
    """The figure's keypoints. A ``lost`` one is where models put it: at (0, 0), without a score."""
    where_to = {**POINTS, **(moved or {})}
    seen = {name: Keypoint(x, y, 0.98) for name, (x, y) in where_to.items()}
    return Skeleton({**seen, **{name: Keypoint(0.0, 0.0, 0.0) for name in lost}})


def make_mask(person: Person, kind: MaskKind, profile: Profile, expand: Expand) -> Mask:
    """One mask of ``person``."""
    return MaskShaper(person, profile, expand).make(kind)


def person(
    parts: PartMap | None = None,
    *,
    lost: Iterable[str] = (),
    moved: Mapping[str, Point] | None = None,
) -> Person:
    """The figure, parsed; ``parts`` replaces its own part map."""
    painted = fakes.part_map() if parts is None else parts
    sure = np.full(painted.shape, 0.9, np.float32)
    return Person(fakes.BOX, 0.93, skeleton(lost, moved), painted, sure)


def enlarged(someone: Person, factor: int) -> Person:
    """The same person on a grid ``factor`` times as fine."""
    return Person(
        someone.box.scaled(factor),
        someone.score,
        someone.skeleton.scaled(factor),
        someone.part_map.repeat(factor, 0).repeat(factor, 1),
        someone.confidence.repeat(factor, 0).repeat(factor, 1),
    )


def cropped(someone: Person, x0: int, y0: int, x1: int, y1: int) -> Person:
    """The same person in a photo that shows only these columns and rows.

    The pose model still says where the joints outside must be.
    """
    box = someone.box
    inside = np.array([box.x0 - x0, box.y0 - y0, box.x1 - x0, box.y1 - y0])
    left, top, right, bottom = inside.clip(0, [x1 - x0, y1 - y0] * 2).tolist()
    return Person(
        Box(left, top, right, bottom),
        someone.score,
        someone.skeleton.moved(-x0, -y0),
        someone.part_map[y0:y1, x0:x1].copy(),
        someone.confidence[y0:y1, x0:x1].copy(),
    )


def swapped(someone: Person) -> Person:
    """The same person with left and right taken for each other, in pose and part map."""
    names = {name: _other_side(name) for name in someone.skeleton.keypoints}
    points = {names[name]: point for name, point in someone.skeleton.keypoints.items()}
    table = np.arange(256, dtype=np.uint8)
    for part in Part:
        table[part] = Part[_other_side(part.name)]
    return replace(someone, skeleton=Skeleton(points), part_map=table[someone.part_map])


def _other_side(name: str) -> str:
    for here, there in (("left", "right"), ("LEFT", "RIGHT")):
        if name.startswith(here):
            return name.replace(here, there)
        if name.startswith(there):
            return name.replace(there, here)
    return name


def in_a_long_dress() -> PartMap:
    """The figure in a sleeved dress down to the feet."""
    painted = fakes.part_map()
    skirt = np.zeros(SHAPE, np.uint8)
    corners = [(118, HIP_LINE), (182, HIP_LINE), (200, FEET_TOP), (100, FEET_TOP)]
    cv2.fillConvexPoly(skirt, np.array(corners), 1)
    cloth = where(painted, {Part.TOP, Part.TROUSERS})
    below = (skirt > 0) & where(painted, {Part.BACKGROUND})
    painted[cloth | below] = Part.DRESS
    return painted


def bare_legged() -> PartMap:
    """The figure in shorts."""
    painted = fakes.part_map()
    rows, columns = np.indices(SHAPE)
    legs = (painted == Part.TROUSERS) & (rows > KNEES - 30)
    painted[legs & (columns >= 150)] = Part.LEFT_LEG
    painted[legs & (columns < 150)] = Part.RIGHT_LEG
    return painted


def with_a_second_person() -> PartMap:
    """The figure with somebody beside it, shirt to shirt, whose arm lies across its chest."""
    painted = fakes.part_map()
    beside = np.zeros(SHAPE, np.uint8)
    cv2.rectangle(beside, (204, 100), (299, 399), 1, -1)
    painted[(beside > 0) & (painted == Part.BACKGROUND)] = Part.OTHER_PERSON
    cv2.line(painted, (240, 130), (140, 160), int(Part.OTHER_PERSON), 16)
    return painted


def equipped() -> PartMap:
    """The figure with hat, glasses, belt and glove, and a bag on its hip, over the hem."""
    painted = fakes.part_map()
    cv2.rectangle(painted, (122, 14), (178, 34), int(Part.HAT), -1)
    cv2.rectangle(painted, (136, 44), (164, 52), int(Part.EYEWEAR), -1)
    cv2.rectangle(painted, (160, 190), (186, 236), int(Part.BAG), -1)
    painted[painted == Part.LEFT_HAND] = Part.GLOVE
    belt = painted[206:212]
    belt[where(belt, {Part.TOP, Part.TROUSERS})] = Part.BELT
    return painted


def classes(parts: PartMap) -> NDArray[np.uint8]:
    """What the garment parser calls the painted parts: a :class:`Class` a pixel."""
    table = np.zeros(256, np.uint8)
    for cls in CLASSES:
        for part in LIMBS.get(cls) or [Part[cls.name]]:
            table[part] = cls
    table[Part.GLOVE] = Class.HAND
    return table[parts]


def near(parts: PartMap, distance: float) -> BoolMask:
    """Pixels within ``distance`` of the figure itself."""
    body = (parts != Part.BACKGROUND) & (parts != Part.OTHER_PERSON)
    off = cv2.distanceTransform((~body).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(off <= distance)


def overlap(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Intersection over union."""
    return float((one & other).sum() / (one | other).sum())
