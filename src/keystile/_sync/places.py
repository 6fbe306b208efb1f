"""A bounded number of places for work that must not run too often at once, and queues for those who find none free.

Both hold over all threads and event loops of a process. In a forked child every place is free and nobody is queued.
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
    """One of the places for something. Its owner passes it to `Places.leave` exactly once."""

    __slots__ = ("inside", "lines", "what")

    def __init__(self, what: Hashable) -> None:
        self.what = what
        # Shared by all places for the same thing: how many are taken; and who waits, by name, the next one first.
        self.inside = 0
        self.lines: OrderedDict[Hashable, deque[Future[None]]] = OrderedDict()


class Places:
    """A number of places for each thing. Free places are given to the names in turn: a name with many in the queue gets
    one place in each round, like a name with one."""

    def __init__(self) -> None:
        self.reset()
        on_fork(self)

    def reset(self) -> None:
        """Forget who has places and who waits."""
        # Reentrant: in the middle of this, the collector may end an abandoned coroutine, which then leaves its place.
        self._lock = threading.RLock()
        self._taken: dict[Hashable, Place] = {}

    def waiting(self, what: Hashable) -> int:
        """How many wait for a place."""
        with self._lock:
            place = self._taken.get(what)
            return 0 if place is None else sum(len(line) for line in place.lines.values())

    def take(self, what: Hashable, count: int) -> Place | None:
        """A place, if one is free now; otherwise None.

        Args:
            what: the thing that the places are for.
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
        """A place, as soon as it is this caller's turn.

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
                self.leave(place)  # it was given the place at that very moment
            raise
        if self._withdraw(place, name, turn):
            raise Overloaded(f"no place became free within {seconds:.1f} s")
        return place

    def leave(self, place: Place) -> None:
        """Hand the place to the next in the queue, or give it back."""
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
        """Leave the queue. Whether this caller was still in it."""
        with self._lock:
            line = place.lines.get(name, ())
            if turn not in line:
                return False
            place.lines[name].remove(turn)
            if not place.lines[name]:
                del place.lines[name]
            return True


class Crowd:
    """Counts how many are busy with something, by name, and how many of them hold up a thread.

    Args:
        each: how many of one name are not too many.
        spare: how many threads may be held up besides a quarter of all.
        threads: how many threads serve requests; None counts all that this process has at the moment.
        most: how many of all names together there is room for.
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
        """Count this caller while the block runs.

        Returns:
            Whether this caller is one too many: where tasks wait, of its name; where threads wait, of all threads.

        Raises:
            Overloaded: there is no room for anybody else.
        """
        counted = (_ALL, _HELD if offload.blocks else _FREE, name)
        with self._lock:
            busy = self._busy  # a child that is forked in between has another counter
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


# Never equal to a caller's name.
_ALL, _HELD, _FREE = object(), object(), object()
