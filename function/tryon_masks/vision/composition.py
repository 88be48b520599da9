"""From soft segmentations and a skeleton to the canonical part map.

Who is trusted for what, as measured on labelled street photos: the cloth model for the outline of
garments, the selfie model for hair and skin, the pose model for the outline of the person and for
which limb a patch of skin belongs to.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from tryon_masks.domain import anatomy
from tryon_masks.domain.anatomy import Bone
from tryon_masks.domain.parts import BoolMask, Part, PartMap
from tryon_masks.domain.shapes import grow, without_specks
from tryon_masks.domain.skeleton import Skeleton
from tryon_masks.vision import cloth, selfie
from tryon_masks.vision.runtime import Floats

LIMBS: dict[tuple[str, str | None], Part] = {
    ("head", None): Part.FACE,
    ("neck", None): Part.NECK,
    ("torso", None): Part.TORSO_SKIN,
    ("arm", "left"): Part.LEFT_ARM,
    ("arm", "right"): Part.RIGHT_ARM,
    ("hand", "left"): Part.LEFT_HAND,
    ("hand", "right"): Part.RIGHT_HAND,
    ("thigh", "left"): Part.LEFT_LEG,
    ("thigh", "right"): Part.RIGHT_LEG,
    ("shin", "left"): Part.LEFT_LEG,
    ("shin", "right"): Part.RIGHT_LEG,
    ("foot", "left"): Part.LEFT_SHOE,
    ("foot", "right"): Part.RIGHT_SHOE,
}
"""A bare foot counts as its shoe: both are kept."""

FAINT = 0.2
"""A garment this faint still counts where nothing else but clothes is seen."""
SKIN_BIAS = 2.5
"""On a limb, what the cloth model leaves out is skin before it is a thing carried."""
THROAT_BIAS = 6.0
"""The same for hair on the throat, where the selfie model sees beards and shadows as hair."""
CHEST = 0.35
"""Height above the hips, in T, from which only what is worn on the upper body is seen."""
CALF = -1.3
"""Height of the lower calves: no coat is longer, a jumpsuit is."""
KNEE = -0.6
"""Height of the knees above the hips, in T: no boot is higher."""
SHARE = 0.06
"""Share of the garments of a region from which a second garment in it is believed."""
BEHIND = {"torso": 1.4, "thigh": 1.8}
"""Arms and hands lie before torso and thighs: where both are near, these count as further away."""
TRINKET = 0.03
"""Area in T squared up to which a thing on the upper body is repainted with it (a necklace)."""
REACH = 0.35
"""How far, in T, cloth and hair may lie outside the pose model's outline."""


@dataclass(frozen=True)
class Evidence:
    """What the models say of one person, all on the photo's working grid.

    ``selfie`` (H, W, 6) and ``cloth`` (H, W, 4): probabilities; ``outline`` (H, W): probability of
    being this person; ``others`` (H, W): bool, pixels that belong to somebody else.
    """

    selfie: Floats
    cloth: Floats
    outline: Floats
    others: BoolMask


def compose(skeleton: Skeleton, evidence: Evidence) -> tuple[PartMap, NDArray[np.float32]]:
    """The part map (H, W) uint8 and the confidence (H, W) float32 of its labels.

    Raises
    ------
    ValueError
        The skeleton has no body unit.
    """
    unit, axis = skeleton.torso, anatomy.axis(skeleton)
    if unit is None or axis is None:
        raise ValueError("a skeleton without shoulders cannot be composed")
    shape = evidence.outline.shape
    soft, garb = evidence.selfie, evidence.cloth
    height: Floats = axis.height(shape) / np.float32(unit)
    garment = 1 - garb[..., cloth.BACKGROUND]
    body = 1 - soft[..., selfie.BACKGROUND]
    near = grow(evidence.outline >= 0.5, REACH * unit)
    person = near & ((garment >= 0.5) | (body + evidence.outline >= 1.0)) & ~evidence.others

    limb, distance = _nearest(anatomy.bones(skeleton, unit), person)
    skin = soft[..., selfie.BODY_SKIN] + soft[..., selfie.FACE_SKIN]
    hair = soft[..., selfie.HAIR]
    worn = soft[..., selfie.CLOTHES] + soft[..., selfie.OTHER]
    wearing = person & (
        ((garment >= 0.5) & (garment >= hair)) | ((garment >= FAINT) & (worn > skin + hair))
    )
    naked = person & ~wearing
    throat = (limb == Part.NECK) & (distance < 1)
    hairy = naked & (hair >= np.maximum(np.where(throat, THROAT_BIAS, 1) * skin, worn))
    skinny = naked & ~hairy & (np.where(distance < 1, SKIN_BIAS, 1) * skin >= worn)
    rest = naked & ~hairy & ~skinny

    parts = np.zeros(shape, np.uint8)
    _dress(parts, wearing, garb, height, _across(skeleton, axis, shape))
    parts[skinny] = limb[skinny]
    above_jaw = anatomy.above_jaw(skeleton, shape)
    head = skinny & np.isin(limb, (Part.FACE, Part.NECK))
    parts[head] = np.where(above_jaw, Part.FACE, Part.NECK)[head]
    parts[skinny & above_jaw & (soft[..., selfie.FACE_SKIN] > soft[..., selfie.BODY_SKIN])] = (
        Part.FACE
    )
    parts[hairy] = Part.HAIR
    _accessories(parts, rest, soft, limb, distance, height, unit)
    parts[evidence.others] = Part.OTHER_PERSON
    sure = np.where(wearing, garment, np.where(person, np.maximum(body, evidence.outline), 1 - body))
    return parts, sure.astype(np.float32)


def _across(skeleton: Skeleton, axis: anatomy.Axis, shape: tuple[int, int]) -> Floats:
    """Distance from the body's axis in pixels."""
    sideways = anatomy.Axis(axis.hip, (-axis.up[1], axis.up[0]))
    return np.abs(sideways.height(shape))


def _nearest(all_bones: list[Bone], where: BoolMask) -> tuple[PartMap, Floats]:
    """The part of the bone that is nearest in limb widths, and how near; elsewhere 0, infinity."""
    y, x = np.nonzero(where)
    xy = np.stack([x, y], -1).astype(np.float32)
    best = np.full(len(xy), np.inf, np.float32)
    part = np.zeros(len(xy), np.uint8)
    for bone in all_bones:
        distance = bone.distance(xy) * BEHIND.get(bone.segment, 1.0)
        closer = distance < best
        best[closer] = distance[closer]
        part[closer] = LIMBS[bone.segment, bone.side]
    parts = np.zeros(where.shape, np.uint8)
    parts[where] = part
    distances = np.full(where.shape, np.inf, np.float32)
    distances[where] = best
    return parts, distances


def _dress(
    parts: PartMap, wearing: BoolMask, garb: Floats, height: Floats, across: Floats
) -> None:
    """Label garment pixels.

    The model calls many coats full-body garments. One is a coat or a long shirt when other
    garments show inside it, along the body's middle, or when trousers come out below it; it is a
    skirt when it leaves the chest to another garment.
    """
    label = garb[..., 1:].argmax(-1) + 1
    full = wearing & (label == cloth.FULL)
    upper = wearing & (label == cloth.UPPER)
    lower = wearing & (label == cloth.LOWER)
    parts[upper] = Part.TOP
    parts[lower] = Part.TROUSERS
    parts[full] = Part.DRESS
    if not full.any():
        return
    chest = wearing & (height > CHEST)
    if (full & chest).sum() < SHARE * chest.sum():
        parts[full] = Part.SKIRT
        return
    # Compared by how far from the body's middle each lies.
    out = np.median(across[full])
    inner = (upper & (height > 0)) | (lower & (height <= 0))
    outer = upper & (height > 0)
    shins = wearing & (height < KNEE)

    def some(region: BoolMask) -> bool:
        return bool(region.sum() > SHARE * wearing.sum())

    open_coat = some(inner) and np.median(across[inner]) < out / 2
    under_top = some(outer) and np.median(across[outer]) > out
    over_trousers = some(shins) and (lower & shins).sum() > shins.sum() / 2 and not under_top
    if (open_coat or over_trousers) and not some(full & (height < CALF)):
        parts[full] = Part.OUTERWEAR


def _accessories(
    parts: PartMap, rest: BoolMask, soft: Floats, limb: PartMap, distance: Floats, height: Floats, unit: float
) -> None:
    """Label what is neither skin, hair nor a garment that the cloth model knows."""
    cloth_like = soft[..., selfie.CLOTHES] >= soft[..., selfie.OTHER]
    near = distance < 1
    arm = np.isin(limb, (Part.LEFT_ARM, Part.RIGHT_ARM)) & near
    leg = np.isin(limb, (Part.LEFT_LEG, Part.RIGHT_LEG)) & (distance < 2)
    foot = np.isin(limb, (Part.LEFT_SHOE, Part.RIGHT_SHOE))
    left = np.isin(limb, (Part.LEFT_LEG, Part.LEFT_SHOE))
    boot = foot | (leg & ~cloth_like & (height < KNEE))
    parts[rest] = Part.BAG
    parts[rest & (limb == Part.FACE)] = Part.HAT
    parts[rest & (limb == Part.NECK) & near] = Part.NECK
    parts[rest & arm & cloth_like] = Part.TOP
    parts[rest & leg & cloth_like] = Part.LEGWEAR
    parts[rest & boot] = np.where(left, Part.LEFT_SHOE, Part.RIGHT_SHOE)[rest & boot]
    body = np.isin(limb, (Part.TORSO_SKIN, Part.LEFT_ARM, Part.RIGHT_ARM)) & near
    things = (parts == Part.BAG) & body
    hem = foot & near & np.isin(parts, (Part.TROUSERS, Part.LEGWEAR))
    parts[hem] = limb[hem]
    parts[things & ~without_specks(things, TRINKET * unit**2)] = Part.TOP
