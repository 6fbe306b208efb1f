"""Dry run: what a rule, a plan or the gate would refuse is let through and told, and nobody gains an identity by it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from keystile import ConfigurationError, Gate, Plan, Rule, current
from keystile.events import Event
from keystile.exceptions import StoreUnavailable
from keystile.limiters.memory import MemoryLimiter
from keystile.limiters.sqlite import SQLiteLimiter
from tests.doors import Answer, Door
from tests.test_limits_doors import wrong

JSON = [("content-type", "application/json"), ("content-length", "1")]


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def opened(door: Door, events: list[Event]) -> Callable[..., None]:
    def open_gate(**settings: Any) -> None:
        door.open(**settings).on_event(events.append)

    return open_gate


@pytest.fixture(params=["memory", "sqlite"])
def limiter(request: pytest.FixtureRequest, tmp_path: Any) -> Any:
    return MemoryLimiter() if request.param == "memory" else SQLiteLimiter(tmp_path / "windows.db")


def would(events: list[Event]) -> list[str]:
    """What would have been refused, and forget it."""
    found = [event.reason for event in events if event.code == "would_refuse"]
    events.clear()
    return found


def fields(answer: Answer) -> list[str]:
    return [name for name, _ in answer.headers if name.startswith(("x-ratelimit", "ratelimit", "retry-after"))]


# A rule


def test_a_rule_softens_its_own_scopes(door: Door, opened: Callable[..., None], events: list[Event]) -> None:
    opened(rules=[Rule("/v1/*", scopes=["v1"]), Rule("/v1/x", scopes=["x"], enforce=False)])
    issued, strange = door.create(scopes=["v1"]), door.create(scopes=["x"])
    assert door.get("/v1/x", issued.secret).status == 200
    [event] = [event for event in events if event.code == "would_refuse"]
    assert (event.reason, event.status, event.key_id) == ("insufficient_scope", 403, issued.key.id)
    assert (event.method, event.path, event.client) == ("GET", "/v1/x", "127.0.0.1")
    assert event.request_id == door.host.calls[-1].request_id
    assert door.host.calls[-1].caller.id == issued.key.id
    assert door.get("/v1/x", strange.secret).code == "insufficient_scope", "the wider rule holds as ever"
    events.clear()
    both = door.create(scopes=["v1", "x"]).secret
    assert door.get("/v1/x", both).status == 200
    assert would(events) == []


def test_what_another_rule_asks_for_as_well_is_asked_for(door: Door, opened: Callable[..., None]) -> None:
    opened(rules=[Rule("/v1/*", scopes=["a"]), Rule("/v1/x", scopes=["a"], enforce=False)])
    assert door.get("/v1/x", door.create().secret).code == "insufficient_scope"


def test_a_rule_in_dry_run_still_asks_for_a_key(door: Door, opened: Callable[..., None]) -> None:
    opened(rules=[Rule("/open/*", public=True), Rule("/open/x", scopes=["x"], enforce=False)])
    assert door.get("/open/x").code == "missing_api_key"
    assert door.get("/open/y").status == 200


def test_a_rule_softens_its_own_windows(
    door: Door, opened: Callable[..., None], events: list[Event], limiter: Any
) -> None:
    rules = [Rule("/v1/*", limits="3/minute"), Rule("/v1/x", limits="1/hour", enforce=False)]
    opened(rules=rules, limiter=limiter, ietf_headers=True)
    secret = door.create().secret
    answers = [door.get("/v1/x", secret) for _ in range(4)]
    assert [answer.status for answer in answers] == [200, 200, 200, 429]
    assert would(events) == ["rate_limited"] * 2, "the fourth is refused, not told of"
    assert [answer.header("x-ratelimit-limit") for answer in answers] == ["3"] * 4
    assert answers[0].header("ratelimit-policy") == '"60s /v1/*";q=3;w=60', "clients keep to limits that they see"
    assert answers[3].json["error"]["details"]["limit"] == 3
    usages = door.host.calls[-1].usages
    assert [(usage.window.scope, usage.window.watching) for usage in usages] == [("/v1/x", True), ("/v1/*", False)]


def test_windows_in_dry_run_count_on_when_they_are_enforced(door: Door, opened: Callable[..., None]) -> None:
    limiter = MemoryLimiter()
    opened(rules=[Rule("/x", limits="5/hour", enforce=False)], limiter=limiter)
    secret = door.create().secret
    answers = [door.get("/x", secret) for _ in range(3)]
    assert [fields(answer) for answer in answers] == [[], [], []]
    opened(rules=[Rule("/x", limits="5/hour")], limiter=limiter)
    assert door.get("/x", secret).header("x-ratelimit-remaining") == "1"


def test_a_rule_softens_its_own_reservation(
    door: Door, opened: Callable[..., None], events: list[Event], limiter: Any
) -> None:
    plans = {"free": Plan(units={"tokens": "10/minute"})}
    opened(plans=plans, default_plan="free", rules=[Rule("/x", reserve={"tokens": 6}, enforce=False)], limiter=limiter)
    secret = door.create().secret
    answers = [door.get("/x", secret) for _ in range(2)]
    assert [(answer.status, fields(answer)) for answer in answers] == [(200, [])] * 2
    assert would(events) == ["rate_limited"]
    door.host.acts = lambda: current().charge(tokens=0)
    door.get("/x", secret)
    door.get("/x", secret)
    subject = door.gate.quotas.subject(door.host.calls[-1].principal)
    peeked = door.gate.limits.limiter.peek(subject, door.gate.quotas.units_of(door.host.calls[-1].principal))
    assert peeked[0].remaining == 0, "12 of 10, and what was given back again"
    opened(
        plans=plans,
        default_plan="free",
        rules=[Rule("/*", reserve={"tokens": 6}), Rule("/x", reserve={"tokens": 9}, enforce=False)],
        limiter=MemoryLimiter(),
    )
    door.host.acts = None
    assert door.get("/x", secret).header("x-ratelimit-remaining-tokens") == "4", "the rule that is enforced decides"
    assert door.get("/x", secret).status == 429


def test_on_public_paths_a_dry_run_counts_by_address(
    door: Door, opened: Callable[..., None], events: list[Event]
) -> None:
    opened(rules=[Rule("/login", public=True, limits="1/minute", enforce=False)])
    assert [door.get("/login").status for _ in range(3)] == [200] * 3
    assert would(events) == ["rate_limited"] * 2


@pytest.mark.parametrize(
    ("path", "method", "headers"),
    [("//v1/x", "GET", []), ("/v1/x", "BREW", []), ("/v1/x", "GET", [("X-HTTP-Method-Override", "PUT")])],
)
def test_what_no_rule_can_read_is_not_permitted_to_pass(
    door: Door, opened: Callable[..., None], events: list[Event], path: str, method: str, headers: list[Any]
) -> None:
    opened(rules=[Rule("/v1/x", scopes=["x"], limits="1/hour", enforce=False)])
    plain, holder = door.create().secret, door.create(scopes=["x"]).secret
    assert door.get(path, plain, method=method, headers=headers).code == "insufficient_scope"
    assert [door.get(path, holder, method=method, headers=headers).status for _ in range(2)] == [200, 429]
    assert would(events) == []
    assert door.get("/v1/x/", plain).status == 200, "a slash at the end changes nothing"


# A plan


def test_a_plan_softens_its_windows_and_its_units(
    door: Door, opened: Callable[..., None], events: list[Event], limiter: Any
) -> None:
    plan = Plan("1/minute", units={"tokens": "10/minute"}, enforce=False)
    rules = [Rule("/x", reserve={"tokens": 10}), Rule("/y", limits="1/minute"), Rule("/z")]
    opened(plans={"free": plan}, default_plan="free", rules=rules, limiter=limiter)
    secret = door.create().secret
    assert [(answer.status, fields(answer)) for answer in (door.get("/x", secret) for _ in range(3))] == [(200, [])] * 3
    assert would(events) == ["rate_limited"] * 2
    statuses = [door.get("/y", secret).status for _ in range(2)]
    assert statuses == [200, 429], "a rule's windows are its own"
    assert would(events) == ["rate_limited"]


def test_limits_of_a_keys_own_are_not_in_its_plans_dry_run(door: Door, opened: Callable[..., None]) -> None:
    opened(plans={"free": Plan("5/minute", enforce=False)}, default_plan="free")
    secret = door.create(limits="1/minute").secret
    assert [door.get(key=secret).status for _ in range(2)] == [200, 429]


# The gate


def test_a_gate_in_dry_run_lets_a_caller_through_who_is_nobody(
    door: Door, opened: Callable[..., None], events: list[Event]
) -> None:
    opened(enforce=False)
    issued = door.create()
    late = door.create(expires_at=datetime.now(UTC) + timedelta(hours=1))
    revoked = door.create()
    door.run(door.gate.keys.arevoke, revoked.key.id)
    later = datetime.now(UTC).timestamp() + 7200
    opened(enforce=False, clock=lambda: later)
    for secret, code in [
        (None, "missing_api_key"),
        ("nonsense", "invalid_api_key"),
        (wrong(issued.secret), "invalid_api_key"),
        (revoked.secret, "revoked_api_key"),
        (late.secret, "expired_api_key"),
    ]:
        answer = door.get(key=secret)
        assert (answer.status, fields(answer)) == (200, [])
        assert door.host.calls[-1].principal is None
        assert door.host.calls[-1].usages == ()
        with pytest.raises(LookupError, match="the gate is in dry run and no good key came: use `principal`"):
            _ = door.host.calls[-1].caller
        assert would(events) == [code]
        assert answer.header("cache-control") == "private", "with a key the answer could be another one"
        assert "x-api-key" in (answer.header("vary") or "")
    door.get(key=issued.secret)
    assert door.host.calls[-1].caller.id == issued.key.id
    assert would(events) == []


def test_a_gate_in_dry_run_knows_a_key_that_is_good_and_alive(
    door: Door, opened: Callable[..., None], events: list[Event], limiter: Any
) -> None:
    plans = {"free": Plan("1/minute")}
    opened(plans=plans | {"gone": Plan(None)}, default_plan="free")
    issued, gone = door.create(ip_allowlist=["192.0.2.0/24"]), door.create(plan="gone")
    own = door.create(limits="1/minute")
    rules = [Rule("/admin", scopes=["admin"]), Rule("/y", limits="1/minute")]
    opened(plans=plans, default_plan="free", enforce=False, rules=rules, limiter=limiter)
    for key, peer, path, codes in [
        (issued, "127.0.0.1", "/", ["ip_not_allowed"]),
        (issued, "192.0.2.1", "/admin", ["insufficient_scope", "rate_limited"]),
        (issued, "192.0.2.1", "/", ["rate_limited"]),
        (gone, "127.0.0.1", "/y", ["plan_required"]),
        (gone, "127.0.0.1", "/y", ["plan_required", "rate_limited"]),
        (own, "127.0.0.1", "/", []),
        (own, "127.0.0.1", "/", ["rate_limited"]),
    ]:
        answer = door.get(path, key.secret, peer=peer)
        assert (answer.status, fields(answer)) == (200, [])
        assert door.host.calls[-1].caller.id == key.key.id
        assert would(events) == codes


def test_a_gate_in_dry_run_still_refuses_what_is_malformed_or_down(
    door: Door, opened: Callable[..., None], events: list[Event]
) -> None:
    opened(enforce=False)
    secret = door.create().secret
    answer = door.get(headers=[("x-api-key", secret), ("api-key", wrong(secret))])
    assert (answer.status, answer.code) == (400, "invalid_request")
    gate = door.gate

    async def failing(*_args: Any) -> None:
        raise StoreUnavailable("s", "down")

    gate._order.prover._find = failing
    gate._order.prover._find_now = None
    assert door.get(key=secret).status == 503
    assert would(events) == []


def test_a_gate_in_dry_run_still_stops_guessing(door: Door, opened: Callable[..., None], events: list[Event]) -> None:
    opened(enforce=False, failure_limits="2/minute")
    issued = door.create()
    answers = [door.get(key=wrong(issued.secret, number)) for number in range(4)]
    assert [answer.status for answer in answers] == [200, 200, 429, 429]
    assert answers[-1].code == "too_many_failures"
    assert would(events) == ["invalid_api_key"] * 2


def test_a_gate_in_dry_run_does_not_count_anonymous_callers_out(
    door: Door, opened: Callable[..., None], events: list[Event]
) -> None:
    opened(enforce=False, public=["/health"], anonymous_limits="1/minute")
    assert [door.get("/health").status for _ in range(3)] == [200] * 3
    assert would(events) == ["rate_limited"] * 2


@pytest.mark.parametrize("settings", [{"https": "require"}, {"https": "redirect", "public_url": "https://x.example"}])
def test_a_gate_in_dry_run_answers_over_http(
    door: Door, opened: Callable[..., None], events: list[Event], settings: dict[str, Any]
) -> None:
    opened(enforce=False, recheck_in_flight=True, **settings)
    issued = door.create()
    assert door.get(key=issued.secret).status == 200
    assert door.host.calls[-1].caller.id == issued.key.id
    assert [event.code for event in events if event.code == "credential_over_http"] == ["credential_over_http"]
    assert would(events) == ["https_required"]
    assert door.get(key=issued.secret, scheme="https").status == 200
    assert would(events) == []


def test_a_gate_in_dry_run_meets_what_no_rule_can_read_as_softly(
    door: Door, opened: Callable[..., None], events: list[Event]
) -> None:
    opened(enforce=False, rules=[Rule("/admin", scopes=["admin"], limits="1/minute")])
    secret = door.create().secret
    assert [door.get("//admin", secret).status for _ in range(2)] == [200, 200]
    assert would(events) == ["insufficient_scope", "insufficient_scope", "rate_limited"]


@pytest.mark.parametrize(
    ("headers", "body", "code"),
    [
        ([("content-type", "text/plain"), ("content-length", "1")], [b"x"], "unsupported_media_type"),
        ([("content-type", "application/json"), ("content-length", "9")], [b"123456789"], "payload_too_large"),
        (
            [("content-type", "application/json"), ("transfer-encoding", "chunked")],
            [b"12345", b"6789"],
            "payload_too_large",
        ),
        (
            [("content-type", "application/json"), ("transfer-encoding", "chunked")],
            [b"123", b"45", b""],
            "payload_too_large",
        ),
    ],
)
def test_a_gate_in_dry_run_hands_on_a_body_that_is_not_json(
    door: Door, opened: Callable[..., None], events: list[Event], headers: list[Any], body: list[bytes], code: str
) -> None:
    opened(enforce=False, require_json=True, max_json_body=4)
    door.host.reads = True
    answer = door.get(key=door.create().secret, method="POST", headers=headers, body=body)
    assert answer.status == 200
    assert door.host.received == b"".join(body)
    assert would(events) == [code]


def test_a_gate_in_dry_run_refuses_json_that_is_malformed(door: Door, opened: Callable[..., None]) -> None:
    opened(enforce=False, require_json=True)
    answer = door.get(key=door.create().secret, method="POST", headers=JSON, body=[b"{"])
    assert (answer.status, answer.code) == (400, "invalid_request")


@pytest.mark.parametrize("ends", ["gate", "rule"])
def test_a_caller_who_is_judged_again_in_dry_run(
    door: Door, opened: Callable[..., None], events: list[Event], ends: str
) -> None:
    """A key that ends in flight would have been refused; what was told before is not told again."""
    rules = [Rule("/*", scopes=["x"], enforce=ends == "gate")]
    opened(enforce=ends == "rule", rules=rules, recheck_in_flight=True)
    issued = door.create()
    door.host.acts = lambda: None
    assert door.get(key=issued.secret).status == 200
    assert would(events) == ["insufficient_scope"]
    now = datetime.now(UTC).timestamp()
    clock = [now]
    opened(enforce=ends == "rule", rules=rules, recheck_in_flight=True, clock=lambda: clock[0])
    issued = door.create(expires_at=datetime.now(UTC) + timedelta(hours=1))
    door.host.acts = lambda: clock.__setitem__(0, now + 7200)
    answer = door.get(key=issued.secret)
    if ends == "gate":
        assert answer.status == 200
        assert would(events) == ["insufficient_scope", "expired_api_key"]
    else:
        assert (answer.status, answer.code) == (401, "expired_api_key")


def test_a_charge_by_nobody_goes_nowhere(door: Door, opened: Callable[..., None]) -> None:
    plans = {"free": Plan(units={"tokens": "10/minute"})}
    opened(enforce=False, plans=plans, default_plan="free", rules=[Rule("/x", reserve={"tokens": 1})])
    door.host.acts = lambda: current().charge(tokens=5)
    assert door.get("/x").status == 200
    assert door.host.calls[-1].principal is None


def test_nothing_is_told_where_everything_is_enforced(
    door: Door, opened: Callable[..., None], events: list[Event]
) -> None:
    opened(rules=[Rule("/x", scopes=["x"])], plans={"free": Plan("1/minute")}, default_plan="free")
    secret = door.create().secret
    assert [door.get(path, secret).status for path in ("/x", "/", "/")] == [403, 200, 429]
    assert door.get().status == 401
    assert would(events) == []


def test_a_dry_run_is_told_at_start(caplog: pytest.LogCaptureFixture) -> None:
    Gate(plans={"free": Plan("1/minute", enforce=False)}, rules=[Rule("/x"), Rule("/y", enforce=False)], enforce=False)
    [record] = [record for record in caplog.records if record.getMessage().startswith("dry_run ")]
    assert record.levelname == "WARNING"
    assert "enforce, plans.free.enforce, rules[1].enforce = false" in record.getMessage()
    caplog.clear()
    Gate(rules=[Rule("/x")])
    assert "dry_run" not in caplog.text


def test_a_window_is_either_in_dry_run_or_not() -> None:
    """Both would be counted in one place; another spelling of the match has a place of its own."""
    limited = Rule("/x", limits="10/hour")
    for tighter in ("5/hour", "10/hour"):
        with pytest.raises(ConfigurationError, match="contradicts rules\\[0\\]: both are for '/x'") as caught:
            Gate(rules=[limited, Rule("/x", limits=tighter, enforce=False)])
        assert caught.value.key == "rules[1].limits"
    Gate(rules=[limited, Rule("GET,POST /x", limits="5/hour", enforce=False)])
