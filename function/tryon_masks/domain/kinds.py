"""The kinds of masks, and the parts that each is made of."""

from __future__ import annotations

from enum import StrEnum

from tryon_masks.domain.parts import ARMS, BOTTOMS, HANDS, LEGS, PROTECTED, SHOES, TOPS, Part


class MaskKind(StrEnum):
    """What to repaint."""

    UPPER = "upper"
    LOWER = "lower"
    FULL = "full"
    FACE = "face"
    ARMS = "arms"
    LEGS = "legs"
    HANDS = "hands"
    FEET = "feet"
    HAIR = "hair"
    PROTECT = "protect"


UPPER_PARTS = TOPS | ARMS | {Part.NECK, Part.TORSO_SKIN, Part.SCARF}
LOWER_PARTS = BOTTOMS | LEGS | {Part.LEGWEAR}
BY_HEIGHT = frozenset({Part.DRESS, Part.BELT})
"""Upper above the hips, lower below."""
SINGLE_PARTS: dict[MaskKind, frozenset[Part]] = {
    MaskKind.FACE: frozenset({Part.FACE, Part.EYEWEAR}),
    MaskKind.ARMS: ARMS,
    MaskKind.LEGS: LEGS | {Part.LEGWEAR},
    MaskKind.HANDS: HANDS,
    MaskKind.FEET: SHOES,
    MaskKind.HAIR: frozenset({Part.HAIR}),
    MaskKind.PROTECT: PROTECTED,
}
