"""Batches in the DynamoDB table of jobs: which of a batch's items are in which state."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from botocore.exceptions import ClientError

from tryon_masks.adapters.aws import delete_items, find_items, translate_state_errors
from tryon_masks.adapters.jobs import read_all, refused
from tryon_masks.ports import COUNTED, FINAL, Batch, JobState
from tryon_masks.telemetry import now

PREFIX = "batch-"
"""What a batch's ``id`` in the table begins with, and no job's does."""
PART = 1000
"""Items of a list that are counted in one record, which can be 400 KB."""
_LATER: dict[str, tuple[JobState, ...]] = {
    "running": ("running", *FINAL),
    "error": ("error", *FINAL),
    **dict.fromkeys(FINAL, FINAL),
}
"""State -> those that an item has reached already where it cannot be said any more."""


class DynamoBatches:
    """A :class:`~tryon_masks.ports.Batches` on a DynamoDB table with ``id`` as its key.

    Also a :class:`~tryon_masks.ports.UserData`: a batch is its owner's.

    For each state a batch has a set of numbers, those of its items in that state. So one write
    moves an item, and to move it there once more changes nothing.

    Parameters
    ----------
    table
        Its name. ``expiration`` is the table's time-to-live attribute.
    client
        From :func:`~tryon_masks.adapters.aws.aws_client`.
    ttl_s
        Seconds that a batch can be looked up, from when it was taken.
    """

    def __init__(self, table: str, client: Any, ttl_s: int) -> None:
        self._table = table
        self._client = client
        self._ttl_s = ttl_s

    def add(self, batch_id: str, owner: str, total: int | None) -> Batch:
        """Take a batch."""
        taken_at = now()
        item = {
            "id": {"S": PREFIX + batch_id},
            "owner": {"S": owner},
            "total": {"NULL": True} if total is None else {"N": str(total)},
            "created_at": {"S": taken_at},
            "updated_at": {"S": taken_at},
            "expiration": self._expiration(),
        }
        with translate_state_errors():
            self._client.put_item(
                TableName=self._table, Item=item, ConditionExpression="attribute_not_exists(id)"
            )
        return _batch(item)

    def get(self, batch_id: str) -> Batch | None:
        """Return the batch; None where there is none, or none any more."""
        with translate_state_errors():
            found = self._client.get_item(
                TableName=self._table, Key=_key(batch_id), ConsistentRead=True
            )
        item = found.get("Item")
        if item is None or int(item["expiration"]["N"]) < time.time():
            return None
        return _batch(item)

    def set_item_state(self, batch_id: str, number: int, state: JobState) -> Batch | None:
        """Say how far an item is, and get the batch as it is then."""
        changed = self._move(
            _key(batch_id),
            number,
            state,
            "SET updated_at = :now REMOVE #results",
            {":now": {"S": now()}},
            ["attribute_exists(id)"],
            ["results"],
        )
        return self.get(batch_id) if changed is None else _batch(changed)

    def set_list_item_state(self, batch_id: str, number: int, state: JobState) -> None:
        """Say how far an item of a list is. Each thousand has a record of its own."""
        self._move(
            _part(batch_id, number // PART),
            number,
            state,
            "SET expiration = if_not_exists(expiration, :expiration)",
            {":expiration": self._expiration()},
        )

    def count_list_items(self, batch_id: str, total: int) -> dict[JobState, int]:
        """Count the items of a list in each state."""
        keys = [_part(batch_id, part) for part in range(-(-total // PART))]
        counts = _counts({})
        for item in read_all(self._client, self._table, keys):
            for state, number in _counts(item).items():
                counts[state] += number
        return counts

    def _move(
        self,
        key: dict[str, Any],
        number: int,
        state: JobState,
        more: str,
        values: dict[str, Any],
        conditions: Sequence[str] = (),
        names: Sequence[str] = (),
    ) -> dict[str, Any] | None:
        """Put an item's number into the set of its state: the record then, or None: it stays."""
        others = [name for name in COUNTED if name != state]
        not_there_yet = [f"NOT contains(#{name}, :number)" for name in _LATER[state]]
        with translate_state_errors():
            try:
                changed = self._client.update_item(
                    TableName=self._table,
                    Key=key,
                    UpdateExpression=f"{more} ADD #{state} :numbers "
                    f"DELETE {', '.join(f'#{name} :numbers' for name in others)}",
                    ConditionExpression=" AND ".join([*conditions, *not_there_yet]),
                    ExpressionAttributeNames={f"#{name}": name for name in (*names, *COUNTED)},
                    ExpressionAttributeValues={
                        ":number": {"N": str(number)},
                        ":numbers": {"NS": [str(number)]},
                        **values,
                    },
                    ReturnValues="ALL_NEW",
                )
            except ClientError as error:
                if not refused(error):
                    raise
                return None
        attributes: dict[str, Any] = changed["Attributes"]
        return attributes

    def _expiration(self) -> dict[str, str]:
        return {"N": str(int(time.time()) + self._ttl_s)}

    def close(self, batch_id: str, results: str) -> None:
        """Say where all the answers are."""
        with translate_state_errors():
            self._client.update_item(
                TableName=self._table,
                Key=_key(batch_id),
                UpdateExpression="SET #results = :results, updated_at = :now",
                ConditionExpression="attribute_exists(id)",
                ExpressionAttributeNames={"#results": "results"},
                ExpressionAttributeValues={":results": {"S": results}, ":now": {"S": now()}},
            )

    def find(self, user_id: str) -> list[str]:
        """Return the ids of the records of the batches that the user submitted."""
        handed_in = find_items(self._client, self._table, "#name = :value", "owner", user_id)
        own = {one for one in handed_in if one.startswith(PREFIX)}
        every = find_items(self._client, self._table, "begins_with(#name, :value)", "id", PREFIX)
        # Of a list each thousand has a record, which names its batch alone.
        return [one for one in every if one in own or one.rpartition("-")[0] in own]

    def erase(self, names: Sequence[str]) -> None:
        """Forget these batches; their items that wait are not done any more."""
        delete_items(self._client, self._table, names)


def _key(batch_id: str) -> dict[str, Any]:
    return {"id": {"S": PREFIX + batch_id}}


def _part(batch_id: str, part: int) -> dict[str, Any]:
    return _key(f"{batch_id}-{part}")


def _counts(item: Mapping[str, Any]) -> dict[JobState, int]:
    return {state: len(item.get(state, {}).get("NS", ())) for state in COUNTED}


def _batch(item: Mapping[str, Any]) -> Batch:
    total = item["total"].get("N")
    return Batch(
        batch_id=item["id"]["S"].removeprefix(PREFIX),
        owner=item["owner"]["S"],
        total=None if total is None else int(total),
        counts=_counts(item),
        created_at=item["created_at"]["S"],
        updated_at=item["updated_at"]["S"],
        results=item.get("results", {}).get("S"),
    )
