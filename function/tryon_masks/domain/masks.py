"""Person + kind + profile -> mask, by the two-ring rule.

mask = core OR (grown AND NOT protected): the *core* is what the part map says, *grown* is what the
profile adds around it, *protected* is what the kind must keep, so growth never eats a face, a hand
or a shoe. Every length is a share of the torso length T: the same person at twice the size gets the
same mask, twice the size.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np

from tryon_masks.domain import anatomy, fitness
from tryon_masks.domain.anatomy import Bone, Points, Segment
from tryon_masks.domain.errors import LegsNotVisible, LowConfidence
from tryon_masks.domain.kinds import LOWER_PARTS, SINGLE_PARTS, UPPER_PARTS, MaskKind
from tryon_masks.domain.parts import (
    BOTTOMS,
    HANDS,
    HEAD,
    PROTECTED,
    SHOES,
    BoolMask,
    Part,
    where,
)
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
ISLAND = 0.02
"""Areas in units of T squared: larger holes are meant, smaller specks are noise, within a garment
too whatever they seem to be, and so are smaller islands of what is worn."""
SOFTENING = 0.05
"""Radius in T of the corners that the hull profile rounds off."""
REACH = 0.3
"""How far a mask may lie off the parts, in T, before ``expand``: half a limb and a margin."""
LAP = 1.2
"""Distance from a thigh, in half widths, up to which a dress may lie on it."""
FOLDED = 0.5
"""Cosine of the angle with the trunk below which a thigh does not hang from it."""
BUCKLE = 0.04
"""How near in T a belt lies to the garment that it holds."""
ASTRAY = 2.5
"""Distance from its own bones, in half widths, from which a protected speck is noise."""
HOMES: tuple[tuple[frozenset[Part], frozenset[Segment]], ...] = (
    (HEAD, frozenset({"head", "neck"})),
    (HANDS, frozenset({"hand"})),
    (SHOES | {Part.BAG, Part.OTHER_PERSON}, frozenset()),
)
"""Protected parts and their own bones; none where such a speck within a garment is always noise."""


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


class MaskShaper:
    """Shapes masks of one person; what they share is worked out once.

    Parameters
    ----------
    person
        The parsed person, on the working grid (H, W).
    expand
        Extra margin a side, in units of T, photo directions.
    """

    def __init__(self, person: Person, profile: Profile, expand: Expand) -> None:
        self._person, self._profile, self._expand = person, profile, expand

    @cached_property
    def _region(self) -> tuple[slice, slice]:
        return _surroundings(self._person, self._expand)

    @cached_property
    def _cut(self) -> Person:
        return _without_misplaced(self._person.cut(*self._region))

    @cached_property
    def _worn(self) -> tuple[BoolMask, BoolMask]:
        return _split(self._cut, self._profile)

    @cached_property
    def _corridor(self) -> BoolMask:
        return fitness.near_bones(self._cut)

    @cached_property
    def _protected(self) -> BoolMask:
        return where(self._cut.part_map, PROTECTED)

    def make(self, kind: MaskKind) -> Mask:
        """Shape one mask.

        Returns
        -------
        Mask
            (H, W) bool; never empty, never the whole frame.

        Raises
        ------
        UpperNotVisible, LegsNotVisible, LowConfidence
            The mask cannot be made honestly from what is in the photo.
        """
        fitness.check(self._person, kind.value)
        person, expand = self._cut, self._expand
        unit = person.torso
        rings = self._rings(kind)
        least = (SPECK if kind in SINGLE_PARTS else ISLAND) * unit**2
        grown = _grow(rings, self._profile, kind, unit, least)
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
        pixels |= holes(pixels, SPECK * unit**2)
        # Somebody else lies off this person's bones, and rightly so.
        own = rings.core & (person.part_map != Part.OTHER_PERSON)
        frame = np.zeros(self._person.part_map.shape, bool)
        frame[self._region] = pixels
        fitness.check_mask(person, own, frame, self._corridor)
        return Mask(kind, frame, float(person.confidence[own].mean()))

    def _rings(self, kind: MaskKind) -> _Rings:
        person, profile = self._cut, self._profile
        parts = person.part_map
        nothing = np.zeros(parts.shape, bool)
        if kind is MaskKind.PROTECT:
            return _Rings(self._protected, nothing, nothing)
        if kind in SINGLE_PARTS:
            core = where(parts, SINGLE_PARTS[kind])
            return _Rings(core, (parts != Part.BACKGROUND) & ~core, nothing)
        upper, lower = self._worn
        keep = self._protected
        if kind is MaskKind.UPPER:
            rings = _Rings(upper, keep | (lower & ~upper), _tubes(person, "arm"))
        elif kind is MaskKind.LOWER:
            kept = keep | (upper & ~lower) | person.above_hips
            rings = _Rings(lower, kept, _tubes(person, "thigh", "shin"))
        else:
            rings = _Rings(upper | lower, keep, _tubes(person, "arm", "thigh", "shin"))
        if profile is Profile.BOX:
            # A rectangle is what these models were trained on: only this is cut out of it.
            kept_parts = HEAD - {Part.HAIR} if kind is MaskKind.UPPER else HEAD | SHOES
            return _Rings(rings.core, where(parts, kept_parts | {Part.OTHER_PERSON}), rings.limbs)
        return rings


def _surroundings(person: Person, expand: Expand) -> tuple[slice, slice]:
    """Rows and columns that no mask of this person can leave: the work is done on these alone."""
    height, width = person.part_map.shape
    x, y, w, h = cv2.boundingRect(person.part_map)
    ends = [end for bone in person.bones for end in (bone.start, bone.end)]
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
            x, y, width, height = cv2.boundingRect((core | rings.limbs).view(np.uint8))
            box = np.zeros_like(core)
            box[y : y + height, x : x + width] = True
            return stretch(box, margin, margin, margin, margin)


def _split(person: Person, profile: Profile) -> tuple[BoolMask, BoolMask]:
    """Return what ``upper`` and ``lower`` repaint: shapes (H, W).

    A dress is split at the hips, but its sleeves are ``upper``'s and its lap ``lower``'s wherever
    they are. It is whole in both masks where the profile imitates models that do so, and whole in
    ``upper`` where no ``lower`` can be made.
    """
    parts, above = person.part_map, person.above_hips
    upper, lower = where(parts, UPPER_PARTS), where(parts, LOWER_PARTS)
    on_trousers, on_dress, elsewhere = _belts(person)
    upper |= elsewhere
    lower |= on_trousers
    dress = where(parts, {Part.DRESS}) | on_dress
    if dress.any() and not _allows_lower(person):
        upper |= dress
    elif dress.any():
        bodice = _bodice(person, dress, above)
        skirt = dress & ~bodice
        if profile in (Profile.HULL, Profile.BOX):
            _, pieces = cv2.connectedComponents(dress.view(np.uint8))
            both = np.intersect1d(pieces[bodice], pieces[skirt])
            whole = np.isin(pieces, both) & dress
            bodice, skirt = bodice | whole, skirt | whole
        upper |= bodice
        lower |= skirt
    if person.perhaps_lower is not None:
        # Old cloth that stays shows; a hem that is painted anew for nothing hardly does.
        lower |= person.perhaps_lower & ~above
    return upper, lower


def _allows_lower(person: Person) -> bool:
    try:
        fitness.check(person, MaskKind.LOWER.value)
    except (LegsNotVisible, LowConfidence):
        return False
    return True


def _bodice(person: Person, dress: BoolMask, above: BoolMask) -> BoolMask:
    """Return what of a dress is ``upper``'s: above the hips, or on an arm, but not on a lap.

    Of what seems a dress above the hips on a thigh, nearer to it than to trunk and arms, 38 % is
    labelled leg and 23 % torso on everyday photos. Only thighs that do not hang make a lap.
    """
    pixels = Points.from_mask(dress)
    bones = person.bones
    laps = [bone for bone in bones if bone.segment == "thigh" and _is_folded(person, bone)]
    on_arm, on_leg, on_trunk, on_lap = (
        anatomy.nearest(some, pixels.x, pixels.y, 2)[1]
        for some in (
            [bone for bone in bones if bone.segment == "arm"],
            [bone for bone in bones if bone.segment in ("thigh", "shin")],
            [bone for bone in bones if bone.segment == "torso"],
            laps,
        )
    )
    upper = np.take(above, pixels.index)
    upper |= (on_arm < 1) & (on_arm < on_leg)
    upper &= ~((on_lap < LAP) & (on_lap < on_trunk) & (on_lap < on_arm))
    bodice = np.zeros(dress.shape, bool)
    np.put(bodice, pixels.index, upper)
    return bodice


def _is_folded(person: Person, thigh: Bone) -> bool:
    neck, hip = person.skeleton.neck_base, person.skeleton.mid_hip
    if neck is None or hip is None:
        return False
    trunk, leg = np.subtract(hip, neck), np.subtract(thigh.end, thigh.start)
    return bool(trunk @ leg < FOLDED * np.hypot(*trunk) * np.hypot(*leg))


def _belts(person: Person) -> tuple[BoolMask, BoolMask, BoolMask]:
    """Return the belts on trousers or skirts, those on a dress, and all others: shapes (H, W)."""
    parts = person.part_map
    belt = where(parts, {Part.BELT})
    if not belt.any():
        return belt, belt, belt
    _, pieces = cv2.connectedComponents(belt.view(np.uint8))
    near = BUCKLE * person.torso
    on_trousers, on_dress = (
        belt & np.isin(pieces, pieces[grow(where(parts, worn), near) & belt])
        for worn in (BOTTOMS, {Part.DRESS})
    )
    return on_trousers, on_dress & ~on_trousers, belt & ~on_trousers & ~on_dress


def _without_misplaced(person: Person) -> Person:
    """Return the person with protected specks in garments, far from their own bones, relabelled.

    Each pixel of such a speck gets the part of the nearest pixel that is repainted.
    """
    parts = person.part_map
    worn = where(parts, UPPER_PARTS | LOWER_PARTS | {Part.DRESS, Part.BELT})
    inside = holes(worn, HOLE * person.torso**2)
    pixels = Points.from_mask(inside)
    label = np.take(parts, pixels.index)
    astray = np.zeros(len(label), bool)
    for group, segments in HOMES:
        home = [bone for bone in person.bones if bone.segment in segments]
        if segments and not home:
            continue
        chosen = where(label, group)
        some = pixels.select(chosen)
        astray[chosen] = anatomy.nearest(home, some.x, some.y, ASTRAY)[1] >= ASTRAY
    if not astray.any():
        return person
    # From a hole, what is worn is nearer than the far side of a box around all holes.
    x, y, width, height = cv2.boundingRect(inside.view(np.uint8))
    spot = slice(max(0, y - 1), y + height + 1), slice(max(0, x - 1), x + width + 1)
    _, nearest = cv2.distanceTransformWithLabels(
        (~worn[spot]).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    part_of = np.zeros(int(nearest.max()) + 1, np.uint8)
    part_of[nearest[worn[spot]]] = parts[spot][worn[spot]]
    specks = np.zeros(parts.shape, bool)
    np.put(specks, pixels.index[astray], True)
    relabelled = parts.copy()
    relabelled[specks] = part_of[nearest[specks[spot]]]
    return replace(person, part_map=relabelled)


def _tubes(person: Person, *segments: Segment) -> BoolMask:
    """Limbs as the skeleton has them, each where most of it lies on this person."""
    tubes = np.zeros(person.part_map.shape, bool)
    for bone in person.bones:
        if bone.segment in segments:
            spot, tube = anatomy.tube(bone, tubes.shape)
            if 2 * np.count_nonzero(tube & person.body[spot]) > np.count_nonzero(tube):
                tubes[spot] |= tube
    return tubes
