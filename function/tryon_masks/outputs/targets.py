"""Try-on models, a row each: the files that their inference code reads, in its size and numbers.

Every mask is 8-bit grey, 255 where the photo is repainted, its edge hard: models that blur do so by
themselves. What a row needs and is not made here is said in ``needs``. To add a target, add a row
and its test; ``docs/try-on-models.md`` says where each fact was read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tryon_masks.domain.kinds import MaskKind
from tryon_masks.domain.masks import Mask
from tryon_masks.domain.profiles import Profile
from tryon_masks.outputs.agnostic import agnostic, mask_layer
from tryon_masks.outputs.openpose import drawing
from tryon_masks.outputs.parsed_photo import ParsedPhoto, TransformedPhoto, jpeg, png
from tryon_masks.outputs.transform import Fit, Transform, fitted
from tryon_masks.ports import EncodedImage


class TargetName(StrEnum):
    """Models that files can be made for."""

    CATVTON = "catvton"
    FASTFIT = "fastfit"
    IDM_VTON = "idm-vton"
    OOTDIFFUSION = "ootdiffusion"
    LEFFA = "leffa"
    FITDIT = "fitdit"
    STABLEVITON = "stableviton"


Draw = Callable[[TransformedPhoto], EncodedImage]


@dataclass(frozen=True)
class Target:
    """What one model reads.

    ``size`` is (width, height) in pixels. ``categories`` holds the model's own word for each kind
    that it takes. ``files`` maps a path without its ending to what is drawn there; ``{photo}`` in
    it stands for the photo's name. ``profile`` is the mask shape nearest to the model's own.
    """

    size: tuple[int, int]
    fit: Fit
    profile: Profile
    categories: Mapping[MaskKind, str]
    files: Mapping[str, Draw]
    needs: tuple[str, ...] = ()


def _image(view: TransformedPhoto) -> EncodedImage:
    return png(view.rgb)


def _mask(view: TransformedPhoto) -> EncodedImage:
    return png(view.mask)


def _agnostic_127(view: TransformedPhoto) -> EncodedImage:
    return png(agnostic(view.rgb, view.mask, 127))


def _pose(view: TransformedPhoto) -> EncodedImage:
    return png(drawing(view.skeleton, view.size))


def _pose_reversed(view: TransformedPhoto) -> EncodedImage:
    return png(drawing(view.skeleton, view.size)[:, :, ::-1].copy())


def _mask_layer(view: TransformedPhoto) -> EncodedImage:
    return png(mask_layer(view.mask))


def _image_jpeg(view: TransformedPhoto) -> EncodedImage:
    return jpeg(view.rgb)


def _agnostic_jpeg(view: TransformedPhoto) -> EncodedImage:
    return jpeg(agnostic(view.rgb, view.mask))


_GARMENT = "the garment's picture"
_DENSEPOSE = "a DensePose picture of the person image"

TARGETS: dict[TargetName, Target] = {
    TargetName.CATVTON: Target(
        size=(768, 1024),
        fit=Fit.CROP,
        profile=Profile.HULL,
        categories={
            MaskKind.UPPER: "upper",
            MaskKind.LOWER: "lower",
            MaskKind.FULL: "overall",
        },
        files={"image": _image, "mask": _mask},
        needs=(_GARMENT,),
    ),
    TargetName.FASTFIT: Target(
        size=(768, 1024),
        fit=Fit.CROP,
        profile=Profile.HULL,
        categories={
            MaskKind.UPPER: "upper",
            MaskKind.LOWER: "lower",
            MaskKind.FULL: "overall",
        },
        files={"image": _image, "mask": _mask, "pose": _pose},
        needs=(_GARMENT,),
    ),
    TargetName.IDM_VTON: Target(
        size=(768, 1024),
        fit=Fit.STRETCH,
        profile=Profile.BODY,
        categories={
            MaskKind.UPPER: "upper_body",
            MaskKind.LOWER: "lower_body",
            MaskKind.FULL: "dresses",
        },
        files={"image": _image, "mask": _mask},
        needs=(_GARMENT, _DENSEPOSE, "a few words that describe the garment"),
    ),
    TargetName.OOTDIFFUSION: Target(
        size=(768, 1024),
        fit=Fit.STRETCH,
        profile=Profile.BODY,
        categories={
            MaskKind.UPPER: "upperbody",
            MaskKind.LOWER: "lowerbody",
            MaskKind.FULL: "dress",
        },
        files={"image": _image, "mask": _mask, "agnostic": _agnostic_127},
        needs=(_GARMENT,),
    ),
    TargetName.LEFFA: Target(
        size=(768, 1024),
        fit=Fit.PAD,
        profile=Profile.BODY,
        categories={
            MaskKind.UPPER: "upper_body",
            MaskKind.LOWER: "lower_body",
            MaskKind.FULL: "dresses",
        },
        files={"image": _image, "mask": _mask},
        needs=(_GARMENT, _DENSEPOSE),
    ),
    TargetName.FITDIT: Target(
        size=(1152, 1536),
        fit=Fit.PAD,
        profile=Profile.BOX,
        categories={
            MaskKind.UPPER: "Upper-body",
            MaskKind.LOWER: "Lower-body",
            MaskKind.FULL: "Dresses",
        },
        files={
            "image": _image,
            "mask": _mask,
            "mask_layer": _mask_layer,
            "pose": _pose_reversed,
        },
        needs=(_GARMENT,),
    ),
    TargetName.STABLEVITON: Target(
        size=(384, 512),
        fit=Fit.STRETCH,
        profile=Profile.BODY,
        categories={MaskKind.UPPER: "upper"},
        files={
            "test/image/{photo}_00": _image_jpeg,
            "test/agnostic-v3.2/{photo}_00": _agnostic_jpeg,
            "test/agnostic-mask/{photo}_00_mask": _mask,
        },
        needs=(
            "test/cloth/, the garment's picture",
            "test/image-densepose/, a DensePose picture of the person image under the photo's name",
            "test_pairs.txt, the photo's and the garment's file name on a line",
        ),
    ),
}


@dataclass(frozen=True)
class TargetFiles:
    """One model's files for one mask; ``files`` maps a path without its ending to a picture."""

    name: TargetName
    kind: MaskKind
    category: str
    transform: Transform
    files: dict[str, EncodedImage]

    def about(self) -> dict[str, Any]:
        """Return what a program must know beside the files, as JSON values."""
        return {
            "target": self.name.value,
            "mask": self.kind.value,
            "category": self.category,
            "needs": list(TARGETS[self.name].needs),
            "transform": self.transform.as_json(),
        }


def not_taken(name: TargetName, kinds: Sequence[MaskKind]) -> str | None:
    """Return why the model cannot take masks of these kinds, in words; None: it can."""
    takes = TARGETS[name].categories
    if all(kind in takes for kind in kinds):
        return None
    return f"{name.value} takes masks of these kinds only: {', '.join(takes)}"


def target_files(parsed: ParsedPhoto, mask: Mask, name: TargetName, photo: str) -> TargetFiles:
    """Draw what a try-on model reads.

    Parameters
    ----------
    parsed
        The photo with its person.
    mask
        On the working grid.
    name
        The model.
    photo
        Names the photo in paths.

    Raises
    ------
    CropCutsMask
        The model's crop cannot hold the mask.
    KeyError
        The target does not take masks of this kind.
    """
    target = TARGETS[name]
    category = target.categories[mask.kind]
    grey = parsed.mask(mask.pixels)
    transform = fitted(target.fit, parsed.size, target.size, grey)
    view = parsed.transformed(transform, grey)
    files = {path.format(photo=photo): draw(view) for path, draw in target.files.items()}
    return TargetFiles(name, mask.kind, category, transform, files)
