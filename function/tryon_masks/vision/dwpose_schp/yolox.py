"""YOLOX-l: where people are.

Model card: ``models/cards/yolox_l.md``. Paper: Ge et al., YOLOX: Exceeding YOLO Series in 2021,
arXiv:2107.08430.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tryon_masks.domain.person import Box
from tryon_masks.vision.runtime import Floats, Model

SIDE = 640
"""Pixels of the model's input a side, from its card."""
STRIDES = (8, 16, 32)
"""Pixels a cell on each of the three scales, from the paper."""
PAD = 114
"""Grey value beside the photo, as in YOLOX's own preprocessing."""
PERSON = 0
"""The class, of COCO's 80."""
THRESHOLD = 0.3
"""Score from which somebody is found, 0 to 1, as in DWPose's own pipeline."""
OVERLAP = 0.45
"""Intersection over union from which the weaker of two boxes is dropped."""


@dataclass(frozen=True)
class Detection:
    """``box`` may leave the photo; ``score`` is 0 to 1."""

    box: Box
    score: float


class PersonDetector:
    """Boxes of people, anchor-free, on three scales."""

    def __init__(self, path: Path, threads: int) -> None:
        self._model = Model(path, threads, ("output",))
        self._cells, self._strides = _grid()

    def find(self, rgb: NDArray[np.uint8]) -> list[Detection]:
        """Find everybody in ``rgb`` (H, W, 3), uint8, most confident first."""
        tensor, ratio = _letterbox(rgb)
        (answer,) = self._model.run(tensor)
        raw = answer[0]
        scores = raw[:, 4] * raw[:, 5 + PERSON]
        # A box is only ever dropped for a surer one, so those under the threshold can go first.
        likely = scores > THRESHOLD
        boxes = self._decode(raw[likely, :4], likely) / np.float32(ratio)
        kept = _suppress(boxes, scores[likely])
        return [
            Detection(Box(*boxes[i].tolist()), min(1.0, float(scores[likely][i]))) for i in kept
        ]

    def _decode(self, raw: Floats, likely: NDArray[np.bool_]) -> Floats:
        """Return corners (N, 4) on the canvas, from centre offsets and logarithms of sizes in
        cells.
        """
        strides = self._strides[likely]
        centres = (raw[:, :2] + self._cells[likely]) * strides
        halves = np.exp(raw[:, 2:]) * strides / 2
        return np.concatenate([centres - halves, centres + halves], axis=1)


def _letterbox(rgb: NDArray[np.uint8]) -> tuple[Floats, float]:
    """Put the photo into the canvas' top left corner: (1, 3, 640, 640), BGR, 0 to 255; and its
    scale.
    """
    height, width = rgb.shape[:2]
    ratio = min(SIDE / height, SIDE / width)
    size = (max(1, int(width * ratio)), max(1, int(height * ratio)))
    canvas = np.full((SIDE, SIDE, 3), PAD, np.uint8)
    canvas[: size[1], : size[0]] = cv2.resize(rgb, size, interpolation=cv2.INTER_LINEAR)
    bgr = canvas[..., ::-1]
    return np.ascontiguousarray(bgr.transpose(2, 0, 1)[None], np.float32), ratio


def _grid() -> tuple[Floats, Floats]:
    """Return column and row of every cell, shape (8400, 2), and its stride in pixels, (8400, 1)."""
    cells, strides = [], []
    for stride in STRIDES:
        rows, columns = np.mgrid[: SIDE // stride, : SIDE // stride]
        cells.append(np.stack([columns, rows], axis=-1).reshape(-1, 2))
        strides.append(np.full((len(cells[-1]), 1), stride))
    return np.concatenate(cells).astype(np.float32), np.concatenate(strides).astype(np.float32)


def _suppress(boxes: Floats, scores: Floats) -> list[int]:
    """Apply non-maximum suppression: indices of the boxes (N, 4) that stay, best score first.

    Counts pixels the old way, right and bottom included, as the model's own code does.
    """
    x0, y0, x1, y1 = boxes.T
    areas = (x1 - x0 + 1) * (y1 - y0 + 1)
    left = scores.argsort()[::-1]
    kept: list[int] = []
    while len(left):
        best, left = int(left[0]), left[1:]
        kept.append(best)
        width = np.minimum(x1[best], x1[left]) - np.maximum(x0[best], x0[left]) + 1
        height = np.minimum(y1[best], y1[left]) - np.maximum(y0[best], y0[left]) + 1
        shared = width.clip(0) * height.clip(0)
        left = left[shared / (areas[best] + areas[left] - shared) <= OVERLAP]
    return kept
