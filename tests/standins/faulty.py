"""Parts of the outside world that fail: one HTTP or gRPC server on loopback each."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

HttpFault = Callable[[socket.socket, threading.Event], None]
"""What to do with a connection whose request was read; the event ends a wait."""


def silent(_: socket.socket, over: threading.Event) -> None:
    over.wait(60)


def resets(connection: socket.socket, _: threading.Event) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def garbage(connection: socket.socket, _: threading.Event) -> None:
    connection.sendall(b"\x00\xff SSH-2.0-nothing of the kind\r\n\r\n")


def says(status: int, body: bytes = b"", *headers: str) -> HttpFault:
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", "Connection: close"]
    head = "\r\n".join((*lines, *headers, "", ""))
    return lambda connection, _: connection.sendall(head.encode() + body)


class Faulty:
    """An HTTP server that does the same to every request. ``calls`` holds their first lines.

    ``unless``: requests whose first line holds this text are answered 200.
    """

    def __init__(self, fault: HttpFault, unless: str | None = None) -> None:
        self.calls: list[str] = []
        self._fault = fault
        self._unless = unless
        self._over = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._pool = ThreadPoolExecutor(16)
        self._thread = threading.Thread(target=self._accept)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Faulty:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        with socket.create_connection(("127.0.0.1", self.port)) as knock:
            knock.sendall(b"STOP")
        self._thread.join()
        self._pool.shutdown()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            if self._over.is_set():
                connection.close()
                return
            self._pool.submit(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.settimeout(10)
            head = b""
            while b"\r\n\r\n" not in head:
                if not (more := connection.recv(65536)):
                    return
                head += more
            first, _, rest = head.partition(b"\r\n")
            line = first.decode()
            self.calls.append(line)
            self._read_body(connection, rest)
            if self._unless is not None and self._unless in line:
                says(200)(connection, self._over)
            else:
                self._fault(connection, self._over)

    @staticmethod
    def _read_body(connection: socket.socket, rest: bytes) -> None:
        fields, _, body = rest.partition(b"\r\n\r\n")
        if b"expect: 100-continue" in fields.lower():
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        lines = [line.split(b":", 1) for line in fields.lower().split(b"\r\n") if b":" in line]
        missing = int(dict(lines).get(b"content-length", b"0")) - len(body)
        while missing > 0:
            missing -= len(connection.recv(65536))


def nobody() -> int:
    """A port on loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


@contextmanager
def firestore(fails: Callable[[bytes], Any]) -> Iterator[tuple[str, list[bytes]]]:
    """A Firestore that takes every commit, but for those that ``fails`` has a gRPC status for.

    Gives its address and the list of the commits that reached it, as bytes.
    """
    import grpc
    from google.cloud.firestore_v1.types import CommitRequest, CommitResponse, WriteResult

    commits: list[bytes] = []

    def commit(request: bytes, context: Any) -> bytes:
        commits.append(request)
        if (status := fails(request)) is not None:
            context.abort(status, "a fault")
        count = len(CommitRequest.deserialize(request).writes)
        now = {"seconds": 1_700_000_000}
        results = [WriteResult(update_time=now) for _ in range(count)]
        answer: bytes = CommitResponse.serialize(
            CommitResponse(write_results=results, commit_time=now)
        )
        return answer

    handler = grpc.method_handlers_generic_handler(
        "google.firestore.v1.Firestore", {"Commit": grpc.unary_unary_rpc_method_handler(commit)}
    )
    server = grpc.server(ThreadPoolExecutor(4), handlers=[handler])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}", commits
    finally:
        server.stop(None).wait()
