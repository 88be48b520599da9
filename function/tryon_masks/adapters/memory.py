"""Masks in this process's memory, for a server on somebody's own machine."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping

from tryon_masks.ports import EncodedImage
from tryon_masks.telemetry import step

MAX_BYTES = 256_000_000
"""Bytes of files that are kept, unless somebody says otherwise."""


class MemoryMaskStore:
    """Keeps the last files, :data:`MAX_BYTES` in all; the address is ``base_url/key/name.ending``.

    Parameters
    ----------
    base_url
        Where the process answers for :meth:`get`, without a slash at its end.
    """

    def __init__(self, base_url: str, max_bytes: int = MAX_BYTES) -> None:
        self._base_url = base_url
        self._most_bytes = max_bytes
        self._files: OrderedDict[str, EncodedImage] = OrderedDict()
        self._lock = threading.Lock()

    def save(self, key: str, files: Mapping[str, EncodedImage]) -> dict[str, str]:
        """Keep every file; the oldest ones go when there are too many."""
        with step("keep_masks", "memory"), self._lock:
            addresses = {}
            for name, file in files.items():
                path = f"{key}/{name}.{file.extension}"
                self._files.pop(path, None)
                self._files[path] = file
                addresses[name] = f"{self._base_url}/{path}"
            total = sum(len(file.data) for file in self._files.values())
            while total > self._most_bytes and len(self._files) > len(files):
                total -= len(self._files.popitem(last=False)[1].data)
            return addresses

    def get(self, path: str) -> EncodedImage | None:
        """Return the file under ``key/name.ending``; None: there never was one, or it is gone."""
        with self._lock:
            return self._files.get(path)
