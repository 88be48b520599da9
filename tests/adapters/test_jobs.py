from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import boto3
import pytest
from tests.adapters.conftest import TABLE

from tryon_masks.adapters.aws import aws_client
from tryon_masks.adapters.jobs import DynamoJobs, SqsQueue
from tryon_masks.domain.errors import StateUnavailable
from tryon_masks.ports import ItemOfBatch, MaskTask, Task, UploadTask

pytestmark = pytest.mark.usefixtures("aws")

TASK = MaskTask("https://example.com/a.jpg", "user-1", {"expand": {"top": 0.1}})


@pytest.fixture
def jobs(table: Any) -> DynamoJobs:
    return DynamoJobs(TABLE, aws_client("dynamodb", 2.0), 600)


def test_a_job_is_found_as_it_was_taken(jobs: DynamoJobs) -> None:
    taken = jobs.add("1", "user-1", TASK)

    assert jobs.get("1") == taken
    assert (taken.owner, taken.state, taken.task, taken.answer) == ("user-1", "queued", TASK, None)
    assert taken.created_at == taken.updated_at
    assert taken.created_at.endswith("Z")


@pytest.mark.parametrize(
    "task",
    [
        replace(TASK, document=True, callback_url="https://example.com/told"),
        replace(TASK, item=ItemOfBatch("2", 7, "seventh")),
        UploadTask("uploads/user-1/1", "user-1"),
    ],
)
def test_a_task_of_any_kind_is_kept_as_it_is(jobs: DynamoJobs, task: Task) -> None:
    jobs.add("1", "user-1", task)

    kept = jobs.get("1")
    assert kept is not None
    assert kept.task == task


def test_nobodys_job_is_none(jobs: DynamoJobs) -> None:
    assert jobs.get("1") is None


def test_a_job_goes_on_until_it_has_its_answer(jobs: DynamoJobs) -> None:
    jobs.add("1", "user-1", TASK)

    jobs.update("1", "running")
    running = jobs.get("1")
    jobs.update("1", "partial", {"masks": {"upper": "x"}, "score": 0.25})
    done = jobs.get("1")

    assert running is not None
    assert done is not None
    assert (running.state, running.answer) == ("running", None)
    assert (done.state, done.answer) == ("partial", {"masks": {"upper": "x"}, "score": 0.25})
    assert done.updated_at >= done.created_at
    assert (done.owner, done.task) == ("user-1", TASK)


def test_a_job_that_starts_again_has_no_answer(jobs: DynamoJobs) -> None:
    jobs.add("1", "user-1", TASK)
    jobs.update("1", "error", {"status": "error"})

    jobs.update("1", "running")

    again = jobs.get("1")
    assert again is not None
    assert (again.state, again.answer) == ("running", None)


def test_a_job_that_is_done_stays_as_it_is(jobs: DynamoJobs) -> None:
    jobs.add("1", "user-1", TASK)
    jobs.update("1", "success", {"masks": {}}, done=True)
    done = jobs.get("1")

    jobs.update("1", "running")
    jobs.update("1", "error", {"status": "error"})

    assert done is not None
    assert done.done
    assert jobs.get("1") == done


def test_many_jobs_are_found_at_once(jobs: DynamoJobs) -> None:
    numbers = [str(number) for number in range(120)]
    for number in numbers:
        jobs.add(number, "user-1", TASK)

    found = jobs.get_all([*numbers, "no such job"])

    assert list(map(int, sorted(found, key=int))) == list(range(120))
    assert found["119"] == jobs.get("119")


def test_a_job_is_not_taken_twice(jobs: DynamoJobs) -> None:
    jobs.add("1", "user-1", TASK)

    with pytest.raises(StateUnavailable):
        jobs.add("1", "user-2", TASK)

    kept = jobs.get("1")
    assert kept is not None
    assert kept.owner == "user-1"


def test_a_forgotten_job_stays_forgotten(jobs: DynamoJobs, table: Any) -> None:
    jobs.update("1", "running")

    assert table.scan()["Items"] == []


def test_what_has_expired_is_not_found_though_it_is_still_there(
    jobs: DynamoJobs, table: Any
) -> None:
    jobs.add("1", "user-1", TASK)
    (item,) = table.scan()["Items"]
    table.put_item(Item={**item, "expiration": 1})

    assert jobs.get("1") is None


def test_a_table_that_cannot_be_reached_is_said(aws: None) -> None:
    jobs = DynamoJobs("no-such-table", aws_client("dynamodb", 2.0), 600)

    calls: tuple[Callable[[], object], ...] = (
        lambda: jobs.add("1", "user-1", TASK),
        lambda: jobs.get("1"),
        lambda: jobs.update("1", "running"),
    )
    for call in calls:
        with pytest.raises(StateUnavailable) as raised:
            call()
        assert "no-such-table" not in str(raised.value)


def test_a_message_is_sent_as_json() -> None:
    sqs = boto3.client("sqs")
    url = sqs.create_queue(QueueName="work")["QueueUrl"]

    SqsQueue(url, aws_client("sqs", 2.0)).send({"job_id": "1"})

    (message,) = sqs.receive_message(QueueUrl=url)["Messages"]
    assert json.loads(message["Body"]) == {"job_id": "1"}


def test_many_messages_are_sent_each_once() -> None:
    sqs = boto3.client("sqs")
    url = sqs.create_queue(QueueName="work")["QueueUrl"]

    SqsQueue(url, aws_client("sqs", 2.0)).send_all([{"number": n} for n in range(25)])

    got: list[int] = []
    while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        got += [json.loads(message["Body"])["number"] for message in messages]
    assert sorted(got) == list(range(25))


def test_messages_that_are_not_taken_are_said() -> None:
    class Client:
        def send_message_batch(self, **_: object) -> dict[str, object]:
            return {"Failed": [{"Id": "0"}], "Successful": []}

    with pytest.raises(StateUnavailable):
        SqsQueue("https://example.com/work", Client()).send_all([{}])


def test_a_queue_that_cannot_be_reached_is_said() -> None:
    gone = "https://sqs.eu-central-1.amazonaws.com/123456789012/gone"

    with pytest.raises(StateUnavailable):
        SqsQueue(gone, aws_client("sqs", 2.0)).send({"job_id": "1"})


def test_the_jobs_about_a_user_are_found_and_forgotten(jobs: DynamoJobs) -> None:
    pretends = json.dumps({"user_id": "u1"})
    for job_id, owner, task in (
        ("handed-in", "u1", replace(TASK, user_id="u1")),
        ("by-a-backend", "AROA1", UploadTask("uploads/AROA1/1", "u1")),
        ("another's", "u1", replace(TASK, user_id="u2")),
        ("longer", "u12", replace(TASK, user_id="u12")),
        ("pretends", "u2", replace(TASK, photo=f"https://example.com/{pretends}", user_id="u2")),
    ):
        jobs.add(job_id, owner, task)

    found = jobs.find("u1")
    jobs.erase(found)

    assert set(found) == {"handed-in", "by-a-backend"}
    assert jobs.find("u1") == []
    assert jobs.get("handed-in") is None
    assert all(jobs.get(job_id) for job_id in ("another's", "longer", "pretends"))
    jobs.erase(found)


def test_a_long_table_is_read_to_its_end(jobs: DynamoJobs) -> None:
    for number in range(12):
        jobs.add(f"{number}", "u1", MaskTask("x" * 300_000, "u1", {}))

    assert len(jobs.find("u1")) == 12


@pytest.mark.parametrize("call", [lambda jobs: jobs.find("u1"), lambda jobs: jobs.erase(["1"])])
def test_jobs_that_cannot_be_erased_are_an_error(call: Any) -> None:
    with pytest.raises(StateUnavailable):
        call(DynamoJobs("no-such-table", aws_client("dynamodb", 2.0), 600))
