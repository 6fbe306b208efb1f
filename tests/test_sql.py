"""What the SQL store promises beyond the contract of stores: round trips, outages, crashes, migrations."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import psycopg
import pytest
from anyio.from_thread import start_blocking_portal

from keystile import ConfigurationError, Gate, HmacHasher
from keystile.exceptions import KeyLimitReached, StoreUnavailable, UnreadableRecord
from keystile.keys.usage import counting
from keystile.model import Counted, SecretHash, Used
from keystile.stores import AuditFilter, Cap, KeyFilter, open_store
from keystile.stores.sql import SQLStore, migrate
from keystile.stores.sql.tables import BY_END
from tests.doors import Door
from tests.postgres_server import PostgresServer, postgres_url  # noqa: F401
from tests.selection import often, some
from tests.sql_stores import a_server, emptied, new_database, quiet
from tests.stage import PATIENCE, until
from tests.stored import NEW, OLD, T0, a_key, a_project, an_organization, later, told
from tests.tcp_proxy import Proxy

ID = "0123456789AB"
PEPPER = b"p" * 16
HASHER = HmacHasher(PEPPER)


@pytest.fixture
def url(postgres_url: str) -> str:  # noqa: F811
    """A database with empty tables."""
    return emptied(postgres_url)


@pytest.fixture
def store(url: str) -> Iterator[SQLStore]:
    with closing(SQLStore(url)) as opened:
        yield opened


@contextmanager
def behind(url: str) -> Iterator[tuple[Proxy, str]]:
    """A proxy before the server of a URL, and the URL of the same database there."""
    parts = psycopg.conninfo.conninfo_to_dict(url)
    with Proxy(int(parts["port"])) as proxy:
        yield proxy, f"postgresql://{parts['user']}@127.0.0.1:{proxy.port}/{parts['dbname']}"


def passed(semaphore: threading.Semaphore) -> int:
    """How often it was released since this was asked last. The proxy releases it a moment after the client goes on."""
    found = 0
    while semaphore.acquire(timeout=0.5):
        found += 1
    return found


def put(store: Any, **values: Any) -> Any:
    key = a_key(**values)
    return store.add(key, [told("key.create", key.id)]).record


# Round trips


@pytest.mark.parametrize("kind", ["blocking", "asyncio"])
def test_a_find_is_one_round_trip(url: str, kind: str) -> None:
    with behind(url) as (proxy, through), closing(SQLStore(through)) as store, ExitStack() as stack:
        put(store)
        find: Callable[[str], Any] = store.find
        if kind == "asyncio":
            portal = stack.enter_context(start_blocking_portal("asyncio"))
            twin = store.for_asyncio()
            assert twin is not None
            stack.callback(portal.call, twin.close)
            find = partial(portal.call, twin.find)
        for _ in range(10):  # connects, and prepares the statement
            assert find(ID) == a_key()
        passed(proxy.answered)
        for _ in range(20):
            find(ID)
        find("unknown")
        # What nobody answers, such as the end of another connection, is no round trip.
        assert passed(proxy.answered) == 21


def test_a_record_is_decoded_once_for_as_long_as_it_and_what_it_inherits_stay(store: SQLStore) -> None:
    store.add_organization(an_organization(), [told("organization.create", "o")])
    key = a_key(organization_id="o", project_id="p")
    store.add_project(a_project(), key, [told("project.create", "p")])
    first = store.find(ID)
    assert store.find(ID) is first
    project, organization = store.find_project("p"), store.find_organization("o")
    assert project is not None
    assert organization is not None
    store.update_project("p", project.revision, {"suspended_at": T0}, [told("project.update", "p")])
    suspended = store.find(ID)
    assert suspended is not None
    assert (suspended is first, suspended.is_suspended) == (False, True)
    store.update_organization("o", organization.revision, {"plan": "pro"}, [told("organization.update", "o")])
    planned = store.find(ID)
    assert planned is not None
    assert planned.effective_plan == "pro"


def test_what_somebody_types_into_the_table_holds_on_the_next_request(url: str, store: SQLStore) -> None:
    put(store)
    before = store.find(ID)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TEMP TABLE saved AS SELECT * FROM keystile_keys")
        connection.execute("UPDATE keystile_keys SET revoked_at = 1")
        revoked = store.find(ID)
        assert revoked is not None
        assert revoked.revoked_at is not None
        # A row that is put back with its old revision is another row again.
        connection.execute("UPDATE keystile_keys k SET revoked_at = NULL, revision = s.revision FROM saved s")
        assert store.find(ID) == before
        assert store.find(ID) is not before
        connection.execute("DELETE FROM keystile_keys")
        assert store.find(ID) is None
        connection.execute("INSERT INTO keystile_keys SELECT * FROM saved")
        assert store.find(ID) is not before


@pytest.mark.parametrize(
    ("column", "text"), [("hashes", "nonsense $secret"), ("scopes", '"admin"'), ("metadata", "[]"), ("may", '"GET /*"')]
)
def test_a_record_that_cannot_be_read_is_told_and_refused_alone(
    url: str, store: SQLStore, column: str, text: str
) -> None:
    put(store)
    put(store, id="other")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"UPDATE keystile_keys SET {column} = %s WHERE id = %s", (text, ID))
    heard: list[UnreadableRecord] = []
    store.on_unreadable = heard.append
    with pytest.raises(UnreadableRecord, match=ID) as caught:
        store.find(ID)
    assert "secret" not in str(caught.value)
    assert [key.id for key in store.list(KeyFilter(), None, 10)] == ["other"]
    assert [error.key_id for error in heard] == [ID]
    with pytest.raises(UnreadableRecord, match="revoked all the same"):
        store.revoke(ID, T0, [told("key.revoke", ID)])
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT revoked_at FROM keystile_keys WHERE id = %s", (ID,)).fetchone()
    assert found is not None
    assert found[0] is not None


# What no database can hold

UNKEPT = ["a\0b", "\0", "half \ud800", "\udfff"]


@pytest.mark.parametrize("text", UNKEPT)
def test_what_cannot_be_kept_is_not_there(store: SQLStore, text: str) -> None:
    assert store.find(text) is None
    assert store.last_used(text) is None
    store.touch(text, T0)
    store.rehash(text, OLD, NEW)
    store.add_usage([Counted(text, 5, "admitted", 1), Counted(ID, 5, "admitted", 2)], [Used(text, T0, False)])
    assert store.usage(text, 0, 10, 1) == []
    assert store.usage(ID, 0, 10, 1) == [Counted(ID, 5, "admitted", 2)]
    assert store.revoke(text, T0, [told("key.revoke", "x")]).record is None
    assert store.update(text, 0, {"name": "x"}, [told("key.update", "x")]).record is None
    assert store.find_project(text) is None
    assert store.find_organization(text) is None
    assert store.list(KeyFilter(owner_id=text), None, 10) == []
    assert store.list(KeyFilter(), text, 10) == []
    assert store.list_audit(AuditFilter(target=text), None, 10) == []


@pytest.mark.parametrize("text", UNKEPT)
@pytest.mark.parametrize("member", ["id", "name", "owner_id", "plan", "organization_id"])
def test_what_cannot_be_kept_is_refused_by_its_name(store: SQLStore, member: str, text: str) -> None:
    key = a_key(**{member: text})
    with pytest.raises(ConfigurationError) as caught:
        store.add(key, [told("key.create", "x")])
    assert caught.value.key == member
    assert store.list(KeyFilter(), None, 10) == []


def deep(levels: int) -> Any:
    found: Any = []
    for _ in range(levels):
        found = [found]
    return found


@pytest.mark.parametrize(
    "metadata",
    [{"nul": "a\0b", "\0": 1}, {"half": "\ud800"}, {"big": 2**63}, {"bigger": -(10**300)}, {"deep": deep(29)}],
)
def test_metadata_comes_back_as_it_was_whatever_is_in_it(url: str, metadata: dict[str, Any]) -> None:
    with closing(Gate(url, hasher=HASHER)) as gate:
        issued = gate.keys.create("a", metadata=metadata)
        assert gate.keys.get(issued.key.id).metadata == issued.key.metadata
        gate.keys.update(issued.key.id, metadata={"again": metadata})


@pytest.mark.parametrize("levels", [33, 1000, 5000, 100_000])
def test_metadata_that_is_nested_too_deep_is_refused_by_name(url: str, levels: int) -> None:
    with closing(Gate(url, hasher=HASHER)) as gate, pytest.raises(ConfigurationError, match="metadata"):
        gate.keys.create("a", metadata={"deep": deep(levels)})


# Broken connections


def test_a_connection_that_was_lost_is_made_anew_within_the_same_call(url: str, store: SQLStore) -> None:
    put(store)
    with psycopg.connect(url, autocommit=True) as connection:
        for number in range(3):
            assert store.find(ID) is not None
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'keystile'"
            )
            assert store.find(ID) is not None
            store.touch(ID, later(number))
            assert store.last_used(ID) == later(number)


@pytest.mark.parametrize("number", range(1, 4))
def test_counts_whose_connection_breaks_before_the_commit_are_added_once(url: str, number: int) -> None:
    with behind(url) as (proxy, through), closing(SQLStore(through)) as store:
        put(store)
        counts = [Counted(ID, hour, "admitted", 1) for hour in range(100)]
        proxy.lose(number)
        store.add_usage(counts, [Used(ID, T0, True)])
        proxy.lose(0)
        assert store.usage(ID, 0, 200, 1) == counts
        assert (store.last_used(ID), store.last_used(ID, True)) == (T0, T0)


def test_old_counts_are_found_by_their_hour(url: str, store: SQLStore) -> None:
    for each in range(20):
        store.add_usage([Counted(f"{each} {key:02}", 100 + each, "admitted", 1) for key in range(100)], [])
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ANALYZE keystile_usage")
        wanted = "SELECT key_id FROM keystile_usage WHERE hour < 101 LIMIT 10"
        plan = "".join(each[0] for each in connection.execute(f"EXPLAIN {wanted}"))
        assert "keystile_usage_by_hour" in plan


LOST = 14
"""More answers than any write has."""


@pytest.mark.parametrize("number", range(1, LOST))
def test_a_write_whose_connection_breaks_is_done_once(url: str, number: int) -> None:
    with behind(url) as (proxy, through), closing(SQLStore(through)) as store:
        cap = Cap(1, (("owner_id", "me"),), replaces=True)
        store.add(a_key("first", owner_id="me"), [told("key.create", "first")], cap)
        proxy.lose(number)
        entry = told("key.create", ID)
        written = store.add(a_key(owner_id="me"), [entry], cap)
        assert written.record == a_key(owner_id="me")
        assert [each.event for each in written.entries] == ["key.create", "key.revoke"]
        assert written.entries[0] == entry
        proxy.lose(number)
        assert store.revoke(ID, later(1), [told("key.revoke", ID)]).record.revoked_at == later(1)
        proxy.lose(0)
        events = [each.event for each in store.list_audit(AuditFilter(), None, 10)]
        assert sorted(events) == ["key.create", "key.create", "key.revoke", "key.revoke"]


def test_a_second_try_waits_for_a_commit_that_is_still_under_way(url: str) -> None:
    """The connection breaks when the server has the entry and has not committed yet; it does so while others wait."""
    with closing(SQLStore(url)) as store, psycopg.connect(url) as first, ExitStack() as stack:
        put(store)
        entry = told("key.rotate", ID)
        key = store.find(ID)
        assert key is not None
        columns = ("id", "at", "event", "targets", "correlation_id", "actor_type", "via")
        values = (entry.id, 1, entry.event, '[["key", "x", "x"]]', entry.id, "system", "python")
        first.execute(
            f"INSERT INTO keystile_audit ({', '.join(columns)}) VALUES ({', '.join(['%s'] * len(columns))})", values
        )
        proxy, through = stack.enter_context(behind(url))
        other = stack.enter_context(closing(SQLStore(through)))
        proxy.lose(3)
        threads = stack.enter_context(ThreadPoolExecutor())
        late = threads.submit(other.update, ID, key.revision, {"hashes": (NEW,)}, [entry])
        watching = stack.enter_context(psycopg.connect(url, autocommit=True))
        waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        until(lambda: watching.execute(waits).fetchone() != (0,))
        first.commit()
        written = late.result(PATIENCE)
        assert [each.id for each in written.entries] == [entry.id]
        assert store.find(ID) == a_key()  # what the first try wrote, which was nothing here


def test_a_key_that_is_there_already_is_never_taken_for_ones_own(store: SQLStore) -> None:
    put(store)
    with pytest.raises(KeyError):
        put(store)


@pytest.mark.parametrize("kind", ["blocking", "asyncio"])
def test_an_answer_that_comes_too_late_is_given_to_nobody(url: str, kind: str) -> None:
    with behind(url) as (proxy, through), closing(SQLStore(f"{through}?pool=1")) as store, ExitStack() as stack:
        find: Callable[[str], Any] = store.find
        if kind == "asyncio":
            portal = stack.enter_context(start_blocking_portal("asyncio"))
            twin = store.for_asyncio()
            assert twin is not None
            stack.callback(portal.call, twin.close)
            find = partial(portal.call, twin.find)
        put(store, id="first")
        put(store, id="second")
        assert find("first").id == "first"
        for _ in range(3):
            proxy.hold()
            with pytest.raises(StoreUnavailable):
                find("first")
            proxy.release()
            until(lambda: comes_back(find))
            assert find("second").id == "second"
            assert find("unknown") is None


def test_an_answer_for_a_client_that_left_is_given_to_nobody(url: str) -> None:
    with behind(url) as (proxy, through), closing(SQLStore(f"{through}?pool=1")) as store:
        put(store, id="first")
        put(store, id="second")
        with start_blocking_portal("asyncio") as portal:
            twin = store.for_asyncio()
            assert twin is not None
            assert portal.call(twin.find, "first").id == "first"
            for _ in range(20):
                proxy.hold()
                leaving = portal.start_task_soon(twin.find, "first")
                assert proxy.asked.acquire(timeout=PATIENCE)
                leaving.cancel()
                proxy.release()
                assert portal.call(twin.find, "second").id == "second"
                assert portal.call(twin.find, "unknown") is None
            portal.call(twin.close)


# Outages


class Traffic:
    """Requests that go on and on, through one door.

    Attributes:
        statuses: what came back so far.
    """

    def __init__(self, ask: Callable[[], Any], workers: int) -> None:
        self.statuses: list[tuple[int, str | None]] = []
        self._ends = False
        self._ask = ask
        self._threads = [threading.Thread(target=self._run) for _ in range(workers)]
        for thread in self._threads:
            thread.start()

    def _run(self) -> None:
        while not self._ends:
            answer = self._ask()
            self.statuses.append((answer.status, answer.header("retry-after")))

    def sees(self, status: int, times: int) -> None:
        """Wait until so many more requests in a row have had this status."""
        start = len(self.statuses)
        until(lambda: [each for each, _ in self.statuses[start:]][-times:] == [status] * times)

    def end(self) -> None:
        self._ends = True
        for thread in self._threads:
            thread.join()


@contextmanager
def traffic(url: str, kind: str, workers: int = 12) -> Iterator[Traffic]:
    with ExitStack() as stack:
        door = Door(lambda **settings: Gate(**{"store": url, "prefix": "acme", "hasher": HASHER} | settings), kind)
        gate = door.open()
        secret = gate.keys.create("busy").secret
        ask = partial(door.get, key=secret)
        if kind != "wsgi":
            # One loop for all, as a server has.
            portal = stack.enter_context(start_blocking_portal(kind))
            sent = [("authorization", f"Bearer {secret}")]
            ask = partial(portal.call, door.asgi_call, "GET", "/v1", sent, "127.0.0.1")
            stack.callback(portal.call, gate.aclose)
        else:
            stack.callback(gate.close)
        made = Traffic(ask, workers)
        try:
            made.sees(200, 20)
            yield made
        finally:
            made.end()


@pytest.fixture(scope="module")
def stoppable() -> Iterator[tuple[PostgresServer, str]]:
    with a_server() as found:
        yield found


AWAY = pytest.mark.parametrize(
    ("kind", "how"),
    some(
        [(kind, how) for kind in ("wsgi", "asyncio", "trio") for how in ("frozen", "killed")],
        ("asyncio", "frozen"),
        ("wsgi", "killed"),
    ),
)


@AWAY
def test_a_database_that_is_away_costs_503_at_once_and_is_used_again_when_it_is_back(
    stoppable: tuple[PostgresServer, str], kind: str, how: str
) -> None:
    server, url = stoppable
    away, back = (server.freeze, server.thaw) if how == "frozen" else (server.stop, server.start)
    with traffic(url, kind) as made:
        for _ in range(often(1, 3)):
            away()
            try:
                # Far more than there are workers: nobody waits for the database any more.
                made.sees(503, 200)
            finally:
                back()
            made.sees(200, 50)
    assert {status for status, _ in made.statuses} == {200, 503}
    assert all(retry is not None for status, retry in made.statuses if status == 503)


def test_a_restart_that_nobody_notices_costs_no_request(stoppable: tuple[PostgresServer, str]) -> None:
    server, url = stoppable
    with closing(Gate(url, hasher=HASHER)) as gate:
        issued = gate.keys.create("a")
        server.stop()
        server.start()
        assert gate.keys.get(issued.key.id).id == issued.key.id
        gate.keys.revoke(issued.key.id)


def test_while_it_is_away_writes_fail_with_a_reason_and_without_secrets(
    stoppable: tuple[PostgresServer, str],
) -> None:
    server, url = stoppable
    with closing(SQLStore(url)) as store:
        server.freeze()
        try:
            for _ in range(3):
                with pytest.raises(StoreUnavailable) as caught:
                    store.add(a_key("x", hashes=(SecretHash("$secret", "hint"),)), [told("key.create", "x")])
                assert "secret" not in str(caught.value)
        finally:
            server.thaw()
        until(lambda: comes_back(store.find))


@AWAY
def test_what_was_counted_waits_until_the_database_is_back(
    stoppable: tuple[PostgresServer, str], monkeypatch: pytest.MonkeyPatch, kind: str, how: str
) -> None:
    # Nothing is being written in the very moment in which the server stops.
    monkeypatch.setattr(counting, "EVERY", 1000.0)
    server, url = stoppable
    away, back = (server.freeze, server.thaw) if how == "frozen" else (server.stop, server.start)
    door = Door(lambda **settings: Gate(**{"store": url, "prefix": "acme", "hasher": HASHER} | settings), kind)
    gate = door.open()
    heard: list[str] = []
    gate.on_event(lambda event: heard.append(event.code))
    issued = door.create()
    for _ in range(2):
        assert [door.get(key=issued.secret).status for _ in range(20)] == [200] * 20
        away()
        try:
            door.flush()
            door.flush()
        finally:
            back()
        until(lambda: door.get(key=issued.secret).status == 200)
        until(lambda: flushed(door))
    found = door.run(gate.keys.ausage, issued.key.id)
    assert sum(each.admitted for each in found) == 42
    assert (heard.count("usage_delayed"), heard.count("usage_lost")) == (2, 0)
    door.run(gate.aclose)


def flushed(door: Door) -> bool:
    """Whether nothing waits to be written any more."""
    door.flush()
    return not door.gate._counting.counts


def comes_back(find: Callable[[str], Any]) -> bool:
    try:
        find("nobody")
    except StoreUnavailable:
        return False
    return True


# Processes


CREATOR = """
import sys
from keystile import Gate, HmacHasher, Plan
from keystile.exceptions import KeyLimitReached
plans = {"free": Plan("1/day", max_keys=5, cap_by=["owner"])}
gate = Gate(sys.argv[1], prefix="acme", hasher=HmacHasher(b"p" * 16), plans=plans, default_plan="free")
print("ready", flush=True)
sys.stdin.readline()
"""
MANY = (
    CREATOR
    + """
for _ in range(int(sys.argv[2])):
    try:
        print("made", gate.keys.create("a", owner_id="me").key.id, flush=True)
    except KeyLimitReached:
        print("full", flush=True)
"""
)


def test_a_cap_of_5_holds_for_50_creations_at_once_in_four_processes(url: str) -> None:
    shares = [13, 13, 12, 12]
    others = [worker(MANY, url, str(share)) for share in shares]
    for each in others:
        assert each.stdin is not None
        each.stdin.write("go\n")
        each.stdin.flush()
    said = [line.split()[0] for each in others for line in each.communicate(timeout=60)[0].splitlines()]
    assert (said.count("made"), said.count("full")) == (5, 45)


def worker(code: str, *arguments: str) -> subprocess.Popen[str]:
    """A process that is ready to begin."""
    made = subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert made.stdout is not None
    assert made.stdout.readline() == "ready\n"
    return made


BUSY = (
    CREATOR
    + """
while True:
    owner = str(time.monotonic_ns())
    for _ in range(7):
        try:
            issued = gate.keys.create("a", owner_id=owner)
        except KeyLimitReached:
            break
        print("made", issued.key.id, flush=True)
        gate.keys.rotate(issued.key.id, grace=60)
        print("rotated", issued.key.id, flush=True)
    gate.keys.revoke(issued.key.id)
    print("revoked", issued.key.id, flush=True)
"""
).replace("import sys", "import sys, time")


def test_a_process_that_is_killed_leaves_nothing_half_done(url: str, store: SQLStore) -> None:
    done: list[list[str]] = []
    for number in range(often(4, 25)):
        with worker(BUSY, url) as other:
            assert other.stdin is not None
            assert other.stdout is not None
            other.stdin.write("go\n")
            other.stdin.flush()
            done += [other.stdout.readline().split() for _ in range(number * 3 + 1)]
            other.kill()  # wherever it is
            done += [line.split() for line in other.stdout.read().splitlines() if line.count(" ") == 1]
    keys = {key.id: key for key in store.list(KeyFilter(), None, 100_000)}
    entries = store.list_audit(AuditFilter(), None, 100_000)
    events = {event: {each.targets[0].id for each in entries if each.event == event} for event in EVENTS}
    assert events["key.create"] == keys.keys()
    assert events["key.rotate"] == {key.id for key in keys.values() if len(key.hashes) == 2}
    assert events["key.revoke"] == {key.id for key in keys.values() if key.revoked_at is not None}
    assert len(entries) == sum(map(len, events.values()))
    for word, key_id in done:
        assert key_id in events[{"made": "key.create", "rotated": "key.rotate", "revoked": "key.revoke"}[word]]
    owners = [key.owner_id for key in keys.values() if key.revoked_at is None]
    assert max(map(owners.count, owners)) <= 5


EVENTS = ("key.create", "key.rotate", "key.revoke")
REVOKER = """
import sys
from keystile import Gate, HmacHasher
gate = Gate(sys.argv[1], prefix="acme", hasher=HmacHasher(b"p" * 16))
print("ready", flush=True)
for line in sys.stdin:
    gate.keys.revoke(line.strip())
    print("revoked", flush=True)
"""


@pytest.mark.parametrize("kind", ["wsgi", "asyncio"])
def test_a_key_revoked_elsewhere_is_refused_here_on_the_next_request_every_time(url: str, kind: str) -> None:
    refused_every_time({"store": url}, kind, (REVOKER, url), often(100, 1000))


def refused_every_time(settings: dict[str, Any], kind: str, revoker: tuple[str, ...], times: int) -> None:
    """Keys are made and admitted here, and revoked by a process that reads their ids."""
    with ExitStack() as stack:
        known = {"prefix": "acme", "hasher": HASHER} | settings
        door = Door(lambda **more: Gate(**known | more), kind)
        gate = door.open()
        stack.callback(gate.close)
        call = stack.enter_context(start_blocking_portal("asyncio")).call if kind == "asyncio" else None

        def status(secret: str) -> int:
            if call is None:
                return door.get(key=secret).status
            sent = [("authorization", f"Bearer {secret}")]
            return call(door.asgi_call, "GET", "/v1", sent, "127.0.0.1").status

        if call is not None:
            stack.callback(call, gate.aclose)
        other = stack.enter_context(worker(*revoker))
        assert other.stdin is not None
        assert other.stdout is not None
        for _ in range(times):
            issued = gate.keys.create("short-lived")
            assert status(issued.secret) == 200
            other.stdin.write(f"{issued.key.id}\n")
            other.stdin.flush()
            assert other.stdout.readline() == "revoked\n"
            assert status(issued.secret) == 401
        other.stdin.close()


def test_threads_that_cap_each_other_out_neither_pass_the_cap_nor_stop(store: SQLStore) -> None:
    caps = [Cap(3, (("owner_id", "me"),), replaces=True), Cap(4, (("organization_id", "o"),), replaces=True)]
    faults: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for each in range(10):
                key = a_key(f"{number}-{each}", owner_id="me", organization_id="o", created_at=later(each))
                store.add(key, [told("key.create", key.id)], caps[number % 2])
        except BaseException as error:  # noqa: BLE001 - it is what is looked for
            faults.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    live = store.list(KeyFilter(state=("live", T0)), None, 100)
    assert 3 <= len(live) <= 4
    with pytest.raises(KeyLimitReached):
        store.add(a_key("more", owner_id="me"), [told("key.create", "more")], caps[0]._replace(replaces=False, most=1))


def test_a_forked_child_uses_connections_of_its_own(store: SQLStore) -> None:
    put(store)
    assert store.find(ID) is not None
    child = os.fork()
    if child == 0:
        try:
            for number in range(20):
                assert store.find(ID) is not None
                store.touch(ID, later(number))
        except BaseException:  # noqa: BLE001 - whatever it is, the child must not go on with the tests
            os._exit(1)
        os._exit(0)
    for _ in range(20):
        assert store.find(ID) == replace(a_key(), last_used_at=store.find(ID).last_used_at)  # type: ignore[union-attr]
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert store.last_used(ID) == later(19)


# URLs and versions


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("postgresql://user:hunter2@127.0.0.1:1/db", "cannot be used"),
        ("postgresql://user:hunter2@127.0.0.1:x/db", "URL"),
        ("postgresql://user:hunter2@h/db?pool=0", "pool"),
        ("postgresql://user:hunter2@h/db?pool=many", "pool"),
        ("postgresql://user:hunter2@h/db?pool=1&pool=2", "pool"),
        ("postgresql://user:hunter2@h/db?prepare=no", "prepare"),
        ("postgresql://user:hunter2@127.0.0.1:1/db?hunter2=x", "cannot be used"),
        ("mysql://user:hunter2@127.0.0.1:1/db", "cannot be used"),
        ("mariadb://user:hunter2@127.0.0.1:1/db?hunter2=x", "options"),
        ("postgresql+asyncpg://user:hunter2@h/db", "scheme"),
    ],
)
def test_a_url_that_names_no_database_is_refused_without_its_password(url: str, reason: str) -> None:
    for opened in (open_store, Gate):
        with pytest.raises(ConfigurationError, match=reason) as caught:
            opened(url)
        assert caught.value.key == "store"
        assert "hunter2" not in str(caught.value)


def test_a_database_that_only_reads_is_refused(postgres_url: str) -> None:  # noqa: F811
    url = new_database(postgres_url)
    migrate(url, quiet)
    name = url.rpartition("/")[2]
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    with pytest.raises(ConfigurationError, match="cannot be used"):
        SQLStore(url)


def test_tables_must_be_there_and_of_this_version(postgres_url: str) -> None:  # noqa: F811
    url = new_database(postgres_url)
    with pytest.raises(ConfigurationError, match="no tables of keystile yet; run `keystile migrate`"):
        Gate(url)
    heard: list[str] = []
    count = migrate(url, lambda _number, _count, statement: heard.append(statement), dry=True)
    assert count == len(heard) > 20
    with pytest.raises(ConfigurationError, match="no tables"):
        SQLStore(url)
    assert migrate(url, quiet) == count
    assert migrate(url, quiet) == 0
    SQLStore(url).close()
    for version, reason in [(0, "keystile migrate"), (4, "newer keystile")]:
        with psycopg.connect(url) as connection:
            connection.execute("UPDATE keystile_schema SET version = %s", (version,))
        with pytest.raises(ConfigurationError, match=reason) as caught:
            SQLStore(url)
        assert caught.value.key == "store"
    with pytest.raises(ConfigurationError, match="newer keystile"):
        migrate(url, quiet)


# What `migrations` made for these versions: how tables of today become theirs.
WITH_FIRST_USE = """DROP TRIGGER keystile_revised ON keystile_keys;
    CREATE TRIGGER keystile_revised BEFORE UPDATE ON keystile_keys FOR EACH ROW
        WHEN (NOT (NEW.scopes IS NOT DISTINCT FROM OLD.scopes
            AND ((NEW.last_used_at IS NULL) = (OLD.last_used_at IS NULL))) OR NEW.revision <> OLD.revision)
        EXECUTE FUNCTION keystile_revise();"""
BACK_TO = {1: WITH_FIRST_USE + "".join(f"DROP INDEX {name};" for name in BY_END), 2: WITH_FIRST_USE}


@pytest.mark.parametrize("version", BACK_TO)
def test_tables_of_an_older_version_become_those_of_today(postgres_url: str, version: int) -> None:  # noqa: F811
    old, new = new_database(postgres_url), new_database(postgres_url)
    for url in (old, new):
        migrate(url, quiet)
    with closing(SQLStore(old)) as store:
        put(store)
    with psycopg.connect(old, autocommit=True) as connection:
        connection.execute(BACK_TO[version])
        connection.execute("UPDATE keystile_schema SET version = %s", (version,))
    with pytest.raises(ConfigurationError, match=f"has version {version} of the tables, and this keystile needs 3"):
        SQLStore(old)
    assert migrate(old, quiet) == {1: len(BY_END) + 4, 2: 4}[version]
    assert migrate(old, quiet) == 0
    assert tables_of(old) == tables_of(new)
    with closing(SQLStore(old)) as store, psycopg.connect(old, autocommit=True) as typed:
        found = store.find(ID)
        assert found == a_key()
        store.touch(ID, T0, True)
        assert store.find(ID) is found
        saved = typed.execute("SELECT scopes, revision FROM keystile_keys").fetchone()
        typed.execute("UPDATE keystile_keys SET scopes = '[\"a\"]'")
        assert store.find(ID).scopes == ("a",)  # type: ignore[union-attr]
        typed.execute("UPDATE keystile_keys SET scopes = %s, revision = %s", saved)
        back = store.find(ID)
        assert back is not None
        assert (back.scopes, back.revision != found.revision) == ((), True)


def test_what_is_printed_makes_the_same_tables(postgres_url: str) -> None:  # noqa: F811
    printed, url = new_database(postgres_url), new_database(postgres_url)
    heard: list[str] = []
    migrate(printed, lambda _number, _count, statement: heard.append(statement), dry=True)
    migrate(url, quiet)
    with psycopg.connect(printed, autocommit=True) as connection:
        connection.execute(";\n".join(heard))
    assert tables_of(printed) == tables_of(url)
    with closing(SQLStore(printed)) as store:
        assert put(store) == a_key()


def tables_of(url: str) -> list[Any]:
    questions = (
        "SELECT table_name, column_name, data_type, is_nullable, collation_name FROM information_schema.columns"
        " WHERE table_schema = 'public' ORDER BY 1, 2",
        "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1",
        "SELECT pg_get_triggerdef(oid) FROM pg_trigger ORDER BY 1",
    )
    with psycopg.connect(url) as connection:
        return [connection.execute(question).fetchall() for question in questions]


def test_two_migrations_at_once_are_one(postgres_url: str) -> None:  # noqa: F811
    url = new_database(postgres_url)
    start, counts = threading.Barrier(4), list[int]()

    def work() -> None:
        start.wait()
        counts.append(migrate(url, quiet))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(bool, counts)) == [False, False, False, True]
    SQLStore(url).close()


def test_a_migration_that_fails_leaves_nothing(postgres_url: str) -> None:  # noqa: F811
    url = new_database(postgres_url)
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE keystile_projects (id int)")
    with pytest.raises(ConfigurationError, match="cannot be migrated: DuplicateTable 42P07"):
        migrate(url, quiet)
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT tablename FROM pg_tables WHERE tablename LIKE 'keystile%'").fetchall()
    assert found == [("keystile_projects",)]
