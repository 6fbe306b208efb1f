"""Work that is put off for a while, so that one run does for all that was asked meanwhile; work at the very end; and
work that an administrator asks for by SIGHUP, as to read the configuration again."""

from __future__ import annotations

import atexit
import os
import signal
import threading
import time
import weakref
from collections.abc import Callable
from secrets import SystemRandom
from typing import Any, Protocol

from .background import after, later
from .local import on_fork
from .running import is_async

_TERMINAL = "/dev/tty"
# Not the random numbers that all share: a service that has seeded those must be given the same ones each time.
_dice = SystemRandom()


class Deferred:
    """Calls a function some time after it was asked for, once however often that was.

    A plain function runs on the background thread, a coroutine function as a task of the loop that asked first.

    Args:
        function: what to call.
        seconds: how long it is put off at most. It is up to a fifth less, at random, so that processes that began
            together do not come to a store together.
    """

    def __init__(self, function: Callable[[], Any], seconds: float) -> None:
        self._function, self._seconds = function, seconds
        self._begin = self._awaited if is_async(function) else self._called
        self.reset()
        on_fork(self)

    def reset(self) -> None:
        """Nothing is asked for, in a forked child."""
        self._again = 0.0

    def ask(self) -> None:
        """Have it called."""
        now = time.monotonic()
        if now >= self._again:
            # It may never be called, if the event loop that was to do it has ended: then ask once more.
            self._again = now + 2 * self._seconds
            after(self._seconds * _dice.uniform(0.8, 1.0), self._begin)

    def _called(self) -> None:
        self._again = 0.0
        self._function()

    async def _awaited(self) -> None:
        self._again = 0.0
        await self._function()


class _Ending(Protocol):
    def at_exit(self) -> None: ...


_ending: weakref.WeakSet[_Ending] = weakref.WeakSet()


def on_exit(each: _Ending) -> None:
    """Call `at_exit` of this object when the process ends in good order, if it still lives then."""
    if not _ending:
        # As late as can be: what is registered last is called first, and files must still be open then.
        atexit.unregister(_at_exit)
        atexit.register(_at_exit)
    _ending.add(each)


def _at_exit() -> None:
    for each in list(_ending):
        each.at_exit()


def on_hangup(work: Callable[[], Any]) -> bool:
    """Run this function on the background thread at every SIGHUP from now on, if nobody else answers to that signal.

    Returns:
        Whether it will. Not on a system without the signal, not outside the main thread, which alone may say what
        happens to signals, and not where the server or its starter (nohup) has said so before.
    """
    number = getattr(signal, "SIGHUP", None)
    if number is None or threading.current_thread() is not threading.main_thread():
        return False
    if signal.getsignal(number) is not signal.SIG_DFL:
        return False
    from_terminal = _has_terminal()
    # So that the thread is there: a handler runs in the middle of anything, and must take no lock.
    later(_nothing)

    def handle(_number: int, _frame: object) -> None:
        if from_terminal and not _has_terminal():
            # Nobody asks for anything: the terminal is gone, and its processes are to end as ever.
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        later(work)

    signal.signal(number, handle)
    return True


def _has_terminal() -> bool:
    try:
        os.close(os.open(_TERMINAL, os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def _nothing() -> None:
    """What the background thread is started with."""
