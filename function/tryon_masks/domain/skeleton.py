"""Named keypoints and body units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np

Point = tuple[float, float]
"""(x, y) in pixels of the photo's working grid, x to the right, y down."""

Side = Literal["left", "right"]
SIDES: tuple[Side, Side] = ("left", "right")

COCO17 = (
    "nose",
    "left_eye",
    "right_eye",
    "left_ear",
    "right_ear",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
)
EXTRA = tuple(
    f"{side}_{name}"
    for side in SIDES
    for name in ("big_toe", "small_toe", "heel", "thumb", "index", "pinky", "mouth")
)
NAMES = frozenset(COCO17 + EXTRA)

SHOULDER_WIDTHS_PER_TORSO = 1.35
"""Length of a standing adult's torso, in widths of the shoulders."""


@dataclass(frozen=True)
class Keypoint:
    """A point (x, y) in pixels with the model's score, 0 to 1."""

    x: float
    y: float
    score: float


@dataclass(frozen=True)
class Skeleton:
    """Named keypoints; one under ``threshold`` is missing everywhere, never (0, 0).

    Raises
    ------
    ValueError
        A name is not one of :data:`NAMES`.
    """

    keypoints: Mapping[str, Keypoint]
    threshold: float = 0.5
    _seen: dict[str, Point] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if unknown := set(self.keypoints) - NAMES:
            raise ValueError(f"unknown keypoint names: {sorted(unknown)}")
        seen = {n: (k.x, k.y) for n, k in self.keypoints.items() if k.score >= self.threshold}
        object.__setattr__(self, "_seen", seen)

    def get(self, name: str) -> Point | None:
        """Return the point (x, y) in pixels, or None where it is missing."""
        return self._seen.get(name)

    def has(self, *names: str) -> bool:
        """Return whether all of ``names`` are there."""
        return all(name in self._seen for name in names)

    def middle(self, first: str, second: str) -> Point | None:
        """Return the point half way between two; None where either is missing."""
        a, b = self.get(first), self.get(second)
        return None if a is None or b is None else ((a[0] + b[0]) / 2, (a[1] + b[1]) / 2)

    @cached_property
    def neck_base(self) -> Point | None:
        """Return the middle of the shoulders, or None."""
        return self.middle("left_shoulder", "right_shoulder")

    @cached_property
    def mid_hip(self) -> Point | None:
        """Return the middle of the hips, or None."""
        return self.middle("left_hip", "right_hip")

    @cached_property
    def torso(self) -> float | None:
        """Return the body unit T in pixels: the distance from mid-shoulder to mid-hip.

        1.35 x shoulder width where a hip is missing; None where a shoulder is missing as well.
        """
        left, right = self.get("left_shoulder"), self.get("right_shoulder")
        if left is None or right is None:
            return None
        width = float(np.hypot(left[0] - right[0], left[1] - right[1]))
        neck, hip = self.neck_base, self.mid_hip
        if neck is None or hip is None:
            return SHOULDER_WIDTHS_PER_TORSO * width
        return float(np.hypot(hip[0] - neck[0], hip[1] - neck[1]))

    def scaled(self, factor: float) -> Skeleton:
        """Return the same points on a grid ``factor`` times as fine."""
        points = {
            name: Keypoint(k.x * factor, k.y * factor, k.score)
            for name, k in self.keypoints.items()
        }
        return Skeleton(points, self.threshold)

    def moved(self, dx: float, dy: float) -> Skeleton:
        """Translate the points by ``dx`` and ``dy`` pixels to the right and down."""
        points = {name: Keypoint(k.x + dx, k.y + dy, k.score) for name, k in self.keypoints.items()}
        return Skeleton(points, self.threshold)
