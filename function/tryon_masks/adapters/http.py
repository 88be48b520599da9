"""Photos by address, from the public internet only; and answers, to there only.

The address decides nothing that is not checked: the host is resolved once, every answer must be
public, and the connection goes to the very address that was checked. Redirects pass the same gate.
One deadline and one allowance of bytes bound everything that the other side sends.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import io
import re
import socket
import ssl
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import ip_address
from threading import Thread
from typing import cast
from urllib.parse import quote

import certifi

from tryon_masks import __version__
from tryon_masks.adapters.addresses import (
    URL_SAFE,
    Address,
    AddressRules,
    Target,
    check_public,
    joined,
)
from tryon_masks.deadline import require_time, time_left
from tryon_masks.domain.errors import (
    BrokenPhoto,
    CallbackFailed,
    PhotoFetchFailed,
    PhotoFetchTimeout,
    PhotoNotFound,
    PhotoTooLarge,
    UnsupportedPhoto,
)
from tryon_masks.ports import Callbacks, PhotoSource

MAX_REDIRECTS = 5
"""Redirects of one photo that are followed."""
SIGNATURE_HEADER = "Tryon-Signature"

Resolve = Callable[[str, int], Sequence[Address]]
"""(host, port) -> addresses. Raises OSError."""

Dial = Callable[[Address, int, float], socket.socket]
"""(address, port, timeout in seconds) -> a connected socket. Raises OSError."""

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAY_PASS = frozenset({408, 421, 423, 425, 429})
"""Statuses from 400 to 499 that another try may not be answered with."""
_COMPRESSIONS = frozenset({"gzip", "x-gzip", "deflate", "br", "zstd", "compress", "x-compress"})
_COMPRESSIONS |= {"dcb", "dcz", "lzma", "xz", "bzip2", "lz4", "snappy", "exi", "pack200-gzip"}
_UNPACKED = frozenset({"gzip", "x-gzip", "deflate"})
_MAX_COMPRESSIONS = 2
"""How often one answer may be compressed."""
_READ_BYTES = 64 * 1024
"""Bytes that are read from the wire at a time."""
_FRAMING_BYTES = 1_000_000
"""What one answer may hold beside the photo: headers and chunk sizes."""


def resolve(host: str, port: int) -> list[Address]:
    """Ask the system's resolver."""
    answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [ip_address(answer[4][0]) for answer in answers]


def dial(address: Address, port: int, timeout: float) -> socket.socket:
    """Connect by TCP."""
    return socket.create_connection((str(address), port), timeout)


class _HttpClient:
    """The way out, to public hosts alone; see :class:`HttpPhotoSource`."""

    def __init__(
        self,
        max_bytes: int,
        timeout_s: float,
        rules: AddressRules | None = None,
        *,
        resolve: Resolve = resolve,
        dial: Dial = dial,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s
        self._rules = rules or AddressRules()
        self._resolve = resolve
        self._dial = dial
        self._tls = tls or ssl.create_default_context(cafile=certifi.where())

    @contextmanager
    def _exchange(
        self,
        target: Target,
        deadline: _Deadline,
        method: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Iterator[http.client.HTTPResponse]:
        with self._connect(target, deadline) as plain:
            plain.settimeout(deadline.left())
            with self._secured(plain, target) as sock:
                connection = http.client.HTTPConnection(target.host, target.port)
                wire = _BoundedSocket(sock, deadline, self._max_bytes + _FRAMING_BYTES)
                connection.sock = cast(socket.socket, wire)
                everything = {**_headers(target), **(headers or {})}
                connection.request(method, target.path, body, everything)
                with connection.getresponse() as response:
                    yield response

    def _connect(self, target: Target, deadline: _Deadline) -> socket.socket:
        addresses = self._addresses(target, deadline)
        check_public(target.host, addresses)
        failure = OSError(f"{target.host} has no address")
        for index, address in enumerate(addresses):
            patience = deadline.left() / (len(addresses) - index)
            try:
                return self._dial(address, target.port, patience)
            except OSError as error:
                failure = error
        raise failure

    def _addresses(self, target: Target, deadline: _Deadline) -> list[Address]:
        if target.literal is not None:
            return [target.literal]
        # A look-up cannot be interrupted, only left behind.
        answer: Future[list[Address]] = Future()

        def ask() -> None:
            try:
                answer.set_result(list(dict.fromkeys(self._resolve(target.host, target.port))))
            except (OSError, ValueError) as error:
                answer.set_exception(error)

        Thread(target=ask, daemon=True).start()
        return answer.result(deadline.left())

    def _secured(self, plain: socket.socket, target: Target) -> socket.socket:
        if not target.secure:
            return plain
        return self._tls.wrap_socket(plain, server_hostname=target.host.rstrip("."))


class HttpPhotoSource(_HttpClient, PhotoSource):
    """Fetches photos over HTTPS, and over HTTP where that is allowed.

    Proxies named in the environment are not used: a proxy would connect where nothing is checked.

    Parameters
    ----------
    max_bytes
        The largest photo.
    timeout_s
        Seconds for everything together: name look-up, redirects, every byte.
    rules
        Which addresses may be fetched. A redirect from HTTPS to HTTP never may.
    resolve, dial
        The way to the network.
    tls
        How hosts prove themselves; certifi's authorities when None.
    """

    def fetch(self, address: str) -> bytes:
        """Return the file's bytes, whatever they are: what counts as a photo is not told here.

        Raises
        ------
        UrlNotAllowed
            See :class:`AddressRules`; or a host that is not public. In the address or a redirect.
        PhotoTooLarge
            Packed or unpacked.
        PhotoNotFound
            A status from 400 to 499 that another try would be answered with, too.
        UnsupportedPhoto
            Compressed in a way that is not unpacked here.
        BrokenPhoto
            Compressed, and damaged.
        PhotoFetchFailed
            No such host, no connection, no valid certificate, a status that is none of success, too
            many redirects, or an answer that is empty, a part of the photo, or breaks off.
        PhotoFetchTimeout
        OutOfTime
            The call had less time left than a photo may take.
        """
        try:
            return self._follow(address, _Deadline(min(self._timeout_s, time_left())))
        except TimeoutError as error:
            require_time(0)
            raise PhotoFetchTimeout(detail=repr(error)) from error
        except socket.gaierror as error:
            raise PhotoFetchFailed("The photo's host was not found.", detail=repr(error)) from error
        except ssl.SSLError as error:
            raise PhotoFetchFailed(
                "No secure connection to the photo's host could be made.", detail=repr(error)
            ) from error
        except (OSError, http.client.HTTPException) as error:
            raise PhotoFetchFailed(detail=repr(error)) from error

    def _follow(self, address: str, deadline: _Deadline) -> bytes:
        rules = self._rules
        for _ in range(MAX_REDIRECTS + 1):
            target = rules.target(address)
            rules = replace(rules, allow_http=rules.allow_http and not target.secure)
            with self._exchange(target, deadline, "GET") as response:
                if 200 <= response.status < 300:
                    return self._unpacked(self._body(response), response)
                if 400 <= response.status < 500 and response.status not in _MAY_PASS:
                    raise PhotoNotFound(detail=f"status {response.status}")
                location = response.getheader("Location")
                if response.status not in _REDIRECTS or not location:
                    raise PhotoFetchFailed(f"The photo's host answered {response.status}.")
            address = _next(address, location)
        raise PhotoFetchFailed("The photo's address redirects too often.")

    def _body(self, response: http.client.HTTPResponse) -> bytes:
        if response.status == http.client.PARTIAL_CONTENT and not _is_whole(response):
            raise PhotoFetchFailed("The photo's host sent a part of it only.")
        if response.length is not None and response.length > self._max_bytes:
            raise self._too_large()
        body = bytearray()
        while piece := _read(response):
            body += piece
            if len(body) > self._max_bytes:
                raise self._too_large()
        if response.length:
            raise http.client.IncompleteRead(b"", response.length)
        if not body:
            raise PhotoFetchFailed("The photo's host sent nothing.")
        return bytes(body)

    def _unpacked(self, body: bytes, response: http.client.HTTPResponse) -> bytes:
        """Return ``body`` without its compressions.

        Labels that are no compression are common (``aws-chunked``, ``base64`` and ``utf-8`` of
        objects that were uploaded with them, none at all) and say nothing.
        """
        labels = response.getheader("Content-Encoding", "").lower().split(",")
        packed = [label for label in map(str.strip, labels) if label in _COMPRESSIONS]
        if not _UNPACKED.issuperset(packed) or len(packed) > _MAX_COMPRESSIONS:
            raise UnsupportedPhoto(
                "The photo's host sent it compressed, without being asked to: "
                f"{', '.join(packed[: _MAX_COMPRESSIONS + 1])}."
            )
        for label in reversed(packed):
            unpack = _inflated if label == "deflate" else _gunzipped
            try:
                body = unpack(body, self._max_bytes + 1)
            except (zlib.error, EOFError) as error:
                raise BrokenPhoto(
                    f"The photo's host sent it as {label}, which could not be unpacked.",
                    detail=repr(error),
                ) from error
            if len(body) > self._max_bytes:
                raise self._too_large()
        return body

    def _too_large(self) -> PhotoTooLarge:
        return PhotoTooLarge(f"The photo is larger than {self._max_bytes} bytes.")


class HttpCallbacks(_HttpClient, Callbacks):
    """Posts answers over HTTPS, signed, to hosts on the public internet.

    Where photos may come from is another question than who is told of them, so no list of photo
    hosts holds here; everything else that is asked of a photo's address does.

    Each has the header ``Tryon-Signature: t=SECONDS,v1=HEX``: the Unix time, and the HMAC-SHA256 of
    the time, a dot and the body.

    Parameters
    ----------
    key
        Of the signature; whoever is called knows it too.
    timeout_s
        Seconds for everything together.
    clock
        Gives the Unix time.
    """

    def __init__(
        self,
        key: str,
        timeout_s: float,
        *,
        clock: Callable[[], float] = time.time,
        resolve: Resolve = resolve,
        dial: Dial = dial,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(0, timeout_s, resolve=resolve, dial=dial, tls=tls)
        self._key = key.encode()
        self._clock = clock

    def post(self, address: str, body: bytes) -> None:
        """Send ``body``, JSON, once; redirects are not followed.

        Raises
        ------
        UrlNotAllowed
        CallbackFailed
            No connection, no valid certificate, no time, or a status other than 2xx.
        """
        now = int(self._clock())
        signature = hmac.new(self._key, b"%d." % now + body, hashlib.sha256).hexdigest()
        headers = {
            "Content-Type": "application/json",
            SIGNATURE_HEADER: f"t={now},v1={signature}",
        }
        try:
            target = self._rules.target(address)
            deadline = _Deadline(min(self._timeout_s, time_left()))
            with self._exchange(target, deadline, "POST", body, headers) as response:
                if not 200 <= response.status < 300:
                    raise CallbackFailed(detail=f"answered {response.status}")
        except (OSError, http.client.HTTPException, PhotoTooLarge) as error:
            raise CallbackFailed(detail=repr(error)) from error


def _is_whole(response: http.client.HTTPResponse) -> bool:
    """Return whether a partial answer that nobody asked for is all there is."""
    said = re.fullmatch(r"bytes 0-(\d+)/(\d+)", response.getheader("Content-Range", "").strip())
    return said is not None and int(said[1]) + 1 == int(said[2])


def _gunzipped(data: bytes, max_bytes: int) -> bytes:
    """Return the first ``max_bytes`` bytes of all members of a gzip file.

    Raises
    ------
    zlib.error, EOFError
    """
    unpacked = bytearray()
    while data and len(unpacked) < max_bytes:
        member = zlib.decompressobj(zlib.MAX_WBITS | 16)
        unpacked += _whole(member, data, max_bytes - len(unpacked))
        # Zeros behind the last member are padding.
        data = member.unused_data.lstrip(b"\x00")
    return bytes(unpacked)


def _inflated(data: bytes, max_bytes: int) -> bytes:
    """Inflate the first ``max_bytes`` bytes of deflated data, with or without its header.

    Raises
    ------
    zlib.error, EOFError
    """
    try:
        return _whole(zlib.decompressobj(zlib.MAX_WBITS), data, max_bytes)
    except zlib.error:
        return _whole(zlib.decompressobj(-zlib.MAX_WBITS), data, max_bytes)


def _whole(member: zlib._Decompress, data: bytes, max_bytes: int) -> bytes:
    unpacked = member.decompress(data, max_bytes)
    if not member.eof and len(unpacked) < max_bytes:
        raise EOFError("the data breaks off")
    return unpacked


def _next(address: str, location: str) -> str:
    # http.client reads headers as Latin-1; quoting the bytes gives back what was sent.
    return joined(address, quote(location.strip(" \t").encode("latin-1"), URL_SAFE + "#"))


def _headers(target: Target) -> dict[str, str]:
    return {
        "Host": f"[{target.host}]" if ":" in target.host else target.host.rstrip("."),
        "Accept": "image/*,*/*;q=0.5",
        "Accept-Encoding": "identity",
        "Connection": "close",
        "User-Agent": f"tryon-masks/{__version__}",
    }


class _Deadline:
    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Return the seconds that are left, more than 0. Raises TimeoutError."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError("the deadline has passed")
        return left


class _BoundedSocket:
    """As much of a socket as http.client uses.

    A socket's own timeout starts anew with every byte, so a slow sender could hold it for ever;
    here each read gets what is left until the deadline. Whoever made the socket closes it.
    """

    def __init__(self, sock: socket.socket, deadline: _Deadline, allowance: int) -> None:
        self._sock = sock
        self._deadline = deadline
        self._allowance = allowance

    def sendall(self, data: bytes) -> None:
        self._sock.settimeout(self._deadline.left())
        self._sock.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_BoundedReader(self._sock, self._deadline, self._allowance))

    def close(self) -> None:
        """Do nothing: http.client calls this when it has the answer's head."""


class _BoundedReader(io.RawIOBase):
    """Bytes from a socket until the deadline, and no more than an allowance.

    The allowance is counted here, below http.client: a chunk of length -1 makes that read all
    there is into memory.
    """

    def __init__(self, sock: socket.socket, deadline: _Deadline, allowance: int) -> None:
        self._sock = sock
        self._deadline = deadline
        self._allowance = allowance

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        self._sock.settimeout(self._deadline.left())
        count = self._sock.recv_into(buffer)
        self._allowance -= count
        if self._allowance < 0:
            raise PhotoTooLarge
        return count


def _read(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read(_READ_BYTES)
    except ValueError as error:
        raise http.client.HTTPException("a chunk of negative length") from error
