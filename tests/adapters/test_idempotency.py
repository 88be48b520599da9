from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.adapters.conftest import TABLE

from tryon_masks.adapters.aws import aws_client
from tryon_masks.adapters.idempotency import DynamoIdempotency
from tryon_masks.deadline import time_limit
from tryon_masks.domain.errors import InProgress, StateUnavailable, StoreFailed
from tryon_masks.ports import user_folder
from tryon_masks.telemetry import RequestLog, request_log


@pytest.fixture(autouse=True)
def log() -> Iterator[RequestLog]:
    with request_log("request-1", "user-1") as log:
        yield log


@pytest.fixture
def idempotency(table: Any) -> DynamoIdempotency:
    return DynamoIdempotency(TABLE, aws_client("dynamodb", 2.0), 600)


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


def test_the_same_is_done_once_and_gives_the_same(
    idempotency: DynamoIdempotency, log: RequestLog
) -> None:
    work = Work()

    first, second = idempotency.run("key", work), idempotency.run("key", work)

    assert work.times == 1
    assert first == second == {"score": 0.25, "masks": first["masks"], "none": None}
    assert [r["step"] for r in log.records if r["status"] == "done"] == ["repeat_answer"]


def test_something_else_is_done_too(idempotency: DynamoIdempotency) -> None:
    work = Work()

    idempotency.run("key", work)
    idempotency.run("other", work)

    assert work.times == 2


def test_what_failed_is_tried_again(idempotency: DynamoIdempotency) -> None:
    with pytest.raises(StoreFailed):
        idempotency.run("key", Work(StoreFailed()))
    work = Work()

    idempotency.run("key", work)

    assert work.times == 1


def test_of_two_at_once_one_works(idempotency: DynamoIdempotency) -> None:
    second = Work()

    def first() -> dict[str, Any]:
        with pytest.raises(InProgress):
            idempotency.run("key", second)
        return {"made": True}

    assert idempotency.run("key", first) == {"made": True}
    assert second.times == 0


@pytest.mark.parametrize(("seconds", "times"), [(-1.0, 1), (60.0, 0)])
def test_a_dead_process_holds_its_key_until_its_deadline(
    idempotency: DynamoIdempotency, seconds: float, times: int
) -> None:
    with pytest.raises(KeyboardInterrupt), time_limit(seconds):
        idempotency.run("key", Work(KeyboardInterrupt()))
    work = Work()

    try:
        idempotency.run("key", work)
    except InProgress:
        assert times == 0

    assert work.times == times


def test_without_a_time_limit_a_key_is_held_as_long_as_a_function_can_live(
    idempotency: DynamoIdempotency, table: Any
) -> None:
    with pytest.raises(KeyboardInterrupt):
        idempotency.run("key", Work(KeyboardInterrupt()))

    (record,) = table.scan()["Items"]
    assert record["in_progress_expiration"] / 1000 - int(record["expiration"]) == pytest.approx(
        300, abs=2
    )


def test_it_is_forgotten_in_the_end(idempotency: DynamoIdempotency, table: Any) -> None:
    work = Work()
    idempotency.run("key", work)
    (record,) = table.scan()["Items"]
    table.put_item(Item={**record, "expiration": 1})

    idempotency.run("key", work)

    assert work.times == 2


def test_records_hold_no_key_in_the_clear(idempotency: DynamoIdempotency, table: Any) -> None:
    idempotency.run("user-1", Work())

    (record,) = table.scan()["Items"]
    assert record["id"].startswith("masks#")
    assert "user-1" not in record["id"]


def test_a_table_that_cannot_be_reached_is_no_reason_to_do_it_twice(table: Any) -> None:
    work = Work()

    with pytest.raises(StateUnavailable):
        DynamoIdempotency("no-such-table", aws_client("dynamodb", 2.0), 600).run("key", work)

    assert work.times == 0


def test_what_is_remembered_of_a_user_is_found_and_forgotten(
    idempotency: DynamoIdempotency, table: Any
) -> None:
    for user in ("u1", "u2"):
        for what in ("abc", "def"):
            idempotency.run(f"{user_folder(user)}/{what}", Work())
    with pytest.raises(KeyboardInterrupt):
        idempotency.run(f"{user_folder('u1')}/open", Work(KeyboardInterrupt()))

    found = idempotency.find("u1")
    idempotency.erase(found)

    assert len(found) == 3
    assert idempotency.find("u1") == []
    assert len(idempotency.find("u2")) == len(table.scan()["Items"]) == 2
    idempotency.erase(found)
