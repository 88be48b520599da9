"""All files of one save at once, and one error that names every file that failed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from contextvars import copy_context

from tryon_masks.deadline import time_left
from tryon_masks.domain.errors import OutOfTime, StoreFailed, StoreTimeout
from tryon_masks.ports import EncodedImage


def save_in_parallel(
    files: Mapping[str, EncodedImage], save_one: Callable[[str, EncodedImage], str]
) -> dict[str, str]:
    """Call ``save_one(name, file)`` for each file in a thread of its own; return its addresses.

    Every file gets its chance before an error is raised, so that the error can name them all.

    Raises
    ------
    StoreTimeout
        The store was too slow for every file that failed.
    StoreFailed
        At least one file failed otherwise.
    OutOfTime
        The call's own time was up first.
    """
    pool = ThreadPoolExecutor(max_workers=len(files))
    pending = {
        name: pool.submit(copy_context().run, save_one, name, file) for name, file in files.items()
    }
    # A store may be slower than it should. What comes late overwrites the next try's same names.
    pool.shutdown(wait=False)
    left = time_left()
    if late := wait(pending.values(), None if left == math.inf else max(left, 0)).not_done:
        raise OutOfTime(detail=f"{len(late)} of {len(files)} files were not stored in time")
    saved: dict[str, str] = {}
    failed: dict[str, StoreFailed | StoreTimeout] = {}
    for name, future in pending.items():
        try:
            saved[name] = future.result()
        except (StoreFailed, StoreTimeout) as error:
            failed[name] = error
    if failed:
        raise _one_error(failed)
    return saved


def _one_error(failed: Mapping[str, StoreFailed | StoreTimeout]) -> StoreFailed | StoreTimeout:
    names = ", ".join(failed)
    detail = "; ".join(f"{name}: {error.detail or error}" for name, error in failed.items())
    if all(isinstance(error, StoreTimeout) for error in failed.values()):
        return StoreTimeout(f"The mask store did not answer in time for: {names}.", detail=detail)
    return StoreFailed(f"These masks could not be stored: {names}.", detail=detail)
