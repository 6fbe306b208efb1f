"""One way to call plain and async functions."""

from __future__ import annotations

import inspect
import random
import time
import types
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextlib import suppress
from contextvars import ContextVar, copy_context
from typing import Any, Generic, TypeVar

from ..exceptions import StoreBusy, StoreUnavailable
from .loops import in_time, on_event_loop
from .offload import Offload, Pool

T = TypeVar("T")

_patient: ContextVar[bool] = ContextVar("keystile_patient", default=False)


def run_now(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that never suspends.

    Raises:
        RuntimeError: it suspended, because something behind a sync door is async only.
    """
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    coroutine.close()
    raise RuntimeError("the coroutine suspended, but a sync door cannot wait: is the store or the limiter async only?")


def patiently(seconds: float, work: Callable[..., T], *args: Any) -> T:
    """The work's result. While the store says that it is busy, the work is tried again after short random pauses.

    The pauses are random and far shorter than a time slice. SQLite's own busy handler lets one process starve the
    others for seconds, and pauses of milliseconds would make every wait that long.
    """
    deadline = time.monotonic() + seconds
    token = _patient.set(True)
    try:
        while True:
            try:
                return work(*args)
            except StoreBusy:
                if time.monotonic() >= deadline:
                    raise
            time.sleep(random.uniform(0.00005, 0.0003))  # noqa: S311 - spreads the retries, hides nothing
    finally:
        _patient.reset(token)


def may_block() -> bool:
    """Whether work that takes longer than a point read may be done here: off an event loop, or where the caller
    waits."""
    return _patient.get() or not on_event_loop()


def is_async(function: Callable[..., Any]) -> bool:
    """Whether calling it gives an awaitable."""
    return inspect.iscoroutinefunction(function)


def at_once(function: Callable[..., T], *, blocking: bool) -> Callable[..., T] | None:
    """The function itself if it runs in place: then nothing needs to be awaited, unless it raises StoreBusy."""
    return None if blocking or is_async(function) else function


def adapt(
    function: Callable[..., Any],
    pool: Pool,
    *,
    blocking: bool,
    patience: float,
    awaited: Callable[..., Awaitable[Any]] | None = None,
    within: float | None = None,
) -> Callable[..., Awaitable[Any]]:
    """One way to call any kind of store: ``await adapted(offload, *args)``.

    Args:
        function: a coroutine function, or a plain one.
        pool: where blocking calls go.
        blocking: a plain function may take more than microseconds. Otherwise it runs in place, and is handed over
            only if it raises StoreBusy.
        patience: for how many seconds a busy store is tried again.
        awaited: does the same for asyncio alone; used if asyncio runs here.
        within: after this many seconds an awaited call is given up, with TimeoutError; None waits for ever.
    """

    async def await_it(_offload: Offload, *args: Any) -> Any:
        given = (awaited or function)(*args)
        return await given if within is None else await in_time(within, given)

    async def hand_over(offload: Offload, *args: Any) -> Any:
        result = await offload.run(pool, patiently, patience, function, *args)
        if inspect.isawaitable(result):
            raise StoreUnavailable(str(function), "returns an awaitable, but is not a coroutine function")
        return result

    async def in_place(offload: Offload, *args: Any) -> Any:
        try:
            return function(*args)
        except StoreBusy:
            return await hand_over(offload, *args)

    async def where_it_fits(offload: Offload, *args: Any) -> Any:
        return await (await_it if offload.on_asyncio() else hand_over)(offload, *args)

    if is_async(function):
        return await_it
    if awaited is not None:
        return where_it_fits
    return hand_over if blocking else in_place


class Pulled(Generic[T]):
    """A coroutine that hands things out, run from each to the next by whoever asks for it: where an app's answer is
    pushed, and is to be pulled. For asyncio.

    All of it runs in one context of its own, though several tasks may ask in turn.

    Args:
        work: given a function, which it calls and awaits with each thing.
    """

    def __init__(self, work: Callable[[Callable[[T], Awaitable[None]]], Coroutine[Any, Any, object]]) -> None:
        self._context, self._handed = copy_context(), deque[T]()
        self._work = work(self._hand)

    async def next(self) -> T | None:
        """What it hands out next; None if it has ended. Raises what it raises."""
        if inspect.getcoroutinestate(self._work) != inspect.CORO_CLOSED:
            await self._run(self._work.send, None)
        return self._handed.popleft() if self._handed else None

    async def end(self) -> None:
        """End it as a server does whose client is gone, if it has not ended."""
        from asyncio import CancelledError  # not at the top, as in `loops`

        with suppress(CancelledError):
            while inspect.getcoroutinestate(self._work) == inspect.CORO_SUSPENDED:
                await self._run(self._work.throw, CancelledError())
        self._work.close()  # it may never have begun

    async def _hand(self, thing: T) -> None:
        self._handed.append(thing)
        await self._pause()

    @types.coroutine
    def _pause(self) -> Generator[Any, Any, None]:
        yield self

    @types.coroutine
    def _run(self, step: Callable[[Any], Any], value: Any) -> Generator[Any, Any, None]:
        """Run it until it hands something out, or ends. Whatever else it waits for, the task that asks waits for."""
        while True:
            try:
                waits_for = self._context.run(step, value)
            except StopIteration:
                return
            if waits_for is self:
                return
            try:
                step, value = self._work.send, (yield waits_for)
            except BaseException as error:  # noqa: BLE001 - it is the coroutine's
                step, value = self._work.throw, error
