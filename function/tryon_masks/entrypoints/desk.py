"""Where work is handed in that is done later, and where one asks how far it is."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar
from uuid import uuid4

from tryon_masks.domain.errors import BadRequest, InvalidRequest
from tryon_masks.entrypoints.schema import DataJson, MaskRequestBody, OptionsBody, UploadBody
from tryon_masks.ports import USER_METADATA, Job, Jobs, UploadForm, UploadForms, WorkQueue
from tryon_masks.settings import UPLOADS
from tryon_masks.telemetry import ANONYMOUS, step

_JOB_ID = re.compile("[0-9a-f]{32}")
JOB_METADATA = "job-id"
"""Object metadata that says whose job an upload is; only a signed form can set it."""
OPTIONS_METADATA = "options"
CALLBACK = "callback_url"


class NotFound(BadRequest):
    """No such path, or no such job of this caller."""

    code: ClassVar[str] = "NOT_FOUND"
    status: ClassVar[int] = 404
    message: ClassVar[str] = "There is nothing at this path."


def _new_id() -> str:
    return uuid4().hex


@dataclass(frozen=True)
class Desk:
    """Takes jobs for their owners."""

    jobs: Jobs
    queue: WorkQueue
    forms: UploadForms
    new_id: Callable[[], str] = _new_id

    def hand_in(self, owner: str, user_id: str, body: MaskRequestBody | DataJson) -> Job:
        """Queue a request for masks.

        Raises
        ------
        InvalidRequest
            The photo comes in the body.
        StateUnavailable
        """
        photo = body.photo
        if isinstance(photo, bytes):
            raise InvalidRequest(
                "image cannot be sent with Prefer: respond-async; POST /v1/uploads instead."
            )
        task = {
            "photo": photo,
            "user_id": user_id,
            "options": options_of(body),
            "document": isinstance(body, DataJson),
            "include_logs": body.include_logs,
            CALLBACK: body.callback_url,
        }
        with step("queue_job", "jobs"):
            job = self.jobs.add(self.new_id(), owner, task)
            self.queue.send({"job_id": job.job_id})
        return job

    def hand_out_form(
        self, owner: str, user_id: str | None, body: UploadBody
    ) -> tuple[Job, UploadForm]:
        """A form to upload one photo with; its job is queued from now on.

        Raises
        ------
        StateUnavailable
        """
        with step("sign_upload", "jobs"):
            job_id = self.new_id()
            key = f"{UPLOADS}{owner}/{job_id}"
            whose = user_id or ANONYMOUS
            metadata = {
                USER_METADATA: whose,
                JOB_METADATA: job_id,
                OPTIONS_METADATA: json.dumps(options_of(body)),
            }
            form = self.forms.make(key, body.content_type, metadata)
            task = {"upload": key, "user_id": whose, CALLBACK: body.callback_url}
            return self.jobs.add(job_id, owner, task), form

    def look_up(self, owner: str, job_id: str) -> Job:
        """How far the job is.

        Raises
        ------
        NotFound
            There is none, or it is somebody else's.
        StateUnavailable
        """
        with step("look_up_job", "jobs"):
            job = self.jobs.get(job_id) if _JOB_ID.fullmatch(job_id) else None
            if job is None or job.owner != owner:
                raise NotFound("There is no such job.")
            return job


def options_of(body: OptionsBody) -> dict[str, Any]:
    """What was chosen about the masks, as :func:`~.schema.read_options` reads it."""
    names = set(OptionsBody.model_fields)
    chosen: dict[str, Any] = body.model_dump(mode="json", include=names, exclude_unset=True)
    return chosen
