"""Selfie multiclass: hair, skin and clothes, softly.

A teacher. Model card: ``models/cards/selfie_multiclass.md``.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tryon_masks.vision.compact.classes import CLASSES, Class
from tryon_masks.vision.runtime import Floats, Model, softmax

SIDE = 256

NOTHING, HAIR, SKIN, CLOTHES_AND_THINGS = range(4)
"""Kinds of thing that both models tell apart."""
KIND_OF: NDArray[np.int64] = np.full(len(CLASSES), CLOTHES_AND_THINGS)
KIND_OF[Class.BACKGROUND] = NOTHING
KIND_OF[Class.HAIR] = HAIR
KIND_OF[[Class.FACE, Class.NECK, Class.TORSO_SKIN, Class.ARM, Class.HAND, Class.LEG]] = SKIN
"""The kind of each of the parser's classes: shape (20,)."""


class SelfieSegmenter:
    """Six classes on one crop of the photo."""

    def __init__(self, path: Path, threads: int) -> None:
        self._model = Model(path, threads, ("Identity",))

    def segment(self, rgb: NDArray[np.uint8]) -> Floats:
        """Class probabilities for a crop ``rgb`` (h, w, 3), stretched to the model's square.

        Returns
        -------
        Shape (256, 256, 6), float32, sums to 1: background, hair, body skin, face skin, clothes,
        other.
        """
        interpolation = cv2.INTER_AREA if max(rgb.shape[:2]) > SIDE else cv2.INTER_LINEAR
        square = cv2.resize(rgb, (SIDE, SIDE), interpolation=interpolation)
        (logits,) = self._model.run(square.astype(np.float32)[None] / 127.5 - 1.0)
        return softmax(logits[0], axis=-1)
