"""Small geometry on pixel grids. Lengths are in pixels; callers turn body units into pixels."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from tryon_masks.domain.parts import BoolMask
from tryon_masks.domain.skeleton import Point

Region = tuple[slice, slice]
"""Rows and columns."""


def whole_grid(shape: tuple[int, ...]) -> Region:
    """Return the rows and columns of a whole grid of ``shape``, (height, width) in front."""
    return slice(0, shape[0]), slice(0, shape[1])


def capsule(
    shape: tuple[int, int], start: Point, end: Point, width: tuple[float, float]
) -> BoolMask:
    """Draw a limb: round ends, straight sides.

    Parameters
    ----------
    shape
        (height, width) of the grid. Whatever lies outside is cut off, never wrapped.
    start, end
        The limb's ends (x, y) in pixels.
    width
        Diameters at start and end in pixels.

    Returns
    -------
    Shape ``shape``, dtype bool.

    Raises
    ------
    ValueError
        An end lies absurdly far outside the grid.
    """
    (ax, ay), (bx, by) = start, end
    ra, rb = width[0] / 2, width[1] / 2
    dx, dy = bx - ax, by - ay
    length = float(np.hypot(dx, dy))
    canvas = np.zeros(shape, np.uint8)
    # Sixteen steps of sub-pixel accuracy; a point far outside would overflow OpenCV's integers.
    # Plain numbers, for arrays of two cost more than the drawing.
    if not all(abs(one) < 1e5 for one in (ax, ay, bx, by)):
        raise ValueError("a limb lies absurdly far outside the photo")
    if canvas.size == 0:
        return canvas.view(bool)
    for x, y, radius in ((ax, ay, ra), (bx, by, rb)):
        centre = (round(x * 16), round(y * 16))
        cv2.circle(canvas, centre, round(radius * 16), 1, -1, shift=4)
    if length > 0:
        x, y = -dy / length, dx / length
        corners = (
            (ax + ra * x, ay + ra * y),
            (bx + rb * x, by + rb * y),
            (bx - rb * x, by - rb * y),
            (ax - ra * x, ay - ra * y),
        )
        sixteenths = np.array([(round(x * 16), round(y * 16)) for x, y in corners], np.int32)
        cv2.fillConvexPoly(canvas, sixteenths, 1, shift=4)
    return canvas.view(bool)


def grow(mask: BoolMask, radius: float) -> BoolMask:
    """Dilate a mask by a disc.

    Parameters
    ----------
    mask
        Shape (H, W), dtype bool.
    radius
        In pixels, by Euclidean distance; under 0.5 nothing changes.

    Returns
    -------
    Every pixel within ``radius`` of ``mask``: shape (H, W), dtype bool.
    """
    if radius < 0.5 or not mask.any():
        return mask
    height, width = mask.shape
    pad = int(radius) + 1
    x, y, across, down = cv2.boundingRect(mask.view(np.uint8))
    window = (
        slice(max(0, y - pad), min(height, y + down + pad)),
        slice(max(0, x - pad), min(width, x + across + pad)),
    )
    distance = cv2.distanceTransform((~mask[window]).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
    grown = np.zeros(mask.shape, bool)
    np.less_equal(distance, radius, out=grown[window])
    return grown


def stretch(mask: BoolMask, top: float, bottom: float, left: float, right: float) -> BoolMask:
    """Dilate a mask by a rectangle.

    Parameters
    ----------
    mask
        Shape (H, W), dtype bool.
    top, bottom, left, right
        How far it grows to each side, in pixels, 0 or more.
    """
    t, b, le, r = (round(v) for v in (top, bottom, left, right))
    if t == b == le == r == 0:
        return mask
    kernel = np.ones((t + b + 1, le + r + 1), np.uint8)
    # dilate looks from (x - anchor) to (x - anchor + size - 1): to grow leftwards, look right.
    return np.asarray(cv2.dilate(mask.view(np.uint8), kernel, anchor=(r, b))) > 0


def holes(mask: BoolMask, largest: float) -> BoolMask:
    """Return the holes of a mask that are not larger than a bound.

    Parameters
    ----------
    mask
        Shape (H, W), dtype bool.
    largest
        Greatest area in square pixels. What lies inside a hole counts as part of it.
    """
    canvas = np.zeros(mask.shape, np.uint8)
    for contour, inner in _contours(mask):
        if inner and cv2.contourArea(contour) - len(contour) / 2 + 1 <= largest:
            cv2.drawContours(canvas, [contour], -1, 1, cv2.FILLED)
    return canvas.view(bool) & ~mask


def without_specks(mask: BoolMask, smallest: float) -> BoolMask:
    """Remove the small pieces of a mask.

    Parameters
    ----------
    mask
        Shape (H, W), dtype bool.
    smallest
        Least area of a piece that stays, in square pixels, its holes counted.
    """
    canvas = mask.astype(np.uint8)
    for contour, inner in _contours(mask):
        steps = len(contour) if len(contour) > 1 else 0
        if not inner and cv2.contourArea(contour) + steps / 2 + 1 < smallest:
            cv2.drawContours(canvas, [contour], -1, 0, cv2.FILLED)
    return canvas.view(bool)


def _contours(mask: BoolMask) -> Iterator[tuple[NDArray[np.int32], bool]]:
    """Yield every closed line through the pixels along an edge of ``mask``; whether it is a hole's.

    By Pick's theorem the lines give areas in pixels, in a tenth of the time of labelling pieces.
    """
    contours, tree = cv2.findContours(mask.view(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    for contour, (*_, parent) in zip(contours, tree[0] if contours else (), strict=True):
        yield np.asarray(contour, np.int32), parent >= 0


def smooth(mask: BoolMask, radius: float) -> BoolMask:
    """Round off the corners and bays of ``mask`` that are smaller than about ``radius`` pixels."""
    if radius < 0.5:
        return mask
    blurred = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), radius)
    return np.asarray(blurred >= 0.5)


def hulls(mask: BoolMask) -> BoolMask:
    """Fill the convex hull of each connected piece of ``mask`` (H, W), dtype bool."""
    canvas = np.zeros(mask.shape, np.uint8)
    contours, _ = cv2.findContours(mask.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    for contour in contours:
        cv2.fillConvexPoly(canvas, cv2.convexHull(contour), 1)
    return canvas.view(bool)
