"""What this process has counted and not written yet: how often each key was admitted and refused, and used last.

A request adds to a number in memory. Every ten seconds, off the path of requests, what was added is written: sums per
key, hour and outcome, which the store adds to its own. So a process that dies loses the last ten seconds at most. While
the store is down nothing is lost, up to `MOST` counts.

If a store fails in the very moment of a commit, nobody can tell whether it was done. What it was given is written
again, and may then be counted twice.

Adding one to a number in a dict is one step only while Python has its global lock. On a free-threaded build, threads
that use the same key in the same moment may lose a count.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from functools import partial
from secrets import SystemRandom
from typing import Any

from ..._sync import Deferred, Offload, SingleFlight, adapt, inline, is_async, on_exit, on_fork, pooled, run_now
from ...events import Event, Events
from ...exceptions import StoreUnavailable
from ...model import Counted, Used
from ...model.counts import ADMITTED, HOUR
from ..workshop import READ_PATIENCE, WRITE_PATIENCE, Workshop

EVERY = 10.0
# So many counts are written in one step, and so many old ones are deleted in one. In SQLite that takes 1 to 3 ms, for
# which nobody else can write to the file.
BATCH, FORGET = 100, 1000
# So many counts and uses wait while the store is down; what comes after them is lost.
MOST = 100_000

Place = tuple[str, int, str]
"""What is counted together: a key's id, an hour since 1970 in UTC, and an outcome."""


class Counting:
    """Counts the requests of a gate.

    Args:
        shop: the store that keeps the counts, and the clock.
        events: where it is told that counts wait, or are lost.
        retention: for how many seconds counts are kept; with 0 nothing is counted.
    """

    def __init__(self, shop: Workshop, events: Events, retention: int) -> None:
        self._events, self._clock, self._retention = events, shop.clock, retention
        self._add, self._touch, self._forget = (_call(shop, name) for name in ("add_usage", "touch", "forget_usage"))
        self._last_used = None
        if hasattr(shop.store, "last_used"):
            blocking = getattr(shop.store, "blocking", True)
            self._last_used = shop.adapted("last_used", blocking=blocking, patience=READ_PATIENCE)
        self.counts: defaultdict[Place, int] = defaultdict(int)
        """What was counted. Whoever adds to it when it is empty must call `ask`."""
        self._uses: dict[tuple[str, bool], datetime] = {}
        self._flights = SingleFlight()
        self._awaits = is_async(shop.store.find)
        self.ask = Deferred(self._flushed if self._awaits else self._flush, EVERY).ask
        self._forget_due, self._waits, self._lost = 0.0, False, 0
        self.reset()
        on_fork(self)
        on_exit(self)

    def reset(self) -> None:
        """Start afresh, in a forked child: its parent writes what it has counted."""
        self.counts.clear()
        self._uses.clear()
        self._begun = self._ended = 0

    def place(self, key_id: str) -> Place | None:
        """Where a key's admitted requests are counted in this hour; None if nothing is counted."""
        return (key_id, self._hour(), ADMITTED) if self._add is not None and self._retention else None

    def count(self, place: Place, outcome: str) -> None:
        """Count a request of the key whose admitted ones are counted there."""
        if not self.counts:
            self.ask()
        self.counts[place[0], self._hour(), outcome] += 1

    def use(self, key_id: str, at: datetime, *, graced: bool = False) -> None:
        """Have it noted that a key was used, or its older secret."""
        if self._add is not None or self._touch is not None:
            self._uses[key_id, graced] = at
            self.ask()

    async def was_used(self, offload: Offload, key_id: str) -> bool:
        """Whether a use of this key is noted, or about to be; no if the store does not say."""
        if (key_id, False) in self._uses or self._last_used is None:
            return (key_id, False) in self._uses
        try:
            return await self._last_used(offload, key_id) is not None
        except Exception:  # noqa: BLE001 - whatever a store raises, the request goes on
            return False

    async def flush(self, offload: Offload) -> None:
        """Write what was counted before this call. If that fails it is told, and what was counted waits."""
        begun = self._begun
        while self._ended <= begun:  # one that had begun before may have left out the newest
            await self._flights.run("flush", offload, partial(self._write, offload))

    async def finish(self, offload: Offload) -> None:
        """Write it for the last time: what cannot be written is lost, and told."""
        if self.counts or self._uses:
            await self.flush(offload)
        self._lose(0)
        self._tell_lost()

    def at_exit(self) -> None:
        """The process ends. What an async store was to be given is lost by now."""
        if self._awaits:
            self._lose(0)
            self._tell_lost()
        else:
            run_now(self.finish(inline))

    def _hour(self) -> int:
        return int(self._clock() // HOUR)

    def _flush(self) -> None:
        run_now(self.flush(inline))

    async def _flushed(self) -> None:
        await self.flush(pooled)

    async def _write(self, offload: Offload) -> None:
        self._begun += 1
        number = self._begun
        places, used = list(self.counts), list(self._uses)
        try:
            for start in range(0, max(len(places), len(used)), BATCH):
                span = slice(start, start + BATCH)
                await self._write_batch(offload, self._taken(places[span]), self._taken_uses(used[span]))
            if places:
                await self._forget_old(offload)
        except Exception as error:  # noqa: BLE001 - whatever a store raises, requests go on
            self._tell_waits(error)
            self._lose(MOST)
        else:
            self._waits = False
            self._tell_lost()
        finally:
            self._ended = number
        if places or used:
            self.ask()  # whoever has added meanwhile found something there, and did not ask

    def _taken(self, places: Sequence[Place]) -> list[Counted]:
        return [Counted(*place, number) for place in sorted(places) if (number := self.counts.pop(place, 0))]

    def _taken_uses(self, used: Sequence[tuple[str, bool]]) -> list[Used]:
        found = ((key_id, self._uses.pop((key_id, graced), None), graced) for key_id, graced in sorted(used))
        return [Used(key_id, at, graced) for key_id, at, graced in found if at is not None]

    async def _write_batch(self, offload: Offload, counts: Sequence[Counted], uses: Sequence[Used]) -> None:
        try:
            if self._add is not None and (counts or uses):
                await self._add(offload, counts, uses)
            elif self._touch is not None:
                for use in uses:
                    await self._touch(offload, *use)
        except BaseException:
            for key_id, hour, outcome, number in counts:
                self.counts[key_id, hour, outcome] += number
            for use in uses:
                self._uses.setdefault((use.key_id, use.graced), use.at)
            raise

    async def forget(self, offload: Offload) -> None:
        """Delete all counts that are kept no longer."""
        while not await self._forget_some(offload):
            pass

    async def _forget_old(self, offload: Offload) -> None:
        """Delete some of the counts that are kept no longer, about once an hour until there are none."""
        now = self._clock()
        if self._retention and now >= self._forget_due and await self._forget_some(offload):
            self._forget_due = now + HOUR * SystemRandom().uniform(0.8, 1.2)

    async def _forget_some(self, offload: Offload) -> bool:
        """Delete one step's worth of them; whether none are left."""
        before = int((self._clock() - self._retention) // HOUR)
        return self._forget is None or await self._forget(offload, before, FORGET) < FORGET

    def _lose(self, most: int) -> None:
        """Drop what is too much to be kept."""
        while len(self.counts) > most:
            self._lost += self.counts.popitem()[1]
        while len(self._uses) > most:
            self._uses.popitem()

    def _tell_waits(self, error: Exception) -> None:
        if not self._waits:
            self._waits = True
            # A driver's message may hold a password: its type says enough.
            reason = str(error) if isinstance(error, StoreUnavailable) else type(error).__name__
            reason = f"what this process has counted waits in memory: {reason}"
            self._events.tell(Event("usage_delayed", logging.WARNING, reason=reason))

    def _tell_lost(self) -> None:
        if self._lost:
            reason = f"requests that are missing in the usage of their keys: {self._lost}"
            self._lost = 0
            self._events.tell(Event("usage_lost", logging.WARNING, reason=reason))


def _call(shop: Workshop, name: str) -> Callable[..., Awaitable[Any]] | None:
    """A method of the store, to be awaited; None if it has none."""
    method = getattr(shop.store, name, None)
    return None if method is None else adapt(method, shop.store_pool, blocking=True, patience=WRITE_PATIENCE)
