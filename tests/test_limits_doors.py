"""Rate limits and the failure budget, seen through every door and on each limiter that needs no server."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from keystile import ConfigurationError, Gate, Plan, Rule, StoreUnavailable, Usage, Window
from keystile.keys.format import crc_check
from keystile.limiters.memory import MemoryLimiter
from keystile.limiters.sqlite import SQLiteLimiter
from tests.doors import Answer, Door

FREE = {"free": Plan("3/minute; 5/day")}
LIMIT, REMAINING, RESET = "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"


@pytest.fixture(params=["memory", "sqlite"])
def limiter(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    return MemoryLimiter() if request.param == "memory" else SQLiteLimiter(tmp_path / "windows.db")


def told(answer: Answer) -> tuple[str | None, str | None]:
    return answer.header(LIMIT), answer.header(REMAINING)


def wrong(secret: str, number: int = 0) -> str:
    """The same id and check, another secret."""
    body = f"{secret[:-38]}{number:032d}"
    return body + crc_check(body.encode())


def test_the_window_that_binds_first_is_told_on_every_answer(door: Door, limiter: Any) -> None:
    door.open(plans=FREE, default_plan="free", limiter=limiter)
    secret = door.create().secret
    before = time.time()
    answers = [door.get(key=secret) for _ in range(4)]
    assert [answer.status for answer in answers] == [200, 200, 200, 429]
    assert [told(answer) for answer in answers] == [("3", "2"), ("3", "1"), ("3", "0"), ("3", "0")]
    for answer in answers:
        assert before + 59 <= int(answer.header(RESET) or 0) <= time.time() + 62
    assert [answer.header("retry-after") is None for answer in answers] == [True, True, True, False]


def test_a_full_window_is_429_with_its_figures(door: Door, limiter: Any) -> None:
    door.open(plans=FREE, default_plan="free", limiter=limiter)
    secret = door.create().secret
    answer = [door.get(key=secret) for _ in range(4)][-1]
    wait = int(answer.header("retry-after") or 0)
    assert (answer.status, answer.code) == (429, "rate_limited")
    assert answer.json["error"]["details"] == {"limit": 3, "window_seconds": 60, "retry_after": wait}
    assert 58 <= wait <= 60
    assert abs(int(answer.header(RESET) or 0) - time.time() - wait) <= 2
    assert answer.header("cache-control") == "no-store"
    assert answer.header("www-authenticate") is None


def test_what_is_refused_spends_nothing(door: Door, limiter: Any) -> None:
    """12/minute and 200/month, 15 calls: 188 are left in the month, not 185."""
    door.open(plans={"free": Plan("12/minute; 200/month")}, default_plan="free", limiter=limiter, ietf_headers=True)
    secret = door.create().secret
    answers = [door.get(key=secret) for _ in range(15)]
    assert [answer.status for answer in answers] == [200] * 12 + [429] * 3
    assert '"2592000s";r=188;' in (answers[-1].header("ratelimit") or "")
    assert answers[-1].header("ratelimit-policy") == '"60s";q=12;w=60, "2592000s";q=200;w=2592000'


def test_refusals_before_the_windows_spend_nothing_and_tell_nothing(door: Door, limiter: Any) -> None:
    door.open(plans=FREE, default_plan="free", limiter=limiter, rules=[Rule("/admin", scopes=["admin"])])
    issued = door.create(ip_allowlist=["127.0.0.1"])
    for answer in (
        door.get(),
        door.get(key=wrong(issued.secret)),
        door.get(key=issued.secret, peer="192.0.2.1"),
        door.get("/admin", issued.secret),
    ):
        assert answer.status in (401, 403)
        assert told(answer) == (None, None)
    assert told(door.get(key=issued.secret)) == ("3", "2")


def test_host_errors_carry_the_headers_and_count(door: Door, limiter: Any) -> None:
    door.open(plans=FREE, default_plan="free", limiter=limiter)
    secret = door.create().secret
    door.host.status = 500
    door.host.headers = [("X-RateLimit-Limit", "the app's own"), ("x-ratelimit-reset", "0"), ("x-mine", "1")]
    answer = door.get(key=secret)
    assert (answer.status, told(answer)) == (500, ("3", "2"))
    assert answer.header("x-mine") == "1"
    assert answer.header(RESET) != "0"


def test_an_app_behind_an_unlimited_key_keeps_its_own_limit_headers(door: Door) -> None:
    door.host.headers = [("x-ratelimit-limit", "the app's own")]
    assert door.get(key=door.create().secret).header(LIMIT) == "the app's own"


def test_plans_and_own_limits(door: Door, limiter: Any) -> None:
    plans = {
        "free": Plan("2/minute"),
        "pro": Plan(["3/minute", "100/day"]),
        "all": Plan(None),
        "none": Plan("0/minute"),
    }
    door.open(plans=plans, default_plan="free", limiter=limiter)

    def admitted(**settings: Any) -> int:
        secret = door.create(**settings).secret
        return sum(door.get(key=secret).status == 200 for _ in range(5))

    assert admitted() == 2
    assert admitted(plan="pro") == 3
    assert admitted(plan="all") == 5
    assert admitted(plan="none") == 0
    assert admitted(plan="pro", limits="4/minute") == 4
    assert admitted(plan="all", limits=["1/minute", "5/hour"]) == 1
    secret = door.create(plan="all").secret
    assert told(door.get(key=secret)) == (None, None)


def test_a_limit_of_0_is_refused_without_a_retry(door: Door, limiter: Any) -> None:
    door.open(plans={"none": Plan("0/minute")}, default_plan="none", limiter=limiter)
    answer = door.get(key=door.create().secret)
    assert (answer.status, answer.code, answer.header("retry-after")) == (429, "rate_limited", None)
    assert answer.json["error"]["details"]["retry_after"] is None


def test_a_plan_that_is_gone_grants_nothing(door: Door) -> None:
    door.open(plans={"old": Plan(None)})
    secret = door.create(plan="old").secret
    door.open(plans={"new": Plan(None)}, default_plan="new")
    answer = door.get(key=secret)
    assert (answer.status, answer.code) == (403, "plan_required")


def test_a_change_of_plan_keeps_the_count(door: Door, limiter: Any) -> None:
    door.open(plans={"free": Plan("5/minute")}, default_plan="free", limiter=limiter)
    secret = door.create().secret
    assert told(door.get(key=secret)) == ("5", "4")
    door.open(plans={"free": Plan("9/minute")}, default_plan="free", limiter=limiter)
    assert told(door.get(key=secret)) == ("9", "7")


def test_a_rules_windows_and_cost_come_on_top(door: Door, limiter: Any) -> None:
    door.open(
        plans={"free": Plan("20/minute")},
        default_plan="free",
        limiter=limiter,
        rules=[Rule("POST /v1/exports", limits="10/hour", cost=5), Rule("POST /v1/imports", limits="10/hour")],
    )
    secret = door.create().secret
    exports = [door.get("/v1/exports", secret, method="POST") for _ in range(3)]
    assert [answer.status for answer in exports] == [200, 200, 429]
    assert exports[-1].json["error"]["details"]["window_seconds"] == 3600
    assert told(door.get("/v1/imports", secret, method="POST")) == ("10", "9")
    assert told(door.get("/v1/other", secret)) == ("20", "8")


def test_a_path_that_is_not_canonical_counts_in_every_rules_windows_at_the_highest_cost(door: Door) -> None:
    door.open(rules=[Rule("POST /v1/exports", limits="10/hour", cost=5), Rule("/v1/x", limits="7/hour")])
    secret = door.create().secret
    assert told(door.get("//v1/exports", secret)) == ("7", "2")
    assert door.get("//v1/exports", secret).status == 429
    assert told(door.get("/v1/exports", secret, method="POST")) == ("10", "0")


def test_whoever_is_limited_together(door: Door, limiter: Any) -> None:
    plans = {"free": Plan("3/minute")}
    door.open(plans=plans, default_plan="free", limiter=limiter, limit_by="organization")
    one, two = (door.create(organization_id="org_1").secret for _ in range(2))
    other, alone = door.create(organization_id="org_2").secret, door.create().secret
    assert [told(door.get(key=secret))[1] for secret in (one, two, one)] == ["2", "1", "0"]
    assert door.get(key=two).status == 429
    assert told(door.get(key=other)) == told(door.get(key=alone)) == ("3", "2")
    door.open(plans=plans, default_plan="free", limiter=limiter, limit_by="key")
    assert told(door.get(key=two)) == ("3", "2")


def test_public_paths_are_counted_by_address(door: Door, limiter: Any) -> None:
    door.open(public=["/health"], anonymous_limits="2/minute", limiter=limiter)

    def get(peer: str | None) -> Answer:
        return door.get("/health", peer=peer)

    assert [told(get("192.0.2.1"))[1], told(get("::ffff:192.0.2.1"))[1], get("192.0.2.1").status] == ["1", "0", 429]
    assert [get("2001:db8::1").status, get("2001:db8::2").status, get("2001:db8::3").status] == [200, 200, 429]
    assert get("2001:db8:0:1::1").status == 200
    assert [get(None).status, get("unknown").status, get("").status] == [200, 200, 429]
    assert door.get(key=door.create().secret, peer="192.0.2.1").status == 200


def test_a_public_rule_may_have_windows_of_its_own(door: Door) -> None:
    door.open(rules=[Rule("/login", public=True, limits="1/minute")], public=["/health"])
    assert [door.get("/login").status, door.get("/login").code] == [200, "rate_limited"]
    assert told(door.get("/health")) == (None, None)


def test_guessing_is_stopped_and_locks_nobody_out(door: Door, limiter: Any) -> None:
    door.open(failure_limits="3/minute", plans=FREE, default_plan="free", limiter=limiter)
    issued = door.create()
    assert door.get(key=issued.secret).status == 200
    answers = [door.get(key=wrong(issued.secret, number)) for number in range(5)]
    assert [answer.code for answer in answers] == ["invalid_api_key"] * 3 + ["too_many_failures"] * 2
    assert answers[-1].status == 429
    assert 1 <= int(answers[-1].header("retry-after") or 0) <= 60
    assert told(answers[-1]) == (None, None)
    assert told(door.get(key=issued.secret)) == ("3", "1")
    assert door.get(key=wrong(issued.secret), peer="192.0.2.9").code == "invalid_api_key"
    assert door.get(key=door.create().secret).status == 200, "a key that was never proved here is good all the same"


def test_a_good_secret_spends_nothing_of_the_budget(door: Door, limiter: Any) -> None:
    door.open(failure_limits="2/minute", limiter=limiter)
    for _ in range(6):
        assert door.get(key=door.create().secret).status == 200
    expired = door.create(expires_at=datetime.now(UTC) + timedelta(seconds=30))
    later = time.time() + 60
    door.open(failure_limits="2/minute", limiter=limiter, clock=lambda: later)
    for _ in range(4):
        assert door.get(key=expired.secret).code == "expired_api_key"


def test_a_failed_check_costs_no_budget(door: Door) -> None:
    door.open(failure_limits="1/minute")
    secret = door.create().secret
    for _ in range(5):
        assert door.get(key=secret[:-1] + ("0" if secret[-1] != "0" else "1")).code == "invalid_api_key"
    assert door.get(key=secret).status == 200


def test_a_store_that_is_down_spends_no_budget(door: Door) -> None:
    gate = door.open(failure_limits="1/minute")
    secret = door.create().secret
    find = gate._order.prover._find

    async def failing(*_args: Any) -> None:
        raise StoreUnavailable("s", "down")

    gate._order.prover._find = failing
    assert [door.get(key=secret).status for _ in range(3)] == [503] * 3
    gate._order.prover._find = find
    assert door.get(key=secret).status == 200


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"plans": {"free": Plan("sixty/minute")}}, "plans.free.limits"),
        ({"plans": {"free": Plan("100/minute; 50/day")}}, "plans.free.limits"),
        ({"plans": {"free": Plan("1/minute; 2/minute")}}, "plans.free.limits"),
        ({"plans": {"free": "60/minute"}}, "plans.free"),
        ({"plans": ["free"]}, "plans"),
        ({"default_plan": "free"}, "default_plan"),
        ({"limit_by": "address"}, "limit_by"),
        ({"on_limiter_error": "close"}, "on_limiter_error"),
        ({"anonymous_limits": "x"}, "anonymous_limits"),
        ({"failure_limits": 20}, "failure_limits"),
        ({"ietf_headers": "yes"}, "ietf_headers"),
        ({"limiter": "memory"}, "limiter"),
        ({"limiter": object()}, "limiter"),
        ({"limiter": "nonsense://user:hunter2@x"}, "limiter"),
        ({"rules": [Rule("/x", limits="x")]}, "rules[0].limits"),
        ({"rules": [Rule("/x", limits="5/minute", cost=6)]}, "rules[0].cost"),
        ({"rules": [Rule("/x", cost=6)], "plans": {"free": Plan("5/minute")}}, "plans.free.limits"),
    ],
)
def test_limits_that_cannot_hold_are_refused_when_the_gate_is_built(settings: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Gate(**settings)
    assert caught.value.key == key
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"plan": "gold"}, "plan"),
        ({"limits": "x"}, "limits"),
        ({"limits": "4/minute"}, "limits"),
        ({"limits": 5}, "limits"),
    ],
)
def test_a_key_gets_only_plans_and_limits_that_can_hold(settings: dict[str, Any], key: str) -> None:
    gate = Gate(plans={"free": Plan("60/minute")}, rules=[Rule("/x", cost=5)])
    with pytest.raises(ConfigurationError) as caught:
        gate.keys.create("key", **settings)
    assert caught.value.key == key


class Down:
    """A limiter that never answers."""

    blocking = False

    def __init__(self) -> None:
        self.asked = 0

    def hit(self, subject: str, charges: Any) -> tuple[Usage, ...]:
        self.asked += 1
        raise ConnectionError("redis://user:hunter2@host")

    peek = refund = reset = hit

    def close(self) -> None: ...


@pytest.mark.parametrize(
    ("choice", "statuses", "first"),
    [
        ("local", [200, 200, 200, 429, 429], ("3", "2")),
        ("allow", [200] * 5, (None, None)),
        ("deny", [503] * 5, (None, None)),
    ],
)
def test_a_limiter_that_is_down(
    door: Door, caplog: pytest.LogCaptureFixture, choice: str, statuses: list[int], first: tuple[Any, Any]
) -> None:
    down = Down()
    door.open(plans=FREE, default_plan="free", limiter=down, on_limiter_error=choice, failure_limits=None)
    secret = door.create().secret
    answers = [door.get(key=secret) for _ in range(5)]
    assert [answer.status for answer in answers] == statuses
    assert told(answers[0]) == first
    assert [answer.header("retry-after") is not None for answer in answers] == [status > 200 for status in statuses]
    assert down.asked < 5
    assert caplog.text.count("limiter_down") == 1
    assert "hunter2" not in caplog.text


def test_the_usage_is_the_hosts_to_see(door: Door) -> None:
    door.open(plans=FREE, default_plan="free")
    door.get(key=door.create().secret)
    [admitted] = door.host.calls
    assert [usage.window for usage in admitted.usages] == [Window(3, 60), Window(5, 86_400)]
    assert [usage.remaining for usage in admitted.usages] == [2, 4]


def test_guessing_from_many_addresses_stays_under_the_cap_of_anonymous_ones(door: Door) -> None:
    limiter = MemoryLimiter(anonymous=5)
    door.open(failure_limits="3/minute", limiter=limiter)
    issued = door.create()
    codes = [door.get(key=wrong(issued.secret, number), peer=f"192.0.2.{number}").code for number in range(20)]
    assert codes == ["invalid_api_key"] * 8 + ["too_many_failures"] * 12
    assert len(limiter) == 6


def test_the_budget_for_failures_and_the_windows_of_public_paths_are_apart(door: Door, limiter: Any) -> None:
    door.open(failure_limits="1/minute", anonymous_limits="2/minute", public=["/health"], limiter=limiter)
    secret = door.create().secret
    assert [told(door.get("/health"))[1] for _ in range(2)] == ["1", "0"]
    assert [door.get(key=wrong(secret, number)).code for number in range(2)] == ["invalid_api_key", "too_many_failures"]
