"""The HTTP API: routes, errors and who asks; no AWS beyond API Gateway's event."""

from __future__ import annotations

import base64
import binascii
import json
import platform
import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Annotated, Any, ClassVar, NoReturn, TypeVar

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response, content_types
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError
from aws_lambda_powertools.event_handler.openapi.params import Body as InBody
from aws_lambda_powertools.event_handler.openapi.params import Header
from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEventV2
from pydantic import BaseModel

from tryon_masks import __version__
from tryon_masks.deadline import time_limit
from tryon_masks.domain.errors import (
    BadRequest,
    InProgress,
    InvalidRequest,
    LogUnavailable,
    TryonMasksError,
    UnknownEvent,
)
from tryon_masks.domain.identity import ANONYMOUS, resolve_user_id
from tryon_masks.entrypoints.http.caller import Caller
from tryon_masks.entrypoints.http.events import read_call
from tryon_masks.jobs.submit import NotFound, Submission
from tryon_masks.ports import Job, StepLog
from tryon_masks.schema.answers import (
    BatchAnswer,
    ErrorAnswer,
    FormAnswer,
    HealthAnswer,
    JobAnswer,
    MaskAnswer,
    UploadAnswer,
    answer_for,
    batch_answer,
    error_for,
    job_answer,
)
from tryon_masks.schema.requests import (
    BatchBody,
    Body,
    DataJson,
    MaskRequestBody,
    UploadBody,
    invalid,
    mask_request,
)
from tryon_masks.service import MaskService
from tryon_masks.telemetry import RequestLog, request_log, step

T = TypeVar("T")
Handler = Callable[[dict[str, Any], Any], dict[str, Any]]

MASKS = "/v1/masks"
ROOT = "/"
UPLOADS = "/v1/uploads"
JOB_PATH = "/v1/jobs/{job_id}"
BATCHES = "/v1/batches"
BATCH_PATH = "/v1/batches/{batch_id}"
HEALTH = "/v1/health"
POLL_S = 2
"""What ``Retry-After`` says of a job that is not done."""
Prefer = Annotated[
    str | None, Header(description="respond-async: answer at once, with where to ask later.")
]
_JSON_TYPE = re.compile(r"(application/json|text/json|application/[\w.-]+\+json)?", re.IGNORECASE)
"""Content types of a body; without one it is taken to be JSON."""
REQUEST_ID_HEADER = "x-request-id"
SIGNED_IN = "token"
"""The security scheme of the routes that make masks."""
METHODS = {
    MASKS: "POST",
    ROOT: "POST",
    UPLOADS: "POST",
    JOB_PATH: "GET",
    BATCHES: "POST",
    BATCH_PATH: "GET",
    HEALTH: "GET",
}
_PATHS = {JOB_PATH: re.compile(r"/v1/jobs/[^/]+"), BATCH_PATH: re.compile(r"/v1/batches/[^/]+")}


class MethodNotAllowed(BadRequest):
    """The path exists, but not with this method."""

    code: ClassVar[str] = "METHOD_NOT_ALLOWED"
    status: ClassVar[int] = 405
    message: ClassVar[str] = "This path does not take this method."


def _json_object(text: str) -> dict[str, Any]:
    try:
        body = json.loads(text.removeprefix("\ufeff"))
    except (ValueError, RecursionError) as error:
        raise InvalidRequest("The body is not JSON.") from error
    if not isinstance(body, dict):
        # Of a list the framework would take the first item.
        raise InvalidRequest("The body must be one JSON object.")
    return body


resolver = APIGatewayHttpResolver(
    enable_validation=True,
    response_validation_error_http_code=500,
    json_body_deserializer=_json_object,
)


def _error_doc(description: str) -> dict[str, Any]:
    return {"description": description, **_content(ErrorAnswer)}


def _content(model: type[BaseModel]) -> dict[str, Any]:
    return {"content": {content_types.APPLICATION_JSON: {"model": model}}}


_RESPONSES: dict[int, Any] = {
    200: {
        "description": "All masks (success) or some (partial) were made.",
        **_content(MaskAnswer),
    },
    400: _error_doc("A field is missing, unknown or out of range, or the address is not allowed."),
    202: {
        "description": "With Prefer: respond-async. Location says where to ask for the answer.",
        **_content(JobAnswer),
    },
    401: _error_doc("Nobody is signed in."),
    409: _error_doc("The same request is being worked on: ask again after Retry-After seconds."),
    413: _error_doc("The photo has too many bytes or pixels."),
    415: _error_doc("The photo is not a JPEG, PNG, WebP, AVIF or HEIC image."),
    422: {
        "description": "No mask can be made from this photo (refused), or its file is damaged.",
        "content": {
            content_types.APPLICATION_JSON: {
                "schema": {
                    "anyOf": [
                        {"$ref": "#/components/schemas/MaskAnswer"},
                        {"$ref": "#/components/schemas/ErrorAnswer"},
                    ]
                }
            }
        },
    },
    502: _error_doc("The photo's host or the mask store failed."),
    503: _error_doc(
        "The log or the service's own records cannot be reached, so nothing was started; or the "
        "masks are stored, but not in the user's profile. Send it again."
    ),
    504: _error_doc("The photo's host, the mask store or the work itself was not done in time."),
}


_UPLOAD_RESPONSES: dict[int, Any] = {
    201: {"description": "A form for one photo.", **_content(UploadAnswer)},
    **{status: _RESPONSES[status] for status in (400, 401, 503)},
}

_JOB_RESPONSES: dict[int, Any] = {
    200: {"description": "How far the job is, and its answer.", **_content(JobAnswer)},
    401: _RESPONSES[401],
    404: _error_doc("There is no such job of this caller, or none any more."),
    503: _RESPONSES[503],
}

_BATCHES_RESPONSES: dict[int, Any] = {
    202: {"description": "Taken. Location says where to ask for it.", **_content(BatchAnswer)},
    **{status: _RESPONSES[status] for status in (400, 401, 503)},
}

_BATCH_RESPONSES: dict[int, Any] = {
    200: {
        "description": "How far the batch is, and where its results are.",
        **_content(BatchAnswer),
    },
    401: _RESPONSES[401],
    404: _error_doc("There is no such batch of this caller, or none any more."),
    503: _RESPONSES[503],
}

_HEALTH_RESPONSES: dict[int, Any] = {
    200: {"description": "Ready for requests.", **_content(HealthAnswer)}
}


@resolver.post(
    MASKS,
    summary="Make masks from one photo",
    operation_id="make_masks",
    responses=_RESPONSES,
    security=[{SIGNED_IN: []}],
)
def post_masks(
    body: Annotated[Body, InBody()], prefer: Prefer = None
) -> Response[MaskAnswer | JobAnswer]:
    """One photo in, its masks out: now, or later with Prefer: respond-async."""
    return _make(body, prefer)


@resolver.post(
    ROOT,
    summary="Make masks from one photo: the same under the address of older clients",
    operation_id="make_masks_at_root",
    responses=_RESPONSES,
    security=[{SIGNED_IN: []}],
)
def post_root(
    body: Annotated[Body, InBody()], prefer: Prefer = None
) -> Response[MaskAnswer | JobAnswer]:
    """The same as POST /v1/masks."""
    return _make(body, prefer)


@resolver.post(
    UPLOADS,
    summary="Get a form to upload one photo with, straight to S3",
    operation_id="upload",
    responses=_UPLOAD_RESPONSES,
    security=[{SIGNED_IN: []}],
)
def post_uploads(body: Annotated[UploadBody, InBody()]) -> Response[UploadAnswer]:
    """For photos that are too large for a request."""
    call = _call()
    user_id = call.identify(body.user_id)
    owner = call.owner()
    job, key, form = call.submission.jobs.create_upload(owner, user_id, body)
    call.log.flush()
    answer = UploadAnswer(
        job_id=job.job_id,
        job=_job_path(job),
        key=key,
        upload=FormAnswer(url=form.url, fields=form.fields),
        max_bytes=call.submission.jobs.forms.max_bytes,
        expires_in=call.submission.jobs.forms.lifetime_s,
        request_id=call.log.request_id,
    )
    return _response(answer, 201, {"Location": call.mapping + answer.job})


@resolver.get(
    "/v1/jobs/<job_id>",
    summary="How far a job is, and its answer",
    operation_id="job",
    responses=_JOB_RESPONSES,
    security=[{SIGNED_IN: []}],
)
def get_job(job_id: str) -> Response[JobAnswer]:
    """Only its owner can look a job up."""
    call = _call()
    owner = call.owner()
    job = call.submission.jobs.get(owner, job_id)
    call.log.flush()
    waiting = {"Retry-After": str(POLL_S)} if job.answer is None else {}
    return _response(job_answer(job, call.log.request_id), 200, waiting)


@resolver.post(
    BATCHES,
    summary="Hand in many photos at once",
    operation_id="batches",
    responses=_BATCHES_RESPONSES,
    security=[{SIGNED_IN: []}],
)
def post_batches(body: Annotated[BatchBody, InBody()]) -> Response[BatchAnswer]:
    """Each photo is a job of its own; the answers come together in one file."""
    call = _call()
    call.identify(None)
    owner = call.owner()
    progress = call.submission.batches.submit(owner, call.caller.user_id, body)
    call.log.flush()
    path = BATCH_PATH.format(batch_id=progress.batch.batch_id)
    headers = {"Location": call.mapping + path}
    return _response(batch_answer(progress, call.log.request_id), 202, headers)


@resolver.get(
    "/v1/batches/<batch_id>",
    summary="How far a batch is, and where its results are",
    operation_id="batch",
    responses=_BATCH_RESPONSES,
    security=[{SIGNED_IN: []}],
)
def get_batch(batch_id: str) -> Response[BatchAnswer]:
    """Only its owner can look a batch up."""
    call = _call()
    owner = call.owner()
    progress = call.submission.batches.get(owner, batch_id)
    call.log.flush()
    ended = progress.state in ("done", "failed")
    waiting = {} if ended else {"Retry-After": str(POLL_S)}
    return _response(batch_answer(progress, call.log.request_id), 200, waiting)


@resolver.get(
    HEALTH,
    summary="Which models are loaded",
    operation_id="health",
    responses=_HEALTH_RESPONSES,
)
def get_health() -> Response[HealthAnswer]:
    """Answered only once the models are loaded and warm."""
    call = _call()
    versions = {
        "tryon-masks": __version__,
        "onnxruntime": version("onnxruntime"),
        "python": platform.python_version(),
    }
    answer = HealthAnswer(
        request_id=call.log.request_id,
        ready=True,
        model_set=call.service.vision.model_set,
        versions=versions,
    )
    return _response(answer, 200)


@dataclass(frozen=True)
class _Call:
    """What a route needs beside the body.

    ``mapping`` is what stands before the routes' paths where the caller asked.
    """

    service: MaskService
    submission: Submission
    caller: Caller
    log: RequestLog
    mapping: str = ""
    started: float = field(default_factory=time.perf_counter)

    def owner(self) -> str:
        """Return the owner of the caller's jobs, uploads and batches.

        Raises
        ------
        NotSignedIn
        """
        with step("check_request", "api"):
            return self.caller.known()

    def identify(self, user_id: str | None) -> str:
        """Resolve whose request it is, and name that user in the log from now on."""
        user_id = resolve_user_id(self.caller.user_id, user_id)
        self.log.identify(user_id)
        return user_id


def _call() -> _Call:
    call: _Call = resolver.context["call"]
    return call


def _make(body: MaskRequestBody | DataJson, prefer: str | None) -> Response[MaskAnswer | JobAnswer]:
    call = _call()
    if "respond-async" in (wish.strip().lower() for wish in (prefer or "").split(",")):
        return _make_later(call, body)
    user_id = call.identify(body.user_id)
    with step("check_request", "api"):
        if body.callback_url is not None:
            raise InvalidRequest("callback_url needs the header Prefer: respond-async.")
        request = mask_request(body, user_id)
    result = call.service.make(request, call.log)
    call.log.flush()
    answer = answer_for(
        result,
        call.log,
        time.perf_counter() - call.started,
        document=isinstance(body, DataJson),
        include_logs=body.include_logs,
    )
    return _response(answer, 422 if result.status == "refused" else 200)


def _make_later(call: _Call, body: MaskRequestBody | DataJson) -> Response[MaskAnswer | JobAnswer]:
    user_id = call.identify(body.user_id)
    owner = call.owner()
    job = call.submission.jobs.submit(owner, user_id, body)
    call.log.flush()
    headers = {"Location": call.mapping + _job_path(job), "Preference-Applied": "respond-async"}
    return _response(job_answer(job, call.log.request_id), 202, headers)


def _job_path(job: Job) -> str:
    return JOB_PATH.format(job_id=job.job_id)


def _response(answer: T, status: int, more: Mapping[str, str] | None = None) -> Response[T]:
    headers = {REQUEST_ID_HEADER: _call().log.request_id, **(more or {})}
    return Response(status, content_types.APPLICATION_JSON, answer, headers)


def _raise(error: Exception) -> NoReturn:
    """Say the framework's errors in our terms; :func:`create_handler` answers them all."""
    if not isinstance(error, (RequestValidationError, NotFoundError)):
        raise error
    with step("check_request", "api"):
        if isinstance(error, RequestValidationError):
            raise invalid(error.errors()) from error
        asked = resolver.current_event
        right = _method_of(asked.path)
        # With the right method too: no route takes a number with odd characters in it.
        raise (NotFound if right in (None, asked.http_method) else MethodNotAllowed) from error


def _method_of(path: str) -> str | None:
    named = (name for name, pattern in _PATHS.items() if pattern.fullmatch(path))
    return METHODS.get(next(named, path))


resolver.exception_handler(Exception)(_raise)


def create_handler(
    service: MaskService, submission: Submission, step_log: StepLog | None = None
) -> Handler:
    """Return the Lambda handler for API Gateway's HTTP APIs, its REST APIs and function URLs."""

    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        try:
            call = read_call(event)
        except UnknownEvent as error:
            request_id = str(context.aws_request_id)
            with (
                suppress(UnknownEvent),
                request_log(request_id, ANONYMOUS),
                step("read_event", "api"),
            ):
                raise error
            return _error_response(error, error_for(error, request_id))
        answer = handle(call.event, context, call.mapping)
        if call.of_rest_api:
            # REST APIs take no other members than their own.
            answer.pop("cookies", None)
        return answer

    def handle(event: dict[str, Any], context: Any, mapping: str) -> dict[str, Any]:
        request_id: str = event["requestContext"]["requestId"]
        caller = Caller.from_request_context(event["requestContext"])
        left = context.get_remaining_time_in_millis() / 1000
        # A health probe a minute is not worth a document each.
        probe = APIGatewayProxyEventV2(event).path == HEALTH
        try:
            with (
                time_limit(left),
                request_log(request_id, caller.name, None if probe else step_log) as log,
            ):
                call = _Call(service, submission, caller, log, mapping)
                return _answer(event, context, call)
        except LogUnavailable as error:
            return _error_response(error, error_for(error, request_id, log_saved=False))

    return handler


def _answer(event: dict[str, Any], context: Any, call: _Call) -> dict[str, Any]:
    try:
        with step("read_request", "api"):
            call.caller.check()
            event = _with_json_body(event)
        resolver.context["call"] = call
        return resolver.resolve(event, context)
    except TryonMasksError as error:
        public = error
    except Exception as error:
        public = TryonMasksError()
        # It may come from outside every step, and only steps are logged.
        with suppress(Exception), step("answer_request", "api"):
            raise error
    call.log.flush()
    response = _error_response(public, error_for(public, call.log.request_id, call.log.saved))
    if isinstance(public, MethodNotAllowed):
        response["headers"]["Allow"] = _method_of(APIGatewayProxyEventV2(event).path)
    return response


def _with_json_body(event: dict[str, Any]) -> dict[str, Any]:
    """Return the event with its body as text. The framework would take forms as well."""
    body, given = event.get("body"), event.get("headers", {})
    kind = APIGatewayProxyEventV2(event).headers.get("content-type", "")
    if body and not _JSON_TYPE.fullmatch(kind.partition(";")[0].strip()):
        raise InvalidRequest("Send the body with content-type: application/json.")
    headers = {name: value for name, value in given.items() if name.lower() != "content-type"}
    event = {**event, "headers": {**headers, "content-type": content_types.APPLICATION_JSON}}
    if not body:
        return event
    if not event.get("isBase64Encoded"):
        return event
    try:
        text = base64.b64decode(body, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise InvalidRequest("The body is not UTF-8 text.") from error
    return {**event, "body": text, "isBase64Encoded": False}


def _error_response(error: TryonMasksError, answer: ErrorAnswer) -> dict[str, Any]:
    headers = {
        "Content-Type": content_types.APPLICATION_JSON,
        REQUEST_ID_HEADER: answer.request_id,
    }
    if isinstance(error, InProgress):
        headers["Retry-After"] = str(error.retry_after_s)
    return {
        "statusCode": error.status,
        "headers": headers,
        "body": answer.model_dump_json(),
        "isBase64Encoded": False,
    }
