"""Small tasks that run off the path of requests."""

from __future__ import annotations

import functools
import logging
import queue
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import Any

from ..exceptions import KeystileError
from .local import on_fork
from .loops import spawn
from .running import is_async

_logger = logging.getLogger("keystile")
# Failures of background work are logged at most this often, in seconds. A full disk would log a line per request.
TELL_EVERY = 60.0


class _Complaints:
    """One line a minute, without a traceback.

    Args:
        clock: seconds on a clock that never steps.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._due: dict[str, float] = {}

    def tell(self, what: str, error: Exception) -> None:
        """Log what happened, unless that was logged within the last minute."""
        now = self.clock()
        if now < self._due.get(what, now):
            return
        self._due[what] = now + TELL_EVERY
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
        self.started = False

    def add(self, work: Callable[[], Any]) -> None:
        """Queue the work."""
        if self._made_by is not threading.Lock:
            with self._making:
                if self._made_by is not threading.Lock:
                    self._make()
        if self._work.qsize() >= self.LIMIT:
            return  # no work that comes here is worth unbounded memory
        self._work.put(work)
        if not self.started:
            with self._lock:
                if not self.started:
                    self._start(self._work)

    def _make(self) -> None:
        """Make the lock and the queue. Make them again if gevent has patched threading since: its greenlets would hang
        on the old ones."""
        self._lock = threading.Lock()
        self._work: queue.SimpleQueue[Callable[[], Any]] = queue.SimpleQueue()
        self.started = False
        self._made_by = threading.Lock

    def _start(self, work: queue.SimpleQueue[Callable[[], Any]]) -> None:
        try:
            threading.Thread(target=_serve, args=(work,), name="keystile-background", daemon=True).start()
        except RuntimeError as error:  # no request may fail because the system has no thread to spare
            complaints.tell("background work waits", error)
        else:
            self.started = True


def _serve(queued: queue.SimpleQueue[Callable[[], Any]]) -> None:
    while True:
        work = queued.get()
        try:
            work()
        except Exception as error:  # noqa: BLE001 - the caller has gone on
            complaints.tell("background work failed", error)
        del work


complaints = _Complaints()
_background = _Background()


def later(function: Callable[..., Any], *args: Any) -> None:
    """Call a plain function on the background thread, or a coroutine function as a task of the running loop.

    A failure is logged and not raised. If too much work is waiting already, the call is dropped.
    """
    if not is_async(function):
        _background.add(functools.partial(function, *args))
        return
    spawn(functools.partial(_logged, function, *args), Future())


async def _logged(function: Callable[..., Awaitable[Any]], *args: Any) -> None:
    try:
        await function(*args)
    except Exception as error:  # noqa: BLE001 - likewise
        complaints.tell("background work failed", error)


def settled(seconds: float = 5.0) -> bool:
    """Wait until the background thread has done everything queued before this call; False if the time runs out."""
    done = threading.Event()
    _background.add(done.set)
    return done.wait(seconds)
