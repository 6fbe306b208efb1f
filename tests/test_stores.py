"""What every key store promises: one suite over all of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from keystile import ApiKey, ConfigurationError
from keystile._ground.frozen import FrozenDict, frozen
from keystile.exceptions import KeyLimitReached
from keystile.model import SecretHash
from keystile.stores import AuditFilter, Cap, KeyFilter, open_store
from keystile.stores.memory import MemoryStore
from keystile.stores.redis import RedisStore
from keystile.stores.sqlite import SQLiteStore
from tests.every_store import EVERY_STORE, mariadb_url, opened, postgres_url  # noqa: F401
from tests.stored import NEW, OLD, STORES, T0, Store, a_key, later, told


@pytest.fixture(params=EVERY_STORE)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with opened(request, tmp_path) as found:
        yield found


FULL = a_key(
    name="Ключ № 1 🔑",
    organization_id="org/a",
    project_id="a'b\"c",
    owner_id="o",
    environment="development",
    plan="pro",
    limits="60/minute; 5000/day",
    scopes=("b:write", "a:read"),
    may=("GET /v1/*", "WS /v1/live"),
    ip_allowlist=("10.0.0.0/8", "2001:db8::/32"),
    created_at=later(0.000001),
    expires_at=later(1e9),
    suspended_at=later(0.5),
    revoked_at=later(0.999999),
    last_used_at=datetime(1969, 12, 31, 23, 59, 59, 999999, UTC),
    metadata=frozen({"a": [1, 2.5, None, True, {"ü": "\u2028"}], "": {}, "big": 2**53, "nothing": []}),
    hashes=(SecretHash("$new", "newX", quick="$quick"), SecretHash("$old", "oldX", T0)),
    grace_used_at=later(0.25),
)


@pytest.mark.parametrize(
    "key", [a_key(), FULL, replace(FULL, ip_allowlist=None), replace(FULL, scopes=(), may=None), replace(FULL, may=())]
)
def test_what_is_added_is_found_with_every_field_as_it_was(store: Store, key: ApiKey) -> None:
    store.put(key)
    found = store.find(key.id)
    assert found == key
    assert repr(found) == repr(key)
    assert found.hashes == key.hashes
    assert store.records() == [key]


def test_what_is_found_is_immutable_to_the_last(store: Store) -> None:
    store.put(FULL)
    found = store.find(FULL.id)
    assert isinstance(found.metadata, FrozenDict)
    assert isinstance(found.metadata["a"][4], FrozenDict)
    assert isinstance(found.metadata["a"], tuple)
    assert isinstance(found.scopes, tuple)
    assert isinstance(found.ip_allowlist, tuple)
    assert found.principal == FULL.principal


def test_moments_come_back_aware_and_in_utc(store: Store) -> None:
    store.put(FULL)
    found = store.find(FULL.id)
    for name in ("created_at", "expires_at", "suspended_at", "revoked_at", "last_used_at", "grace_used_at"):
        assert getattr(found, name).utcoffset() == timedelta(0)
    assert found.created_at.microsecond == 123457


@pytest.mark.parametrize("id", ["unknown", "", "0123456789ab", "' OR 1=1 --", "%", "*"])
def test_an_unknown_id_is_nobody(store: Store, id: str) -> None:
    store.put(a_key())
    assert store.find(id) is None
    assert store.end(id, T0) is None
    store.touch(id, T0)
    store.rehash(id, OLD, NEW)
    assert store.find("0123456789AB") == a_key()
    assert store.listed() == ["0123456789AB"]


def test_an_id_is_taken_once(store: Store) -> None:
    store.put(a_key(name="first"))
    with pytest.raises(KeyError):
        store.put(a_key(name="second"))
    assert store.find("0123456789AB").name == "first"
    store.put(a_key("another"))
    assert store.listed() == ["0123456789AB", "another"]


def test_keys_are_listed_by_age_and_then_by_id(store: Store) -> None:
    for key_id, at in [("c", 1), ("a", 2), ("d", 0), ("b", 1), ("e", 0.5)]:
        store.put(a_key(key_id, created_at=later(at)))
    assert store.listed() == ["d", "e", "b", "c", "a"]


def test_pages_follow_each_other_without_gap_or_repeat(store: Store) -> None:
    ids = [f"k{number:02d}" for number in range(10)]
    for number, key_id in enumerate(ids):
        store.put(a_key(key_id, created_at=later(number // 3)))
    pages, after = [], None
    while page := store.listed(after=after, limit=4):
        pages.append(page)
        after = page[-1]
    assert pages == [ids[:4], ids[4:8], ids[8:]]


def test_behind_an_unknown_key_there_is_nothing(store: Store) -> None:
    store.put(a_key())
    assert store.listed(after="unknown") == []
    assert store.listed(after="0123456789AB") == []


def test_filters_hold_together(store: Store) -> None:
    for key_id, organization, owner in [
        ("a", "x", "1"),
        ("b", "x", "2"),
        ("c", "y", "1"),
        ("d", None, None),
        ("e", "x", "1"),
    ]:
        store.put(a_key(key_id, organization_id=organization, owner_id=owner))
    assert store.listed(organization_id="x") == ["a", "b", "e"]
    assert store.listed(owner_id="1") == ["a", "c", "e"]
    assert store.listed(organization_id="x", owner_id="1") == ["a", "e"]
    assert store.listed(organization_id="x", owner_id="1", after="a") == ["e"]
    assert store.listed(organization_id="x", after="c") == ["e"]
    assert store.listed(organization_id="x", limit=1) == ["a"]
    assert store.listed(organization_id="z") == []
    assert store.listed(organization_id="X") == []
    assert store.listed(organization_id="") == []


@pytest.mark.parametrize("other", ["acmE", "acme ", " acme", "acm\u0451", "acme\u0301", "acmé", "ａcme"])
def test_owners_and_ids_are_the_same_only_octet_by_octet(store: Store, other: str) -> None:
    for each in ("acme", other):
        store.put(a_key(each, organization_id=each, owner_id=each))
        assert store.find(each).id == each
    assert store.listed(organization_id="acme") == store.listed(owner_id="acme") == ["acme"]
    assert store.listed(organization_id=other) == store.listed(owner_id=other) == [other]
    store.put(a_key("third", organization_id=other), Cap(2, (("organization_id", other),)))
    with pytest.raises(KeyLimitReached):
        store.put(a_key("more", organization_id=other), Cap(2, (("organization_id", other),)))


def test_a_list_holds_revoked_and_expired_keys_too(store: Store) -> None:
    store.put(a_key("a", revoked_at=T0, expires_at=T0))
    assert store.listed() == ["a"]


def test_a_touch_sets_the_last_use_and_nothing_else(store: Store) -> None:
    store.put(replace(FULL, last_used_at=None, grace_used_at=None))
    store.touch(FULL.id, later(5.000001))
    assert store.shown(FULL.id) == replace(FULL, last_used_at=later(5.000001), grace_used_at=None)
    store.touch(FULL.id, later(7))
    assert store.shown(FULL.id) == replace(FULL, last_used_at=later(7), grace_used_at=None)
    assert store.records(limit=1) == [replace(FULL, last_used_at=later(7), grace_used_at=None)]
    assert store.end(FULL.id, FULL.revoked_at) == replace(FULL, last_used_at=later(7), grace_used_at=None)


def test_a_use_leaves_the_record_what_it_is(store: Store) -> None:
    store.put(a_key())
    found = store.find("0123456789AB")
    for number, seconds in enumerate((1, 61, 121, 181)):
        store.touch("0123456789AB", later(seconds), bool(number % 2))
        assert store.find("0123456789AB") is found
        assert store.last_used("0123456789AB") == later(seconds)
    changed = store.update("0123456789AB", found.revision, {"name": "other"}, [told("key.update", "a")]).record
    assert (changed.name, changed.last_used_at, changed.grace_used_at) == ("other", later(181), later(181))
    store.rehash("0123456789AB", OLD, NEW)
    assert store.find("0123456789AB").hashes == (NEW,)
    assert store.last_used("0123456789AB") == later(181)


def test_nobody_has_used_what_is_not_there(store: Store) -> None:
    assert store.last_used("0123456789AB") is None
    store.put(a_key())
    assert store.last_used("0123456789AB") is None
    store.put(a_key("other", last_used_at=T0))
    assert store.last_used("other") == T0


@pytest.mark.parametrize("seconds", [10, 9.999999, 0, -1e6])
def test_a_touch_never_goes_backwards(store: Store, seconds: float) -> None:
    store.put(a_key())
    store.touch("0123456789AB", later(10))
    store.touch("0123456789AB", later(seconds))
    assert store.shown("0123456789AB").last_used_at == later(10)


def test_a_revocation_is_seen_at_once_and_returned(store: Store) -> None:
    store.put(replace(FULL, revoked_at=None))
    assert store.find(FULL.id).revoked_at is None
    assert store.end(FULL.id, later(5)) == replace(FULL, revoked_at=later(5))
    assert store.find(FULL.id) == replace(FULL, revoked_at=later(5))


@pytest.mark.parametrize("seconds", [6, 4])
def test_a_second_revocation_keeps_the_first_moment(store: Store, seconds: float) -> None:
    store.put(a_key())
    store.end("0123456789AB", later(5))
    assert store.end("0123456789AB", later(seconds)).revoked_at == later(5)
    assert store.find("0123456789AB").revoked_at == later(5)


def test_nothing_un_revokes_a_key(store: Store) -> None:
    store.put(a_key())
    seen_before = store.find("0123456789AB")
    store.end("0123456789AB", later(5))
    store.touch("0123456789AB", later(6))
    store.rehash("0123456789AB", OLD, NEW)
    with pytest.raises(KeyError):
        store.put(seen_before)
    assert store.shown("0123456789AB") == a_key(revoked_at=later(5), last_used_at=later(6), hashes=(NEW,))
    assert seen_before.revoked_at is None


def test_a_hash_is_renewed_in_its_place(store: Store) -> None:
    other = SecretHash("$other", "othX", later(9))
    store.put(a_key(hashes=(other, OLD)))
    store.rehash("0123456789AB", OLD, NEW)
    assert store.find("0123456789AB") == a_key(hashes=(other, NEW))


@pytest.mark.parametrize(
    "gone", [NEW, SecretHash("$old", "else"), SecretHash("$old", "oldX", T0), SecretHash("$else", "oldX")]
)
def test_a_hash_that_is_no_longer_there_is_not_brought_back(store: Store, gone: SecretHash) -> None:
    store.put(a_key())
    store.rehash("0123456789AB", gone, SecretHash("$late", "late"))
    assert store.find("0123456789AB") == a_key()


def test_a_quick_proof_is_added_and_renewed_in_its_place(store: Store) -> None:
    older, other = replace(OLD, quick="$quick$a"), SecretHash("$other", "othX", later(9), "$quick$o")
    store.put(a_key(hashes=(OLD, other), metadata=frozen({"a": 1})))
    before = store.find("0123456789AB")
    store.rehash("0123456789AB", OLD, older)
    found = store.find("0123456789AB")
    assert [(each, each.quick) for each in found.hashes] == [(older, "$quick$a"), (other, "$quick$o")]
    assert (replace(found, hashes=before.hashes) == before, found.revision == before.revision) == (True, False)
    store.rehash("0123456789AB", OLD, replace(OLD, quick="$quick$late"))
    assert store.find("0123456789AB").hashes == (older, other), "it is not the one any more that was read"
    store.rehash("0123456789AB", older, replace(OLD, quick="$quick$b"))
    assert store.find("0123456789AB").hashes == (replace(OLD, quick="$quick$b"), other)


def test_two_renewals_of_one_hash_leave_the_first(store: Store) -> None:
    store.put(a_key())
    store.rehash("0123456789AB", OLD, NEW)
    store.rehash("0123456789AB", OLD, SecretHash("$late", "late"))
    assert store.find("0123456789AB").hashes == (NEW,)


def test_one_keys_change_leaves_the_others_alone(store: Store) -> None:
    for key_id in ("a", "b"):
        store.put(a_key(key_id))
    store.end("a", T0)
    store.touch("a", T0)
    store.rehash("a", OLD, NEW)
    assert store.find("b") == a_key("b")


def test_a_closed_store_may_be_used_again(store: Store) -> None:
    store.put(a_key())
    store.close()
    store.close()
    assert store.find("0123456789AB") == a_key()
    store.touch("0123456789AB", T0)
    assert store.last_used("0123456789AB") == T0


@pytest.mark.parametrize("kind", ["memory", "sqlite", "redis", "redis cluster"])
def test_concurrent_changes_of_one_key_all_hold(kind: str, tmp_path: Path) -> None:
    from keystile._sync import patiently

    store = STORES[kind](tmp_path)
    store.add(a_key(), [told("key.create", "0123456789AB")])
    faults: list[BaseException] = []
    start = threading.Barrier(4)

    def work(change: Callable[[int], Any]) -> None:
        start.wait()
        try:
            for number in range(25):
                patiently(20, change, number)
        except Exception as error:  # noqa: BLE001 - it is what is looked for
            faults.append(error)

    changes: list[Callable[[int], Any]] = [
        lambda number: store.touch("0123456789AB", later(number)),
        lambda number: store.revoke("0123456789AB", later(number), [told("key.revoke", "0123456789AB")]),
        lambda number: store.rehash("0123456789AB", OLD, NEW),
        lambda number: store.add(a_key(f"other {number}"), [told("key.create", "other")]),
    ]
    threads = [threading.Thread(target=work, args=(change,)) for change in changes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    found = replace(store.find("0123456789AB"), last_used_at=store.last_used("0123456789AB"))
    assert found == a_key(last_used_at=later(24), revoked_at=later(0), hashes=(NEW,))
    assert len(store.list(KeyFilter(), None, 100)) == 26
    assert len(store.list_audit(AuditFilter(), None, 100)) == 27
    store.close()


def test_a_url_names_a_store(tmp_path: Path) -> None:
    assert isinstance(open_store("memory://"), MemoryStore)
    store = open_store(f"sqlite:///{tmp_path}/keys.db")
    assert isinstance(store, SQLiteStore)
    assert (tmp_path / "keys.db").exists()
    store.close()
    for scheme in ("redis", "rediss", "redis+cluster", "valkey"):
        found = open_store(f"{scheme}://:secret@127.0.0.1:1")
        assert isinstance(found, RedisStore)
        assert repr(found) == f"RedisStore('{scheme}://127.0.0.1:1')"
        found.close()


@pytest.mark.parametrize(
    "url", ["", "keys.db", "mongodb://localhost", "redis:localhost", "sqlite:keys.db", "sqlite://keys.db", "file:a.db"]
)
def test_a_url_that_names_no_store_is_a_configuration_error(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        open_store(url)
    assert caught.value.key == "store"
