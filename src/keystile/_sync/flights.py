"""Concurrent calls that share one run of the work."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Hashable
from concurrent.futures import Future
from typing import Any, TypeVar

import anyio

from ..exceptions import Overloaded
from .local import on_fork
from .loops import has_ended, running_loop
from .offload import Offload, Pool, abandonable, pooled

T = TypeVar("T")


class SingleFlight:
    """Concurrent calls with the same key share one run of the work, over all threads and event loops.

    Calls that wait take no place in any pool. If the call that runs the work is cancelled, or finds no room in its
    time, another call takes over, which may have more time left; likewise if its event loop was closed.
    """

    def __init__(self) -> None:
        self.reset()
        on_fork(self)

    def reset(self) -> None:
        """Forget all runs that are under way."""
        self._lock = threading.Lock()
        self._flights: dict[Hashable, tuple[Future[Any], Any]] = {}

    async def run(self, key: Hashable, offload: Offload, work: Callable[[], Awaitable[T]]) -> T:
        """The work's result or exception, from this call's own run or from one that was under way."""
        while True:
            with self._lock:
                flight, loop = self._flights.get(key, (None, None))
                if flight is None or has_ended(loop):
                    mine = Future[Any]()
                    self._flights[key] = mine, running_loop()
                    break
            await offload.wait(flight)
            if not flight.cancelled():
                shared: T = flight.result()
                return shared
        try:
            result = await work()
        except Overloaded:
            raise
        except Exception as error:
            mine.set_exception(error)
            raise
        else:
            mine.set_result(result)
            return result
        finally:
            with self._lock:
                if self._flights.get(key, (None,))[0] is mine:
                    del self._flights[key]
            if not mine.done():
                mine.cancel()


class Lookups:
    """At most one look-up at a time for a key, whose result all share that wait for it. Keys that have hung before wait
    for each other, and keep nobody else waiting.

    Args:
        slots: how many run at once; as many again, up to `FOR_SLOW`, for keys that have hung.
        queue: how many more may wait.
    """

    FOR_SLOW, REMEMBERED = 2, 1000

    def __init__(self, slots: int, queue: int) -> None:
        self._pool, self._for_slow = Pool(slots, queue), Pool(self.FOR_SLOW, queue)
        self._flights: dict[Hashable, Future[Any]] = {}
        self._slow: dict[Hashable, None] = {}

    async def run(self, key: Hashable, seconds: float, work: Callable[..., T], *args: Any) -> T:
        """The work's result.

        Raises:
            TimeoutError: it takes longer than this.
            Overloaded: there was no room for it in this time.
        """
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = Future[Any]()
            await self._lead(key, flight, seconds, work, args)
        else:
            await pooled.wait(flight, seconds)
        if flight.cancelled():
            raise Overloaded("no look-up could begin")
        found: T = flight.result(0)
        return found

    async def _lead(
        self, key: Hashable, flight: Future[Any], seconds: float, work: Callable[..., Any], args: tuple[Any, ...]
    ) -> None:
        def run() -> None:
            if not flight.set_running_or_notify_cancel():
                return
            try:
                flight.set_result(work(*args))
            except BaseException as error:  # noqa: BLE001 - whoever waits raises it
                flight.set_exception(error)
            finally:
                self._flights.pop(key, None)

        try:
            with anyio.move_on_after(seconds):
                await abandonable(self._for_slow if key in self._slow else self._pool, run)
        finally:
            if flight.cancel():  # no thread has begun it
                self._flights.pop(key, None)
            elif flight.done():
                self._slow.pop(key, None)
            else:
                self._slow[key] = None
                if len(self._slow) > self.REMEMBERED:
                    del self._slow[next(iter(self._slow))]
