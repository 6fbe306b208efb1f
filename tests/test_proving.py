"""First uses of keys and the failure budget: who is proved, who waits and for how long, and who is stopped."""

from __future__ import annotations

import random
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from keystile import Gate, HmacHasher, _sync
from keystile.gate.budget import PLACES
from keystile.limiters.memory import MemoryLimiter
from keystile.limiters.redis import RedisLimiter
from keystile.limiters.sqlite import SQLiteLimiter
from keystile.model import Refused, Request
from keystile.policy import REMEMBERED_KEYS
from tests.doors import Door
from tests.selection import often
from tests.stage import KINDS, HeldHasher, Host, hosting, in_thread, until, wrong


@pytest.fixture(params=["memory", "sqlite"])
def limiter(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    return MemoryLimiter() if request.param == "memory" else SQLiteLimiter(tmp_path / "windows.db")


@pytest.fixture(params=KINDS)
def host(request: pytest.FixtureRequest) -> Any:
    with hosting(request.param) as host:
        yield host


def at_once(door: Door, keys: list[str], peers: list[str] | None = None) -> list[int]:
    """The statuses of requests that all begin before the first one ends."""
    peers = peers or ["192.0.2.1"] * len(keys)
    if door.kind == "wsgi":
        with ThreadPoolExecutor(len(keys)) as threads:
            return [
                answer.status for answer in threads.map(lambda key, peer: door.get(key=key, peer=peer), keys, peers)
            ]
    found: dict[int, int] = {}

    async def one(number: int) -> None:
        sent = [("x-api-key", keys[number])]
        found[number] = (await door.asgi_call("GET", "/v1", sent, peers[number])).status

    async def all_of_them() -> None:
        async with anyio.create_task_group() as tasks:
            for number in range(len(keys)):
                tasks.start_soon(one, number)

    anyio.run(all_of_them, backend=door.kind)
    return [found[number] for number in range(len(keys))]


def test_60_good_keys_at_once_from_one_address_are_all_admitted(door: Door, limiter: Any) -> None:
    door.open(limiter=limiter)
    keys = [door.create().secret for _ in range(60)]
    assert at_once(door, keys) == [200] * 60


def test_a_neighbour_who_guesses_locks_no_good_key_out_of_processes_that_have_not_proved_it(
    door: Door, limiter: Any
) -> None:
    good, other = door.create().secret, door.create().secret
    workers = [door.open(limiter=limiter) for _ in range(4)]
    assert door.get(key=good).status == 200
    guesses = []
    for number in range(22):
        door.serve(workers[number % 4])
        guesses.append(door.get(key=wrong(other, number)).code)
    assert guesses == ["invalid_api_key"] * 20 + ["too_many_failures"] * 2
    statuses = []
    for number in range(60):
        door.serve(workers[number % 4])
        statuses.append(door.get(key=good).status)
    assert statuses == [200] * 60


def test_a_site_with_many_networks_has_a_budget_of_its_own(door: Door, limiter: Any) -> None:
    door.open(limiter=limiter, failure_limits="2/minute")
    good, other = door.create().secret, door.create().secret
    peers = [f"2001:db8:0:{number:x}::1" for number in range(256)]
    codes = [door.get(key=wrong(other, number), peer=peer).code for number, peer in enumerate(peers)]
    assert codes == ["invalid_api_key"] * 16 + ["too_many_failures"] * 240
    assert door.get(key=wrong(other), peer="2001:db8:0:100::1").code == "invalid_api_key"
    assert door.get(key=good, peer="2001:db8:0:ff::2").status == 200


def test_so_has_a_site_of_many_sites(door: Door) -> None:
    door.open(failure_limits="1/minute")
    other = door.create().secret
    peers = [f"2001:db8:0:{number * 256:x}::1" for number in range(80)]
    codes = [door.get(key=wrong(other, number), peer=peer).code for number, peer in enumerate(peers)]
    assert codes == ["invalid_api_key"] * 64 + ["too_many_failures"] * 16
    assert door.get(key=wrong(other), peer="2001:db8:1::1").code == "invalid_api_key"


def test_a_right_key_writes_nothing(door: Door, tmp_path: Path) -> None:
    limiter = SQLiteLimiter(tmp_path / "windows.db")
    door.open(limiter=limiter)
    for number in range(5):
        assert door.get(key=door.create().secret, peer=f"2001:db8::{number}").status == 200
    with closing(sqlite3.connect(tmp_path / "windows.db")) as connection:
        assert connection.execute("SELECT count(*) FROM keystile_windows").fetchone() == (0,)


class Silent:
    """Counts the calls, and answers none of them."""

    blocking = False

    def __init__(self) -> None:
        self.asked = 0

    def ask(self, *_args: Any) -> Any:
        self.asked += 1
        raise ConnectionError

    hit = peek = refund = reset = find = touch = rehash = ask

    def close(self) -> None: ...


@pytest.mark.parametrize("peppers", [(), ["a pepper of enough bytes"]])
def test_a_key_that_fails_its_check_reaches_nothing(door: Door, peppers: Any) -> None:
    silent, hasher = Silent(), HeldHasher()
    secret = Gate(prefix="acme").keys.create("key").secret
    forged = secret if peppers else secret[:-1] + ("0" if secret[-1] != "0" else "1")
    door.open(store=silent, limiter=silent, hasher=hasher, peppers=peppers)
    assert [door.get(key=forged).code for _ in range(30)] == ["invalid_api_key"] * 30
    assert (silent.asked, hasher.runs) == (0, [])


@pytest.mark.parametrize(
    ("choice", "guesses", "good"),
    [
        ("local", ["invalid_api_key"] * 2 + ["too_many_failures"] * 2, 200),
        ("allow", ["invalid_api_key"] * 4, 200),
        ("deny", ["unavailable"] * 4, 503),
    ],
)
def test_the_budget_of_a_limiter_that_is_down(door: Door, choice: str, guesses: list[str], good: int) -> None:
    door.open(failure_limits="2/minute", limiter=Silent(), on_limiter_error=choice)
    secret = door.create().secret
    assert [door.get(key=wrong(secret, number)).code for number in range(4)] == guesses
    assert door.get(key=secret).status == good


def test_the_budget_in_redis(host: Host, redis_url: str) -> None:
    # A busy test machine is no reason to count elsewhere.
    limiter = RedisLimiter(redis_url, socket_timeout=10, socket_connect_timeout=10)
    hasher = HeldHasher()
    gate = Gate(
        prefix="acme",
        hasher=hasher,
        failure_limits="2/minute",
        limiter=limiter,
        on_limiter_error="deny",
        wsgi_threads=99,
    )
    peer = f"2001:db8:{random.randrange(65536):x}:{random.randrange(65536):x}::1"
    keys = [gate.keys.create("key").secret for _ in range(20)]
    actors = [host.ask(gate, key, peer) for key in keys]
    assert [actor.code for actor in actors] == ["ok"] * 20
    codes = [host.ask(gate, wrong(keys[0], number), peer).code for number in range(4)]
    assert codes == ["invalid_api_key"] * 2 + ["too_many_failures"] * 2
    assert host.ask(gate, gate.keys.create("key").secret, peer).code == "ok"
    host.close(gate)


@pytest.mark.parametrize("secret", ["known", "unknown"])
def test_an_unknown_id_costs_and_says_what_a_wrong_secret_does(door: Door, secret: str) -> None:
    hasher = HeldHasher()
    gate = door.open(failure_limits="2/minute", hasher=hasher)
    key = door.create().secret
    if secret == "unknown":
        key = key.replace(key.removeprefix("acme_live_")[:12], "000000000000")
    codes = [door.get(key=wrong(key, number)).code for number in range(4)]
    assert codes == ["invalid_api_key"] * 2 + ["too_many_failures"] * 2
    assert len(hasher.runs) == 4
    assert gate.policy.failure_limits == "2/minute"


@pytest.mark.parametrize("store", ["memory", "sqlite"])
def test_as_many_keys_are_remembered_as_is_set(store: str, tmp_path: Path) -> None:
    hasher = HeldHasher()
    hasher.blocking = False
    url = "memory://" if store == "memory" else f"sqlite:///{tmp_path}/keys.db"
    gate = Gate(url, prefix="acme", hasher=hasher, remembered_keys=50)
    keys = [gate.keys.create("key").secret for _ in range(60)]
    with hosting("wsgi", threads=1) as host:
        for rounds in (1, 2):
            assert {host.ask(gate, key).code for key in keys[:50]} == {"ok"}
            assert len(hasher.runs) == 50, rounds
        assert {host.ask(gate, key).code for key in keys[50:]} == {"ok"}
        assert {host.ask(gate, key).code for key in keys[10:]} == {"ok"}
        assert len(hasher.runs) == 60, "those that were not used for the longest time went, and no more of them"
    held = [len(gate._order.prover._proofs), len(gate._order._known)]
    if store == "sqlite":
        held.append(len(gate._shop.store._kept.records))  # type: ignore[attr-defined]
    assert held == [50] * len(held)
    gate.close()


def test_a_key_too_many_takes_the_place_of_one_other() -> None:
    gate = Gate(prefix="acme", hasher=HmacHasher(b"p" * 16), remembered_keys=100)
    key = gate.keys.create("key").key
    for number in range(350):
        gate._order.callers.meet(replace(key, id=str(number)), None)
        in_use = replace(key, id="in use", last_used_at=key.created_at)
        gate._order.callers.meet(in_use, gate._order._known.get("in use"))
        assert len(gate._order._known) == min(number + 2, 100)
        assert "in use" in gate._order._known


def code_of(gate: Gate, secret: str) -> str:
    """How a request ends in this thread, for tests that make many."""
    outcome = in_thread(gate, Request("GET", "/v1", b"", [(b"x-api-key", secret.encode())], "192.0.2.1"))
    return outcome.reason.code if isinstance(outcome, Refused) else "ok"


@pytest.mark.stress
def test_many_keys_in_turn_are_proved_once_each() -> None:
    number = 100_000
    hasher = HeldHasher()
    hasher.blocking = False
    gate = Gate(prefix="acme", hasher=hasher)
    keys = [gate.keys.create("key").secret for _ in range(number)]
    for _ in range(2):
        assert {code_of(gate, key) for key in keys} == {"ok"}
    assert len(hasher.runs) == number
    assert len(gate._order._known) == number
    assert code_of(gate, gate.keys.create("one more").secret) == "ok"
    assert len(gate._order._known) == len(gate._order.prover._proofs) == min(number + 1, REMEMBERED_KEYS)


@pytest.mark.parametrize("store", ["memory", "sqlite"])
def test_200_first_uses_at_once_wait_for_their_proof(host: Host, store: str, tmp_path: Path) -> None:
    hasher = HeldHasher()
    url = "memory://" if store == "memory" else f"sqlite:///{tmp_path}/keys.db"
    gate = Gate(url, prefix="acme", hasher=hasher)
    keys = [gate.keys.create("key").secret for _ in range(200)]
    hasher.held = True
    with hosting(host.kind, threads=200) as crowd:
        actors = [crowd.ask(gate, key, f"192.0.2.{number}") for number, key in enumerate(keys)]
        until(lambda: hasher.under_way)
        hasher.open()
        assert [actor.code for actor in actors] == ["ok"] * 200
    gate.close()


@pytest.mark.parametrize("peers", ["one", "many"])
def test_first_uses_queue_until_all_are_proved_and_nobody_waits_behind_another_address(host: Host, peers: str) -> None:
    """As after a restart. What a queue may take is said by `hashing_wait` alone, which never ends here."""
    hasher, number = HeldHasher(), often(300, 1000)
    store = Gate(prefix="acme", hasher=hasher)
    keys = [store.keys.create("key").secret for _ in range(number)]
    alone = [store.keys.create("key").secret for _ in range(3)]
    gate = Gate(store._shop.store, prefix="acme", hasher=hasher, hashing_wait=3600.0)  # type: ignore[arg-type]
    hasher.held = True
    with hosting(host.kind, threads=number + len(alone)) as crowd:
        actors = [
            crowd.ask(gate, key, "192.0.2.1" if peers == "one" else f"10.0.{at // 250}.{at % 250}")
            for at, key in enumerate(keys)
        ]
        at_once = _sync.worker_count() if peers == "many" else min(_sync.worker_count(), PLACES)
        until(lambda: len(hasher.runs) == at_once)
        places = gate._order.prover._budget.places
        if peers == "one":
            until(lambda: waiting(places) == number - at_once)
            late = [crowd.ask(gate, key, f"192.0.2.{at + 2}") for at, key in enumerate(alone)]
            until(lambda: waiting(places) == number + len(late) - max(at_once, _sync.worker_count()))
            hasher.let_go(2 * len(late) + 2 * PLACES)
            assert [actor.code for actor in late] == ["ok"] * len(late), "each address has its turn"
            assert not all(actor.done for actor in actors)
        hasher.open()
        assert [actor.code for actor in actors] == ["ok"] * number
    assert len(hasher.runs) == number + (len(alone) if peers == "one" else 0), "once each"
    gate.close()


def waiting(places: _sync.Places) -> int:
    """How many wait for a place of whatever kind."""
    return sum(places.waiting(what) for what in list(places._taken))
