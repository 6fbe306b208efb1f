"""What a worker does when it is to stop, and while its database is down; and what workers leave to each other."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from keystile import ConfigurationError, StoreUnavailable
from keystile.events import Event
from keystile.webhooks.working import Worker
from keystile.webhooks.working.ledger import Ledger
from tests.postgres_server import PostgresServer
from tests.queues import Queue, postgres_url, queue
from tests.receivers import CLOSING, Receiver, receiving
from tests.test_webhook_worker import answering, id_of, until

__all__ = ["postgres_url", "queue", "receiving"]

NOW = 1_800_000_000.0
Make = Callable[..., Receiver]


class Slowly:
    """An answer that waits until the test lets it go."""

    def __init__(self) -> None:
        self.go = threading.Event()

    def __call__(self, connection: Any) -> None:
        self.go.wait(30)
        connection.sendall(CLOSING)


@pytest.fixture(params=["asyncio", "trio"])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_a_worker_that_is_to_stop_ends_what_it_began_and_begins_nothing_more(
    backend: str, queue: Queue, receiving: Make
) -> None:
    slowly = Slowly()
    receiver = receiving(slowly)
    queue.endpoint(receiver)
    for _ in range(10):
        queue.add()

    async def run() -> None:
        async with queue.worker() as worker:
            await until(lambda: len(receiver.requests) == 4)
            thread = threading.Thread(target=worker.stop)  # as a handler of signals does
            thread.start()
            await anyio.to_thread.run_sync(thread.join)
            slowly.go.set()

    anyio.run(run, backend=backend)
    assert len(receiver.requests) == 4
    assert queue.states() == {"done": 4, "due": 6}
    queue.work(backend)  # nobody has to wait for a lease
    assert queue.states() == {"done": 10}
    assert len(set(map(id_of, receiver.requests))) == len(receiver.requests) == 10


def test_a_host_that_fails_takes_its_worker_with_it(backend: str, queue: Queue) -> None:
    async def run() -> None:
        async with queue.worker():
            raise ValueError("the host")

    with pytest.raises(ValueError, match="the host"):
        anyio.run(run, backend=backend)


def test_a_host_that_is_cancelled_leaves_nothing_behind_that_hangs(queue: Queue, receiving: Make) -> None:
    slowly = Slowly()
    receiver = receiving(slowly)
    queue.endpoint(receiver)
    queue.add()

    async def run() -> None:
        with anyio.move_on_after(60) as scope:
            async with queue.worker():
                await until(lambda: len(receiver.requests) == 1)
                scope.cancel()
                await anyio.sleep_forever()

    anyio.run(run)
    slowly.go.set()
    queue.work(ahead=70)
    assert queue.states() == {"done": 1}


@pytest.mark.parametrize("backend", ["asyncio", pytest.param("trio", marks=pytest.mark.stress)])
def test_a_database_that_is_down_is_waited_for_and_what_was_sent_is_not_sent_again(
    backend: str, receiving: Make
) -> None:
    slowly = Slowly()
    receiver = receiving(slowly)
    told: list[Event] = []
    with PostgresServer() as server:
        queue = Queue(server.url)
        queue.gate.on_event(told.append)
        queue.endpoint(receiver)
        queue.add()

        async def run() -> None:
            async with queue.worker():
                await until(lambda: len(receiver.requests) == 1)
                await anyio.to_thread.run_sync(server.stop)
                slowly.go.set()
                await until(lambda: any(each.code == "outbox_down" for each in told))
                await anyio.to_thread.run_sync(server.start)
                await until(lambda: any(each.code == "outbox_up" for each in told))
                await anyio.to_thread.run_sync(queue.add)
                await until(lambda: queue.states() == {"done": 2})
            await queue.outbox.aclose()

        anyio.run(run, backend=backend)
        assert len(set(map(id_of, receiver.requests))) == len(receiver.requests)
        queue.outbox.close()
        server.stop()
        with pytest.raises(StoreUnavailable):
            queue.work(backend)  # once: it does not wait for it
    assert [each.code for each in told if each.code.startswith("outbox")] == ["outbox_down", "outbox_up"]


@pytest.mark.parametrize(
    ("key", "settings"),
    [("most", {"most": 0}), ("most", {"most": 65}), ("each", {"each": 0}), ("seconds", {"seconds": 31})],
)
def test_what_a_worker_cannot_do_is_refused(queue: Queue, key: str, settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=key):
        Worker(queue.outbox, **settings)


# What workers leave to each other


@pytest.mark.parametrize("queue", ["sqlite", "postgresql"], indirect=True)
def test_what_is_given_back_is_as_if_it_had_not_been_claimed(queue: Queue, receiving: Make) -> None:
    queue.endpoint(receiving())
    for _ in range(3):
        queue.add()
    now, ledger = queue.gate.clock() + 60, Ledger(queue.outbox)
    first = queue.outbox.claim("one", 10, now=now)
    assert ledger.give_back(first[:2], now=now) == 2
    second = queue.outbox.claim("two", 10, now=now)
    assert {each.delivery_id for each in second} == {each.delivery_id for each in first[:2]}
    assert {each.attempt for each in second} == {1}
    assert ledger.give_back(first, now=now) == 1  # the others are the second worker's
    assert len(queue.outbox.claim("three", 10, now=now)) == 1


@pytest.mark.parametrize("queue", ["sqlite", "postgresql"], indirect=True)
def test_a_mark_never_goes_back(queue: Queue) -> None:
    ledger = Ledger(queue.outbox)
    assert ledger.mark("a") is None
    for at, kept in ((NOW, NOW), (NOW - 1, NOW), (NOW + 0.25, NOW + 0.25)):
        ledger.set_mark("a", at)
        assert ledger.mark("a") == kept
    assert ledger.mark("b") is None


def test_what_an_endpoint_has_no_place_for_is_given_back_uncounted(queue: Queue, receiving: Make) -> None:
    """Four are claimed at once, but one that fails gets one at a time."""
    receiver = receiving(answering("500 No"))
    issued = queue.endpoint(receiver)
    for _ in range(8):
        queue.add()
    queue.work()
    assert {each.attempts for each in queue.outbox.deliveries(issued.endpoint.id)} == {1}
    assert len(receiver.requests) == 8
