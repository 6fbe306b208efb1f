"""What can be managed: every operation, over stores of each kind, on both doors."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import pytest

from keystile import (
    ConfigurationError,
    Gate,
    KeyLimitReached,
    KeyNotFound,
    KeystileError,
    NotFound,
    Plan,
    RecordChanged,
    Rule,
)
from keystile._sync import loop_beside
from keystile.exceptions import (
    ForceRequired,
    IdempotencyKeyReused,
    InvalidRequest,
    KeyNotActive,
    NotAllowed,
    StoreUnavailable,
)
from keystile.keys.changes.fields import UNSET
from keystile.manage import ALL, authority_of
from keystile.manage.operations import keys as managing
from keystile.manage.operations.calls import MOST_LISTED
from keystile.manage.operations.grants import LONGEST, MOST_ENTRIES
from keystile.model import Usage
from keystile.stores.memory import MemoryStore
from keystile.stores.sqlite import SQLiteStore
from tests.async_store import AsyncStore
from tests.managed import WAYS, Desk, desk, session
from tests.postgres_server import postgres_url  # noqa: F401
from tests.test_keyring import NOW, PEPPER, moment

MISSING = "0" * 12


@pytest.fixture(params=WAYS, ids="-".join)
def each(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Desk]:
    with desk(request.param, tmp_path, request) as found:
        yield found


@pytest.fixture
def one() -> Desk:
    return Desk(MemoryStore())


# The life of a key and of a project, as a managing key sees it


def test_a_project_and_its_keys_are_managed(each: Desk) -> None:
    who = each.manager()
    made = each.projects.create(who, "Shop", environment="staging")
    project, first = made.project, made.made
    assert first.secret.startswith("acme_stage_")
    assert (first.shown.key.project_id, first.shown.key.organization_id) == (project.id, "one")
    second = each.keys.create(who, "CI/CD", project_id=project.id, scopes=["a"])
    assert second.shown.key.environment == "staging"
    page = each.keys.list(who, project_id=project.id)
    assert [found.key.id for found in page.items] == [first.shown.key.id, second.shown.key.id]
    assert [found.id for found in each.projects.list(who).items] == [project.id]
    assert each.projects.get(who, project.id) == project
    renamed = each.projects.update(who, project.id, name="Store", revision=project.revision)
    assert (renamed.name, renamed.environment) == ("Store", "staging")
    revoked = each.keys.revoke(who, second.shown.key.id)
    assert revoked.state == "revoked"
    assert each.keys.revoke(who, second.shown.key.id) == revoked
    assert each.projects.delete(who, project.id).id == project.id
    assert each.keys.get(who, first.shown.key.id).state == "revoked"
    assert [deleted.id for deleted in each.deleted] == [project.id]
    with pytest.raises(NotFound):
        each.projects.get(who, project.id)


def test_a_key_straight_in_an_organization_is_managed(each: Desk) -> None:
    who = each.manager(owner_id="ann")
    made = each.keys.create(who, "CI", scopes=["a"], metadata={"team": "x"})
    key = made.shown.key
    assert (key.organization_id, key.project_id, key.owner_id, made.shown.state) == ("one", None, "ann", "active")
    assert each.keys.get(who, key.id) == made.shown
    changed = each.keys.update(who, key.id, name="CI 2", scopes=["b"], metadata=None)
    assert (changed.key.name, changed.key.scopes, changed.key.metadata) == ("CI 2", ("b",), {})
    again = each.keys.rotate(who, key.id, grace=60)
    assert [found.expires_at for found in again.shown.secrets] == [None, moment(60 + each.clock.now - NOW)]
    assert [found.hint for found in again.shown.secrets] == [again.secret[-4:], made.secret[-4:]]
    assert each.keys.suspend(who, key.id).state == "suspended"
    assert each.keys.resume(who, key.id).state == "active"
    assert each.keys.usage(who, key.id, step="day")[-1].admitted == 0
    assert each.keys.revoke(who, key.id).state == "revoked"
    for operation in (each.keys.update, each.keys.rotate, each.keys.suspend, each.keys.resume):
        with pytest.raises(KeyNotActive):
            operation(who, key.id)
    told = each.told(target=key.id)
    events = ("create", "update", "rotate", "suspend", "resume", "revoke")
    assert told == [(f"key.{event}", key.id) for event in events]


def test_the_audit_says_who_has_done_it_and_from_where(each: Desk) -> None:
    who = each.manager()
    made = each.keys.create(who, "CI")
    page = each.own.audit(who, target=made.shown.key.id)
    (entry,) = page.items
    assert entry.actor == ("key", who.id, "manager", "management", "192.0.2.1", "req_1")
    assert (entry.event, entry.organization_id, page.has_more) == ("key.create", "one", False)
    assert each.own.audit(who, limit=1).has_more


def test_a_person_may_be_told_as_coming_by_the_dashboard(one: Desk) -> None:
    call = one.call(session())
    page = one.run(_operations(one).keys.create, type(call)(call.authority, call.offload, via="dashboard"), "CI")
    (entry,) = one.gate.audit(target=page.shown.key.id)
    assert (entry.actor.type, entry.actor.id, entry.actor.via) == ("session", "u1", "dashboard")


def test_nothing_that_is_shown_holds_a_hash_and_no_repr_a_secret(each: Desk) -> None:
    who = each.manager()
    made = each.keys.create(who, "CI")
    again = each.keys.rotate(who, made.shown.key.id, grace=60)
    project = each.projects.create(who, "Shop")
    stored = each.host("keys", "get", made.shown.key.id)
    seen = repr([made, again, project, each.keys.list(who), each.own.whoami(who), each.own.audit(who)])
    assert made.secret not in seen
    assert again.secret not in seen
    assert [found for found in stored.hashes if str(found.hash) in seen] == []
    assert not [
        found for found in (made.shown, again.shown) if hasattr(found, "hashes") or hasattr(found.key, "hashes")
    ]


def test_lists_are_pages_and_are_filtered(one: Desk) -> None:
    who = one.manager()
    for number in range(5):
        one.clock.now += 1
        one.keys.create(who, f"key {number}")
    first = one.keys.list(who, search="key ", limit=3)
    assert ([found.key.name for found in first.items], first.has_more) == (["key 0", "key 1", "key 2"], True)
    second = one.keys.list(who, search="key ", limit=3, after=first.items[-1].key.id)
    assert ([found.key.name for found in second.items], second.has_more) == (["key 3", "key 4"], False)
    one.keys.suspend(who, first.items[0].key.id)
    assert [found.key.name for found in one.keys.list(who, state="suspended").items] == ["key 0"]
    assert one.keys.list(who, live=True, owner_id="nobody").items == ()
    for limit in (0, MOST_LISTED + 1, True, "5", None):
        for listing in (one.keys.list, one.projects.list, one.own.audit):
            with pytest.raises(ConfigurationError) as caught:
                listing(who, limit=limit)
            assert caught.value.key == "limit"


# Rights


ARGUMENTS: dict[str, tuple[Any, ...]] = {"create": ("new",), "list": (), "set_plan": ("pro",), "audit": ()}
READING = ["keys.list", "keys.get", "keys.usage", "keys.standing", "projects.list", "projects.get", "organizations.get"]
MANAGING = [
    *(f"keys.{name}" for name in ("create", "update", "rotate", "suspend", "resume", "revoke")),
    *(f"projects.{name}" for name in ("create", "update", "delete", "suspend", "resume")),
]
NEEDS = {
    **dict.fromkeys(READING, "keys:read"),
    **dict.fromkeys(MANAGING, "keys:manage"),
    "organizations.set_plan": "plans:manage",
    "own.audit": "audit:read",
}


def ask(found: Desk, operation: str, who: Any, id: str) -> Any:
    """Call an operation on what has this id."""
    noun, _, name = operation.partition(".")
    given = ARGUMENTS.get(name, () if operation == "organizations.get" else (id,))
    return getattr(getattr(found, noun), name)(who, *given)


def test_every_operation_is_listed_with_the_right_that_it_needs() -> None:
    operations = _operations(Desk(MemoryStore()))
    found = {
        f"{noun}.{name}"
        for noun in ("keys", "projects", "organizations")
        for name in dir(getattr(operations, noun))
        if not name.startswith("_")
    }
    assert found | {"own.audit"} == set(NEEDS)


@pytest.mark.parametrize("operation", NEEDS)
def test_without_its_right_an_operation_asks_no_store(operation: str) -> None:
    found = Desk(store := Counting())
    others = {right for right in NEEDS.values() if right != NEEDS[operation]}
    others -= {"keys:manage"} if NEEDS[operation] == "keys:read" else set()
    who = found.manager(scopes=sorted(others))
    store.calls.clear()
    with pytest.raises(NotAllowed) as caught:
        ask(found, operation, who, MISSING)
    assert (caught.value.code, caught.value.details) == (
        "insufficient_scope",
        {"required_scopes": [NEEDS[operation]]},
    )
    assert store.calls == []


@pytest.mark.parametrize("operation", NEEDS)
def test_a_managing_key_without_an_organization_may_only_ask_who_it_is(operation: str) -> None:
    found = Desk(store := Counting())
    who = found.manager(None, scopes=["keys:manage", "plans:manage", "audit:read"])
    foreign = found.key(None).id
    assert found.own.whoami(who).shown.key.id == who.id
    store.calls.clear()
    for asked in (foreign, MISSING):
        with pytest.raises(NotAllowed) as caught:
            ask(found, operation, who, asked)
        assert caught.value.code == "organization_required"
    assert store.calls == []


# What others have is not there


class Counting(MemoryStore):
    """A store that notes how it is called."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if callable(found) and not name.startswith("_") and name not in {"calls", "close"}:
            self.calls.append(name)
        return found


class Noting:
    """Notes what is called by name, whatever the store."""

    def __init__(self, inner: Any) -> None:
        self._inner, self.calls = inner, list[str]()
        self.blocking = False
        for name in dir(type(inner)):
            if not name.startswith("_") and callable(getattr(inner, name)):
                setattr(self, name, self._noting(name))

    def _noting(self, name: str) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:
            self.calls.append(name)
            return getattr(self._inner, name)(*args, **named)

        return call


def attacks(id: str) -> list[tuple[str, tuple[Any, ...], dict[str, Any]]]:
    """Every operation on every argument that takes the id of a key, a project or an organization."""
    keys = [("get", {}), ("usage", {}), ("standing", {}), ("update", {"name": "x"}), ("rotate", {}), ("suspend", {})]
    keys += [("resume", {}), ("revoke", {}), ("revoke", {"force": True}), ("update", {"name": "x", "revision": 1})]
    projects = [("get", {}), ("update", {"name": "x"}), ("delete", {}), ("delete", {"force": True}), ("suspend", {})]
    projects += [("resume", {}), ("resume", {"revision": 1})]
    return [
        *((f"keys.{name}", (id,), named) for name, named in keys),
        *((f"projects.{name}", (id,), named) for name, named in projects),
        ("keys.list", (), {"project_id": id}),
        ("keys.list", (), {"owner_id": id}),
        ("keys.list", (), {"after": id}),
        ("projects.list", (), {"after": id}),
        ("own.audit", (), {"target": id}),
        ("keys.create", ("new",), {"project_id": id}),
        ("keys.create", ("new",), {"project_id": id, "idempotency_key": "x"}),
        ("keys.update", ("OWN",), {"project_id": id}),
    ]


@pytest.mark.parametrize("number", range(len(attacks(""))), ids=lambda number: "-".join(_named(attacks("")[number])))
@pytest.mark.parametrize("by", ["key", "session"])
def test_what_others_have_is_answered_like_what_never_existed(number: int, by: str) -> None:
    store = Noting(MemoryStore())
    found = Desk(store)
    own = found.key("one", owner_id="OWNER")
    who = found.manager("one") if by == "key" else session(["one"])
    found.clock.now += 1
    project = found.project("two", id="theirs")
    foreign = [found.key("two", owner_id="them"), found.key(None), found.key("two", project_id=project.id)]
    found.host("keys", "revoke", found.key("two").id)
    found.clock.now += 1
    mine = found.key("one").id
    before = [found.host("keys", "get", key.id) for key in foreign]
    answers = {}
    for asked in [*(key.id for key in foreign), project.id, "them", MISSING, "nothing"]:
        operation, args, named = attacks(asked)[number]
        store.calls.clear()
        answer = outcome(found, operation, who, [own.id if each == "OWN" else each for each in args], named)
        answers[asked] = (answer.replace(asked, "ID"), store.calls.copy())
    assert len({repr(each) for each in answers.values()}) == 1, answers
    assert [found.host("keys", "get", key.id) for key in foreign] == before
    assert found.host("projects", "get", project.id) == project
    assert found.host("keys", "get", mine).state(found.gate.keys._records.now()) == "active"


def outcome(found: Desk, operation: str, who: Any, args: list[Any], named: dict[str, Any]) -> str:
    noun, _, name = operation.partition(".")
    try:
        return repr(getattr(getattr(found, noun), name)(who, *args, **named))
    except NotFound as error:
        return f"{type(error).__name__} {error} {error.args} {error.kind} {error.id}"


def test_organizations_of_others_are_not_there_either(each: Desk) -> None:
    each.host("organizations", "create", "one", plan="free")
    each.host("organizations", "create", "two", plan="free")
    who = session(["one", "three"], {"keys:manage", "plans:manage", "audit:read"})
    said = set()
    for asked in ("two", "never"):
        calls: list[Callable[[], Any]] = [
            lambda asked=asked: each.organizations.get(who, asked),
            lambda asked=asked: each.organizations.set_plan(who, "pro", organization_id=asked),
            lambda asked=asked: each.keys.list(who, organization_id=asked),
            lambda asked=asked: each.projects.list(who, organization_id=asked),
            lambda asked=asked: each.own.audit(who, organization_id=asked),
            lambda asked=asked: each.keys.create(who, "new", organization_id=asked),
            lambda asked=asked: each.projects.create(who, "new", organization_id=asked),
        ]
        for call in calls:
            with pytest.raises(NotFound) as caught:
                call()
            said.add(str(caught.value).replace(asked, "ID"))
    assert said == {"no organization has the id 'ID'"}
    assert each.host("organizations", "get", "two").plan == "free"
    assert each.told(organization_id="two") == [("organization.create", "two")]


def test_two_organizations_never_see_each_other_in_lists(each: Desk) -> None:
    sides = {name: each.manager(name) for name in ("one", "two")}
    for name, who in sides.items():
        each.keys.create(who, f"of {name}", owner_id=None)
        each.projects.create(who, f"of {name}")
    for name, who in sides.items():
        assert {found.key.organization_id for found in each.keys.list(who).items} == {name}
        assert {found.organization_id for found in each.projects.list(who).items} == {name}
        assert {entry.organization_id for entry in each.own.audit(who).items} == {name}


# Organizations


def test_a_plan_is_set_by_those_who_may(each: Desk) -> None:
    each.host("organizations", "create", "one", plan="free")
    plain, planner = each.manager(), each.manager(scopes=["plans:manage", "keys:read"])
    found = each.organizations.get(planner)
    assert each.organizations.set_plan(planner, "pro", revision=found.revision).plan == "pro"
    with pytest.raises(RecordChanged):
        each.organizations.set_plan(planner, "free", revision=found.revision)
    with pytest.raises(NotAllowed):
        each.organizations.set_plan(plain, "free")
    with pytest.raises(ConfigurationError) as caught:
        each.organizations.set_plan(planner, "gold")
    assert caught.value.key == "plan"
    assert each.organizations.get(plain).plan == "pro"


def test_a_session_of_several_organizations_says_which(one: Desk) -> None:
    who = session(["one", "two"], {"keys:manage", "plans:manage", "audit:read"})
    for call in (one.keys.list, one.projects.list, one.own.audit, one.organizations.get):
        with pytest.raises(ConfigurationError) as caught:
            call(who)
        assert caught.value.key == "organization_id"
    made = one.keys.create(who, "new", organization_id="two", owner_id="bob")
    assert (made.shown.key.organization_id, made.shown.key.owner_id) == ("two", "bob")
    assert [found.key.id for found in one.keys.list(who, organization_id="two").items] == [made.shown.key.id]


def test_a_session_that_sees_all_organizations_sees_keys_of_none(one: Desk) -> None:
    who, key = session(ALL), one.key(None)
    assert one.keys.get(who, key.id).key.id == key.id
    assert [found.key.id for found in one.keys.list(who).items] == [key.id]
    assert one.keys.create(who, "new").shown.key.organization_id is None
    with pytest.raises(ConfigurationError) as caught:
        one.projects.create(who, "new")
    assert caught.value.key == "organization_id"


# Nobody grants more than they hold


def too_much(call: Callable[[], Any], key: str) -> None:
    with pytest.raises(NotAllowed) as caught:
        call()
    assert (caught.value.code, caught.value.key) == ("more_than_held", key)


@pytest.mark.parametrize(
    ("holder", "asked", "key"),
    [
        ({}, {"scopes": ["a", "c"]}, "scopes"),
        ({}, {"scopes": ["plans:manage"]}, "scopes"),
        ({"ip_allowlist": ["10.0.0.0/8"]}, {"ip_allowlist": None}, "ip_allowlist"),
        ({"ip_allowlist": ["10.0.0.0/8"]}, {"ip_allowlist": ["10.0.0.1", "192.0.2.1"]}, "ip_allowlist"),
        ({"ip_allowlist": ["10.0.0.0/8"]}, {"ip_allowlist": ["10.0.0.0/7"]}, "ip_allowlist"),
        ({"expires_at": moment(60)}, {"expires_at": None}, "expires_at"),
        ({"expires_at": moment(60)}, {"expires_at": moment(61)}, "expires_at"),
        ({"may": ["GET /v1/*"]}, {"may": None}, "may"),
        ({"may": ["GET /v1/*"]}, {"may": ["/v1/*"]}, "may"),
        ({"may": ["GET /v1/*"]}, {"may": ["GET /v1/a", "GET /v2"]}, "may"),
    ],
    ids=str,
)
def test_a_key_is_made_with_no_more_than_its_maker_holds(
    one: Desk, holder: dict[str, Any], asked: dict[str, Any], key: str
) -> None:
    who = one.manager(**holder)
    for call in (lambda: one.keys.create(who, "new", **asked), lambda: one.projects.create(who, "new", key=asked)):
        too_much(call, key)
    assert [found.name for found in one.gate.keys.list()] == ["manager"]


def test_bounds_that_are_not_said_are_those_of_the_maker(each: Desk) -> None:
    who = each.manager(ip_allowlist=["10.0.0.0/8"], expires_at=moment(60), may=["GET /v1/*"], owner_id="ann")
    for made in (each.keys.create(who, "new"), each.projects.create(who, "new").made):
        key = made.shown.key
        assert (key.ip_allowlist, key.expires_at, key.may) == (("10.0.0.0/8",), moment(60), ("GET /v1/*",))
        assert (key.owner_id, key.scopes) == ("ann", ())
    narrow = each.keys.create(who, "new", ip_allowlist=["10.1.0.0/16"], expires_at=moment(5), may=["GET /v1/a"])
    assert (narrow.shown.key.ip_allowlist, narrow.shown.key.expires_at) == (("10.1.0.0/16",), moment(5))


@pytest.mark.parametrize("asked", [{"plan": "pro"}, {"limits": "1/day"}])
def test_a_plan_and_limits_are_given_by_those_who_manage_plans(one: Desk, asked: dict[str, Any]) -> None:
    plain, planner = one.manager(), one.manager(scopes=["keys:manage", "plans:manage"])
    key = one.key()
    for call in (
        lambda: one.keys.create(plain, "new", **asked),
        lambda: one.projects.create(plain, "new", key=asked),
        lambda: one.keys.update(plain, key.id, **asked),
    ):
        with pytest.raises(NotAllowed) as caught:
            call()
        assert caught.value.required_scopes == ("plans:manage",)
    made = one.keys.create(planner, "new", **asked).shown.key
    assert {name: getattr(made, name) for name in asked} == asked
    # What stays as it is may be said; taking it away is a change like any other.
    assert one.keys.update(plain, made.id, name="x", **asked).key.name == "x"
    with pytest.raises(NotAllowed):
        one.keys.update(plain, made.id, **dict.fromkeys(asked))


@pytest.mark.parametrize("name", ["organization_id", "owner_id"])
def test_a_managing_key_does_not_say_whose_a_key_is(one: Desk, name: str) -> None:
    who, key = one.manager(), one.key()
    for call in (
        lambda: one.keys.create(who, "new", **{name: "one"}),
        lambda: one.keys.update(who, key.id, **{name: "one"}),
        lambda: one.keys.update(session(ALL), key.id, **{name: "one"}),
    ):
        with pytest.raises(ConfigurationError) as caught:
            call()
        assert caught.value.key == name


@pytest.mark.parametrize("name", ["id", "hashes", "revision", "created_at", "revoked_at", "suspended_at", "nothing"])
def test_what_is_no_member_to_be_set_is_refused_by_name(one: Desk, name: str) -> None:
    who, key = one.manager(), one.key()
    for call in (
        lambda: one.keys.create(who, "new", **{name: "x"}),
        lambda: one.projects.create(who, "new", key={name: "x"}),
        *([lambda: one.keys.update(who, key.id, **{name: "x"})] if name != "revision" else []),
    ):
        with pytest.raises(ConfigurationError) as caught:
            call()
        assert caught.value.key in {name, f"key.{name}"}
    assert one.told() == [("key.create", who.id), ("key.create", key.id)]


@pytest.mark.parametrize(
    ("target", "narrower", "wider", "key"),
    [
        ({"scopes": ["a", "c"]}, {"scopes": ["c"]}, {"scopes": ["a", "b", "c"]}, "scopes"),
        ({"scopes": ["a", "c"]}, {"name": "x"}, {"expires_at": moment(30)}, None),
        ({"ip_allowlist": ["192.0.2.0/24"]}, {"ip_allowlist": ["192.0.2.1"]}, {"ip_allowlist": None}, "ip_allowlist"),
        ({"expires_at": moment(90)}, {"expires_at": moment(80)}, {"expires_at": moment(91)}, "expires_at"),
        ({"may": ["/v2/*"]}, {"may": ["GET /v2/*"]}, {"may": ["/*"]}, "may"),
        ({"scopes": ["c"], "ip_allowlist": ["10.0.0.1"]}, {}, {"ip_allowlist": ["10.0.0.0/8"]}, "scopes"),
    ],
    ids=str,
)
def test_a_key_that_holds_more_is_narrowed_and_never_widened(
    one: Desk, target: dict[str, Any], narrower: dict[str, Any], wider: dict[str, Any], key: str | None
) -> None:
    who = one.manager(ip_allowlist=["10.0.0.0/8"], expires_at=moment(60), may=["/v1/*"])
    bounds = {"ip_allowlist": ["10.0.0.0/16"], "expires_at": moment(30), "may": ["/v1/x"]}
    found = one.key(**bounds | target)
    assert one.keys.update(who, found.id, **narrower).key.id == found.id
    if key is not None:
        too_much(lambda: one.keys.update(who, found.id, **wider), key)
    else:
        assert one.keys.update(who, found.id, **wider).key.expires_at == moment(30)


@pytest.mark.parametrize(
    ("target", "key"),
    [
        ({"scopes": ["c"]}, "scopes"),
        ({"ip_allowlist": None}, "ip_allowlist"),
        ({"expires_at": None}, "expires_at"),
        ({"may": None}, "may"),
    ],
    ids=str,
)
def test_the_secret_of_a_key_that_holds_more_is_not_handed_out(one: Desk, target: dict[str, Any], key: str) -> None:
    who = one.manager(ip_allowlist=["10.0.0.0/8"], expires_at=moment(60), may=["/v1/*"])
    bounds = {"ip_allowlist": ["10.0.0.0/16"], "expires_at": moment(30), "may": ["/v1/x"]}
    found = one.key(**bounds | target)
    one.keys.suspend(who, found.id)
    too_much(lambda: one.keys.rotate(who, found.id), key)
    too_much(lambda: one.keys.resume(who, found.id), key)
    assert one.gate.keys.get(found.id).hashes == found.hashes
    assert one.keys.revoke(who, found.id).state == "revoked"
    held = one.key(**bounds)
    too_much(lambda: one.keys.rotate(who, held.id, expires_at=None), "expires_at")
    too_much(lambda: one.keys.rotate(who, held.id, expires_at=moment(61)), "expires_at")
    assert one.keys.rotate(who, held.id, expires_at=moment(60)).shown.key.expires_at == moment(60)


@pytest.mark.parametrize("suspended", ["project", "key"])
def test_a_key_that_holds_more_does_not_come_back_by_another_project(one: Desk, suspended: str) -> None:
    who, project, other = one.manager(), one.project(), one.project()
    strong, plain = (one.key(project_id=project.id, scopes=scopes) for scopes in (["c"], ["a"]))
    if suspended == "project":
        one.host("projects", "suspend", project.id)
    else:
        one.host("keys", "suspend", strong.id)
    for place in (None, other.id):
        too_much(lambda place=place: one.keys.update(who, strong.id, project_id=place), "scopes")  # type: ignore[misc]
    assert one.keys.update(who, strong.id, name="still there").state == "suspended"
    assert one.keys.update(who, plain.id, project_id=other.id).key.project_id == other.id


def test_what_a_key_holds_is_judged_as_it_is_when_its_secret_is_made(one: Desk) -> None:
    """Its scopes grow between the judgement and the write."""
    who, key = one.manager(), one.key(scopes=["a"])
    ring, grown = one.gate.keys, []
    rotate = ring.rotate

    def late(*args: Any, **named: Any) -> Any:
        if not grown:
            grown.append(ring.update(key.id, scopes=["a", "c"]))
        return rotate(*args, **named)

    ring.rotate = late  # type: ignore[method-assign]
    too_much(lambda: one.keys.rotate(who, key.id), "scopes")
    assert one.gate.keys.get(key.id).hashes == key.hashes


@pytest.mark.parametrize(
    ("operation", "named"),
    [("update", {"name": "x"}), ("rotate", {}), ("suspend", {}), ("resume", {})],
    ids=str,
)
def test_a_managing_key_does_not_change_itself(each: Desk, operation: str, named: dict[str, Any]) -> None:
    who = each.manager()
    with pytest.raises(NotAllowed) as caught:
        getattr(each.keys, operation)(who, who.id, **named)
    assert caught.value.code == "own_key"
    assert each.told() == [("key.create", who.id)]


def test_another_project_of_the_same_organization_takes_a_key_and_one_of_others_does_not(one: Desk) -> None:
    who, key = one.manager(), one.key()
    own, other = one.project("one"), one.project("two")
    assert one.keys.update(who, key.id, project_id=own.id).key.project_id == own.id
    with pytest.raises(NotFound):
        one.keys.update(who, key.id, project_id=other.id)
    assert one.keys.update(who, key.id, project_id=None).key.organization_id == "one"


# Locking oneself out


def test_the_last_key_that_manages_an_organization_is_revoked_only_with_force(each: Desk) -> None:
    first, second = each.manager(), each.manager()
    suspended, elsewhere = each.manager(), each.manager("two")
    each.host("keys", "suspend", suspended.id)
    each.host("keys", "revoke", each.manager().id)
    plain = each.key()
    assert each.keys.revoke(first, plain.id).state == "revoked"
    assert each.keys.revoke(first, second.id).state == "revoked"
    assert each.keys.revoke(first, second.id).state == "revoked"
    with pytest.raises(ForceRequired):
        each.keys.revoke(first, first.id)
    assert each.keys.get(first, first.id).state == "active"
    assert each.keys.revoke(first, first.id, force=True).state == "revoked"
    assert each.keys.get(elsewhere, elsewhere.id).state == "active"


@pytest.mark.parametrize(("others", "found"), [(3, True), (4, False)])
def test_another_managing_key_is_looked_for_so_far(
    one: Desk, others: int, found: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(managing, "PAGE", 2)
    monkeypatch.setattr(managing, "MOST_PAGES", 2)
    for _ in range(others):
        one.key()
    one.manager()
    who = one.manager()
    with nullcontext() if found else pytest.raises(ForceRequired):
        one.keys.revoke(who, who.id)


def test_a_person_revokes_the_last_managing_key_without_more_ado(one: Desk) -> None:
    assert one.keys.revoke(session(), one.manager().id).state == "revoked"


def test_a_project_of_the_key_that_asks_is_deleted_only_with_force_and_not_suspended(each: Desk) -> None:
    project = each.project("one")
    who = each.manager("one", project_id=project.id)
    with pytest.raises(ForceRequired):
        each.projects.delete(who, project.id)
    with pytest.raises(NotAllowed) as caught:
        each.projects.suspend(who, project.id)
    assert caught.value.code == "own_key"
    assert each.projects.get(who, project.id) == project
    assert each.projects.delete(who, project.id, force=True) == project
    assert each.host("keys", "get", who.id).revoked_at is not None


def test_a_project_is_suspended_and_resumed(each: Desk) -> None:
    who, project = each.manager(), each.project("one")
    key = each.key("one", project_id=project.id)
    assert each.projects.suspend(who, project.id).suspended_at is not None
    assert each.keys.get(who, key.id).state == "suspended"
    assert each.projects.resume(who, project.id).suspended_at is None
    assert each.keys.get(who, key.id).state == "active"


# Revisions


def test_a_change_that_was_worked_out_from_another_revision_is_refused(each: Desk) -> None:
    who = each.manager()
    made = each.keys.create(who, "new").shown
    key_id, seen = made.key.id, made.revision
    now = each.keys.update(who, key_id, name="x", revision=seen)
    for operation in ("update", "rotate", "suspend", "resume", "revoke"):
        with pytest.raises(RecordChanged):
            getattr(each.keys, operation)(who, key_id, revision=seen)
    project = each.projects.create(who, "new").project
    renamed = each.projects.update(who, project.id, name="x", revision=project.revision)
    for operation in ("update", "suspend", "resume", "delete"):
        with pytest.raises(RecordChanged):
            getattr(each.projects, operation)(who, project.id, revision=project.revision)
    assert each.keys.revoke(who, key_id, revision=now.revision).state == "revoked"
    assert each.projects.delete(who, project.id, revision=renamed.revision) == renamed


def test_others_that_go_on_changing_a_key_are_told(one: Desk) -> None:
    who, key = one.manager(), one.key()
    ring = one.gate.keys
    update = ring.update

    def late(*args: Any, **named: Any) -> Any:
        update(key.id, metadata={"at": one.clock.now})
        one.clock.now += 1
        return update(*args, **named)

    ring.update = late  # type: ignore[method-assign]
    with pytest.raises(RecordChanged):
        one.keys.update(who, key.id, name="x")
    assert one.gate.keys.get(key.id).name == "key"


# Creation that may be repeated


def test_the_same_request_makes_one_key_and_shows_its_secret_once(each: Desk) -> None:
    who = each.manager()
    asked = {"scopes": ["a"], "metadata": {"a": [1, {"ü": None}]}, "idempotency_key": "once"}
    first = each.keys.create(who, "new", **asked)
    again = each.keys.create(who, "new", **asked)
    assert (first.replayed, again.replayed, again.secret) == (False, True, None)
    assert again.shown == first.shown
    assert each.told() == [("key.create", who.id), ("key.create", first.shown.key.id)]
    for other in ({"scopes": ["b"]}, {"metadata": None}, {"name": "other"}, {"environment": "staging"}):
        with pytest.raises(IdempotencyKeyReused):
            each.keys.create(who, **{"name": "new"} | asked | other)
    assert len(each.told()) == 2


def test_the_same_request_makes_one_project_and_shows_its_secret_once(each: Desk) -> None:
    who = each.manager()
    asked = {"environment": "staging", "key": {"scopes": ["a"]}, "idempotency_key": "once"}
    first = each.projects.create(who, "new", **asked)
    again = each.projects.create(who, "new", **asked)
    assert (first.made.replayed, again.made.replayed, again.made.secret) == (False, True, None)
    assert (again.project, again.made.shown) == (first.project, first.made.shown)
    for other in ({"environment": "production"}, {"key": None}, {"name": "other"}):
        with pytest.raises(IdempotencyKeyReused):
            each.projects.create(who, **{"name": "new"} | asked | other)
    assert [event for event, _ in each.told()] == ["key.create", "project.create", "key.create"]
    each.projects.delete(who, first.project.id)
    with pytest.raises(IdempotencyKeyReused):
        each.projects.create(who, "new", **asked)


def test_an_idempotency_key_is_its_callers_own(one: Desk) -> None:
    callers = [one.manager(), one.manager(), one.manager("two"), session(), session(["two"])]
    made = [one.keys.create(who, "new", idempotency_key="once").shown.key.id for who in callers]
    assert len({*made}) == len(callers)
    project = one.projects.create(callers[0], "new", idempotency_key="once")
    assert not project.made.replayed


def test_a_key_is_the_same_after_it_was_changed_revoked_or_should_have_ended(one: Desk) -> None:
    who = one.manager()
    asked = {"expires_at": moment(60), "idempotency_key": "once"}
    made = one.keys.create(who, "new", **asked)
    one.keys.update(who, made.shown.key.id, name="other", scopes=["a"])
    assert one.keys.create(who, "new", **asked).shown.key.name == "other"
    one.clock.now += 100
    assert one.keys.create(who, "new", **asked).shown.state == "expired"
    one.keys.revoke(who, made.shown.key.id)
    assert one.keys.create(who, "new", **asked).shown.state == "revoked"


def test_long_metadata_is_compared_to_its_end(one: Desk) -> None:
    who = one.manager()
    asked = {"metadata": {"long": "x" * 2000 + "a"}, "idempotency_key": "once"}
    one.keys.create(who, "new", **asked)
    assert one.keys.create(who, "new", **asked).replayed
    with pytest.raises(IdempotencyKeyReused):
        one.keys.create(who, "new", **asked | {"metadata": {"long": "x" * 2000 + "b"}})


def test_a_key_in_a_project_is_the_same_too(each: Desk) -> None:
    who, project = each.manager(), each.project("one", environment="staging")
    asked = {"project_id": project.id, "idempotency_key": "once"}
    first = each.keys.create(who, "new", **asked)
    assert each.keys.create(who, "new", **asked).shown == first.shown
    with pytest.raises(IdempotencyKeyReused):
        each.keys.create(who, "new", idempotency_key="once")


def test_an_id_that_somebody_else_took_is_not_shown(one: Desk) -> None:
    who = one.manager()
    made = one.keys.create(who, "new", idempotency_key="once").shown.key.id
    for organization in ("two", "one"):
        fresh = Desk(MemoryStore())
        fresh.host("keys", "create", "new", organization_id=organization, id=made)
        with pytest.raises(IdempotencyKeyReused):
            fresh.keys.create(who, "new", idempotency_key="once")


@pytest.mark.parametrize("kind", ["memory", "sqlite", "postgresql", "redis"])
@pytest.mark.parametrize("noun", ["keys", "projects"])
def test_many_at_once_make_one_within_its_cap(
    kind: str, noun: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    plans = {"few": Plan(max_keys=2, cap_by=["organization"])}
    with desk((kind, "wsgi"), tmp_path, request, plans=plans, default_plan="few") as found:
        who, start = found.manager(), threading.Barrier(8)

        def create(_number: int) -> Any:
            start.wait()
            return getattr(found, noun).create(who, "new", idempotency_key="once")

        with ThreadPoolExecutor(8) as pool:
            answers = [getattr(each, "made", each) for each in pool.map(create, range(8))]
        assert sum(not each.replayed for each in answers) == 1
        assert [each.secret is None for each in answers] == [each.replayed for each in answers]
        assert len({each.shown.key.id for each in answers}) == 1
        assert [event for event, _ in found.told()].count("key.create") == 2
        assert getattr(found, noun).create(who, "new", idempotency_key="once") is not None
        with pytest.raises(KeyLimitReached):
            getattr(found, noun).create(who, "new", idempotency_key="twice")


@pytest.mark.parametrize("noun", ["keys", "projects"])
def test_whoever_comes_second_between_look_and_write_gets_the_first_ones(one: Desk, noun: str) -> None:
    who, inner, first = one.manager(), getattr(one.gate, noun), list[Any]()
    create, operation = inner.create, getattr(one, noun).create

    def late(*args: Any, **named: Any) -> Any:
        if not first:
            inner.create = create
            first.append(operation(who, "new", idempotency_key="once"))
        return create(*args, **named)

    inner.create = late
    second = operation(who, "new", idempotency_key="once")
    made = [getattr(each, "made", each) for each in (first[0], second)]
    assert [each.replayed for each in made] == [False, True]
    assert made[0].shown == made[1].shown
    assert made[1].secret is None


@pytest.mark.parametrize("text", ["", "x" * 256, "ü", "a\n", "a\0", 5, b"x"])
def test_an_idempotency_key_is_short_and_ascii(one: Desk, text: Any) -> None:
    who = one.manager()
    for call in (one.keys.create, one.projects.create):
        with pytest.raises(InvalidRequest) as caught:
            call(who, "new", idempotency_key=text)
        assert caught.value.parameter == "Idempotency-Key"
    assert one.told() == [("key.create", who.id)]
    assert one.keys.create(who, "new", idempotency_key="x" * 255).secret


def test_where_ids_follow_from_secrets_nothing_can_be_repeated() -> None:
    store = MemoryStore()
    gate = Gate(store, key_format="opaque", peppers=[PEPPER])
    found = Desk(store, key_format="opaque", prefix=None, hasher="argon2id")
    who = authority_of(gate.keys.create("boss", organization_id="one", scopes=["keys:manage"]).key.principal)
    with pytest.raises(InvalidRequest) as caught:
        found.keys.create(who, "new", idempotency_key="once")
    assert caught.value.parameter == "Idempotency-Key"
    with pytest.raises(ConfigurationError) as wrong:
        gate.keys.create("new", id="0" * 12)
    assert wrong.value.key == "id"
    assert found.keys.create(who, "new").secret


@pytest.mark.parametrize("id", ["", "0" * 11, "0" * 13, "ü" * 12, "0" * 11 + "_", 5])
def test_an_id_that_no_key_can_have_is_refused(one: Desk, id: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        one.gate.keys.create("new", id=id)
    assert caught.value.key == "id"


# Bounds


@pytest.mark.parametrize("name", ["scopes", "may", "ip_allowlist", "limits"])
def test_a_list_has_so_many_entries_of_so_many_characters(one: Desk, name: str) -> None:
    who, key = one.manager(scopes=["keys:manage", "plans:manage"]), one.key()
    values = {"scopes": "a{}", "may": "/v1/a{}", "ip_allowlist": "10.0.{}.0/24", "limits": "{}/minute"}
    many, long = [values[name].format(number) for number in range(MOST_ENTRIES + 1)], ["x" * (LONGEST + 1)]
    for given in (many, long, long[0]):
        for call in (
            lambda given=given: one.keys.create(who, "new", **{name: given}),
            lambda given=given: one.projects.create(who, "new", key={name: given}),
            lambda given=given: one.keys.update(who, key.id, **{name: given}),
        ):
            with pytest.raises(ConfigurationError) as caught:
                call()
            assert caught.value.key == name


NONSENSE: list[Any] = [[], {}, 5, True, 1.5, "", "\0", "x" * 201, ["x"], [5], {"x": 5}, object(), b"x"]


MEMBERS = ("name", "project_id", "organization_id", "owner_id", "environment", "plan", "limits", "scopes", "may")
MEMBERS += ("ip_allowlist", "expires_at", "metadata")
OF_ONE = {"organization_id": "one"}
# Operations with what they are given, and the arguments that may be anything in its place.
TAKERS: list[tuple[str, tuple[Any, ...], dict[str, Any], tuple[str, ...]]] = [
    ("keys.create", (), {"name": "x"} | OF_ONE, MEMBERS),
    ("keys.update", ("KEY",), {}, (*MEMBERS, "revision")),
    ("keys.rotate", ("KEY",), {}, ("grace", "expires_at", "revision")),
    ("keys.revoke", (MISSING,), {}, ("force", "revision")),
    ("keys.usage", ("KEY",), {}, ("start", "end", "step")),
    ("keys.list", (), OF_ONE, ("organization_id", "project_id", "owner_id", "state", "search", "after", "limit")),
    *((f"keys.{name}", (), {}, ("key_id",)) for name in ("get", "update", "rotate", "suspend", "resume", "standing")),
    ("projects.create", (), {"name": "x"} | OF_ONE, ("name", "organization_id", "environment", "key")),
    ("projects.update", ("PROJECT",), {}, ("name", "environment", "revision")),
    ("projects.delete", (MISSING,), {}, ("force", "revision")),
    ("projects.list", (), OF_ONE, ("organization_id", "after", "limit")),
    *((f"projects.{name}", (), {}, ("project_id",)) for name in ("get", "update", "delete", "suspend", "resume")),
    ("organizations.get", (), {}, ("organization_id",)),
    ("organizations.set_plan", (), {"plan": "pro"} | OF_ONE, ("plan", "organization_id", "revision")),
    ("own.audit", (), OF_ONE, ("organization_id", "target", "event", "after", "limit")),
]


@pytest.mark.parametrize("value", NONSENSE, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("taker", TAKERS, ids=lambda taker: taker[0])
def test_a_value_of_any_kind_is_taken_or_refused_and_breaks_nothing(one: Desk, taker: Any, value: Any) -> None:
    operation, args, given, names = taker
    who = session(["one", "two"], {"keys:manage", "plans:manage", "audit:read"})
    known = {"KEY": one.key().id, "PROJECT": one.project().id}
    noun, _, called = operation.partition(".")
    for name in names:
        with suppress(KeystileError):
            getattr(getattr(one, noun), called)(who, *(known.get(each, each) for each in args), **given | {name: value})


@pytest.mark.parametrize("value", NONSENSE, ids=lambda value: type(value).__name__)
def test_a_first_key_of_any_kind_is_taken_or_refused_and_breaks_nothing(one: Desk, value: Any) -> None:
    for name in MEMBERS:
        with suppress(KeystileError):
            one.projects.create(session(), "x", key={name: value})


# Standing


def test_whoami_says_what_a_caller_may_where_it_stands_and_what_it_used(each: Desk) -> None:
    who = each.manager(plan="free")
    found = each.own.whoami(who)
    assert found.authority == who
    assert (found.shown.key.id, found.shown.state) == (who.id, "active")
    windows = {(usage.window.unit, usage.window.limit, usage.remaining) for usage in found.usages}
    assert windows == {("", 60, 60), ("tokens", 100, 100)}
    assert (found.used[0].start.day, found.used[-1].start.day) == (1, moment().day)
    person = each.own.whoami(session())
    assert (person.authority.id, person.shown, person.usages, person.used) == ("u1", None, (), ())


def test_any_key_may_ask_who_it_is(each: Desk) -> None:
    for organization in ("one", None):
        who = each.manager(organization, scopes=[])
        assert each.own.whoami(who).shown.key.id == who.id


def test_where_a_key_stands_is_shown_and_not_counted(one: Desk) -> None:
    found = Desk(MemoryStore(), rules=[Rule("/v1/exports", limits="10/hour")])
    who, key = found.manager(), found.key(plan="free")
    for _ in range(2):
        windows = {(each.window.scope, each.window.unit): each.remaining for each in found.keys.standing(who, key.id)}
        assert windows == {("", ""): 60, ("/v1/exports", ""): 10, ("", "tokens"): 100}
    assert one.keys.standing(one.manager(), one.key().id) == ()


def test_a_key_whose_plan_is_gone_stands_nowhere(tmp_path: Path) -> None:
    path = tmp_path / "keys.db"
    key = Desk(SQLiteStore(path)).key(plan="pro")
    later = Desk(SQLiteStore(path), plans={})
    assert later.keys.standing(later.manager(), key.id) == ()


# Stores


def test_a_record_that_cannot_be_read_is_told_as_such(tmp_path: Path) -> None:
    found = Desk(SQLiteStore(tmp_path / "keys.db"))
    who, key = found.manager(), found.key()
    with found.gate._shop.store._file.write() as connection:  # type: ignore[attr-defined]
        connection.execute("UPDATE keystile_keys SET hashes = '5' WHERE id = ?", (key.id,))
    with pytest.raises(StoreUnavailable):
        found.keys.get(who, key.id)


def test_an_async_store_without_a_loop_is_named_and_waited_for_beside_one() -> None:
    found = Desk(AsyncStore())
    with pytest.raises(ConfigurationError) as caught:
        found.keys.list(session())
    assert caught.value.key == "store"
    with loop_beside():
        who = found.manager()
        made = found.keys.create(who, "new", idempotency_key="once")
        assert found.keys.create(who, "new", idempotency_key="once").shown == made.shown
        assert found.own.whoami(who).shown.key.id == who.id


def test_an_async_limiter_is_asked_where_it_can_be_waited_for() -> None:
    class Limiter:
        async def hit(self, _subject: str, charges: Any) -> Any:
            raise AssertionError

        async def peek(self, _subject: str, windows: Any) -> Any:
            return tuple(Usage(window, 5, 0.0, 0.0) for window in windows)

        refund = reset = hit

        async def close(self) -> None:
            pass

    for way in ("asyncio", "trio"):
        found = Desk(MemoryStore(), way, limiter=Limiter())
        assert [each.remaining for each in found.own.whoami(found.manager(plan="pro")).usages] == [5]
    found = Desk(MemoryStore(), limiter=Limiter())
    who = found.manager(plan="pro")
    with pytest.raises(ConfigurationError) as caught:
        found.own.whoami(who)
    assert caught.value.key == "limiter"
    with loop_beside():
        assert [each.remaining for each in found.own.whoami(who).usages] == [5]


def test_values_that_stay_are_not_given(one: Desk) -> None:
    who, key = one.manager(), one.key()
    assert one.keys.update(who, key.id, name=UNSET, scopes=UNSET).key == one.gate.keys.get(key.id).principal
    with pytest.raises(KeyNotFound):
        one.keys.update(who, MISSING, name=UNSET)


def _operations(found: Desk) -> Any:
    from keystile.manage.operations import Operations

    return Operations(found.gate)


def _named(attack: tuple[str, tuple[Any, ...], dict[str, Any]]) -> list[str]:
    operation, args, named = attack
    return [operation, *(str(each) for each in args if each), *named]
