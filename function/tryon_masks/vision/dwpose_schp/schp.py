"""SCHP: human parsing in the classes of ATR or of LIP.

Model cards: ``models/cards/parsing_atr.md``, ``models/cards/parsing_lip.md``. Paper: Li et al.,
Self-Correction for Human Parsing, arXiv:1910.09777.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum, unique
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tryon_masks.vision.runtime import Floats, Model

LabelMap = NDArray[np.uint8]
"""Shape (H, W): one value of :class:`Atr` or of :class:`Lip` per pixel."""

BGR_MEAN = np.array([0.406, 0.456, 0.485], np.float32)
BGR_STD = np.array([0.225, 0.224, 0.229], np.float32)
FUSED = 1
"""The output, of three, that joins those of parsing and of edges."""

BAND = 32
"""Rows or columns."""


@unique
class Atr(IntEnum):
    """The classes of ATR. Left and right are the person's own."""

    BACKGROUND = 0
    HAT = 1
    HAIR = 2
    SUNGLASSES = 3
    UPPER_CLOTHES = 4
    SKIRT = 5
    PANTS = 6
    DRESS = 7
    BELT = 8
    LEFT_SHOE = 9
    RIGHT_SHOE = 10
    FACE = 11
    LEFT_LEG = 12
    RIGHT_LEG = 13
    LEFT_ARM = 14
    RIGHT_ARM = 15
    BAG = 16
    SCARF = 17


@unique
class Lip(IntEnum):
    """The classes of LIP. Left and right are the person's own."""

    BACKGROUND = 0
    HAT = 1
    HAIR = 2
    GLOVE = 3
    SUNGLASSES = 4
    UPPER_CLOTHES = 5
    DRESS = 6
    COAT = 7
    SOCKS = 8
    PANTS = 9
    JUMPSUITS = 10
    SCARF = 11
    SKIRT = 12
    FACE = 13
    LEFT_ARM = 14
    RIGHT_ARM = 15
    LEFT_LEG = 16
    RIGHT_LEG = 17
    LEFT_SHOE = 18
    RIGHT_SHOE = 19


class HumanParser:
    """One label per pixel of a whole photo.

    Parameters
    ----------
    path
        A file whose digest was checked.
    threads
        Intra-op threads.
    side
        Of the model's square input, in pixels: 512 for ATR, 473 for LIP.
    """

    def __init__(self, path: Path, threads: int, side: int) -> None:
        self._model = Model(path, threads, (FUSED,))
        self._side = side

    def parse(self, rgb: NDArray[np.uint8]) -> LabelMap:
        """Label every pixel of ``rgb`` (H, W, 3)."""
        zoom, shift = self._layout(rgb.shape[:2])
        matrix = np.array([[zoom, 0, shift[1]], [0, zoom, shift[0]]])
        bgr = np.ascontiguousarray(rgb[..., ::-1])
        square = cv2.warpAffine(bgr, matrix, (self._side, self._side), flags=cv2.INTER_LINEAR)
        tensor = ((square / np.float32(255) - BGR_MEAN) / BGR_STD).transpose(2, 0, 1)[None]
        (logits,) = self._model.run(np.ascontiguousarray(tensor))
        rows, columns = (
            self._resampling(length, zoom, start, logits.shape[-1])
            for length, start in zip(rgb.shape[:2], shift, strict=True)
        )
        return _argmax(logits[0], rows, columns)

    def _layout(self, frame: tuple[int, ...]) -> tuple[float, tuple[float, float]]:
        """Return input pixels per photo pixel, and where the first row and column lie on the input.

        The photo's longer side reaches from the first pixel's centre to the last one's; the other
        is centred.
        """
        last = self._side - 1
        zoom = last / max(1, max(frame) - 1)
        top, left = ((last - zoom * (length - 1)) / 2 for length in frame)
        return zoom, (top, left)

    def _resampling(self, length: int, zoom: float, start: float, cells: int) -> Floats:
        """Return weights (length, cells) that take an output's rows or columns to the photo's.

        Twice linear, corners aligned: from the answer's cells to input pixels, and on to the photo.
        """
        pixels = _interpolation(start + zoom * np.arange(length), self._side)
        inputs = _interpolation(np.linspace(0, cells - 1, self._side), cells)
        return _product(pixels, inputs)


def _interpolation(places: NDArray[np.floating], samples: int) -> Floats:
    """Return weights (N, samples) of linear interpolation between samples 0, 1, 2 ..."""
    below = np.floor(places).clip(0, samples - 2).astype(int)
    fraction = (places - below).clip(0, 1)
    each = np.arange(len(places))
    weights = np.zeros((len(places), samples), np.float32)
    weights[each, below] = 1 - fraction
    weights[each, below + 1] = fraction
    return weights


def _bands(weights: Floats) -> Iterator[tuple[slice, slice, Floats]]:
    """Yield a few rows of ``weights`` at a time: which, the samples that they use, their weights.

    Neighbours use the same few samples. Products that small fit the processor's cache and stay on
    one thread: numpy's own threads and ONNX Runtime's would wait for each other.
    """
    for top in range(0, len(weights), BAND):
        band = slice(top, top + BAND)
        used = np.flatnonzero(weights[band].any(axis=0))
        samples = slice(used[0], used[-1] + 1)
        yield band, samples, weights[band, samples]


def _product(weights: Floats, samples: Floats) -> Floats:
    """Return ``weights @ samples``, a band at a time."""
    result = np.empty((len(weights), samples.shape[1]), np.float32)
    for band, used, some in _bands(weights):
        result[band] = some @ samples[used]
    return result


def _argmax(logits: Floats, rows: Floats, columns: Floats) -> LabelMap:
    """Return the largest class of every pixel; ``logits`` (C, s, s), a band in memory at a time."""
    wide = [_product(columns, small.T).T for small in logits]
    labels = np.zeros((len(rows), len(columns)), np.uint8)
    for band, used, some in _bands(rows):
        best = some @ wide[0][used]
        for label, plane in enumerate(wide[1:], 1):
            values = some @ plane[used]
            np.copyto(labels[band], np.uint8(label), where=values > best)
            np.maximum(best, values, out=best)
    return labels
