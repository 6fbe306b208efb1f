"""The ids of messages that came: one that comes again is not given to the app twice.

An id is *under way* from the moment at which its message was verified, and *done* once the app has answered it with
success. If the app fails, the id is forgotten, so that the sender's next attempt runs the app. A process that dies in
between leaves its id under way for `LEASE` seconds.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Literal, Protocol

LEASE = 300
"""Seconds after which an id that nobody has ended is free again."""

State = Literal["new", "under_way", "done"]
NEW: State = "new"
UNDER_WAY: State = "under_way"
DONE: State = "done"


class IdStore(Protocol):
    """Where ids are kept. Each method may be plain or ``async def``, both of one kind.

    A plain store is expected to block, so its calls leave the event loop. If it has an attribute ``blocking = False``,
    it runs in place and must take microseconds. Any exception means that it is down: the message is answered with 503.
    """

    def begin(self, id: str, token: str, now: float, until: float) -> State | Awaitable[State]:
        """Note that the message with this id is under way, in one step with finding out whether it is new.

        Args:
            id: the path of its receiver, and its own id.
            token: of this attempt.
            now: Unix seconds.
            until: when the note ends, if nobody ends it before.

        Returns:
            ``"new"`` if nothing was noted of it, or what was noted has ended; else what was noted.
        """

    def end(self, id: str, token: str, until: float | None) -> Awaitable[None] | None:
        """Note that it is done, until then; or forget it, if that is None. Nothing, if another attempt has it now."""

    def close(self) -> Awaitable[None] | None:
        """Close files and connections."""
