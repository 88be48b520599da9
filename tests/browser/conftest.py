"""One browser for all tests, and a context of it for each: a desktop's, and a dark phone's."""

from __future__ import annotations

from collections.abc import Iterator
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
