"""Turns one downloaded model into the ONNX file that the product runs.

``build.py`` calls it with the Python of the conversion environment, which has what
``conversion-requirements.txt`` lists: LiteRT, onnx, onnx-graphsurgeon, ONNX Runtime, Pillow and
simplejpeg. Of these only the last three ever reach the runtime.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np
from numpy.typing import NDArray

Shapes = Mapping[str, Sequence[int]]
"""Tensor name -> shape."""
Feed = Mapping[str, NDArray[np.float32]]
"""Tensor name -> array."""

OPSET = 17
OLDEST_INT8_OPSET = 13
"""The first in which a scale can be one of each channel."""
TOLERANCE = 1e-3
"""Largest difference from the original's output, as a share of that output's largest value."""
INT8_OPERATORS = (
    "Conv",
    "Relu",
    "LeakyRelu",
    "Sigmoid",
    "Mul",
    "Add",
    "Concat",
    "MaxPool",
    "Resize",
)
"""What works in eight bits; where one of these did not, the way there and back would cost more."""
INT8_TOLERANCE = 0.5
"""Largest RMS error of an eight-bit file's output, as a share of that output's own deviation.

Only what is plainly broken lies beyond: the masks must be looked at.
"""
PHOTOS = "photos"
"""The folder beside the target that holds the photos of a ``quantise`` step."""
GREY = 114
"""What the detector has around a photo."""
BGR_MEAN = np.array([0.406, 0.456, 0.485], np.float32)
BGR_STD = np.array([0.225, 0.224, 0.229], np.float32)
"""ImageNet's mean and deviation in the order that the parsers read, 0 to 1."""
FUSED = "com.microsoft"
"""ONNX Runtime's own operators."""
WORTH = 10**8
"""Multiplications that it must save to convolve a feature map before its resize."""


class Level(NamedTuple):
    """One level of a sparse tensor's storage tree.

    Either ``size`` children below every node (``starts`` is None), or as many as ``starts`` says:
    node ``n`` has the children ``starts[n]`` to ``starts[n + 1]``, at the coordinates that
    ``coordinates`` gives for each of them.
    """

    size: int
    starts: NDArray[np.int64] | None = None
    coordinates: NDArray[np.int64] | None = None


def spread(
    values: NDArray[Any],
    shape: Sequence[int],
    levels: Sequence[Level],
    order: Sequence[int],
    blocked: Sequence[int],
) -> NDArray[Any]:
    """The dense array behind TFLite's sparse storage.

    Parameters
    ----------
    values
        Shape (n,): what the leaves of the storage tree hold, in the tree's order.
    shape
        Of the dense array, d axes.
    levels
        One for each level of the tree, the root's first.
    order
        What each level's coordinate means: an axis of the array when below d, else the place inside
        a block along the axis ``blocked[order - d]``.
    blocked
        Axes that are cut into blocks; their own coordinate counts blocks.
    """
    axes = len(shape)
    block = dict.fromkeys(range(axes), 1)
    for level, meaning in zip(levels, order, strict=True):
        if meaning >= axes:
            block[blocked[meaning - axes]] = level.size
    nodes = np.zeros(1, np.int64)
    place = np.zeros((axes, 1), np.int64)
    for level, meaning in zip(levels, order, strict=True):
        if level.starts is None or level.coordinates is None:
            children = np.full(len(nodes), level.size)
            first = nodes * level.size
        else:
            children = level.starts[nodes + 1] - level.starts[nodes]
            first = level.starts[nodes]
        parent = np.repeat(np.arange(len(nodes)), children)
        nth = np.arange(len(parent)) - np.repeat(np.cumsum(children) - children, children)
        nodes = first[parent] + nth
        coordinate = nth if level.coordinates is None else level.coordinates[nodes]
        place = place[:, parent]
        if meaning < axes:
            place[meaning] += coordinate * block[meaning]
        else:
            place[blocked[meaning - axes]] += coordinate
    dense = np.zeros(shape, values.dtype)
    dense[tuple(place)] = values[nodes]
    return dense


class TFLite:
    """The graph of a TFLite file, as ONNX has it.

    TFLite has the channels of a feature map last, ONNX has them before the rows. What works on
    rows and columns gives maps with the channels first; a map is turned around where another
    operator needs it, and only there.

    Raises
    ------
    ValueError
        The file has something that is unknown here: an operator, or one of its options.
    """

    FIRST = (0, 3, 1, 2)
    """Channels last -> channels first."""
    LAST = (0, 2, 3, 1)

    def __init__(self, source: Path) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self._schema = schema
        self._model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(source.read_bytes(), 0))
        (self._stored,) = self._model.subgraphs
        self._names = {number: name for name, number in vars(schema.BuiltinOperator).items()}
        self._nodes: list[Any] = []
        self._constants: dict[int, NDArray[Any]] = {}
        self._first: dict[int, Any] = {}
        self._last: dict[int, Any] = {}
        self._operators: Mapping[str, Callable[[Any], None]] = {
            "ADD": lambda one: self._elementwise("Add", one),
            "CONCATENATION": self._concatenation,
            "CONV_2D": lambda one: self._convolution(one, self.FIRST),
            "DENSIFY": self._constant,
            "DEPTHWISE_CONV_2D": lambda one: self._convolution(one, (3, 0, 1, 2)),
            "DEPTH_TO_SPACE": self._depth_to_space,
            "DEQUANTIZE": self._constant,
            "LOGISTIC": lambda one: self._elementwise("Sigmoid", one),
            "MAX_POOL_2D": self._max_pool,
            "MUL": lambda one: self._elementwise("Mul", one),
            "PAD": self._pad,
            "RESHAPE": self._reshape,
            "RESIZE_BILINEAR": lambda one: self._resize(one, {"mode": "linear"}),
            # Down from (x + 0.5) / s, which is (x + 0.5) / s - 0.5 rounded, halves up.
            "RESIZE_NEAREST_NEIGHBOR": lambda one: self._resize(
                one, {"mode": "nearest", "nearest_mode": "round_prefer_ceil"}
            ),
            "SOFTMAX": self._softmax,
            "SUM": self._sum,
            "TRANSPOSE": self._transpose,
            "TRANSPOSE_CONV": self._transposed_convolution,
        }

    def graph(self) -> Any:
        """The graph for onnx_graphsurgeon, its inputs and outputs shaped as TFLite has them."""
        import onnx_graphsurgeon as gs

        for place in self._stored.inputs:
            name = self._stored.tensors[place].name.decode()
            self._last[place] = gs.Variable(name, np.float32, self._shape(place))
        inputs = [self._last[place] for place in self._stored.inputs]
        for one in self._stored.operators:
            code = self._model.operatorCodes[one.opcodeIndex]
            # Older files have the code in a field of one byte.
            name = self._names[max(code.builtinCode, code.deprecatedBuiltinCode)]
            if name not in self._operators:
                raise ValueError(f"operator {name} is unknown here")
            self._operators[name](one)
        outputs = []
        for place in self._stored.outputs:
            output = self._map(place, first=False)
            output.name = self._stored.tensors[place].name.decode()
            output.dtype, output.shape = np.float32, self._shape(place)
            outputs.append(output)
        return gs.Graph(self._nodes, inputs, outputs, opset=OPSET)

    def _shape(self, place: int) -> list[int]:
        return [int(size) for size in self._stored.tensors[place].shape]

    def _array(self, place: int) -> NDArray[Any]:
        """What a constant tensor holds, dense; halves as float32."""
        if place in self._constants:
            return self._constants[place]
        tensor, schema = self._stored.tensors[place], self._schema
        types: Mapping[int, type[np.generic]] = {
            schema.TensorType.FLOAT32: np.float32,
            schema.TensorType.FLOAT16: np.float16,
            schema.TensorType.INT32: np.int32,
        }
        data = self._model.buffers[tensor.buffer].data
        if data is None or tensor.type not in types:
            raise ValueError(f"tensor {tensor.name.decode()} is no constant, or of unknown numbers")
        values = np.frombuffer(data.tobytes(), types[tensor.type])
        if values.dtype == np.float16:
            values = values.astype(np.float32)
        stored = tensor.sparsity
        if stored is None:
            return values.reshape(self._shape(place))
        return spread(
            values,
            self._shape(place),
            [_level(level, schema) for level in stored.dimMetadata],
            stored.traversalOrder.tolist(),
            [] if stored.blockMap is None else stored.blockMap.tolist(),
        )

    def _constant(self, one: Any) -> None:
        """Weights in half precision, or sparse, are made whole here and not at every start."""
        self._constants[one.outputs[0]] = self._array(one.inputs[0])

    def _map(self, place: int, *, first: bool) -> Any:
        """A tensor with its channels there; what is constant is as TFLite has it."""
        import onnx_graphsurgeon as gs

        there, other = (self._first, self._last) if first else (self._last, self._first)
        if place not in there:
            if place in other:
                perm = self.FIRST if first else self.LAST
                there[place] = self._add("Transpose", [other[place]], perm=perm)
            else:
                there[place] = gs.Constant(f"constant {place}", self._array(place))
        return there[place]

    def _add(self, operator: str, inputs: Sequence[Any], **attributes: Any) -> Any:
        """Append a node; what it gives. Arrays among the inputs become constants."""
        import onnx_graphsurgeon as gs

        name = f"{operator} {len(self._nodes)}"
        tensors = [
            gs.Constant(f"{name} {place}", np.asarray(one, order="C"))
            if isinstance(one, np.ndarray)
            else one
            for place, one in enumerate(inputs)
        ]
        result = gs.Variable(name, np.float32)
        self._nodes.append(gs.Node(operator, name, attributes, tensors, [result]))
        return result

    def _activated(self, result: Any, one: Any) -> Any:
        """What comes after the activation that TFLite has inside the operator."""
        kinds = self._schema.ActivationFunctionType
        kind = one.builtinOptions.fusedActivationFunction
        if kind == kinds.NONE:
            return result
        if kind == kinds.RELU:
            return self._add("Relu", [result])
        if kind == kinds.RELU6:
            return self._add("Clip", [result, np.array(0, np.float32), np.array(6, np.float32)])
        raise ValueError(f"activation {kind} is unknown here")

    def _padding(
        self, one: Any, size: Sequence[int], kernel: Sequence[int], steps: Sequence[int]
    ) -> list[int]:
        """What the operator adds around a map of this size: above, left, below, right.

        ``kernel`` and ``steps`` are down and across; a dilated kernel counts its gaps.
        """
        if one.builtinOptions.padding == self._schema.Padding.VALID:
            return [0, 0, 0, 0]
        missing = [
            max((-(-length // step) - 1) * step + taps - length, 0)
            for length, taps, step in zip(size, kernel, steps, strict=True)
        ]
        before = [total // 2 for total in missing]
        return before + [total - half for total, half in zip(missing, before, strict=True)]

    def _convolution(self, one: Any, order: Sequence[int]) -> None:
        options = one.builtinOptions
        place, weights, *bias = one.inputs
        _, *size, channels = self._shape(place)
        kernels = self._array(weights).transpose(order)
        strides = [options.strideH, options.strideW]
        dilations = [options.dilationHFactor, options.dilationWFactor]
        wide = [
            (taps - 1) * gap + 1 for taps, gap in zip(kernels.shape[2:], dilations, strict=True)
        ]
        result = self._add(
            "Conv",
            [self._map(place, first=True), kernels, *(self._array(at) for at in bias if at >= 0)],
            kernel_shape=list(kernels.shape[2:]),
            strides=strides,
            dilations=dilations,
            group=channels // kernels.shape[1],
            pads=self._padding(one, size, wide, strides),
        )
        self._first[one.outputs[0]] = self._activated(result, one)

    def _transposed_convolution(self, one: Any) -> None:
        options = one.builtinOptions
        _, weights, place, *bias = one.inputs
        kernels = self._array(weights).transpose(3, 0, 1, 2)
        strides = [options.strideH, options.strideW]
        # It is the way back of a convolution over what it gives.
        size = self._shape(one.outputs[0])[1:3]
        result = self._add(
            "ConvTranspose",
            [self._map(place, first=True), kernels, *(self._array(at) for at in bias if at >= 0)],
            kernel_shape=list(kernels.shape[2:]),
            strides=strides,
            pads=self._padding(one, size, kernels.shape[2:], strides),
        )
        self._first[one.outputs[0]] = self._activated(result, one)

    def _max_pool(self, one: Any) -> None:
        options, (place,) = one.builtinOptions, one.inputs
        kernel = [options.filterHeight, options.filterWidth]
        strides = [options.strideH, options.strideW]
        result = self._add(
            "MaxPool",
            [self._map(place, first=True)],
            kernel_shape=kernel,
            strides=strides,
            pads=self._padding(one, self._shape(place)[1:3], kernel, strides),
        )
        self._first[one.outputs[0]] = self._activated(result, one)

    def _resize(self, one: Any, attributes: Mapping[str, str]) -> None:
        if not one.builtinOptions.halfPixelCenters:
            raise ValueError("a resize without half_pixel_centers is unknown here")
        old, new = self._shape(one.inputs[0]), self._shape(one.outputs[0])
        scales = np.array([1, 1, new[1] / old[1], new[2] / old[2]], np.float32)
        self._first[one.outputs[0]] = self._add(
            "Resize",
            [self._map(one.inputs[0], first=True), np.zeros(0, np.float32), scales],
            coordinate_transformation_mode="half_pixel",
            **attributes,
        )

    def _depth_to_space(self, one: Any) -> None:
        self._first[one.outputs[0]] = self._add(
            "DepthToSpace",
            [self._map(one.inputs[0], first=True)],
            blocksize=one.builtinOptions.blockSize,
        )

    def _elementwise(self, operator: str, one: Any) -> None:
        """Channels first where all of them are maps of one shape that have them there."""
        shape = self._shape(one.outputs[0])
        first = all(at in self._first and self._shape(at) == shape for at in one.inputs)
        result = self._add(operator, [self._map(at, first=first) for at in one.inputs])
        if len(one.inputs) > 1:
            result = self._activated(result, one)
        (self._first if first else self._last)[one.outputs[0]] = result

    def _pad(self, one: Any) -> None:
        place, widths = one.inputs
        first = place in self._first
        before, after = self._array(widths).astype(np.int64)[list(self.FIRST) if first else ...].T
        (self._first if first else self._last)[one.outputs[0]] = self._add(
            "Pad", [self._map(place, first=first), np.concatenate([before, after])]
        )

    def _concatenation(self, one: Any) -> None:
        result = self._add(
            "Concat",
            [self._map(place, first=False) for place in one.inputs],
            axis=one.builtinOptions.axis,
        )
        self._last[one.outputs[0]] = self._activated(result, one)

    def _reshape(self, one: Any) -> None:
        shape = np.array(self._shape(one.outputs[0]), np.int64)
        self._last[one.outputs[0]] = self._add(
            "Reshape", [self._map(one.inputs[0], first=False), shape]
        )

    def _softmax(self, one: Any) -> None:
        if one.builtinOptions.beta != 1:
            raise ValueError("a softmax with a temperature is unknown here")
        (place,) = one.inputs
        self._last[one.outputs[0]] = self._add("Softmax", [self._map(place, first=False)], axis=-1)

    def _sum(self, one: Any) -> None:
        place, axes = one.inputs
        self._last[one.outputs[0]] = self._add(
            "ReduceSum",
            [self._map(place, first=False), self._array(axes).astype(np.int64).reshape(-1)],
            keepdims=int(one.builtinOptions.keepDims),
        )

    def _transpose(self, one: Any) -> None:
        place, perm = one.inputs
        self._last[one.outputs[0]] = self._add(
            "Transpose", [self._map(place, first=False)], perm=self._array(perm).tolist()
        )


def _level(stored: Any, schema: Any) -> Level:
    if stored.format == schema.DimensionType.DENSE:
        return Level(int(stored.denseSize))
    starts = np.asarray(stored.arraySegments.values, np.int64)
    return Level(0, starts, np.asarray(stored.arrayIndices.values, np.int64))


def tflite_to_onnx(source: Path, target: Path) -> None:
    """TFLite -> ONNX."""
    import onnx
    import onnx_graphsurgeon as gs

    onnx.save(gs.export_onnx(TFLite(source).graph().cleanup().toposort()), target)


def trim(source: Path, target: Path, inputs: Shapes, outputs: Shapes) -> None:
    """Keep only ``outputs`` and what they need; give inputs and outputs these fixed shapes.

    With the shapes known, the optimiser folds away all arithmetic on shapes.
    """
    import onnx

    onnx.utils.extract_model(source, target, list(inputs), list(outputs))
    model = onnx.load(target)
    _fix((*model.graph.input, *model.graph.output), {**inputs, **outputs})
    del model.graph.value_info[:]
    onnx.save(model, target)


def _fix(values: Iterable[Any], shapes: Shapes) -> None:
    for value in values:
        dimensions = value.type.tensor_type.shape.dim
        for dimension, size in zip(dimensions, shapes[value.name], strict=True):
            dimension.dim_value = size


def optimise(source: Path, target: Path, level: str = "EXTENDED") -> None:
    """ONNX Runtime's own rewriting, up to the level that does not depend on this machine's CPU."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, f"ORT_ENABLE_{level}")
    options.optimized_model_filepath = str(target)
    ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def fuse_sums(source: Path, target: Path) -> None:
    """Let a convolution itself add a residual and clip the sum.

    ONNX Runtime does so with Relu but not with Clip, before which it would bring every sum back
    from the layout that its convolutions work in.
    """
    import onnx
    import onnx_graphsurgeon as gs

    graph = gs.import_onnx(onnx.shape_inference.infer_shapes(onnx.load(source)))
    for clip in [node for node in graph.nodes if node.op == "Clip"]:
        total = clip.inputs[0]
        add = _producer(total)
        if add is None or add.op != "Add" or len(total.outputs) > 1:
            continue
        for own, residual in (add.inputs, reversed(add.inputs)):
            conv = _producer(own)
            if conv is None or conv.op != "Conv" or len(own.outputs) > 1:
                continue
            if own.shape is None or own.shape != residual.shape:
                continue
            bounds = [float(one.values) for one in clip.inputs[1:]]
            fused = {**conv.attrs, "activation": "Clip", "activation_params": bounds}
            bias = conv.inputs[2:] or [gs.Variable.empty()]
            inputs, outputs = [*conv.inputs[:2], *bias, residual], list(clip.outputs)
            clip.outputs.clear()
            graph.nodes.append(
                gs.Node("FusedConv", clip.name, fused, inputs, outputs, domain=FUSED)
            )
            break
    onnx.save(gs.export_onnx(graph.cleanup().toposort()), target)


def resize_late(source: Path, target: Path, inputs: Shapes) -> None:
    """Convolve feature maps before they are enlarged and not after, where that is much cheaper.

    A convolution over joined feature maps is the sum of one over each. Over an enlarged map it may
    go first: a kernel of one pixel gives the same before and after, and with a larger one every
    pixel is a weighted sum of the map's few cells, whose weights follow from the resize alone. So
    the answers stay the same but for rounding.

    Raises
    ------
    ValueError
        An output differs from the original's by more than :data:`TOLERANCE` of its range.
    """
    import onnx
    import onnx_graphsurgeon as gs

    model = onnx.load(source)
    _fix(model.graph.input, inputs)
    onnx.save(model, target)
    # With the shapes known, this folds away all arithmetic on them.
    optimise(target, target, "BASIC")
    graph = gs.import_onnx(onnx.shape_inference.infer_shapes(onnx.load(target)))
    for conv in [node for node in graph.nodes if node.op == "Conv"]:
        if late := _late(conv):
            _split(graph, conv, late)
    onnx.save(gs.export_onnx(graph.cleanup().toposort()), target)
    _agree(source, target, inputs, [output.name for output in model.graph.output])


def _late(conv: Any) -> set[str]:
    """Return those feature maps that a convolution joins and may see before their resize."""
    joined = _producer(conv.inputs[0])
    if joined is None or joined.op != "Concat" or joined.attrs["axis"] != 1:
        return set()
    plain = conv.attrs.get("group", 1) == 1 and set(conv.attrs.get("strides", [1])) == {1}
    if not plain or conv.attrs.get("auto_pad", "NOTSET") != "NOTSET":
        return set()
    if any(tensor.shape is None for tensor in (conv.inputs[1], *joined.inputs)):
        return set()
    outputs, _, *kernel = conv.inputs[1].shape
    taps = np.prod(kernel)
    late = set()
    for enlarged in joined.inputs:
        resize = _producer(enlarged)
        if resize is not None and resize.op == "Resize" and resize.inputs[0].shape is not None:
            _, channels, *small = resize.inputs[0].shape
            cells, pixels = np.prod(small), np.prod(enlarged.shape[2:])
            before = channels * taps * pixels
            after = channels * taps * cells + (taps * cells * pixels if taps > 1 else 0)
            if outputs * (before - after) > WORTH:
                late.add(enlarged.name)
    return late if len(late) < len(joined.inputs) else set()


def _producer(tensor: Any) -> Any:
    """Return the node that a tensor comes from; None where it is an input of the graph."""
    return tensor.inputs[0] if tensor.inputs else None


def _split(graph: Any, conv: Any, late: set[str]) -> None:
    """Put the sum of one convolution over each map in the place of the one over all."""
    import onnx_graphsurgeon as gs

    def add(
        op: str, inputs: Sequence[Any], attributes: Mapping[str, Any] = MappingProxyType({})
    ) -> Any:
        name = f"{conv.outputs[0].name} {len(graph.nodes)}"
        tensors = [
            gs.Constant(f"{name} {place}", np.ascontiguousarray(one))
            if isinstance(one, np.ndarray)
            else one
            for place, one in enumerate(inputs)
        ]
        result = gs.Variable(name, np.float32)
        graph.nodes.append(gs.Node(op, name, dict(attributes), tensors, [result]))
        return result

    joined, weights = _producer(conv.inputs[0]).inputs, conv.inputs[1].values
    ends = np.cumsum([one.shape[1] for one in joined])[:-1]
    pairs = list(zip(joined, np.split(weights, ends, axis=1), strict=True))
    seen, own = zip(*((one, part) for one, part in pairs if one.name not in late), strict=True)
    together = add("Concat", seen, {"axis": 1})
    terms = [add("Conv", [together, np.concatenate(own, 1), *conv.inputs[2:]], conv.attrs)]
    cells, bases = [], []
    for enlarged, part in pairs:
        if enlarged.name not in late:
            continue
        resize = _producer(enlarged)
        outputs, channels, *kernel = part.shape
        by_tap = part.transpose(0, 2, 3, 1).reshape(-1, channels, 1, 1)
        small = add("Conv", [resize.inputs[0], by_tap])
        if kernel == [1, 1]:
            terms.append(add("Resize", [small, *_to(resize, outputs)], resize.attrs))
        else:
            bases.append(_basis(resize, conv, kernel, graph.opset))
            cells.append(add("Reshape", [small, np.array([1, outputs, len(bases[-1])])]))
    if cells:
        summed = add("MatMul", [add("Concat", cells, {"axis": 2}), np.concatenate(bases)])
        terms.append(add("Reshape", [summed, np.array(conv.outputs[0].shape)]))
    total, *others = terms
    for term in others:
        total = add("Add", [total, term])
    outputs = list(conv.outputs)
    conv.outputs.clear()
    _producer(total).outputs = outputs


def _to(resize: Any, channels: int) -> list[Any]:
    """What says where a resize leads, for another number of channels."""
    if len(resize.inputs) < 4:
        return list(resize.inputs[1:])
    return [*resize.inputs[1:3], np.array([1, channels, *resize.outputs[0].shape[2:]])]


def _basis(resize: Any, conv: Any, kernel: Sequence[int], opset: int) -> NDArray[np.float32]:
    """What each cell before a resize is to every pixel of a convolution after it, tap by tap.

    Shape (taps * cells, pixels).
    """
    import onnx_graphsurgeon as gs
    import onnxruntime as ort

    _, _, rows, columns = resize.inputs[0].shape
    cells = rows * columns
    each = gs.Variable("cells", np.float32, [1, cells, rows, columns])
    enlarged = gs.Variable("enlarged", np.float32)
    sizes = [
        gs.Constant("sizes", one) if isinstance(one, np.ndarray) else one
        for one in _to(resize, cells)
    ]
    node = gs.Node("Resize", "resize", resize.attrs, [each, *sizes], [enlarged])
    alone = gs.export_onnx(gs.Graph([node], [each], [enlarged], opset=opset))
    session = ort.InferenceSession(alone.SerializeToString(), providers=["CPUExecutionProvider"])
    one_hot = np.eye(cells, dtype=np.float32).reshape(1, cells, rows, columns)
    (planes,) = session.run(None, {"cells": one_hot})[0]
    top, left, bottom, right = conv.attrs.get("pads", [0] * 4)
    down, across = conv.attrs.get("dilations", [1, 1])
    height, width = conv.outputs[0].shape[2:]
    padded = np.pad(planes, ((0, 0), (top, bottom), (left, right)))
    result: NDArray[np.float32] = np.concatenate(
        [
            padded[:, y * down :, x * across :][:, :height, :width].reshape(cells, -1)
            for y, x in np.ndindex(*kernel)
        ]
    )
    return result


def quantise(
    source: Path,
    target: Path,
    feeds: Sequence[Feed],
    *,
    operators: Sequence[str] = INT8_OPERATORS,
    kept: tuple[str, ...] = (),
    percentile: float | None = None,
) -> None:
    """Let the layers work in eight bits; what comes after the last convolutions stays as it is.

    Parameters
    ----------
    feeds
        What the photos to calibrate on are to the model: each tensor's range is what it has there.
    operators
        What works in eight bits.
    kept
        How the names of nodes begin that stay as they are all the same.
    percentile
        Of a tensor's values on the photos that its range must hold; None: all of them.

    Raises
    ------
    ValueError
        An output differs from the original's by more than :data:`INT8_TOLERANCE` on these.
    """
    import onnx
    from onnxruntime.quantization import (
        CalibrationDataReader,
        CalibrationMethod,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    left = iter(feeds)

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # it has no types
        def get_next(self) -> Feed | None:
            return next(left, None)

    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        plain = Path(folder) / "plain.onnx"
        model = onnx.load(source)
        if _opset(model) < OLDEST_INT8_OPSET:
            # As torch's exporter writes by itself, and YOLOX's own.
            model = onnx.version_converter.convert_version(model, OPSET)
        onnx.save(model, plain)
        quant_pre_process(str(plain), str(plain), skip_symbolic_shape=True)
        model = onnx.load(plain)
        for number, node in enumerate(model.graph.node):
            node.name = node.name or f"node {number}"
        onnx.save(model, plain)
        quantize_static(
            str(plain),
            str(target),
            Reader(),
            op_types_to_quantize=list(operators),
            nodes_to_exclude=[
                *_last(model.graph),
                *(node.name for node in model.graph.node if node.name.startswith(kept)),
            ],
            per_channel=True,
            calibrate_method=CalibrationMethod.Percentile
            if percentile
            else CalibrationMethod.MinMax,
            extra_options={"CalibPercentile": percentile} if percentile else None,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            # AVX2 adds two products of eight bits each in sixteen: with seven they fit.
            reduce_range=True,
        )
    _compare(source, target, feeds)


def _opset(model: Any) -> int:
    """Version of ONNX's own operators that a model is written in."""
    return int(next(one.version for one in model.opset_import if one.domain in ("", "ai.onnx")))


def _last(graph: Any) -> list[str]:
    """Names of the nodes, in a graph sorted by need, that no convolution comes after."""
    needed: set[str] = set()
    names = []
    for node in reversed(graph.node):
        last = needed.isdisjoint(node.output)
        if last:
            names.append(node.name)
        if not last or node.op_type == "Conv":
            needed.update(node.input)
    return names


def _compare(original: Path, finished: Path, feeds: Sequence[Feed]) -> None:
    import onnxruntime as ort

    sessions = [
        ort.InferenceSession(path, _frugal(), providers=["CPUExecutionProvider"])
        for path in (original, finished)
    ]
    names = [output.name for output in sessions[0].get_outputs()]
    errors, spreads = np.zeros((2, len(names)))
    for feed in feeds:
        for place, (wanted, found) in enumerate(
            zip(*(session.run(names, feed) for session in sessions), strict=True)
        ):
            errors[place] += np.square(found - wanted).mean() / len(feeds)
            spreads[place] += wanted.var() / len(feeds)
    for name, error, spread in zip(names, np.sqrt(errors), np.sqrt(spreads), strict=True):
        if not error <= INT8_TOLERANCE * spread:
            raise ValueError(
                f"output {name}: eight bits change it by {error:.2g}, and it varies by {spread:.2g}"
            )


def shown_to_parser(photos: Path, inputs: Shapes) -> list[Feed]:
    """The JPEG files in ``photos`` as SCHP gets them."""
    return [
        {name: (square / np.float32(255) - BGR_MEAN[:, None, None]) / BGR_STD[:, None, None]}
        for name, square in _squares(photos, inputs, 0)
    ]


def shown_to_detector(photos: Path, inputs: Shapes) -> list[Feed]:
    """The JPEG files in ``photos`` as YOLOX gets them."""
    return [{name: square} for name, square in _squares(photos, inputs, GREY)]


def _squares(
    photos: Path, inputs: Shapes, around: int
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Each photo in the middle of the one input, BGR from 0 to 255, with ``around`` around it."""
    import simplejpeg
    from PIL import Image

    ((name, (_, _, height, width)),) = inputs.items()
    for path in sorted(photos.glob("*.jpg")):
        rgb = simplejpeg.decode_jpeg(path.read_bytes(), fastdct=True)
        tall, wide, _ = rgb.shape
        ratio = max(wide / width, tall / height)
        size = int(wide / ratio), int(tall / ratio)
        left, top = int((width - wide / ratio) / 2), int((height - tall / ratio) / 2)
        square = np.full((1, 3, height, width), around, np.float32)
        for plane, channel in zip(square[0], rgb.transpose(2, 0, 1)[::-1], strict=True):
            # It mixes the four pixels around each place; Pillow's resize would mix all between.
            small = Image.fromarray(channel.astype(np.float32)).transform(
                size,
                Image.Transform.AFFINE,
                (wide / size[0], 0, 0, 0, tall / size[1], 0),
                Image.Resampling.BILINEAR,
            )
            plane[top : top + size[1], left : left + size[0]] = np.asarray(small)
        yield name, square


def check(original: Path, finished: Path, inputs: Shapes, outputs: Shapes) -> None:
    """Compare the finished file with what the catalogue says and with the original's answers.

    Raises
    ------
    ValueError
        Names or shapes differ, or an output differs by more than :data:`TOLERANCE`.
    """
    import onnxruntime as ort

    session = ort.InferenceSession(finished, _frugal(), providers=["CPUExecutionProvider"])
    for found, wanted in ((session.get_inputs(), inputs), (session.get_outputs(), outputs)):
        shapes = {tensor.name: list(tensor.shape) for tensor in found}
        if shapes != wanted:
            raise ValueError(f"the finished file has {shapes}, the catalogue says {wanted}")
    _agree(original, finished, inputs, list(outputs))


def _agree(original: Path, finished: Path, inputs: Shapes, outputs: Sequence[str]) -> None:
    random = np.random.default_rng(0)
    feed = {name: random.random(shape, np.float32) for name, shape in inputs.items()}
    answer = _run_tflite if original.suffix == ".tflite" else _run_onnx
    originals = answer(original, feed, outputs)
    for name, array in _run_onnx(finished, feed, outputs).items():
        scale = max(1.0, float(np.abs(originals[name]).max()))
        off = float(np.abs(array - originals[name]).max()) / scale
        print(f"{name}: differs from the original's by {off:.1e} of its range")
        if not off <= TOLERANCE:
            raise ValueError(f"output {name} differs from the original's by {off:.1e} of its range")


def _frugal() -> Any:
    """Session options that trade speed for memory: U2-Net's feature maps are large."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    return options


def _run_onnx(model: Path, feed: Feed, outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
    import onnxruntime as ort

    session = ort.InferenceSession(model, _frugal(), providers=["CPUExecutionProvider"])
    return dict(zip(outputs, session.run(outputs, feed), strict=True))


def _run_tflite(model: Path, feed: Feed, outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(model))
    interpreter.allocate_tensors()
    for tensor in interpreter.get_input_details():
        interpreter.set_tensor(tensor["index"], feed[tensor["name"]])
    interpreter.invoke()
    place = {tensor["name"]: tensor["index"] for tensor in interpreter.get_output_details()}
    return {name: interpreter.get_tensor(place[name]) for name in outputs}


def main() -> None:
    """``convert.py ENTRY SOURCE TARGET``; ENTRY is JSON: the steps, inputs and outputs.

    What a ``quantise`` step is calibrated on lies in :data:`PHOTOS` beside TARGET.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("entry", type=json.loads)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    arguments = parser.parse_args()
    entry, target = arguments.entry, arguments.target
    shapes = entry["inputs"], entry["outputs"]
    photos = target.parent / PHOTOS
    steps: dict[str, Callable[[Path, Path], None]] = {
        "tflite_to_onnx": tflite_to_onnx,
        "trim": lambda source, target: trim(source, target, *shapes),
        "optimise": optimise,
        "fuse_sums": fuse_sums,
        "resize_late": lambda source, target: resize_late(source, target, shapes[0]),
        "quantise_parser": lambda source, target: quantise(
            source, target, shown_to_parser(photos, entry["inputs"])
        ),
        "quantise_detector": lambda source, target: quantise(
            source, target, shown_to_detector(photos, entry["inputs"])
        ),
    }
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        latest = arguments.source
        for step in entry["steps"]:
            result = Path(folder) / f"{step}.onnx"
            steps[step](latest, result)
            latest = result
        # Downloaded files have more outputs than are used; their steps compare by themselves.
        if not {"resize_late", "quantise_parser", "quantise_detector"} & set(entry["steps"]):
            check(arguments.source, latest, *shapes)
        latest.replace(target)


if __name__ == "__main__":
    main()
