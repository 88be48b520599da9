"""models/convert.py: rewritten graphs give the same answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from models import convert
from models.convert import fuse_sums, resize_late
from onnx import helper, numpy_helper

SIDE = 48
CHANNELS = 64


@pytest.fixture(autouse=True)
def small_gains_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convert, "WORTH", 10**6)


def graph(
    path: Path,
    *,
    kernel: int,
    resized: Sequence[int] = (3, 12),
    plain: bool = True,
    opset: int = 17,
    **conv: Any,
) -> None:
    """An input and maps of ``resized`` cells a side, enlarged by size or by scale, are joined."""
    random = np.random.default_rng(0)
    constants, nodes, joined = [], [], ["input"] if plain else []

    def constant(name: str, values: Any, dtype: Any = np.float32) -> str:
        constants.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    # Before opset 13 what is not given must be empty.
    none = "" if opset >= 13 else constant("none", [])
    for number, cells in enumerate(resized):
        step, name = SIDE // cells, f"large {number}"
        pooled: dict[str, Any] = {"kernel_shape": [step] * 2, "strides": [step] * 2}
        nodes.append(helper.make_node("AveragePool", ["input"], [f"pooled {number}"], **pooled))
        grown = random.standard_normal((CHANNELS, 8, 1, 1))
        small = [f"pooled {number}", constant(f"grown {number}", grown)]
        nodes.append(helper.make_node("Conv", small, [f"small {number}"]))
        if number == 0:
            to = [none, none, constant("sizes", [1, CHANNELS, SIDE, SIDE], np.int64)]
            modes = {"mode": "linear", "coordinate_transformation_mode": "align_corners"}
        else:
            to = [none, constant("scales", [1, 1, step, step])]
            modes = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric"}
        nodes.append(helper.make_node("Resize", [f"small {number}", *to], [name], **modes))
        joined.append(name)
    nodes.append(helper.make_node("Concat", joined, ["joined"], axis=1))
    channels = CHANNELS * len(resized) + (8 if plain else 0)
    shape = (64, channels // conv.get("group", 1), kernel, kernel)
    weights = constant("weights", random.standard_normal(shape) / 10)
    bias = constant("bias", random.standard_normal(64))
    nodes.append(
        helper.make_node(
            "Conv", ["joined", weights, bias], ["sum"], kernel_shape=[kernel] * 2, **conv
        )
    )
    nodes.append(helper.make_node("Relu", ["sum"], ["output"]))
    floats = onnx.TensorProto.FLOAT
    given = helper.make_tensor_value_info("input", floats, ["batch", 8, SIDE, SIDE])
    said = helper.make_tensor_value_info("output", floats, None)
    whole = helper.make_graph(nodes, "joined", [given], [said], constants)
    imports = [helper.make_opsetid("", opset)]
    ir_version = 8 if opset >= 13 else 6
    onnx.save(helper.make_model(whole, opset_imports=imports, ir_version=ir_version), path)


def answer(path: Path) -> Any:
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    photo = np.random.default_rng(1).standard_normal((1, 8, SIDE, SIDE), np.float32)
    return session.run(None, {"input": photo})[0]


def widest(path: Path) -> int:
    """Input channels of the convolution that has most."""
    model = onnx.load(path).graph
    sizes = {one.name: one.dims for one in model.initializer}
    return max(int(sizes[node.input[1]][1]) for node in model.node if node.op_type == "Conv")


@pytest.mark.parametrize(
    ("kernel", "conv"),
    [
        (1, {}),
        (3, {"pads": [1, 1, 1, 1]}),
        (3, {"pads": [0, 2, 1, 0], "dilations": [1, 1]}),
        (3, {"pads": [2, 4, 2, 4], "dilations": [2, 4]}),
        (5, {}),
        (1, {"opset": 11}),
        (3, {"opset": 11, "pads": [1, 1, 1, 1]}),
    ],
)
def test_a_convolution_goes_before_the_resize_and_gives_the_same(
    tmp_path: Path, kernel: int, conv: dict[str, Any]
) -> None:
    graph(tmp_path / "was.onnx", kernel=kernel, resized=(3,) if kernel > 1 else (3, 12), **conv)

    resize_late(tmp_path / "was.onnx", tmp_path / "late.onnx", {"input": [1, 8, SIDE, SIDE]})

    assert widest(tmp_path / "late.onnx") == CHANNELS < widest(tmp_path / "was.onnx")
    assert answer(tmp_path / "was.onnx").std() > 0.1
    np.testing.assert_allclose(
        answer(tmp_path / "late.onnx"), answer(tmp_path / "was.onnx"), atol=1e-4
    )


@pytest.mark.parametrize(
    "what",
    [
        pytest.param({"kernel": 3, "strides": [2, 2]}, id="strides"),
        pytest.param({"kernel": 1, "group": 2}, id="groups"),
        pytest.param({"kernel": 3, "auto_pad": "SAME_UPPER"}, id="pads that are not said"),
        pytest.param({"kernel": 1, "plain": False}, id="nothing but enlarged maps"),
        pytest.param({"kernel": 3, "resized": (24,)}, id="too many cells to gain by it"),
    ],
)
def test_other_convolutions_stay(tmp_path: Path, what: dict[str, Any]) -> None:
    graph(tmp_path / "was.onnx", **what)

    resize_late(tmp_path / "was.onnx", tmp_path / "late.onnx", {"input": [1, 8, SIDE, SIDE]})

    assert widest(tmp_path / "late.onnx") == widest(tmp_path / "was.onnx")
    np.testing.assert_allclose(
        answer(tmp_path / "late.onnx"), answer(tmp_path / "was.onnx"), atol=1e-4
    )


def residual(
    path: Path, *, first: str = "Conv", read_twice: bool = False, row: bool = False
) -> None:
    """The input and what ``first`` makes of it (a row of it alone) are added and clipped."""
    random = np.random.default_rng(0)
    constants = [
        numpy_helper.from_array(np.asarray(array, np.float32), name)
        for name, array in {
            "weights": random.standard_normal((8, 8, 1, 1)),
            "low": 0,
            "high": 0.5,
        }.items()
    ]
    own = ["input", "weights"] if first == "Conv" else ["input"]
    nodes = [
        helper.make_node(first, own, ["own"]),
        helper.make_node("ReduceMean", ["input"], ["mean"], axes=[2]),
        helper.make_node("Add", ["mean" if row else "input", "own"], ["sum"]),
        helper.make_node("Clip", ["sum", "low", "high"], ["clipped"]),
        helper.make_node("Add", ["clipped", "sum" if read_twice else "input"], ["output"]),
    ]
    given, said = (
        [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 8, SIDE, SIDE])]
        for name in ("input", "output")
    )
    whole = helper.make_graph(nodes, "residual", given, said, constants)
    opset = helper.make_opsetid("", 17)
    onnx.save(helper.make_model(whole, opset_imports=[opset], ir_version=8), path)


def operators(path: Path) -> list[str]:
    return [node.op_type for node in onnx.load(path).graph.node]


def test_a_convolution_adds_and_clips_what_comes_after_it(tmp_path: Path) -> None:
    residual(tmp_path / "was.onnx")

    fuse_sums(tmp_path / "was.onnx", tmp_path / "fused.onnx")

    assert operators(tmp_path / "fused.onnx") == ["FusedConv", "Add"]
    was = answer(tmp_path / "was.onnx")
    assert was.std() > 0.1
    np.testing.assert_allclose(answer(tmp_path / "fused.onnx"), was, atol=1e-5)


@pytest.mark.parametrize(
    "what",
    [
        pytest.param({"first": "Sigmoid"}, id="no convolution"),
        pytest.param({"read_twice": True}, id="a sum that something else needs"),
        pytest.param({"row": True}, id="a summand of another shape"),
    ],
)
def test_other_sums_stay(tmp_path: Path, what: dict[str, Any]) -> None:
    residual(tmp_path / "was.onnx", **what)

    fuse_sums(tmp_path / "was.onnx", tmp_path / "fused.onnx")

    assert "FusedConv" not in operators(tmp_path / "fused.onnx")
    np.testing.assert_array_equal(answer(tmp_path / "fused.onnx"), answer(tmp_path / "was.onnx"))
