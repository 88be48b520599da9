"""Credentials from AWS Secrets Manager, read once, before the first request."""

from __future__ import annotations

import json
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from tryon_masks.adapters.aws import aws_client
from tryon_masks.domain.errors import SettingsError


def secrets_client(timeout_s: float) -> Any:
    """Return a Secrets Manager client; see :func:`~tryon_masks.adapters.aws.aws_client`.

    Raises
    ------
    SettingsError
    """
    return aws_client("secretsmanager", timeout_s)


def read_secret(arn: str, client: Any) -> str:
    """Read the secret's text.

    A JSON object with a single text value, as the AWS console writes it for one key, gives that
    value; any other text is returned whole (a service account's JSON among them), without white
    space around it.

    Raises
    ------
    SettingsError
        It cannot be read, is binary, or is empty. Only ``detail`` holds the ARN.
    """
    try:
        answer = client.get_secret_value(SecretId=arn)
    except ClientError as error:
        why = error.response["Error"]["Code"]
        raise SettingsError(
            f"A secret could not be read from Secrets Manager: {why}.", detail=f"{arn}: {error}"
        ) from error
    except BotoCoreError as error:
        raise SettingsError(
            f"A secret could not be read from Secrets Manager: {type(error).__name__}.",
            detail=f"{arn}: {error}",
        ) from error
    text: str = answer.get("SecretString", "")
    if not text.strip():
        raise SettingsError("A secret in Secrets Manager holds no text.", detail=arn)
    return _single_value(text) or text.strip()


def _single_value(text: str) -> str | None:
    try:
        document = json.loads(text)
    except ValueError:
        return None
    if not isinstance(document, dict) or len(document) != 1:
        return None
    (value,) = document.values()
    return value if isinstance(value, str) else None
