from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from tryon_masks.domain.errors import StateUnavailable, StoreFailed
from tryon_masks.erasure import PlaceReport, erase_user
from tryon_masks.telemetry import RequestLog, request_log


class Place:
    """Keeps names by user in memory; ``failing``, ``find`` or ``erase``, does not work."""

    def __init__(self, failing: str | None = None, **kept: list[str]) -> None:
        self.kept = kept
        self.failing = failing

    def find(self, user_id: str) -> list[str]:
        if self.failing == "find":
            raise StateUnavailable
        return list(self.kept.get(user_id, ()))

    def erase(self, names: Sequence[str]) -> None:
        if self.failing == "erase":
            raise StoreFailed("1 of 2 objects could not be erased.")
        for kept in self.kept.values():
            kept[:] = [name for name in kept if name not in names]


@pytest.fixture(autouse=True)
def log() -> Iterator[RequestLog]:
    with request_log("request-1", "u1") as log:
        yield log


def test_looking_erases_nothing() -> None:
    place = Place(u1=["a", "b"], u2=["c"])

    assert erase_user({"masks": place}, "u1", really=False) == [PlaceReport("masks", "found", 2)]
    assert place.kept == {"u1": ["a", "b"], "u2": ["c"]}


def test_what_is_found_is_erased_and_may_be_erased_again() -> None:
    place = Place(u1=["a", "b"], u2=["c"])

    first = erase_user({"masks": place}, "u1", really=True)
    again = erase_user({"masks": place}, "u1", really=True)

    assert first == [PlaceReport("masks", "erased", 2)]
    assert again == [PlaceReport("masks", "erased", 0)]
    assert place.kept == {"u1": [], "u2": ["c"]}


@pytest.mark.parametrize(
    ("failing", "found", "error"),
    [
        ("find", None, "The service cannot reach its own records."),
        ("erase", 2, "1 of 2 objects could not be erased."),
    ],
)
def test_a_place_that_fails_is_named_and_the_others_are_erased(
    log: RequestLog, failing: str, found: int | None, error: str
) -> None:
    last = Place(u1=["c"])
    places = {"jobs": Place(failing, u1=["a", "b"]), "masks": None, "log": last}

    assert erase_user(places, "u1", really=True) == [
        PlaceReport("jobs", "failed", found, error),
        PlaceReport("masks", "not set up"),
        PlaceReport("log", "erased", 1),
    ]
    assert last.kept == {"u1": []}
    assert [r["place"] for r in log.records if r["status"] == "failed"] == ["jobs"]


def test_every_step_is_logged(log: RequestLog) -> None:
    erase_user({"masks": Place(u1=["a"]), "jobs": None}, "u1", really=True)

    done = [(r["step"], r["place"]) for r in log.records if r["status"] == "done"]
    assert done == [
        ("find_user_data", "masks"),
        ("erase_user_data", "masks"),
        ("skip_place", "jobs"),
    ]
