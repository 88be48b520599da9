"""What the garment parser is shown, number by number; its training is shown the same."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import fakes, figures

from tryon_masks.domain.person import Box
from tryon_masks.domain.skeleton import NAMES, SIDES
from tryon_masks.vision.compact.input import (
    CHANNELS,
    GREY,
    HEIGHT,
    MARGIN,
    PLANES,
    STROKE,
    WIDTH,
    crop_matrix,
    draw,
    tensor,
)

SAME = np.array([[1.0, 0, 0], [0, 1, 0]])
"""The photo's own grid."""
MEASURED = {f"{side}_{joint}" for side in SIDES for joint in ("shoulder", "hip")}
"""What T, and with it the thickness of every bone, rests on."""
FRAME = (fakes.HEIGHT, fakes.WIDTH)

NOBODY = np.zeros(FRAME, np.uint8)
"""An outline that says nothing."""
TRUNK = next(i for i, lines in enumerate(PLANES) if ("left_hip", "right_hip") in lines)


# The crop


@pytest.mark.parametrize("size", [(HEIGHT, WIDTH), (96, 64), (288, 192), (64, 128)])
@pytest.mark.parametrize(
    "box", [fakes.BOX, Box(0, 0, 900, 40), Box(-20, 7, 31, 907), Box(500, 500, 501, 501)]
)
def test_the_box_and_its_margin_fill_the_input_as_far_as_they_fit(
    box: Box, size: tuple[int, int]
) -> None:
    matrix = crop_matrix(box, figures.skeleton(), size)

    pad = MARGIN * max(box.width, box.height)
    corners = np.array([[box.x0 - pad, box.y0 - pad, 1], [box.x1 + pad, box.y1 + pad, 1]])
    (left, top), (right, bottom) = corners @ matrix.T
    assert left + right == pytest.approx(size[1])
    assert top + bottom == pytest.approx(size[0])
    filled = (right - left) / size[1], (bottom - top) / size[0]
    assert max(filled) == pytest.approx(1)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.floats(-3000, 3000), st.floats(-3000, 3000), st.floats(1, 3000), st.floats(1, 3000))
def test_somebody_upright_is_neither_stretched_nor_turned(
    x: float, y: float, width: float, height: float
) -> None:
    matrix = crop_matrix(Box(x, y, x + width, y + height), figures.skeleton())

    assert matrix.shape == (2, 3)
    assert matrix[0, 0] == matrix[1, 1] > 0
    assert matrix[0, 1] == matrix[1, 0] == 0


@pytest.mark.parametrize("degrees", [0, 30, 60, 90, 120, 180, 210, 270, 300, 359])
def test_the_neck_is_above_the_hips_whichever_way_somebody_lies(degrees: int) -> None:
    turn = np.exp(1j * np.deg2rad(degrees))
    lying = {name: complex(*point) * turn for name, point in figures.POINTS.items()}
    one = figures.skeleton(moved={name: (p.real, p.imag) for name, p in lying.items()})
    corners = [complex(x, y) * turn for x in (60, 240) for y in (20, 390)]
    x, y = np.real(corners), np.imag(corners)
    box = Box(x.min(), y.min(), x.max(), y.max())

    matrix = crop_matrix(box, one)

    neck, hip = (matrix @ [*point, 1] for point in (one.neck_base, one.mid_hip) if point)
    lean = abs(np.degrees(np.arctan2(hip[0] - neck[0], hip[1] - neck[1])))
    assert lean == pytest.approx(min(degrees % 90, -degrees % 90), abs=2)
    assert np.linalg.det(matrix[:, :2]) > 0
    framed = np.array([*zip(x, y, np.ones(4), strict=True)]) @ matrix.T
    assert (framed >= 0).all()
    assert (framed <= (WIDTH, HEIGHT)).all()


@pytest.mark.parametrize("lost", sorted(MEASURED))
def test_nobody_is_turned_on_a_guess(lost: str) -> None:
    matrix = crop_matrix(fakes.BOX, figures.skeleton([lost]))

    assert matrix[0, 0] == matrix[1, 1] > 0


# The skeleton


def test_every_joint_of_a_plane_is_a_name_and_lies_on_its_plane() -> None:
    planes = draw(figures.skeleton(), SAME, FRAME)

    assert planes.shape == (len(PLANES), *FRAME)
    assert planes.dtype == np.uint8
    for plane, lines in zip(planes, PLANES, strict=True):
        assert plane.any()
        for name in (name for line in lines for name in line):
            assert name in NAMES
            x, y = figures.POINTS.get(name, (0.0, 0.0))
            if name in figures.POINTS:
                assert plane[round(y), round(x)] == 255, name


def test_a_plane_holds_its_bones_and_nothing_else() -> None:
    planes = draw(figures.skeleton(), SAME, FRAME)

    half = STROKE * fakes.TORSO / 2
    for plane, lines in zip(planes, PLANES, strict=True):
        bones = np.full(FRAME, 255, np.uint8)
        for first, second in lines:
            ends = [tuple(round(v) for v in figures.POINTS[name]) for name in (first, second)]
            cv2.line(bones, ends[0], ends[1], 0, 1)
        distance = cv2.distanceTransform(bones, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        assert (plane[distance < half - 1] == 255).all()
        assert not plane[distance > half + 2].any()


def test_the_joints_are_drawn_where_the_matrix_leads() -> None:
    matrix = crop_matrix(fakes.BOX, figures.skeleton())

    planes = draw(figures.skeleton(), matrix)

    assert planes.shape == (len(PLANES), HEIGHT, WIDTH)
    for plane, lines in zip(planes, PLANES, strict=True):
        for name in (name for line in lines for name in line):
            x, y = matrix @ [*figures.POINTS[name], 1]
            assert plane[round(y), round(x)] == 255, name


@pytest.mark.parametrize("name", [name for name in figures.JOINTS if name not in MEASURED])
def test_a_missing_joint_takes_its_own_bones_along_and_no_others(name: str) -> None:
    whole = draw(figures.skeleton(), SAME, FRAME)

    planes = draw(figures.skeleton([name]), SAME, FRAME)

    for plane, before, lines in zip(planes, whole, PLANES, strict=True):
        if any(name in line for line in lines):
            left = [line for line in lines if name not in line]
            assert bool(plane.any()) == bool(left)
            assert (plane <= before).all()
            assert (plane < before).any()
        else:
            assert (plane == before).all()
    assert not planes[:, :8, :8].any()  # where models put a lost joint


@pytest.mark.parametrize(("dx", "dy"), [(1, 0), (-1, 0), (0, 1), (0, -1)])
@pytest.mark.parametrize("far", [2e3, 1e5, 1e9])
def test_a_joint_far_outside_draws_to_its_own_side_only(dx: int, dy: int, far: float) -> None:
    elbow = figures.POINTS["left_elbow"]
    away = (elbow[0] + dx * far, elbow[1] + dy * far)

    planes = draw(figures.skeleton(moved={"left_wrist": away}), SAME, FRAME)

    before = draw(figures.skeleton(["left_wrist"]), SAME, FRAME)
    forearm = next(i for i, lines in enumerate(PLANES) if ("left_elbow", "left_wrist") in lines)
    y, x = np.nonzero(planes[forearm] > before[forearm])
    along = (x - elbow[0]) * dx + (y - elbow[1]) * dy
    across = (x - elbow[0]) * dy + (y - elbow[1]) * dx
    edge = {(1, 0): 299 - elbow[0], (-1, 0): elbow[0], (0, 1): 399 - elbow[1], (0, -1): elbow[1]}
    stroke = STROKE * fakes.TORSO
    assert along.min() > -stroke
    assert along.max() == edge[dx, dy]
    # A line to the far corner of OpenCV's integers may lean a little.
    assert np.abs(across).max() < 2.5 * stroke


@pytest.mark.parametrize("factor", [0.5, 1, 2, 4])
def test_bones_are_as_thick_as_the_person_is_large(factor: float) -> None:
    size = (round(FRAME[0] * factor), round(FRAME[1] * factor))

    bigger = draw(figures.skeleton().scaled(factor), SAME, size)
    closer = draw(figures.skeleton(), SAME * factor, size)

    assert (bigger == closer).all()
    row = round(160 * factor)  # both sides of the trunk, nearly upright
    thickness = np.count_nonzero(bigger[TRUNK][row] > 127) / 2
    assert thickness == pytest.approx(STROKE * fakes.TORSO * factor, abs=2.5)


def test_the_smallest_person_still_has_bones() -> None:
    planes = draw(figures.skeleton().scaled(0.02), SAME, (16, 16))

    assert planes[TRUNK].any()


@pytest.mark.parametrize("lost", ["left_shoulder", "right_shoulder"])
def test_a_skeleton_without_a_body_unit_is_a_mistake(lost: str) -> None:
    with pytest.raises(ValueError, match="shoulders"):
        draw(figures.skeleton([lost]), SAME)


# The whole input


def test_colours_come_first_in_rgb_from_minus_one_to_one() -> None:
    rgb = np.zeros((*FRAME, 3), np.uint8)
    rgb[..., 0], rgb[..., 2] = 255, 51

    shown = tensor(rgb, NOBODY, figures.skeleton(), crop_matrix(fakes.BOX, figures.skeleton()))

    assert shown.shape == (1, CHANNELS, HEIGHT, WIDTH)
    assert shown.dtype == np.float32
    assert shown[0, :3, 200, 128].tolist() == pytest.approx([1, -1, -0.6])
    assert shown.min() == -1
    assert shown.max() == 1


def test_what_lies_outside_the_photo_is_grey() -> None:
    white = np.full((*FRAME, 3), 255, np.uint8)

    one = figures.skeleton()
    shown = tensor(white, NOBODY, one, crop_matrix(Box(200, 100, 600, 500), one))

    outside = shown[0, :3, :, 170:]
    assert np.ptp(outside) == 0
    assert outside[0, 0, 0] == pytest.approx(GREY / 127.5 - 1)
    assert abs(outside).max() < 0.01
    assert (shown[0, :3, 192, :60] == 1).all()


def test_the_planes_follow_the_colours() -> None:
    matrix = crop_matrix(fakes.BOX, figures.skeleton())

    shown = tensor(np.zeros((*FRAME, 3), np.uint8), NOBODY, figures.skeleton(), matrix)

    drawn = draw(figures.skeleton(), matrix).astype(np.float32)
    assert np.abs(shown[0, 3:-1] - (drawn / 127.5 - 1)).max() < 1e-6


def test_the_outline_comes_last_and_ends_where_the_photo_does() -> None:
    body = np.zeros(FRAME, np.uint8)
    body[100:300, 50:120] = 255
    matrix = crop_matrix(fakes.BOX, figures.skeleton())

    shown = tensor(np.zeros((*FRAME, 3), np.uint8), body, figures.skeleton(), matrix)

    (left, top), (right, bottom) = (
        np.array([(50, 100), (120, 300)]) @ matrix[:, :2].T + matrix[:, 2]
    )
    outline = shown[0, -1]
    x, y = np.round([left, right]).astype(int), np.round([top, bottom]).astype(int)
    assert (outline[y[0] + 2 : y[1] - 2, x[0] + 2 : x[1] - 2] == 1).all()
    assert (outline == 1).sum() < (right - left) * (bottom - top)
    assert outline[0, 0] == outline[-1, -1] == -1
