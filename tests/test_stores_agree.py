"""Stores that are told the same things, in any order, hold the same records and tell the same of them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keystile.exceptions import KeyLimitReached, NotFound
from keystile.model import KEY_STATES
from keystile.stores import AuditFilter, Cap, KeyFilter
from keystile.stores.memory import MemoryStore
from keystile.stores.sql import SQLStore
from keystile.stores.sqlite import SQLiteStore
from tests import redis_stores
from tests.postgres_server import postgres_url  # noqa: F401
from tests.selection import often
from tests.sql_stores import emptied
from tests.stored import NEW, OLD, a_key, a_project, an_organization, later, told

keys, projects, organizations = st.sampled_from("abcd"), st.sampled_from("pq"), st.sampled_from("xy")
moments = st.integers(0, 6).map(later)
caps = st.none() | st.builds(
    Cap,
    st.integers(0, 3),
    organizations.map(lambda each: (("organization_id", each),)) | st.just((("owner_id", None),)),
    st.booleans(),
)
changes = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["one", "two"]),
        "plan": st.none() | st.just("pro"),
        "suspended_at": st.none() | moments,
        "expires_at": st.none() | moments,
        "hashes": st.sampled_from([(OLD,), (NEW, OLD)]),
        "grace_used_at": st.none(),
        "project_id": st.none() | projects,
        "organization_id": organizations,
    },
)
of_owner = st.fixed_dictionaries({}, optional={"name": st.just("new"), "suspended_at": st.none() | moments})
new_key = st.builds(
    lambda name, at, organization, owner, ends: a_key(
        name, created_at=at, organization_id=organization, owner_id=owner, expires_at=ends
    ),
    keys,
    moments,
    st.none() | organizations,
    st.none() | st.just("u"),
    st.none() | moments,
)
steps = st.one_of(
    st.tuples(st.just("add"), new_key, st.none() | projects, caps),
    st.tuples(st.just("add_project"), new_key, projects, caps),
    st.tuples(st.just("add_organization"), organizations, st.none() | st.just("free"), moments),
    st.tuples(st.just("update"), keys, changes, st.tuples(st.booleans(), caps)),
    st.tuples(st.just("update_project"), projects, of_owner, st.booleans()),
    st.tuples(st.just("update_organization"), organizations, of_owner, st.booleans()),
    st.tuples(st.just("revoke"), keys, moments, st.none()),
    st.tuples(st.just("delete_project"), projects, moments, st.none()),
    st.tuples(st.just("touch"), keys, moments, st.booleans()),
    st.tuples(st.just("rehash"), keys, st.none(), st.none()),
)


def done(store: Any, step: tuple[Any, ...], at: Any, number: int) -> Any:
    """What a step gives or raises; conditions are met by the record as it is, or by none."""
    kind, what, more, last = step
    entry = told(f"key.{kind}", str(what), at, id=f"aud_{number:022d}0000", correlation_id=f"aud_{number:022d}0000")
    calls: dict[str, Callable[[], Any]] = {
        "add": lambda: store.add(replace(what, project_id=more), [entry], last),
        "add_project": lambda: store.add_project(
            a_project(more, what.organization_id or "x"),
            replace(what, project_id=more, organization_id=what.organization_id or "x"),
            [entry],
            last,
        ),
        "add_organization": lambda: store.add_organization(an_organization(what, plan=more, created_at=last), [entry]),
        "update": lambda: store.update(what, revision(store.find(what), last[0]), more, [entry], last[1]),
        "update_project": lambda: store.update_project(what, revision(store.find_project(what), last), more, [entry]),
        "update_organization": lambda: store.update_organization(
            what, revision(store.find_organization(what), last), more, [entry]
        ),
        "revoke": lambda: store.revoke(what, more, [entry]),
        "delete_project": lambda: store.delete_project(what, more, [entry]),
        "touch": lambda: store.touch(what, more, last),
        "rehash": lambda: store.rehash(what, OLD, NEW),
    }
    try:
        return calls[kind]()
    except (KeyError, NotFound, KeyLimitReached) as error:
        return type(error), error.args


def revision(record: Any, right: bool) -> int:
    return -1 if record is None or not right else int(record.revision)


def whole(store: Any) -> list[Any]:
    """All that a store holds."""
    found = [store.find(each) for each in "abcd"]
    plain = [each and replace(each, last_used_at=None, grace_used_at=None) for each in found]
    return [
        plain,
        [(store.last_used(each), store.last_used(each, True)) for each in "abcd"],
        list(store.list(KeyFilter(), None, 100)),
        list(store.list(KeyFilter(organization_id="x", state=("live", later(3))), None, 100)),
        [list(store.list(KeyFilter(state=(each, later(3))), None, 100)) for each in KEY_STATES],
        [list(store.list(KeyFilter(search=each), None, 100)) for each in ("o", "TWO", "newX", "a")],
        [store.find_project(each) for each in "pq"],
        list(store.list_projects("x", None, 100)),
        list(store.list_organizations(None, 100)),
        list(store.list_audit(AuditFilter(), None, 1000)),
        list(store.list_audit(AuditFilter(target="a"), None, 1000)),
    ]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(steps, moments), max_size=25))
def test_memory_and_sqlite_agree_whatever_they_are_told(listed: list[tuple[tuple[Any, ...], Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        agree(MemoryStore(), SQLiteStore(Path(folder) / "keys.db"), listed)


@settings(max_examples=often(15, 80), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(listed=st.lists(st.tuples(steps, moments), max_size=25))
def test_memory_and_postgresql_agree_whatever_they_are_told(
    postgres_url: str,  # noqa: F811
    listed: list[tuple[tuple[Any, ...], Any]],
) -> None:
    agree(MemoryStore(), SQLStore(emptied(postgres_url)), listed)


@pytest.mark.parametrize("kind", ["valkey", "cluster"])
@settings(max_examples=often(25, 80), deadline=None)
@given(listed=st.lists(st.tuples(steps, moments), max_size=25))
def test_memory_and_redis_agree_whatever_they_are_told(kind: str, listed: list[tuple[tuple[Any, ...], Any]]) -> None:
    agree(MemoryStore(), redis_stores.patient(redis_stores.emptied(kind)), listed)


def agree(one: Any, other: Any, listed: list[tuple[tuple[Any, ...], Any]]) -> None:
    with closing(other):
        for number, (step, at) in enumerate(listed):
            first, second = (done(store, step, at, number) for store in (one, other))
            assert first == second, step
            assert whole(one) == whole(other), step
