"""The page in Chromium, on the real models: what somebody sees, and how it is used.

Needs Debian's chromium, or another whose path is in ``CHROMIUM``. Pictures of the page are kept in
``build/browser``.
"""

from __future__ import annotations

import base64
import io
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tests.demo_photos import HALF_BODY, STANDING, TWO_FIGURES, folder

sync_api = pytest.importorskip("playwright.sync_api")
axe_api = pytest.importorskip("axe_playwright_python.sync_playwright")

ROOT = Path(__file__).parents[2]
SHOTS = ROOT / "build" / "browser"
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
NODE = ["node", "--input-type=module", "-"]
sync_api.expect.set_options(timeout=WAIT_MS)
pytestmark = pytest.mark.browser


def answers(address: str) -> None:
    """Wait: uvicorn listens a moment after its address is said."""
    while True:
        with suppress(urllib.error.URLError), urllib.request.urlopen(f"{address}/v1/health"):
            return
        time.sleep(0.2)


@pytest.fixture(scope="module")
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


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.fail("There is no chromium: apt-get install chromium, or set CHROMIUM.")
    SHOTS.mkdir(parents=True, exist_ok=True)
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(params=["desktop", "phone"])
def page(request: pytest.FixtureRequest, browser: Any, address: str) -> Iterator[Any]:
    size = DESKTOP if request.param == "desktop" else PHONE
    dark = request.param == "phone"
    context = browser.new_context(viewport=size, color_scheme="dark" if dark else "light")
    page = context.new_page()
    page.set_default_timeout(WAIT_MS)
    problems: list[str] = []
    asked: list[str] = []
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
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address)
    yield page
    name = request.node.name.replace("[", "-").rstrip("]")
    page.screenshot(path=SHOTS / f"{name}.png", full_page=True)
    context.close()
    assert problems == []
    assert [url for url in asked if not url.startswith((address, "blob:", "data:"))] == []


def photo(pattern: str) -> Path:
    (path,) = folder().glob(pattern)
    return path


def open_photo(page: Any, pattern: str) -> None:
    page.set_input_files("#file", photo(pattern))
    sync_api.expect(page.locator("#status")).to_contain_text("from photo to masks")


def drawn(page: Any) -> str:
    """What the canvas holds."""
    data: str = page.evaluate("document.getElementById('picture').toDataURL()")
    return data


def test_a_photo_becomes_masks_and_controls_change_them(page: Any) -> None:
    open_photo(page, STANDING)
    sync_api.expect(page.locator("#status")).to_contain_text("All masks are made")
    sync_api.expect(page.locator("#sure-upper")).to_contain_text("%")
    before = drawn(page)

    with page.expect_response("**/masks") as shaped:
        page.select_option("#profile", "hull")
    assert shaped.value.ok
    sync_api.expect(page.locator("#status")).to_contain_text("Shaped in")
    page.wait_for_function(
        "before => document.getElementById('picture').toDataURL() !== before", arg=before
    )
    hull = drawn(page)
    with page.expect_response("**/masks"):
        page.locator("#margin-top").fill("0.3")
    page.wait_for_function(
        "before => document.getElementById('picture').toDataURL() !== before", arg=hull
    )
    with page.expect_response("**/masks"):
        page.get_by_label("feet").check()
    sync_api.expect(page.locator("#sure-feet")).to_contain_text("%")
    page.locator("#wipe").fill("100")
    page.locator("#opacity").fill("80")
    bare = drawn(page)
    page.locator("#wipe").fill("0")
    assert drawn(page) != bare
    page.get_by_label("Part map").check()
    page.get_by_label("Skeleton").check()


def test_masks_are_taken_away_as_files(page: Any) -> None:
    open_photo(page, STANDING)

    with page.expect_download() as one:
        page.get_by_role("button", name="Save upper").click()
    assert Path(one.value.path()).read_bytes().startswith(b"\x89PNG")
    page.select_option("#format", "webp")
    with page.expect_download() as all_:
        page.get_by_role("button", name="ZIP of all").click()
    with zipfile.ZipFile(io.BytesIO(Path(all_.value.path()).read_bytes())) as files:
        assert files.namelist() == ["upper.webp", "lower.webp", "overlay.jpg"]


def test_of_two_people_one_is_clicked(page: Any) -> None:
    open_photo(page, TWO_FIGURES)
    sync_api.expect(page.locator("#refused")).to_contain_text("Click the person that you mean")
    page.screenshot(path=SHOTS / f"two-people-{page.viewport_size['width']}.png", full_page=True)

    page.get_by_role("button", name="Person 2 of 2").click()

    sync_api.expect(page.get_by_role("button", name="Person 2 of 2")).to_have_attribute(
        "aria-pressed", "true"
    )
    sync_api.expect(page.locator("#sure-upper")).to_contain_text("%")


def test_a_refusal_says_what_to_do(page: Any) -> None:
    open_photo(page, HALF_BODY)
    sync_api.expect(page.locator("#refused")).to_contain_text("Step back")


def test_what_is_no_photo_is_told(page: Any, tmp_path: Path) -> None:
    (tmp_path / "me.jpg").write_text("no photo")
    page.set_input_files("#file", tmp_path / "me.jpg")
    sync_api.expect(page.locator("#status")).to_contain_text("not a JPEG")


@pytest.mark.parametrize("way", ["drop", "paste"])
def test_a_photo_is_dropped_or_pasted(page: Any, way: str) -> None:
    page.evaluate(
        """([way, base64]) => {
            const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
            const data = new DataTransfer();
            data.items.add(new File([bytes], "me.jpg", { type: "image/jpeg" }));
            dispatchEvent(way === "drop" ? new DragEvent("drop", { dataTransfer: data })
                                         : new ClipboardEvent("paste", { clipboardData: data }));
        }""",
        [way, base64.b64encode(photo(TWO_FIGURES).read_bytes()).decode()],
    )
    sync_api.expect(page.locator("#status")).to_contain_text("from photo to masks")


def test_a_photo_is_taken_with_the_camera(page: Any) -> None:
    page.get_by_role("button", name="Camera", exact=True).click()
    page.get_by_role("button", name="Take the photo").click()
    # Chromium's test picture shows nobody.
    sync_api.expect(page.locator("#refused")).to_contain_text("Nobody was found")
    assert page.locator("#finder").is_hidden()


@pytest.mark.parametrize("language", ["curl", "python", "javascript"])
def test_the_copied_call_makes_the_same_masks(page: Any, language: str, tmp_path: Path) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    open_photo(page, STANDING)
    page.select_option("#language", language)
    page.get_by_role("button", name="Copy").click()
    sync_api.expect(page.locator("#status")).to_contain_text("Copied")
    copied: str = page.evaluate("navigator.clipboard.readText()")
    shutil.copy(photo(STANDING), tmp_path / "photo.jpg")
    program = {"curl": ["bash"], "python": [sys.executable, "-"], "javascript": NODE}[language]

    ran = subprocess.run(
        program, input=copied, cwd=tmp_path, capture_output=True, text=True, check=True
    )

    assert "/upper.png" in ran.stdout
    assert "/lower.png" in ran.stdout


def test_it_can_be_used_from_the_keyboard(page: Any) -> None:
    open_photo(page, STANDING)
    page.locator("#file").focus()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.value") == "upper"
    with page.expect_response("**/masks"):
        page.keyboard.press("Space")
    sync_api.expect(page.locator("#sure-upper")).to_be_empty()


def test_axe_finds_nothing(page: Any) -> None:
    axe = axe_api.Axe()
    assert axe.run(page).violations_count == 0
    open_photo(page, TWO_FIGURES)
    page.locator("summary").click()
    found = axe.run(page)
    assert found.violations_count == 0, found.generate_report()
