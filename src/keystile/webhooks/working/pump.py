"""The gate's own events: what its audit tells becomes messages to the organizations that it concerns.

The audit is read, not listened to: what was written while no worker ran is told all the same, and what was never
written is never told. Entries may become visible later than younger ones, for a transaction takes its time. So each
pass reads the last `OVERLAP` seconds again; the outbox keeps every entry once, by its id.
"""

from __future__ import annotations

import logging

from ..._sync import sleep
from ...events import Event, Events, Outage
from ...exceptions import ConfigurationError
from ...gate import Gate
from ...model import AuditEntry
from ..outbox import Outbox
from .ledger import Ledger
from .own import Own, told

EVERY = 2.0
"""Seconds between passes."""
SLOWEST = 30.0
"""Seconds after which an audit that is down is read again, at the longest."""
OVERLAP = 600.0
"""Seconds. Longer than a write of the gate takes, and than the clocks of hosts with one store differ."""
PAGE = 500
OF_ONE = frozenset(("data", "organization_id"))
"""What an error names that concerns one message alone."""
MARK = "audit"
"""The name under which the outbox remembers how far the audit was read."""


class Pump:
    """Reads the audit and adds messages.

    Args:
        outbox: where they are added.
        gate: whose audit.
        wanted: the types of messages that are wanted.
        events: told when the audit or the outbox is down.
    """

    def __init__(self, outbox: Outbox, gate: Gate, wanted: frozenset[str], events: Events) -> None:
        self._outbox, self._ledger, self._gate, self._wanted = outbox, Ledger(outbox), gate, wanted
        self._events = events
        self._outage = Outage(events, "own_events", "changes are not told to endpoints yet")
        self._seen: dict[str, float] = {}

    async def run(self) -> None:
        """Make passes until the task is cancelled."""
        pause = EVERY
        while True:
            try:
                await self.once()
            except Exception as error:  # noqa: BLE001 - whatever it is, it may be over later
                self._outage.begins(error)
                pause = min(2 * pause, SLOWEST)
            else:
                self._outage.ends()
                pause = EVERY
            await sleep(pause)

    async def once(self) -> None:
        """Read what came since the last pass, the newest first. How far that was is noted when all is added: a pass
        that ends early is made again."""
        now = self._gate.clock()
        mark = await self._ledger.amark(MARK)
        # Nobody waits to hear of what was before the first pass of all.
        read = now + OVERLAP if mark is None else mark
        newest, after = read, None
        while page := await self._gate.aaudit(after=after, limit=PAGE):
            newest, after = max(newest, page[0].at.timestamp()), page[-1].id
            fresh = [entry for entry in page if entry.at.timestamp() > read - OVERLAP]
            for entry in fresh:
                await self._add(entry)
            if len(fresh) < len(page):
                break
        # An entry of a clock that was ahead must not hide those of the others.
        newest = max(read, min(newest, now))
        if newest != mark:
            await self._ledger.aset_mark(MARK, newest)
        self._seen = {name: at for name, at in self._seen.items() if at > newest - OVERLAP}

    async def _add(self, entry: AuditEntry) -> None:
        if entry.id in self._seen:
            return
        if entry.organization_id is not None:  # else it concerns nobody who could have an endpoint
            for each in told(entry, self._wanted):
                await self._tell(each, entry.organization_id)
        self._seen[entry.id] = entry.at.timestamp()

    async def _tell(self, own: Own, organization_id: str) -> None:
        try:
            await self._outbox.aadd(own.type, own.data, organization_id=organization_id, dedupe_key=own.dedupe_key)
        except ConfigurationError as error:
            if error.key not in OF_ONE:
                raise
            # One that cannot be told must not keep back all the others.
            reason = f"{own.dedupe_key} of organization {organization_id}: {error.key}"
            self._events.tell(Event("webhook.unsendable", logging.WARNING, reason=reason))
