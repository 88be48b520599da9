"""Jobs in a DynamoDB table, and the queue that workers take them from."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, get_args

from botocore.exceptions import ClientError
from pydantic import TypeAdapter

from tryon_masks.adapters.aws import delete_items, find_items, translate_state_errors
from tryon_masks.domain.errors import StateUnavailable
from tryon_masks.ports import Job, JobState, Task
from tryon_masks.telemetry import now

MAX_KEYS_READ = 100
"""Items that DynamoDB reads at once."""
MAX_MESSAGES_SENT = 10
"""Messages that SQS takes at once."""

_TASK: TypeAdapter[Task] = TypeAdapter(Task)


class DynamoJobs:
    """A :class:`~tryon_masks.ports.Jobs` on a DynamoDB table with ``id`` as its key.

    Also a :class:`~tryon_masks.ports.UserData`: a job is its task's user's, whom the attribute
    ``user_id`` names too.

    Parameters
    ----------
    table
        Its name. ``expiration`` is the table's time-to-live attribute.
    client
        From :func:`~tryon_masks.adapters.aws.aws_client`.
    ttl_s
        Seconds that a job can be looked up, from when it was taken.
    """

    def __init__(self, table: str, client: Any, ttl_s: int) -> None:
        self._table = table
        self._client = client
        self._ttl_s = ttl_s

    def add(self, job_id: str, owner: str, task: Task) -> Job:
        """Take a job."""
        taken_at = now()
        item = {
            "id": {"S": job_id},
            "owner": {"S": owner},
            "state": {"S": "queued"},
            "user_id": {"S": task.user_id},
            "task": {"S": json.dumps(asdict(task))},
            "created_at": {"S": taken_at},
            "updated_at": {"S": taken_at},
            "expiration": {"N": str(int(time.time()) + self._ttl_s)},
        }
        with translate_state_errors():
            self._client.put_item(
                TableName=self._table, Item=item, ConditionExpression="attribute_not_exists(id)"
            )
        return _job(item)

    def get(self, job_id: str) -> Job | None:
        """Return the job; None where there is none, or none any more."""
        with translate_state_errors():
            found = self._client.get_item(
                TableName=self._table, Key={"id": {"S": job_id}}, ConsistentRead=True
            )
        item = found.get("Item")
        # DynamoDB takes its time with removing what has expired.
        if item is None or int(item["expiration"]["N"]) < time.time():
            return None
        return _job(item)

    def get_all(self, job_ids: Sequence[str]) -> dict[str, Job]:
        """Return those of these jobs that exist, by their ids."""
        keys = [{"id": {"S": job_id}} for job_id in job_ids]
        items = read_all(self._client, self._table, keys)
        return {item["id"]["S"]: _job(item) for item in items}

    def update(
        self,
        job_id: str,
        state: JobState,
        answer: Mapping[str, Any] | None = None,
        *,
        done: bool = False,
    ) -> None:
        """Say how far the job is. One that has been forgotten, or is done, stays so."""
        values = {
            ":state": {"S": state},
            ":now": {"S": now()},
            ":answer": {"NULL": True} if answer is None else {"S": json.dumps(answer)},
            ":done": {"BOOL": done},
            ":false": {"BOOL": False},
        }
        with translate_state_errors():
            try:
                self._client.update_item(
                    TableName=self._table,
                    Key={"id": {"S": job_id}},
                    UpdateExpression="SET #state = :state, updated_at = :now, answer = :answer, "
                    "done = :done",
                    ConditionExpression="attribute_exists(id) AND "
                    "(attribute_not_exists(done) OR done = :false)",
                    ExpressionAttributeNames={"#state": "state"},
                    ExpressionAttributeValues=values,
                )
            except ClientError as error:
                if not refused(error):
                    raise

    def find(self, user_id: str) -> list[str]:
        """Return the ids of the jobs that are about this user, whoever submitted them."""
        return find_items(self._client, self._table, "#name = :value", "user_id", user_id)

    def erase(self, names: Sequence[str]) -> None:
        """Forget these jobs; those that wait are not done any more."""
        delete_items(self._client, self._table, names)


class SqsQueue:
    """A :class:`~tryon_masks.ports.WorkQueue` in SQS."""

    def __init__(self, url: str, client: Any) -> None:
        self._url = url
        self._client = client

    def send(self, message: Mapping[str, Any]) -> None:
        """Hand ``message`` to a worker, at least once."""
        with translate_state_errors():
            self._client.send_message(QueueUrl=self._url, MessageBody=json.dumps(message))

    def send_all(self, messages: Sequence[Mapping[str, Any]]) -> None:
        """Hand over many, a few at once."""
        for start in range(0, len(messages), MAX_MESSAGES_SENT):
            entries = [
                {"Id": str(number), "MessageBody": json.dumps(message)}
                for number, message in enumerate(messages[start : start + MAX_MESSAGES_SENT])
            ]
            with translate_state_errors():
                sent = self._client.send_message_batch(QueueUrl=self._url, Entries=entries)
            if failed := sent.get("Failed"):
                raise StateUnavailable(detail=f"{len(failed)} messages were not taken")

    def redeliver(self, receipt: str, seconds: int) -> None:
        """Deliver the message of this receipt once more after so many seconds."""
        with translate_state_errors():
            self._client.change_message_visibility(
                QueueUrl=self._url, ReceiptHandle=receipt, VisibilityTimeout=seconds
            )


def _job(item: Mapping[str, Any]) -> Job:
    state = item["state"]["S"]
    if state not in get_args(JobState):
        raise ValueError(f"a job cannot be {state!r}")
    answer = item.get("answer", {}).get("S")
    return Job(
        job_id=item["id"]["S"],
        owner=item["owner"]["S"],
        state=state,
        task=_TASK.validate_json(item["task"]["S"], extra="forbid"),
        created_at=item["created_at"]["S"],
        updated_at=item["updated_at"]["S"],
        answer=None if answer is None else json.loads(answer),
        done=item.get("done", {}).get("BOOL", False),
    )


def read_all(
    client: Any, table: str, keys: Sequence[Mapping[str, Any]]
) -> Iterator[Mapping[str, Any]]:
    """Return those of the items with these keys that exist, in any order.

    Raises
    ------
    StateUnavailable
    """
    asked = list(keys)
    while asked:
        wanted = {"Keys": asked[:MAX_KEYS_READ], "ConsistentRead": True}
        with translate_state_errors():
            page = client.batch_get_item(RequestItems={table: wanted})
        yield from page["Responses"][table]
        # What did not fit one answer, which is at most 16 MB.
        asked = asked[MAX_KEYS_READ:] + page["UnprocessedKeys"].get(table, {}).get("Keys", [])


def refused(error: ClientError) -> bool:
    """Return whether DynamoDB found that the condition of a write does not hold."""
    return bool(error.response["Error"]["Code"] == "ConditionalCheckFailedException")
