"""DWPose-l: 133 points of one person, in COCO-WholeBody's order.

Model card: ``models/cards/dw-ll_ucoco_384.md``. Papers: Yang et al., Effective Whole-body Pose
Estimation with Two-stages Distillation, arXiv:2307.15880; Li et al., SimCC, arXiv:2107.03332.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tryon_masks.domain.person import Box
from tryon_masks.domain.skeleton import COCO17, SIDES, Keypoint, Side, Skeleton
from tryon_masks.vision.runtime import Floats, Model

WIDTH, HEIGHT = 288, 384
"""Pixels of the model's input, from its card."""
POINTS = 133
"""COCO-WholeBody's."""
MEAN = np.array([123.675, 116.28, 103.53], np.float32)
STD = np.array([58.395, 57.12, 57.375], np.float32)
"""ImageNet's mean and deviation of red, green and blue, 0 to 255."""
PADDING = 1.25
"""Factor by which a person's box is widened, as in MMPose's top-down pipeline."""
BINS_PER_PIXEL = 2
"""SimCC's bins for each pixel of the input, from the model's configuration."""
THRESHOLD = 0.3
"""A point under it is missing."""

JAW = slice(23, 40)
"""The face's contour, from the person's right ear over the chin to the left one."""
HANDS: dict[Side, slice] = {"left": slice(91, 112), "right": slice(112, 133)}
"""Wrist, then four points of each finger from the thumb on, outwards."""

NAMED = {
    **{name: index for index, name in enumerate(COCO17)},
    "left_big_toe": 17,
    "left_small_toe": 18,
    "left_heel": 19,
    "right_big_toe": 20,
    "right_small_toe": 21,
    "right_heel": 22,
    "right_mouth": 71,
    "left_mouth": 77,
    **{
        f"{side}_{finger}": HANDS[side].start + knuckle
        for side in SIDES
        for finger, knuckle in (("thumb", 2), ("index", 5), ("pinky", 17))
    },
}
"""Keypoint -> index; of the fingers, the knuckles."""


@dataclass(frozen=True)
class WholeBody:
    """``points`` (133, 2) in pixels of the photo, ``scores`` (133,) 0 to 1."""

    points: Floats
    scores: Floats

    @property
    def skeleton(self) -> Skeleton:
        """Return the points that have a name."""
        return Skeleton(
            {
                name: Keypoint(*map(float, (*self.points[i], self.scores[i])))
                for name, i in NAMED.items()
            },
            THRESHOLD,
        )

    def moved(self, dx: float, dy: float) -> WholeBody:
        """Translate the points by ``dx`` and ``dy`` pixels to the right and down."""
        return WholeBody(self.points + np.array([dx, dy], np.float32), self.scores)

    def seen(self, which: slice) -> Floats:
        """Return those of ``which`` points that are not missing, shape (N, 2)."""
        return self.points[which][self.scores[which] >= THRESHOLD]


NO_POINTS = WholeBody(np.zeros((POINTS, 2), np.float32), np.zeros(POINTS, np.float32))
"""All points are missing."""


class PoseModel:
    """Top-down: one box at a time."""

    def __init__(self, path: Path, threads: int) -> None:
        self._model = Model(path, threads, ("simcc_x", "simcc_y"))

    def infer(self, rgb: NDArray[np.uint8], box: Box) -> WholeBody:
        """Infer the points of the person in ``box`` of ``rgb`` (H, W, 3), uint8."""
        zoom, shift = _crop(box)
        matrix = np.array([[zoom, 0, shift[0]], [0, zoom, shift[1]]])
        crop = cv2.warpAffine(rgb, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR)
        tensor = ((crop - MEAN) / STD).transpose(2, 0, 1)[None]
        x, y = self._model.run(np.ascontiguousarray(tensor))
        bins = np.stack([x[0].argmax(axis=1), y[0].argmax(axis=1)], axis=1)
        scores = np.minimum(x[0].max(axis=1), y[0].max(axis=1))
        points = (bins / BINS_PER_PIXEL - shift) / zoom
        return WholeBody(points.astype(np.float32), scores.clip(0, 1))


def _crop(box: Box) -> tuple[float, NDArray[np.float64]]:
    """Crop pixels per photo pixel, and where the photo's origin lies on the crop.

    The box is widened by :data:`PADDING`, then to the crop's aspect; its centre is the crop's.
    """
    width, height = PADDING * box.width, PADDING * box.height
    zoom = WIDTH / max(width, height * WIDTH / HEIGHT)
    centre = np.array([box.x0 + box.x1, box.y0 + box.y1]) / 2
    return zoom, np.array([WIDTH, HEIGHT]) / 2 - zoom * centre
