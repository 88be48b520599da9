"""The garment parser: twenty classes of the chosen person, in one look at the crop.

Trained by this project, see ``models/garment_parser``. Model card:
``models/cards/garment_parser.md``.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tryon_masks.domain.person import Box
from tryon_masks.domain.skeleton import Skeleton
from tryon_masks.vision.parser_classes import Class
from tryon_masks.vision.parser_input import crop_matrix, tensor
from tryon_masks.vision.runtime import Floats, Model, softmax

CELL = 2
"""Pixels of the input a cell of the output."""


class GarmentParser:
    """Class probabilities of one person."""

    def __init__(self, path: Path, threads: int) -> None:
        self._model = Model(path, threads, ("logits",))

    def parse(
        self,
        rgb: NDArray[np.uint8],
        outline: NDArray[np.uint8],
        box: Box,
        skeleton: Skeleton,
        region: tuple[slice, slice],
        index: NDArray[np.intp],
    ) -> Floats:
        """What the person in ``box``, whose joints ``skeleton`` names, consists of.

        Parameters
        ----------
        rgb
            The photo (H, W, 3), uint8.
        outline
            The pose model's outline of the person on the photo (H, W), uint8, 255 where certain.
        region
            Rows and columns of the grid that ``index`` counts in.
        index
            Which of its pixels to answer for, shape (N,), as if the grid were flat.

        Returns
        -------
        Shape (20, N), float32, one row a :class:`Class`, sums to 1; background outside what the
        model was shown.

        Raises
        ------
        ValueError
            The skeleton has no body unit.
        """
        matrix = crop_matrix(box, skeleton)
        (logits,) = self._model.run(tensor(rgb, outline, skeleton, matrix))
        rows, columns = region
        return laid_out(
            softmax(logits[0], axis=0),
            matrix + matrix[:, :2] @ np.array([[0, 0, columns.start], [0, 0, rows.start]]),
            (rows.stop - rows.start, columns.stop - columns.start),
            index,
        )


def laid_out(
    shares: Floats,
    matrix: NDArray[np.float64],
    shape: tuple[int, int],
    index: NDArray[np.intp],
) -> Floats:
    """The model's planes (20, h, w) for pixels of another grid of ``shape``: (20, N).

    ``matrix`` (2, 3) leads from that grid's pixels to the input's; ``index`` (N,) says which of
    them, as if the grid were flat.
    """
    cells = matrix / CELL
    cells[:, 2] -= (CELL - 1) / (2 * CELL)  # a cell's answer stands in its middle
    plane = np.empty(shape, np.float32)
    result = np.empty((len(shares), len(index)), np.float32)
    for cls, (share, row) in enumerate(zip(shares, result, strict=True)):
        cv2.warpAffine(
            share,
            cells,
            shape[::-1],
            plane,
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=(float(cls == Class.BACKGROUND),),
        )
        np.take(plane, index, out=row, mode="clip")  # the usual mode copies once more
    return result
