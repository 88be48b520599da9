"""Graphs with the names, shapes and types of the classic set's files, and answers known in advance.

None of them has learned anything: the detector reports planted boxes or the extent of a colour, the
pose model planted peaks or the middle of each colour channel, the parsers the class of a colour.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper
from numpy.typing import NDArray

Rgb = tuple[int, int, int]

PHOTO_SIZES = [
    (640, 640),
    (768, 1024),
    (1024, 768),
    (997, 751),
    (513, 769),
    (337, 1021),
    (1013, 311),
    (433, 577),
]
"""Width, height: square, even, odd, prime, tall, wide."""

CELLS = {8: 80, 16: 40, 32: 20}
"""Stride of the detector -> cells a side."""
ANCHORS = 8400
COCO_CLASSES = 80
POINTS = 133
POSE_MEAN, POSE_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
BGR_MEAN, BGR_STD = (0.406, 0.456, 0.485), (0.225, 0.224, 0.229)


@dataclass(frozen=True)
class Export:
    """How a graph is written: the version of ONNX's operators, and whether sizes are left open."""

    opset: int = 17
    open_sizes: bool = False

    def shape(self, sizes: Sequence[int | str]) -> list[int | str]:
        if not self.open_sizes:
            return list(sizes)
        images = len(sizes) == 4
        return [
            f"size {axis}" if axis == 0 or (images and axis > 1) else size
            for axis, size in enumerate(sizes)
        ]


TORCH = [Export(11), Export(11, open_sizes=True), Export(12), Export(17, open_sizes=True)]
"""What exporters write: torch's opset 11 unless told otherwise, YOLOX's own always."""
_export = [Export()]


@contextmanager
def exported(how: Export) -> Iterator[None]:
    """Graphs are written like that in here."""
    _export.append(how)
    try:
        yield
    finally:
        _export.pop()


class Graph:
    """A graph in the making; every method adds a node and returns its output's name."""

    def __init__(self) -> None:
        self._export = _export[-1]
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def constant(self, values: Any, dtype: Any = np.float32) -> str:
        name = f"c{len(self._constants)}"
        self._constants.append(onnx.numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def add(self, op: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        name = output or f"n{len(self._nodes)}"
        self._nodes.append(onnx.helper.make_node(op, list(inputs), [name], **attributes))
        return name

    def reduce(self, op: str, of: str, axes: Sequence[int], keep: bool = False) -> str:
        if op == "ReduceSum" and self._export.opset >= 13:
            return self.add(op, of, self.constant(axes, np.int64), keepdims=int(keep))
        return self.add(op, of, axes=list(axes), keepdims=int(keep))

    def reshape(self, what: str, *shape: int) -> str:
        return self.add("Reshape", what, self.constant(shape, np.int64))

    def save(
        self,
        path: Path,
        inputs: Mapping[str, Sequence[int | str]],
        outputs: Mapping[str, Sequence[int | str]],
    ) -> None:
        def values(shapes: Mapping[str, Sequence[int | str]]) -> list[onnx.ValueInfoProto]:
            kind = onnx.TensorProto.FLOAT
            return [
                onnx.helper.make_tensor_value_info(n, kind, self._export.shape(s))
                for n, s in shapes.items()
            ]

        graph = onnx.helper.make_graph(
            self._nodes, "contract", values(inputs), values(outputs), self._constants
        )
        opset = onnx.helper.make_opsetid("", self._export.opset)
        ir_version = 8 if self._export.opset >= 13 else 6
        model = onnx.helper.make_model(graph, opset_imports=[opset], ir_version=ir_version)
        onnx.checker.check_model(model)
        onnx.save(model, path)


def first_anchor(stride: int) -> int:
    """Index of the stride's first cell among all anchors."""
    return sum(cells**2 for other, cells in CELLS.items() if other < stride)


def anchor(stride: int, column: int, row: int) -> int:
    return first_anchor(stride) + row * CELLS[stride] + column


def raw_row(
    stride: int,
    cell: tuple[int, int],
    box: tuple[float, float, float, float],
    *,
    objectness: float,
    of_class: float,
    class_id: int = 0,
) -> NDArray[np.float32]:
    """What the detector answers for a box (left, top, right, bottom) on its canvas: shape (85,)."""
    x0, y0, x1, y1 = box
    row = np.zeros(5 + COCO_CLASSES, np.float32)
    row[:4] = [
        (x0 + x1) / 2 / stride - cell[0],
        (y0 + y1) / 2 / stride - cell[1],
        np.log((x1 - x0) / stride),
        np.log((y1 - y0) / stride),
    ]
    row[4], row[5 + class_id] = objectness, of_class
    return row


def planted_detector(path: Path, rows: Mapping[int, NDArray[np.float32]]) -> None:
    """A detector that answers ``rows``, by anchor, whatever it is shown."""
    answer = np.zeros((1, ANCHORS, 5 + COCO_CLASSES), np.float32)
    for index, row in rows.items():
        answer[0, index] = row
    graph = Graph()
    nothing = graph.add(
        "Mul",
        graph.reduce("ReduceMax", "images", [1, 2, 3]),
        graph.constant(0),
    )
    graph.add("Add", graph.constant(answer), graph.reshape(nothing, 1, 1, 1), output="output")
    _save_detector(graph, path)


def marker_detector(path: Path, markers: Sequence[tuple[Rgb, int]]) -> None:
    """A detector that finds the extent of each marker's colour: (colour, stride that answers)."""
    graph = Graph()
    after = graph.constant(np.arange(640) + 1)
    before = graph.constant(640 - np.arange(640))
    rows: dict[int, str] = {}
    for number, (rgb, stride) in enumerate(markers):
        bgr = graph.constant(np.array(rgb[::-1]).reshape(1, 3, 1, 1))
        off = graph.reduce("ReduceMax", graph.add("Abs", graph.add("Sub", "images", bgr)), [1])
        seen = graph.add("Cast", graph.add("Less", off, graph.constant(40)), to=1)
        edges = []
        for axis in (1, 2):
            along = graph.reduce("ReduceMax", seen, [0, axis])
            end = graph.reduce("ReduceMax", graph.add("Mul", along, after), [0])
            start = graph.reduce("ReduceMax", graph.add("Mul", along, before), [0])
            edges.append((graph.add("Sub", graph.constant(640), start), end))
        column, row = 3 + number, 7
        values = []
        for (start, end), cell in zip(edges, (column, row), strict=True):
            middle = graph.add("Mul", graph.add("Add", start, end), graph.constant(0.5 / stride))
            values.append(graph.add("Sub", middle, graph.constant(cell)))
        for start, end in edges:
            size = graph.add("Max", graph.add("Sub", end, start), graph.constant(1))
            values.append(graph.add("Log", graph.add("Mul", size, graph.constant(1 / stride))))
        there = graph.reduce("ReduceMax", seen, [0, 1, 2])
        values.append(graph.add("Mul", there, graph.constant(0.9)))
        whole = [graph.reshape(value, 1, 1, 1) for value in values]
        classes = np.zeros((1, 1, COCO_CLASSES), np.float32)
        classes[..., 0] = 0.95
        index = anchor(stride, column, row)
        rows[index] = graph.add("Concat", *whole, graph.constant(classes), axis=2)
    blocks, done = [], 0
    for index in sorted(rows):
        blocks += [graph.constant(np.zeros((1, index - done, 85))), rows[index]]
        done = index + 1
    blocks.append(graph.constant(np.zeros((1, ANCHORS - done, 85))))
    graph.add("Concat", *blocks, output="output", axis=1)
    _save_detector(graph, path)


def _save_detector(graph: Graph, path: Path) -> None:
    graph.save(path, {"images": [1, 3, 640, 640]}, {"output": [1, ANCHORS, 85]})


def planted_pose(path: Path, peaks: Mapping[int, tuple[int, int, float, float]]) -> None:
    """A pose model with the same peaks for every crop.

    ``peaks``: point -> (column bin, row bin, height of either peak); all others are 0.
    """
    graph = Graph()
    nothing = graph.add("Mul", graph.reduce("ReduceMax", "input", [1, 2, 3]), graph.constant(0))
    flat = graph.reshape(nothing, 1, 1, 1)
    for name, bins, which in (("simcc_x", 576, 0), ("simcc_y", 768, 1)):
        planted = np.zeros((1, POINTS, bins), np.float32)
        for point, peak in peaks.items():
            planted[0, point, peak[which]] = peak[2 + which]
        graph.add("Add", graph.constant(planted), flat, output=name)
    _save_pose(graph, path)


BRIGHTEST = 200.0


def colour_pose(path: Path) -> None:
    """A pose model whose points 0, 1 and 2 lie in the middle of red, green and blue.

    Their score falls from 1 to 0 as the channel's brightest pixel leaves :data:`BRIGHTEST` by 40.
    """
    graph = Graph()
    std, mean = (
        graph.constant(np.array(values).reshape(1, 3, 1, 1)) for values in (POSE_STD, POSE_MEAN)
    )
    pixels = graph.add("Add", graph.add("Mul", "input", std), mean)
    light = graph.add("Relu", graph.add("Sub", pixels, graph.constant(2)))
    total = graph.add("Max", graph.reduce("ReduceSum", light, [2, 3], keep=True), graph.constant(1))
    off = graph.add(
        "Abs",
        graph.add(
            "Sub",
            graph.reduce("ReduceMax", pixels, [2, 3]),
            graph.constant(BRIGHTEST),
        ),
    )
    score = graph.add("Sub", graph.constant(1), graph.add("Mul", off, graph.constant(1 / 40)))
    score = graph.reshape(score, 1, 3, 1)
    for name, length, axis in (("simcc_x", 288, 3), ("simcc_y", 384, 2)):
        shape = (1, 1, 1, length) if axis == 3 else (1, 1, length, 1)
        places = graph.constant(np.arange(length).reshape(shape))
        moment = graph.reduce("ReduceSum", graph.add("Mul", light, places), [2, 3], keep=True)
        middle = graph.reshape(graph.add("Div", moment, total), 1, 3, 1)
        bins = graph.constant((np.arange(2 * length) / 2).reshape(1, 1, -1))
        away = graph.add("Abs", graph.add("Sub", bins, middle))
        peak = graph.add("Sub", score, graph.add("Mul", away, graph.constant(0.01)))
        rest = graph.constant(np.zeros((1, POINTS - 3, 2 * length)))
        graph.add("Concat", peak, rest, output=name, axis=1)
    _save_pose(graph, path)


def _save_pose(graph: Graph, path: Path) -> None:
    graph.save(
        path,
        {"input": ["batch", 3, 384, 288]},
        {"simcc_x": ["batch", POINTS, 576], "simcc_y": ["batch", POINTS, 768]},
    )


NEVER: Rgb = (-999, -999, -999)
BLACK: Rgb = (0, 0, 0)
YELLOW, MAGENTA, CYAN = (255, 255, 0), (255, 0, 255), (0, 255, 255)
"""With black, the corners of a tetrahedron: a mixture of two of them is never nearest to a third.

Black is also what lies around the photo on a parser's square.
"""


def colour_parser(
    path: Path, side: int, classes: Sequence[Sequence[Rgb]], *, hidden: bool = False
) -> None:
    """A parser that gives each pixel the class of the colour that is nearest to its own.

    ``classes``: the colours of each, if any. A 1 x 1 convolution measures the nearness to every
    colour; a blur and a corner-aligned reduction bring it to the answer's cells. The first output
    is the wrong way round and the third has nothing to say. ``hidden`` puts two layers before, as
    networks have them: one splits each channel in two by its sign, one joins them again.
    """
    graph = Graph()
    classes = [some or [NEVER] for some in classes]
    colours = np.array([rgb[::-1] for some in classes for rgb in some], np.float64) / 255
    weights = 2 * colours * np.array(BGR_STD)
    bias = 2 * colours @ np.array(BGR_MEAN) - (colours**2).sum(axis=1)
    seen = "input.1"
    if hidden:
        split = np.concatenate([np.eye(3), -np.eye(3)])
        halves = graph.add("Conv", seen, graph.constant(split[:, :, None, None]))
        joined = graph.constant(split.T[:, :, None, None])
        seen = graph.add("Conv", graph.add("Relu", halves), joined)
    near = graph.add("Conv", seen, graph.constant(weights[:, :, None, None]), graph.constant(bias))
    best, start = [], 0
    for some in classes:
        own = graph.add(
            "Slice",
            near,
            graph.constant([start], np.int64),
            graph.constant([start + len(some)], np.int64),
            graph.constant([1], np.int64),
        )
        best.append(graph.reduce("ReduceMax", own, [1], keep=True))
        start += len(some)
    logits = graph.add("Concat", *best, axis=1)
    soft = logits
    for kernel, pads in (([1, 9], [0, 4, 0, 4]), ([9, 1], [4, 0, 4, 0])):
        soft = graph.add("AveragePool", soft, kernel_shape=kernel, pads=pads, count_include_pad=0)
    cells = (side + 3) // 4
    none, size = graph.constant([]), graph.constant([1, len(classes), cells, cells], np.int64)
    graph.add(
        "Resize",
        soft,
        none,
        none,
        size,
        output="4711",
        mode="linear",
        coordinate_transformation_mode="align_corners",
    )
    graph.add("Neg", "4711", output="4242")
    edges = graph.constant(np.zeros((1, 2, cells, cells)))
    graph.add("Identity", edges, output="5000")
    graph.save(
        path,
        {"input.1": [1, 3, side, side]},
        {
            "4242": [1, len(classes), cells, cells],
            "4711": [1, len(classes), cells, cells],
            "5000": [1, 2, cells, cells],
        },
    )


def planted_parser(path: Path, side: int, logits: NDArray[np.float32]) -> None:
    """A parser whose answer is ``logits`` (C, s, s), whatever it is shown."""
    graph = Graph()
    nothing = graph.add("Mul", graph.reduce("ReduceMax", "input.1", [1, 2, 3]), graph.constant(0))
    flat = graph.reshape(nothing, 1, 1, 1, 1)
    for name, answer in (("4242", -logits), ("4711", logits), ("5000", -logits[:2])):
        graph.add("Add", graph.constant(answer[None]), flat, output=name)
    shape = [1, *logits.shape]
    graph.save(
        path,
        {"input.1": [1, 3, side, side]},
        {"4242": shape, "4711": shape, "5000": [1, 2, *logits.shape[1:]]},
    )


def write_manifest(folder: Path, name: str = "dwpose-schp") -> None:
    """Describe every ONNX file in ``folder``, so that it can be loaded as a model set."""
    files = [
        {
            "id": path.stem,
            "task": "see",
            "file": path.name,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "bytes": path.stat().st_size,
            "licence": "none",
            "package": "made by the test",
            "version": "0",
            "inputs": {},
            "outputs": {},
            "recipe": "none",
        }
        for path in sorted(folder.glob("*.onnx"))
    ]
    (folder / "manifest.json").write_text(json.dumps({"set": name, "files": files}))
