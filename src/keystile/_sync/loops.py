"""What belongs to one event loop."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


def on_event_loop() -> bool:
    """Whether this thread runs an event loop, asyncio's or trio's: whatever blocks it holds up everybody."""
    asyncio, trio = sys.modules.get("asyncio"), sys.modules.get("trio")
    for running in (asyncio and asyncio.get_running_loop, trio and trio.lowlevel.current_trio_token):
        try:
            if running:
                running()
                return True
        except RuntimeError:
            pass
    return False


class PerLoop(Generic[T]):
    """One value for each asyncio event loop, made when it is first asked for there.

    Args:
        make: makes the value, while its loop runs.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._values: weakref.WeakKeyDictionary[Any, T] = weakref.WeakKeyDictionary()

    def get(self) -> T:
        """The running loop's value."""
        import asyncio

        loop = asyncio.get_running_loop()
        value = self._values.get(loop)
        if value is None:
            # A client refers to its loop, so that neither would ever go by itself.
            for ended in [each for each in list(self._values) if each.is_closed()]:
                self._values.pop(ended, None)
            value = self._values[loop] = self._make()
        return value

    def pop(self) -> T | None:
        """Forget the running loop's value; None if there is none."""
        import asyncio

        return self._values.pop(asyncio.get_running_loop(), None)
