"""What a job is told to do, made from what callers send."""

from __future__ import annotations

import hashlib
from typing import Any

from tryon_masks.domain.identity import resolve_user_id
from tryon_masks.ports import ItemOfBatch, MaskTask, Task
from tryon_masks.schema.requests import BatchBody, OptionsBody

JOB_METADATA = "job-id"
"""Object metadata that says whose job an upload is; only a signed form can set it."""
OPTIONS_METADATA = "options"


def item_tasks(batch_id: str, user_id: str | None, body: BatchBody) -> list[MaskTask]:
    """Return the tasks of a batch's items, in order; ``user_id`` is a signed-in caller's."""
    return [
        MaskTask(
            photo=item.photo,
            user_id=resolve_user_id(user_id, item.user_id),
            options=options_of(item),
            item=ItemOfBatch(batch_id, number, name),
        )
        for number, (name, item) in enumerate(zip(body.names, body.items or (), strict=True))
    ]


def item_of(task: Task) -> ItemOfBatch | None:
    """Return which item of a batch the task is, or None."""
    return task.item if isinstance(task, MaskTask) else None


def options_of(body: OptionsBody) -> dict[str, Any]:
    """Return what was chosen about the masks, as ``read_options`` reads it."""
    names = set(OptionsBody.model_fields)
    chosen: dict[str, Any] = body.model_dump(mode="json", include=names, exclude_unset=True)
    return chosen


def item_job_id(batch_id: str, number: int) -> str:
    """Derive the id of the job that a batch's item is: always the same."""
    return hashlib.sha256(f"{batch_id}/{number}".encode()).hexdigest()[:32]
