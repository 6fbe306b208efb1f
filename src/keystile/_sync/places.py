"""Bounded places for what must not be under way too often at once, and lines for those who find none free.

Both hold over all threads and event loops of a process; a forked child finds every place free and nobody in line.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Hashable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager

from ..exceptions import Overloaded
from .local import on_fork
from .offload import Offload


class Place:
    """One of the places for something; whoever has it gives it to `Places.leave` exactly once."""

    __slots__ = ("inside", "lines", "what")

    def __init__(self, what: Hashable) -> None:
        self.what = what
        # All who have a place for this share one object, which counts them; and who waits, by name, the next one first.
        self.inside = 0
        self.lines: OrderedDict[Hashable, deque[Future[None]]] = OrderedDict()


class Places:
    """For each thing a number of places. They are handed over in turn by name: a name with many in line is given one
    place in each round, like a name with one in line."""

    def __init__(self) -> None:
        self.reset()
        on_fork(self)

    def reset(self) -> None:
        """Forget who has places and who waits."""
        # Reentrant: the collector may end an abandoned coroutine, which then leaves its place, in the middle of this.
        self._lock = threading.RLock()
        self._taken: dict[Hashable, Place] = {}

    def waiting(self, what: Hashable) -> int:
        """How many wait for a place."""
        with self._lock:
            place = self._taken.get(what)
            return 0 if place is None else sum(len(line) for line in place.lines.values())

    def take(self, what: Hashable, count: int) -> Place | None:
        """A place, if one is free at once.

        Args:
            what: what is under way.
            count: how many places there are for it, the same number each time.
        """
        with self._lock:
            place = self._taken.get(what)
            if place is None:
                place = self._taken[what] = Place(what)
            if place.inside >= count:
                return None
            place.inside += 1
            return place

    async def enter(self, what: Hashable, count: int, name: Hashable, offload: Offload, seconds: float) -> Place:
        """A place, as soon as it is this one's turn.

        Args:
            what, count: as for `take`.
            name: who waits.
            seconds: how long at most.

        Raises:
            Overloaded: the time is over.
        """
        turn: Future[None] = Future()
        with self._lock:
            place = self.take(what, count)
            if place is not None:
                return place
            place = self._taken[what]
            place.lines.setdefault(name, deque()).append(turn)
        try:
            await offload.wait(turn, seconds)
        except BaseException:
            if not self._withdraw(place, name, turn):
                self.leave(place)  # which it was given at that very moment
            raise
        if self._withdraw(place, name, turn):
            raise Overloaded(f"{seconds:.1f} s went by in line")
        return place

    def leave(self, place: Place) -> None:
        """Hand the place over to whoever is next, or give it back."""
        turn = None
        with self._lock:
            if place.lines:
                name, line = place.lines.popitem(last=False)
                turn = line.popleft()
                if line:
                    place.lines[name] = line
            else:
                place.inside -= 1
                if not place.inside and self._taken.get(place.what) is place:
                    del self._taken[place.what]
        if turn is not None:
            turn.set_result(None)

    def _withdraw(self, place: Place, name: Hashable, turn: Future[None]) -> bool:
        """Whether this one was still in line, and is not any more."""
        with self._lock:
            line = place.lines.get(name, ())
            if turn not in line:
                return False
            place.lines[name].remove(turn)
            if not place.lines[name]:
                del place.lines[name]
            return True


class Crowd:
    """Counts who is busy with something, by name, and how many of all hold up a thread meanwhile.

    Args:
        each: of one name that are not too many.
        spare: threads that may be held up beside a quarter of all.
        threads: how many threads serve requests; None takes all that this process has at the moment.
        most: of all names together.
    """

    def __init__(self, each: int, spare: int, threads: int | None, most: int) -> None:
        self._each, self._spare, self._threads, self._most = each, spare, threads, most
        self.reset()
        on_fork(self)

    def reset(self) -> None:
        """Forget everybody."""
        self._lock = threading.RLock()
        self._busy: Counter[Hashable] = Counter()

    @contextmanager
    def joined(self, name: Hashable, offload: Offload) -> Iterator[bool]:
        """Be counted for as long as the block lasts.

        Returns:
            Whether this one is too many: of its name where tasks wait, of those who hold up threads where threads do.

        Raises:
            Overloaded: there is no room for anybody.
        """
        counted = (_ALL, _HELD if offload.blocks else _FREE, name)
        with self._lock:
            busy = self._busy  # a child that was forked in between counts in another one
            if busy[_ALL] >= self._most:
                raise Overloaded(f"{self._most} wait already")
            busy.update(counted)
            crowded = busy[_HELD] > self._room() if offload.blocks else busy[name] > self._each
        try:
            yield crowded
        finally:
            with self._lock:
                busy.subtract(counted)
                if not busy[name]:
                    del busy[name]

    def _room(self) -> int:
        return self._spare + max(1, (self._threads or threading.active_count()) // 4)


# No name of anybody's.
_ALL, _HELD, _FREE = object(), object(), object()
