"""What every key store promises of counts: it adds, sums up over hours and days, and forgets."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keystile._sync import patiently
from keystile.model import Counted, Used
from keystile.stores import USE_EVERY
from keystile.stores.memory import MemoryStore
from keystile.stores.sqlite import SQLiteStore
from tests.stored import NEW, OLD, STORES, T0, Store, a_key, later

ID = "0123456789AB"
A, B = "admitted", "rate_limited"


@pytest.fixture(params=list(STORES))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    opened = Store(STORES[request.param](tmp_path), "trio" if "trio" in request.param else "asyncio")
    yield opened
    opened.close()


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
    assert store.find(ID).last_used_at == later(1)
    store.add_usage([], [Used(ID, later(100), True)])
    assert (store.last_used(ID), store.last_used(ID, True)) == (later(100), later(100))


def test_a_use_that_another_process_noted_less_than_a_minute_before_is_left_out(store: Store) -> None:
    store.put(a_key())
    for seconds, noted in ((0, 0), (USE_EVERY - 1e-6, 0), (USE_EVERY, USE_EVERY), (5, USE_EVERY)):
        store.add_usage([], [Used(ID, later(seconds), False)])
        assert store.last_used(ID) == later(noted)


def test_a_later_use_is_no_change_of_the_record(store: Store) -> None:
    store.put(a_key(last_used_at=T0))
    seen = store.find(ID)
    store.add_usage([Counted(ID, 5, A, 1)], [Used(ID, T0 + timedelta(hours=1), False)])
    assert store.find(ID).revision == seen.revision


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
    for store in (MemoryStore(), SQLiteStore(tmp_path / "keys.db")):
        for batch in batches:
            store.add_usage(batch, [])
        found = store.usage("a", first, end, step)
        assert found == [Counted("a", *place, expected[place]) for place in sorted(expected)]
        store.close()
