"""Races in the proof path, each on a schedule of its own: what happens between a proof's beginning and its end."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import anyio
import pytest

from keystile import Gate, Overloaded, _sync
from keystile.gate.budget import PLACES, WAITING
from keystile.model import Refused, Request, SecretHash
from keystile.stores.memory import MemoryStore
from tests.async_store import AsyncStore
from tests.selection import often
from tests.stage import KINDS, HeldHasher, Host, hosting, until, wrong

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TASKS = ["asyncio", "trio"]


@pytest.fixture
def hasher() -> Iterator[HeldHasher]:
    hasher = HeldHasher()
    yield hasher
    hasher.open()


@pytest.fixture(params=KINDS)
def host(request: pytest.FixtureRequest, hasher: HeldHasher) -> Iterator[Host]:
    with hosting(request.param) as host:
        yield host
        hasher.open()


@pytest.fixture(params=TASKS)
def tasks(request: pytest.FixtureRequest, hasher: HeldHasher) -> Iterator[Host]:
    """A host whose requests can be cancelled."""
    with hosting(request.param) as host:
        yield host
        hasher.open()


def gate_with(hasher: HeldHasher, **settings: Any) -> Gate:
    # Nothing is given up that a schedule does not have given up.
    return Gate(
        **{"prefix": "acme", "hasher": hasher, "address_wait": 60, "hashing_wait": 60, "wsgi_threads": 400} | settings
    )


def waiting(gate: Gate, what: str = "ip:c0000201") -> int:
    """How many wait for a place of 192.0.2.1, or of another name."""
    return gate._order.prover._budget.places.waiting(what)


def idle(gate: Gate) -> bool:
    """Whether nobody has a place, waits for one, or is counted as busy."""
    budget = gate._order.prover._budget
    return not (budget.places._taken or any(budget._crowd._busy.values()) or budget._flights._flights)


def fail(gate: Gate, host: Host, hasher: HeldHasher, peer: str = "192.0.2.1") -> None:
    """Let a key from this address fail its proof."""
    held, hasher.held = hasher.held, False
    assert host.ask(gate, wrong(gate.keys.create("failing").secret), peer).code == "invalid_api_key"
    hasher.held = held
    hasher.runs.clear()


# What happens to the record between the proof and its reading; the answer; and how many proofs it takes.


def revoke(store: MemoryStore, key_id: str, hasher: HeldHasher, secret: str) -> None:
    store.revoke(key_id, NOW, ())


def delete(store: MemoryStore, key_id: str, hasher: HeldHasher, secret: str) -> None:
    del store._keys[key_id]


def rehash(store: MemoryStore, key_id: str, hasher: HeldHasher, secret: str) -> None:
    [old] = store._keys[key_id].hashes
    store.rehash(key_id, old, SecretHash(hasher.hash(secret.encode()), old.hint))


def rotate(store: MemoryStore, key_id: str, hasher: HeldHasher, secret: str) -> None:
    [old] = store._keys[key_id].hashes
    store.rehash(key_id, old, SecretHash(hasher.hash(b"another"), old.hint))


def rotate_with_grace(store: MemoryStore, key_id: str, hasher: HeldHasher, secret: str) -> None:
    key = store._keys[key_id]
    store._keys[key_id] = replace(key, hashes=(*key.hashes, SecretHash(hasher.hash(b"another"), "zzzz")))


@pytest.mark.parametrize(
    ("act", "code", "runs"),
    [
        (revoke, "revoked_api_key", 1),
        (delete, "invalid_api_key", 2),
        (rehash, "ok", 2),
        (rotate, "invalid_api_key", 2),
        (rotate_with_grace, "ok", 1),
    ],
)
@pytest.mark.parametrize("kind", ["plain", "async"])
def test_the_record_that_counts_is_read_after_the_proof(
    host: Host, hasher: HeldHasher, act: Any, code: str, runs: int, kind: str
) -> None:
    if kind == "async" and host.kind == "wsgi":
        kind = "plain"
    store: Any = AsyncStore() if kind == "async" else MemoryStore()
    inner: MemoryStore = getattr(store, "inner", store)
    issued = Gate(inner, prefix="acme", hasher=hasher).keys.create("key")
    gate = gate_with(hasher, store=store)
    hasher.held = True
    actor = host.ask(gate, issued.secret)
    until(lambda: hasher.under_way)
    act(inner, issued.key.id, hasher, issued.secret)
    hasher.open()
    assert actor.code == code
    assert len(hasher.runs) == runs
    until(lambda: idle(gate))


def test_first_uses_of_one_key_share_a_proof_although_the_first_one_hangs_up(tasks: Host, hasher: HeldHasher) -> None:
    gate = gate_with(hasher)
    secret = gate.keys.create("key").secret
    hasher.held = True
    first = tasks.ask(gate, secret)
    until(lambda: hasher.under_way)
    others = [tasks.ask(gate, secret, peer) for peer in ("192.0.2.1", "192.0.2.2", "192.0.2.1")]
    until(lambda: sum(gate._order.prover._budget._crowd._busy[name] for name in ("ip:c0000201", "ip:c0000202")) == 4)
    first.hang_up()
    until(lambda: sum(gate._order.prover._budget._crowd._busy[name] for name in ("ip:c0000201", "ip:c0000202")) == 3)
    hasher.let_go()
    assert [other.code for other in others] == ["ok"] * 3
    assert len(hasher.runs) == 1
    until(lambda: idle(gate))


def test_a_guess_counts_although_its_client_hangs_up(tasks: Host, hasher: HeldHasher) -> None:
    gate = gate_with(hasher, failure_limits="1/minute")
    secret = gate.keys.create("key").secret
    hasher.held = True
    guess = tasks.ask(gate, wrong(secret))
    until(lambda: hasher.under_way)
    guess.hang_up()
    hasher.open()
    until(lambda: idle(gate))
    assert tasks.ask(gate, wrong(secret, 1)).code == "too_many_failures"


def test_a_guess_counts_although_its_task_is_killed(hasher: HeldHasher) -> None:
    gate = gate_with(hasher, failure_limits="1/minute")
    secret = gate.keys.create("key").secret
    hasher.held = True

    def request(number: int) -> Request:
        return Request("GET", "/v1", b"", [(b"x-api-key", wrong(secret, number).encode())], "192.0.2.1")

    async def go() -> Any:
        guess = asyncio.create_task(gate.check(request(1), _sync.pooled))
        while not hasher.under_way:  # noqa: ASYNC110 - threads know no events
            await asyncio.sleep(0.001)
        guess.cancel()
        with pytest.raises(asyncio.CancelledError):
            await guess
        assert not idle(gate)
        hasher.open()
        while not idle(gate):  # noqa: ASYNC110 - likewise
            await asyncio.sleep(0.001)
        return await gate.check(request(2), _sync.pooled)

    assert asyncio.run(go()).reason.code == "too_many_failures"


def test_a_loop_that_ends_in_the_middle_of_a_proof_leaves_no_place_taken(hasher: HeldHasher) -> None:
    gate = gate_with(hasher)
    secret = gate.keys.create("key").secret
    hasher.held = True

    async def go() -> None:
        for number in range(PLACES + 3):
            asyncio.get_running_loop().create_task(ask(number))
        while not hasher.under_way:  # noqa: ASYNC110 - threads know no events
            await asyncio.sleep(0.001)
        hasher.let_go(10)  # the loop waits for its threads

    async def ask(number: int) -> None:
        key = wrong(secret, number).encode()
        await gate.check(Request("GET", "/v1", b"", [(b"x-api-key", key)], "192.0.2.1"), _sync.pooled)

    asyncio.run(go())
    assert idle(gate)


CLOSED_LOOP = """
import asyncio, threading
from keystile import Gate, _sync
from keystile.model import Admitted, Request

class Held:
    blocking = True
    open, under_way = threading.Event(), 0
    def hash(self, raw): return raw.decode()
    def verify(self, stored, raw):
        self.under_way += 1
        self.open.wait()
        return stored == raw.decode()
    def needs_rehash(self, stored): return False
    def decoy(self): return ""

gate = Gate(prefix="acme", hasher=Held(), hashing_wait=1, address_wait=1)
secrets = [gate.keys.create("key").secret for _ in range(8)]
held = gate._shop.hasher.own

async def ask(secret, peer):
    return await gate.check(Request("GET", "/v1", b"", [(b"x-api-key", secret.encode())], peer), _sync.pooled)

async def begin():
    tasks = [asyncio.create_task(ask(secret, f"192.0.2.{number % 3}")) for number, secret in enumerate(secrets)]
    while held.under_way < 2:
        await asyncio.sleep(0.001)
    return tasks

loop = asyncio.new_event_loop()
tasks = loop.run_until_complete(begin())
loop.close()  # nobody cancelled them
held.open.set()
for number, secret in enumerate(secrets):
    assert isinstance(asyncio.run(ask(secret, f"192.0.2.{number % 3}")), Admitted)
budget = gate._order.prover._budget
assert not budget.places._taken and not budget._flights._flights
print("fine", flush=True)
import os
os._exit(0)  # as the tasks are still there, asyncio would complain
"""


def test_what_a_loop_had_that_was_closed_in_the_middle_is_given_to_others() -> None:
    command = [sys.executable, "-c", CLOSED_LOOP]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "fine\n", done.stderr


def test_a_place_goes_to_the_next_in_line_and_past_those_who_hung_up(tasks: Host, hasher: HeldHasher) -> None:
    gate = gate_with(hasher)
    keys = [gate.keys.create("key").secret for _ in range(PLACES + 3)]
    hasher.held = True
    actors = []
    for number, key in enumerate(keys):
        actors.append(tasks.ask(gate, key))
        until(lambda number=number: waiting(gate) == max(0, number + 1 - PLACES))  # type: ignore[misc]
    *holders, leaver, heir, last = actors
    leaver.hang_up()
    until(lambda: waiting(gate) == 2)
    until(lambda: hasher.under_way == min(PLACES, _sync.worker_count()))  # or the heir may be let go in one's place
    hasher.let_go(PLACES)
    assert [each.code for each in holders] == ["ok"] * PLACES
    until(lambda: waiting(gate) == 0)
    hasher.open()
    assert [heir.code, last.code] == ["ok", "ok"]
    assert keys[PLACES].encode() not in hasher.runs
    until(lambda: idle(gate))


@pytest.mark.parametrize("backend", TASKS)
def test_whoever_is_cancelled_while_a_place_is_handed_over_hands_it_on(backend: str) -> None:
    places = _sync.Places()

    async def go() -> None:
        held = places.take("a", 1)
        assert held is not None
        with anyio.CancelScope() as scope:

            class Cancelled:
                """Is given the place, and cancelled before it can go on."""

                blocks = False

                async def wait(self, future: Any, seconds: float | None = None) -> None:
                    places.leave(held)
                    assert future.done()
                    scope.cancel()
                    await anyio.lowlevel.checkpoint()

            await places.enter("a", 1, "name", Cancelled(), 10)  # type: ignore[arg-type]
        assert scope.cancelled_caught
        assert places._taken == {}

    anyio.run(go, backend=backend)


def test_whose_time_is_over_while_a_place_is_handed_over_has_it() -> None:
    places = _sync.Places()
    held = places.take("a", 1)
    assert held is not None

    class Late:
        blocks = True

        async def wait(self, future: Any, seconds: float | None = None) -> None:
            places.leave(held)

    given = _sync.run_now(places.enter("a", 1, "name", Late(), 0))  # type: ignore[arg-type]
    assert places.take("a", 1) is None
    places.leave(held)  # which is no longer its to give
    assert places.take("a", 1) is None
    places.leave(given)
    assert places._taken == {}


def test_exhausted_addresses_are_given_their_place_in_turn(host: Host, hasher: HeldHasher) -> None:
    gate = gate_with(hasher, failure_limits="1/minute")
    guesser, victim, third = "192.0.2.1", "192.0.2.2", "192.0.2.3"
    for peer in (guesser, victim, third):
        fail(gate, host, hasher, peer)
    keys = [gate.keys.create("key").secret for _ in range(2)]
    guesses = [wrong(keys[0], number) for number in range(10, 14)]
    hasher.held = True
    order = [(guess, guesser) for guess in guesses] + [(keys[0], victim), (keys[1], third)]
    actors = []
    for number, (key, peer) in enumerate(order):
        actors.append(host.ask(gate, key, peer))
        until(lambda: hasher.under_way == 1)
        until(lambda number=number: waiting(gate, "exhausted") == number)  # type: ignore[misc]
    for number in range(len(order)):
        until(lambda number=number: len(hasher.runs) == number + 1)  # type: ignore[misc]
        assert hasher.under_way == 1, "there is one place for all of them"
        hasher.let_go()
    assert [actor.code for actor in actors] == ["too_many_failures"] * 4 + ["ok"] * 2
    assert [raw.decode() for raw in hasher.runs] == [guesses[0], guesses[1], *keys, *guesses[2:]]
    until(lambda: idle(gate))


def test_a_window_admits_its_limit_and_what_is_under_way(host: Host, hasher: HeldHasher) -> None:
    gate = gate_with(hasher, failure_limits="3/minute")
    secret = gate.keys.create("key").secret
    fail(gate, host, hasher)
    hasher.held = True
    actors = [host.ask(gate, wrong(secret, number)) for number in range(10, 20)]
    until(lambda: waiting(gate) == 10 - PLACES)
    hasher.open()
    codes = Counter(actor.code for actor in actors)
    assert codes == {"invalid_api_key": 2, "too_many_failures": 8}
    assert hasher.most <= PLACES
    until(lambda: idle(gate))


def test_an_address_from_which_keys_failed_has_a_short_line_of_tasks(tasks: Host, hasher: HeldHasher) -> None:
    gate = gate_with(hasher)
    fail(gate, tasks, hasher)
    keys = [gate.keys.create("key").secret for _ in range(PLACES + WAITING + 1)]
    hasher.held = True
    actors = [tasks.ask(gate, key) for key in keys[:-1]]
    until(lambda: waiting(gate) == WAITING)
    assert tasks.ask(gate, keys[-1]).code == "unavailable"
    assert not any(actor.done for actor in actors)
    elsewhere = tasks.ask(gate, keys[-1], "192.0.2.2")
    hasher.open()
    assert {actor.code for actor in [*actors, elsewhere]} == {"ok"}
    until(lambda: idle(gate))


def test_no_more_than_a_quarter_of_the_threads_wait_for_addresses_from_which_keys_failed(hasher: HeldHasher) -> None:
    gate = gate_with(hasher, wsgi_threads=16)
    room = _sync.worker_count() + 4
    with hosting("wsgi") as host:
        peers = [f"192.0.2.{number}" for number in range(room + 1)]
        for peer in peers:
            fail(gate, host, hasher, peer)
        keys = [gate.keys.create("key").secret for _ in peers]
        hasher.held = True
        actors = [host.ask(gate, key, peer) for key, peer in list(zip(keys, peers, strict=True))[:-1]]
        until(lambda: waiting(gate, "hashing") == room - _sync.worker_count())
        assert host.ask(gate, keys[-1], peers[-1]).code == "unavailable"
        clean = host.ask(gate, keys[-1], "192.0.2.200")
        until(lambda: waiting(gate, "hashing") == room - _sync.worker_count() + 1)
        hasher.open()
        assert {actor.code for actor in [*actors, clean]} == {"ok"}
    assert idle(gate)


def test_nobody_waits_long_where_keys_failed_nor_very_long_at_all(host: Host, hasher: HeldHasher) -> None:
    gate = gate_with(hasher, address_wait=0.02)
    keys = [gate.keys.create("key").secret for _ in range(PLACES + 1)]
    fail(gate, host, hasher)
    hasher.held = True
    holders = [host.ask(gate, key) for key in keys[:PLACES]]
    until(lambda: hasher.under_way)
    assert host.ask(gate, keys[-1]).code == "unavailable"
    hasher.open()
    assert {actor.code for actor in holders} == {"ok"}
    until(lambda: idle(gate))


@pytest.mark.parametrize("failed", [False, True])
def test_nobody_waits_longer_for_the_hasher_than_is_set(host: Host, hasher: HeldHasher, failed: bool) -> None:
    gate = gate_with(hasher, hashing_wait=0.02, failure_limits="1/minute")
    peers = [f"192.0.2.{number}" for number in range(_sync.worker_count() + 1)]
    keys = [gate.keys.create("key").secret for _ in peers]
    for peer in peers if failed else ():
        fail(gate, host, hasher, peer)
    hasher.held = True
    actors = []
    for key, peer in zip(keys, peers, strict=True):
        actors.append(host.ask(gate, key, peer))
        until(lambda: hasher.under_way)
    assert actors[-1].code == "unavailable"
    hasher.open()
    until(lambda: idle(gate))
    assert host.ask(gate, keys[-1], peers[-1]).code == "ok"


def test_a_proof_that_is_pushed_out_at_once_still_counts(host: Host, hasher: HeldHasher) -> None:
    gate = gate_with(hasher, remembered_keys=1)
    keys = [gate.keys.create("key").secret for _ in range(8)]
    hasher.held = True
    actors = [host.ask(gate, key, f"192.0.2.{number}") for number, key in enumerate(keys)]
    until(lambda: waiting(gate, "hashing") == 8 - _sync.worker_count())
    hasher.open()
    assert [actor.code for actor in actors] == ["ok"] * 8
    assert len(hasher.runs) == 8
    assert (len(gate._order.prover._proofs), len(gate._order._known)) == (1, 1)


def test_a_hash_that_another_process_renews_during_the_proof_is_not_renewed_again(
    host: Host, hasher: HeldHasher
) -> None:
    store = MemoryStore()
    gate = gate_with(hasher, store=store)
    issued = gate.keys.create("key")
    hasher.stale.add(issued.key.hashes[0].hash)
    hasher.held = True
    actor = host.ask(gate, issued.secret)
    until(lambda: hasher.under_way)
    rehash(store, issued.key.id, hasher, issued.secret)
    theirs = store._keys[issued.key.id].hashes
    hasher.open()
    assert actor.code == "ok"
    assert _sync.settled()
    assert store._keys[issued.key.id].hashes == theirs
    assert host.ask(gate, issued.secret).code == "ok"
    assert len(hasher.runs) == 2


def test_a_child_that_is_forked_during_proofs_finds_every_place_free(hasher: HeldHasher) -> None:
    gate = gate_with(hasher)
    keys = [gate.keys.create("key").secret for _ in range(PLACES + 2)]
    hasher.held = True

    def in_child() -> bool:
        if not idle(gate):
            return False
        hasher.held = False
        outcomes = [_sync.run_now(gate.check(request_of(key), _sync.inline)) for key in keys]
        return idle(gate) and not any(isinstance(outcome, Refused) for outcome in outcomes)

    with hosting("wsgi") as host:
        actors = [host.ask(gate, key) for key in keys]
        until(lambda: waiting(gate) == 2 and hasher.under_way)
        child = os.fork()
        if child == 0:
            os._exit(0 if in_child() else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        hasher.open()
        assert {actor.code for actor in actors} == {"ok"}
    assert idle(gate)


def test_what_a_child_inherited_in_the_middle_it_gives_back_without_harm(hasher: HeldHasher) -> None:
    gate = gate_with(hasher)
    secret, other = gate.keys.create("key").secret, gate.keys.create("key").secret
    pids: list[int] = []

    def forking(stored: str, raw: bytes) -> bool:
        hasher.verify = type(hasher).verify.__get__(hasher)  # type: ignore[method-assign]
        pids.append(os.fork())
        return hasher.verify(stored, raw)

    hasher.verify = forking  # type: ignore[method-assign]
    first = _sync.run_now(gate.check(request_of(secret), _sync.inline))
    second = _sync.run_now(gate.check(request_of(other), _sync.inline))
    good = not isinstance(first, Refused) and not isinstance(second, Refused) and idle(gate)
    if pids == [0]:
        os._exit(0 if good else 1)
    assert good
    assert os.waitstatus_to_exitcode(os.waitpid(pids[0], 0)[1]) == 0


def request_of(secret: str, peer: str = "192.0.2.1") -> Request:
    return Request("GET", "/v1", b"", [(b"x-api-key", secret.encode())], peer)


@pytest.mark.parametrize("backend", TASKS)
def test_whoever_shares_a_run_that_found_no_room_tries_it_alone(backend: str) -> None:
    flights = _sync.SingleFlight()
    found: list[Any] = []

    async def go() -> None:
        joined = anyio.Event()

        async def no_room() -> str:
            await joined.wait()
            raise Overloaded("no room")

        async def room() -> str:
            return "room"

        async def first() -> None:
            with pytest.raises(Overloaded):
                await flights.run("key", _sync.pooled, no_room)

        async def second() -> None:
            found.append(await flights.run("key", _sync.pooled, room))

        async with anyio.create_task_group() as group:
            group.start_soon(first)
            await anyio.lowlevel.checkpoint()
            group.start_soon(second)
            await anyio.lowlevel.checkpoint()
            joined.set()

    anyio.run(go, backend=backend)
    assert found == ["room"]


class Hasty(HeldHasher):
    """Takes some random moments."""

    def verify(self, stored: str, raw: bytes) -> bool:
        time.sleep(random.random() / 1000)
        return super().verify(stored, raw)


def test_a_storm_of_good_and_wrong_keys_and_hang_ups_leaves_nothing_taken() -> None:
    rounds = often(2, 30)
    hasher = Hasty()
    gate = gate_with(hasher, failure_limits="5/minute", remembered_keys=20)
    keys = [gate.keys.create("key").secret for _ in range(40)]
    codes: Counter[str] = Counter()
    lock = threading.Lock()

    def storm(kind: str, seed: int) -> None:
        chosen = random.Random(seed)
        with hosting(kind, threads=30) as host:
            for _ in range(rounds):
                actors = []
                for _ in range(60):
                    key = chosen.choice(keys)
                    sent = wrong(key, chosen.randrange(10**6)) if chosen.random() < 0.2 else key
                    actors.append((sent, host.ask(gate, sent, f"192.0.2.{chosen.randrange(8)}")))
                for sent, actor in actors:
                    if kind != "wsgi" and chosen.random() < 0.2 and actor._future.cancel():
                        continue
                    with lock:
                        codes[("good " if sent in keys else "wrong ") + actor.code] += 1

    with ThreadPoolExecutor(3) as threads:
        for each in [threads.submit(storm, kind, seed) for seed, kind in enumerate(KINDS)]:
            each.result()
    assert set(codes) <= {"good ok", "good unavailable", "wrong invalid_api_key"} | {
        f"wrong {code}" for code in ("too_many_failures", "unavailable")
    }
    assert codes["good ok"]
    assert codes["wrong invalid_api_key"] <= 8 * 5
    assert hasher.most <= _sync.worker_count()
    until(lambda: idle(gate))
