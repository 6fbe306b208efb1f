"""What is told of messages to whoever runs the service: what did not arrive, and whose clock is wrong."""

from __future__ import annotations

import logging

from ...events import Event, Events
from ...rules.deliveries import Judged, drift
from ..outbox import Claimed

CLOCKS = 32
"""So many endpoints' clocks are compared with ours: those that answered last."""
_DISABLED = {"gone": "it answered 410", "failing": "nothing arrived there for five days"}


class Telling:
    """Tells what people should look at.

    Args:
        events: where it is told.
    """

    def __init__(self, events: Events) -> None:
        self._events = events
        self._ahead: dict[str, float] = {}
        self._clock_is_told = False

    def ended(self, claimed: Claimed, judged: Judged, *, disabled: bool) -> None:
        """Tell what an attempt meant, once it is written."""
        what = f"{claimed.message_id} to endpoint {claimed.endpoint.id}"
        if judged.reason == "exhausted":
            self._tell("webhook.exhausted", what)
        elif judged.reason == "blocked":
            self._tell("webhook.blocked", what)
        if disabled and judged.disable is not None:
            endpoint = f"endpoint {claimed.endpoint.id} of organization {claimed.endpoint.organization_id}"
            self._tell("webhook.endpoint_disabled", f"{endpoint}: {_DISABLED[judged.disable]}")

    def clock(self, endpoint_id: str, theirs: float | None, ours: float) -> None:
        """Look at the time that an answer tells. A clock that is wrong makes all receivers refuse, so it is told; once,
        until it was right again."""
        if theirs is None:
            return
        self._ahead.pop(endpoint_id, None)
        self._ahead[endpoint_id] = theirs - ours
        if len(self._ahead) > CLOCKS:
            del self._ahead[next(iter(self._ahead))]
        off = drift(self._ahead.values())
        if off is not None and not self._clock_is_told:
            side = "behind" if off > 0 else "ahead of"
            self._tell("webhook.clock", f"this host's clock is {abs(off):.0f} s {side} those of most receivers")
        self._clock_is_told = off is not None

    def unsendable(self, claimed: Claimed, error: Exception) -> None:
        """Tell that a message could not be made: a fault of ours, or of the endpoint's settings."""
        # What an exception says may hold a secret: its type says enough.
        what = f"{claimed.message_id} to endpoint {claimed.endpoint.id}"
        self._tell("webhook.unsendable", f"{what}: {type(error).__name__}")

    def _tell(self, code: str, reason: str) -> None:
        self._events.tell(Event(code, logging.WARNING, reason=reason))
