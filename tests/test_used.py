"""Uses leave records alone: a key that is used now and then stays on the warm path, and is first used but once."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path
from textwrap import dedent
from typing import Any

import anyio
import pytest

from keystile import Gate, HmacHasher
from keystile.events import Event
from keystile.model import ApiKey
from keystile.stores import KeyFinder, open_store
from keystile.stores.memory import MemoryStore
from keystile.stores.sqlite import SQLiteStore
from tests.async_store import AsyncStore
from tests.doors import Door
from tests.postgres_server import postgres_url  # noqa: F401
from tests.redis_stores import emptied
from tests.selection import some
from tests.sql_stores import emptied as emptied_sql
from tests.stage import hosting, until

SHARED = ["sqlite", "redis", "redis cluster", "postgresql"]


@pytest.fixture(params=some(SHARED, "sqlite", "redis cluster", "postgresql"))
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/keys.db"
    if request.param == "postgresql":
        return emptied_sql(request.getfixturevalue("postgres_url"))
    return emptied("valkey" if request.param == "redis" else "cluster")


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Each key that a store decodes from here on."""
    from keystile.stores import records
    from keystile.stores.redis import bodies

    found: list[Any] = []
    inner = records.key_of

    def key_of(*args: Any) -> ApiKey:
        found.append(inner(*args))
        return found[-1]  # type: ignore[no-any-return]

    for module in (records, bodies):
        monkeypatch.setattr(module, "key_of", key_of)
    return found


@pytest.fixture
def gates(url: str) -> Iterator[Callable[..., list[Gate]]]:
    """Gates that share their keys and nothing else, as those of several processes do."""
    with ExitStack() as stack:

        def make(count: int, **settings: Any) -> list[Gate]:
            known: dict[str, Any] = {"prefix": "acme", "hasher": HmacHasher(b"p" * 16), **settings}
            return [stack.enter_context(closing(Gate(open_store(url), **known))) for _ in range(count)]

        yield make


def test_three_that_take_turns_for_ten_minutes_decode_a_record_once_each(
    gates: Callable[..., list[Gate]], decoded: list[Any]
) -> None:
    now, told = [1e9], list[Event]()
    three = gates(3, clock=lambda: now[0])
    issued = three[0].keys.create("key")
    for gate in three:
        gate.on_event(told.append)
    decoded.clear()
    kept: list[Any] = []
    with hosting("wsgi", threads=1) as host:
        for _minute in range(10):
            for place, gate in enumerate(three):
                assert host.ask(gate, issued.secret).code == "ok"
                gate.flush()
                kept.append((place, gate._shop.store.find(issued.key.id), gate._order._known[issued.key.id]))
                now[0] += 20
        assert len(decoded) == 3
        for place, record, caller in kept:
            assert (record, caller) == kept[place][1:]
            assert record is kept[place][1] is caller.key
            assert caller is kept[place][2]
        assert [event.code for event in told] == ["first_use"]
        # The first of the three came a minute after it was there last; the others found that noted.
        assert three[1].keys.get(issued.key.id).last_used_at == datetime.fromtimestamp(now[0] - 60, UTC)
        three[1].keys.revoke(issued.key.id)
        assert {host.ask(gate, issued.secret).code for gate in three} == {"revoked_api_key"}


def test_a_store_that_a_gate_opens_remembers_as_many_records_as_the_gate(url: str, decoded: list[Any]) -> None:
    with (
        closing(Gate(url, prefix="acme", hasher=HmacHasher(b"p" * 16), remembered_keys=5)) as gate,
        hosting("wsgi", threads=1) as host,
    ):
        secrets = [gate.keys.create(f"key {number}").secret for number in range(7)]
        decoded.clear()
        for each in [*secrets[:5], *secrets[:5]]:
            assert host.ask(gate, each).code == "ok"
        assert len(decoded) == 5
        for each in secrets:  # one more than fits, and another; then the first comes again as a stranger
            assert host.ask(gate, each).code == "ok"
        assert len(decoded) == 7
        assert host.ask(gate, secrets[0]).code == "ok"
        assert len(decoded) == 8
        assert len(gate._order._known) == len(gate._order.prover._proofs) == 5


PROCESS = """
    import sys
    from keystile import Gate, HmacHasher, _sync
    from keystile.model import Refused, Request
    from keystile.stores import records

    inner, decoded, told, now = records.key_of, [], [], [0.0]
    records.key_of = lambda *args: decoded.append(inner(*args)) or decoded[-1]
    gate = Gate("sqlite:///keys.db", prefix="acme", hasher=HmacHasher(b"p" * 16), clock=lambda: now[0])
    gate.on_event(lambda event: told.append(event.code))
    request = Request("GET", "/v1", b"", [(b"x-api-key", sys.argv[1].encode())], "192.0.2.1")
    for line in sys.stdin:
        now[0] = float(line)
        outcome = _sync.run_now(gate.check(request, _sync.inline))
        gate.flush()
        code = outcome.reason.code if isinstance(outcome, Refused) else "ok"
        print(code, len(decoded), told.count("first_use"), flush=True)
    gate.close()
    """


def test_three_processes_that_take_turns_decode_a_record_once_each_until_it_is_changed_by_hand(tmp_path: Path) -> None:
    with closing(Gate(f"sqlite:///{tmp_path}/keys.db", prefix="acme", hasher=HmacHasher(b"p" * 16))) as gate:
        issued = gate.keys.create("key")
    command = [sys.executable, "-c", dedent(PROCESS), issued.secret]
    piped: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": tmp_path}
    with ExitStack() as stack:
        three = [stack.enter_context(subprocess.Popen(command, **piped)) for _ in range(3)]

        def ask(process: Any, at: float) -> list[str]:
            process.stdin.write(f"{at}\n")
            process.stdin.flush()
            found: list[str] = process.stdout.readline().split()
            return found

        answers = [[ask(each, 1e9 + 60 * turn + 20 * place) for place, each in enumerate(three)] for turn in range(10)]
        assert answers == [[["ok", "1", "1"], ["ok", "1", "0"], ["ok", "1", "0"]]] * 10
        with closing(sqlite3.connect(tmp_path / "keys.db", isolation_level=None)) as connection:
            connection.execute("UPDATE keystile_keys SET revoked_at = 1, last_used_at = 1")
        assert [ask(each, 2e9)[:2] for each in three] == [["revoked_api_key", "2"]] * 3
        for each in three:
            each.communicate()


def first_uses(gate: Gate) -> list[str | None]:
    """The ids of the keys of which a first use is told from here on, as they come."""
    found: list[str | None] = []
    gate.on_event(lambda event: found.append(event.key_id) if event.code == "first_use" else None)
    return found


def test_the_first_use_is_told_of_a_key_whose_record_was_read_before_another_used_it(
    gates: Callable[..., list[Gate]],
) -> None:
    early, late = gates(2)
    issued = early.keys.create("key", ip_allowlist=["192.0.2.1"])
    told = first_uses(early), first_uses(late)
    with hosting("wsgi", threads=1) as host:
        assert host.ask(early, issued.secret, "192.0.2.2").code == "ip_not_allowed"  # its record is read, not used
        assert told == ([], [])
        assert host.ask(late, issued.secret).code == "ok"
        assert told == ([], [issued.key.id])
        late.flush()
        assert host.ask(early, issued.secret).code == "ok"
        assert told == ([], [issued.key.id])


def test_a_first_use_that_waits_to_be_noted_is_not_told_again_when_the_key_was_forgotten(door: Door) -> None:
    door.open(remembered_keys=1)
    one, other = door.create("one"), door.create("other")
    told = first_uses(door.gate)
    for _ in range(2):
        for each in (one, other):
            assert door.get(key=each.secret).status == 200
    assert told == [one.key.id, other.key.id]
    door.flush()
    assert door.get(key=one.secret).status == 200
    assert len(told) == 2


def test_a_key_that_was_used_before_this_process_began_is_not_first_used(gates: Callable[..., list[Gate]]) -> None:
    before, after = gates(2)
    issued = before.keys.create("key")
    told = first_uses(after)
    with hosting("wsgi", threads=1) as host:
        assert host.ask(before, issued.secret).code == "ok"
        before.flush()
        assert host.ask(after, issued.secret).code == "ok"
    assert told == []


class Failing(MemoryStore):
    """A store that finds keys, and cannot say when they were used."""

    def last_used(self, key_id: str, graced: bool = False) -> datetime | None:
        raise OSError("no answer")


class FailingAsync(AsyncStore):
    """The same for an event loop."""

    async def last_used(self, key_id: str, graced: bool = False) -> datetime | None:
        raise OSError("no answer")


def test_a_store_that_cannot_say_when_a_key_was_used_harms_no_request(door: Door) -> None:
    door.open(store=FailingAsync() if door.gate.needs_await else Failing())
    issued, told = door.create(), first_uses(door.gate)
    for _ in range(3):
        assert door.get(key=issued.secret).status == 200
    assert told == [issued.key.id]


class Finder:
    """A host's own table, which says of no key when it was used."""

    def __init__(self, key: ApiKey) -> None:
        self._key = key

    def find(self, key_id: str) -> ApiKey | None:
        return self._key if key_id == self._key.id else None


def test_where_no_use_is_kept_each_gate_tells_a_first_one(door: Door) -> None:
    now = [1e9]
    issued = door.create()
    finder: KeyFinder = Finder(door.run(door.gate.keys.aget, issued.key.id))
    gate = door.open(store=finder, clock=lambda: now[0])
    told = first_uses(gate)
    for _ in range(3):
        assert door.get(key=issued.secret).status == 200
        now[0] += 120
    assert told == [issued.key.id]


class Slow(MemoryStore):
    """A store that says when a key was used as soon as it is let."""

    blocking = True

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.let = 0, False

    def last_used(self, key_id: str, graced: bool = False) -> datetime | None:
        self.asked += 1
        until(lambda: self.let)
        return super().last_used(key_id, graced)


@pytest.mark.parametrize("kind", ["asyncio", "trio", "wsgi"])
def test_while_the_store_is_asked_others_with_the_key_go_on_and_one_first_use_is_told(kind: str) -> None:
    store = Slow()
    gate = Gate(store, prefix="acme", hasher=HmacHasher(b"p" * 16), clock=lambda: 1e9)
    issued, told = gate.keys.create("key"), first_uses(gate)
    with hosting(kind, threads=4) as host:
        first = host.ask(gate, issued.secret)
        until(lambda: store.asked)
        assert {host.ask(gate, issued.secret).code for _ in range(5)} == {"ok"}
        assert (first.done, told) == (False, [])
        gate.flush()  # what others did meanwhile is not noted before it is known whether it was the first
        store.let = True
        assert first.code == "ok"
        assert (told, store.asked) == ([issued.key.id], 1)
        host.close(gate)


def test_a_first_use_of_which_the_client_goes_away_is_told_of_the_next() -> None:
    class Held(AsyncStore):
        asked = 0

        async def last_used(self, key_id: str, graced: bool = False) -> datetime | None:
            self.asked += 1
            if self.asked == 1:
                await anyio.sleep_forever()
            return await super().last_used(key_id, graced)

    store = Held()
    now = [1e9]
    gate = Gate(store, prefix="acme", hasher=HmacHasher(b"p" * 16), clock=lambda: now[0])
    told = first_uses(gate)
    with hosting("asyncio") as host:
        issued = anyio.run(gate.keys.acreate, "key")
        gone = host.ask(gate, issued.secret)
        until(lambda: store.asked)
        gone.hang_up()
        now[0] += 60
        until(lambda: host.ask(gate, issued.secret).code == "ok" and told)
        assert told == [issued.key.id]
        host.close(gate)


def test_a_use_leaves_a_change_that_was_worked_out_before_it_good(door: Door) -> None:
    issued = door.create()
    before = door.run(door.gate.keys.aget, issued.key.id)
    assert door.get(key=issued.secret).status == 200
    door.flush()
    after = door.run(door.gate.keys.aupdate, issued.key.id, name="other", revision=before.revision)
    assert (after.name, after.last_used_at is None) == ("other", False)


def test_the_records_of_a_file_are_the_same_object_after_a_use_in_another_process(tmp_path: Path) -> None:
    with closing(SQLiteStore(tmp_path / "keys.db")) as store, closing(SQLiteStore(tmp_path / "keys.db")) as other:
        gate = Gate(store, prefix="acme", hasher=HmacHasher(b"p" * 16))
        key = gate.keys.create("key").key
        found = store.find(key.id)
        other.touch(key.id, datetime.now(UTC), True)
        assert store.find(key.id) is found
