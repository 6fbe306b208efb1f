"""One run of a worker: claims while it has places, and leaves nobody waiting for somebody else's endpoint."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from functools import partial

from ..._sync import Crew
from ...events import Outage
from ..outbox import Claimed, Destination, Outbox
from .delivering import Delivering
from .ledger import Ledger
from .places import Places

IDLE = 1.0
"""Seconds after which the outbox is asked again when nothing was due."""
LEASE, MARGIN = 60.0, 5.0
"""For how long a delivery belongs to its worker, and how long it may take to note what came."""
FOR_EVER = 3600.0
SOON, SLOWEST = 0.5, 30.0
"""Seconds after which an outbox that is down is asked again: at first, and at the longest."""


class Shift:
    """One run.

    Args:
        worker_id: whose leases they are.
        outbox: where messages wait.
        places: how many are sent at once.
        outage: told when the outbox is down.
        seconds: the deadline of an attempt.
        clock: Unix seconds.
    """

    def __init__(  # noqa: PLR0917 - what one worker has
        self,
        worker_id: str,
        outbox: Outbox,
        places: Places,
        outage: Outage,
        seconds: float,
        clock: Callable[[], float],
    ) -> None:
        self._id, self._outbox, self._places, self._outage, self._clock = worker_id, outbox, places, outage, clock
        self._needed, self._ledger = seconds + MARGIN, Ledger(outbox)
        self._stopping = False
        self._crew: Crew | None = None

    def stop(self) -> None:
        """Claim nothing more; from any thread."""
        self._stopping = True
        if self._crew is not None:
            self._crew.ring()

    async def run(self, delivering: Delivering, crew: Crew, *, once: bool) -> None:
        """Work until `stop`, or with `once` until nothing is due; then wait for what is under way."""
        self._crew, pause = crew, SOON
        while not self._stopping:
            asked, full = self._places.free, self._places.full()
            found = await self._claim(asked, full, once=once)
            if found is None:
                await self._wait(crew, random.uniform(0.5, 1.0) * pause, _never)  # noqa: S311 - spreads the workers
                pause = min(2 * pause, SLOWEST)
                continue
            pause = SOON
            await self._begin(found, delivering, crew)
            if once and not found and not self._places.taken:
                break
            if len(found) < asked:
                await self._wait(crew, IDLE, partial(self._has_room, full, once))
            await self._wait(crew, FOR_EVER, self._is_free)
        await self._wait_for_all(crew)

    async def _claim(self, most: int, full: frozenset[str], *, once: bool) -> Sequence[Claimed] | None:
        """What is due; None if the outbox is down. With `once`, that is an error."""
        try:
            found = await self._outbox.aclaim(
                self._id,
                most,
                now=self._clock(),
                full=full,
                lease=LEASE,
                per_endpoint=self._places.each,
                well=self._places.left_for_failing <= 0,  # else it might be given those of a thousand that fail
            )
        except Exception as error:
            self._outage.begins(error)
            if once:
                raise
            return None
        self._outage.ends()
        return found

    async def _begin(self, found: Sequence[Claimed], delivering: Delivering, crew: Crew) -> None:
        """Send what there is time and place for, and give the rest back."""
        over = []
        for claimed in found:
            in_time = self._clock() + self._needed < claimed.lease_until
            if in_time and not self._stopping and self._takes(claimed.endpoint):
                crew.start(self._deliver, delivering, claimed)
            else:
                over.append(claimed)
        if over:
            await self._give_back(over)

    async def _deliver(self, delivering: Delivering, claimed: Claimed) -> None:
        arrived = False
        try:
            arrived = await delivering.deliver(claimed)
        finally:
            self._places.leave(claimed.endpoint.id, arrived=arrived)

    def _takes(self, endpoint: Destination) -> bool:
        return self._places.take(endpoint.id, failing=endpoint.first_failure_at is not None)

    def _has_room(self, full: frozenset[str], once: bool) -> bool:
        """Whether one of these endpoints has a place again; or with `once` nothing is under way."""
        return not full <= self._places.full() or (once and not self._places.taken)

    def _is_free(self) -> bool:
        return self._places.free > 0

    async def _give_back(self, over: Sequence[Claimed]) -> None:
        try:
            await self._ledger.agive_back(over, now=self._clock())
        except Exception as error:  # noqa: BLE001 - they come back by themselves when the lease is over
            self._outage.begins(error)

    async def _wait(self, crew: Crew, seconds: float, until: Callable[[], bool]) -> None:
        """Wait for so long, or until this is so, or until the worker is to stop."""
        deadline = time.monotonic() + seconds
        while not self._stopping and not until() and (left := deadline - time.monotonic()) > 0:
            await crew.rung(left)

    async def _wait_for_all(self, crew: Crew) -> None:
        deadline = time.monotonic() + self._needed
        while self._places.taken and (left := deadline - time.monotonic()) > 0:
            await crew.rung(left)


def _never() -> bool:
    return False
