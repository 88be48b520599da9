"""The HTTP API and a page on somebody's own machine: the routes of Lambda, without AWS.

``/v1/...`` and ``POST /`` go to the very handler that Lambda runs, as the events that API Gateway
would make of them. ``GET /`` is the page; what it asks for lies below ``/page/``.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from tryon_masks.adapters.memory import MemoryFiles
from tryon_masks.domain.errors import InvalidRequest, PhotoTooLarge, TryonMasksError
from tryon_masks.domain.identity import ANONYMOUS
from tryon_masks.entrypoints.http.openapi import document
from tryon_masks.entrypoints.http.routes import Handler, create_handler
from tryon_masks.entrypoints.local.guard import OnlyFromHere
from tryon_masks.entrypoints.local.studio import Studio
from tryon_masks.entrypoints.local.worker import LocalContext, LocalWorker
from tryon_masks.jobs.submit import NotFound
from tryon_masks.library import MaskMaker
from tryon_masks.schema.answers import error_for
from tryon_masks.settings import RESULTS
from tryon_masks.sheet.report import ASSETS
from tryon_masks.telemetry import request_log, step
from tryon_masks.wiring import MASKS_PATH, LocalParts

PAGE = Path(__file__).parent / "page"
OWNER = "local"
"""Whose all jobs, uploads and batches are: nobody signs in."""
JSON_BYTES = 100_000
"""Bytes that a body may have beside its photo."""
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

Answer = Callable[[Request], Awaitable[Response]]
"""Answers one request, or raises a TryonMasksError."""


class _Api:
    """Lambda's handler behind HTTP, one request at a time: it knows no other way."""

    def __init__(self, handler: Handler, max_bytes: int) -> None:
        self._handler = handler
        # As base64.
        self._max_bytes = max_bytes * 4 // 3 + JSON_BYTES
        self._lock = threading.Lock()

    async def answer(self, request: Request) -> Response:
        """Hand one request on."""
        request_id = uuid4().hex
        try:
            with request_log(request_id, ANONYMOUS), step("read_body", "api"):
                body = await _read(request, self._max_bytes)
        except TryonMasksError as error:
            return _error(error, request_id)
        answer = await run_in_threadpool(self._answer, _event(request, body, request_id))
        headers = {**HEADERS, **answer["headers"]}
        return Response(answer["body"], answer["statusCode"], headers)

    def _answer(self, event: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            return self._handler(event, LocalContext())


def _event(request: Request, body: bytes, request_id: str) -> dict[str, Any]:
    """The request as API Gateway's HTTP API hands it on, payload version 2, of a backend.

    A backend may name its users in the body.
    """
    path = request.url.path
    return {
        "version": "2.0",
        "routeKey": f"{request.method} {path}",
        "rawPath": path,
        "rawQueryString": request.url.query,
        "headers": {
            name: ",".join(request.headers.getlist(name)) for name in set(request.headers.keys())
        },
        "requestContext": {
            "http": {"method": request.method, "path": path, "sourceIp": "127.0.0.1"},
            "authorizer": {"iam": {"userId": OWNER}},
            "requestId": request_id,
            "stage": "$default",
        },
        "isBase64Encoded": False,
        # What is not UTF-8 is no JSON either.
        "body": body.decode("utf-8", "replace"),
    }


async def _read(request: Request, most: int) -> bytes:
    """The request's body, read no further than ``most`` bytes.

    Raises
    ------
    PhotoTooLarge
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise PhotoTooLarge(f"The request is larger than {most} bytes.")
    return bytes(body)


async def _read_json(request: Request) -> Mapping[str, Any]:
    return _json_object(await _read(request, JSON_BYTES))


def _json_object(text: str | bytes) -> Mapping[str, Any]:
    try:
        given = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest("This is not JSON.") from error
    if not isinstance(given, dict):
        raise InvalidRequest("This must be one JSON object.")
    return given


def _error(error: TryonMasksError, request_id: str) -> Response:
    answer = error_for(error, request_id)
    return JSONResponse(answer.model_dump(mode="json"), error.status, HEADERS)


def _logged(name: str, component: str, answer: Answer) -> Answer:
    """``answer`` as a request and a step of its own; its errors become answers."""

    async def answering(request: Request) -> Response:
        request_id = uuid4().hex
        try:
            with request_log(request_id, ANONYMOUS), step(name, component):
                return await answer(request)
        except TryonMasksError as error:
            return _error(error, request_id)

    return answering


class _Page:
    """What the page asks for."""

    def __init__(self, studio: Studio, max_bytes: int) -> None:
        self._studio = studio
        self._max_bytes = max_bytes

    def routes(self) -> list[Route]:
        """Return all paths below ``/page/``."""
        one = "/page/photos/{number}"
        return [
            Route("/page/photos", self._answering(self._see), methods=["POST"]),
            Route("/page/cards", self._answering(self._card), methods=["POST"]),
            Route(f"{one}/person", self._answering(self._choose), methods=["POST"]),
            Route(f"{one}/view", self._answering(self._view), methods=["POST"]),
            Route(f"{one}/masks", self._answering(self._give), methods=["POST"]),
            Route(f"{one}/zip", self._answering(self._pack), methods=["POST"]),
            Route(f"{one}/parts.png", self._answering(self._parts), methods=["GET"]),
        ]

    @staticmethod
    def _answering(answer: Answer) -> Answer:
        return _logged("answer_page", "page", answer)

    async def _see(self, request: Request) -> Response:
        photo = await _read(request, self._max_bytes)
        return JSONResponse(await run_in_threadpool(self._studio.see, photo), 200, HEADERS)

    async def _card(self, request: Request) -> Response:
        photo = await _read(request, self._max_bytes)
        given = _json_object(request.query_params.get("options", "{}"))
        return JSONResponse(await run_in_threadpool(self._studio.card, photo, given), 200, HEADERS)

    async def _choose(self, request: Request) -> Response:
        body, number = await _read_json(request), request.path_params["number"]
        return JSONResponse(
            await run_in_threadpool(self._studio.choose, number, body), 200, HEADERS
        )

    async def _view(self, request: Request) -> Response:
        body, number = await _read_json(request), request.path_params["number"]
        return JSONResponse(await run_in_threadpool(self._studio.view, number, body), 200, HEADERS)

    async def _give(self, request: Request) -> Response:
        body, number = await _read_json(request), request.path_params["number"]
        return JSONResponse(await run_in_threadpool(self._studio.files, number, body), 200, HEADERS)

    async def _pack(self, request: Request) -> Response:
        body, number = await _read_json(request), request.path_params["number"]
        archive = await run_in_threadpool(self._studio.pack, number, body)
        return Response(archive, 200, HEADERS, "application/zip")

    async def _parts(self, request: Request) -> Response:
        png = await run_in_threadpool(self._studio.parts, request.path_params["number"])
        return Response(png, 200, HEADERS, "image/png")


class _InMemory(MultiPartParser):
    """Keeps what is uploaded out of temporary files."""

    spool_max_size = sys.maxsize


class _Files:
    """Forms are uploaded here, and masks and results are fetched."""

    def __init__(self, parts: LocalParts) -> None:
        self._parts = parts

    def routes(self) -> list[Route]:
        """Return all paths, none of which is the API's."""
        return [
            Route("/uploads", _logged("take_upload", "uploads", self._upload), methods=["POST"]),
            Route(f"{MASKS_PATH}/{{path:path}}", self._giving(self._parts.masks), methods=["GET"]),
            Route(
                f"/{RESULTS}{{path:path}}",
                self._giving(self._parts.files, RESULTS),
                methods=["GET"],
            ),
        ]

    async def _upload(self, request: Request) -> Response:
        fields, file = await _read_form(request, self._parts.uploads.max_bytes)
        self._parts.uploads.accept(fields, file)
        return Response(None, 204, HEADERS)

    @staticmethod
    def _giving(files: MemoryFiles, prefix: str = "") -> Answer:
        async def give(request: Request) -> Response:
            file = files.get(prefix + request.path_params["path"])
            if file is None:
                raise NotFound
            return Response(file.data, 200, HEADERS, file.content_type)

        return _logged("give_file", "files", give)


async def _read_form(request: Request, max_bytes: int) -> tuple[dict[str, str], bytes]:
    """The texts of a form, and the one file that comes with it.

    Raises
    ------
    InvalidRequest, PhotoTooLarge
    """
    body = await _read(request, max_bytes + JSON_BYTES)

    async def stream() -> AsyncGenerator[bytes, None]:
        yield body

    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise InvalidRequest("Send the form as multipart/form-data.")
    try:
        form = await _InMemory(request.headers, stream(), max_files=1, max_fields=10).parse()
    except MultiPartException as error:
        raise InvalidRequest(f"The form cannot be read: {error.message}") from error
    try:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise InvalidRequest("The form has no file.")
        texts = {name: text for name, text in form.multi_items() if isinstance(text, str)}
        return texts, await file.read()
    finally:
        await form.close()


def create_app(maker: MaskMaker, parts: LocalParts, hosts: list[str], tries: int) -> Starlette:
    """Build the whole server.

    Parameters
    ----------
    maker
        Makes the page's masks.
    parts
        What the API works with.
    hosts
        The names with ports that it answers to.
    tries
        How often work that is done later is tried.
    """
    max_bytes = maker.limits.max_bytes
    api = _Api(create_handler(parts.service, parts.submission), max_bytes)

    async def openapi(_: Request) -> Response:
        return JSONResponse(document(), 200, HEADERS)

    async def page(_: Request) -> Response:
        return Response((PAGE / "index.html").read_bytes(), 200, HEADERS, "text/html")

    @asynccontextmanager
    async def working(_: Starlette) -> AsyncIterator[None]:
        worker = LocalWorker(parts, tries)
        worker.start()
        yield
        await run_in_threadpool(worker.stop)

    methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]
    return Starlette(
        routes=[
            Route("/", page, methods=["GET"]),
            Route("/openapi.json", openapi, methods=["GET"]),
            Mount("/static/sheet", _Static(directory=ASSETS)),
            Mount("/static", _Static(directory=PAGE)),
            *_Page(Studio(maker), max_bytes).routes(),
            *_Files(parts).routes(),
            Route("/{path:path}", api.answer, methods=methods),
        ],
        middleware=[Middleware(OnlyFromHere, hosts=hosts)],
        lifespan=working,
    )


class _Static(StaticFiles):
    """The page's own files, with the headers that all answers have."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        """Answer as Starlette does, with the headers."""
        response = super().file_response(*args, **kwargs)
        response.headers.update(HEADERS)
        return response
