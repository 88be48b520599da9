"""ONNX Runtime as this project opens it."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from tryon_masks.vision.runtime import sigmoid, softmax

ASK = """
import importlib.abc, os, sys

class Witness(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "onnxruntime":
            print("telemetry off:", os.environ.get("ORT_DISABLE_TELEMETRY"))

sys.meta_path.insert(0, Witness())
import tryon_masks.vision.compact.vision
"""


@pytest.mark.parametrize("before", [None, "0"])
def test_the_vendors_telemetry_is_off_before_the_runtime_is_imported(before: str | None) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    if before is not None:
        environment["ORT_DISABLE_TELEMETRY"] = before

    done = subprocess.run(
        [sys.executable, "-c", ASK], env=environment, capture_output=True, text=True, check=True
    )

    assert done.stdout.split("\n")[0] == "telemetry off: 1"


def test_probabilities_add_up_however_large_the_logits() -> None:
    logits = np.array([[1000.0, 0.0, -1000.0], [1.0, 1.0, 1.0]], np.float32)

    assert softmax(logits, axis=-1) == pytest.approx(
        np.array([[1, 0, 0], [1 / 3, 1 / 3, 1 / 3]]), abs=1e-6
    )
    assert softmax(logits.T, axis=0).sum(0) == pytest.approx(1)


def test_the_logistic_function_is_even_handed_and_never_overflows() -> None:
    logits = np.array([-1e9, -2.0, 0.0, 2.0, 1e9], np.float32)

    low, left, middle, right, high = sigmoid(logits).tolist()

    assert (low, middle, high) == (pytest.approx(0), 0.5, pytest.approx(1))
    assert left + right == pytest.approx(1)
