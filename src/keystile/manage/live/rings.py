"""What is kept for those who listen: the last events of some organizations, in the order in which they came.

A ring is shared by all who may see the same: so an event is kept once, however many listen, and each of them is no more
than the number of the last event that it was told. A slow reader costs nothing: it is told how many it missed.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from ...events import Event

MOST_KEPT = 256
# What a client may choose is kept by its beginning: a path may have 8 kB.
MOST_TEXT = 256
_ID = re.compile(r"([0-9a-f]{1,32})-([0-9]{1,15})")


class Told(NamedTuple):
    """One event in a ring.

    Attributes:
        ring, number: the name of the ring, and the event's number in it.
        at: when, in Unix seconds.
        event: what happened.
    """

    ring: str
    number: int
    at: float
    event: Event

    @property
    def id(self) -> str:
        """Tells it from all others, in this process and in others."""
        return f"{self.ring}-{self.number}"


class News(NamedTuple):
    """What has come since somebody looked.

    Attributes:
        dropped: how many events came that are kept no longer.
        told: the others, the oldest first.
        last: the number of the newest.
        last_id: its id, or that of a place before the first.
    """

    dropped: int
    told: Sequence[Told]
    last: int
    last_id: str

    def __bool__(self) -> bool:
        """Whether there is anything."""
        return bool(self.dropped or self.told)


class Ring:
    """The last events of one set of organizations.

    Args:
        name: hexadecimal digits that no other ring has, in any process.
        most: how many events are kept.
    """

    def __init__(self, name: str, most: int = MOST_KEPT) -> None:
        self._name = name
        self._kept: deque[Told] = deque(maxlen=most)
        self.last = 0
        """The number of the newest event; the first has 1."""

    def add(self, event: Event, at: float) -> None:
        """Keep an event, and drop the oldest if there are too many."""
        self.last += 1
        self._kept.append(Told(self._name, self.last, at, event))

    def after(self, number: int) -> News:
        """What came after the event with this number."""
        new = self.last - number
        told = list(self._kept)[-new:] if new else []
        return News(new - len(told), told, self.last, f"{self._name}-{self.last}")

    def number(self, last_id: str | None) -> int | None:
        """The number of the event with this id; None if this ring has never had it."""
        found = _ID.fullmatch(last_id or "")
        if found is None or found[1] != self._name or int(found[2]) > self.last:
            return None
        return int(found[2])


def shortened(event: Event) -> Event:
    """The same, with long texts cut: what is kept for others has a size."""
    if max(len(event.path), len(event.method), len(event.client or "")) <= MOST_TEXT:
        return event
    client = event.client and event.client[:MOST_TEXT]
    return event._replace(path=event.path[:MOST_TEXT] + "…", method=event.method[:MOST_TEXT], client=client)
