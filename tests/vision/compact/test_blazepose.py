"""The geometry around the pose models: anchors, decoding, crops, merging, refining. No weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tryon_masks.domain.skeleton import NAMES
from tryon_masks.vision.compact import blazepose
from tryon_masks.vision.compact.blazepose import (
    CROP_SIDE,
    DETECTOR_SIDE,
    LANDMARKS,
    Crop,
    PersonDetector,
    Pose,
    PoseModel,
    to_candidate,
)

ANCHORS = 2254
CERTAIN = 60.0
"""A logit whose probability is 1."""

Tensor = NDArray[np.float32]


class PlantedModel:
    """In place of a loaded graph: gives the planted answers in turn and keeps what it was shown."""

    answers: ClassVar[list[list[Tensor]]] = []
    shown: ClassVar[list[Tensor]] = []

    def __init__(self, path: Path, threads: int, outputs: tuple[str, ...]) -> None:
        self.outputs = outputs

    def run(self, tensor: Tensor) -> list[Tensor]:
        self.shown.append(tensor)
        return self.answers[min(len(self.shown), len(self.answers)) - 1]


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> type[PlantedModel]:
    class Planted(PlantedModel):
        answers: ClassVar[list[list[Tensor]]] = []
        shown: ClassVar[list[Tensor]] = []

    monkeypatch.setattr(blazepose, "Model", Planted)
    return Planted


# Anchors


def test_there_are_2254_anchors_one_for_each_answer_of_the_model() -> None:
    anchors = blazepose.anchor_centres()

    assert anchors.shape == (ANCHORS, 2)
    assert anchors.min() > 0
    assert anchors.max() < 1


def test_anchors_lie_in_the_middle_of_their_cells_row_by_row() -> None:
    anchors = blazepose.anchor_centres() * DETECTOR_SIDE

    assert anchors[:4].tolist() == [[4, 4], [4, 4], [12, 4], [12, 4]]
    assert anchors[2 * 28 : 2 * 28 + 1].tolist() == [[4, 12]]
    assert anchors[2 * 28 * 28].tolist() == [8, 8]
    assert anchors[-1].tolist() == [208, 208]


# Detections


def answer(*detections: tuple[int, float, NDArray[np.float64]]) -> list[Tensor]:
    """The detector's two outputs: (anchor, logit, (6, 2) points in 0..1 of the square)."""
    raw = np.zeros((1, ANCHORS, 12), np.float32)
    logits = np.full((1, ANCHORS, 1), -CERTAIN, np.float32)
    anchors = blazepose.anchor_centres()
    for index, logit, points in detections:
        offsets = points - anchors[index]
        offsets[1] = points[1]
        raw[0, index] = (offsets * DETECTOR_SIDE).ravel()
        logits[0, index, 0] = logit
    return [raw, logits]


def body(x: float, y: float, rim_y: float, size: float = 0.2) -> NDArray[np.float64]:
    """Centre, size, hips at the centre, a point on the circle above them, and two shoulders."""
    return np.array([[x, y], [size, size], [x, y], [x, rim_y], [x, y], [x, y]])


def test_a_planted_detection_comes_out_where_it_was_planted(planted: type[PlantedModel]) -> None:
    planted.answers = [answer((777, CERTAIN, body(0.5, 0.6, 0.2)))]

    (found,) = PersonDetector(Path(), 1).find(np.zeros((448, 448, 3), np.uint8))

    crop = found.crop
    assert [crop.x, crop.y] == pytest.approx([224, 268.8], abs=0.1)
    assert crop.angle == pytest.approx(0)
    assert crop.side == pytest.approx(2 * 1.25 * 0.4 * 448, rel=1e-3)
    assert found.neck == pytest.approx((224, 268.8), abs=0.1)
    assert found.score == pytest.approx(1)


@pytest.mark.parametrize(("height", "width"), [(448, 224), (224, 448), (600, 333), (91, 401)])
def test_the_padding_of_the_square_is_taken_off_again(
    height: int, width: int, planted: type[PlantedModel]
) -> None:
    """A person in the photo's middle is in the square's middle, whatever the photo's shape."""
    planted.answers = [answer((5, CERTAIN, body(0.5, 0.5, 0.3)))]

    (found,) = PersonDetector(Path(), 1).find(np.zeros((height, width, 3), np.uint8))
    crop = found.crop

    longer = max(height, width)
    assert crop.x == pytest.approx(width / 2, abs=0.003 * longer)
    assert crop.y == pytest.approx(height / 2, abs=0.003 * longer)
    assert crop.side == pytest.approx(2 * 1.25 * 0.2 * longer, rel=1e-3)


def test_the_detector_is_shown_the_whole_photo_between_minus_one_and_one(
    planted: type[PlantedModel],
) -> None:
    planted.answers = [answer()]
    rgb = np.zeros((100, 50, 3), np.uint8)
    rgb[..., 0] = 255

    assert PersonDetector(Path(), 1).find(rgb) == []

    (tensor,) = planted.shown
    assert tensor.shape == (1, 224, 224, 3)
    assert tensor.dtype == np.float32
    assert tensor[0, 112, 112].tolist() == [1, -1, -1]
    assert not tensor[0, :, 0].any()


def test_a_smaller_photo_is_padded_and_its_people_are_where_they_were(
    planted: type[PlantedModel],
) -> None:
    planted.answers = [answer((777, CERTAIN, body(0.5, 0.5, 0.3)))]
    white = np.full((400, 800, 3), 255, np.uint8)

    (found,) = PersonDetector(Path(), 1).find(white, 0.5)

    (tensor,) = planted.shown
    assert (tensor[0, 84:140, 56:168] == 1).all()
    assert np.count_nonzero(tensor) == 56 * 112 * 3
    assert (found.crop.x, found.crop.y) == pytest.approx((400, 200), abs=4)
    assert found.crop.side == pytest.approx(2 * 1.25 * 0.2 * 1600, rel=1e-3)


def test_an_unsure_detection_is_nobody(planted: type[PlantedModel]) -> None:
    planted.answers = [answer((777, -3.0, body(0.5, 0.6, 0.2)))]

    assert PersonDetector(Path(), 1).find(np.zeros((300, 300, 3), np.uint8)) == []


def test_neighbouring_detections_are_one_person_and_distant_ones_two(
    planted: type[PlantedModel],
) -> None:
    planted.answers = [
        answer(
            (100, 2.0, body(0.30, 0.5, 0.3)),
            (101, CERTAIN, body(0.31, 0.5, 0.3)),
            (102, 1.0, body(0.29, 0.5, 0.3)),
            (900, 3.0, body(0.75, 0.5, 0.3)),
        )
    ]

    first, second = PersonDetector(Path(), 1).find(np.zeros((400, 400, 3), np.uint8))

    assert first.crop.x == pytest.approx(120, abs=4)
    assert second.crop.x == pytest.approx(300, abs=1)


@pytest.mark.parametrize(
    ("scores", "x"), [((0.9, 0.6), 0.316), ((0.45, 0.15), 0.31), ((0.9, 0.45), 0.3)]
)
def test_merging_leans_to_the_surer_and_what_is_unsure_moves_nothing_that_is_sure(
    scores: tuple[float, float], x: float
) -> None:
    values = np.stack([body(0.30, 0.5, 0.3), body(0.34, 0.5, 0.3)]).astype(np.float32)

    ((merged, score),) = blazepose.merge_detections(values, np.array(scores, np.float32))

    assert merged[0, 0] == pytest.approx(x)
    assert score == pytest.approx(scores[0])


def test_what_only_hints_at_somebody_comes_with_its_score(planted: type[PlantedModel]) -> None:
    planted.answers = [answer((777, -1.0, body(0.5, 0.6, 0.2)))]

    (found,) = PersonDetector(Path(), 1).find(np.zeros((300, 300, 3), np.uint8))

    assert found.score == pytest.approx(0.269, abs=1e-3)


def test_nothing_merges_to_nothing() -> None:
    assert (
        blazepose.merge_detections(np.zeros((0, 6, 2), np.float32), np.zeros(0, np.float32)) == []
    )


# Crops


def test_a_crop_is_turned_so_that_the_rim_lies_straight_above() -> None:
    crop = Crop.around(np.array([100.0, 100.0]), np.array([180.0, 100.0]))

    top_middle = crop.to_photo @ [CROP_SIDE / 2, 0, 1]
    assert top_middle == pytest.approx([100 + crop.side / 2, 100])
    assert crop.angle == pytest.approx(np.pi / 2)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    st.tuples(st.floats(-500, 1500), st.floats(-500, 1500)),
    st.floats(20, 2000),
    st.floats(-np.pi, np.pi),
    st.tuples(st.floats(-100, 400), st.floats(-100, 400)),
)
def test_from_photo_to_crop_and_back(
    centre: tuple[float, float], side: float, angle: float, point: tuple[float, float]
) -> None:
    matrix = Crop(*centre, side, angle).to_photo

    photo = matrix @ [*point, 1]
    again = cv2.invertAffineTransform(matrix) @ [*photo, 1]

    assert again == pytest.approx(point, abs=1e-6 * max(1000, side))
    middle = matrix @ [CROP_SIDE / 2, CROP_SIDE / 2, 1]
    assert middle == pytest.approx(centre, abs=1e-6)
    corner = matrix @ [0, 0, 1]
    assert np.hypot(*(corner - middle)) == pytest.approx(side / np.sqrt(2), rel=1e-6)


def test_a_crop_cuts_the_pixels_that_its_matrix_says() -> None:
    rgb = np.zeros((600, 800, 3), np.uint8)
    cv2.circle(rgb, (500, 200), 12, (0, 255, 0), -1)
    crop = Crop(420, 260, 400, 0.7)

    cut = crop.cut(rgb)

    assert cut.shape == (CROP_SIDE, CROP_SIDE, 3)
    y, x = (axis.mean() for axis in np.nonzero(cut[..., 1] > 128))
    assert crop.to_photo @ [x, y, 1] == pytest.approx([500, 200], abs=1.5)


def test_a_crop_is_black_where_it_leaves_the_photo() -> None:
    cut = Crop(0, 0, 200, 0.0).cut(np.full((300, 300, 3), 255, np.uint8))

    assert not cut[:120].any()
    assert not cut[:, :120].any()
    assert (cut[136:, 136:] == 255).all()


# Heatmaps


def heatmaps() -> Tensor:
    return np.zeros((64, 64, 39), np.float32)


def refined(points: Tensor, maps: Tensor) -> Tensor:
    """By ``maps`` of 0 to 1, where the model has logits."""
    certain = maps.clip(1e-12, 1 - 1e-6).astype(np.float64)
    return blazepose.refine_landmarks(points, np.log(certain / (1 - certain)).astype(np.float32))


def test_a_point_moves_to_the_peak_of_its_heatmap() -> None:
    maps = heatmaps()
    maps[30, 21, 4] = 0.9
    points = np.full((39, 2), 80, np.float32)
    points[4] = [80, 126]

    moved = refined(points, maps)

    assert moved[4].tolist() == [84, 120]
    assert (np.delete(moved, 4, 0) == np.delete(points, 4, 0)).all()


def test_a_broad_peak_pulls_to_its_centre_of_mass() -> None:
    maps = heatmaps()
    maps[20, 20:22, 0] = 0.6
    points = np.full((39, 2), 80, np.float32)

    assert refined(points, maps)[0].tolist() == pytest.approx([82, 80])


@pytest.mark.parametrize("height", [0.0, 0.2])
def test_a_faint_peak_moves_nothing(height: float) -> None:
    maps = heatmaps()
    maps[20, 21] = height
    points = np.full((39, 2), 80, np.float32)

    assert (refined(points, maps) == points).all()


def test_a_peak_far_away_is_somebody_elses() -> None:
    maps = heatmaps()
    maps[50, 50] = 1.0
    points = np.full((39, 2), 80, np.float32)

    assert (refined(points, maps) == points).all()


@pytest.mark.parametrize(
    "xy", [(0, 0), (255, 255), (-30, 100), (100, -30), (-200, -200), (300, 300), (1e6, 1e6)]
)
def test_a_point_off_the_crop_does_not_come_back_on_the_far_side(xy: tuple[float, float]) -> None:
    maps = heatmaps()
    maps[8:-8, 8:-8] = 1.0
    points = np.tile(np.array(xy, np.float32), (39, 1))

    assert (refined(points, maps) == points).all()


# Poses


def pose_answer(
    centre: tuple[float, float], rim: tuple[float, float], score: float
) -> list[Tensor]:
    """The landmark model's outputs, every landmark at the crop's middle."""
    landmarks = np.zeros((39, 5), np.float32)
    landmarks[:, :2] = CROP_SIDE / 2
    landmarks[33, :2], landmarks[34, :2] = centre, rim
    landmarks[:, 4] = CERTAIN
    outline = np.full((1, 256, 256, 1), -CERTAIN, np.float32)
    outline[0, 64:192, 96:160] = CERTAIN
    return [
        landmarks.reshape(1, 195),
        np.array([[score]], np.float32),
        outline,
        np.full((1, 64, 64, 39), -CERTAIN, np.float32),
    ]


def test_the_second_look_is_where_the_first_points(
    planted: type[PlantedModel],
) -> None:
    planted.answers = [
        pose_answer((128, 144), (128, 80), 0.9),
        pose_answer((128, 128), (128, 64), 0.8),
    ]

    pose = PoseModel(Path(), 1).infer(np.zeros((512, 512, 3), np.uint8), Crop(256, 256, 512, 0.0))

    assert pose is not None
    assert pose.score == pytest.approx(0.8)
    assert (pose.crop.x, pose.crop.y) == (256, 288)
    assert pose.crop.side == pytest.approx(2 * 1.25 * 128)
    assert pose.points[0] == pytest.approx([256, 288])
    for tensor in planted.shown:
        assert tensor.shape == (1, 256, 256, 3)
    assert len(planted.shown) == 2


@pytest.mark.parametrize(
    ("centre", "rim", "looks"),
    [
        ((128, 128), (128, 25.6), 1),  # the very same crop
        ((134, 122), (134, 20), 1),
        ((144, 128), (144, 25.6), 2),
        ((128, 128), (128, 10), 2),
        ((128, 128), (148, 27.6), 2),
    ],
)
def test_a_second_look_is_kept_for_crops_that_move(
    centre: tuple[float, float],
    rim: tuple[float, float],
    looks: int,
    planted: type[PlantedModel],
) -> None:
    planted.answers = [pose_answer(centre, rim, score) for score in (0.9, 0.8)]
    model = PoseModel(Path(), 1)

    pose = model.infer(np.zeros((512, 512, 3), np.uint8), Crop(256, 256, 512, 0.0))

    assert pose is not None
    assert pose.score == pytest.approx(0.9 if looks == 1 else 0.8)
    assert len(planted.shown) == looks


@pytest.mark.parametrize("scores", [(0.1, 0.9), (0.9, 0.1)])
def test_a_pose_that_either_look_doubts_is_nobody(
    scores: tuple[float, float], planted: type[PlantedModel]
) -> None:
    planted.answers = [pose_answer((128, 128), (128, 64), score) for score in scores]

    assert PoseModel(Path(), 1).infer(np.zeros((90, 90, 3), np.uint8), Crop(45, 45, 90, 0)) is None


def test_the_pose_model_is_shown_colours_between_zero_and_one(
    planted: type[PlantedModel],
) -> None:
    planted.answers = [pose_answer((128, 128), (128, 64), 0.1)]
    red = np.zeros((90, 90, 3), np.uint8)
    red[..., 0] = 255

    PoseModel(Path(), 1).infer(red, Crop(45, 45, 60, 0))

    assert planted.shown[0][0, 128, 128].tolist() == [1, 0, 0]


# Candidates


def pose(points: NDArray[np.float32] | None = None, presence: float = 0.9) -> Pose:
    """A figure that fills the middle of its crop, the crop being a 256 x 256 photo."""
    outline = np.zeros((CROP_SIDE, CROP_SIDE), np.float32)
    outline[60:200, 100:150] = 1.0
    if points is None:
        points = np.full((39, 2), 128, np.float32)
    scores = np.full(39, presence, np.float32)
    return Pose(points, scores, 0.9, outline, Crop(128, 128, 256, 0.0))


def test_every_landmark_has_a_known_name_and_a_number_of_its_own() -> None:
    assert set(LANDMARKS) <= NAMES
    assert len(set(LANDMARKS.values())) == len(LANDMARKS)
    assert max(LANDMARKS.values()) < 33


def test_left_and_right_have_neighbouring_numbers() -> None:
    """BlazePose numbers the person's left first."""
    for name, number in LANDMARKS.items():
        if name.startswith("left_") and "eye" not in name:
            assert LANDMARKS[name.replace("left_", "right_")] == number + 1


def test_a_candidate_is_as_large_as_its_outline() -> None:
    one = to_candidate(pose(), (256, 256))

    assert one is not None
    assert one.box.x0 == pytest.approx(100, abs=1)
    assert one.box.y1 == pytest.approx(200, abs=1)
    assert one.score == 0.9
    assert one.skeleton.get("nose") == (128, 128)


def test_a_joint_beyond_the_outline_belongs_to_the_box() -> None:
    points = np.full((39, 2), 128, np.float32)
    points[LANDMARKS["left_wrist"]] = [220, 40]

    one = to_candidate(pose(points), (256, 256))

    assert one is not None
    assert (one.box.x1, one.box.y0) == (220, 40)


def test_a_box_never_leaves_the_photo() -> None:
    points = np.full((39, 2), 128, np.float32)
    points[LANDMARKS["left_ankle"]] = [128, 900]
    points[LANDMARKS["left_wrist"]] = [-300, 128]

    one = to_candidate(pose(points), (256, 256))

    assert one is not None
    assert (one.box.x0, one.box.y1) == (0, 256)
    assert one.skeleton.get("left_ankle") == (128, 900)


def test_a_joint_that_the_model_calls_absent_is_missing() -> None:
    one = to_candidate(pose(presence=0.1), (256, 256))

    assert one is not None
    assert one.skeleton.get("nose") is None
    assert one.box.x0 == pytest.approx(100, abs=1)


def test_a_pose_without_a_pixel_in_the_photo_is_nobody() -> None:
    outside = Crop(-900, -900, 256, 0.0)
    seen = pose(presence=0.1)
    elsewhere = replace(seen, crop=outside)

    assert to_candidate(elsewhere, (256, 256)) is None


def test_an_outline_is_laid_back_where_its_crop_was_cut() -> None:
    crop = Crop(300, 200, 128, 0.0)

    outline = replace(pose(), crop=crop).outline_on(slice(0, 400), slice(0, 500))

    assert outline.shape == (400, 500)
    rows, columns = np.nonzero(outline > 0.5)
    assert columns.min() == pytest.approx(300 - 64 + 50, abs=1)
    assert rows.max() == pytest.approx(200 - 64 + 100, abs=1)


@pytest.mark.parametrize(
    ("rows", "columns"),
    [
        (slice(150, 400), slice(260, 500)),
        (slice(0, 237), slice(0, 301)),
        (slice(191, 192), slice(300, 301)),
        (slice(0, 50), slice(0, 50)),
    ],
)
def test_a_regions_outline_is_that_of_the_photo_there(rows: slice, columns: slice) -> None:
    turned = replace(pose(), crop=Crop(300, 200, 180, 0.4))
    before = turned.crop.to_photo

    there = turned.outline_on(rows, columns)

    whole = turned.outline_on(slice(0, 400), slice(0, 500))
    assert there.shape == whole[rows, columns].shape
    assert np.abs(there - whole[rows, columns]).max() < 0.05
    assert (turned.crop.to_photo == before).all()
