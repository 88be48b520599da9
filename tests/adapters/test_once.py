from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.adapters.conftest import TABLE

from tryon_masks.adapters.aws import aws_client
from tryon_masks.adapters.once import DynamoOnce
from tryon_masks.deadline import time_limit
from tryon_masks.domain.errors import InProgress, StateUnavailable, StoreFailed
from tryon_masks.ports import user_folder
from tryon_masks.telemetry import RequestLog, request_log


@pytest.fixture(autouse=True)
def log() -> Iterator[RequestLog]:
    with request_log("request-1", "user-1") as log:
        yield log


@pytest.fixture
def once(table: Any) -> DynamoOnce:
    return DynamoOnce(TABLE, aws_client("dynamodb", 2.0), 600)


class Work:
    """Counts how often it was done; ``failure`` is raised instead."""

    def __init__(self, failure: BaseException | None = None) -> None:
        self.times = 0
        self.failure = failure

    def __call__(self) -> dict[str, Any]:
        self.times += 1
        if self.failure:
            raise self.failure
        return {"score": 0.25, "masks": {"upper": "https://example.com/upper.png"}, "none": None}


def test_the_same_is_done_once_and_gives_the_same(once: DynamoOnce, log: RequestLog) -> None:
    work = Work()

    first, second = once.do("key", work), once.do("key", work)

    assert work.times == 1
    assert first == second == {"score": 0.25, "masks": first["masks"], "none": None}
    assert [r["step"] for r in log.records if r["status"] == "done"] == ["repeat_answer"]


def test_something_else_is_done_too(once: DynamoOnce) -> None:
    work = Work()

    once.do("key", work)
    once.do("other", work)

    assert work.times == 2


def test_what_failed_is_tried_again(once: DynamoOnce) -> None:
    with pytest.raises(StoreFailed):
        once.do("key", Work(StoreFailed()))
    work = Work()

    once.do("key", work)

    assert work.times == 1


def test_of_two_at_once_one_works(once: DynamoOnce) -> None:
    second = Work()

    def first() -> dict[str, Any]:
        with pytest.raises(InProgress):
            once.do("key", second)
        return {"made": True}

    assert once.do("key", first) == {"made": True}
    assert second.times == 0


@pytest.mark.parametrize(("seconds", "times"), [(-1.0, 1), (60.0, 0)])
def test_a_dead_process_holds_its_key_until_its_deadline(
    once: DynamoOnce, seconds: float, times: int
) -> None:
    with pytest.raises(KeyboardInterrupt), time_limit(seconds):
        once.do("key", Work(KeyboardInterrupt()))
    work = Work()

    try:
        once.do("key", work)
    except InProgress:
        assert times == 0

    assert work.times == times


def test_without_a_time_limit_a_key_is_held_as_long_as_a_function_can_live(
    once: DynamoOnce, table: Any
) -> None:
    with pytest.raises(KeyboardInterrupt):
        once.do("key", Work(KeyboardInterrupt()))

    (record,) = table.scan()["Items"]
    assert record["in_progress_expiration"] / 1000 - int(record["expiration"]) == pytest.approx(
        300, abs=2
    )


def test_it_is_forgotten_in_the_end(once: DynamoOnce, table: Any) -> None:
    work = Work()
    once.do("key", work)
    (record,) = table.scan()["Items"]
    table.put_item(Item={**record, "expiration": 1})

    once.do("key", work)

    assert work.times == 2


def test_records_hold_no_key_in_the_clear(once: DynamoOnce, table: Any) -> None:
    once.do("user-1", Work())

    (record,) = table.scan()["Items"]
    assert record["id"].startswith("masks#")
    assert "user-1" not in record["id"]


def test_a_table_that_cannot_be_reached_is_no_reason_to_do_it_twice(table: Any) -> None:
    work = Work()

    with pytest.raises(StateUnavailable):
        DynamoOnce("no-such-table", aws_client("dynamodb", 2.0), 600).do("key", work)

    assert work.times == 0


def test_what_is_remembered_of_a_user_is_found_and_forgotten(once: DynamoOnce, table: Any) -> None:
    for user in ("u1", "u2"):
        for what in ("abc", "def"):
            once.do(f"{user_folder(user)}/{what}", Work())
    with pytest.raises(KeyboardInterrupt):
        once.do(f"{user_folder('u1')}/open", Work(KeyboardInterrupt()))

    found = once.find("u1")
    once.erase(found)

    assert len(found) == 3
    assert once.find("u1") == []
    assert len(once.find("u2")) == len(table.scan()["Items"]) == 2
    once.erase(found)
