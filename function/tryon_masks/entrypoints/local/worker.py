"""Jobs, uploads and batches of a server on somebody's own machine: the worker of Lambda."""

from __future__ import annotations

import threading
from typing import Any
from uuid import uuid4

from tryon_masks.adapters.memory_jobs import Delivery
from tryon_masks.entrypoints.queue.messages import Worker
from tryon_masks.entrypoints.queue.uploads import Uploads
from tryon_masks.jobs.run import JobRunner
from tryon_masks.settings import RESULTS
from tryon_masks.wiring import LocalParts

TIME_S = 300.0
"""Seconds that one call of the API or the worker has: nobody's gateway hangs up here."""


class LocalContext:
    """Lambda's context, as far as the API and the worker ask for it."""

    def __init__(self) -> None:
        self.aws_request_id = uuid4().hex

    def get_remaining_time_in_millis(self) -> int:
        """Return the whole time of a call."""
        return int(TIME_S * 1000)


class LocalWorker:
    """A thread that takes messages until it is stopped, and hands them on as SQS does.

    Parameters
    ----------
    tries
        How often a message is delivered before it is given up.
    """

    def __init__(self, parts: LocalParts, tries: int) -> None:
        runner = JobRunner(parts.service)
        uploads = Uploads(
            runner,
            parts.uploads,
            parts.tracker,
            results_prefix=RESULTS,
            mask_folder=None,
            max_bytes=parts.uploads.max_bytes,
        )
        self._queue = parts.queue
        self._worker = Worker(runner, uploads, parts.tracker, tries=tries)
        self._tries = tries
        self._thread = threading.Thread(target=self._run, name="worker", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def stop(self) -> None:
        """End after the work that waits already; what is put off to be tried again is lost."""
        self._queue.close()
        self._thread.join()

    def _run(self) -> None:
        while (delivery := self._queue.take()) is not None:
            answer = self._worker.handle(_event(delivery), LocalContext())
            if answer["batchItemFailures"] and delivery.count < self._tries:
                self._queue.deliver_again(delivery)


def _event(delivery: Delivery) -> dict[str, Any]:
    record = {
        "messageId": delivery.message_id,
        "receiptHandle": delivery.message_id,
        "body": delivery.text,
        "attributes": {"ApproximateReceiveCount": str(delivery.count)},
    }
    return {"Records": [record]}
