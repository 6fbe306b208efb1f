"""An event loop beside a program that has none of its own, such as a command line."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from anyio.from_thread import BlockingPortal

T = TypeVar("T")

_beside: ContextVar[BlockingPortal | None] = ContextVar("keystile_beside", default=None)


@contextmanager
def loop_beside() -> Iterator[None]:
    """Within this, `waited` works here: an asyncio loop runs in a thread of its own. One loop for all calls, because
    connections belong to the loop that made them."""
    from anyio.from_thread import start_blocking_portal  # only a command needs it, and it is slow to import

    with start_blocking_portal() as portal:
        token = _beside.set(portal)
        try:
            yield
        finally:
            _beside.reset(token)


def can_wait() -> bool:
    """Whether `waited` works here."""
    return _beside.get() is not None


def waited(function: Callable[..., Awaitable[T]], *args: Any, **named: Any) -> T:
    """The result of an async function, which runs on the loop beside this thread.

    Raises:
        RuntimeError: there is none.
    """
    portal = _beside.get()
    if portal is None:
        raise RuntimeError("there is no event loop beside this thread")
    return portal.call(partial(function, *args, **named))
