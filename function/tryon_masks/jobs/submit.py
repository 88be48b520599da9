"""Where work is handed in that is done later, and where one asks how far it is."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal
from uuid import uuid4

from tryon_masks.domain.errors import BadRequest, InvalidRequest
from tryon_masks.jobs.task import JOB_METADATA, OPTIONS_METADATA, item_tasks, options_of
from tryon_masks.ports import (
    USER_METADATA,
    Batch,
    Batches,
    BatchFiles,
    BatchRuns,
    Job,
    Jobs,
    MaskTask,
    UploadForm,
    UploadForms,
    UploadTask,
    WorkQueue,
    user_key,
)
from tryon_masks.schema.answers import Progress
from tryon_masks.schema.requests import BatchBody, DataJson, MaskRequestBody, UploadBody
from tryon_masks.settings import MANIFESTS, UPLOADS
from tryon_masks.telemetry import step

_ID = re.compile("[0-9a-f]{32}")


class NotFound(BadRequest):
    """No such path, or no such job or batch of this caller."""

    code: ClassVar[str] = "NOT_FOUND"
    status: ClassVar[int] = 404
    message: ClassVar[str] = "There is nothing at this path."


def _new_id() -> str:
    return uuid4().hex


@dataclass(frozen=True)
class JobSubmitter:
    """Takes jobs for their owners, and says how far they are.

    ``calls_back``: whether answers can be posted to somebody.
    """

    jobs: Jobs
    queue: WorkQueue
    forms: UploadForms
    new_id: Callable[[], str] = _new_id
    calls_back: bool = True

    def submit(self, owner: str, user_id: str, body: MaskRequestBody | DataJson) -> Job:
        """Queue a request for masks.

        Raises
        ------
        InvalidRequest
            The photo comes in the body, or nobody can be called back.
        StateUnavailable
        """
        self._check_callback(body.callback_url)
        photo = body.photo
        if isinstance(photo, bytes):
            raise InvalidRequest(
                "image cannot be sent with Prefer: respond-async; POST /v1/uploads instead."
            )
        task = MaskTask(
            photo=photo,
            user_id=user_id,
            options=options_of(body),
            document=isinstance(body, DataJson),
            include_logs=body.include_logs,
            callback_url=body.callback_url,
        )
        with step("queue_job", "jobs"):
            job = self.jobs.add(self.new_id(), owner, task)
            self.queue.send({"job_id": job.job_id})
        return job

    def create_upload(
        self, owner: str, user_id: str, body: UploadBody
    ) -> tuple[Job, str, UploadForm]:
        """Return a job that is queued from now on, and the key and the form of its upload.

        Raises
        ------
        InvalidRequest
            Nobody can be called back.
        StateUnavailable
        """
        self._check_callback(body.callback_url)
        with step("sign_upload", "jobs"):
            job_id = self.new_id()
            key = f"{UPLOADS}{user_key(owner)}/{job_id}"
            metadata = {
                USER_METADATA: user_id,
                JOB_METADATA: job_id,
                OPTIONS_METADATA: json.dumps(options_of(body)),
            }
            form = self.forms.make(key, body.stored_type, metadata)
            task = UploadTask(key, user_id, body.callback_url)
            return self.jobs.add(job_id, owner, task), key, form

    def get(self, owner: str, job_id: str) -> Job:
        """Return the job, which says how far it is.

        Raises
        ------
        NotFound
            There is none, or it is somebody else's.
        StateUnavailable
        """
        with step("look_up_job", "jobs"):
            job = self.jobs.get(job_id) if _ID.fullmatch(job_id) else None
            if job is None or job.owner != owner:
                raise NotFound("There is no such job.")
            return job

    def _check_callback(self, address: str | None) -> None:
        if address is not None and not self.calls_back:
            raise InvalidRequest("callback_url needs a deployed stack: ask for the job instead.")


@dataclass(frozen=True)
class BatchSubmitter:
    """Takes batches for their owners, and says how far they are.

    ``runs`` is None where no lists of any length are worked off.
    """

    queue: WorkQueue
    batches: Batches
    files: BatchFiles
    runs: BatchRuns | None
    new_id: Callable[[], str] = _new_id

    def submit(self, owner: str, user_id: str | None, body: BatchBody) -> Progress:
        """Queue many requests at once: a worker makes jobs of them, or a run works off a list.

        ``user_id`` is whose all photos are; None: each item says it.

        Raises
        ------
        InvalidRequest
            The list is not the caller's, or no list can be worked off.
        StateUnavailable
        """
        with step("queue_batch", "jobs"):
            batch_id = self.new_id()
            if body.manifest is not None:
                if self.runs is None:
                    raise InvalidRequest("manifest needs a deployed stack: send items instead.")
                own = f"{MANIFESTS}{user_key(owner)}/"
                if not body.manifest.startswith(own):
                    raise InvalidRequest(f"manifest: must be below {own}.")
                batch = self.batches.add(batch_id, owner, None)
                self.runs.start(batch_id, body.manifest, user_id)
                return Progress(batch, "queued", 0, 0, batch.counts)
            tasks = item_tasks(batch_id, user_id, body)
            self.files.put_items(batch_id, tasks)
            batch = self.batches.add(batch_id, owner, len(tasks))
            self.queue.send({"batch_id": batch_id})
            return Progress(batch, "queued", len(tasks), len(tasks), batch.counts)

    def get(self, owner: str, batch_id: str) -> Progress:
        """Return how far the batch is.

        Raises
        ------
        NotFound
            There is none, or it is somebody else's.
        StateUnavailable
        """
        with step("look_up_batch", "jobs"):
            batch = self.batches.get(batch_id) if _ID.fullmatch(batch_id) else None
            if batch is None or batch.owner != owner:
                raise NotFound("There is no such batch.")
            if batch.total is None:
                assert self.runs is not None  # noqa: S101 - it began the batch
                return self._run_progress(batch, self.runs)
            begun = sum(batch.counts.values())
            if batch.results is not None:
                results = [self.files.address(batch.results)]
                return Progress(batch, "done", batch.total, 0, batch.counts, results)
            state: Literal["queued", "running"] = "running" if begun else "queued"
            return Progress(batch, state, batch.total, batch.total - begun, batch.counts)

    def _run_progress(self, batch: Batch, runs: BatchRuns) -> Progress:
        run = runs.get(batch.batch_id)
        counts = self.batches.count_list_items(batch.batch_id, run.total)
        counts["running"] = run.running
        counts["error"] += run.given_up
        results = None
        if run.results is not None:
            results = [self.files.address(key) for key in self.files.parts(run.results)]
        return Progress(batch, run.state, run.total, run.queued, counts, results)


@dataclass(frozen=True)
class Submission:
    """Both ways to hand in work that is done later."""

    jobs: JobSubmitter
    batches: BatchSubmitter
