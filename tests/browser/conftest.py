"""One browser and one server for all tests; a context for each: a desktop's, and a dark phone's."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from tests.browser.chromium import CHROMIUM, DESKTOP, FLAGS, PHONE, SHOTS, WAIT_MS, sync_api

HIGHEST = 5000
"""Pixels of a page whose whole picture is taken; of a higher one it is what the window shows."""


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.fail("There is no chromium: apt-get install chromium, or set CHROMIUM.")
    SHOTS.mkdir(parents=True, exist_ok=True)
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


def answers(address: str) -> None:
    """Wait: uvicorn listens a moment after its address is said."""
    while True:
        with suppress(urllib.error.URLError), urllib.request.urlopen(f"{address}/v1/health"):
            return
        time.sleep(0.2)


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    """Where the server answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = "import sys; from tryon_masks.entrypoints.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", program, "serve", "--port", str(port)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr is not None
            address = server.stderr.readline().split()[0].rstrip("/")
            answers(address)
            yield address
        finally:
            server.terminate()


@pytest.fixture(params=["desktop", "phone"])
def blank(request: pytest.FixtureRequest, browser: Any) -> Iterator[Any]:
    """A page that shows nothing yet; at the end its picture is taken, and it had no errors."""
    phone = request.param == "phone"
    context = browser.new_context(
        viewport=PHONE if phone else DESKTOP, color_scheme="dark" if phone else "light"
    )
    page = context.new_page()
    page.set_default_timeout(WAIT_MS)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    # What the server refuses, Chromium prints, too.
    page.on(
        "console",
        lambda told: (
            problems.append(told.text)
            if told.type == "error" and "Failed to load resource" not in told.text
            else None
        ),
    )
    yield page
    name = request.node.name.replace("[", "-").rstrip("]")
    whole = page.evaluate("document.documentElement.scrollHeight") <= HIGHEST
    page.screenshot(path=SHOTS / f"{name}.png", full_page=whole)
    context.close()
    assert problems == []
