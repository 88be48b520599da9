"""Which network addresses a photo may come from: the public internet, and nothing else.

The tables follow the IANA special-purpose address registries (RFC 6890 and its successors).
They are written out because ``ipaddress.is_global`` answers differently from one Python to the
next.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

Address = IPv4Address | IPv6Address

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
    )
