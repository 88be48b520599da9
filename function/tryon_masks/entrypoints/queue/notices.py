"""What S3 says of uploads, in the shapes that its messengers pack it in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_plus

Upload = tuple[str, str]
"""Bucket and key."""


def uploads_in(notice: object) -> list[Upload] | None:
    """Return the objects that ``notice`` says were created; None where it is nothing of S3's.

    S3 itself tells of them in records, EventBridge of one an event; SNS wraps either.
    """
    match notice:
        case {"Event": "s3:TestEvent"}:
            return []
        case {"Records": [*records]} if records:
            found = [_of_record(record) for record in records]
            return None if None in found else [one for some in found if some for one in some]
        case {
            "source": "aws.s3",
            "detail-type": str(what),
            "detail": {"bucket": {"name": str(bucket)}, "object": {"key": str(key)}},
        }:
            # Here the key is as it is.
            return [(bucket, key)] if what == "Object Created" else []
        case {"Type": "Notification", "Message": str(message)}:
            return uploads_in(parsed(message))
        case _:
            return None


def _of_record(record: object) -> list[Upload] | None:
    match record:
        case {"s3": {"bucket": {"name": str(bucket)}, "object": {"key": str(key)}}, **more}:
            created = "ObjectCreated:" in str(more.get("eventName", "ObjectCreated:"))
            return [(bucket, unquote_plus(key))] if created else []
        case {"Sns": {"Message": str(message)}}:
            return uploads_in(parsed(message))
        case _:
            return None


def parsed(text: str) -> Mapping[str, Any]:
    """Parse the JSON object in ``text``; an empty one where there is none."""
    try:
        found = json.loads(text.removeprefix("\ufeff"))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
