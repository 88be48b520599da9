"""The HTTP API and a page on somebody's own machine: the routes of Lambda, without AWS.

``/v1/...`` and ``POST /`` go to the very handler that Lambda runs, as the events that API Gateway
would make of them. ``GET /`` is the page; what it asks for lies below ``/page/``.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from tryon_masks.adapters.memory import MemoryMaskStore
from tryon_masks.domain.errors import InvalidRequest, PhotoTooLarge, TryonMasksError
from tryon_masks.domain.identity import ANONYMOUS
from tryon_masks.entrypoints.http.openapi import document
from tryon_masks.entrypoints.http.routes import Handler, create_handler
from tryon_masks.entrypoints.local.guard import OnlyFromHere
from tryon_masks.entrypoints.local.studio import Studio
from tryon_masks.jobs.submit import NotFound
from tryon_masks.library import MaskMaker
from tryon_masks.schema.answers import error_for
from tryon_masks.service import MaskService
from tryon_masks.sheet.report import ASSETS
from tryon_masks.telemetry import request_log, step

PAGE = Path(__file__).parent / "page"
MASKS = "/masks"
"""Where the masks lie that the API makes."""
TIME_S = 300.0
"""Seconds that one call of the API has: nobody's gateway hangs up here."""
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


class _Context:
    """What the routes ask of Lambda's context."""

    def get_remaining_time_in_millis(self) -> int:
        return int(TIME_S * 1000)


class _Api:
    """Lambda's handler behind HTTP, one request at a time: it knows no other way."""

    def __init__(self, handler: Handler, max_bytes: int) -> None:
        self._handler = handler
        # As base64.
        self._max_bytes = max_bytes * 4 // 3 + JSON_BYTES
        self._lock = threading.Lock()

    async def answer(self, request: Request) -> Response:
        """Hand one request on."""
        try:
            body = await _read(request, self._max_bytes)
        except TryonMasksError as error:
            return _error(error, uuid4().hex)
        answer = await run_in_threadpool(self._answer, _event(request, body))
        headers = {**HEADERS, **answer["headers"]}
        return Response(answer["body"], answer["statusCode"], headers)

    def _answer(self, event: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            return self._handler(event, _Context())


def _event(request: Request, body: bytes) -> dict[str, Any]:
    """The request as API Gateway's HTTP API hands it on, payload version 2; nobody is signed in."""
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
            "requestId": uuid4().hex,
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
            Route(f"{one}/masks", self._answering(self._shape), methods=["POST"]),
            Route(f"{one}/zip", self._answering(self._pack), methods=["POST"]),
            Route(f"{one}/parts.png", self._answering(self._parts), methods=["GET"]),
        ]

    @staticmethod
    def _answering(
        answer: Callable[[Request], Awaitable[Response]],
    ) -> Callable[[Request], Awaitable[Response]]:
        async def answering(request: Request) -> Response:
            request_id = uuid4().hex
            try:
                with request_log(request_id, ANONYMOUS), step("answer_page", "page"):
                    return await answer(request)
            except TryonMasksError as error:
                return _error(error, request_id)

        return answering

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

    async def _shape(self, request: Request) -> Response:
        body, number = await _read_json(request), request.path_params["number"]
        return JSONResponse(await run_in_threadpool(self._studio.shape, number, body), 200, HEADERS)

    async def _pack(self, request: Request) -> Response:
        body, number = await _read_json(request), request.path_params["number"]
        archive = await run_in_threadpool(self._studio.pack, number, body)
        return Response(archive, 200, HEADERS, "application/zip")

    async def _parts(self, request: Request) -> Response:
        png = await run_in_threadpool(self._studio.parts, request.path_params["number"])
        return Response(png, 200, HEADERS, "image/png")


def create_app(
    maker: MaskMaker, service: MaskService, store: MemoryMaskStore, hosts: list[str]
) -> Starlette:
    """Build the whole server.

    Parameters
    ----------
    maker
        Of the page's masks.
    service, store
        Of the API's, which it keeps in memory.
    hosts
        The names with ports that it answers to.
    """
    max_bytes = maker.limits.max_bytes
    api = _Api(create_handler(service, None), max_bytes)

    async def openapi(_: Request) -> Response:
        return JSONResponse(document(), 200, HEADERS)

    async def page(_: Request) -> Response:
        return Response((PAGE / "index.html").read_bytes(), 200, HEADERS, "text/html")

    async def mask(request: Request) -> Response:
        file = store.get(request.path_params["path"])
        if file is None:
            return _error(NotFound(), uuid4().hex)
        return Response(file.data, 200, HEADERS, file.content_type)

    methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]
    return Starlette(
        routes=[
            Route("/", page, methods=["GET"]),
            Route("/openapi.json", openapi, methods=["GET"]),
            Route(f"{MASKS}/{{path:path}}", mask, methods=["GET"]),
            Mount("/static/sheet", _Static(directory=ASSETS)),
            Mount("/static", _Static(directory=PAGE)),
            *_Page(Studio(maker), max_bytes).routes(),
            Route("/{path:path}", api.answer, methods=methods),
        ],
        middleware=[Middleware(OnlyFromHere, hosts=hosts)],
    )


class _Static(StaticFiles):
    """The page's own files, with the headers that all answers have."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        """Answer as Starlette does, with the headers."""
        response = super().file_response(*args, **kwargs)
        response.headers.update(HEADERS)
        return response
