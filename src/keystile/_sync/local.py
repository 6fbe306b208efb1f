"""What belongs to one thread of one process, and what a fork does to it."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

T = TypeVar("T")


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


class Lock:
    """A mutual exclusion that a forked child finds free, whoever held it in the parent."""

    def __init__(self) -> None:
        self.reset()
        on_fork(self)

    def reset(self) -> None:
        """Free it, in a child."""
        lock = threading.Lock()
        self.acquire, self.release = lock.acquire, lock.release

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *_error: object) -> None:
        self.release()


_inherited: list[Any] = []


def _close_unless_inherited(close: Callable[[T], None], value: T, pid: int) -> None:
    if pid == os.getpid():
        close(value)
    else:
        _inherited.append(value)


class _Held(Generic[T]):
    """What one thread holds; closed when the thread ends, or when nobody can reach it any more."""

    def __init__(self, value: T, close: Callable[[T], None], epoch: int) -> None:
        self.value, self.epoch = value, epoch
        # Not __del__: the collector may finalise the value first, and a connection then warns that nobody closed it.
        self.close = weakref.finalize(self, _close_unless_inherited, close, value, os.getpid())
        # At exit too, but not what another thread may be using at that moment.
        self.close.atexit = threading.current_thread() is threading.main_thread()


class Local(Generic[T]):
    """One value for each thread of each process, opened when it is first asked for.

    A forked child opens its own. What it inherited is kept alive there and never closed: closing a parent's SQLite
    connection in the child can break the parent's locks (sqlite.org/howtocorrupt.html, section 2.6).

    Args:
        open: makes the value.
        close: lets go of it.
    """

    def __init__(self, open: Callable[[], T], close: Callable[[T], None]) -> None:
        self._open, self._close = open, close
        self._epoch = 0
        self.reset()
        on_fork(self)

    def reset(self) -> None:
        """Forget what a parent process opened, without closing it."""
        self._here = threading.local()

    def get(self) -> T:
        """This thread's value."""
        held: _Held[T] | None = getattr(self._here, "held", None)
        if held is None or held.epoch != self._epoch:
            self.drop()
            held = self._here.held = _Held(self._open(), self._close, self._epoch)
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
