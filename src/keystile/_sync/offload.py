"""How each door runs blocking work, and how much of it may run at once."""

from __future__ import annotations

import contextlib
import functools
import os
import threading
import time
import weakref
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future
from typing import Any, Protocol, TypeVar

import anyio
import anyio.lowlevel
import anyio.to_thread

from ..exceptions import Overloaded
from .local import on_fork
from .loops import running_loop, spawn

T = TypeVar("T")


class Pool:
    """Bounds how much blocking work runs at once, over all threads and event loops of this process.

    Args:
        slots: how many run at once.
        queue: how many more may wait; the next one is refused with Overloaded.
    """

    def __init__(self, slots: int, queue: int) -> None:
        self.slots, self.places = slots, slots + queue
        self.reset()
        on_fork(self)

    def reset(self) -> None:
        """Start with no work under way."""
        self._made_by = threading.Lock
        self._lock = threading.Lock()
        self._free = threading.Semaphore(self.slots)
        self._inside = 0

    def enter(self) -> _Place:
        """Take a place, or raise Overloaded at once."""
        if self._made_by is not threading.Lock:  # gevent has patched threading: a greenlet would wait for ever
            self.reset()
        with self._lock:
            if self._inside >= self.places:
                raise Overloaded(f"{self._inside} calls under way")
            self._inside += 1
        return _Place(self)

    def leave(self) -> None:
        """Give a place back."""
        with self._lock:
            self._inside -= 1

    def call(self, place: _Place, work: Callable[..., T], *args: Any) -> T:
        """Run the work in this thread as soon as a slot is free, and give the place back."""
        if not place.claim():
            raise CancelledError
        try:
            with self._free:
                return work(*args)
        finally:
            self.leave()


class _Place:
    """A place in a pool. Whoever claims it must give it back: the thread that runs the work or, if no thread ever will,
    the caller. A cancelled caller leaves at once, while its thread still works."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._unclaimed = [True]

    def claim(self) -> bool:
        """Whether nobody has claimed it before."""
        try:
            return self._unclaimed.pop()
        except IndexError:
            return False

    def abandon(self) -> None:
        """Give it back, unless a thread is working on it."""
        if self.claim():
            self._pool.leave()


class Offload(Protocol):
    """How a door runs blocking work.

    Attributes:
        blocks: whether waiting holds up a thread.
    """

    @property
    def blocks(self) -> bool:
        """True for threads, False for tasks."""

    async def run(self, pool: Pool, work: Callable[..., T], *args: Any) -> T:
        """The work's result; raises Overloaded if the pool is full."""

    async def wait(self, future: Future[Any], seconds: float | None = None) -> None:
        """Return when the future is done, however it ended, or when the time is over."""

    async def pause(self, seconds: float) -> None:
        """Return after so long."""

    async def finish(self, work: Callable[[], Coroutine[Any, Any, T]], after: Callable[[], object]) -> T:
        """The work's result. Work that has begun goes on to its end, even if the caller that waits here is cancelled.

        Args:
            work: a coroutine function.
            after: called when the work has ended, in any way.

        Raises:
            Overloaded: the event loop ended it.
        """

    def on_asyncio(self) -> bool:
        """Whether asyncio runs here, so that code for asyncio alone can be awaited."""


class _Inline:
    """Blocks the calling thread: for WSGI and for synchronous callers."""

    blocks = True

    async def run(self, pool: Pool, work: Callable[..., T], *args: Any) -> T:
        return pool.call(pool.enter(), work, *args)

    async def wait(self, future: Future[Any], seconds: float | None = None) -> None:
        with contextlib.suppress(CancelledError, TimeoutError):
            future.exception(seconds)

    async def pause(self, seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251 - the caller's thread is its own

    async def finish(self, work: Callable[[], Coroutine[Any, Any, T]], after: Callable[[], object]) -> T:
        try:
            return await work()
        finally:
            after()

    def on_asyncio(self) -> bool:
        return False


class _Pooled:
    """Hands over to worker threads and never blocks the event loop.

    The workers have their own limiter, apart from anyio's default one. So hashing cannot take the threads in which a
    host runs its synchronous handlers.
    """

    blocks = False

    def __init__(self) -> None:
        self._limiters: anyio.lowlevel.RunVar[weakref.WeakKeyDictionary[Pool, anyio.CapacityLimiter]]
        self._limiters = anyio.lowlevel.RunVar("keystile_limiters")

    async def run(self, pool: Pool, work: Callable[..., T], *args: Any) -> T:
        place = pool.enter()
        try:
            call = functools.partial(pool.call, place, work, *args)
            return await anyio.to_thread.run_sync(call, limiter=self.limiter(pool))
        finally:
            place.abandon()

    async def wait(self, future: Future[Any], seconds: float | None = None) -> None:
        done = anyio.Event()
        soon = caller_into_loop()

        def wake(_future: Future[Any]) -> None:
            with contextlib.suppress(RuntimeError):  # that loop has ended, and whoever waited with it
                soon(done.set)

        future.add_done_callback(wake)
        with anyio.move_on_after(seconds):
            await done.wait()

    async def pause(self, seconds: float) -> None:
        await anyio.sleep(seconds)

    async def finish(self, work: Callable[[], Coroutine[Any, Any, T]], after: Callable[[], object]) -> T:
        ended: Future[T] = Future()
        ended.add_done_callback(lambda _future: after())
        try:
            spawn(work, ended)
        except BaseException:
            ended.cancel()
            raise
        await self.wait(ended)
        if ended.cancelled():
            raise Overloaded("the event loop has ended")
        return ended.result()

    def on_asyncio(self) -> bool:
        return running_loop() is not None

    def limiter(self, pool: Pool) -> anyio.CapacityLimiter:
        """Bounds the threads that this loop uses for a pool."""
        try:
            limiters = self._limiters.get()
        except LookupError:
            limiters = weakref.WeakKeyDictionary()
            self._limiters.set(limiters)
        if pool not in limiters:
            limiters[pool] = anyio.CapacityLimiter(pool.slots)
        return limiters[pool]


inline: Offload = _Inline()
_pooled = _Pooled()
pooled: Offload = _pooled


async def abandonable(pool: Pool, work: Callable[..., T], *args: Any) -> T:
    """The work's result, from a worker thread, for work that nothing can end, such as a look-up of a name.

    A caller that is cancelled leaves at once. The work goes on to its end, and keeps its place in the pool until then:
    so there are never more threads than the pool has places.

    Raises:
        Overloaded: the pool has no place.
    """
    place = pool.enter()
    try:
        call = functools.partial(pool.call, place, work, *args)
        limiter = _pooled.limiter(pool)
        return await anyio.to_thread.run_sync(call, abandon_on_cancel=True, limiter=limiter)
    finally:
        place.abandon()


def caller_into_loop() -> Callable[[Callable[[], Any]], Any]:
    """A function with which any thread can have the running event loop call something soon."""
    import asyncio  # not at the top: a WSGI process never needs it, and it is a third of this package's import time

    try:
        return asyncio.get_running_loop().call_soon_threadsafe
    except RuntimeError:
        import trio

        return trio.lowlevel.current_trio_token().run_sync_soon


async def rest(offload: Offload, seconds: float) -> None:
    """Wait for so many seconds, while others go on."""
    await offload.wait(Future(), seconds)


def worker_count() -> int:
    """How many threads may compute at once.

    All processors except the event loop's, at most four. With two processors it is two: after a restart every key is
    proved anew, and the system runs an event loop that slept before threads that compute.
    """
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(min(2, available), min(4, available - 1))
