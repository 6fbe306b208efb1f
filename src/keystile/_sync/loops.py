"""Tasks and values that belong to one event loop."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

import anyio
import anyio.lowlevel

T = TypeVar("T")

# By loop. A loop that was closed in the middle of its tasks never takes them out again.
_tasks: dict[Any, set[Any]] = {}


async def give_way() -> None:
    """Let the loop's other tasks go on, and this one end if it is to."""
    await anyio.lowlevel.checkpoint()


def spawn(work: Callable[[], Coroutine[Any, Any, T]], ended: Future[T]) -> None:
    """Start a task that belongs to the running event loop (asyncio or trio), and not to any of its tasks.

    Args:
        work: a coroutine function.
        ended: told how it ended; cancelled if the loop ended it.
    """
    import asyncio

    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        import trio

        trio.lowlevel.spawn_system_task(_to_its_end, work, ended)
        return

    mine = _tasks_of(loop)

    def tell(task: asyncio.Task[T]) -> None:
        mine.discard(task)
        if task.cancelled():
            ended.cancel()
        elif (error := task.exception()) is not None:
            ended.set_exception(error)
        else:
            ended.set_result(task.result())

    task = loop.create_task(work())
    mine.add(task)  # the loop itself keeps only a weak reference
    task.add_done_callback(tell)


def spawn_after(seconds: float, work: Callable[[], Coroutine[Any, Any, object]]) -> None:
    """Start such a task so many seconds from now. Until then nothing is left behind if the loop ends."""
    import asyncio

    try:
        asyncio.get_running_loop().call_later(seconds, spawn, work, Future())
    except RuntimeError:
        import trio

        async def wait_and_work() -> None:
            await trio.sleep(seconds)
            await work()

        trio.lowlevel.spawn_system_task(_to_its_end, wait_and_work, Future())


def _tasks_of(loop: Any) -> set[Any]:
    found = _tasks.get(loop)
    if found is None:
        for ended in [each for each in list(_tasks) if each.is_closed()]:
            _tasks.pop(ended, None)
        found = _tasks.setdefault(loop, set())
    return found


def running_loop() -> Any:
    """The asyncio loop that this thread runs, or None. Under trio too: its loops end no task in the middle."""
    asyncio = sys.modules.get("asyncio")
    try:
        return asyncio and asyncio.get_running_loop()
    except RuntimeError:
        return None


def has_ended(loop: Any) -> bool:
    """Whether what `running_loop` gave was closed since: its tasks go on no more."""
    return loop is not None and bool(loop.is_closed())


async def _to_its_end(work: Callable[[], Coroutine[Any, Any, T]], ended: Future[T]) -> None:
    try:
        ended.set_result(await work())
    except Exception as error:  # noqa: BLE001 - the future tells whoever waits; a system task that raises ends trio
        ended.set_exception(error)
    finally:
        if not ended.done():
            ended.cancel()


def on_event_loop() -> bool:
    """Whether this thread runs an event loop (asyncio or trio), which blocking calls would hold up for everybody."""
    asyncio, trio = sys.modules.get("asyncio"), sys.modules.get("trio")
    for running in (asyncio and asyncio.get_running_loop, trio and trio.lowlevel.current_trio_token):
        try:
            if running:
                running()
                return True
        except RuntimeError:
            pass
    return False


# A deadline is waited for in this many parts; after the last one, the loop gets this many more turns.
PARTS, TURNS = 5, 3


async def in_time(seconds: float, work: Awaitable[T]) -> T:
    """The result of the work. If it takes longer than this, it is cancelled, with TimeoutError.

    Under asyncio, time in which the loop did not run does not count, and data that has arrived by then is read first: a
    handler that blocks its loop makes no other call late. Under trio this is a plain deadline.
    """
    import asyncio  # not at the top: a WSGI process never needs it

    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        with anyio.fail_after(seconds):
            return await work
    async with asyncio.timeout(None) as scope:
        patience = _Patience(loop, scope, seconds)
        try:
            return await work
        finally:
            patience.handle.cancel()


async def until(ended: Callable[[], Awaitable[object]], work: Callable[[], Awaitable[object]]) -> None:
    """Do this work, and give it up as soon as something else has ended. What either raises is raised."""
    failed: list[Exception] = []
    async with anyio.create_task_group() as group:

        async def first(each: Callable[[], Awaitable[object]]) -> None:
            try:
                await each()
            except Exception as error:  # noqa: BLE001 - raised below, and not as one of a group
                failed.append(error)
            group.cancel_scope.cancel()

        group.start_soon(first, ended)
        await first(work)
    if failed:
        raise failed[0]


class _Patience:
    """Ends a scope when the loop has run for so long. The time is split into parts: a loop that is late by hours uses
    up one part."""

    __slots__ = ("_left", "_loop", "_part", "_scope", "handle")

    def __init__(self, loop: Any, scope: Any, seconds: float) -> None:
        self._loop, self._scope, self._part = loop, scope, seconds / PARTS
        self._left = PARTS + TURNS
        self.handle = loop.call_later(self._part, self._tick)

    def _tick(self) -> None:
        self._left -= 1
        if self._left > TURNS:
            self.handle = self._loop.call_later(self._part, self._tick)
        elif self._left:
            self.handle = self._loop.call_soon(self._tick)
        else:
            self._scope.reschedule(self._loop.time())


class PerLoop(Generic[T]):
    """One value for each asyncio event loop, made when it is first asked for there.

    Args:
        make: makes the value, while its loop runs.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._values: weakref.WeakKeyDictionary[Any, T] = weakref.WeakKeyDictionary()

    def get(self) -> T:
        """The running loop's value."""
        import asyncio

        loop = asyncio.get_running_loop()
        value = self._values.get(loop)
        if value is None:
            # A client refers to its loop, so neither would ever be collected.
            for ended in [each for each in list(self._values) if each.is_closed()]:
                self._values.pop(ended, None)
            value = self._values[loop] = self._make()
        return value

    def pop(self) -> T | None:
        """Forget the running loop's value; None if there is none, or no asyncio loop runs."""
        import asyncio

        try:
            return self._values.pop(asyncio.get_running_loop(), None)
        except RuntimeError:
            return None
