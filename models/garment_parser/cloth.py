"""U2-Net trained on iMaterialist Fashion: garments, with a sharp outline.

A teacher. Model card: ``models/cards/cloth_segmentation.md``. Its outline is to be trusted, its
choice between upper-body and full-body garment is not.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tryon_masks.vision.runtime import Floats, Model, softmax

SIDE = 768


class ClothSegmenter:
    """Four classes on one crop of the photo."""

    def __init__(self, path: Path, threads: int) -> None:
        self._model = Model(path, threads, ("output",))

    def segment(self, rgb: NDArray[np.uint8]) -> Floats:
        """Class probabilities for a crop ``rgb`` (h, w, 3), stretched to the model's square.

        Returns
        -------
        Shape (768, 768, 4), float32, sums to 1: background, upper, lower and full-body garment.
        """
        interpolation = cv2.INTER_AREA if max(rgb.shape[:2]) > SIDE else cv2.INTER_CUBIC
        square = cv2.resize(rgb, (SIDE, SIDE), interpolation=interpolation)
        tensor = square.astype(np.float32).transpose(2, 0, 1)[None] / 127.5 - 1.0
        (logits,) = self._model.run(tensor)
        return softmax(logits[0].transpose(1, 2, 0), axis=-1)
