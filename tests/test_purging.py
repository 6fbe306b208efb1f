"""Purging: what ended long ago goes, in every store, and nothing else does."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keystile import ConfigurationError, Gate, HmacHasher, KeyNotFound
from keystile.cli.commands import main
from keystile.model import Actor, Counted, Purged
from keystile.stores import AuditFilter, PurgeAsked, open_store
from keystile.stores.memory import MemoryStore
from keystile.stores.sqlite import SQLiteStore
from tests import redis_stores
from tests.every_store import EVERY_STORE, mariadb_url, opened, postgres_url  # noqa: F401
from tests.redis_stores import patient
from tests.selection import often, some
from tests.sql_stores import emptied as emptied_sql
from tests.stored import T0, Store, a_key, a_project, an_organization, later, told
from tests.test_redis_store import Crash, at_step, crash

ID = "0123456789AB"
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture(params=EVERY_STORE)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with opened(request, tmp_path) as found:
        yield found


def purged(store: Any, before: float, most: int = 2, *, dry: bool = False) -> Purged:
    """All steps of a purge; what is told of it is told once."""
    done, entries = Purged(), () if dry else (told("store.purge", "store", later(10**6)),)
    asked, seen = PurgeAsked(later(before), most, None, entries, dry), 0
    while True:
        step = store.purge(asked)
        done = Purged(*map(sum, zip(done, step.removed, strict=True)))
        seen += len(step.entries)
        if step.next is None:
            assert seen == (0 if dry else 1) or not (dry or any(done))
            return done
        asked = asked._replace(after=step.next, entries=() if step.entries else asked.entries)


def put(store: Store, id: str, **values: Any) -> None:
    entry = told("key.create", id, values.get("created_at", T0))
    store.add(a_key(id, **values), [entry])


def targets(store: Store) -> list[str]:
    return sorted(each.targets[0].id for each in store.list_audit(AuditFilter(), None, 1000))


def test_keys_that_ended_before_the_moment_go_and_no_others(store: Store) -> None:
    put(store, "lives")
    put(store, "ends later", expires_at=later(11))
    put(store, "suspended", suspended_at=T0)
    put(store, "at the moment", expires_at=later(10))
    put(store, "expired", expires_at=later(9.999999))
    put(store, "expired and suspended", expires_at=later(1), suspended_at=T0)
    put(store, "revoked", revoked_at=later(9.999999), organization_id="o", owner_id="u")
    put(store, "revoked later", revoked_at=later(10), expires_at=later(99))
    put(store, "both", revoked_at=later(50), expires_at=later(3))
    kept = ["at the moment", "ends later", "lives", "revoked later", "suspended"]
    assert purged(store, 10, dry=True) == purged(store, 10, most=1, dry=True)
    assert purged(store, 10, dry=True).keys == 4
    assert len(store.listed()) == 9
    assert purged(store, 10).keys == 4
    assert sorted(store.listed()) == kept
    assert [store.find(each) is not None for each in ("expired", "revoked", "both", "lives")] == [False] * 3 + [True]
    assert store.listed(organization_id="o") == store.listed(owner_id="u") == []
    assert (purged(store, 10), purged(store, 10, dry=True)) == (Purged(), Purged())


def test_what_is_left_of_a_removed_key_is_nothing(store: Store) -> None:
    put(store, ID, revoked_at=T0)
    store.touch(ID, later(1), True)
    assert purged(store, 10).keys == 1
    assert (store.find(ID), store.last_used(ID), store.last_used(ID, True)) == (None, None, None)
    assert store.end(ID, later(20)) is None
    store.touch(ID, later(20))
    store.put(a_key(name="again"))
    assert store.shown(ID) == a_key(name="again")
    assert store.listed() == [ID]


def test_a_deleted_project_goes_when_all_of_its_keys_are_gone(store: Store) -> None:
    for name, at in (("p", 5), ("q", 20), ("r", None)):
        store.add_project(
            a_project(name, created_at=later(0.1)),
            a_key(f"key of {name}", organization_id="o", project_id=name),
            [told("project.create", name)],
        )
        if at is not None:
            store.delete_project(name, later(at), [told("project.delete", name, later(at))])
    store.add_project(
        a_project("young"),
        a_key("of young", organization_id="o", project_id="young"),
        [told("project.create", "young")],
    )
    store.delete_project("young", later(5), [told("project.delete", "young", later(5))])
    put(store, "free", revoked_at=T0)
    assert purged(store, 10, dry=True)[:2] == (3, 2)
    assert purged(store, 10)[:2] == (3, 2)
    assert store.listed() == ["key of q", "key of r"]
    assert store.delete_project("p", T0, [told("project.delete", "p")]).record is None
    assert store.delete_project("q", T0, [told("project.delete", "q")]).record is not None
    assert [each.id for each in store.list_projects("o", None, 10)] == ["r"]
    store.add_project(
        a_project("p", name="again"),
        a_key("new", organization_id="o", project_id="p"),
        [told("project.create", "p")],
    )
    assert store.find_project("p").name == "again"
    assert [each.id for each in store.list_projects("o", None, 10)] == ["p", "r"]


def test_a_deleted_project_with_a_key_that_is_kept_is_kept(store: Store) -> None:
    store.put(a_key(organization_id="o", project_id="p"))
    store.put(a_key("late", organization_id="o", project_id="p"))
    store.end("late", later(50))
    store.delete_project("p", later(60), [told("project.delete", "p", later(60))])
    store.change(ID, project_id=None)
    assert purged(store, 55, dry=True)[:2] == purged(store, 55)[:2] == (1, 0)
    assert purged(store, 61)[:2] == (1, 1)
    assert store.listed() == []


def test_the_audit_goes_by_its_own_age(store: Store) -> None:
    for number in range(6):
        store.put(a_key(f"k{number}"))
        store.change(f"k{number}", organization_id="o")
        store.revoke(f"k{number}", later(number), [told("key.revoke", f"k{number}", later(number))])
    before = list(store.list_audit(AuditFilter(), None, 100))
    assert purged(store, 3, dry=True) == (3, 0, 15)
    assert purged(store, 3) == (3, 0, 15)
    after = list(store.list_audit(AuditFilter(), None, 100))
    assert [each.event for each in after] == ["store.purge", "key.revoke", "key.revoke", "key.revoke"]
    assert after[1:] == before[:3]
    assert [len(store.list_audit(AuditFilter(target=f"k{number}"), None, 10)) for number in (2, 3)] == [0, 1]
    assert store.list_audit(AuditFilter(), before[-1].id, 10) == []
    assert store.list_audit(AuditFilter(event="key.create"), None, 10) == []


def test_organizations_and_the_usage_of_keys_that_live_are_none_of_its_business(store: Store) -> None:
    store.add_organization(an_organization(plan="pro"), [told("organization.create", "o")])
    put(store, ID, organization_id="o")
    put(store, "gone", organization_id="o", revoked_at=T0)
    store.add_usage([Counted(ID, 1, "admitted", 7), Counted("gone", 1, "admitted", 3)], [])
    assert purged(store, 10**5)[:2] == (1, 0)
    assert store.usage(ID, 0, 10, 1) == [Counted(ID, 1, "admitted", 7)]
    assert store.find(ID).inherited.plan == "pro"
    assert store.find_organization("o") == an_organization(plan="pro")


@settings(max_examples=often(6, 60), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    keys=st.lists(st.tuples(*[st.none() | st.integers(0, 6)] * 2, st.none() | st.sampled_from("pq")), max_size=12),
    ended=st.dictionaries(st.sampled_from("pq"), st.integers(0, 6)),
    before=st.integers(0, 8),
    most=st.integers(1, 5),
)
@pytest.mark.parametrize("kind", ["sqlite", "postgresql", "valkey"])
def test_every_store_removes_what_memory_removes(
    kind: str,
    postgres_url: str,  # noqa: F811
    tmp_path: Path,
    keys: Any,
    ended: Any,
    before: int,
    most: int,
) -> None:
    urls = {"postgresql": lambda: open_store(emptied_sql(postgres_url)), "valkey": _redis}
    other: Any = urls.get(kind, lambda: SQLiteStore(tmp_path / f"{time.monotonic_ns()}.db"))()
    with closing(other):
        found = []
        for each in (MemoryStore(), other):
            one = Store(each, "asyncio")
            for number, (revoked, expires, project) in enumerate(keys):
                ends = {"expires_at": None if expires is None else later(expires), "project_id": project}
                one.put(a_key(f"k{number}", organization_id="o", **ends))
                if revoked is not None:
                    one.revoke(f"k{number}", later(revoked), [told("key.revoke", f"k{number}", later(revoked))])
            for project, at in sorted(ended.items()):
                one.delete_project(project, later(at), [told("project.delete", project, later(at))])
            expected, living = (
                purged(one, before, dry=True),
                {key.id for key in one.records() if not key.ended_before(later(before))},
            )
            assert purged(one, before, most) == expected
            assert living <= set(one.listed())
            left = [one.delete_project(each, T0, [told("project.delete", each)]).record for each in "pq"]
            found.append((expected, one.records(), targets(one), left))
        assert found[0] == found[1]


def _redis() -> Any:
    return patient(redis_stores.emptied("valkey"))


# The operation


def gates(store: Any, **values: Any) -> tuple[Gate, list[float]]:
    clock = [T0.timestamp()]
    return Gate(store, hasher=HmacHasher(b"pepper" * 4), clock=lambda: clock[0], **values), clock


def test_a_gate_purges_what_its_retention_says_and_tells_once() -> None:
    gate, clock = gates(MemoryStore(), retention=7200)
    seen: list[Any] = []
    gate.on_event(lambda event: seen.append((event.code, event.reason)))
    old, young = (gate.keys.create(each).key.id for each in ("old", "young"))
    gate.keys.revoke(old)
    clock[0] += 7200
    gate.keys.revoke(young)
    assert gate.purge() == Purged()
    clock[0] += 0.001
    assert gate.purge(dry_run=True) == Purged(1, 0, 3)
    assert gate.keys.get(old).revoked_at is not None
    progress: list[Purged] = []
    seen.clear()
    assert gate.purge(progress=progress.append, actor=Actor("cli", "ann")) == Purged(1, 0, 3)
    assert progress == [Purged(1, 0, 3)]
    assert [code for code, _ in seen] == ["store.purge"]
    assert "of store store by cli ann" in seen[0][1]
    with pytest.raises(KeyNotFound):
        gate.keys.get(old)
    [entry] = gate.audit(event="store.purge")
    assert entry.actor == Actor("cli", "ann")
    assert entry.after == {"before": (T0 + timedelta(milliseconds=1)).isoformat()}
    assert gate.keys.get(young).revoked_at is not None
    assert gate.purge(older_than=3600) == Purged()
    clock[0] += 3601
    assert gate.purge(older_than=3600) == Purged(1, 0, 2)
    gate.close()


def test_nothing_is_purged_where_all_is_kept_but_counts(tmp_path: Path) -> None:
    gate, clock = gates(SQLiteStore(tmp_path / "keys.db"), retention=None, usage_retention=3600)
    key_id = gate.keys.create("CI").key.id
    gate.keys.revoke(key_id)
    gate._shop.store.add_usage(
        [Counted(key_id, int(clock[0] // 3600) - hours, "admitted", 1) for hours in (9, 8, 0)], []
    )
    clock[0] += 10**9
    assert gate.purge(dry_run=True) == gate.purge() == Purged()
    assert gate.keys.get(key_id).name == "CI"
    assert gate._shop.store.usage(key_id, 0, 10**6, 1) == []
    assert gate.purge(older_than=10**9 - 1) == Purged(1, 0, 2)
    gate.close()


@pytest.mark.parametrize("wrong", [0, 3599, -1, float("nan"), float("inf"), "90d", True, 10**10])
def test_a_span_that_is_none_is_refused(wrong: Any) -> None:
    gate, _ = gates(MemoryStore())
    with pytest.raises(ConfigurationError) as caught:
        gate.purge(older_than=wrong)
    assert caught.value.key == "older_than"


@pytest.mark.parametrize("wrong", [0, 3599, "90d"])
def test_a_retention_that_is_none_is_refused_at_start(wrong: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Gate(retention=wrong)
    assert caught.value.key == "retention"


def test_an_older_than_is_asked_for_where_the_store_only_finds() -> None:
    class Finder:
        def find(self, key_id: str) -> None:
            """Nobody is there."""

    with pytest.raises(ConfigurationError, match="only finds keys"):
        Gate(Finder()).purge()


# Processes


WORKER = """
    import sys, time
    from datetime import UTC, datetime, timedelta
    from keystile.model import Actor, ApiKey, AuditEntry, SecretHash, Target
    from keystile.stores import PurgeAsked, open_store

    T0 = datetime(2026, 1, 15, tzinfo=UTC)

    def entry(name, number):
        return AuditEntry(id=f"aud_9{number:025d}", at=T0 + timedelta(days=9), event="key.create", actor=Actor(),
            organization_id=None, targets=(Target("key", name, name),), correlation_id=f"aud_9{number:025d}")

    def keys(store, first, count):
        for number in range(first, first + count):
            ends = None if number % 2 else T0 + timedelta(hours=number % 5)
            key = ApiKey(id=f"{number:012d}", name="CI", created_at=T0, expires_at=ends, owner_id=f"u{number % 3}",
                hashes=(SecretHash("$h", "aaaa"),))
            store.add(key, [entry(key.id, number)])

    store = open_store(sys.argv[1])
    print("ready", flush=True)
    if sys.argv[2] == "add":
        keys(store, int(sys.argv[3]), int(sys.argv[4]))
    else:
        asked = PurgeAsked(T0 + timedelta(days=1), int(sys.argv[3]))
        while True:
            step = store.purge(asked)
            print(sum(step.removed), flush=True)
            if step.next is None and len(sys.argv) > 4:
                break
            asked = asked._replace(after=step.next)
"""
KINDS = ["sqlite", "postgresql", "valkey", "cluster"]


def process(url: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", textwrap.dedent(WORKER), url, *map(str, arguments)]
    started = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert started.stdout is not None
    assert started.stdout.readline() == "ready\n"
    return started


def ended(process: subprocess.Popen[str]) -> None:
    process.communicate(timeout=60)
    assert process.returncode == 0


@pytest.fixture(params=some(KINDS, "postgresql", "cluster"))
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        SQLiteStore(tmp_path / "keys.db").close()
        return f"sqlite:///{tmp_path}/keys.db"
    if request.param == "postgresql":
        return emptied_sql(request.getfixturevalue("postgres_url"))
    return redis_stores.emptied(request.param)


def opened_at(url: str) -> Any:
    return patient(url) if url.startswith("redis") else open_store(url)


def whole(store: Any, count: int) -> None:
    """Every key that lives is there, and listed where it belongs; every other one is there whole, or not at all."""
    for number in range(count):
        found = store.find(f"{number:012d}")
        assert found is not None or number % 2 == 0
    one = Store(store, "asyncio")
    listed = one.listed(limit=1000)
    assert listed == sorted(each for each in (f"{number:012d}" for number in range(count)) if store.find(each))
    of_owners = [key_id for owner in ("u0", "u1", "u2") for key_id in one.listed(owner_id=owner, limit=1000)]
    assert sorted(of_owners) == listed


def test_a_purge_that_is_killed_leaves_nothing_half_done_and_the_next_one_ends_it(url: str) -> None:
    count = 24
    ended(process(url, "add", 0, count))
    killed = process(url, "purge", 3)
    assert killed.stdout is not None
    removed = sum(int(killed.stdout.readline()) for _ in range(2))
    killed.kill()
    killed.wait()
    killed.stdout.close()
    assert removed > 0
    with closing(opened_at(url)) as store:
        whole(store, count)
        purged(store, 10**5, 7)
        assert len(Store(store, "asyncio").listed(limit=1000)) == count // 2
        whole(store, count)


def test_processes_purge_and_create_at_the_same_time(url: str) -> None:
    count = 20
    ended(process(url, "add", 0, count))
    workers = [process(url, "purge", 4, "once"), process(url, "purge", 5, "once"), process(url, "add", count, count)]
    for each in workers:
        ended(each)
    with closing(opened_at(url)) as store:
        whole(store, 2 * count)
        purged(store, 10**5, 100)
        assert len(Store(store, "asyncio").listed(limit=1000)) == count


@pytest.mark.parametrize("kind", ["valkey", "cluster"])
def test_a_purge_may_stop_after_every_command(kind: str) -> None:
    number, over = 0, False
    while not over:
        number += 1
        with closing(patient(redis_stores.emptied(kind))) as inner:
            store = Store(inner, "asyncio")
            store.put(a_key("lives", organization_id="o", project_id="p"))
            for key_id, project in (("of q", "q"), ("free", None)):
                store.put(a_key(key_id, organization_id="o", project_id=project, owner_id="u"))
            store.end("free", later(1))
            store.delete_project("q", later(2), [told("project.delete", "q", later(2))])
            with at_step(inner, number, crash) as steps, suppress(Crash):
                purged(store, 10, 3)
            over = steps() < number
            assert store.find("lives") is not None
            assert store.listed(project_id="p") == ["lives"]
            assert set(store.listed()) == {each for each in ("lives", "of q", "free") if store.find(each)}
            purged(store, 10, 3)
            assert store.listed() == store.listed(organization_id="o") == ["lives"]
            assert store.listed(owner_id="u") == []
            assert store.delete_project("q", T0, [told("project.delete", "q")]).record is None
            assert {each.event for each in store.list_audit(AuditFilter(), None, 100)} <= {"store.purge"}
            for client in redis_stores.clients(kind):
                left = [name for name in client.scan_iter() if b":record:" in name or b"{all}" in name]
                assert not [name for name in left if b"free" in name or b"of q" in name or b"project:q" in name]


# The command


def test_the_command_asks_first_and_says_what_it_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KEYSTILE_GATE", "")
    (tmp_path / "keystile.toml").write_text('store = "sqlite:///keys.db"\n')
    with closing(SQLiteStore(tmp_path / "keys.db")) as store:
        for key_id in ("a", "b"):
            store.add(a_key(key_id, created_at=LONG_AGO, expires_at=LONG_AGO), [told("key.create", key_id, LONG_AGO)])
        store.add(a_key("lives"), [told("key.create", "lives", LONG_AGO)])

    def run(*arguments: str, said: str = "") -> tuple[int, str, str]:
        result = CliRunner().invoke(main, ["purge", *arguments], input=said)
        return result.exit_code, result.stdout, result.stderr

    what = "2 keys, 0 projects, 3 audit entries"
    assert run("--dry-run") == (0, f"{what} would be removed\n", "")
    asked = f"Remove {what} for good? [y/N] \n"
    assert run(said="n\n") == (1, "", f"{asked}Error: nothing was done\n")
    code, _, said = run()
    assert (code, said[: len(asked)]) == (1, asked)
    assert run(said="y\n") == (0, f"{what} removed\n", asked)
    assert run("--json", "--yes")[:2] == (0, '{"dry_run": false, "keys": 0, "projects": 0, "entries": 0}\n')
    with closing(SQLiteStore(tmp_path / "keys.db")) as store:
        assert Store(store, "asyncio").listed() == ["lives"]
        assert [each.actor.type for each in store.list_audit(AuditFilter(), None, 10)] == ["cli"]
