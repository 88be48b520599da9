"""Several processes at work, each with models of its own."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any

BROKEN = (
    "A worker process did not start or was killed, for want of memory perhaps. The same command "
    "again goes on from here."
)


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
    finally:
        pool.shutdown(cancel_futures=True)


def job_count(text: str) -> int:
    """Read the argument of ``--jobs``: 1 to 256."""
    if not 1 <= int(text) <= 256:
        raise ValueError
    return int(text)
