"""Boxes, candidates and the canonical part labels."""

from __future__ import annotations

import numpy as np
import pytest
from tests import fakes, figures

from tryon_masks.domain import parts
from tryon_masks.domain.parts import Part, where
from tryon_masks.domain.person import Box


def test_a_box_is_as_large_as_it_looks() -> None:
    box = Box(10, 20, 40, 60)

    assert (box.width, box.height, box.area) == (30, 40, 1200)


def test_a_box_turned_inside_out_is_empty() -> None:
    assert Box(40, 60, 10, 20).area == 0


@pytest.mark.parametrize(
    ("other", "share"),
    [
        (Box(0, 0, 10, 10), 1.0),
        (Box(5, 0, 15, 10), 1 / 3),
        (Box(0, 0, 10, 20), 0.5),
        (Box(10, 0, 20, 10), 0.0),
        (Box(50, 50, 60, 60), 0.0),
        (Box(-20, -20, -10, -10), 0.0),
    ],
)
def test_overlap_is_intersection_over_union(other: Box, share: float) -> None:
    box = Box(0, 0, 10, 10)

    assert box.overlap(other) == pytest.approx(share)
    assert other.overlap(box) == pytest.approx(share)


def test_a_candidate_on_a_finer_grid_is_the_same_candidate() -> None:
    finer = fakes.candidate().scaled(2)

    assert finer.box == Box(176, 40, 424, 776)
    assert finer.skeleton.get("nose") == (300, 110)
    assert finer.score == fakes.candidate().score


def test_a_person_knows_its_t() -> None:
    assert figures.person().torso == fakes.TORSO


def test_a_person_without_shoulders_cannot_be_measured() -> None:
    with pytest.raises(ValueError, match="body unit"):
        _ = figures.person(lost=["left_shoulder"]).torso


def test_a_person_on_a_part_of_the_grid_is_the_same_person() -> None:
    person = figures.person()

    part = person.cut(slice(30, 390), slice(70, 230))

    assert part.part_map.shape == part.confidence.shape == (360, 160)
    assert (part.part_map == person.part_map[30:390, 70:230]).all()
    assert part.torso == person.torso
    assert part.score == person.score
    assert part.box == Box(18, -10, 142, 358)
    for name, (x, y) in figures.POINTS.items():
        assert part.skeleton.get(name) == (x - 70, y - 30)


def test_the_whole_grid_is_a_part_of_the_grid() -> None:
    person = figures.person(lost=["left_wrist"])

    same = person.cut(slice(0, 400), slice(0, 300))

    assert (same.box, same.skeleton) == (person.box, person.skeleton)
    assert (same.part_map == person.part_map).all()
    assert (same.confidence == person.confidence).all()


def test_where_finds_every_pixel_of_the_parts_asked_for() -> None:
    part_map = np.array([[0, 7, 8], [25, 7, 20]], np.uint8)

    assert where(part_map, {Part.TOP, Part.OTHER_PERSON}).tolist() == [
        [False, True, False],
        [True, True, False],
    ]
    assert not where(part_map, set()).any()


def test_where_finds_them_on_a_part_of_a_grid_too() -> None:
    part_map = fakes.part_map()

    for view in (part_map[30:390, 70:230], part_map[::2, ::3], part_map.T):
        top = where(view, {Part.TOP})
        assert top.dtype == bool
        assert (top == (view == Part.TOP)).all()


def test_every_part_but_background_is_skin_cloth_or_protected() -> None:
    skin = parts.ARMS | parts.LEGS | {Part.NECK, Part.TORSO_SKIN}
    cloth = parts.TOPS | parts.BOTTOMS | {Part.DRESS, Part.LEGWEAR, Part.BELT, Part.SCARF}
    groups = (skin, cloth, parts.PROTECTED, frozenset({Part.BACKGROUND}))

    assert sorted(part for group in groups for part in group) == sorted(Part)
