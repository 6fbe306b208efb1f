"""Concurrent calls that share one run of the work."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Hashable
from concurrent.futures import Future
from typing import Any, TypeVar

from ..exceptions import Overloaded
from .local import on_fork
from .offload import Offload

T = TypeVar("T")


class SingleFlight:
    """Concurrent calls with the same key share one run of the work, over all threads and event loops.

    Calls that wait take no place in any pool. If the call that runs the work is cancelled, or finds no room in its
    time, another call takes over, which may have more time left.
    """

    def __init__(self) -> None:
        self.reset()
        on_fork(self)

    def reset(self) -> None:
        """Forget all runs that are under way."""
        self._lock = threading.Lock()
        self._flights: dict[Hashable, Future[Any]] = {}

    async def run(self, key: Hashable, offload: Offload, work: Callable[[], Awaitable[T]]) -> T:
        """The work's result or exception, from this call's own run or from one that was under way."""
        while True:
            with self._lock:
                flight = self._flights.get(key)
                if flight is None:
                    self._flights[key] = mine = Future[Any]()
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
                self._flights.pop(key, None)
            if not mine.done():
                mine.cancel()
