"""Values that threads take in turn, such as connections, and how they survive a fork."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable
from typing import Generic, TypeVar

# A shelf keeps at most this many values that nobody uses.
KEEP = 8
# How long a fork waits until nobody uses a value, in seconds.
FORK_PATIENCE = 5.0
_LOOK_AGAIN = 0.0002


class ForkedInUse(RuntimeError):
    """This process was forked while its parent was using such values, so it cannot have any of its own."""


class Item:
    """A value on a shelf, with the shelf's notes about it.

    Attributes:
        epoch: the epoch of the shelf that it belongs to. An item of another epoch is closed and not kept.
        pid: of the process that opened it.
    """

    __slots__ = ("epoch", "pid")
    epoch: int
    pid: int


T = TypeVar("T", bound=Item)

_inherited: list[Item] = []


class Shelf(Generic[T]):
    """Values that are opened when none is free, taken by one thread at a time, and given back for the next one.

    So there are never more values than were in use at once, however many threads or greenlets there are.

    A fork waits until all values are given back, and closes them. The libraries behind them keep state in the process
    (SQLite: its mutexes, and which locks it holds on a file), which a child must not inherit half-done.

    Args:
        open: makes a value.
        close: closes a value.
        may_close: whether this thread may close one, which can take long; if not, the next thread that may does it.
    """

    def __init__(
        self, open: Callable[[], T], close: Callable[[T], None], may_close: Callable[[], bool] = lambda: True
    ) -> None:
        self._open, self._close, self._may_close = open, close, may_close
        self._free: list[T] = []
        self._epoch = 0
        self.reset()
        _forks.know(self)
        # Not __del__: the collector may finalise a value first, and a connection then warns that nobody closed it. This
        # also runs at exit, but not for values that another thread may be using at that moment.
        weakref.finalize(self, _close_all, self._free, close)

    def reset(self) -> None:
        """Start afresh, in a forked child."""
        self._lock = threading.Lock()
        self._users: set[int] = set()
        self._left: list[T] = []
        _inherited.extend(self._free)
        self._free.clear()
        self._epoch += 1
        self._out = 0

    def take(self) -> T:
        """A value for this thread alone, until the thread gives it back."""
        try:
            item = self._free.pop()
        except IndexError:
            return self._another()
        if item.epoch != self._epoch:
            self._discard(item)
            return self._another()
        return item

    def give(self, item: T) -> None:
        """Give a value back."""
        self._free.append(item)
        if item.epoch != self._epoch or len(self._free) > KEEP:
            self._tidy()

    def renew(self) -> None:
        """Close the values on the shelf. Those in use are closed when they are given back."""
        with self._lock:
            self._epoch += 1
        self._tidy()
        self._close_left()

    def enter(self) -> None:
        """Say that this thread runs other code while it has a value: a fork in that code waits only for other
        threads."""
        self._users.add(threading.get_ident())

    def leave(self) -> None:
        """Say that this thread no longer does so."""
        self._users.discard(threading.get_ident())

    def emptied(self, until: float) -> bool:
        """Whether every value was given back and closed by this moment on the monotonic clock.

        Values that this thread itself uses are not waited for.
        """
        mine = int(threading.get_ident() in self._users)
        self.renew()
        while self._out > mine and time.monotonic() < until:
            time.sleep(_LOOK_AGAIN)
            self.renew()
        return self._out == 0

    def _another(self) -> T:
        while not _forks.enter(self._lock, self._count):
            _forks.wait()
        epoch = self._epoch
        try:
            item = self._open()
            self._close_left()
        except BaseException:
            with self._lock:
                self._out -= 1
            raise
        item.epoch, item.pid = epoch, os.getpid()
        return item

    def _count(self) -> None:
        self._out += 1

    def _tidy(self) -> None:
        """Close values of an old epoch, and those beyond `KEEP`."""
        with self._lock:
            lying = [self._free.pop() for _ in range(len(self._free))]
            keep = [item for item in lying if item.epoch == self._epoch][:KEEP]
            self._free.extend(reversed(keep))
        for item in lying:
            if item not in keep:
                self._discard(item)

    def _discard(self, item: T) -> None:
        """Close an item, or leave that to a thread that may."""
        self._left.append(item)
        if self._may_close():
            self._close_left()

    def _close_left(self) -> None:
        while self._left:
            try:
                item = self._left.pop()
            except IndexError:  # another thread has it
                return
            self._finish(item)

    def _finish(self, item: T) -> None:
        try:
            _close_unless_inherited(item, self._close)
        finally:
            if item.pid == os.getpid():
                with self._lock:
                    self._out -= 1


def _close_unless_inherited(item: T, close: Callable[[T], None]) -> None:
    """Close it, unless a parent process opened it. Closing a parent's SQLite connection in the child can break the
    parent's locks (sqlite.org/howtocorrupt.html, section 2.6)."""
    if item.pid == os.getpid():
        close(item)
    else:
        _inherited.append(item)


def _close_all(free: list[T], close: Callable[[T], None]) -> None:
    while free:
        _close_unless_inherited(free.pop(), close)


class _Forks:
    """Keeps every shelf empty while this process forks."""

    def __init__(self) -> None:
        self._shelves: weakref.WeakSet[Shelf[Item]] = weakref.WeakSet()
        self._spoilt = False
        self._over: threading.Event | None = None
        self._reset()

    def know(self, shelf: Shelf[T]) -> None:
        """Empty this shelf before each fork."""
        with self._lock:
            self._shelves.add(shelf)  # type: ignore[arg-type]

    def enter(self, lock: threading.Lock, count: Callable[[], None]) -> bool:
        """Count a caller that opens a value, unless a fork is under way."""
        if self._spoilt:
            raise ForkedInUse("this process was forked while its parent was using a SQLite file: restart this process")
        with lock:
            if self._over is not None:
                return False
            count()
            return True

    def wait(self) -> None:
        """Return when no fork is under way."""
        over = self._over
        if over is not None:
            over.wait(2 * FORK_PATIENCE)

    def before(self) -> None:
        """Empty every shelf and keep it empty. If one could not be emptied, the child remembers that."""
        with self._lock:
            self._under_way += 1
            # Made now, because gevent may have patched threading after the import.
            self._over = self._over or threading.Event()
            shelves = list(self._shelves)
        until = time.monotonic() + FORK_PATIENCE
        for shelf in shelves:
            if not shelf.emptied(until):
                self._in_use.add(threading.get_ident())

    def after_in_parent(self) -> None:
        """Go on."""
        self._in_use.discard(threading.get_ident())
        with self._lock:
            self._under_way -= 1
            over = self._over if self._under_way == 0 else None
            if over is not None:
                self._over = None
        if over is not None:
            over.set()

    def after_in_child(self) -> None:
        """Start afresh. A shelf that could not be emptied would hang here or stay locked: using it is an error
        instead."""
        self._spoilt = self._spoilt or threading.get_ident() in self._in_use
        self._reset()
        for shelf in list(self._shelves):
            shelf.reset()

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._in_use: set[int] = set()
        self._under_way = 0
        self._over = None


_forks = _Forks()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_forks.before, after_in_parent=_forks.after_in_parent, after_in_child=_forks.after_in_child
    )
