"""Where a photo may come from: ordinary web addresses on the public internet, and nothing else.

:class:`AddressRules` reads what a stranger wrote, and what a redirect says; :func:`check_public`
judges the network addresses that a connection is about to use. Neither opens a connection.

The tables follow the IANA special-purpose address registries (RFC 6890 and its successors).
They are written out because ``ipaddress.is_global`` answers differently from one Python to the
next.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_network
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from tryon_masks.domain.errors import UrlNotAllowed

Address = IPv4Address | IPv6Address

URL_SAFE = "%/:@!$&'()*+,;=~?[]"
"""What stays as it is when an address is quoted."""

_PORTS = {"https": 443, "http": 80}
_HOST_NAME = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")

_AROUND = (
    " \t\n\v\f\r\x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000\ufeff"
)
"""White space, which copying leaves around an address."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
"""C0 and DEL, which two programs read differently, and halves of characters."""

_NOT_PUBLIC = {
    ip_network(block): name
    for block, name in (
        ("0.0.0.0/8", "this network"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "carrier-grade NAT"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link-local"),  # cloud metadata
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "protocol assignments"),
        ("192.0.2.0/24", "documentation"),
        ("192.31.196.0/24", "AS112"),
        ("192.52.193.0/24", "multicast tunnels"),
        ("192.88.99.0/24", "6to4 relays"),
        ("192.168.0.0/16", "private"),
        ("192.175.48.0/24", "AS112"),
        ("198.18.0.0/15", "benchmarks"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),  # broadcast
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("::/96", "IPv4-compatible"),
        ("::ffff:0:0/96", "IPv4-mapped"),
        ("::ffff:0:0:0/96", "IPv4-translated"),
        ("64:ff9b:1::/48", "local NAT64"),
        ("100::/64", "discard"),
        ("2001::/23", "protocol assignments"),  # Teredo, benchmarks, ORCHID
        ("2001:db8::/32", "documentation"),
        ("2002::/16", "6to4"),  # an IPv4 address inside
        ("2620:4f:8000::/48", "AS112"),
        ("3fff::/20", "documentation"),
        ("5f00::/16", "segment routing"),
        ("fc00::/7", "unique-local"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "site-local"),
        ("ff00::/8", "multicast"),
    )
}

_GLOBAL_UNICAST_V6 = IPv6Network("2000::/3")
"""All that is handed out."""

_NAT64 = IPv6Network("64:ff9b::/96")
"""Where resolvers of networks without IPv4 place the hosts that have nothing else (RFC 6147)."""

# An IPv4 address in the lower half (RFC 5214): the upper half of it, whatever the network.
_ISATAP = 0x0000_5EFE
_ISATAP_MASK = 0xFDFF_FFFF


def inside(address: Address) -> str | None:
    """Name the range that keeps ``address`` from being public; None: it is public.

    Of an IPv6 address that carries an IPv4 address only the well-known prefix of NAT64 may be
    public, as the IPv4 address is: by it networks without IPv4 reach the hosts that have no other.
    """
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            return "with a zone"
        if address in _NAT64:
            return inside(IPv4Address(int(address) & 0xFFFF_FFFF))
        if int(address) >> 32 & _ISATAP_MASK == _ISATAP:
            return "ISATAP"
    for block, name in _NOT_PUBLIC.items():
        if address in block:
            return f"{name}, {block}"
    if isinstance(address, IPv6Address) and address not in _GLOBAL_UNICAST_V6:
        return "not handed out"
    return None


@dataclass(frozen=True)
class Target:
    """One address, taken apart and found to have an allowed form.

    ``host`` is ASCII and lower case; ``literal`` is the network address where the host is one.
    """

    secure: bool
    host: str
    port: int
    path: str
    literal: Address | None


@dataclass(frozen=True)
class AddressRules:
    """What an operator lets strangers name.

    Attributes
    ----------
    allow_http
        Whether an address may start with ``http://``.
    allowed_hosts
        The only hosts, in lower case; ``*.example.com`` is every host below ``example.com``.
        Empty: every host on the public internet.
    """

    allow_http: bool = False
    allowed_hosts: tuple[str, ...] = ()

    def target(self, address: str) -> Target:
        """Take ``address`` apart.

        White space around it is left out; behind the host, whatever a request cannot hold is
        percent-encoded as browsers do it.

        Raises
        ------
        UrlNotAllowed
            Another scheme or port, credentials, a host that is not allowed, or anything that two
            programs might read differently.
        """
        address = address.strip(_AROUND)
        if _CONTROL.search(address):
            # urlsplit would drop line breaks in silence.
            raise UrlNotAllowed("The photo's address has control characters in it.")
        try:
            url = urlsplit(address)
            port = url.port
            if not url.netloc.isprintable():
                # IDNA would drop some of them in silence.
                raise UrlNotAllowed(detail="unprintable characters in the host")
            host = (url.hostname or "").encode("idna").decode()
            if url.scheme != "https" and not (self.allow_http and url.scheme == "http"):
                raise UrlNotAllowed("The photo's address must start with https://.")
            if "@" in url.netloc or port not in (None, _PORTS[url.scheme]):
                raise UrlNotAllowed("The photo's address must name a host, without user or port.")
            literal = _literal(url, host)
        except ValueError as error:
            # Its text would quote the address.
            raise UrlNotAllowed(detail=f"malformed: {type(error).__name__}") from error
        if literal is None and not _HOST_NAME.fullmatch(host):
            raise UrlNotAllowed(detail="not a host name")
        if not self._allows(host.rstrip(".")):
            raise UrlNotAllowed(
                "The photo's host is not one that this service fetches from.", detail=host
            )
        path = quote(url.path.replace("\\", "/") or "/", URL_SAFE) + (
            url.query and "?" + quote(url.query, URL_SAFE)
        )
        return Target(url.scheme == "https", host, _PORTS[url.scheme], path, literal)

    def _allows(self, host: str) -> bool:
        return not self.allowed_hosts or any(
            host.endswith(allowed[1:]) if allowed.startswith("*.") else host == allowed
            for allowed in self.allowed_hosts
        )


def check_public(host: str, addresses: Iterable[Address]) -> None:
    """Refuse ``host`` if even one of its ``addresses`` is not public.

    Raises
    ------
    UrlNotAllowed
        The message names the range.
    """
    for address in addresses:
        if name := inside(address):
            raise UrlNotAllowed(
                f"The photo's host is not on the public internet: its address is {name}.",
                detail=f"{host} is at {address}",
            )


def joined(address: str, location: str) -> str:
    """Return the address that a redirect of ``address`` leads to.

    Raises
    ------
    UrlNotAllowed
    """
    try:
        return urljoin(address.strip(_AROUND), location)
    except ValueError as error:
        raise UrlNotAllowed(detail=f"malformed redirect: {type(error).__name__}") from error


def _literal(url: SplitResult, host: str) -> Address | None:
    """Return the network address that the host is, in the one form that everybody reads alike.

    Resolvers also take 127.1, 0x7f.1, 0177.0.0.1 and 2130706433 for 127.0.0.1; here these are
    malformed. None where the host is a name.

    Raises
    ------
    ValueError
    """
    if "[" in url.netloc:
        return IPv6Address(host)
    host = host.rstrip(".")
    return IPv4Address(host) if _NUMBER.fullmatch(host.rpartition(".")[2]) else None
