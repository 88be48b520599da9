"""The committed events, one for each way in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / "events"
ENVIRONMENT = "env.local.json"
"""No event, but the variables with which ``sam local`` runs them."""


def event_names() -> list[str]:
    """All of them, without the ending."""
    return sorted(path.stem for path in FOLDER.glob("*.json") if path.name != ENVIRONMENT)


def read_event(name: str) -> dict[str, Any]:
    """The event, afresh."""
    event: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return event
