"""The other use case: all that is kept of one user is found, and erased."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from tryon_masks.domain.errors import Unavailable
from tryon_masks.ports import UserData
from tryon_masks.telemetry import step

PlaceState = Literal["found", "erased", "failed", "not set up"]


@dataclass(frozen=True)
class PlaceReport:
    """What came of one place.

    ``found`` counts what was there before; None where nobody could tell. ``error`` says what
    failed: then some of it may be left, and the same call goes on from there.
    """

    place: str
    state: PlaceState
    found: int | None = None
    error: str | None = None


def erase_user(
    places: Mapping[str, UserData | None], user_id: str, *, really: bool
) -> list[PlaceReport]:
    """Visit every place in turn, whatever became of the others; ``really`` erases what is found."""
    return [_visit(name, place, user_id, really=really) for name, place in places.items()]


def _visit(name: str, place: UserData | None, user_id: str, *, really: bool) -> PlaceReport:
    if place is None:
        with step("skip_place", "erasure", place=name, reason="it is not set up"):
            return PlaceReport(name, "not set up")
    found: int | None = None
    try:
        with step("find_user_data", "erasure", place=name):
            names = place.find(user_id)
        found = len(names)
        if really:
            with step("erase_user_data", "erasure", place=name, found=found):
                place.erase(names)
    except Unavailable as error:
        return PlaceReport(name, "failed", found, str(error))
    return PlaceReport(name, "erased" if really else "found", found)
