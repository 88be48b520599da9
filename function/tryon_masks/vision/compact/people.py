"""Who is in the photo, by BlazePose."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tryon_masks.domain.person import Candidate
from tryon_masks.telemetry import step
from tryon_masks.vision.catalog import ModelSet
from tryon_masks.vision.compact.blazepose import Crop, PersonDetector, Pose, PoseModel, to_candidate
from tryon_masks.vision.runtime import Floats

SAME_PERSON = 0.6
"""Overlap of two poses' boxes from which they are one person, found twice."""

Region = tuple[slice, slice]
"""Rows and columns."""


@dataclass(frozen=True)
class Seen(Candidate):
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
        self._poses.look(grey, Crop(side / 2, side / 2, side, 0.0))

    def find(self, rgb: NDArray[np.uint8]) -> list[Candidate]:
        """Everybody in ``rgb`` (H, W, 3), largest box first; one entry a person."""
        frame = (rgb.shape[0], rgb.shape[1])
        with step("detect_people", "blazepose"):
            crops = self._detector.find(rgb)
        with step("estimate_poses", "blazepose", crops=len(crops)):
            poses = [pose for crop in crops if (pose := self._poses.look(rgb, crop)) is not None]
        people: list[Candidate] = []
        for pose in sorted(poses, key=lambda pose: -pose.score):
            one = to_candidate(pose, frame)
            if one is None or any(one.box.overlap(other.box) > SAME_PERSON for other in people):
                continue
            people.append(Seen(one.box, one.score, one.skeleton, pose))
        return sorted(people, key=lambda one: -one.box.area)


def outline_of(person: Candidate, region: Region) -> Floats:
    """Probability of being ``person`` on a region of the photo: shape (h, w).

    Raises
    ------
    TypeError
        The candidate did not come from :meth:`PeopleFinder.find`.
    """
    if not isinstance(person, Seen):
        raise TypeError("parse() needs candidates that find_people() returned")
    return person.pose.outline_on(*region)


def outline_of_any(people: Iterable[Candidate], region: Region) -> Floats:
    """Probability of being any of ``people`` on a region of the photo: shape (h, w).

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
