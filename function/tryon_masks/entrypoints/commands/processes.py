"""Several processes at work, each with models of its own."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, TypeVar

import cv2

from tryon_masks import telemetry
from tryon_masks.domain.errors import StartError

BROKEN = (
    "A worker process did not start or was killed, for want of memory perhaps. The same command "
    "again goes on from here."
)

PR_SET_PDEATHSIG = 1
"""The option of Linux's prctl that has a process end with its parent."""

Worker = TypeVar("Worker")
Item = TypeVar("Item")
Answer = TypeVar("Answer")


def share_cores(environ: Mapping[str, str], jobs: int) -> dict[str, str]:
    """Return ``environ`` with one job's share of the cores, where it sets no ``ORT_THREADS``."""
    return {"ORT_THREADS": str(max(1, (os.cpu_count() or 1) // jobs)), **environ}


def work_off(
    items: Iterable[Item],
    build: Callable[[], Worker],
    work: Callable[[Worker, Item], Answer],
    take: Callable[[Item, Answer], None],
    *,
    jobs: int,
    threads: int,
    verbose: bool,
) -> None:
    """Give ``take`` each item and its answer, in the order in which they are done.

    Where a process breaks, the items that are left get no answer, and stderr says so.

    Parameters
    ----------
    build, work
        Each of the ``jobs`` processes builds one worker, and gives it one item after the other.
        Both are sent there, so they must be picklable.
    threads
        Of OpenCV's, in each process.
    verbose
        Whether the processes show their steps.

    Raises
    ------
    StartError
        A process could not build its worker.
    """
    broken = False
    with _process_pool(jobs, (build, threads, verbose, os.getpid())) as pool:
        pending = {pool.submit(_work, work, item): item for item in items}
        try:
            for done in as_completed(pending):
                take(pending[done], done.result())
        except BrokenProcessPool:
            broken = True
    if broken:
        print(BROKEN, file=sys.stderr)


@contextmanager
def _process_pool(jobs: int, given: tuple[Any, ...]) -> Iterator[ProcessPoolExecutor]:
    """Give ``jobs`` processes, each begun with ``_start(*given)``."""
    # Not forked: a copy of a process with threads may hang.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(jobs, context, initializer=_start, initargs=given)
    try:
        yield pool
    except KeyboardInterrupt:
        for process in multiprocessing.active_children():
            process.kill()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


_worker: list[Any] = []
"""The worker process's own, or the StartError that says why there is none."""


def _start(build: Callable[[], Any], threads: int, verbose: bool, parent: int) -> None:
    """Begin a process of ``parent``'s: it ends when that does, and keeps to its share of the cores.

    Of OpenCV's own threads, one for each core in each process, most only wait for a core, and spin
    meanwhile.
    """
    _end_with(parent)
    cv2.setNumThreads(threads)
    telemetry.configure(sys.stderr if verbose else None)
    try:
        _worker.append(build())
    except StartError as error:
        # From here it would only be told that the process broke.
        _worker.append(error)


def _work(work: Callable[[Any, Item], Answer], item: Item) -> Answer:
    (worker,) = _worker
    if isinstance(worker, StartError):
        raise worker
    return work(worker, item)


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
