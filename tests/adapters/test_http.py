"""Photos by address, from real HTTP servers on loopback behind a make-believe internet."""

from __future__ import annotations

import gzip
import hashlib
import hmac
import socket
import struct
import threading
import time
import zlib
from collections.abc import Callable
from ipaddress import ip_address

import pytest
from tests.standins.internet import (
    OTHER,
    PHOTO,
    PUBLIC,
    Authority,
    Internet,
    Script,
    chunked,
    ok,
    redirects,
    says,
    status,
)

from tryon_masks import deadline
from tryon_masks.adapters.addresses import Address
from tryon_masks.adapters.http import MAX_REDIRECTS, HttpCallbacks, HttpPhotoSource, dial
from tryon_masks.deadline import time_limit
from tryon_masks.domain.errors import (
    BrokenPhoto,
    CallbackFailed,
    OutOfTime,
    PhotoFetchFailed,
    PhotoFetchTimeout,
    PhotoNotFound,
    PhotoTooLarge,
    UnsupportedPhoto,
    UrlNotAllowed,
)

MAX_BYTES = len(PHOTO)
END = b"0\r\n\r\n"

Make = Callable[..., HttpPhotoSource]


class TestFetching:
    def test_the_photo_comes_back_byte_for_byte(self, internet: Internet, source: Make) -> None:
        server = internet.host("photos.example", says(ok()))

        assert source().fetch("https://photos.example/a%20b/c.jpg?sig=x%2By&n=1#part") == PHOTO

        assert internet.called == [(PUBLIC, 443)]
        request, *headers = server.heads[0].splitlines()
        assert request == "GET /a%20b/c.jpg?sig=x%2By&n=1 HTTP/1.1"
        assert "Host: photos.example" in headers
        assert "Accept-Encoding: identity" in headers

    @pytest.mark.parametrize(
        "answer",
        [
            chunked(
                b"1000\r\n" + PHOTO[:4096] + b"\r\n", b"1800\r\n" + PHOTO[4096:] + b"\r\n0\r\n\r\n"
            ),
            b"HTTP/1.0 200 OK\r\n\r\n" + PHOTO,
            b"HTTP/1.1 100 Continue\r\n\r\n" + ok(),
            ok(PHOTO, "Content-Encoding: identity"),
            ok(PHOTO + b"more than was announced", length=len(PHOTO)),
        ],
        ids=["chunked", "until it hangs up", "after a 100", "identity", "longer than announced"],
    )
    def test_every_way_of_sending(self, internet: Internet, source: Make, answer: bytes) -> None:
        internet.host("photos.example", says(answer))
        assert source().fetch("https://photos.example/") == PHOTO

    @pytest.mark.parametrize(
        ("written", "sent"),
        [
            ("https://photos.example", "GET / HTTP/1.1"),
            ("HTTPS://Photos.Example:443/x", "GET /x HTTP/1.1"),
            ("https://photos.example./x", "GET /x HTTP/1.1"),
            ("https://photos.example/my photo é.jpg", "GET /my%20photo%20%C3%A9.jpg HTTP/1.1"),
            ("https://photos.example?a=b", "GET /?a=b HTTP/1.1"),
        ],
    )
    def test_addresses_as_people_write_them(
        self, internet: Internet, source: Make, written: str, sent: str
    ) -> None:
        server = internet.host("photos.example", says(ok()))
        internet.names["photos.example."] = [PUBLIC]
        assert source().fetch(written) == PHOTO
        assert server.heads[0].splitlines()[0] == sent
        assert "\r\nHost: photos.example\r\n" in server.heads[0]

    def test_an_international_name_is_asked_for_in_ascii(
        self, internet: Internet, source: Make
    ) -> None:
        server = internet.host("xn--bcher-kva.example", says(ok()))
        assert source().fetch("https://bücher.example/") == PHOTO
        assert "\r\nHost: xn--bcher-kva.example\r\n" in server.heads[0]

    def test_http_where_it_is_allowed(self, internet: Internet, source: Make) -> None:
        internet.host("photos.example", says(ok()), secure=False)
        assert source(allow_http=True).fetch("http://photos.example/") == PHOTO
        assert internet.called == [(PUBLIC, 80)]

    def test_the_next_address_is_tried_when_one_is_dead(
        self, internet: Internet, source: Make
    ) -> None:
        internet.host("photos.example", says(ok()))
        internet.names["photos.example"] = [OTHER, PUBLIC, PUBLIC]
        assert source().fetch("https://photos.example/") == PHOTO
        assert internet.called == [(OTHER, 443), (PUBLIC, 443)]

    def test_proxies_of_the_environment_are_ignored(
        self, internet: Internet, source: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
        internet.host("photos.example", says(ok()))
        assert source().fetch("https://photos.example/") == PHOTO
        assert internet.called == [(PUBLIC, 443)]

    def test_dial_connects_to_the_address_given(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            with dial(ip_address("127.0.0.1"), port, 5) as connection:
                assert connection.getpeername() == ("127.0.0.1", port)


class TestNames:
    @pytest.mark.parametrize(
        "answers",
        [["10.0.0.7"], [PUBLIC, "10.0.0.7"], ["10.0.0.7", PUBLIC], [PUBLIC, OTHER, "::1"]],
    )
    def test_one_inside_answer_spoils_the_name(
        self, internet: Internet, source: Make, answers: list[str]
    ) -> None:
        internet.host("photos.example", says(ok()))
        internet.names["photos.example"] = answers
        with pytest.raises(UrlNotAllowed):
            source().fetch("https://photos.example/")
        assert internet.called == []

    def test_a_name_that_changes_its_mind_is_asked_once(
        self, internet: Internet, source: Make
    ) -> None:
        def rebinds(connection: socket.socket, _head: str) -> None:
            internet.names["photos.example"] = ["127.0.0.1"]
            connection.sendall(ok())

        internet.host("photos.example", rebinds)
        assert source().fetch("https://photos.example/") == PHOTO
        assert internet.asked == ["photos.example"]
        assert internet.called == [(PUBLIC, 443)]

        with pytest.raises(UrlNotAllowed):
            source().fetch("https://photos.example/")


class TestRedirects:
    @pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
    def test_are_followed_to_another_host(
        self, internet: Internet, source: Make, code: int
    ) -> None:
        internet.host("short.example", redirects("https://photos.example/b.jpg?x=1#y", code))
        server = internet.host("photos.example", says(ok()), OTHER)
        assert source().fetch("https://short.example/a") == PHOTO
        assert internet.called == [(PUBLIC, 443), (OTHER, 443)]
        assert server.heads[0].startswith("GET /b.jpg?x=1 HTTP/1.1\r\n")

    @pytest.mark.parametrize(
        ("location", "then"),
        [
            ("/b", "/b"),
            ("c", "/d/c"),
            ("//photos.example/e", "/e"),
            ("f g\xe9", "/d/f%20g%E9"),
            ("\thttps://photos.example/h\xa0 ", "/h%A0"),
        ],
    )
    def test_may_be_relative(
        self, internet: Internet, source: Make, location: str, then: str
    ) -> None:
        def script(connection: socket.socket, head: str) -> None:
            first = head.startswith("GET /d/a ")
            connection.sendall(status(302, f"Location: {location}") if first else ok())

        server = internet.host("photos.example", script)
        assert source().fetch("https://photos.example/d/a") == PHOTO
        assert server.heads[1].startswith(f"GET {then} HTTP/1.1\r\n")

    def test_from_http_to_https_and_never_back(self, internet: Internet, source: Make) -> None:
        internet.host("plain.example", redirects("https://photos.example/"), secure=False)
        internet.host("photos.example", redirects("http://plain.example/"))
        with pytest.raises(UrlNotAllowed):
            source(allow_http=True).fetch("http://plain.example/")
        assert internet.called == [(PUBLIC, 80), (PUBLIC, 443)]

    @pytest.mark.parametrize("hops", [MAX_REDIRECTS, MAX_REDIRECTS + 1])
    def test_come_to_an_end(self, internet: Internet, source: Make, hops: int) -> None:
        def script(connection: socket.socket, head: str) -> None:
            step = int(head.split()[1].strip("/"))
            connection.sendall(ok() if step == hops else status(302, f"Location: /{step + 1}"))

        server = internet.host("photos.example", script)
        if hops == MAX_REDIRECTS:
            assert source().fetch("https://photos.example/0") == PHOTO
        else:
            with pytest.raises(PhotoFetchFailed, match="redirects too often"):
                source().fetch("https://photos.example/0")
        assert len(server.heads) == MAX_REDIRECTS + 1

    def test_without_a_location_are_failures(self, internet: Internet, source: Make) -> None:
        internet.host("photos.example", says(status(302)))
        with pytest.raises(PhotoFetchFailed, match="answered 302"):
            source().fetch("https://photos.example/")


class TestSize:
    def test_an_announced_size_is_refused_before_a_byte_of_it(
        self, internet: Internet, source: Make
    ) -> None:
        internet.host("photos.example", says(ok(b"", length=MAX_BYTES + 1)))
        with pytest.raises(PhotoTooLarge):
            source().fetch("https://photos.example/")

    @pytest.mark.parametrize(
        "answer",
        [
            b"HTTP/1.1 200 OK\r\n\r\n" + PHOTO + b"x",
            chunked(b"2801\r\n" + PHOTO + b"x\r\n", END),
        ],
        ids=["no length", "chunked"],
    )
    def test_one_byte_too_many(self, internet: Internet, source: Make, answer: bytes) -> None:
        internet.host("photos.example", says(answer))
        with pytest.raises(PhotoTooLarge, match=str(MAX_BYTES)):
            source().fetch("https://photos.example/")

    @pytest.mark.parametrize(
        "start",
        [
            b"HTTP/1.1 200 OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
            chunked(b"7fffffff\r\n"),
            chunked(b"-1\r\n"),
            chunked(b"7fffffff\r\n").replace(b"\r\n", b"\r\nContent-Length: 5\r\n", 1),
        ],
        ids=["no length", "negative", "not a number", "huge chunk", "chunk of -1", "both"],
    )
    def test_an_endless_answer_is_cut_off(
        self, internet: Internet, source: Make, start: bytes
    ) -> None:
        sent = 0

        def endless(connection: socket.socket, _head: str) -> None:
            nonlocal sent
            connection.sendall(start)
            while True:
                connection.sendall(bytes(65536))
                sent += 65536

        server = internet.host("photos.example", endless)
        with pytest.raises(PhotoTooLarge):
            source().fetch("https://photos.example/")
        assert len(server.heads) == 1
        assert sent < 20_000_000  # what the allowance and the kernel's buffers hold, not for ever

    def test_a_flood_of_headers_is_cut_off(self, internet: Internet, source: Make) -> None:
        def flood(connection: socket.socket, _head: str) -> None:
            while True:
                connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)

        internet.host("photos.example", flood)
        with pytest.raises(PhotoTooLarge):
            source().fetch("https://photos.example/")


def deflated(data: bytes, bits: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, bits)
    return packer.compress(data) + packer.flush()


class TestCompression:
    """Nobody asks for it, and hosts of objects repeat what was once written beside them."""

    @pytest.mark.parametrize(
        "label",
        [
            *("aws-chunked", "", " ", "identity", "base64", "utf-8", "binary", "none"),
            *("image/jpeg", "identity, aws-chunked", ",", "AWS-Chunked ,"),
        ],
    )
    def test_a_label_that_is_none_says_nothing(
        self, internet: Internet, source: Make, label: str
    ) -> None:
        internet.host("photos.example", says(ok(PHOTO, f"Content-Encoding: {label}")))
        assert source().fetch("https://photos.example/") == PHOTO

    @pytest.mark.parametrize(
        ("label", "body"),
        [
            ("gzip", gzip.compress(PHOTO)),
            ("X-GZIP", gzip.compress(PHOTO)),
            ("gzip, aws-chunked", gzip.compress(PHOTO)),
            ("gzip", gzip.compress(PHOTO[:99]) + gzip.compress(PHOTO[99:]) + bytes(9)),
            ("deflate", deflated(PHOTO, 15)),
            ("deflate", deflated(PHOTO, -15)),
            ("deflate, gzip", gzip.compress(deflated(PHOTO, 15))),
        ],
        ids=["gzip", "x-gzip", "with a label", "two members", "zlib", "raw deflate", "two layers"],
    )
    def test_gzip_and_deflate_are_unpacked(
        self, internet: Internet, source: Make, label: str, body: bytes
    ) -> None:
        internet.host("photos.example", says(ok(body, f"Content-Encoding: {label}")))
        assert source().fetch("https://photos.example/") == PHOTO

    def test_two_headers_are_one_list(self, internet: Internet, source: Make) -> None:
        headers = "Content-Encoding: aws-chunked", "Content-Encoding: gzip"
        internet.host("photos.example", says(ok(gzip.compress(PHOTO), *headers)))
        assert source().fetch("https://photos.example/") == PHOTO

    @pytest.mark.parametrize(
        "label", ["br", "zstd", "compress", "dcz", "br, aws-chunked", "gzip, gzip, gzip"]
    )
    def test_others_are_the_callers_to_mend(
        self, internet: Internet, source: Make, label: str
    ) -> None:
        internet.host("photos.example", says(ok(PHOTO, f"Content-Encoding: {label}")))
        with pytest.raises(UnsupportedPhoto, match="compressed") as refusal:
            source().fetch("https://photos.example/")
        assert 400 <= refusal.value.status < 500

    @pytest.mark.parametrize(
        ("label", "bomb"),
        [
            ("gzip", gzip.compress(bytes(len(PHOTO) + 1))),
            ("gzip", gzip.compress(PHOTO) * 2),
            ("deflate", deflated(bytes(9_000_000), 15)),
            ("deflate", deflated(bytes(9_000_000), -15)),
            ("gzip, gzip", gzip.compress(gzip.compress(bytes(300_000_000), 1), 1)),
        ],
        ids=["one byte more", "two members", "zlib", "raw deflate", "two layers"],
    )
    def test_the_limit_holds_unpacked_too(
        self, internet: Internet, source: Make, label: str, bomb: bytes
    ) -> None:
        internet.host("photos.example", says(ok(bomb, f"Content-Encoding: {label}")))
        with pytest.raises(PhotoTooLarge):
            source().fetch("https://photos.example/")

    @pytest.mark.parametrize(
        ("label", "body"),
        [
            ("gzip", PHOTO),
            ("gzip", gzip.compress(PHOTO)[:-30]),
            ("gzip", gzip.compress(PHOTO)[:-8] + bytes(8)),
            ("deflate", b"\xff" * 100),
            ("deflate", deflated(PHOTO, 15)[:-30]),
        ],
    )
    def test_what_cannot_be_unpacked_is_broken(
        self, internet: Internet, source: Make, label: str, body: bytes
    ) -> None:
        internet.host("photos.example", says(ok(body, f"Content-Encoding: {label}")))
        with pytest.raises(BrokenPhoto, match=f"as {label}"):
            source().fetch("https://photos.example/")


class TestStatus:
    @pytest.mark.parametrize("code", [200, 201, 202, 203, 226, 299])
    def test_any_success_with_a_body_is_taken(
        self, internet: Internet, source: Make, code: int
    ) -> None:
        answer = ok().replace(b" 200 OK", b" %d Fine" % code)
        internet.host("photos.example", says(answer))
        assert source().fetch("https://photos.example/") == PHOTO

    def test_a_part_that_is_the_whole(self, internet: Internet, source: Make) -> None:
        whole = f"Content-Range: bytes 0-{len(PHOTO) - 1}/{len(PHOTO)}"
        internet.host("photos.example", says(ok(PHOTO, whole).replace(b" 200 ", b" 206 ")))
        assert source().fetch("https://photos.example/") == PHOTO

    @pytest.mark.parametrize("said", ["bytes 0-9/20000", "bytes 5-9/10", "bytes 0-9/*", ""])
    def test_a_part_of_it_is_no_photo(self, internet: Internet, source: Make, said: str) -> None:
        part = ok(PHOTO, f"Content-Range: {said}").replace(b" 200 ", b" 206 ")
        internet.host("photos.example", says(part))
        with pytest.raises(PhotoFetchFailed, match="a part"):
            source().fetch("https://photos.example/")

    @pytest.mark.parametrize("code", [201, 204, 205])
    def test_success_without_a_body_is_none(
        self, internet: Internet, source: Make, code: int
    ) -> None:
        internet.host("photos.example", says(status(code)))
        with pytest.raises(PhotoFetchFailed, match="nothing"):
            source().fetch("https://photos.example/")


class TestFailures:
    @pytest.mark.parametrize("code", [304, 408, 423, 425, 429, 500, 503])
    def test_another_status_is_told(self, internet: Internet, source: Make, code: int) -> None:
        internet.host("photos.example", says(status(code)))
        with pytest.raises(PhotoFetchFailed, match=f"answered {code}"):
            source().fetch("https://photos.example/")

    @pytest.mark.parametrize("code", [400, 401, 403, 404, 405, 410, 414, 451])
    def test_what_another_try_would_not_bring_is_the_callers_to_mend(
        self, internet: Internet, source: Make, code: int
    ) -> None:
        internet.host("photos.example", says(status(code)))
        with pytest.raises(PhotoNotFound):
            source().fetch("https://photos.example/")

    @pytest.mark.parametrize(
        "answer",
        [
            b"",
            ok(b""),
            b"HTTP/1.1 200 OK\r\nContent-Le",
            b"SSH-2.0-OpenSSH_9.2\r\n",
            b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
            b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n",
            ok(PHOTO[:100], length=len(PHOTO)),
            ok(b"", length=1),
            chunked(b"1000\r\n" + PHOTO[:100]),
            chunked(b"10\r\n" + PHOTO[:16] + b"\r\n"),
            chunked(b"many\r\n" + PHOTO),
            chunked(b"-5\r\n" + PHOTO),
        ],
        ids=[
            "nothing",
            "an empty body",
            "half a head",
            "not HTTP",
            "too many headers",
            "too long a header",
            "shorter than announced",
            "empty but announced",
            "a broken chunk",
            "no last chunk",
            "a chunk of no length",
            "a chunk of negative length",
        ],
    )
    def test_an_answer_that_breaks_off(
        self, internet: Internet, source: Make, answer: bytes
    ) -> None:
        internet.host("photos.example", says(answer))
        with pytest.raises(PhotoFetchFailed):
            source().fetch("https://photos.example/")

    @pytest.mark.parametrize("secure", [True, False])
    def test_a_reset(self, internet: Internet, source: Make, secure: bool) -> None:
        def resets(connection: socket.socket, _head: str) -> None:
            connection.sendall(ok(PHOTO[:5000], length=len(PHOTO)))
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

        internet.host("photos.example", resets, secure=secure)
        with pytest.raises(PhotoFetchFailed):
            source(allow_http=True).fetch(f"http{'s' * secure}://photos.example/")

    def test_nobody_listens(self, internet: Internet, source: Make) -> None:
        internet.names["photos.example"] = [PUBLIC, OTHER]
        with pytest.raises(PhotoFetchFailed):
            source().fetch("https://photos.example/")
        assert internet.called == [(PUBLIC, 443), (OTHER, 443)]

    def test_no_such_host(self, source: Make, internet: Internet) -> None:
        def nowhere(host: str, port: int) -> list[Address]:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        internet.resolve = nowhere  # type: ignore[method-assign]
        with pytest.raises(PhotoFetchFailed, match="not found"):
            source().fetch("https://photos.example/")

    def test_a_host_without_addresses(self, internet: Internet, source: Make) -> None:
        internet.names["photos.example"] = []
        with pytest.raises(PhotoFetchFailed):
            source().fetch("https://photos.example/")

    def test_a_certificate_of_somebody_else(self, internet: Internet, source: Make) -> None:
        server = internet.host("photos.example", says(ok()), certificate_for=["other.example"])
        with pytest.raises(PhotoFetchFailed, match="secure connection"):
            source().fetch("https://photos.example/")
        assert server.heads == []

    def test_an_unknown_authority(self, internet: Internet) -> None:
        server = internet.host("photos.example", says(ok()))
        source = HttpPhotoSource(MAX_BYTES, 5, resolve=internet.resolve, dial=internet.dial)
        with pytest.raises(PhotoFetchFailed, match="secure connection"):
            source.fetch("https://photos.example/")
        assert server.heads == []

    def test_http_on_the_secure_port(self, internet: Internet, source: Make) -> None:
        internet.names["photos.example"] = [PUBLIC]
        ours, theirs = socket.socketpair()
        internet.dial = lambda address, port, timeout: ours  # type: ignore[method-assign]
        with theirs:
            theirs.sendall(status(400))
            with pytest.raises(PhotoFetchFailed, match="secure connection"):
                source().fetch("https://photos.example/")

    @pytest.mark.parametrize(
        "script",
        [says(status(404)), redirects("https://127.0.0.1/?token=s3cret"), says(ok(b"", length=9))],
    )
    def test_messages_tell_nobody_the_address(
        self, internet: Internet, source: Make, script: Script
    ) -> None:
        internet.host("photos.example", script)
        with pytest.raises((PhotoFetchFailed, PhotoNotFound, UrlNotAllowed)) as failure:
            source().fetch("https://photos.example/private/a.jpg?token=s3cret")
        told = f"{failure.value} {failure.value.detail}"
        assert "s3cret" not in told
        assert "private" not in told


class TestDeadline:
    """However the time is spent, it ends."""

    @staticmethod
    def drip(beginning: bytes, piece: bytes) -> Script:
        def script(connection: socket.socket, _head: str) -> None:
            connection.sendall(beginning)
            while True:
                connection.sendall(piece)
                time.sleep(0.02)

        return script

    @pytest.mark.parametrize(
        ("beginning", "piece"),
        [
            (ok(b"", length=len(PHOTO)), b"x"),
            (chunked(), b"1\r\nx\r\n"),
            (b"HTTP/1.1 200 OK\r\nX: ", b"x"),
            (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
            (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        ],
        ids=["body", "chunks", "one header", "headers", "continues"],
    )
    @pytest.mark.parametrize("secure", [True, False])
    def test_a_slow_drip(
        self, internet: Internet, source: Make, beginning: bytes, piece: bytes, secure: bool
    ) -> None:
        internet.host("photos.example", self.drip(beginning, piece), secure=secure)
        address = f"http{'s' * secure}://photos.example/"
        with pytest.raises(PhotoFetchTimeout):
            source(timeout_s=0.25, allow_http=True).fetch(address)

    def test_silence_after_the_request(self, internet: Internet, source: Make) -> None:
        done = threading.Event()

        def silent(_connection: socket.socket, _head: str) -> None:
            done.wait(60)

        internet.host("photos.example", silent)
        with pytest.raises(PhotoFetchTimeout):
            source(timeout_s=0.25).fetch("https://photos.example/")
        done.set()

    def test_silence_at_the_handshake(self, internet: Internet, source: Make) -> None:
        internet.names["photos.example"] = [PUBLIC]
        with socket.create_server(("127.0.0.1", 0)) as mute:
            here = ip_address("127.0.0.1")
            internet.dial = (  # type: ignore[method-assign]
                lambda address, port, timeout: dial(here, mute.getsockname()[1], timeout)
            )
            with pytest.raises(PhotoFetchTimeout):
                source(timeout_s=0.25).fetch("https://photos.example/")

    def test_the_handshake_has_more_than_its_own_dial(
        self, internet: Internet, source: Make
    ) -> None:
        internet.host("photos.example", says(ok()))
        call = internet.dial

        def impatient(address: Address, port: int, timeout: float) -> socket.socket:
            connection = call(address, port, timeout)
            connection.settimeout(1e-6)
            return connection

        internet.dial = impatient  # type: ignore[method-assign]
        assert source().fetch("https://photos.example/") == PHOTO

    def test_a_resolver_that_hangs(self, internet: Internet, source: Make) -> None:
        done = threading.Event()

        def hangs(host: str, port: int) -> list[Address]:
            done.wait(60)
            return []

        internet.resolve = hangs  # type: ignore[method-assign]
        with pytest.raises(PhotoFetchTimeout):
            source(timeout_s=0.25).fetch("https://photos.example/")
        done.set()

    def test_addresses_share_it(self, internet: Internet, source: Make) -> None:
        patience: list[float] = []

        def unreachable(address: Address, port: int, timeout: float) -> socket.socket:
            patience.append(timeout)
            raise TimeoutError

        internet.names["photos.example"] = [PUBLIC, OTHER]
        internet.dial = unreachable  # type: ignore[method-assign]
        with pytest.raises(PhotoFetchTimeout):
            source(timeout_s=800).fetch("https://photos.example/")
        assert patience[0] <= 400
        assert 400 < patience[1] <= 800

    def test_redirects_share_it(self, internet: Internet, source: Make) -> None:
        def script(connection: socket.socket, _head: str) -> None:
            time.sleep(0.1)
            connection.sendall(status(302, "Location: /again"))

        internet.host("photos.example", script)
        with pytest.raises(PhotoFetchTimeout):
            source(timeout_s=0.25).fetch("https://photos.example/")

    @pytest.mark.parametrize("seconds", [-1.0, 0.2])
    def test_the_calls_own_limit_is_the_nearer_one(
        self,
        source: Make,
        internet: Internet,
        monkeypatch: pytest.MonkeyPatch,
        seconds: float,
    ) -> None:
        monkeypatch.setattr(deadline, "clock", time.monotonic)
        go_on = threading.Event()

        def hangs(host: str, port: int) -> list[Address]:
            go_on.wait(60)
            return []

        internet.resolve = hangs  # type: ignore[method-assign]
        try:
            with time_limit(seconds), pytest.raises(OutOfTime):
                source(timeout_s=60).fetch("https://photos.example/")
        finally:
            go_on.set()


class TestCallbacks:
    @pytest.fixture
    def callbacks(self, internet: Internet, authority: Authority) -> HttpCallbacks:
        return HttpCallbacks(
            "key",
            5,
            clock=lambda: 1_772_446_530.7,
            resolve=internet.resolve,
            dial=internet.dial,
            tls=authority.trusting,
        )

    def test_an_answer_arrives_signed(self, internet: Internet, callbacks: HttpCallbacks) -> None:
        body = b'{"state": "success"}'
        received: list[bytes] = []

        def script(connection: socket.socket, head: str) -> None:
            received.append(head.partition("\r\n\r\n")[2].encode() or connection.recv(4096))
            connection.sendall(status(204))

        server = internet.host("shop.example", script)

        callbacks.post("https://shop.example/masks?order=7", body)

        (head,) = server.heads
        assert head.startswith("POST /masks?order=7 HTTP/1.1\r\n")
        assert "\r\nContent-Type: application/json\r\n" in head
        mac = hmac.new(b"key", b"1772446530." + body, hashlib.sha256).hexdigest()
        assert f"\r\nTryon-Signature: t=1772446530,v1={mac}\r\n" in head
        assert received == [body]

    @pytest.mark.parametrize("code", [302, 400, 404, 500])
    def test_anything_but_thanks_is_a_failure(
        self, internet: Internet, callbacks: HttpCallbacks, code: int
    ) -> None:
        def script(connection: socket.socket, head: str) -> None:
            if head.endswith("\r\n\r\n"):
                connection.recv(4096)
            connection.sendall(status(code, "Location: https://other.example/"))

        internet.host("shop.example", script)

        with pytest.raises(CallbackFailed):
            callbacks.post("https://shop.example/", b"{}")
        assert internet.asked == ["shop.example"]

    @pytest.mark.parametrize(
        "address",
        [
            "http://shop.example/",
            "https://shop.example:8443/",
            "https://user@shop.example/",
            "https://10.0.0.1/",
            "https://169.254.169.254/latest/meta-data/",
        ],
    )
    def test_where_no_photo_is_fetched_nothing_is_posted(
        self, internet: Internet, callbacks: HttpCallbacks, address: str
    ) -> None:
        with pytest.raises(UrlNotAllowed):
            callbacks.post(address, b"{}")
        assert internet.called == []

    def test_a_host_that_is_not_there(self, callbacks: HttpCallbacks, internet: Internet) -> None:
        internet.names["shop.example"] = [PUBLIC]

        with pytest.raises(CallbackFailed):
            callbacks.post("https://shop.example/", b"{}")
