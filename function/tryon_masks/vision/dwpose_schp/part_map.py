"""ATR, LIP and 133 points of one person become the canonical part map.

ATR draws the map; LIP adds what ATR has no class for: coats, jumpsuits, socks, gloves, and where
the face ends and the neck begins. Fingers, jaw and feet of the pose part hand from arm, neck from
face, and bare foot from leg. Lengths are in units of the torso length T.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntFlag
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from tryon_masks.domain import anatomy
from tryon_masks.domain.parts import ARMS, LEGS, SHOES, BoolMask, Part, PartMap, where
from tryon_masks.domain.shapes import grow, holes
from tryon_masks.domain.skeleton import SIDES, Side, Skeleton
from tryon_masks.vision.dwpose_schp.dwpose import HANDS, JAW, WholeBody
from tryon_masks.vision.dwpose_schp.schp import Atr, LabelMap, Lip
from tryon_masks.vision.runtime import Floats

FLESH = 0.06
"""How far a hand reaches beyond the joints of its fingers."""
FEWEST_FINGER_POINTS = 4
"""Points of the fingers from which their hull is a hand."""
HAND = 0.4
"""How far a hand whose fingers are not seen reaches beyond the wrist."""
CHEEK = 0.5
"""Height over the chin, as a share of the jaw's, from which nothing is neck."""
DISPUTED = 0.5
"""Confidence where ATR and LIP see different things."""

HOLE = 2000 / (384 * 512)
"""Largest hole that OOTDiffusion fills in a top, as a share of the photo, which it squashes to
384 x 512 pixels first."""

PARTS = {
    Atr.BACKGROUND: Part.BACKGROUND,
    Atr.HAT: Part.HAT,
    Atr.HAIR: Part.HAIR,
    Atr.SUNGLASSES: Part.EYEWEAR,
    Atr.UPPER_CLOTHES: Part.TOP,
    Atr.SKIRT: Part.SKIRT,
    Atr.PANTS: Part.TROUSERS,
    Atr.DRESS: Part.DRESS,
    Atr.BELT: Part.BELT,
    Atr.LEFT_SHOE: Part.LEFT_SHOE,
    Atr.RIGHT_SHOE: Part.RIGHT_SHOE,
    Atr.FACE: Part.FACE,
    Atr.LEFT_LEG: Part.LEFT_LEG,
    Atr.RIGHT_LEG: Part.RIGHT_LEG,
    Atr.LEFT_ARM: Part.LEFT_ARM,
    Atr.RIGHT_ARM: Part.RIGHT_ARM,
    Atr.BAG: Part.BAG,
    Atr.SCARF: Part.SCARF,
}

FINER = {
    Lip.COAT: (Part.OUTERWEAR, {Part.TOP, Part.DRESS, Part.SKIRT, Part.SCARF}),
    Lip.JUMPSUITS: (Part.DRESS, {Part.TOP, Part.SKIRT, Part.TROUSERS}),
    Lip.SOCKS: (Part.LEGWEAR, {Part.LEFT_LEG, Part.RIGHT_LEG, Part.TROUSERS}),
    Lip.GLOVE: (
        Part.GLOVE,
        {Part.LEFT_ARM, Part.RIGHT_ARM, Part.TOP, Part.BAG, Part.BACKGROUND},
    ),
}
"""What LIP's class means, and which of ATR's parts it may replace."""


class Family(IntFlag):
    """What a class may be taken for. Two classes agree when they share a family."""

    NOTHING = 1
    HEAD = 2
    UPPER = 4
    LOWER = 8
    ARM = 16
    LEG = 32
    SHOE = 64
    ANY = 127


ATR_FAMILIES = {
    Atr.BACKGROUND: Family.NOTHING,
    Atr.HAT: Family.HEAD,
    Atr.HAIR: Family.HEAD,
    Atr.SUNGLASSES: Family.HEAD,
    Atr.UPPER_CLOTHES: Family.UPPER,
    Atr.SKIRT: Family.LOWER,
    Atr.PANTS: Family.LOWER,
    Atr.DRESS: Family.UPPER | Family.LOWER,
    Atr.BELT: Family.UPPER | Family.LOWER,
    Atr.LEFT_SHOE: Family.SHOE,
    Atr.RIGHT_SHOE: Family.SHOE,
    Atr.FACE: Family.HEAD,
    Atr.LEFT_LEG: Family.LEG,
    Atr.RIGHT_LEG: Family.LEG,
    Atr.LEFT_ARM: Family.ARM,
    Atr.RIGHT_ARM: Family.ARM,
    Atr.BAG: Family.ANY,  # LIP has no bags
    Atr.SCARF: Family.UPPER,
}
LIP_FAMILIES = {
    Lip.BACKGROUND: Family.NOTHING,
    Lip.HAT: Family.HEAD,
    Lip.HAIR: Family.HEAD,
    Lip.GLOVE: Family.ARM | Family.UPPER,
    Lip.SUNGLASSES: Family.HEAD,
    Lip.UPPER_CLOTHES: Family.UPPER,
    Lip.DRESS: Family.UPPER | Family.LOWER,
    Lip.COAT: Family.UPPER | Family.LOWER,
    Lip.SOCKS: Family.LEG | Family.LOWER | Family.SHOE,
    Lip.PANTS: Family.LOWER,
    Lip.JUMPSUITS: Family.UPPER | Family.LOWER,
    Lip.SCARF: Family.UPPER,
    Lip.SKIRT: Family.LOWER,
    Lip.FACE: Family.HEAD,
    Lip.LEFT_ARM: Family.ARM,
    Lip.RIGHT_ARM: Family.ARM,
    Lip.LEFT_LEG: Family.LEG,
    Lip.RIGHT_LEG: Family.LEG,
    Lip.LEFT_SHOE: Family.SHOE,
    Lip.RIGHT_SHOE: Family.SHOE,
}

Label = TypeVar("Label", Atr, Lip)


def _table(values: Mapping[Label, Part] | Mapping[Label, Family]) -> NDArray[np.uint8]:
    return np.array([int(values[label]) for label in sorted(values)], np.uint8)


_PARTS = _table(PARTS)
_AGREE = (_table(ATR_FAMILIES)[:, None] & _table(LIP_FAMILIES)[None, :]) != 0


def fuse(
    atr: LabelMap, lip: LabelMap | None, body: WholeBody, unit: float
) -> tuple[PartMap, Floats]:
    """Label one person.

    Parameters
    ----------
    atr, lip
        Both (H, W). Without ``lip`` coats are tops, jumpsuits whatever ATR sees in them, and the
        jaw alone parts neck from face.
    body
        On the same grid.
    unit
        The torso length T in pixels.

    Returns
    -------
    tuple
        The part map (H, W) uint8, and the confidence (H, W) float32, 0 to 1, of its labels.
    """
    parts: PartMap = _PARTS[atr]
    confidence = np.ones(parts.shape, np.float32)
    skin_of_head = atr == Atr.FACE
    if lip is not None:
        for label, (part, over) in FINER.items():
            parts[(lip == label) & where(parts, over)] = part
        skin_of_head &= lip != Lip.FACE
        confidence[~_AGREE[atr, lip]] = DISPUTED
    neck = _part_neck(parts, skin_of_head, body)
    confidence[neck] = 1.0  # LIP has no class for it, so it cannot agree
    _part_hands(parts, body, unit)
    _part_feet(parts, body.skeleton, unit)
    return parts, confidence


def without_holes(atr: LabelMap) -> LabelMap:
    """Return the labels with holes in the top filled, as OOTDiffusion fills them.

    A hole is what upper clothes and arms enclose: a print that was taken for skin, or the wall
    between arm and trunk. It becomes upper clothes where it has no more than :data:`HOLE` of the
    photo. Arms stay arms.

    Parameters
    ----------
    atr
        The labels (H, W) of a whole photo.
    """
    arms = np.isin(atr, (Atr.LEFT_ARM, Atr.RIGHT_ARM))
    enclosed = holes((atr == Atr.UPPER_CLOTHES) | arms, HOLE * atr.size)
    return np.where(enclosed & ~arms, np.uint8(Atr.UPPER_CLOTHES), atr)


def _part_neck(parts: PartMap, skin: BoolMask, body: WholeBody) -> BoolMask:
    """Label skin below the jaw as neck, and below the shoulders as the torso's; return both."""
    neck = skin & ~_above_jaw(body, parts.shape)
    parts[neck] = Part.NECK
    axis, shoulders = anatomy.axis(body.skeleton), body.skeleton.neck_base
    if axis is not None and shoulders is not None:
        up, hip = np.array(axis.up), np.array(axis.hip)
        collar = float(up @ (np.array(shoulders) - hip))
        parts[neck & (axis.height(*anatomy.grid(parts.shape)) < collar)] = Part.TORSO_SKIN
    return neck


def _above_jaw(body: WholeBody, shape: tuple[int, ...]) -> BoolMask:
    """Return where the jaw's contour or what lies beside it is; see :func:`anatomy.above_jaw`."""
    size = (shape[0], shape[1])
    jaw = body.seen(JAW)
    if len(jaw) < JAW.stop - JAW.start:
        return anatomy.above_jaw(body.skeleton, size)
    chin = jaw[len(jaw) // 2]
    rise = (jaw[0] + jaw[-1]) / 2 - chin
    height = float(np.hypot(*rise))
    canvas = np.zeros(size, np.uint8)
    face = np.concatenate([jaw, [jaw[-1] + rise, jaw[0] + rise]])
    cv2.fillPoly(canvas, [np.round(face).astype(np.int32)], 1)
    up = (float(rise[0]) / height, float(rise[1]) / height) if height > 0 else (0.0, -1.0)
    axis = anatomy.Axis((float(chin[0]), float(chin[1])), up)
    beside = axis.height(*anatomy.grid(size)) > CHEEK * height
    return canvas.astype(bool) | beside


def _part_hands(parts: PartMap, body: WholeBody, unit: float) -> None:
    """Label an arm's skin about the fingers as hand; without fingers, all beyond the wrist."""
    arms = where(parts, ARMS)
    for side, hand in zip(SIDES, (Part.LEFT_HAND, Part.RIGHT_HAND), strict=True):
        parts[arms & _hand(body, side, _size(parts), unit)] = hand


def _hand(body: WholeBody, side: Side, shape: tuple[int, int], unit: float) -> BoolMask:
    canvas = np.zeros(shape, np.uint8)
    wrist_and_fingers = HANDS[side]
    fingers = body.seen(slice(wrist_and_fingers.start + 1, wrist_and_fingers.stop))
    if len(fingers) >= FEWEST_FINGER_POINTS:
        hull = cv2.convexHull(np.round(fingers).astype(np.int32))
        cv2.fillConvexPoly(canvas, hull, 1)
        return grow(canvas.astype(bool), FLESH * unit)
    elbow, wrist = body.skeleton.get(f"{side}_elbow"), body.skeleton.get(f"{side}_wrist")
    if elbow is None or wrist is None or elbow == wrist:
        return canvas.astype(bool)
    length = float(np.hypot(wrist[0] - elbow[0], wrist[1] - elbow[1]))
    outward = ((wrist[0] - elbow[0]) / length, (wrist[1] - elbow[1]) / length)
    beyond = anatomy.Axis(wrist, outward).height(*anatomy.grid(shape))
    aside = anatomy.Axis(wrist, (-outward[1], outward[0])).height(*anatomy.grid(shape))
    return np.asarray((beyond > 0) & (np.hypot(beyond, aside) < HAND * unit))


def _part_feet(parts: PartMap, skeleton: Skeleton, unit: float) -> None:
    """Label a bare foot as its shoe: both are kept."""
    bare = anatomy.Points.from_mask(where(parts, LEGS))
    legs = [
        bone for bone in anatomy.bones(skeleton, unit) if bone.segment in {"thigh", "shin", "foot"}
    ]
    limb, _ = anatomy.nearest(legs, bare.x, bare.y)
    on_foot = where(limb, SHOES)
    np.put(parts, bare.index[on_foot], limb[on_foot])


def _size(parts: PartMap) -> tuple[int, int]:
    return parts.shape[0], parts.shape[1]
