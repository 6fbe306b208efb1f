"""Lanes admit what the order of checks admits, and nothing else: the two side by side, through both doors."""

from __future__ import annotations

import gc
import logging
import re
import traceback
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any
from weakref import ref

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from keystile import Gate, HmacHasher, Plan, Rule
from keystile.events import Event
from keystile.exceptions import KeystileError
from keystile.gate.lanes import MOST_CLIENTS, MOST_LANES, MOST_TARGETS, ROOM
from keystile.keys.format import Parsed, PrefixedFormat
from keystile.limiters.memory import MemoryLimiter
from keystile.stores.memory import MemoryStore
from keystile.testing import override_principal
from tests.doors import Answer, Door, asgi_scope
from tests.leaks import OWN
from tests.selection import often

HASHER = HmacHasher(b"lanes" * 4)
PEPPERS = [b"lanes" * 4, b"older" * 4]
RULES = [
    Rule("/v1/exports/*", scopes=["exports:write"]),
    Rule("POST /v1/things", limits="3/minute", cost=2),
    Rule("/office/*", allow=["10.0.0.0/8"]),
    Rule("/v1/shaped", envelope=True),
    Rule("/v1/metered", reserve={"tokens": 5}),
    Rule("/v1/optional", public="optional"),
    Rule("/v1/watched", scopes=["admin"], enforce=False),
]
PLANS = {
    "free": Plan("5/minute; 20/hour"),
    "pro": Plan(None),
    "metered": Plan("100/minute", units={"tokens": "1000/day"}),
    "watching": Plan("3/minute", enforce=False),
    "closed": Plan(access=False),
}
POLICIES: list[dict[str, Any]] = [
    {},
    {"https": "redirect", "public_url": "https://api.example.com"},
    {"https": "require"},
    {"hsts": 300},
    {"cors_origins": ["https://app.example"]},
    {"preflight": "pass"},
    {"echo_request_id": True},
    {"trusted_proxies": ["10.0.0.0/8"]},
    {"root_path": "/api"},
    {"ietf_headers": True},
    {"allow": ["10.0.0.0/8", "192.0.2.0/24"], "deny": ["10.0.0.9"]},
    {"enforce": False},
    {"recheck_in_flight": True},
    {"envelope": True},
    {"hide_credentials": True},
    {"accept": ["X-API-Key"]},
    {"trusted_hops": 1},
    {"trusted_proxies": ["127.0.0.1"], "client_header": "Forwarded", "https": "require"},
    {"accept": ["Authorization: Bearer", "X-API-Key", "?api_key", "Authorization: Basic"]},
    {"peppers": PEPPERS},
    {"accept_crc": True, "peppers": PEPPERS},
    {"key_format": "opaque", "peppers": PEPPERS, "hasher": "argon2id"},
    {"foreign": "ignore"},
    {"failure_limits": "3/minute"},
    {"failure_limits": "3/minute", "trusted_hops": 1, "hsts": 300},
    {"limit_by": "organization"},
    {"anonymous_limits": None, "require_json": True},
    {"anonymous_limits": None, "trusted_hops": 1, "https": "require"},
    {"error_format": "problem", "hsts": 300, "anonymous_limits": None},
]


@pytest.fixture(autouse=True)
def unheard(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody is told of refusals where no test listens: the watch over all tests would be."""
    caplog.set_level(logging.WARNING, "keystile")


class Twins:
    """Two gates that differ in nothing but that one has no lanes. Both have one store and one clock.

    Args:
        heard: whether somebody listens: then refusals are the order's.
    """

    def __init__(self, kind: str, policy: dict[str, Any], *, heard: bool) -> None:
        self.now, self.store = 1e9, MemoryStore()
        self.doors = [self._door(kind, policy) for _ in range(2)]
        self.doors[1].gate.admit = None
        self.told: list[list[Any]] = [[], []]
        for door, told in zip(self.doors, self.told, strict=True):
            if heard:
                door.gate.on_event(partial(_tell, told))
            door.gate._counting.ask = lambda: None  # what was counted stays where it can be seen
        self.gate = self.doors[0].gate
        self.gate.organizations.create("org_1")
        made = self.gate.projects.create("one", organization_id="org_1")
        owner = {"project_id": made.project.id, "organization_id": "org_1"}
        self.keys = [self.gate.keys.create(f"key {number}", **owner if number else {}) for number in range(3)]
        good, other = [each.secret for each in self.keys], PrefixedFormat("acme")
        # Then some that are none: a wrong check, a wrong secret, a wrong form, none of ours by its check.
        self.secrets = [*good, good[0][:-1] + "~", good[0][:-7] + good[1][-7:], "acme_live_x", "zzz", "a,b"]
        self.secrets += [other.mint("production", lambda length: "0" * length), "k" * 1025, good[0] + "=", ""]

    def _door(self, kind: str, policy: dict[str, Any]) -> Door:
        limiter = MemoryLimiter(clock=lambda: int(self.now * 1e9), wall=lambda: int(self.now * 1e9))
        return Door(
            lambda: Gate(
                self.store,
                plans=PLANS,
                default_plan="free",
                public=["/open/*"],
                rules=RULES,
                limiter=limiter,
                clock=lambda: self.now,
                **{"prefix": "acme", "hasher": HASHER, "anonymous_limits": "10/minute"} | policy,
            ),
            kind,
        )

    def ask(self, *args: Any, **named: Any) -> list[Any]:
        """What both answer, and what their apps were told, without the ids of requests."""
        found = []
        for door in self.doors:
            calls = len(door.host.calls)
            answer = door.get(*args, **named)
            found.append((_masked(answer), [_seen(each) for each in door.host.calls[calls:]]))
        return found

    def change(self, name: str, number: int, **changes: Any) -> None:
        """Change a key; one that is revoked already cannot be."""
        ring, key_id = self.gate.keys, self.keys[number].key.id
        try:
            if number == len(self.keys) - 1 and name in {"suspend", "resume"}:
                getattr(self.gate.organizations, name)("org_1")
            elif name == "rotate":
                self.secrets.append(ring.rotate(key_id, **changes).secret)
            else:
                getattr(ring, name)(key_id, **changes)
        except KeystileError:
            return

    def reload(self, **changes: Any) -> None:
        for number, door in enumerate(self.doors):
            policy = replace(door.gate.policy, **changes)
            door.gate.admit = door.gate._order.admit
            door.gate.reload(policy)
            if number:
                door.gate.admit = None


def _tell(told: list[Any], event: Event) -> None:
    if "." not in event.code:  # changes go through one of the two
        told.append(event._replace(request_id=""))


def _masked(answer: Answer) -> Any:
    text = re.sub(rb"req_[0-9A-Za-z]{24}", b"req_", answer.body)
    return answer.status, [(name, re.sub("req_[0-9A-Za-z]{24}", "req_", value)) for name, value in answer.headers], text


def _seen(current: Any) -> Any:
    admitted = current.admitted
    # Each gate has lists of its own.
    demand = admitted.demand._replace(admits=admitted.demand.admits is None, would_admit=None)
    return admitted._replace(request_id="", demand=demand), current.shape is None, current.charged is None


times = st.sampled_from([0.0, 0.001, 0.5, 10.0, 59.9, 61.0, 3600.0, 86_400.0, -1.0, -100.0])
paths = st.sampled_from(
    [
        *("/v1/things", "/v1/exports/7", "/office/x", "/open/x", "/v1/shaped", "/v1/metered", "/v1/optional"),
        *("/v1/watched", "/v1/things/", "/v1//things", "/v1/%74hings", "/api/v1/things", "/v1/caf%C3%A9", "/v1/a?x=1"),
    ]
)
forms = st.sampled_from(
    [
        *("Bearer {}", "bearer {}", "BEARER {}", "Api-Key {}", "Bearer  {}", " Bearer {}", "Bearer {} ", "Bearer {},"),
        *("Basic {}", "{}", "X-API-Key", "x-api-key", "none", "both", "twice", "empty", "?api_key"),
    ]
)
extras = st.lists(
    st.sampled_from(
        [
            *(("accept", "application/problem+json"), ("x-forwarded-for", "10.0.0.1"), ("x-forwarded-proto", "https")),
            *(
                ("x-forwarded-for", "127.0.0.1"),
                ("x-forwarded-for", "192.0.2.7, 10.0.0.1"),
                ("forwarded", "for=10.0.0.1"),
            ),
            *(("x_forwarded_for", "10.0.0.1"), ("transfer-encoding", "chunked"), ("authorization", "Digest x")),
            *(("x-http-method-override", "DELETE"), ("origin", "https://app.example"), ("x-request-id", "mine")),
            *(("cookie", "a=1"), ("cookie", "b=2"), ("x_api_key", "k"), ("access-control-request-method", "PUT")),
            *(("user-agent", "x"), ("x-odd-1", "y"), ("upgrade", "h2c"), ("accept-encoding", "gzip")),
        ]
    ),
    max_size=2,
)
# What servers hand over in more than one way: of scopes and of environs.
odd = st.sampled_from(
    [
        *({}, {}, {}, {}, {"root_path": "/api", "SCRIPT_NAME": "/api"}, {"root_path": "/v1", "SCRIPT_NAME": "/v1"}),
        *(
            {"client": (host, port), "REMOTE_ADDR": host, "REMOTE_PORT": str(port)}
            for host, port in (
                *(("127.0.0.1", 0), ("127.0.0.1", "50000"), ("10.0.0.1", "0"), ("10.0.0.1", 70_000), ("", 50_000)),
                *(("10.0.0.1", 50_001), ("unix:", "x"), ("10.0.0.1", None), ("192.0.2.7", 50_000)),
            )
        ),
        *({"client": ["127.0.0.1", 50_000]}, {"client": ()}, {"client": ["192.0.2.7", 0]}),
        *({"raw_path": None, "RAW_URI": ""}, {"raw_path": b"/%2e/x", "RAW_URI": "", "REQUEST_URI": "/%2e/x"}),
        *({"headers": []}, {"headers": [], "scheme": "https"}, {"headers": [], "client": ("10.0.0.1", "0")}),
        *({"scheme": "wss", "wsgi.url_scheme": "wss"}, {"scheme": "HTTPS", "wsgi.url_scheme": "HTTPS"}),
        *({"scheme": "wss", "wsgi.url_scheme": "HTTPS"}, {"http_version": "2", "SERVER_PROTOCOL": "HTTP/2"}),
    ]
)
asked = st.tuples(
    st.just("ask"),
    st.sampled_from([0, 0, 0, 1, 1, 2, *range(3, 14)]),
    st.sampled_from(["GET", "GET", "HEAD", "POST", "OPTIONS", "get"]),
    paths,
    forms,
    st.sampled_from(["127.0.0.1", "127.0.0.1", "10.0.0.1", "10.0.0.9", "::ffff:10.0.0.1", "192.0.2.7", None, "x"]),
    st.sampled_from(["http", "https"]),
    extras,
    odd,
)
# A path that was asked for as a websocket before, or will be.
opened = st.tuples(
    *(st.just("open"), st.integers(0, 4), paths, forms, st.sampled_from(["127.0.0.1", "10.0.0.1", "192.0.2.7"])),
    st.sampled_from(["ws", "wss"]),
)
changes = st.tuples(
    st.just("change"),
    st.integers(0, 2),
    st.sampled_from(
        [
            *(("rotate", {}), ("rotate", {"grace": 3600}), ("suspend", {}), ("resume", {}), ("revoke", {})),
            *(("update", {"plan": name}) for name in PLANS),
            *(("update", {"scopes": scopes}) for scopes in ([], ["exports:write"])),
            *(("update", {"ip_allowlist": listed}) for listed in (None, ["10.0.0.0/8"], ["127.0.0.1"])),
            *(("update", {"may": may}) for may in (None, ["GET /v1/*"], ["POST /v1/things", "/office/*"])),
            *(("update", {"may": may}) for may in (["WS /v1/things", "WS /office/*"], ["WS /*", "GET /v1/things"])),
            *(("update", {"expires_at": datetime.fromtimestamp(1e9 + later, UTC)}) for later in (30, 4000)),
            *(("update", {"limits": limits}) for limits in (None, "2/minute", "0/minute")),
        ]
    ),
)
moved = st.tuples(st.just("move"), times)
reloads = st.tuples(
    st.just("reload"),
    st.sampled_from(
        [
            *({"rules": RULES}, {"rules": RULES[:1]}, {"plans": PLANS | {"free": Plan("2/minute")}}),
            *({"deny": ["127.0.0.1"]}, {"deny": None}, {"allow": ["10.0.0.0/8"]}, {"allow": None}),
        ]
    ),
)
# Warm requests are what matters: most steps are requests, and most of these ask again for what was asked before.
again = st.tuples(st.just("again"), st.integers(1, 3))
steps = st.lists(st.one_of(asked, asked, opened, again, again, again, changes, moved, reloads), min_size=4, max_size=40)


def headers_of(form: str, secret: str) -> list[tuple[str, str]]:
    both = [("Authorization", f"Bearer {secret}"), ("X-API-Key", secret)]
    special = {"none": [], "both": both, "twice": both[:1] * 2, "empty": [("Authorization", "Bearer ")]}
    if form in special or form == "?api_key":
        return special.get(form, [])
    return [("Authorization", form.format(secret))] if "{}" in form else [(form, secret)]


def handshake(door: Door, path: str, headers: list[tuple[str, str]], peer: str, scheme: str) -> list[Any]:
    """What a websocket is answered first, of the door that has any: its type, status and why it was closed."""
    if door.kind == "wsgi":
        return []
    sent: list[Any] = []
    scope = asgi_scope("GET", path, headers, peer) | {"type": "websocket", "scheme": scheme}
    del scope["method"]

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    door.run(door.asgi, scope, receive, send)
    return [(each["type"], each.get("status"), each.get("reason")) for each in sent]


def play(twins: Twins, steps: list[Any]) -> None:
    last: Callable[[], list[Any]] | None = None
    for name, *step in steps:
        if name == "ask":
            number, method, path, form, peer, scheme, more, given = step
            secret = twins.secrets[number % len(twins.secrets)]
            path += f"?api_key={secret}" if form == "?api_key" else ""
            sent = {"method": method, "headers": [*more, *headers_of(form, secret)], "peer": peer, "scheme": scheme}
            for door in twins.doors:
                door.extra = given
            last = lambda path=path, sent=sent: twins.ask(path, **sent)  # noqa: E731 - it is asked again
        for _ in range({"ask": 1, "again": step[0]}.get(name, 0)):
            if last is not None:
                with_lanes, without = last()
                assert with_lanes == without
        if name == "open":
            number, path, form, peer, scheme = step
            sent = headers_of(form, twins.secrets[number % len(twins.secrets)])
            with_lanes, without = [handshake(door, path, sent, peer, scheme) for door in twins.doors]
            assert with_lanes == without
        elif name == "change":
            twins.change(step[1][0], step[0], **step[1][1])
        elif name == "move":
            twins.now += step[0]
        elif name == "reload":
            twins.reload(**step[0])
    assert twins.told[0] == twins.told[1]
    with_lanes, without = [(door.gate._counting.counts, door.gate._counting._uses) for door in twins.doors]
    assert with_lanes == without


@pytest.mark.parametrize("kind", ["asyncio", "wsgi"])
@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: next(iter(policy), "plain"))
@settings(max_examples=often(6, 50), deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(steps=steps, heard=st.booleans())
def test_a_lane_answers_as_the_order_of_checks_does(
    kind: str, policy: dict[str, Any], steps: list[Any], heard: bool
) -> None:
    play(Twins(kind, policy, heard=heard), steps)


# That lanes are used at all, where they should be.


class NoOrder:
    """In place of a gate's check: says which requests went through the order."""

    def __init__(self, gate: Gate) -> None:
        self._check, self.asked = gate.check, 0
        gate.check = self.check

    def check(self, *args: Any) -> Any:
        self.asked += 1
        return self._check(*args)


@pytest.fixture(params=["asyncio", "trio", "wsgi"])
def some(request: pytest.FixtureRequest) -> Door:
    policy = {"rules": RULES, "plans": PLANS, "default_plan": "pro", "hasher": HASHER, "prefix": "acme"}
    return Door(lambda **changes: Gate(**policy | changes), request.param)


SERVED: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    ({}, {}, {}),
    ({}, {"ip_allowlist": ["127.0.0.0/8"], "limits": "100/minute; 1000/day"}, {}),
    ({}, {"may": ["GET /v1/*"], "limits": "9/minute"}, {}),
    ({"allow": ["127.0.0.0/8", "10.0.0.0/8"]}, {}, {}),
    ({"hsts": 300, "https": "require"}, {}, {"scheme": "https"}),
    ({"cors_origins": ["https://app.example"]}, {}, {"headers": [("origin", "https://app.example")]}),
    ({"envelope": True}, {}, {}),
    ({"recheck_in_flight": True}, {}, {}),
    ({"echo_request_id": True}, {}, {}),
    ({"ietf_headers": True}, {"limits": "9/minute"}, {}),
    ({"trusted_proxies": ["127.0.0.1"]}, {}, {"headers": [("x-forwarded-for", "10.0.0.1")]}),
    (
        {"trusted_hops": 1, "https": "require"},
        {"ip_allowlist": ["192.0.2.0/24"]},
        {"headers": [("x-forwarded-for", "6.6.6.6, 192.0.2.7"), ("x-forwarded-proto", "https")]},
    ),
    ({}, {}, {"headers": [("user-agent", "x"), ("x-odd", "y"), ("cookie", "z")], "method": "PUT"}),
]


@pytest.mark.parametrize(("policy", "key", "sent"), SERVED, ids=lambda each: next(iter(each), "plain"))
@pytest.mark.parametrize("form", ["Bearer {}", "bearer {}", "Api-Key {}", "X-API-Key"])
def test_a_warm_request_does_not_go_through_the_order(some: Door, form: str, policy: Any, key: Any, sent: Any) -> None:
    some.open(**policy)
    secret = some.create(**key).secret
    sent = {**sent, "headers": [*sent.get("headers", ()), *headers_of(form, secret)]}
    assert some.get("/v1/things", **sent).status == 200
    order = NoOrder(some.gate)
    answers = [some.get("/v1/things", **sent) for _ in range(3)]
    assert [answer.status for answer in answers] == [200] * 3
    assert order.asked == 0
    if "limits" in key:
        left = [int(str(answer.header("x-ratelimit-remaining"))) for answer in answers]
        assert left == [left[0], left[0] - 1, left[0] - 2]


@pytest.mark.parametrize(
    "headers",
    [
        [("x-http-method-override", "DELETE")],
        [("x-forwarded-for", "10.0.0.1"), ("x-http-method", "PUT")],
        [("x-api-key", "other")],
        [("Authorization", "Bearer other")],
    ],
)
def test_what_is_unusual_goes_through_the_order(some: Door, headers: list[tuple[str, str]]) -> None:
    secret = some.create().secret
    for _ in range(2):
        assert some.get(key=secret).status == 200
    order = NoOrder(some.gate)
    some.get(key=secret, headers=headers)
    assert order.asked == 1


@pytest.mark.parametrize("heard", [False, True])
def test_a_full_window_is_refused_by_a_lane_and_told_by_the_order(some: Door, heard: bool) -> None:
    told: list[Event] = []
    secret = some.create(limits="2/minute").secret
    assert [some.get(key=secret).status for _ in range(2)] == [200, 200]
    order = NoOrder(some.gate)
    if heard:
        some.gate.on_event(told.append)
    answer = some.get("/v1/things", key=secret)
    assert (answer.status, answer.code, answer.header("x-ratelimit-remaining"), order.asked) == (
        *(429, "rate_limited", "0", heard),
    )
    assert not heard or [(event.code, event.status, event.path) for event in told[-1:]] == [
        ("rate_limited", 429, "/v1/things")
    ]


@pytest.mark.parametrize("form", ["Bearer {}", "Api-Key {}", "X-API-Key"])
def test_what_cannot_be_a_key_is_refused_at_a_glance_and_told_by_the_order(some: Door, form: str) -> None:
    told: list[Event] = []
    secret = some.create().secret
    order = NoOrder(some.gate)
    for asked in (0, 2):
        wrong = some.get("/v1/things", headers=headers_of(form, secret[:-1] + "~"))
        missing = some.get("/v1/things", method="POST")
        assert [(each.status, each.code) for each in (wrong, missing)] == [
            (401, "invalid_api_key"),
            (401, "missing_api_key"),
        ]
        assert order.asked == asked
        if not asked:
            some.gate.on_event(told.append)
    assert [(each.code, each.method, each.path, each.client) for each in told] == [
        ("invalid_api_key", "GET", "/v1/things", "127.0.0.1"),
        ("missing_api_key", "POST", "/v1/things", "127.0.0.1"),
    ]
    assert [each.request_id for each in told] == [each.header("x-request-id") for each in (wrong, missing)]


@pytest.mark.parametrize("headers", [[], headers_of("Bearer {}", "zzz"), headers_of("X-API-Key", "zzz")])
def test_whoever_needs_no_key_is_admitted_at_a_glance_unless_somebody_counts(some: Door, headers: Any) -> None:
    for changes, asked in (({}, 0), ({"anonymous_limits": "9/minute"}, 1), ({"deny": ["192.0.2.7"]}, 1)):
        some.open(public=["/open/*"], **changes)
        order = NoOrder(some.gate)
        assert some.get("/open/x", headers=headers).status == 200
        assert order.asked == asked


def test_a_key_without_a_scope_is_refused_by_a_lane_until_it_has_it(some: Door) -> None:
    told: list[Event] = []
    made = some.create(may=["GET /v1/exports/*"])
    some.get("/v1/exports/7", key=made.secret, method="PUT")
    order = NoOrder(some.gate)
    for asked in (0, 3):
        answers = [some.get(f"/v1/exports/{number}", key=made.secret, method="PUT") for number in range(3)]
        assert [(answer.status, answer.code) for answer in answers] == [(403, "insufficient_scope")] * 3
        assert order.asked == asked
        if not asked:
            some.gate.on_event(told.append)
    assert [(event.code, event.key_id, event.path) for event in told] == [
        ("insufficient_scope", made.key.id, f"/v1/exports/{number}") for number in range(3)
    ]
    some.gate.keys.update(made.key.id, scopes=["exports:write"])
    assert [some.get("/v1/exports/7", key=made.secret).status for _ in range(2)] == [200, 200]
    # What the key may do is looked at after its scopes, and for each request.
    assert some.get("/v1/exports/7", key=made.secret, method="PUT").status == 403
    counted = [each.refused for each in some.gate.keys.usage(made.key.id) if each.refused]
    assert sum(each["insufficient_scope"] for each in counted) == 8


def test_a_store_that_fails_under_a_lane_is_told_and_refused(some: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = some.create().secret
    some.get(key=secret)
    store: Any = some.gate._shop.store
    monkeypatch.setattr(store, "_keys", None)
    assert some.get(key=secret).status == 503
    monkeypatch.undo()
    assert [some.get(key=secret).status for _ in range(2)] == [200, 200]


def test_a_failure_under_a_lane_shows_no_key(some: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    failing: list[Exception] = []

    def clock() -> int:
        if failing:
            raise failing[0]
        return 10**15

    for form in ("Bearer {}", "X-API-Key"):
        some.open(limiter=MemoryLimiter(clock=clock), trusted_proxies=["127.0.0.1"])
        secret = some.create(limits="9/minute").secret
        for _ in range(2):
            assert some.get(headers=headers_of(form, secret)).status == 200
        order = NoOrder(some.gate)
        failing.append(OSError("no clock"))
        with pytest.raises(OSError, match="no clock") as caught:
            some.get(headers=headers_of(form, secret))
        failing.clear()
        frames = [frame for frame, _ in traceback.walk_tb(caught.value.__traceback__)]
        ours = [frame for frame in frames if frame.f_code.co_filename.startswith(OWN)]
        assert {"glance", "admit"} <= {frame.f_code.co_name for frame in ours}
        assert order.asked == 0
        for frame in ours:
            shown = {name: repr(value) for name, value in frame.f_locals.items() if name not in {"scope", "environ"}}
            assert [name for name, text in shown.items() if secret in text] == []


@pytest.mark.parametrize("policy", [{"trusted_hops": 1}, {"trusted_proxies": ["127.0.0.1"]}], ids=str)
def test_without_any_header_proxies_are_looked_at_all_the_same(some: Door, policy: dict[str, Any]) -> None:
    told: list[Event] = []
    some.open(https="require", hsts=300, public=["/open/*"], **policy)
    some.gate.on_event(told.append)
    some.extra = {"headers": []}  # as HTTP/1.0 allows
    answers = [some.get(path, scheme="https") for path in ("/open/x", "/v1/things")]
    some.gate.admit = None
    expected = [some.get(path, scheme="https") for path in ("/open/x", "/v1/things")]
    assert [_masked(each) for each in answers] == [_masked(each) for each in expected]
    assert [each._replace(request_id="") for each in told[: len(told) // 2]] == [
        each._replace(request_id="") for each in told[len(told) // 2 :]
    ]


@pytest.mark.parametrize("scheme", ["https", "wss", "http", "ws"])
def test_what_came_over_tls_is_the_same_at_a_glance(some: Door, scheme: str) -> None:
    some.open(hsts=300, public=["/open/*"])
    secret = some.create().secret
    sent = ({}, {"key": secret}, {"headers": [("X-API-Key", secret)]}, {"path": "/open/x"})
    for _ in range(2):
        answers = [some.get(scheme=scheme, **each) for each in sent]
        strict = "max-age=300" if scheme in {"https", "wss"} else None
        assert [each.header("strict-transport-security") for each in answers] == [strict] * 4


def test_a_form_that_cannot_be_read_is_refused_and_told_as_ever(some: Door) -> None:
    class Own(PrefixedFormat):
        def parse(self, raw: bytes) -> Parsed | None:
            if raw.startswith(b"odd"):
                raise ValueError(raw)
            return super().parse(raw)

    told: list[Event] = []
    some.open(prefix=None, key_format=Own("acme"))
    secret = some.create().secret
    some.gate.on_event(told.append)
    for form in ("Bearer {}", "X-API-Key"):
        assert some.get(headers=headers_of(form, "odd")).status == 503
        assert some.get(key=secret).status == 200
    codes = [each.code for each in told]
    assert codes == ["store_down", "unavailable", "first_use", "store_up", "store_down", "unavailable", "store_up"]


def test_a_replaced_check_is_not_passed_by(some: Door) -> None:
    secret = some.create().secret
    for _ in range(2):
        some.get(key=secret)
    with override_principal(some.gate, id="stand-in"):
        some.get(key=secret)
        assert some.host.calls[-1].caller.id == "stand-in"
    some.get(key=secret)
    assert some.host.calls[-1].caller.id != "stand-in"


def test_what_opened_a_websocket_is_no_use_over_http() -> None:
    door = Door(lambda **changes: Gate(hasher=HASHER, prefix="acme", **changes), "asyncio")
    secret = door.create(may=["WS /v1/things"]).secret
    headers = headers_of("Bearer {}", secret)
    for scheme in ("ws", "wss"):
        assert handshake(door, "/v1/things", headers, "127.0.0.1", scheme)[0][1] == 200
        assert door.get("/v1/things", headers=headers, scheme=scheme.replace("ws", "http")).status == 403


def test_a_limiter_with_a_hit_of_the_hosts_is_asked_each_time(some: Door) -> None:
    class Own(MemoryLimiter):
        asked = 0

        def hit(self, *args: Any) -> Any:
            self.asked += 1
            return super().hit(*args)

    replaced, asked = MemoryLimiter(), []
    hit = replaced.hit
    replaced.hit = lambda *args: (asked.append(args), hit(*args))[1]  # type: ignore[method-assign]
    for limiter in (own := Own(), replaced):
        some.open(limiter=limiter)
        secret = some.create(limits="9/minute").secret
        assert [some.get(key=secret).status for _ in range(4)] == [200] * 4
    assert (own.asked, len(asked)) == (4, 4)


def test_lanes_that_go_while_a_request_looks_are_not_missed(some: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = some.create().secret
    for _ in range(2):
        some.get(key=secret)

    class Vanishing:
        """In place of a gate's lanes: gone when they are looked at again, as when a test in another thread begins."""

        def __get__(self, gate: Any, _: Any = None) -> Any:
            seen = vars(gate).setdefault("seen", [])
            seen.append(True)
            return gate._order.admit if len(seen) % 2 else None

        def __set__(self, gate: Any, value: Any) -> None:
            raise AssertionError

    monkeypatch.setattr(Gate, "admit", Vanishing(), raising=False)
    assert [some.get(key=secret).status for _ in range(4)] == [200] * 4


def test_what_is_remembered_for_a_key_has_bounds(some: Door) -> None:
    rules = [Rule(f"/r{number}/*", scopes=["a"], cost=number + 1) for number in range(3 * MOST_LANES)]
    some.open(rules=rules, plans={"pro": PLANS["pro"]}, allow=["10.0.0.0/8"])
    secret = some.create(may=["/*"], scopes=["a"]).secret
    for number in range(3 * MOST_LANES):
        assert some.get(f"/r{number}/x", key=secret, peer="10.0.0.1").status == 200
    for number in range(3 * max(MOST_CLIENTS, MOST_TARGETS)):
        assert some.get(f"/r0/{number}", key=secret, peer=f"10.0.1.{number}").status == 200
    (proof,) = some.gate._order.prover._proofs._proofs.values()
    assert 0 < len(proof.lanes) <= MOST_LANES
    for lane in proof.lanes.values():
        assert lane.clients is not None
        assert lane.targets is not None
        assert 0 < len(lane.clients) <= MOST_CLIENTS
        assert 0 < len(lane.targets) <= MOST_TARGETS


def lanes_of(gate: Gate) -> list[Any]:
    return [lane for proof in gate._order.prover._proofs._proofs.values() for lane in proof.lanes.values()]


def test_what_is_remembered_for_all_keys_has_one_bound(some: Door) -> None:
    some.open(remembered_keys=16, rules=[], deny=["192.0.2.7"])
    secrets, most = [some.create(may=["/*"]).secret for _ in range(4)], 0
    for number in range(240):
        sent = {"key": secrets[number % 4], "peer": f"10.0.0.{number}"}
        assert [some.get(f"/{number}/{'x' * 200}", **sent).status for _ in range(2)] == [200, 200]
        targets = [target for lane in lanes_of(some.gate) for target in lane.targets]
        most = max(most, sum(len(text) for target in targets for text in target))
    assert 8 * 200 < most < 16 * ROOM
    order = NoOrder(some.gate)
    some.get(f"/{number}/{'x' * 200}", **sent)
    assert order.asked == 0


def test_a_policy_that_has_gone_is_not_kept_by_lanes(some: Door) -> None:
    some.open(deny=["192.0.2.7"])
    secrets = [some.create().secret for _ in range(3)]
    gone = []
    for number, secret in enumerate(secrets):
        assert some.get(key=secret).status == 200
        gone.append(ref(some.gate.rules._lists[0].deny))
        some.gate.reload(replace(some.gate.policy, deny=[f"192.0.2.{number}"]))
    some.host.calls.clear()
    some.host.seen = None
    gc.collect()
    assert [each() for each in gone[1:]] == [None, None]  # the door itself keeps the one that it began with


def test_a_record_that_has_changed_is_not_kept_by_lanes(some: Door) -> None:
    made = some.create()
    for path in ("/v1/things", "/v1/exports-of-none", "/open/x", "/v1/watched"):
        some.get(path, key=made.secret)
    some.gate.keys.update(made.key.id, name="other")
    some.get(key=made.secret)
    assert {lane.key.name for lane in lanes_of(some.gate)} == {"other"}


def test_strangers_do_not_decide_what_names_are_remembered(some: Door) -> None:
    if some.kind == "wsgi":
        return  # an environ is a dict already: no names are remembered
    secret = some.create().secret
    for number in range(40):
        many = [(f"x-{number}-{each}", "1") for each in range(50)] + [("x-" + "y" * 70 + str(number), "1")]
        assert some.get(key=secret, headers=many).status == 200
    order = NoOrder(some.gate)
    for _ in range(3):  # neither are the names of others crowded out for good, nor do these take up more and more
        assert some.get(key=secret, headers=[("x-never-seen", "1")]).status == 200
        assert some.get(key=secret).status == 200
    assert order.asked <= 1
    assert len(some.asgi._reader.names._idle) <= 1024
