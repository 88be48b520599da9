"""Geometry on small pixel grids."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tryon_masks.domain.parts import BoolMask
from tryon_masks.domain.shapes import (
    capsule,
    grow,
    holes,
    hulls,
    smooth,
    stretch,
    without_specks,
)


def drawn(*rows: str) -> BoolMask:
    """``#`` is inside."""
    return np.array([[cell == "#" for cell in row] for row in rows])


def random_mask(seed: int, shape: tuple[int, int] = (23, 31), share: float = 0.1) -> BoolMask:
    return np.asarray(np.random.default_rng(seed).random(shape) < share)


seeds = st.integers(0, 2**32 - 1)
few = settings(max_examples=25, deadline=None, derandomize=True)


# A limb


def test_a_limb_is_as_wide_as_asked_at_both_ends() -> None:
    limb = capsule((60, 100), (20, 30), (80, 30), (30, 10))

    assert limb[:, 20].sum() == pytest.approx(30, abs=2)
    assert limb[:, 80].sum() == pytest.approx(10, abs=2)
    assert limb[:, 50].sum() == pytest.approx(20, abs=2)


def test_a_limb_has_round_ends() -> None:
    limb = capsule((60, 100), (20, 30), (80, 30), (20, 20))

    columns = np.nonzero(limb.any(0))[0]
    assert (columns.min(), columns.max()) == (pytest.approx(10, abs=1), pytest.approx(90, abs=1))
    assert not limb[21, 11]


def test_a_limb_without_length_is_a_disc() -> None:
    disc = capsule((220, 220), (110, 110), (110, 110), (200, 200))

    assert disc.sum() == pytest.approx(np.pi * 100**2, rel=0.02)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ((10.0, 20.0), (-300.0, 20.0)),
        ((10.0, 20.0), (10.0, -300.0)),
        ((55.0, 20.0), (400.0, 33.0)),
        ((30.0, 35.0), (12.0, 500.0)),
        ((-5.0, -5.0), (-80.0, -90.0)),
    ],
)
def test_a_limb_that_leaves_the_frame_is_clipped_along_itself(
    start: tuple[float, float], end: tuple[float, float]
) -> None:
    """As if a larger canvas had been cut to the frame: nothing comes back on the far side."""
    margin = 600
    large = capsule(
        (40 + 2 * margin, 60 + 2 * margin),
        (start[0] + margin, start[1] + margin),
        (end[0] + margin, end[1] + margin),
        (12, 8),
    )

    frame = capsule((40, 60), start, end, (12, 8))

    assert (frame == large[margin : margin + 40, margin : margin + 60]).all()


def test_a_limb_to_nowhere_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="outside"):
        capsule((40, 60), (10, 10), (1e9, 10), (12, 8))
    with pytest.raises(ValueError, match="outside"):
        capsule((40, 60), (10, 10), (float("nan"), 10), (12, 8))


# Growing


def test_grow_reaches_as_far_as_its_radius() -> None:
    dot = np.zeros((41, 41), bool)
    dot[20, 20] = True

    grown = grow(dot, 10)

    assert grown[20].nonzero()[0].tolist() == list(range(10, 31))
    assert grown.sum() == pytest.approx(np.pi * 10**2, rel=0.06)


def test_nothing_grows_into_nothing() -> None:
    assert not grow(np.zeros((5, 5), bool), 3).any()
    assert grow(np.ones((5, 5), bool), 3).all()


@few
@given(seeds, st.floats(0, 6), st.floats(0, 6))
def test_growing_only_adds_and_more_adds_more(seed: int, one: float, other: float) -> None:
    mask = random_mask(seed, share=0.02)
    less, more = sorted((one, other))

    assert (mask <= grow(mask, less)).all()
    assert (grow(mask, less) <= grow(mask, more)).all()


# Stretching


def test_stretch_goes_to_each_side_by_its_own_measure() -> None:
    dot = np.zeros((20, 20), bool)
    dot[10, 10] = True

    rows, columns = stretch(dot, top=1, bottom=2, left=3, right=4).nonzero()

    assert (rows.min(), rows.max()) == (9, 12)
    assert (columns.min(), columns.max()) == (7, 14)


@pytest.mark.parametrize("side", ["top", "bottom", "left", "right"])
def test_stretch_stops_at_the_frame(side: str) -> None:
    dot = np.zeros((9, 9), bool)
    dot[4, 4] = True
    sides = {"top": 0.0, "bottom": 0.0, "left": 0.0, "right": 0.0, side: 50.0}

    stretched = stretch(dot, **sides)

    assert stretched.sum() == 5
    line = stretched[:, 4] if side in ("top", "bottom") else stretched[4]
    assert line.sum() == 5
    assert line[0 if side in ("top", "left") else -1]


def test_no_margin_changes_nothing() -> None:
    mask = random_mask(1)

    assert (stretch(mask, 0, 0, 0, 0) == mask).all()


# Holes and specks


def test_a_hole_is_enclosed_and_small() -> None:
    ring = drawn(
        "..........",
        ".####.###.",
        ".#..#.#.#.",
        ".#..#.###.",
        ".####.....",
        "..........",
    )

    assert holes(ring, largest=4).sum() == 5
    assert holes(ring, largest=3).sum() == 1
    assert not (holes(ring, largest=99) & ring).any()


def test_a_bay_and_the_frame_are_no_holes() -> None:
    assert not holes(drawn("#####", "#...#", "#.###", "#...."), largest=99).any()
    assert not holes(drawn("##.##", "##.##", "#####"), largest=99).any()
    assert not holes(np.zeros((4, 4), bool), largest=99).any()
    assert not holes(np.ones((4, 4), bool), largest=99).any()


def test_a_hole_is_not_left_through_a_corner() -> None:
    assert holes(drawn(".....", "..#..", ".#.#.", "..#..", "....."), largest=1)[2, 2]


def test_what_lies_in_a_hole_counts_as_part_of_it_and_a_ring_with_what_it_encloses() -> None:
    island = drawn("#####", "#...#", "#.#.#", "#...#", "#####")

    assert not holes(island, largest=8).any()
    assert (holes(island, largest=9) == ~island).all()
    ring = drawn(".....", ".###.", ".#.#.", ".###.", ".....")
    assert (without_specks(ring, 9) == ring).all()
    assert not without_specks(ring, 9.5).any()


def test_areas_are_counted_in_pixels_however_thin_a_piece_is() -> None:
    for piece, area in ((("#",), 1), (("###",), 3), (("#..", "###", "..#"), 5), (("##", "##"), 4)):
        mask = np.pad(drawn(*piece), 1)
        assert without_specks(mask, area).sum() == area
        assert not without_specks(mask, area + 0.5).any()


def test_specks_go_and_the_rest_stays() -> None:
    mask = drawn("##...#", "##....", "......", "...##.")

    assert (without_specks(mask, 3) == drawn("##....", "##....", "......", "......")).all()
    assert (without_specks(mask, 2) == drawn("##....", "##....", "......", "...##.")).all()
    assert not without_specks(np.zeros((4, 4), bool), 1).any()


def test_pieces_that_touch_at_a_corner_are_one() -> None:
    mask = drawn("#..", ".#.", "..#")

    assert (without_specks(mask, 3) == mask).all()


@few
@given(seeds, st.floats(0, 20))
def test_what_is_dropped_is_dropped_whole(seed: int, smallest: float) -> None:
    mask = random_mask(seed, share=0.3)

    kept = without_specks(mask, smallest)

    assert (kept <= mask).all()
    assert (without_specks(kept, smallest) == kept).all()


# Softening and hulls


def test_a_corner_is_rounded_and_a_straight_edge_is_not_moved() -> None:
    square = np.zeros((60, 60), bool)
    square[15:45, 15:45] = True

    rounded = smooth(square, 4)

    assert not rounded[15, 15]
    assert rounded[30].nonzero()[0].tolist() == list(range(15, 45))


def test_no_radius_no_softening() -> None:
    mask = random_mask(2)

    assert (smooth(mask, 0) == mask).all()


def test_each_piece_gets_a_hull_of_its_own() -> None:
    mask = drawn(
        "#...#......",
        "#...#......",
        "#####......",
        "...........",
        "........#..",
        "......#.#..",
        "......###..",
    )

    hull = hulls(mask)

    assert hull[:3, :5].all()
    assert hull[5, 7]
    assert not hull[:, 5].any()
    assert not hull[3].any()


@few
@given(seeds)
def test_a_hull_only_adds(seed: int) -> None:
    mask = random_mask(seed)

    assert (mask <= hulls(mask)).all()
