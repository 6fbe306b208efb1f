"""The request that is being handled: its id, and how a handler finds it."""

from __future__ import annotations

import os
from contextvars import ContextVar, Token

from .._sync import on_fork
from ..keys.format import BASE62
from ..model import Admitted

_BASE62_OF_OCTET = bytes((BASE62 * 5)[:256], "ascii")

_current: ContextVar[Admitted] = ContextVar("keystile_current")


def current() -> Admitted:
    """The request that is being handled: its `caller` and `request_id`. For sync and async handlers.

    Raises:
        LookupError: no gate let the running code's request through.
    """
    try:
        return _current.get()
    except LookupError:
        raise LookupError("no request of a keystile gate is being handled here") from None


def enter(admitted: Admitted) -> Token[Admitted]:
    """Make it the current one, until `leave`. For doors."""
    return _current.set(admitted)


leave = _current.reset


class RequestIds:
    """``req_`` and 24 random base62 characters (about 142 bits; a name, not a secret).

    Drawn in batches: asking the system for random octets each time would cost a tenth of the whole check.
    """

    BATCH = 128

    def __init__(self) -> None:
        self.reset()
        on_fork(self)

    def reset(self) -> None:
        """Forget what is left: a forked child must not use the ids of its parent."""
        self._ready: list[str] = []

    def draw(self) -> str:
        """The next one."""
        try:
            return self._ready.pop()
        except IndexError:
            letters = os.urandom(24 * self.BATCH).translate(_BASE62_OF_OCTET).decode()
            self._ready = ["req_" + letters[start : start + 24] for start in range(0, len(letters), 24)]
            return self._ready.pop()
