"""AWS clients of the ambient account and region, each with explicit timeouts and bounded tries."""

from __future__ import annotations

from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from tryon_masks.domain.errors import SettingsError


def aws_client(service: str, timeout_s: float, *, tries: int = 3, **config: Any) -> Any:
    """A client of ``service``.

    botocore repeats a call on throttling, 5xx, lost connections and timeouts, ``tries`` tries in
    all, with jittered pauses. ``timeout_s`` bounds, in seconds, each connect and each wait for
    bytes. ``config`` goes to botocore's ``Config`` as it is.

    Raises
    ------
    SettingsError
        No region or no credentials are set.
    """
    try:
        session = boto3.Session()
        if session.region_name is None:
            raise SettingsError("No AWS region is set: AWS_DEFAULT_REGION.")
        if session.get_credentials() is None:
            raise SettingsError("No AWS credentials were found.")
        return session.client(
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
