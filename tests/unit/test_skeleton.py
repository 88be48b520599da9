"""Keypoints have names, a missing one is nowhere, and T measures the body."""

from __future__ import annotations

import pytest

from tryon_masks.domain.skeleton import COCO17, NAMES, Keypoint, Skeleton

STANDING = {
    "left_shoulder": (60.0, 10.0),
    "right_shoulder": (20.0, 10.0),
    "left_hip": (50.0, 110.0),
    "right_hip": (30.0, 110.0),
}


def standing(**scores: float) -> Skeleton:
    return Skeleton(
        {name: Keypoint(x, y, scores.get(name, 0.9)) for name, (x, y) in STANDING.items()}
    )


def test_a_point_below_the_threshold_is_missing() -> None:
    skeleton = Skeleton({"nose": Keypoint(5, 6, 0.3)}, threshold=0.4)

    assert skeleton.get("nose") is None
    assert not skeleton.has("nose")
    assert Skeleton({"nose": Keypoint(5, 6, 0.3)}, threshold=0.2).get("nose") == (5, 6)


def test_a_missing_point_is_never_the_corner() -> None:
    lost = Skeleton({"left_wrist": Keypoint(0, 0, 0.0), "right_wrist": Keypoint(8, 8, 0.9)})

    assert lost.get("left_wrist") is None
    assert lost.get("nose") is None
    assert lost.middle("left_wrist", "right_wrist") is None


def test_a_point_seen_in_the_corner_is_a_point() -> None:
    assert Skeleton({"nose": Keypoint(0, 0, 0.9)}).get("nose") == (0, 0)


def test_has_wants_every_name() -> None:
    skeleton = standing(left_hip=0.1)

    assert skeleton.has("left_shoulder", "right_hip")
    assert not skeleton.has("left_shoulder", "left_hip")


def test_an_unknown_name_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="left_antler"):
        Skeleton({"left_antler": Keypoint(1, 1, 1.0)})


def test_the_names_are_cocos_and_each_has_its_counterpart() -> None:
    assert set(COCO17) < NAMES
    for name in NAMES - {"nose"}:
        side, _, rest = name.partition("_")
        assert {"left": "right", "right": "left"}[side] + "_" + rest in NAMES


def test_t_is_the_way_from_mid_shoulder_to_mid_hip() -> None:
    skeleton = standing()

    assert (skeleton.neck_base, skeleton.mid_hip) == ((40, 10), (40, 110))
    assert skeleton.torso == 100


@pytest.mark.parametrize("hip", ["left_hip", "right_hip"])
def test_without_a_hip_t_is_135_hundredths_of_the_shoulder_width(hip: str) -> None:
    skeleton = standing(**{hip: 0.0})

    assert skeleton.mid_hip is None
    assert skeleton.torso == pytest.approx(1.35 * 40)


@pytest.mark.parametrize("shoulder", ["left_shoulder", "right_shoulder"])
def test_without_a_shoulder_there_is_no_t(shoulder: str) -> None:
    skeleton = standing(**{shoulder: 0.0})

    assert skeleton.neck_base is None
    assert skeleton.torso is None


def test_a_leaning_body_is_as_long_as_an_upright_one() -> None:
    leaning = Skeleton({name: Keypoint(y, x, 0.9) for name, (x, y) in STANDING.items()})

    assert leaning.torso == 100


def test_a_finer_grid_moves_points_and_t_and_keeps_what_is_missing() -> None:
    finer = standing(left_hip=0.1).scaled(2)

    assert finer.get("left_shoulder") == (120, 20)
    assert finer.get("left_hip") is None
    assert standing().scaled(2.5).torso == 250


def test_moving_shifts_every_point_and_keeps_t() -> None:
    moved = standing(left_hip=0.1).moved(-30, 5)

    assert moved.get("right_shoulder") == (-10, 15)
    assert moved.get("left_hip") is None
    assert standing().moved(7, -7).torso == 100


def test_the_threshold_goes_with_the_skeleton() -> None:
    faint = Skeleton({"nose": Keypoint(5, 6, 0.3)}, threshold=0.2)

    assert faint.scaled(2).get("nose") == (10, 12)
    assert faint.moved(1, 1).get("nose") == (6, 7)
