"""The SQL store over a real MariaDB: what its driver does differently from PostgreSQL's. The contract is elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pymysql
import pytest
from sqlalchemy import make_url

from keystile import ConfigurationError, Gate, HmacHasher
from keystile.exceptions import KeyLimitReached, StoreUnavailable
from keystile.stores import AuditFilter, Cap, KeyFilter
from keystile.stores.sql import SQLStore, migrate
from tests.doors import Door
from tests.mariadb_server import mariadb_url  # noqa: F401
from tests.sql_stores import emptied, quiet
from tests.stage import until
from tests.stored import T0, a_key, later, told
from tests.tcp_proxy import Proxy

pytestmark = pytest.mark.services("mariadbd")

ID = "0123456789AB"


@pytest.fixture
def url(mariadb_url: str) -> str:  # noqa: F811
    return emptied(mariadb_url)


@contextmanager
def behind(url: str) -> Iterator[tuple[Proxy, str]]:
    place = make_url(url)
    assert place.port is not None
    with Proxy(place.port) as proxy:
        yield proxy, place.set(port=proxy.port).render_as_string(hide_password=False)


def connected(url: str) -> pymysql.Connection:  # type: ignore[type-arg]
    place = make_url(url)
    named = {"host": place.host, "port": place.port, "user": place.username, "database": place.database}
    return pymysql.connect(**named, autocommit=True)


def test_a_find_is_one_round_trip(url: str) -> None:
    with behind(url) as (proxy, through), closing(SQLStore(through)) as store:
        store.add(a_key(), [told("key.create", ID)])
        assert store.find(ID) == a_key()
        while proxy.asked.acquire(blocking=False):
            pass
        for _ in range(20):
            store.find(ID)
        found = 0
        while proxy.asked.acquire(blocking=False):
            found += 1
        assert found == 20


@pytest.mark.parametrize("number", range(1, 16))
def test_a_write_whose_connection_breaks_is_done_once(url: str, number: int) -> None:
    with behind(url) as (proxy, through), closing(SQLStore(through)) as store:
        cap = Cap(1, (("owner_id", "me"),), replaces=True)
        store.add(a_key("first", owner_id="me"), [told("key.create", "first")], cap)
        proxy.lose(number)
        written = store.add(a_key(owner_id="me"), [told("key.create", ID)], cap)
        proxy.lose(0)
        assert written.record == a_key(owner_id="me")
        assert [each.event for each in written.entries] == ["key.create", "key.revoke"]
        events = [each.event for each in store.list_audit(AuditFilter(), None, 10)]
        assert sorted(events) == ["key.create", "key.create", "key.revoke"]


@pytest.mark.parametrize("kind", ["wsgi", "asyncio", "trio"])
def test_a_server_that_is_silent_costs_503_and_is_used_again_when_it_speaks(url: str, kind: str) -> None:
    with behind(url) as (proxy, through):
        door = Door(
            lambda **settings: Gate(**{"store": through, "prefix": "acme", "hasher": HmacHasher(b"p" * 16)} | settings),
            kind,
        )
        with closing(door.open()) as gate:
            secret = gate.keys.create("a").secret
            assert door.get(key=secret).status == 200
            for away, back in ((proxy.hold, proxy.release), (proxy.cut, lambda: None)):
                away()
                if away == proxy.hold:
                    for _ in range(5):
                        answer = door.get(key=secret)
                        assert (answer.status, answer.header("retry-after") is None) == (503, False)
                back()
                until(lambda: door.get(key=secret).status == 200)


def test_what_somebody_types_into_the_table_holds_on_the_next_request(url: str) -> None:
    with closing(SQLStore(url)) as store, closing(connected(url)) as typed:
        store.add(a_key(), [told("key.create", ID)])
        before = store.find(ID)
        typed.cursor().execute("UPDATE keystile_keys SET name = UPPER(name), scopes = '[\"Admin\"]'")
        changed = store.find(ID)
        assert changed is not None
        assert changed.scopes == ("Admin",)
        typed.cursor().execute("UPDATE keystile_keys SET scopes = '[\"admin\"]'")  # differs in case alone
        assert store.find(ID) != changed
        again = store.find(ID)
        assert again is not before
        for moment in (1, 2):
            typed.cursor().execute(f"UPDATE keystile_keys SET last_used_at = {moment}, grace_used_at = {moment}")
            assert store.find(ID) is again
        typed.cursor().execute("UPDATE keystile_keys SET last_used_at = 3, revoked_at = 3")
        assert store.find(ID) is not again


# What `migrations` made for version 2: there, the first use counted as a change.
OF_VERSION_2 = (
    "DROP TRIGGER keystile_keys_changed",
    """CREATE TRIGGER keystile_keys_revised BEFORE UPDATE ON keystile_keys FOR EACH ROW
        IF NOT (CAST(NEW.name AS BINARY) <=> CAST(OLD.name AS BINARY)
            AND ((NEW.last_used_at IS NULL) = (OLD.last_used_at IS NULL))) OR NEW.revision <> OLD.revision
        THEN SET NEW.revision = UUID_SHORT() & 0x7fffffffffffffff; END IF""",
    "UPDATE keystile_schema SET version = 2",
)


def test_no_change_goes_unseen_while_tables_of_an_older_version_become_those_of_today(url: str) -> None:
    with closing(SQLStore(url)) as store, closing(connected(url)) as typed:
        store.add(a_key(), [told("key.create", ID)])
        for statement in OF_VERSION_2:
            typed.cursor().execute(statement)
        stops = [2]

        def change(number: int, count: int, _statement: str) -> None:
            typed.cursor().execute(f"UPDATE keystile_keys SET name = '{number} of {count}, {stops}'")
            assert store.find(ID).name == f"{number} of {count}, {stops}"  # type: ignore[union-attr]
            if number in stops:
                stops.remove(number)
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            migrate(url, change)
        assert migrate(url, change) == 4
        found = store.find(ID)
        store.touch(ID, T0, True)
        assert store.find(ID) is found
        change(9, 9, "")
        cursor = typed.cursor()
        cursor.execute(
            "SELECT trigger_name FROM information_schema.triggers WHERE event_object_table = 'keystile_keys'"
        )
        assert {name for (name,) in cursor.fetchall()} == {"keystile_keys_inserted", "keystile_keys_changed"}


def test_as_many_as_are_made_at_once_a_cap_holds(url: str) -> None:
    with closing(SQLStore(url)) as store:
        full: list[str] = []

        def work(number: int) -> None:
            for each in range(5):
                key = a_key(f"{number}-{each}", organization_id="o", created_at=later(each))
                while True:
                    try:
                        store.add(key, [told("key.create", key.id)], Cap(5, (("organization_id", "o"),)))
                    except KeyLimitReached:
                        full.append(key.id)
                    except StoreUnavailable:  # no connection was free for so long
                        continue
                    break

        threads = [threading.Thread(target=work, args=(number,)) for number in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (len(store.list(KeyFilter(state=("live", T0)), None, 100)), len(full)) == (5, 45)


def test_a_migration_that_was_cut_short_goes_on(url: str) -> None:
    with closing(connected(url)) as typed:
        typed.cursor().execute("DELETE FROM keystile_schema")
        typed.cursor().execute("DROP TRIGGER keystile_keys_changed")
        typed.cursor().execute("DROP TABLE keystile_audit_targets")
    with pytest.raises(ConfigurationError, match="keystile migrate"):
        SQLStore(url)
    assert migrate(url, quiet) > 0
    assert migrate(url, quiet) == 0
    with closing(SQLStore(url)) as store:
        store.add(a_key(), [told("key.create", ID)])
        revision = store.find(ID).revision  # type: ignore[union-attr]
        assert store.revoke(ID, T0, [told("key.revoke", ID)]).record.revision != revision
