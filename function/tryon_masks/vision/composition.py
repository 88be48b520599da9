"""From soft segmentations and a skeleton to the canonical part map.

Who is trusted for what, as measured on labelled street photos: the cloth model for the outline of
garments, the selfie model for hair and skin, the pose model for the outline of the person and for
which limb a patch of skin belongs to. Lengths and areas are in units of the torso length T and its
square; heights are above the hip line, along the body.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tryon_masks.domain import anatomy
from tryon_masks.domain.anatomy import Bone, Segment
from tryon_masks.domain.parts import BoolMask, Part, PartMap
from tryon_masks.domain.shapes import grow, without_specks
from tryon_masks.domain.skeleton import Skeleton
from tryon_masks.vision import cloth, selfie
from tryon_masks.vision.runtime import Floats

TRUNK = (Part.TORSO_SKIN, Part.LEFT_ARM, Part.RIGHT_ARM)

REACH = 0.35
"""How far cloth and hair may lie outside the pose model's outline."""
BEHIND: dict[Segment, float] = {"torso": 0.4, "thigh": 0.6}
"""Arms and hands lie before torso and thighs, which count as so many half widths further away."""

FAINT = 0.2
"""A garment this faint still counts where nothing else but clothes is seen."""
SKIN_BIAS = 2.5
"""On a limb, what the cloth model leaves out is skin before it is a thing carried."""
THROAT_BIAS = 6.0
"""The same on the throat, where the selfie model sees beards and shadows as hair."""

CHEST, THIGH, KNEE, CALF, SHIN = 0.35, -0.4, -0.6, -1.0, -1.2
"""Heights: over the waist, lower thighs, the highest boot, the longest coat, lower shins."""
SHARE = 0.06
"""Share of the garments of a region from which a second garment in it is believed."""
WIDE = 0.15
"""Share of the garments that shows inside a coat that stands wide open."""
BARE = 0.3
"""Bare skin about the knee, as a share of what covers the shin, from which that is a boot."""
TRINKET = 0.03
"""Area up to which a thing on the upper body is repainted with it (a necklace, a strap)."""


@dataclass(frozen=True)
class Evidence:
    """What the models say of one person, all on one grid.

    ``selfie`` (H, W, 6) and ``cloth`` (H, W, 4): probabilities; ``outline`` (H, W): probability of
    being this person; ``others`` (H, W): bool, pixels that belong to somebody else.
    """

    selfie: Floats
    cloth: Floats
    outline: Floats
    others: BoolMask


@dataclass(frozen=True)
class _Body:
    """What the skeleton says of every pixel, each (H, W).

    ``height`` above the hips and distance ``across`` from the body's middle, in T; ``limb``: the
    part of the nearest bone, and its ``distance`` in half widths of that bone.
    """

    unit: float
    height: Floats
    across: Floats
    limb: PartMap
    distance: Floats

    def on(self, *parts: Part) -> BoolMask:
        """Pixels whose nearest bone belongs to any of ``parts``."""
        return np.isin(self.limb, parts)


def compose(skeleton: Skeleton, evidence: Evidence) -> tuple[PartMap, NDArray[np.float32]]:
    """Label one person.

    Returns
    -------
    tuple
        The part map (H, W) uint8, and the confidence (H, W) float32, 0 to 1, of its labels.

    Raises
    ------
    ValueError
        The skeleton has no body unit.
    """
    unit = skeleton.torso
    if unit is None:
        raise ValueError("a skeleton without shoulders cannot be composed")
    soft = evidence.selfie
    garment = 1 - evidence.cloth[..., cloth.BACKGROUND]
    body = 1 - soft[..., selfie.BACKGROUND]
    near = grow(evidence.outline >= 0.5, REACH * unit)
    person = near & ((garment >= 0.5) | (body + evidence.outline >= 1.0)) & ~evidence.others
    layout = _lay_out(skeleton, person, unit)

    skin = soft[..., selfie.BODY_SKIN] + soft[..., selfie.FACE_SKIN]
    hair = soft[..., selfie.HAIR]
    worn = soft[..., selfie.CLOTHES] + soft[..., selfie.OTHER]
    wearing = person & (
        ((garment >= 0.5) & (garment >= hair)) | ((garment >= FAINT) & (worn > skin + hair))
    )
    throat = layout.on(Part.NECK) & (layout.distance < 1)
    hairy = person & ~wearing & (hair >= np.where(throat, THROAT_BIAS, 1) * skin) & (hair >= worn)
    limb_bias = np.where(layout.distance < 1, SKIN_BIAS, 1)
    bare = person & ~wearing & ~hairy & (limb_bias * skin >= worn)

    parts = np.zeros(person.shape, np.uint8)
    _label_garments(parts, wearing, evidence.cloth, layout)
    _label_skin(parts, bare, soft, skeleton, layout)
    parts[hairy] = Part.HAIR
    _label_things(parts, person & ~wearing & ~hairy & ~bare, soft, layout)
    _label_footwear(parts, layout)
    parts[evidence.others] = Part.OTHER_PERSON

    seen = np.where(person, np.maximum(body, evidence.outline), 1 - body)
    return parts, np.where(wearing, garment, seen).astype(np.float32)


def _lay_out(skeleton: Skeleton, person: BoolMask, unit: float) -> _Body:
    axis = anatomy.axis(skeleton)
    if axis is None:
        raise ValueError("a skeleton without shoulders has no axis")
    sideways = anatomy.Axis(axis.hip, (-axis.up[1], axis.up[0]))
    limb, distance = _nearest(anatomy.bones(skeleton, unit), person)
    return _Body(
        unit=unit,
        height=axis.height(person.shape) / np.float32(unit),
        across=np.abs(sideways.height(person.shape) / np.float32(unit)),
        limb=limb,
        distance=distance,
    )


def _nearest(bones: list[Bone], where: BoolMask) -> tuple[PartMap, Floats]:
    """The part of the bone that is nearest in limb widths, and how near; elsewhere 0, infinity."""
    parts = np.zeros(where.shape, np.uint8)
    distances = np.full(where.shape, np.inf, np.float32)
    parts[where], distances[where] = anatomy.nearest(bones, anatomy.points(where), BEHIND)
    return parts, distances


def _label_garments(parts: PartMap, wearing: BoolMask, probabilities: Floats, body: _Body) -> None:
    """Tops, trousers, and what the model calls a full-body garment.

    That may be a dress, a coat or a skirt. It is a coat or a long shirt when other garments show
    inside it, along the body's middle, or when trousers come out below it; it is a skirt when it
    leaves the chest to another garment. Trousers on the chest are a waistcoat.
    """
    label = probabilities[..., 1:].argmax(-1) + 1
    chest = wearing & (body.height > CHEST)
    below = wearing & (label == cloth.LOWER)
    waistcoat = below & chest & body.on(*TRUNK, Part.NECK)
    lower = below & ~waistcoat
    upper = (wearing & (label == cloth.UPPER)) | waistcoat
    full = wearing & (label == cloth.FULL)
    parts[upper] = Part.TOP
    parts[lower] = Part.TROUSERS
    parts[full] = Part.DRESS
    if not full.any():
        return
    if (full & chest).sum() < SHARE * chest.sum():
        parts[full] = Part.SKIRT
        return

    def some(region: BoolMask) -> bool:
        return bool(region.sum() > SHARE * wearing.sum())

    out = np.median(body.across[full])
    inner = (upper & (body.height > 0)) | (lower & (body.height <= 0))
    outer = upper & (body.height > 0)
    shins = wearing & (body.height < KNEE)
    long = some(full & (body.height < CALF))
    is_open = some(inner) and np.median(body.across[inner]) < out / 2
    wide_open = is_open and inner.sum() > WIDE * wearing.sum()
    under_top = some(outer) and np.median(body.across[outer]) > out
    over_trousers = some(shins) and (lower & shins).sum() > shins.sum() / 2 and not under_top
    if wide_open or ((is_open or over_trousers) and not long):
        parts[full] = Part.OUTERWEAR


def _label_skin(
    parts: PartMap, bare: BoolMask, soft: Floats, skeleton: Skeleton, body: _Body
) -> None:
    """Skin belongs to the nearest limb; head and neck part at the jaw."""
    parts[bare] = body.limb[bare]
    above_jaw = anatomy.above_jaw(skeleton, bare.shape)
    head = bare & body.on(Part.FACE, Part.NECK)
    parts[head] = np.where(above_jaw, Part.FACE, Part.NECK)[head]
    face = soft[..., selfie.FACE_SKIN] > soft[..., selfie.BODY_SKIN]
    parts[bare & above_jaw & face] = Part.FACE


def _label_things(parts: PartMap, rest: BoolMask, soft: Floats, body: _Body) -> None:
    """What is neither skin, hair nor a garment that the cloth model knows."""
    cloth_like = soft[..., selfie.CLOTHES] >= soft[..., selfie.OTHER]
    near = body.distance < 1
    leg = body.on(Part.LEFT_LEG, Part.RIGHT_LEG) & (body.distance < 2)
    foot = body.on(Part.LEFT_SHOE, Part.RIGHT_SHOE)
    shoe = rest & (foot | (leg & ~cloth_like & (body.height < KNEE)))
    left = body.on(Part.LEFT_LEG, Part.LEFT_SHOE)
    parts[rest] = Part.BAG
    parts[rest & body.on(Part.FACE)] = Part.HAT
    parts[rest & near & body.on(Part.NECK)] = Part.NECK
    parts[rest & near & body.on(Part.LEFT_ARM, Part.RIGHT_ARM) & cloth_like] = Part.TOP
    parts[rest & leg & cloth_like] = Part.LEGWEAR
    parts[shoe] = np.where(left, Part.LEFT_SHOE, Part.RIGHT_SHOE)[shoe]
    carried = (parts == Part.BAG) & near & body.on(*TRUNK)
    parts[carried & ~without_specks(carried, TRINKET * body.unit**2)] = Part.TOP


def _label_footwear(parts: PartMap, body: _Body) -> None:
    """Give back to the shoes what was taken for trousers or stockings.

    Over a foot that hangs below the shins it is the shoe; on a shin below a bare knee, a boot.
    """
    hanging = body.on(Part.LEFT_SHOE, Part.RIGHT_SHOE) & (body.distance < 1) & (body.height < SHIN)
    hem = hanging & np.isin(parts, (Part.TROUSERS, Part.LEGWEAR))
    parts[hem] = body.limb[hem]
    knee = (body.height < THIGH) & (body.height > CALF)
    for leg, shoe in ((Part.LEFT_LEG, Part.LEFT_SHOE), (Part.RIGHT_LEG, Part.RIGHT_SHOE)):
        shaft = (parts == Part.LEGWEAR) & body.on(leg) & (body.height < KNEE)
        if ((parts == leg) & knee).sum() > BARE * shaft.sum():
            parts[shaft] = shoe
