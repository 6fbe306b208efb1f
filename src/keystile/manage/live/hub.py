"""Who listens to what: keeps what the gate tells for as long as somebody listens, and bounds how many do.

While nobody listens, the gate's events do not come here at all, so a refusal costs what it costs without a hub. While
somebody does, an event costs one look-up and one place in a ring. Nobody is woken by it: streams look for themselves, a
few times a second, so a flood of refusals makes no more work for them than one refusal does.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from enum import Enum
from typing import NamedTuple
from weakref import WeakKeyDictionary

from ..._sync import Deferred, Lock, Offload, on_fork, quarter_of_threads
from ...events import Event, Events
from ...gate import Gate
from .rings import News, Ring, shortened

MOST_STREAMS, MOST_EACH = 64, 8
# For so many seconds after the last one has left, its ring is kept: so that who comes again misses nothing.
LINGERS = 30.0
FIRST_USE = "first_use"
# A change may end the right to listen.
_CHANGES = ("key.", "project.", "organization.")

Whose = frozenset[str] | None
"""The organizations whose events somebody may see; None is everybody's, and those of nobody."""


class Full(Enum):
    """Why there is no room for another stream."""

    OWN = "these organizations have too many of their own"
    ALL = "this process has too many"


class Bounds(NamedTuple):
    """How much there is room for in this process.

    Attributes:
        streams: at once, in all.
        each: at once, of those who may see the same.
        threads: how many threads serve requests; streams hold a quarter of them at most. None counts them.
        lingers: for how many seconds a ring is kept that nobody reads.
    """

    streams: int = MOST_STREAMS
    each: int = MOST_EACH
    threads: int | None = None
    lingers: float = LINGERS


class _Shared:
    """A ring, and who reads it."""

    __slots__ = ("left_at", "readers", "ring", "stirred", "whose")

    def __init__(self, whose: Whose) -> None:
        self.whose, self.ring = whose, Ring(secrets.token_hex(6))
        self.readers: set[Reader] = set()
        self.stirred = 0
        self.left_at = time.monotonic()


class Reader:
    """One who listens. Whoever joined leaves exactly once, with `close`."""

    def __init__(self, hub: Hub, shared: _Shared, number: int, *, holds: bool) -> None:
        self._hub, self.shared = hub, shared
        self._number, self._stirred = number, shared.stirred
        self.holds = holds
        """Whether it holds up a thread."""

    def news(self) -> News:
        """What came since the last call."""
        found = self._hub.news_of(self.shared, self._number)
        self._number = found.last
        return found

    def stirred(self) -> bool:
        """Whether anything of these organizations was changed since the last call."""
        before, self._stirred = self._stirred, self.shared.stirred
        return before != self._stirred

    def close(self) -> None:
        """Listen no more."""
        self._hub.leave(self)


class Hub:
    """The streams of one gate in this process.

    Args:
        events: the gate's.
        clock: Unix seconds.
        bounds: how much there is room for.
    """

    def __init__(self, events: Events, clock: Callable[[], float], bounds: Bounds = Bounds()) -> None:  # noqa: B008 - frozen
        self._events, self._clock, self._bounds = events, clock, bounds
        # Reentrant: in the middle of this, the collector may end an abandoned stream, which then leaves.
        self._lock = Lock(reentrant=True)
        self._tidy = Deferred(self._forget, bounds.lingers).ask
        self._listens = False
        self.reset()
        on_fork(self)

    def reset(self) -> None:
        """Nobody listens, in a forked child."""
        self._rings: dict[Whose, _Shared] = {}
        self._readers: set[Reader] = set()
        self._by_organization: dict[str | None, tuple[_Shared, ...]] = {}
        self._everybodys: tuple[_Shared, ...] = ()

    @property
    def count(self) -> int:
        """How many listen."""
        return len(self._readers)

    @property
    def kept(self) -> int:
        """How many rings are kept."""
        return len(self._rings)

    def join(self, whose: Whose, offload: Offload, last_id: str | None = None) -> Reader | Full:
        """Listen from now on, or from the event after this one, if it is still known here.

        Args:
            whose: which organizations.
            offload: how the door waits: a stream may hold a thread.
            last_id: of the last event that was received.
        """
        with self._lock:
            shared = self._rings.get(whose)
            if shared is not None and len(shared.readers) >= self._bounds.each:
                return Full.OWN
            held = sum(each.holds for each in list(self._readers))
            no_thread = offload.blocks and held >= quarter_of_threads(self._bounds.threads)
            if no_thread or len(self._readers) >= self._bounds.streams:
                return Full.ALL
            shared = shared or self._open(whose)
            number = shared.ring.number(last_id)
            reader = Reader(self, shared, shared.ring.last if number is None else number, holds=offload.blocks)
            shared.readers.add(reader)
            self._readers.add(reader)
            return reader

    def recent(self, whose: Whose) -> News:
        """The last events, for a page that is looked at again and again: they are kept from the first look on."""
        with self._lock:
            shared = self._rings.get(whose) or self._open(whose)
            shared.left_at = time.monotonic()
            found = shared.ring.after(0)
        self._tidy()
        return found

    def leave(self, reader: Reader) -> None:
        """Forget one who listens."""
        with self._lock:
            self._readers.discard(reader)
            reader.shared.readers.discard(reader)
            reader.shared.left_at = time.monotonic()
        self._tidy()

    def news_of(self, shared: _Shared, number: int) -> News:
        """What came to a ring after the event with this number."""
        with self._lock:
            return shared.ring.after(number)

    def _open(self, whose: Whose) -> _Shared:
        """A new ring. If there are too many, the one that was left the longest ago makes room."""
        left = [each for each in self._rings.values() if not each.readers]
        if left and len(self._rings) >= self._bounds.streams:
            del self._rings[min(left, key=lambda each: each.left_at).whose]
        shared = self._rings[whose] = _Shared(whose)
        self._index()
        return shared

    def _forget(self) -> None:
        """Drop the rings that nobody has read for a while."""
        with self._lock:
            until = time.monotonic() - self._bounds.lingers
            self._rings = {whose: each for whose, each in self._rings.items() if each.readers or each.left_at > until}
            self._index()
            waiting = any(not each.readers for each in self._rings.values())
        if waiting:
            self._tidy()

    def _index(self) -> None:
        """Which rings get the events of an organization. Replaced and never changed: events come from other threads."""
        everybodys = tuple(each for each in self._rings.values() if each.whose is None)
        found: dict[str | None, tuple[_Shared, ...]] = {}
        for each in self._rings.values():
            for organization in each.whose or ():
                found[organization] = (*found.get(organization, everybodys), each)
        self._by_organization, self._everybodys = found, everybodys
        if bool(self._rings) != self._listens:
            self._listens = bool(self._rings)
            (self._events.listen if self._listens else self._events.leave)(self._hear)

    def _hear(self, event: Event) -> None:
        """Keep an event for those who may see it. Called by the gate, on the path of a request."""
        rings = self._by_organization.get(event.organization_id, self._everybodys)
        if not rings:
            return
        if shows(event):
            kept, at = shortened(event), self._clock()
            with self._lock:
                for each in rings:
                    each.ring.add(kept, at)
        elif event.code.startswith(_CHANGES):
            for each in rings:
                each.stirred += 1


_hubs: WeakKeyDictionary[Gate, Hub] = WeakKeyDictionary()
_making = Lock()


def hub_of(gate: Gate) -> Hub:
    """The hub of a gate: one for all that shows its events, so that its bounds hold over all of them."""
    with _making:
        found = _hubs.get(gate)
        if found is None:
            found = _hubs[gate] = Hub(gate.events, gate.clock, Bounds(threads=gate.policy.wsgi_threads))
        return found


def shows(event: Event) -> bool:
    """Whether streams tell of it: refusals, what would be refused without a dry run, first uses."""
    return event.code == FIRST_USE or (event.status is not None and event.status >= 400)
