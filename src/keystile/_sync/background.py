"""Small things done off the path of requests."""

from __future__ import annotations

import functools
import logging
import queue
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import Any

from .local import Local, on_fork
from .loops import spawn
from .running import is_async

_logger = logging.getLogger("keystile")


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
                    self._start()

    def _start(self) -> None:
        try:
            threading.Thread(target=self._serve, name="keystile-background", daemon=True).start()
        except RuntimeError as error:  # no request fails because the system has no thread to spare
            _logger.warning("background work waits: %s", error)
        else:
            self.started = True

    def _serve(self) -> None:
        while True:
            work = self._work.get()
            try:
                work()
            except Exception:
                _logger.exception("background work failed")


_background = _Background()


def later(function: Callable[..., Any], *args: Any) -> None:
    """Call a plain function on the background thread, or a coroutine function as a task of the running loop.

    Its failure is logged and goes no further. When too much waits already, the call is dropped.
    """
    if not is_async(function):
        _background.add(functools.partial(function, *args))
        return
    spawn(functools.partial(_logged, function, *args), Future())


async def _logged(function: Callable[..., Awaitable[Any]], *args: Any) -> None:
    try:
        await function(*args)
    except Exception:
        _logger.exception("background work failed")


def let_go(local: Local[Any]) -> None:
    """Close a Local's values; the background thread, which may never come by again by itself, closes its own now."""
    local.close()
    if _background.started:
        _background.add(local.drop)


def settled(seconds: float = 5.0) -> bool:
    """Whether the background thread did all that was handed to it before this call, within that time."""
    done = threading.Event()
    _background.add(done.set)
    return done.wait(seconds)
