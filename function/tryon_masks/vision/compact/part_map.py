"""From the parser's class probabilities and a skeleton to the canonical part map.

The parser decides what a pixel is. The skeleton says which side of the body a limb belongs to, and
breaks ties: :data:`RULES` move a pixel only to a class that the parser gives at least
:attr:`Calibration.floor`.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from tryon_masks.domain import anatomy
from tryon_masks.domain.anatomy import Bone, Points, Segment
from tryon_masks.domain.parts import (
    ARMS,
    BOTTOMS,
    HANDS,
    LEGS,
    SHOES,
    TOPS,
    BoolMask,
    Part,
    PartMap,
    where,
)
from tryon_masks.domain.shapes import grow
from tryon_masks.domain.skeleton import SIDES, Skeleton
from tryon_masks.vision.compact.calibration import CALIBRATION, Calibration
from tryon_masks.vision.compact.classes import CLASSES, Class
from tryon_masks.vision.compact.garment_parser import MIXED, ClassProbabilities
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
"""The part that each class becomes; limbs are right ones until the skeleton tells their side."""
CLASS_OF = {part: cls for cls, part in PARTS.items()} | {
    Part.LEFT_ARM: Class.ARM,
    Part.LEFT_HAND: Class.HAND,
    Part.LEFT_LEG: Class.LEG,
    Part.LEFT_SHOE: Class.SHOE,
}
WORN_BELOW = (Class.DRESS, Class.SKIRT, Class.TROUSERS)
CLOTH = (*WORN_BELOW, Class.TOP, Class.OUTERWEAR, Class.SCARF)
OFF = 8.0
"""Distance in half widths from which all bones are equally far."""
FAINT = 1e-4
"""Least probability in a logarithm."""


@dataclass(frozen=True)
class Evidence:
    """What the rules weigh, on one grid (H, W)."""

    answer: ClassProbabilities
    skeleton: Skeleton
    unit: float
    bones: list[Bone]
    calibration: Calibration

    def bones_in(self, segments: AbstractSet[Segment]) -> list[Bone]:
        """Return the bones of these segments."""
        return [bone for bone in self.bones if bone.segment in segments]

    def log_odds(self, one: Class, other: Class, pixels: Points) -> Floats:
        """Return log(p(one) / p(other)) at N pixels: shape (N,)."""
        first, second = np.log(self.answer.at((one, other), pixels.x, pixels.y) + FAINT)
        return np.asarray(first - second)

    def move(self, parts: PartMap, pixels: Points, goals: PartMap) -> None:
        """Label N pixels as ``goals`` (N,), where the parser gives their classes the floor."""
        for goal in np.flatnonzero(np.bincount(goals)).tolist():
            some = pixels.select(goals == goal)
            (likely,) = self.answer.at((CLASS_OF[Part(goal)],), some.x, some.y)
            np.put(parts, some.index[likely >= self.calibration.floor], goal)


Rule = Callable[[PartMap, Evidence], None]


def compose(
    answer: ClassProbabilities,
    skeleton: Skeleton,
    outline: Floats,
    others: Floats,
    calibration: Calibration = CALIBRATION,
) -> tuple[PartMap, Floats]:
    """Label one person.

    Parameters
    ----------
    answer
        The parser's class probabilities, on a grid (H, W).
    skeleton
        The person's joints on the same grid.
    outline, others
        Probability of being this person, and of being somebody else: shape (H, W), float32.

    Returns
    -------
    tuple
        The part map (H, W) uint8, and the confidence (H, W) float32, 0 to 1: the probability that
        the parser gives the class that won; 1 where the person cannot be.

    Raises
    ------
    ValueError
        The skeleton has no body unit.
    """
    evidence = gather(answer, skeleton, calibration)
    parts, confidence = decide(evidence, outline, others)
    for rule in RULES:
        rule(parts, evidence)
    parts[(others > calibration.other_person) & (others > outline)] = Part.OTHER_PERSON
    return parts, confidence


def gather(
    answer: ClassProbabilities, skeleton: Skeleton, calibration: Calibration = CALIBRATION
) -> Evidence:
    """Return the evidence of one person.

    Raises
    ------
    ValueError
        The skeleton has no body unit.
    """
    unit = skeleton.torso
    if unit is None:
        raise ValueError("a skeleton without shoulders cannot be composed")
    return Evidence(answer, skeleton, unit, anatomy.bones(skeleton, unit), calibration)


def decide(evidence: Evidence, outline: Floats, others: Floats) -> tuple[PartMap, Floats]:
    """Return the parts that the parser sees, and their probabilities, before any rule."""
    own = outline >= 0.5
    parts, confidence = np.zeros(own.shape, np.uint8), np.ones(own.shape, np.float32)
    near = grow(own, evidence.calibration.near * evidence.unit)
    pixels = Points.from_mask(near)
    label_pixels(parts, confidence, pixels, evidence, limbs_of(evidence, own))
    _reach_for_cloth(parts, confidence, (own, near), others, evidence)
    return parts, confidence


def perhaps_lower(parts: PartMap, answer: ClassProbabilities) -> BoolMask:
    """Return where ``parts`` (H, W) has a top that may be a garment worn below."""
    tops = Points.from_mask(where(parts, TOPS))
    perhaps = np.zeros(parts.shape, bool)
    below = answer.at(WORN_BELOW, tops.x, tops.y).sum(0)
    np.put(perhaps, tops.index, below >= CALIBRATION.perhaps_lower)
    return perhaps


# What the parser sees


def limbs_of(evidence: Evidence, own: BoolMask) -> BoolMask:
    """Return the cores of arms, hands and legs, where the pose model has bones and person."""
    limbs = np.zeros(own.shape, bool)
    for bone in evidence.bones_in({"arm", "hand", "thigh", "shin"}):
        window, tube = anatomy.tube(bone, limbs.shape, evidence.calibration.limb_core)
        limbs[window] |= tube
    return limbs & own


def label_pixels(
    parts: PartMap, confidence: Floats, pixels: Points, evidence: Evidence, limbs: BoolMask
) -> None:
    """Give each pixel the class of the greatest weighted probability.

    Between four cells with the same winner nobody else can win: probabilities go from one cell to
    the next in straight lines.
    """
    answer, calibration = evidence.answer, evidence.calibration
    table = np.array([PARTS[cls] for cls in Class], np.uint8)
    on_limb = np.take(limbs, pixels.index)
    strongest = strongest_of(answer.cells, calibration)
    for least, chosen in ((calibration.nobody, ~on_limb), (calibration.nobody_on_limb, on_limb)):
        some = pixels.select(chosen)
        winners, likely = or_nobody(strongest, answer.cells[0], least, calibration)
        won = answer.agreed(winners, some.x, some.y)
        probability = answer.read(likely, some.x, some.y)
        mixed = won == MIXED
        rest = some.select(mixed)
        won[mixed], probability[mixed] = winners_of(
            answer.at(CLASSES, rest.x, rest.y), least, calibration
        )
        np.put(parts, some.index, table[won])
        np.put(confidence, some.index, probability)


def winners_of(
    probabilities: Floats, least: float, calibration: Calibration
) -> tuple[NDArray[np.uint8], Floats]:
    """Return the winning class of ``probabilities`` (20, ...), and its probability.

    The background wins where its probability is more than ``least``.
    """
    strongest = strongest_of(probabilities, calibration)
    return or_nobody(strongest, probabilities[0], least, calibration)


def strongest_of(
    probabilities: Floats, calibration: Calibration
) -> tuple[NDArray[np.uint8], Floats]:
    """Return the class of the greatest weighted probability but the background's, and the latter.

    ``probabilities`` are as for :func:`winners_of`. The background has it where nothing else is.
    """
    weights = _weights(calibration)
    label = np.zeros(probabilities.shape[1:], np.uint8)
    best = np.zeros(probabilities.shape[1:], np.float32)
    for cls in CLASSES[1:]:
        weighted = probabilities[cls] * weights[cls]
        # Numbers rise: of the classes that beat those before them, the last has the greatest.
        np.maximum(label, (weighted > best) * np.uint8(cls), out=label)
        np.maximum(best, weighted, out=best)
    return label, best


def or_nobody(
    strongest: tuple[NDArray[np.uint8], Floats],
    background: Floats,
    least: float,
    calibration: Calibration,
) -> tuple[NDArray[np.uint8], Floats]:
    """Return the winning class and its probability: :func:`strongest_of`, or the background."""
    label, best = strongest
    nobody = background > np.float32(least)
    return (
        np.where(nobody, np.uint8(0), label),
        np.where(nobody, background, best / _weights(calibration)[label]),
    )


def _weights(calibration: Calibration) -> Floats:
    return np.array([calibration.class_weights.get(cls, 1.0) for cls in CLASSES], np.float32)


def _reach_for_cloth(
    parts: PartMap,
    confidence: Floats,
    outlines: tuple[BoolMask, BoolMask],
    others: Floats,
    evidence: Evidence,
) -> None:
    """Label confident cloth beyond the pose model's outline, where it hangs on the person.

    ``outlines``: the pose model's, and all that is near it.
    """
    calibration, (own, near) = evidence.calibration, outlines
    possible = evidence.answer.may_reach(CLOTH, calibration.cloth, near.shape)
    beyond = Points.from_mask(grow(near, calibration.far * evidence.unit) & ~near & possible)
    sure = evidence.answer.at(CLOTH, beyond.x, beyond.y).sum(0) >= calibration.cloth
    cloth = beyond.select(sure)
    joined = where(parts, TOPS | BOTTOMS | {Part.DRESS, Part.SCARF})
    np.put(joined, cloth.index, True)
    joined &= others <= calibration.other_person
    count, pieces = cv2.connectedComponents(joined.astype(np.uint8))
    on_person = np.zeros(count, bool)
    on_person[pieces[joined & own]] = True
    held = cloth.select(on_person[np.take(pieces, cloth.index)])
    likely = evidence.answer.at(CLOTH, held.x, held.y)
    weights = _weights(calibration)[list(CLOTH)]
    won = (likely * weights[:, None]).argmax(0)
    np.put(parts, held.index, np.array([PARTS[cls] for cls in CLOTH], np.uint8)[won])
    np.put(confidence, held.index, np.take_along_axis(likely, won[None], 0)[0])


# Where the skeleton breaks ties


def face_or_neck(parts: PartMap, evidence: Evidence) -> None:
    """Part face from neck: the parser says it at the jaw itself, the skeleton away from it."""
    pixels = Points.from_mask(where(parts, {Part.FACE, Part.NECK}))
    over = anatomy.height_above_jaw(evidence.skeleton, pixels.x, pixels.y)
    if over is None:
        return
    odds = evidence.log_odds(Class.FACE, Class.NECK, pixels) + evidence.calibration.jaw * over
    evidence.move(parts, pixels, np.where(odds > 0, Part.FACE, Part.NECK).astype(np.uint8))


def arm_or_hand(parts: PartMap, evidence: Evidence) -> None:
    """Tell the sides of arms and hands, and part them: the parser says it at the wrist itself."""
    pixels = Points.from_mask(where(parts, ARMS | HANDS))
    hand = where(np.take(parts, pixels.index), HANDS)
    limb, _ = anatomy.nearest(evidence.bones_in({"arm", "hand"}), pixels.x, pixels.y)
    # A hand on the other arm is nearer to that arm's bones than to its own.
    palm, _ = anatomy.nearest(evidence.bones_in({"hand"}), pixels.x[hand], pixels.y[hand])
    limb[hand] = np.where(palm > 0, palm, limb[hand])
    left = where(limb, {Part.LEFT_ARM, Part.LEFT_HAND})
    for side in SIDES:
        own = left == (side == "left")
        some = pixels.select(own)
        to_arm, to_hand = (
            anatomy.nearest(
                [bone for bone in evidence.bones_in({segment}) if bone.side == side],
                some.x,
                some.y,
                OFF,
            )[1]
            for segment in ("arm", "hand")
        )
        odds = evidence.log_odds(Class.HAND, Class.ARM, some)
        nearer = evidence.calibration.wrist * (to_arm - to_hand)
        hand[own] = odds + nearer > 0
    _name_sides(parts, pixels, left)
    goals = np.where(hand, Part.RIGHT_HAND, Part.RIGHT_ARM)
    evidence.move(parts, pixels, _on_side(goals, left))


def leg_side(parts: PartMap, evidence: Evidence) -> None:
    """Tell the sides of legs and shoes."""
    pixels = Points.from_mask(where(parts, LEGS | SHOES))
    limb, _ = anatomy.nearest(evidence.bones_in({"thigh", "shin", "foot"}), pixels.x, pixels.y)
    _name_sides(parts, pixels, where(limb, {Part.LEFT_LEG, Part.LEFT_SHOE}))


RULES: tuple[Rule, ...] = (
    arm_or_hand,
    face_or_neck,
    leg_side,
)
"""In the order in which they are applied."""

_LEFT = {
    Part.RIGHT_ARM: Part.LEFT_ARM,
    Part.RIGHT_HAND: Part.LEFT_HAND,
    Part.RIGHT_LEG: Part.LEFT_LEG,
    Part.RIGHT_SHOE: Part.LEFT_SHOE,
}


def _name_sides(parts: PartMap, pixels: Points, left: BoolMask) -> None:
    """Move limbs to the side that they are of: left where ``left`` (N,) says so."""
    np.put(parts, pixels.index, _on_side(np.take(parts, pixels.index), left))


def _on_side(labels: NDArray[np.int_], left: BoolMask) -> PartMap:
    """Return ``labels`` (N,), right parts, with their left ones where ``left`` (N,) says so."""
    table = np.arange(256, dtype=np.uint8)
    for right, other in _LEFT.items():
        table[right] = other
    return np.where(left, table[labels], labels).astype(np.uint8)
