"""A task that others have told to do things, and what it has under way."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self

import anyio

from .loops import spawn
from .offload import caller_into_loop, pooled


class Crew:
    """The tasks that one coroutine starts. They are cancelled when its ``async with`` ends.

    None of them may raise: that would end the others.
    """

    async def __aenter__(self) -> Self:
        self._soon = caller_into_loop()
        self._rung = anyio.Event()
        self._group = anyio.create_task_group()
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        self._group.cancel_scope.cancel()
        if isinstance(error, Exception):  # which the group would put into a group of its own
            await self._group.__aexit__(None, None, None)
            return False
        return await self._group.__aexit__(kind, error, trace)

    def start(self, work: Callable[..., Awaitable[object]], *args: Any) -> None:
        """Start a task. When it ends, the bell rings."""
        self._group.start_soon(self._to_its_end, work, *args)

    def ring(self) -> None:
        """Ring the bell; from any thread, and from a handler of signals."""
        with contextlib.suppress(RuntimeError):  # the loop has ended, and everybody with it
            self._soon(self._ring)

    async def rung(self, seconds: float) -> None:
        """Wait until the bell rings, or for so long. What rang since the last wait counts."""
        with anyio.move_on_after(seconds):
            await self._rung.wait()
        self._rung = anyio.Event()

    async def _to_its_end(self, work: Callable[..., Awaitable[object]], *args: Any) -> None:
        try:
            await work(*args)
        finally:
            self._ring()

    def _ring(self) -> None:
        self._rung.set()


async def sleep(seconds: float) -> None:
    """Wait for so long."""
    await anyio.sleep(seconds)


def start_apart(work: Callable[[], Coroutine[Any, Any, object]]) -> Callable[[], Awaitable[None]]:
    """Start a task that belongs to the running loop, and to none of its tasks. What this gives waits for its end, and
    raises what it raised."""
    ended: Future[object] = Future()
    spawn(work, ended)

    async def wait() -> None:
        await pooled.wait(ended)
        if not ended.cancelled():
            ended.result()

    return wait
