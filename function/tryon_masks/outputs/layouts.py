"""Data sets' folder trees: which files a photo becomes, and where they lie.

DensePose pictures and garments' masks are not made; :data:`LEFT_OUT` names their places.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

import numpy as np

from tryon_masks.domain.kinds import MaskKind
from tryon_masks.domain.masks import Mask
from tryon_masks.domain.skeleton import Skeleton
from tryon_masks.outputs.agnostic import agnostic
from tryon_masks.outputs.openpose import PoseOrder, drawing, joints, openpose_json
from tryon_masks.outputs.parse_maps import LabelSet, without_upper
from tryon_masks.outputs.parsed_photo import ParsedPhoto, TransformedPhoto, jpeg, png
from tryon_masks.outputs.transform import Fit, Transform, fitted

SIZE = (768, 1024)
"""Width and height of both data sets' pictures, in pixels."""
DRESS_CODE_POSE = (384, 512)
"""The grid of Dress Code's keypoints."""

Split = Literal["train", "test"]


class LayoutName(StrEnum):
    """Data sets that trees can be made like."""

    VITON_HD = "viton-hd"
    DRESS_CODE = "dresscode"


CATEGORIES = {
    MaskKind.UPPER: "upper_body",
    MaskKind.LOWER: "lower_body",
    MaskKind.FULL: "dresses",
}
"""Dress Code's folders, in the order of its category numbers."""

KINDS: Mapping[LayoutName, Sequence[MaskKind]] = {
    LayoutName.VITON_HD: (MaskKind.UPPER,),
    LayoutName.DRESS_CODE: tuple(CATEGORIES),
}

LEFT_OUT: Mapping[LayoutName, tuple[str, ...]] = {
    LayoutName.VITON_HD: ("image-densepose", "cloth-mask"),
    LayoutName.DRESS_CODE: ("dense",),
}


@dataclass(frozen=True)
class Tree:
    """Where the files of one layout lie; ``kind`` is the mask that the data set is for."""

    layout: LayoutName
    kind: MaskKind
    split: Split

    @property
    def folder(self) -> str:
        """Return the folder that the files' folders lie in."""
        return self.split if self.layout is LayoutName.VITON_HD else CATEGORIES[self.kind]

    def person(self, photo: str) -> str:
        """Return the file name of the person's picture."""
        return f"{photo}_00.jpg" if self.layout is LayoutName.VITON_HD else f"{photo}_0.jpg"

    def garment(self, photo: str) -> str:
        """Return the file name of the garment that belongs to the photo."""
        return f"{photo}_00.jpg" if self.layout is LayoutName.VITON_HD else f"{photo}_1.jpg"

    @property
    def garments(self) -> str:
        """Return the path of the folder of garments' pictures."""
        name = "cloth" if self.layout is LayoutName.VITON_HD else "images"
        return f"{self.folder}/{name}"

    @property
    def left_out(self) -> list[str]:
        """Return the paths of folders that stay empty."""
        return [f"{self.folder}/{name}" for name in LEFT_OUT[self.layout]]

    def files(self, parsed: ParsedPhoto, mask: Mask, photo: str) -> dict[str, bytes]:
        """Draw every file of one photo: path -> content. The whole photo is kept, padded white."""
        grey = parsed.mask(mask.pixels)
        view = parsed.transformed(fitted(Fit.PAD, parsed.size, SIZE, grey), grey)
        draw = _viton_hd if self.layout is LayoutName.VITON_HD else _dress_code
        return {f"{self.folder}/{path}": data for path, data in draw(view, photo).items()}

    def pairs(self, photos: Sequence[str]) -> dict[str, str]:
        """Write the lists of persons with their own garments: path -> text."""
        lines = [(self.person(photo), self.garment(photo)) for photo in photos]
        if self.layout is LayoutName.VITON_HD:
            return {f"{self.split}_pairs.txt": "".join(f"{a} {b}\n" for a, b in lines)}
        number = list(CATEGORIES).index(self.kind)
        name = "train_pairs.txt" if self.split == "train" else "test_pairs_paired.txt"
        return {
            f"{self.folder}/{name}": "".join(f"{a}\t{b}\n" for a, b in lines),
            name: "".join(f"{a}\t{b}\t{number}\n" for a, b in lines),
        }


def dress_code_keypoints(skeleton: Skeleton) -> dict[str, list[list[float]]]:
    """Return COCO-18 joints as x, y, score and running number; -1, -1, 0, -1 where missing."""
    rows: list[list[float]] = [
        [-1, -1, 0, -1] if k is None else [round(k.x, 2), round(k.y, 2), round(k.score, 4), number]
        for number, k in enumerate(joints(skeleton, PoseOrder.COCO_18))
    ]
    return {"keypoints": rows}


def _viton_hd(view: TransformedPhoto, photo: str) -> dict[str, bytes]:
    parse = view.parse(LabelSet.VITON_HD)
    order = PoseOrder.BODY_25
    return {
        f"image/{photo}_00.jpg": jpeg(view.rgb).data,
        f"agnostic-mask/{photo}_00_mask.png": png(np.dstack([view.mask] * 3)).data,
        f"agnostic-v3.2/{photo}_00.jpg": jpeg(agnostic(view.rgb, view.mask)).data,
        f"image-parse-v3/{photo}_00.png": parse.png().data,
        f"image-parse-agnostic-v3.2/{photo}_00.png": without_upper(parse, view.mask).png().data,
        f"openpose_json/{photo}_00_keypoints.json": _json(openpose_json(view.skeleton, order)),
        f"openpose_img/{photo}_00_rendered.png": png(drawing(view.skeleton, SIZE, order)).data,
        f"transform/{photo}_00.json": _json(view.transform.as_json()),
    }


def _dress_code(view: TransformedPhoto, photo: str) -> dict[str, bytes]:
    small = Transform.stretched(SIZE, DRESS_CODE_POSE).skeleton(view.skeleton)
    return {
        f"images/{photo}_0.jpg": jpeg(view.rgb).data,
        f"label_maps/{photo}_4.png": view.parse(LabelSet.ATR).png().data,
        f"keypoints/{photo}_2.json": _json(dress_code_keypoints(small)),
        f"skeletons/{photo}_5.jpg": jpeg(drawing(view.skeleton, SIZE)).data,
        f"agnostic_masks/{photo}_0.png": png(view.mask).data,
        f"transform/{photo}_0.json": _json(view.transform.as_json()),
    }


def _json(value: object) -> bytes:
    return json.dumps(value).encode()
