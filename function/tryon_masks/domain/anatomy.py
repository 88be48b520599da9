"""Where the limbs are, from the skeleton alone: bones, their widths, and the body's axis.

Widths are diameters in units of the torso length T, measured on standing adults.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tryon_masks.domain.parts import BoolMask, Part
from tryon_masks.domain.shapes import capsule
from tryon_masks.domain.skeleton import SHOULDER_WIDTHS_PER_TORSO, SIDES, Point, Side, Skeleton

Segment = Literal["head", "neck", "torso", "arm", "hand", "thigh", "shin", "foot"]

LIMBS: dict[tuple[Segment, Side | None], Part] = {
    ("head", None): Part.FACE,
    ("neck", None): Part.NECK,
    ("torso", None): Part.TORSO_SKIN,
    ("arm", "left"): Part.LEFT_ARM,
    ("arm", "right"): Part.RIGHT_ARM,
    ("hand", "left"): Part.LEFT_HAND,
    ("hand", "right"): Part.RIGHT_HAND,
    ("thigh", "left"): Part.LEFT_LEG,
    ("thigh", "right"): Part.RIGHT_LEG,
    ("shin", "left"): Part.LEFT_LEG,
    ("shin", "right"): Part.RIGHT_LEG,
    ("foot", "left"): Part.LEFT_SHOE,
    ("foot", "right"): Part.RIGHT_SHOE,
}
"""What bare skin on each bone is. A bare foot counts as its shoe: both are kept."""

FINGERTIPS = 1.9
"""The fingertips' distance from the wrist, in units of the knuckles'."""
CUFF = 0.12
"""Where the hand begins, from the wrist joint towards the fingertips: a sleeve covers the wrist."""
STANDING = 0.9
"""Cosine of the lean up to which a body stands."""
INSTEP = 1.0
"""Where the foot begins, from the ankle joint towards the heel."""
CHIN = 0.69
"""How far the chin lies below the mouth, in units of the distance from eyes to mouth."""
JAW = 0.44
"""How fast the jaw rises to the sides: ``CHIN - JAW * v**2`` in the same units."""
EARLOBE = 0.9
"""How far above the chin the jaw ends, in the same units."""


@dataclass(frozen=True)
class Bone:
    """A limb segment between two points, with its diameters in pixels at both."""

    segment: Segment
    side: Side | None
    start: Point
    end: Point
    width: tuple[float, float]

    def distance(self, x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the distance of points from the bone, in units of its half width there.

        Parameters
        ----------
        x, y
            Pixels, of any shapes that broadcast; the result has their common one, float32.
        """
        ax, ay, bx, by = map(float, (*self.start, *self.end))
        dx, dy = bx - ax, by - ay
        off_x, off_y = x - ax, y - ay
        along = (off_x * dx + off_y * dy) / (dx * dx + dy * dy or 1.0)
        along = np.minimum(np.maximum(along, 0), 1)
        off_x, off_y = off_x - along * dx, off_y - along * dy
        half = self.width[0] / 2 + along * ((self.width[1] - self.width[0]) / 2)
        # np.hypot is slow.
        return np.asarray(np.sqrt(off_x * off_x + off_y * off_y) / half, np.float32)

    def surroundings(self, reach: float) -> tuple[float, float, float, float]:
        """Return left, top, right, bottom of a box that holds all that is nearer than ``reach``."""
        pad = reach * max(self.width) / 2
        (ax, ay), (bx, by) = self.start, self.end
        return min(ax, bx) - pad, min(ay, by) - pad, max(ax, bx) + pad, max(ay, by) + pad


@dataclass(frozen=True)
class Axis:
    """The body's own up: ``hip`` is a point on the hip line, ``up`` a unit vector to the head."""

    hip: Point
    up: tuple[float, float]

    def height(self, x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the signed height over the hip line in pixels; ``x``, ``y``: see :func:`grid`."""
        across = (x - np.float32(self.hip[0])) * np.float32(self.up[0])
        result: NDArray[np.float32] = across + (y - np.float32(self.hip[1])) * np.float32(
            self.up[1]
        )
        return result

    def above(self, shape: tuple[int, ...]) -> BoolMask:
        """Return whether each pixel of a grid of ``shape`` (H, W) lies above the hip line."""
        x, y = grid(shape)
        # Much quicker than a grid of heights.
        return np.asarray((x - self.hip[0]) * self.up[0] > (self.hip[1] - y) * self.up[1])


def grid(shape: tuple[int, ...]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return x (1, W) and y (H, 1) of the pixel centres of a grid of ``shape``; they broadcast."""
    return (
        np.arange(shape[1], dtype=np.float32)[None, :],
        np.arange(shape[0], dtype=np.float32)[:, None],
    )


def axis(skeleton: Skeleton) -> Axis | None:
    """Return the body's axis; a lost hip is reckoned from the shoulders, never from the photo's
    corner.

    None where a shoulder is missing: then there is no body unit either.
    """
    neck, torso = skeleton.neck_base, skeleton.torso
    left, right = skeleton.get("left_shoulder"), skeleton.get("right_shoulder")
    if neck is None or torso is None or left is None or right is None:
        return None
    hip = skeleton.mid_hip
    if hip is not None:
        return Axis(hip, _upright(_unit((neck[0] - hip[0], neck[1] - hip[1]))))
    across = (left[0] - right[0], left[1] - right[1])
    up = _unit((across[1], -across[0]))
    head = skeleton.get("nose") or skeleton.middle("left_ear", "right_ear")
    toward = (head[0] - neck[0], head[1] - neck[1]) if head is not None else (0.0, -1.0)
    if up[0] * toward[0] + up[1] * toward[1] < 0:
        up = (-up[0], -up[1])
    one = skeleton.get("left_hip") or skeleton.get("right_hip")
    length = SHOULDER_WIDTHS_PER_TORSO * float(np.hypot(*across))
    if one is not None:
        length = (neck[0] - one[0]) * up[0] + (neck[1] - one[1]) * up[1]
    return Axis((neck[0] - length * up[0], neck[1] - length * up[1]), up)


def _unit(vector: tuple[float, float]) -> tuple[float, float]:
    length = float(np.hypot(*vector))
    return (0.0, -1.0) if length == 0 else (vector[0] / length, vector[1] / length)


def _upright(up: tuple[float, float]) -> tuple[float, float]:
    """Return straight up where the body stands: clothes hang by gravity, not along the torso."""
    return (0.0, -1.0) if -up[1] > STANDING else up


def _between(start: Point | None, end: Point | None, fraction: float) -> Point | None:
    if start is None or end is None:
        return None
    return (start[0] + fraction * (end[0] - start[0]), start[1] + fraction * (end[1] - start[1]))


def bones(skeleton: Skeleton, unit: float) -> list[Bone]:
    """Return every bone whose two ends are there; ``unit`` is T in pixels."""
    return list(_bones(skeleton, unit))


def nearest(
    bones: Sequence[Bone],
    x: NDArray[np.float32],
    y: NDArray[np.float32],
    reach: float = math.inf,
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Find the nearest bone of each point.

    Parameters
    ----------
    bones
        In the grid's pixels.
    x, y
        The points: shape (N,), float32, pixels.
    reach
        Distance in the bone's half widths beyond which nothing is near.

    Returns
    -------
    tuple
        The part of the nearest bone, see :data:`LIMBS`, (N,) uint8, and its distance in half
        widths, (N,) float32: background and ``reach`` where no bone is nearer than that.
    """
    part = np.full(len(x), Part.BACKGROUND, np.uint8)
    best = np.full(len(x), reach, np.float32)
    for bone in bones:
        nearby: slice | NDArray[np.intp] = slice(None)
        if reach < math.inf:
            left, top, right, bottom = bone.surroundings(reach)
            nearby = np.flatnonzero((x >= left) & (x <= right) & (y >= top) & (y <= bottom))
            if len(nearby) == 0:
                continue
        distance = bone.distance(x[nearby], y[nearby])
        closer = distance < best[nearby]
        best[nearby] = np.where(closer, distance, best[nearby])
        part[nearby] = np.where(closer, np.uint8(LIMBS[bone.segment, bone.side]), part[nearby])
    return part, best


def tube(
    bone: Bone, shape: tuple[int, ...], width_factor: float = 1.0
) -> tuple[tuple[slice, slice], BoolMask]:
    """Draw a bone with its width.

    Parameters
    ----------
    bone
        In the grid's pixels.
    shape
        The grid's (H, W).
    width_factor
        Factor of the bone's own width.

    Returns
    -------
    tuple
        Rows and columns of the grid that hold the bone, and the bone in them, dtype bool.
    """
    x0, y0, x1, y1 = bone.surroundings(width_factor)
    corners = np.array([(y0, x0), (y1 + 2, x1 + 2)]).clip(0, shape).astype(int)
    (top, left), (bottom, right) = corners.tolist()
    rows, columns = window = slice(top, bottom), slice(left, right)
    start, end = np.subtract([bone.start, bone.end], (columns.start, rows.start)).tolist()
    size = (rows.stop - rows.start, columns.stop - columns.start)
    widths = (width_factor * bone.width[0], width_factor * bone.width[1])
    return window, capsule(size, start, end, widths)


@dataclass(frozen=True)
class Points:
    """Some pixels of a grid, each with its place in the flattened grid: three arrays (N,)."""

    index: NDArray[np.intp]
    x: NDArray[np.float32]
    y: NDArray[np.float32]

    @classmethod
    def from_mask(cls, there: BoolMask) -> Points:
        """Return the pixels of ``there`` (H, W), dtype bool, row by row."""
        index = np.flatnonzero(there)
        # Much quicker than in 64 bits.
        place, width = index.astype(np.int32), np.int32(there.shape[1])
        y = place // width
        x = place - y * width
        return cls(index, x.astype(np.float32), y.astype(np.float32))

    def select(self, chosen: NDArray[np.bool_]) -> Points:
        """Return those pixels for which ``chosen`` (N,), dtype bool, says so."""
        return Points(self.index[chosen], self.x[chosen], self.y[chosen])


def chin(skeleton: Skeleton) -> Point | None:
    """Return the chin, from eyes and mouth."""
    eyes = skeleton.middle("left_eye", "right_eye")
    mouth = skeleton.middle("left_mouth", "right_mouth")
    return _between(eyes, mouth, 1 + CHIN)


def height_above_jaw(
    skeleton: Skeleton, x: NDArray[np.float32], y: NDArray[np.float32]
) -> NDArray[np.float32] | None:
    """Return how far points lie above the jaw, in distances from eyes to mouth.

    ``x`` and ``y`` are as in :func:`grid`. The jaw is a parabola through the chin, fitted to
    labelled street photos. None where eyes or mouth are not seen.
    """
    eyes, tip = skeleton.middle("left_eye", "right_eye"), chin(skeleton)
    if eyes is None or tip is None:
        return None
    up = _unit((eyes[0] - tip[0], eyes[1] - tip[1]))
    unit = float(np.hypot(eyes[0] - tip[0], eyes[1] - tip[1])) / (1 + CHIN)
    height = Axis(tip, up).height(x, y) / unit
    across = Axis(tip, (-up[1], up[0])).height(x, y) / unit
    result: NDArray[np.float32] = height - np.minimum(JAW * across**2, EARLOBE)
    return result


def above_jaw(skeleton: Skeleton, shape: tuple[int, int]) -> BoolMask:
    """Return whether skin of the head is face, not neck: (H, W); all True where no jaw is seen."""
    over = height_above_jaw(skeleton, *grid(shape))
    return np.ones(shape, bool) if over is None else np.asarray(over > 0)


def fingertips(skeleton: Skeleton, side: Side) -> Point | None:
    """Return where the fingers end, along the line from wrist to knuckles."""
    wrist = skeleton.get(f"{side}_wrist")
    knuckles = skeleton.middle(f"{side}_index", f"{side}_pinky")
    return _between(wrist, knuckles, FINGERTIPS)


def _bones(skeleton: Skeleton, unit: float) -> Iterator[Bone]:
    def bone(
        segment: Segment, side: Side | None, a: Point | None, b: Point | None, *width: float
    ) -> Iterator[Bone]:
        if a is not None and b is not None:
            yield Bone(segment, side, a, b, (width[0] * unit, width[1] * unit))

    get = skeleton.get
    below = chin(skeleton)
    yield from bone("head", None, skeleton.middle("left_ear", "right_ear"), get("nose"), 0.4, 0.3)
    yield from bone("head", None, get("nose"), below, 0.3, 0.16)
    yield from bone("neck", None, below, skeleton.neck_base, 0.22, 0.3)
    yield from bone("torso", None, skeleton.neck_base, skeleton.mid_hip, 0.4, 0.4)
    for side in SIDES:
        shoulder, elbow, wrist = (get(f"{side}_{n}") for n in ("shoulder", "elbow", "wrist"))
        hip, knee, ankle = (get(f"{side}_{n}") for n in ("hip", "knee", "ankle"))
        heel, toe = get(f"{side}_heel"), get(f"{side}_big_toe")
        yield from bone("arm", side, shoulder, elbow, 0.28, 0.22)
        palm = _between(wrist, fingertips(skeleton, side), CUFF) or wrist
        yield from bone("arm", side, elbow, palm, 0.22, 0.16)
        yield from bone("hand", side, palm, fingertips(skeleton, side), 0.17, 0.28)
        yield from bone("thigh", side, hip, knee, 0.4, 0.28)
        yield from bone("shin", side, knee, ankle, 0.28, 0.2)
        instep = _between(ankle, heel, INSTEP)
        yield from bone("foot", side, instep, toe, 0.14, 0.16)
        yield from bone("foot", side, heel, toe, 0.14, 0.14)
