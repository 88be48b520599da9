"""Graphs as large as the dwpose-schp set's, with its layers' shapes and random weights.

They cost what the real files cost and see nothing: each adds a planted answer to nothing of what
its layers work out, so that one person is found whatever is shown. Never committed;
:func:`make_published` keeps them in a folder.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper
from models.convert import quantise, resize_late
from numpy.typing import NDArray

SEED = 5
MANIFEST = "manifest.json"
GAIN = 0.2
"""Factor of a residual branch's weights: sums of dozens of branches must stay small."""

COCO_CLASSES = 80
POINTS = 133
STANDING = {
    0: (0.5, 0.1), 1: (0.53, 0.08), 2: (0.47, 0.08), 3: (0.56, 0.1), 4: (0.44, 0.1),
    5: (0.65, 0.22), 6: (0.35, 0.22), 7: (0.7, 0.38), 8: (0.3, 0.38), 9: (0.72, 0.52),
    10: (0.28, 0.52), 11: (0.59, 0.52), 12: (0.41, 0.52), 13: (0.59, 0.74), 14: (0.41, 0.74),
    15: (0.59, 0.94), 16: (0.41, 0.94),
}  # fmt: skip
"""The planted person: point -> place in the box, as shares of its width and height."""


class Tensor(NamedTuple):
    """``side``: rows and columns, which are as many."""

    name: str
    channels: int
    side: int


class Net:
    """A graph in the making. ``slim`` divides every width, for tests."""

    def __init__(self, slim: int) -> None:
        self._slim = slim
        self._random = np.random.default_rng(SEED)
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def constant(self, values: Any, dtype: Any = np.float32) -> str:
        """A constant's name."""
        name = f"c{len(self._constants)}"
        self._constants.append(onnx.numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def node(self, op: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        """Add a node; its output's name."""
        name = output or f"n{len(self._nodes)}"
        self._nodes.append(onnx.helper.make_node(op, list(inputs), [name], **attributes))
        return name

    def width(self, channels: int) -> int:
        """How many channels there are for so many."""
        return max(4, channels // self._slim)

    def conv(
        self,
        x: Tensor,
        channels: int,
        kernel: int = 1,
        stride: int = 1,
        *,
        act: str | None = "Relu",
        dilation: int = 1,
        depthwise: bool = False,
        exact: bool = False,
    ) -> Tensor:
        """Convolution with its batch normalisation folded in, and activation."""
        out = channels if exact else self.width(channels)
        groups = x.channels if depthwise else 1
        shape = (out, x.channels // groups, kernel, kernel)
        scale = np.sqrt(2 / np.prod(shape[1:])) * (GAIN if act is None else 1)
        weights = self._random.standard_normal(shape, np.float32) * np.float32(scale)
        name = self.node(
            "Conv",
            x.name,
            self.constant(weights),
            self.constant(np.zeros(out)),
            strides=[stride] * 2,
            pads=[dilation * (kernel // 2)] * 4,
            dilations=[dilation] * 2,
            group=groups,
        )
        if act == "Relu":
            name = self.node("Relu", name)
        elif act == "Silu":
            name = self.node("Mul", name, self.node("Sigmoid", name))
        return Tensor(name, out, (x.side - 1) // stride + 1)

    def add(self, a: Tensor, b: Tensor, act: str | None = None) -> Tensor:
        """Sum."""
        name = self.node("Add", a.name, b.name)
        return Tensor(self.node(act, name) if act else name, a.channels, a.side)

    def join(self, *parts: Tensor) -> Tensor:
        """All channels together."""
        name = self.node("Concat", *(part.name for part in parts), axis=1)
        return Tensor(name, sum(part.channels for part in parts), parts[0].side)

    def pool(self, x: Tensor, kernel: int, stride: int = 1) -> Tensor:
        """Maximum of the neighbourhood."""
        name = self.node(
            "MaxPool",
            x.name,
            kernel_shape=[kernel] * 2,
            strides=[stride] * 2,
            pads=[kernel // 2] * 4,
        )
        return Tensor(name, x.channels, (x.side - 1) // stride + 1)

    def resize(self, x: Tensor, side: int, mode: str = "linear") -> Tensor:
        """The same at another size."""
        way = "align_corners" if mode == "linear" else "asymmetric"
        none, size = self.constant([]), self.constant([1, x.channels, side, side], np.int64)
        name = self.node(
            "Resize", x.name, none, none, size, mode=mode, coordinate_transformation_mode=way
        )
        return Tensor(name, x.channels, side)

    def plant(self, x: Tensor | str, answer: NDArray[np.float32], output: str) -> None:
        """Answer ``answer`` plus nothing of ``x``."""
        name = x if isinstance(x, str) else x.name
        nothing = self.node("Mul", name, self.constant(0))
        self.node("Add", nothing, self.constant(answer), output=output)

    def save(self, path: Path, inputs: dict[str, list[int]], outputs: dict[str, list[int]]) -> None:
        """Write the file."""

        def values(shapes: dict[str, list[int]]) -> list[onnx.ValueInfoProto]:
            kind = onnx.TensorProto.FLOAT
            return [onnx.helper.make_tensor_value_info(n, kind, s) for n, s in shapes.items()]

        graph = onnx.helper.make_graph(
            self._nodes, path.stem, values(inputs), values(outputs), self._constants
        )
        opset = onnx.helper.make_opsetid("", 17)
        onnx.save(onnx.helper.make_model(graph, opset_imports=[opset], ir_version=8), path)


def parser(path: Path, side: int, classes: int, slim: int) -> None:
    """SCHP: ResNet-101 with a pyramid of poolings, edges, and their fusion."""
    net = Net(slim)
    x = Tensor("input.1", 3, side)
    for channels, stride in ((64, 2), (64, 1), (128, 1)):
        x = net.conv(x, channels, 3, stride)
    x = net.pool(x, 3, 2)
    levels = []
    for blocks, channels, stride, dilation in (
        (3, 64, 1, 1),
        (4, 128, 2, 1),
        (23, 256, 2, 1),
        (3, 512, 1, 2),
    ):
        for number in range(blocks):
            step = stride if number == 0 else 1
            inner = net.conv(net.conv(x, channels), channels, 3, step, dilation=dilation)
            inner = net.conv(inner, 4 * channels, act=None)
            short = x if number else net.conv(x, 4 * channels, 1, step, act=None)
            x = net.add(inner, short, "Relu")
        levels.append(x)
    low, middle, high, deep = levels
    pyramid = [deep]
    for cells in (1, 2, 3, 6):
        stride = deep.side // cells
        kernel = deep.side - (cells - 1) * stride
        name = net.node("AveragePool", deep.name, kernel_shape=[kernel] * 2, strides=[stride] * 2)
        pooled = net.conv(Tensor(name, deep.channels, cells), 512)
        pyramid.append(net.resize(pooled, deep.side))
    context = net.conv(net.join(*pyramid), 512, 3)
    edge_features = [net.conv(level, 256) for level in (low, middle, high)]
    edges = [net.conv(one, 2, 3, act=None, exact=True) for one in edge_features]
    edge_features = [net.resize(one, low.side) for one in edge_features]
    edge = net.conv(net.join(*(net.resize(one, low.side) for one in edges)), 2, exact=True)
    seen = net.resize(net.conv(context, 256), low.side)
    seen = net.conv(net.conv(net.join(seen, net.conv(low, 48)), 256), 256)
    parsing = net.conv(seen, classes, act=None, exact=True)
    joined = net.conv(net.join(seen, *edge_features), 256)
    fused = net.conv(joined, classes, act=None, exact=True)
    figure = _figure(classes, low.side)
    net.plant(parsing, figure, "parsing")
    net.plant(fused, figure, "fused")
    net.plant(edge, np.zeros((1, 2, low.side, low.side), np.float32), "edge")
    shape = list(figure.shape)
    net.save(
        path,
        {"input.1": [1, 3, side, side]},
        {"parsing": shape, "fused": shape, "edge": [1, 2, low.side, low.side]},
    )


def _figure(classes: int, cells: int) -> NDArray[np.float32]:
    """A standing figure in upper-clothes, pants and face of ATR, or in LIP's classes there."""
    y, x = np.mgrid[:cells, :cells] / (cells - 1)
    upper, pants, face = (4, 6, 11) if classes == 18 else (5, 9, 13)
    logits = np.zeros((1, classes, cells, cells), np.float32)
    for label, (cx, cy, w, h) in {
        upper: (0.5, 0.36, 0.2, 0.2),
        pants: (0.5, 0.74, 0.15, 0.24),
        face: (0.5, 0.1, 0.05, 0.07),
    }.items():
        logits[0, label] = 2 - ((x - cx) / w) ** 2 - ((y - cy) / h) ** 2
    logits[0, 0] = 1
    return logits


def detector(path: Path, slim: int) -> None:
    """YOLOX-l."""
    net = Net(slim)

    def csp(x: Tensor, channels: int, blocks: int, shortcut: bool = True) -> Tensor:
        left, right = (net.conv(x, channels // 2, act="Silu") for _ in range(2))
        for _ in range(blocks):
            inner = net.conv(
                net.conv(left, channels // 2, act="Silu"), channels // 2, 3, act="Silu"
            )
            left = net.add(left, inner) if shortcut else inner
        return net.conv(net.join(left, right), channels, act="Silu")

    halves = net.node(
        "SpaceToDepth",
        "images",
        blocksize=2,
    )
    x = net.conv(Tensor(halves, 12, 320), 64, 3, act="Silu")
    levels = []
    for channels, blocks in ((128, 3), (256, 9), (512, 9), (1024, 3)):
        x = net.conv(x, channels, 3, 2, act="Silu")
        if channels == 1024:
            narrow = net.conv(x, 512, act="Silu")
            x = net.conv(
                net.join(narrow, *(net.pool(narrow, k) for k in (5, 9, 13))), 1024, act="Silu"
            )
        x = csp(x, channels, blocks, channels < 1024)
        levels.append(x)
    _, small, medium, large = levels
    top = net.conv(large, 512, act="Silu")
    up = csp(net.join(net.resize(top, 40, "nearest"), medium), 512, 3, False)
    reduced = net.conv(up, 256, act="Silu")
    out8 = csp(net.join(net.resize(reduced, 80, "nearest"), small), 256, 3, False)
    out16 = csp(net.join(net.conv(out8, 256, 3, 2, act="Silu"), reduced), 512, 3, False)
    out32 = csp(net.join(net.conv(out16, 512, 3, 2, act="Silu"), top), 1024, 3, False)
    rows = []
    for level in (out8, out16, out32):
        stem = net.conv(level, 256, act="Silu")
        kinds, places = (
            net.conv(net.conv(stem, 256, 3, act="Silu"), 256, 3, act="Silu") for _ in range(2)
        )
        whole = net.join(
            net.conv(places, 4, act=None, exact=True),
            net.conv(places, 1, act=None, exact=True),
            net.conv(kinds, COCO_CLASSES, act=None, exact=True),
        )
        shape = net.constant([1, 85, level.side**2], np.int64)
        rows.append(net.node("Reshape", whole.name, shape))
    joined = net.node("Transpose", net.node("Concat", *rows, axis=2), perm=[0, 2, 1])
    answer = np.zeros((1, 8400, 85), np.float32)
    # One person in the middle of a photo of 3 to 4, most of its height.
    answer[0, 8000 + 10 * 20 + 5, :4] = [2.5, 0, np.log(200 / 32), np.log(600 / 32)]
    answer[0, 8000 + 10 * 20 + 5, 4:6] = 0.95
    net.plant(joined, answer, "output")
    net.save(path, {"images": [1, 3, 640, 640]}, {"output": [1, 8400, 85]})


def pose(path: Path, slim: int) -> None:
    """DWPose-l: CSPNeXt-l and a head that gives two rows of bins a point."""
    net = Net(slim)
    height, width = 384, 288
    # Tensor counts square pictures; rows suffice to follow the strides here.
    x = Tensor("input", 3, height)
    for channels, stride in ((32, 2), (32, 1), (64, 1)):
        x = net.conv(x, channels, 3, stride, act="Silu")
    for channels, blocks in ((128, 3), (256, 6), (512, 6), (1024, 3)):
        x = net.conv(x, channels, 3, 2, act="Silu")
        if channels == 1024:
            narrow = net.conv(x, 512, act="Silu")
            x = net.conv(
                net.join(narrow, *(net.pool(narrow, k) for k in (5, 9, 13))), 1024, act="Silu"
            )
        left, right = (net.conv(x, channels // 2, act="Silu") for _ in range(2))
        for _ in range(blocks):
            inner = net.conv(left, channels // 2, 3, act="Silu")
            inner = net.conv(inner, channels // 2, 5, act="Silu", depthwise=True)
            inner = net.conv(inner, channels // 2, act="Silu")
            left = net.add(left, inner) if channels < 1024 else inner
        both = net.join(left, right)
        mean = Tensor(net.node("GlobalAveragePool", both.name), both.channels, 1)
        weight = net.conv(mean, both.channels, act=None, exact=True)
        gated = net.node("Mul", both.name, net.node("HardSigmoid", weight.name))
        x = net.conv(both._replace(name=gated), channels, act="Silu")
    points = net.conv(x, POINTS, 7, act=None, exact=True)
    cells = (height // 32) * (width // 32)
    flat = net.node("Reshape", points.name, net.constant([1, POINTS, cells], np.int64))
    random = np.random.default_rng(SEED)
    wide = net.width(256)
    tokens = net.node("MatMul", flat, net.constant(random.standard_normal((cells, wide)) / 16))
    # The detector's box, 200 x 600, as a share of the crop, which is padded and 3 to 4.
    shares = (200 / (1.25 * 600 * 3 / 4), 1 / 1.25)
    for name, bins, axis in (("simcc_x", 2 * width, 0), ("simcc_y", 2 * height, 1)):
        answer = np.zeros((1, POINTS, bins), np.float32)
        for point, place in STANDING.items():
            answer[0, point, round(bins * (0.5 + (place[axis] - 0.5) * shares[axis]))] = 0.9
        bank = net.constant(random.standard_normal((wide, bins)) / 16)
        net.plant(net.node("MatMul", tokens, bank), answer, name)
    net.save(
        path,
        {"input": [1, 3, height, width]},
        {"simcc_x": [1, POINTS, 2 * width], "simcc_y": [1, POINTS, 2 * height]},
    )


def make_published(folder: Path, slim: int = 1) -> None:
    """The four files as they are published, into ``folder``, where they are not there yet."""
    if (folder / MANIFEST).exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    detector(folder / "yolox_l.onnx", slim)
    pose(folder / "dw-ll_ucoco_384.onnx", slim)
    parser(folder / "parsing_atr.onnx", 512, 18, slim)
    parser(folder / "parsing_lip.onnx", 473, 20, slim)
    _describe(folder)


def make_set(folder: Path, published: Path) -> None:
    """What ``models/build.py`` makes of the files in ``published``, into ``folder``."""
    if (folder / MANIFEST).exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("yolox_l.onnx", "dw-ll_ucoco_384.onnx"):
        _share(published / name, folder / name)
    for name, side in (("parsing_atr.onnx", 512), ("parsing_lip.onnx", 473)):
        with redirect_stdout(sys.stderr):
            resize_late(published / name, folder / name, {"input.1": [1, 3, side, side]})
    _describe(folder)


def make_int8_set(folder: Path, floats: Path) -> None:
    """The set in ``floats`` in eight bits, as ``models/build.py`` makes it, into ``folder``.

    Calibrated on noise: random weights make nothing of a photo.
    """
    if (folder / MANIFEST).exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(SEED)
    _share(floats / "dw-ll_ucoco_384.onnx", folder / "dw-ll_ucoco_384.onnx")
    for name, tensor, side, largest in (
        ("yolox_l", "images", 640, 255),
        ("parsing_atr", "input.1", 512, 2),
        ("parsing_lip", "input.1", 473, 2),
    ):
        noise = random.random((1, 3, side, side), np.float32) * np.float32(largest)
        quantise(floats / f"{name}.onnx", folder / f"{name}.onnx", [{tensor: noise}])
    _describe(folder)


def _share(source: Path, target: Path) -> None:
    """Let both be the same file; one that an interrupted run has left makes room."""
    target.unlink(missing_ok=True)
    target.hardlink_to(source)


def _describe(folder: Path) -> None:
    """Write the manifest, which says that the folder is whole."""
    files = [_entry(path) for path in sorted(folder.glob("*.onnx"))]
    (folder / MANIFEST).write_text(json.dumps({"set": folder.name, "files": files}))


def _entry(path: Path) -> dict[str, Any]:
    shapes: dict[str, dict[str, Sequence[int]]] = {"inputs": {}, "outputs": {}}
    return {
        "id": path.stem,
        "task": "none: random weights",
        "file": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "bytes": path.stat().st_size,
        "licence": "none",
        "package": "benchmarks.graphs",
        "version": str(SEED),
        "recipe": "none",
        **shapes,
    }
