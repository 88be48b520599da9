"""What the models saw: candidates first, then the one person that was parsed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tryon_masks.domain import anatomy
from tryon_masks.domain.anatomy import Bone
from tryon_masks.domain.parts import BoolMask, Part, PartMap, where
from tryon_masks.domain.shapes import Region
from tryon_masks.domain.skeleton import Keypoint, Skeleton


@dataclass(frozen=True)
class Box:
    """Left, top, right, bottom in pixels; right and bottom lie outside the box."""

    x0: float
    y0: float
    x1: float
    y1: float

    @property
    def width(self) -> float:
        """Return the width in pixels, at least 0."""
        return max(0.0, self.x1 - self.x0)

    @property
    def height(self) -> float:
        """Return the height in pixels, at least 0."""
        return max(0.0, self.y1 - self.y0)

    @property
    def area(self) -> float:
        """Return the area in square pixels."""
        return self.width * self.height

    def overlap(self, other: Box) -> float:
        """Return the intersection over union with ``other``, 0 to 1."""
        width = min(self.x1, other.x1) - max(self.x0, other.x0)
        height = min(self.y1, other.y1) - max(self.y0, other.y0)
        if width <= 0 or height <= 0:
            return 0.0
        shared = width * height
        return shared / (self.area + other.area - shared)

    def clipped(self, width: int, height: int) -> Box:
        """Clip the box to a grid of that size in pixels."""
        return Box(
            min(max(self.x0, 0), width),
            min(max(self.y0, 0), height),
            min(max(self.x1, 0), width),
            min(max(self.y1, 0), height),
        )

    def surroundings(self, frame: tuple[int, int], margin: float) -> Region:
        """Return the rows and columns of a grid that hold the box and a margin.

        Parameters
        ----------
        frame
            The grid's (height, width) in pixels.
        margin
            Fraction of the box's longer side, on each side of the box.
        """
        pad = margin * max(self.width, self.height)
        x0, y0 = max(0, int(self.x0 - pad)), max(0, int(self.y0 - pad))
        x1, y1 = min(frame[1], int(self.x1 + pad) + 1), min(frame[0], int(self.y1 + pad) + 1)
        return slice(y0, y1), slice(x0, x1)

    def scaled(self, factor: float) -> Box:
        """Return the same box on a grid ``factor`` times as fine."""
        return Box(self.x0 * factor, self.y0 * factor, self.x1 * factor, self.y1 * factor)


@dataclass(frozen=True)
class Candidate:
    """Somebody in the photo, before parsing.

    ``box`` holds the visible person, clipped to the photo; ``score`` is 0 to 1.
    """

    box: Box
    score: float
    skeleton: Skeleton

    def scaled(self, factor: float) -> Candidate:
        """Return the same candidate on a grid ``factor`` times as fine."""
        return Candidate(self.box.scaled(factor), self.score, self.skeleton.scaled(factor))


@dataclass(frozen=True)
class Person:
    """The chosen person, on the working grid.

    Attributes
    ----------
    part_map
        Shape (H, W), uint8, see :class:`tryon_masks.domain.parts.Part`.
    confidence
        Shape (H, W), float32, 0 to 1: how sure the models are of each pixel's label.
    perhaps_lower
        Shape (H, W), bool: what the part map calls a top, and may be a dress, skirt or trousers.
        None: the models do not say.
    """

    box: Box
    score: float
    skeleton: Skeleton
    part_map: PartMap
    confidence: NDArray[np.float32]
    perhaps_lower: BoolMask | None = None

    def cut(self, rows: slice, columns: slice) -> Person:
        """Crop the person to a part of the grid; the box too counts from the crop's corner."""
        x, y = columns.start, rows.start
        box = Box(self.box.x0 - x, self.box.y0 - y, self.box.x1 - x, self.box.y1 - y)
        skeleton = self.skeleton.moved(-x, -y)
        grids = self.part_map[rows, columns], self.confidence[rows, columns]
        perhaps = None if self.perhaps_lower is None else self.perhaps_lower[rows, columns]
        return Person(box, self.score, skeleton, *grids, perhaps)

    def scaled(self, factor: float, size: tuple[int, int]) -> Person:
        """Resize the person to a grid of ``size`` (width, height), ``factor`` times as fine.

        Every pixel of the grids takes its nearest one's value.
        """

        def enlarged(grid: NDArray[Any]) -> NDArray[Any]:
            return np.asarray(cv2.resize(grid, size, interpolation=cv2.INTER_NEAREST))

        perhaps = self.perhaps_lower
        if perhaps is not None:
            perhaps = enlarged(perhaps.view(np.uint8)).view(bool)
        return Person(
            self.box.scaled(factor),
            self.score,
            self.skeleton.scaled(factor),
            enlarged(self.part_map),
            enlarged(self.confidence),
            perhaps,
        )

    @cached_property
    def bones(self) -> list[Bone]:
        """Return every bone whose two ends are there."""
        return anatomy.bones(self.skeleton, self.torso)

    @cached_property
    def body(self) -> BoolMask:
        """Return where the part map has something of this person: (H, W), dtype bool."""
        return ~where(self.part_map, {Part.BACKGROUND, Part.OTHER_PERSON})

    @cached_property
    def body_confidence(self) -> float:
        """Return the mean confidence over the body, 0 to 1; 1 where there is none of it."""
        if not self.body.any():
            return 1.0
        return float(cv2.mean(self.confidence, self.body.view(np.uint8))[0])

    @cached_property
    def trunk_area(self) -> int:
        """Return how much of the body lies above the hip line, in square pixels.

        Raises
        ------
        ValueError
            A shoulder is missing.
        """
        return int(np.count_nonzero(self.body & self.above_hips))

    @cached_property
    def above_hips(self) -> BoolMask:
        """Return the pixels above the hip line: (H, W), dtype bool.

        Raises
        ------
        ValueError
            A shoulder is missing.
        """
        axis = anatomy.axis(self.skeleton)
        if axis is None:
            raise ValueError("a person without shoulders has no hip line")
        return axis.above(self.part_map.shape)

    @property
    def keypoints(self) -> Mapping[str, Keypoint]:
        """Return every keypoint by name, however low its score."""
        return self.skeleton.keypoints

    @property
    def torso(self) -> float:
        """Return the body unit T in pixels; fitness refuses a person without one first."""
        torso = self.skeleton.torso
        if torso is None:
            raise ValueError("a person without shoulders has no body unit")
        return torso
