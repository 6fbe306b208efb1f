"""The failure budget of client addresses: how many wrong keys may come from each, and who waits for a proof.

Only failures are counted, after they have happened: a right key writes nothing. A proof first takes one of the few
places of its address, and while it holds the place it looks at the address's windows. So a window admits at most its
limit plus the proofs under way, which are at most `PLACES` in each process.

An address whose window is full is not locked out. It waits for a single place that all such addresses share and take
in turn. So all guessing from there together goes no faster than one proof after another, and a good key is admitted.

Waiting is bounded: nobody waits longer than `Policy.hashing_wait`. For a place of an address from which keys failed,
nobody waits longer than `Policy.address_wait`, and no more than `WAITING` tasks wait, or a quarter of the threads.
An address from which nothing failed lately may well be a whole company behind one router, just after a restart: its
first uses wait as long as those from many addresses.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Hashable
from functools import partial
from typing import Any, NamedTuple

from .._sync import Crowd, Offload, Place, Places, SingleFlight, worker_count
from ..exceptions import Overloaded
from ..keys.hashing import Proof
from ..limiters.failsafe import Failsafe
from ..model import Charges, Reason
from ..policy import Policy
from ..rules import outcomes
from ..rules.limits.quotas import Quotas
from ..rules.limits.usages import refuses, retry_seconds

PLACES, WAITING = 2, 16
# For all addresses together, whatever the other bounds allow: a waiting task needs about 10 kB.
MOST_WAITING = 4096
_EXHAUSTED = "exhausted"

Counted = tuple[tuple[str, Charges], ...]
"""Where the failures of an address are counted, the narrowest network first."""
Prove = Callable[[Hashable, float], Coroutine[Any, Any, Proof | None]]
"""Proves a key. Takes the name of whoever waits for it, and the latest moment until which to wait."""


class _Standing(NamedTuple):
    """Where an address stands: whether nothing failed there lately, and its widest network that is full, or None."""

    clean: bool
    full: str | None


class FailureBudget:
    """Lets proofs begin, and counts those that fail.

    Args:
        policy: how long requests may wait.
        quotas: which windows there are.
        limits: where failures are counted.
    """

    def __init__(self, policy: Policy, quotas: Quotas, limits: Failsafe) -> None:
        self._limits, self.quotas = limits, quotas
        """Replaced when the policy is."""
        self._address_wait, self._hashing_wait = policy.address_wait, policy.hashing_wait
        self.places = Places()
        self._crowd = Crowd(PLACES + WAITING, worker_count(), policy.wsgi_threads, MOST_WAITING)
        self._flights = SingleFlight()

    async def spend(self, peer: str | None, digest: bytes, offload: Offload, prove: Prove) -> Proof | Reason:
        """The proof of a key, or why there is none.

        Args:
            peer: the address that the key came from.
            digest: stands for the key. When several requests bring it from one address, one of them proves it for all.
            offload: how this door runs what blocks.
            prove: proves the key; gives None if it is wrong.

        Raises:
            Overloaded: too many wait already, or for too long.
        """
        counted = self.quotas.failures(peer)
        name = counted[0][0] if counted else ""
        until = time.monotonic() + self._hashing_wait
        with self._crowd.joined(name, offload) as crowded:
            if crowded and not (await self._look(counted, offload)).clean:
                raise Overloaded("too many wait already")
            if not counted:
                return await prove(name, until) or outcomes.INVALID
            work = partial(self._in_turn, counted, offload, until, prove)
            return await self._flights.run((digest, name), offload, work)

    async def _in_turn(self, counted: Counted, offload: Offload, until: float, prove: Prove) -> Proof | Reason:
        place = await self._place(counted, offload, until)
        # A guess counts even if the client hangs up in the middle of it.
        work = partial(self._proved, counted, offload, partial(prove, counted[0][0], until))
        return await offload.finish(work, partial(self.places.leave, place))

    async def _proved(
        self, counted: Counted, offload: Offload, prove: Callable[[], Coroutine[Any, Any, Proof | None]]
    ) -> Proof | Reason:
        proof = await prove()
        if proof is not None:
            return proof
        for subject, charges in counted:
            usages = await self._limits.hit(offload, subject, charges)
            if refuses(usages):  # the wider networks do not count what is beyond the limit here
                return outcomes.too_many_failures(retry_seconds(usages))
        return outcomes.INVALID

    async def _place(self, counted: Counted, offload: Offload, until: float) -> Place:
        """A place of the address; or, if its window is full, the one that all such addresses share."""
        name = counted[0][0]
        place = self.places.take(name, PLACES)
        if place is None:
            standing, left = await self._look(counted, offload), _left(until)
            if standing.full is not None:
                return await self.places.enter(_EXHAUSTED, 1, standing.full, offload, left)
            seconds = left if standing.clean else min(self._address_wait, left)
            place = await self.places.enter(name, PLACES, name, offload, seconds)
        try:
            standing = await self._look(counted, offload)
        except BaseException:
            self.places.leave(place)
            raise
        if standing.full is None:
            return place
        self.places.leave(place)
        return await self.places.enter(_EXHAUSTED, 1, standing.full, offload, _left(until))

    async def _look(self, counted: Counted, offload: Offload) -> _Standing:
        clean, full = True, None
        for subject, charges in counted:
            usages = await self._limits.hit(offload, subject, charges, count=False)
            if refuses(usages):
                full = subject
            clean = clean and all(usage.remaining >= usage.window.limit for usage in usages)
        return _Standing(clean, full)


def _left(until: float) -> float:
    return max(0.0, until - time.monotonic())
