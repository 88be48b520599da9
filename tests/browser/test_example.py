"""The example's page in Chromium, against `tryon-masks serve`; tests/examples runs the scripts."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from numpy.typing import NDArray
from PIL import Image
from tests.browser.chromium import expect, photo, violations
from tests.demo_photos import HALF_BODY, STANDING, TWO_FIGURES

pytestmark = pytest.mark.browser
EXAMPLE = Path(__file__).parents[2] / "examples" / "javascript"


@pytest.fixture
def page(blank: Any, address: str) -> Iterator[Any]:
    """The example's page, at the server's own origin: `serve` answers to no other page."""
    blank.route(
        f"{address}/example/*",
        lambda route: route.fulfill(path=EXAMPLE / route.request.url.rpartition("/")[2]),
    )
    blank.goto(f"{address}/example/index.html")
    blank.get_by_label("API").fill(address)
    yield blank
    assert violations(blank) == ""


def ask(page: Any, path: Path) -> Any:
    """Pick a photo and have its masks made; what the API says."""
    page.get_by_label("Photo").set_input_files(path)
    with page.expect_response("**/v1/masks") as answered:
        page.get_by_role("button", name="Make masks").click()
    return answered.value.json()


def drawn(page: Any) -> NDArray[np.int16]:
    """The canvas's pixels, RGB."""
    data: str = page.evaluate("document.getElementById('picture').toDataURL()")
    with Image.open(io.BytesIO(base64.b64decode(data.partition(",")[2]))) as image:
        return np.asarray(image.convert("RGB"), np.int16)


def test_the_masks_are_laid_over_the_photo(page: Any) -> None:
    answer = ask(page, photo(STANDING))

    expect(page.get_by_role("status")).to_have_text("Done.")
    with Image.open(photo(STANDING)) as image:
        changed = drawn(page) - np.asarray(image, np.int16)
    white = {}
    for name, address in answer["masks"].items():
        with Image.open(io.BytesIO(requests.get(address, timeout=60).content)) as mask:
            white[name] = np.asarray(mask) == 255
    upper, lower = white["upper"], white["lower"]
    assert changed[upper & ~lower].mean(axis=0).argmax() == 0
    assert changed[lower & ~upper].mean(axis=0).argmax() == 2
    assert np.abs(changed[upper | lower]).mean() > 10
    assert np.abs(changed[~upper & ~lower]).mean() < 2


def test_somebody_chooses_who_is_meant(page: Any) -> None:
    people = ask(page, photo(TWO_FIGURES))["people"]

    expect(page.get_by_role("status")).to_contain_text("There are 2 people in the photo")
    with page.expect_response("**/v1/masks") as answered:
        page.get_by_role("button", name="Person 2").click()
    assert answered.value.request.post_data_json["person_box"] == people[1]["box"]
    assert set(answered.value.json()["masks"]) == {"upper", "lower"}
    expect(page.get_by_role("status")).to_have_text("Done.")
    expect(page.get_by_role("button", name="Person 2")).to_have_count(0)


def test_a_refusal_is_said(page: Any) -> None:
    answer = ask(page, photo(HALF_BODY))

    (refused,) = answer["refused"]
    assert refused["code"] == "LEGS_NOT_VISIBLE"
    expect(page.get_by_role("status")).to_have_text(refused["message"])


def test_what_is_no_photo_is_said(page: Any, tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(b"no photo")

    page.get_by_label("Photo").set_input_files(path)
    page.get_by_role("button", name="Make masks").click()

    expect(page.get_by_role("status")).to_contain_text("could not be decoded")
