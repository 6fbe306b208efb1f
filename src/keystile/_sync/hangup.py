"""SIGHUP, by which administrators ask a process to read its configuration again."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from typing import Any

from .background import later

_TERMINAL = "/dev/tty"


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
