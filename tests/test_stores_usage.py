"""What every key store promises of counts: it adds, sums up over hours and days, and forgets."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keystile._sync import patiently
from keystile.model import Counted, Used
from keystile.stores import USE_EVERY, open_store
from keystile.stores.memory import MemoryStore
from keystile.stores.redis.names import Slot
from keystile.stores.sqlite import SQLiteStore
from tests.every_store import EVERY_STORE, mariadb_url, opened, postgres_url  # noqa: F401
from tests.redis_stores import clients, emptied, patient
from tests.sql_stores import emptied as emptied_sql
from tests.stored import NEW, OLD, T0, Store, a_key, in_a_loop, later, told
from tests.test_redis_store import Crash, at_step, crash, put

ID = "0123456789AB"
A, B = "admitted", "rate_limited"


@pytest.fixture(params=EVERY_STORE)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with opened(request, tmp_path) as found:
        yield found


def counted(
    store: Store, key_id: str = ID, first: int = 0, end: int = 10**6, step: int = 1
) -> list[tuple[int, str, int]]:
    found = store.usage(key_id, first, end, step)
    assert all(isinstance(each, Counted) and each.key_id == key_id for each in found)
    return [each[1:] for each in found]


def test_counts_are_added_to_those_that_are_kept(store: Store) -> None:
    store.add_usage([Counted(ID, 5, A, 2), Counted(ID, 5, B, 1), Counted(ID, 6, A, 1)], [])
    store.add_usage([Counted(ID, 5, A, 40), Counted("other", 5, A, 7)], [])
    assert counted(store) == [(5, A, 42), (5, B, 1), (6, A, 1)]
    assert counted(store, "other") == [(5, A, 7)]
    assert counted(store, "unknown") == []


def test_keys_and_outcomes_are_told_apart_letter_by_letter(store: Store) -> None:
    store.add_usage([Counted("aB", 5, A, 1), Counted("ab", 5, "Admitted", 4), Counted("ab", 5, A, 2)], [])
    assert counted(store, "aB") == [(5, A, 1)]
    assert sorted(counted(store, "ab")) == [(5, "Admitted", 4), (5, A, 2)]


def test_numbers_of_any_size_are_kept(store: Store) -> None:
    for _ in range(2):
        store.add_usage([Counted(ID, 490_000, A, 2**40)], [])
    assert counted(store) == [(490_000, A, 2**41)]


def test_the_first_hour_is_given_and_the_end_is_not(store: Store) -> None:
    store.add_usage([Counted(ID, hour, A, hour) for hour in (4, 5, 6, 7)], [])
    assert counted(store, first=5, end=7) == [(5, A, 5), (6, A, 6)]
    assert counted(store, first=5, end=5) == []


def test_days_are_sums_of_their_hours(store: Store) -> None:
    store.add_usage([Counted(ID, hour, A, 1) for hour in (23, 24, 47, 48)] + [Counted(ID, 49, B, 3)], [])
    assert counted(store, end=72, step=24) == [(0, A, 1), (24, A, 2), (48, A, 1), (48, B, 3)]
    assert counted(store, first=24, end=48, step=24) == [(24, A, 2)]


def test_what_is_old_is_forgotten_in_parts(store: Store) -> None:
    store.add_usage([Counted(key_id, hour, A, 1) for key_id in ("a", "b") for hour in (1, 2, 3, 4)], [])
    assert store.forget_usage(1, 10) == 0
    assert store.forget_usage(3, 3) == 3
    assert store.forget_usage(3, 3) == 1
    assert store.forget_usage(3, 3) == 0
    assert [counted(store, key_id) for key_id in ("a", "b")] == [[(3, A, 1), (4, A, 1)]] * 2


def test_a_use_is_noted_in_the_same_step_and_unknown_keys_are_no_error(store: Store) -> None:
    store.put(a_key(hashes=(NEW, OLD)))
    store.add_usage([Counted(ID, 5, A, 1)], [Used(ID, later(1), False), Used("unknown", T0, True)])
    assert (store.last_used(ID), store.last_used(ID, True)) == (later(1), None)
    store.add_usage([], [Used(ID, later(100), True)])
    assert (store.last_used(ID), store.last_used(ID, True)) == (later(100), later(100))


def test_a_use_that_another_process_noted_less_than_a_minute_before_is_left_out(store: Store) -> None:
    store.put(a_key())
    for seconds, noted in ((0, 0), (USE_EVERY - 1e-6, 0), (USE_EVERY, USE_EVERY), (5, USE_EVERY)):
        store.add_usage([], [Used(ID, later(seconds), False)])
        assert store.last_used(ID) == later(noted)


@pytest.mark.parametrize("before", [None, T0])
def test_a_use_is_no_change_of_the_record(store: Store, before: datetime | None) -> None:
    store.put(a_key(last_used_at=before))
    seen = store.find(ID)
    store.add_usage([Counted(ID, 5, A, 1)], [Used(ID, T0 + timedelta(hours=1), True)])
    assert store.find(ID) is seen
    assert store.shown(ID).last_used_at == T0 + timedelta(hours=1)


def test_more_than_a_page_is_read_and_forgotten_day_by_day(store: Store) -> None:
    days = 80
    for start in range(0, days, 40):
        store.add_usage([Counted(ID, 24 * day + 7, A, day + 1) for day in range(start, start + 40)], [])
    expected = [(24 * day, A, day + 1) for day in range(days)]
    assert counted(store, step=24) == expected
    assert counted(store, first=24 * 10, end=24 * 70, step=24) == expected[10:70]
    assert store.forget_usage(24 * 50, 45) == 45
    assert len(counted(store)) == days - 45
    assert store.forget_usage(24 * 50, 45) == 5
    assert counted(store, step=24) == expected[50:]


@pytest.mark.parametrize("key_id", ["a:b", "{b}", "}{", "a\x00b", "é", ""])
def test_ids_are_kept_apart_whatever_is_in_them(store: Store, key_id: str) -> None:
    store.add_usage([Counted(key_id, 5, A, 2), Counted(key_id + "x", 5, A, 3), Counted("last", 5, A, 4)], [])
    found = (counted(store, key_id), counted(store, key_id + "x"))
    # PostgreSQL holds no NUL: such ids are left out, for no key can have them, and keep nobody else's counts back.
    assert found == ([(5, A, 2)], [(5, A, 3)]) or ("\0" in key_id and found == ([], []))
    assert counted(store, "last") == [(5, A, 4)]
    assert store.forget_usage(6, 10) == len(found[0]) + len(found[1]) + 1
    assert counted(store, key_id) == []


ADDS = """
    import pathlib, sys
    from keystile._sync import patiently
    from keystile.model import Counted
    from keystile.stores import open_store
    store = open_store(sys.argv[1])
    rows = [Counted(f"key{number:02}", hour, "admitted", number + 1) for number in range(20) for hour in range(22, 27)]
    print("ready", flush=True)
    sys.stdin.readline()
    for _ in range(25):
        patiently(30, store.add_usage, rows, [])
    store.close()
    """


@pytest.mark.parametrize("kind", ["sqlite", "valkey", "redis62", "cluster"])
def test_four_processes_that_add_at_once_lose_nothing_and_add_nothing(kind: str, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'keys.db'}" if kind == "sqlite" else emptied(kind)
    patient_adds = dedent(ADDS).replace("open_store(sys.argv[1])", "RedisStore(sys.argv[1], socket_timeout=20)")
    script = dedent(ADDS) if kind == "sqlite" else "from keystile.stores.redis import RedisStore\n" + patient_adds
    command = [sys.executable, "-W", "error", "-c", script, url]
    adding = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    for each in adding:
        assert each.stdout is not None
        assert each.stdout.readline() == "ready\n"
    for each in adding:
        each.communicate("go\n", timeout=120)
    assert [each.returncode for each in adding] == [0] * 4
    with closing(open_store(url) if kind == "sqlite" else patient(url)) as store:
        for number in range(20):
            expected = [(hour, A, 100 * (number + 1)) for hour in range(22, 27)]
            assert counted(Store(store, "asyncio"), f"key{number:02}") == expected


@pytest.mark.parametrize("kind", ["valkey", "cluster"])
def test_what_a_call_wrote_before_it_failed_is_not_written_twice(kind: str) -> None:
    rows = [Counted(f"key{number}", 5, A, 3) for number in range(8)]
    more = [Counted(f"key{number}", 5, A, 4) for number in range(10)]  # the same, and what was counted meanwhile
    number, failed = 0, True
    while failed:
        number += 1
        with closing(patient(emptied(kind))) as store:
            put(store, "key1")
            try:
                with at_step(store, number, crash):
                    store.add_usage(rows, [Used("key1", T0, False)])
                failed = False
            except Crash:
                with pytest.raises(Crash), at_step(store, 1, crash):  # also when it fails once more
                    store.add_usage(rows, [Used("key1", T0, False)])
                with in_a_loop(store) as twin:  # whichever connections write them then
                    twin.add_usage(more, [Used("key1", T0, False)])
                    assert [counted(twin, f"key{each}") for each in range(10)] == [[(5, A, 4)]] * 10
                    twin.add_usage(rows, [])
                    assert [counted(twin, f"key{each}") for each in range(8)] == [[(5, A, 7)]] * 8
                    assert twin.last_used("key1") == T0
    assert number > 5


def test_what_failed_in_a_parent_is_none_of_its_childs() -> None:
    rows = [Counted(f"key{number}", 5, A, 3) for number in range(8)]
    with closing(patient(emptied("valkey"))) as store:
        with pytest.raises(Crash), at_step(store, 3, crash):
            store.add_usage(rows, [])
        written = {each.key_id: sum(row.number for row in store.usage(each.key_id, 0, 10, 1)) for each in rows}
        assert 0 < sum(written.values()) < 3 * 8
        child = os.fork()
        if child == 0:
            store.add_usage(rows, [])
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        after = {each.key_id: sum(row.number for row in store.usage(each.key_id, 0, 10, 1)) for each in rows}
        assert after == {key_id: number + 3 for key_id, number in written.items()}
        store.add_usage(rows, [])
        assert all(store.usage(each.key_id, 0, 10, 1) == [each._replace(number=6)] for each in rows)


def test_a_key_that_cannot_be_read_keeps_no_counts_back() -> None:
    with closing(patient(emptied("valkey"))) as store:
        put(store, ID)
        for client in clients("valkey"):
            client.set(Slot("key", ID).name("record"), b"-\n{")
        store.add_usage([Counted("a", 5, A, 1)], [Used(ID, T0, False)])
        assert store.usage("a", 5, 6, 1) == [Counted("a", 5, A, 1)]


@pytest.mark.parametrize("kind", ["valkey", "cluster"])
def test_nothing_is_left_of_counts_that_are_forgotten(kind: str) -> None:
    with closing(patient(emptied(kind))) as store:
        store.add_usage([Counted(f"key{number}", hour, A, 1) for number in range(40) for hour in (23, 24)], [])
        assert sum(len(client.keys("*")) for client in clients(kind)) > 80
        assert store.forget_usage(24, 100) == 40
        assert store.forget_usage(25, 100) == 40
        assert [client.keys("*") for client in clients(kind)] == [[] for _ in clients(kind)]


def test_threads_that_add_at_once_lose_nothing(store: Store) -> None:
    rows = [Counted(key_id, hour, A, 1) for key_id in ("a", "b", "c") for hour in range(5)]

    def add() -> None:
        for _ in range(10):
            patiently(30, store.add_usage, rows, [])

    threads = [threading.Thread(target=add) for _ in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    for key_id in ("a", "b", "c"):
        assert counted(store, key_id) == [(hour, A, 30) for hour in range(5)]


PROCESS = """
import sys
from datetime import UTC, datetime, timedelta
from keystile._sync import patiently
from keystile.exceptions import StoreUnavailable
from keystile.model import Counted, Used
from keystile.stores import open_store

store = open_store(sys.argv[1])
counts = [Counted(f"key {key:02}", hour, "admitted", hour) for key in range(20) for hour in range(1, 6)]
print("ready", flush=True)
sys.stdin.readline()
for turn in range(40):
    at = datetime(2026, 1, 15, tzinfo=UTC) + timedelta(hours=turn)
    uses = [Used(f"key {key:02}", at, graced) for key in range(20) for graced in (False, True)]
    while True:
        try:
            patiently(60, store.add_usage, counts, uses)
        except StoreUnavailable:  # a busy machine; nothing was written
            continue
        break
    store.forget_usage(2, 7)
store.close()
"""


@pytest.fixture(params=["sqlite", "postgresql", pytest.param("mariadb", marks=pytest.mark.services("mariadbd"))])
def shared_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A store for several processes."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/keys.db"
    return emptied_sql(request.getfixturevalue("mariadb_url" if request.param == "mariadb" else "postgres_url"))


def test_four_processes_that_add_at_once_lose_no_count(shared_url: str) -> None:
    store = open_store(shared_url)
    names = [f"key {number:02}" for number in range(20)]
    for name in names:
        store.add(a_key(name, hashes=(NEW, OLD)), [told("key.create", name)])
    pipe = subprocess.PIPE
    command = [sys.executable, "-W", "error", "-c", PROCESS, shared_url]
    processes = [subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) for _ in range(4)]
    for each in processes:
        assert each.stdout is not None
        assert each.stdout.readline() == "ready\n"
    for each in processes:
        assert each.communicate("go\n", timeout=120)[1] == ""
    for name in names:
        assert store.usage(name, 2, 10, 1) == [Counted(name, hour, A, 160 * hour) for hour in range(2, 6)]
        assert store.usage(name, 2, 10, 24) == [Counted(name, 0, A, 160 * (2 + 3 + 4 + 5))]
        last = datetime(2026, 1, 15, tzinfo=UTC) + timedelta(hours=39)
        assert (store.last_used(name), store.last_used(name, True)) == (last, last)
    while store.forget_usage(2, 7):
        pass
    assert [store.usage(name, 0, 2, 1) for name in names] == [[]] * 20
    store.close()


ROWS = st.lists(
    st.builds(
        Counted,
        st.sampled_from(["a", "b"]),
        st.integers(0, 100),
        st.sampled_from([A, B]),
        st.integers(1, 1000),
    ),
    max_size=30,
    unique_by=lambda each: each[:3],
).map(sorted)


@given(st.lists(ROWS, max_size=4), st.integers(0, 100), st.integers(0, 120), st.sampled_from([1, 24]))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_every_store_gives_the_sums(
    tmp_path: Path, batches: list[list[Counted]], first: int, end: int, step: int
) -> None:
    (tmp_path / "keys.db").unlink(missing_ok=True)
    for end_of_name in ("-wal", "-shm"):
        (tmp_path / f"keys.db{end_of_name}").unlink(missing_ok=True)
    expected: Counter[tuple[int, str]] = Counter()
    for each in (each for batch in batches for each in batch):
        if each.key_id == "a" and first <= each.hour < end:
            expected[each.hour - each.hour % step, each.outcome] += each.number
    for store in (MemoryStore(), SQLiteStore(tmp_path / "keys.db"), patient(emptied("valkey"))):
        for batch in batches:
            store.add_usage(batch, [])
        found = store.usage("a", first, end, step)
        assert found == [Counted("a", *place, expected[place]) for place in sorted(expected)]
        store.close()
