"""Which rule holds for a path, and that a path which servers may read differently is never public."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystile import ConfigurationError, Rule
from keystile.policy import Policy
from keystile.rules.paths import MAX_REMEMBERED, Demand, RuleTable, canonical

CANONICAL = [
    "/",
    "/a",
    "/a/",
    "/a/b.c",
    "/a/...",
    "/.well-known/x",
    "/a..b",
    "/..a",
    "/a b",
    "/é",
    "/日本/語",
    "/~a:b@c!$&'()*+,=",
]
CROOKED = {
    "empty": "",
    "no slash first": "a/b",
    "a whole URL": "http://evil/a",
    "an empty segment": "/a//b",
    "two slashes first": "//a",
    "two slashes last": "/a//",
    "a dot": "/a/./b",
    "a dot last": "/a/.",
    "two dots": "/a/../b",
    "two dots first": "/..",
    "two dots last": "/a/..",
    "two dots and a slash last": "/a/../",
    "a backslash": "/a\\b",
    "path parameters": "/a;b=c/d",
    "a per cent sign": "/a%2fb",
    "a lone per cent sign": "/100%",
    "NUL": "/a\x00",
    "LF": "/a\n",
    "TAB": "/a\tb",
    "DEL": "/a\x7f",
    "a C1 control": "/a\x85b",
    "a replacement character": "/a\ufffdb",
    "a surrogate": "/a\udc80",
}
SMUGGLED = [b"/a%2Fb", b"/a%2fb", b"/a%5Cb", b"/a%5cb", b"/%2e%2e/b", b"/%2E/b", b"/a%00", b"/a/b%2ec"]


def table(*public: str, rules: tuple[Rule, ...] = ()) -> RuleTable:
    return RuleTable(Policy(public=public, rules=rules).all_rules())


def scopes(path: str, *matches: str, method: str = "GET") -> set[str]:
    """What is demanded where every rule asks for a scope named after its match."""
    named = tuple(Rule(match, scopes=(match.replace(" ", ":"),)) for match in matches)
    return set(table(rules=named).demand(method, path).scopes)


@pytest.mark.parametrize("path", CANONICAL)
def test_a_plain_path_is_canonical(path: str) -> None:
    assert canonical(path)
    assert canonical(path, path.encode())


@pytest.mark.parametrize("path", list(CROOKED.values()), ids=list(CROOKED))
def test_a_path_that_some_reader_changes_is_not_canonical(path: str) -> None:
    assert not canonical(path)


@pytest.mark.parametrize("raw_path", SMUGGLED)
def test_encoded_slashes_backslashes_dots_and_nul_make_a_path_uncanonical(raw_path: bytes) -> None:
    assert not canonical("/a/b", raw_path)


@pytest.mark.parametrize("raw_path", [b"", b"/a%20b", b"/%C3%A9", b"/%41", b"/a%2Bb"])
def test_other_encoded_octets_do_not(raw_path: bytes) -> None:
    assert canonical("/a b", raw_path)


def test_a_key_is_asked_for_where_no_rule_holds() -> None:
    assert table("/a").demand("GET", "/b") == Demand(public=False, scopes=frozenset())
    assert table().demand("GET", "/") == Demand(public=False, scopes=frozenset())


@pytest.mark.parametrize(
    ("path", "public"),
    [
        ("/health", True),
        ("/health/", False),
        ("/Health", False),
        ("/healthz", False),
        ("/health/x", False),
        ("/static/a", True),
        ("/static/a/b/c", True),
        ("/static/a/", True),
        ("/static", False),
        ("/statics/a", False),
        ("/static-x/a", False),
        ("/x/static/a", False),
    ],
)
def test_an_exact_path_is_itself_and_a_star_is_what_lies_below(path: str, public: bool) -> None:
    assert table("/health", "/static/*").demand("GET", path).public is public


@pytest.mark.parametrize(
    ("path", "matches", "winner"),
    [
        ("/a/b", ["/a/b", "/a/*"], "/a/b"),
        ("/a/b", ["GET /a/*", "/a/b"], "/a/b"),
        ("/a/b/c", ["/a/*", "/a/b/*", "/*"], "/a/b/*"),
        ("/a/x", ["/a/*", "/a/b/*", "/*"], "/a/*"),
        ("/x", ["/a/*", "/*"], "/*"),
        ("/", ["/*"], "/*"),
        ("/a", ["/a", "GET /a"], "GET /a"),
        ("/a/b", ["/a/*", "GET /a/*"], "GET /a/*"),
        ("/a/b/c", ["GET /a/*", "/a/b/*"], "/a/b/*"),
        ("/a/b", ["POST /a/b", "/a/*"], "/a/*"),
        ("/a/b/c", ["POST /a/b/*", "/a/*"], "/a/*"),
    ],
)
@pytest.mark.parametrize("backwards", [False, True])
def test_the_most_specific_rule_decides_alone_in_whatever_order_they_are_given(
    path: str, matches: list[str], winner: str, backwards: bool
) -> None:
    listed = reversed(matches) if backwards else matches
    assert scopes(path, *listed) == {winner.replace(" ", ":")}


@pytest.mark.parametrize(
    ("method", "matches", "winner"),
    [
        ("HEAD", ["GET /a", "/a"], "GET:/a"),
        ("HEAD", ["GET /a", "HEAD /a"], "HEAD:/a"),
        ("head", ["GET /a", "/a"], "GET:/a"),
        ("GET", ["HEAD /a", "/a"], "/a"),
        ("post", ["POST /a", "/a"], "POST:/a"),
        ("PoSt", ["POST /a", "/a"], "POST:/a"),
        ("PUT", ["POST /a", "/a"], "/a"),
        ("", ["POST /a", "/a"], "/a"),
        ("BREW", ["POST /a", "/a"], "/a"),
    ],
)
def test_get_holds_head_and_the_methods_case_dodges_no_rule(method: str, matches: list[str], winner: str) -> None:
    assert scopes("/a", *matches, method=method) == {winner}


def test_a_rule_for_one_method_says_nothing_about_another() -> None:
    exports = table(rules=(Rule("POST /exports", scopes=("write",)), Rule("GET /docs", public=True)))
    assert exports.demand("GET", "/exports") == Demand(public=False, scopes=frozenset())
    assert exports.demand("HEAD", "/docs").public
    assert not exports.demand("POST", "/docs").public


def test_a_public_rule_may_stand_inside_a_protected_tree_and_the_other_way_round() -> None:
    mixed = table("/a/open", "/b/*", rules=(Rule("/a/*", scopes=("a",)), Rule("/b/shut", scopes=("b",))))
    assert mixed.demand("GET", "/a/open").public
    assert mixed.demand("GET", "/a/other") == Demand(public=False, scopes=frozenset({"a"}))
    assert mixed.demand("GET", "/b/any").public
    assert mixed.demand("GET", "/b/shut") == Demand(public=False, scopes=frozenset({"b"}))


@pytest.mark.parametrize("path", list(CROOKED.values()), ids=list(CROOKED))
def test_a_path_that_is_not_canonical_counts_as_every_rule(path: str) -> None:
    some = table("/a/*", rules=(Rule("/x", scopes=("x",)), Rule("POST /y/*", scopes=("y", "z"))))
    assert some.demand("GET", path) == Demand(public=False, scopes=frozenset("xyz"))


@pytest.mark.parametrize("raw_path", SMUGGLED)
def test_a_path_that_was_smuggled_counts_as_every_rule(raw_path: bytes) -> None:
    some = table("/a/*", rules=(Rule("/x", scopes=("x",)),))
    assert some.demand("GET", "/a/b", b"/a/b").public
    assert some.demand("GET", "/a/b", raw_path) == Demand(public=False, scopes=frozenset("x"))


def test_a_long_path_is_judged_like_a_short_one() -> None:
    some = table("/a/*", rules=(Rule("/x/*", scopes=("x",)),))
    long = "s" * (2 * MAX_REMEMBERED)
    assert some.demand("GET", f"/a/{long}").public
    assert some.demand("GET", f"/x/{long}").scopes == {"x"}
    assert not some.demand("GET", f"/a/{long}/../x").public


def test_asking_again_gives_the_same_answer_for_each_method_and_raw_path() -> None:
    some = table(rules=(Rule("GET /a", public=True), Rule("POST /a", scopes=("p",))))
    for _ in range(3):
        assert some.demand("GET", "/a").public
        assert some.demand("POST", "/a").scopes == {"p"}
        assert not some.demand("GET", "/a", b"/%2e/a").public


@pytest.mark.parametrize("path", [path for path in CROOKED.values() if path.startswith("/")])
def test_a_listed_path_that_is_not_canonical_is_a_configuration_error_naming_it(path: str) -> None:
    for listed in (path, path + "/*"):
        with pytest.raises(ConfigurationError) as caught:
            table("/fine", listed)
        assert caught.value.key == "public[1]"
        with pytest.raises(ConfigurationError) as caught:
            table(rules=(Rule("/fine"), Rule("/good"), Rule(listed)))
        assert caught.value.key == "rules[2]"


@pytest.mark.parametrize(
    "path", ["/a*", "/*/a", "/a/*/b", "/a/**", "/*/*", "/a/*.png", "*", "a/*", "", "GET /a", "/a b"]
)
def test_a_listed_path_that_cannot_be_read_is_a_configuration_error_naming_it(path: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        table("/fine", path)
    assert caught.value.key == "public[1]"


@pytest.mark.parametrize(
    ("settings", "key", "other"),
    [
        ({"rules": [Rule("/a", scopes=("x",)), Rule("/a", scopes=("y",))]}, "rules[1]", "rules[0]"),
        ({"rules": [Rule("/a"), Rule("/b"), Rule("/a", public=True)]}, "rules[2]", "rules[0]"),
        ({"rules": [Rule("/b"), Rule("/a/*", scopes=("x",))], "public": ["/c", "/a/*"]}, "public[1]", "rules[1]"),
        ({"rules": [Rule("GET /a"), Rule("GET /a", public=True)]}, "rules[1]", "rules[0]"),
    ],
)
def test_two_rules_for_the_same_requests_that_differ_are_a_configuration_error_naming_both(
    settings: dict[str, Any], key: str, other: str
) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(f"{key}: contradicts {other}")) as caught:
        RuleTable(Policy(**settings).all_rules())
    assert caught.value.key == key


def test_the_same_rule_twice_is_no_contradiction() -> None:
    twice = table("/a", "/a", rules=(Rule("/a", public=True), Rule("/b", scopes=("x",)), Rule("/b", scopes=("x",))))
    assert twice.demand("GET", "/a").public
    assert twice.demand("GET", "/b").scopes == {"x"}


# No spelling makes a crooked path public. `/public/*` and its neighbours cover whatever the insertions leave in place.

words = st.sampled_from(["public", "a", "b.c", "admin", "x y", "é"])
paths = st.lists(words, min_size=1, max_size=4).map(lambda parts: "/public/" + "/".join(parts))
insertions = st.one_of(
    st.sampled_from(["//", "/./", "/../", "\\", ";", "%", "%2f", "%2e", "\ufffd", "\x7f"]),
    st.characters(max_codepoint=0x1F),
    st.characters(min_codepoint=0x7F, max_codepoint=0x9F),
    st.characters(categories=["Cs"]),
)
WIDE = table("/", "/public", "/public/*", "/public/public/*", "/public/a", rules=(Rule("/admin", scopes=("admin",)),))


def inserted(path: str, place: int, what: str) -> str:
    place %= len(path) + 1
    return path[:place] + what + path[place:]


@given(paths)
def test_the_paths_below_are_public_as_long_as_they_are_canonical(path: str) -> None:
    assert WIDE.demand("GET", path, path.encode()).public


@given(paths, st.integers(0, 100), insertions)
def test_no_crooked_path_is_ever_public(path: str, place: int, what: str) -> None:
    assert WIDE.demand("GET", inserted(path, place, what)) == Demand(public=False, scopes=frozenset({"admin"}))


@given(paths, st.sampled_from(["..", "."]), st.booleans())
def test_no_path_with_a_dot_segment_is_ever_public(path: str, dots: str, last: bool) -> None:
    crooked = f"{path}/{dots}" if last else path.replace("/public/", f"/public/{dots}/", 1)
    assert not WIDE.demand("GET", crooked).public


@given(paths, st.integers(0, 100), st.sampled_from([b"%2f", b"%2F", b"%2e", b"%2E", b"%5c", b"%5C", b"%00"]))
def test_no_path_whose_raw_form_hides_something_is_ever_public(path: str, place: int, what: bytes) -> None:
    raw = path.encode()
    place %= len(raw) + 1
    assert not WIDE.demand("GET", path, raw[:place] + what + raw[place:]).public


def reads_alike(path: str) -> bool:
    """The rule in words, as an oracle."""
    strange = re.compile("[\\\\;%\x00-\x1f\x7f-\x9f\ufffd\ud800-\udfff]")
    first, *segments = path.split("/")
    if segments and segments[-1] == "":
        segments.pop()
    return path.startswith("/") and not first and not strange.search(path) and not {"", ".", ".."} & set(segments)


@given(
    st.lists(st.sampled_from(["/", ".", "a", "..", "//", ";", "%", "\\", "\n", "\ud800", "é", "/public"])).map("".join)
)
def test_canonical_is_what_the_rule_says_in_words(path: str) -> None:
    assert canonical(path) is reads_alike(path)


@given(st.text(st.characters(), max_size=40), st.binary(max_size=40), st.text(max_size=8))
def test_no_request_makes_it_raise(path: str, raw_path: bytes, method: str) -> None:
    demand = WIDE.demand(method, path, raw_path)
    assert not demand.public or canonical(path, raw_path)
