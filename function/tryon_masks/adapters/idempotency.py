"""What was done once is not done again: records of it in DynamoDB, kept by Powertools."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, cast

from aws_lambda_powertools.utilities.idempotency import (
    DynamoDBPersistenceLayer,
    IdempotencyConfig,
    idempotent_function,
)
from aws_lambda_powertools.utilities.idempotency.exceptions import (
    IdempotencyAlreadyInProgressError,
    IdempotencyInconsistentStateError,
    IdempotencyPersistenceLayerError,
)

from tryon_masks.adapters.aws import delete_items, find_items
from tryon_masks.deadline import time_left
from tryon_masks.domain.errors import InProgress, StateUnavailable
from tryon_masks.ports import user_folder
from tryon_masks.telemetry import count, step

PREFIX = "masks"
MAX_FUNCTION_S = 900
"""No function runs longer, so a record that is older than this and still open is a dead one's."""


class DynamoIdempotency:
    """An :class:`~tryon_masks.ports.Idempotency` on a DynamoDB table with ``id`` as its key.

    A record's ``id`` is ``masks/FOLDER#DIGEST``. Also a :class:`~tryon_masks.ports.UserData`.

    Parameters
    ----------
    table
        Its name. ``expiration`` is the table's time-to-live attribute.
    client
        From :func:`~tryon_masks.adapters.aws.aws_client`.
    ttl_s
        Seconds that a result is remembered.
    """

    def __init__(self, table: str, client: Any, ttl_s: int) -> None:
        self._table = table
        self._client = client
        self._records = DynamoDBPersistenceLayer(table_name=table, boto3_client=client)
        self._ttl_s = ttl_s

    def run(self, key: str, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Do the work, or return what it gave before.

        A process that dies at it holds the key until its own deadline, and no longer.

        Raises
        ------
        InProgress
        StateUnavailable
            The table cannot be reached.
        """
        worked = False

        def function(key: str) -> dict[str, Any]:  # noqa: ARG001 - Powertools reads it
            nonlocal worked
            worked = True
            return work()

        patience = round(1000 * min(time_left(), MAX_FUNCTION_S))
        context = cast(Any, SimpleNamespace(get_remaining_time_in_millis=lambda: patience))
        config = IdempotencyConfig(
            expires_after_seconds=self._ttl_s, hash_function="sha256", lambda_context=context
        )
        idempotent = idempotent_function(
            function,
            data_keyword_argument="key",
            persistence_store=self._records,
            config=config,
            key_prefix="/".join(filter(None, (PREFIX, key.rpartition("/")[0]))),
        )
        try:
            result: dict[str, Any] = idempotent(key=key)
        except (IdempotencyAlreadyInProgressError, IdempotencyInconsistentStateError) as error:
            raise InProgress from error
        except IdempotencyPersistenceLayerError as error:
            raise StateUnavailable(detail=str(error)) from error
        if not worked:
            with step("repeat_answer", "once"):
                count("AnswersRepeated")
        return result

    def find(self, user_id: str) -> list[str]:
        """Return the ids of the user's records."""
        start = f"{PREFIX}/{user_folder(user_id)}#"
        return find_items(self._client, self._table, "begins_with(#name, :value)", "id", start)

    def erase(self, names: Sequence[str]) -> None:
        """Forget these records."""
        delete_items(self._client, self._table, names)
