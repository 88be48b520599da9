"""One request away from any caller: read, make, write the answer; once more if it may then work."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from tryon_masks.domain.errors import BadRequest, TryonMasksError
from tryon_masks.domain.identity import ANONYMOUS
from tryon_masks.ports import StepLog
from tryon_masks.schema.answers import ErrorAnswer, MaskAnswer, answer_for, error_for
from tryon_masks.service import MaskRequest, MaskService
from tryon_masks.telemetry import RequestLog, request_log

Read = Callable[[RequestLog], MaskRequest]
Write = Callable[[dict[str, Any], bool], None]
"""Gets the answer, and whether it stays: an error that may pass does not."""


class JobRunner:
    """Makes masks for workers."""

    def __init__(self, service: MaskService, step_log: StepLog | None = None) -> None:
        self._service = service
        self._step_log = step_log

    def run(
        self,
        request_id: str,
        read: Read,
        write: Write,
        *,
        last: bool,
        document: bool = False,
        include_logs: bool = False,
    ) -> None:
        """Read a request, make its masks and write the answer.

        Raises
        ------
        Exception
            Anything but a BadRequest; it may work another time. Only on the ``last`` try is the
            error written as an answer first.
        """
        started = time.perf_counter()
        with request_log(request_id, ANONYMOUS, self._step_log) as log:
            answer: MaskAnswer | ErrorAnswer
            failure: Exception | None = None
            try:
                result = self._service.make(read(log), log)
                log.flush()
                answer = answer_for(
                    result,
                    log,
                    time.perf_counter() - started,
                    document=document,
                    include_logs=include_logs,
                )
            except BadRequest as error:
                log.flush()
                answer = error_for(error, request_id, log.saved)
            except Exception as error:
                if not last:
                    raise
                failure = error
                public = error if isinstance(error, TryonMasksError) else TryonMasksError()
                log.flush()
                answer = error_for(public, request_id, log.saved)
            write(answer.model_dump(mode="json", by_alias=True), failure is None)
            if failure is not None:
                raise failure
