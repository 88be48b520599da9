"""Real requests to the real service, in this process or in several."""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from io import BytesIO
from multiprocessing import get_context
from pathlib import Path
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.progress import track

from tryon_masks.domain.errors import TryonMasksError
from tryon_masks.domain.identity import ANONYMOUS
from tryon_masks.service import MaskOptions, MaskRequest, MaskResult, MaskService
from tryon_masks.settings import Settings
from tryon_masks.telemetry import RequestLog, init_log, request_log
from tryon_masks.wiring import build_service

USED_SETTINGS = ("MODEL_SET", "MODELS_DIR")
"""Environment variables that count. A benchmark writes to nobody's account."""

Refused = dict[str, str]
"""Mask -> code."""


def open_service(out: Path, threads: int) -> MaskService:
    """The service on the real models, writing to the folder ``out``.

    Raises
    ------
    SettingsError, ModelSetError
    """
    settings = Settings.from_env(
        {name: os.environ[name] for name in USED_SETTINGS if name in os.environ},
        on_lambda=False,
        mask_store="directory",
        mask_dir=out,
        ort_threads=threads,
    )
    with init_log("benchmarks"):
        return build_service(settings)


def request(
    service: MaskService, photo: bytes, key: str, options: MaskOptions
) -> tuple[MaskResult, RequestLog]:
    """One request as the entry points make it."""
    with request_log(uuid4().hex, ANONYMOUS) as log:
        return service.make(MaskRequest(photo, ANONYMOUS, options, key), log), log


def make_masks(
    photos: Mapping[str, Path], out: Path, options: MaskOptions, jobs: int
) -> dict[str, Refused]:
    """Write ``out/KEY.MASK.png`` for every photo; return why some are not there, by key.

    Each of the ``jobs`` processes holds one photo at a time; they share the cores among them.

    Raises
    ------
    SettingsError, ModelSetError
    """
    threads = max(1, (os.cpu_count() or 1) // jobs)
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        waiting = {
            key: pool.submit(_make_one, threads, key, photo, out, options)
            for key, photo in photos.items()
        }
        try:
            told = track(
                waiting.items(), "photos", console=Console(stderr=True), disable=len(photos) < 2
            )
            return {key: one.result() for key, one in told}
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


_service = cache(open_service)


def _make_one(threads: int, key: str, photo: Path, out: Path, options: MaskOptions) -> Refused:
    return make_one(_service(out, threads), key, photo, out, options)


def make_one(
    service: MaskService, key: str, photo: Path, out: Path, options: MaskOptions
) -> Refused:
    """The masks of one photo; ``service`` writes to the folder ``out``."""
    for mask in options.masks:
        # An earlier run's mask would pass for the one that is refused now.
        mask_file(out, key, mask).unlink(missing_ok=True)
    try:
        result, _ = request(service, photo.read_bytes(), key, options)
    except TryonMasksError as error:
        return dict.fromkeys(options.masks, error.code)
    except Exception as error:
        error.add_note(f"The photo was {photo.name}.")
        raise
    return {one.mask: one.code for one in result.refused}


def mask_file(folder: Path, key: str, mask: str) -> Path:
    """Where a mask lies, as the command line names it."""
    return folder / f"{key}.{mask}.png"


class UnreadableMask(Exception):
    """A mask file is there, but it is no image, or a damaged one."""


def read_mask(path: Path) -> NDArray[np.uint8]:
    """A mask file's grey levels, uint8 (h, w).

    Raises
    ------
    FileNotFoundError, UnreadableMask
    """
    data = path.read_bytes()
    try:
        with Image.open(BytesIO(data)) as image:
            return np.array(image.convert("L"), dtype=np.uint8)
    except (OSError, SyntaxError, ValueError) as error:  # Pillow's words for it
        raise UnreadableMask(path.name) from error


def positive(text: str) -> int:
    """A whole number of at least 1, for the command lines.

    Raises
    ------
    ValueError
    """
    number = int(text)
    if number < 1:
        raise ValueError
    return number
