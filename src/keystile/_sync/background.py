"""Small tasks that run off the path of requests."""

from __future__ import annotations

import functools
import heapq
import logging
import queue
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from itertools import count
from typing import Any

from ..exceptions import KeystileError
from .local import on_fork
from .loops import spawn, spawn_after
from .running import is_async
from .seldom import Seldom

_logger = logging.getLogger("keystile")
seldom = Seldom()

Work = Callable[[], Any]
Due = tuple[float, int, Work]
"""When on the steady clock, a number that no other has, and what."""


def _complain(what: str, error: Exception) -> None:
    """One line a minute, without a traceback."""
    if seldom.due(what):
        # A driver's message may hold a password: its type says enough.
        reason = str(error) if isinstance(error, KeystileError) else type(error).__name__
        _logger.warning("%s (logged once a minute): %s", what, reason)


class _Background:
    """One thread for small tasks off the path of requests. It is started when there is something to do."""

    LIMIT = 10_000

    def __init__(self) -> None:
        self.reset()
        on_fork(self)

    def reset(self) -> None:
        """Start afresh, in a forked child."""
        self._made_by: Any = None
        self._making = threading.Lock()
        self._numbers = count()
        self.started = False

    def add(self, work: Work, seconds: float = 0.0) -> None:
        """Queue the work, to be done so many seconds from now."""
        if self._made_by is not threading.Lock:
            with self._making:
                if self._made_by is not threading.Lock:
                    self._make()
        if self._work.qsize() >= self.LIMIT:
            return  # no work that comes here is worth unbounded memory
        self._work.put((time.monotonic() + seconds if seconds else 0.0, next(self._numbers), work))
        if not self.started:
            with self._lock:
                if not self.started:
                    self._start(self._work)

    def _make(self) -> None:
        """Make the lock and the queue. Make them again if gevent has patched threading since: its greenlets would hang
        on the old ones."""
        self._lock = threading.Lock()
        self._work: queue.SimpleQueue[Due] = queue.SimpleQueue()
        self.started = False
        self._made_by = threading.Lock

    def _start(self, work: queue.SimpleQueue[Due]) -> None:
        try:
            threading.Thread(target=_serve, args=(work,), name="keystile-background", daemon=True).start()
        except RuntimeError as error:  # no request may fail because the system has no thread to spare
            _complain("background work waits", error)
        else:
            self.started = True


def _serve(queued: queue.SimpleQueue[Due]) -> None:
    waiting: list[Due] = []
    while True:
        work = _next(queued, waiting)
        try:
            work()
        except Exception as error:  # noqa: BLE001 - the caller has gone on
            _complain("background work failed", error)
        del work


def _next(queued: queue.SimpleQueue[Due], waiting: list[Due]) -> Work:
    """The next work whose time has come. What is due later goes to those that wait."""
    while True:
        left = waiting[0][0] - time.monotonic() if waiting else None
        if left is not None and left <= 0:
            return heapq.heappop(waiting)[2]
        try:
            found = queued.get(timeout=left)
        except queue.Empty:
            continue
        if not found[0]:
            return found[2]
        heapq.heappush(waiting, found)


_background = _Background()


def later(function: Callable[..., Any], *args: Any) -> None:
    """Call a plain function on the background thread, or a coroutine function as a task of the running loop.

    A failure is logged and not raised. If too much work is waiting already, the call is dropped.
    """
    if not is_async(function):
        _background.add(functools.partial(function, *args))
        return
    spawn(functools.partial(_logged, function, *args), Future())


def after(seconds: float, function: Callable[[], Any]) -> None:
    """The same, so many seconds from now. What an event loop was to do is not done if the loop ends before."""
    if is_async(function):
        spawn_after(seconds, functools.partial(_logged, function))
    else:
        _background.add(function, seconds)


async def _logged(function: Callable[..., Awaitable[Any]], *args: Any) -> None:
    try:
        await function(*args)
    except Exception as error:  # noqa: BLE001 - likewise
        _complain("background work failed", error)


def settled(seconds: float = 5.0) -> bool:
    """Wait until the background thread has done everything queued before this call; False if the time runs out."""
    done = threading.Event()
    _background.add(done.set)
    return done.wait(seconds)
