"""The detector's contract: what goes in, and which of the planted boxes come out, and where."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.vision.dwpose_schp.contract_graphs import (
    PHOTO_SIZES,
    TORCH,
    Export,
    Rgb,
    anchor,
    exported,
    marker_detector,
    planted_detector,
    raw_row,
)

from tryon_masks.domain.person import Box
from tryon_masks.vision.dwpose_schp.yolox import PersonDetector

ORANGE, BLACK, MAUVE = (240, 130, 20), (0, 0, 0), (150, 60, 160)
MARKERS: list[tuple[Rgb, int]] = [(ORANGE, 8), (BLACK, 16), (MAUVE, 32)]
"""The one of stride 16 is what the canvas would be if it were padded with black."""


def corners(box: Box) -> list[float]:
    return [box.x0, box.y0, box.x1, box.y1]


@pytest.mark.parametrize(("width", "height"), PHOTO_SIZES)
def test_boxes_of_every_stride_lie_where_the_photo_has_them(
    tmp_path: Path, width: int, height: int
) -> None:
    marker_detector(tmp_path / "yolox_l.onnx", MARKERS)
    rgb = np.full((height, width, 3), 235, np.uint8)
    wanted = {}
    for number, (colour, stride) in enumerate(MARKERS):
        x0, x1 = round(width * (0.03 + 0.33 * number)), round(width * (0.29 + 0.33 * number))
        y0, y1 = round(height * (0.05 + 0.1 * number)), round(height * (0.6 + 0.15 * number))
        rgb[y0:y1, x0:x1] = colour
        wanted[stride] = [x0, y0, x1, y1]

    found = PersonDetector(tmp_path / "yolox_l.onnx", 1).find(rgb)

    assert sorted(round(one.score, 4) for one in found) == [0.855] * 3
    boxes = sorted(corners(one.box) for one in found)
    # An edge that falls between two pixels of the canvas is neither's.
    slack = 1.5 * max(1, width / 640, height / 640)
    assert np.abs(np.array(boxes) - np.array(sorted(wanted.values()))).max() <= slack


@pytest.mark.parametrize("how", TORCH, ids=str)
def test_a_graph_of_any_exporter_gives_the_same_boxes(tmp_path: Path, how: Export) -> None:
    rgb = np.full((433, 577, 3), 235, np.uint8)
    rgb[40:300, 60:200] = ORANGE
    marker_detector(tmp_path / "yolox_l.onnx", MARKERS)
    wanted = PersonDetector(tmp_path / "yolox_l.onnx", 1).find(rgb)

    with exported(how):
        marker_detector(tmp_path / "yolox_l.onnx", MARKERS)

    assert PersonDetector(tmp_path / "yolox_l.onnx", 1).find(rgb) == wanted
    assert len(wanted) == 1


def test_nobody(tmp_path: Path) -> None:
    marker_detector(tmp_path / "yolox_l.onnx", MARKERS)

    found = PersonDetector(tmp_path / "yolox_l.onnx", 1).find(np.full((333, 222, 3), 235, np.uint8))

    assert found == []


def scenery(
    tmp_path: Path, rows: dict[int, NDArray[np.float32]]
) -> list[tuple[float, list[float]]]:
    """Score and corners of what is found on a photo of 320 x 320, half the canvas."""
    planted_detector(tmp_path / "yolox_l.onnx", rows)
    found = PersonDetector(tmp_path / "yolox_l.onnx", 1).find(np.zeros((320, 320, 3), np.uint8))
    return [(round(one.score, 4), [round(v, 2) for v in corners(one.box)]) for one in found]


def test_centre_and_size_are_decoded_by_stride(tmp_path: Path) -> None:
    rows = {
        anchor(8, 79, 0): raw_row(8, (79, 0), (600, 0, 640, 90), objectness=0.9, of_class=1),
        anchor(16, 0, 39): raw_row(16, (0, 39), (-20, 500, 130, 660), objectness=0.8, of_class=1),
        anchor(32, 19, 19): raw_row(32, (19, 19), (200, 100, 420, 640), objectness=0.7, of_class=1),
    }

    assert scenery(tmp_path, rows) == [
        (0.9, [300, 0, 320, 45]),
        (0.8, [-10, 250, 65, 330]),
        (0.7, [100, 50, 210, 320]),
    ]


def test_a_score_is_objectness_times_class_and_must_exceed_the_threshold(tmp_path: Path) -> None:
    box = (0, 0, 100, 100)
    rows = {
        0: raw_row(8, (0, 0), box, objectness=0.5, of_class=0.59),
        1: raw_row(8, (1, 0), (200, 0, 300, 100), objectness=0.5, of_class=0.61),
    }

    assert scenery(tmp_path, rows) == [(0.305, [100, 0, 150, 50])]


def test_other_classes_than_person_count_for_nothing(tmp_path: Path) -> None:
    """Neither as a find, nor against a person at the same place."""
    rows = {
        0: raw_row(8, (0, 0), (0, 0, 100, 100), objectness=1, of_class=0.99, class_id=1),
        1: raw_row(8, (1, 0), (0, 0, 100, 104), objectness=1, of_class=0.4),
    }

    assert scenery(tmp_path, rows) == [(0.4, [0, 0, 50, 52])]


@pytest.mark.parametrize(("right", "people"), [(138, 1), (140, 2)])
def test_of_two_boxes_that_overlap_by_more_than_045_the_surer_stays(
    tmp_path: Path, right: float, people: int
) -> None:
    """51 columns each with both ends counted, of which they share 32 of 70, or 31 of 71."""
    rows = {
        0: raw_row(8, (0, 0), (0, 0, 100, 200), objectness=0.6, of_class=1),
        1: raw_row(8, (1, 0), (right - 100, 0, right, 200), objectness=0.8, of_class=1),
    }

    found = scenery(tmp_path, rows)

    assert len(found) == people
    assert found[0] == (0.8, [right / 2 - 50, 0, right / 2, 100])
