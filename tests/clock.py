"""A clock for what retries until its time is up."""

from __future__ import annotations

import pytest


class Clock:
    """Stands in for the ``time`` module: it stands still until somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def google_retries_at_once(patch: pytest.MonkeyPatch) -> None:
    """Google's clients take their pauses, and give up, by a clock that is not the machine's."""
    clock = Clock()
    for module in ("retry_base", "retry_unary"):
        patch.setattr(f"google.api_core.retry.{module}.time", clock)
