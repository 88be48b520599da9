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
from tryon_masks.domain.parts import BOTTOMS, LEGS, SHOES, BoolMask, Part, where
from tryon_masks.domain.person import Box, Candidate, Person
from tryon_masks.domain.skeleton import SHOULDER_WIDTHS_PER_TORSO, SIDES, Skeleton

COMPARABLE = 0.5
"""A second person whose box has this share of the largest one's area is comparable."""
AS_LARGE, HALF_HIDDEN = 0.7, 0.2
"""So is one whose body unit and box have these shares: arms held out make a box wide, and who
stands behind somebody has a small one. Passers-by on street photos have up to 0.67 of the unit."""
SAME_BOX = 0.3
"""Overlap (intersection over union) from which ``person_box`` means a person."""
SMALLEST_BOX = 0.20
SMALLEST_TORSO = 48.0
NEAR_BONES = 0.45
"""Half the width of the corridor along the skeleton, in T, in which garments are believed."""
AGREEMENT = 0.5
"""Share of a mask's core that must lie in it: 0.91 to 1 on labelled street photos, and less of a
wide gown."""
RAGGED = 25.0
"""Raggedness from which a part map is noise: up to 19 on labelled street photos."""
SMALLEST_CORE = 0.01
WHOLE_FRAME = 0.95
HALF_THIGH = 0.5
"""Share of a thigh's length that must be seen, where the knee is not."""
LARGEST_TRUNK = 3.0
"""Area of the body above its hips over the unit squared, up to 1.7 on labelled street photos and
2.8 on everyday ones: a skeleton inside a larger body is not that body's, and a train may trail."""
PLAIN = 0.5
"""Mean probability of a body's labels: 0.57 and more on fashion photos. The ninth round's parser is
less sure of 43 of 62 animals and things with masks, and of 22 of 806 everyday people with masks, 16
of which are bad."""
WORN_BELOW = BOTTOMS | LEGS | SHOES | {Part.LEGWEAR, Part.DRESS}
STEPS = 40
"""Points along a limb."""


def choose(
    people: Sequence[Candidate],
    frame_height: int,
    *,
    photo_px_per_px: float = 1.0,
    largest: bool = False,
    box: Box | None = None,
) -> Candidate:
    """Choose the person that is meant.

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
        if not largest and any(_comparable(one, chosen) for one in ranked[1:]):
            raise SeveralPeople
    torso = chosen.skeleton.torso
    if torso is None:
        raise UpperNotVisible("The shoulders are not visible: the body cannot be measured.")
    length = max(chosen.box.width, chosen.box.height)  # who lies on the side is wide
    if length < SMALLEST_BOX * frame_height or torso * photo_px_per_px < SMALLEST_TORSO:
        raise PersonTooSmall
    return chosen


def _comparable(one: Candidate, chosen: Candidate) -> bool:
    area = one.box.area / chosen.box.area
    unit, other = _unit(one.skeleton), _unit(chosen.skeleton)
    alike = unit is not None and other is not None and unit >= AS_LARGE * other
    return area >= COMPARABLE or (alike and area >= HALF_HIDDEN)


def check(person: Person, kind: str) -> None:
    """Check that the joints that a mask rests on are in the photo, and that the body is theirs.

    Raises
    ------
    UpperNotVisible, LegsNotVisible, LowConfidence
    """
    shape = person.part_map.shape
    skeleton = person.skeleton
    if kind in ("upper", "full", "arms") and not any(
        _inside(skeleton, f"{side}_shoulder", shape) for side in SIDES
    ):
        raise UpperNotVisible
    if kind in ("lower", "full", "legs"):
        _check_legs(person)
    if kind == "feet" and not any(_inside(skeleton, f"{side}_ankle", shape) for side in SIDES):
        raise LegsNotVisible("The feet are not visible.")
    if person.body_confidence < PLAIN:
        raise LowConfidence("What was found is not plainly a person.")
    if kind in ("upper", "lower", "full", "arms", "legs"):
        _check_trunk(person)


def _check_trunk(person: Person) -> None:
    """Check that no more of the body lies above the hips than these joints can have there.

    Raises
    ------
    LowConfidence
    """
    unit = _unit(person.skeleton)
    if not unit:
        return
    if person.trunk_area > LARGEST_TRUNK * unit**2:
        raise LowConfidence("The joints do not fit the body that is seen.")


def _check_legs(person: Person) -> None:
    """At least a knee or half of a thigh is in the photo, and half a thigh of leg is there.

    Raises
    ------
    LegsNotVisible
        By the pose model, they are out of the frame.
    LowConfidence
        The part map has something else there: a table, say.
    """
    shown = found = False
    for side in SIDES:
        hip, knee, ankle = (person.skeleton.get(f"{side}_{n}") for n in ("hip", "knee", "ankle"))
        if hip is None or knee is None:
            continue
        along = np.linspace(hip, knee, STEPS)
        if ankle is not None:
            along = np.concatenate([along, np.linspace(knee, ankle, STEPS)])
        frame = person.part_map.shape[::-1]
        inside = np.all((along >= 0) & (along < frame), axis=1).nonzero()[0]
        thigh = np.count_nonzero(inside < STEPS)
        shown |= bool(STEPS - 1 in inside or thigh >= HALF_THIGH * STEPS)
        x, y = along[inside].astype(int).T
        worn = where(person.part_map[y, x], WORN_BELOW)
        if person.perhaps_lower is not None:
            worn |= person.perhaps_lower[y, x]
        found |= bool(np.count_nonzero(worn) >= HALF_THIGH * STEPS)
    if not shown:
        raise LegsNotVisible
    if not found:
        raise LowConfidence("The legs were not found where the joints are.")


def _unit(skeleton: Skeleton) -> float | None:
    """T, or that of shoulders so wide, in pixels: of a torso bent towards us, T says little.

    None where a shoulder is missing.
    """
    torso = skeleton.torso
    left, right = (skeleton.get(f"{side}_shoulder") for side in SIDES)
    if torso is None or left is None or right is None:
        return None
    across = float(np.hypot(left[0] - right[0], left[1] - right[1]))
    return max(torso, SHOULDER_WIDTHS_PER_TORSO * across)


def check_mask(person: Person, core: BoolMask, pixels: BoolMask, near: BoolMask) -> None:
    """Check that pose and part map agree about a mask.

    Parameters
    ----------
    core, near
        What the mask is of, and :func:`near_bones`, on the person's grid.
    pixels
        The mask, on the working grid.

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
    agreeing = np.count_nonzero(core & near)
    if agreeing < AGREEMENT * area or _raggedness(core, area) > RAGGED:
        raise LowConfidence


def _raggedness(core: BoolMask, area: int) -> float:
    """Length of all edges over the square root of the area: 3.5 for a disc, 30 for tatters."""
    contours, _ = cv2.findContours(core.view(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    return float(sum(len(contour) for contour in contours) / np.sqrt(area))


def near_bones(person: Person) -> BoolMask:
    """Return the pixels within :data:`NEAR_BONES` x T of the skeleton: (H, W), dtype bool.

    A trunk whose hips are out of the frame ends where they must be; an arm whose elbow is may hang
    beside it.
    """
    canvas = np.zeros(person.part_map.shape, np.uint8)
    width = round(2 * NEAR_BONES * person.torso)
    lines = [(bone.start, bone.end) for bone in person.bones]
    neck, axis = person.skeleton.neck_base, anatomy.axis(person.skeleton)
    if neck is not None and axis is not None:
        lines.append((neck, axis.hip))
        dx, dy = axis.hip[0] - neck[0], axis.hip[1] - neck[1]
        for side in SIDES:
            shoulder = person.skeleton.get(f"{side}_shoulder")
            if shoulder is not None and not person.skeleton.has(f"{side}_elbow"):
                lines.append((shoulder, (shoulder[0] + dx, shoulder[1] + dy)))
    for line in lines:
        start, end = np.round(np.array(line)).astype(int).tolist()
        cv2.line(canvas, start, end, 1, width)
    return canvas.view(bool)


def _inside(skeleton: Skeleton, name: str, shape: tuple[int, ...]) -> bool:
    point = skeleton.get(name)
    return point is not None and 0 <= point[0] < shape[1] and 0 <= point[1] < shape[0]
