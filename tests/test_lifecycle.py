"""What a service does with keys, projects and organizations, blocking and awaited, over each kind of store."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from keystile import ConfigurationError, Gate, Plan, StoreUnavailable
from keystile.exceptions import KeyLimitReached, KeyNotActive, KeyNotFound, NotFound, RecordChanged
from keystile.keys.changes.fields import UNSET
from keystile.keys.organizations import Organizations
from keystile.keys.projects import Projects
from keystile.keys.ring import KeyRing
from keystile.model import Actor, ApiKey, AuditEntry, Target
from keystile.model.audit import numbered
from keystile.stores.memory import MemoryStore
from tests.test_keyring import PEPPER, STORES, WAYS, Clock, moment

WHO = Actor("session", "u1", "Ann", "management", "192.0.2.1", "req_1")
PLANS = {
    "free": Plan("60/minute", max_keys=2),
    "owned": Plan(None, max_keys=1, cap_by=["organization", "owner"], when_full="revoke_oldest"),
    "pro": Plan("1000/minute"),
}


class Service:
    """A gate whose operations are called by one of their two names."""

    def __init__(self, store: Any, way: str = "sync", **settings: Any) -> None:
        self.clock, self.deleted = Clock(), list[Any]()
        given = {"prefix": "acme", "peppers": [PEPPER], "hasher": "hmac-sha256", "clock": self.clock, "plans": PLANS}
        self.gate, self.way = Gate(store, **given | {"on_project_deleted": self.deleted.append} | settings), way
        self.keys, self.projects = _Named(self, self.gate.keys), _Named(self, self.gate.projects)
        self.organizations, self.audit = _Named(self, self.gate.organizations), _Named(self, self.gate).audit

    def told(self, **wanted: Any) -> list[tuple[str, str]]:
        """The events of the audit and the ids of their targets, the oldest first."""
        return [(entry.event, entry.targets[0].id) for entry in reversed(self.audit(**wanted))]


class _Named:
    def __init__(self, service: Service, inner: Any) -> None:
        self.service, self.inner = service, inner

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if self.service.way == "sync":
            method: Callable[..., Any] = getattr(self.inner, name)
            return method
        awaited = getattr(self.inner, f"a{name}")

        async def run(*args: Any, **named: Any) -> Any:
            return await awaited(*args, **named)

        return lambda *args, **named: anyio.run(lambda: run(*args, **named), backend=self.service.way)


@pytest.fixture(params=WAYS, ids="-".join)
def service(request: pytest.FixtureRequest, tmp_path: Path) -> Service:
    store, way = request.param
    return Service(STORES[store](tmp_path), way)


# Updates


def test_an_update_sets_what_is_given_and_keeps_the_rest(service: Service) -> None:
    key = service.keys.create("CI", plan="free", scopes=["a"], limits="1/day", metadata={"a": 1}).key
    changed = service.keys.update(
        key.id, plan="pro", limits=None, may=["GET /v1/*", "GET /v1/*"], expires_at=moment(60)
    )
    assert (changed.plan, changed.limits, changed.may, changed.expires_at) == ("pro", None, ("GET /v1/*",), moment(60))
    assert (changed.name, changed.scopes, changed.metadata, changed.hashes) == ("CI", ("a",), {"a": 1}, key.hashes)
    assert service.keys.get(key.id) == changed
    cleared = service.keys.update(key.id, plan=None, may=None, expires_at=None, ip_allowlist=["10.0.0.0/8"], scopes=[])
    assert (cleared.plan, cleared.may, cleared.expires_at, cleared.scopes) == (None, None, None, ())
    assert cleared.ip_allowlist == ("10.0.0.0/8",)


def test_what_changes_nothing_writes_and_tells_nothing(service: Service) -> None:
    key = service.keys.create("CI").key
    before = service.keys.get(key.id).revision
    assert service.keys.update(key.id) == key
    assert service.keys.update(key.id, name="CI", plan=None, scopes=[]) == key
    assert service.keys.resume(key.id) == key
    assert service.keys.get(key.id).revision == before
    assert service.told() == [("key.create", key.id)]


BAD = [
    ({"name": ""}, "name"),
    ({"name": None}, "name"),
    ({"environment": "live"}, "environment"),
    ({"plan": "gold"}, "plan"),
    ({"limits": "often"}, "limits"),
    ({"scopes": None}, "scopes"),
    ({"scopes": "a"}, "scopes"),
    ({"may": []}, "may"),
    ({"may": "GET /v1"}, "may"),
    ({"may": ["v1"]}, "may"),
    ({"may": ["get /v1"]}, "may"),
    ({"may": ["WS"]}, "may"),
    ({"may": ["/v1/../x"]}, "may"),
    ({"may": [f"/{number}" for number in range(101)]}, "may"),
    ({"ip_allowlist": []}, "ip_allowlist"),
    ({"expires_at": moment()}, "expires_at"),
    ({"metadata": 7}, "metadata"),
    ({"actor": "me"}, "actor"),
    ({"actor": Actor("somebody")}, "actor.type"),  # type: ignore[arg-type]
    ({"actor": Actor(via="phone")}, "actor.via"),  # type: ignore[arg-type]
    ({"actor": Actor(name="a\nb")}, "actor.name"),
]


@pytest.mark.parametrize(("given", "key"), BAD)
def test_a_bad_value_is_named_and_changes_nothing(given: dict[str, Any], key: str) -> None:
    service = Service(MemoryStore())
    made = service.keys.create("CI").key
    for call in (lambda: service.keys.update(made.id, **given), lambda: service.keys.create(**{"name": "CI"} | given)):
        with pytest.raises(ConfigurationError) as caught:
            call()
        assert caught.value.key == key
    assert service.keys.list() == [made]


@pytest.mark.parametrize(
    "name", ["id", "hashes", "revision_id", "created_at", "revoked_at", "organization_id", "owner_id"]
)
def test_nothing_else_can_be_changed(name: str) -> None:
    service = Service(MemoryStore())
    made = service.keys.create("CI").key
    with pytest.raises(TypeError):
        service.keys.update(made.id, **{name: "x"})


def test_a_key_that_has_ended_is_not_changed_any_more(service: Service) -> None:
    revoked, expired = service.keys.create("a").key, service.keys.create("b", expires_at=moment(10)).key
    service.keys.revoke(revoked.id)
    service.clock.now += 10
    for key, state in ((revoked, "revoked"), (expired, "expired")):
        for operation, given in (("update", {"expires_at": None}), ("rotate", {}), ("suspend", {}), ("resume", {})):
            with pytest.raises(KeyNotActive) as caught:
                getattr(service.keys, operation)(key.id, **given)
            assert (caught.value.key_id, caught.value.state, caught.value.code) == (key.id, state, "key_not_active")
    assert service.keys.get(expired.id).expires_at == moment(10)
    service.keys.revoke(expired.id)
    assert service.keys.get(expired.id).revoked_at == moment(10)


def test_a_change_of_another_revision_is_refused(service: Service) -> None:
    key = service.keys.create("CI").key
    seen = service.keys.get(key.id).revision
    service.keys.update(key.id, name="first", revision=seen)
    with pytest.raises(RecordChanged) as caught:
        service.keys.update(key.id, name="second", revision=seen)
    assert (caught.value.kind, caught.value.id, caught.value.code) == ("key", key.id, "precondition_failed")
    assert service.keys.get(key.id).name == "first"


def test_a_change_is_worked_out_anew_when_others_change_the_record(monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service(MemoryStore())
    key = service.keys.create("CI", metadata={"a": 1}).key
    store, times = service.gate._shop.store, [2]
    update = MemoryStore.update

    def raced(self: Any, *args: Any) -> Any:
        if times[0]:
            times[0] -= 1
            current = self.find(key.id)
            update(self, key.id, current.revision, {"name": f"raced {times[0]}"}, args[3])
        return update(self, *args)

    monkeypatch.setattr(MemoryStore, "update", raced)
    again = service.keys.rotate(key.id)
    assert (again.key.name, len(again.key.hashes)) == ("raced 0", 1)
    times[0] = 3
    with pytest.raises(RecordChanged):
        service.keys.rotate(key.id)
    assert store.find(key.id).hashes == again.key.hashes


def test_an_unknown_key_is_not_found(service: Service) -> None:
    for operation in ("get", "update", "rotate", "suspend", "resume", "revoke"):
        with pytest.raises(KeyNotFound):
            getattr(service.keys, operation)("unknown")
    assert service.told() == []


# Rotation


def test_a_rotation_gives_a_new_secret_and_keeps_everything_else(service: Service) -> None:
    first = service.keys.create("CI", plan="pro", environment="staging", scopes=["a"])
    again = service.keys.rotate(first.key.id, grace=60)
    assert again.secret != first.secret
    assert again.secret.startswith(f"acme_stage_{first.key.id}")
    assert [each.hint for each in again.key.hashes] == [again.secret[-4:], first.secret[-4:]]
    assert [each.expires_at for each in again.key.hashes] == [None, moment(60)]
    assert (again.key.plan, again.key.scopes, again.key.created_at) == ("pro", ("a",), first.key.created_at)
    assert service.keys.get(first.key.id) == again.key
    assert again.secret not in repr(again)
    assert service.keys.rotate(first.key.id, expires_at=moment(90)).key.expires_at == moment(90)


def test_a_suspended_key_stays_suspended_when_it_is_rotated(service: Service) -> None:
    key = service.keys.create("CI").key
    service.keys.suspend(key.id)
    assert service.keys.rotate(key.id).key.suspended_at == moment()


@pytest.mark.parametrize("grace", [-1, -0.001, 60.5, 1e9, float("nan"), float("inf"), "60", None, True, timedelta(1)])
def test_a_bad_grace_is_named(grace: Any) -> None:
    service = Service(MemoryStore(), max_grace=60)
    key = service.keys.create("CI").key
    with pytest.raises(ConfigurationError) as caught:
        service.keys.rotate(key.id, grace=grace)
    assert caught.value.key == "grace"
    assert len(service.keys.rotate(key.id, grace=60).key.hashes) == 2


def test_the_new_secret_never_ends_like_the_old_one(monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service(MemoryStore())
    first = service.keys.create("CI")
    key_format = service.gate._shop.key_format
    renew, given = type(key_format).renew, [first.secret, first.secret]

    def again(self: Any, *args: Any) -> str:
        return given.pop() if given else renew(self, *args)

    monkeypatch.setattr(type(key_format), "renew", again)
    second = service.keys.rotate(first.key.id, grace=60)
    assert given == []
    assert second.secret[-4:] != first.secret[-4:]


def test_keys_whose_format_cannot_renew_them_are_not_rotated() -> None:
    from keystile.keys.format import PrefixedFormat

    class Fixed:
        def __init__(self) -> None:
            self.inner = PrefixedFormat("acme")
            self.mint, self.parse = self.inner.mint, self.inner.parse

    service = Service(MemoryStore(), key_format=Fixed(), prefix=None)
    key = service.keys.create("CI").key
    with pytest.raises(ConfigurationError) as caught:
        service.keys.rotate(key.id)
    assert caught.value.key == "key_format"


# Projects and organizations


def test_a_project_comes_with_a_key_of_its_own(service: Service) -> None:
    made = service.projects.create("Shop", organization_id="acme", environment="staging", key={"scopes": ["a"]})
    assert made.project.id.startswith("proj_")
    assert service.projects.get(made.project.id) == made.project
    key = made.issued.key
    assert (key.project_id, key.organization_id, key.environment) == (made.project.id, "acme", "staging")
    assert (key.name, key.scopes) == ("default", ("a",))
    assert made.issued.secret.startswith("acme_stage_")
    assert made.issued.secret not in repr(made)
    another = service.keys.create("CI", project_id=made.project.id).key
    assert (another.organization_id, another.environment) == ("acme", "staging")
    assert (
        service.keys.create("live", project_id=made.project.id, environment="production").key.environment
        == "production"
    )
    assert {each.id for each in service.keys.list(project_id=made.project.id)} >= {key.id, another.id}


def test_projects_are_listed_updated_and_deleted(service: Service) -> None:
    shop = service.projects.create("Shop", organization_id="acme", id="shop").project
    other = service.projects.create("Other", organization_id="else", id="other").project
    assert {each.id for each in service.projects.list()} == {"shop", "other"}
    assert list(service.projects.list(organization_id="acme")) == [shop]
    assert service.projects.update("shop", name="Store", environment="development").name == "Store"
    assert service.projects.get("shop").environment == "development"
    service.projects.delete("shop")
    assert [each.id for each in service.deleted] == ["shop"]
    with pytest.raises(NotFound):
        service.projects.get("shop")
    assert [key.revoked_at for key in service.keys.list(project_id="shop")] == [moment()]
    assert list(service.projects.list()) == [other]
    for call in (
        lambda: service.projects.update("shop", name="x"),
        lambda: service.projects.suspend("shop"),
        lambda: service.keys.create("CI", project_id="shop"),
        lambda: service.projects.delete("unknown"),
    ):
        with pytest.raises(NotFound):
            call()
    with pytest.raises(ConfigurationError) as caught:
        service.projects.create("Again", organization_id="acme", id="shop")
    assert caught.value.key == "id"


def test_deleting_once_more_tells_the_host_once_more_and_writes_nothing(service: Service) -> None:
    service.projects.create("Shop", organization_id="acme", id="shop")
    service.projects.delete("shop")
    written = service.told()
    service.projects.delete("shop")
    assert [each.id for each in service.deleted] == ["shop", "shop"]
    assert service.told() == written


def test_the_host_is_told_of_a_deletion_when_it_is_written(tmp_path: Path) -> None:
    seen = []

    def look(project: Any) -> None:
        with pytest.raises(NotFound):
            service.projects.get(project.id)
        seen.append(project.name)
        raise OSError("the host's own")

    service = Service(f"sqlite:///{tmp_path}/keys.db", on_project_deleted=look)
    service.projects.create("Shop", organization_id="acme", id="shop")
    with pytest.raises(OSError, match="the host's own"):
        service.projects.delete("shop")
    assert seen == ["Shop"]


def test_an_async_function_of_the_host_is_awaited_and_refused_where_nobody_can() -> None:
    seen = []

    async def look(project: Any) -> None:
        await anyio.lowlevel.checkpoint()
        seen.append(project.id)

    service = Service(MemoryStore(), on_project_deleted=look)
    service.projects.create("Shop", organization_id="acme", id="shop")
    with pytest.raises(ConfigurationError) as caught:
        service.projects.delete("shop")
    assert caught.value.key == "on_project_deleted"
    assert service.projects.get("shop").id == "shop"
    anyio.run(service.gate.projects.adelete, "shop")
    assert seen == ["shop"]


def test_organizations_are_made_listed_and_changed(service: Service) -> None:
    acme = service.organizations.create("acme", plan="free")
    assert (acme.id, acme.name, acme.plan, acme.created_at) == ("acme", "acme", "free", moment())
    assert service.organizations.get("acme") == acme
    other = service.organizations.create("other", name="Other Ltd")
    assert set(service.organizations.list()) == {acme, other}
    assert service.organizations.update("acme", name="Acme Ltd").name == "Acme Ltd"
    assert service.organizations.set_plan("acme", "pro").plan == "pro"
    assert service.organizations.suspend("acme").suspended_at == moment()
    service.clock.now += 5
    assert service.organizations.suspend("acme").suspended_at == moment()
    assert service.organizations.resume("acme").suspended_at is None
    with pytest.raises(ConfigurationError) as caught:
        service.organizations.create("acme")
    assert caught.value.key == "id"
    with pytest.raises(ConfigurationError) as caught:
        service.organizations.set_plan("acme", "gold")
    assert caught.value.key == "plan"
    for operation in ("get", "update", "suspend", "resume"):
        with pytest.raises(NotFound):
            getattr(service.organizations, operation)("unknown")


@pytest.mark.parametrize(
    ("call", "key"),
    [
        (lambda each: each.projects.create("", organization_id="a"), "name"),
        (lambda each: each.projects.create("a", organization_id=""), "organization_id"),
        (lambda each: each.projects.create("a", organization_id=None), "organization_id"),
        (lambda each: each.projects.create("a", organization_id="a", environment="live"), "environment"),
        (lambda each: each.projects.create("a", organization_id="a", id=7), "id"),
        (lambda each: each.projects.create("a", organization_id="a", key="CI"), "key"),
        (lambda each: each.projects.create("a", organization_id="a", key={"project_id": "b"}), "key"),
        (lambda each: each.projects.create("a", organization_id="a", key={"scopes": "b"}), "scopes"),
        (lambda each: each.projects.create("a", organization_id="a", actor=7), "actor"),
        (lambda each: each.projects.list(limit=0), "limit"),
        (lambda each: each.projects.list(after=7), "after"),
        (lambda each: each.projects.get(7), "project_id"),
        (lambda each: each.projects.delete(""), "project_id"),
        (lambda each: each.organizations.create(""), "id"),
        (lambda each: each.organizations.create("a", name=""), "name"),
        (lambda each: each.organizations.create("a", plan="gold"), "plan"),
        (lambda each: each.organizations.list(limit=1001), "limit"),
        (lambda each: each.organizations.update(7, name="a"), "organization_id"),
        (lambda each: each.keys.create("CI", project_id="p", organization_id="else"), "organization_id"),
        (lambda each: each.audit(limit=0), "limit"),
        (lambda each: each.audit(target=7), "target"),
    ],
)
def test_a_bad_argument_of_theirs_is_named(call: Callable[[Service], Any], key: str) -> None:
    service = Service(MemoryStore())
    service.projects.create("P", organization_id="acme", id="p")
    before = service.told()
    with pytest.raises(ConfigurationError) as caught:
        call(service)
    assert caught.value.key == key
    assert service.told() == before


def test_a_key_that_moves_to_another_project_becomes_its_organizations(service: Service) -> None:
    service.projects.create("A", organization_id="acme", id="a", environment="staging")
    service.projects.create("B", organization_id="else", id="b")
    key = service.keys.create("CI", project_id="a").key
    moved = service.keys.update(key.id, project_id="b")
    assert (moved.project_id, moved.organization_id, moved.environment) == ("b", "else", "staging")
    with pytest.raises(NotFound):
        service.keys.update(key.id, project_id="c")
    left = service.keys.update(key.id, project_id=None)
    assert (left.project_id, left.organization_id) == (None, "else")


# Caps


def test_a_plan_says_how_many_keys_an_organization_may_have(service: Service) -> None:
    service.organizations.create("acme", plan="free")
    made = [service.keys.create(f"{number}", organization_id="acme").key for number in range(2)]
    for again in (
        lambda: service.keys.create("3", organization_id="acme"),
        lambda: service.projects.create("P", organization_id="acme"),
    ):
        with pytest.raises(KeyLimitReached) as caught:
            again()
        assert caught.value.details == {"limit": 2, "plan": "free", "cap_by": ["organization"]}
        assert caught.value.code == "key_limit_reached"
    service.keys.create("3", organization_id="else", plan="free")
    service.keys.create("4", organization_id="acme", plan="pro")
    service.keys.revoke(made[0].id)
    service.keys.revoke(made[1].id)
    service.keys.create("5", organization_id="acme")


def test_an_expired_key_makes_room(service: Service) -> None:
    service.keys.create("1", plan="free", expires_at=moment(10))
    service.keys.create("2", plan="free")
    with pytest.raises(KeyLimitReached):
        service.keys.create("3", plan="free")
    service.clock.now += 10
    service.keys.create("3", plan="free")


def test_the_oldest_key_of_the_same_owner_and_organization_makes_room(service: Service) -> None:
    first = service.keys.create("1", plan="owned", organization_id="acme", owner_id="ann").key
    others = [
        service.keys.create("2", plan="owned", organization_id="acme", owner_id="bob").key,
        service.keys.create("3", plan="owned", organization_id="else", owner_id="ann").key,
    ]
    service.clock.now += 1
    second = service.keys.create("4", plan="owned", organization_id="acme", owner_id="ann", actor=WHO)
    assert second.revoked == (first.id,)
    assert service.keys.get(first.id).revoked_at == moment(1)
    assert [service.keys.get(each.id).revoked_at for each in others] == [None, None]
    newest = service.audit(limit=2)
    assert [(each.event, each.actor.id, each.actor.via) for each in newest] == [
        ("key.revoke", "u1", "cap"),
        ("key.create", "u1", "management"),
    ]
    assert len({each.correlation_id for each in newest}) == 1


def test_another_plan_or_project_counts_as_one_more_key(service: Service) -> None:
    for number in range(2):
        service.keys.create(f"{number}", plan="free", organization_id="acme")
    key = service.keys.create("3", plan="pro", organization_id="acme").key
    with pytest.raises(KeyLimitReached):
        service.keys.update(key.id, plan="free")
    assert service.keys.update(key.id, name="renamed").plan == "pro"
    service.projects.create("P", organization_id="acme", id="p", key={"plan": "pro"})
    moving = service.keys.create("4", plan="free", organization_id="else").key
    with pytest.raises(KeyLimitReached):
        service.keys.update(moving.id, project_id="p")


# The audit


def test_every_change_is_told_with_who_made_it_and_what_it_changed(service: Service) -> None:
    key = service.keys.create("CI", organization_id="acme", scopes=["a"], actor=WHO).key
    service.clock.now += 1
    service.keys.update(key.id, name="CD", scopes=["b"], actor=WHO)
    entry = service.audit(limit=1)[0]
    assert entry == AuditEntry(
        id=entry.id,
        at=moment(1),
        event="key.update",
        actor=WHO,
        organization_id="acme",
        targets=(Target("key", key.id, "CI"),),
        before={"name": "CI", "scopes": ("a",)},
        after={"name": "CD", "scopes": ("b",)},
        correlation_id=entry.id,
    )
    created = service.audit(event="key.create")[0]
    assert created.before is None
    assert created.after == {
        "name": "CI",
        "organization_id": "acme",
        "environment": "production",
        "scopes": ("a",),
        "hashes": {"count": 1, "hints": (key.hashes[0].hint,)},
    }
    assert created.actor == WHO


def test_each_operation_has_its_event(service: Service) -> None:
    key = service.keys.create("CI").key
    for operation in ("rotate", "suspend", "resume", "revoke"):
        getattr(service.keys, operation)(key.id)
    service.projects.create("Shop", organization_id="acme", id="shop")
    service.projects.update("shop", name="Store")
    service.projects.suspend("shop")
    service.projects.resume("shop")
    service.organizations.create("acme")
    service.organizations.update("acme", name="Acme")
    service.organizations.set_plan("acme", "pro")
    service.organizations.suspend("acme")
    service.organizations.resume("acme")
    service.projects.delete("shop")
    told = sorted(event for event, _ in service.told())
    assert told == sorted(
        [f"key.{each}" for each in ("create", "rotate", "suspend", "resume", "revoke", "create", "revoke")]
        + [f"project.{each}" for each in ("create", "update", "suspend", "resume", "delete")]
        + [f"organization.{each}" for each in ("create", "update", "plan", "suspend", "resume")]
    )


def test_what_a_deleted_project_was_is_told(service: Service) -> None:
    service.projects.create("Shop", organization_id="acme", id="shop")
    service.projects.delete("shop", actor=WHO)
    [entry] = service.audit(event="project.delete")
    assert entry.before == {"organization_id": "acme", "name": "Shop", "environment": "production"}
    assert entry.after is None
    assert (entry.actor, entry.organization_id) == (WHO, "acme")


def test_entries_of_one_action_belong_together_and_ids_sort_by_time(service: Service) -> None:
    service.projects.create("Shop", organization_id="acme", id="shop", actor=WHO)
    first, second = reversed(service.audit())
    assert (first.event, second.event) == ("project.create", "key.create")
    assert first.correlation_id == second.correlation_id == first.id
    assert second.id == numbered(first.id, 1)
    service.clock.now += 0.001
    service.projects.update("shop", name="Store")
    assert [each.id for each in service.audit()] == sorted((each.id for each in service.audit()), reverse=True)
    assert {len(each.id) for each in service.audit()} == {30}


def test_no_entry_holds_a_secret_or_a_hash_and_long_metadata_is_cut(service: Service) -> None:
    issued = service.keys.create("CI", metadata={"a": "x" * 5000})
    again = service.keys.rotate(issued.key.id, grace=60)
    service.keys.update(issued.key.id, metadata={"b": "y"})
    service.keys.revoke(issued.key.id)
    text = json.dumps([[entry.before, entry.after] for entry in service.audit()])
    for each in (issued, again):
        assert each.secret not in text
        assert not any(hashed.hash in text for hashed in each.key.hashes)
    created = service.audit(event="key.create")[0]
    assert created.after is not None
    assert len(created.after["metadata"]["cut"]) == 1024
    rotated = service.audit(event="key.rotate")[0]
    assert rotated.after is not None
    assert rotated.after["hashes"]["count"] == 2


def test_the_audit_is_filtered_and_paged(service: Service) -> None:
    keys = [service.keys.create(f"{number}", organization_id="xy"[number % 2]).key for number in range(4)]
    service.clock.now += 1
    service.keys.suspend(keys[0].id)
    assert service.told(organization_id="x") == [
        *sorted([("key.create", keys[0].id), ("key.create", keys[2].id)], key=service.told(organization_id="x").index),
        ("key.suspend", keys[0].id),
    ]
    assert service.told(target=keys[0].id) == [("key.create", keys[0].id), ("key.suspend", keys[0].id)]
    assert service.told(event="key.suspend") == [("key.suspend", keys[0].id)]
    every = list(service.audit())
    assert len(every) == 5
    assert list(service.audit(after=every[1].id, limit=2)) == every[2:4]


# Stores that only find keys


class Finder:
    """A host's own table, as small as it can be."""

    blocking = False

    def __init__(self) -> None:
        self.keys: dict[str, ApiKey] = {}

    def find(self, key_id: str) -> ApiKey | None:
        return self.keys.get(key_id)


def test_over_a_store_that_only_finds_keys_the_gate_works_and_nothing_can_be_written() -> None:
    service, finder = Service(MemoryStore()), Finder()
    issued = service.keys.create("CI")
    finder.keys[issued.key.id] = issued.key
    other = Service(finder)
    assert other.keys.get(issued.key.id) == issued.key
    for call in (
        lambda: other.keys.create("CI"),
        other.keys.list,
        lambda: other.keys.revoke(issued.key.id),
        lambda: other.keys.rotate(issued.key.id),
        lambda: other.projects.create("P", organization_id="acme"),
        lambda: other.organizations.create("acme"),
        other.audit,
    ):
        with pytest.raises(ConfigurationError, match="only finds keys") as caught:
            call()
        assert caught.value.key == "store"
    other.gate.close()


def test_a_store_that_keeps_keys_must_have_all_that_belongs_to_it() -> None:
    class Half(Finder):
        def add(self, key: ApiKey) -> None: ...

    with pytest.raises(ConfigurationError, match="lacks update, revoke") as caught:
        Service(Half())
    assert caught.value.key == "store"


# The two names


@pytest.mark.parametrize("kind", [KeyRing, Projects, Organizations])
def test_each_operation_has_two_names_with_one_signature(kind: type) -> None:
    plain = [name for name, found in vars(kind).items() if not name.startswith("_") and hasattr(kind, f"a{name}")]
    assert len(plain) >= 7
    for name in plain:
        blocking, awaited = getattr(kind, name), getattr(kind, f"a{name}")
        assert inspect.signature(blocking) == inspect.signature(awaited)
        assert "offload" not in inspect.signature(blocking).parameters
        assert (blocking.__name__, awaited.__name__) == (name, f"a{name}")
        assert blocking.__qualname__ == f"{kind.__name__}.{name}"
        assert inspect.iscoroutinefunction(awaited)


def test_what_is_not_given_has_a_name_of_its_own() -> None:
    assert repr(UNSET) == "UNSET"


def test_a_store_that_is_down_says_so_for_owners_too(tmp_path: Path) -> None:
    service = Service(f"sqlite:///{tmp_path}/keys.db")
    service.gate.close()
    (tmp_path / "keys.db").unlink()
    for call in (
        lambda: service.projects.create("P", organization_id="acme"),
        lambda: service.organizations.set_plan("acme", None),
        service.audit,
    ):
        with pytest.raises(StoreUnavailable):
            call()
