"""Which rules hold for a path template: compared with what the table says of the template's own paths."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from keystile import ConfigurationError, Gate, Rule
from keystile.policy import METHODS
from keystile.rules.requests.canonical import canonical
from keystile.rules.requests.paths import RuleTable
from keystile.rules.requests.templates import Found, can_match, rules_for_template, strictest
from tests.selection import often
from tests.test_rules import rules_of, table

METHOD = st.sampled_from(sorted(METHODS))
SEGMENTS = st.sampled_from(["a", "b", "c", "other", "a.b"])
# A part of a template, and what may stand in its place.
PARTS = st.one_of(
    SEGMENTS.map(lambda text: (text, st.just(text))),
    st.just(("{x}", SEGMENTS)),
    st.just(("{n:int}", st.just("7"))),
    st.just(("{x}.b", SEGMENTS.map(lambda text: f"{text}.b"))),
    st.just(("{rest:path}", st.lists(SEGMENTS, max_size=4).map("/".join))),
    st.just(("{rest:path}", st.lists(SEGMENTS, max_size=3).map(lambda parts: "/".join([*parts, ""])))),
    st.just(("a{rest:path}", st.lists(SEGMENTS, min_size=1, max_size=4).map(lambda parts: "a" + "/".join(parts)))),
)


@st.composite
def template_and_path(draw: Any) -> tuple[str, str]:
    """A template and one of its paths."""
    drawn = draw(st.lists(PARTS, max_size=4))
    end = draw(st.sampled_from(["", "/"])) if drawn else "/"
    template = "".join(f"/{text}" for text, _ in drawn) + end
    return template, "".join(f"/{draw(values)}" for _, values in drawn) + end


def made(rules: list[Rule]) -> RuleTable:
    try:
        return table(*rules)
    except ConfigurationError:
        reject()


@settings(max_examples=often(50, 200), deadline=None)
@given(rules_of(), METHOD, template_and_path())
def test_whatever_a_path_of_the_template_meets_is_found(rules: list[Rule], method: str, asked: tuple[str, str]) -> None:
    some, (template, path) = made(rules), asked
    if not canonical(path):
        reject()
    found, demand = rules_for_template(some, method, template), some.demand(method, path)
    assert demand in found.demands
    holding = {held.key for held in some.holding(method, path)}
    assert holding <= {held.key for held in found.rules}
    for held in some.rules:
        matches = can_match(held.rule, template, method)
        assert matches or held.key not in holding
        assert matches is (held.key in {each.key for each in found.rules})
        assert matches <= can_match(held.rule, template)
    most = found.strictest
    assert (demand.public is True) >= (most.public is True)
    assert bool(demand.public) >= bool(most.public)
    assert demand.scopes <= most.scopes
    assert set(demand.windows) <= set(most.windows)
    assert demand.cost <= most.cost
    assert demand.json <= most.json
    assert set(demand.reserve) <= set(most.reserve)


@settings(max_examples=often(25, 100), deadline=None)
@given(rules_of(), METHOD, template_and_path())
def test_nothing_is_found_that_no_path_of_the_template_meets(
    rules: list[Rule], method: str, asked: tuple[str, str]
) -> None:
    some, template = made(rules), asked[0]
    if re.search(r"[^/]\{|\}[^/]", template):  # then the paths that stand for others do not look like the template
        reject()
    looks = re.sub(r"\{\w+(:int)?\}", "[^/]+", template.replace("{rest:path}", ".*"))
    along, paths = some.paths_along, set[str]()

    def noted(steps: Any) -> Any:
        for path in along(steps):
            paths.update((path or "/", f"{path}/"))
            yield path

    some.paths_along = noted  # type: ignore[method-assign]
    found = rules_for_template(some, method, template)
    own = [path for path in paths if re.fullmatch(looks, path)]
    assert {some.demand(method, path) for path in own} == set(found.demands)


def found(template: str, *rules: Rule, method: str = "GET", **settings: Any) -> Found:
    return rules_for_template(Gate(rules=rules, **settings).rules, method, template)


def matches_of(template: str, *matches: str, method: str = "GET") -> list[str]:
    return [held.rule.match for held in found(template, *map(Rule, matches), method=method).rules]


@pytest.mark.parametrize(
    ("template", "match", "meets"),
    [
        ("/v1/exports/{id}", "/v1/exports/*", True),
        ("/v1/exports/{id}", "/v1/exports", False),
        ("/v1/exports/{id}", "/v1/exports/latest", True),
        ("/v1/exports/{id}", "/v1/{kind}/{id}", True),
        ("/v1/exports/{id}", "/v1/exports/{id}/rows", False),
        ("/files/{name:path}", "/files/a/b/c", True),
        ("/files/{name:path}", "/files", True),
        ("/files/{name:path}", "/file", False),
        ("/files/{name:path}/meta", "/files/a/b/meta", True),
        ("/files/{name:path}/meta", "/files/a/b", False),
        ("/files/{name:path}/meta", "/files/meta", False),
        ("/files/{name:path}/", "/files", False),
        ("/files/{name:path}/", "/files/a", True),
        ("/{name}.json", "/a.json", True),
        ("/{name}.json", "/a.xml", False),
        ("/{a}-{b}", "/x-y", True),
        ("/{a}-{b}", "/x", False),
        ("/", "/", True),
        ("", "/*", True),
        ("/x/", "/x", True),
    ],
)
def test_a_rule_can_match_a_template_or_not(template: str, match: str, meets: bool) -> None:
    assert can_match(Rule(match), template) is meets
    assert (matches_of(template, match) == [match]) is meets


def test_methods_tell_rules_apart() -> None:
    assert matches_of("/x/{id}", "POST /x/*", "/x/{id}", "GET /x/{id}") == ["GET /x/{id}", "/x/{id}"]
    assert can_match(Rule("POST /x/*"), "/x/{id}")
    assert not can_match(Rule("POST /x/*"), "/x/{id}", "GET")
    assert can_match(Rule("GET /x/*"), "/x/{id}", "HEAD")


def test_of_several_demands_the_strictest_holds() -> None:
    rules = [
        Rule("/files/*", scopes=["files"], limits="9/day"),
        Rule("/files/readme", public=True),
        Rule("/files/logs/*", scopes=["logs"], cost=3, accept=["X-API-Key"], allow=["192.0.2.0/24"]),
        Rule("/files/big", require_json=True, envelope=True, deny=["192.0.2.9"]),
    ]
    all_of_them = found("/files/{name:path}", *rules)
    assert len(all_of_them.demands) >= 4
    most = all_of_them.strictest
    assert (most.public, most.scopes, most.cost, most.json, most.envelope) == (
        False,
        {"files", "logs"},
        3,
        True,
        True,
    )
    assert [place.shown for place in most.accept] == ["X-API-Key"]
    assert most.admits is not None
    assert [most.admits(each) for each in ("192.0.2.1", "192.0.2.9", "198.51.100.1")] == [True, False, False]
    assert found("/files/{name}", *rules[:2]).strictest.public is False
    assert found("/files/readme", *rules[:2]).strictest.public is True


def test_what_is_optional_somewhere_is_stricter_than_public() -> None:
    rules = [Rule("/a/*", public=True), Rule("/a/b", public="optional")]
    assert found("/a/{x}", *rules).strictest.public == "optional"
    assert strictest(found("/a/{x}", *rules).demands).public == "optional"


def test_places_that_exclude_each_other_are_all_told() -> None:
    rules = [Rule("/a/{x}", accept=["X-API-Key"]), Rule("/a/b", accept=["Api-Key"])]
    assert {place.shown for place in found("/a/{x}", *rules).strictest.accept} == {"X-API-Key", "Api-Key"}


def test_a_template_that_no_rule_can_read_meets_them_all() -> None:
    most = found("/a//{x}", Rule("/b", scopes=["b"]), Rule("/c", public=True)).strictest
    assert (most.public, most.scopes) == (False, {"b"})


def test_what_is_no_path_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="begins with '/'"):
        can_match(Rule("/a"), "a/{x}")


def test_many_rules_take_little() -> None:
    rules = [Rule(f"/v{number}/{{a}}/x{number}", scopes=[f"s{number}"]) for number in range(300)]
    assert len(found("/{v}/{a}/{x}", *rules).rules) == 300
    assert len(found("/{p:path}/{q:path}/end", *rules, Rule("/*")).demands) == 1
