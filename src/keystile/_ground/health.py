"""Whether a server is up, and who asks it next when it is down.

After a failure the server is asked again only now and then, by one request at a time, at growing intervals.

The state is one number that grows with each change: odd while the server is down. A call remembers the number with
which it started, and its outcome counts only if the number is still the same. Hundreds of calls may be under way when a
server goes down or comes back, and a call that was sent before says nothing about the time after.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable

from .. import _sync

FIRST_PROBE, LAST_PROBE = 0.1, 5.0
# A server that comes and goes is reported at most once in this many seconds.
TELL_EVERY = 60.0


class Health:
    """The state of one server.

    Args:
        tell: called with the error when the server goes down, and with None when it is up again.
        longest: the longest interval, in seconds; `LAST_PROBE` if it is None.
    """

    def __init__(self, tell: Callable[[Exception | None], None], longest: float | None = None) -> None:
        self._tell, self._longest = tell, longest
        self.changes = 0
        """How often it went down or came back; odd while it is down."""
        self._wait, self._next_probe, self._up_since = FIRST_PROBE, 0.0, -math.inf
        self._told, self._tell_due = False, 0.0
        self._lock = _sync.Lock()
        self.reset()
        _sync.on_fork(self)

    def reset(self) -> None:
        """Forget a probe that was under way in the process from which this one was forked."""
        self._probing = False

    def may_probe(self) -> bool:
        """Whether this request is the one that asks whether the server is back. It must call `probed` afterwards."""
        with self._lock:
            if self._probing or time.monotonic() < self._next_probe:
                return False
            self._probing = True
            return True

    def probed(self) -> None:
        """The request that asked is finished, or has given up."""
        self._probing = False

    def failed(self, seen: int, error: Exception) -> None:
        """Note that a call which began at this number got no answer."""
        with self._lock:
            if seen != self.changes:
                return
            now = time.monotonic()
            # A server that goes down again right after coming back is not asked more often because of that.
            lasted = seen % 2 == 0 and now - self._up_since >= LAST_PROBE
            self._wait = FIRST_PROBE if lasted else min(self._wait * 2, self._longest or LAST_PROBE)
            self.changes = seen | 1
            # With jitter, so that processes do not probe in step.
            self._next_probe = now + self._wait * random.uniform(0.75, 1.25)  # noqa: S311
            if self._told or now < self._tell_due:
                return
            self._told, self._tell_due = True, now + TELL_EVERY
        self._tell(error)

    def answered(self, seen: int) -> None:
        """Note that a call which began at this number, while the server was down, got an answer."""
        with self._lock:
            if seen != self.changes:
                return
            self.changes += 1
            self._up_since = time.monotonic()
            told, self._told = self._told, False
        if told:
            self._tell(None)
