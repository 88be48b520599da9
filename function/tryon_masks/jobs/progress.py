"""The workers' side of jobs and batches: begin a job, give it its answer, tell whoever waits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tryon_masks.domain.errors import CallbackFailed
from tryon_masks.jobs.task import item_job_id, item_of
from tryon_masks.ports import Batches, BatchFiles, Callbacks, Job, Jobs, JobState, WorkQueue
from tryon_masks.schema.answers import job_answer
from tryon_masks.telemetry import step


@dataclass(frozen=True)
class BatchTracker:
    """What workers say of batches: which items there are, and how far each is."""

    jobs: Jobs
    queue: WorkQueue
    batches: Batches
    files: BatchFiles

    def fan_out(self, batch_id: str) -> None:
        """Queue every item of a batch. Once more does no harm."""
        batch = self.batches.get(batch_id)
        if batch is None or batch.total is None:
            return
        # Numbers alone: from a queue nothing can be erased.
        self.queue.send_all(
            [{"batch_id": batch_id, "number": number} for number in range(batch.total)]
        )

    def take_item(self, batch_id: str, number: int) -> Job | None:
        """Return the job that a batch's item is; it is made when it is first asked for.

        None where the batch was forgotten, or the item erased, which counts as an error.
        """
        job_id = item_job_id(batch_id, number)
        job = self.jobs.get(job_id)
        if job is not None:
            return job
        batch = self.batches.get(batch_id)
        if batch is None:
            return None
        for task in self.files.items(batch_id):
            # The others keep their numbers when one is erased.
            if task.item is not None and task.item.number == number:
                return self.jobs.add(job_id, batch.owner, task)
        self._count(batch_id, number, "error")
        return None

    def start_item(self, job: Job) -> None:
        """Mark the item that a job is, if it is one, as running."""
        if (item := item_of(job.task)) is not None:
            self.batches.set_item_state(item.batch_id, item.number, "running")

    def settle(self, job: Job) -> None:
        """Count a job that has its answer in its batch; the last one writes the results."""
        if (item := item_of(job.task)) is not None:
            self._count(item.batch_id, item.number, job.state)

    def _count(self, batch_id: str, number: int, state: JobState) -> None:
        batch = self.batches.set_item_state(batch_id, number, state)
        if batch is None or batch.total is None or not batch.answered or batch.results is not None:
            return
        with step("write_results", "worker", batch_id=batch_id):
            job_ids = [item_job_id(batch_id, place) for place in range(batch.total)]
            jobs = self.jobs.get_all(job_ids)
            # Those that are not there any more were erased.
            left = [jobs[job_id] for job_id in job_ids if job_id in jobs]
            lines = (
                {"id": item.name, "user_id": job.task.user_id, **(job.answer or {})}
                for job in left
                if (item := item_of(job.task)) is not None
            )
            self.batches.close(batch_id, self.files.put_results(batch_id, lines))

    def finish_line(self, batch_id: str, number: int, state: JobState) -> None:
        """Record the state of one line of a list."""
        self.batches.set_list_item_state(batch_id, number, state)


@dataclass(frozen=True)
class JobTracker:
    """What workers say of jobs: begun, answered, told to whoever waits."""

    jobs: Jobs
    queue: WorkQueue
    callbacks: Callbacks
    batches: BatchTracker

    def get(self, job_id: str) -> Job | None:
        """Return the job, or None."""
        return self.jobs.get(job_id)

    def start(self, job: Job) -> None:
        """Mark the job as running."""
        self.jobs.update(job.job_id, "running")
        self.batches.start_item(job)

    def finish(self, job: Job, answer: dict[str, Any], *, done: bool) -> None:
        """Give the job its answer; its callback is queued. ``done``: it keeps that answer."""
        if job.task.callback_url is not None:
            # First: of a job that has its answer nothing more is done. Too early is tried again.
            self.queue.send({"callback": job.job_id})
        self.jobs.update(job.job_id, answer["status"], answer, done=done)
        if item_of(job.task) is not None:
            # Another may have given it another answer meanwhile, which stays.
            answered = self.jobs.get(job.job_id)
            if answered is not None:
                self.batches.settle(answered)

    def call_back(self, job_id: str, request_id: str) -> None:
        """Post the job to its callback address.

        Raises
        ------
        UrlNotAllowed, CallbackFailed
        """
        job = self.jobs.get(job_id)
        if job is None or job.task.callback_url is None:
            return
        if job.answer is None:
            raise CallbackFailed(detail="the job is not done yet")
        body = job_answer(job, request_id).model_dump_json()
        self.callbacks.post(job.task.callback_url, body.encode())
