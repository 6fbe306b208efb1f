"""The client is who a chain of trusted proxies says it is; whatever else was sent makes no difference."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from keystile import ConfigurationError
from keystile.rules.network.addresses import parse
from keystile.rules.network.clients import MOST_ENTRIES, Client, ClientResolver
from keystile.rules.network.peers import is_rewritten

PROXY = "10.0.0.1"
OUTSIDER = "8.8.8.8"
HEADERS = ("X-Forwarded-For", "Forwarded", "X-Real-IP")
LISTED, STANDARD, LONE = RESOLVERS = tuple(ClientResolver(["10.0.0.0/8"], None, header) for header in HEADERS)


def address(resolver: ClientResolver, *lines: str, peer: str | None = PROXY) -> str | None:
    return resolver.resolve(peer, 50_000, [line.encode("latin-1") for line in lines], []).address


def https(resolver: ClientResolver, *lines: bytes, proto: tuple[bytes, ...] = (), peer: str = PROXY) -> bool | None:
    return resolver.resolve(peer, 50_000, lines, proto).https


@pytest.mark.parametrize(
    ("lines", "client"),
    [
        pytest.param(["1.1.1.1, 9.9.9.9"], "9.9.9.9", id="the rightmost that is no proxy"),
        pytest.param(["9.9.9.9, 10.0.0.2"], "9.9.9.9", id="a proxy is passed over"),
        pytest.param(["1.1.1.1, unknown"], None, id="unknown stops"),
        pytest.param(["9.9.9.9, ::ffff:10.0.0.2"], "9.9.9.9", id="a mapped proxy is a proxy"),
        pytest.param(["1.1.1.1", "9.9.9.9"], "9.9.9.9", id="lines are joined in order"),
        pytest.param(["[2001:db8::5]:443"], "2001:db8::5", id="brackets and a port"),
        pytest.param([""], PROXY, id="empty"),
        pytest.param([], PROXY, id="absent"),
        pytest.param([" \t", "  "], PROXY, id="blank as a whole"),
        pytest.param(["9.9.9.9", ""], None, id="an empty element stops"),
        pytest.param(["", "9.9.9.9"], "9.9.9.9", id="an empty element beyond the client is not looked at"),
        pytest.param(["9.9.9.9, , 10.0.0.2"], None, id="an empty element between stops"),
        pytest.param([","], None, id="nothing but empty elements"),
        pytest.param(["10.0.0.3, 10.0.0.2"], "10.0.0.3", id="all trusted: the leftmost"),
        pytest.param(["10.0.0.3"] * 5 + ["10.0.0.2"] * MOST_ENTRIES, "10.0.0.2", id="so many and no more are read"),
        pytest.param(["9.9.9.9" + ",10.0.0.2" * MOST_ENTRIES], "10.0.0.2", id="likewise in one line"),
        pytest.param(["9.9.9.9" + ",10.0.0.2" * (MOST_ENTRIES - 1)], "9.9.9.9", id="the last that is read"),
        pytest.param(["unknown, 9.9.9.9"], "9.9.9.9", id="what is beyond the client is not looked at"),
    ],
)
def test_a_list_is_read_from_the_right_as_far_as_trust_reaches(lines: list[str], client: str | None) -> None:
    found = LISTED.resolve(PROXY, 50_000, [line.encode() for line in lines], [])
    assert found == Client(client, client or PROXY, None, False)


@pytest.mark.parametrize("lines", [["10.0.0.9"], ["1.1.1.1", "2.2.2.2"], ["unknown"], [" "], []])
@pytest.mark.parametrize("resolver", RESOLVERS)
def test_a_peer_outside_the_proxies_is_the_client(resolver: ClientResolver, lines: list[str]) -> None:
    assert address(resolver, *lines, peer=OUTSIDER) == OUTSIDER


@pytest.mark.parametrize(
    ("entry", "client"),
    [
        ("9.9.9.9", "9.9.9.9"),
        ("\t 9.9.9.9 \t", "9.9.9.9"),
        ("9.9.9.9:1", "9.9.9.9"),
        ("9.9.9.9:65535", "9.9.9.9"),
        ("::ffff:9.9.9.9", "9.9.9.9"),
        ("::FFFF:909:909", "9.9.9.9"),
        ("[::ffff:9.9.9.9]:80", "9.9.9.9"),
        ("2001:DB8:0::5", "2001:db8::5"),
        ("[2001:db8::5]", "2001:db8::5"),
        ("2001:db8::5%eth0", "2001:db8::5"),
        ("[2001:db8::5%eth0]:443", "2001:db8::5"),
        *((text, None) for text in (
            "unknown", "_hidden", "_10.0.0.1", "localhost", "9.9.9.09", "09.9.9.9", "9.9.9.9:", "9.9.9.9:x",
            "9.9.9.9:_x", "9.9.9.9:123456", "9.9.9.9:80:80", "9.9.9.9 10.0.0.2", "9.9.9.9/32", "[9.9.9.9]", "[]", "[:]",
            "[2001:db8::5", "2001:db8::5]", "[2001:db8::5]x", "[2001:db8::5]:", "[2001:db8::5]443", ":80", "'9.9.9.9'",
            "9.9.9.9\x0b", "9.9.9.9\x00", "\xb9.9.9.9", "151587081", "::1%" + "z" * 100,
        )),
    ],
)  # fmt: skip
def test_an_entry_is_one_address_with_or_without_a_port_or_nothing(entry: str, client: str | None) -> None:
    assert address(LISTED, entry) == address(LONE, entry) == client
    assert address(LISTED, f"1.1.1.1, {entry}, 10.0.0.2") == client
    assert address(STANDARD, 'for="' + entry.strip(" \t") + '"') == client


@pytest.mark.parametrize(
    ("lines", "client"),
    [
        (['for="[2001:db8::5]:4711";proto=https, for=10.0.0.2'], "2001:db8::5"),
        (["for=9.9.9.9"], "9.9.9.9"),
        (["FOR=9.9.9.9;By=10.0.0.1"], "9.9.9.9"),
        (["by=10.0.0.1;host=example.com;proto=http;for=9.9.9.9"], "9.9.9.9"),
        (["for=1.1.1.1, for=9.9.9.9"], "9.9.9.9"),
        (["for=1.1.1.1", "for=9.9.9.9,for=10.0.0.2", "for=10.0.0.3"], "9.9.9.9"),
        (['for="9.9.9.9:80"'], "9.9.9.9"),
        ([r'for="9.9\.9.9"'], "9.9.9.9"),
        (["for=9.9.9.9:80"], "9.9.9.9"),
        (["for=[2001:db8::5]:80; proto=https"], "2001:db8::5"),
        (["for=9.9.9.9;;by=x;"], "9.9.9.9"),
        (['for=9.9.9.9;host="a, for=1.1.1.1"'], "9.9.9.9"),
        ([r'for=9.9.9.9;host="a\", for=1.1.1.1"'], "9.9.9.9"),
        ([r'for=9.9.9.9;host="a\\"'], "9.9.9.9"),
        (['for=9.9.9.9;host=""'], "9.9.9.9"),
        ([f'for=9.9.9.9;host="{"a" * 1000}"'], "9.9.9.9"),
        ([""], PROXY),
        ([], PROXY),
        *(([line], None) for line in (
            "for=unknown", "for=_hidden", 'for="_hidden:80"', "for=", 'for=""', "proto=https", "by=9.9.9.9", "9.9.9.9",
            "for=9.9.9.9;for=9.9.9.9", "for=9.9.9.9;FOR=1.1.1.1", "for=9.9.9.9;a=1;a=2", "for = 9.9.9.9", "=9.9.9.9",
            "for=9.9.9.9 by=x", 'for="9.9.9.9', 'for=9.9.9.9"', 'for="9.9.9.9"x', r'for=9.9.9.9;a="b\"',
            'for=9.9.9.9;a="b"c"', r"for=9\.9.9.9", "for='9.9.9.9'", "for=9.9.9.9,", "for=9.9.9.9,,for=10.0.0.2", ";",
            ",", "for=9.9.9.9;by", "for=9.9.9.9, for=unknown", f'for=9.9.9.9;a="{"b" * 9000}"',
        )),
    ],
)  # fmt: skip
def test_forwarded_is_read_as_rfc_7239_has_it(lines: list[str], client: str | None) -> None:
    assert address(STANDARD, *lines) == client


@pytest.mark.parametrize(
    "opened", ['for="', 'for="a', 'for=1.1.1.1;x="', '"', r'for="\ '[:-1], r'a="\"', "for=10.0.0.9;x="]
)
@pytest.mark.parametrize("added", ["for=9.9.9.9", 'for="9.9.9.9:80"', 'for="9.9.9.9";host="b;a=";by="10.0.0.1"'])
def test_a_quote_that_the_client_leaves_open_swallows_nothing_that_proxies_add(opened: str, added: str) -> None:
    assert address(STANDARD, f"{opened}, {added}, for=10.0.0.2") == "9.9.9.9"
    assert address(STANDARD, opened, added) == "9.9.9.9"


@pytest.mark.parametrize(
    ("lines", "client"),
    [
        (["9.9.9.9"], "9.9.9.9"),
        (["10.0.0.2"], "10.0.0.2"),
        ([" "], PROXY),
        ([], PROXY),
        (["1.1.1.1, 9.9.9.9"], None),
        (["9.9.9.9,"], None),
        (["::1%a,b"], None),
        (["9.9.9.9", "9.9.9.9"], None),
        (["", "9.9.9.9"], None),
    ],
)
def test_a_header_of_another_name_holds_one_address(lines: list[str], client: str | None) -> None:
    assert address(LONE, *lines) == client


@pytest.mark.parametrize(
    ("peer", "client"),
    [("::ffff:8.8.8.8", "8.8.8.8"), ("2001:db8::1%a", "2001:db8::1"), ("2001:DB8::1", "2001:db8::1"),
     ("8.8.8.08", None), ("unknown", None), ("", None), (None, None), ("::1%" + "z" * 100, None)],
)  # fmt: skip
def test_a_peer_is_normalised_and_nobody_if_it_is_no_address(peer: str | None, client: str | None) -> None:
    assert LISTED.resolve(peer, 5, [b"9.9.9.9"], [b"https"]) == Client(client, client, None, False)


@pytest.mark.parametrize("proxies", [["10.0.0.0/8"], ["::ffff:10.0.0.0/104"], ["0.0.0.0/0"]])
@pytest.mark.parametrize("peer", ["10.0.0.1", "::ffff:10.0.0.1", "::ffff:10.0.0.1%eth0"])
def test_a_proxy_is_trusted_in_every_spelling(proxies: list[str], peer: str) -> None:
    assert address(ClientResolver(proxies, None, "X-Forwarded-For"), "2001:db8::5", peer=peer) == "2001:db8::5"


def test_a_network_means_its_own_family() -> None:
    resolver = ClientResolver(["::/0"], None, "X-Forwarded-For")
    assert address(resolver, "9.9.9.9", peer="::ffff:10.0.0.1") == address(resolver, "9.9.9.9", peer=PROXY) == PROXY
    assert address(resolver, "9.9.9.9", peer="::1") == "9.9.9.9"


def test_without_proxies_and_hops_nobody_is_trusted() -> None:
    assert address(ClientResolver([], None, "X-Forwarded-For"), "9.9.9.9") == PROXY


@pytest.mark.parametrize(
    ("hops", "lines", "client"),
    [
        (1, ["1.1.1.1, 9.9.9.9"], "9.9.9.9"),
        (2, ["1.1.1.1, 9.9.9.9, 10.0.0.2"], "9.9.9.9"),
        (2, ["1.1.1.1", "9.9.9.9", "8.8.4.4"], "9.9.9.9"),
        (2, ["9.9.9.9, unknown"], "9.9.9.9"),
        (2, ["9.9.9.9"], None),
        (2, ["unknown, 9.9.9.9"], None),
        (3, ["1.1.1.1, 9.9.9.9"], None),
        (1, [""], None),
        (1, [], None),
        (32, ["1.1.1.1" + ", 9.9.9.9" * 32], "9.9.9.9"),
        (32, [", 9.9.9.9" * 31], None),
    ],
)
@pytest.mark.parametrize("peer", [OUTSIDER, None, "", "unix:"])
def test_counted_hops_take_that_entry_from_the_right_and_never_one_that_is_nearer(
    hops: int, lines: list[str], client: str | None, peer: str | None
) -> None:
    assert address(ClientResolver([], hops, "X-Forwarded-For"), *lines, peer=peer) == client
    as_elements = [", ".join(f"for={entry.strip()}" for entry in line.split(",")) if line else "" for line in lines]
    assert address(ClientResolver([], hops, "Forwarded"), *as_elements, peer=peer) == client


def test_hops_and_proxies_together_trust_only_those_proxies() -> None:
    resolver = ClientResolver(["10.0.0.0/8"], 1, "X-Forwarded-For")
    assert address(resolver, "9.9.9.9", peer=PROXY) == "9.9.9.9"
    assert address(resolver, "9.9.9.9", peer=OUTSIDER) == OUTSIDER
    assert address(resolver, "9.9.9.9", peer=None) is None


def test_an_unknown_client_is_counted_as_the_peer() -> None:
    assert LISTED.resolve("::ffff:10.0.0.1", 5, [b"unknown"], []).counted == PROXY
    assert ClientResolver([], 1, "X-Real-IP").resolve(None, None, [], []).counted is None


def test_an_underscore_twin_makes_the_client_of_a_trusted_peer_unknown() -> None:
    assert LISTED.resolve(PROXY, 5, [b"9.9.9.9"], [b"https"], doubtful=True) == Client(None, PROXY, True, False)
    assert STANDARD.resolve(PROXY, 5, [], [], doubtful=True) == Client(None, PROXY, False, False)
    assert LISTED.resolve(OUTSIDER, 5, [b"9.9.9.9"], [b"https"], doubtful=True) == Client(
        OUTSIDER, OUTSIDER, None, False
    )


@pytest.mark.parametrize(
    ("proto", "secure"),
    [
        ((), None),
        ((b"https",), True),
        ((b" HTTPS\t",), True),
        ((b"wss",), True),
        ((b"https, wss", b"https"), True),
        ((b"http",), False),
        ((b"https, http",), False),
        ((b"http", b"https"), False),
        ((b"https,",), False),
        ((b"",), False),
        ((b"https", b""), False),
        ((b"httpss",), False),
        ((b"\xff",), False),
        ((b"https," * MOST_ENTRIES + b"http",), False),
    ],
)
@pytest.mark.parametrize("lines", [(), (b"9.9.9.9",), (b"unknown",)])
def test_the_scheme_is_https_if_every_proxy_says_so(
    proto: tuple[bytes, ...], secure: bool | None, lines: tuple[bytes, ...]
) -> None:
    assert https(LISTED, *lines, proto=proto) is https(LONE, *lines, proto=proto) is secure
    assert https(LISTED, *lines, proto=proto, peer=OUTSIDER) is None


@pytest.mark.parametrize(
    ("line", "secure"),
    [
        (b"for=9.9.9.9;proto=https", True),
        (b'for=9.9.9.9;Proto="HTTPS"', True),
        (b"proto=wss;for=9.9.9.9", True),
        (b"for=9.9.9.9;proto=http", False),
        (b"for=9.9.9.9;proto=", False),
        (b"for=9.9.9.9", None),
        (b"for=9.9.9.9;proto=https, for=10.0.0.2;proto=http", True),
        (b"for=1.1.1.1;proto=https, for=9.9.9.9, for=10.0.0.2;proto=https", None),
        (b"for=10.0.0.3;proto=https, for=10.0.0.2;proto=http", True),
        (b"for=unknown;proto=https", False),
        (b"for=9.9.9.9;proto=https;proto=https", False),
        (b"", None),
    ],
)
def test_the_element_that_names_the_client_says_its_scheme(line: bytes, secure: bool | None) -> None:
    assert https(STANDARD, line, proto=(b"https",)) is https(STANDARD, line, proto=(b"http",)) is secure
    assert https(STANDARD, line, peer=OUTSIDER) is None


@pytest.mark.parametrize(
    ("peer", "port", "lines", "rewritten"),
    [
        (OUTSIDER, 0, [b"9.9.9.9"], True),
        ("unknown", 0, [b"6.6.6.6:1234, unknown"], True),
        (PROXY, 0, [b"9.9.9.9"], True),
        (OUTSIDER, 0, [], True),  # whatever took its header away, no socket has the port 0
        (OUTSIDER, 50_000, [b"8.8.8.8"], True),
        (OUTSIDER, 50_000, [b"9.9.9.9", b" 8.8.8.8 , 9.9.9.9"], True),
        (OUTSIDER, None, [b"8.8.8.8:80, 10.0.0.2"], True),
        (OUTSIDER, 80, [b"8.8.8.8:+8_0, 10.0.0.2"], True),
        (OUTSIDER, 80, [b"[8.8.8.8]:80"], True),
        ("2001:DB8::5", 80, [b"9.9.9.9, [2001:DB8::5]:80"], True),
        ("2001:db8::5", 80, [b"2001:db8::5:6"], False),
        ("unknown", 50_000, [b"unknown"], True),
        (OUTSIDER, 50_000, [b"8.8.8.80"], False),
        (OUTSIDER, 50_000, [b"8.8.8.8.9"], False),
        (OUTSIDER, 50_000, [b"18.8.8.8"], False),
        (OUTSIDER, 50_000, [b"9.9.9.9"], False),
        # Of proxies on one machine, one writes the address of the other; only the port gives the header away.
        (PROXY, 50_000, [b"9.9.9.9, 10.0.0.1"], False),
        (PROXY, None, [b"9.9.9.9, 10.0.0.1"], False),
        (PROXY, 50_000, [b"9.9.9.9:50000, 10.0.0.1:1"], False),
        (PROXY, 80, [b"10.0.0.1:80, 9.9.9.9"], True),
        (PROXY, 80, [b"9.9.9.9", b"10.0.0.1: " + b"0" * 300 + b"80"], True),
        (PROXY, 80, [b"[10.0.0.1]:8_0, 9.9.9.9"], True),
        # No socket has a port like these; nor an address like these, beside which the header says nothing for sure.
        (PROXY, 100_000, [b"10.0.0.1:100000, 192.0.2.7"], True),
        (PROXY, -5, [b"10.0.0.1:-5, 192.0.2.7"], True),
        (PROXY, 65_536, [], True),
        (PROXY, 65_535, [b"10.0.0.1:65534"], False),
        ("::ffff:192.0.2.7%a b", 1234, [b"[::ffff:192.0.2.7%a b]:1234, 198.51.100.9"], True),
        ("::ffff:192.0.2.7%\xe9", 1234, [b"[::ffff:192.0.2.7%\xe9]:1234"], True),
        ("::ffff:10.0.0.1%a b", None, [b"9.9.9.9, [::ffff:10.0.0.1%a b]:1234"], True),
        (PROXY, 80, [b"10.0.0.1," * MOST_ENTRIES], False),
        (PROXY, 80, [b"10.0.0.1," * MOST_ENTRIES + b"10.0.0.1:80"], True),
        # More than any chain of proxies writes: it is not looked through.
        (PROXY, 80, [b"10.0.0.1," * MOST_ENTRIES + b"10.0.0.1"], True),
        (None, None, [b"unknown"], False),
        ("", None, [b"", b"9.9.9.9"], False),
    ],
)
def test_a_server_that_has_replaced_the_peer_is_noticed_and_its_client_unknown(
    peer: str | None, port: int | None, lines: list[bytes], rewritten: bool
) -> None:
    found = LISTED.resolve(peer, port, lines, [])
    assert found.rewritten is rewritten
    if rewritten:
        assert found == (None, None, None, True)
    assert LISTED.resolve(peer, port, [], [], listed=lines).rewritten is rewritten
    if not rewritten and peer == OUTSIDER:
        assert found.address == OUTSIDER


def test_a_scheme_that_may_be_a_trailer_is_not_https() -> None:
    assert https(LISTED, proto=(b"https",)) is True
    assert LISTED.resolve(PROXY, 50_000, [b"9.9.9.9"], [b"https"], insecure=True).https is False
    assert LISTED.resolve(OUTSIDER, 50_000, [], [b"https"], insecure=True).https is None


@pytest.mark.parametrize(
    ("name", "header", "twin"),
    [("X-Forwarded-For", b"x-forwarded-for", b"x_forwarded_for"), ("CF-Connecting-IP", b"cf-connecting-ip",
      b"cf_connecting_ip"), ("forwarded", b"forwarded", b"")],
)  # fmt: skip
def test_doors_are_told_what_to_look_for(name: str, header: bytes, twin: bytes) -> None:
    resolver = ClientResolver(["10.0.0.0/8"], None, name)
    assert (resolver.header, resolver.twin) == (header, twin)


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        *(({"trusted_proxies": ["10.0.0.0/8", entry]}, "trusted_proxies[1]") for entry in (
            "", " ", "10.0.0.1/8", "10.0.0.0/0.255.255.255", "10.0.0.0/255.0.0.0", "10.0.0.0/33", "fe80::1%eth0", "*",
            " 10.0.0.1", "10.0.0.1\n", "localhost", "010.0.0.1", "2001:db8::1/32", "10.0.0.1:80", "unix:",
        )),
        *(({"trusted_proxies": value}, "trusted_proxies") for value in ("10.0.0.1", b"10.0.0.1", None, [7], 7)),
        *(({"trusted_hops": hops}, "trusted_hops") for hops in (0, -1, 33, True, "1", 1.0)),
        ({"trusted_hops": 2, "header": "X-Real-IP"}, "trusted_hops"),
        *(({"header": name}, "client_header") for name in (
            "", " ", "X_Forwarded_For", "X-Forwarded-For:", "X Real IP", "X-R\xe9al", "X-Real-IP\n", b"X-Real-IP", None,
        )),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_a_configuration_error(settings: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        ClientResolver(**{"trusted_proxies": [], "trusted_hops": None, "header": "X-Forwarded-For", **settings})
    assert caught.value.key == key


@pytest.mark.parametrize(
    "filler", [b",", b" ", b"a", b'"', b"\\", b'\\"', b"; ", b"a=b;", b"10.0.0.9,", b"for=10.0.0.9,"]
)
def test_of_a_huge_header_the_right_end_counts_and_nothing_else_is_kept(filler: bytes) -> None:
    huge = filler * (65_536 // len(filler))
    for header, added in (("X-Forwarded-For", b"9.9.9.9"), ("Forwarded", b'for="9.9.9.9:80"')):
        resolver = ClientResolver(["10.0.0.0/8"], None, header)
        assert resolver.resolve(PROXY, 5, [huge + b"," + added], [huge]) == Client(
            "9.9.9.9", "9.9.9.9", None if header == "Forwarded" else False, False
        )
        assert resolver._known.cache_info().currsize == 2
        many = [huge[start : start + 60] for start in range(0, len(huge), 60)]
        assert resolver.resolve(PROXY, 5, [*many, added], []).address == "9.9.9.9"


# Properties.

V4_PROXIES, V6_PROXIES = ip_network("10.0.0.0/8"), ip_network("fd00::/8")
PROXIES = [str(V4_PROXIES), str(V6_PROXIES)]
# What looks like a header is likelier to be misread than any bytes.
FRAGMENTS = [
    *(b"for=", b'for="', b'"', b"\\", b'\\"', b",", b";", b" ", b"\t", b"=", b"\xff", b"\x00", b"unknown", b"_x"),
    *(b"10.0.0.9", b"1.1.1.1", b"::ffff:10.0.0.9", b"[fd00::1]:80", b"%eth0", b"proto=https"),
]
junk = st.one_of(st.binary(max_size=40), st.lists(st.sampled_from(FRAGMENTS), max_size=12).map(b"".join))
lines = st.lists(junk, max_size=4)
proxy_addresses = st.one_of(st.ip_addresses(v=4, network=V4_PROXIES), st.ip_addresses(v=6, network=V6_PROXIES))
strangers = st.ip_addresses().filter(
    lambda each: (getattr(each, "ipv4_mapped", None) or each) not in V4_PROXIES and each not in V6_PROXIES
)
headers = st.sampled_from(HEADERS)


def normal(each: Any) -> str:
    return str(getattr(each, "ipv4_mapped", None) or each)


@given(headers, strangers, lines, lines, st.booleans(), st.sampled_from([None, 1, 3]))
def test_whatever_an_outsider_sends_it_is_the_client_itself(
    header: str, peer: Any, forwarded: list[bytes], proto: list[bytes], twin: bool, hops: int | None
) -> None:
    resolver = ClientResolver(PROXIES, hops if header != "X-Real-IP" else None, header)
    found = resolver.resolve(str(peer), 50_000, forwarded, proto, doubtful=twin)
    if not found.rewritten:  # it may have sent its own address, as a server would have put it there
        assert found[:3] == (normal(peer), normal(peer), None)


def as_entry(address: Any, port: int | None, style: int) -> str:
    """How a proxy may write its peer's address."""
    mapped = f"::ffff:{address}" if address.version == 4 and style == 1 else str(address)
    bracketed = f"[{mapped}]" if ":" in mapped and (style == 2 or port is not None) else mapped
    return bracketed if port is None else f"{bracketed}:{port}"


@given(
    standard=st.booleans(),
    client=strangers,
    between=st.lists(proxy_addresses, max_size=6),
    sent=lines,
    data=st.data(),
)
@example(standard=True, client=ip_address("9.9.9.9"), between=[], sent=[b'for="'], data=None)
def test_behind_proxies_that_each_add_their_peer_the_client_is_the_first_stranger_whatever_it_sent(
    standard: bool, client: Any, between: list[Any], sent: list[bytes], data: Any
) -> None:
    header, count = list(sent), len(between) + 1
    for peer in [client, *between]:
        port, style, own_line, quoted = (None, 0, False, True) if data is None else data.draw(
            st.tuples(st.none() | st.integers(0, 65_535), st.integers(0, 2), st.booleans(), st.booleans())
        )  # fmt: skip
        entry = as_entry(peer, port, style)
        if standard:
            extra = 'host="a, \\"b\\"; for=1.1.1.1";proto=https' if quoted else "proto=https"
            entry = f'for="{entry}";{extra}' if quoted or ":" in entry else f"for={entry};{extra}"
        # The addition goes to the last line, or is one of its own.
        if own_line or not header:
            header.append(entry.encode())
        else:
            header[-1] += b", " + entry.encode()
    name = "Forwarded" if standard else "X-Forwarded-For"
    expected = (normal(client), normal(client), True)
    assert ClientResolver(PROXIES, None, name).resolve("10.0.0.1", 5, header, [b"https"])[:3] == expected
    assert ClientResolver([], count, name).resolve(None, None, header, [b"https"])[:3] == expected


@given(
    header=headers,
    peer=st.one_of(st.none(), st.text(max_size=120), st.just("10.0.0.1"), proxy_addresses.map(str)),
    port=st.none() | st.integers(0, 3),
    forwarded=lines,
    proto=lines,
    doubtful=st.booleans(),
    hops=st.sampled_from([None, 1]),
    proxies=st.sampled_from([[], PROXIES, ["0.0.0.0/0", "::/0"]]),
)
def test_whatever_comes_the_client_is_a_normalised_address_or_none(
    header: str,
    peer: str | None,
    port: int | None,
    forwarded: list[bytes],
    proto: list[bytes],
    doubtful: bool,
    hops: int | None,
    proxies: list[str],
) -> None:
    found = ClientResolver(proxies, hops, header).resolve(peer, port, forwarded, proto, doubtful=doubtful)
    for text in (found.address, found.counted):
        if text is not None:
            parsed = ip_address(text)
            assert (str(parsed), getattr(parsed, "ipv4_mapped", None), "%" in text) == (text, None, False)
    assert found.address is None or found.counted == found.address


@given(st.integers(1, MOST_ENTRIES), st.lists(strangers, max_size=MOST_ENTRIES + 3), st.booleans())
def test_counted_hops_are_that_entry_or_nobody(hops: int, entries: list[Any], standard: bool) -> None:
    name, form = ("Forwarded", 'for="[{}]"') if standard else ("X-Forwarded-For", "[{}]")
    line = ", ".join(
        form.format(each) if each.version == 6 else form.replace("[{}]", "{}").format(each) for each in entries
    )
    found = ClientResolver([], hops, name).resolve(OUTSIDER, 5, [line.encode()], [])
    assert found.address == (normal(entries[-hops]) if hops <= len(entries) else None)
    assert found.counted == (found.address or OUTSIDER)


# What uvicorn takes for addresses, zones and ports; `int` reads more than digits, and a zone holds anything.
zones = st.sampled_from(["", "%eth0", "%a b", "%\xe9", "%[", "%,", "%::1", "%-_.", "%\x85"])
hosts = st.sampled_from(["192.0.2.7", "10.0.0.1", "::ffff:192.0.2.7", "::1", "2001:DB8::5", "::ffff:10.0.0.1"])
ports = st.sampled_from(["", ":", ":0", ":80", ":+80", ":-5", ":8_0", ": 80 ", ":100000", ":" + "0" * 20 + "80", ":x"])
written = st.builds("{}{}{}{}".format, hosts, zones, st.sampled_from(["", " "]), ports) | st.builds(
    "{}[{}{}]{}".format, st.sampled_from(["", " ", "\xa0"]), hosts, zones, ports
)


@given(st.lists(written | junk.map(lambda sent: sent.decode("latin-1")), min_size=1, max_size=4), st.booleans())
@pytest.mark.parametrize("proxies", [[], ["10.0.0.0/8"], ["0.0.0.0/0", "::/0"]])
@pytest.mark.parametrize("trusts", ["*", "127.0.0.1, 198.51.100.0/24"])
def test_whatever_uvicorn_puts_in_the_peer_s_place_no_allowlist_holds_it(
    trusts: str, proxies: list[str], entries: list[str], apart: bool
) -> None:
    from uvicorn.middleware.proxy_headers import _TrustedHosts

    sent = [each.encode("latin-1") for each in (entries if apart else [", ".join(entries)])]
    peer, port = _TrustedHosts(trusts).get_trusted_client_address(b", ".join(sent).decode("latin-1"))
    if not peer:  # then it leaves the socket's
        return
    for resolver in (ClientResolver(proxies, None, "X-Forwarded-For"), ClientResolver(proxies, 1, "X-Real-IP")):
        assert resolver.resolve(peer, port, sent, [], listed=sent).address is None
    assert parse(peer) is None or is_rewritten(peer, port, sent, trusted=False)


# From the left, as RFC 7239 section 4 has it, is how everybody else reads a well-formed header.

tokens = st.text("abcxyz019.-_", min_size=1, max_size=6)
quoted_strings = st.lists(st.sampled_from(["a", ",", ";", "=", " ", '\\"', "\\\\", "for=1.1.1.1"]), max_size=6).map(
    lambda parts: f'"{"".join(parts)}"'
)


@given(st.lists(st.lists(st.tuples(tokens, tokens | quoted_strings), max_size=3), min_size=1, max_size=5), st.data())
def test_a_well_formed_header_has_the_same_elements_from_either_side(extra: list[Any], data: st.DataObject) -> None:
    elements = []
    for number, pairs in enumerate(extra):
        named = {f"x{place}{name}": value for place, (name, value) in enumerate(pairs)}
        named["for"] = data.draw(st.sampled_from(["{}", '"{}:80"'])).format(f"9.9.9.{number}")
        elements.append(";".join(f"{name}={value}" for name, value in sorted(named.items(), reverse=len(pairs) > 1)))
    for hops in range(1, len(elements) + 1):
        resolver = ClientResolver([], hops, "Forwarded")
        assert address(resolver, ", ".join(elements)) == f"9.9.9.{len(elements) - hops}"


def test_an_element_of_more_parameters_than_any_proxy_writes_is_not_read() -> None:
    resolver = ClientResolver(["10.0.0.1"], None, "Forwarded")
    for count, client in ((16, "9.9.9.9"), (17, None)):
        element = ";".join(["for=9.9.9.9", *(f"x{number}=1" for number in range(1, count))])
        assert resolver.resolve("10.0.0.1", None, [element.encode()], ()).address == client
