"""A data set's files: what is made of each photo, and one worker that makes it."""

from __future__ import annotations

import hashlib
import json
import re
import traceback
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from tryon_masks import images
from tryon_masks.domain.errors import StoreFailed, TryonMasksError
from tryon_masks.domain.identity import ANONYMOUS
from tryon_masks.entrypoints.commands.making import Wire
from tryon_masks.entrypoints.commands.options import UsageError
from tryon_masks.entrypoints.commands.photo_list import Item
from tryon_masks.entrypoints.commands.photos import PHOTO_ENDINGS, find_all_photos
from tryon_masks.files import read_file
from tryon_masks.outputs.layouts import SIZE, Tree
from tryon_masks.outputs.parsed_photo import WHITE, jpeg
from tryon_masks.outputs.transform import Transform
from tryon_masks.service import MASK_RULES, MaskOptions, MaskService
from tryon_masks.settings import Settings
from tryon_masks.telemetry import init_log, request_log, step

TREE_RULES = "1"
"""Raise it when the same photo must get new files."""


@dataclass(frozen=True)
class Work:
    """One photo, and its garment's picture where there is one."""

    item: Item
    path: Path
    garment: Path | None


def list_work(
    photos: Sequence[str], garments: Path | None, tree: Tree, options: MaskOptions, model_set: str
) -> list[Work]:
    """Return what is to be made of every photo.

    Raises
    ------
    OSError
    UsageError
        There is no photo, one is no file, or two would write the same files.
    """
    pictures = {} if garments is None else _by_name(garments)
    work: dict[str, Work] = {}
    for photo in find_all_photos(photos):
        if not isinstance(photo.source, Path):
            raise UsageError(f"a data set is made of files: {photo.name}")
        name = _plain(photo.stem)
        if name in work:
            raise UsageError(f"{work[name].path} and {photo.name} would write the same files")
        garment = pictures.get(name)
        what: list[object] = [asdict(tree), asdict(options), model_set]
        what += [MASK_RULES, TREE_RULES, *_stat(photo.source), *(_stat(garment) if garment else ())]
        digest = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]
        item = Item(name, photo.source, ANONYMOUS, options, digest)
        work[name] = Work(item, photo.source, garment)
    return list(work.values())


def _plain(stem: str) -> str:
    # Lists of pairs part names by white space.
    return re.sub(r"[^\w.-]", "_", stem)


def _by_name(folder: Path) -> dict[str, Path]:
    files = (file for file in sorted(folder.iterdir()) if file.suffix.lower() in PHOTO_ENDINGS)
    return {_plain(file.stem): file for file in files}


def _stat(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


class TreeWorker:
    """Makes one photo's files after the other."""

    def __init__(self, settings: Settings, wire: Wire, tree: Tree, out: Path) -> None:
        self._out = out
        self._tree = tree
        self._most_bytes = settings.max_photo_bytes + 1
        self._limits = images.Limits(settings.max_photo_bytes, settings.max_photo_pixels).whole
        with init_log("cli"):
            self._service: MaskService = wire(settings)[0]

    def make(self, work: Work) -> dict[str, Any]:
        """Make one photo's files, and return a line of results."""
        try:
            with request_log(uuid4().hex, ANONYMOUS):
                answer = self._made(work, work.item.options)
        except TryonMasksError as error:
            answer = {"status": "error", "code": error.code, "message": str(error)}
        except Exception:  # noqa: BLE001 - its trace is shown; the other photos go on
            traceback.print_exc()
            unknown = TryonMasksError()
            answer = {"status": "error", "code": unknown.code, "message": str(unknown)}
        return {**answer, "photo": str(work.path)}

    def _made(self, work: Work, options: MaskOptions) -> dict[str, Any]:
        with step("read_photo", "cli"):
            data = read_file(work.path, self._most_bytes)
        parsed, made, refused = self._service.infer(data, options)
        if parsed is None:
            (why,) = refused
            return {"status": "refused", "code": why.code, "message": why.message}
        name = work.item.item_id
        with step("draw_files", "outputs"):
            files = self._tree.files(parsed, made[0], name)
            if work.garment is not None:
                path = f"{self._tree.garments}/{self._tree.garment(name)}"
                files[path] = self._garment(work.garment)
        with step("write_files", "cli"):
            try:
                for path, content in files.items():
                    write_file(self._out / path, content)
            except OSError as error:
                raise StoreFailed("The files could not be written.", detail=str(error)) from error
        return {"status": "success", "confidence": round(made[0].confidence, 4)}

    def _garment(self, path: Path) -> bytes:
        rgb = images.decode(read_file(path, self._most_bytes), self._limits).rgb
        return jpeg(Transform.padded((rgb.shape[1], rgb.shape[0]), SIZE).picture(rgb, WHITE)).data


def write_file(path: Path, content: bytes) -> None:
    """Write a file and its folders in one move.

    Raises
    ------
    OSError
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Of one name: what a killed process has left is written over.
    unfinished = path.with_name(f".{path.name}.part")
    unfinished.write_bytes(content)
    unfinished.replace(path)
