"""The garment parser: twenty classes of the chosen person, in one run on the crop.

Trained by this project, see ``models/garment_parser``. Model card:
``models/cards/garment_parser.md``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tryon_masks.domain.person import Box
from tryon_masks.domain.skeleton import Skeleton
from tryon_masks.vision.compact.classes import Class
from tryon_masks.vision.compact.input import crop_matrix, tensor
from tryon_masks.vision.runtime import Floats, Model, softmax

CELL = 2
"""Pixels of the input a cell of the output."""
MIXED = 255
"""No class."""
WIDE = 1024
"""Points that are read side by side."""


@dataclass(frozen=True)
class ClassProbabilities:
    """The parser's class probabilities, to be read at any point of a grid.

    ``cells`` (20, h, w), float32: probabilities, one plane a :class:`Class`. ``matrix`` (2, 3)
    leads from the grid's pixels to the cells.
    """

    cells: Floats
    matrix: NDArray[np.float64]

    @classmethod
    def of(cls, cells: Floats, matrix: NDArray[np.float64]) -> ClassProbabilities:
        """Wrap the parser's output.

        Parameters
        ----------
        cells
            Shape (20, h, w), float32: probabilities.
        matrix
            (2, 3), from the grid's pixels to the pixels of the parser's input.
        """
        to_cells = matrix / CELL
        to_cells[:, 2] -= (CELL - 1) / (2 * CELL)  # a cell's answer stands in its middle
        return cls(cells, to_cells)

    def moved(self, dx: float, dy: float) -> ClassProbabilities:
        """Translate the probabilities by ``dx`` and ``dy`` pixels to the right and down."""
        return ClassProbabilities(
            self.cells, self.matrix - self.matrix[:, :2] @ [[0, 0, dx], [0, 0, dy]]
        )

    def at(self, classes: Sequence[Class], x: Floats, y: Floats) -> Floats:
        """Return the probabilities of some classes at points.

        Parameters
        ----------
        classes
            C classes.
        x, y
            The points: shape (N,), float32, pixels.

        Returns
        -------
        Shape (C, N), float32, 0 to 1; background where the parser was shown nothing.
        """
        planes = [(self.cells[cls], float(cls == Class.BACKGROUND)) for cls in classes]
        return self._read(planes, x, y)

    def read(self, plane: Floats, x: Floats, y: Floats) -> Floats:
        """Interpolate a plane (h, w) of values of the cells at points (N,); 0 beyond it."""
        return np.asarray(self._read([(plane, 0.0)], x, y)[0])

    def agreed(self, labels: NDArray[np.uint8], x: Floats, y: Floats) -> NDArray[np.uint8]:
        """Return the label of ``labels`` (h, w) that all four cells about a point (N,) share.

        :data:`MIXED` where they do not.
        """
        one = labels[:-1, :-1]
        same = (one == labels[1:, :-1]) & (one == labels[:-1, 1:]) & (one == labels[1:, 1:])
        common = np.pad(np.where(same, one, np.uint8(MIXED)), 1, constant_values=MIXED)
        column, row = (
            np.floor(values).clip(-1, side - 1).astype(np.intp) + 1
            for values, side in zip(self._to_cells(x, y), labels.shape[::-1], strict=True)
        )
        return np.asarray(np.take(common, row * common.shape[1] + column))

    def _to_cells(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        across, down = self.matrix.astype(np.float32)
        return across[0] * x + across[1] * y + across[2], down[0] * x + down[1] * y + down[2]

    def _read(self, planes: Sequence[tuple[Floats, float]], x: Floats, y: Floats) -> Floats:
        """Interpolate each of the planes, which has the given value beyond its borders."""
        # OpenCV reads at a grid of points, of limited sides.
        shape = (max(1, -(-len(x) // WIDE)), WIDE)
        column, row = np.zeros((2, *shape), np.float32)
        column.reshape(-1)[: len(x)], row.reshape(-1)[: len(x)] = self._to_cells(x, y)
        places = cv2.convertMaps(column, row, cv2.CV_16SC2)
        result = np.empty((len(planes), *shape), np.float32)
        for (plane, beyond), values in zip(planes, result, strict=True):
            cv2.remap(
                plane,
                *places,
                cv2.INTER_LINEAR,
                dst=values,
                borderMode=cv2.BORDER_CONSTANT,
                borderValue=(beyond,),
            )
        return result.reshape(len(planes), -1)[:, : len(x)]


class GarmentParser:
    """Class probabilities of one person."""

    def __init__(self, path: Path, threads: int) -> None:
        self._model = Model(path, threads, ("logits",))

    def parse(
        self, rgb: NDArray[np.uint8], outline: NDArray[np.uint8], box: Box, skeleton: Skeleton
    ) -> ClassProbabilities:
        """Parse the person in ``box``, whose joints ``skeleton`` names.

        Parameters
        ----------
        rgb
            The photo (H, W, 3), uint8.
        outline
            The pose model's outline of the person on the photo (H, W), uint8, 255 where certain.
        box, skeleton
            In pixels of the photo.

        Returns
        -------
        Class probabilities on the photo's grid.

        Raises
        ------
        ValueError
            The skeleton has no body unit.
        """
        matrix = crop_matrix(box, skeleton)
        (logits,) = self._model.run(tensor(rgb, outline, skeleton, matrix))
        return ClassProbabilities.of(softmax(logits[0], axis=0), matrix)
