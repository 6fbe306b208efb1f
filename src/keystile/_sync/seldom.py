"""What is told at most once a minute, however often it happens: strangers choose how often, and a disk is soon full."""

from __future__ import annotations

import time
from collections.abc import Callable

MINUTE = 60.0
# Of so many things it is remembered when they were told last.
MOST = 1000


class Seldom:
    """Says when something may be told again.

    Args:
        clock: seconds on a clock that never steps.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._due: dict[str, float] = {}

    def __len__(self) -> int:
        """Of how many things it is remembered."""
        return len(self._due)

    def due(self, what: str) -> bool:
        """Whether this is told now; then it is not due again for a minute."""
        now = self._clock()
        if now < self._due.get(what, now):
            return False
        if len(self._due) >= MOST:
            self._due.clear()
        self._due[what] = now + MINUTE
        return True
