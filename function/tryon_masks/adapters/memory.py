"""Files in this process's memory, for a server on somebody's own machine."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

from tryon_masks.ports import EncodedImage
from tryon_masks.telemetry import step

MAX_BYTES = 256_000_000
"""Bytes of files that are kept, unless somebody says otherwise."""


@dataclass(frozen=True)
class StoredFile:
    """One file: its bytes, its MIME type, and what else is known of it."""

    data: bytes
    content_type: str
    metadata: Mapping[str, str] = field(default_factory=dict)


class MemoryFiles:
    """Keeps the last files, ``max_bytes`` in all."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._files: OrderedDict[str, StoredFile] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, files: Mapping[str, StoredFile]) -> None:
        """Keep every file under its path; the oldest others go when there are too many bytes."""
        with self._lock:
            for path, file in files.items():
                self._files.pop(path, None)
                self._files[path] = file
            total = sum(len(file.data) for file in self._files.values())
            while total > self._max_bytes and len(self._files) > len(files):
                total -= len(self._files.popitem(last=False)[1].data)

    def get(self, path: str) -> StoredFile | None:
        """Return the file under a path, or None: there never was one, or it is gone."""
        with self._lock:
            return self._files.get(path)


class MemoryMaskStore:
    """Keeps masks in ``files``; the address is ``base_url/key/name.ending``.

    Parameters
    ----------
    base_url
        Where the process answers for the files, without a slash at its end.
    """

    def __init__(self, base_url: str, files: MemoryFiles) -> None:
        self._base_url = base_url
        self._files = files

    def save(self, key: str, files: Mapping[str, EncodedImage]) -> dict[str, str]:
        """Keep every file, and return its address."""
        with step("keep_masks", "memory"):
            paths = {name: f"{key}/{name}.{file.extension}" for name, file in files.items()}
            self._files.put(
                {
                    paths[name]: StoredFile(file.data, file.content_type)
                    for name, file in files.items()
                }
            )
            return {name: f"{self._base_url}/{path}" for name, path in paths.items()}
