"""A stand-in for Lambda's Runtime API on loopback: init, snapshot, restore, calls.

A function under AWS's own runtime client, told that it is started from a snapshot, asks it for the
restore when its init phase is over, and waits. In a test::

    with RuntimeApi() as api:
        ...  # start the function with api.environ
        api.wait_for_snapshot()
        api.restore()
        answer = api.call(event)
"""

from __future__ import annotations

import json
import queue
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

WAIT_S = 60
CALL_MS = 30_000


class RuntimeApi:
    """A server on 127.0.0.1 between ``with`` and its end.

    Attributes
    ----------
    errors
        What the function's runtime reported instead of going on.
    """

    def __init__(self) -> None:
        self.errors: list[Any] = []
        self.ready, self.restored = threading.Event(), threading.Event()
        self.events: queue.Queue[tuple[str, bytes] | None] = queue.Queue()
        self.answers: queue.Queue[Any] = queue.Queue()
        self._calls = 0
        self._server = _Server(("127.0.0.1", 0), self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.restored.set()
        self.events.put(None)
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def port(self) -> int:
        """Where it listens."""
        port: int = self._server.server_address[1]
        return port

    @property
    def environ(self) -> dict[str, str]:
        """What Lambda tells a function of its runtime."""
        return {
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self.port}",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start",
            "AWS_LAMBDA_FUNCTION_NAME": "function",
            "AWS_LAMBDA_FUNCTION_VERSION": "1",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "3008",
        }

    def wait_for_snapshot(self) -> None:
        """Wait until the init phase is over."""
        assert self.ready.wait(WAIT_S), self.errors

    def restore(self) -> None:
        """Let the function go on, as if from its snapshot."""
        self.restored.set()

    def call(self, event: Any) -> Any:
        """Return the handler's answer to one event."""
        self._calls += 1
        self.events.put((f"request-{self._calls}", json.dumps(event).encode()))
        return self.answers.get(timeout=WAIT_S)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], api: RuntimeApi) -> None:
        super().__init__(address, _Handler)
        self.api = api


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        api = self.server.api
        if self.path.endswith("/restore/next"):
            api.ready.set()
            api.restored.wait()
            self._say(200)
            return
        # The next call.
        if (event := api.events.get()) is None:
            self.close_connection = True
            return
        request_id, body = event
        self._say(
            200,
            body,
            {
                "Lambda-Runtime-Aws-Request-Id": request_id,
                "Lambda-Runtime-Deadline-Ms": str(CALL_MS + int(time.time() * 1000)),
                "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:eu-central-1:1:function:f",
            },
        )

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path.endswith("/response"):
            self.server.api.answers.put(body)
        else:
            self.server.api.errors.append(body)
            self.server.api.answers.put(body)
        self._say(202)

    def _say(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Say nothing."""
