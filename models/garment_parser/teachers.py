"""The public segmenters that taught the parser, and that it is compared with.

Model cards: ``models/cards/selfie_multiclass.md``, ``models/cards/cloth_segmentation.md``.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tryon_masks.domain.person import Box
from tryon_masks.vision.runtime import Floats, Model, softmax

CROP_MARGIN = 0.08
"""Around the person's box, as a share of its longer side."""


class Selfie:
    """MediaPipe's selfie multiclass: (H, W, 6) of background, hair, body skin, face skin, clothes,
    other.
    """

    SIDE = 256

    def __init__(self, path: Path, threads: int) -> None:
        self._model = Model(path, threads, ("Identity",))

    def segment(self, rgb: NDArray[np.uint8], box: Box) -> Floats:
        """Class probabilities on the photo's grid; background outside the crop around ``box``."""
        rows, columns = _around(rgb, box)
        square = _square(rgb[rows, columns], self.SIDE)
        (logits,) = self._model.run(square[None] / 127.5 - 1.0)
        return _laid_out(softmax(logits[0], axis=-1), rows, columns, rgb.shape[:2])


class Cloth:
    """U2-Net trained on iMaterialist Fashion: (H, W, 4) of background, upper, lower, full-body."""

    SIDE = 768

    def __init__(self, path: Path, threads: int) -> None:
        self._model = Model(path, threads, ("output",))

    def segment(self, rgb: NDArray[np.uint8], box: Box) -> Floats:
        """Class probabilities on the photo's grid; background outside the crop around ``box``."""
        rows, columns = _around(rgb, box)
        square = _square(rgb[rows, columns], self.SIDE)
        (logits,) = self._model.run(square.transpose(2, 0, 1)[None] / 127.5 - 1.0)
        shares = softmax(logits[0].transpose(1, 2, 0), axis=-1)
        return _laid_out(shares, rows, columns, rgb.shape[:2])


def _around(rgb: NDArray[np.uint8], box: Box) -> tuple[slice, slice]:
    pad = CROP_MARGIN * max(box.width, box.height)
    rows = slice(max(0, int(box.y0 - pad)), min(rgb.shape[0], int(box.y1 + pad) + 1))
    columns = slice(max(0, int(box.x0 - pad)), min(rgb.shape[1], int(box.x1 + pad) + 1))
    return rows, columns


def _square(crop: NDArray[np.uint8], side: int) -> Floats:
    interpolation = cv2.INTER_AREA if max(crop.shape[:2]) > side else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(crop, (side, side), interpolation=interpolation), np.float32)


def _laid_out(shares: Floats, rows: slice, columns: slice, shape: tuple[int, ...]) -> Floats:
    planes = np.zeros((*shape, shares.shape[-1]), np.float32)
    planes[..., 0] = 1
    size = (columns.stop - columns.start, rows.stop - rows.start)
    planes[rows, columns] = cv2.resize(shares, size, interpolation=cv2.INTER_LINEAR)
    return planes
