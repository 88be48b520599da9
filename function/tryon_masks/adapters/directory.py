"""Masks as files in a folder, for the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from tryon_masks.domain.errors import StoreFailed
from tryon_masks.files import replacing
from tryon_masks.ports import EncodedImage, user_folder
from tryon_masks.telemetry import step


class DirectoryMaskStore:
    """Writes ``root/key.name.extension``; the address is its ``file://`` URI.

    A ``key`` may hold slashes: its folders are made, below ``root`` only. Also a
    :class:`~tryon_masks.ports.UserData`; files that the caller named are nobody's.
    """

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()

    def save(self, key: str, files: Mapping[str, EncodedImage]) -> dict[str, str]:
        """Replace each file whole, so that nobody ever reads half of one.

        Raises
        ------
        StoreFailed
            The message names the first file that could not be written.
        """
        return {name: self._save_one(key, name, file) for name, file in files.items()}

    def _save_one(self, key: str, name: str, file: EncodedImage) -> str:
        with step("write_mask", "directory", mask=name):
            path = (self._root / f"{key}.{name}.{file.extension}").resolve()
            if not path.is_relative_to(self._root):
                raise StoreFailed(
                    f"These masks could not be stored: {name}.",
                    detail=f"{path} is outside {self._root}",
                )
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                with replacing(path) as unfinished:
                    unfinished.write_bytes(file.data)
            except OSError as error:
                raise StoreFailed(
                    f"These masks could not be stored: {name}.", detail=str(error)
                ) from error
            return path.as_uri()

    def find(self, user_id: str) -> list[str]:
        """Return the paths of the user's files below the root."""
        files = (self._root / user_folder(user_id)).rglob("*")
        return sorted(str(file.relative_to(self._root)) for file in files if file.is_file())

    def erase(self, names: Sequence[str]) -> None:
        """Delete these files, and their folders when nothing is left in them."""
        paths = [self._root / name for name in names]
        try:
            for path in paths:
                path.unlink(missing_ok=True)
        except OSError as error:
            raise StoreFailed("The masks could not be erased.", detail=str(error)) from error
        for folder in {path.parent for path in paths}:
            with suppress(OSError):
                folder.rmdir()
