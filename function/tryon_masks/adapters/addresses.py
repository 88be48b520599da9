"""Where a photo may come from: ordinary web addresses on the public internet, and nothing else.

:class:`AddressRules` reads what a stranger wrote, and what a redirect says; :func:`is_public`
judges the network address that a connection is about to use. Neither opens a connection.

The tables follow the IANA special-purpose address registries (RFC 6890 and its successors).
They are written out because ``ipaddress.is_global`` answers differently from one Python to the
next.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from urllib.parse import SplitResult, quote, urlsplit

from tryon_masks.domain.errors import UrlNotAllowed

Address = IPv4Address | IPv6Address

URL_SAFE = "%/:@!$&'()*+,;=~?[]"
"""What stays as it is when an address is quoted."""

_PORTS = {"https": 443, "http": 80}
_HOST_NAME = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")

_NOT_PUBLIC_V4 = tuple(
    IPv4Network(block)
    for block in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carrier-grade NAT
        "127.0.0.0/8",  # loopback
        "169.254.0.0/16",  # link-local, cloud metadata
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # multicast tunnels
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
)

_GLOBAL_UNICAST_V6 = IPv6Network("2000::/3")
"""All that is handed out. Outside lie loopback, mapped and compatible IPv4, NAT64 (64:ff9b::),
unique-local, link-local, site-local and multicast addresses."""

_NOT_PUBLIC_V6 = tuple(
    IPv6Network(block)
    for block in (
        "2001::/23",  # protocol assignments: Teredo, benchmarks, ORCHID
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: an IPv4 address inside
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",  # documentation
    )
)

# An IPv4 address in the lower half (RFC 5214): the upper half of it, whatever the network.
_ISATAP = 0x0000_5EFE
_ISATAP_MASK = 0xFDFF_FFFF


def is_public(address: Address) -> bool:
    """Whether ``address`` is an ordinary host on the public internet.

    An IPv6 address that carries an IPv4 address is refused whatever that is: a host with a public
    IPv4 address has no need of it.
    """
    if isinstance(address, IPv4Address):
        return not any(address in block for block in _NOT_PUBLIC_V4)
    return (
        address.scope_id is None
        and address in _GLOBAL_UNICAST_V6
        and not any(address in block for block in _NOT_PUBLIC_V6)
        and int(address) >> 32 & _ISATAP_MASK != _ISATAP
    )


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

        Raises
        ------
        UrlNotAllowed
            Another scheme or port, credentials, a host that is not allowed, or anything that two
            programs might read differently.
        """
        if not address.isprintable():
            # urlsplit would drop line breaks in silence.
            raise UrlNotAllowed(detail="control characters")
        try:
            url = urlsplit(address)
            port = url.port
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
        path = quote(url.path or "/", URL_SAFE) + (url.query and "?" + quote(url.query, URL_SAFE))
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
    """
    for address in addresses:
        if not is_public(address):
            raise UrlNotAllowed(detail=f"{host} is at {address}")


def _literal(url: SplitResult, host: str) -> Address | None:
    """The network address that the host is, in the one form that everybody reads alike.

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
