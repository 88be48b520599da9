"""Several processes at work, each with models of its own."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any

import cv2

BROKEN = (
    "A worker process did not start or was killed, for want of memory perhaps. The same command "
    "again goes on from here."
)

PR_SET_PDEATHSIG = 1
"""The option of Linux's prctl that has a process end with its parent."""


@contextmanager
def process_pool(
    jobs: int, start: Callable[..., None], given: tuple[Any, ...]
) -> Iterator[ProcessPoolExecutor]:
    """Give ``jobs`` processes, each begun with ``start(*given)``."""
    # Not forked: a copy of a process with threads may hang.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(jobs, context, initializer=start, initargs=given)
    try:
        yield pool
    except KeyboardInterrupt:
        for process in multiprocessing.active_children():
            process.kill()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def begin(parent: int, threads: int) -> None:
    """Begin a process of ``parent``'s: it ends when that does, and keeps to its share of the cores.

    Of OpenCV's own threads, one for each core in each process, most only wait for a core, and spin
    meanwhile.
    """
    _end_with(parent)
    cv2.setNumThreads(threads)


def _end_with(parent: int) -> None:
    """Have the kernel end this process when its ``parent`` ends, however that comes."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != parent:
        # It was quicker.
        os._exit(1)
    # The parent is interrupted too, and ends this process in order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
