"""Only ordinary hosts on the public internet are public."""

from ipaddress import ip_address

import pytest

from tryon_masks.adapters.addresses import AddressRules, check_public, inside
from tryon_masks.domain.errors import UrlNotAllowed


@pytest.mark.parametrize(
    "address",
    [
        "1.1.1.1",
        "9.255.255.255",
        "11.0.0.0",
        "93.184.216.34",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "169.253.255.255",
        "169.255.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.0",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "2000::1",
        "2001:200::1",
        "2606:4700::6810:84e5",
        "2a00:1450:4001:80e::200e",
        "64:ff9b::93.184.216.34",
        "64:ff9b::1.1.1.1",
    ],
)
def test_ordinary_hosts_are_public(address: str) -> None:
    assert inside(ip_address(address)) is None


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("0.0.0.0", "this host"),
        ("0.1.2.3", "this network"),
        ("10.0.0.0", "private"),
        ("10.255.255.255", "private"),
        ("100.64.0.0", "carrier-grade NAT"),
        ("100.100.100.200", "carrier-grade NAT, a cloud's metadata"),
        ("100.127.255.255", "carrier-grade NAT"),
        ("127.0.0.1", "loopback"),
        ("127.255.255.254", "loopback"),
        ("169.254.169.254", "link-local, cloud metadata"),
        ("169.254.170.2", "link-local, container credentials"),
        ("172.16.0.0", "private"),
        ("172.31.255.255", "private"),
        ("192.0.0.192", "protocol assignments, a cloud's metadata"),
        ("192.0.2.1", "documentation"),
        ("192.31.196.1", "AS112"),
        ("192.52.193.1", "multicast tunnels"),
        ("192.88.99.1", "6to4 relay"),
        ("192.168.0.1", "private"),
        ("192.168.255.255", "private"),
        ("192.175.48.1", "AS112"),
        ("198.18.0.1", "benchmarks"),
        ("198.19.255.255", "benchmarks"),
        ("198.51.100.7", "documentation"),
        ("203.0.113.7", "documentation"),
        ("224.0.0.1", "multicast"),
        ("239.255.255.255", "multicast"),
        ("240.0.0.1", "reserved"),
        ("255.255.255.255", "broadcast"),
        ("::", "unspecified"),
        ("::1", "loopback"),
        ("::7f00:1", "IPv4-compatible loopback"),
        ("::93.184.216.34", "IPv4-compatible"),
        ("::ffff:127.0.0.1", "IPv4-mapped loopback"),
        ("::ffff:93.184.216.34", "IPv4-mapped"),
        ("::ffff:0:10.0.0.1", "IPv4-translated"),
        ("64:ff9b::10.0.0.1", "NAT64"),
        ("64:ff9b::127.0.0.1", "NAT64"),
        ("64:ff9b::169.254.169.254", "NAT64"),
        ("64:ff9b::1:5db8:d822", "beside NAT64"),
        ("64:ff9b:1::5db8:d822", "local NAT64"),
        ("64:ff9b:1::a00:1", "local NAT64"),
        ("100::1", "discard"),
        ("2001::1", "Teredo"),
        ("2001:0:53aa:64c:0:fbff:f5ff:fffe", "Teredo"),
        ("2001:2::1", "benchmarks"),
        ("2001:10::1", "ORCHID"),
        ("2001:20::1", "ORCHIDv2"),
        ("2001:1ff:ffff::1", "protocol assignments"),
        ("2001:db8::1", "documentation"),
        ("2002:7f00:1::", "6to4 of loopback"),
        ("2002:5db8:d822::1", "6to4"),
        ("2620:4f:8000::1", "AS112"),
        ("3fff::1", "documentation"),
        ("4000::1", "not handed out"),
        ("5f00::1", "segment routing"),
        ("fc00::1", "unique-local"),
        ("fd00:ec2::254", "unique-local, cloud metadata"),
        ("fe80::1", "link-local"),
        ("fe80::1%eth0", "link-local with a zone"),
        ("2606:4700::1%eth0", "a zone is for links only"),
        ("fec0::1", "site-local"),
        ("ff02::1", "multicast"),
    ],
)
def test_everything_else_is_not(address: str, why: str) -> None:
    assert inside(ip_address(address)) is not None, why


@pytest.mark.parametrize(
    ("address", "named"),
    [
        ("10.1.2.3", "private, 10.0.0.0/8"),
        ("169.254.169.254", "link-local, 169.254.0.0/16"),
        ("::1", "loopback, ::1/128"),
        ("fd00::1", "unique-local, fc00::/7"),
        ("64:ff9b::192.168.0.1", "private, 192.168.0.0/16"),
        ("64:ff9b:1::5db8:d822", "local NAT64, 64:ff9b:1::/48"),
        ("4000::1", "not handed out"),
    ],
)
def test_a_refusal_names_the_range_and_not_the_address(address: str, named: str) -> None:
    with pytest.raises(UrlNotAllowed) as refusal:
        check_public("inside.example", [ip_address("93.184.216.34"), ip_address(address)])
    assert str(refusal.value).endswith(f"its address is {named}.")
    assert "inside.example" not in str(refusal.value)


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ("https://h.example/a\u00a0b.jpg", "/a%C2%A0b.jpg"),
        ("https://h.example/9.41\u202fPM.png?\u3000b", "/9.41%E2%80%AFPM.png?%E3%80%80b"),
        ("\u00a0https://h.example/a.jpg\n", "/a.jpg"),
        ("https://h.example/a b\x80.jpg", "/a%20b%C2%80.jpg"),
        ("https://h.example/a%20b%2F%zz.jpg", "/a%20b%2F%zz.jpg"),
        ("https://h.example/folder\\me.jpg?a\\b", "/folder/me.jpg?a%5Cb"),
        ('https://h.example/"<>^`{}|', "/%22%3C%3E%5E%60%7B%7D%7C"),
    ],
)
def test_a_path_is_encoded_as_browsers_do(written: str, path: str) -> None:
    assert AddressRules().target(written).path == path
