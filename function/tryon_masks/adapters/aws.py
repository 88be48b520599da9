"""AWS clients of the ambient account and region, each with explicit timeouts and bounded tries.

And what the DynamoDB tables of this service have in common: ``id`` is their key.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.loaders import Loader
from botocore.session import Session

from tryon_masks.domain.errors import SettingsError, StateUnavailable


def aws_client(service: str, timeout_s: float, *, tries: int = 3, **config: Any) -> Any:
    """Return a client of ``service``.

    botocore repeats a call on throttling, 5xx, lost connections and timeouts, ``tries`` tries in
    all, with jittered pauses. ``timeout_s`` bounds, in seconds, each connect and each wait for
    bytes. ``config`` goes to botocore's ``Config`` as it is.

    Raises
    ------
    SettingsError
        No region or no credentials are set.
    """
    try:
        session = Session()
        session.register_component("data_loader", _loader())
        if session.get_config_variable("region") is None:
            raise SettingsError("No AWS region is set: AWS_DEFAULT_REGION.")
        if session.get_credentials() is None:
            raise SettingsError("No AWS credentials were found.")
        return session.create_client(
            service,
            config=Config(
                connect_timeout=timeout_s,
                read_timeout=timeout_s,
                retries={"mode": "standard", "total_max_attempts": tries},
                **config,
            ),
        )
    except BotoCoreError as error:
        raise SettingsError(
            f"The AWS set-up does not work: {type(error).__name__}.", detail=str(error)
        ) from error


@cache
def _loader() -> Loader:
    """Return what reads the descriptions of AWS's services: each once, for all clients."""
    return Loader()


@contextmanager
def translate_state_errors() -> Iterator[None]:
    """Raise what AWS reports about the service's own records as :class:`StateUnavailable`.

    Raises
    ------
    StateUnavailable
    """
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise StateUnavailable(detail=str(error)) from error


def find_items(client: Any, table: str, condition: str, name: str, value: str) -> list[str]:
    """Return the ids of all items whose attribute ``name`` meets ``condition`` on ``value``.

    The condition calls them ``#name`` and ``:value``. The whole table is read.

    Raises
    ------
    StateUnavailable
    """
    with translate_state_errors():
        pages = client.get_paginator("scan").paginate(
            TableName=table,
            ConsistentRead=True,
            ProjectionExpression="id",
            FilterExpression=condition,
            ExpressionAttributeNames={"#name": name},
            ExpressionAttributeValues={":value": {"S": value}},
        )
        return [item["id"]["S"] for page in pages for item in page["Items"]]


def delete_items(client: Any, table: str, ids: Sequence[str]) -> None:
    """Delete the items of these ids, if they are there.

    Raises
    ------
    StateUnavailable
    """
    with translate_state_errors():
        for one in ids:
            client.delete_item(TableName=table, Key={"id": {"S": one}})
