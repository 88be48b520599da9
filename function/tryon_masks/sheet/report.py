"""A sheet as one HTML file that needs nothing beside itself."""

from __future__ import annotations

import html
import json
import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from string import Template
from uuid import uuid4

from tryon_masks.domain.identity import ANONYMOUS
from tryon_masks.files import replacing
from tryon_masks.sheet.card import Card
from tryon_masks.telemetry import request_log, step

ASSETS = Path(__file__).parent / "assets"
"""What a page loads that shows a sheet."""


def write_report(path: Path, cards: Iterable[Card], title: str) -> None:
    """Write all cards into one HTML file, over what is there.

    Raises
    ------
    OSError
    """
    with request_log(uuid4().hex, ANONYMOUS), step("write_sheet", "sheet"):
        page = Template((ASSETS / "report.html").read_text("utf-8")).substitute(
            title=html.escape(title),
            style="".join((ASSETS / name).read_text("utf-8") for name in ("base.css", "sheet.css")),
            script=(ASSETS / "sheet.js").read_text("utf-8"),
            cards="\n".join(map(_block, _without_common_folder(cards))),
        )
        with replacing(path) as unfinished:
            unfinished.write_text(page, "utf-8")


def _without_common_folder(cards: Iterable[Card]) -> list[Card]:
    """The cards, named by what tells their photos' paths apart."""
    cards = list(cards)
    # Some may be addresses, which have no common path with the others.
    common = os.path.commonprefix([card.name for card in cards])  # noqa: RUF071
    folder, slash, _ = common.rpartition("/")
    return [replace(card, name=card.name.removeprefix(folder + slash)) for card in cards]


def _block(card: Card) -> str:
    # Nothing in it may end the element.
    data = json.dumps(card.as_json()).replace("<", "\\u003c")
    return f'<script type="application/json" class="card">{data}</script>'
