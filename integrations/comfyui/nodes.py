"""Two nodes: photo to mask, and a try-on model's result back into the photo.

ComfyUI's IMAGE is float32, 0 to 1, [B, H, W, 3]; its MASK float32, 0 to 1, [B, H, W], 1 = repaint.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import torch
from numpy.typing import NDArray

from tryon_masks import images
from tryon_masks.domain.errors import InvalidRequest, Refusal
from tryon_masks.domain.identity import ANONYMOUS
from tryon_masks.domain.kinds import MaskKind
from tryon_masks.domain.profiles import Profile
from tryon_masks.outputs.agnostic import agnostic
from tryon_masks.outputs.parsed_photo import ParsedPhoto, TransformedPhoto, png
from tryon_masks.outputs.paste import paste
from tryon_masks.outputs.targets import TARGETS, TargetName
from tryon_masks.outputs.transform import Transform, fitted
from tryon_masks.schema.requests import read_options
from tryon_masks.service import MaskService
from tryon_masks.settings import Settings
from tryon_masks.telemetry import init_log, request_log
from tryon_masks.wiring import build_service

TRANSFORM = "TRYON_TRANSFORM"
OWN = "own"
"""The photo's own size; the target's own profile, ``body`` without a target."""
ALONE, LARGEST = "alone", "largest"
MARGIN = ("FLOAT", {"default": 0.0, "min": 0.0, "max": 1.0, "step": 0.01})


@cache
def service() -> MaskService:
    """The models, loaded when the first photo comes; settings are the environment's."""
    settings = Settings.from_env(
        os.environ, on_lambda=False, mask_store="directory", mask_dir=Path("masks")
    )
    with init_log("comfyui"):
        return build_service(settings)


class TryonMask:
    """The mask of one person in each photo, with the photo as the target sees it."""

    CATEGORY = "try-on"
    FUNCTION = "make"
    RETURN_TYPES = ("MASK", "IMAGE", "IMAGE", "IMAGE", TRANSFORM)
    RETURN_NAMES = ("mask", "image", "agnostic", "overlay", "transform")

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        """Widgets and sockets."""
        return {
            "required": {
                "image": ("IMAGE",),
                "kind": ([kind.value for kind in MaskKind],),
                "target": ([OWN, *(name.value for name in TargetName)],),
                "profile": ([OWN, *(profile.value for profile in Profile)],),
            },
            "optional": {
                "top": MARGIN,
                "bottom": MARGIN,
                "left": MARGIN,
                "right": MARGIN,
                "person": ([ALONE, LARGEST],),
            },
        }

    def make(
        self,
        image: torch.Tensor,
        kind: str,
        target: str,
        profile: str,
        top: float = 0.0,
        bottom: float = 0.0,
        left: float = 0.0,
        right: float = 0.0,
        person: str = ALONE,
    ) -> tuple[Any, ...]:
        """Make the masks of a batch.

        Raises
        ------
        Refusal
            A mask cannot be made from its photo, or does not fit the target's cut.
        BadRequest
        """
        given: dict[str, Any] = {
            "masks": [kind],
            "expand": {"top": top, "bottom": bottom, "left": left, "right": right},
        }
        given |= {} if target == OWN else {"target": target}
        given |= {} if profile == OWN else {"profile": profile}
        given |= {} if person == ALONE else {"person": person}
        views = [_view(rgb, given) for rgb in _pixels(image)]
        overlays = [_overlay(view) for view in views]
        return (
            _tensor([view.mask for view in views]),
            _tensor([view.rgb for view in views]),
            _tensor([agnostic(view.rgb, view.mask) for view in views]),
            _tensor(overlays),
            [view.transform.as_json() for view in views],
        )


class TryonPaste:
    """Each result back in its photo: where the mask is 0, every pixel is the photo's own."""

    CATEGORY = "try-on"
    FUNCTION = "paste"
    RETURN_TYPES = ("IMAGE",)
    RETURN_NAMES = ("image",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        """Sockets."""
        return {
            "required": {
                "photo": ("IMAGE",),
                "result": ("IMAGE",),
                "mask": ("MASK",),
                "transform": (TRANSFORM,),
            }
        }

    def paste(
        self,
        photo: torch.Tensor,
        result: torch.Tensor,
        mask: torch.Tensor,
        transform: list[dict[str, Any]],
    ) -> tuple[Any, ...]:
        """Paste a batch.

        Raises
        ------
        InvalidRequest
            Sizes or batches do not fit each other.
        """
        batch = (_pixels(photo), _pixels(result), _pixels(mask), transform)
        if len({len(part) for part in batch}) != 1:
            raise InvalidRequest("photo, result, mask and transform must be of the same batch.")
        pasted = [
            paste(one, painted, there, Transform.from_json(way))
            for one, painted, there, way in zip(*batch, strict=True)
        ]
        return (_tensor(pasted),)


def _view(rgb: NDArray[np.uint8], given: dict[str, Any]) -> TransformedPhoto:
    options = read_options(given)
    with request_log(uuid4().hex, ANONYMOUS):
        parsed, made, refused = service().infer(png(rgb).data, options)
    if parsed is None:
        (why,) = refused
        raise Refusal(f"{why.code}: {why.message}")
    return parsed.transformed(
        _transform(parsed, made[0].pixels, options.target), parsed.mask(made[0].pixels)
    )


def _transform(
    parsed: ParsedPhoto, pixels: NDArray[np.bool_], name: TargetName | None
) -> Transform:
    if name is None:
        return Transform.identity(parsed.size)
    target = TARGETS[name]
    return fitted(target.fit, parsed.size, target.size, parsed.mask(pixels))


def _overlay(view: TransformedPhoto) -> NDArray[np.uint8]:
    drawn = images.overlay(view.rgb, {"mask": view.mask == 255})
    return images.decode(drawn.data, images.Limits(working_side=max(view.size))).rgb


def _pixels(tensor: torch.Tensor) -> list[NDArray[np.uint8]]:
    """Each picture of a batch, uint8. A mask may come without its batch."""
    values = tensor.cpu().numpy()
    if values.ndim == 2:
        values = values[None]
    if values.ndim == 4:
        values = values[..., :3]
    return list(np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8))


def _tensor(pictures: list[NDArray[np.uint8]]) -> torch.Tensor:
    return torch.from_numpy(np.stack(pictures).astype(np.float32) / 255)


NODE_CLASS_MAPPINGS: dict[str, type] = {"TryonMask": TryonMask, "TryonPaste": TryonPaste}
NODE_DISPLAY_NAME_MAPPINGS: dict[str, str] = {
    "TryonMask": "Try-on mask",
    "TryonPaste": "Try-on paste",
}
