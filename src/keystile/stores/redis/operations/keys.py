"""Keys: adding, changing and ending them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

from ....exceptions import NotFound, StoreUnavailable, UnreadableRecord
from ....model import ApiKey, AuditEntry, Project, SecretHash, Target, Used
from ...contract import PLACES, Cap, Written
from ...rows import check_members, microseconds
from ..admission import Admission, Admitted
from ..bodies import Kept, draw, is_revoked, key_text, read_key, read_use
from ..founding import Founding
from ..names import OWNERS, Entry, Slot
from ..server import TOUCH
from ..told import Told
from ..writing import TRIES, Writing, uses

# What an entry says of a key.
_NOTED = (*OWNERS, "expires_at")


class _Change(NamedTuple):
    """A key that is to be written.

    Attributes:
        before: as it was read; None for a new one.
        key: as it is to be.
        strings: what becomes of its uses.
        is_placed: whether it is said to which project or organization it belongs, even if that is what it was.
        project: one that is made with it.
    """

    before: Kept | None
    key: ApiKey
    strings: Sequence[Any]
    is_placed: bool = True
    project: Project | None = None

    @property
    def token(self) -> str | None:
        """That of its entry, if that stays."""
        if self.before is None or any(getattr(self.before.key, name) != getattr(self.key, name) for name in _NOTED):
            return None
        return self.before.token


class Keys:
    """The keys of one store."""

    def __init__(self, writing: Writing, told: Told, founding: Founding) -> None:
        self._writing, self._told, self._founding = writing, told, founding
        self._server, self._reading = writing.server, writing.reading
        self._admission = Admission(writing)

    async def add(
        self, key: ApiKey, entries: Sequence[AuditEntry], cap: Cap | None = None, project: Project | None = None
    ) -> Written:
        """Keep a new record, and the project that is made with it."""
        if project is not None:
            await self._founding.check(project)
        if await self._reading.raw(Slot("key", key.id)) is not None:
            raise KeyError(key.id)
        strings = uses({"last_used_at": key.last_used_at, "grace_used_at": key.grace_used_at})
        written = await self._write(_Change(None, key, strings, project=project), entries, cap)
        if written.record is None:
            raise KeyError(key.id)
        return written

    async def update(
        self,
        key_id: str,
        revision: int,
        changes: Mapping[str, Any],
        entries: Sequence[AuditEntry],
        cap: Cap | None = None,
    ) -> Written:
        """Set some members of a record."""
        check_members("keystile_keys", changes)
        before = await self._reading.key(key_id)
        if before is None or before.key.revision != revision:
            return Written(None)
        is_placed = not PLACES.isdisjoint(changes)
        change = _Change(before, replace(before.key, **changes), uses(changes), is_placed)
        return await self._write(change, entries, cap)

    async def revoke(self, key_id: str, at: datetime, entries: Sequence[AuditEntry]) -> Written:
        """Set `revoked_at` for good."""
        raw, is_first = await self._writing.revoke(key_id, at, entries)
        if raw is None:
            return Written(None)
        kept = self._reading.read(read_key, raw, key_id, "; the key is revoked all the same")
        if is_first:
            await self._admission.leave(Entry(kept.key, kept.token), revoked=True)
        return Written(await self._reading.shown(kept), tuple(entries) if is_first else ())

    async def touch(self, key_id: str, at: datetime, graced: bool = False) -> None:
        """Set `last_used_at`, and perhaps `grace_used_at`, never backwards."""
        await self.note(Used(key_id, at, graced))

    async def note(self, use: Used, every: float = 0.0) -> None:
        """Note a use, where the noted one is before it, and at least so many seconds."""
        slot, least = Slot("key", use.key_id), int(every * 1e6) or 1
        names = [slot.name(what) for what in ("record", "used", "graced")]
        await self._server.run(TOUCH, names, microseconds(use.at), int(use.graced), least)

    async def last_used(self, key_id: str, graced: bool = False) -> datetime | None:
        """When the key, or its older secret, was used last."""
        found = await self._server.get(Slot("key", key_id).name("graced" if graced else "used"))
        used: datetime | None = self._reading.read(lambda _raw: read_use(found), b"", key_id)
        return used

    async def rehash(self, key_id: str, old: SecretHash, new: SecretHash) -> None:
        """Replace one hash by another."""
        for _ in range(TRIES):
            kept = await self._reading.key(key_id)
            if kept is None or old not in kept.key.hashes:
                return
            hashes = tuple(new if each == old else each for each in kept.key.hashes)
            after = key_text(replace(kept.key, hashes=hashes), kept.token)
            if await self._writing.swap(Slot("key", key_id), kept.raw, after) == "written":
                return
        raise self._writing.busy()

    async def inherit(self, key_id: str) -> None:
        """Copy to a key what it inherits now. Whoever is about to write this key finds out and looks once more."""
        slot = Slot("key", key_id)
        for _ in range(TRIES):
            raw = await self._reading.raw(slot)
            if raw is None:
                if await self._writing.mark(slot, draw()):
                    return
                continue
            try:
                kept = self._reading.read(read_key, raw, key_id)
            except UnreadableRecord:  # nobody can use it
                return
            # Also if it is the same: somebody else may just be copying what was so before.
            after = key_text(replace(kept.key, inherited=await self._reading.inherited(kept.key)), kept.token)
            if await self._writing.swap(slot, raw, after) == "written":
                return
        raise self._writing.busy()

    async def end_of(
        self, project_id: str, key_id: str, at: datetime, first: AuditEntry, number: int
    ) -> Sequence[AuditEntry]:
        """Revoke a key because its project has ended; gives what is told of it."""
        raw = await self._reading.raw(Slot("key", key_id))
        if raw is None or is_revoked(raw):
            await self.inherit(key_id)
            return ()
        try:
            key = self._reading.read(read_key, raw, key_id).key
        except UnreadableRecord:
            name, organization_id = "", first.organization_id
        else:
            if key.project_id != project_id:
                await self.inherit(key_id)
                return ()
            name, organization_id = key.name, key.organization_id
        told = first.with_key_revoked(number, Target("key", key_id, name), organization_id)
        _, is_first = await self._writing.revoke(key_id, at, [told])
        return [told] if is_first else ()

    async def _write(self, change: _Change, entries: Sequence[AuditEntry], cap: Cap | None) -> Written:
        slot, kept_token = Slot("key", change.key.id), change.token
        # Looked at once more when the key is written; here, so that what comes first is refused first.
        if change.is_placed and change.project is None:
            await self._reading.check_project(change.key)
        entry = Entry(change.key, draw()) if kept_token is None else None
        admitted = await self._admission.enter(change.key, entry, cap, entries)
        await self._told.index(entries, slot)
        founded: bytes | None = None
        try:
            if change.project is not None:
                founded = await self._founding.begin(change.project, change.key.id)
            after = await self._commit(change, kept_token or (entry and entry.token) or "", entries, admitted, founded)
        except (KeyError, NotFound):
            await self._undo(change, entry, entries, founded)
            raise
        if after is None:
            await self._undo(change, entry, entries, founded)
            return Written(None)
        if change.project is not None and founded is not None:
            await self._founding.finish(change.project, founded)
        if entry is not None:
            await self._admission.confirm(entry)
            if change.before is not None:
                await self._admission.leave(Entry(change.before.key, change.before.token))
        kept = self._reading.read(read_key, after, change.key.id)
        return Written(await self._reading.shown(kept), (*entries, *admitted.revoked))

    async def _commit(
        self, change: _Change, token: str, entries: Sequence[AuditEntry], admitted: Admitted, founded: bytes | None
    ) -> bytes | None:
        """Write the record; None if it is not the one any more that was read."""
        slot, key = Slot("key", change.key.id), change.key
        mark: bytes | str = "" if change.before is None else "*"
        for _ in range(TRIES):
            if change.is_placed:
                if change.project is None:
                    await self._reading.check_project(key)
                elif founded != await self._reading.raw(Slot("project", change.project.id)):
                    raise KeyError(change.project.id)
                key = replace(key, inherited=await self._reading.inherited(key, change.project))
            after = key_text(key, token)
            before = change.before and change.before.raw
            outcome = await self._writing.swap(
                slot,
                before,
                after,
                entries,
                until=admitted.until,
                mark=mark,
                strings=change.strings,
            )
            if outcome == "written":
                return after
            if outcome == "late":
                raise StoreUnavailable(self._server.name, "was paused for too long in the middle of a write")
            if outcome == "changed":
                return None
            # What the key inherits has changed in the meantime.
            mark = await self._server.get(slot.name("mark")) or ""
        raise self._writing.busy()

    async def _undo(
        self, change: _Change, entry: Entry | None, entries: Sequence[AuditEntry], founded: bytes | None
    ) -> None:
        if change.project is not None and founded is not None:
            await self._founding.undo(change.project, founded)
        if entry is not None:
            await self._admission.leave(entry)
        await self._told.unindex(entries, Slot("key", change.key.id))
