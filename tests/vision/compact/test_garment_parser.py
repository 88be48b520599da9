"""What the garment parser is shown, and where its answer lands in the photo. No weights."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests import fakes, figures
from tests.vision.compact.painted import SCENES, ColourReader, Scene, near_borders, photo

from tryon_masks.domain.anatomy import Points
from tryon_masks.domain.person import Box, Candidate
from tryon_masks.domain.skeleton import SIDES, Skeleton
from tryon_masks.vision.compact import garment_parser
from tryon_masks.vision.compact.classes import CLASSES, Class
from tryon_masks.vision.compact.garment_parser import CELL, MIXED, ClassProbabilities, GarmentParser
from tryon_masks.vision.compact.input import (
    CHANNELS,
    GREY,
    HEIGHT,
    MARGIN,
    PLANES,
    WIDTH,
    crop_matrix,
)

Floats = NDArray[np.float32]
Region = tuple[slice, slice]

scenes = pytest.mark.parametrize("scene", SCENES, ids=str)


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> list[ColourReader]:
    """The stand-ins in place of every graph that the parser opens."""
    opened: list[ColourReader] = []

    class Kept(ColourReader):
        def __init__(self, path: Path, threads: int, outputs: tuple[str, ...]) -> None:
            super().__init__(path, threads, outputs)
            opened.append(self)

    monkeypatch.setattr(garment_parser, "Model", Kept)
    return opened


def whole(scene: Scene) -> Region:
    return slice(0, scene.height), slice(0, scene.width)


def figure_in(scene: Scene) -> NDArray[np.uint8]:
    """The figure's classes on the photo's grid."""
    return figures.classes(scene.parts(figures.bare_legged()))


def parse(rgb: NDArray[np.uint8], one: Candidate, region: Region) -> Floats:
    """With an outline that says nothing."""
    return parse_with(np.zeros(rgb.shape[:2], np.uint8), rgb, one, region)


def parse_with(
    outline: NDArray[np.uint8], rgb: NDArray[np.uint8], one: Candidate, region: Region
) -> Floats:
    """All pixels of the region: (20, h, w)."""
    rows, columns = region
    answer = GarmentParser(Path(), 1).parse(rgb, outline, one.box, one.skeleton)
    return on_grid(
        answer.moved(-columns.start, -rows.start),
        (rows.stop - rows.start, columns.stop - columns.start),
    )


def on_grid(answer: ClassProbabilities, shape: tuple[int, int]) -> Floats:
    """All pixels of a grid: (20, *shape)."""
    pixels = Points.from_mask(np.ones(shape, bool))
    return answer.at(CLASSES, pixels.x, pixels.y).reshape(-1, *shape)


def parsed(scene: Scene, region: Region) -> Floats:
    return parse(photo(figure_in(scene)), scene.candidate(), region)


def cell(scene: Scene) -> float:
    """Photo pixels a cell of the answer."""
    one = scene.candidate()
    return CELL / float(crop_matrix(one.box, one.skeleton)[0, 0])


# What it is shown


@scenes
def test_the_parser_is_shown_its_crop_in_rgb_from_minus_one_to_one(
    scene: Scene, reader: list[ColourReader]
) -> None:
    red = np.zeros((scene.height, scene.width, 3), np.uint8)
    red[..., 0] = 255
    one = scene.candidate()

    parse(red, one, whole(scene))

    ((shown,),) = [one.shown for one in reader]
    assert shown.shape == (1, CHANNELS, HEIGHT, WIDTH)
    assert shown.dtype == np.float32
    assert shown[0, :3, HEIGHT // 2, WIDTH // 2].tolist() == [1, -1, -1]
    assert shown.min() >= -1
    assert shown.max() <= 1


def test_the_parser_is_shown_grey_where_the_photo_ends(reader: list[ColourReader]) -> None:
    scene = Scene(251, 299)
    one = scene.candidate()

    parse(np.zeros((251, 299, 3), np.uint8), one, whole(scene))

    end = round(float((crop_matrix(one.box, one.skeleton) @ [0, 251, 1])[1]))
    colours = reader[0].shown[0][0, :3]
    assert end < HEIGHT - 5
    assert (colours[:, : end - 2] == -1).all()
    assert np.ptp(colours[:, end + 2 :]) == 0
    assert colours[0, -1, 0] == pytest.approx(GREY / 127.5 - 1)


@scenes
def test_the_parser_is_shown_the_skeleton_on_the_pixels_it_lies_on(
    scene: Scene, reader: list[ColourReader]
) -> None:
    """White skin and blue joints in the photo: where a plane is drawn, the photo is blue."""
    one = scene.candidate()
    rgb = np.full((scene.height, scene.width, 3), 255, np.uint8)
    hands = [one.skeleton.get(f"{side}_wrist") for side in SIDES]
    for x, y in (point for point in hands if point is not None):
        cv2.circle(rgb, (round(x), round(y)), round(8 * scene.scale), (0, 0, 255), -1)

    parse(rgb, one, whole(scene))

    shown = reader[0].shown[0][0]
    forearms = next(i for i, lines in enumerate(PLANES) if ("left_elbow", "left_wrist") in lines)
    hands_plane = next(i for i, lines in enumerate(PLANES) if ("left_wrist", "left_index") in lines)
    wrists = (shown[3 + forearms] == 1) & (shown[3 + hands_plane] == 1)
    assert wrists.any()
    assert (shown[:3, wrists].T == [-1, -1, 1]).all()


@scenes
def test_the_parser_is_shown_the_outline_on_the_pixels_it_lies_on(
    scene: Scene, reader: list[ColourReader]
) -> None:
    """A red body in the photo: where the outline is, the photo is red."""
    one, body = scene.candidate(), figure_in(scene) > 0
    rgb = np.zeros((scene.height, scene.width, 3), np.uint8)
    rgb[..., 0] = outline = 255 * body.astype(np.uint8)

    parse_with(outline, rgb, one, whole(scene))

    shown = reader[0].shown[0][0]
    inside = cv2.warpAffine(
        np.full(body.shape, 255, np.uint8), crop_matrix(one.box, one.skeleton), (WIDTH, HEIGHT)
    )
    assert set(np.unique(shown[-1])) >= {-1, 1}
    assert (shown[-1] == shown[0])[inside == 255].all()
    assert (shown[-1, inside == 0] == -1).all()


def test_the_graph_is_asked_for_its_logits(reader: list[ColourReader]) -> None:
    GarmentParser(Path(), 1)

    assert [one.outputs for one in reader] == [("logits",)]


def test_a_skeleton_without_a_body_unit_is_a_mistake(reader: list[ColourReader]) -> None:
    rgb, one = np.zeros((400, 300, 3), np.uint8), Candidate(fakes.BOX, 1.0, Skeleton({}))

    with pytest.raises(ValueError, match="shoulders"):
        parse(rgb, one, whole(Scene(400, 300)))


# What it answers


@scenes
def test_a_painted_figure_comes_back_as_its_own_labels(
    scene: Scene, reader: list[ColourReader]
) -> None:
    labels = figure_in(scene)

    found = parsed(scene, whole(scene)).argmax(0)

    inner = ~near_borders(labels, 1.5 * cell(scene) + 1)
    assert set(np.unique(labels[inner])) > {Class.BACKGROUND, Class.TOP}
    assert (found == labels)[inner].all()


@scenes
def test_a_disc_comes_back_where_it_lay(scene: Scene, reader: list[ColourReader]) -> None:
    """To a fraction of a cell, whatever the photo's grid."""
    one = scene.candidate()
    labels = np.zeros((scene.height, scene.width), np.uint8)
    x, y = round((one.box.x0 + one.box.x1) / 2), round((one.box.y0 + one.box.y1) / 2)
    cv2.circle(labels, (x, y), round(45 * scene.scale), int(Class.DRESS), -1)

    probabilities = parse(photo(labels), one, whole(scene))

    rows, columns = np.nonzero(probabilities.argmax(0))
    assert rows.mean() == pytest.approx(y, abs=0.15 * cell(scene))
    assert columns.mean() == pytest.approx(x, abs=0.15 * cell(scene))


@scenes
def test_a_region_is_cut_from_the_same_answer(scene: Scene, reader: list[ColourReader]) -> None:
    everything = parsed(scene, whole(scene))
    rows, columns = (
        slice(scene.height // 7, scene.height - scene.height // 5),
        slice(scene.width // 5, scene.width - scene.width // 11),
    )

    part = parsed(scene, (rows, columns))

    assert part.shape == (len(CLASSES), rows.stop - rows.start, columns.stop - columns.start)
    # Affine warps count in 32nds of a cell.
    assert np.abs(part - everything[:, rows, columns]).max() < 0.05


@scenes
def test_the_answer_is_probabilities_on_the_regions_grid(
    scene: Scene, reader: list[ColourReader]
) -> None:
    probabilities = parsed(scene, whole(scene))

    assert probabilities.shape == (len(CLASSES), scene.height, scene.width)
    assert probabilities.dtype == np.float32
    assert np.abs(probabilities.sum(0) - 1).max() < 1e-4
    assert probabilities.min() >= 0


def test_what_the_parser_was_not_shown_is_background(reader: list[ColourReader]) -> None:
    """Somebody else's coat at the far end of a wide photo."""
    scene = Scene(400, 900)
    labels = figure_in(scene)
    labels[:, 500:] = Class.OUTERWEAR
    one = scene.candidate()

    probabilities = parse(photo(labels), one, whole(scene))

    assert (probabilities[Class.BACKGROUND, :, 500:] == 1).all()
    assert not probabilities[1:, :, 500:].any()


# Laying the cells out


def cells(shape: tuple[int, int], seed: int = 0) -> Floats:
    """Any probabilities (20, *shape)."""
    raw = np.random.default_rng(seed).random((len(CLASSES), *shape)).astype(np.float32) ** 4
    return np.asarray(raw / raw.sum(0))


def onto_cells(dx: int = 0, dy: int = 0) -> NDArray[np.float64]:
    """A pixel a cell: each in the middle of its cell, ``dx`` columns and ``dy`` rows on."""
    middle = (CELL - 1) / 2
    return np.array([[CELL, 0, middle + CELL * dx], [0, CELL, middle + CELL * dy]], np.float64)


@pytest.mark.parametrize("shape", [(96, 64), (7, 5), (1, 1), (13, 101)])
def test_a_cells_answer_stands_in_its_middle(shape: tuple[int, int]) -> None:
    probabilities = cells(shape)

    assert (
        np.abs(
            on_grid(ClassProbabilities.from_cells(probabilities, onto_cells()), shape)
            - probabilities
        ).max()
        < 1e-6
    )


@pytest.mark.parametrize(("dx", "dy"), [(2, 1), (-2, -1), (0, 3), (-3, 0)])
def test_outside_the_cells_there_is_background(dx: int, dy: int) -> None:
    probabilities = cells((9, 7))

    there = on_grid(ClassProbabilities.from_cells(probabilities, onto_cells(dx, dy)), (9, 7))

    expected = np.zeros((len(CLASSES), 9 + 12, 7 + 12), np.float32)
    expected[Class.BACKGROUND] = 1
    expected[:, 6:15, 6:13] = probabilities
    assert np.abs(there - expected[:, 6 + dy : 15 + dy, 6 + dx : 13 + dx]).max() < 1e-6


def test_between_two_cells_the_answer_goes_from_one_to_the_other() -> None:
    probabilities = np.zeros((len(CLASSES), 3, 2), np.float32)
    probabilities[Class.TOP, :, 0] = probabilities[Class.DRESS, :, 1] = 1

    row = on_grid(ClassProbabilities.from_cells(probabilities, np.eye(2, 3)), (3 * CELL, 2 * CELL))[
        :, 3
    ]

    steps = row[Class.DRESS, 1:3]
    assert steps.tolist() == pytest.approx([1 / 4, 3 / 4], abs=0.02)
    assert row[Class.TOP, 1:3] == pytest.approx(1 - steps, abs=1e-6)


def test_where_the_cells_lie_is_left_as_it_was() -> None:
    matrix = onto_cells(1, 2)

    on_grid(ClassProbabilities.from_cells(cells((5, 5)), matrix).moved(3, 4), (5, 5))

    assert (matrix == onto_cells(1, 2)).all()


def test_an_answer_that_is_moved_says_the_same_further_on() -> None:
    answer = ClassProbabilities.from_cells(cells((9, 7)), onto_cells())

    moved = on_grid(answer.moved(2, 3), (9, 7))

    assert moved[:, 3:, 2:] == pytest.approx(on_grid(answer, (9, 7))[:, :6, :5], abs=1e-6)


def test_a_label_is_agreed_on_between_four_cells_that_have_it() -> None:
    labels = np.array([[3, 3, 3], [3, 3, 5]], np.uint8)
    x = np.array([0, 0.5, 0.9, 1.1, -0.1, 2.5, 0.5, 0.5], np.float32)
    y = np.array([0, 0.5, 0.9, 0.5, 0.5, 0.5, -0.1, 1.1], np.float32)

    agreed = ClassProbabilities(cells((2, 3)), np.eye(2, 3)).agreed(labels, x, y)

    assert agreed.tolist() == [3, 3, 3, MIXED, MIXED, MIXED, MIXED, MIXED]


def test_other_planes_are_read_like_the_classes_and_are_nothing_outside() -> None:
    answer = ClassProbabilities(cells((2, 3)), np.eye(2, 3))
    plane = np.array([[0, 1, 2], [0, 1, 2]], np.float32)
    x, y = np.array([[0, 0.5, 1.75, -2], [0, 0.5, 1, 0]], np.float32)

    assert answer.read(plane, x, y).tolist() == [0, 0.5, 1.75, 0]


@pytest.mark.parametrize("count", [0, 1, 1024, 1025])
def test_any_number_of_points_may_be_read(count: int) -> None:
    points = np.zeros(count, np.float32)

    assert ClassProbabilities(cells((2, 3)), np.eye(2, 3)).at(CLASSES, points, points).shape == (
        20,
        count,
    )


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.tuples(st.integers(1, 61), st.integers(1, 61)),
    st.floats(0.05, 20),
    st.tuples(st.floats(-300, 300), st.floats(-300, 300)),
)
def test_probabilities_add_up_to_one_wherever_the_grid_lies(
    size: tuple[int, int], grid: tuple[int, int], scale: float, shift: tuple[float, float]
) -> None:
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])

    planes = on_grid(ClassProbabilities.from_cells(cells(size), matrix), grid)

    assert planes.shape == (len(CLASSES), *grid)
    assert planes.dtype == np.float32
    assert np.abs(planes.sum(0) - 1).max() < 1e-4
    assert planes.min() >= 0


def test_the_margin_keeps_the_whole_box_in_sight(reader: list[ColourReader]) -> None:
    """Something at the very edge of the box is not cut off."""
    labels = np.full((400, 300), Class.BACKGROUND, np.uint8)
    box = Box(60, 40, 240, 360)
    labels[40:360, 60:240] = Class.DRESS
    region = slice(0, 400), slice(0, 300)

    probabilities = parse(photo(labels), Candidate(box, 1.0, figures.skeleton()), region)

    margin = MARGIN * box.height
    assert margin > CELL
    assert (probabilities.argmax(0) == labels)[~near_borders(labels, CELL)].all()
