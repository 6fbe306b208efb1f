"""What every key store promises of changes: under conditions, within caps, inherited, and told in the same step."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from keystile._ground.frozen import frozen
from keystile.exceptions import KeyLimitReached, NotFound
from keystile.model import Actor, Inherited, SecretHash, Target
from keystile.model.audit import numbered
from keystile.stores import AuditFilter, Cap, Written
from tests.sql_stores import SQL_STORES, mariadb_url, postgres_url, sql_store  # noqa: F401
from tests.stored import LOOPS, NEW, OLD, STORES, T0, Store, a_key, a_project, an_organization, in_a_loop, later, told

ID = "0123456789AB"
OF_O = (("organization_id", "o"),)


@pytest.fixture(params=[*STORES, *SQL_STORES, *LOOPS])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param in LOOPS:
        with in_a_loop(STORES[LOOPS[request.param]](tmp_path)) as found:
            yield found
        return
    if request.param not in STORES:
        with sql_store(request.param, request) as found:
            yield found
        return
    opened = Store(STORES[request.param](tmp_path), "trio" if "trio" in request.param else "asyncio")
    yield opened
    opened.close()


def events(store: Store, **wanted: Any) -> list[tuple[str, str]]:
    """What was told, the oldest first: the event and the id of its target."""
    found = store.list_audit(AuditFilter(**wanted), None, 1000)
    return [(each.event, each.targets[0].id) for each in reversed(found)]


# Changes


CHANGES: dict[str, Any] = {
    "name": "new",
    "organization_id": "other",
    "owner_id": "o2",
    "environment": "staging",
    "plan": "pro",
    "limits": "1/day",
    "scopes": ("a",),
    "may": ("GET /a",),
    "ip_allowlist": ("10.0.0.0/8",),
    "expires_at": later(9),
    "suspended_at": later(1),
    "metadata": {"a": 1},
    "hashes": (NEW, OLD),
}


def test_an_update_sets_what_it_names_and_nothing_else(store: Store) -> None:
    store.put(a_key())
    for name, value in CHANGES.items():
        before = store.find(ID)
        assert store.change(ID, **{name: value}) == replace(before, **{name: value})
        assert store.find(ID) == replace(before, **{name: value})


def test_none_clears(store: Store) -> None:
    store.put(a_key(**{name: CHANGES[name] for name in ("plan", "limits", "may", "ip_allowlist", "expires_at")}))
    store.change(ID, plan=None, limits=None, may=None, ip_allowlist=None, expires_at=None)
    assert store.find(ID) == a_key()


def test_an_update_of_what_was_changed_in_the_meantime_writes_nothing(store: Store) -> None:
    seen = store.put(a_key())
    store.change(ID, name="first")
    assert store.update(ID, seen.revision, {"name": "late"}, [told("key.update", ID)]) == Written(None)
    assert store.find(ID).name == "first"
    assert events(store) == [("key.create", ID), ("key.update", ID)]


@pytest.mark.parametrize("meantime", ["revoke", "rehash", "suspend"])
def test_any_change_is_one_in_the_meantime(store: Store, meantime: str) -> None:
    seen = store.put(a_key())
    if meantime == "revoke":
        store.end(ID, T0)
    elif meantime == "rehash":
        store.rehash(ID, OLD, SecretHash("$again", "oldX"))
    else:
        store.change(ID, suspended_at=T0)
    assert store.update(ID, seen.revision, {"hashes": (NEW,)}, [told("key.rotate", ID)]).record is None
    assert NEW not in store.find(ID).hashes


def test_a_use_is_none(store: Store) -> None:
    store.put(a_key(last_used_at=T0))
    seen = store.find(ID)
    store.touch(ID, later(60))
    assert store.update(ID, seen.revision, {"name": "new"}, [told("key.update", ID)]).record.name == "new"
    assert store.last_used(ID) == later(60)


def test_an_update_of_an_unknown_key_is_none(store: Store) -> None:
    assert store.update("unknown", 0, {"name": "new"}, [told("key.update", "unknown")]) == Written(None)
    assert events(store) == []


def test_each_record_has_another_revision_than_before(store: Store) -> None:
    store.put(a_key())
    seen = [store.find(ID).revision]
    for change in ({"name": "a"}, {"suspended_at": T0}, {"suspended_at": None}, {"name": "CI"}):
        store.change(ID, **change)
        seen.append(store.find(ID).revision)
    assert len(set(seen)) == len(seen)


# Uses of the older secret


def test_the_older_secrets_use_is_a_use_of_the_key_too(store: Store) -> None:
    store.put(a_key(hashes=(NEW, OLD)))
    store.touch(ID, later(1), True)
    store.touch(ID, later(2))
    store.touch(ID, later(0.5), True)
    assert (store.last_used(ID), store.last_used(ID, True)) == (later(2), later(1))
    assert store.shown(ID) == a_key(hashes=(NEW, OLD), last_used_at=later(2), grace_used_at=later(1))
    assert store.records() == [store.shown(ID)]


def test_a_later_use_of_it_leaves_the_record_what_it_is(store: Store) -> None:
    store.put(a_key(hashes=(NEW, OLD), last_used_at=T0))
    found = store.find(ID)
    store.touch(ID, later(60), True)
    assert store.find(ID) is found or "async" in store.backend


def test_a_rotation_forgets_it(store: Store) -> None:
    store.put(a_key(hashes=(NEW, OLD)))
    store.touch(ID, later(1), True)
    store.change(ID, hashes=(OLD,), grace_used_at=None)
    assert store.last_used(ID, True) is None
    assert store.shown(ID) == a_key(last_used_at=later(1))


# What is inherited


def test_a_key_inherits_from_its_organization(store: Store) -> None:
    store.put(a_key(organization_id="o"))
    assert store.find(ID).inherited == Inherited()
    store.add_organization(an_organization(plan="pro"), [told("organization.create", "o")])
    assert store.find(ID).inherited == Inherited("pro")
    assert store.find(ID).effective_plan == "pro"
    store.put(a_key("later", organization_id="o", plan="own"))
    assert store.find("later").inherited == Inherited("pro")
    assert store.find("later").effective_plan == "own"
    assert [key.inherited.plan for key in store.records()] == ["pro", "pro"]


def change_organization(store: Store, **changes: Any) -> Any:
    revision = store.find_organization("o").revision
    return store.update_organization("o", revision, changes, [told("organization.update", "o")]).record


def change_project(store: Store, **changes: Any) -> Any:
    revision = store.find_project("p").revision
    return store.update_project("p", revision, changes, [told("project.update", "p")]).record


def test_what_is_inherited_changes_on_the_next_look_and_makes_another_record(store: Store) -> None:
    store.add_organization(an_organization(plan="free"), [told("organization.create", "o")])
    store.put(a_key(organization_id="o", project_id="p", plan=None))
    seen = [store.find(ID)]
    change_organization(store, plan="pro")
    seen.append(store.find(ID))
    change_organization(store, suspended_at=later(2))
    seen.append(store.find(ID))
    change_project(store, suspended_at=later(1))
    seen.append(store.find(ID))
    change_project(store, suspended_at=None)
    seen.append(store.find(ID))
    change_organization(store, suspended_at=None)
    seen.append(store.find(ID))
    assert [tuple(key.inherited) for key in seen] == [
        ("free", None),
        ("pro", None),
        ("pro", later(2)),
        ("pro", later(1)),
        ("pro", later(2)),
        ("pro", None),
    ]
    assert len({id(key) for key in seen}) == len(seen)
    assert {key.plan for key in seen} == {None}


def test_nobody_inherits_from_somebody_elses_owner(store: Store) -> None:
    store.add_organization(an_organization(plan="pro", suspended_at=T0), [told("organization.create", "o")])
    store.put(a_key("a", organization_id="O"))
    store.put(a_key("b", owner_id="o"))
    store.put(a_key("c"))
    assert {store.find(each).inherited for each in "abc"} == {Inherited()}


def test_a_key_is_added_to_a_living_project_of_its_organization_only(store: Store) -> None:
    store.put(a_key(organization_id="o", project_id="p"))
    for project, organization in (("unknown", "o"), ("p", "other"), ("p", None)):
        key = a_key("new", organization_id=organization, project_id=project)
        with pytest.raises(NotFound) as caught:
            store.add(key, [told("key.create", "new")])
        assert (caught.value.kind, caught.value.id) == ("project", project)
    with pytest.raises(NotFound):
        store.change(ID, project_id="unknown")
    assert store.listed() == [ID]
    assert store.find(ID).project_id == "p"
    assert events(store) == [("key.create", ID)]


def test_a_change_that_names_a_keys_place_asks_for_its_project_and_no_other_does(store: Store) -> None:
    store.put(a_key(organization_id="o", project_id="p"))
    store.delete_project("p", T0, [told("project.delete", "p")])
    for changes in ({"organization_id": "o"}, {"project_id": "p"}, {"organization_id": "other"}):
        with pytest.raises(NotFound) as caught:
            store.change(ID, **changes)
        assert (caught.value.kind, caught.value.id) == ("project", "p")
    assert store.change(ID, name="ended").name == "ended"
    assert [event for event, _ in events(store)] == ["key.create", "project.delete", "key.revoke", "key.update"]
    assert store.change(ID, project_id=None, organization_id="other").organization_id == "other"


# Projects and organizations


def test_a_project_comes_with_its_key_or_not_at_all(store: Store) -> None:
    store.put(a_key("taken"))
    with pytest.raises(KeyError):
        store.add_project(
            a_project(), a_key("taken", organization_id="o", project_id="p"), [told("project.create", "p")]
        )
    assert store.find_project("p") is None
    store.put(a_key(organization_id="o", project_id="p"))
    with pytest.raises(KeyError):
        store.add_project(
            a_project(), a_key("more", organization_id="o", project_id="p"), [told("project.create", "p")]
        )
    assert store.find("more") is None
    assert store.find_project("p") == a_project()
    assert [event for event, _ in events(store)] == ["key.create", "key.create"]


def test_projects_are_changed_under_the_same_condition(store: Store) -> None:
    store.put(a_key(organization_id="o", project_id="p"))
    seen = store.find_project("p")
    assert change_project(store, name="new", environment="staging") == a_project(name="new", environment="staging")
    late = store.update_project("p", seen.revision, {"name": "late"}, [told("project.update", "p")])
    assert late == Written(None)
    assert store.update_project("unknown", 0, {"name": "x"}, [told("project.update", "x")]) == Written(None)
    assert store.find_project("p").name == "new"


def test_organizations_are_changed_under_the_same_condition(store: Store) -> None:
    made = store.add_organization(an_organization(), [told("organization.create", "o")]).record
    assert made == an_organization()
    with pytest.raises(KeyError):
        store.add_organization(an_organization(name="again"), [told("organization.create", "o")])
    assert change_organization(store, name="new", plan="pro") == an_organization(name="new", plan="pro")
    late = store.update_organization("o", made.revision, {"name": "late"}, [told("organization.update", "o")])
    assert late == Written(None)
    assert store.find_organization("o").name == "new"
    assert store.find_organization("unknown") is None


def test_projects_and_organizations_are_listed_by_age(store: Store) -> None:
    for number, (name, organization) in enumerate([("c", "x"), ("a", "y"), ("b", "x"), ("d", "x")]):
        project = a_project(name, organization, created_at=later(number // 2))
        key = a_key(f"key {name}", organization_id=organization, project_id=name)
        store.add_project(project, key, [told("project.create", name)])
        owner = an_organization(name, created_at=later(number // 2))
        store.add_organization(owner, [told("organization.create", name)])

    def listed(organization: str | None, after: str | None = None, limit: int = 10) -> list[str]:
        return [each.id for each in store.list_projects(organization, after, limit)]

    assert listed(None) == ["a", "c", "b", "d"]
    assert listed("x") == ["c", "b", "d"]
    assert listed("x", "c", 1) == ["b"]
    assert listed(None, "unknown") == []
    assert [each.id for each in store.list_organizations(None, 10)] == ["a", "c", "b", "d"]
    assert [each.id for each in store.list_organizations("c", 1)] == ["b"]
    assert store.list_organizations("unknown", 1) == []


def test_deleting_a_project_ends_its_keys_and_tells_of_each(store: Store) -> None:
    store.put(a_key("a", organization_id="o", project_id="p"))
    store.put(a_key("b", organization_id="o", project_id="p", name="B"))
    store.put(a_key("c", organization_id="o", project_id="p", revoked_at=T0))
    store.put(a_key("d", organization_id="o"))
    first = told("project.delete", "p", later(5), actor=Actor("session", "u"))
    done = store.delete_project("p", later(5), [first])
    assert done.record == a_project()
    assert [store.find(each).revoked_at for each in "abcd"] == [later(5), later(5), T0, None]
    assert store.find_project("p") is None
    assert store.list_projects(None, None, 10) == []
    assert [each.event for each in done.entries] == ["project.delete", "key.revoke", "key.revoke"]
    assert sorted(each.targets[0] for each in done.entries[1:]) == [Target("key", "a", "CI"), Target("key", "b", "B")]
    assert {each.correlation_id for each in done.entries} == {first.id}
    assert {each.actor for each in done.entries} == {first.actor}
    assert len({each.id for each in done.entries}) == 3
    assert store.delete_project("p", later(6), [told("project.delete", "p")]) == Written(a_project())
    assert store.delete_project("unknown", later(6), [told("project.delete", "unknown")]) == Written(None)
    with pytest.raises(NotFound):
        store.add(a_key("late", organization_id="o", project_id="p"), [told("key.create", "late")])
    assert store.listed(project_id="p") == ["a", "b", "c"]


def test_a_deleted_projects_id_is_not_given_again(store: Store) -> None:
    store.put(a_key("a", organization_id="o", project_id="p"))
    store.delete_project("p", T0, [told("project.delete", "p")])
    with pytest.raises(KeyError):
        store.add_project(a_project(), a_key("b", organization_id="o", project_id="p"), [told("project.create", "p")])


# Lists


def test_keys_are_listed_by_project_and_by_whether_they_live(store: Store) -> None:
    store.put(a_key("a", organization_id="o", project_id="p"))
    store.put(a_key("b", organization_id="o", project_id="p", revoked_at=T0))
    store.put(a_key("c", expires_at=later(10)))
    store.put(a_key("d", suspended_at=T0))
    assert store.listed(project_id="p") == ["a", "b"]
    assert store.listed(state=("live", later(10))) == ["a", "d"]
    assert store.listed(state=("live", later(9.999999))) == ["a", "c", "d"]
    assert store.listed(state=("live", later(10)), project_id="p", limit=1) == ["a"]


def test_keys_are_listed_by_the_state_that_they_are_in_at_a_moment(store: Store) -> None:
    store.add_organization(an_organization("out", suspended_at=T0), [told("organization.create", "out")])
    store.put(a_key("free", created_at=later(1)))
    store.put(a_key("ends", created_at=later(2), expires_at=later(10), suspended_at=T0))
    store.put(a_key("of p", created_at=later(3), organization_id="o", project_id="p"))
    store.put(a_key("of out", created_at=later(4), organization_id="out", expires_at=later(20)))
    store.put(a_key("gone", created_at=later(5), revoked_at=later(99), expires_at=T0, suspended_at=T0))
    states = "active", "suspended", "expired", "revoked"

    def by_state(at: float) -> list[list[str]]:
        return [store.listed(state=(each, later(at))) for each in states]

    assert by_state(9.999999) == [["free", "of p"], ["ends", "of out"], [], ["gone"]]
    assert by_state(10) == [["free", "of p"], ["of out"], ["ends"], ["gone"]]
    change_project(store, suspended_at=T0)
    assert by_state(20) == [["free"], ["of p"], ["ends", "of out"], ["gone"]]
    assert [[key.state(later(20)) for key in store.records(state=(each, later(20)))] for each in states] == [
        ["active"],
        ["suspended"],
        ["expired", "expired"],
        ["revoked"],
    ]
    assert store.listed(state=("expired", later(20)), after="ends") == ["of out"]
    assert store.listed(state=("suspended", later(20)), organization_id="o") == ["of p"]


LIKE = [
    ("ci", ["1CI", "2CI"]),
    ("CI/CD", ["1CI"]),
    ("1C", ["1CI"]),
    ("1c", []),
    ("aXb1", ["2CI"]),
    ("oldX", ["2CI", "per%"]),
    ("oldx", []),
    ("dX", []),
    ("$old", []),
    ("%", ["per%"]),
    ("_", ["und_"]),
    ("0%", ["per%"]),
    ("CI%", []),
    ("\\", ["back"]),
    ('"', ["back"]),
    ('", "', []),
    ("'", ["back"]),
    ("straße", ["und_"]),
    ("e", ["2CI", "per%", "und_"]),
    ("é", []),
    ("*", []),
    (" ", ["per%", "back"]),
]


def test_keys_are_listed_by_a_part_of_the_name_the_beginning_of_the_id_or_a_hint(store: Store) -> None:
    only = (SecretHash("$other", "9999"),)
    for key_id, name, hashes in [
        ("1CI", "Ci/cD", only),
        ("2CI", "deploy-cI", (SecretHash("$new", "aXb1"), SecretHash("$old", "oldX", T0, "$quick"))),
        ("per%", "100% sure", (OLD,)),
        ("und_", "a_Straße", only),
        ("back", 'it\'s \\"so"', only),
    ]:
        store.put(a_key(key_id, name=name, hashes=hashes, created_at=later(len(store.listed()))))
    assert {text: store.listed(search=text) for text, _ in LIKE} == dict(LIKE)
    assert store.listed(search="ci", organization_id="o") == []


def test_letters_of_other_alphabets_are_found_in_any_case_too(store: Store) -> None:
    store.put(a_key(name="Ключ Ω"))
    assert store.listed(search="кЛЮЧ ω") == [ID]
    assert store.listed(search="ключі") == []


def test_what_is_searched_comes_in_pages_without_gap_or_repeat(store: Store) -> None:
    for number in range(12):
        store.put(a_key(f"k{number:02d}", name="web" if number % 3 else "cron", created_at=later(number // 2)))
    pages, after = [], None
    while page := store.listed(after=after, limit=3, search="WEB"):
        pages.append(page)
        after = page[-1]
    assert pages == [["k01", "k02", "k04"], ["k05", "k07", "k08"], ["k10", "k11"]]


# Caps


def test_a_cap_refuses_one_more_and_writes_nothing(store: Store) -> None:
    cap = Cap(2, OF_O, plan="free")
    for each in "ab":
        store.put(a_key(each, organization_id="o"), cap)
    with pytest.raises(KeyLimitReached) as caught:
        store.put(a_key("c", organization_id="o"), cap)
    assert caught.value.details == {"limit": 2, "plan": "free", "cap_by": ["organization"]}
    assert store.listed() == ["a", "b"]
    assert len(events(store)) == 2
    store.put(a_key("d", organization_id="other"), Cap(2, (("organization_id", "other"),)))


@pytest.mark.parametrize(
    "other",
    [
        {"organization_id": "x"},
        {"organization_id": None},
        {"owner_id": "v"},
        {"owner_id": None},
        {"revoked_at": T0},
        {"expires_at": T0},
    ],
)
def test_what_is_somebody_elses_or_no_longer_live_is_not_counted(store: Store, other: dict[str, Any]) -> None:
    cap = Cap(1, (("organization_id", "o"), ("owner_id", "u")))
    store.put(a_key("a", **{"organization_id": "o", "owner_id": "u"} | other))
    store.put(a_key("b", organization_id="o", owner_id="u"), cap)
    with pytest.raises(KeyLimitReached):
        store.put(a_key("c", organization_id="o", owner_id="u"), cap)


@pytest.mark.parametrize("live", [{"suspended_at": T0}, {"expires_at": T0 + timedelta(microseconds=1)}])
def test_what_is_still_live_is_counted(store: Store, live: dict[str, Any]) -> None:
    store.put(a_key("a", organization_id="o", **live))
    with pytest.raises(KeyLimitReached):
        store.put(a_key("b", organization_id="o"), Cap(1, OF_O))


def test_keys_of_nobody_are_counted_together(store: Store) -> None:
    cap = Cap(1, (("owner_id", None),))
    store.put(a_key("a", organization_id="x"), cap)
    with pytest.raises(KeyLimitReached):
        store.put(a_key("b"), cap)


def test_a_cap_may_revoke_the_oldest_instead_and_tells_so(store: Store) -> None:
    for number, each in enumerate("cab"):
        store.put(a_key(each, organization_id="o", created_at=later(number // 2)))
    first = told("key.create", "new", later(9), actor=Actor("session", "u", via="management"))
    done = store.add(a_key("new", organization_id="o", created_at=later(9)), [first], Cap(2, OF_O, replaces=True))
    assert [each.targets[0].id for each in done.entries] == ["new", "a", "c"]
    assert [each.actor.via for each in done.entries] == ["management", "cap", "cap"]
    assert [each.id for each in done.entries] == [numbered(first.id, number) for number in range(3)]
    assert {each: store.find(each).revoked_at for each in ("a", "c", "b", "new")} == {
        "a": later(9),
        "c": later(9),
        "b": None,
        "new": None,
    }
    assert events(store)[-3:] == [("key.create", "new"), ("key.revoke", "a"), ("key.revoke", "c")]


def test_a_change_counts_as_one_more_but_never_against_itself(store: Store) -> None:
    cap = Cap(2, OF_O)
    store.put(a_key("a", organization_id="o"), cap)
    store.put(a_key("b", organization_id="o"), cap)
    assert store.change("b", cap, plan="pro").plan == "pro"
    store.put(a_key("c"))
    with pytest.raises(KeyLimitReached):
        store.change("c", cap, organization_id="o")
    assert store.find("c").organization_id is None
    assert store.change("c", cap._replace(replaces=True), organization_id="o").organization_id == "o"
    assert [store.find(each).revoked_at is None for each in "abc"] == [False, True, True]


def test_a_cap_that_counts_others_does_not_count_the_key_from_then_on(store: Store) -> None:
    store.put(a_key("a", organization_id="o"))
    store.put(a_key("b"), Cap(2, OF_O))
    store.put(a_key("c", organization_id="o"), Cap(2, OF_O))
    with pytest.raises(KeyLimitReached):
        store.put(a_key("d"), Cap(2, OF_O))


def test_a_project_is_capped_with_its_key(store: Store) -> None:
    store.put(a_key("a", organization_id="o"))
    with pytest.raises(KeyLimitReached):
        store.put(a_key("b", organization_id="o", project_id="p"), Cap(1, OF_O))
    assert store.find_project("p") is None


@pytest.mark.parametrize(("replaces", "kept"), [(False, 5), (True, 5)])
@pytest.mark.parametrize("kind", ["memory", "sqlite", "redis", "redis cluster"])
def test_as_many_as_are_made_at_once_a_cap_holds(tmp_path: Path, kind: str, replaces: bool, kept: int) -> None:
    from keystile._sync import patiently

    store = STORES[kind](tmp_path)
    cap, full = Cap(kept, OF_O, replaces), []
    start = threading.Barrier(10)

    def work(number: int) -> None:
        start.wait()
        for each in range(5):
            key = a_key(f"{number}-{each}", organization_id="o", created_at=later(each))
            try:
                patiently(20, store.add, key, [told("key.create", key.id)], cap)
            except KeyLimitReached:
                full.append(key.id)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    view = Store(store, "asyncio")
    assert len(view.listed(state=("live", T0))) == kept
    assert len(full) == (0 if replaces else 45)
    assert len(events(view, event="key.revoke")) == (45 if replaces else 0)
    assert len(events(view, event="key.create")) == 50 - len(full)
    store.close()


# What is told


def test_what_is_told_is_kept_with_every_member(store: Store) -> None:
    entry = told(
        "key.update",
        ID,
        later(3),
        actor=Actor("session", "u1", "Ада", "management", "192.0.2.1", "req_1"),
        organization_id="o",
        targets=(Target("key", ID, "CI"), Target("project", "p", "ü\u2028")),
        before=frozen({"name": "a", "scopes": ["x"]}),
        after={"name": "b", "scopes": None},
    )
    made = store.put(a_key())
    store.update(ID, made.revision, {"name": "b"}, [entry])
    assert store.list_audit(AuditFilter(), None, 1)[0] == entry


def test_a_revocation_is_told_once(store: Store) -> None:
    store.put(a_key())
    assert len(store.revoke(ID, T0, [told("key.revoke", ID)]).entries) == 1
    again = store.revoke(ID, later(1), [told("key.revoke", ID)])
    assert (again.entries, again.record.revoked_at) == ((), T0)
    assert store.revoke("unknown", T0, [told("key.revoke", "unknown")]) == Written(None)
    assert events(store) == [("key.create", ID), ("key.revoke", ID)]


def test_what_failed_is_not_told(store: Store) -> None:
    store.put(a_key())
    with pytest.raises(KeyError):
        store.put(a_key(name="again"))
    assert events(store) == [("key.create", ID)]


def test_entries_are_listed_newest_first_by_filter_and_page(store: Store) -> None:
    store.put(a_key("a", organization_id="o"))
    made = []
    for number in range(6):
        entry = told(
            ("key.update", "key.suspend")[number % 2], "a", later(number // 2), organization_id="ox"[number % 2]
        )
        store.update("a", store.find("a").revision, {"name": f"{number}"}, [entry])
        made.append(entry)
    made.reverse()
    listed = store.list_audit(AuditFilter(), None, 6)
    assert list(listed) == made
    assert list(store.list_audit(AuditFilter(), made[1].id, 2)) == made[2:4]
    assert list(store.list_audit(AuditFilter(organization_id="o"), None, 10)) == made[1::2]
    assert list(store.list_audit(AuditFilter(event="key.suspend"), made[0].id, 10)) == made[2::2]
    assert list(store.list_audit(AuditFilter(target="a"), None, 10))[:6] == made
    assert list(store.list_audit(AuditFilter(target="b"), None, 10)) == []
    assert list(store.list_audit(AuditFilter(), "unknown", 10)) == []
