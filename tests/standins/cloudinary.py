"""A stand-in for Cloudinary's upload API, its delivery, and of its Admin API the listing and
deletion of images: on loopback, in memory.

It checks what the service checks (cloud, key, timestamp, signature), answers with the fields the
service gives, and serves the stored bytes at the address it answered. In a test::

    with CloudinaryStandIn() as cloudinary:
        store = CloudinaryMaskStore(cloudinary.url, ...)
        cloudinary.fail("throttled", times=2)
        cloudinary.fail("broken", name="lower")

As a process, ``python tests/standins/cloudinary.py --port 8099`` prints the ``CLOUDINARY_URL`` to
use and runs until it is terminated; ``GET /standin/uploads`` lists what it has taken, and
``POST /standin/fail?how=broken&times=2&name=lower`` makes it fail.
"""

from __future__ import annotations

import argparse
import base64
import builtins
import hashlib
import io
import json
import re
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

from PIL import Image

UNSIGNED_FIELDS = {"file", "cloud_name", "resource_type", "api_key", "signature"}
SIGNATURE_HASHES = {40: hashlib.sha1, 64: hashlib.sha256}
STALE_AFTER_S = 3600
HANG_S = 60
ADMIN = r"/v1_1/([^/]+)/resources/image/upload"


@dataclass
class Upload:
    """One asset as it is now. ``times`` counts its uploads; ``signed_with`` is sha1 or sha256."""

    public_id: str
    format: str
    version: int
    width: int
    height: int
    bytes: int
    etag: str
    created_at: str
    fields: dict[str, str]
    filename: str
    signed_with: str
    times: int = 1
    data: builtins.bytes = field(default=b"", repr=False)


@dataclass
class _Fault:
    how: str
    times: int | None
    name: str | None

    def meets(self, public_id: str) -> bool:
        return self.times != 0 and self.name in (None, public_id.rpartition("/")[2])


class RefusedError(Exception):
    """An error answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def signature_base(fields: Mapping[str, str]) -> str:
    """The text that is signed, without the secret."""
    pairs = [
        f"{name}={value}".replace("&", "%26")
        for name, value in fields.items()
        if value and name not in UNSIGNED_FIELDS
    ]
    return "&".join(sorted(pairs))


class CloudinaryStandIn:
    """A server on 127.0.0.1 between ``with`` and its end. Port 0 takes a free one.

    Attributes
    ----------
    uploads
        Assets by public id.
    forgotten
        Public ids that the CDN was told to forget, by deletion.
    requests
        Public ids of all upload requests, failed ones among them, in order of arrival;
        ``admin`` for one of the Admin API.
    failed
        How, and public id, of each request that was made to fail.
    connections
        How many connections were made.
    """

    def __init__(
        self,
        cloud_name: str = "demo-cloud",
        api_key: str = "demo-key",
        api_secret: str = "demo-secret",
        port: int = 0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.cloud_name = cloud_name
        self.api_key = api_key
        self.api_secret = api_secret
        self.uploads: dict[str, Upload] = {}
        self.forgotten: list[str] = []
        self.requests: list[str] = []
        self.failed: list[tuple[str, str]] = []
        self.connections = 0
        self.clock = clock
        self.stopping = threading.Event()
        self._faults: list[_Fault] = []
        self._lock = threading.Lock()
        self._pair = threading.Barrier(2)
        self._versions = int(clock())
        self._server = _Server(("127.0.0.1", port), self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def url(self) -> str:
        """The CLOUDINARY_URL of this account."""
        account = f"{self.api_key}:{self.api_secret}@{self.cloud_name}"
        return f"cloudinary://{account}?upload_prefix={self.origin}"

    def fail(self, how: str, *, times: int | None = None, name: str | None = None) -> None:
        """Fail the next ``times`` uploads (None: all) of assets called ``name`` (None: any).

        Calls of the Admin API are called ``admin``.
        ``how`` is one of :data:`FAULTS`.
        """
        if how not in FAULTS:
            raise ValueError(f"{how} is not one of {', '.join(FAULTS)}")
        self._faults.append(_Fault(how, times, name))

    def next_fault(self, public_id: str) -> str | None:
        """Note the request; say whether and how it must fail."""
        with self._lock:
            self.requests.append(public_id)
            for fault in self._faults:
                if fault.meets(public_id):
                    if fault.times is not None:
                        fault.times -= 1
                    self.failed.append((fault.how, public_id))
                    return fault.how
        return None

    def wait_for_another(self) -> None:
        """Block until a second request is here as well."""
        try:
            self._pair.wait(timeout=60)
        except threading.BrokenBarrierError:
            raise RefusedError(500, "No second upload came while this one was open") from None

    def check(self, cloud_name: str, fields: Mapping[str, str]) -> None:
        """Refuse what the service refuses."""
        if cloud_name != self.cloud_name:
            raise RefusedError(404, f"Unknown cloud_name {cloud_name}")
        if fields.get("api_key") != self.api_key:
            raise RefusedError(401, "Unknown API key")
        timestamp = fields.get("timestamp", "")
        if not timestamp.isdecimal():
            raise RefusedError(400, "Missing required parameter - timestamp")
        if abs(self.clock() - int(timestamp)) > STALE_AFTER_S:
            raise RefusedError(400, f"Stale request - reported time is {timestamp}")
        given = fields.get("signature", "")
        base = signature_base(fields)
        hash_function = SIGNATURE_HASHES.get(len(given))
        right = hash_function and hash_function((base + self.api_secret).encode()).hexdigest()
        if given != right:
            raise RefusedError(401, f"Invalid Signature {given}. String to sign - '{base}'.")

    def store(self, fields: Mapping[str, str], filename: str, data: bytes) -> Upload:
        """Keep the image under its public id."""
        public_id = fields.get("public_id", "")
        if not public_id or re.search(r"[?&#\\%<>+]", public_id) or public_id != public_id.strip():
            raise RefusedError(400, f"public_id ({public_id}) is invalid")
        try:
            with Image.open(io.BytesIO(data)) as image:
                image.load()
                size, kind = image.size, str(image.format).lower().replace("jpeg", "jpg")
        except OSError:
            raise RefusedError(400, "Invalid image file") from None
        with self._lock:
            before = self.uploads.get(public_id)
            if before is not None and fields.get("overwrite") == "0":
                return before
            self._versions += 1
            upload = Upload(
                public_id=public_id,
                format=kind,
                version=self._versions,
                width=size[0],
                height=size[1],
                bytes=len(data),
                etag=hashlib.md5(data, usedforsecurity=False).hexdigest(),
                created_at=datetime.fromtimestamp(self.clock(), UTC).isoformat(),
                fields={name: fields[name] for name in sorted({*fields} - UNSIGNED_FIELDS)},
                filename=filename,
                signed_with=SIGNATURE_HASHES[len(fields["signature"])]().name,
                times=before.times + 1 if before else 1,
                data=data,
            )
            self.uploads[public_id] = upload
            return upload

    def administer(self, cloud_name: str, authorization: str | None) -> None:
        """Refuse whoever is not the account's owner."""
        owner = base64.b64encode(f"{self.api_key}:{self.api_secret}".encode()).decode()
        if cloud_name != self.cloud_name or authorization != f"Basic {owner}":
            raise RefusedError(401, "Invalid credentials")

    def page(self, prefix: str, most: int, start: int) -> dict[str, Any]:
        """``most`` of the assets whose public id begins with ``prefix``, from the ``start``-th."""
        found = sorted(one for one in self.uploads if one.startswith(prefix))
        page = {"resources": [{"public_id": one} for one in found[start : start + most]]}
        return page | ({"next_cursor": str(start + most)} if len(found) > start + most else {})

    def delete(self, public_ids: list[str], *, invalidate: bool) -> dict[str, Any]:
        """Forget these assets."""
        if len(public_ids) > 100:
            raise RefusedError(400, "Too many public ids")
        with self._lock:
            gone = {one: self.uploads.pop(one, None) for one in public_ids}
            self.forgotten += [one for one in public_ids if invalidate]
        said = {one: "not_found" if asset is None else "deleted" for one, asset in gone.items()}
        return {"deleted": said, "partial": False}

    def find(self, cloud_name: str, rest: str) -> Upload | None:
        """The asset behind a delivery path; its version, if any, does not matter."""
        public_id, _, kind = re.sub(r"^v\d+/", "", unquote(rest)).rpartition(".")
        upload = self.uploads.get(public_id)
        found = cloud_name == self.cloud_name and upload is not None and upload.format == kind
        return upload if found else None


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], standin: CloudinaryStandIn) -> None:
        super().__init__(address, _Handler)
        self.standin = standin

    def get_request(self) -> tuple[socket.socket, Any]:
        self.standin.connections += 1
        return super().get_request()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that gave up is what some tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        parts = urlsplit(self.path)
        try:
            if parts.path == "/standin/fail":
                self._fail(parse_qs(parts.query))
            elif match := re.fullmatch(r"/v1_1/([^/]+)/image/upload", parts.path):
                self._upload(match[1], body)
            else:
                raise RefusedError(404, "Not found")
        except RefusedError as refused:
            self.answer_json({"error": {"message": str(refused)}}, refused.status)

    def do_GET(self) -> None:
        standin = self.server.standin
        if self.path == "/standin/uploads":
            listed = [asdict(upload) | {"data": None} for upload in standin.uploads.values()]
            self.answer_json({"uploads": listed, "requests": standin.requests})
            return
        parts = urlsplit(self.path)
        if match := re.fullmatch(ADMIN, parts.path):
            self._administer(match[1], parts.query)
            return
        match = re.fullmatch(r"/([^/]+)/image/upload/(.+)", self.path)
        upload = standin.find(match[1], match[2]) if match else None
        if upload is None:
            self.answer(b"", "text/plain", 404)
        else:
            self.answer(upload.data, f"image/{upload.format.replace('jpg', 'jpeg')}")

    def do_DELETE(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        parts = urlsplit(self.path)
        match = re.fullmatch(ADMIN, parts.path)
        self._administer(match[1] if match else "", "", json.loads(body))

    def _administer(self, cloud_name: str, query: str, order: dict[str, Any] | None = None) -> None:
        standin = self.server.standin
        try:
            fault = standin.next_fault("admin")
            if fault is not None and FAULTS[fault](self):
                return
            standin.administer(cloud_name, self.headers["Authorization"])
            if order is not None:
                said = standin.delete(
                    order["public_ids"], invalidate=order.get("invalidate", False)
                )
            else:
                asked = {name: values[0] for name, values in parse_qs(query).items()}
                start = int(asked.get("next_cursor", "0"))
                said = standin.page(asked["prefix"], int(asked["max_results"]), start)
        except RefusedError as refused:
            self.answer_json({"error": {"message": str(refused)}}, refused.status)
        else:
            self.answer_json(said)

    def _fail(self, query: dict[str, list[str]]) -> None:
        times, name = query.get("times"), query.get("name")
        self.server.standin.fail(
            query["how"][0],
            times=int(times[0]) if times else None,
            name=name[0] if name else None,
        )
        self.answer_json({})

    def _upload(self, cloud_name: str, body: bytes) -> None:
        standin = self.server.standin
        fields, filename, data = read_form(self.headers.get("Content-Type", ""), body)
        fault = standin.next_fault(fields.get("public_id", ""))
        if fault is not None and FAULTS[fault](self):
            return
        standin.check(cloud_name, fields)
        upload = standin.store(fields, filename, data)
        path = f"{cloud_name}/image/upload/v{upload.version}/{upload.public_id}.{upload.format}"
        address = f"{self.headers['Host']}/{path}"
        self.answer_json(
            {
                "asset_id": hashlib.md5(path.encode(), usedforsecurity=False).hexdigest(),
                "public_id": upload.public_id,
                "version": upload.version,
                "version_id": upload.etag,
                "width": upload.width,
                "height": upload.height,
                "format": upload.format,
                "resource_type": "image",
                "created_at": upload.created_at,
                "tags": [],
                "bytes": upload.bytes,
                "type": "upload",
                "etag": upload.etag,
                "placeholder": False,
                "url": f"http://{address}",
                # The real one is https; here it must lead to this server.
                "secure_url": f"http://{address}",
                "folder": upload.public_id.rpartition("/")[0],
                "overwritten": upload.times > 1,
                "api_key": fields["api_key"],
            }
        )

    def answer_json(self, document: object, status: int = 200) -> None:
        self.answer(json.dumps(document).encode(), "application/json; charset=utf-8", status)

    def answer(self, body: bytes, content_type: str, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Nothing on stderr."""


def read_form(content_type: str, body: bytes) -> tuple[dict[str, str], str, bytes]:
    """Text fields (lists joined by commas), the file's name and its bytes."""
    header = Message()
    header["Content-Type"] = content_type
    boundary = header.get_param("boundary")
    if header.get_content_type() != "multipart/form-data" or not isinstance(boundary, str):
        raise RefusedError(400, "Not a form")
    fields: dict[str, str] = {}
    filename, data = "", b""
    for part in body.split(b"--" + boundary.encode())[1:-1]:
        head, _, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        content = content.removesuffix(b"\r\n")
        names = dict(re.findall(r'(name|filename)="([^"]*)"', head.decode()))
        name = names["name"].removesuffix("[]")
        if name == "file":
            filename, data = names.get("filename", ""), content
        elif name in fields:
            fields[name] += "," + content.decode()
        else:
            fields[name] = content.decode()
    if not data:
        raise RefusedError(400, "Missing required parameter - file")
    return fields, filename, data


def _throttled(_: _Handler) -> bool:
    raise RefusedError(429, "Rate Limit Exceeded")


def _broken(_: _Handler) -> bool:
    raise RefusedError(500, "General Error")


def _forbidden(_: _Handler) -> bool:
    raise RefusedError(403, "Your account is disabled")


def _gateway(handler: _Handler) -> bool:
    handler.answer(b"<html><h1>502 Bad Gateway</h1></html>", "text/html", 502)
    return True


def _hang(handler: _Handler) -> bool:
    handler.server.standin.stopping.wait(HANG_S)
    handler.close_connection = True
    return True


def _reset(handler: _Handler) -> bool:
    linger_off = struct.pack("ii", 1, 0)
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_off)
    handler.connection.close()
    handler.close_connection = True
    return True


def _wait_for_another(handler: _Handler) -> bool:
    handler.server.standin.wait_for_another()
    return False


FAULTS: dict[str, Callable[[_Handler], bool]] = {
    "throttled": _throttled,
    "broken": _broken,
    "gateway": _gateway,
    "forbidden": _forbidden,
    "hang": _hang,
    "reset": _reset,
    "wait_for_another": _wait_for_another,
}
"""What may go wrong. Each answers the request itself (True), refuses, or lets it go on (False)."""


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(description="A Cloudinary stand-in on 127.0.0.1.")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    port = parser.parse_args().port
    end = {signal.SIGTERM, signal.SIGINT}
    # Before any thread is made, so that none of them takes the signal instead.
    signal.pthread_sigmask(signal.SIG_BLOCK, end)
    with CloudinaryStandIn(port=port) as standin:
        print(standin.url, flush=True)
        signal.sigwait(end)


if __name__ == "__main__":
    main()
