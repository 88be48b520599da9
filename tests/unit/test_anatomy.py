"""Limbs and the body's axis, from the skeleton alone."""

from __future__ import annotations

import numpy as np
import pytest
from tests import fakes, figures

from tryon_masks.domain import anatomy
from tryon_masks.domain.anatomy import Axis, Bone, Points
from tryon_masks.domain.shapes import capsule
from tryon_masks.domain.skeleton import SIDES, Keypoint, Skeleton

T = fakes.TORSO


def points(*xy: tuple[float, float]) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    return np.array(xy, np.float32).reshape(len(xy), 2)


# Bones


def test_distance_from_a_bone_is_in_half_widths() -> None:
    bone = Bone("arm", "left", (0, 0), (100, 0), (20, 40))

    x, y = points((0, 0), (50, 0), (0, 10), (100, 20), (50, 15), (-20, 0)).T

    assert bone.distance(x, y) == pytest.approx([0, 0, 1, 1, 1, 2])


def test_a_bone_without_length_is_a_disc() -> None:
    x, y = points((5, 7), (9, 5)).T

    assert Bone("hand", "left", (5, 5), (5, 5), (4, 4)).distance(x, y) == pytest.approx([1, 2])


def test_rows_and_columns_give_a_grid_of_distances() -> None:
    bone = Bone("arm", "left", (0, 0), (4, 0), (2, 2))
    columns, rows = np.arange(4, dtype=np.float32), np.arange(2, dtype=np.float32)[:, None]

    assert bone.distance(columns, rows).tolist() == [[0, 0, 0, 0], [1, 1, 1, 1]]


@pytest.mark.parametrize("reach", [0.5, 1.0, 3.0])
def test_within_reach_the_nearest_bone_is_found_and_beyond_it_none(reach: float) -> None:
    bones = anatomy.bones(figures.skeleton(), T)
    there = np.ones(figures.SHAPE, bool)
    there[::3] = False
    pixels = Points.from_mask(there)
    parts, distances = anatomy.nearest(bones, pixels.x, pixels.y)
    near = distances < reach

    part, distance = anatomy.nearest(bones, pixels.x, pixels.y, reach)

    assert (part == np.where(near, parts, 0)).all()
    assert (distance == np.where(near, distances, np.float32(reach))).all()
    assert near.any() and not near.all()


def test_points_are_pixels_row_by_row_with_their_places_in_the_grid() -> None:
    there = np.array([[False, True, False], [True, False, True]])

    pixels = Points.from_mask(there)

    assert pixels.index.tolist() == [1, 3, 5]
    assert (pixels.x.tolist(), pixels.y.tolist()) == ([1, 0, 2], [0, 1, 1])
    chosen = pixels.select(np.array([True, False, True]))
    assert [column.tolist() for column in (chosen.index, chosen.x, chosen.y)] == [
        [1, 5],
        [1, 2],
        [0, 1],
    ]


def test_a_tube_is_what_lies_within_a_share_of_the_bone_and_in_the_photo() -> None:
    bone = Bone("thigh", "left", (-10, 20), (30, 20), (12, 12))

    spot, tube = anatomy.tube(bone, (40, 60), 0.5)

    canvas = np.zeros((40, 60), bool)
    canvas[spot] = tube
    assert (canvas == capsule((40, 60), bone.start, bone.end, (6, 6))).all()
    assert canvas.any()
    outside = Bone("thigh", "left", (-50, 20), (-30, 20), (12, 12))
    assert anatomy.tube(outside, (40, 60))[1].size == 0


def test_a_whole_skeleton_has_every_segment_on_both_sides() -> None:
    bones = anatomy.bones(figures.skeleton(), T)

    for side in SIDES:
        found = {bone.segment for bone in bones if bone.side == side}
        assert found == {"arm", "hand", "thigh", "shin", "foot"}
    assert {bone.segment for bone in bones if bone.side is None} == {"head", "neck", "torso"}


def test_widths_are_body_units() -> None:
    small = anatomy.bones(figures.skeleton(), T)
    large = anatomy.bones(figures.skeleton().scaled(3), 3 * T)

    assert [bone.segment for bone in small] == [bone.segment for bone in large]
    for one, other in zip(small, large, strict=True):
        assert other.width == pytest.approx([3 * width for width in one.width])
        assert other.start == pytest.approx([3 * x for x in one.start])


@pytest.mark.parametrize("lost", sorted(figures.JOINTS))
def test_a_lost_joint_takes_its_bones_and_sends_none_to_the_corner(lost: str) -> None:
    whole = anatomy.bones(figures.skeleton(), T)
    left = anatomy.bones(figures.skeleton(lost=[lost]), T)

    assert len(left) <= len(whole)
    for bone in left:
        for x, y in (bone.start, bone.end):
            assert x > 80
            assert y > 30


def test_without_an_elbow_there_is_no_arm_and_without_a_wrist_half_of_it() -> None:
    def arms(*lost: str) -> int:
        bones = anatomy.bones(figures.skeleton(lost), T)
        return sum(bone.segment == "arm" and bone.side == "left" for bone in bones)

    assert arms() == 2
    assert arms("left_wrist") == 1
    assert arms("left_elbow") == 0


def test_an_arm_gets_thinner_towards_the_hand() -> None:
    upper, lower = (
        bone
        for bone in anatomy.bones(figures.skeleton(), T)
        if (bone.segment, bone.side) == ("arm", "left")
    )

    assert upper.width[0] > upper.width[1] >= lower.width[0] > lower.width[1] > 0


def test_fingertips_lie_beyond_the_knuckles() -> None:
    tips = anatomy.fingertips(figures.skeleton(), "left")

    assert tips is not None
    assert tips[1] > figures.POINTS["left_index"][1]
    assert abs(tips[0] - 205) < 10
    assert anatomy.fingertips(figures.skeleton(lost=["left_pinky"]), "left") is None


# The face


def test_the_chin_lies_between_mouth_and_neck() -> None:
    chin = anatomy.chin(figures.skeleton())

    assert chin is not None
    assert chin[0] == 150
    assert figures.POINTS["left_mouth"][1] < chin[1] < figures.POINTS["left_shoulder"][1]


def test_the_jaw_parts_the_face_from_the_neck() -> None:
    above = anatomy.above_jaw(figures.skeleton(), figures.SHAPE)

    for name in ("nose", "left_eye", "right_eye", "left_mouth", "right_mouth"):
        x, y = figures.POINTS[name]
        assert above[int(y), int(x)]
    for x, y in ((150, 108), figures.POINTS["left_shoulder"], figures.POINTS["right_hip"]):
        assert not above[int(y), int(x)]


def test_the_jaw_of_a_turned_head_ends_below_the_ear() -> None:
    turned = {
        name: (x + 18, y)
        for name, (x, y) in figures.POINTS.items()
        if name.endswith(("eye", "mouth"))
    }

    above = anatomy.above_jaw(figures.skeleton(moved=turned), figures.SHAPE)

    x, y = figures.POINTS["right_ear"]
    assert above[int(y), int(x) - 4]
    assert not above[int(figures.POINTS["left_mouth"][1]) + 6, int(x)]


def test_a_jaw_that_is_not_seen_parts_nothing() -> None:
    assert anatomy.above_jaw(figures.skeleton(lost=["left_mouth"]), (40, 30)).all()


def test_upside_down_the_face_is_still_on_the_eyes_side_of_the_jaw() -> None:
    turned = Skeleton(
        {
            name: Keypoint(fakes.WIDTH - x, fakes.HEIGHT - y, 0.9)
            for name, (x, y) in figures.POINTS.items()
        }
    )
    upright = anatomy.above_jaw(figures.skeleton(), (fakes.HEIGHT + 1, fakes.WIDTH + 1))

    above = anatomy.above_jaw(turned, (fakes.HEIGHT + 1, fakes.WIDTH + 1))

    assert figures.overlap(above, upright[::-1, ::-1]) > 0.99


# The axis


def test_the_hip_line_runs_through_the_hips() -> None:
    axis = anatomy.axis(figures.skeleton())

    assert axis is not None
    height = axis.height(*anatomy.grid(figures.SHAPE))
    assert height[figures.HIP_LINE] == pytest.approx(0)
    assert height[110] == pytest.approx(T)
    assert height[310] == pytest.approx(-T)


def test_a_lying_body_has_its_axis_along_it() -> None:
    lying = Skeleton({name: Keypoint(y, x, 0.9) for name, (x, y) in figures.POINTS.items()})

    axis = anatomy.axis(lying)

    assert axis is not None
    assert axis.up == pytest.approx((-1, 0))
    assert axis.height(*anatomy.grid((300, 400)))[:, 110] == pytest.approx(T)


@pytest.mark.parametrize("lost", [["left_hip"], ["right_hip"], ["left_hip", "right_hip"]])
def test_a_lost_hip_is_reckoned_from_the_shoulders(lost: list[str]) -> None:
    axis = anatomy.axis(figures.skeleton(lost))

    assert axis is not None
    assert axis.up == pytest.approx((0, -1))
    assert axis.hip[1] == pytest.approx(figures.HIP_LINE, abs=0.35 * T)
    assert 120 <= axis.hip[0] <= 180


def test_the_axis_of_a_back_view_points_up_as_well() -> None:
    axis = anatomy.axis(figures.swapped(figures.person(lost=["left_hip", "right_hip"])).skeleton)

    assert axis is not None
    assert axis.up == pytest.approx((0, -1))


@pytest.mark.parametrize("shoulder", ["left_shoulder", "right_shoulder"])
def test_without_a_shoulder_there_is_no_axis(shoulder: str) -> None:
    assert anatomy.axis(figures.skeleton(lost=[shoulder])) is None


def test_height_is_signed_and_measured_along_the_axis() -> None:
    height = Axis((0, 0), (0.6, -0.8)).height(*anatomy.grid((3, 4)))

    assert height.shape == (3, 4)
    assert height[0, 0] == 0
    assert height[2, 0] == pytest.approx(-1.6)
    assert height[0, 3] == pytest.approx(1.8)
