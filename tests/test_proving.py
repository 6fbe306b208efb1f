"""First uses of keys and the failure budget: who is proved, who waits and for how long, and who is stopped."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anyio
import pytest

from keystile import Gate
from keystile.limiters.memory import MemoryLimiter
from keystile.limiters.sqlite import SQLiteLimiter
from tests.doors import Door
from tests.stage import KINDS, HeldHasher, Host, hosting, until, wrong


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


def test_10_100_keys_in_turn_are_proved_once_each() -> None:
    hasher = HeldHasher()
    hasher.blocking = False
    gate = Gate(prefix="acme", hasher=hasher)
    keys = [gate.keys.create("key").secret for _ in range(10_100)]
    with hosting("wsgi", threads=1) as host:
        for _ in range(2):
            assert {host.ask(gate, key).code for key in keys} == {"ok"}
    assert len(hasher.runs) == 10_100


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
