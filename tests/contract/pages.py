"""The pages of docs/, as far as tests run what they say."""

from __future__ import annotations

import re
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "docs"


def shell_blocks(page: str, heading: str) -> list[str]:
    """The blocks of shell commands below a heading of the second level, in order."""
    text = (FOLDER / f"{page}.md").read_text()
    (section,) = re.findall(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    return re.findall(r"^```sh\n(.*?)^```$", section, re.M | re.S)
