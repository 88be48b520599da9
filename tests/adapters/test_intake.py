"""No address of the table leads anywhere but the public internet, directly or by a redirect.

``pytest tests/adapters/test_intake.py -k figures -s`` prints how many were tried.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from urllib.parse import urlsplit

import pytest
from tests.adapters.address_table import (
    COPIED,
    GOOD,
    HOSTS_INSIDE,
    MALFORMED,
    NAMES,
    PUBLIC,
    PUBLIC_6,
    PUBLIC_64,
    UNPRINTABLE,
)
from tests.standins.internet import PHOTO, Authority, Internet, ok, says, status

from tryon_masks.adapters.addresses import Address, AddressRules, inside
from tryon_masks.adapters.http import HttpPhotoSource
from tryon_masks.domain.errors import TryonMasksError, UrlNotAllowed

Make = Callable[..., HttpPhotoSource]

INSIDE = [f"{scheme}://{host}/a.jpg" for host in HOSTS_INSIDE for scheme in ("https", "http")]
BAD = INSIDE + MALFORMED
GATE = "8.8.4.4"
# Said by a redirect, these are paths at the redirecting host, or nothing at all.
RELATIVE = {
    "",
    "photos.example/a.jpg",
    "//photos.example/a.jpg",
    "/etc/passwd",
    "https:",
    "https://",
    "https:///a.jpg",
    "https:photos.example/a.jpg",
    "https:/photos.example/a.jpg",
}
REDIRECTS = {
    # A redirect writes a host in ASCII.
    "good": [address for address in GOOD if urlsplit(address).netloc.isascii()],
    "bad": [address for address in BAD if address not in RELATIVE],
}
CERTIFIED = [
    name.rstrip(".")
    for name, addresses in NAMES.items()
    if addresses[:1] in ([PUBLIC], [PUBLIC_64])
]


@pytest.fixture(scope="module")
def everything(authority: Authority) -> Iterator[Internet]:
    """The table's names; one server is every public host, another redirects to the table."""
    internet = Internet(authority)
    everywhere = [PUBLIC, PUBLIC_6, PUBLIC_64]
    names = [*everywhere, *CERTIFIED]
    for secure in (True, False):
        internet.host("all", says(ok()), *everywhere, secure=secure, certificate_for=names)

    def gate(connection: socket.socket, head: str) -> None:
        _, kind, place = head.split()[1].split("/")
        location = REDIRECTS[kind][int(place)].encode().decode("latin-1")
        connection.sendall(status(302, f"Location: {location}"))

    internet.host("go.example", gate, GATE)
    internet.names |= NAMES
    yield internet
    internet.close()


@pytest.fixture
def world(everything: Internet) -> Internet:
    everything.called.clear()
    everything.asked.clear()
    return everything


@pytest.fixture
def source(world: Internet, authority: Authority) -> Make:
    def make(allow_http: bool = False, allowed_hosts: tuple[str, ...] = ()) -> HttpPhotoSource:
        rules = AddressRules(allow_http, allowed_hosts)
        return HttpPhotoSource(
            len(PHOTO), 30, rules, resolve=world.resolve, dial=world.dial, tls=authority.trusting
        )

    return make


def redirect_to(kind: str, address: str) -> str:
    return f"https://go.example/{kind}/{REDIRECTS[kind].index(address)}"


def outcome(source: HttpPhotoSource, address: str) -> str:
    """fetched, refused, or the name of another error."""
    try:
        return "fetched" if source.fetch(address) == PHOTO else "another file"
    except UrlNotAllowed:
        return "refused"
    except TryonMasksError as error:
        return type(error).__name__


@pytest.mark.parametrize("address", GOOD + COPIED, ids=ascii)
def test_ordinary_addresses_are_fetched(world: Internet, source: Make, address: str) -> None:
    assert outcome(source(), address) == "fetched"


@pytest.mark.parametrize("address", BAD + UNPRINTABLE, ids=ascii)
def test_no_other_is_called(world: Internet, source: Make, address: str) -> None:
    for allow_http in (False, True):
        assert outcome(source(allow_http=allow_http), address) == "refused"
    assert world.called == []


@pytest.mark.parametrize("address", REDIRECTS["bad"], ids=ascii)
def test_nor_after_a_redirect(world: Internet, source: Make, address: str) -> None:
    assert outcome(source(allow_http=True), redirect_to("bad", address)) == "refused"
    assert world.called == [(GATE, 443)]


def test_the_figures(world: Internet, source: Make, capsys: pytest.CaptureFixture[str]) -> None:
    """The whole table once more, in one count."""
    reader = source(allow_http=True)
    ways = {kind: [redirect_to(kind, each) for each in REDIRECTS[kind]] for kind in REDIRECTS}
    bad = BAD + UNPRINTABLE + ways["bad"]
    good = GOOD + COPIED + ways["good"]
    let_through = [address for address in bad if outcome(reader, address) != "refused"]
    refused = [address for address in good if outcome(reader, address) != "fetched"]
    private = {called for called, _ in world.called if inside(ip_address(called))}
    with capsys.disabled():
        print(
            f"\naddresses: {len(bad)} bad tried, {len(let_through)} let through; "
            f"{len(good)} good tried, {len(refused)} refused"
        )
    assert len(set(BAD + UNPRINTABLE + GOOD)) >= 80
    assert (let_through, refused, private) == ([], [], set())


def test_the_connection_goes_to_the_address_that_was_checked(
    world: Internet, source: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A resolver that answers a public address first and a private one ever after."""
    answers = iter([[PUBLIC]])
    asked = []

    def rebinds(host: str, port: int) -> list[Address]:
        asked.append(host)
        return [ip_address(answer) for answer in next(answers, ["127.0.0.1"])]

    monkeypatch.setattr(world, "resolve", rebinds)

    assert outcome(source(), "https://photos.example/a.jpg") == "fetched"
    assert asked == ["photos.example"]
    assert world.called == [(PUBLIC, 443)]

    assert outcome(source(), "https://photos.example/a.jpg") == "refused"
    assert world.called == [(PUBLIC, 443)]


def test_a_host_that_moves_inside_between_two_hops_is_refused(
    world: Internet, source: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    hops = redirect_to("good", "https://photos.example/a.jpg")
    monkeypatch.setitem(world.names, "photos.example", ["10.0.0.7"])

    assert outcome(source(), hops) == "refused"
    assert world.called == [(GATE, 443)]


def test_an_address_of_numbers_asks_no_resolver(world: Internet, source: Make) -> None:
    for address in (f"https://{PUBLIC}/", f"https://[{PUBLIC_6}]/", "https://127.0.0.1/"):
        outcome(source(), address)
    assert world.asked == []


class TestAllowList:
    HOSTS = ("my-bucket.s3.eu-central-1.amazonaws.com", "*.photos.example", "xn--bcher-kva.example")

    @pytest.mark.parametrize(
        ("host", "allowed"),
        [
            ("my-bucket.s3.eu-central-1.amazonaws.com", True),
            ("My-Bucket.S3.eu-central-1.amazonaws.com", True),
            ("my-bucket.s3.eu-central-1.amazonaws.com.", True),
            ("a.photos.example", True),
            ("a.b.photos.example", True),
            ("bücher.example", True),
            ("photos.example", False),
            ("evilphotos.example", False),
            ("a.photos.example.evil.example", False),
            ("other-bucket.s3.eu-central-1.amazonaws.com", False),
            ("x.my-bucket.s3.eu-central-1.amazonaws.com", False),
            (PUBLIC, False),
            (f"[{PUBLIC_6}]", False),
        ],
    )
    def test_only_its_hosts_are_fetched(self, host: str, allowed: bool) -> None:
        rules = AddressRules(allowed_hosts=self.HOSTS)
        try:
            rules.target(f"https://{host}/a.jpg")
        except UrlNotAllowed as error:
            assert not allowed
            assert str(error) == "The photo's host is not one that this service fetches from."
        else:
            assert allowed

    def test_a_redirect_stays_within_it(self, world: Internet, source: Make) -> None:
        address = redirect_to("good", "https://photos.example/a.jpg")

        assert outcome(source(allowed_hosts=("go.example",)), address) == "refused"
        assert world.called == [(GATE, 443)]
        both = ("go.example", "photos.example")
        assert outcome(source(allowed_hosts=both), address) == "fetched"

    def test_it_opens_no_door_inside(self, world: Internet, source: Make) -> None:
        allowed = source(allowed_hosts=("inside.example", "localhost"))
        for host in ("inside.example", "localhost"):
            assert outcome(allowed, f"https://{host}/") == "refused"
        assert world.called == []
