"""What a job is told to do, as it is kept until a worker takes it."""

from __future__ import annotations

import hashlib
from typing import Any

from tryon_masks.domain.identity import resolve_user_id
from tryon_masks.schema.requests import BatchBody, OptionsBody

JOB_METADATA = "job-id"
"""Object metadata that says whose job an upload is; only a signed form can set it."""
OPTIONS_METADATA = "options"
BATCH_ITEM = "batch"
"""In a task: which item of which batch it is."""
CALLBACK = "callback_url"
ITEM = "item_id"
"""What a job is called in its batch's results."""
NUMBER = "number"
"""An item's place in its batch, from 0; the others keep theirs when one is erased."""


def item_tasks(user_id: str | None, body: BatchBody) -> list[dict[str, Any]]:
    """Return the tasks of a batch's items, in order; ``user_id`` is a signed-in caller's."""
    return [
        {
            "photo": item.photo,
            "user_id": resolve_user_id(user_id, item.user_id),
            "options": options_of(item),
            "document": False,
            "include_logs": False,
            CALLBACK: None,
            ITEM: name,
            NUMBER: number,
        }
        for number, (name, item) in enumerate(zip(body.names, body.items or (), strict=True))
    ]


def options_of(body: OptionsBody) -> dict[str, Any]:
    """Return what was chosen about the masks, as ``read_options`` reads it."""
    names = set(OptionsBody.model_fields)
    chosen: dict[str, Any] = body.model_dump(mode="json", include=names, exclude_unset=True)
    return chosen


def item_job_id(batch_id: str, number: int) -> str:
    """Derive the id of the job that a batch's item is: always the same."""
    return hashlib.sha256(f"{batch_id}/{number}".encode()).hexdigest()[:32]
