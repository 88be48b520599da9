"""A make-believe internet: names, public addresses, and real HTTP servers on loopback behind them.

The address rules stay on; only the last hop leads to loopback.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from ipaddress import ip_address

import trustme

from tryon_masks.adapters.addresses import Address
from tryon_masks.adapters.http import dial, resolve

PHOTO = bytes(range(256)) * 40
PUBLIC = "93.184.216.34"
OTHER = "2606:4700::6810:84e5"

Script = Callable[[socket.socket, str], None]
"""What a server does with a connection and the request's head."""


def ok(body: bytes = PHOTO, *headers: str, length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    lines = ["HTTP/1.1 200 OK", f"Content-Length: {size}", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def chunked(*chunks: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"".join(chunks)


def status(code: int, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {code} Whatever", "Content-Length: 0", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1")


def says(answer: bytes) -> Script:
    return lambda connection, _head: connection.sendall(answer)


def redirects(location: str, code: int = 302) -> Script:
    return says(status(code, f"Location: {location}"))


@dataclass
class Server:
    """One scripted server on loopback; it hangs up after each answer."""

    script: Script
    tls: ssl.SSLContext | None = None
    heads: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            # A client that hangs up, at the handshake or later, is part of the story.
            with connection, suppress(OSError):
                connection.settimeout(60)
                if not self._answer(connection):
                    return

    def _answer(self, connection: socket.socket) -> bool:
        """Whether to go on serving."""
        if connection.recv(4, socket.MSG_PEEK) == b"STOP":
            return False
        with ExitStack() as stack:
            if self.tls:
                connection = stack.enter_context(self.tls.wrap_socket(connection, server_side=True))
            head = b""
            while b"\r\n\r\n" not in head:
                if not (received := connection.recv(4096)):
                    return True
                head += received
            self.heads.append(head.decode("latin-1"))
            self.script(connection, self.heads[-1])
        return True

    def stop(self) -> None:
        with socket.create_connection(("127.0.0.1", self.port)) as knock:
            knock.sendall(b"STOP")
        self._thread.join()
        self._listener.close()


class Authority:
    """Signs certificates for host names, and is trusted by the client."""

    def __init__(self) -> None:
        self._ca = trustme.CA()
        self._issued: dict[tuple[str, ...], ssl.SSLContext] = {}
        self.trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._ca.configure_trust(self.trusting)

    def server(self, *names: str) -> ssl.SSLContext:
        if names not in self._issued:
            self._issued[names] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._ca.issue_cert(*names).configure_cert(self._issued[names])
        return self._issued[names]


class Internet:
    """Names with addresses, addresses with servers. Counts who was asked and who was called."""

    def __init__(self, authority: Authority) -> None:
        self._authority = authority
        self._stack = ExitStack()
        self.names: dict[str, list[str]] = {}
        self.servers: dict[tuple[str, int], Server] = {}
        self.asked: list[str] = []
        self.called: list[tuple[str, int]] = []

    def host(
        self,
        name: str,
        script: Script,
        *addresses: str,
        secure: bool = True,
        certificate_for: Sequence[str] = (),
    ) -> Server:
        tls = self._authority.server(*(certificate_for or [name])) if secure else None
        server = Server(script, tls)
        self._stack.callback(server.stop)
        self.names[name] = list(addresses or [PUBLIC])
        for address in self.names[name]:
            self.servers[address, 443 if secure else 80] = server
        return server

    def resolve(self, host: str, port: int) -> list[Address]:
        self.asked.append(host)
        if host in self.names:
            return [ip_address(address) for address in self.names[host]]
        return resolve(host, port)

    def dial(self, address: Address, port: int, timeout: float) -> socket.socket:
        self.called.append((str(address), port))
        if (server := self.servers.get((str(address), port))) is None:
            raise ConnectionRefusedError
        return dial(ip_address("127.0.0.1"), server.port, timeout)

    def close(self) -> None:
        self._stack.close()
