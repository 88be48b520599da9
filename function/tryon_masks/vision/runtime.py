"""ONNX Runtime sessions, opened the same way everywhere."""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Linux wheels report to the vendor unless this is set before the first import.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime as ort

Floats = NDArray[np.float32]

MMAP_THRESHOLD = 2**22
"""Bytes."""
_M_MMAP_THRESHOLD = -3
"""As ``malloc.h`` has it."""


class Model:
    """One loaded graph with one input.

    Parameters
    ----------
    path
        An ONNX file whose digest was checked.
    threads
        Intra-op threads.
    outputs
        Names, or places from 0 on, of the outputs in the order that :meth:`run` returns them.
    """

    def __init__(self, path: Path, threads: int, outputs: tuple[str | int, ...]) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Planned buffers would stay with every session for good, and gain little time.
        options.enable_mem_pattern = False
        options.enable_cpu_mem_arena = False
        options.add_session_config_entry("session.use_env_allocators", "1")
        options.add_session_config_entry("session.use_device_allocator_for_initializers", "1")
        # Several sessions take turns: a pool that spins on steals the cores from the next one.
        options.add_session_config_entry("session.intra_op.allow_spinning", "1")
        options.add_session_config_entry("session.force_spinning_stop", "1")
        self._session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        _trim_heap()
        self._input = self._session.get_inputs()[0].name
        names = [output.name for output in self._session.get_outputs()]
        self._outputs = [names[one] if isinstance(one, int) else one for one in outputs]

    def run(self, tensor: Floats) -> list[Floats]:
        """Run the graph on one float32 tensor of the input's shape."""
        result: list[Any] = self._session.run(self._outputs, {self._input: tensor})
        return result


def _trim_heap() -> None:
    """Hand freed memory to the system: loading needs three times the file, and malloc keeps it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)


@cache
def share_memory_arena() -> None:
    """Make models that are loaded from now on share the memory that their layers work in.

    As they take turns, it is as much as the one needs that needs most, and is kept for good: to ask
    the system for each layer's anew costs page faults. All other large buffers go back to it as
    soon as they are freed, for malloc would not fill the gaps that they leave.
    """
    memory = ort.OrtMemoryInfo(
        "Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT
    )
    as_asked = ort.OrtArenaCfg({"arena_extend_strategy": 1})
    ort.create_and_register_allocator(memory, as_asked)
    if sys.platform == "linux":
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, MMAP_THRESHOLD)


def sigmoid(logits: Floats) -> Floats:
    """Apply the logistic function, element by element, without overflow."""
    one = np.float32(1)
    result: Floats = one / (one + np.exp(-logits.clip(-60, 60)))
    return result


def softmax(logits: Floats, axis: int) -> Floats:
    """Return the probabilities along ``axis``."""
    exponentials: Floats = np.exp(logits - logits.max(axis=axis, keepdims=True))
    result: Floats = exponentials / exponentials.sum(axis=axis, keepdims=True)
    return result
