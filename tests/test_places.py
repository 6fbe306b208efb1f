"""Where a key may stand, which one key a request presents there, and what is left of a request without it."""

from __future__ import annotations

from base64 import b64decode, b64encode
from contextlib import suppress
from typing import Any, get_args, get_type_hints

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from keystile import ConfigurationError, Gate, HmacHasher, Rule
from keystile.gate.presenting import Presenting, schemes_of
from keystile.keys.format import Parsed, PrefixedFormat
from keystile.model import Demand, Request, Site
from keystile.policy import CREDENTIAL_FORMS, Policy
from keystile.policy.places import BASIC, SUBPROTOCOL, Place, place_of, places_of
from keystile.rules.places.basic import is_ambient, is_fetch
from keystile.rules.places.finding import Finder, Presented
from keystile.rules.places.hiding import Hiding
from keystile.rules.places.subprotocols import key_among
from keystile.rules.requests.credentials import Unusable, accepted, extract

MISSING, MALFORMED, AMBIGUOUS = Unusable.MISSING, Unusable.MALFORMED, Unusable.AMBIGUOUS
GATE = Gate(prefix="acme", hasher=HmacHasher(b"p" * 16))
FORMAT = PrefixedFormat("acme")
GOOD, OTHER = (FORMAT.mint("production", lambda n, of=of: of * n).encode() for of in "gh")
BAD, JWT = GOOD[:-1] + b"!", b"eyJhbGciOiJIUzI1NiJ9.e30.abc-_"


def is_key(raw: bytes) -> bool:
    return FORMAT.parse(raw) is not None


EVERY = accepted([*CREDENTIAL_FORMS, "?api_key", "Authorization: Basic", "Sec-WebSocket-Protocol"])
REFUSING, IGNORING = (Finder(EVERY, GATE.ours, is_key, ignores=ignores) for ignores in (False, True))
BEARER = "Authorization: Bearer"
AUTH, X_API_KEY, PARAMETER, OFFER = b"authorization", b"x-api-key", b"?api_key", SUBPROTOCOL.header


def basic(user: bytes, password: bytes = b"") -> bytes:
    return b"Basic " + b64encode(user + b":" + password)


# Which places there are


@pytest.mark.parametrize(
    ("form", "place", "shown"),
    [
        ("X-API-Key", Place(b"x-api-key"), "X-API-Key"),
        ("x-acme-token", Place(b"x-acme-token"), "X-Acme-Token"),
        ("Authorization: Token", Place(AUTH, b"token"), "Authorization: Token"),
        ("authorization:bearer", Place(AUTH, b"bearer"), "Authorization: Bearer"),
        ("AUTHORIZATION: basic", BASIC, "Authorization: Basic"),
        ("sec-websocket-protocol", SUBPROTOCOL, "Sec-WebSocket-Protocol"),
        ("?api_key", Place(b"?api_key"), "?api_key"),
        ("?Key", Place(b"?Key"), "?Key"),
        ("a-b-c-d-e-f-g", Place(b"a-b-c-d-e-f-g"), "A-B-C-D-E-F-G"),
    ],
)
def test_a_place_is_named_as_a_client_writes_it(form: str, place: Place, shown: str) -> None:
    assert place_of(form) == place
    assert place.shown == shown
    assert place_of(shown) == place


@pytest.mark.parametrize(
    ("form", "reason"),
    [
        ("Cookie", "sent by browsers"),
        ("host", "which server"),
        ("Content-Type", "body"),
        ("content-anything", "body"),
        ("Connection", "one connection"),
        ("Keep-Alive", "one connection"),
        ("TE", "one connection"),
        ("Trailer", "one connection"),
        ("Transfer-Encoding", "one connection"),
        ("Upgrade", "one connection"),
        ("Proxy-Authorization", "one connection"),
        ("Forwarded", "another meaning"),
        ("X-Forwarded-For", "proxies"),
        ("x-forwarded-user", "proxies"),
        ("Sec-Fetch-Site", "browsers"),
        ("sec-anything", "browsers"),
        ("X-Request-ID", "meaning for the gate"),
        ("X-HTTP-Method-Override", "meaning for the gate"),
        ("Origin", "another meaning"),
        ("X_API_Key", "underscore"),
        ("a-b-c-d-e-f-g-h", "more than 6 dashes"),
        ("x" * 65, "64 characters"),
        ("X API Key", "cannot be a header"),
        ("X-Käy", "cannot be a header"),
        (":path", "has a scheme"),
        ("", "cannot be a header"),
        ("X-API-Key: Bearer", "only Authorization"),
        ("Authorization", "needs a scheme"),
        ("Authorization:", "needs a scheme"),
        ("Authorization: Bearer x", "needs a scheme"),
        ("?", "expected a name"),
        ("?a&b", "expected a name"),
    ],
)
def test_a_place_that_cannot_carry_a_key_is_refused_with_the_reason(form: str, reason: str) -> None:
    for build in (lambda: Gate(accept=[form]), lambda: Rule("/a", accept=[form])):
        with pytest.raises(ConfigurationError, match=reason) as caught:
            build()
        assert caught.value.key == "accept"


def test_a_header_cannot_name_the_client_and_carry_a_key() -> None:
    for more in ({"accept": ["X-Real-IP"]}, {"rules": [Rule("/a", accept=["x-real-ip"])]}):
        with pytest.raises(ConfigurationError, match="it names the client, as client_header says") as caught:
            Gate(client_header="X-Real-IP", trusted_proxies=["10.0.0.0/8"], **more)  # type: ignore[arg-type]
        assert caught.value.key == "accept"


def test_the_setting_that_this_replaces_is_told_what_to_write() -> None:
    with pytest.raises(ConfigurationError, match=r"did you mean accept=\['\?name'\]") as caught:
        Gate(query_parameter="api_key")  # type: ignore[call-arg]
    assert caught.value.key == "query_parameter"


# What rules say of places


@pytest.mark.parametrize(
    ("given", "key", "reason"),
    [
        ({"public": True, "accept": ["X-Key"]}, "accept", "is public, and no key is read there"),
        ({"accept": []}, "accept", "names no place"),
        ({"accept": "X-Key"}, "accept", "expected a list of strings"),
        ({"public": "optional", "scopes": ["a"]}, "scopes", "is optional but asks for scopes"),
        ({"public": "always"}, "public", "expected one of optional"),
    ],
)
def test_a_rule_that_contradicts_itself_is_refused(given: dict[str, Any], key: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason) as caught:
        Rule("/a", **given)
    assert caught.value.key == key


@pytest.mark.parametrize(
    ("one", "other", "name"),
    [
        ({"accept": ["X-Key"]}, {"accept": ["X-Key", "?key"]}, "accept"),
        ({"public": "optional"}, {"public": True}, "public"),
        ({"public": "optional"}, {"accept": ["X-Key"]}, "public"),
    ],
)
def test_two_rules_that_contradict_at_equal_specificity_are_refused_naming_both(
    one: dict[str, Any], other: dict[str, Any], name: str
) -> None:
    with pytest.raises(
        ConfigurationError, match=rf"rules\[1\]: contradicts rules\[0\].* {name} can have one"
    ) as caught:
        Gate(rules=[Rule("/a/{x}", **one), Rule("/a/{y}", **other)])
    assert caught.value.key == "rules[1]"


def test_two_rules_that_say_the_same_in_other_words_do_not_contradict() -> None:
    gate = Gate(rules=[Rule("/a", accept=["x-key", "?key"]), Rule("/a/", accept=["?key", "X-KEY"])])
    assert gate.rules.demand("GET", "/a").accept == {Place(b"x-key"), Place(b"?key")}


def test_a_rule_with_places_is_for_keys_and_the_most_specific_one_says_which() -> None:
    rules = [
        Rule("/*", accept=["X-Wide"]),
        Rule("/open/*", public=True),
        Rule("/open/feed", public="optional", accept=["X-Feed"]),
        Rule("GET /open/key", accept=["?key"]),
    ]
    table = Gate(rules=rules).rules
    assert table.demand("GET", "/elsewhere").accept == places_of(["X-Wide"])
    assert table.demand("GET", "/open/x").public is True
    assert (table.demand("GET", "/open/key").public, table.demand("POST", "/open/key").public) == (False, True)
    assert table.demand("HEAD", "/open/key").accept == places_of(["?key"])
    feed = table.demand("GET", "/open/feed")
    assert (feed.public, feed.accept) == ("optional", places_of(["X-Feed"]))
    # What permits holds only for what is spelled so.
    assert table.demand("GET", "/open/feed/").public is True


def test_where_no_rule_can_be_read_a_key_stands_where_all_accept_it() -> None:
    rules = [
        Rule("/a/*", accept=["X-API-Key", "?key"]),
        Rule("/b/*", accept=["X-API-Key", "Api-Key"]),
        Rule("POST /c", accept=["?key"]),
        Rule("/d", public="optional"),
    ]
    table = Gate(rules=rules[:2]).rules
    assert table.every.accept == table.demand("GET", "//a/x").accept == places_of(["X-API-Key"])
    assert table.demand("BREW", "/a/x").accept == places_of(["X-API-Key", "?key"])
    whole = Gate(rules=rules).rules
    assert whole.every.accept == frozenset()
    assert whole.every.public is whole.demand("BREW", "/d").public is False
    # Whoever takes this method for POST reads the query, and whoever does not reads the headers.
    assert whole.demand("post", "/c").accept == frozenset()
    assert Gate().rules.every.accept == places_of(CREDENTIAL_FORMS)


@pytest.mark.parametrize(
    ("forms", "schemes"),
    [
        (CREDENTIAL_FORMS, ("bearer",)),
        (["Authorization: Api-Key"], ("api-key",)),
        (["Authorization: Basic"], ("basic",)),
        ([*CREDENTIAL_FORMS, "Authorization: Basic"], ("bearer", "basic")),
        (["Authorization: Token", "Authorization: Bearer", "Authorization: Basic"], ("bearer", "token", "basic")),
        (["X-API-Key"], ("api-key",)),
        (["?key"], ("api-key",)),
        ([], ("api-key",)),
    ],
)
def test_a_refusal_names_the_schemes_that_are_accepted(forms: list[str], schemes: tuple[str, ...]) -> None:
    assert schemes_of(places_of(forms)) == schemes
    without = tuple(scheme for scheme in schemes if scheme != "basic")
    assert schemes_of(places_of(forms), basic=False) == (without or ("api-key",))


# A key format without a prefix


class Anything:
    """Keys that nothing tells from other texts."""

    def mint(self, environment: str, draw: Any) -> str:
        return str(draw(20))

    def parse(self, raw: bytes) -> None:
        return None


@pytest.mark.parametrize(
    ("given", "key"), [({"foreign": "ignore"}, "foreign"), ({"accept": ["Sec-WebSocket-Protocol"]}, "accept")]
)
def test_what_needs_a_prefix_is_refused_without_one(given: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigurationError, match="key_format gives keys without a prefix") as caught:
        Gate(key_format=Anything(), **given)
    assert caught.value.key == key


@pytest.mark.parametrize(
    ("octets", "is_ours"),
    [
        (GOOD, True),
        (b"acme_", True),
        (b"ACME_x", True),
        (b"aCmE_live_x", True),
        (b"acme", False),
        (b"acm_e", False),
        (b"xacme_y", False),
        (b"acme2_y", False),
        (b" acme_y", False),
        (b"", False),
        (JWT, False),
    ],
)
def test_our_form_is_the_prefix_before_the_first_underscore_in_any_case(octets: bytes, is_ours: bool) -> None:
    assert GATE.ours(octets) is is_ours
    assert is_ours is (octets.partition(b"_")[0].lower() == b"acme" and b"_" in octets)


# Which one key


@pytest.mark.parametrize(
    ("value", "key"),
    [
        (basic(GOOD), GOOD),
        (basic(b"", GOOD), GOOD),
        (basic(b"api", GOOD), GOOD),
        (basic(GOOD, b"x"), GOOD),
        (basic(GOOD, GOOD), GOOD),
        (basic(BAD), BAD),
        (basic(GOOD, OTHER), AMBIGUOUS),
        (basic(GOOD, BAD), AMBIGUOUS),
        (basic(b""), MISSING),
        (b"Basic", MISSING),
        (b"Basic ", MISSING),
        (b"Basic " + b64encode(GOOD), MALFORMED),
        (b"Basic " + b64encode(GOOD + b":")[:-1], MALFORMED),
        (b"Basic !!!!", MALFORMED),
        (basic(b"user", b"word"), MALFORMED),
        (basic(GOOD) + b", " + basic(GOOD), AMBIGUOUS),
        (b"basic  " + b64encode(GOOD + b":") + b" ", GOOD),
        (basic(b"x" * 2000, GOOD), MALFORMED),
    ],
)
def test_basic_has_the_key_as_user_or_as_password(value: bytes, key: bytes | Unusable) -> None:
    assert REFUSING.find([(AUTH, value)]).key == key


def test_the_colons_of_a_password_are_its_own() -> None:
    assert REFUSING.find([(AUTH, basic(GOOD, b"a:b"))]).key == GOOD
    assert REFUSING.find([(AUTH, basic(b"a", GOOD + b":"))]).key == GOOD + b":"


@pytest.mark.parametrize(
    ("lines", "key"),
    [
        ([b"keystile, " + GOOD], GOOD),
        ([GOOD + b",keystile"], GOOD),
        ([b"chat, keystile", b"other,\t" + GOOD], GOOD),
        ([b"keystile,," + GOOD + b","], GOOD),
        ([b"keystile, " + BAD], BAD),
        ([GOOD], AMBIGUOUS),
        ([b"chat, " + GOOD], AMBIGUOUS),
        ([b"Keystile, " + GOOD], AMBIGUOUS),
        ([b"keystile", GOOD, GOOD], AMBIGUOUS),
        ([b"keystile, " + GOOD + b", " + OTHER], AMBIGUOUS),
        ([b"keystile, a b, " + GOOD], AMBIGUOUS),
        ([b"keystile, " + b"a," * 5000], AMBIGUOUS),
        ([b"keystile," + b"a," * 127 + GOOD], GOOD),
        ([b"keystile," + b"a," * 128 + GOOD], AMBIGUOUS),
        ([b"keystile," + b"," * 64, b"," * 64 + GOOD], AMBIGUOUS),
        ([b"keystile, acme_" + b"a" * 2000], MALFORMED),
        ([b"keystile"], MISSING),
        ([b"keystile, chat"], MISSING),
        ([b""], MISSING),
    ],
)
def test_a_subprotocol_is_a_key_if_it_alone_has_our_form_beside_keystile(
    lines: list[bytes], key: bytes | Unusable
) -> None:
    assert key_among(lines, GATE.ours) == key
    assert REFUSING.find([(OFFER, line) for line in lines]).key == key


@pytest.mark.parametrize("finder", [REFUSING, IGNORING], ids=["refuse", "ignore"])
@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ([], Presented(MISSING)),
        ([(X_API_KEY, GOOD)], Presented(GOOD, places_of(["X-API-Key"]))),
        ([(X_API_KEY, GOOD), (AUTH, b"Bearer " + GOOD)], Presented(GOOD, places_of(["X-API-Key", BEARER]))),
        ([(X_API_KEY, GOOD), (PARAMETER, b"")], Presented(GOOD, places_of(["X-API-Key"]))),
        ([(X_API_KEY, GOOD), (AUTH, b"Digest a=b")], Presented(GOOD, places_of(["X-API-Key"]))),
        ([(X_API_KEY, GOOD), (PARAMETER, OTHER)], Presented(AMBIGUOUS)),
        ([(X_API_KEY, GOOD), (X_API_KEY, GOOD)], Presented(AMBIGUOUS)),
        ([(b"x_api_key", GOOD)], Presented(AMBIGUOUS)),
        ([(X_API_KEY, GOOD + b"," + GOOD)], Presented(AMBIGUOUS)),
        ([(X_API_KEY, GOOD), (AUTH, b"Bearer " + JWT)], Presented(AMBIGUOUS)),
        ([(X_API_KEY, GOOD), (AUTH, basic(b"user", b"word"))], Presented(AMBIGUOUS)),
        ([(X_API_KEY, GOOD), (OFFER, b"keystile, " + GOOD)], Presented(GOOD, places_of(["X-API-Key"]) | {SUBPROTOCOL})),
        ([(X_API_KEY, JWT), (X_API_KEY, JWT)], Presented(AMBIGUOUS)),
        ([(X_API_KEY, b"a,b")], Presented(AMBIGUOUS)),
        ([(X_API_KEY, BAD)], Presented(MALFORMED, places_of(["X-API-Key"]))),
        ([(AUTH, b"Bearer acme_\xff")], Presented(MALFORMED, places_of([BEARER]))),
        ([(AUTH, b"Bearer\tacme_x")], Presented(MALFORMED, places_of([BEARER]))),
        ([(PARAMETER, b" acme_x")], Presented(MALFORMED, places_of(["?api_key"]))),
    ],
)  # fmt: skip
def test_repeats_twins_and_commas_are_judged_first_and_all_places_hold_one_key(
    finder: Finder, lines: list[tuple[bytes, bytes]], found: Presented
) -> None:
    assert finder.find(lines) == found
    assert finder.find(lines[::-1]) == found


WRONG = GOOD[:-6] + b"000000"  # another check


@pytest.mark.parametrize(
    ("lines", "refused", "ignored"),
    [
        ([(AUTH, b"Bearer " + JWT)], JWT, MISSING),
        ([(AUTH, b"Bearer " + JWT * 99)], MALFORMED, MISSING),
        ([(AUTH, b'Bearer realm="x"')], MALFORMED, MISSING),
        ([(AUTH, basic(b"user", b"word"))], MALFORMED, MISSING),
        ([(AUTH, b"Basic nonsense!")], MALFORMED, MISSING),
        ([(PARAMETER, b"of the app's own")], MALFORMED, MISSING),
        ([(AUTH, b"Bearer " + JWT), (X_API_KEY, b"another")], AMBIGUOUS, MISSING),
        ([(X_API_KEY, GOOD), (AUTH, b"Bearer " + WRONG)], AMBIGUOUS, MALFORMED),
        ([(X_API_KEY, GOOD), (AUTH, b"Bearer " + BAD)], AMBIGUOUS, MALFORMED),
        ([(X_API_KEY, WRONG), (AUTH, b"Bearer " + JWT)], AMBIGUOUS, MALFORMED),
        ([(X_API_KEY, GOOD), (AUTH, basic(b"user", WRONG))], AMBIGUOUS, MALFORMED),
    ],
)
def test_what_has_not_our_form_is_the_apps_affair_if_the_policy_says_so(
    lines: list[tuple[bytes, bytes]], refused: bytes | Unusable, ignored: bytes | Unusable
) -> None:
    assert REFUSING.find(lines).key == refused
    assert IGNORING.find(lines).key == ignored


# Whose page it is


@pytest.mark.parametrize(
    ("site", "public_url", "secure", "ambient"),
    [
        (Site(), None, False, False),
        (Site(fetch_site=["cross-site"]), None, False, True),
        (Site(fetch_site=["same-site"]), None, False, True),
        (Site(fetch_site=["Same-Site"]), None, False, True),
        (Site(fetch_site=["same-origin", "cross-site"]), None, False, True),
        (Site(fetch_site=["same-origin,cross-site"]), None, False, True),
        (Site(fetch_site=["x" * 1000]), None, False, True),
        (Site(fetch_site=["same-origin"]), None, False, False),
        (Site(fetch_site=["none"]), None, False, False),
        (Site(True), None, False, False),
        (Site(True, ["cross-site"]), None, False, True),
        (Site(True, (), (), ["https://a.example"], ["a.example"]), None, True, False),
        (Site(True, (), (), ["https://A.example"], ["a.EXAMPLE:443"]), None, True, False),
        (Site(True, (), (), ["http://a.example"], ["a.example"]), None, False, False),
        (Site(True, (), (), ["https://a.example"], ["a.example"]), None, False, False),
        (Site(True, (), (), ["http://a.example"], ["a.example"]), None, True, True),
        (Site(True, (), (), ["https://b.example"], ["a.example"]), None, True, True),
        (Site(True, (), (), ["https://a.example:8443"], ["a.example"]), None, True, True),
        (Site(True, (), (), ["null"], ["a.example"]), None, True, True),
        (Site(True, (), (), ["https://a.example@evil.example"], ["a.example"]), None, True, True),
        (Site(True, (), (), ["https://a.example"], []), None, True, True),
        (Site(True, (), (), ["https://a.example"], ["a.example", "a.example"]), None, True, True),
        (Site(True, (), (), ["https://a.example", "https://a.example"], ["a.example"]), None, True, True),
        (Site(True, (), (), ["https://api.example.com"], ["inner:8000"]), "https://api.example.com", False, False),
        (Site(True, (), (), ["https://inner:8000"], ["inner:8000"]), "https://api.example.com", True, True),
        (Site(True, ["cross-site"], (), ["https://listed.example"], ["a.example"]), None, True, False),
        (Site(False, ["cross-site"], (), ["https://listed.example"], ["a.example"]), None, True, True),
    ],
)
def test_a_browser_may_send_basic_on_its_own_for_pages_that_are_not_ours(
    site: Site, public_url: str | None, secure: bool, ambient: bool
) -> None:
    assert is_ambient(site, {"https://listed.example"}, public_url, secure=secure) is ambient


@pytest.mark.parametrize(
    ("site", "fetch"),
    [
        (Site(), False),
        (Site(fetch_mode=["cors"]), True),
        (Site(fetch_mode=["", "CORS "]), True),
        (Site(fetch_mode=[",cors"]), True),
        (Site(fetch_mode=["navigate,no-cors"]), False),
        (Site(fetch_mode=["navigate"], origins=["https://a.example"]), False),
        (Site(origins=["https://a.example"]), True),
    ],
)
def test_a_script_is_told_from_a_person(site: Site, fetch: bool) -> None:
    assert is_fetch(site) is fetch


# What is left of a request

HIDING = Hiding(EVERY, GATE.ours, GATE.mask.holds_whole, everything=True)
SPARING = Hiding(EVERY, GATE.ours, GATE.mask.holds_whole, everything=False)


@pytest.mark.parametrize(
    ("name", "value", "left"),
    [
        (AUTH, b"Bearer " + GOOD, None),
        (AUTH, b"bearer\t" + GOOD.upper(), None),
        (AUTH, b"Unknown " + GOOD, None),
        (AUTH, GOOD, None),
        (AUTH, b"Bearer acme_", None),
        (AUTH, b"Bearer " + JWT + b", Bearer " + GOOD, None),
        (AUTH, basic(GOOD), None),
        (AUTH, basic(b"x", b"y:" + GOOD), None),
        (AUTH, b'Custom key="' + GOOD + b'"', None),
        (AUTH, b"Bearer " + JWT, b"Bearer " + JWT),
        (AUTH, basic(b"user", b"word"), basic(b"user", b"word")),
        (AUTH, b"a " * 100, None),
        (X_API_KEY, b"acme_cut", None),
        (b"x_api_key", b"acme_cut", None),
        (X_API_KEY, b"own", b"own"),
        (b"x-other", GOOD, None),
        (b"x-other", b"acme_campaign", b"acme_campaign"),
        (b"referer", b"https://a.example/?x=" + GOOD, None),
        (b"referer", b"https://a.example/?x=" + GOOD.replace(b"_", b"%5F"), None),
        (b"cookie", b"a=1; k=" + GOOD + b"; acme_session=2", b"a=1; acme_session=2"),
        (b"cookie", b"k=" + GOOD, None),
        (b"cookie", b"a=1; " * 255 + b"k=" + GOOD, b"a=1; " * 254 + b"a=1"),
        (b"cookie", b"a=1; " * 256 + b"k=" + GOOD, None),
        (b"cookie", b"a=" + b"1" * 10_000 + b"; k=" + GOOD, b"a=" + b"1" * 10_000),
        (b"cookie", b"a=" + b"1" * 20_000 + b"; k=" + GOOD, None),
        (b"cookie", b"a=" + b"1" * 20_000, b"a=" + b"1" * 20_000),
        (OFFER, b"chat, keystile, " + GOOD, b"chat"),
        (OFFER, b"keystile, " + GOOD, None),
        (OFFER, b"keystile, chat", b"keystile, chat"),
    ],
)
def test_what_looks_like_a_key_is_taken_out_of_a_header(name: bytes, value: bytes, left: bytes | None) -> None:
    assert HIDING.line(name, value) == left


@pytest.mark.parametrize(
    ("query", "hidden", "spared", "refused"),
    [
        (b"a=1&api_key=%s&b=2", b"a=1&b=2", b"a=1&b=2", b"a=1&b=2"),
        (b"api%%5Fkey=%s", b"", b"", b""),
        (b"api_key=own", b"api_key=own", b"api_key=own", b""),
        (b"api_key=own&api_key=%s", b"api_key=own", b"api_key=own", b""),
        (b"other=%s&a", b"a", b"other=%s&a", b"other=%s&a"),
        (b"%s=1&a", b"a", b"%s=1&a", b"%s=1&a"),
        (b"x=acme_campaign", b"x=acme_campaign", b"x=acme_campaign", b"x=acme_campaign"),
        (b"a=1&&b", b"a=1&&b", b"a=1&&b", b"a=1&&b"),
        (b"x=" + b"y" * 9000 + b"&z=%s", b"", b"x=" + b"y" * 9000 + b"&z=%s", b"x=" + b"y" * 9000 + b"&z=%s"),
        (b"x=" + b"y" * 9000, b"x=" + b"y" * 9000, b"x=" + b"y" * 9000, b"x=" + b"y" * 9000),
    ],
)
def test_what_looks_like_a_key_is_taken_out_of_a_query(
    query: bytes, hidden: bytes, spared: bytes, refused: bytes
) -> None:
    def filled(text: bytes) -> bytes:
        return text.replace(b"%s", GOOD).replace(b"%%", b"%")

    assert HIDING.query(filled(query), refused=False) == filled(hidden)
    assert SPARING.query(filled(query), refused=False) == filled(spared)
    assert SPARING.query(filled(query), refused=True) == filled(refused)


# Whatever is sent

KEYS = [GOOD, OTHER, BAD, WRONG, GOOD.upper(), b"acme_", JWT, b"x"]
values = st.one_of(
    st.sampled_from(KEYS),
    st.sampled_from(KEYS).map(lambda key: b"Bearer " + key),
    st.tuples(st.sampled_from([*KEYS, b""]), st.sampled_from([*KEYS, b""])).map(lambda pair: basic(*pair)),
    st.sampled_from(KEYS).map(lambda key: b"keystile, " + key),
    st.sampled_from([b"", b" ", b"Bearer", b",", b"keystile", b"Basic x", b"a,b"]),
    st.binary(max_size=20),
)
names = st.sampled_from([AUTH, X_API_KEY, b"api-key", b"x_api_key", PARAMETER, OFFER])
lines = st.lists(st.tuples(names, values), max_size=4)


def said(name: bytes, value: bytes) -> bytes:
    """The value, and what a pair of user and password in it says. Written apart from the gate's own rule."""
    words = value.split()
    if name != AUTH or len(words) != 2 or words[0] != b"Basic":
        return value
    with suppress(ValueError):
        return value + b" " + b64decode(words[1])
    return value


@given(lines, st.booleans())
@example([(AUTH, basic(GOOD, OTHER))], True)
@example([(OFFER, b"keystile, " + GOOD), (AUTH, b"Bearer " + OTHER)], False)
def test_at_most_one_key_is_read_and_it_stands_there_as_it_is(sent: list[tuple[bytes, bytes]], ignores: bool) -> None:
    finder = IGNORING if ignores else REFUSING
    found = finder.find(sent)
    assert finder.find(sent[::-1]) == found
    if isinstance(found.key, bytes):
        assert {place.header for place in found.places} <= {n for n, value in sent if found.key in said(n, value)}
        assert not ignores or GATE.ours(found.key)
        for other in {GOOD, OTHER} - {found.key}:
            beside = [(name, value) for name, value in sent if other in said(name, value)]
            # Without a scheme of ours, Authorization presents nothing.
            assert all(name == AUTH and not value.lower().startswith((b"bearer", b"basic")) for name, value in beside)


PLACES = sorted(places_of([*CREDENTIAL_FORMS, "?api_key", "Authorization: Basic", "Sec-WebSocket-Protocol"]))
PRESENTING = [
    Presenting(Policy(foreign=foreign), GATE._shop, EVERY) for foreign in get_args(get_type_hints(Policy)["foreign"])
]


@given(lines, st.sets(st.sampled_from(PLACES)), st.sampled_from(PRESENTING))
@example([(AUTH, b"Bearer " + GOOD)], {BASIC}, PRESENTING[0])
@example([(OFFER, b"keystile, " + GOOD), (X_API_KEY, GOOD)], {SUBPROTOCOL}, PRESENTING[0])
def test_a_key_that_stands_only_where_it_is_not_accepted_opens_nothing(
    sent: list[tuple[bytes, bytes]], here: set[Place], presenting: Presenting
) -> None:
    request = Request("GET", "/", b"/", sent, None, site=Site())
    key = presenting.find(request, Demand(False, frozenset(), accept=frozenset(here)), secure=True)
    if isinstance(key, bytes):
        headers = {place.header for place in here}
        standing = [value for name, value in sent if name in headers and key in said(name, value)]
        schemes = [place.scheme for place in here if place.scheme]
        assert any(
            name != AUTH or value.split()[0].lower() in schemes
            for name, value in sent
            if name in headers and value in standing
        )
    assert presenting.find(request, Demand(False, frozenset()), secure=True).__class__ is Unusable


class Prefixed(Anything):
    """Keys of which only some begin with the prefix."""

    prefix = "own"

    def parse(self, raw: bytes) -> Parsed | None:  # type: ignore[override]
        return Parsed("id", "hint") if raw.startswith(b"old-") else None


def test_what_can_be_a_key_has_our_form_whatever_it_begins_with() -> None:
    gate = Gate(key_format=Prefixed(), foreign="ignore")
    assert [gate.ours(raw) for raw in (b"own_x", b"OWN_x", b"old-x", b"x")] == [True, True, True, False]


@given(lines)
def test_a_gate_with_plain_places_reads_what_the_general_way_reads(sent: list[tuple[bytes, bytes]]) -> None:
    plain = accepted([*CREDENTIAL_FORMS, "?api_key"])
    general = Finder(plain, GATE.ours, is_key, ignores=False)
    sent = [line for line in sent if line[0] != OFFER]
    assert general.find(sent).key == extract(sent, plain)


@given(lines)
def test_hiding_leaves_no_key(sent: list[tuple[bytes, bytes]]) -> None:
    for name, value in sent:
        parameter = name.startswith(b"?")
        left = HIDING.query(name[1:] + b"=" + value, refused=False) if parameter else HIDING.line(name, value)
        assert not any(key in said(name, left or b"") for key in (GOOD, OTHER))


def test_the_default_places_are_plain_and_read_as_ever() -> None:
    assert Gate()._order._plain
    assert Gate(accept=["?key", "X-Key"])._order._plain
    assert not Gate(accept=["Authorization: Basic"])._order._plain
    assert not Gate(rules=[Rule("/a", accept=["X-Key"])])._order._plain
    assert not Gate(foreign="ignore")._order._plain
    assert Policy().foreign == "refuse"
