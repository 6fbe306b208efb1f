"""One address, one spelling; and an allowlist that holds what the standard library says it holds."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystile import ConfigurationError
from keystile.rules.network import addresses
from keystile.rules.network.addresses import Address, Allowlist, parse

V4 = Address(4, int(IPv4Address("10.0.0.1")))
V6 = Address(6, int(IPv6Address("2001:db8::1")))
MAPPED_ZERO = int(IPv6Address("::ffff:0:0"))


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("10.0.0.1", V4),
        ("::ffff:10.0.0.1", V4),
        ("::FFFF:10.0.0.1", V4),
        ("::ffff:a00:1", V4),
        ("0:0:0:0:0:ffff:10.0.0.1", V4),
        ("::ffff:10.0.0.1%eth0", V4),
        ("2001:db8::1", V6),
        ("2001:DB8::1", V6),
        ("2001:0db8:0:0:0:0:0:1", V6),
        ("2001:db8::1%eth0", V6),
        ("2001:db8::1%br-0_1.100", V6),
        ("::10.0.0.1", Address(6, V4.number)),
        ("0.0.0.0", Address(4, 0)),
        ("::", Address(6, 0)),
    ],
)
def test_every_spelling_of_an_address_is_one_address(text: str, address: Address) -> None:
    assert parse(text) == address


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        " ",
        "unknown",
        "_hidden",
        "localhost",
        "testclient",
        "10.0.0.01",
        "010.0.0.1",
        "10.0.0.1:80",
        "[2001:db8::1]",
        "[2001:db8::1]:80",
        "10.0.0.1/32",
        "2001:db8::1/128",
        " 10.0.0.1",
        "10.0.0.1 ",
        "10.0.0.1\n",
        "10.0.0",
        "10.0.0.256",
        "10.0.0.1.1",
        "167772161",
        "0x0a000001",
        "0x0a.0.0.1",
        "\uff11\uff10.0.0.1",
        "10.0.0.1, 10.0.0.2",
        "2001:db8::1::",
        "::ffff:10.0.0.01",
        "::ffff:10.0.0.1:80",
        "2001:db8::1%",
        "2001:db8::1%anything at all",
        "::ffff:192.0.2.7%a b",
        "::ffff:192.0.2.7%\xe9",
        "::ffff:192.0.2.7%[",
        "::1%eth0%eth1",
        "192.0.2.7%eth0",
        "12345::",
        "unix:",
        "\x00",
    ],
)
def test_what_is_not_exactly_one_address_is_unknown(text: str | None) -> None:
    assert parse(text) is None


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_and_its_mapped_form_are_one(address: IPv4Address) -> None:
    assert parse(str(address)) == parse(f"::ffff:{address}") == Address(4, int(address))


@given(st.ip_addresses(v=6), st.from_regex(r"[0-9a-z]{1,8}", fullmatch=True))
def test_a_zone_tells_no_two_addresses_apart(address: IPv6Address, zone: str) -> None:
    assert parse(f"{address}%{zone}") == parse(str(address)) == parse(address.exploded)


@given(st.text(max_size=60))
def test_no_text_makes_it_raise(text: str) -> None:
    address = parse(text)
    assert address is None or 0 <= address.number < 2 ** (32 if address.version == 4 else 128)


@pytest.mark.parametrize(
    ("entry", "inside", "outside"),
    [
        ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
        ("10.0.0.0/8", "::ffff:10.1.2.3", "::10.1.2.3"),
        ("10.0.0.1", "10.0.0.1", "10.0.0.2"),
        ("::ffff:10.0.0.1", "10.0.0.1", "10.0.0.2"),
        ("::ffff:10.0.0.0/104", "10.9.9.9", "11.0.0.0"),
        ("2001:db8::/32", "2001:db8:ffff::1%eth0", "2001:db9::"),
        ("2001:db8::1", "2001:db8::1", "2001:db8::2"),
        ("0.0.0.0/0", "1.2.3.4", "2001:db8::1"),
        ("::/0", "2001:db8::1", "1.2.3.4"),
        ("::/0", "::1", "::ffff:1.2.3.4"),
        ("::ffff:0:0/96", "1.2.3.4", "2001:db8::1"),
    ],
)
def test_an_entry_holds_what_it_says_and_nothing_of_the_other_family(entry: str, inside: str, outside: str) -> None:
    allowlist = Allowlist([entry])
    assert parse(inside) in allowlist
    assert parse(outside) not in allowlist


@pytest.mark.parametrize("unknown", [None, "", "unknown", "10.0.0.1:80", "10.0.0.01"])
def test_an_unknown_address_is_on_no_list(unknown: str | None) -> None:
    assert parse(unknown) not in Allowlist(["0.0.0.0/0", "::/0"])


def test_any_entry_suffices() -> None:
    allowlist = Allowlist(["192.0.2.0/24", "198.51.100.7", "2001:db8::/48"])
    assert [parse(text) in allowlist for text in ("192.0.2.9", "198.51.100.7", "2001:db8::9", "198.51.100.8")] == [
        True, True, True, False,
    ]  # fmt: skip


def test_entries_are_normalised_and_kept_once_in_order() -> None:
    given_entries = ["2001:DB8::/32", "10.0.0.1", "::ffff:10.0.0.1", "10.0.0.1/32", "::ffff:10.0.0.0/104"]
    assert Allowlist(given_entries).entries == ("2001:db8::/32", "10.0.0.1/32", "10.0.0.0/8")


def test_normalised_entries_stay_as_they_are() -> None:
    entries = Allowlist(["2001:DB8::/32", "::ffff:10.0.0.1", "0.0.0.0/0"]).entries
    assert Allowlist(entries).entries == entries


@pytest.mark.parametrize(
    "entries",
    [
        [],
        "10.0.0.1",
        b"10.0.0.1",
        None,
        7,
        [7],
        [None],
        [b"10.0.0.1"],
        [ip_network("10.0.0.0/8")],
        [""],
        ["10.0.0.1", ""],
        ["localhost"],
        ["10.0.0.1/8"],
        ["10.0.0.0/"],
        ["10.0.0.0/33"],
        ["10.0.0.0/-1"],
        ["10.0.0.0/+8"],
        ["10.0.0.0/8/8"],
        ["10.0.0.0/0.255.255.255"],
        ["10.0.0.0/255.0.0.0"],
        ["10.0.0.0/٨"],
        ["010.0.0.0/8"],
        ["10.0.0.0-10.0.0.9"],
        ["10.0.0.*"],
        ["10.0.0.1:80"],
        [" 10.0.0.1"],
        ["10.0.0.1\n"],
        ["2001:db8::1/32"],
        ["2001:db8::/129"],
        ["2001:db8::1%eth0"],
        ["fe80::%eth0/10"],
        ["[2001:db8::1]"],
        ["/8"],
    ],
)
def test_a_list_that_is_empty_or_holds_something_else_is_a_configuration_error(entries: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Allowlist(entries)
    assert caught.value.key == "ip_allowlist"


# The standard library, asked about normalised values, is the oracle.


@st.composite
def networks(draw: st.DrawFn) -> tuple[str, IPv4Network | IPv6Network]:
    """An entry as somebody may write it, and the network that it means."""
    kind = draw(st.sampled_from(["v4", "v6", "mapped"]))
    if kind == "v6":
        # Not among the mapped ones: those mean IPv4.
        number = draw(st.integers(0, 2**128 - 1).filter(lambda number: number >> 32 != MAPPED_ZERO >> 32))
        network6 = IPv6Network((number, draw(st.integers(0, 128))), strict=False)
        if network6.network_address.ipv4_mapped is not None and network6.prefixlen >= 96:
            network6 = IPv6Network("2001:db8::/32")
        return draw(st.sampled_from([str(network6), network6.exploded, str(network6).upper()])), network6
    length = draw(st.integers(0, 32))
    network4 = IPv4Network((draw(st.integers(0, 2**32 - 1)), length), strict=False)
    if kind == "v4":
        return str(network4), network4
    return f"::ffff:{network4.network_address}/{96 + length}", network4


@st.composite
def lists_and_addresses(
    draw: st.DrawFn,
) -> tuple[list[tuple[str, IPv4Network | IPv6Network]], str, IPv4Address | IPv6Address]:
    """Entries, and an address as a server may give it, often within one of them or just beside it."""
    listed = draw(st.lists(networks(), min_size=1, max_size=6))
    _, network = draw(st.sampled_from(listed))
    edge = draw(st.sampled_from([network.network_address, network.broadcast_address]))
    near = (int(edge) + draw(st.integers(-1, 1))) % 2**network.max_prefixlen
    address = draw(st.one_of(st.ip_addresses(), st.just(type(edge)(near))))
    if isinstance(address, IPv6Address):
        return listed, str(address), address.ipv4_mapped or address
    return listed, draw(st.sampled_from([str(address), f"::ffff:{address}"])), address


@given(lists_and_addresses())
def test_membership_is_what_the_standard_library_says_of_normalised_values(
    drawn: tuple[list[tuple[str, IPv4Network | IPv6Network]], str, IPv4Address | IPv6Address],
) -> None:
    listed, text, address = drawn
    allowlist = Allowlist([entry for entry, _ in listed])
    assert (parse(text) in allowlist) is any(address in network for _, network in listed)
    assert set(allowlist.entries) == {str(network) for _, network in listed}


def test_a_text_that_no_address_has_is_not_remembered() -> None:
    before = addresses._parse.cache_info().currsize
    assert addresses.parse("::1%" + "a" * 65_536) is None
    assert addresses._parse.cache_info().currsize == before
    assert addresses.parse("::1%eth0") == addresses.Address(6, 1)
