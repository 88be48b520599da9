"""BlazePose: who is in the photo, and where their joints are.

Two graphs: a person detector (single-shot, 2254 anchors) and a landmark model on a square crop,
turned upright. Model cards: ``models/cards/person_detector.md``, ``models/cards/pose_landmark.md``.
Paper: Bazarevsky et al., BlazePose: On-device Real-time Body Pose tracking, 2020.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tryon_masks.domain.person import Box, Candidate
from tryon_masks.domain.shapes import whole_grid
from tryon_masks.domain.skeleton import SHOULDER_WIDTHS_PER_TORSO, Keypoint, Point, Skeleton
from tryon_masks.vision.runtime import Floats, Model, sigmoid

DETECTOR_SIDE = 224
"""Pixels of the detector's input, from its model card."""
DETECTOR_ANCHORS = ((8, 2), (16, 2), (32, 6))
"""(stride in pixels, anchors a cell)."""
DETECTION_THRESHOLD = 0.5
"""Score from which a detection counts by itself; what is less sure needs others to say so too."""
HINT_THRESHOLD = 0.1
"""Score under which a detection says nothing."""
NMS_OVERLAP = 0.3
"""Intersection over union from which two detections are one person's, from MediaPipe's graph."""

CROP_SIDE = 256
"""Pixels of the landmark model's input, from its model card."""
CROP_MARGIN = 1.25
"""Factor of the circle about a person that the crop holds, from MediaPipe's graph."""
POSE_THRESHOLD = 0.5
"""Score from which the landmark model has seen somebody, 0 to 1, from MediaPipe's graph."""
OUTLINE_THRESHOLD = 0.5
"""Probability from which a pixel is the person's."""
MAX_SHIFT, MAX_GROWTH, MAX_TURN = 0.06, 1.15, 0.1
"""Up to where a second look would see nothing new: share of the side, factor, radians."""
HEATMAP_SIDE = 64
"""Cells of a heatmap a side."""
HEATMAP_RADIUS = 3
"""Cells about a landmark in which its peak is looked for, from MediaPipe's graph."""
HEATMAP_THRESHOLD = 0.5
"""Probability from which a heatmap has a clear peak, from MediaPipe's graph."""
SHOULDERS, HIPS = slice(11, 13), slice(23, 25)
"""Places of these landmarks, in pairs."""
CENTRE, RIM = 33, 34
"""Auxiliary landmarks: the next crop's centre and a point on its circle."""

LANDMARKS = {
    "nose": 0,
    "left_eye": 2,
    "right_eye": 5,
    "left_ear": 7,
    "right_ear": 8,
    "left_mouth": 9,
    "right_mouth": 10,
    "left_shoulder": 11,
    "right_shoulder": 12,
    "left_elbow": 13,
    "right_elbow": 14,
    "left_wrist": 15,
    "right_wrist": 16,
    "left_pinky": 17,
    "right_pinky": 18,
    "left_index": 19,
    "right_index": 20,
    "left_thumb": 21,
    "right_thumb": 22,
    "left_hip": 23,
    "right_hip": 24,
    "left_knee": 25,
    "right_knee": 26,
    "left_ankle": 27,
    "right_ankle": 28,
    "left_heel": 29,
    "right_heel": 30,
    "left_big_toe": 31,
    "right_big_toe": 32,
}


@dataclass(frozen=True)
class Crop:
    """A square of the photo, turned: centre and side in pixels, angle in radians, clockwise."""

    x: float
    y: float
    side: float
    angle: float

    @classmethod
    def around(cls, centre: NDArray[np.floating], rim: NDArray[np.floating]) -> Crop:
        """Return the square around a circle, turned until ``rim`` lies above ``centre``."""
        dx, dy = (rim - centre).tolist()
        side = 2 * CROP_MARGIN * float(np.hypot(dx, dy))
        return cls(float(centre[0]), float(centre[1]), side, float(np.arctan2(dx, -dy)))

    def near(self, other: Crop) -> bool:
        """Return whether ``other`` shows the model much the same picture."""
        moved = float(np.hypot(other.x - self.x, other.y - self.y)) / self.side
        grown = max(self.side, other.side) / min(self.side, other.side)
        turned = abs((other.angle - self.angle + np.pi) % (2 * np.pi) - np.pi)
        return moved < MAX_SHIFT and grown < MAX_GROWTH and turned < MAX_TURN

    @property
    def to_photo(self) -> NDArray[np.float64]:
        """Return the affine matrix (2, 3) from crop pixels (0..256) to photo pixels."""
        step = self.side / CROP_SIDE
        cos, sin = step * np.cos(self.angle), step * np.sin(self.angle)
        turn = np.array([[cos, -sin], [sin, cos]])
        shift = np.array([self.x, self.y]) - turn @ np.full(2, CROP_SIDE / 2)
        return np.column_stack([turn, shift])

    def cut(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the square's pixels, (256, 256, 3), uint8; black where it leaves the photo."""
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return np.asarray(cv2.warpAffine(rgb, self.to_photo, (CROP_SIDE, CROP_SIDE), flags=flags))


@dataclass(frozen=True)
class Detection:
    """Somebody, perhaps: where to look for the pose, the neck (x, y) in photo pixels, 0 to 1."""

    crop: Crop
    neck: Point
    score: float

    @property
    def confident(self) -> bool:
        """Return whether it counts by itself."""
        return self.score >= DETECTION_THRESHOLD


@dataclass(frozen=True)
class Pose:
    """One run of the landmark model, in photo pixels.

    ``points`` (39, 2); ``presence`` (39,): in the frame, 0 to 1; ``score`` of the whole pose;
    ``outline`` (256, 256) person probability on ``crop``.
    """

    points: Floats
    presence: Floats
    score: float
    outline: Floats
    crop: Crop

    @property
    def neck(self) -> NDArray[np.float64]:
        """Return the middle of the shoulders (x, y), whether it is seen or not."""
        return np.asarray(self.points[SHOULDERS].mean(axis=0), np.float64)

    @property
    def unit(self) -> float:
        """Return the torso's length in pixels, or the shoulders' where that is foreshortened."""
        across = np.subtract(*self.points[SHOULDERS])
        down = self.neck - self.points[HIPS].mean(axis=0)
        return max(float(np.hypot(*down)), SHOULDER_WIDTHS_PER_TORSO * float(np.hypot(*across)))

    def outline_on(self, rows: slice, columns: slice) -> Floats:
        """Resample the outline to a region of the photo's grid: float32, 0 to 1; 0 outside the
        crop.
        """
        matrix = self.crop.to_photo
        matrix[:, 2] -= columns.start, rows.start
        size = (columns.stop - columns.start, rows.stop - rows.start)
        return np.asarray(cv2.warpAffine(self.outline, matrix, size))


class PersonDetector:
    """Finds people as circles around their hips."""

    def __init__(self, path: Path, threads: int) -> None:
        self._model = Model(path, threads, ("Identity", "Identity_1"))
        self._anchors = anchor_centres()

    def find(self, rgb: NDArray[np.uint8], share: float = 1.0) -> list[Detection]:
        """Find everybody in ``rgb`` (H, W, 3), uint8, who is at least hinted at, best first.

        The photo's longer side takes ``share`` of the side of what the model is shown, up to 1.
        """
        height, width = rgb.shape[:2]
        scale = share * DETECTOR_SIDE / max(height, width)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
        left, top = (DETECTOR_SIDE - size[0]) // 2, (DETECTOR_SIDE - size[1]) // 2
        canvas = np.zeros((1, DETECTOR_SIDE, DETECTOR_SIDE, 3), np.float32)
        canvas[0, top : top + size[1], left : left + size[0]] = small / 127.5 - 1.0
        raw, logits = self._model.run(canvas)
        scores = sigmoid(logits[0, :, 0])
        keep = scores >= HINT_THRESHOLD
        offsets = raw[0, keep].reshape(-1, 6, 2)
        values = offsets / DETECTOR_SIDE
        values[:, [0, 2, 3, 4, 5]] += self._anchors[keep][:, None]
        pad, unit = np.array([left, top]) / DETECTOR_SIDE, DETECTOR_SIDE / scale
        found = []
        for merged, score in merge_detections(values, scores[keep]):
            hips, rim, neck = (merged[2:5] - pad) * unit
            found.append(Detection(Crop.around(hips, rim), (float(neck[0]), float(neck[1])), score))
        return found


class PoseModel:
    """33 body landmarks and 6 auxiliary ones on an upright square crop."""

    def __init__(self, path: Path, threads: int) -> None:
        outputs = ("Identity", "Identity_1", "Identity_2", "Identity_3")
        self._model = Model(path, threads, outputs)

    def infer(
        self, rgb: NDArray[np.uint8], crop: Crop, least: float = POSE_THRESHOLD
    ) -> Pose | None:
        """Infer the pose in ``crop``, or in the better crop that the first pose suggests if it
        differs.

        None where the model sees nobody, or at first less of somebody than ``least``, 0 to 1.
        """
        pose = self._run(rgb, crop)
        if pose.score < least:
            return None
        better = Crop.around(pose.points[CENTRE], pose.points[RIM])
        if better.side > 0 and not crop.near(better):
            pose = self._run(rgb, better)
        return pose if pose.score >= POSE_THRESHOLD else None

    def _run(self, rgb: NDArray[np.uint8], crop: Crop) -> Pose:
        tensor = crop.cut(rgb).astype(np.float32)[None] / 255.0
        raw, score, outline, heatmaps = self._model.run(tensor)
        landmarks = raw.reshape(39, 5)
        points = refine_landmarks(landmarks[:, :2], heatmaps[0])
        matrix = crop.to_photo
        return Pose(
            points=(points @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32),
            presence=sigmoid(landmarks[:, 4]),
            score=float(score[0, 0]),
            outline=sigmoid(outline[0, :, :, 0]),
            crop=crop,
        )


def anchor_centres() -> Floats:
    """Return the cell centres of every anchor, shape (2254, 2), x and y 0 to 1."""
    rows = []
    for stride, count in DETECTOR_ANCHORS:
        cells = DETECTOR_SIDE // stride
        y, x = np.mgrid[:cells, :cells]
        centres = (np.stack([x, y], -1).reshape(-1, 2) + 0.5) / cells
        rows.append(np.repeat(centres, count, axis=0))
    return np.concatenate(rows).astype(np.float32)


def merge_detections(values: Floats, scores: Floats) -> list[tuple[Floats, float]]:
    """Apply weighted non-maximum suppression: (N, 6, 2) centre, size, four points -> one a person.

    With each, the score of the surest. What is not sure moves nothing that is.
    """
    boxes = [
        Box(x - w / 2, y - h / 2, x + w / 2, y + h / 2) for (x, y), (w, h) in values[:, :2].tolist()
    ]
    left = list(np.argsort(-scores))
    people = []
    while left:
        best = left[0]
        group = [i for i in left if i == best or boxes[i].overlap(boxes[best]) > NMS_OVERLAP]
        least = DETECTION_THRESHOLD if scores[best] >= DETECTION_THRESHOLD else 0.0
        alike = [i for i in group if scores[i] >= least]
        merged = np.average(values[alike], axis=0, weights=scores[alike])
        people.append((merged, float(scores[best])))
        left = [i for i in left if i not in group]
    return people


def refine_landmarks(points: Floats, heatmaps: Floats) -> Floats:
    """Move each landmark to the centre of mass of its heatmap peak, where there is a clear one.

    ``points`` (39, 2) in crop pixels; ``heatmaps`` (64, 64, 39), logits.
    """
    step = CROP_SIDE / HEATMAP_SIDE
    window = np.arange(-HEATMAP_RADIUS, HEATMAP_RADIUS + 1)
    columns, rows = (points / step).T.astype(int)[:, :, None] + window
    on_map = [(cells >= 0) & (cells < HEATMAP_SIDE) for cells in (columns, rows)]
    x, y = (cells.clip(0, HEATMAP_SIDE - 1) for cells in (columns, rows))
    peaks = sigmoid(heatmaps[y[:, :, None], x[:, None, :], np.arange(len(points))[:, None, None]])
    # A point off the crop has an empty patch, not one that wraps to the far side.
    peaks *= on_map[0][:, None, :] & on_map[1][:, :, None]
    clear = peaks.max(axis=(1, 2)) >= HEATMAP_THRESHOLD
    refined = points.copy()
    for axis, cells, across in ((0, x, 1), (1, y, 2)):
        along = peaks.sum(axis=across)
        centre = (along * cells).sum(axis=1)[clear] / along.sum(axis=1)[clear]
        refined[clear, axis] = centre * step
    return refined


def to_candidate(pose: Pose, frame: tuple[int, int]) -> Candidate | None:
    """Name the pose's points, and box its outline and joints inside ``frame``.

    ``frame`` is (height, width) in pixels. None where nothing of the pose lies inside it.
    """
    height, width = frame
    skeleton = Skeleton(
        {
            name: Keypoint(*map(float, (*pose.points[i], pose.presence[i])))
            for name, i in LANDMARKS.items()
        }
    )
    outline = pose.outline_on(*whole_grid(frame))
    x, y, w, h = cv2.boundingRect((outline >= OUTLINE_THRESHOLD).view(np.uint8))
    corners = [(x, y), (x + w, y + h)] if w and h else []
    points = [point for name in LANDMARKS if (point := skeleton.get(name)) is not None]
    inside = np.array([*corners, *points]).reshape(-1, 2).clip(0, [width, height])
    if len(inside) == 0:
        return None
    box = Box(*inside.min(axis=0).tolist(), *inside.max(axis=0).tolist())
    return Candidate(box, pose.score, skeleton) if box.area > 0 else None
