"""A garment parser that reads colours, and photos painted for it. No weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tests import fakes, figures

from tryon_masks.domain.parts import PartMap
from tryon_masks.domain.person import Box, Candidate
from tryon_masks.vision.compact.classes import CLASSES
from tryon_masks.vision.compact.garment_parser import CELL
from tryon_masks.vision.compact.input import GREY

LOGIT = 20.0
"""Logit of the class that the colour stands for; all others have 0."""

COLOURS = np.array(
    [(GREY, GREY, GREY), *list(product((0, 100, 255), repeat=3))[: len(CLASSES) - 1]], np.float32
)
"""One a class, RGB; the background's is that of everything outside the photo."""


class ColourReader:
    """In place of the parser's graph: every cell is the class whose colour is nearest its mean."""

    def __init__(self, path: Path, threads: int, outputs: tuple[str, ...]) -> None:
        self.outputs = outputs
        self.shown: list[NDArray[np.float32]] = []

    def run(self, tensor: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        self.shown.append(tensor)
        _, _, height, width = tensor.shape
        cells = tensor[0, :3].reshape(3, height // CELL, CELL, width // CELL, CELL).mean((2, 4))
        off = np.abs((cells.transpose(1, 2, 0)[..., None, :] + 1) * 127.5 - COLOURS).sum(-1)
        logits = np.zeros((1, len(CLASSES), *off.shape[:2]), np.float32)
        np.put_along_axis(logits, off.argmin(-1)[None, None], LOGIT, axis=1)
        return [logits]


@dataclass(frozen=True)
class Scene:
    """Where the figure of :mod:`tests.figures` stands in a photo of ``height`` x ``width``."""

    height: int
    width: int
    scale: float = 1.0
    x: int = 0
    y: int = 0

    def __str__(self) -> str:
        return f"{self.height}x{self.width}"

    def parts(self, figure: PartMap) -> PartMap:
        """The figure's part map on the photo's grid."""
        matrix = np.array([[self.scale, 0, self.x], [0, self.scale, self.y]])
        size = (self.width, self.height)
        return np.asarray(cv2.warpAffine(figure, matrix, size, flags=cv2.INTER_NEAREST))

    def candidate(self) -> Candidate:
        """The figure, found."""
        one = replace(fakes.candidate(), skeleton=figures.skeleton()).scaled(self.scale)
        corners = np.array([one.box.x0, one.box.y0, one.box.x1, one.box.y1])
        corners += [self.x, self.y, self.x, self.y]
        box = Box(*corners.clip(0, [self.width, self.height] * 2).tolist())
        return Candidate(box, one.score, one.skeleton.moved(self.x, self.y))


SCENES = (
    Scene(400, 300),
    Scene(401, 307, 1.0, 3, 1),
    Scene(1021, 353, 1.5, -51, 211),
    Scene(331, 997, 0.8, 703, 5),
    Scene(1024, 768, 2.5, 9, 11),
    Scene(199, 151, 0.5, 1, -1),
    Scene(251, 299, 1.0, 0, 0),
)
"""Odd, prime, tall and wide; larger and smaller than what the parser is shown; cut at the hips."""


def photo(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The labels (H, W) in their colours."""
    return COLOURS.astype(np.uint8)[labels]


def near_borders(labels: NDArray[np.uint8], reach: float) -> NDArray[np.bool_]:
    """Pixels within ``reach`` of another label: shape (H, W)."""
    kernel = np.ones((2 * int(np.ceil(reach)) + 1,) * 2, np.uint8)
    return np.asarray(cv2.dilate(labels, kernel) != cv2.erode(labels, kernel))
