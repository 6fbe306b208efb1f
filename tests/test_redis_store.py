"""What the Redis store promises beyond the contract of stores: one command a find, outages, crashes at every step."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest
import redis
from anyio.from_thread import start_blocking_portal
from click.testing import CliRunner

from keystile import ConfigurationError, Gate
from keystile.cli.commands import main
from keystile.exceptions import KeyLimitReached, NotFound, StoreUnavailable, UnreadableRecord
from keystile.model import Inherited, SecretHash
from keystile.stores import AuditFilter, Cap, KeyFilter
from keystile.stores.redis import RedisStore
from keystile.stores.redis.names import Slot
from keystile.stores.redis.operations import lists
from tests.redis_server import Server, valkey_binary
from tests.redis_stores import clients, emptied, patient
from tests.selection import often, some
from tests.stage import until
from tests.stored import NEW, OLD, T0, a_key, a_project, an_organization, later, told
from tests.test_sql import BUSY, HASHER, MANY, REVOKER, comes_back, refused_every_time, traffic, worker

ID = "0123456789AB"
OF_O = (("organization_id", "o"),)
KINDS = ["valkey", "cluster"]


@pytest.fixture(params=some(KINDS, "cluster"))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def url(kind: str) -> str:
    return emptied(kind)


@pytest.fixture
def store(url: str) -> Iterator[RedisStore]:
    with closing(patient(url)) as opened:
        yield opened


def put(store: Any, id: str = ID, **values: Any) -> Any:
    return store.add(a_key(id, **values), [told("key.create", id)]).record


def test_a_page_for_which_too_many_keys_must_be_looked_at_is_refused(
    store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "PAGE", 2)
    monkeypatch.setattr(lists, "MOST_LOOKED", 6)
    for number in range(9):
        put(store, f"key {number}", name="last" if number == 8 else "CI", organization_id="o" if number > 3 else None)
    with pytest.raises(ConfigurationError, match="fewer than 1 of the next 6 keys are like this") as caught:
        store.list(KeyFilter(search="last"), None, 1)
    assert caught.value.key == "search"
    with pytest.raises(ConfigurationError) as caught:
        store.list(KeyFilter(state=("revoked", T0)), None, 1)
    assert caught.value.key == "state"
    assert [key.id for key in store.list(KeyFilter(search="last", organization_id="o"), None, 1)] == ["key 8"]
    assert [key.id for key in store.list(KeyFilter(search="last"), "key 3", 1)] == ["key 8"]
    assert len(store.list(KeyFilter(), None, 6)) == 6


def events(store: RedisStore, event: str) -> list[str]:
    """The ids of what was told of, with repeats."""
    return sorted(each.targets[0].id for each in store.list_audit(AuditFilter(event=event), None, 1000))


def keys(store: RedisStore, **wanted: Any) -> dict[str, Any]:
    return {key.id: key for key in store.list(KeyFilter(**wanted), None, 1000)}


# One command


@pytest.mark.parametrize("blocking", [True, False])
def test_a_find_is_one_command(kind: str, store: RedisStore, blocking: bool) -> None:
    put(store)
    with ExitStack() as stack:
        find: Callable[[str], Any] = store.find
        if not blocking:
            portal = stack.enter_context(start_blocking_portal("asyncio"))
            twin = store.for_asyncio()
            stack.callback(portal.call, twin.close)
            find = lambda key_id: portal.call(twin.find, key_id)  # noqa: E731
        assert find(ID) == a_key()
        assert find("unknown") is None

        def asked() -> int:
            command = "cmdstat_get" if kind == "cluster" else "cmdstat_getex"
            known = [client.info("commandstats").get(command, {"calls": 0}) for client in clients(kind)]
            return sum(int(each["calls"]) for each in known)

        before = sum(int(client.info("stats")["total_commands_processed"]) for client in clients(kind))
        reads = asked()
        for _ in range(20):
            assert find(ID) is find(ID)
        find("unknown")
        assert asked() - reads == 41
        after = sum(int(client.info("stats")["total_commands_processed"]) for client in clients(kind))
        assert after - before <= 41 + 4 * len(clients(kind))  # and our own questions


def test_what_somebody_changes_by_hand_holds_on_the_next_request(kind: str, store: RedisStore) -> None:
    seen = put(store, scopes=("a",))
    name = Slot("key", ID).name("record")
    edited = raw_of(kind, name).replace(b'\\"a\\"', b'\\"b\\"')
    write_raw(kind, name, edited)
    assert store.find(ID).scopes == ("b",)
    assert store.find(ID).revision != seen.revision
    assert store.update(ID, seen.revision, {"name": "late"}, [told("key.update", ID)]).record is None


def raw_of(kind: str, name: bytes) -> bytes:
    for client in clients(kind):
        try:
            found = client.get(name)
        except redis.exceptions.ResponseError:  # another node's
            continue
        if found is not None:
            return bytes(found)
    raise AssertionError(f"nothing has the name {name!r}")


def write_raw(kind: str, name: bytes, value: bytes) -> None:
    for client in clients(kind):
        try:
            client.set(name, value)
        except redis.exceptions.ResponseError:
            continue
        return
    raise AssertionError("nobody has this slot")


@pytest.mark.parametrize("damaged", [b"", b"garbage", b"-\n{}", b"\n\n", b"x\ny\nz", b"-\n[1]", b"5"])
def test_a_record_that_cannot_be_read_is_told_and_refused_alone_and_can_be_revoked(
    kind: str, store: RedisStore, damaged: bytes
) -> None:
    put(store)
    put(store, "other")
    left_out: list[UnreadableRecord] = []
    store.on_unreadable = left_out.append
    name = Slot("key", ID).name("record")
    good = raw_of(kind, name)
    write_raw(kind, name, damaged)
    with pytest.raises(UnreadableRecord):
        store.find(ID)
    assert store.find("other") == a_key("other")
    assert list(keys(store)) == ["other"]
    assert len(left_out) == 1
    with pytest.raises(UnreadableRecord) as caught:
        store.revoke(ID, later(5), [told("key.revoke", ID)])
    assert "the key is revoked all the same" in str(caught.value)
    assert events(store, "key.revoke") == [ID]
    head = raw_of(kind, name).partition(b"\n")[0]
    write_raw(kind, name, head + b"\n" + good.partition(b"\n")[2])  # mended by hand
    assert store.find(ID).revoked_at == later(5)


def test_a_first_line_that_is_no_moment_is_not_taken_for_alive(kind: str, store: RedisStore) -> None:
    put(store, revoked_at=T0)
    name = Slot("key", ID).name("record")
    write_raw(kind, name, b"?" + raw_of(kind, name))
    with pytest.raises(UnreadableRecord):
        store.find(ID)


@pytest.mark.parametrize("id", ["a}b", "{", "}", "%7D", "a:b", "-", "ü\ud800", "a\0b", "*", "[x]"])
def test_ids_are_kept_apart_whatever_is_in_them(store: RedisStore, id: str) -> None:
    for number, other in enumerate(["a", id, f"{id}{id}"]):
        put(store, f"key {other}", organization_id=other, owner_id=id, created_at=later(number))
        store.add_organization(an_organization(other, plan=f"p{number}"), [told("organization.create", other)])
    assert [key.inherited.plan for key in store.list(KeyFilter(owner_id=id), None, 10)] == ["p0", "p1", "p2"]
    assert list(keys(store, organization_id=id)) == [f"key {id}"]
    assert [each.id for each in store.list(KeyFilter(), f"key {id}", 10)] == [f"key {id}{id}"]
    with pytest.raises(KeyLimitReached):
        store.add(a_key("more", organization_id=id), [told("key.create", "more")], Cap(1, (("organization_id", id),)))


# At every step


class Crash(Exception):
    """The process ends here."""


@contextmanager
def at_step(store: RedisStore, number: int, act: Callable[[], None]) -> Iterator[Callable[[], int]]:
    """Do something before the command with this number; gives how many there were."""
    links, steps = store._links, 0
    execute = links.execute

    async def stepping(*args: Any, **named: Any) -> Any:
        nonlocal steps
        steps += 1
        if steps == number:
            act()
        return await execute(*args, **named)

    links.execute = stepping  # type: ignore[method-assign]
    try:
        yield lambda: steps
    finally:
        del links.execute


def crash() -> None:
    raise Crash


def lapse(kind: str) -> None:
    """Let a minute pass for everything that was noted but not confirmed."""
    for client in clients(kind):
        for name in client.keys("keystile:keys:1:held:*"):
            for member, _ in client.zrange(name, 0, -1, withscores=True):
                client.zincrby(name, -61_000, member)


def check_whole(kind: str, store: RedisStore, cap: int) -> None:
    """Nothing is half there, and exactly as many more keys can be made as the cap has room for."""
    known = keys(store)
    assert events(store, "key.create") == sorted(known)
    assert events(store, "key.revoke") == sorted(key_id for key_id, key in known.items() if key.revoked_at is not None)
    for key_id, key in known.items():
        assert store.find(key_id) == key
        for owner in ("organization_id", "project_id", "owner_id"):
            value = getattr(key, owner)
            assert value is None or key_id in keys(store, **{owner: value})
    live = [key for key in known.values() if key.organization_id == "o" and key.is_live(T0)]
    assert len(live) <= cap
    lapse(kind)
    for number in range(cap - len(live)):
        key = a_key(f"filler {number}", organization_id="o", created_at=later(100))
        store.add(key, [told("key.create", key.id)], Cap(cap, OF_O))
    with pytest.raises(KeyLimitReached):
        store.add(a_key("one more", organization_id="o"), [told("key.create", "one more")], Cap(cap, OF_O))


def add(store: RedisStore) -> None:
    key = a_key("new", organization_id="o", owner_id="u", created_at=later(9))
    store.add(key, [told("key.create", "new")], Cap(3, OF_O))


def replace_oldest(store: RedisStore) -> None:
    key = a_key("new", organization_id="o", owner_id="u", created_at=later(9))
    store.add(key, [told("key.create", "new")], Cap(2, OF_O, replaces=True))


def found_project(store: RedisStore) -> None:
    key = a_key("new", organization_id="o", project_id="q", created_at=later(9))
    first = told("project.create", "q")
    store.add_project(a_project("q"), key, [first, first.followed_by(1, told("key.create", "new"))], Cap(3, OF_O))


def move(store: RedisStore) -> None:
    key = store.find("elsewhere")
    store.update("elsewhere", key.revision, {"organization_id": "o"}, [told("key.update", "elsewhere")], Cap(3, OF_O))


def leave(store: RedisStore) -> None:
    key = store.find("b")
    store.update("b", key.revision, {"organization_id": None, "owner_id": "v"}, [told("key.update", "b")])


def revoke(store: RedisStore) -> None:
    store.revoke("b", T0, [told("key.revoke", "b")])


OPERATIONS = [add, replace_oldest, found_project, move, leave, revoke]


def prepare(store: RedisStore) -> None:
    put(store, "b", organization_id="o", owner_id="u")
    put(store, "c", organization_id="o", created_at=later(1))
    put(store, "elsewhere")


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_process_that_ends_before_any_command_leaves_nothing_half_done(
    kind: str, operation: Callable[[RedisStore], None]
) -> None:
    number, finished = 0, False
    while not finished:
        number += 1
        with closing(patient(emptied(kind))) as store:
            prepare(store)
            with at_step(store, number, crash) as steps:
                try:
                    operation(store)
                    finished = True
                except Crash:
                    assert steps() == number
            project = store.find_project("q")
            assert (project is not None) == ("q" in {key.project_id for key in keys(store).values()})
            check_whole(kind, store, 3)
    assert number > 5


@pytest.mark.parametrize("operation", OPERATIONS)
def test_what_is_given_up_can_be_done_once_more(kind: str, operation: Callable[[RedisStore], None]) -> None:
    for number in (5, 8, 11, 14, 17):
        with closing(patient(emptied(kind))) as store:
            prepare(store)
            try:
                with at_step(store, number, crash):
                    operation(store)
            except Crash:
                lapse(kind)
                with suppress(KeyError, KeyLimitReached):  # where it was done before
                    operation(store)
            check_whole(kind, store, 3)


def test_a_process_that_was_paused_in_the_middle_writes_nothing(kind: str, store: RedisStore) -> None:
    links, execute = store._links, store._links.execute

    async def long_ago(*args: Any, **named: Any) -> Any:
        reply = await execute(*args, **named)
        # Only the script that notes a key replies a list that begins with a moment.
        is_moment = isinstance(reply, list) and isinstance(reply[0], int)
        return [reply[0] - 31_000, *reply[1:]] if is_moment else reply

    links.execute = long_ago  # type: ignore[method-assign]
    with pytest.raises(StoreUnavailable, match="paused"):
        add(store)
    del links.execute
    assert keys(store) == {}
    check_whole(kind, store, 3)


@pytest.mark.parametrize("operation", [add, found_project, move])
def test_what_changes_in_the_middle_is_inherited_all_the_same(
    kind: str, operation: Callable[[RedisStore], None]
) -> None:
    number, ended = 0, False
    while not ended:
        number += 1
        url = emptied(kind)
        with closing(patient(url)) as store, closing(patient(url)) as other:
            prepare(store)
            made = store.add_organization(an_organization(plan="old"), [told("organization.create", "o")]).record

            def change(other: RedisStore = other, revision: int = made.revision) -> None:
                entries = [told("organization.update", "o")]
                assert other.update_organization("o", revision, {"plan": "new"}, entries).record.plan == "new"
                assert {key.inherited.plan for key in keys(other, organization_id="o").values()} == {"new"}

            with at_step(store, number, change) as steps:
                operation(store)
            ended = steps() < number
            assert {key.inherited.plan for key in keys(store, organization_id="o").values()} == {
                "old" if ended else "new"
            }


def test_a_key_that_is_added_while_its_project_ends_is_revoked_or_refused(kind: str) -> None:
    number, ended = 0, False
    seen = set()
    while not ended:
        number += 1
        url = emptied(kind)
        with closing(patient(url)) as store, closing(patient(url)) as other:
            first = a_key("first", organization_id="o", project_id="p")
            store.add_project(a_project(), first, [told("project.create", "p"), told("key.create", "first")])

            def end(other: RedisStore = other) -> None:
                other.delete_project("p", T0, [told("project.delete", "p")])

            with at_step(store, number, end) as steps:
                try:
                    put(store, "new", organization_id="o", project_id="p")
                    seen.add("added")
                except NotFound:
                    seen.add("refused")
                    assert store.find("new") is None
            ended = steps() < number
            if not ended:
                assert {key.revoked_at for key in keys(store).values()} == {T0}
                assert events(store, "key.revoke") == sorted(keys(store))
    assert seen == {"added", "refused"}


def test_two_that_make_a_key_at_once_never_pass_the_cap(kind: str) -> None:
    number, ended = 0, False
    while not ended:
        number += 1
        url = emptied(kind)
        with closing(patient(url)) as store, closing(patient(url)) as other:
            full = []

            def make(maker: RedisStore, id: str, full: list[str] = full) -> None:
                try:
                    maker.add(a_key(id, organization_id="o"), [told("key.create", id)], Cap(1, OF_O))
                except KeyLimitReached:
                    full.append(id)

            with at_step(store, number, lambda other=other, make=make: make(other, "second")) as steps:
                make(store, "first")
            ended = steps() < number
            assert len(keys(store)) == 1
            assert len(full) == (0 if ended else 1)


def test_two_that_make_a_project_at_once_make_one(kind: str) -> None:
    number, ended = 0, False
    while not ended:
        number += 1
        url = emptied(kind)
        with closing(patient(url)) as store, closing(patient(url)) as other:
            made = []

            def make(maker: RedisStore, id: str, made: list[str] = made) -> None:
                key = a_key(id, organization_id="o", project_id="p")
                try:
                    maker.add_project(a_project(), key, [told("project.create", "p"), told("key.create", id)])
                    made.append(id)
                except KeyError:
                    pass

            with at_step(store, number, lambda other=other, make=make: make(other, "second")) as steps:
                make(store, "first")
            ended = steps() < number
            assert list(keys(store)) == made
            assert len(made) == 1
            assert store.find_project("p") == a_project()
            assert events(store, "project.create") == ["p"]


async def in_any_order(store: RedisStore, random: Random, doing: Sequence[Callable[[], Awaitable[None]]]) -> None:
    """Do all this at once, one command at a time, each of whoever the dice say."""
    links, waiting = store.for_asyncio()._links.get(), list[asyncio.Future[None]]()
    execute = links.execute

    async def in_turn(*args: Any, **named: Any) -> Any:
        waiting.append(turn := asyncio.get_running_loop().create_future())
        await turn
        return await execute(*args, **named)

    links.execute = in_turn  # type: ignore[method-assign]
    tasks = [asyncio.ensure_future(each()) for each in doing]
    while live := sum(not task.done() for task in tasks):
        if len(waiting) < live:
            await asyncio.sleep(0)
        else:
            waiting.pop(random.randrange(len(waiting))).set_result(None)
    del links.execute
    for task in tasks:
        task.result()


async def make_one(store: RedisStore, kind: str, ids: Sequence[str], seed: int) -> list[str]:
    """Whoever made the project that several make at once, each with a key of this id."""
    emptied(kind)
    made = list[str]()

    async def make(name: str, key_id: str) -> None:
        key, first = a_key(key_id, organization_id="o", project_id="p"), told("project.create", "p")
        entries = [first, first.followed_by(1, told("key.create", key_id))]
        with suppress(KeyError):
            await store.for_asyncio().add_project(a_project(name=name), key, entries)
            made.append(name)

    calls = [partial(make, f"{number} with {key_id}", key_id) for number, key_id in enumerate(ids)]
    await in_any_order(store, Random(seed), calls)
    return made


@pytest.mark.parametrize("ids", some([("a", "a", "a"), ("a", "b", "c"), ("a", "a", "b")], ("a", "a", "b")))
def test_several_that_make_a_project_in_any_order_make_one(kind: str, ids: Sequence[str], store: RedisStore) -> None:
    """The key has the same id where the same request was sent twice."""

    async def try_all() -> None:
        for seed in range(often(60, 400)):
            made = await make_one(store, kind, ids, seed)
            known = await store.for_asyncio().list(KeyFilter(), None, 100)
            project = await store.for_asyncio().find_project("p")
            assert [f"{made[0][:1]} with {key.id}" for key in known] == made if made else not known, seed
            assert [project.name] == made if project is not None else not made, seed
        await store.for_asyncio().close()

    asyncio.run(try_all())


def test_a_change_of_an_owner_that_was_not_copied_to_every_key_is_finished_by_whoever_looks(kind: str) -> None:
    number, finished = 0, False
    while not finished:
        number += 1
        with closing(patient(emptied(kind))) as store:
            store.add_organization(an_organization(), [told("organization.create", "o")])
            for each in "abc":
                put(store, each, organization_id="o")
            revision = store.find_organization("o").revision
            with at_step(store, number, crash):
                try:
                    entries = [told("organization.suspend", "o")]
                    store.update_organization("o", revision, {"suspended_at": T0}, entries)
                    finished = True
                except Crash:
                    pass
            suspended = store.find_organization("o").suspended_at
            assert {key.inherited for key in keys(store).values()} == {Inherited(None, suspended)}
            assert len(events(store, "organization.suspend")) == (suspended is not None)


def test_a_project_whose_end_was_interrupted_is_ended_by_deleting_it_once_more(kind: str) -> None:
    number, finished = 0, False
    while not finished:
        number += 1
        with closing(patient(emptied(kind))) as store:
            first = a_key("a", organization_id="o", project_id="p")
            store.add_project(a_project(), first, [told("project.create", "p"), told("key.create", "a")])
            for each in "bc":
                put(store, each, organization_id="o", project_id="p")
            with at_step(store, number, crash):
                try:
                    store.delete_project("p", T0, [told("project.delete", "p")])
                    finished = True
                except Crash:
                    pass
            assert store.delete_project("p", later(1), [told("project.delete", "p")]).record == a_project()
            assert len({key.revoked_at for key in keys(store).values()}) == 1
            assert events(store, "key.revoke") == ["a", "b", "c"]
            assert events(store, "project.delete") == ["p"]


# Outages


@pytest.fixture(scope="module")
def durable() -> Iterator[Server]:
    """A server that has after a crash what it said that it had."""
    with Server(valkey_binary(), "--appendonly", "yes", "--appendfsync", "always") as server:
        yield server


@pytest.mark.parametrize("door", some(["wsgi", "asyncio", "trio"], "asyncio"))
@pytest.mark.parametrize("how", ["paused", "killed"])
def test_a_server_that_is_away_costs_503_at_once_and_is_used_again_when_it_is_back(
    durable: Server, door: str, how: str
) -> None:
    away, back = (durable.pause, durable.resume) if how == "paused" else (durable.kill, durable.restart)
    with traffic(durable.url, door) as made:
        for _ in range(often(1, 3)):
            away()
            try:
                # Far more than there are workers: nobody waits for the server any more.
                made.sees(503, 200)
            finally:
                back()
            made.sees(200, 50)
    assert {status for status, _ in made.statuses} == {200, 503}
    assert all(retry is not None for status, retry in made.statuses if status == 503)


def test_a_restart_that_nobody_notices_costs_no_request(durable: Server) -> None:
    with closing(Gate(durable.url, hasher=HASHER)) as gate:
        issued = gate.keys.create("a")
        durable.restart()
        assert gate.keys.get(issued.key.id).id == issued.key.id
        gate.keys.revoke(issued.key.id)
        durable.restart()
        assert gate.keys.get(issued.key.id).revoked_at is not None


def test_while_it_is_away_writes_fail_with_a_reason_and_without_secrets(durable: Server) -> None:
    with closing(RedisStore.from_url(durable.url)) as store:
        durable.pause()
        try:
            for _ in range(3):
                with pytest.raises(StoreUnavailable) as caught:
                    store.add(a_key("x", hashes=(SecretHash("$secret", "hint"),)), [told("key.create", "x")])
                assert "secret" not in str(caught.value)
        finally:
            durable.resume()
        until(lambda: comes_back(store.find))


def test_a_server_that_is_full_still_answers_for_the_keys_that_there_are(redis_server: Server) -> None:
    with closing(RedisStore.from_url(redis_server.url)) as store:
        put(store)
        redis_server.command("CONFIG", "SET", "maxmemory", "1")
        with pytest.raises(StoreUnavailable):
            put(store, "more")
        assert store.find(ID) == a_key()
        redis_server.command("CONFIG", "SET", "maxmemory", "0")
        put(store, "more")


def test_one_node_of_a_cluster_that_is_away_concerns_its_own_keys_alone() -> None:
    from tests.redis_server import Cluster

    with Cluster() as cluster, closing(RedisStore.from_url(cluster.url)) as store:
        names = [f"key {number}" for number in range(30)]
        for each in names:
            put(store, each)
        cluster.nodes[1].pause()
        try:

            def found() -> int:
                count = 0
                for each in names:
                    with suppress(StoreUnavailable):
                        count += store.find(each) is not None
                return count

            until(lambda: 0 < found() < len(names))
        finally:
            cluster.nodes[1].resume()
        until(lambda: found() == len(names))


# Processes


def test_a_cap_of_5_holds_for_50_creations_at_once_in_four_processes(url: str) -> None:
    others = [worker(MANY, url, str(share)) for share in (13, 13, 12, 12)]
    for each in others:
        assert each.stdin is not None
        each.stdin.write("go\n")
        each.stdin.flush()
    said = [line.split()[0] for each in others for line in each.communicate(timeout=60)[0].splitlines()]
    assert (said.count("made"), said.count("full")) == (5, 45)


def test_a_process_that_is_killed_leaves_nothing_half_done(url: str, store: RedisStore) -> None:
    done: list[list[str]] = []
    for number in range(often(4, 20)):
        with worker(BUSY, url) as other:
            assert other.stdin is not None
            assert other.stdout is not None
            other.stdin.write("go\n")
            other.stdin.flush()
            done += [other.stdout.readline().split() for _ in range(number * 3 + 1)]
            other.kill()  # wherever it is
            done += [line.split() for line in other.stdout.read().splitlines() if line.count(" ") == 1]
    known = {key.id: key for key in store.list(KeyFilter(), None, 100_000)}
    entries = store.list_audit(AuditFilter(), None, 100_000)
    words = {"made": "key.create", "rotated": "key.rotate", "revoked": "key.revoke"}
    about = {event: {each.targets[0].id for each in entries if each.event == event} for event in words.values()}
    assert about["key.create"] == known.keys()
    assert about["key.rotate"] == {key.id for key in known.values() if len(key.hashes) == 2}
    assert about["key.revoke"] == {key.id for key in known.values() if key.revoked_at is not None}
    assert len(entries) == sum(map(len, about.values()))
    for word, key_id in done:
        assert key_id in about[words[word]]
    owners = [key.owner_id for key in known.values() if key.revoked_at is None]
    assert max(map(owners.count, owners)) <= 5


PATIENT_REVOKER = """
from tests.redis_stores import patient
""" + REVOKER.replace("Gate(sys.argv[1]", "Gate(patient(sys.argv[1])")


@pytest.mark.parametrize("door_kind", ["wsgi", "asyncio"])
def test_a_key_revoked_elsewhere_is_refused_here_on_the_next_request_every_time(url: str, door_kind: str) -> None:
    refused_every_time({"store": patient(url)}, door_kind, (PATIENT_REVOKER, url), often(50, 1000))


def test_a_forked_child_uses_connections_of_its_own(store: RedisStore) -> None:
    put(store)
    child = os.fork()
    if child == 0:
        fine = all(store.find(ID) == a_key() for _ in range(20))
        os._exit(0 if fine else 1)
    assert all(store.find(ID) == a_key() for _ in range(20))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


# Settings


def test_check_says_what_may_be_lost(
    durable: Server, redis_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    def notes(url: str) -> str:
        (tmp_path / "keystile.toml").write_text(f'store = "{url}"\nprefix = "acme"\n')
        result = CliRunner().invoke(main, ["check"])
        assert result.exit_code == 0, result.stderr
        return result.stderr

    assert notes(durable.url) == ""
    durable.command("CONFIG", "SET", "appendfsync", "everysec")
    assert "Warning: store: appendfsync is everysec" in notes(durable.url)
    durable.command("CONFIG", "SET", "appendfsync", "always")
    redis_server.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    assert "Warning: store: maxmemory-policy is allkeys-lru" in notes(redis_server.url)
    assert "Warning: store: the append-only file is off" in notes(redis_server.url)
    redis_server.command("ACL", "SETUSER", "default", "-config")
    assert "append-only" in notes(redis_server.url)
    assert "append-only" in notes(emptied("cluster"))


@pytest.mark.parametrize("url", ["redis://:pass word@127.0.0.1:99999", "redis+cluster://:secret@a", "redis://[::1"])
def test_a_url_that_names_no_server_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        RedisStore.from_url(url).close()
    assert caught.value.key == "store"
    assert "secret" not in str(caught.value)
    assert "pass word" not in str(caught.value)


def test_how_many_records_are_remembered_is_bounded(url: str) -> None:
    with closing(RedisStore.from_url(url, remembered_keys=2)) as store:
        for each in "abc":
            put(store, each, hashes=(NEW, OLD))
        first = store.find("a")
        store.find("b")
        assert store.find("a") is first
        store.find("c")
        assert store.find("a") is not first
