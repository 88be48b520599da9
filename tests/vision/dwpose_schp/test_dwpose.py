"""The pose model's contract: what goes in, and where the planted peaks lie in the photo."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.vision.dwpose_schp.contract_graphs import (
    BRIGHTEST,
    PHOTO_SIZES,
    POINTS,
    TORCH,
    Export,
    colour_pose,
    exported,
    planted_pose,
)

from tryon_masks.domain.person import Box
from tryon_masks.domain.skeleton import COCO17
from tryon_masks.vision.dwpose_schp.dwpose import HANDS, JAW, NAMED, PoseModel


def box_in(width: int, height: int, number: int) -> Box:
    """A slim one, a wide one, and one that leaves the photo."""
    x0, y0, x1, y1 = [(0.3, 0.1, 0.55, 0.9), (0.1, 0.4, 0.9, 0.7), (-0.1, 0.2, 0.6, 1.1)][number]
    return Box(x0 * width, y0 * height, x1 * width, y1 * height)


def crop_of(box: Box) -> tuple[float, float, float]:
    """Left, top and photo pixels per crop pixel of the 288 x 384 crop around the padded box."""
    height = 1.25 * max(box.height, box.width * 4 / 3)
    x, y = (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
    return x - height * 3 / 8, y - height / 2, height / 384


def everywhere() -> dict[int, tuple[int, int, float, float]]:
    """A peak for every point, at odd and even bins from the first to the last."""
    return {
        i: (round(i * 575 / 132), round((132 - i) * 767 / 132), 0.5 + i / 400, 0.95 - i / 400)
        for i in range(POINTS)
    }


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize(("width", "height"), PHOTO_SIZES)
def test_every_planted_point_comes_back_to_its_place(
    tmp_path: Path, width: int, height: int, number: int
) -> None:
    planted_pose(tmp_path / "pose.onnx", everywhere())
    box = box_in(width, height, number)

    body = PoseModel(tmp_path / "pose.onnx", 1).infer(np.zeros((height, width, 3), np.uint8), box)

    left, top, unit = crop_of(box)
    wanted = [(left + x / 2 * unit, top + y / 2 * unit) for x, y, _, _ in everywhere().values()]
    assert np.abs(body.points - np.array(wanted)).max() < 0.01
    scores = [min(x, y) for _, _, x, y in everywhere().values()]
    assert body.scores == pytest.approx(np.array(scores, np.float32))


def lights(
    width: int, height: int, centres: list[tuple[float, float]], spread: float
) -> NDArray[np.uint8]:
    """Red, green and blue light around three points of a black photo, flat in the middle."""
    y, x = np.mgrid[:height, :width]
    channels = [
        BRIGHTEST * np.minimum(1, 1.5 * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * spread**2)))
        for cx, cy in centres
    ]
    return np.round(np.stack(channels, axis=-1)).astype(np.uint8)


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize(("width", "height"), PHOTO_SIZES)
def test_points_that_the_model_sees_lie_where_the_photo_has_them(
    tmp_path: Path, width: int, height: int, number: int
) -> None:
    """The middle of each colour channel, at a bin of its own, to less than half a pixel."""
    colour_pose(tmp_path / "pose.onnx")
    box = box_in(width, height, number)
    left, top, unit = crop_of(box)
    inside = box.clipped(width, height)
    centres = []
    for x, y in ((0.3, 0.35), (0.6, 0.4), (0.5, 0.65)):
        column = round(2 * (inside.x0 + x * inside.width - left) / unit)
        row = round(2 * (inside.y0 + y * inside.height - top) / unit)
        centres.append((left + column / 2 * unit, top + row / 2 * unit))
    rgb = lights(width, height, centres, spread=3 * max(1, unit))

    body = PoseModel(tmp_path / "pose.onnx", 1).infer(rgb, box)

    assert np.abs(body.points[:3] - np.array(centres)).max() < 0.5
    assert body.scores[:3] == pytest.approx(np.ones(3), abs=0.01)


def test_a_point_is_as_sure_as_the_weaker_of_its_peaks_and_missing_under_the_threshold(
    tmp_path: Path,
) -> None:
    peaks = {5: (10, 10, 0.9, 0.29), 6: (20, 20, 0.31, 0.9), 7: (30, 30, 0.9, 1.3)}
    planted_pose(tmp_path / "pose.onnx", peaks)

    body = PoseModel(tmp_path / "pose.onnx", 1).infer(
        np.zeros((384, 288, 3), np.uint8), Box(0, 0, 288, 384)
    )

    assert body.scores[[5, 6, 7]].tolist() == pytest.approx([0.29, 0.31, 0.9])
    assert not body.skeleton.has("left_shoulder")
    assert body.skeleton.has("right_shoulder", "left_elbow")
    assert body.skeleton.get("nose") is None
    assert len(body.seen(slice(5, 8))) == 2


def test_the_named_points_are_those_of_coco_wholebody() -> None:
    assert [NAMED[name] for name in COCO17] == list(range(17))
    assert [NAMED[f"left_{name}"] for name in ("big_toe", "small_toe", "heel")] == [17, 18, 19]
    assert [NAMED[f"right_{name}"] for name in ("big_toe", "small_toe", "heel")] == [20, 21, 22]
    assert (JAW.start, JAW.stop - 1) == (23, 39)
    assert (HANDS["left"].start, HANDS["right"].start, HANDS["right"].stop) == (91, 112, 133)
    assert (NAMED["left_index"], NAMED["right_pinky"]) == (96, 129)
    # The face's points 48 and 54, of 68 that are counted from the person's right.
    assert (NAMED["right_mouth"], NAMED["left_mouth"]) == (23 + 48, 23 + 54)


@pytest.mark.parametrize("how", TORCH, ids=str)
def test_a_graph_of_any_exporter_gives_the_same_points(tmp_path: Path, how: Export) -> None:
    rgb = np.zeros((433, 577, 3), np.uint8)
    rgb[100:140, 200:260, 0] = rgb[200:240, 220:280, 1] = rgb[300:330, 210:250, 2] = 200
    box = box_in(577, 433, 0)
    colour_pose(tmp_path / "pose.onnx")
    wanted = PoseModel(tmp_path / "pose.onnx", 1).infer(rgb, box)

    with exported(how):
        colour_pose(tmp_path / "pose.onnx")
    found = PoseModel(tmp_path / "pose.onnx", 1).infer(rgb, box)

    assert wanted.scores[:3].min() > 0.3
    assert np.array_equal(found.points, wanted.points)
    assert np.array_equal(found.scores, wanted.scores)
