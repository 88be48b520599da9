"""Files of this machine: read within bounds, written in one move."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from tryon_masks.domain.errors import PhotoFetchFailed, PhotoNotFound


def read_file(path: Path, max_bytes: int | None) -> bytes:
    """Read the first ``max_bytes`` bytes of a photo, a mask or a document; at None, all.

    One more than is allowed shows that the file is too large.

    Raises
    ------
    PhotoNotFound, PhotoFetchFailed
    """
    try:
        with path.open("rb") as file:
            return file.read(max_bytes)
    except FileNotFoundError as error:
        raise PhotoNotFound("There is no such file.", detail=str(error)) from error
    # A path with a NUL in it is a ValueError.
    except (OSError, ValueError) as error:
        raise PhotoFetchFailed("The file could not be read.", detail=str(error)) from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a path to write to, whose file then takes the place of ``path`` in one move.

    Readers see all of it or what was there before, which an error leaves there.

    Raises
    ------
    OSError
    """
    unfinished = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
