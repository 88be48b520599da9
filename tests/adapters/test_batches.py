from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import boto3
import pytest
import requests
from tests.adapters.conftest import REGION, TABLE

from tryon_masks.adapters.aws import aws_client
from tryon_masks.adapters.batches import DynamoBatches
from tryon_masks.adapters.jobs import DynamoJobs
from tryon_masks.adapters.s3 import S3BatchFiles, s3_client
from tryon_masks.domain.errors import StateUnavailable
from tryon_masks.ports import ItemOfBatch, JobState, MaskTask

pytestmark = pytest.mark.usefixtures("aws")

BUCKET = "photos"
NOTHING: dict[JobState, int] = dict.fromkeys(
    ("running", "success", "partial", "refused", "error"), 0
)


@pytest.fixture
def batches(table: Any) -> DynamoBatches:
    return DynamoBatches(TABLE, aws_client("dynamodb", 2.0), 600)


@pytest.fixture
def files() -> S3BatchFiles:
    boto3.client("s3").create_bucket(
        Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    return S3BatchFiles(BUCKET, s3_client(5.0), "results/", 60)


def counts(batches: DynamoBatches) -> dict[str, int]:
    batch = batches.get("1")
    assert batch is not None
    return {state: number for state, number in batch.counts.items() if number}


def test_a_batch_is_found_as_it_was_taken(batches: DynamoBatches) -> None:
    taken = batches.add("1", "user-1", 3)

    assert batches.get("1") == taken
    assert (taken.batch_id, taken.owner, taken.total) == ("1", "user-1", 3)
    assert (taken.counts, taken.results, taken.answered) == (NOTHING, None, False)
    assert batches.get("2") is None


def test_an_item_is_counted_once_where_it_is(batches: DynamoBatches) -> None:
    batches.add("1", "user-1", 3)

    for _ in range(3):
        batches.set_item_state("1", 0, "running")
        batches.set_item_state("1", 1, "running")
    assert counts(batches) == {"running": 2}

    for _ in range(3):
        batches.set_item_state("1", 0, "success")
        batches.set_item_state("1", 2, "refused")
    assert counts(batches) == {"running": 1, "success": 1, "refused": 1}


@pytest.mark.parametrize(
    ("before", "after", "goes"),
    [
        ("running", "error", True),
        ("running", "partial", True),
        ("error", "running", True),
        ("error", "success", True),
        ("success", "running", False),
        ("refused", "error", False),
        ("partial", "success", False),
    ],
)
def test_an_item_does_not_go_back_from_what_stays(
    batches: DynamoBatches, before: JobState, after: JobState, goes: bool
) -> None:
    batches.add("1", "user-1", 1)
    batches.set_item_state("1", 0, before)

    batch = batches.set_item_state("1", 0, after)

    assert batch is not None
    assert batch.counts == NOTHING | {after if goes else before: 1}
    assert batch == batches.get("1")


def test_it_is_answered_when_each_item_is(batches: DynamoBatches) -> None:
    batches.add("1", "user-1", 4)
    states: tuple[JobState, ...] = ("success", "error", "refused", "running")

    said = [batches.set_item_state("1", number, state) for number, state in enumerate(states)]
    last = batches.set_item_state("1", 3, "partial")

    assert [batch is not None and batch.answered for batch in said] == [False] * 4
    assert last is not None
    assert last.answered


def test_the_results_are_gone_while_an_item_goes_on(batches: DynamoBatches) -> None:
    batches.add("1", "user-1", 1)
    batches.set_item_state("1", 0, "error")
    batches.close("1", "results/1")

    again = batches.set_item_state("1", 0, "error")
    assert again is not None
    assert again.results == "results/1"
    on = batches.set_item_state("1", 0, "success")
    assert on is not None
    assert on.results is None


def test_a_forgotten_batch_stays_forgotten(batches: DynamoBatches, table: Any) -> None:
    assert batches.set_item_state("1", 0, "running") is None
    assert table.scan()["Items"] == []

    batches.add("1", "user-1", 1)
    (item,) = table.scan()["Items"]
    table.put_item(Item={**item, "expiration": 1})
    assert batches.get("1") is None


def test_the_items_of_a_list_are_counted_a_thousand_in_a_record(
    batches: DynamoBatches, table: Any
) -> None:
    batches.add("1", "user-1", None)
    for _ in range(3):
        for number in (0, 999, 1000, 2500):
            batches.set_list_item_state("1", number, "success")
        batches.set_list_item_state("1", 7, "error")
        batches.set_list_item_state("1", 1001, "refused")
    batches.set_list_item_state("1", 7, "success")
    batches.set_list_item_state("1", 7, "error")

    assert batches.count_list_items("1", 2501) == NOTHING | {"success": 5, "refused": 1}
    assert batches.count_list_items("1", 0) == NOTHING
    assert {item["id"] for item in table.scan()["Items"]} == {
        "batch-1",
        *(f"batch-1-{part}" for part in range(3)),
    }
    assert all("expiration" in item for item in table.scan()["Items"])


def test_a_table_that_cannot_be_reached_is_said() -> None:
    batches = DynamoBatches("no-such-table", aws_client("dynamodb", 2.0), 600)

    calls: tuple[Callable[[], object], ...] = (
        lambda: batches.add("1", "user-1", 1),
        lambda: batches.get("1"),
        lambda: batches.set_item_state("1", 0, "running"),
        lambda: batches.close("1", "results/1"),
    )
    for call in calls:
        with pytest.raises(StateUnavailable):
            call()


def test_items_are_kept_as_they_are_whatever_is_in_them(files: S3BatchFiles) -> None:
    items = [
        MaskTask("https://example.com/J\u00e4ger.jpg", "user-1", {}),
        MaskTask("a\u2028b\u0085c\n", "user-1", {}, item=ItemOfBatch("1", 1, "b")),
    ]

    files.put_items("1", items)

    assert files.items("1") == items


def test_results_can_be_read_for_a_while_without_credentials(files: S3BatchFiles) -> None:
    key = files.put_results("1", iter([{"id": "a"}, {"id": "b"}]))

    address = files.address(key)
    found = requests.get(address, timeout=60)
    assert key == "results/batches/1.jsonl"
    assert "X-Amz-Expires=60" in address
    assert found.headers["content-type"] == "application/jsonl"
    assert [json.loads(line)["id"] for line in found.text.splitlines()] == ["a", "b"]


def test_the_files_of_a_run_are_listed(files: S3BatchFiles) -> None:
    key = "results/batches/1/0b2c/manifest.json"
    listed = {"SUCCEEDED": [{"Key": "a", "Size": 1}], "FAILED": [{"Key": "b"}], "PENDING": []}
    body = json.dumps({"DestinationBucket": BUCKET, "ResultFiles": listed})
    boto3.client("s3").put_object(Bucket=BUCKET, Key=key, Body=body)

    assert files.parts(key) == ["a", "b"]


def test_files_that_cannot_be_reached_are_said() -> None:
    files = S3BatchFiles("no-such-bucket", s3_client(5.0), "results/", 60)

    for call in (
        lambda: files.put_items("1", []),
        lambda: files.items("1"),
        lambda: files.put_results("1", []),
    ):
        with pytest.raises(StateUnavailable):
            call()


def test_a_users_batches_are_forgotten_with_their_parts(batches: DynamoBatches) -> None:
    for batch_id, owner in (("1", "u1"), ("11", "u2"), ("2", "u1")):
        batches.add(batch_id, owner, None)
        batches.set_list_item_state(batch_id, 1200, "success")
    DynamoJobs(TABLE, aws_client("dynamodb", 2.0), 600).add("job", "u1", MaskTask("x", "u2", {}))

    found = batches.find("u1")
    batches.erase(found)

    assert set(found) == {"batch-1", "batch-1-1", "batch-2", "batch-2-1"}
    assert batches.find("u1") == []
    assert (batches.get("1"), batches.count_list_items("1", 2000)) == (None, NOTHING)
    assert batches.get("11") is not None
    assert batches.count_list_items("11", 2000)["success"] == 1
