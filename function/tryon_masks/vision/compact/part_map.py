"""From the parser's classes and a skeleton to the canonical part map.

The parser says what a pixel is, the skeleton which side of the body it belongs to, and the pose
models whose body it is where people overlap.
"""

from __future__ import annotations

import math
from collections.abc import Set as AbstractSet

import cv2
import numpy as np
from numpy.typing import NDArray

from tryon_masks.domain import anatomy
from tryon_masks.domain.anatomy import Bone, Points, Segment
from tryon_masks.domain.parts import BOTTOMS, TOPS, BoolMask, Part, PartMap, where
from tryon_masks.domain.shapes import grow
from tryon_masks.domain.skeleton import SIDES, Skeleton
from tryon_masks.vision.compact.classes import CLASSES, Class
from tryon_masks.vision.compact.garment_parser import MIXED, Answer
from tryon_masks.vision.runtime import Floats

PARTS: dict[Class, Part] = {
    Class.BACKGROUND: Part.BACKGROUND,
    Class.HAT: Part.HAT,
    Class.HAIR: Part.HAIR,
    Class.EYEWEAR: Part.EYEWEAR,
    Class.FACE: Part.FACE,
    Class.NECK: Part.NECK,
    Class.TORSO_SKIN: Part.TORSO_SKIN,
    Class.ARM: Part.RIGHT_ARM,
    Class.HAND: Part.RIGHT_HAND,
    Class.LEG: Part.RIGHT_LEG,
    Class.TOP: Part.TOP,
    Class.OUTERWEAR: Part.OUTERWEAR,
    Class.DRESS: Part.DRESS,
    Class.SKIRT: Part.SKIRT,
    Class.TROUSERS: Part.TROUSERS,
    Class.BELT: Part.BELT,
    Class.LEGWEAR: Part.LEGWEAR,
    Class.SHOE: Part.RIGHT_SHOE,
    Class.BAG: Part.BAG,
    Class.SCARF: Part.SCARF,
}
LEFT = {Part.RIGHT_LEG: Part.LEFT_LEG, Part.RIGHT_SHOE: Part.LEFT_SHOE}
LIMB_BONES = 4
"""Bones of both arms, or of both legs."""
SKIN = frozenset({Part.RIGHT_ARM, Part.RIGHT_LEG})
RAISED = {
    Part.RIGHT_ARM: Part.RIGHT_LEG,
    Part.TOP: Part.TROUSERS,
    Part.OUTERWEAR: Part.TROUSERS,
    Part.DRESS: Part.SKIRT,
    Part.BAG: Part.TROUSERS,
}
SUNK = {
    Part.RIGHT_LEG: Part.RIGHT_ARM,
    Part.TROUSERS: Part.TOP,
    Part.SKIRT: Part.TOP,
}
"""What a slip of the parser should have been."""
STRAYS: tuple[tuple[frozenset[Part], frozenset[Segment], frozenset[Segment]], ...] = (
    (
        frozenset({Part.FACE, Part.NECK, Part.EYEWEAR}),
        frozenset({"head", "neck"}),
        frozenset({"arm", "hand", "thigh", "shin", "foot"}),
    ),
    (
        frozenset({Part.RIGHT_ARM, Part.RIGHT_HAND}),
        frozenset({"arm", "hand"}),
        frozenset({"foot"}),
    ),
    (
        frozenset({Part.RIGHT_SHOE}),
        frozenset({"shin", "foot"}),
        frozenset({"arm", "hand"}),
    ),
)
"""What is seen where its own bones are not, and the bones on which it is what they are."""
COVERS = frozenset({Part.TROUSERS, Part.LEGWEAR})
"""What on a foot is the shoe, unless the parser is sure of a stocking; on folded legs, so is other
cloth."""
CLOTH = TOPS | {Part.DRESS, Part.SKIRT, Part.TROUSERS}
"""What cannot lie on the head, where it is the hair, nor on a hand that is held away."""

NOBODY = 0.43
NO_LIMB = 0.95
"""Probability of the background from which it is that, off the limbs and on them. What is left goes
to the classes by weight: these move the borders between them, and not the outline."""
SLIM = 0.7
"""How much of a limb's width is surely that limb."""
LEANING = {
    Class.HAIR: 2.6,
    Class.FACE: 5.5,
    Class.NECK: 15.0,
    Class.ARM: 2.9,
    Class.HAND: 2.5,
    Class.LEG: 7.5,
    Class.TOP: 1.6,
    Class.OUTERWEAR: 1.6,
    Class.DRESS: 2.0,
    Class.SKIRT: 1.3,
    Class.TROUSERS: 1.15,
    Class.SHOE: 1.5,
    Class.BAG: 0.4,
}
"""Weights of the other classes, 1 where nothing is said: a slip does not cost a mask the same both
ways. A sliver of skin between hem and shoe, for one, is repainted rather than kept."""
REACH = 0.06
"""How far the person may reach beyond the pose model's outline, in T."""
SHADOW = 5.5
"""How many times likelier than skin hair on the throat must be."""
STEEP = 45.0
"""How fast the log odds of face against neck rise with the height over the jaw, in distances from
eyes to mouth."""
FAINT = 1e-4
"""The least probability that says anything, there."""
ANKLE = (-0.12, -0.07, 0.0, 0.1), (1.0, 7.0, 7.0, 1.0)
"""Heights above the ankle, in T, and the weight of skin against shoe there: a strip between hem and
shoe is sooner skin than anything else that may be either."""
EITHER = 0.3
"""The least probability of the two together from which one of them is meant."""
SHOD = 6.0
"""How many times likelier than a shoe a stocking on a foot must be."""
FOLDED: dict[Segment, float] = {"thigh": 0.5, "shin": -0.5}
"""Cosines of the angle with the trunk below which a leg does not hang from it."""
WAIST = 0.2
"""How far above the hips a garment of the lower body begins at the least, in T."""
ON = 1.5
CLEAR = 1.3
ASTRAY = 2.5
CROWN = 1.3
SPILT = 3.0
"""Distances from a bone, in its half widths: up to which cloth may be a limb's, from which it
cannot be, from which skin cannot, up to which cloth is not the head's, and up to which it is not
cloth at the feet of folded legs."""
DOUBT = 0.25
"""Probability from which what seems a top may be a garment of the lower body."""
LOWER = (Class.DRESS, Class.SKIRT, Class.TROUSERS)
OWN = 0.5
"""Probability from which the pose model's outline of somebody else is believed."""


def compose(
    answer: Answer, skeleton: Skeleton, outline: Floats, others: Floats
) -> tuple[PartMap, NDArray[np.float32]]:
    """Label one person.

    Parameters
    ----------
    answer
        What the parser says, on a grid (H, W).
    skeleton
        The person's joints on the same grid.
    outline, others
        Probability of being this person, and of being somebody else: shape (H, W), float32.

    Returns
    -------
    tuple
        The part map (H, W) uint8, and the confidence (H, W) float32, 0 to 1, of its labels; 1
        where the person cannot be.

    Raises
    ------
    ValueError
        The skeleton has no body unit.
    """
    unit = skeleton.torso
    if unit is None:
        raise ValueError("a skeleton without shoulders cannot be composed")
    bones = anatomy.bones(skeleton, unit)
    own = outline >= OWN
    parts, sure = np.zeros(own.shape, np.uint8), np.ones(own.shape, np.float32)
    spots = Points.of(grow(own, REACH * unit))
    label, share = _likeliest(answer, spots, np.take(_limbs(bones, own), spots.index))
    np.put(parts, spots.index, np.array([PARTS[cls] for cls in Class], np.uint8)[label])
    np.put(sure, spots.index, share)
    _bring_back_strays(parts, bones)
    folded = any(_folded(skeleton, bone) for bone in _of(bones, FOLDED.keys()))
    _by_the_bones(parts, bones, folded=folded)
    if not folded:
        _raise_pieces(parts, skeleton, WAIST * unit)
    _bare_the_throat(parts, answer, bones)
    _part_at_the_wrist(parts, bones)
    _part_at_the_jaw(parts, answer, skeleton)
    _part_legs_and_feet(parts, answer, bones, unit, folded=folded)
    parts[(others > OWN) & (others > outline)] = Part.OTHER_PERSON
    return parts, sure


def perhaps_lower(parts: PartMap, answer: Answer) -> BoolMask:
    """Where ``parts`` (H, W) has a top that, by the parser's ``answer``, may be worn below."""
    tops = Points.of(where(parts, TOPS))
    perhaps = np.zeros(parts.shape, bool)
    np.put(perhaps, tops.index, answer.at(LOWER, tops.x, tops.y).sum(0) >= DOUBT)
    return perhaps


def _limbs(bones: list[Bone], own: BoolMask) -> BoolMask:
    """Arms, hands and legs, where the pose model has both their bones and the person."""
    limbs = np.zeros(own.shape, bool)
    for bone in _of(bones, {"arm", "hand", "thigh", "shin"}):
        spot, tube = anatomy.tube(bone, limbs.shape, SLIM)
        limbs[spot] |= tube
    return limbs & own


def _likeliest(answer: Answer, spots: Points, limbs: BoolMask) -> tuple[NDArray[np.uint8], Floats]:
    """Classes (N,) uint8 of the greatest weighted share, and their shares (N,) without the weight.

    Between four cells with the same winner nobody else can win: shares go from one to the next in
    straight lines.
    """
    label, sure = np.zeros(len(limbs), np.uint8), np.zeros(len(limbs), np.float32)
    for least, on in ((NOBODY, ~limbs), (NO_LIMB, limbs)):
        some = spots.only(on)
        winners, shares = _winners(answer.cells, least)
        won, share = answer.agreed(winners, some.x, some.y), answer.read(shares, some.x, some.y)
        mixed = won == MIXED
        rest = some.only(mixed)
        won[mixed], share[mixed] = _winners(answer.at(CLASSES, rest.x, rest.y), least)
        label[on], sure[on] = won, share
    return label, sure


def _winners(shares: Floats, least: float) -> tuple[NDArray[np.uint8], Floats]:
    """Along the first axis of ``shares`` (20, ...): the winning class, and its share.

    That is the background where its share is more than ``least``.
    """
    weights = np.array([LEANING.get(cls, 1.0) for cls in CLASSES], np.float32)
    nobody = shares[0] > np.float32(least)
    label = np.zeros(nobody.shape, np.uint8)
    best = np.where(nobody, np.float32(np.inf), np.float32(0))
    for cls in CLASSES[1:]:
        weighted = shares[cls] * weights[cls]
        # Numbers rise: of the classes that beat those before them, the last has the greatest.
        np.maximum(label, (weighted > best) * np.uint8(cls), out=label)
        np.maximum(best, weighted, out=best)
    return label, np.where(nobody, shares[0], best / weights[label])


def _bring_back_strays(parts: PartMap, bones: list[Bone]) -> None:
    """A foot is no face, whatever the parser says, and cloth lies on no head and on no hand."""
    for strays, own, limbs in STRAYS:
        home = _of(bones, own)
        if home:
            spots = Points.of(where(parts, strays))
            spots, limb, _ = _near(_of(bones, limbs), spots, 1)
            _take_back(parts, spots, limb, home)
    spots = Points.of(where(parts, CLOTH))
    head, _ = anatomy.nearest(_of(bones, {"head"}), spots.x, spots.y, CROWN)
    on_head = head != Part.BACKGROUND
    np.put(parts, spots.index[on_head], Part.HAIR)
    hands, arms = _of(bones, {"hand"}), _of(bones, {"arm"})
    spots, limb = _on(hands, arms, spots.only(~on_head), 1)
    _take_back(parts, spots, limb, _of(bones, {"torso", "thigh"}))


def _near(
    bones: list[Bone], spots: Points, reach: float = math.inf
) -> tuple[Points, PartMap, Floats]:
    """What of ``spots`` is nearer than ``reach`` to a bone; whose limb's, and how near: (N,)."""
    limb, near = anatomy.nearest(bones, spots.x, spots.y, reach)
    on = limb != Part.BACKGROUND
    return spots.only(on), limb[on], near[on]


def _on(
    bones: list[Bone], others: list[Bone], spots: Points, reach: float
) -> tuple[Points, PartMap]:
    """What of ``spots`` lies on ``bones``, nearer than to ``others``; and on whose limb (N,)."""
    spots, limb, near = _near(bones, spots, reach)
    nearer = near < anatomy.nearest(others, spots.x, spots.y)[1]
    return spots.only(nearer), limb[nearer]


def _take_back(parts: PartMap, spots: Points, limb: PartMap, home: list[Bone]) -> None:
    """What lies on a ``limb``, and far from all bones that are ``home`` to it, is that limb's."""
    _, far = anatomy.nearest(home, spots.x, spots.y)
    astray = far > ASTRAY
    np.put(parts, spots.index[astray], limb[astray])


def _by_the_bones(parts: PartMap, bones: list[Bone], *, folded: bool) -> None:
    """Skin on a limb and clear of the others is that limb's; on folded legs, so is cloth.

    Elsewhere a coat or a shirt may hang over the thighs. Where some of the others' bones are lost,
    nothing is clear of them; where all are, everything is.
    """
    legs = _of(bones, {"thigh", "shin"})
    arms = _of(bones, {"arm"})
    trunk = _of(bones, {"torso"})
    for slips, own, other, reach, clear in (
        (RAISED, legs, trunk, ON, arms),
        (SUNK, trunk, legs, 1.0, arms),
        (SUNK, arms, legs, 1.0, legs),
    ):
        if 0 < len(clear) < LIMB_BONES:
            continue
        spots = Points.of(where(parts, {part for part in slips if folded or part in SKIN}))
        spots, _, near = _near(own, spots, reach)
        far, off = (anatomy.nearest(bones, spots.x, spots.y)[1] for bones in (other, clear))
        spots = spots.only((near < far) & (off > CLEAR))
        label = np.take(parts, spots.index)
        for part, meant in slips.items():
            np.put(parts, spots.index[label == part], meant)


def _folded(skeleton: Skeleton, bone: Bone) -> bool:
    neck, hip = skeleton.neck_base, skeleton.mid_hip
    if neck is None or hip is None:
        return False
    trunk, leg = np.subtract(hip, neck), np.subtract(bone.end, bone.start)
    return bool(trunk @ leg < FOLDED[bone.segment] * np.hypot(*trunk) * np.hypot(*leg))


def _raise_pieces(parts: PartMap, skeleton: Skeleton, waist: float) -> None:
    """A skirt or trousers of which nothing reaches down to ``waist`` above the hips is a top."""
    axis = anatomy.axis(skeleton)
    if axis is None:
        return
    spots = Points.of(where(parts, BOTTOMS))
    height = axis.height(spots.x, spots.y)
    above = height > 0
    spots, height = spots.only(above), height[above]
    worn = np.zeros(parts.shape, np.uint8)
    np.put(worn, spots.index, 1)
    count, pieces = cv2.connectedComponents(worn)
    piece = np.take(pieces, spots.index)
    reaches = np.zeros(count, bool)
    reaches[piece[height < waist]] = True
    np.put(parts, spots.index[~reaches[piece]], Part.TOP)


def _bare_the_throat(parts: PartMap, answer: Answer, bones: list[Bone]) -> None:
    """On the throat, shadows and beards look like hair."""
    spots = Points.of(parts == Part.HAIR)
    spots, _, _ = _near(_of(bones, {"neck"}), spots, 1)
    neck, face, hair = answer.at((Class.NECK, Class.FACE, Class.HAIR), spots.x, spots.y)
    np.put(parts, spots.index[SHADOW * (neck + face) > hair], Part.NECK)


def _part_at_the_wrist(parts: PartMap, bones: list[Bone]) -> None:
    """Skin of arms and hands goes to the bone that it lies on; a hand never to the other arm."""
    hand, arm = Points.of(parts == Part.RIGHT_HAND), Points.of(parts == Part.RIGHT_ARM)
    _relabel(parts, arm, _of(bones, {"arm", "hand"}))
    whose, _ = anatomy.nearest(_of(bones, {"hand"}), hand.x, hand.y)
    for own in SIDES:
        along = [bone for bone in bones if bone.side == own]
        nearer = hand.only(whose == anatomy.LIMBS["hand", own])
        _relabel(parts, nearer, _of(along, {"arm", "hand"}))


def _relabel(parts: PartMap, spots: Points, limbs: list[Bone]) -> None:
    spots, limb, _ = _near(limbs, spots)
    np.put(parts, spots.index, limb)


def _part_at_the_jaw(parts: PartMap, answer: Answer, skeleton: Skeleton) -> None:
    """Face or neck: the parser says it at the jaw itself, the skeleton away from it."""
    head = Points.of(where(parts, {Part.FACE, Part.NECK}))
    over = anatomy.over_jaw(skeleton, head.x, head.y)
    if over is not None:
        face, neck = np.log(answer.at((Class.FACE, Class.NECK), head.x, head.y) + FAINT)
        np.put(parts, head.index, np.where(STEEP * over + face > neck, Part.FACE, Part.NECK))


def _part_legs_and_feet(
    parts: PartMap, answer: Answer, bones: list[Bone], unit: float, *, folded: bool
) -> None:
    """Left and right; skin or shoe; and shoes, where what cannot lie on a foot seems to."""
    legs = _of(bones, {"thigh", "shin", "foot"})
    spots = Points.of(where(parts, set(LEFT)))
    limb, _ = anatomy.nearest(legs, spots.x, spots.y)
    left = where(limb, {Part.LEFT_LEG, Part.LEFT_SHOE})
    label = np.take(parts, spots.index)
    skin, shoe = answer.at((Class.LEG, Class.SHOE), spots.x, spots.y)
    either = skin + shoe > EITHER
    for shin in _of(bones, {"shin"}):
        own = either & (left == (shin.side == "left"))
        weight = np.interp(shin.before_end(spots.x[own], spots.y[own]) / unit, *ANKLE)
        bare = weight * skin[own] > shoe[own]
        label[own] = np.where(bare, Part.RIGHT_LEG, Part.RIGHT_SHOE)
    for right, other in LEFT.items():
        label[left & (label == right)] = other
    np.put(parts, spots.index, label)
    worn = Points.of(parts == Part.LEGWEAR)
    stocking = np.zeros(parts.shape, bool)
    legwear, shoe = answer.at((Class.LEGWEAR, Class.SHOE), worn.x, worn.y)
    np.put(stocking, worn.index, legwear > SHOD * shoe)
    feet = _of(bones, {"foot"})
    reaches = {COVERS: 1.0, CLOTH - COVERS: SPILT} if folded else {COVERS: 1.0}
    for covers, reach in reaches.items():
        spots = Points.of(where(parts, covers) & ~stocking)
        spots, limb = _on(feet, _of(bones, {"thigh", "shin"}), spots, reach)
        np.put(parts, spots.index, limb)


def _of(bones: list[Bone], segments: AbstractSet[Segment]) -> list[Bone]:
    return [bone for bone in bones if bone.segment in segments]
