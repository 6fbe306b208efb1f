"""Windows in this process's memory: no other process sees them, and they are gone when the process ends.

Everything that a subject has used is one byte string (`rules.limits.packed`), and the dictionaries hold nothing else,
so the garbage collector need not visit a million callers. There is no thread and no sweep over all subjects. Now and
then a shard puts its dictionary aside, and each later hit in that shard takes a few subjects out of it: they move back
or are dropped for good. A subject stays where it is until it is admitted or taken out; a refused one is never moved.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from .. import _sync
from .._ground.urls import place_of
from ..exceptions import ConfigurationError
from ..model import Charge, Usage, Window
from ..rules.limits.charges import Costs, check_costs
from ..rules.limits.packed import ends, forget, slot_of
from ..rules.limits.windows import Decide, decider, look, refund
from . import ANONYMOUS

SHARDS = 64
# How many subjects a hit takes out of a dictionary that was put aside. Two, so that it is empty soon.
SWEPT = 2
# One shard after the other puts its dictionary aside, with this many microseconds in between.
TURN = 1_000_000
# How many lists of charges are remembered by identity.
REMEMBERED_LISTS = 10_000
_OVERFLOW = "overflow"

Remembered = tuple[Sequence[Charge] | None, Decide, Costs]
_NOTHING: Remembered = (None, *decider(()))


class _Shard:
    """Some of the subjects, and the lock for every access to them."""

    __slots__ = ("__weakref__", "acquire", "kept", "leaving", "release")

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.leaving: dict[str, bytes] = {}
        self.reset()
        _sync.on_fork(self)

    def reset(self) -> None:
        """Free the lock, which another thread may have held when this process was forked."""
        lock = _sync.Lock()
        # A `with` statement costs twice as much as these.
        self.acquire, self.release = lock.acquire, lock.release

    def find(self, subject: str) -> bytes | None:
        """What the subject has used, wherever that is stored."""
        return self.kept.get(subject) or self.leaving.get(subject)


class _Places:
    """How many more anonymous subjects may be known."""

    def __init__(self, free: int) -> None:
        self.free = free
        self._lock = _sync.Lock()

    def take(self) -> bool:
        """Take one; False if none is free."""
        with self._lock:
            if self.free <= 0:
                return False
            self.free -= 1
            return True

    def give(self) -> None:
        """Give one back."""
        with self._lock:
            self.free += 1


class MemoryLimiter:
    """A `RateLimiter` for one process.

    All authenticated subjects are known, however many there are. Anonymous ones cost their caller nothing, so only a
    limited number of them is known; the others share one bucket until a place is free. A known subject stays known, so
    a flood of new addresses neither frees an abuser nor locks out those who were there before.

    Args:
        anonymous: the largest number of anonymous subjects that are known.
        clock: nanoseconds on a clock that never steps.
        wall: Unix time in nanoseconds, for `reset_at`.
    """

    blocking = False

    def __init__(
        self,
        *,
        anonymous: int = 100_000,
        clock: Callable[[], int] = time.monotonic_ns,
        wall: Callable[[], int] = time.time_ns,
    ) -> None:
        self._clock, self._wall = clock, wall
        self._shards = tuple(_Shard() for _ in range(SHARDS))
        self._places = _Places(anonymous)
        self._deciders: dict[int, Remembered] = {}
        self._turns = 0
        self._turn(clock() // 1000)

    @classmethod
    def from_url(cls, url: str) -> MemoryLimiter:
        """The limiter for ``memory://``."""
        if url != "memory://":
            raise ConfigurationError(f"expected 'memory://', got {place_of(url)!r}", key="limiter")
        return cls()

    def __repr__(self) -> str:
        return "MemoryLimiter()"

    def __len__(self) -> int:
        """How many subjects are known."""
        return sum(len(shard.kept) + len(shard.leaving) for shard in self._shards)

    def hit(self, subject: str, charges: Sequence[Charge]) -> tuple[Usage, ...]:
        """Count each cost in its window, all or none."""
        held, decide, costs = self._deciders.get(id(charges), _NOTHING)
        if held is not charges:
            if not charges:
                return ()
            decide, costs = self._decider(charges)
        usages = self._count(self._shards[hash(subject) % SHARDS], subject, decide, costs)
        return self.hit(_OVERFLOW, charges) if usages is None else usages

    def bound(self, subject: str, charges: Sequence[Charge]) -> Callable[[], tuple[Usage, ...]]:
        """What does the same as `hit` for this subject, which is not anonymous, and these charges, again and again."""
        return partial(self._count, self._shards[hash(subject) % SHARDS], subject, *self._decider(charges))

    def _count(self, shard: _Shard, subject: str, decide: Decide, costs: Costs) -> Any:
        """Count the costs; None for an anonymous subject for which there is no place."""
        now = self._clock() // 1000
        if now >= self._next_turn:
            self._turn(now)
        shard.acquire()
        try:
            packed = shard.kept.get(subject)
            if packed is None:
                usages = self._hit_other(shard, subject, decide, costs, now)
            else:
                after, usages = decide(packed, costs, now, self._shift)
                if after is not None:
                    shard.kept[subject] = after
            if shard.leaving:
                self._sweep(shard, now)
        finally:
            shard.release()
        return usages

    def peek(self, subject: str, windows: Sequence[Window]) -> tuple[Usage, ...]:
        """Where the subject stands; counts nothing."""
        shard = self._shards[hash(subject) % SHARDS]
        shard.acquire()
        try:
            packed = shard.find(subject)
        finally:
            shard.release()
        if packed is None and subject.startswith(ANONYMOUS) and self._places.free <= 0:
            return self.peek(_OVERFLOW, windows)
        now = self._clock() // 1000
        return look(packed, tuple(windows), now, self._wall() // 1000 - now)

    def refund(self, subject: str, charges: Sequence[Charge], at: int) -> None:
        """Take back units that a hit counted at this moment; in the shared bucket if they were counted there."""
        check_costs(cost for _, cost in charges)
        shard = self._shards[hash(subject) % SHARDS]
        shard.acquire()
        try:
            for subjects in (shard.kept, shard.leaving):
                packed = subjects.get(subject)
                if packed is not None:
                    subjects[subject] = refund(packed, charges, at, self._clock() // 1000)
                    return
        finally:
            shard.release()
        if subject.startswith(ANONYMOUS):
            self.refund(_OVERFLOW, charges, at)

    def reset(self, subject: str, windows: Sequence[Window]) -> None:
        """Forget what the subject has used in these windows."""
        shard = self._shards[hash(subject) % SHARDS]
        shard.acquire()
        try:
            packed = shard.find(subject)
            if packed is None:
                return
            left = forget(packed, {slot_of(window) for window in windows})
            shard.kept.pop(subject, None)
            shard.leaving.pop(subject, None)
            if left is not None:
                shard.kept[subject] = left
        finally:
            shard.release()
        if left is None:
            self._gone(subject)

    def close(self) -> None:
        """Nothing to let go of."""

    def _hit_other(
        self, shard: _Shard, subject: str, decide: Decide, costs: Costs, now: int
    ) -> tuple[Usage, ...] | None:
        """Decide about a subject that was put aside or is new; None if there is no free place for it."""
        packed = shard.leaving.get(subject)
        needs_place = packed is None and subject.startswith(ANONYMOUS)
        if needs_place and not self._places.take():
            return None
        after, usages = decide(packed, costs, now, self._shift)
        if after is not None:
            shard.kept[subject] = after
            shard.leaving.pop(subject, None)
        elif needs_place:
            self._places.give()
        return usages

    def _sweep(self, shard: _Shard, now: int) -> None:
        """Take some subjects out of what was put aside: move them back, or drop them if nothing of them still
        counts."""
        for _ in range(min(SWEPT, len(shard.leaving))):
            subject, packed = shard.leaving.popitem()
            if ends(packed) > now:
                shard.kept[subject] = packed
            else:
                self._gone(subject)
        if not shard.leaving:
            shard.leaving = {}  # an emptied dictionary keeps its size in memory

    def _gone(self, subject: str) -> None:
        if subject.startswith(ANONYMOUS):
            self._places.give()

    def _turn(self, now: int) -> None:
        """Have the next shard put its dictionary aside, if it is time and the last one is empty by now."""
        self._next_turn = now + TURN
        self._shift = self._wall() // 1000 - now
        self._turns += 1
        shard = self._shards[self._turns % SHARDS]
        shard.acquire()
        try:
            if not shard.leaving:
                shard.leaving, shard.kept = shard.kept, {}
        finally:
            shard.release()

    def _decider(self, charges: Sequence[Charge]) -> tuple[Decide, Costs]:
        decide, costs = decider(tuple(charges))
        if isinstance(charges, tuple):  # a list could hold others next time
            if len(self._deciders) >= REMEMBERED_LISTS:
                self._deciders.clear()
            self._deciders[id(charges)] = (charges, decide, costs)
        return decide, costs
