"""Removing for good what ended long ago: nobody does it but who is asked to.

It goes in short steps, and after each one rests for as long as that took: others write in between.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from .._sync import Offload, rest
from ..exceptions import ConfigurationError
from ..model import Actor, Purged
from ..policy import MIN_RETENTION
from ..stores import PurgeAsked, PurgeStep
from .changes.audit import check_actor, purged
from .changes.fields import check_seconds
from .changes.records import Records
from .changes.twins import awaited, blocking
from .usage.counting import Counting

# So many records of each kind are removed in one step: a few milliseconds of writing.
BATCH = 200
LONGEST_REST = 0.1
# A hundred years.
_LONGEST = 3_155_760_000.0


class Purger:
    """Purges a store; `gate.purge` is its one operation.

    Args:
        records: calls the store.
        counting: forgets old counts.
        retention: for how many seconds what has ended is kept; None keeps it.
    """

    def __init__(self, records: Records, counting: Counting, retention: int | None) -> None:
        self._records, self._counting, self._retention = records, counting, retention
        self.needs_await = records.needs_await
        """Whether the store is async, so that only the awaited operation works."""

    async def _purge(
        self,
        offload: Offload,
        *,
        older_than: float | None = None,
        dry_run: bool = False,
        progress: Callable[[Purged], object] | None = None,
        actor: Actor | None = None,
    ) -> Purged:
        """Remove for good what ended long ago: keys that were revoked or expired, projects that were deleted, and the
        audit of that time. The counts of usage that are kept no longer go as well.

        A removed key is answered like one that never was. Requests, and other changes, go on meanwhile; several
        processes may purge at once; and what an interrupted purge has left, the next one removes.

        Args:
            older_than: what ended so many seconds ago, at least 3600; None is the setting `retention`, and if that is
                None too, nothing is removed but counts.
            dry_run: remove nothing; only count.
            progress: called after each step with what was removed so far.
            actor: who does it.

        Returns:
            How many records were removed, or would be.
        """
        seconds = _checked(older_than, self._retention)
        who, now = check_actor(actor), self._records.now()
        if not dry_run:
            await self._counting.forget(offload)
        if seconds is None:
            return Purged()
        before = now - timedelta(seconds=seconds)
        asked = PurgeAsked(before, BATCH, None, () if dry_run else (purged("store.purge", who, now, before),), dry_run)
        return await self._go_through(offload, asked, progress or _nobody)

    async def _go_through(self, offload: Offload, asked: PurgeAsked, progress: Callable[[Purged], object]) -> Purged:
        done = Purged()
        while True:
            begun = time.monotonic()
            step: PurgeStep = await self._records.call(offload, "purge", asked)
            self._records.tell(step.entries)
            done = Purged(*map(sum, zip(done, step.removed, strict=True)))
            progress(done)
            if step.next is None:
                return done
            # It is told once.
            asked = asked._replace(after=step.next, entries=() if step.entries else asked.entries)
            await rest(offload, min(time.monotonic() - begun, LONGEST_REST))

    purge, apurge = blocking(_purge), awaited(_purge)


def _checked(older_than: Any, retention: int | None) -> float | None:
    if older_than is None:
        return retention
    seconds = check_seconds(older_than, _LONGEST, "older_than")
    if seconds < MIN_RETENTION:
        raise ConfigurationError(f"expected at least {MIN_RETENTION} seconds", key="older_than")
    return seconds


def _nobody(_done: Purged) -> None:
    """Nobody looks on."""
