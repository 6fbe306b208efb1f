"""Writing a record, together with what is told of it, under the condition that it is still the one that was read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from ...exceptions import StoreBusy, StoreUnavailable
from ...model import AuditEntry
from ..rows import USES, microseconds
from .bodies import is_revoked, revoked_text
from .names import Slot
from .reading import Reading
from .server import MARK, WRITE
from .told import Told, written

# How often a write is tried again because others changed the record.
TRIES = 100
# For how long a mark holds, in milliseconds: longer than the write may take that it is meant for (`admission`).
MARKED = 120_000

KEEP = "="


class Writing:
    """Writes the records of one store."""

    def __init__(self, reading: Reading, told: Told) -> None:
        self.reading, self.server, self.told = reading, reading.server, told

    async def swap(
        self,
        slot: Slot,
        before: bytes | None,
        after: bytes,
        entries: Sequence[AuditEntry] = (),
        *,
        until: int | None = None,
        mark: bytes | str = "*",
        strings: Sequence[Any] = (KEEP, KEEP),
    ) -> str:
        """Write a record if it is still what it was.

        Args:
            slot: whose record.
            before, after: what it is and what it becomes; None and empty for none.
            entries: what is told.
            until: not after this moment, in the server's milliseconds.
            mark: what the mark in this slot must be; ``*`` for any.
            strings: what its two further strings become.

        Returns:
            ``written``; or why not: ``changed``, ``marked``, ``late``.
        """
        names = [slot.name(what) for what in ("record", "audit", "mark", *_strings_of(slot))]
        deadline = "" if until is None else until
        reply = await self.server.run(WRITE, names, before or b"", after, deadline, mark, *strings, *written(entries))
        if not isinstance(reply, bytes):
            raise StoreUnavailable(self.server.name, "malformed reply")
        return reply.decode()

    async def revoke(self, key_id: str, at: datetime, entries: Sequence[AuditEntry]) -> tuple[bytes | None, bool]:
        """Set a key's moment of revocation for good, even if the rest of its record cannot be read.

        Returns:
            The record as it is then, and whether it was not revoked before.
        """
        slot, indexed = Slot("key", key_id), False
        for _ in range(TRIES):
            raw = await self.reading.raw(slot)
            if raw is None or is_revoked(raw):
                if indexed:
                    await self.told.unindex(entries, slot)
                return raw, False
            if not indexed:
                await self.told.index(entries, slot)
                indexed = True
            after = revoked_text(raw, at)
            if await self.swap(slot, raw, after, entries) == "written":
                return after, True
        raise self.busy()

    async def mark(self, slot: Slot, token: str) -> bool:
        """Mark a record that is not there; whether it is not."""
        return bool(await self.server.run(MARK, [slot.name("record"), slot.name("mark")], token, MARKED))

    def busy(self) -> StoreBusy:
        """What is raised if others change a record all the time."""
        return StoreBusy(self.server.name, "others change this record all the time")


def _strings_of(slot: Slot) -> Sequence[str]:
    return ("used", "graced") if slot.kind == "key" else ("spreading", "unused")


def uses(values: Mapping[str, Any]) -> list[Any]:
    """What becomes of a key's two uses, where a write sets them."""
    moments = (microseconds(values[name]) if name in values else KEEP for name in USES)
    return ["" if each is None else each for each in moments]
