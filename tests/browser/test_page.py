"""The page in Chromium, on the real models: what somebody sees, and how it is used.

Pictures of the page are kept in ``build/browser``.
"""

from __future__ import annotations

import base64
import io
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.browser.chromium import SHOTS, expect, photo, violations
from tests.demo_photos import HALF_BODY, STANDING, TWO_FIGURES

NODE = ["node", "--input-type=module", "-"]
pytestmark = pytest.mark.browser


@pytest.fixture
def page(blank: Any, address: str) -> Iterator[Any]:
    """The server's page, which asks nobody else for anything."""
    asked: list[str] = []
    blank.on("request", lambda request: asked.append(request.url))
    blank.goto(address)
    yield blank
    assert [url for url in asked if not url.startswith((address, "blob:", "data:"))] == []


def open_photo(page: Any, path: Path) -> None:
    page.set_input_files("#file", path)
    expect(page.locator("#status")).to_contain_text("from photo to masks")


def drawn(page: Any) -> str:
    """What the canvas holds."""
    data: str = page.evaluate("document.getElementById('picture').toDataURL()")
    return data


def changes(page: Any, change: Callable[[], object]) -> None:
    """Wait until the picture is another one after the change."""
    before = drawn(page)
    change()
    page.wait_for_function(
        "before => document.getElementById('picture').toDataURL() !== before", arg=before
    )


def test_a_photo_becomes_masks_and_controls_change_their_shapes(page: Any) -> None:
    open_photo(page, photo(STANDING))
    expect(page.locator("#status")).to_contain_text("All masks are made")
    expect(page.locator("#sure-upper")).to_contain_text("%")

    for change in (
        lambda: page.select_option("#profile", "hull"),
        lambda: page.locator("#margin-top").fill("0.3"),
        lambda: page.select_option("#edge", "soft"),
        lambda: page.get_by_label("feet").check(),
    ):
        with page.expect_response("**/view") as shaped:
            changes(page, change)
        assert shaped.value.ok
    expect(page.locator("#sure-feet")).to_contain_text("%")


def test_controls_of_the_view_change_what_is_drawn(page: Any) -> None:
    open_photo(page, photo(STANDING))
    for change in (
        lambda: page.get_by_label("Confidence").uncheck(),
        lambda: page.locator("#opacity").fill("80"),
        lambda: page.locator("#wipe").fill("50"),
        lambda: page.get_by_label("Part map").check(),
        lambda: page.get_by_label("Skeleton").check(),
        lambda: page.locator("#zoom").fill("1.5"),
    ):
        changes(page, change)
    expect(page.locator("#status")).to_contain_text("Shaped in")


def test_zooming_shows_the_pixels_of_the_photos_own_masks(page: Any) -> None:
    open_photo(page, photo(STANDING, 3000))
    with page.expect_response("**/view") as shaped:
        page.locator("#zoom").fill("8")
    assert "max_side" not in shaped.value.request.post_data_json
    expect(page.locator("#status")).to_contain_text("Shaped in")

    # The canvas is no larger than what is seen, and shows another part when it is scrolled.
    canvas, frame = page.locator("#picture").bounding_box(), page.locator("#frame").bounding_box()
    assert canvas["width"] < frame["width"] + 1
    assert canvas["height"] < frame["height"] + 1
    changes(page, lambda: page.locator("#frame").evaluate("frame => frame.scrollTo(900, 900)"))


def test_the_steps_are_shown_with_their_times(page: Any) -> None:
    open_photo(page, photo(STANDING))
    page.locator("summary").click()
    steps = page.locator("#steps li").all_text_contents()
    assert {"decode_image", "find_people", "parse_person", "shape_mask"} <= {
        one.partition(" ")[0] for one in steps
    }


WORST_FIRST = ("damaged", "ada/both", "ada/half", "ada/standing")


def people(tmp_path: Path, **photos: str) -> Path:
    """A folder of photos by name, with a file that is damaged and one that is no photo."""
    made = tmp_path / "people" / "ada"
    made.mkdir(parents=True)
    for name, pattern in photos.items():
        shutil.copy(photo(pattern), made / f"{name}.jpg")
    (made.parent / "damaged.jpg").write_bytes(b"no photo")
    (made.parent / "notes.txt").write_text("nothing to see")
    return made.parent


def drop(page: Any, path: Path) -> None:
    """Drop a file or a folder, as somebody does with a mouse."""
    devtools = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        devtools.send("Input.dispatchDragEvent", {"type": kind, "x": 99, "y": 99, "data": data})


@pytest.mark.parametrize("way", ["drop", "choose"])
def test_a_folder_makes_a_sheet_with_the_worst_first(page: Any, way: str, tmp_path: Path) -> None:
    made = people(tmp_path, both=TWO_FIGURES, standing=STANDING, half=HALF_BODY)
    if way == "drop":
        drop(page, made)
    else:
        page.set_input_files("#folder", made)
    expect(page.locator("#many-status")).to_have_text("4 of 4 photos are looked at.")

    names = page.locator(".cards .name")
    expect(names).to_have_text([f"people/{name}.jpg" for name in WORST_FIRST])
    page.get_by_role("button", name="SEVERAL_PEOPLE 1").click()
    expect(names).to_have_text(["people/ada/both.jpg"])
    page.get_by_role("button", name="all 4").click()
    assert violations(page) == ""
    page.get_by_role("button", name="Enlarge people/ada/half.jpg").click()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("dialog")).to_contain_text("people/ada/standing.jpg")
    page.get_by_role("button", name="Open", exact=True).click()
    expect(page.locator("#status")).to_contain_text("All masks are made")


def test_many_photos_can_be_stopped(page: Any, tmp_path: Path) -> None:
    made = people(tmp_path, a=STANDING, b=STANDING)
    page.route("**/page/cards*", lambda route: None)
    page.set_input_files("#file", [made / "damaged.jpg", made / "ada/a.jpg", made / "ada/b.jpg"])
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("button", name="Stop")).to_be_hidden()
    expect(page.locator("#many-status")).to_have_text("0 of 3 photos are looked at.")


def test_masks_are_taken_away_as_files(page: Any) -> None:
    open_photo(page, photo(STANDING))

    with page.expect_download() as one:
        page.get_by_role("button", name="Save upper").click()
    assert Path(one.value.path()).read_bytes().startswith(b"\x89PNG")
    page.select_option("#format", "webp")
    with page.expect_download() as all_:
        page.get_by_role("button", name="ZIP of all").click()
    with zipfile.ZipFile(io.BytesIO(Path(all_.value.path()).read_bytes())) as files:
        assert files.namelist() == ["upper.webp", "lower.webp", "overlay.jpg"]


def test_of_two_people_one_is_clicked(page: Any) -> None:
    open_photo(page, photo(TWO_FIGURES))
    expect(page.locator("#refused")).to_contain_text("Click the person that you mean")
    page.screenshot(path=SHOTS / f"two-people-{page.viewport_size['width']}.png", full_page=True)

    page.get_by_role("button", name="Person 2 of 2").click()

    expect(page.get_by_role("button", name="Person 2 of 2")).to_have_attribute(
        "aria-pressed", "true"
    )
    expect(page.locator("#sure-upper")).to_contain_text("%")


def test_a_refusal_says_what_to_do(page: Any) -> None:
    open_photo(page, photo(HALF_BODY))
    expect(page.locator("#refused")).to_contain_text("Step back")


def test_what_is_no_photo_is_told(page: Any, tmp_path: Path) -> None:
    (tmp_path / "me.jpg").write_text("no photo")
    page.set_input_files("#file", tmp_path / "me.jpg")
    expect(page.locator("#status")).to_contain_text("not a JPEG")


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
    expect(page.locator("#status")).to_contain_text("from photo to masks")


def test_a_photo_is_taken_with_the_camera(page: Any) -> None:
    page.get_by_role("button", name="Camera", exact=True).click()
    page.get_by_role("button", name="Take the photo").click()
    # Chromium's test picture shows nobody.
    expect(page.locator("#refused")).to_contain_text("Nobody was found")
    assert page.locator("#finder").is_hidden()


def copied_call(page: Any, language: str) -> str:
    """The call of an opened photo, from the clipboard."""
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    open_photo(page, photo(STANDING))
    page.select_option("#language", language)
    page.get_by_role("button", name="Copy").click()
    expect(page.locator("#status")).to_contain_text("Copied")
    copied: str = page.evaluate("navigator.clipboard.readText()")
    return copied


@pytest.mark.parametrize("language", ["curl", "python", "javascript"])
def test_the_copied_call_makes_the_same_masks(page: Any, language: str, tmp_path: Path) -> None:
    copied = copied_call(page, language)
    shutil.copy(photo(STANDING), tmp_path / "photo.jpg")
    program = {"curl": ["bash"], "python": [sys.executable, "-"], "javascript": NODE}[language]

    ran = subprocess.run(
        program, input=copied, cwd=tmp_path, capture_output=True, text=True, check=True
    )

    assert "/upper.png" in ran.stdout
    assert "/lower.png" in ran.stdout


def test_the_call_in_dart_asks_for_the_same(page: Any, address: str) -> None:
    copied = copied_call(page, "dart")
    assert f"Uri.parse('{address}/v1/masks')" in copied
    assert '"masks":["upper","lower"],"profile":"body"' in copied


def test_it_can_be_used_from_the_keyboard(page: Any) -> None:
    open_photo(page, photo(STANDING))
    page.locator("#file").focus()
    for reached in ("folder", "camera", "frame"):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == reached
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.value") == "upper"
    with page.expect_response("**/view"):
        page.keyboard.press("Space")
    expect(page.locator("#sure-upper")).to_be_empty()


def test_axe_finds_nothing(page: Any) -> None:
    assert violations(page) == ""
    open_photo(page, photo(TWO_FIGURES))
    page.locator("summary").click()
    assert violations(page) == ""
