"""Debian's Chromium, or another whose path is in ``CHROMIUM``, and where pictures are kept."""

from __future__ import annotations

import os
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests.demo_photos import folder

sync_api = pytest.importorskip("playwright.sync_api")
axe_api = pytest.importorskip("axe_playwright_python.sync_playwright")

SHOTS = Path(__file__).parents[2] / "build" / "browser"
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
]
DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}
WAIT_MS = 180_000
sync_api.expect.set_options(timeout=WAIT_MS)
expect = sync_api.expect


def violations(page: Any) -> str:
    """What axe finds wrong with the page, in words; nothing where it finds nothing."""
    found = axe_api.Axe().run(page)
    return "" if found.violations_count == 0 else str(found.generate_report())


@cache
def photo(pattern: str, side: int = 768) -> Path:
    """A demo photo, made smaller where it has more than ``side`` pixels a side."""
    (path,) = folder().glob(pattern)
    made = SHOTS / "photos" / f"{side}-{path.name}"
    made.parent.mkdir(parents=True, exist_ok=True)
    with Image.open(path) as image:
        image.thumbnail((side, side))
        image.save(made)
    return made
