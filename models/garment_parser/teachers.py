"""The public segmenters that taught the parser, and that it is compared with, on whole photos."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from models.garment_parser.cloth import ClothSegmenter
from models.garment_parser.selfie import SelfieSegmenter
from tryon_masks.domain.person import Box
from tryon_masks.vision.runtime import Floats

CROP_MARGIN = 0.08
"""Around the person's box, as a share of its longer side."""


def on_photo(teacher: SelfieSegmenter | ClothSegmenter, rgb: NDArray[np.uint8], box: Box) -> Floats:
    """Class probabilities (H, W, C) on the photo's grid; background outside the crop of ``box``."""
    rows, columns = box.surroundings((rgb.shape[0], rgb.shape[1]), CROP_MARGIN)
    answer = teacher.segment(rgb[rows, columns])
    canvas = np.zeros((*rgb.shape[:2], answer.shape[-1]), np.float32)
    canvas[..., 0] = 1.0
    size = (columns.stop - columns.start, rows.stop - rows.start)
    canvas[rows, columns] = cv2.resize(answer, size, interpolation=cv2.INTER_LINEAR)
    return canvas
