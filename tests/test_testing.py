"""`keystile.testing`: a principal in the place of keys, inside a block and nowhere else."""

from __future__ import annotations

import gc
import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Thread

import pytest

from keystile import ConfigurationError, Gate, Plan, Rule, asgi, current
from keystile.testing import override_principal
from tests.doors import Door, Host


def test_inside_the_block_nobody_needs_a_key_and_outside_everybody(door: Door) -> None:
    assert door.get().code == "missing_api_key"
    with override_principal(door.gate, organization_id="org_1", metadata={"tier": [1]}) as principal:
        answer = door.get()
        assert (answer.status, answer.header("x-request-id")) == (200, door.host.calls[-1].request_id)
        assert answer.header("cache-control") == "private"
        assert door.host.calls[-1].principal is principal
        assert door.get(key="acme_live_wrong").status == 200
    assert (principal.organization_id, principal.metadata) == ("org_1", {"tier": (1,)})
    assert door.get().code == "missing_api_key"
    assert len(door.host.calls) == 2


def test_what_rules_demand_of_the_principal_holds(door: Door) -> None:
    gate = door.open(
        rules=[
            Rule("/*", scopes=["basic"]),
            Rule("/out", public=True),
            Rule("/maybe", public="optional"),
            Rule("/json", require_json=True),
        ],
        envelope=True,
    )
    with override_principal(gate, scopes=["other"]) as principal:
        refused = door.get("/v1")
        assert (refused.status, refused.code) == (403, "insufficient_scope")
        assert refused.header("www-authenticate") == ('Bearer realm="api", error="insufficient_scope", scope="basic"')
        assert door.get("/out").status == 200
        assert door.host.calls[-1].principal is None
        assert door.get("/maybe").status == 200
        assert door.host.calls[-1].principal is principal
        assert door.get("/odd/../path").code == "insufficient_scope"
    with override_principal(gate, scopes=["basic"]):
        assert door.get("/v1").json["data"] == {"ok": True}
        body = [("content-type", "text/plain"), ("content-length", "1")]
        assert door.get("/json", method="POST", headers=body, body=[b"x"]).code == "unsupported_media_type"


def test_nothing_is_counted_and_no_address_is_asked_for(door: Door) -> None:
    gate = door.open(
        plans={"none": Plan("0/minute"), "closed": Plan(None, access=False)},
        default_plan="none",
        allow=["192.0.2.1"],
        https="require",
    )
    with override_principal(gate, ip_allowlist=["192.0.2.7"]):
        answer = door.get(peer="testclient")
        assert (answer.status, answer.header("x-ratelimit-limit")) == (200, None)
    with override_principal(gate, plan="closed"):
        assert door.get(peer="testclient").code == "plan_required"


def test_what_the_principal_is_holds(door: Door) -> None:
    now = datetime.now(UTC)
    with override_principal(door.gate, may=["GET /v1/things"]) as principal:
        assert door.get().status == 200
        assert door.get("/v2").code == "insufficient_scope"
    with override_principal(door.gate, replace(principal, expires_at=now - timedelta(1))):
        assert door.get().code == "expired_api_key"
    with override_principal(door.gate, replace(principal, suspended_at=now)):
        assert door.get().code == "suspended_api_key"
    issued = door.create(scopes=["a"])
    with override_principal(door.gate, issued.key, owner_id="o") as principal:
        assert (principal.id, principal.scopes, principal.owner_id) == (issued.key.id, ("a",), "o")
        assert not hasattr(principal, "hashes")


def test_in_dry_run_of_the_gate_a_refusal_is_let_through(door: Door) -> None:
    gate = door.open(enforce=False, rules=[Rule("/*", scopes=["a"])])
    with override_principal(gate) as principal:
        assert door.get().status == 200
        assert door.host.calls[-1].principal is principal
    with override_principal(gate, replace(principal, revoked_at=principal.created_at)):
        assert door.get().status == 200
        assert door.host.calls[-1].principal is None


def test_units_are_reserved_and_settled_nowhere(door: Door) -> None:
    gate = door.open(
        plans={"p": Plan(units={"tokens": "10/hour"})},
        default_plan="p",
        rules=[Rule("/v1/*", reserve={"tokens": 5})],
    )
    door.host.acts = lambda: current().charge(tokens=1000)
    with override_principal(gate):
        assert [door.get().status for _ in range(3)] == [200] * 3
    assert door.get(key=door.create().secret).header("x-ratelimit-remaining-tokens") == "5"


def test_it_ends_with_an_exception(door: Door) -> None:
    def block() -> None:
        with override_principal(door.gate):
            assert door.get().status == 200
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        block()
    assert door.get().status == 401


def test_nested_blocks_restore(door: Door) -> None:
    with override_principal(door.gate, id="outer") as outer:
        with override_principal(door.gate, id="inner") as inner:
            assert door.get().status == 200
        assert door.get().status == 200
    assert [admitted.principal for admitted in door.host.calls] == [outer, inner][::-1]
    assert door.get().status == 401


def test_blocks_that_overlap_leave_nothing_behind() -> None:
    gate = Gate()
    check = gate.check
    first, second = override_principal(gate, id="first"), override_principal(gate, id="second")
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert gate.check != check
    second.__exit__(None, None, None)
    assert (gate.check, gate.check.__self__) == (check, check.__self__)


def test_a_block_that_nobody_holds_any_more_ends() -> None:
    gate = Gate()
    check = gate.check
    override_principal(gate).__enter__()
    gc.collect()
    assert gate.check == check


def test_another_gate_is_not_touched(door: Door) -> None:
    with override_principal(Gate()):
        assert door.get().status == 401


def test_requests_of_other_threads_are_met_too(door: Door) -> None:
    statuses: list[int] = []
    with override_principal(door.gate):
        thread = Thread(target=lambda: statuses.append(door.get().status))
        thread.start()
        thread.join(30)
    assert statuses == [200]


def test_it_is_told_and_each_refusal_as_well(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    gate = door.open(rules=[Rule("/v1/*", scopes=["a"])])
    told = []
    gate.on_event(lambda event: told.append((event.code, event.key_id, event.status)))
    with caplog.at_level(logging.WARNING, "keystile"), override_principal(gate, id="me"):
        door.get()
    assert told == [("principal_overridden", "me", None), ("insufficient_scope", "me", 403)]
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_who_was_admitted_in_a_block_is_judged_by_the_gate_after_it(door: Door) -> None:
    gate = door.open(recheck_in_flight=True)
    with override_principal(gate):
        assert door.get().status == 200
    block = override_principal(gate)
    block.__enter__()
    door.host.acts = lambda: block.__exit__(None, None, None)
    assert door.get().code == "missing_api_key"


def test_a_preflight_for_the_app_is_the_innermost_blocks(door: Door) -> None:
    asked = [("origin", "https://b.example"), ("access-control-request-method", "GET")]
    gate = door.open(cors_origins=["https://a.example"])
    outer, inner = override_principal(gate, id="outer"), override_principal(gate, id="inner")
    outer.__enter__()
    with inner as principal:
        assert door.get(method="OPTIONS", headers=asked).status == 200
        outer.__exit__(None, None, None)  # so may it be where blocks overlap
        assert door.get(method="OPTIONS", headers=asked).status == 200
    assert [admitted.principal for admitted in door.host.calls] == [principal] * 2


def test_a_preflight_is_answered_as_without_it(door: Door) -> None:
    asked = [("origin", "https://a.example"), ("access-control-request-method", "GET")]
    gate = door.open(cors_origins=["https://a.example"])
    with override_principal(gate):
        assert door.get(method="OPTIONS", headers=asked).status == 204
        other = [("origin", "https://b.example"), asked[1]]
        assert door.get(method="OPTIONS", headers=other).status == 200


@pytest.mark.parametrize(
    ("args", "fields", "key"),
    [
        (("gate",), {}, "gate"),
        ((Gate(), "me"), {}, "principal"),
        ((Gate(),), {"scope": ["a"]}, "scope"),
        ((Gate(),), {"scopes": "a"}, "scopes"),
        ((Gate(),), {"id": ""}, "id"),
        ((Gate(),), {"plan": "gold"}, "plan"),
        ((Gate(),), {"metadata": {1: object()}}, "metadata"),
    ],
)
def test_what_cannot_be_used_is_refused_before_anything_changes(args: tuple[object], fields: dict, key: str) -> None:
    with pytest.raises(ConfigurationError) as caught, override_principal(*args, **fields):
        pytest.fail("it was accepted")
    assert caught.value.key == key


def test_outside_of_a_block_a_gate_and_its_door_are_as_they_were() -> None:
    gate = Gate()
    middleware = asgi.GateMiddleware(Host().asgi, gate=gate)
    gates, doors = vars(gate).copy(), vars(middleware).copy()
    with override_principal(gate):
        assert vars(gate) != gates
        assert vars(middleware) == doors
    assert vars(gate) == gates
