"""What becomes of requests when a key, its project or its organization changes: through every door, on the next one."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from keystile import Plan, Rule, _sync
from keystile.events import Event
from keystile.model import Purged
from tests.doors import Door

NOW = 1_768_473_000.0


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now

    def moment(self, seconds: float = 0.0) -> datetime:
        return datetime.fromtimestamp(NOW, UTC) + timedelta(seconds=seconds)


@pytest.fixture
def clock(door: Door) -> Clock:
    clock = Clock()
    door.open(
        clock=clock,
        plans={"free": Plan("2/day"), "pro": Plan("5/day"), "closed": Plan(None, access=False), "any": Plan(None)},
        default_plan="any",
        rules=[Rule("/v1/admin", scopes=["admin"])],
    )
    return clock


def told(door: Door) -> list[Event]:
    events: list[Event] = []
    door.gate.on_event(events.append)
    return events


def verdict(door: Door, key: str, path: str = "/v1/things", **named: Any) -> tuple[int, str | None]:
    answer = door.get(path, key=key, **named)
    return answer.status, answer.code


OK = (200, None)
SUSPENDED, REVOKED, EXPIRED = (401, "suspended_api_key"), (401, "revoked_api_key"), (401, "expired_api_key")
INVALID = (401, "invalid_api_key")


# Suspension


def test_a_suspended_key_is_refused_until_it_is_resumed(door: Door, clock: Clock) -> None:
    issued = door.create()
    assert verdict(door, issued.secret) == OK
    door.run(door.gate.keys.asuspend, issued.key.id)
    answer = door.get(key=issued.secret)
    assert (answer.status, answer.code) == SUSPENDED
    assert 'error="invalid_token"' in str(answer.header("www-authenticate"))
    door.run(door.gate.keys.aresume, issued.key.id)
    assert verdict(door, issued.secret) == OK


def test_revoked_comes_before_suspended_and_suspended_before_expired(door: Door, clock: Clock) -> None:
    issued = door.create(expires_at=clock.moment(60))
    door.run(door.gate.keys.asuspend, issued.key.id)
    clock.now += 60
    assert verdict(door, issued.secret) == SUSPENDED
    door.run(door.gate.keys.arevoke, issued.key.id)
    assert verdict(door, issued.secret) == REVOKED


def test_who_has_not_proved_the_secret_learns_nothing_of_a_suspension(door: Door, clock: Clock) -> None:
    issued = door.create()
    door.run(door.gate.keys.asuspend, issued.key.id)
    wrong = issued.secret[:-1] + ("a" if issued.secret[-1] != "a" else "b")
    assert verdict(door, wrong) == INVALID


def test_a_suspended_organization_or_project_refuses_all_its_keys_and_no_others(door: Door, clock: Clock) -> None:
    gate, run = door.gate, door.run
    made = run(gate.projects.acreate, "Shop", organization_id="acme")
    keys = {
        "project": made.issued.secret,
        "organization": door.create(organization_id="acme").secret,
        "other": door.create(organization_id="other").secret,
    }
    run(gate.organizations.acreate, "acme")

    def refused() -> set[str]:
        found = {name: verdict(door, secret) for name, secret in keys.items()}
        assert set(found.values()) <= {OK, SUSPENDED}
        return {name for name, each in found.items() if each == SUSPENDED}

    assert refused() == set()
    run(gate.projects.asuspend, made.project.id)
    assert refused() == {"project"}
    run(gate.organizations.asuspend, "acme")
    assert refused() == {"project", "organization"}
    run(gate.projects.aresume, made.project.id)
    assert refused() == {"project", "organization"}
    run(gate.organizations.aresume, "acme")
    assert refused() == set()


# Plans and their access


def test_a_key_without_a_plan_has_its_organizations_from_the_next_request_on(door: Door, clock: Clock) -> None:
    gate, run = door.gate, door.run
    issued, own = door.create(organization_id="acme"), door.create(organization_id="acme", plan="free")
    assert door.get(key=issued.secret).header("x-ratelimit-limit") is None
    run(gate.organizations.acreate, "acme", plan="pro")
    assert door.get(key=issued.secret).header("x-ratelimit-limit") == "5"
    assert door.get(key=own.secret).header("x-ratelimit-limit") == "2"
    run(gate.organizations.aset_plan, "acme", "free")
    answer = door.get(key=issued.secret)
    assert (answer.header("x-ratelimit-limit"), answer.header("x-ratelimit-remaining")) == ("2", "0")
    assert verdict(door, issued.secret) == (429, "rate_limited")
    run(gate.organizations.aset_plan, "acme", None)
    assert verdict(door, issued.secret) == OK
    assert door.host.calls[-1].admitted.principal.effective_plan is None


def test_a_plan_without_access_is_403_for_every_key_that_has_it(door: Door, clock: Clock) -> None:
    own, inherits = door.create(plan="closed"), door.create(organization_id="acme")
    door.run(door.gate.organizations.acreate, "acme", plan="closed")
    for issued in (own, inherits):
        assert verdict(door, issued.secret) == (403, "plan_required")
    assert door.host.calls == []
    door.run(door.gate.keys.aupdate, own.key.id, plan="any")
    assert verdict(door, own.secret) == OK


def test_the_keys_addresses_come_before_the_plans_access(door: Door, clock: Clock) -> None:
    issued = door.create(plan="closed", ip_allowlist=["192.0.2.1"])
    assert verdict(door, issued.secret) == (403, "ip_not_allowed")
    assert verdict(door, issued.secret, peer="192.0.2.1") == (403, "plan_required")


# What a key may be used for


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/things", 200),
        ("HEAD", "/v1/things", 200),
        ("GET", "/v1/", 200),
        ("GET", "/v1", 403),
        ("POST", "/v1/things", 403),
        ("POST", "/v2/jobs", 200),
        ("POST", "/v2/jobs/", 403),
        ("GET", "/v2/jobs", 403),
        ("get", "/v1/things", 403),
        ("GET", "/v1x", 403),
        ("GET", "/", 403),
        ("GET", "/v1/../v1/things", 403),
        ("GET", "/v1//things", 403),
        ("GET", "/v1/%2e%2e/things", 403),
        ("BREW", "/v1/things", 403),
    ],
)
def test_a_key_is_let_in_where_it_may_be_used(door: Door, clock: Clock, method: str, path: str, status: int) -> None:
    issued = door.create(may=["GET /v1/*", "POST /v2/jobs"])
    answer = door.get(path, key=issued.secret, method=method)
    assert answer.status == status
    if status == 403:
        assert door.host.calls == []
        assert 'error="insufficient_scope"' in str(answer.header("www-authenticate"))
        assert method == "HEAD" or answer.code == "insufficient_scope"


def test_a_method_that_a_header_names_is_nothing_that_a_key_may(door: Door, clock: Clock) -> None:
    issued = door.create(may=["GET /v1/*"])
    override = [("x-http-method-override", "DELETE")]
    assert verdict(door, issued.secret, headers=override) == (403, "insufficient_scope")
    assert verdict(door, door.create().secret, headers=override) == (403, "insufficient_scope")  # every rule's scopes


def test_scopes_come_before_uses_and_neither_replaces_the_other(door: Door, clock: Clock) -> None:
    may, scoped = door.create(may=["/v1/admin"]), door.create(may=["/v1/other"], scopes=["admin"])
    both = door.create(may=["/v1/admin"], scopes=["admin"])
    assert door.get("/v1/admin", key=may.secret).json["error"]["details"] == {"required_scopes": ["admin"]}
    assert door.get("/v1/admin", key=scoped.secret).json["error"]["details"] == {}
    assert verdict(door, both.secret, "/v1/admin") == OK


def test_other_uses_hold_from_the_next_request_on(door: Door, clock: Clock) -> None:
    issued = door.create(may=["GET /v1/*"])
    assert verdict(door, issued.secret) == OK
    door.run(door.gate.keys.aupdate, issued.key.id, may=["POST /v1/*"])
    assert verdict(door, issued.secret) == (403, "insufficient_scope")
    door.run(door.gate.keys.aupdate, issued.key.id, may=None)
    assert verdict(door, issued.secret) == OK


# Deleted projects


def test_the_keys_of_a_deleted_project_are_refused_on_the_next_request(door: Door, clock: Clock) -> None:
    deleted: list[str] = []
    door.open(on_project_deleted=lambda project: deleted.append(project.id))
    made = door.run(door.gate.projects.acreate, "Shop", organization_id="acme")
    second, other = door.create(project_id=made.project.id), door.create(organization_id="acme")
    assert [verdict(door, each.secret) for each in (made.issued, second, other)] == [OK, OK, OK]
    door.run(door.gate.projects.adelete, made.project.id)
    assert [verdict(door, each.secret) for each in (made.issued, second, other)] == [REVOKED, REVOKED, OK]
    assert deleted == [made.project.id]


# Rotation


def test_without_grace_the_old_secret_ends_at_once(door: Door, clock: Clock) -> None:
    issued = door.create()
    assert verdict(door, issued.secret) == OK  # its proof is remembered from here on
    again = door.run(door.gate.keys.arotate, issued.key.id)
    assert again.key.id == issued.key.id
    assert verdict(door, issued.secret) == INVALID
    assert verdict(door, again.secret) == OK


def test_within_its_grace_the_old_secret_is_let_in_and_at_its_end_no_more(door: Door, clock: Clock) -> None:
    issued = door.create()
    assert verdict(door, issued.secret) == OK
    again = door.run(door.gate.keys.arotate, issued.key.id, grace=60)
    for seconds, expected in ((0.0, OK), (59.999, OK), (60.0, EXPIRED), (3600.0, EXPIRED)):
        clock.now = NOW + seconds
        assert verdict(door, issued.secret) == expected
        assert verdict(door, again.secret) == OK


def test_the_old_secret_never_outlives_the_key(door: Door, clock: Clock) -> None:
    issued = door.create(expires_at=clock.moment(30))
    again = door.run(door.gate.keys.arotate, issued.key.id, grace=60, expires_at=None)
    clock.now += 30
    assert verdict(door, issued.secret) == EXPIRED
    assert verdict(door, again.secret) == OK


def test_a_second_rotation_ends_the_oldest_secret_at_once_and_says_so(door: Door, clock: Clock) -> None:
    first = door.create()
    second = door.run(door.gate.keys.arotate, first.key.id, grace=3600)
    third = door.run(door.gate.keys.arotate, first.key.id, grace=60)
    assert (second.replaced_at_once, third.replaced_at_once) == (False, True)
    assert [verdict(door, each.secret) for each in (first, second, third)] == [INVALID, OK, OK]
    clock.now += 60
    assert [verdict(door, each.secret) for each in (first, second, third)] == [INVALID, EXPIRED, OK]


def test_a_revocation_during_the_grace_ends_both_secrets(door: Door, clock: Clock) -> None:
    issued = door.create()
    again = door.run(door.gate.keys.arotate, issued.key.id, grace=60)
    assert [verdict(door, each.secret) for each in (issued, again)] == [OK, OK]
    door.run(door.gate.keys.arevoke, issued.key.id)
    assert [verdict(door, each.secret) for each in (issued, again)] == [REVOKED, REVOKED]


def test_a_rotated_key_keeps_its_windows(door: Door, clock: Clock) -> None:
    issued = door.create(plan="free")
    assert verdict(door, issued.secret) == OK
    again = door.run(door.gate.keys.arotate, issued.key.id, grace=60)
    assert door.get(key=again.secret).header("x-ratelimit-remaining") == "0"
    assert verdict(door, issued.secret) == (429, "rate_limited")


def test_the_old_secrets_use_is_told_once_a_minute_and_noted(door: Door, clock: Clock) -> None:
    issued = door.create()
    again = door.run(door.gate.keys.arotate, issued.key.id, grace=3600)
    assert verdict(door, again.secret) == OK
    events, now = told(door), [0.0]
    door.gate._order.callers._seldom = _sync.Seldom(lambda: now[0])
    for seconds, count in ((0.0, 1), (59.0, 1), (60.0, 2)):
        now[0] = seconds
        clock.now = NOW + 10 + seconds
        assert verdict(door, issued.secret) == OK
        assert verdict(door, again.secret) == OK
        found = [event for event in events if event.code == "grace_secret_used"]
        assert len(found) == count
        assert {(event.level, event.key_id) for event in found} == {(logging.WARNING, issued.key.id)}
    door.flush()
    assert door.run(door.gate.keys.aget, issued.key.id).grace_used_at == clock.moment(70)


# When a key ends


def test_the_end_of_what_was_presented_is_told_with_the_answer(door: Door, clock: Clock) -> None:
    endless, ending = door.create(), door.create(expires_at=clock.moment(86_400.5))
    again = door.run(door.gate.keys.arotate, ending.key.id, grace=60)
    ends = {each: door.get(key=each.secret).header("api-key-expires") for each in (endless, ending, again)}
    assert ends[endless] is None
    assert ends[ending] == "Thu, 15 Jan 2026 10:31:00 GMT"
    assert parsedate_to_datetime(str(ends[again])) == clock.moment(86_400)
    assert [call.admitted.principal.expires_at for call in door.host.calls] == [
        None,
        clock.moment(60),
        clock.moment(86_400.5),
    ]


def test_it_is_told_with_enveloped_answers_and_errors_of_the_app_too(door: Door) -> None:
    clock = Clock()
    door.open(clock=clock, envelope=True)
    issued = door.create(expires_at=clock.moment(60))
    assert door.get(key=issued.secret).header("api-key-expires") == "Thu, 15 Jan 2026 10:31:00 GMT"
    door.host.status = 404
    assert door.get(key=issued.secret).header("api-key-expires") == "Thu, 15 Jan 2026 10:31:00 GMT"


def test_that_a_key_ends_soon_is_told_once_a_day(door: Door) -> None:
    clock = Clock()
    door.open(clock=clock, expiry_notice=3 * 86_400)
    issued = door.create(expires_at=clock.moment(5 * 86_400))
    events = told(door)
    for hours in range(0, 119, 7):
        clock.now = NOW + hours * 3600
        assert verdict(door, issued.secret) == OK
        if not door.gate.needs_await:
            assert _sync.settled()
    found = [event for event in events if event.code == "expires_soon"]
    assert len(found) == 3
    assert {(event.level, event.key_id) for event in found} == {(logging.WARNING, issued.key.id)}


def test_every_change_is_told_as_an_event(door: Door, clock: Clock) -> None:
    events = told(door)
    issued = door.create()
    door.run(door.gate.keys.arotate, issued.key.id)
    door.run(door.gate.keys.arevoke, issued.key.id)
    found = [(event.code, event.level, event.key_id) for event in events]
    assert found == [(f"key.{each}", logging.INFO, issued.key.id) for each in ("create", "rotate", "revoke")]


# Purging


def test_a_purged_key_is_answered_like_one_that_never_was(door: Door, clock: Clock) -> None:
    issued, other = door.create(), door.create()
    door.run(door.gate.keys.arevoke, issued.key.id)
    clock.now += 7_776_000
    assert door.run(door.gate.apurge) == Purged()
    assert verdict(door, issued.secret) == REVOKED
    clock.now += 1
    assert door.run(door.gate.apurge).keys == 1
    assert verdict(door, issued.secret) == INVALID
    assert verdict(door, other.secret) == OK
    assert [entry.event for entry in door.run(door.gate.aaudit)] == ["store.purge"]
