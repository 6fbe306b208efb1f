"""What is told of changes: entries beside the records that they are about, and indexes to find them by.

An entry is written by the script that writes the record, in its slot: both or neither. The indexes are in other slots,
so they are written before. What they name without an entry was never done, and is passed over.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ...model import AuditEntry
from ..filters import AuditFilter
from .bodies import entry_text, read_entry
from .names import EVERYBODY, Slot, age_of, octets_of, text_of
from .server import Server

# How many entries are read at a time.
PAGE = 100


class Told:
    """The audit of one store."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def index(self, entries: Sequence[AuditEntry], slot: Slot) -> None:
        """Note where these entries will be: in this slot."""
        ages = EVERYBODY.name("told-at")
        for entry in entries:
            await self._server.ask(ages, "HSET", ages, entry.id, age_of(entry.at))
            for name in _indexes(entry):
                await self._server.ask(name, "ZADD", name, 0, _member(entry, slot))

    async def unindex(self, entries: Sequence[AuditEntry], slot: Slot) -> None:
        """These entries were not written after all."""
        ages = EVERYBODY.name("told-at")
        for entry in entries:
            for name in _indexes(entry):
                await self._server.ask(name, "ZREM", name, _member(entry, slot))
            await self._server.ask(ages, "HDEL", ages, entry.id)

    async def list(self, wanted: AuditFilter, after: str | None, limit: int) -> Sequence[AuditEntry]:
        """Entries, the newest first."""
        name, beyond = _index_of(wanted), b"+"
        if after is not None:
            ages = EVERYBODY.name("told-at")
            age = await self._server.ask(ages, "HGET", ages, after)
            if age is None:
                return []
            beyond = b"(" + age + octets_of(after) + b"\0"
        found: list[AuditEntry] = []
        while True:
            members = await self._server.members(name, beyond, PAGE, newest=True)
            for member in members:
                entry = await self._read(member)
                if entry is not None and _fits(entry, wanted):
                    found.append(entry)
                if len(found) == limit:
                    return found
            if len(members) < PAGE:
                return found
            beyond = b"(" + members[-1]

    async def _read(self, member: bytes) -> AuditEntry | None:
        entry_id, _, place = member[16:].partition(b"\0")
        kind, _, owner = text_of(place).partition(":")
        name = Slot(kind, owner).name("audit")
        raw = await self._server.ask(name, "HGET", name, entry_id)
        return None if raw is None else read_entry(raw)


def written(entries: Sequence[AuditEntry]) -> list[Any]:
    """The entries as the script takes them."""
    return [part for entry in entries for part in (entry.id, entry_text(entry))]


def _indexes(entry: AuditEntry) -> Iterator[bytes]:
    yield EVERYBODY.name("told")
    if entry.organization_id is not None:
        yield Slot("organization", entry.organization_id).name("told")
    for target_id in dict.fromkeys(target.id for target in entry.targets):
        yield Slot("target", target_id).name("told")


def _index_of(wanted: AuditFilter) -> bytes:
    if wanted.target is not None:
        return Slot("target", wanted.target).name("told")
    if wanted.organization_id is not None:
        return Slot("organization", wanted.organization_id).name("told")
    return EVERYBODY.name("told")


def _member(entry: AuditEntry, slot: Slot) -> bytes:
    return age_of(entry.at) + octets_of(f"{entry.id}\0{slot.kind}:{slot.id}")


def _fits(entry: AuditEntry, wanted: AuditFilter) -> bool:
    return (
        wanted.organization_id in {None, entry.organization_id}
        and wanted.event in {None, entry.event}
        and (wanted.target is None or any(target.id == wanted.target for target in entry.targets))
    )
