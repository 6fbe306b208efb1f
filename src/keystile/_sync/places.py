"""A bounded number of places for work that must not run too often at once, and queues for those who find none free.

Both hold over all threads and event loops of a process. In a forked child every place is free and nobody is queued.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Hashable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, NamedTuple

from ..exceptions import Overloaded
from .local import on_fork
from .loops import has_ended, running_loop
from .offload import Offload


class Place:
    """One of the places for something. Its owner passes it to `Places.leave` exactly once.

    Args:
        what: the thing that it is for.
        loop: the event loop in which its owner runs, or None.
    """

    __slots__ = ("loop", "what")

    def __init__(self, what: Hashable, loop: Any) -> None:
        self.what, self.loop = what, loop


class _Taken:
    """The places for one thing: who has them; and who waits, by name, the next one first."""

    __slots__ = ("lines", "places")

    def __init__(self) -> None:
        self.places: set[Place] = set()
        self.lines: OrderedDict[Hashable, deque[_Turn]] = OrderedDict()


class _Turn(NamedTuple):
    """Whoever waits for a place: told when it has one, in this loop."""

    told: Future[None]
    place: Place


class Places:
    """A number of places for each thing. Free places are given to the names in turn: a name with many in the queue gets
    one place in each round, like a name with one.

    A loop that is closed runs none of its tasks to their end, so what they had or waited for is given to others."""

    def __init__(self) -> None:
        self.reset()
        on_fork(self)

    def reset(self) -> None:
        """Forget who has places and who waits."""
        # Reentrant: in the middle of this, the collector may end an abandoned coroutine, which then leaves its place.
        self._lock = threading.RLock()
        self._taken: dict[Hashable, _Taken] = {}

    def waiting(self, what: Hashable) -> int:
        """How many wait for a place."""
        with self._lock:
            taken = self._taken.get(what)
            return 0 if taken is None else sum(len(line) for line in taken.lines.values())

    def take(self, what: Hashable, count: int) -> Place | None:
        """A place, if one is free now; otherwise None.

        Args:
            what: the thing that the places are for.
            count: how many places there are for it, the same number each time.
        """
        # Made first: whatever is made may run the collector, which may have somebody leave.
        place, fresh = Place(what, running_loop()), _Taken()
        with self._lock:
            taken = self._taken.get(what)
            if taken is not None and len(taken.places) >= count:
                for left in [each for each in taken.places if has_ended(each.loop)]:
                    self.leave(left)
            taken = self._taken.setdefault(what, fresh)
            if len(taken.places) >= count:
                return None
            taken.places.add(place)
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
        turn, line = _Turn(Future(), Place(what, running_loop())), deque[_Turn]()
        with self._lock:
            place = self.take(what, count)
            if place is not None:
                return place
            taken = self._taken[what]
            taken.lines.setdefault(name, line).append(turn)
        try:
            await offload.wait(turn.told, seconds)
        except BaseException:
            if not self._withdraw(taken, name, turn):
                self.leave(turn.place)  # it was given the place at that very moment
            raise
        if self._withdraw(taken, name, turn):
            raise Overloaded(f"no place became free within {seconds:.1f} s")
        return turn.place

    def leave(self, place: Place) -> None:
        """Hand the place to the next in the queue, or give it back. One that was given to others is not theirs to
        give."""
        turn = None
        with self._lock:
            taken = self._taken.get(place.what)
            if taken is None or place not in taken.places:
                return
            taken.places.remove(place)
            while taken.lines and turn is None:
                turn = _next(taken)
            if turn is not None:
                taken.places.add(turn.place)
            elif not taken.places:
                del self._taken[place.what]
        if turn is not None:
            turn.told.set_result(None)

    def _withdraw(self, taken: _Taken, name: Hashable, turn: _Turn) -> bool:
        """Leave the queue. Whether this caller was still in it."""
        with self._lock:
            line = taken.lines.get(name, ())
            if turn not in line:
                return False
            taken.lines[name].remove(turn)
            if not taken.lines[name]:
                del taken.lines[name]
            return True


def _next(taken: _Taken) -> _Turn | None:
    """The next in the queue; None if its loop has ended meanwhile."""
    name, line = taken.lines.popitem(last=False)
    turn = line.popleft()
    if line:
        taken.lines[name] = line
    return None if has_ended(turn.place.loop) else turn


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
        return self._spare + quarter_of_threads(self._threads)


def quarter_of_threads(threads: int | None) -> int:
    """How many threads may be held up: a quarter of those that serve requests, and one at least. None counts all that
    this process has at the moment."""
    return max(1, (threads or threading.active_count()) // 4)


# Never equal to a caller's name.
_ALL, _HELD, _FREE = object(), object(), object()
