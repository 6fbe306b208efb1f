"""All that this package knows of threads, and of sync against async.

The gate is one coroutine. The ASGI door awaits it with `pooled`, the WSGI door runs it by a single `send(None)` with
`inline`: what must block goes through that `Offload`, so the coroutine never learns which door it serves. Everything
here works under asyncio, trio and plain threads, also when one gate serves all three at once.

Nothing survives a fork half-done: what a child inherits in the middle of another thread's work is started afresh.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import logging
import os
import queue
import random
import threading
import time
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from concurrent.futures import CancelledError, Future
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import anyio
import anyio.lowlevel
import anyio.to_thread

from .exceptions import Overloaded, StoreBusy

T = TypeVar("T")
_logger = logging.getLogger("keystile")

Lock = threading.Lock


class _Resettable(Protocol):
    def reset(self) -> None: ...


_forked: weakref.WeakSet[_Resettable] = weakref.WeakSet()


def on_fork(each: _Resettable) -> None:
    """Have it reset in every child that this process forks, for as long as it lives."""
    _forked.add(each)


def _after_fork() -> None:
    for each in list(_forked):
        each.reset()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def run_now(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that never suspends.

    Raises:
        RuntimeError: it suspended; something async-only stands behind a sync door.
    """
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    coroutine.close()
    raise RuntimeError("a coroutine that must finish at once suspended: is something behind it async only?")


class _Held(Generic[T]):
    """What one thread holds; closed when the thread ends."""

    def __init__(self, value: T, close: Callable[[T], None], epoch: int) -> None:
        self.value, self.epoch = value, epoch
        self._close, self._pid = close, os.getpid()

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        if self._pid == os.getpid():
            self._close(self.value)


class Local(Generic[T]):
    """One value for each thread of each process, opened when it is first asked for.

    A forked child opens its own. What it inherited is kept alive there and never closed: closing a parent's SQLite
    connection in the child can break the parent's locks (sqlite.org/howtocorrupt.html, section 2.6).

    Args:
        open: makes the value.
        close: lets go of it, in the thread that opened it; must bear being called twice.
    """

    _inherited: ClassVar[list[Any]] = []

    def __init__(self, open: Callable[[], T], close: Callable[[T], None]) -> None:
        self._open, self._close = open, close
        self._epoch = 0
        self._renew()
        on_fork(self)

    def _renew(self) -> None:
        self._here = threading.local()
        self._values: weakref.WeakSet[_Held[T]] = weakref.WeakSet()

    def reset(self) -> None:
        """Forget what a parent process opened, without closing it."""
        self._inherited.append((self._here, list(self._values)))
        self._renew()

    def get(self) -> T:
        """This thread's value."""
        held: _Held[T] | None = getattr(self._here, "held", None)
        if held is None or held.epoch != self._epoch:
            self.drop()
            held = self._here.held = _Held(self._open(), self._close, self._epoch)
            self._values.add(held)
        return held.value

    def drop(self) -> None:
        """Close this thread's value; the next `get` opens another."""
        held: _Held[T] | None = self._here.__dict__.pop("held", None)
        if held is not None:
            held.close()

    def close(self) -> None:
        """Close this thread's value, and have every other thread close its own when it next comes by or ends.

        Not from here: another thread may be using its value at this moment.
        """
        self._epoch += 1
        self.drop()
        if _background.started:
            _background.add(self.drop)


class Pool:
    """How much blocking work may be under way at once, over all threads and event loops of this process.

    Args:
        slots: how many run at once.
        queue: how many more may wait; the next one is refused with Overloaded.
    """

    def __init__(self, slots: int, queue: int) -> None:
        self.slots, self.places = slots, slots + queue
        self.reset()
        on_fork(self)

    def reset(self) -> None:
        """Start with nothing under way."""
        self._lock = threading.Lock()
        self._free = threading.Semaphore(self.slots)
        self._inside = 0

    def enter(self) -> None:
        """Take a place, or raise Overloaded at once."""
        with self._lock:
            if self._inside >= self.places:
                raise Overloaded(f"{self._inside} calls under way")
            self._inside += 1

    def leave(self) -> None:
        """Give the place back."""
        with self._lock:
            self._inside -= 1

    def call(self, work: Callable[..., T], *args: Any) -> T:
        """Run the work in this thread as soon as a slot is free."""
        with self._free:
            return work(*args)


class Offload(Protocol):
    """How a door does what blocks."""

    async def run(self, pool: Pool, work: Callable[..., T], *args: Any) -> T:
        """The work's result; raises Overloaded if the pool is full."""

    async def wait(self, future: Future[Any]) -> None:
        """Return when the future is done, however it ended."""


class _Inline:
    """Blocks the calling thread: for WSGI and for synchronous callers."""

    async def run(self, pool: Pool, work: Callable[..., T], *args: Any) -> T:
        pool.enter()
        try:
            return pool.call(work, *args)
        finally:
            pool.leave()

    async def wait(self, future: Future[Any]) -> None:
        with contextlib.suppress(CancelledError):
            future.exception()


class _Pooled:
    """Hands over to worker threads and never blocks the event loop.

    The workers have a limiter of their own beside anyio's default one, so that hashing cannot take the threads that
    a host runs its synchronous handlers in.
    """

    def __init__(self) -> None:
        self._limiters: anyio.lowlevel.RunVar[weakref.WeakKeyDictionary[Pool, anyio.CapacityLimiter]]
        self._limiters = anyio.lowlevel.RunVar("keystile_limiters")

    async def run(self, pool: Pool, work: Callable[..., T], *args: Any) -> T:
        pool.enter()
        try:
            call = functools.partial(pool.call, work, *args)
            return await anyio.to_thread.run_sync(call, limiter=self._limiter(pool))
        finally:
            pool.leave()

    async def wait(self, future: Future[Any]) -> None:
        done = anyio.Event()
        soon = _caller_into_loop()

        def wake(_future: Future[Any]) -> None:
            with contextlib.suppress(RuntimeError):  # that loop has ended, and with it whoever waited
                soon(done.set)

        future.add_done_callback(wake)
        await done.wait()

    def _limiter(self, pool: Pool) -> anyio.CapacityLimiter:
        try:
            limiters = self._limiters.get()
        except LookupError:
            limiters = weakref.WeakKeyDictionary()
            self._limiters.set(limiters)
        if pool not in limiters:
            limiters[pool] = anyio.CapacityLimiter(pool.slots)
        return limiters[pool]


inline: Offload = _Inline()
pooled: Offload = _Pooled()


def _caller_into_loop() -> Callable[[Callable[[], Any]], Any]:
    """A function that has the running event loop call something soon, from any thread, its own included."""
    import asyncio  # not at the top: a WSGI process never needs it, and it is a third of what this package loads

    try:
        return asyncio.get_running_loop().call_soon_threadsafe
    except RuntimeError:
        import trio

        return trio.lowlevel.current_trio_token().run_sync_soon


class SingleFlight:
    """Concurrent calls with one key share one run of the work, over all threads and event loops.

    Those who wait take no place in the pool. If the one who runs it is cancelled before it began, another takes over.
    """

    def __init__(self) -> None:
        self.reset()
        on_fork(self)

    def reset(self) -> None:
        """Forget what is under way."""
        self._lock = threading.Lock()
        self._flights: dict[Hashable, Future[Any]] = {}

    async def run(self, key: Hashable, offload: Offload, pool: Pool, work: Callable[..., T], *args: Any) -> T:
        """The work's result or exception, from this call's run or from the one under way."""
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
            result = await offload.run(pool, work, *args)
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


def patiently(seconds: float, work: Callable[..., T], *args: Any) -> T:
    """The work's result, tried again after short random pauses while the store says that it is busy.

    Random, because SQLite's own busy handler lets one process starve the others for seconds.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            return work(*args)
        except StoreBusy:
            if time.monotonic() >= deadline:
                raise
        time.sleep(random.uniform(0.0002, 0.003))  # noqa: S311 - spreads the retries, hides nothing


def is_async(function: Callable[..., Any]) -> bool:
    """Whether calling it gives an awaitable."""
    return inspect.iscoroutinefunction(function)


def adapt(
    function: Callable[..., Any], pool: Pool, *, blocking: bool, patience: float
) -> Callable[..., Awaitable[Any]]:
    """One way to call a store, whatever it is: ``await adapted(offload, *args)``.

    Args:
        function: a coroutine function, or a plain one.
        pool: where blocking calls go.
        blocking: a plain function that may take more than microseconds. Others run in place, and are handed over
            only if they raise StoreBusy.
        patience: for how many seconds a busy store is tried again.
    """

    async def await_it(_offload: Offload, *args: Any) -> Any:
        return await function(*args)

    async def hand_over(offload: Offload, *args: Any) -> Any:
        return await offload.run(pool, patiently, patience, function, *args)

    async def in_place(offload: Offload, *args: Any) -> Any:
        try:
            return function(*args)
        except StoreBusy:
            return await hand_over(offload, *args)

    if is_async(function):
        return await_it
    return hand_over if blocking else in_place


class _Background:
    """One thread that does small things off the path of requests; started when there is something to do."""

    LIMIT = 10_000

    def __init__(self) -> None:
        self.reset()
        on_fork(self)

    def reset(self) -> None:
        self._work: queue.SimpleQueue[Callable[[], Any]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self.started = False

    def add(self, work: Callable[[], Any]) -> None:
        if self._work.qsize() >= self.LIMIT:
            return  # nothing that comes here is worth unbounded memory
        self._work.put(work)
        if not self.started:
            with self._lock:
                if not self.started:
                    threading.Thread(target=self._serve, name="keystile-background", daemon=True).start()
                    self.started = True

    def _serve(self) -> None:
        while True:
            work = self._work.get()
            try:
                work()
            except Exception:
                _logger.exception("background work failed")


_background = _Background()
_tasks: set[Any] = set()


def later(function: Callable[..., Any], *args: Any) -> None:
    """Call a plain function on the background thread, or a coroutine function as a task of the running loop.

    Its failure is logged and goes no further. When too much waits already, the call is dropped.
    """
    if not is_async(function):
        _background.add(functools.partial(function, *args))
        return
    import asyncio

    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        import trio

        trio.lowlevel.spawn_system_task(_logged, function, *args)
    else:
        task = loop.create_task(_logged(function, *args))
        _tasks.add(task)  # the loop itself keeps only a weak reference
        task.add_done_callback(_tasks.discard)


async def _logged(function: Callable[..., Awaitable[Any]], *args: Any) -> None:
    try:
        await function(*args)
    except Exception:
        _logger.exception("background work failed")


def settled(seconds: float = 5.0) -> bool:
    """Whether the background thread did all that was handed to it before this call, within that time."""
    done = threading.Event()
    _background.add(done.set)
    return done.wait(seconds)


def worker_count() -> int:
    """How many threads may compute at once and still leave a processor to the event loop."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(4, available - 1))
