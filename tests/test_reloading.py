"""A gate whose policy changes while it serves, at both doors."""

from __future__ import annotations

import gc
import logging
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from typing import Any

import pytest

from keystile import ConfigurationError, Gate, KeyLimitReached, Plan, Rule
from keystile.events import Event
from keystile.policy import Management, Policy
from keystile.rules.reloading import CHANGEABLE
from keystile.testing import override_principal
from tests.doors import Door

PLANS = {"free": Plan("5/minute"), "pro": Plan("100/minute")}
KINDS = ("wsgi", "asyncio", "trio")


@pytest.fixture(params=KINDS)
def door(request: pytest.FixtureRequest, gates: Callable[..., Gate]) -> Door:
    return Door(gates, request.param)


@pytest.fixture
def gates() -> Iterator[Callable[..., Gate]]:
    made: list[Gate] = []

    def make(**settings: Any) -> Gate:
        made.append(Gate(**{"prefix": "acme", **settings}))
        return made[-1]

    yield make
    for gate in made:
        gate.close()


def listen(gate: Gate) -> list[Event]:
    told: list[Event] = []
    gate.on_event(told.append)
    return told


def remaining(answer: Any) -> tuple[str | None, str | None]:
    return answer.header("x-ratelimit-limit"), answer.header("x-ratelimit-remaining")


def test_the_next_request_meets_the_new_rules(door: Door) -> None:
    gate = door.open(public=["/health"])
    secret = door.create().secret
    assert (door.get("/health").status, door.get("/open").status, door.get("/v1/x", secret).status) == (200, 401, 200)
    assert gate.reload(replace(gate.policy, public=["/open"], rules=[Rule("/v1/*", scopes=["x"])])) == (
        "public",
        "rules",
    )
    assert (door.get("/health").status, door.get("/open").status, door.get("/v1/x", secret).status) == (401, 200, 403)
    assert gate.reload(replace(gate.policy, rules=())) == ("rules",)
    assert (door.get("/open").status, door.get("/v1/x", secret).status) == (200, 200)


def test_windows_go_on_counting_and_a_new_limit_holds_over_what_was_counted(door: Door) -> None:
    gate = door.open(plans=PLANS, default_plan="free")
    secret = door.create().secret
    assert [remaining(door.get(key=secret)) for _ in range(3)] == [("5", "4"), ("5", "3"), ("5", "2")]
    gate.reload(replace(gate.policy, public=["/health"]))
    assert remaining(door.get(key=secret)) == ("5", "1")
    gate.reload(replace(gate.policy, plans=PLANS | {"free": Plan("10/minute")}))
    assert remaining(door.get(key=secret)) == ("10", "5")
    gate.reload(replace(gate.policy, plans=PLANS | {"free": Plan("2/minute")}))
    assert door.get(key=secret).code == "rate_limited"


def test_keys_of_a_plan_that_has_gone_are_refused_and_no_key_can_get_it(door: Door) -> None:
    gate = door.open(plans=PLANS)
    secret = door.create(plan="pro").secret
    assert door.get(key=secret).status == 200
    gate.reload(replace(gate.policy, plans={"free": PLANS["free"], "new": Plan("7/minute", max_keys=2)}))
    assert door.get(key=secret).code == "plan_required"
    with pytest.raises(ConfigurationError, match="there is no plan 'pro'"):
        door.create(plan="pro")
    assert remaining(door.get(key=door.create(plan="new").secret)) == ("7", "6")
    with pytest.raises(KeyLimitReached):
        door.create(plan="new")
    gate.reload(replace(gate.policy, plans=PLANS))
    assert door.get(key=secret).status == 200


def test_what_doors_write_and_read_follows(door: Door) -> None:
    """Envelopes, units and places of keys: doors keep what follows from these."""
    gate = door.open()
    secret = door.create(plan=None).secret
    assert door.get(key=secret).json == {"ok": True}
    plans = {"units": Plan("100/minute", units={"tokens": "1000/minute"})}
    rules = [
        Rule("/v1/*", envelope=True, reserve={"tokens": 10}),
        Rule("/elsewhere", accept=["X-Own-Key"]),
    ]
    gate.reload(replace(gate.policy, plans=plans, default_plan="units", rules=rules))
    door.host.acts = lambda: door.host.calls[-1].charge(tokens=3)
    answer = door.get(key=secret)
    assert answer.json["data"] == {"ok": True}
    assert answer.header("x-ratelimit-remaining-tokens") == "990"
    assert door.get(key=secret).header("x-ratelimit-remaining-tokens") == "987"
    door.host.acts = None
    assert door.get("/elsewhere", headers=[("x-own-key", secret)]).status == 200
    assert door.get("/elsewhere", secret).code == "missing_api_key"
    gate.reload(replace(gate.policy, plans={}, default_plan=None, rules=()))
    assert door.get(key=secret).json == {"ok": True}
    assert door.get("/elsewhere", headers=[("x-own-key", secret)]).code == "missing_api_key"


def test_a_request_that_has_begun_ends_as_it_began(door: Door) -> None:
    plans = {"units": Plan(units={"tokens": "1000/minute"})}
    rules = [Rule("/v1/*", envelope=True, reserve={"tokens": 10})]
    gate = door.open(rules=rules, plans=plans, default_plan="units")
    secret = door.create().secret

    def change() -> None:
        gate.reload(replace(gate.policy, rules=[Rule("/v1/*", scopes=["none"])]))
        door.host.calls[-1].charge(tokens=1)

    door.host.acts = change
    answer = door.get(key=secret)
    assert (answer.status, answer.json["data"]) == (200, {"ok": True})
    door.host.acts = None
    assert door.get(key=secret).status == 403


def test_an_answer_that_is_judged_again_is_judged_by_the_new_rules(door: Door) -> None:
    gate = door.open(recheck_in_flight=True)
    secret = door.create().secret
    assert door.get(key=secret).status == 200
    door.host.acts = lambda: gate.reload(replace(gate.policy, rules=[Rule("/v1/*", scopes=["admin"])]))
    assert door.get(key=secret).status == 403
    gate.reload(replace(gate.policy, rules=()))
    door.host.acts = lambda: gate.reload(replace(gate.policy, rules=[Rule("/v1/*", scopes=["admin"])]))
    assert door.get(key=secret).status == 403


def test_proofs_and_the_failure_budget_outlast_a_change(door: Door) -> None:
    gate = door.open(failure_limits="3/minute")
    secret = door.create().secret
    assert door.get(key=secret).status == 200
    hasher, computed = gate._shop.hasher, []
    verify = hasher.verify
    hasher.verify = lambda *args: computed.append(1) or verify(*args)  # type: ignore[method-assign]
    gate.reload(replace(gate.policy, public=["/x"], failure_limits="4/minute"))
    assert door.get(key=secret).status == 200
    assert computed == []
    _, ((window, _),) = gate._order.prover._budget.quotas.failures("192.0.2.1")[0]
    assert window.limit == 4


FIXED = {
    "realm": "other",
    "https": "require",
    "envelope": True,
    "limit_by": "organization",
    "trusted_proxies": ("10.0.0.1",),
    "root_path": "/api",
}


@pytest.mark.parametrize("name", FIXED)
def test_what_needs_a_restart_is_named_and_nothing_changes(door: Door, name: str) -> None:
    gate = door.open()
    with pytest.raises(ConfigurationError) as caught:
        gate.reload(replace(gate.policy, public=["/health"], **{name: FIXED[name]}))
    assert caught.value.key == name
    assert "a change of it needs a restart" in caught.value.reason
    assert door.get("/health").status == 401


@pytest.mark.parametrize(
    "change",
    [
        {"rules": [Rule("/a", cost=5)], "plans": {"free": Plan("3/minute")}},
        {"plans": {"free": Plan("nonsense")}},
        {"rules": [Rule("/a", cost=1), Rule("/a", cost=2)]},
        {"allow": ["not an address"]},
    ],
)
def test_a_policy_that_cannot_be_used_changes_nothing(door: Door, change: dict[str, Any]) -> None:
    gate = door.open(plans={"free": Plan("9/minute")}, default_plan="free")
    secret = door.create().secret
    before = (gate.policy, gate.rules, gate.check)
    with pytest.raises(ConfigurationError):
        gate.reload(replace(gate.policy, **change))
    assert (gate.policy, gate.rules, gate.check) == before
    assert remaining(door.get(key=secret)) == ("9", "8")


def test_a_door_that_cannot_serve_by_it_keeps_all_as_it_was(gates: Callable[..., Gate]) -> None:
    door = Door(gates, "wsgi")
    gate = door.open()
    with pytest.raises(ConfigurationError, match="which WSGI does not have"):
        gate.reload(replace(gate.policy, public=["/x"], rules=[Rule("/ws", accept=["Sec-WebSocket-Protocol"])]))
    assert door.get("/x").status == 401
    gate.reload(replace(gate.policy, public=["/x"]))
    assert door.get("/x").status == 200


@pytest.mark.parametrize(
    "change", [{"public": ["/manage/*"]}, {"rules": [Rule("GET /manage/whoami", public="optional")]}], ids=str
)
def test_the_management_api_is_not_made_public(door: Door, change: dict[str, Any]) -> None:
    """As at start: no key would be asked for there, and the API serves nobody without one."""
    gate = door.open(management=Management("/manage"), cursor_secrets=["s" * 32])
    secret = door.create(scopes=["keys:read"]).secret
    with pytest.raises(ConfigurationError, match=r"management\.path: /manage is public"):
        gate.reload(replace(gate.policy, **change))
    assert door.get("/manage/whoami", secret).status == 200
    gate.reload(replace(gate.policy, public=["/x"]))
    assert (door.get("/x").status, door.get("/manage/whoami", secret).status) == (200, 200)


def test_nothing_of_policies_that_are_past_is_kept(door: Door) -> None:
    gate = door.open(management=Management("/manage"), cursor_secrets=["s" * 32])
    secret, seen = door.create().secret, []
    for at in range(5):
        gate.reload(replace(gate.policy, public=[f"/{at}"]))
        assert door.get(key=secret).status == 200
        seen += [weakref.ref(part) for part in (gate.rules, gate._order)]
    gc.collect()
    assert [part() for part in seen] == [None] * 8 + [gate.rules, gate._order]


def test_a_change_is_told_with_what_changed(gates: Callable[..., Gate]) -> None:
    gate = gates(rules=[Rule("/a")])
    told = listen(gate)
    gate.reload(replace(gate.policy, public=["/x"], rules=[Rule("/a", scopes=["b"], enforce=False)]))
    gate.reload(gate.policy)
    assert [(each.code, each.level) for each in told] == [
        ("dry_run", logging.WARNING),
        ("reloaded", logging.WARNING),
        ("reloaded", logging.WARNING),
    ]
    assert [each.reason for each in told[1:]] == ["changed: public, rules", "changed: nothing"]


def test_every_setting_that_can_change_is_one_of_the_policy() -> None:
    assert set(CHANGEABLE) < {each.name for each in fields(Policy)}


def test_a_test_that_stands_in_for_keys_is_told_to_end_first(door: Door) -> None:
    gate = door.open()
    with override_principal(gate), pytest.raises(ConfigurationError, match="while a test has replaced"):
        gate.reload(replace(gate.policy, public=["/x"]))
    gate.reload(replace(gate.policy, public=["/x"]))
    with override_principal(gate, id="me"):
        assert door.get().status == 200
    assert door.get().status == 401


def test_what_is_kept_of_a_caller_goes_over(gates: Callable[..., Gate]) -> None:
    """When a key was last noted in use does not depend on the policy, so a change makes no store busy."""
    door = Door(gates, "wsgi")
    gate = door.open()
    issued = door.create()
    assert door.get(key=issued.secret).status == 200
    due = gate._order.callers.known[issued.key.id].touch_due
    assert due > 0
    gate.reload(replace(gate.policy, public=["/x"]))
    assert door.get(key=issued.secret).status == 200
    assert gate._order.callers.known[issued.key.id].touch_due == due


def test_requests_in_other_threads_meet_one_policy_or_the_other(gates: Callable[..., Gate]) -> None:
    """Old: enveloped and 200. New: plain and 403. Never a mixture."""
    door = Door(gates, "wsgi")
    old, new = (Rule("/v1/*", envelope=True),), (Rule("/v1/*", scopes=["x"]), Rule("/open", public=True))
    gate = door.open(rules=old)
    secret = door.create().secret
    seen = set()

    def ask(_: int) -> tuple[int, bool]:
        answer = door.get(key=secret)
        return answer.status, "data" in answer.json

    with ThreadPoolExecutor(4) as pool:
        for round_ in range(30):
            answers = pool.map(ask, range(8))
            gate.reload(replace(gate.policy, rules=new if round_ % 2 == 0 else old))
            seen.update(answers)
    assert seen <= {(200, True), (403, False)}
    gate.reload(replace(gate.policy, rules=old))
    assert ask(0) == (200, True)
