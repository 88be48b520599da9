"""The S3 way in: an uploaded photo or ``data.json`` becomes masks and a JSON answer beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tryon_masks.domain.errors import InvalidRequest, PhotoNotFound
from tryon_masks.domain.identity import ANONYMOUS, check_user_id
from tryon_masks.entrypoints.queue.notices import Upload
from tryon_masks.jobs.progress import JobTracker
from tryon_masks.jobs.run import JobRunner
from tryon_masks.jobs.task import JOB_METADATA, OPTIONS_METADATA
from tryon_masks.ports import USER_METADATA, Job, Objects, UploadTask
from tryon_masks.schema.requests import photo_of_document, read_options
from tryon_masks.service import MaskRequest
from tryon_masks.telemetry import RequestLog, request_log, step

DOCUMENT_ENDING = ".json"
FOLDER_ENDINGS = ("/", "_$folder$")
"""Ends of the keys of the empty objects that stand for folders on S3."""


class Uploads:
    """Makes masks from uploaded objects.

    Parameters
    ----------
    results_prefix
        Answers go to ``{results_prefix}{key}.json`` in the upload's own bucket.
    mask_folder
        (bucket, prefix) of the masks when they are kept in S3 too; None: they are kept elsewhere.
    max_bytes
        Of one upload.
    """

    def __init__(
        self,
        runner: JobRunner,
        objects: Objects,
        jobs: JobTracker,
        *,
        results_prefix: str,
        mask_folder: tuple[str, str] | None,
        max_bytes: int,
    ) -> None:
        self._runner = runner
        self._objects = objects
        self._jobs = jobs
        self._results_prefix = results_prefix
        self._mask_folder = mask_folder
        self._max_bytes = max_bytes

    def handle(self, uploads: Sequence[Upload], request_id: str, *, last: bool) -> None:
        """Serve every upload that one notice tells of.

        What the uploader can mend is written as the answer. Anything else is raised after the
        last record, so that the event is delivered again; on the ``last`` delivery it is written
        as well. A record done twice has the same masks and the same answer.

        Raises
        ------
        InProgress, Unavailable
            And any unexpected error; an ExceptionGroup of them where several records failed.
        """
        failed: list[Exception] = []
        for number, (bucket, key) in enumerate(uploads, start=1):
            try:
                self._upload(bucket, key, f"{request_id}-{number}", last=last)
            except Exception as error:  # noqa: BLE001 - raised below; the next record is due first
                failed.append(error)
        if len(failed) == 1:
            raise failed[0]
        if failed:
            raise ExceptionGroup("Several uploads must be delivered again.", failed)

    def _upload(self, bucket: str, key: str, request_id: str, *, last: bool) -> None:
        if key.endswith(FOLDER_ENDINGS) or self._is_ours(bucket, key):
            with request_log(request_id, ANONYMOUS), step("ignore_upload", "worker", key=key):
                return
        job: Job | None = None
        whose: dict[str, str] = {}

        def read(log: RequestLog) -> MaskRequest:
            nonlocal job
            with step("read_upload", "worker", key=key):
                try:
                    data, metadata = self._objects.get(bucket, key, self._max_bytes)
                except PhotoNotFound:
                    # The metadata is gone with it.
                    if (job := self._job_of(key)) is not None:
                        log.identify(job.task.user_id)
                        whose[USER_METADATA] = job.task.user_id
                    raise
                job = self._job(key, metadata)
                user_id = check_user_id(metadata.get(USER_METADATA, ANONYMOUS))
                log.identify(user_id)
                whose[USER_METADATA] = user_id
                photo = photo_of_document(data) if _is_document(key) else data
                return MaskRequest(photo, user_id, read_options(_options(metadata)))

        def write(answer: dict[str, Any], done: bool) -> None:
            with step("write_result", "worker"):
                self._objects.put_json(bucket, f"{self._results_prefix}{key}.json", answer, whose)
                if job is not None:
                    self._jobs.finish(job, answer, done=done)

        self._runner.run(request_id, read, write, last=last, document=_is_document(key))

    def _job(self, key: str, metadata: Mapping[str, str]) -> Job | None:
        """Return the job that a form began, where the upload came by one."""
        job_id = metadata.get(JOB_METADATA)
        if job_id is None:
            return None
        job = self._jobs.get(job_id)
        if job is None:
            return None
        if not _is_for(job, key):
            raise InvalidRequest(f"The metadata {JOB_METADATA} is another upload's.")
        self._jobs.start(job)
        return job

    def _job_of(self, key: str) -> Job | None:
        """Return the job whose form the upload came by; the key ends with its number."""
        job = self._jobs.get(key.rpartition("/")[2])
        return job if job is not None and _is_for(job, key) else None

    def _is_ours(self, bucket: str, key: str) -> bool:
        if key.startswith(self._results_prefix):
            return True
        if self._mask_folder is None:
            return False
        mask_bucket, prefix = self._mask_folder
        return bucket == mask_bucket and key.startswith(f"{prefix}/")


def _is_for(job: Job, key: str) -> bool:
    return isinstance(job.task, UploadTask) and job.task.upload == key


def _is_document(key: str) -> bool:
    return key.endswith(DOCUMENT_ENDING)


def _options(metadata: Mapping[str, str]) -> dict[str, Any]:
    """Read the options in an object's metadata: ``options`` as JSON, ``masks`` and ``profile``
    plain.
    """
    try:
        options = json.loads(metadata.get(OPTIONS_METADATA, "{}"))
    except (ValueError, RecursionError) as error:
        raise InvalidRequest("The metadata options is not JSON.") from error
    if not isinstance(options, dict):
        raise InvalidRequest("The metadata options must be one JSON object.")
    given: dict[str, Any] = {}
    if "masks" in metadata:
        given["masks"] = [name.strip() for name in metadata["masks"].split(",")]
    if "profile" in metadata:
        given["profile"] = metadata["profile"]
    if twice := options.keys() & given.keys():
        raise InvalidRequest(f"The metadata gives these twice: {', '.join(sorted(twice))}.")
    return options | given
