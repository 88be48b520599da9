"""API Gateway's HTTP API before a Lambda handler, in this process and on loopback only.

It makes payloads of version 2 and lets everything through to the handler, also what the real one
would answer itself: other paths and methods, callers without a token. Whoever has one, whatever it
is, is the user ``user-1``.
"""

from __future__ import annotations

import base64
import threading
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote, urlsplit

from tests.fakes import FakeContext

Handler = Callable[[dict[str, Any], Any], dict[str, Any]]

TEXT = ("text/", "application/json", "application/javascript", "application/xml")
"""Types of bodies that come as they are; others come as base64."""


class Gateway:
    """``url`` is its address; ``statuses`` counts its answers."""

    def __init__(self, handler: Handler) -> None:
        self.statuses: Counter[int] = Counter()
        self._handler = handler
        self._numbers = count(1)
        gateway = self

        class Http(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def __getattr__(self, name: str) -> Any:
                if name.startswith("do_"):
                    return self._any
                raise AttributeError(name)

            def _any(self) -> None:
                gateway._answer(self)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Http)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _answer(self, http: BaseHTTPRequestHandler) -> None:
        body = http.rfile.read(int(http.headers.get("Content-Length", 0)))
        response = self._handler(self._event(http, body), FakeContext())
        data = response["body"].encode()
        self.statuses[response["statusCode"]] += 1
        http.send_response(response["statusCode"])
        for name, value in response["headers"].items():
            http.send_header(name, value)
        http.send_header("Content-Length", str(len(data)))
        http.end_headers()
        if http.command != "HEAD":
            http.wfile.write(data)

    def _event(self, http: BaseHTTPRequestHandler, body: bytes) -> dict[str, Any]:
        address = urlsplit(http.path)
        path = unquote(address.path)
        headers = {name.lower(): ",".join(http.headers.get_all(name, [])) for name in http.headers}
        as_text = headers.get("content-type", "text/plain").startswith(TEXT)
        event: dict[str, Any] = {
            "version": "2.0",
            "routeKey": f"{http.command} {path}",
            "rawPath": path,
            "rawQueryString": address.query,
            "headers": headers,
            "requestContext": {
                "http": {
                    "method": http.command,
                    "path": path,
                    "protocol": http.request_version,
                    "sourceIp": "127.0.0.1",
                    "userAgent": headers.get("user-agent", ""),
                },
                "requestId": f"request-{next(self._numbers)}",
                "stage": "$default",
            },
            "isBase64Encoded": bool(body) and not as_text,
        }
        if headers.get("authorization", "").startswith("Bearer "):
            event["requestContext"]["authorizer"] = {"jwt": {"claims": {"sub": "user-1"}}}
        if body:
            text = body.decode("utf-8", "replace") if as_text else base64.b64encode(body).decode()
            event["body"] = text
        return event
