"""Reading a sheet as a browser does."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any


class _Cards(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.cards: list[dict[str, Any]] = []
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag == "script" and ("class", "card") in attrs

    def handle_endtag(self, tag: str) -> None:
        self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.cards.append(json.loads(data))


def cards_in(sheet: Path) -> list[dict[str, Any]]:
    """The cards of a sheet, in the file's order."""
    reader = _Cards()
    reader.feed(sheet.read_text())
    return reader.cards
