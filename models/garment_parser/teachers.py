"""The public segmenters that taught the parser, and that it is compared with, on whole photos."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tryon_masks.domain.person import Box
from tryon_masks.vision.cloth import ClothSegmenter
from tryon_masks.vision.compact import CROP_MARGIN, laid_out
from tryon_masks.vision.runtime import Floats
from tryon_masks.vision.selfie import SelfieSegmenter


def on_photo(teacher: SelfieSegmenter | ClothSegmenter, rgb: NDArray[np.uint8], box: Box) -> Floats:
    """Class probabilities (H, W, C) on the photo's grid; background outside the crop of ``box``."""
    frame = (rgb.shape[0], rgb.shape[1])
    crop = box.surroundings(frame, CROP_MARGIN)
    return laid_out(teacher.segment(rgb[crop]), crop, (slice(0, frame[0]), slice(0, frame[1])))
