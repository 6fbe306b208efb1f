"""One stream of events, as server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html).

A stream looks a few times a second whether there is something to tell. Its listener is judged again before anything is
told, at each heartbeat and after each change of what belongs to it; whoever may listen no longer is told nothing more.
It ends after ten minutes, and at once when the server stops: its client comes again, with the id of the last event.
"""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from ..._sync import Offload, inline, run_now
from ...events import members
from .hub import FIRST_USE, Reader
from .rings import News, Told

# After so many milliseconds a client comes again.
RETRY = 2000
_BEGIN = b"retry: %d\n\n" % RETRY
_BEAT = b":\n\n"
_WOULD_REFUSE = "would_refuse"

Judge = Callable[[Offload], Awaitable[bool]]
"""Whether the listener may still listen."""


class Pace(NamedTuple):
    """How a stream goes on; in seconds.

    Attributes:
        look: between two looks at what has come.
        beat: after so long without an event a comment is sent, so that nothing on the way takes the stream for dead.
        most: how long it lasts.
        patience: how long a client may take to accept what is sent, where a door can tell.
    """

    look: float = 0.25
    beat: float = 15.0
    most: float = 600.0
    patience: float = 30.0


class Stream:
    """What one listener is sent. Whoever has it closes it, once.

    Args:
        reader: what it reads.
        judge: asked again and again.
        stopping: whether the server is about to stop.
        pace: how it goes on.
    """

    def __init__(
        self,
        reader: Reader,
        judge: Judge,
        stopping: Callable[[], bool],
        pace: Pace = Pace(),  # noqa: B008 - frozen
    ) -> None:
        self._reader, self._judge, self._stopping, self.pace = reader, judge, stopping, pace
        self._ends = time.monotonic() + pace.most
        self._due: float | None = None

    async def next(self, offload: Offload) -> bytes | None:
        """What to send next, as soon as there is something; None when the stream has ended."""
        if self._due is None:  # the head leaves with the first octets
            self._due = time.monotonic() + self.pace.beat
            return _BEGIN if await self._may(offload) else None
        while not self._stopping() and (now := time.monotonic()) < self._ends:
            news = self._reader.news()
            due = bool(news) or now >= self._due
            if due or self._reader.stirred():
                if not await self._may(offload):
                    return None
                if due:
                    self._due = now + self.pace.beat
                    return written(news) or _BEAT
            await offload.pause(self.pace.look)
        return None

    def __iter__(self) -> Iterator[bytes]:
        """Under WSGI, where the thread waits. That the client has left shows when the next octets are written, at the
        next heartbeat at the latest; then the server closes the iterable."""
        return self

    def __next__(self) -> bytes:
        octets = run_now(self.next(inline))
        if octets is None:
            raise StopIteration
        return octets

    async def _may(self, offload: Offload) -> bool:
        try:
            return await self._judge(offload)
        except Exception:  # noqa: BLE001 - whatever fails, nobody is told what may not be theirs
            return False

    def close(self) -> None:
        """End it."""
        self._reader.close()


def written(news: News) -> bytes:
    """What came, as octets of the stream; empty if nothing did."""
    dropped = f'event: dropped\ndata: {{"dropped": {news.dropped}}}\n\n' if news.dropped else ""
    return (dropped + "".join(map(_written, news.told))).encode("ascii")


def _written(told: Told) -> str:
    return f"id: {told.id}\nevent: {_kind(told)}\ndata: {json.dumps(shown(told))}\n\n"


def _kind(told: Told) -> str:
    return told.event.code if told.event.code in {FIRST_USE, _WOULD_REFUSE} else "refused"


def shown(told: Told) -> dict[str, object]:
    """An event as its listeners see it."""
    at = datetime.fromtimestamp(told.at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    found = members(told.event)
    return {"code": found.pop("event"), "at": at, **{name: found[name] for name in found if name != "level"}}
