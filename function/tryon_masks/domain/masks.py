"""Person + kind + profile -> mask, by the two-ring rule.

mask = core OR (grown AND NOT protected): the *core* is what the part map says, *grown* is what the
profile adds around it, *protected* is what the kind must keep, so growth never eats a face, a hand
or a shoe. Every length is a share of the torso length T: the same person at twice the size gets the
same mask, twice the size.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from tryon_masks.domain import anatomy, fitness
from tryon_masks.domain.anatomy import Segment
from tryon_masks.domain.kinds import BY_HEIGHT, LOWER_PARTS, SINGLE_PARTS, UPPER_PARTS, MaskKind
from tryon_masks.domain.parts import HEAD, PROTECTED, SHOES, BoolMask, Part, where
from tryon_masks.domain.person import Person
from tryon_masks.domain.profiles import Expand, Profile
from tryon_masks.domain.shapes import (
    grow,
    holes,
    hulls,
    smooth,
    stretch,
    without_specks,
)

HOLE = 0.02
SPECK = 0.002
ISLAND = 0.01
CRUMB = 0.001
"""Areas in units of T squared: larger holes are meant, smaller specks are noise, and so are smaller
islands of what is worn, and smaller crumbs of what is kept within it: of a hand in a pocket, a
finger's breadth is seen."""
SOFTENING = 0.05
"""Radius in T of the corners that the hull profile rounds off."""
REACH = 0.3
"""How far a mask may lie off the parts, in T, before ``expand``: half a limb and a margin."""


@dataclass(frozen=True)
class Mask:
    """One mask on the working grid.

    ``pixels``: shape (H, W), bool, True = repaint. ``confidence``: mean of the person's confidence
    over the mask's core, 0 to 1.
    """

    kind: MaskKind
    pixels: BoolMask
    confidence: float


@dataclass(frozen=True)
class _Rings:
    """What the two-ring rule works on; ``limbs`` is what ``body`` and ``box`` grow by besides."""

    core: BoolMask
    protected: BoolMask
    limbs: BoolMask


def make_mask(person: Person, kind: MaskKind, profile: Profile, expand: Expand) -> Mask:
    """Shape one mask.

    Parameters
    ----------
    person
        The parsed person, on the working grid (H, W).
    expand
        Extra margin a side, in units of T, photo directions.

    Returns
    -------
    Mask
        (H, W) bool; never empty, never the whole frame.

    Raises
    ------
    UpperNotVisible, LegsNotVisible, LowConfidence
        The mask cannot be made honestly from what is in the photo.
    """
    fitness.check(person, kind.value)
    frame = np.zeros(person.part_map.shape, bool)
    rows, columns = _surroundings(person, expand)
    person = person.cut(rows, columns)
    rings = _rings(person, kind, profile)
    unit = person.torso
    least = (SPECK if kind in SINGLE_PARTS else ISLAND) * unit**2
    grown = _grow(rings, profile, kind, unit, least)
    grown = stretch(
        grown,
        expand.top * unit,
        expand.bottom * unit,
        expand.left * unit,
        expand.right * unit,
    )
    pixels = rings.core | (grown & ~rings.protected)
    pixels |= holes(pixels, HOLE * unit**2) & ~rings.protected
    pixels = without_specks(pixels, least)
    pixels |= holes(pixels, SPECK * unit**2) & ~without_specks(rings.protected, CRUMB * unit**2)
    # Somebody else lies off this person's bones, and rightly so.
    own = rings.core & (person.part_map != Part.OTHER_PERSON)
    frame[rows, columns] = pixels
    fitness.check_mask(person, own, frame)
    return Mask(kind, frame, float(person.confidence[own].mean()))


def _surroundings(person: Person, expand: Expand) -> tuple[slice, slice]:
    """Rows and columns that no mask of this person can leave: the work is done on these alone."""
    height, width = person.part_map.shape
    x, y, w, h = cv2.boundingRect((person.part_map != Part.BACKGROUND).astype(np.uint8))
    bones = anatomy.bones(person.skeleton, person.torso)
    ends = [end for bone in bones for end in (bone.start, bone.end)]
    corners = np.array([(x, y), (x + w, y + h), *ends]).clip(0, [width, height])
    extra = max(expand.top, expand.bottom, expand.left, expand.right)
    pad = int((REACH + extra) * person.torso) + 2
    x0, y0 = np.maximum(corners.min(axis=0).astype(int) - pad, 0).tolist()
    x1, y1 = corners.max(axis=0).astype(int) + pad + 1
    return slice(y0, min(height, int(y1))), slice(x0, min(width, int(x1)))


def _grow(rings: _Rings, profile: Profile, kind: MaskKind, unit: float, least: float) -> BoolMask:
    core = without_specks(rings.core, least)
    margin = profile.margin * unit
    if kind is MaskKind.PROTECT:
        return core
    match profile:
        case Profile.TIGHT:
            return grow(core, margin)
        case Profile.BODY:
            return grow(core, margin) | rings.limbs
        case Profile.HULL:
            return smooth(hulls(grow(core, margin)), SOFTENING * unit)
        case Profile.BOX:
            x, y, width, height = cv2.boundingRect((core | rings.limbs).astype(np.uint8))
            box = np.zeros_like(core)
            box[y : y + height, x : x + width] = True
            return stretch(box, margin, margin, margin, margin)


def _rings(person: Person, kind: MaskKind, profile: Profile) -> _Rings:
    parts = person.part_map
    nothing = np.zeros(parts.shape, bool)
    if kind is MaskKind.PROTECT:
        return _Rings(where(parts, PROTECTED), nothing, nothing)
    if kind in SINGLE_PARTS:
        core = where(parts, SINGLE_PARTS[kind])
        return _Rings(core, (parts != Part.BACKGROUND) & ~core, nothing)
    above = _above_hips(person)
    either = where(parts, BY_HEIGHT)
    upper = where(parts, UPPER_PARTS) | (either & above)
    lower = where(parts, LOWER_PARTS) | (either & ~above)
    if person.perhaps_lower is not None:
        # Old cloth that stays shows; a hem that is painted anew for nothing hardly does.
        lower |= person.perhaps_lower & ~above
    keep = where(parts, PROTECTED)
    if kind is MaskKind.UPPER:
        rings = _Rings(upper, keep | lower, _tubes(person, "arm"))
    elif kind is MaskKind.LOWER:
        rings = _Rings(lower, keep | upper | above, _tubes(person, "thigh", "shin"))
    else:
        rings = _Rings(upper | lower, keep, _tubes(person, "arm", "thigh", "shin"))
    if profile is Profile.BOX:
        # A rectangle is what these models were trained on: only head and shoes are cut out of it.
        kept = HEAD | {Part.OTHER_PERSON} | (set() if kind is MaskKind.UPPER else SHOES)
        return _Rings(rings.core, where(parts, kept), rings.limbs)
    return rings


def _above_hips(person: Person) -> BoolMask:
    axis = anatomy.axis(person.skeleton)
    if axis is None:
        raise ValueError("a person without shoulders has no hip line")
    return axis.above(person.part_map.shape)


def _tubes(person: Person, *segments: Segment) -> BoolMask:
    """Limbs as the skeleton has them, each where most of it lies on this person."""
    tubes = np.zeros(person.part_map.shape, bool)
    body = ~where(person.part_map, {Part.BACKGROUND, Part.OTHER_PERSON})
    for bone in anatomy.bones(person.skeleton, person.torso):
        if bone.segment in segments:
            spot, tube = anatomy.tube(bone, tubes.shape)
            if 2 * np.count_nonzero(tube & body[spot]) > np.count_nonzero(tube):
                tubes[spot] |= tube
    return tubes
