"""All files of one save at once, and one error that names every file that failed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

from tryon_masks.domain.errors import StoreFailed, StoreTimeout
from tryon_masks.ports import EncodedImage


def save_side_by_side(
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
    """
    with ThreadPoolExecutor(max_workers=len(files)) as pool:
        pending = {
            name: pool.submit(copy_context().run, save_one, name, file)
            for name, file in files.items()
        }
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
