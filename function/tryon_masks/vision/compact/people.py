"""Who is in the photo, by BlazePose."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tryon_masks.domain.person import Candidate
from tryon_masks.domain.shapes import Region, grow, whole_grid
from tryon_masks.telemetry import step
from tryon_masks.vision.catalog import ModelSet
from tryon_masks.vision.compact.blazepose import (
    OUTLINE_THRESHOLD,
    SHOULDERS,
    Crop,
    Detection,
    PersonDetector,
    Pose,
    PoseModel,
    to_candidate,
)
from tryon_masks.vision.runtime import Floats

MIN_NECK_DISTANCE = 0.35
"""Distance of two necks, in the larger body's units, from which they are two people's."""
MAX_HIDDEN_ROUNDS = 3
"""How often those who were found are painted over to see who else is there."""
INPAINTING_MARGIN = 0.03
"""How far beyond its outline a body is painted over, in its units."""
MIN_SHOULDER_PRESENCE = 0.5
"""Presence of both shoulders of a body that the detector is not sure of."""
MAX_HINTS, WHOLE_PHOTO_SCALES = 2, (1.0, 1.25)
"""Where the pose model looks when the detector is sure of nobody: at so many of its hints, and at
the whole photo, in squares of so many longer sides."""
MIN_AGREEING_POSES = 3
"""How many of these must have seen one body."""
LIKELY_THRESHOLD = 0.4
"""Score from which a detection counts with its pose alone, where they have not: most of what is no
person there is refused when it is parsed."""
SMALLER, SURE_OF_SMALLER, LARGER_SQUARE = 1 / 1.8, 0.65, 1.6
"""Where that too finds nobody, the detector is shown the photo so many times as large, and counts
from this score; the pose model sees the whole photo in a larger square still. Both know whole
bodies better than close-ups."""
MIN_SIZE_RATIO, MIN_OUTLINE_IOU = 0.6, 0.6
"""They have where the necks are one, the ratio of the units is no smaller, and the outlines
overlap by more."""


@dataclass(frozen=True)
class PoseCandidate(Candidate):
    """A candidate with the pose that it came from."""

    pose: Pose


class PeopleFinder:
    """Person detector and pose model, loaded and run once.

    Parameters
    ----------
    model_set
        Verified files, ``person_detector`` and ``pose_landmark`` among them.
    threads
        Intra-op threads of both models.
    """

    def __init__(self, model_set: ModelSet, threads: int) -> None:
        self._detector = PersonDetector(model_set.files["person_detector"].path, threads)
        self._poses = PoseModel(model_set.files["pose_landmark"].path, threads)

    def warm_up(self, grey: NDArray[np.uint8]) -> None:
        """Run both models on a square without anybody."""
        side = len(grey)
        self._detector.find(grey)
        self._poses.infer(grey, Crop(side / 2, side / 2, side, 0.0))

    def find(self, rgb: NDArray[np.uint8]) -> list[Candidate]:
        """Find everybody in ``rgb`` (H, W, 3), largest box first; one entry a person."""
        with step("detect_people", "blazepose"):
            found = self._detector.find(rgb)
        confident = [one for one in found if one.confident]
        with step("estimate_poses", "blazepose", crops=len(confident)):
            poses = _deduplicate(self._look(rgb, confident))
        if not poses:
            with step("ask_for_one_body", "blazepose"):
                poses = self._less_confident(rgb, found)
        elif any(_is_apart(one.neck, poses) for one in found):
            with step("look_behind", "blazepose"):
                poses = self._with_hidden_people(rgb, poses)
        people = [one for pose in poses if (one := _to_pose_candidate(pose, rgb.shape)) is not None]
        return sorted(people, key=lambda one: -one.box.area)

    def _look(self, rgb: NDArray[np.uint8], found: Iterable[Detection]) -> Iterator[Pose]:
        poses = (self._poses.infer(rgb, one.crop) for one in found)
        return (pose for pose in poses if pose is not None)

    def _with_hidden_people(self, rgb: NDArray[np.uint8], poses: list[Pose]) -> list[Pose]:
        """``poses``, and who is seen when their bodies are painted over.

        Shown two bodies, one before the other, the detector is unsure of one of them, and the pose
        model sees the nearer one twice.
        """
        for _ in range(MAX_HIDDEN_ROUNDS):
            bare = _paint_over(rgb, poses)
            confident = (one for one in self._detector.find(bare) if one.confident)
            found = self._look(bare, (one for one in confident if _is_apart(one.neck, poses)))
            people = _deduplicate([*poses, *found])
            if len(people) == len(poses):
                break
            poses = people
        return poses

    def _less_confident(self, rgb: NDArray[np.uint8], hints: Sequence[Detection]) -> list[Pose]:
        """Look for somebody where nobody whom the detector is sure of has a pose.

        The first body that enough looks agree about; or else every likely one that has a pose; or
        else the one that the detector is sure of from afar, where enough looks agree.
        """
        hinted = (one.crop for one in hints[:MAX_HINTS])
        whole = (_whole(rgb, scale) for scale in WHOLE_PHOTO_SCALES)
        seen: list[Pose] = []
        for pose in self._torsos(rgb, chain(hinted, whole)):
            seen.append(pose)
            for one in seen:
                alike = [other for other in seen if _agree(one, other, rgb.shape)]
                if len(alike) == MIN_AGREEING_POSES:
                    return [max(alike, key=lambda one: one.score)]
        likely = (one for one in hints if one.score >= LIKELY_THRESHOLD)
        return _deduplicate(self._look(rgb, likely)) or self._from_afar(rgb, seen)

    def _from_afar(self, rgb: NDArray[np.uint8], seen: Sequence[Pose]) -> list[Pose]:
        """Find whom the detector is sure of in a smaller photo, where enough looks agree."""
        found = self._detector.find(rgb, SMALLER)
        sure = (one.crop for one in found[:1] if one.score >= SURE_OF_SMALLER)
        for pose in self._torsos(rgb, sure):
            looks = [pose, *seen, *self._torsos(rgb, [_whole(rgb, LARGER_SQUARE)])]
            if sum(_agree(pose, other, rgb.shape) for other in looks) >= MIN_AGREEING_POSES:
                return [pose]
        return []

    def _torsos(self, rgb: NDArray[np.uint8], crops: Iterable[Crop]) -> Iterator[Pose]:
        """Yield every crop's pose that has its shoulders in the photo."""
        for crop in crops:
            pose = self._poses.infer(rgb, crop, least=0.0)
            if pose is not None and _shoulders_in(pose, rgb.shape):
                yield pose


def _whole(rgb: NDArray[np.uint8], scale: float) -> Crop:
    """Give the square of ``scale`` longer sides around the photo's centre."""
    height, width = rgb.shape[:2]
    return Crop(width / 2, height / 2, scale * max(height, width), 0.0)


def _is_apart(neck: ArrayLike, poses: Iterable[Pose], unit: float = 0.0) -> bool:
    """Whether ``neck`` (x, y) is nobody's of ``poses``.

    ``unit`` is that of its own body in pixels, where it is known.
    """
    return all(
        np.hypot(*np.subtract(neck, pose.neck)) > MIN_NECK_DISTANCE * max(unit, pose.unit)
        for pose in poses
    )


def _paint_over(rgb: NDArray[np.uint8], poses: Iterable[Pose]) -> NDArray[np.uint8]:
    """The photo with the bodies of ``poses`` painted over, in the mean colour of what is left."""
    bodies = np.zeros(rgb.shape[:2], bool)
    for pose in poses:
        outline = pose.outline_on(*whole_grid(rgb.shape))
        bodies |= grow(outline >= OUTLINE_THRESHOLD, INPAINTING_MARGIN * pose.unit)
    bare = rgb.copy()
    bare[bodies] = rgb[~bodies].mean(axis=0) if not bodies.all() else 0
    return bare


def _deduplicate(poses: Iterable[Pose]) -> list[Pose]:
    """Two bodies are two when their necks are apart, whatever their boxes do; surest first."""
    people: list[Pose] = []
    for pose in sorted(poses, key=lambda pose: -pose.score):
        if _is_apart(pose.neck, people, pose.unit):
            people.append(pose)
    return people


def _shoulders_in(pose: Pose, shape: tuple[int, ...]) -> bool:
    """Whether both shoulders are seen, and inside a photo of ``shape``."""
    shoulders = pose.points[SHOULDERS]
    inside = (shoulders >= 0).all() and (shoulders < [shape[1], shape[0]]).all()
    return bool(inside and (pose.presence[SHOULDERS] >= MIN_SHOULDER_PRESENCE).all())


def _agree(one: Pose, other: Pose, shape: tuple[int, ...]) -> bool:
    """Whether two looks at a photo of ``shape`` saw one body."""
    if one is other:
        return True
    smaller, larger = sorted((one.unit, other.unit))
    if smaller < MIN_SIZE_RATIO * larger or _is_apart(one.neck, [other], one.unit):
        return False
    a, b = (pose.outline_on(*whole_grid(shape)) >= OUTLINE_THRESHOLD for pose in (one, other))
    return bool(np.count_nonzero(a & b) > MIN_OUTLINE_IOU * np.count_nonzero(a | b))


def _to_pose_candidate(pose: Pose, shape: tuple[int, ...]) -> PoseCandidate | None:
    one = to_candidate(pose, (shape[0], shape[1]))
    return None if one is None else PoseCandidate(one.box, one.score, one.skeleton, pose)


def outline_of(person: Candidate, region: Region) -> Floats:
    """Return the probability of being ``person`` on a region of the photo: shape (h, w).

    Raises
    ------
    TypeError
        The candidate did not come from :meth:`PeopleFinder.find`.
    """
    if not isinstance(person, PoseCandidate):
        raise TypeError("parse() needs candidates that find_people() returned")
    return person.pose.outline_on(*region)


def outline_of_any(people: Iterable[Candidate], region: Region) -> Floats:
    """Return the probability of being any of ``people`` on a region of the photo: shape (h, w).

    Raises
    ------
    TypeError
        A candidate did not come from :meth:`PeopleFinder.find`.
    """
    rows, columns = region
    outline = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.float32)
    for person in people:
        np.maximum(outline, outline_of(person, region), out=outline)
    return outline
