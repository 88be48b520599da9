"""What workers get: from the queue uploads and jobs, from the state machine lines of lists."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from aws_lambda_powertools.utilities.batch import (
    BatchProcessor,
    EventType,
    process_partial_response,
)
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

from tryon_masks.deadline import time_limit
from tryon_masks.domain.errors import BadRequest, InProgress, UnknownEvent
from tryon_masks.domain.identity import ANONYMOUS, resolve_user_id
from tryon_masks.entrypoints.queue.notices import parsed, uploads_in
from tryon_masks.entrypoints.queue.uploads import Uploads
from tryon_masks.jobs.progress import JobTracker
from tryon_masks.jobs.run import JobRunner
from tryon_masks.jobs.task import item_job_id
from tryon_masks.ports import Job, MaskTask
from tryon_masks.schema.answers import error_for
from tryon_masks.schema.requests import item_name, read_item, read_options
from tryon_masks.service import MaskRequest
from tryon_masks.telemetry import RequestLog, request_log, step

Handler = Callable[[dict[str, Any], Any], dict[str, Any]]

PAUSES_S = (10, 30, 90, 270)
"""Before the second delivery, the third and so on, of what may work then."""


class Worker:
    """Serves the messages of a batch one after the other, and says which must come again.

    Parameters
    ----------
    tries
        How often the queue delivers a message before it gives it up.
    """

    def __init__(
        self,
        runner: JobRunner,
        uploads: Uploads,
        jobs: JobTracker,
        *,
        tries: int,
    ) -> None:
        self._runner = runner
        self._uploads = uploads
        self._jobs = jobs
        self._tries = tries

    def handle(self, event: dict[str, Any], context: Any) -> dict[str, Any]:
        """Handle an event of SQS, with ``ReportBatchItemFailures``, or one line of a list.

        Also for what S3, SNS or EventBridge tell of uploads without a queue between.

        Raises
        ------
        TryonMasksError
            A line of a list, or an upload, may be worked on another time.
        """
        request_id = str(context.aws_request_id)
        with time_limit(context.get_remaining_time_in_millis() / 1000):
            match event:
                case {"batch_id": str(), "number": int(), "item": _, "user_id": _}:
                    return self._line(event)
                case {"Records": [{"messageId": str(), "body": str()}, *_]}:
                    processor = BatchProcessor(EventType.SQS, raise_on_entire_batch_failure=False)
                    answer = process_partial_response(
                        event=event,
                        record_handler=self._message,
                        processor=processor,
                        context=context,
                    )
                    return dict(answer)
            uploads = uploads_in(event)
            if uploads is not None:
                # Lambda itself tries again, and does not say which time it is.
                self._uploads.handle(uploads, request_id, last=False)
                return {"status": "done", "uploads": len(uploads)}
            with (
                suppress(UnknownEvent),
                request_log(request_id, ANONYMOUS),
                step("read_event", "worker"),
            ):
                raise UnknownEvent
            return error_for(UnknownEvent(), request_id).model_dump(mode="json")

    def _line(self, line: Mapping[str, Any]) -> dict[str, Any]:
        """Answer one line of a list, as the state machine's ``ItemSelector`` hands it over.

        What time does not mend is an answer. Anything else is raised, for the state machine to try
        again and to count.
        """
        batch_id, number, given = line["batch_id"], line["number"], line["item"]
        user_id = resolve_user_id(line["user_id"], _text(given, "user_id"))
        answer: dict[str, Any] = {"id": item_name(_text(given, "id"), number), "user_id": user_id}

        def read(log: RequestLog) -> MaskRequest:
            with step("read_line", "worker", batch_id=batch_id, number=number):
                item = read_item(given)
                log.identify(user_id)
                return MaskRequest(item.photo, user_id, item.options())

        def write(made: dict[str, Any], _done: bool) -> None:
            with step("count_line", "worker"):
                answer.update(made)
                self._jobs.batches.finish_line(batch_id, number, made["status"])

        self._runner.run(f"{batch_id}-{number}", read, write, last=False)
        return answer

    def _message(self, record: SQSRecord) -> None:
        delivery = int(record.attributes.approximate_receive_count)
        request_id = f"{record.message_id}-{delivery}"
        try:
            self._serve(record, request_id, last=delivery >= self._tries)
        except InProgress:
            # Whoever is at it may need all the time that the queue gives.
            raise
        except Exception:
            with request_log(request_id, ANONYMOUS), step("try_again_later", "worker"):
                self._jobs.queue.redeliver(
                    record.receipt_handle, PAUSES_S[min(delivery, len(PAUSES_S)) - 1]
                )
            raise

    def _serve(self, record: SQSRecord, request_id: str, *, last: bool) -> None:
        match parsed(record.body):
            case {"job_id": str(job_id)}:
                self._job(job_id, request_id, partial(self._jobs.get, job_id), last=last)
            case {"batch_id": str(batch_id), "number": int(number)}:
                take = partial(self._jobs.batches.take_item, batch_id, number)
                self._job(item_job_id(batch_id, number), request_id, take, last=last)
            case {"batch_id": str(batch_id)}:
                with (
                    request_log(request_id, ANONYMOUS),
                    step("fan_out", "worker", batch_id=batch_id),
                ):
                    self._jobs.batches.fan_out(batch_id)
            case {"callback": str(job_id)}:
                self._call_back(job_id, request_id)
            case notice:
                uploads = uploads_in(notice)
                if uploads:
                    self._uploads.handle(uploads, request_id, last=last)
                    return
                with request_log(request_id, ANONYMOUS):
                    if uploads is not None:
                        with step("ignore_notice", "worker"):
                            return
                    with step("read_message", "worker"):
                        # The queue gives it up after the last try.
                        raise UnknownEvent

    def _job(
        self, job_id: str, request_id: str, take: Callable[[], Job | None], *, last: bool
    ) -> None:
        with request_log(request_id, ANONYMOUS), step("take_job", "worker", job_id=job_id):
            job = take()
            # One that was given up comes again only when somebody sends it from that queue.
            if job is None:
                return
            if job.done:
                # Whoever did it may have died before it was counted.
                self._jobs.batches.settle(job)
                return
            self._jobs.start(job)
        task = job.task
        # An upload's job is done when S3 tells of the upload: no message names it.
        assert isinstance(task, MaskTask)  # noqa: S101

        def read(log: RequestLog) -> MaskRequest:
            log.identify(task.user_id)
            return MaskRequest(task.photo, task.user_id, read_options(task.options))

        def write(answer: dict[str, Any], done: bool) -> None:
            with step("write_answer", "worker"):
                self._jobs.finish(job, answer, done=done)

        self._runner.run(
            request_id,
            read,
            write,
            last=last,
            document=task.document,
            include_logs=task.include_logs,
        )

    def _call_back(self, job_id: str, request_id: str) -> None:
        # An address that is not allowed stays so. The log says it; nobody else would hear of it.
        with (
            suppress(BadRequest),
            request_log(request_id, ANONYMOUS),
            step("call_back", "worker", job_id=job_id),
        ):
            self._jobs.call_back(job_id, request_id)


def _text(item: object, name: str) -> str | None:
    value = item.get(name) if isinstance(item, Mapping) else None
    return value if isinstance(value, str) else None
