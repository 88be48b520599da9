"""What can be made of a parsed photo beside its masks."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tryon_masks.domain.masks import Mask
from tryon_masks.outputs.agnostic import agnostic, agnostic_rgba
from tryon_masks.outputs.openpose import PoseOrder, drawing, named_json, openpose_json
from tryon_masks.outputs.parse_maps import LabelSet
from tryon_masks.outputs.parsed_photo import ParsedPhoto, png
from tryon_masks.outputs.transform import Transform
from tryon_masks.ports import EncodedImage


class Output(StrEnum):
    """``agnostic`` and ``agnostic_rgba`` are made for each mask, the others once."""

    AGNOSTIC = "agnostic"
    AGNOSTIC_RGBA = "agnostic_rgba"
    PARSE_LIP = "parse_lip"
    PARSE_ATR = "parse_atr"
    PARSE_VITON_HD = "parse_viton_hd"
    KEYPOINTS = "keypoints"
    SKELETON = "skeleton"


LABEL_SETS = {
    Output.PARSE_LIP: LabelSet.LIP,
    Output.PARSE_ATR: LabelSet.ATR,
    Output.PARSE_VITON_HD: LabelSet.VITON_HD,
}


def file_name(output: Output, mask: str) -> str:
    """Name the file that is made for ``mask``, without its ending."""
    return f"{mask}_{output.value}"


def output_files(
    parsed: ParsedPhoto, masks: Sequence[Mask], outputs: Sequence[Output], size: tuple[int, int]
) -> dict[str, EncodedImage]:
    """Draw the pictures among ``outputs``.

    Parameters
    ----------
    parsed
        The photo with its person.
    masks
        The masks that agnostic pictures are made for.
    outputs
        What to draw; keypoints are no picture.
    size
        (width, height) of the pictures in pixels.

    Returns
    -------
    Name -> file.
    """
    nothing = np.zeros(parsed.rgb.shape[:2], np.uint8)
    transform = Transform.stretched(parsed.size, size)
    plain = parsed.transformed(transform, nothing)
    files = {}
    for mask in masks:
        view_mask = transform.mask(parsed.mask(mask.pixels))
        for output in outputs:
            pixels: NDArray[np.uint8]
            if output is Output.AGNOSTIC:
                pixels = agnostic(plain.rgb, view_mask)
            elif output is Output.AGNOSTIC_RGBA:
                pixels = agnostic_rgba(plain.rgb, view_mask)
            else:
                continue
            files[file_name(output, mask.kind.value)] = png(pixels)
    for output in outputs:
        if output in LABEL_SETS:
            files[output.value] = plain.parse(LABEL_SETS[output]).png()
        elif output is Output.SKELETON:
            files[output.value] = png(drawing(plain.skeleton, size))
    return files


def keypoints(parsed: ParsedPhoto, size: tuple[int, int]) -> dict[str, Any]:
    """Return the keypoints as JSON values: by name, and as OpenPose writes them.

    Parameters
    ----------
    parsed
        The photo with its person.
    size
        (width, height) in pixels of the grid that they are given on.
    """
    skeleton = Transform.stretched(parsed.size, size).skeleton(parsed.skeleton)
    return {
        "named": named_json(skeleton, size),
        "body_25": openpose_json(skeleton, PoseOrder.BODY_25),
        "coco_18": openpose_json(skeleton, PoseOrder.COCO_18),
    }
