"""What a key may be used for: one match of its list must hold, and what can be read in two ways holds for none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystile import ConfigurationError
from keystile.model import Request
from keystile.policy.matches import METHODS, parse_match
from keystile.rules.requests.canonical import canonical
from keystile.rules.requests.uses import MOST_USES, Uses, check_uses


def asks(method: str, path: str, *, scheme: str = "http", unreadable: bool = False) -> Request:
    return Request(method, path, path.encode(), (), None, scheme=scheme, unreadable=unreadable)


@pytest.mark.parametrize(
    ("uses", "method", "path", "scheme", "holds"),
    [
        ("GET /a", "GET", "/a", "http", True),
        ("GET /a", "HEAD", "/a", "https", True),
        ("HEAD /a", "GET", "/a", "http", False),
        ("GET /a", "GET", "/a/", "http", False),
        ("GET /a/", "GET", "/a/", "http", True),
        ("GET /a/*", "GET", "/a", "http", False),
        ("GET /a/*", "GET", "/a/", "http", True),
        ("GET /a/*", "GET", "/a/b/c", "http", True),
        ("/*", "GET", "/", "http", True),
        ("/{x}", "GET", "/a", "http", True),
        ("/{x}", "GET", "/", "http", False),
        ("/{x}/b", "PUT", "/a/b", "http", True),
        ("GET,PUT /a", "PUT", "/a", "http", True),
        ("GET,PUT /a", "POST", "/a", "http", False),
        ("GET /a", "GET", "/a", "ws", False),
        ("GET /a", "GET", "/a", "wss", False),
        ("WS /a", "GET", "/a", "wss", True),
        ("WS /a", "GET", "/a", "https", False),
        ("GET,WS /a", "GET", "/a", "ws", True),
        ("GET,WS /a", "GET", "/a", "http", True),
        ("GET,WS /a", "POST", "/a", "http", False),
        ("/a", "GET", "/a", "ws", True),
        ("/a", "WS", "/a", "http", False),
    ],
)
def test_a_match_holds_for_what_it_says(uses: str, method: str, path: str, scheme: str, holds: bool) -> None:
    assert Uses((uses,)).hold(asks(method, path, scheme=scheme)) is holds


@pytest.mark.parametrize("match", ["", "a", "get /a", "GET  /a", "GET /a b", "WS", "WS,WS /a", "GET,GET /a", "ALL /a"])
@pytest.mark.parametrize("tail", ["", "/../b"])
def test_what_cannot_be_read_is_refused(match: str, tail: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        check_uses([match + tail])
    assert caught.value.key == "may"


@pytest.mark.parametrize("matches", [[], [f"/{number}" for number in range(MOST_USES + 1)], "GET /a", [7], 7])
def test_a_list_of_none_or_of_too_many_is_refused(matches: object) -> None:
    with pytest.raises(ConfigurationError) as caught:
        check_uses(matches)
    assert caught.value.key == "may"


def test_none_is_everything_and_repeats_are_left_out() -> None:
    assert check_uses(None) is None
    assert check_uses(["GET /a", "/b", "GET /a"]) == ("GET /a", "/b")


paths = st.lists(st.sampled_from(["a", "b", "", ".", "..", "%2e", "a;b", "\\", "c d"]), max_size=5).map("/".join)
matches = st.sampled_from(["GET /a", "/a/*", "/*", "POST /{x}/b", "PUT /a/", "/{x}/{y}/*", "HEAD,PUT /b", "WS /a"])
methods = st.sampled_from([*sorted(METHODS), "get", "BREW", "WS", ""])
schemes = st.sampled_from(["http", "https", "ws", "wss"])


@given(st.lists(matches, min_size=1, max_size=4), methods, paths, schemes, st.booleans())
def test_a_list_holds_exactly_where_one_of_its_matches_does(
    listed: list[str], method: str, path: str, scheme: str, unreadable: bool
) -> None:
    request = asks(method, f"/{path}", scheme=scheme, unreadable=unreadable)
    held = Uses(tuple(listed)).hold(request)
    assert held is any(Uses((match,)).hold(request) for match in listed)
    if held:
        assert canonical(request.path, request.raw_path)
        assert not unreadable
        assert method in METHODS or scheme in {"ws", "wss"}
    if unreadable or not canonical(request.path, request.raw_path):
        assert not held


@given(matches.filter(lambda match: not match.startswith("WS")), methods, paths)
def test_nothing_is_permitted_that_the_pattern_does_not_spell(match: str, method: str, path: str) -> None:
    pattern = parse_match(match)
    if Uses((match,)).hold(asks(method, f"/{path}")):
        assert pattern.names(method) is not None
        assert pattern.spells(f"/{path}")
