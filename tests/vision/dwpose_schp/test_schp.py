"""The parsers' contract: a painted photo comes back as its own label map."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from models.convert import quantise
from numpy.typing import NDArray
from tests.vision.dwpose_schp.contract_graphs import (
    BLACK,
    CYAN,
    MAGENTA,
    PHOTO_SIZES,
    TORCH,
    YELLOW,
    Export,
    Graph,
    Rgb,
    colour_parser,
    exported,
    planted_parser,
)

from tryon_masks.vision.dwpose_schp.schp import BGR_MEAN, BGR_STD, Atr, HumanParser, LabelMap, Lip

MODELS = [pytest.param(512, len(Atr), id="atr"), pytest.param(473, len(Lip), id="lip")]


def parser(
    folder: Path, side: int, classes: int, shown: list[int], *, int8: bool = False
) -> HumanParser:
    """A parser that knows the background and three other classes."""
    colours: list[list[Rgb]] = [[] for _ in range(classes)]
    colours[0] = [BLACK]
    for label, colour in zip(shown, (YELLOW, MAGENTA, CYAN), strict=True):
        colours[label] = [colour]
    colour_parser(folder / "parser.onnx", side, colours, hidden=int8)
    if int8:
        # From black to white: what any photo has.
        ramp = np.linspace(0, 1, side, dtype=np.float32)
        square = (np.broadcast_to(ramp[:, None], (side, side, 3)) - BGR_MEAN) / BGR_STD
        feed = {"input.1": np.ascontiguousarray(square.transpose(2, 0, 1)[None])}
        quantise(folder / "parser.onnx", folder / "int8.onnx", [feed])
        return HumanParser(folder / "int8.onnx", 1, side)
    return HumanParser(folder / "parser.onnx", 1, side)


def painted(labels: LabelMap, shown: list[int]) -> NDArray[np.uint8]:
    """A photo in these colours; edges are as soft as a lens makes them."""
    table = np.zeros((256, 3), np.uint8)
    table[shown] = YELLOW, MAGENTA, CYAN
    spread = 0.6 * max(1.0, max(labels.shape) / 512)
    blurred = cv2.GaussianBlur(table[labels], (0, 0), spread, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(blurred)


def stripes(width: int, height: int, shown: list[int]) -> LabelMap:
    """The classes ``shown`` side by side along the longer side, background around them."""
    labels = np.zeros((min(width, height), max(width, height)), np.uint8)
    margin = labels.shape[0] // 12
    inner = labels[margin:-margin, margin:-margin]
    inner[:] = np.array(shown)[np.arange(inner.shape[1]) * len(shown) // inner.shape[1]]
    return labels if width >= height else np.ascontiguousarray(labels.T)


@pytest.mark.parametrize("int8", [False, True], ids=["float", "int8"])
@pytest.mark.parametrize(("side", "classes"), MODELS)
@pytest.mark.parametrize("number", range(len(PHOTO_SIZES)))
def test_a_painted_photo_comes_back_as_its_own_label_map(
    tmp_path: Path, number: int, side: int, classes: int, int8: bool
) -> None:
    width, height = PHOTO_SIZES[number]
    shown = [1 + (3 * number + i) % (classes - 1) for i in range(3)]
    labels = stripes(width, height, shown)

    found = parser(tmp_path, side, classes, shown, int8=int8).parse(painted(labels, shown))

    assert found.shape == labels.shape
    assert found.dtype == np.uint8
    wrong = found != labels
    assert wrong.mean() <= 0.005
    cell = int(4 * max(1.0, max(width, height) / side)) + 1
    kernel = np.ones((2 * cell + 1, 2 * cell + 1), np.uint8)
    border = cv2.dilate(labels, kernel) != cv2.erode(labels, kernel)
    assert not (wrong & ~border).any()


@pytest.mark.parametrize(("side", "classes"), MODELS)
@pytest.mark.parametrize(("width", "height"), PHOTO_SIZES)
def test_a_disc_stays_in_its_place_to_a_quarter_of_a_pixel(
    tmp_path: Path, width: int, height: int, side: int, classes: int
) -> None:
    """Half a pixel or a corner aligned wrongly would move or stretch it."""
    labels = np.zeros((height, width), np.uint8)
    centre = (round(0.8 * width), round(0.25 * height))
    cv2.circle(labels, centre, round(0.12 * min(width, height)), 1, -1)

    found = parser(tmp_path, side, classes, [1, 2, 3]).parse(painted(labels, [1, 2, 3]))

    middle = [float(places.mean()) for places in np.nonzero(found == 1)[::-1]]
    unit = max(1, max(width, height) / side)
    assert middle == pytest.approx(list(centre), abs=0.25 * unit)
    assert (found == 1).sum() == pytest.approx((labels == 1).sum(), rel=0.02 * unit)


@pytest.mark.parametrize(("side", "classes"), MODELS)
@pytest.mark.parametrize(("width", "height"), PHOTO_SIZES)
def test_the_answers_corners_are_those_of_the_square_around_the_photo(
    tmp_path: Path, width: int, height: int, side: int, classes: int
) -> None:
    """Class 1 begins at three quarters of the answer to the right, and class 2 downwards."""
    cells = (side + 3) // 4
    logits = np.full((classes, cells, cells), -99, np.float32)
    edge = 0.75 * (cells - 1)
    logits[0] = 0
    logits[1] = np.arange(cells) - edge
    logits[2] = 2 * (np.arange(cells) - edge)[:, None]
    planted_parser(tmp_path / "parser.onnx", side, logits)

    found = HumanParser(tmp_path / "parser.onnx", 1, side).parse(
        np.zeros((height, width, 3), np.uint8)
    )

    square = max(width, height) - 1
    x = (np.arange(width) + (square - (width - 1)) / 2) / square - 0.75
    y = (np.arange(height) + (square - (height - 1)) / 2) / square - 0.75
    y = y[:, None]
    wanted = np.where((x <= 0) & (y <= 0), 0, np.where(x >= 2 * y, 1, 2))
    assert (found != wanted).mean() < 0.001


@pytest.mark.parametrize("int8", [False, True], ids=["float", "int8"])
@pytest.mark.parametrize("how", TORCH, ids=str)
def test_a_graph_of_any_exporter_gives_the_same_labels(
    tmp_path: Path, how: Export, int8: bool
) -> None:
    shown = [4, 9, 14]
    photo = painted(stripes(433, 577, shown), shown)
    wanted = parser(tmp_path, 473, len(Lip), shown, int8=int8).parse(photo)

    with exported(how):
        found = parser(tmp_path, 473, len(Lip), shown, int8=int8).parse(photo)

    assert np.array_equal(found, wanted)
    written = onnx.load(tmp_path / "parser.onnx").opset_import[0].version
    assert written == how.opset


def test_the_layers_work_in_eight_bits_but_not_the_last(tmp_path: Path) -> None:
    """Both hidden layers, and not the one whose answer decides between classes."""
    parser(tmp_path, 473, len(Lip), [1, 2, 3], int8=True)

    graph = onnx.load(tmp_path / "int8.onnx").graph
    made = {node.output[0]: node.op_type for node in graph.node}
    weights = [made.get(node.input[1]) for node in graph.node if node.op_type == "Conv"]
    assert weights == ["DequantizeLinear", "DequantizeLinear", None]
    assert made[graph.output[1].name] == "Resize"


def test_what_eight_bits_break_is_no_model(tmp_path: Path) -> None:
    """A layer lifts all colours so high that one step of 255 is wider than all of them."""
    graph = Graph()
    each = graph.constant(np.eye(3)[:, :, None, None])
    lifted = graph.add("Conv", "x", each, graph.constant(np.full(3, 1e4)))
    lowered = graph.add("Conv", graph.add("Relu", lifted), each, graph.constant(np.full(3, -1e4)))
    graph.add("Conv", lowered, each, output="y")
    graph.save(tmp_path / "lifted.onnx", {"x": [1, 3, 8, 8]}, {"y": [1, 3, 8, 8]})
    colours = np.random.default_rng(0).random((1, 3, 8, 8), np.float32)

    with pytest.raises(ValueError, match="output y: eight bits change it"):
        quantise(tmp_path / "lifted.onnx", tmp_path / "int8.onnx", [{"x": colours}])
