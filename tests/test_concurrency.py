"""Many at once: first uses, floods of wrong keys, both doors on one gate, forks."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import pytest

from keystile import Argon2Hasher, Gate, Overloaded, _sync, asgi, wsgi
from keystile._sync import background
from keystile.exceptions import StoreUnavailable
from keystile.keys.format import crc_check
from tests.doors import Host, asgi_scope, wsgi_environ
from tests.selection import often


class CountingHasher(Argon2Hasher):
    """Argon2 that counts how often it is asked, and how many runs overlap."""

    def __init__(self, **parameters: int) -> None:
        super().__init__(**parameters)
        self.runs = self.under_way = self.most = 0
        self._lock = threading.Lock()

    def verify(self, stored: str, raw: bytes) -> bool:
        with self._lock:
            self.runs += 1
            self.under_way += 1
            self.most = max(self.most, self.under_way)
        try:
            return super().verify(stored, raw)
        finally:
            with self._lock:
                self.under_way -= 1


WRONG = often(60, 200)


@pytest.fixture
def hasher() -> CountingHasher:
    return CountingHasher()


def wrong_secrets(secret: str, count: int) -> list[str]:
    """Keys with the same id, other secrets, and right check digits."""
    bodies = [f"{secret[:-38]}{number:032d}" for number in range(count)]
    return [body + crc_check(body.encode()) for body in bodies]


async def statuses(door: asgi.GateMiddleware, keys: list[str]) -> list[int]:
    found: list[int] = []

    async def one(key: str) -> None:
        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                found.append(message["status"])

        await door(asgi_scope("GET", "/v1", [("x-api-key", key)], None), one, send)  # type: ignore[arg-type]

    async with anyio.create_task_group() as tasks:
        for key in keys:
            tasks.start_soon(one, key)
    return found


def through_wsgi(gate: Gate, keys: list[str]) -> list[int]:
    door = wsgi.GateMiddleware(Host().wsgi, gate)

    def one(key: str) -> int:
        started: list[str] = []

        def start_response(status: str, headers: Any, exc_info: Any = None) -> Callable[[bytes], object]:
            started.append(status)
            return started.append  # type: ignore[return-value]

        door(wsgi_environ("GET", "/v1", [("x-api-key", key)], None), start_response)
        return int(started[0].split()[0])

    with ThreadPoolExecutor(len(keys)) as threads:
        return list(threads.map(one, keys))


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_200_first_uses_of_a_key_share_one_argon2_run(backend: str, hasher: CountingHasher) -> None:
    gate = Gate(prefix="acme", hasher=hasher, failure_limits=None)
    secret = gate.keys.create("key").secret
    door = asgi.GateMiddleware(Host().asgi, gate)
    assert anyio.run(statuses, door, [secret] * 200, backend=backend) == [200] * 200
    assert hasher.runs == 1


def test_200_first_uses_in_threads_share_one_argon2_run(hasher: CountingHasher) -> None:
    gate = Gate(prefix="acme", hasher=hasher, failure_limits=None)
    secret = gate.keys.create("key").secret
    assert through_wsgi(gate, [secret] * 200) == [200] * 200
    assert hasher.runs == 1


def test_one_gate_behind_both_doors_and_two_loops_shares_one_run(hasher: CountingHasher) -> None:
    gate = Gate(prefix="acme", hasher=hasher, failure_limits=None)
    secret = gate.keys.create("key").secret
    door = asgi.GateMiddleware(Host().asgi, gate)
    with ThreadPoolExecutor(3) as threads:
        work = [
            threads.submit(anyio.run, statuses, door, [secret] * 30),
            threads.submit(anyio.run, statuses, door, [secret] * 30, backend="trio"),
            threads.submit(through_wsgi, gate, [secret] * 30),
        ]
        assert [each.result() for each in work] == [[200] * 30] * 3
    assert hasher.runs == 1


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_flood_of_wrong_secrets_is_bounded_and_a_warm_key_served_meanwhile(
    backend: str, hasher: CountingHasher
) -> None:
    gate = Gate(prefix="acme", hasher=hasher, failure_limits=None, hashing_wait=600)
    secret = gate.keys.create("key").secret
    door = asgi.GateMiddleware(Host().asgi, gate)

    async def flood() -> tuple[list[int], list[int]]:
        assert await statuses(door, [secret]) == [200]
        served: list[int] = []
        answers: list[int] = []

        async def flooding() -> None:
            answers.extend(await statuses(door, wrong_secrets(secret, WRONG)))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(flooding)
            while hasher.under_way == 0:  # noqa: ASYNC110 - the hasher runs in a thread and knows no events
                await anyio.sleep(0.001)
            while hasher.under_way and len(served) < 50:
                served += await statuses(door, [secret])
                await anyio.sleep(0.001)
        return answers, served

    answers, served = anyio.run(flood, backend=backend)
    assert answers == [401] * WRONG
    assert served
    assert set(served) == {200}
    assert hasher.most <= _sync.worker_count()


def test_a_flood_through_wsgi_is_bounded_too(hasher: CountingHasher) -> None:
    gate = Gate(prefix="acme", hasher=hasher, failure_limits=None, hashing_wait=600)
    answers = through_wsgi(gate, wrong_secrets(gate.keys.create("key").secret, WRONG))
    assert answers == [401] * WRONG
    assert hasher.most <= _sync.worker_count()


def test_a_cancelled_first_use_leaves_the_others_their_answer(hasher: CountingHasher) -> None:
    gate = Gate(prefix="acme", hasher=hasher, failure_limits=None)
    secret = gate.keys.create("key").secret
    door = asgi.GateMiddleware(Host().asgi, gate)

    async def go() -> list[int]:
        found: list[int] = []

        async def rest() -> None:
            found.extend(await statuses(door, [secret] * 20))

        async with anyio.create_task_group() as tasks:
            with anyio.move_on_after(0.001):
                tasks.start_soon(rest)
                await statuses(door, [secret])
        return found

    for backend in ("asyncio", "trio"):
        assert anyio.run(go, backend=backend) == [200] * 20


def test_a_full_pool_refuses_and_recovers() -> None:
    pool = _sync.Pool(slots=1, queue=1)
    release = threading.Event()
    with ThreadPoolExecutor(2) as threads:
        busy = [threads.submit(lambda: _sync.run_now(_sync.inline.run(pool, release.wait, 10))) for _ in range(2)]
        while pool._inside < 2:
            release.wait(0.001)
        with pytest.raises(Overloaded):
            _sync.run_now(_sync.inline.run(pool, int))
        release.set()
        assert [each.result() for each in busy] == [True, True]
    assert _sync.run_now(_sync.inline.run(pool, int)) == 0


def test_a_forked_child_starts_afresh() -> None:
    pool, flights = _sync.Pool(slots=1, queue=0), _sync.SingleFlight()
    closed: list[_sync.Item] = []
    shelf = _sync.Shelf(_sync.Item, closed.append)
    shelf.give(shelf.take())

    def in_child() -> bool:
        # What the parent had was closed before.
        fresh = shelf.take().pid == os.getpid() and len(closed) == 1
        return fresh and _sync.run_now(_sync.inline.run(pool, int)) == 0 and _sync.settled()

    def fork() -> int:
        child = os.fork()
        if child == 0:
            os._exit(0 if in_child() else 1)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    _sync.later(int)
    assert _sync.settled()

    async def work() -> int:
        return fork()

    assert _sync.run_now(flights.run("key", _sync.inline, work)) == 0
    assert shelf.take() not in closed


def test_what_must_finish_at_once_and_suspends_is_an_error() -> None:
    async def waits() -> None:
        await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="async only"):
        _sync.run_now(waits())


def test_a_busy_store_is_tried_again_and_then_given_up() -> None:
    from keystile.exceptions import StoreBusy

    answers: list[Any] = [StoreBusy("s", "locked"), StoreBusy("s", "locked"), "row"]

    def find() -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    pool = _sync.Pool(1, 1)
    adapted = _sync.adapt(find, pool, blocking=False, patience=5.0)
    assert anyio.run(adapted, _sync.pooled) == "row"
    answers[:] = [StoreBusy("s", "locked")] * 1000
    with pytest.raises(StoreBusy):
        _sync.run_now(_sync.adapt(find, pool, blocking=False, patience=0.01)(_sync.inline))  # type: ignore[arg-type]


@pytest.fixture
def minute(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time by which the background complains; with nothing said so far."""
    now = [0.0]
    monkeypatch.setattr(background, "seldom", _sync.Seldom(lambda: now[0]))
    return now


def test_background_work_that_fails_is_one_line_a_minute_and_the_next_is_done(
    caplog: pytest.LogCaptureFixture, minute: list[float]
) -> None:
    done: list[int] = []

    def fail_often() -> list[str]:
        caplog.clear()
        for _ in range(20):
            _sync.later(lambda: 1 // 0)
            _sync.later(done.append, 1)
        assert _sync.settled()
        assert all(record.exc_info is None for record in caplog.records)
        return [record.getMessage() for record in caplog.records]

    assert fail_often() == ["background work failed (logged once a minute): ZeroDivisionError"]
    minute[0] = 59.9
    assert fail_often() == []
    minute[0] = 60.0
    assert len(fail_often()) == 1
    assert done == [1] * 60


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_tasks_that_fail_are_one_line_a_minute_too(
    backend: str, caplog: pytest.LogCaptureFixture, minute: list[float]
) -> None:
    async def fail() -> None:
        raise StoreUnavailable("store", "is down")

    async def fail_often() -> None:
        for _ in range(20):
            _sync.later(fail)
        await anyio.sleep(0.01)

    anyio.run(fail_often, backend=backend)
    assert [record.getMessage() for record in caplog.records] == [
        "background work failed (logged once a minute): store: is down"
    ]
    assert caplog.records[0].exc_info is None
