"""Who is counted as whom: planted detections and poses, no weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tryon_masks.domain.person import Candidate
from tryon_masks.telemetry import RequestLog, request_log
from tryon_masks.vision.catalog import ModelFile, ModelSet
from tryon_masks.vision.compact import people
from tryon_masks.vision.compact.blazepose import HIPS, LANDMARKS, SHOULDERS, Crop, Detection, Pose

SIDE = 256
WALL, SHIRT = 200, 90
T = 60
"""Torso length in pixels of the bodies below."""

Photo = NDArray[np.uint8]


def body(x: float, y: float = 80, *, score: float = 0.99, size: float = 1.0) -> Pose:
    """A pose with its neck at (x, y), standing upright; its outline is a rectangle."""
    unit = T * size
    points = np.tile(np.array([x, y], np.float32), (39, 1))
    points[SHOULDERS] = [(x + 0.3 * unit, y), (x - 0.3 * unit, y)]
    points[HIPS] = [(x + 0.2 * unit, y + unit), (x - 0.2 * unit, y + unit)]
    outline = np.zeros((SIDE, SIDE), np.float32)
    top, bottom = round(y - 0.5 * unit), round(y + 2.3 * unit)
    outline[max(0, top) : bottom, max(0, round(x - 0.4 * unit)) : round(x + 0.4 * unit)] = 1
    whole = Crop(SIDE / 2, SIDE / 2, SIDE, 0.0)
    return Pose(points, np.ones(39, np.float32), score, outline, whole)


def detection(x: float, y: float = 80, score: float = 0.9) -> Detection:
    """A detection whose neck is at (x, y): the pose model finds there what is planted there."""
    return Detection(Crop(x, y, 2 * SIDE, 0.0), (x, y), score)


def photo(*bodies: Pose) -> Photo:
    """A wall with shirts before it."""
    rgb = np.full((SIDE, SIDE, 3), WALL, np.uint8)
    for one in bodies:
        rgb[one.outline > 0] = SHIRT
    return rgb


class Detector:
    """Gives the planted detections in turn and keeps what it was shown; ``afar`` if smaller."""

    def __init__(self, *answers: list[Detection], afar: Sequence[Detection] = ()) -> None:
        self.answers = list(answers)
        self.afar = list(afar)
        self.shown: list[Photo] = []

    def find(self, rgb: Photo, share: float = 1.0) -> list[Detection]:
        if share < 1:
            return self.afar
        self.shown.append(rgb)
        return self.answers[len(self.shown) - 1]


class Poses:
    """Sees at a crop's centre what is planted there; at another crop, nobody."""

    def __init__(self, planted: dict[float, Pose | None]) -> None:
        self.planted = planted
        self.looks: list[tuple[Photo, Crop]] = []

    def infer(self, rgb: Photo, crop: Crop, least: float = 0.5) -> Pose | None:
        self.looks.append((rgb, crop))
        return self.planted.get(crop.x if crop.side == 2 * SIDE else crop.side)


Finder = Callable[[Detector, Poses], people.PeopleFinder]


@pytest.fixture
def finder(monkeypatch: pytest.MonkeyPatch) -> Finder:
    def with_models(detector: Detector, poses: Poses) -> people.PeopleFinder:
        monkeypatch.setattr(people, "PersonDetector", lambda _path, _threads: detector)
        monkeypatch.setattr(people, "PoseModel", lambda _path, _threads: poses)
        file = ModelFile("", "", Path(), "", 0, "", "", "", {}, {})
        files = {"person_detector": file, "pose_landmark": file}
        return people.PeopleFinder(ModelSet("compact", Path(), files), 1)

    return with_models


@pytest.fixture
def log() -> Iterator[RequestLog]:
    with request_log("request-1", "user-1") as opened:
        yield opened


def necks(found: list[Candidate]) -> list[float]:
    """Where they stand, from the left."""
    return sorted(one.skeleton.neck_base[0] for one in found if one.skeleton.neck_base)


# Two, or one found twice


def test_two_are_two_when_their_necks_are_apart_though_their_boxes_are_one(
    finder: Finder, log: RequestLog
) -> None:
    """An embrace: the same outline twice."""
    left, right = body(110), body(140)
    both = np.maximum(left.outline, right.outline)
    poses = Poses({110: replace(left, outline=both), 140: replace(right, outline=both)})

    found = finder(Detector([detection(110), detection(140)]), poses).find(photo(left, right))

    assert found[0].box.overlap(found[1].box) > 0.95
    assert necks(found) == [110, 140]


@pytest.mark.parametrize("off", [0, 10, 20])
def test_two_poses_on_one_skeleton_are_one_person_the_surer(
    off: float, finder: Finder, log: RequestLog
) -> None:
    """0.35 of the unit: 21 pixels."""
    poses = Poses({100: body(100, score=0.8), 101: body(100 + off, score=0.9)})

    found = finder(Detector([detection(100), detection(101)]), poses).find(photo())

    assert [one.score for one in found] == [0.9]


def test_a_child_before_its_mother_is_somebody(finder: Finder, log: RequestLog) -> None:
    mother, child = body(128, 60), body(130, 90, size=0.6)
    poses = Poses({128: mother, 130: child})

    found = finder(Detector([detection(128, 60), detection(130, 90)]), poses).find(photo(mother))

    assert len(found) == 2
    assert found[0].box.area > found[1].box.area


# Somebody else is hinted at


def test_one_person_and_no_hint_of_another_is_one_run_of_each_model(
    finder: Finder, log: RequestLog
) -> None:
    detector, poses = Detector([detection(100)]), Poses({100: body(100)})

    assert len(finder(detector, poses).find(photo(body(100)))) == 1

    assert (len(detector.shown), len(poses.looks)) == (1, 1)
    done = [one["step"] for one in log.records if one["status"] == "done"]
    assert done == ["detect_people", "estimate_poses"]


def test_a_hint_at_the_neck_of_somebody_who_was_found_is_none(
    finder: Finder, log: RequestLog
) -> None:
    detector = Detector([detection(100), detection(120, score=0.3)])

    finder(detector, Poses({100: body(100)})).find(photo(body(100)))

    assert len(detector.shown) == 1


def test_whoever_is_hinted_at_is_looked_for_where_the_others_are_painted_over(
    finder: Finder, log: RequestLog
) -> None:
    """Shown both, the pose model sees the nearer one twice."""
    near, far = body(100), body(135)
    detector = Detector([detection(100), detection(136, score=0.12)], [detection(135)], [])
    poses = Poses({100: near, 136: near, 135: far})

    found = finder(detector, poses).find(photo(far, near))

    assert necks(found) == [100, 135]
    _, bare, _ = detector.shown
    assert (bare[near.outline > 0] > SHIRT).all()
    beyond = cv2.dilate(near.outline, np.ones((9, 9))) == 0
    assert (bare[beyond] == photo(far, near)[beyond]).all()
    assert [(shown is bare, crop.x) for shown, crop in poses.looks] == [(False, 100), (True, 135)]
    done = [one["step"] for one in log.records if one["status"] == "done"]
    assert done == ["detect_people", "estimate_poses", "look_behind"]


@pytest.mark.parametrize(
    ("behind", "pose"),
    [
        ([], None),
        ([detection(160, score=0.4)], body(160)),
        ([detection(160, score=0.8)], None),
        ([detection(110, score=0.8)], body(110)),
        ([detection(160, score=0.8)], body(110)),
    ],
    ids=["nothing", "unsure", "no pose", "what is left of the first", "collapsed"],
)
def test_a_hint_that_is_not_confirmed_is_nobody(
    behind: list[Detection], pose: Pose | None, finder: Finder, log: RequestLog
) -> None:
    detector = Detector([detection(100), detection(160, score=0.3)], behind)
    poses = Poses({100: body(100), **{one.crop.x: pose for one in behind}})

    assert necks(finder(detector, poses).find(photo(body(100)))) == [100]


def test_somebody_who_fills_the_photo_can_be_painted_over(finder: Finder, log: RequestLog) -> None:
    filling = replace(body(100), outline=np.ones((SIDE, SIDE), np.float32))
    detector = Detector([detection(100), detection(200, score=0.3)], [])

    assert len(finder(detector, Poses({100: filling})).find(photo())) == 1


def test_behind_the_second_there_may_be_a_third_and_a_fourth(
    finder: Finder, log: RequestLog
) -> None:
    """Nobody looks for a fifth."""
    row = [40, 90, 140, 190, 240]
    hint = detection(90, score=0.2)
    detector = Detector([detection(40), hint], *([detection(x)] for x in row[1:]))

    found = finder(detector, Poses({x: body(x) for x in row})).find(photo())

    assert necks(found) == row[:4]


# The detector is sure of nobody


def test_a_body_that_three_looks_agree_about_is_found(finder: Finder, log: RequestLog) -> None:
    """A hint and the whole photo in two sizes: a phone before the face."""
    detector = Detector([detection(100, score=0.3)])
    poses = Poses(
        {100: body(100, score=0.9), SIDE: body(104, score=0.97), 1.25 * SIDE: body(97, score=0.8)}
    )

    (found,) = finder(detector, poses).find(photo(body(100)))

    assert found.score == 0.97
    done = [one["step"] for one in log.records if one["status"] == "done"]
    assert done == ["detect_people", "estimate_poses", "ask_for_one_body"]


def test_two_that_do_not_agree_may_both_agree_with_a_third(finder: Finder, log: RequestLog) -> None:
    """Their necks are 24 pixels apart, and two bodies' are from 21 on."""
    detector = Detector([detection(100, score=0.3), detection(112, score=0.2)])
    poses = Poses({100: body(112, score=0.7), 112: body(100), SIDE: body(124)})
    wide = np.max([body(x).outline for x in (100, 112, 124)], axis=0)
    planted = {where: replace(one, outline=wide) for where, one in poses.planted.items() if one}

    (found,) = finder(detector, Poses(dict(planted))).find(photo())

    assert found.score == 0.99


def out_of_the_photo() -> Pose:
    return body(4)


def unseen() -> Pose:
    one = body(100)
    one.presence[LANDMARKS["left_shoulder"]] = 0.3
    return one


@pytest.mark.parametrize(
    "third",
    [None, body(140), body(100, size=0.5), body(100, 105), out_of_the_photo(), unseen()],
    ids=["nobody", "elsewhere", "smaller", "lower", "cut", "a shoulder missing"],
)
def test_two_looks_are_not_enough(third: Pose | None, finder: Finder, log: RequestLog) -> None:
    detector = Detector([detection(100, score=0.3)])
    poses = Poses({100: body(100), SIDE: body(104), 1.25 * SIDE: third})

    assert finder(detector, poses).find(photo(body(100))) == []


def test_outlines_must_agree_too(finder: Finder, log: RequestLog) -> None:
    detector = Detector([detection(100, score=0.3)])
    wide = replace(body(100), outline=np.ones((SIDE, SIDE), np.float32))
    poses = Poses({100: body(100), SIDE: body(100), 1.25 * SIDE: wide})

    assert finder(detector, poses).find(photo(body(100))) == []


def test_no_more_than_two_hints_are_followed(finder: Finder, log: RequestLog) -> None:
    detector = Detector([detection(x, score=0.3) for x in (60, 90, 120, 150)])
    poses = Poses({})

    assert finder(detector, poses).find(photo()) == []

    assert [crop.x for _, crop in poses.looks] == [60, 90, 128, 128]


# The detector holds somebody for likely


def test_whoever_is_likely_and_has_a_pose_is_found_where_nobody_is_sure(
    finder: Finder, log: RequestLog
) -> None:
    detector = Detector([detection(60, score=0.45), detection(160, score=0.4)])

    found = finder(detector, Poses({60: body(60), 160: body(160)})).find(photo())

    assert necks(found) == [60, 160]


@pytest.mark.parametrize(("score", "pose"), [(0.39, body(60)), (0.45, None)])
def test_whoever_is_less_likely_or_has_no_pose_is_nobody(
    score: float, pose: Pose | None, finder: Finder, log: RequestLog
) -> None:
    detector = Detector([detection(60, score=score)])

    assert finder(detector, Poses({60: pose})).find(photo()) == []


# The detector is sure of somebody in a smaller photo


def test_of_whom_the_detector_is_sure_from_afar_two_more_looks_are_enough(
    finder: Finder, log: RequestLog
) -> None:
    """A close-up, and a look at the whole photo in two sizes."""
    detector = Detector([], afar=[detection(100, score=0.7)])
    poses = Poses({100: body(100), SIDE: body(104), 1.6 * SIDE: body(97)})

    assert necks(finder(detector, poses).find(photo(body(100)))) == [100]


@pytest.mark.parametrize(
    ("score", "larger"),
    [(0.6, body(97)), (0.7, None), (0.7, body(140)), (0.7, body(100, size=0.5))],
    ids=["unsure", "nobody", "elsewhere", "smaller"],
)
def test_from_afar_too_others_must_agree(
    score: float, larger: Pose | None, finder: Finder, log: RequestLog
) -> None:
    detector = Detector([], afar=[detection(100, score=score)])
    poses = Poses({100: body(100), SIDE: body(104), 1.6 * SIDE: larger})

    assert finder(detector, poses).find(photo(body(100))) == []


def test_others_may_agree_about_somebody_else_than_is_seen_from_afar(
    finder: Finder, log: RequestLog
) -> None:
    detector = Detector([detection(101, score=0.3)], afar=[detection(200, score=0.9)])
    poses = Poses({200: body(200), 101: body(100), SIDE: body(104), 1.6 * SIDE: body(97)})

    assert finder(detector, poses).find(photo(body(100))) == []
