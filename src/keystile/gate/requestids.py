"""The ids of requests."""

from __future__ import annotations

import os

from .._sync import on_fork
from ..keys.format import BASE62

_BASE62_OF_OCTET = bytes((BASE62 * 5)[:256], "ascii")


class RequestIds:
    """``req_`` and 24 random base62 characters (about 142 bits; a name, not a secret).

    They are drawn in batches: asking the system for random octets each time would cost a tenth of the whole check.
    """

    BATCH = 128

    def __init__(self) -> None:
        self.reset()
        on_fork(self)

    def reset(self) -> None:
        """Drop the ids that are left: a forked child must not use the ids of its parent."""
        self.ready: list[str] = []
        """Ids that are drawn already."""

    def draw(self) -> str:
        """The next id."""
        try:
            return self.ready.pop()
        except IndexError:
            letters = os.urandom(24 * self.BATCH).translate(_BASE62_OF_OCTET).decode()
            self.ready = ["req_" + letters[start : start + 24] for start in range(0, len(letters), 24)]
            return self.ready.pop()
