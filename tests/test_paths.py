"""Which rule holds for a path, and that a path which servers may read differently is never public."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystile import ConfigurationError, Rule
from keystile.model import Demand
from keystile.policy import Policy
from keystile.policy.matches import MOST_SEGMENTS as MOST_RULE_SEGMENTS
from keystile.rules.requests.canonical import LONGEST, MOST_SEGMENTS, ambiguous, below, canonical
from keystile.rules.requests.paths import MAX_REMEMBERED, RuleTable

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


def winner(path: str, *matches: str, method: str = "GET") -> str:
    """Which rule has the word, where each costs something else."""
    rules = tuple(Rule(match, cost=index + 2) for index, match in enumerate(matches))
    return ["", "", *matches][table(rules=rules).demand(method, path).cost]


def scopes(path: str, *matches: str, method: str = "GET") -> set[str]:
    """What is demanded where every rule asks for a scope named after its match, and none for the same requests."""
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
    ("path", "matches", "expected"),
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
        ("/a/", ["/a", "/a/*"], "/a"),
        ("/a", ["/a/", "/a/*", "/*"], "/a/"),
        ("/a", ["/a/*", "/*"], "/a/*"),
        ("/a", ["/*", "/"], "/*"),
        ("/", ["/*", "/"], "/"),
        ("/a", ["/b", "/a/b", "/a/b/*"], ""),
    ],
)
@pytest.mark.parametrize("backwards", [False, True])
def test_the_most_specific_rule_has_the_word_in_whatever_order_they_are_given(
    path: str, matches: list[str], expected: str, backwards: bool
) -> None:
    assert winner(path, *(reversed(matches) if backwards else matches)) == expected


@pytest.mark.parametrize(
    ("method", "matches", "expected"),
    [
        ("HEAD", ["GET /a", "/a"], "GET /a"),
        ("HEAD", ["GET /a", "HEAD /a"], "HEAD /a"),
        ("GET", ["HEAD /a", "/a"], "/a"),
        ("PUT", ["POST /a", "/a"], "/a"),
        ("PUT", ["POST /a", "GET /a"], ""),
    ],
)
def test_get_holds_head_and_nothing_else(method: str, matches: list[str], expected: str) -> None:
    assert winner("/a", *matches, method=method) == expected


@pytest.mark.parametrize("method", ["", "BREW", "post", "PoSt", "get", "GET ", "PROPFIND"])
def test_a_method_that_is_none_of_http_s_meets_all_that_its_path_demands(method: str) -> None:
    some = ["POST /a", "GET /a/", "PUT /b", "DELETE /a/b"]
    assert scopes("/a", *some, method=method) == {"POST:/a", "GET:/a/"}
    assert scopes("/a/b", "PATCH /a/*", *some, method=method) == {"PATCH:/a/*", "DELETE:/a/b"}
    some_public = table("/a", "/b/*", rules=(Rule("POST /a", public=True, limits="1/day", cost=1),))
    assert some_public.demand(method, "/a").windows == some_public.demand("POST", "/a").windows != ()
    assert not some_public.demand(method, "/a").public
    assert some_public.demand(method, "/b/c") == Demand(public=False, scopes=frozenset())


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
    assert 2 * MAX_REMEMBERED < LONGEST
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
        with pytest.raises(ConfigurationError, match="no request would match it") as caught:
            table("/fine", listed)
        assert caught.value.key == "public[1]"
        with pytest.raises(ConfigurationError, match="no request would match it") as caught:
            table(rules=(Rule("/fine"), Rule("/good"), Rule(listed)))
        assert caught.value.key == ("match" if "//" in listed else "rules[2]")


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
        ({"rules": [Rule("/a", cost=2), Rule("/a", cost=3)]}, "rules[1]", "rules[0]"),
        ({"rules": [Rule("/a", public=False), Rule("/b"), Rule("/a", public=True)]}, "rules[2]", "rules[0]"),
        ({"rules": [Rule("/b"), Rule("/a/*", scopes=("x",))], "public": ["/c", "/a/*"]}, "public[1]", "rules[1]"),
        ({"rules": [Rule("GET /a", public=True), Rule("GET /a", scopes=("x",))]}, "rules[1]", "rules[0]"),
        ({"rules": [Rule("/a/", public=True), Rule("/a", scopes=("x",))]}, "rules[1]", "rules[0]"),
        ({"rules": [Rule("/a", public=False), Rule("/a/", public=True)]}, "rules[1]", "rules[0]"),
        ({"rules": [Rule("/a/{x}", envelope=True), Rule("/a/{y}/", envelope=False)]}, "rules[1]", "rules[0]"),
        ({"rules": [Rule("PUT,GET /a", cost=0), Rule("GET,POST /a", cost=1)]}, "rules[1]", "rules[0]"),
        ({"rules": [Rule("/a", require_json=False), Rule("/a", require_json=True)]}, "rules[1]", "rules[0]"),
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
    return (
        path.startswith("/")
        and not first
        and not strange.search(path)
        and not {"", ".", ".."} & set(segments)
        and len(segments) <= MOST_SEGMENTS
        and len(path) <= LONGEST
    )


@given(
    st.lists(st.sampled_from(["/", ".", "a", "..", "//", ";", "%", "\\", "\n", "\ud800", "é", "/public"])).map("".join)
)
def test_canonical_is_what_the_rule_says_in_words(path: str) -> None:
    assert canonical(path) is reads_alike(path)


@given(st.text(st.characters(), max_size=40), st.binary(max_size=40), st.text(max_size=8))
def test_no_request_makes_it_raise(path: str, raw_path: bytes, method: str) -> None:
    demand = WIDE.demand(method, path, raw_path)
    assert not demand.public or canonical(path, raw_path)


# How deep and how long.


@pytest.mark.parametrize("listed", ["/a" * 17, "/a" * 17 + "/*", "/" + "a" * LONGEST])
def test_a_rule_of_a_path_that_is_too_deep_or_too_long_is_refused(listed: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        table("/fine", listed)
    assert caught.value.key == "public[1]"
    assert table("/a" * MOST_RULE_SEGMENTS + "/*").demand("GET", "/a" * MOST_RULE_SEGMENTS + "/b/c").public


# What a stranger's path costs.


def lines_of(function: Callable[[], object]) -> int:
    """How many lines of the look-up run, once the rules that hold together have been added up."""
    lines = 0
    function()

    def trace(frame: Any, event: str, _: Any) -> Any:
        nonlocal lines
        if "keystile" not in frame.f_code.co_filename:
            return None
        lines += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function()
    finally:
        sys.settrace(before)
    return lines


@pytest.mark.parametrize("depth", range(4))
def test_a_look_up_costs_what_the_rules_are_deep_and_not_what_the_path_is(depth: int) -> None:
    some = table(*("/x" * each + "/*" for each in range(1, depth + 1)), "/")
    costs = {
        lines_of(lambda size=size: some._demand("GET", "/x" * size, b"")) for size in (depth + 1, 10, MOST_SEGMENTS)
    }
    assert len(costs) == 1
    wide, lone = table(*(f"/{name}/*" for name in range(3000)), "/x/*"), table("/x/*")
    assert lines_of(lambda: wide._demand("GET", "/x/y", b"")) == lines_of(lambda: lone._demand("GET", "/x/y", b""))


@pytest.mark.parametrize(
    "path",
    [
        "/x" * (MOST_SEGMENTS + 1),
        "/x" * 500_000,
        "/" + "x" * LONGEST,
        "/" + "x" * 1_000_000,
        "/" * 1_000_000,
        "/." * 500_000,
        "/x" + "%" * 1_000_000,
    ],
    ids=lambda path: f"{path[:3]}-{len(path)}",
)
def test_a_path_that_is_too_long_or_too_deep_is_not_canonical_and_nothing_of_it_is_looked_at(path: str) -> None:
    assert not canonical(path)
    some = table("/x/*", rules=(Rule("/v1", scopes=("x",)),))
    assert some.demand("GET", path).scopes == {"x"}
    assert lines_of(lambda: some._demand("GET", path, b"")) < 10
    assert not canonical("/x", b"/x" * (LONGEST // 2 + 1))


def test_a_path_as_long_and_as_deep_as_may_be_is_canonical() -> None:
    assert canonical("/x" * MOST_SEGMENTS)
    assert canonical("/x" * MOST_SEGMENTS + "/")
    assert canonical("/" + "x" * (LONGEST - 1), b"/" + b"x" * (LONGEST - 1))


def cpu(function: Callable[[], object], times: int = 50) -> float:
    """The least CPU time of some runs."""
    runs = []
    for _ in range(5):
        start = time.process_time_ns()
        for _ in range(times):
            function()
        runs.append(time.process_time_ns() - start)
    return max(min(runs), 1)


@pytest.mark.parametrize("last", ["", ";", "/..", "//", "\n", "/."])
def test_the_time_of_a_path_grows_no_faster_than_the_path(last: str) -> None:
    def times(size: int) -> float:
        segment = "x" * (size // MOST_SEGMENTS - 1)
        path = (f"/{segment}" * MOST_SEGMENTS)[: size - len(last)] + last
        return cpu(lambda: canonical(path, b""))

    # Eight times the length; a quadratic one would take 64 times as long.
    assert times(LONGEST) / times(LONGEST // 8) < 30


# Under a root path.


@pytest.mark.parametrize(
    ("path", "root_path", "rest"),
    [
        ("/api/x", "/api", "/x"),
        ("/api", "/api", ""),
        ("/x", "/api", "/x"),
        ("/apix", "/api", "/apix"),
        ("/api/api/x", "/api", "/api/x"),
        ("/api/x", "/api/", "/api/x"),
        ("/api//x", "/api/", "/x"),
        ("/x", "/", "/x"),
    ],
)
def test_the_root_path_is_taken_off_once_and_at_a_border_as_starlette_does(
    path: str, root_path: str, rest: str
) -> None:
    from starlette._utils import get_route_path

    assert below(path, root_path) == rest == get_route_path({"path": path, "root_path": root_path})


@pytest.mark.parametrize(
    ("path", "strict", "loose"),
    [
        ("/api/x", False, False),
        ("/api", False, False),
        ("/x", False, False),
        ("/api/x/apis", False, False),
        ("/api/x-api/y", False, False),
        ("/api/x/api", True, True),
        ("/api/x/api/y", True, True),
        ("/api/api", True, True),
        ("/x/api/y", True, True),
        ("/x/api", True, True),
        ("/x/apis", False, True),
        ("/apix", False, True),
        ("/v1/api-keys", False, True),
        ("/" + "x" * LONGEST, True, True),
    ],
)
def test_a_path_is_ambiguous_where_routers_differ_in_what_they_take_off(path: str, strict: bool, loose: bool) -> None:
    assert ambiguous(path, "/api", strict_router=True) is strict
    assert ambiguous(path, "/api") is loose


segments = st.sampled_from(["a", "api", "apis", "api-x", "static"])
loose_paths = st.lists(segments, min_size=1, max_size=5).map(lambda parts: "/" + "/".join(parts))


@given(loose_paths)
def test_what_is_not_ambiguous_is_the_same_to_those_who_split_at_the_first_occurrence(path: str) -> None:
    if not ambiguous(path, "/api"):
        assert path.split("/api", 1)[-1] == below(path, "/api")
        assert path.replace("/api/", "/", 1) == (below(path, "/api") or "/api")
