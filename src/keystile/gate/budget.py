"""The failure budget of client addresses: how many wrong keys may come from each, and who waits for a proof.

Failures alone are counted, when they have happened: a right key writes nothing. Before a proof the windows of its
address are looked at, while one of the few places that each address has is held, so that a window admits at most its
limit and what is under way: `PLACES` in each process.

Whose window is full is not locked out but waits for a single place, which all such addresses share and are given in
turn: guessing goes on there as fast as one proof after another, whoever guesses, and a good key is admitted.

Waiting is bounded: nobody waits longer than `Policy.hashing_wait`, and nobody longer than `Policy.address_wait` for a
place of an address from which keys failed; there, no more than `WAITING` tasks wait, or a quarter of the threads.
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
from ..model import Reason
from ..policy import Policy
from ..rules import outcomes
from ..rules.limits.quotas import Quotas, Windows
from ..rules.limits.usages import refuses, retry_seconds

PLACES, WAITING = 2, 16
# Of all addresses together, whatever else allows more: a task that waits needs about 10 kB.
MOST_WAITING = 4096
_EXHAUSTED = "exhausted"

Counted = tuple[tuple[str, Windows], ...]
"""Where the failures of an address are counted, the narrowest network first."""
Prove = Callable[[Hashable, float], Coroutine[Any, Any, Proof | None]]
"""Proves a key: who waits meanwhile, and until when at most."""


class _Standing(NamedTuple):
    """Where an address stands: whether nothing failed there lately; the widest network of it that is full, or None."""

    clean: bool
    full: str | None


class FailureBudget:
    """Lets proofs begin, and counts those that fail.

    Args:
        policy: how long whoever waits.
        quotas: which windows there are.
        limits: where failures are counted.
    """

    def __init__(self, policy: Policy, quotas: Quotas, limits: Failsafe) -> None:
        self._quotas, self._limits = quotas, limits
        self._address_wait, self._hashing_wait = policy.address_wait, policy.hashing_wait
        self.places = Places()
        self._crowd = Crowd(PLACES + WAITING, worker_count(), policy.wsgi_threads, MOST_WAITING)
        self._flights = SingleFlight()

    async def spend(self, peer: str | None, digest: bytes, offload: Offload, prove: Prove) -> Proof | Reason:
        """The proof of a key, or why there is none.

        Args:
            peer: who came with the key.
            digest: what stands for the key; of several who come with it from one address, one proves it for all.
            offload: how this door does what blocks.
            prove: proves it; None if it is wrong.

        Raises:
            Overloaded: too many wait already, or for too long.
        """
        counted = self._quotas.failures(peer)
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
        # Whoever hangs up in the middle of a guess has guessed.
        work = partial(self._proved, counted, offload, partial(prove, counted[0][0], until))
        return await offload.finish(work, partial(self.places.leave, place))

    async def _proved(
        self, counted: Counted, offload: Offload, prove: Callable[[], Coroutine[Any, Any, Proof | None]]
    ) -> Proof | Reason:
        proof = await prove()
        if proof is not None:
            return proof
        for subject, windows in counted:
            usages = await self._limits.hit(offload, subject, windows, 1)
            if refuses(usages):  # and its neighbours do not answer for what goes on beyond its limit
                return outcomes.too_many_failures(retry_seconds(usages))
        return outcomes.INVALID

    async def _place(self, counted: Counted, offload: Offload, until: float) -> Place:
        """A place of the address; or, if its window is full, the one for all such."""
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
        for subject, windows in counted:
            usages = await self._limits.hit(offload, subject, windows, 1, count=False)
            if refuses(usages):
                full = subject
            clean = clean and all(usage.remaining >= usage.window.limit for usage in usages)
        return _Standing(clean, full)


def _left(until: float) -> float:
    return max(0.0, until - time.monotonic())
