"""The S3 way in: an uploaded photo or ``data.json`` becomes masks and a JSON answer beside it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote_plus

from aws_lambda_powertools.utilities.data_classes import S3Event

from tryon_masks.adapters.s3 import S3Objects
from tryon_masks.deadline import time_limit
from tryon_masks.domain.errors import BadRequest, InvalidRequest
from tryon_masks.entrypoints.schema import (
    ErrorAnswer,
    MaskAnswer,
    answer_for,
    error_for,
    photo_of_document,
    read_options,
    read_user_id,
)
from tryon_masks.ports import StepLog
from tryon_masks.service import MaskRequest, MaskService
from tryon_masks.telemetry import ANONYMOUS, RequestLog, request_log, step

Handler = Callable[[dict[str, Any], Any], None]

DOCUMENT_ENDING = ".json"


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
        service: MaskService,
        objects: S3Objects,
        *,
        results_prefix: str,
        mask_folder: tuple[str, str] | None,
        max_bytes: int,
        step_log: StepLog | None = None,
    ) -> None:
        self._service = service
        self._objects = objects
        self._results_prefix = results_prefix
        self._mask_folder = mask_folder
        self._max_bytes = max_bytes
        self._step_log = step_log

    def handle(self, event: dict[str, Any], context: Any) -> None:
        """Lambda's handler for S3 notifications.

        What the uploader can mend is written as the answer. Anything else is raised after the
        last record, so that Lambda delivers the event again; a record done twice has the same
        masks and the same answer.

        Raises
        ------
        Unavailable
            And any unexpected error; an ExceptionGroup of them where several records failed.
        """
        with time_limit(context.get_remaining_time_in_millis() / 1000):
            self._records(event, context.aws_request_id)

    def _records(self, event: dict[str, Any], invocation: str) -> None:
        failed: list[Exception] = []
        for number, record in enumerate(S3Event(event).records, start=1):
            request_id = f"{invocation}-{number}"
            try:
                key = unquote_plus(record.s3.get_object.key)
                self._record(record.s3.bucket.name, key, request_id)
            except Exception as error:  # noqa: BLE001 - raised below; the next record is due first
                failed.append(error)
        if len(failed) == 1:
            raise failed[0]
        if failed:
            raise ExceptionGroup("Several uploads must be delivered again.", failed)

    def _record(self, bucket: str, key: str, request_id: str) -> None:
        if self._is_ours(bucket, key):
            with request_log(request_id, ANONYMOUS), step("ignore_upload", "worker", key=key):
                return
        started = time.perf_counter()
        with request_log(request_id, ANONYMOUS, self._step_log) as log:
            answer: MaskAnswer | ErrorAnswer
            try:
                request = self._read(bucket, key, log)
                result = self._service.make(request, log)
                log.flush()
                answer = answer_for(
                    result, log, time.perf_counter() - started, document=_is_document(key)
                )
            except BadRequest as error:
                log.flush()
                answer = error_for(error, request_id, log.saved)
            with step("write_result", "worker"):
                document = answer.model_dump(mode="json", by_alias=True)
                self._objects.put_json(bucket, f"{self._results_prefix}{key}.json", document)

    def _is_ours(self, bucket: str, key: str) -> bool:
        if key.startswith(self._results_prefix):
            return True
        if self._mask_folder is None:
            return False
        mask_bucket, prefix = self._mask_folder
        return bucket == mask_bucket and key.startswith(f"{prefix}/")

    def _read(self, bucket: str, key: str, log: RequestLog) -> MaskRequest:
        with step("read_upload", "worker", key=key):
            data, metadata = self._objects.get(bucket, key, self._max_bytes)
            user_id = read_user_id(metadata.get("user-id", ANONYMOUS))
            log.identify(user_id)
            photo = photo_of_document(data) if _is_document(key) else data
            return MaskRequest(photo, user_id, read_options(_options(metadata)))


def _is_document(key: str) -> bool:
    return key.endswith(DOCUMENT_ENDING)


def _options(metadata: Mapping[str, str]) -> dict[str, Any]:
    """The options in an object's metadata: ``options`` as JSON, ``masks`` and ``profile`` plain."""
    try:
        options = json.loads(metadata.get("options", "{}"))
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
