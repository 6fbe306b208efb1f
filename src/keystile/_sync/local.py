"""Objects that a forked child finds unused."""

from __future__ import annotations

import os
import threading
import weakref
from typing import Protocol


class _Resettable(Protocol):
    def reset(self) -> None: ...


_forked: weakref.WeakSet[_Resettable] = weakref.WeakSet()


def on_fork(each: _Resettable) -> None:
    """Call `reset` of this object in every child that this process forks, as long as the object lives."""
    _forked.add(each)


def _after_fork() -> None:
    for each in list(_forked):
        each.reset()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class Lock:
    """A lock that is free in a forked child, whoever held it in the parent.

    Args:
        reentrant: whether a thread that has it may take it again.
    """

    def __init__(self, *, reentrant: bool = False) -> None:
        self._reentrant = reentrant
        self.reset()
        on_fork(self)

    def reset(self) -> None:
        """Free the lock, in a forked child."""
        lock = threading.RLock() if self._reentrant else threading.Lock()
        self.acquire, self.release = lock.acquire, lock.release

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *_error: object) -> None:
        self.release()
