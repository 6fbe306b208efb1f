"""Rules add up: which of them hold for a request, which has the word, and what cannot hold together."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from keystile import ConfigurationError, Gate, Plan, Rule
from keystile.model import Demand, Reservation
from keystile.policy import METHODS, Policy
from keystile.policy.matches import parse_match
from keystile.rules.limits.notation import parse_limits
from keystile.rules.requests.canonical import canonical
from keystile.rules.requests.paths import REMEMBERED, RuleTable
from tests.doors import Door
from tests.selection import often
from tests.test_paths import lines_of


def table(*rules: Rule, **settings: Any) -> RuleTable:
    policy = Policy(rules=rules)
    return RuleTable(policy.all_rules(), **settings)


# The rules in words, written apart from the code: whole lists, no tree, nothing remembered.


def parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part]


def naive_match(match: str) -> tuple[list[str], list[str], bool, bool]:
    """The methods, the segments, whether it holds below, whether there is a slash at the end."""
    methods, _, path = match.rpartition(" ")
    return (
        methods.split(",") if methods else [],
        parts(path.removesuffix("/*")),
        path.endswith("/*"),
        path.endswith("/"),
    )


def naively_holds(match: str, path: str) -> bool:
    _, wanted, below, _ = naive_match(match)
    there = parts(path)
    if len(there) < len(wanted) or (len(there) > len(wanted) and not below):
        return False
    return all(want[0] == "{" or want == part for want, part in zip(wanted, there, strict=False))


def naively_named(match: str, method: str) -> int | None:
    methods = naive_match(match)[0]
    if method in methods:
        return 0
    return 1 if method == "HEAD" and "GET" in methods else None if methods else 2


def naively_spelled(match: str, path: str) -> bool:
    _, wanted, below, slash = naive_match(match)
    if below:
        return len(parts(path)) > len(wanted) or (path.endswith("/") and path != "/") or not wanted
    return path == "/" or path.endswith("/") == slash


def rank(match: str, method: str) -> tuple[list[int], int]:
    """The smaller, the more specific."""
    _, wanted, below, _ = naive_match(match)
    named = naively_named(match, method)
    return [1 if want[0] == "{" else 0 for want in wanted] + [2] * below, 3 if named is None else named


def meant(rules: list[Rule], method: str, path: str, *, envelope: bool, require_json: bool) -> Demand:
    """What a request must bring."""
    readable = canonical(path)
    fitting = [rule for rule in rules if not readable or naively_holds(rule.match, path)]
    if readable and method in METHODS:
        fitting = [rule for rule in fitting if naively_named(rule.match, method) is not None]
        fitting.sort(key=lambda rule: rank(rule.match, method))
        said: dict[str, Any] = {"public": False, "cost": 1, "envelope": envelope, "require_json": require_json}
        for name in said:
            for rule in fitting:
                value = getattr(rule, name)
                if name == "public" and value is None and (rule.scopes or rule.reserve):
                    value = False
                permits = value is True if name == "public" else value == 0 and name == "cost"
                if value is not None and not (permits and not naively_spelled(rule.match, path)):
                    said[name] = value
                    break
    else:
        said = {
            "public": False,
            "cost": max([rule.cost or 1 for rule in fitting], default=1),
            "envelope": envelope,
            "require_json": require_json or any(rule.require_json for rule in fitting),
        }
    known = readable and method in METHODS
    dry = {id(rule) for rule in fitting if known and not rule.enforce}
    keyed = [] if said["public"] else fitting
    scopes = {scope for rule in keyed if id(rule) not in dry for scope in rule.scopes}
    return Demand(
        said["public"],
        frozenset(scopes),
        tuple(
            window._replace(watching=id(rule) in dry)
            for rule in fitting
            for window in parse_limits(rule.limits, scope=rule.match)
        ),
        said["cost"],
        said["envelope"] and not said["public"],
        said["require_json"],
        naively_reserved(keyed, dry),
        frozenset({scope for rule in keyed for scope in rule.scopes} - scopes),
    )


def naively_reserved(rules: list[Rule], dry: set[int]) -> tuple[Reservation, ...]:
    """Of each unit the most that rules ask for which hold; where none does, the most of those in dry run."""
    found = []
    for unit in sorted({unit for rule in rules for unit in rule.reserve}):
        holding = [rule.reserve[unit] for rule in rules if unit in rule.reserve and id(rule) not in dry]
        watching = [rule.reserve[unit] for rule in rules if unit in rule.reserve and id(rule) in dry]
        found.append(Reservation(unit, max(holding or watching), not holding))
    return tuple(found)


def same(one: Demand, other: Demand) -> bool:
    return one._replace(windows=()) == other._replace(windows=()) and set(one.windows) == set(other.windows)


segments = st.sampled_from(["a", "a", "b", "c", "{x}", "{id}"])
ends = st.sampled_from(["", "", "/", "/*"])
several = st.lists(st.sampled_from(["GET", "HEAD", "POST", "PUT"]), min_size=1, max_size=3, unique=True)
methods = st.just("") | several.map(lambda names: ",".join(names) + " ")
matches = st.builds(
    lambda named, path, end: named + ("".join(f"/{part}" for part in path) + end or "/"),
    methods,
    st.lists(segments, max_size=4),
    ends,
)
members = st.fixed_dictionaries(
    {},
    optional={
        "public": st.booleans(),
        "scopes": st.sampled_from([("x",), ("x", "y"), ("z",)]),
        "limits": st.sampled_from(["9/day", "9/minute; 99/day"]),
        "cost": st.sampled_from([0, 1, 2, 3]),
        "reserve": st.dictionaries(st.sampled_from(["tokens", "images"]), st.integers(0, 5), max_size=2),
        "enforce": st.booleans(),
        "envelope": st.booleans(),
        "require_json": st.booleans(),
    },
)


@st.composite
def rules_of(draw: Any) -> list[Rule]:
    found = []
    for match, given_members in draw(st.lists(st.tuples(matches, members), max_size=7)):
        try:
            found.append(Rule(match, **given_members))
        except ConfigurationError:
            found.append(Rule(match))
    return found


asked_methods = st.sampled_from(["GET", "GET", "HEAD", "POST", "PUT", "DELETE", "BREW", "get", ""])
asked_paths = st.builds(
    lambda path, end: "".join(f"/{part}" for part in path) + end or "/",
    st.lists(st.sampled_from(["a", "a", "b", "c", "{x}", "other"]), max_size=6),
    st.sampled_from(["", "/"]),
)
crooked = st.sampled_from(["", "//", "/a//b", "/a/../b", "/a;x", "/a%2fb", "/a" * 65])


@settings(max_examples=often(250, 1000), deadline=None)
@given(
    rules_of(),
    st.lists(st.tuples(asked_methods, asked_paths | crooked), min_size=1, max_size=10),
    st.booleans(),
    st.booleans(),
)
def test_the_table_is_what_the_rules_say_in_words(
    rules: list[Rule], asked: list[tuple[str, str]], envelope: bool, require_json: bool
) -> None:
    try:
        some = table(*rules, envelope=envelope, require_json=require_json)
    except ConfigurationError:
        reject()
    for method, path in asked:
        expected = meant(rules, method, path, envelope=envelope, require_json=require_json)
        assert same(some.demand(method, path), expected), (method, path)
        held = {each.rule.match for each in some.holding(method, path)}
        readable = canonical(path)
        assert held == {
            rule.match
            for rule in rules
            if not readable
            or (
                naively_holds(rule.match, path)
                and (method not in METHODS or naively_named(rule.match, method) is not None)
            )
        }


@settings(max_examples=often(125, 500), deadline=None)
@given(rules_of(), asked_methods, asked_paths)
def test_no_rule_ever_drops_what_another_demands(rules: list[Rule], method: str, path: str) -> None:
    try:
        some, fewer = table(*rules), table(*rules[:-1])
    except ConfigurationError:
        reject()
    demand, before = some.demand(method, path), fewer.demand(method, path)
    assert set(before.windows) <= set(demand.windows)
    if not demand.public:
        assert before.scopes <= demand.scopes
        assert before.watched <= demand.watched | demand.scopes
        reserved = {each.unit: each for each in demand.reserve}
        for each in before.reserve:
            now = reserved[each.unit]
            assert now.amount >= each.amount or each.watching > now.watching


@settings(max_examples=often(125, 500), deadline=None)
@given(rules_of(), asked_methods, asked_paths)
def test_a_slash_at_the_end_changes_nothing_that_is_demanded(rules: list[Rule], method: str, path: str) -> None:
    try:
        some = table(*rules)
    except ConfigurationError:
        reject()
    one, other = some.demand(method, path.rstrip("/") or "/"), some.demand(method, path.rstrip("/") + "/")
    assert one.windows == other.windows
    assert one.json == other.json
    if not (one.public or other.public):
        assert one.scopes == other.scopes
        assert one.cost == other.cost or any(rule.cost == 0 for rule in rules)


@settings(max_examples=often(125, 500), deadline=None)
@given(rules_of(), asked_methods, asked_paths)
def test_what_requests_can_meet_is_known_when_the_table_is_built(rules: list[Rule], method: str, path: str) -> None:
    try:
        some = table(*rules)
    except ConfigurationError:
        reject()
    demand = some.demand(method, path)
    assert len(demand.windows) <= some.most_windows[demand.public] or method not in METHODS
    if method in METHODS:
        assert demand in some.demands


@settings(max_examples=often(250, 1000), deadline=None)
@given(rules_of(), crooked | asked_paths)
def test_what_no_rule_can_read_meets_every_demand_and_no_permission(rules: list[Rule], path: str) -> None:
    try:
        some = table(*rules)
    except ConfigurationError:
        reject()
    every = some.demand("GET", "/a//b")
    plain = some.demand("GET", path)
    assert every == some.every
    assert not every.public
    assert every.cost >= max(1, plain.cost)
    assert plain.scopes | plain.watched <= every.scopes
    assert {window._replace(watching=False) for window in plain.windows} <= set(every.windows)
    reserved = {each.unit: each.amount for each in every.reserve}
    assert all(reserved[each.unit] >= each.amount for each in plain.reserve)
    assert not any(each.watching for each in (*every.windows, *every.reserve))
    assert not every.watched
    assert every.json or not plain.json


# Which rule has the word: the method, the path, the rules, the most specific one first.

SPECIFICITY = [
    ("GET", "/a/b", ["/a/b", "/a/{x}", "/a/*", "/{x}/b", "/{x}/{y}", "/{x}/*", "/*"]),
    ("GET", "/a/b", ["GET /a/b", "/a/b"]),
    ("GET", "/a/b", ["/a/b", "GET /a/{x}"]),
    ("GET", "/a/b", ["/a/b", "GET /a/*"]),
    ("GET", "/a/b", ["GET /a/{x}", "/a/{x}"]),
    ("GET", "/a/b", ["/a/{x}", "GET /{x}/b"]),
    ("GET", "/a/b", ["/a/*", "GET /{x}/b"]),
    ("GET", "/a/b", ["/a/*", "/{x}/b"]),
    ("GET", "/a/b", ["/a/b/*", "/a/{x}"]),
    ("GET", "/a/b", ["/a/{x}/*", "/a/*"]),
    ("GET", "/a/b", ["/a/{x}", "/a/{x}/*", "/a/*"]),
    ("GET", "/a/b", ["/a/b", "/a/b/*"]),
    ("GET", "/a/b/c", ["/a/b/*", "/a/{x}/c"]),
    ("GET", "/a/b/c", ["/a/b/{x}", "/a/b/*", "/a/{x}/c", "/a/{x}/{y}", "/a/{x}/*", "/a/*"]),
    ("GET", "/a/b/c", ["/a/{x}/c", "/{x}/b/c"]),
    ("GET", "/a/b/c", ["/{x}/b/c", "/{x}/b/{y}", "/{x}/b/*", "/{x}/{y}/c"]),
    ("GET", "/a/b/c/d", ["/a/b/{x}/*", "/a/b/*", "/a/{x}/c/d"]),
    ("GET", "/a/b/c/d", ["/a/{x}/*", "/{x}/b/c/d"]),
    ("GET", "/a", ["/a", "/a/*", "/{x}", "/{x}/*", "/*"]),
    ("GET", "/a", ["GET /a/*", "/a/*"]),
    ("GET", "/a", ["/a/*", "GET /{x}"]),
    ("GET", "/a", ["/{x}", "GET /*"]),
    ("GET", "/", ["/", "/*"]),
    ("GET", "/", ["GET /", "/", "GET /*", "/*"]),
    ("GET", "/a/", ["/a", "/a/*"]),
    ("GET", "/a", ["/a/", "/a/*", "/{x}/"]),
    ("GET", "/a/b/", ["/a/{x}", "/a/*", "/{x}/b/"]),
    ("HEAD", "/a", ["HEAD /a", "GET /a", "/a"]),
    ("HEAD", "/a", ["GET /a", "/a"]),
    ("HEAD", "/a", ["HEAD,PUT /a", "GET,POST /a", "/a"]),
    ("HEAD", "/a", ["GET,HEAD /a", "/a"]),
    ("HEAD", "/a/b", ["GET /a/{x}", "HEAD /a/*"]),
    ("HEAD", "/a/b", ["GET /a/b", "HEAD /a/{x}", "GET /a/{y}", "/a/{z}"]),
    ("POST", "/a", ["GET,POST /a", "/a"]),
    ("POST", "/a/7", ["POST /a/{x}", "/a/{x}", "POST /a/*"]),
    ("PUT", "/a/7", ["/a/7", "GET,PUT /a/{x}"]),
    ("DELETE", "/a/7", ["DELETE /a/{x}", "DELETE /a/*", "/a/*", "DELETE /*", "/*"]),
    ("PATCH", "/v1/users/7/keys", ["/v1/users/{id}/keys", "/v1/users/{id}/*", "/v1/users/*", "/v1/*", "/*"]),
    ("OPTIONS", "/v1/users/me", ["/v1/users/me", "OPTIONS /v1/users/{id}", "/v1/users/{id}"]),
    ("TRACE", "/a/b/c/d/e", ["/a/b/c/{x}/*", "/a/b/c/*", "/a/b/*", "/a/*", "/*"]),
]


@pytest.mark.parametrize(("method", "path", "ordered"), SPECIFICITY)
@pytest.mark.parametrize("backwards", [False, True])
def test_the_most_specific_rule_that_says_it_has_the_word(
    method: str, path: str, ordered: list[str], backwards: bool
) -> None:
    for first in range(len(ordered)):
        listed = [Rule(match, cost=place + 2) for place, match in enumerate(ordered)]
        quiet = [Rule(match) for match in ordered[:first]] + listed[first:]
        some = table(*(reversed(quiet) if backwards else quiet))
        assert some.demand(method, path).cost == first + 2
        assert [held.rule.match for held in some.holding(method, path)] == ordered


def test_the_table_of_specificity_goes_through_both_doors(door: Door) -> None:
    assert len(SPECIFICITY) == 40
    for method, path, ordered in SPECIFICITY:
        rules = [Rule(match, cost=place + 2) for place, match in reversed(list(enumerate(ordered)))]
        door.open(rules=rules, plans={"free": Plan("100/day")}, default_plan="free")
        answer = door.get(path, door.create().secret, method=method)
        assert answer.header("x-ratelimit-remaining") == "98", (method, path)


# Through both doors.


def test_scopes_and_windows_of_every_rule_that_matches_hold(door: Door) -> None:
    door.open(
        rules=[
            Rule("/v1/*", scopes=["v1"], limits="9/day"),
            Rule("GET,PUT /v1/users/{id}", scopes=["users"], limits="5/hour"),
            Rule("/v1/users/7", limits="2/hour"),
        ]
    )
    for scopes in ([], ["v1"], ["users"]):
        assert door.get("/v1/users/8", door.create(scopes=scopes).secret).code == "insufficient_scope"
    secret = door.create(scopes=["v1", "users"]).secret
    assert door.get("/v1/users/7", secret).status == 200
    windows = {(usage.window.scope, usage.remaining) for usage in door.host.calls[-1].usages}
    assert windows == {("/v1/*", 8), ("GET,PUT /v1/users/{id}", 4), ("/v1/users/7", 1)}
    assert door.get("/v1/users/7", secret, method="DELETE").status == 200
    assert {usage.window.scope for usage in door.host.calls[-1].usages} == {"/v1/*", "/v1/users/7"}
    assert door.get("/v1/users/7", secret).code == "rate_limited"
    assert door.get("/v1/users/8", secret).status == 200


def test_a_name_in_braces_is_one_segment_that_is_not_empty(door: Door) -> None:
    door.open(rules=[Rule("/v1/{what}/keys", scopes=["keys"])])
    plain = door.create().secret
    for path in ("/v1/7/keys", "/v1/7/keys/", "/v1/{what}/keys", "/v1/%20/keys", "/v1/%C3%A9/keys"):
        assert door.get(path, plain).code == "insufficient_scope", path
    for path in ("/v1/keys", "/v1/7", "/v1/7/8/keys", "/v1/7/keys/x", "/7/keys"):
        assert door.get(path, plain).status == 200, path
    for path in ("/v1//keys", "/v1/../keys", "/v1/%2e/keys"):  # no rule can read these
        assert door.get(path, plain).code == "insufficient_scope", path


def test_a_public_template_opens_its_own_spelling_alone(door: Door) -> None:
    door.open(rules=[Rule("GET /docs/{page}", public=True)])
    for path, status in [
        ("/docs/a", 200),
        ("/docs/a/", 401),
        ("/docs/", 401),
        ("/docs", 401),
        ("/docs/a/b", 401),
        ("/docs//a", 401),
        ("/docs/..", 401),
    ]:
        assert door.get(path).status == status, path
    assert [door.get("/docs/a", method=method).status for method in ("HEAD", "POST", "get")] == [200, 401, 401]


def test_where_public_wins_wider_scopes_do_not_hold_and_wider_windows_do(door: Door) -> None:
    door.open(
        rules=[Rule("/v1/*", scopes=["v1"], limits="2/day"), Rule("/v1/open/*", public=True)],
    )
    assert [door.get("/v1/open/a").status for _ in range(3)] == [200, 200, 429]
    secret = door.create(scopes=["v1"]).secret
    assert door.get("/v1/shut", secret).status == 200  # a key is counted apart from addresses
    assert door.get("/v1/open", door.create().secret).code == "insufficient_scope"


def test_a_rule_with_scopes_says_that_it_is_not_public(door: Door) -> None:
    door.open(public=["/static/*"], rules=[Rule("/static/private/*", scopes=["private"])])
    assert door.get("/static/a").status == 200
    assert door.get("/static/private/a").code == "missing_api_key"
    assert door.get("/static/private/a", door.create().secret).code == "insufficient_scope"
    assert door.get("/static/private/a", door.create(scopes=["private"]).secret).status == 200


def test_a_rule_that_says_nothing_of_public_leaves_it_as_it_is(door: Door) -> None:
    door.open(
        public=["/static/*"],
        rules=[Rule("/static/large/*", limits="1/day"), Rule("/static/shut/*", public=False)],
    )
    assert [door.get("/static/large/a").status for _ in range(2)] == [200, 429]
    assert door.get("/static/shut/a").code == "missing_api_key"


def test_a_cost_of_0_is_identified_and_not_counted(door: Door) -> None:
    door.open(
        plans={"free": Plan("1/day")},
        default_plan="free",
        rules=[Rule("/v1/me", cost=0), Rule("/v1/*", limits="9/day")],
    )
    secret = door.create().secret
    for _ in range(3):
        answer = door.get("/v1/me", secret)
        assert (answer.status, answer.header("x-ratelimit-limit")) == (200, None)
        assert door.host.calls[-1].principal is not None
    assert door.get("/v1/me").code == "missing_api_key"
    assert [door.get("/v1/x", secret).status for _ in range(2)] == [200, 429]
    assert door.get("/v1/me", secret).status == 200


@pytest.mark.parametrize(
    ("path", "method", "headers"),
    [
        ("/v1/me/", "GET", []),
        ("/v1//me", "GET", []),
        ("/v1/x/../me", "GET", []),
        ("/v1/%2e/me", "GET", []),
        ("/v1/me", "get", []),
        ("/v1/me", "BREW", []),
        ("/v1/me", "GET", [("X-HTTP-Method-Override", "POST")]),
    ],
)
def test_a_cost_of_0_is_a_permission_for_what_is_spelled_so(
    door: Door, path: str, method: str, headers: list[tuple[str, str]]
) -> None:
    door.open(plans={"free": Plan("1/day")}, default_plan="free", rules=[Rule("/v1/me", cost=0)])
    secret = door.create().secret
    assert [door.get(path, secret, method=method, headers=headers).status for _ in range(2)] == [200, 429]


def test_a_public_path_of_cost_0_is_not_counted_by_address(door: Door) -> None:
    door.open(anonymous_limits="1/day", rules=[Rule("/health", public=True, cost=0), Rule("/docs", public=True)])
    assert [door.get("/health").status for _ in range(3)] == [200] * 3
    assert [door.get("/docs").status for _ in range(2)] == [200, 429]


def test_what_no_rule_can_read_costs_what_the_dearest_costs(door: Door) -> None:
    door.open(
        plans={"free": Plan("10/day")}, default_plan="free", rules=[Rule("/a", cost=7), Rule("/b", limits="5/day")]
    )
    secret = door.create().secret
    answer = door.get("//a", secret)
    assert (answer.status, answer.code) == (429, "rate_limited")  # 7 never fit into the 5 of the other rule
    assert door.get("/b", secret).header("x-ratelimit-remaining") == "4"


def test_json_and_envelope_come_from_the_most_specific_rule_that_says_them(door: Door) -> None:
    door.open(
        rules=[
            Rule("/v1/*", require_json=True, envelope=True),
            Rule("POST /v1/{name}/raw", require_json=False, limits="99/day"),
            Rule("/v1/a/raw", envelope=False),
        ]
    )
    secret = door.create().secret
    text = [("content-type", "text/plain"), ("content-length", "1")]
    for path, status, enveloped in [
        ("/v1/a/raw", 200, False),
        ("/v1/b/raw", 200, True),
        ("/v1/b", 415, True),
        ("/v1/b//raw", 415, True),
    ]:
        answer = door.get(path, secret, method="POST", headers=text)
        assert (answer.status, "meta" in answer.json) == (status, enveloped), path


# What cannot hold together is refused at start, and both are named.


def spans(count: int) -> list[str]:
    return [f"9/{number}second" for number in range(1, count + 1)]


@pytest.mark.parametrize(
    ("rules", "key", "words"),
    [
        ([Rule("/a", cost=2), Rule("/a/", cost=3)], "rules[1]", ["rules[0]", "'/a'", "'/a/'", "cost", "2 or 3"]),
        ([Rule("GET /a/{x}", cost=2), Rule("GET,PUT /a/{y}", cost=3)], "rules[1]", ["rules[0]", "{x}", "{y}"]),
        ([Rule("/a", public=True), Rule("/a", scopes=["x"])], "rules[1]", ["rules[0]", "public"]),
        ([Rule("/a", limits="9/day"), Rule("/a", limits="8/day")], "rules[1].limits", ["rules[0]", "same seconds"]),
        ([Rule("/a", limits="9/day"), Rule("/a", limits="10/hour")], "rules[1].limits", ["rules[0]", "more than"]),
        ([Rule("/*", limits="3/day"), Rule("/a", cost=5)], "rules[1].cost", ["rules[0]", "'/*'", "5", "3"]),
        ([Rule("/a", limits="3/day"), Rule("/*", cost=5)], "rules[1].cost", ["rules[0]", "'/a'"]),
        ([Rule("/{x}/b", limits="3/day"), Rule("/a/{y}", cost=5)], "rules[1].cost", ["rules[0]", "'/{x}/b'"]),
        ([Rule("GET /a", limits="3/day"), Rule("HEAD /a", cost=5)], "rules[1].cost", ["rules[0]", "'GET /a'"]),
        (
            [Rule("/*", limits="3/day"), Rule("/{x}", cost=1), Rule("/a/b", cost=2), Rule("GET /*", cost=5)],
            "rules[3].cost",
            ["rules[0]"],
        ),
        (
            [Rule("/*", limits="3/day"), Rule("/a/*", cost=5), Rule("/a", cost=1)],
            "rules[1].cost",
            ["rules[0]"],
        ),
        (
            [Rule("/a/*", limits=spans(20)), Rule("/a/b", limits=spans(13))],
            "rules[1].limits",
            ["32", "'/a/*'", "'/a/b'"],
        ),
        ([Rule("/d/*", public=True), Rule("/d/x", envelope=True)], "rules[1].envelope", ["rules[0]", "public"]),
    ],
)  # fmt: skip
def test_rules_that_cannot_hold_together_are_refused_naming_both(rules: list[Rule], key: str, words: list[str]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Gate(rules=rules)
    assert caught.value.key == key
    for word in words:
        assert word in caught.value.reason


@pytest.mark.parametrize(
    "rules",
    [
        [Rule("/a", scopes=["x"]), Rule("/a", scopes=["y"])],
        [Rule("/a", cost=2), Rule("/a", cost=2), Rule("/a", limits="9/day"), Rule("/a", limits="9/day; 2/minute")],
        [Rule("/a", public=True), Rule("/a/", public=True), Rule("/a")],
        [Rule("/a", cost=2), Rule("GET /a", cost=3), Rule("HEAD /a", cost=4), Rule("/a/*", cost=5)],
        [Rule("GET /a", cost=2), Rule("POST /a", cost=3)],
        [Rule("/a/{x}", cost=2), Rule("/{x}/a", cost=3), Rule("/a/a", cost=4)],
        [Rule("/a", limits="3/day"), Rule("/b", cost=5), Rule("POST /a", cost=0)],
        [Rule("GET /a", limits="3/day"), Rule("POST /a", cost=5)],
        [Rule("/*", cost=5), Rule("/a", limits="3/day", cost=1)],
        [Rule("/a", limits="0/day"), Rule("/*", cost=5)],
        [Rule("/a/*", envelope=True), Rule("/a/b", public=True)],
        [Rule("/a/*", public=True), Rule("/a/b", envelope=True, public=False)],
    ],
)
def test_rules_that_can_are_not(rules: list[Rule]) -> None:
    Gate(rules=rules)


def test_a_rule_costs_no_more_than_a_plan_allows_wherever_it_has_the_word() -> None:
    rules = [Rule("/a/*", cost=5), Rule("/a", cost=1)]
    with pytest.raises(ConfigurationError) as caught:
        Gate(rules=rules, plans={"free": Plan("3/day")})
    assert caught.value.key == "plans.free.limits"


@pytest.mark.parametrize("match", ["/*", "/{a}/*", "/{a}/{b}/*", "GET /*", "GET,POST /{x}/*"])
def test_everything_is_public_in_no_spelling(match: str) -> None:
    with pytest.raises(ConfigurationError, match="every path public") as caught:
        Rule(match, public=True)
    assert caught.value.key == "public"
    if match.startswith("/"):
        with pytest.raises(ConfigurationError) as caught:
            Gate(public=["/fine", match])
        assert caught.value.key in ("public[1]", "public")


@pytest.mark.parametrize(
    ("match", "words"),
    [
        ("/v1/users/<int:id>", "'<int:id>' is no segment"),
        ("/v1/users/<id>", "'<id>' is no segment"),
        ("/v1/users/:id", "':id' is no segment"),
        ("/v1/users/:id/*", "':id' is no segment"),
        ("/v1/users/{id:int}", "'{id:int}' is no segment"),
        ("/a/{path:path}", "'{path:path}' is no segment"),
        ("/a/{}", "'{}' is no segment"),
        ("/a/{0}", "'{0}' is no segment"),
        ("/a/{a-b}", "'{a-b}' is no segment"),
        ("/a/{x}.json", "'{x}.json' is no segment"),
        ("/a/file-{x}", "'file-{x}' is no segment"),
        ("/a/{x}{y}", "'{x}{y}' is no segment"),
        ("/a/{x", "'{x' is no segment"),
        ("/${NAME}", "'${NAME}' is no segment"),
        ("/a/*/b", "'*' stands only at the end"),
        ("/a/**", "'*' stands only at the end"),
        ("/a*", "'*' stands only at the end"),
        ("/a//b", "no request would match it"),
        ("//", "no request would match it"),
        ("//*", "no request would match it"),
        ("/a//*", "no request would match it"),
        ("/a" * 17, "more than 16 segments"),
        ("/{a}" * 17 + "/*", "more than 16 segments"),
        ("GET,GET /a", "'GET' stands there twice"),
        ("GET,POST,GET /a", "'GET' stands there twice"),
        ("GET,FETCH /a", "'FETCH' is not one of DELETE, GET"),
        ("WS /a", "'WS' is not one of"),
        ("GET, /a", "'' is not one of"),
        (",GET /a", "'' is not one of"),
        ("GET, POST /a", "expected '/path' or 'METHOD /path'"),
        ("get /a", "expected '/path' or 'METHOD /path'"),
    ],
)
def test_a_match_that_cannot_be_read_is_refused_and_says_why(match: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(words)) as caught:
        Rule(match)
    assert caught.value.key == "match"


@pytest.mark.parametrize("match", ["/a/..", "/a/.", "/./*", "/a;b", "/a%20b", "/a\\b", "/a\x00", "/" + "a" * 8192])
def test_a_rule_that_no_request_can_match_is_refused(match: str) -> None:
    with pytest.raises(ConfigurationError, match="no request would match it") as caught:
        Gate(rules=[Rule("/fine"), Rule(match)])
    assert caught.value.key == "rules[1]"


@pytest.mark.parametrize("match", ["/api/v1", "/api", "/api/*", "GET /v1/api/{x}", "/{x}/api/*"])
def test_a_rule_that_holds_the_root_path_is_refused_for_nothing_reaches_it(match: str, door: Door) -> None:
    with pytest.raises(ConfigurationError, match="root_path '/api'") as caught:
        Gate(root_path="/api", rules=[Rule("/fine"), Rule(match)])
    assert caught.value.key == "rules[1]"
    with pytest.raises(ConfigurationError) as caught:
        Gate(root_path="/api", public=[match.rpartition(" ")[2]])
    assert caught.value.key == "public[0]"
    door.open(root_path="/api", rules=[Rule("/v1/api-keys", scopes=["x"]), Rule("/{a}/{b}/{c}", scopes=["y"])])
    assert door.get("/api/v1/api-keys", door.create().secret).code == "insufficient_scope"


def test_rules_that_overlap_in_too_many_ways_are_refused() -> None:
    rules = [
        Rule("".join(["/{x}"] * place + [f"/{name}"] + ["/{x}"] * (15 - place)))
        for place in range(16)
        for name in "abc"
    ]
    with pytest.raises(ConfigurationError, match="overlap") as caught:
        Gate(rules=rules)
    assert caught.value.key == "rules"


# What many rules and many paths cost: counted, not timed.


def test_many_ids_under_a_template_cost_the_same_and_are_not_all_remembered() -> None:
    some = table(Rule("/v1/*", scopes=["v1"]), Rule("GET /v1/users/{id}", limits="9/day"))
    counts = set()
    for number in range(100_000):
        path = f"/v1/users/u{number:06}"
        if number % 10_000 == 0:
            counts.add(lines_of(lambda path=path: some._demand("GET", path, path.encode())))
        demand = some.demand("GET", path, path.encode())
        assert demand.scopes == {"v1"}
    assert len(counts) == 1
    assert max(counts) < 60
    assert len(some.met) <= REMEMBERED
    assert some._added.cache_info().currsize <= 4


def test_a_look_up_costs_what_the_rules_of_its_path_are_and_not_what_all_are() -> None:
    few = table(Rule("/v1/{a}/{b}", scopes=["x"]))
    many = table(*(Rule(f"/v1/r{number}/{{id}}", scopes=["x"]) for number in range(2000)), Rule("/v1/{a}/{b}"))
    one, other = (lines_of(lambda some=some: some._demand("GET", "/v1/other/7", b"")) for some in (few, many))
    assert one == other


@pytest.mark.parametrize("match", ["/a/{x}/*", "GET,HEAD,POST /v1/{a}/b/{c}/", "/", "/*", "/a:b/c@d/e(f)"])
def test_a_match_is_read_as_it_is_written(match: str) -> None:
    pattern = parse_match(match)
    named, wanted, below, slash = naive_match(match)
    assert (pattern.methods, pattern.below, pattern.slash) == (frozenset(named), below, slash)
    assert pattern.segments == tuple(None if want[0] == "{" else want for want in wanted)


# What the page says.

PAGE = (Path(__file__).parents[1] / "docs" / "guides" / "rules.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `([A-Z]+) (/\S*)` \| (.*) \|$", PAGE, re.MULTILINE)


@pytest.mark.parametrize(("method", "path", "listed"), ROWS)
def test_the_page_s_table_of_specificity_is_so(method: str, path: str, listed: str) -> None:
    ordered = re.findall(r"`([^`]+)`", listed)
    some = table(*(Rule(match) for match in sorted(ordered)))
    assert [held.rule.match for held in some.holding(method, path)] == ordered


def test_the_page_s_examples_are_so() -> None:
    assert len(ROWS) == 6
    source = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0]
    found: dict[str, Any] = {"Rule": Rule}
    exec(source, found)
    some = table(*found["rules"])
    assert some.demand("GET", "/v1/users/7").scopes == {"v1", "users"}
    export = some.demand("POST", "/v1/exports")
    assert (export.scopes, export.cost, [window.limit for window in export.windows]) == ({"v1"}, 5, [10, 600])
    assert some.demand("GET", "/v1/docs/a").public
    assert some.demand("GET", "/v1/me").cost == 0
    for pair in re.findall(r"\| (`Rule.*\)`) \|$", PAGE, re.MULTILINE):
        rules = [eval(code, {"Rule": Rule}) for code in re.findall(r"`(Rule\(.*?\))`", pair)]
        plans = {code: eval(code, {"Plan": Plan}) for code in re.findall(r"`(Plan\(.*?\))`", pair)}
        with pytest.raises(ConfigurationError):
            Gate(rules=rules, plans=plans)
