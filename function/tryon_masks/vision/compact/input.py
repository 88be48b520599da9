"""What the garment parser is shown: the person's crop, the skeleton drawn over it, and the outline
that the pose model sees.

Training draws with this very module, so that the two can never differ.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from tryon_masks.domain.person import Box
from tryon_masks.domain.skeleton import SIDES, Skeleton

HEIGHT, WIDTH = 480, 320
"""Pixels of the parser's input; any multiples of 32 would do."""
MARGIN = 0.06
"""Around the person's box, as a share of its longer side."""
GREY = 127
"""What lies outside the photo, 0 to 255: the middle of the range."""
STROKE = 0.1
"""Thickness of a drawn bone, in units of the torso length T."""

Lines = tuple[tuple[str, str], ...]


def _both(*lines: tuple[str, str]) -> Lines:
    return tuple((f"{side}_{a}", f"{side}_{b}") for side in SIDES for a, b in lines)


PLANES: tuple[Lines, ...] = (
    (("left_ear", "nose"), ("right_ear", "nose"), ("left_mouth", "right_mouth")),
    (("left_shoulder", "right_shoulder"),),
    (*_both(("shoulder", "hip")), ("left_hip", "right_hip")),
    _both(("shoulder", "elbow")),
    _both(("elbow", "wrist")),
    _both(("wrist", "index"), ("wrist", "pinky")),
    _both(("hip", "knee")),
    _both(("knee", "ankle")),
    _both(("heel", "big_toe"), ("ankle", "heel")),
)
"""One plane a body segment: head, shoulders, trunk, upper arms, forearms, hands, thighs, shins,
feet. Left and right share a plane."""
CHANNELS = 3 + len(PLANES) + 1
"""Red, green, blue, the bones' planes and the outline."""
SHOWN = np.arange(256, dtype=np.float32) / np.float32(127.5) - 1
"""What the parser is shown of each value of 0 to 255: float32, -1 to 1."""


def crop_matrix(
    box: Box, skeleton: Skeleton, size: tuple[int, int] = (HEIGHT, WIDTH)
) -> NDArray[np.float64]:
    """Return the affine matrix (2, 3) from photo pixels to those of an input of ``size`` (H, W).

    The photo is turned by as many quarters as bring the neck above the hips. The box, grown by
    :data:`MARGIN`, fills the input as far as its aspect allows, centred.
    """
    turn = upright(skeleton)
    across, down = np.abs(turn) @ (box.width, box.height) + 2 * MARGIN * max(box.width, box.height)
    height, width = size
    scaled = min(width / across, height / down) * turn
    middle = np.array([(box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2])
    return np.column_stack([scaled, np.array([width, height]) / 2 - scaled @ middle])


def upright(skeleton: Skeleton) -> NDArray[np.float64]:
    """Return the rotation (2, 2) by whole quarters after which the neck is above the hips.

    No turn where a shoulder or a hip is missing.
    """
    neck, hip = skeleton.neck_base, skeleton.mid_hip
    x, y = (0.0, 1.0) if neck is None or hip is None else (hip[0] - neck[0], hip[1] - neck[1])
    down = (0.0, 1.0 if y >= 0 else -1.0) if abs(y) >= abs(x) else (1.0 if x > 0 else -1.0, 0.0)
    return np.array([(down[1], -down[0]), down])


def draw(
    skeleton: Skeleton, matrix: NDArray[np.float64], size: tuple[int, int] = (HEIGHT, WIDTH)
) -> NDArray[np.uint8]:
    """Draw the skeleton's bones as the parser's input has them.

    Parameters
    ----------
    skeleton
        In pixels of the photo; missing points draw nothing.
    matrix
        From :func:`crop_matrix`.
    size
        (H, W) of the input.

    Returns
    -------
    Shape (9, H, W), uint8, 0 or 255; see :data:`PLANES`.

    Raises
    ------
    ValueError
        The skeleton has no body unit.
    """
    unit = skeleton.torso
    if unit is None:
        raise ValueError("a skeleton without shoulders has no body unit")
    scale = float(np.hypot(*matrix[:, 0]))
    thickness = max(1, round(STROKE * unit * scale))
    planes = np.zeros((len(PLANES), *size), np.uint8)
    for plane, lines in zip(planes, PLANES, strict=True):
        for first, second in lines:
            a, b = skeleton.get(first), skeleton.get(second)
            if a is not None and b is not None:
                ends = np.array([a, b]) @ matrix[:, :2].T + matrix[:, 2]
                # Far outside the frame, fixed-point drawing would overflow.
                start, end = np.round(ends.clip(-4096, 4096) * 16).astype(int).tolist()
                cv2.line(plane, start, end, 255, thickness, cv2.LINE_AA, shift=4)
    return planes


def tensor(
    rgb: NDArray[np.uint8],
    outline: NDArray[np.uint8],
    skeleton: Skeleton,
    matrix: NDArray[np.float64],
    size: tuple[int, int] = (HEIGHT, WIDTH),
) -> NDArray[np.float32]:
    """Build the network's input.

    Parameters
    ----------
    rgb
        The photo (h, w, 3), uint8.
    outline
        Shape (h, w), uint8, 0 to 255 where the person is certain.
    skeleton
        In pixels of the photo.
    matrix
        From :func:`crop_matrix`.
    size
        (H, W) of the input.

    Returns
    -------
    Shape (1, 13, H, W), float32, -1 to 1; see :data:`CHANNELS`.
    """
    height, width = size
    crop = cv2.warpAffine(
        rgb,
        matrix,
        (width, height),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(GREY, GREY, GREY),
    )
    person = cv2.warpAffine(outline, matrix, (width, height), flags=cv2.INTER_LINEAR)
    result = np.empty((1, CHANNELS, height, width), np.float32)
    planes = (*cv2.split(crop), *draw(skeleton, matrix, size), person)
    for plane, values in zip(result[0], planes, strict=True):
        cv2.LUT(values, SHOWN, dst=plane)
    return result
