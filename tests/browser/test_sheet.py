"""The page that ``tryon-masks sheet`` writes, in Chromium: many photos, of no model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from tests.browser.chromium import expect, violations

from tryon_masks.service import RefusedMask
from tryon_masks.sheet.card import Card, Made, draw, rank
from tryon_masks.sheet.report import write_report
from tryon_masks.telemetry import init_log

PHOTOS = 300
pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def sheet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sheet of grey photos with a white disc; the first failed, the second was refused."""
    rgb = np.full((400, 300, 3), 120, np.uint8)
    mask = np.zeros((400, 300), np.uint8)
    cv2.circle(rgb, (150, 200), 100, (255, 255, 255), -1)
    cv2.circle(mask, (150, 200), 100, 255, -1)
    legs = RefusedMask("lower", "LEGS_NOT_VISIBLE", "The legs are not visible enough.")
    both = [RefusedMask("upper", "NO_PERSON", "Nobody was found."), legs]
    with init_log("test"):
        shown, bare = draw(rgb, {"upper": mask}), draw(rgb, {})
    damaged = ("BROKEN_PHOTO", "The photo is damaged.")
    cards = [
        Card("0000.jpg", "error", rank("error", {}), {}, [], damaged, None),
        Card("0001.jpg", "refused", rank("refused", {}), {}, both, None, bare),
    ]
    for number in range(2, PHOTOS):
        made = {"upper": Made(0.26, number / PHOTOS)}
        card = Card(f"{number:04}.jpg", "partial", rank("partial", made), made, [legs], None, shown)
        cards.append(card)
    path = tmp_path_factory.mktemp("sheet") / "sheet.html"
    write_report(path, cards, "Many photos")
    return path


@pytest.fixture
def page(blank: Any, sheet: Path) -> Any:
    blank.goto(sheet.as_uri())
    return blank


def names(page: Any) -> list[str]:
    """The names of the cards that are shown, in order."""
    found: list[str] = page.locator(".cards > li .name").all_text_contents()
    return found


def test_the_worst_come_first_and_only_what_is_near_has_pictures(page: Any) -> None:
    expect(page.locator(".sheet-told")).to_have_text("300 of 300 photos")
    assert names(page)[:3] == ["0000.jpg", "0001.jpg", "0002.jpg"]
    pictures = page.locator(".cards img")
    expect(pictures.first).to_be_visible()
    assert pictures.count() < 100

    page.locator(".cards > li").last.scroll_into_view_if_needed()

    expect(page.locator(".cards > li").last.locator("img")).to_be_visible()
    assert pictures.count() < 200


def test_photos_are_filtered_by_what_became_of_them_and_by_name(page: Any) -> None:
    page.get_by_role("button", name="NO_PERSON 1").click()
    assert names(page) == ["0001.jpg"]
    page.get_by_role("button", name="failed 1").click()
    assert names(page) == ["0000.jpg"]
    expect(page.locator(".cards")).to_contain_text("BROKEN_PHOTO")
    page.get_by_role("button", name="LEGS_NOT_VISIBLE 299").click()
    page.get_by_label("Name contains").fill("019")
    expect(page.locator(".sheet-told")).to_have_text("11 of 300 photos")


def test_photos_are_sorted_by_a_masks_figures(page: Any) -> None:
    page.get_by_label("Order").select_option("Least confidence of upper")
    assert names(page)[:2] == ["0002.jpg", "0003.jpg"]
    assert names(page)[-2:] == ["0000.jpg", "0001.jpg"]
    page.get_by_label("Order").select_option("Name")
    assert names(page)[0] == "0000.jpg"


def test_a_mask_lies_over_its_photo_until_it_is_switched_off(page: Any) -> None:
    page.get_by_label("Name contains").fill("0002")
    mask = page.locator(".cards > li .stack span")
    expect(mask).to_be_visible()
    red = page.locator(".cards > li .stack")
    before = red.screenshot()
    page.get_by_role("checkbox", name="upper").uncheck()
    expect(mask).to_be_hidden()
    assert red.screenshot() != before


def test_a_card_is_enlarged_and_its_neighbours_are_a_key_away(page: Any) -> None:
    page.get_by_role("button", name="Enlarge 0001.jpg").press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Nobody was found.")
    page.keyboard.press("ArrowRight")
    expect(dialog.get_by_role("heading")).to_have_text("0002.jpg")
    expect(dialog).to_contain_text("26\u00a0% of the picture")
    dialog.get_by_role("button", name="Previous").click()
    expect(dialog.get_by_role("heading")).to_have_text("0001.jpg")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()


def test_axe_finds_nothing_in_a_sheet(page: Any) -> None:
    page.get_by_label("Name contains").fill("000")
    assert violations(page) == ""
    page.get_by_role("button", name="Enlarge 0002.jpg").click()
    assert violations(page) == ""
