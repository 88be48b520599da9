"""models/convert.py: a TFLite file says the same as ONNX."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import onnx
import onnxruntime as ort
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from models.convert import tflite_to_onnx
from numpy.typing import NDArray

IMAGE = [1, 7, 6, 4]
TYPES = {
    np.dtype(np.float32): schema.TensorType.FLOAT32,
    np.dtype(np.float16): schema.TensorType.FLOAT16,
    np.dtype(np.int32): schema.TensorType.INT32,
}


@dataclass(frozen=True)
class Step:
    """One operator. Its inputs are arrays, or numbers: 0 the file's input, n what step n gave."""

    operator: str
    inputs: Sequence[int | NDArray[Any]]
    shape: Sequence[int]
    options: dict[str, Any] | None = None
    kind: str = ""
    dtype: type[np.generic] = np.float32


def values(*shape: int, dtype: type[np.generic] = np.float32) -> NDArray[Any]:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(dtype)


def whole(*numbers: int) -> NDArray[np.int32]:
    return np.array(numbers, np.int32)


def write(path: Path, shape: Sequence[int], steps: Sequence[Step]) -> Path:
    """A file of these steps; the last one's result is what it gives."""
    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version, model.subgraphs, model.operatorCodes = 3, [graph], []
    model.buffers = [schema.BufferT()]
    graph.tensors, graph.operators = [], []

    def tensor(name: str, shape: Sequence[int], dtype: Any, data: bytes | None = None) -> int:
        one = schema.TensorT()
        one.name, one.shape, one.type = name, list(shape), TYPES[np.dtype(dtype)]
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(data, np.uint8)
            model.buffers.append(buffer)
            one.buffer = len(model.buffers) - 1
        graph.tensors.append(one)
        return len(graph.tensors) - 1

    places = [tensor("image", shape, np.float32)]
    for number, step in enumerate(steps, 1):
        code, operator = schema.OperatorCodeT(), schema.OperatorT()
        code.builtinCode = getattr(schema.BuiltinOperator, step.operator)
        code.deprecatedBuiltinCode, code.version = min(code.builtinCode, 127), 1
        model.operatorCodes.append(code)
        operator.opcodeIndex = len(model.operatorCodes) - 1
        operator.inputs = [
            places[one]
            if isinstance(one, int)
            else tensor(f"constant {number}", one.shape, one.dtype, one.tobytes())
            for one in step.inputs
        ]
        places.append(tensor(f"result {number}", step.shape, step.dtype))
        operator.outputs = [places[-1]]
        if step.kind:
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, step.kind)
            operator.builtinOptions = getattr(schema, f"{step.kind}T")()
            for name, value in (step.options or {}).items():
                assert hasattr(operator.builtinOptions, name), name
                setattr(operator.builtinOptions, name, value)
        graph.operators.append(operator)
    graph.inputs, graph.outputs = places[:1], places[-1:]
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(builder.Output())
    return path


def convolution(kind: str = "Conv2DOptions", /, **options: Any) -> dict[str, Any]:
    step = {"strideW": 1, "strideH": 1, "dilationWFactor": 1, "dilationHFactor": 1}
    return {"kind": kind, "options": {**step, **options}}


SAME, VALID = schema.Padding.SAME, schema.Padding.VALID
RELU, RELU6 = schema.ActivationFunctionType.RELU, schema.ActivationFunctionType.RELU6
DEPTHWISE = "DepthwiseConv2DOptions"
TWO_DOWN = {"strideH": 2, "strideW": 2}
HALVES = values(5, 3, 3, 4, dtype=np.float16)

GRAPHS = {
    "convolution": [
        Step("CONV_2D", [0, values(5, 3, 3, 4), values(5)], [1, 7, 6, 5], **convolution())
    ],
    "every second pixel": [
        Step(
            "CONV_2D",
            [0, values(5, 3, 3, 4), values(5)],
            [1, 4, 3, 5],
            **convolution(**TWO_DOWN, fusedActivationFunction=RELU6),
        )
    ],
    "with gaps": [
        Step(
            "CONV_2D",
            [0, values(5, 3, 3, 4), values(5)],
            [1, 7, 6, 5],
            **convolution(dilationHFactor=2, dilationWFactor=2),
        )
    ],
    "inside only": [
        Step(
            "CONV_2D",
            [0, values(5, 3, 2, 4), values(5)],
            [1, 5, 5, 5],
            **convolution(padding=VALID, fusedActivationFunction=RELU),
        )
    ],
    "each channel": [
        Step(
            "DEPTHWISE_CONV_2D",
            [0, values(1, 3, 3, 8), values(8)],
            [1, 7, 6, 8],
            **convolution(DEPTHWISE, depthMultiplier=2),
        )
    ],
    "the way back": [
        Step(
            "TRANSPOSE_CONV",
            [whole(1, 14, 12, 3), values(3, 3, 3, 4), 0, values(3)],
            [1, 14, 12, 3],
            kind="TransposeConvOptions",
            options={**TWO_DOWN, "padding": SAME},
        )
    ],
    "half weights": [
        Step("DEQUANTIZE", [HALVES], HALVES.shape),
        Step("CONV_2D", [0, 1, values(5)], [1, 7, 6, 5], **convolution()),
    ],
    "largest": [
        Step(
            "MAX_POOL_2D",
            [0],
            [1, 4, 3, 4],
            kind="Pool2DOptions",
            options={**TWO_DOWN, "filterHeight": 3, "filterWidth": 2, "padding": SAME},
        )
    ],
    "linear": [
        Step(
            "RESIZE_BILINEAR",
            [0, whole(14, 18)],
            [1, 14, 18, 4],
            kind="ResizeBilinearOptions",
            options={"halfPixelCenters": True},
        )
    ],
    "nearest": [
        Step(
            "RESIZE_NEAREST_NEIGHBOR",
            [0, whole(14, 18)],
            [1, 14, 18, 4],
            kind="ResizeNearestNeighborOptions",
            options={"halfPixelCenters": True},
        )
    ],
    "depth to space": [
        Step(
            "DEPTH_TO_SPACE",
            [0],
            [1, 14, 12, 1],
            kind="DepthToSpaceOptions",
            options={"blockSize": 2},
        )
    ],
    "a residual, padded": [
        Step("CONV_2D", [0, values(4, 1, 1, 4), values(4)], IMAGE, **convolution()),
        Step("CONV_2D", [1, values(4, 3, 3, 4), values(4)], IMAGE, **convolution()),
        Step("ADD", [1, 2], IMAGE, {"fusedActivationFunction": RELU6}, "AddOptions"),
        Step("LOGISTIC", [3], IMAGE),
        Step(
            "PAD",
            [4, whole(0, 0, 1, 2, 0, 1, 0, 3).reshape(4, 2)],
            [1, 10, 7, 7],
            kind="PadOptions",
        ),
    ],
    "pixel by pixel": [
        Step("CONV_2D", [0, values(4, 1, 1, 4), values(4)], IMAGE, **convolution()),
        Step("MUL", [1, values(4)], IMAGE, kind="MulOptions"),
        Step("SUM", [2, whole(2)], [1, 7, 1, 4], {"keepDims": True}, "ReducerOptions"),
        Step("MUL", [2, 3], IMAGE, kind="MulOptions"),
        Step("ADD", [4, 1], IMAGE, kind="AddOptions"),
    ],
    "lists": [
        Step("RESHAPE", [0, whole(1, 42, 4)], [1, 42, 4]),
        Step("CONV_2D", [0, values(4, 1, 1, 4), values(4)], IMAGE, **convolution()),
        Step("RESHAPE", [2, whole(1, 42, 4)], [1, 42, 4]),
        Step("CONCATENATION", [1, 3], [1, 84, 4], {"axis": 1}, "ConcatenationOptions"),
        Step("SOFTMAX", [4], [1, 84, 4], {"beta": 1.0}, "SoftmaxOptions"),
        Step("TRANSPOSE", [5, whole(0, 2, 1)], [1, 4, 84], kind="TransposeOptions"),
    ],
}


def original(path: Path, image: NDArray[np.float32]) -> Any:
    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


@pytest.mark.parametrize("name", GRAPHS)
def test_the_graph_gives_the_same(tmp_path: Path, name: str) -> None:
    source = write(tmp_path / "source.tflite", IMAGE, GRAPHS[name])
    image = values(*IMAGE)

    tflite_to_onnx(source, tmp_path / "target.onnx")

    onnx.checker.check_model(tmp_path / "target.onnx", full_check=True)
    session = ort.InferenceSession(tmp_path / "target.onnx", providers=["CPUExecutionProvider"])
    (output,) = session.get_outputs()
    assert output.name == f"result {len(GRAPHS[name])}"
    assert output.shape == list(GRAPHS[name][-1].shape)
    (found,) = session.run(None, {"image": image})
    np.testing.assert_allclose(found, original(source, image), rtol=1e-5, atol=1e-5)


def test_twice_the_same_bytes(tmp_path: Path) -> None:
    source = write(tmp_path / "source.tflite", IMAGE, GRAPHS["lists"])

    for name in "ab":
        tflite_to_onnx(source, tmp_path / name)

    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize(
    ("step", "why"),
    [
        (Step("TANH", [0], IMAGE), "operator TANH is unknown here"),
        (
            Step(
                "CONV_2D",
                [0, values(5, 3, 3, 4), values(5)],
                [1, 7, 6, 5],
                **convolution(fusedActivationFunction=schema.ActivationFunctionType.TANH),
            ),
            "activation 4 is unknown here",
        ),
        (
            Step(
                "RESIZE_BILINEAR", [0, whole(14, 18)], [1, 14, 18, 4], kind="ResizeBilinearOptions"
            ),
            "a resize without half_pixel_centers is unknown here",
        ),
        (
            Step("SOFTMAX", [0], IMAGE, {"beta": 2.0}, "SoftmaxOptions"),
            "a softmax with a temperature is unknown here",
        ),
        (
            Step("CONV_2D", [0, 0, values(1)], [1, 7, 6, 1], **convolution()),
            "tensor image is no constant",
        ),
    ],
)
def test_what_is_unknown_stops_the_conversion(tmp_path: Path, step: Step, why: str) -> None:
    source = write(tmp_path / "source.tflite", IMAGE, [step])

    with pytest.raises(ValueError, match=why):
        tflite_to_onnx(source, tmp_path / "target.onnx")

    assert not (tmp_path / "target.onnx").exists()
