"""The workers' side of jobs: begin one, give it its answer, tell whoever wants to know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tryon_masks.domain.errors import CallbackFailed
from tryon_masks.entrypoints.desk import CALLBACK
from tryon_masks.entrypoints.schema import job_answer
from tryon_masks.ports import Callbacks, Job, Jobs, WorkQueue


@dataclass(frozen=True)
class JobDesk:
    """What a worker does with jobs."""

    jobs: Jobs
    queue: WorkQueue
    callbacks: Callbacks

    def get(self, job_id: str) -> Job | None:
        """The job, or None."""
        return self.jobs.get(job_id)

    def start(self, job_id: str) -> None:
        """Say that somebody is at it."""
        self.jobs.update(job_id, "running")

    def finish(self, job: Job, answer: dict[str, Any]) -> None:
        """Give the job its answer; its callback is queued."""
        if job.task[CALLBACK] is not None:
            # First: of a job that has its answer nothing more is done. Too early is tried again.
            self.queue.send({"callback": job.job_id})
        self.jobs.update(job.job_id, answer["status"], answer)

    def call_back(self, job_id: str, request_id: str) -> None:
        """Post the job to its callback address.

        Raises
        ------
        UrlNotAllowed, CallbackFailed
        """
        job = self.jobs.get(job_id)
        if job is None:
            return
        if job.answer is None:
            raise CallbackFailed(detail="the job is not done yet")
        body = job_answer(job, request_id).model_dump_json()
        self.callbacks.post(job.task[CALLBACK], body.encode())
