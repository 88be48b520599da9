"""Who is meant, and which masks this person allows. What is missing is refused, never guessed."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from tryon_masks.domain import anatomy
from tryon_masks.domain.errors import (
    LegsNotVisible,
    LowConfidence,
    NoPerson,
    PersonTooSmall,
    SeveralPeople,
    UpperNotVisible,
)
from tryon_masks.domain.parts import BoolMask
from tryon_masks.domain.person import Box, Candidate, Person
from tryon_masks.domain.skeleton import SIDES, Skeleton

COMPARABLE = 0.5
"""A second person whose box has this share of the largest one's area is comparable."""
SAME_BOX = 0.3
"""Overlap (intersection over union) from which ``person_box`` means a person."""
SMALLEST_BOX = 0.20
SMALLEST_TORSO = 48.0
NEAR_BONES = 0.45
"""Half the width of the corridor along the skeleton, in T, in which garments are believed."""
AGREEMENT = 0.75
"""Share of a mask's core that must lie in it: 0.91 to 1 on labelled street photos."""
RAGGED = 25.0
"""Raggedness from which a part map is noise: up to 19 on labelled street photos."""
SMALLEST_CORE = 0.01
WHOLE_FRAME = 0.95


def choose(
    people: Sequence[Candidate],
    frame_height: int,
    *,
    photo_px_per_px: float = 1.0,
    largest: bool = False,
    box: Box | None = None,
) -> Candidate:
    """The person that is meant.

    Parameters
    ----------
    people
        Everybody, on a grid of ``frame_height`` rows.
    photo_px_per_px
        Photo pixels per pixel of that grid.
    largest, box
        The caller's choice where there are several.

    Raises
    ------
    NoPerson, SeveralPeople, PersonTooSmall, UpperNotVisible
    """
    if not people:
        raise NoPerson
    ranked = sorted(people, key=lambda one: one.box.area, reverse=True)
    if box is not None:
        chosen = max(people, key=lambda one: one.box.overlap(box))
        if chosen.box.overlap(box) < SAME_BOX:
            raise NoPerson("Nobody was found at person_box.")
    else:
        chosen = ranked[0]
        comparable = [one for one in ranked if one.box.area >= COMPARABLE * chosen.box.area]
        if not largest and len(comparable) > 1:
            raise SeveralPeople
    torso = chosen.skeleton.torso
    if torso is None:
        raise UpperNotVisible("The shoulders are not visible: the body cannot be measured.")
    if chosen.box.height < SMALLEST_BOX * frame_height or torso * photo_px_per_px < SMALLEST_TORSO:
        raise PersonTooSmall
    return chosen


def check(person: Person, kind: str) -> None:
    """Whether the joints that a mask rests on are in the photo.

    Raises
    ------
    UpperNotVisible, LegsNotVisible
    """
    shape = person.part_map.shape
    skeleton = person.skeleton
    if kind in ("upper", "full", "arms") and not any(
        _inside(skeleton, f"{side}_shoulder", shape) for side in SIDES
    ):
        raise UpperNotVisible
    if kind in ("lower", "full", "legs") and not any(
        skeleton.has(f"{side}_hip") and _inside(skeleton, f"{side}_knee", shape) for side in SIDES
    ):
        raise LegsNotVisible
    if kind == "feet" and not any(_inside(skeleton, f"{side}_ankle", shape) for side in SIDES):
        raise LegsNotVisible("The feet are not visible.")


def check_mask(person: Person, core: BoolMask, pixels: BoolMask) -> None:
    """Whether pose and part map agree about a mask.

    Raises
    ------
    LowConfidence
    """
    unit = person.torso
    area, covered = int(np.count_nonzero(core)), np.count_nonzero(pixels)
    if area < SMALLEST_CORE * unit**2 or covered == 0:
        raise LowConfidence("This part was not found in the photo.")
    if covered > WHOLE_FRAME * pixels.size:
        raise LowConfidence("The mask would cover the whole photo.")
    agreeing = np.count_nonzero(core & near_bones(person))
    if agreeing < AGREEMENT * area or _raggedness(core, area) > RAGGED:
        raise LowConfidence


def _raggedness(core: BoolMask, area: int) -> float:
    """Length of all edges over the square root of the area: 3.5 for a disc, 30 for tatters."""
    contours, _ = cv2.findContours(core.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    return float(sum(len(contour) for contour in contours) / np.sqrt(area))


def near_bones(person: Person) -> BoolMask:
    """Pixels within :data:`NEAR_BONES` x T of the skeleton: shape (H, W)."""
    canvas = np.zeros(person.part_map.shape, np.uint8)
    width = round(2 * NEAR_BONES * person.torso)
    for bone in anatomy.bones(person.skeleton, person.torso):
        start, end = np.round(np.array([bone.start, bone.end])).astype(int).tolist()
        cv2.line(canvas, start, end, 1, width)
    return canvas.view(bool)


def _inside(skeleton: Skeleton, name: str, shape: tuple[int, ...]) -> bool:
    point = skeleton.get(name)
    return point is not None and 0 <= point[0] < shape[1] and 0 <= point[1] < shape[0]
