"""Concurrent calls that share one run of the work."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Hashable
from concurrent.futures import Future
from typing import Any, TypeVar

from ..exceptions import Overloaded
from .local import on_fork
from .loops import has_ended, running_loop
from .offload import Offload

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
