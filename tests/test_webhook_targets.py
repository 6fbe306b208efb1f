"""The address rule: which addresses messages may go to, whatever they are called."""

from __future__ import annotations

import socket
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystile import ConfigurationError
from keystile.rules.network.targets import Target, Targets
from keystile.webhooks.sending.fields import check_fields

PUBLIC = Targets()
CLOSED_4 = [
    *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24"),
    *("192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24"),
    *("198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4", "168.63.129.16/32"),
]
CLOSED_6 = ["2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20"]
OPEN = ["1.1.1.1", "8.8.8.8", "172.32.0.1", "2606:4700:4700::1111", "::ffff:8.8.8.8", "100.128.0.1", "2001:200::1"]
# What `ipaddress.is_global` of some version lets through, or has let through.
SHUT = [
    *("224.0.0.1", "239.255.255.255", "192.88.99.1", "168.63.129.16", "255.255.255.255", "0.0.0.0", "127.0.0.1"),
    *("::", "::1", "::127.0.0.1", "::a9fe:a9fe", "64:ff9b::7f00:1", "64:ff9b:1::1", "2002:7f00:1::1", "fec0::1"),
    *("ff02::1", "3fff::1", "5f00::1", "4000::1", "fe80::1", "fc00::1", "fd00:ec2::254", "::ffff:127.0.0.1"),
    *("::ffff:169.254.169.254", "::ffff:0:127.0.0.1", "2001::1", "2001:db8::1", "fe80::1%eth0", "2606:4700::1%eth0"),
    *("", "localhost", "127.1", "0x7f.1", "2130706433", "0177.0.0.1", " 8.8.8.8", "8.8.8.8 ", "８.8.8.8"),
]


@pytest.mark.parametrize("address", OPEN)
def test_public_addresses_are_open(address: str) -> None:
    assert PUBLIC.permits(address)


@pytest.mark.parametrize("address", SHUT)
def test_all_others_are_not(address: str) -> None:
    assert not PUBLIC.permits(address)


@pytest.mark.parametrize("network", [*CLOSED_4, *CLOSED_6])
def test_a_closed_network_is_closed_from_its_first_address_to_its_last(network: str) -> None:
    closed = ip_network(network)
    for address in (closed[0], closed[-1]):
        assert not PUBLIC.permits(str(address))
        if address.version == 4:
            assert not PUBLIC.permits(f"::ffff:{address}")


@given(st.ip_addresses())
def test_only_what_is_in_no_closed_network_is_open(address: object) -> None:
    found = ip_address(str(address))
    closed = any(
        found in ip_network(each) for each in (*CLOSED_4, *CLOSED_6) if ip_network(each).version == found.version
    )
    inside = found.version == 4 or found in ip_network("2000::/3")
    mapped = getattr(found, "ipv4_mapped", None)
    if mapped is None:
        assert PUBLIC.permits(str(found)) == (inside and not closed)
    else:
        assert PUBLIC.permits(str(found)) == PUBLIC.permits(str(mapped))


@pytest.mark.parametrize("text", ["0x7f.1", "2130706433", "127.1", "0177.0.0.1"])
def test_what_the_resolver_makes_of_odd_numbers_is_judged(text: str) -> None:
    found = {str(address[0]) for *_, address in socket.getaddrinfo(text, 443)}
    assert found == {"127.0.0.1"}
    assert not any(map(PUBLIC.permits, found))


def test_named_networks_are_open_but_never_those_of_the_cloud() -> None:
    targets = Targets(allow_networks=["10.20.0.0/16", "fd00::/8"])
    assert targets.permits("10.20.3.4")
    assert targets.permits("::ffff:10.20.3.4")
    assert targets.permits("fd00::1")
    assert not targets.permits("10.21.0.1")
    assert not targets.permits("fd00:ec2::254")
    everything = Targets(allow_networks=["0.0.0.0/0", "::/0"])
    for address in (
        "169.254.169.254",
        "168.63.129.16",
        "fe80::1",
        "::ffff:169.254.169.254",
        "0.0.0.0",
        "ff02::1",
        "::",
    ):
        assert not everything.permits(address)
    assert everything.permits("127.0.0.1")


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://example.com", Target("https", "example.com", 443, "/")),
        ("https://Example.COM:443/a/b?c=%2F&d", Target("https", "example.com", 443, "/a/b?c=%2F&d")),
        ("https://example.com?x", Target("https", "example.com", 443, "/?x")),
        ("https://8.8.8.8/", Target("https", "8.8.8.8", 443, "/")),
        ("https://[2606:4700::1111]/x", Target("https", "2606:4700::1111", 443, "/x")),
        ("https://xn--bcher-kva.example/", Target("https", "xn--bcher-kva.example", 443, "/")),
    ],
)
def test_urls_that_messages_may_be_sent_to(url: str, target: Target) -> None:
    assert PUBLIC.read(url) == target


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://example.com/", "https"),
        ("ftp://example.com/", "expected"),
        ("HTTPS://example.com/", "expected"),
        ("//example.com/", "expected"),
        ("https:example.com", "expected"),
        ("https://", "expected"),
        ("https:///a", "expected"),
        ("https://user@example.com/", "without a user"),
        ("https://user:pass@example.com/", "without a user"),
        ("https://8.8.8.8@127.0.0.1/", "without a user"),
        ("https://example.com/#a", "fragment"),
        ("https://example.com:80/", "port"),
        ("https://example.com:8443/", "port"),
        ("https://example.com:99999/", "port"),
        ("https://example.com:0443x/", "expected"),
        ("https://localhost/", "inside"),
        ("https://intranet/", "inside"),
        ("https://a.local/", "inside"),
        ("https://metadata.google.internal/", "inside"),
        ("https://a.localhost/", "inside"),
        ("https://127.0.0.1/", "not public"),
        ("https://169.254.169.254/latest/meta-data", "not public"),
        ("https://[::1]/", "not public"),
        ("https://[::ffff:127.0.0.1]/", "neither"),
        ("https://[::ffff:7f00:1]/", "not public"),
        ("https://[fe80::1%25eth0]/", "expected"),
        ("https://127.1/", "neither"),
        ("https://0x7f.1/", "neither"),
        ("https://2130706433/", "neither"),
        ("https://0177.0.0.1/", "neither"),
        ("https://example.com./", "neither"),
        ("https://-a.com/", "neither"),
        ("https://a..com/", "neither"),
        ("https://bücher.example/", "printable"),
        ("https://example.com/a b", "printable"),
        ("https://example.com\\@127.0.0.1/", "printable"),
        ("https://exam\tple.com/", "printable"),
        ("https://example.com/\r\nHost: x", "printable"),
        ("https://example.com%2f@127.0.0.1/", "without a user"),
        ("https://ex%61mple.com/", "neither"),
        ("https://example.com/" + "a" * 2048, "2048"),
        ("https://" + "a" * 64 + ".com/", "neither"),
    ],
)
def test_urls_that_they_may_not_be_sent_to_with_the_reason(url: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason) as caught:
        PUBLIC.read(url)
    assert caught.value.key == "url"


def test_what_is_named_is_open() -> None:
    inner = Targets(allow_networks=["10.0.0.0/8"], allow_ports=[8443], allow_http=True)
    assert inner.read("http://hooks.svc.internal/x") == Target("http", "hooks.svc.internal", 80, "/x")
    assert inner.read("https://hooks:8443/").authority == "hooks:8443"
    assert inner.read("https://10.1.2.3/").authority == "10.1.2.3"
    assert PUBLIC.read("https://[2606:4700::1111]/").authority == "[2606:4700::1111]"
    with pytest.raises(ConfigurationError, match="not public"):
        inner.read("https://192.168.0.1/")


@pytest.mark.parametrize(
    ("given_", "key"),
    [
        ({"allow_networks": "10.0.0.0/8"}, "allow_networks"),
        ({"allow_networks": ["10.0.0.1/8"]}, "allow_networks"),
        ({"allow_networks": ["intranet"]}, "allow_networks"),
        ({"allow_ports": [0]}, "allow_ports"),
        ({"allow_ports": ["443"]}, "allow_ports"),
    ],
)
def test_settings_that_are_none(given_: dict[str, object], key: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Targets(**given_)  # type: ignore[arg-type]
    assert caught.value.key == key


def test_headers_that_may_be_added() -> None:
    given_ = {"X-Tenant": "a b", "X-Api-Key": "secret"}
    assert check_fields(given_) == tuple(given_.items())
    assert check_fields({"Authorization": "Bearer x"}, authorization=True) == (("Authorization", "Bearer x"),)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, "x") for name in ("Host", "content-length", "Content-Type", "Transfer-Encoding", "connection", "TE")),
        *(
            (name, "x")
            for name in ("webhook-id", "Webhook-Signature", "Authorization", "Cookie", "Proxy-Authorization")
        ),
        *((name, "x") for name in ("X-Forwarded-For", "Forwarded", "Expect", "", "a b", "a:b", "a\r\nb", "X_Y", "é")),
        *(("X-A", value) for value in ("", " a", "a ", "a\r\nHost: b", "a\nb", "a\0", "é", "a" * 1025)),
    ],
)
def test_headers_that_may_not(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match="headers") as caught:
        check_fields({name: value})
    assert len(value) < 2 or value not in str(caught.value)


def test_there_are_few_headers() -> None:
    with pytest.raises(ConfigurationError, match="20"):
        check_fields({f"X-{number}": "x" for number in range(21)})
