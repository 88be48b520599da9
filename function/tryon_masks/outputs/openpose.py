"""Keypoints in OpenPose's orders and colours, and by name.

OpenPose's neck and mid-hip are outputs of its own model: here they are the middles of the shoulders
and of the hips. Of hands there are wrist and knuckles, of faces nothing but eyes, ears and nose.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tryon_masks.domain.skeleton import Keypoint, Side, Skeleton

VERSION = 1.3
"""OpenPose's, whose JSON format this is."""
HAND_POINTS = 21
"""Points of a hand in OpenPose's order: the wrist and four a finger."""
HAND = {0: "wrist", 2: "thumb", 5: "index", 17: "pinky"}
"""Place in OpenPose's hand -> our keypoint, the finger's knuckle."""
DIM = 0.6
"""Limbs have this share of their colour."""
RADIUS = 4
"""Pixels: of joints, and half the width of limbs."""


class PoseOrder(StrEnum):
    """OpenPose's two models of the body."""

    COCO_18 = "coco-18"
    BODY_25 = "body-25"


JOINTS: dict[PoseOrder, tuple[str | tuple[str, str], ...]] = {
    PoseOrder.COCO_18: (
        "nose",
        ("left_shoulder", "right_shoulder"),
        "right_shoulder",
        "right_elbow",
        "right_wrist",
        "left_shoulder",
        "left_elbow",
        "left_wrist",
        "right_hip",
        "right_knee",
        "right_ankle",
        "left_hip",
        "left_knee",
        "left_ankle",
        "right_eye",
        "left_eye",
        "right_ear",
        "left_ear",
    ),
    PoseOrder.BODY_25: (
        "nose",
        ("left_shoulder", "right_shoulder"),
        "right_shoulder",
        "right_elbow",
        "right_wrist",
        "left_shoulder",
        "left_elbow",
        "left_wrist",
        ("left_hip", "right_hip"),
        "right_hip",
        "right_knee",
        "right_ankle",
        "left_hip",
        "left_knee",
        "left_ankle",
        "right_eye",
        "left_eye",
        "right_ear",
        "left_ear",
        "left_big_toe",
        "left_small_toe",
        "left_heel",
        "right_big_toe",
        "right_small_toe",
        "right_heel",
    ),
}
"""A joint is a keypoint, or the middle of two."""

LIMBS: dict[PoseOrder, tuple[tuple[int, int], ...]] = {
    PoseOrder.COCO_18: (
        (1, 2),
        (1, 5),
        (2, 3),
        (3, 4),
        (5, 6),
        (6, 7),
        (1, 8),
        (8, 9),
        (9, 10),
        (1, 11),
        (11, 12),
        (12, 13),
        (1, 0),
        (0, 14),
        (14, 16),
        (0, 15),
        (15, 17),
    ),
    PoseOrder.BODY_25: (
        (1, 8),
        (1, 2),
        (1, 5),
        (2, 3),
        (3, 4),
        (5, 6),
        (6, 7),
        (8, 9),
        (9, 10),
        (10, 11),
        (8, 12),
        (12, 13),
        (13, 14),
        (1, 0),
        (0, 15),
        (15, 17),
        (0, 16),
        (16, 18),
        (14, 19),
        (19, 20),
        (14, 21),
        (11, 22),
        (22, 23),
        (11, 24),
    ),
}

COLOURS: dict[PoseOrder, tuple[tuple[int, int, int], ...]] = {
    PoseOrder.COCO_18: (
        (255, 0, 0),
        (255, 85, 0),
        (255, 170, 0),
        (255, 255, 0),
        (170, 255, 0),
        (85, 255, 0),
        (0, 255, 0),
        (0, 255, 85),
        (0, 255, 170),
        (0, 255, 255),
        (0, 170, 255),
        (0, 85, 255),
        (0, 0, 255),
        (85, 0, 255),
        (170, 0, 255),
        (255, 0, 255),
        (255, 0, 170),
        (255, 0, 85),
    ),
    PoseOrder.BODY_25: (
        (255, 0, 85),
        (255, 0, 0),
        (255, 85, 0),
        (255, 170, 0),
        (255, 255, 0),
        (170, 255, 0),
        (85, 255, 0),
        (0, 255, 0),
        (255, 0, 0),
        (0, 255, 85),
        (0, 255, 170),
        (0, 255, 255),
        (0, 170, 255),
        (0, 85, 255),
        (0, 0, 255),
        (255, 0, 170),
        (170, 0, 255),
        (255, 0, 255),
        (85, 0, 255),
        (0, 0, 255),
        (0, 0, 255),
        (0, 0, 255),
        (0, 255, 255),
        (0, 255, 255),
        (0, 255, 255),
    ),
}
"""RGB of joints."""


def joints(skeleton: Skeleton, order: PoseOrder) -> list[Keypoint | None]:
    """Return every joint in OpenPose's order, None where it is missing; a middle has the lower
    score.
    """
    return [_joint(skeleton, joint) for joint in JOINTS[order]]


def openpose_json(skeleton: Skeleton, order: PoseOrder) -> dict[str, Any]:
    """Write one person as OpenPose 1.3 does: x, y, score of each joint, and 0, 0, 0 where missing.

    Hands where a knuckle is seen, else an empty list as for a face.
    """
    return {
        "version": VERSION,
        "people": [
            {
                "person_id": [-1],
                "pose_keypoints_2d": _flat(joints(skeleton, order)),
                "face_keypoints_2d": [],
                "hand_left_keypoints_2d": _flat(_hand(skeleton, "left")),
                "hand_right_keypoints_2d": _flat(_hand(skeleton, "right")),
                "pose_keypoints_3d": [],
                "face_keypoints_3d": [],
                "hand_left_keypoints_3d": [],
                "hand_right_keypoints_3d": [],
            }
        ],
    }


def named_json(skeleton: Skeleton, size: tuple[int, int]) -> dict[str, Any]:
    """Return the visible keypoints by name; ``size`` is the grid's (width, height) in pixels."""
    points = {
        name: [round(k.x, 2), round(k.y, 2), round(k.score, 4)]
        for name, k in sorted(skeleton.keypoints.items())
        if skeleton.has(name)
    }
    return {"width": size[0], "height": size[1], "keypoints": points}


def drawing(
    skeleton: Skeleton, size: tuple[int, int], order: PoseOrder = PoseOrder.COCO_18
) -> NDArray[np.uint8]:
    """Draw the skeleton on black.

    COCO-18 is drawn as DWPose does it: the limb's place gives its colour, and joints lie over it in
    full colour. BODY_25 as OpenPose does it: a limb has its farther joint's colour, and all is dim.

    Parameters
    ----------
    skeleton
        In pixels of the picture.
    size
        (width, height) in pixels.
    order
        Which of OpenPose's models is followed.

    Returns
    -------
    Shape (height, width, 3), uint8, RGB.
    """
    canvas = np.zeros((size[1], size[0], 3), np.uint8)
    colours, points = COLOURS[order], joints(skeleton, order)
    dwpose = order is PoseOrder.COCO_18
    for place, (a, b) in enumerate(LIMBS[order]):
        start, end = points[a], points[b]
        if start is not None and end is not None:
            _limb(canvas, start, end, _dim(colours[place if dwpose else b]))
    for point, colour in zip(points, colours, strict=True):
        if point is not None:
            at = (round(point.x), round(point.y))
            cv2.circle(canvas, at, RADIUS, colour if dwpose else _dim(colour), -1)
    return canvas


def _joint(skeleton: Skeleton, joint: str | tuple[str, str]) -> Keypoint | None:
    names = (joint,) if isinstance(joint, str) else joint
    if not skeleton.has(*names):
        return None
    seen = [skeleton.keypoints[name] for name in names]
    x, y = (sum(values) / len(seen) for values in zip(*((k.x, k.y) for k in seen), strict=True))
    return Keypoint(x, y, min(k.score for k in seen))


def _hand(skeleton: Skeleton, side: Side) -> list[Keypoint | None]:
    points = {place: _joint(skeleton, f"{side}_{name}") for place, name in HAND.items()}
    if not any(point for place, point in points.items() if place):
        return []
    return [points.get(place) for place in range(HAND_POINTS)]


def _flat(points: Sequence[Keypoint | None]) -> list[float]:
    return [
        value
        for k in points
        for value in ((0, 0, 0) if k is None else (round(k.x, 3), round(k.y, 3), round(k.score, 6)))
    ]


def _limb(
    canvas: NDArray[np.uint8], start: Keypoint, end: Keypoint, colour: tuple[int, int, int]
) -> None:
    dx, dy = end.x - start.x, end.y - start.y
    centre = (round((start.x + end.x) / 2), round((start.y + end.y) / 2))
    axes = (round(math.hypot(dx, dy) / 2), RADIUS)
    angle = round(math.degrees(math.atan2(dy, dx)))
    outline = np.array(cv2.ellipse2Poly(centre, axes, angle, 0, 360, 1), np.int32)
    cv2.fillConvexPoly(canvas, outline, colour)


def _dim(colour: tuple[int, int, int]) -> tuple[int, int, int]:
    red, green, blue = (int(value * DIM) for value in colour)
    return red, green, blue
