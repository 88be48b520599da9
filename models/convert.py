"""Turns one downloaded model into the ONNX file that the product runs.

``build.py`` calls it with the Python of the conversion environment, which has what
``conversion-requirements.txt`` lists: TensorFlow, tf2onnx, onnx and ONNX Runtime. None of these but
the last ever reaches the runtime.
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
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"

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


def densify(source: Path, target: Path) -> None:
    """Store a TFLite file's sparse weights dense, without the operators that did it at run time.

    tf2onnx knows neither.
    """
    import flatbuffers
    from tensorflow.lite.python import schema_py_generated as tflite

    types = {
        tflite.TensorType.FLOAT32: np.float32,
        tflite.TensorType.FLOAT16: np.float16,
        tflite.TensorType.INT8: np.int8,
    }
    model = tflite.ModelT.InitFromObj(tflite.Model.GetRootAs(source.read_bytes(), 0))
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            if tensor.sparsity is None:
                continue
            stored = model.buffers[tensor.buffer].data.tobytes()
            dense = spread(
                np.frombuffer(stored, types[tensor.type]),
                tensor.shape.tolist(),
                [_level(level, tflite) for level in tensor.sparsity.dimMetadata],
                tensor.sparsity.traversalOrder.tolist(),
                [] if tensor.sparsity.blockMap is None else tensor.sparsity.blockMap.tolist(),
            )
            buffer = tflite.BufferT()
            buffer.data = np.frombuffer(dense.tobytes(), np.uint8)
            model.buffers.append(buffer)
            tensor.buffer = len(model.buffers) - 1
            tensor.sparsity = None
        _bypass(graph, [_is_densify(code, tflite) for code in model.operatorCodes])
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    target.write_bytes(builder.Output())


def _level(stored: Any, tflite: Any) -> Level:
    if stored.format == tflite.DimensionType.DENSE:
        return Level(int(stored.denseSize))
    starts = np.asarray(stored.arraySegments.values, np.int64)
    return Level(0, starts, np.asarray(stored.arrayIndices.values, np.int64))


def _is_densify(code: Any, tflite: Any) -> bool:
    # Older files have the code in a field of one byte.
    return bool(tflite.BuiltinOperator.DENSIFY in (code.builtinCode, code.deprecatedBuiltinCode))


def _bypass(graph: Any, is_densify: Sequence[bool]) -> None:
    """Let whoever read a DENSIFY operator's output read its input, and drop the operator."""
    dense: dict[int, int] = {}
    others = []
    for operator in graph.operators:
        if is_densify[operator.opcodeIndex]:
            dense[int(operator.outputs[0])] = int(operator.inputs[0])
        else:
            others.append(operator)
    for operator in others:
        operator.inputs = np.array([dense.get(int(i), int(i)) for i in operator.inputs], np.int32)
    graph.operators = others


def tflite_to_onnx(source: Path, target: Path) -> None:
    """TFLite -> ONNX."""
    import onnx
    import tf2onnx

    model, _ = tf2onnx.convert.from_tflite(str(source), opset=OPSET)
    for node in model.graph.node:
        if node.op_type == "Resize":
            _modernise_resize(node)
    onnx.save(model, target)


def _modernise_resize(node: Any) -> None:
    """Say ``tf_half_pixel_for_nn`` with ``floor`` in words that ONNX still has.

    ONNX Runtime warns about the old ones at every load. They mean floor((x + 0.5) / s), and that
    is (x + 0.5) / s - 0.5 rounded, halves up.
    """
    attributes = {attribute.name: attribute for attribute in node.attribute}
    coordinates = attributes["coordinate_transformation_mode"]
    if coordinates.s == b"tf_half_pixel_for_nn" and attributes["nearest_mode"].s == b"floor":
        coordinates.s = b"half_pixel"
        attributes["nearest_mode"].s = b"round_prefer_ceil"


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
        add = _maker(total)
        if add is None or add.op != "Add" or len(total.outputs) > 1:
            continue
        for own, residual in (add.inputs, reversed(add.inputs)):
            conv = _maker(own)
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
    joined = _maker(conv.inputs[0])
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
        resize = _maker(enlarged)
        if resize is not None and resize.op == "Resize" and resize.inputs[0].shape is not None:
            _, channels, *small = resize.inputs[0].shape
            cells, pixels = np.prod(small), np.prod(enlarged.shape[2:])
            before = channels * taps * pixels
            after = channels * taps * cells + (taps * cells * pixels if taps > 1 else 0)
            if outputs * (before - after) > WORTH:
                late.add(enlarged.name)
    return late if len(late) < len(joined.inputs) else set()


def _maker(tensor: Any) -> Any | None:
    """The node that a tensor comes from."""
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

    joined, weights = _maker(conv.inputs[0]).inputs, conv.inputs[1].values
    ends = np.cumsum([one.shape[1] for one in joined])[:-1]
    pairs = list(zip(joined, np.split(weights, ends, axis=1), strict=True))
    seen, own = zip(*((one, share) for one, share in pairs if one.name not in late), strict=True)
    together = add("Concat", seen, {"axis": 1})
    terms = [add("Conv", [together, np.concatenate(own, 1), *conv.inputs[2:]], conv.attrs)]
    cells, bases = [], []
    for enlarged, share in pairs:
        if enlarged.name not in late:
            continue
        resize = _maker(enlarged)
        outputs, channels, *kernel = share.shape
        by_tap = share.transpose(0, 2, 3, 1).reshape(-1, channels, 1, 1)
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
    _maker(total).outputs = outputs


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
        {name: ((square / 255 - BGR_MEAN[:, None, None]) / BGR_STD[:, None, None])}
        for name, square in _squares(photos, inputs, 0)
    ]


def shown_to_detector(photos: Path, inputs: Shapes) -> list[Feed]:
    """The JPEG files in ``photos`` as YOLOX gets them."""
    return [{name: square} for name, square in _squares(photos, inputs, GREY)]


def _squares(
    photos: Path, inputs: Shapes, around: int
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Each photo in the middle of the one input, BGR from 0 to 255, with ``around`` around it."""
    import tensorflow as tf

    ((name, (_, _, height, width)),) = inputs.items()
    for path in sorted(photos.glob("*.jpg")):
        rgb = tf.cast(tf.io.decode_jpeg(path.read_bytes(), channels=3), tf.float32)
        square = tf.image.resize_with_pad(rgb - around, height, width).numpy() + around
        yield name, np.ascontiguousarray(square[..., ::-1].transpose(2, 0, 1)[None], np.float32)


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
    import tensorflow as tf

    interpreter = tf.lite.Interpreter(str(model))
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
        "densify": densify,
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
            result = Path(folder) / f"{step}{'.tflite' if step == 'densify' else '.onnx'}"
            steps[step](latest, result)
            latest = result
        # Downloaded files have more outputs than are used; their steps compare by themselves.
        if not {"resize_late", "quantise_parser", "quantise_detector"} & set(entry["steps"]):
            check(arguments.source, latest, *shapes)
        latest.replace(target)


if __name__ == "__main__":
    main()
