"""The garment parser: twenty classes of the chosen person, in one run on the crop.

Trained by this project, see ``models/garment_parser``. Model card:
``models/cards/garment_parser.md``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tryon_masks.domain.parts import BoolMask
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
FEW = 4
"""Classes that are read one by one; more are read together."""
ROUNDING = 1e-3
"""More than sums of interpolated probabilities are wrong by."""

_Places = tuple[NDArray[np.int16], NDArray[np.uint16]]


@dataclass(frozen=True)
class ClassProbabilities:
    """The parser's class probabilities, to be read at any point of a grid.

    ``cells`` (20, h, w), float32: probabilities, one plane a :class:`Class`. ``matrix`` (2, 3)
    leads from the grid's pixels to the cells.
    """

    cells: Floats
    matrix: NDArray[np.float64]

    @classmethod
    def from_cells(cls, cells: Floats, matrix: NDArray[np.float64]) -> ClassProbabilities:
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
        places = self._places(x, y)
        if len(classes) <= FEW:
            result = np.empty((len(classes), len(x)), np.float32)
            for cls, values in zip(classes, result, strict=True):
                values[:] = _interpolate(self.cells[cls], places, len(x))
        else:
            result = _interpolate(self._interleaved, places, len(x)).T[list(classes)]
        for cls, values in zip(classes, result, strict=True):
            if cls == Class.BACKGROUND:
                values[:] = _interpolate(self.cells[cls], places, len(x), beyond=1.0)
        return result

    def read(self, plane: Floats, x: Floats, y: Floats) -> Floats:
        """Interpolate a plane (h, w) of values of the cells at points (N,); 0 beyond it."""
        return _interpolate(plane, self._places(x, y), len(x))

    def agreed(self, labels: NDArray[np.uint8], x: Floats, y: Floats) -> NDArray[np.uint8]:
        """Return the label of ``labels`` (h, w) that all four cells about a point (N,) share.

        :data:`MIXED` where they do not.
        """
        one = labels[:-1, :-1]
        same = (one == labels[1:, :-1]) & (one == labels[:-1, 1:]) & (one == labels[1:, 1:])
        common = np.pad(np.where(same, one, np.uint8(MIXED)), 1, constant_values=MIXED)
        column, row = (np.floor(values).astype(np.int32) for values in self._to_cells(x, y))
        np.clip(column, -1, labels.shape[1] - 1, out=column)
        np.clip(row, -1, labels.shape[0] - 1, out=row)
        return np.asarray(np.take(common, (row + 1) * common.shape[1] + (column + 1)))

    def may_reach(self, classes: Sequence[Class], least: float, shape: tuple[int, ...]) -> BoolMask:
        """Return where some classes together may reach ``least`` on a grid of ``shape`` (H, W).

        They do so nowhere else, for no point has more than the most of the four cells about it.
        """
        cells = self.cells[list(classes)].sum(0) >= least - ROUNDING
        around = cv2.dilate(cells.view(np.uint8), np.ones((5, 5), np.uint8))
        flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
        found = cv2.warpAffine(
            around, self.matrix, shape[1::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE
        )
        return np.asarray(found, np.uint8).view(bool)

    def _to_cells(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        across, down = self.matrix.astype(np.float32)
        return across[0] * x + across[1] * y + across[2], down[0] * x + down[1] * y + down[2]

    @cached_property
    def _interleaved(self) -> Floats:
        """The cells, (h, w, 20)."""
        return np.asarray(cv2.merge(list(self.cells)), np.float32)

    def _places(self, x: Floats, y: Floats) -> _Places:
        """Return where in the cells the points lie, as OpenCV reads fastest."""
        # It reads at a grid of points, of limited sides.
        column, row = np.zeros((2, max(1, -(-len(x) // WIDE)), WIDE), np.float32)
        column.reshape(-1)[: len(x)], row.reshape(-1)[: len(x)] = self._to_cells(x, y)
        whole, fraction = cv2.convertMaps(column, row, cv2.CV_16SC2)
        return np.asarray(whole, np.int16), np.asarray(fraction, np.uint16)


def _interpolate(plane: Floats, places: _Places, number: int, beyond: float = 0.0) -> Floats:
    """Interpolate ``plane`` (h, w) or (h, w, C), which has the value ``beyond`` past its borders.

    Returns
    -------
    Shape (number,) or (number, C).
    """
    values = cv2.remap(
        plane,
        *places,
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(beyond,) * 4,
    )
    return np.asarray(values, np.float32).reshape(-1, *plane.shape[2:])[:number]


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
        return ClassProbabilities.from_cells(softmax(logits[0], axis=0), matrix)
