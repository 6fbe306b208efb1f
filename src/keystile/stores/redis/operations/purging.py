"""Removing for good what ended long ago.

A step looks at so many members of one list: first of all keys, then of all projects, then of the whole audit. A key's
record goes first, by a script that wants it to be still what was read, and then where it is listed. If the process ends
in between, a place in a list names a record that is not there: the next purge takes that out of everybody's list, and
others pass it over.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from ....exceptions import UnreadableRecord
from ....model import Project, Purged
from ...contract import PurgeAsked, PurgeStep
from ..admission import Admission
from ..bodies import Kept, Owner, read_key
from ..names import EVERYBODY, Entry, Slot, age_of, listed, unlisted
from ..told import Told
from ..writing import Writing
from .owners import PAGE, Owners

# Where the entry about a purge stands.
PURGES = Slot("store", "purges")
_PHASES = ("keys", "projects", "entries")

_Told = Callable[[], Awaitable[None]]


class Purging:
    """Removes records of one store."""

    def __init__(self, writing: Writing, told: Told, owners: Owners) -> None:
        self._writing, self._told, self._owners = writing, told, owners
        self._server, self._reading = writing.server, writing.reading
        self._admission = Admission(writing)

    async def purge(self, asked: PurgeAsked) -> PurgeStep:
        """Remove what ended long ago."""
        phase, _, place = (asked.after or _PHASES[0]).partition(":")
        beyond = b"(" + bytes.fromhex(place) if place else b"-"
        if phase == "entries":
            members = await self._told.old(asked.before, beyond, asked.most)
        else:
            name = EVERYBODY.name("list" if phase == "keys" else phase)
            members = await self._server.members(name, beyond, asked.most)
        visit = {"keys": self._keys, "projects": self._projects, "entries": self._entries}[phase]
        step = await visit(asked, members)
        return step._replace(next=_next(phase, members, asked.most))

    async def _keys(self, asked: PurgeAsked, members: Sequence[bytes]) -> PurgeStep:
        records = await self._reading.keys([unlisted(member)[0] for member in members])
        ended: list[Kept] = []
        for member, (key_id, (raw, *_)) in zip(members, records, strict=True):
            kept = None if raw is None else self._kept(raw, key_id)
            if raw is None and member < age_of(asked.before) and not asked.dry:
                await self._server.drop([EVERYBODY.name("list")], [member])
            elif kept is not None and kept.token == unlisted(member)[1] and kept.key.ended_before(asked.before):
                ended.append(kept)
        if asked.dry or not ended:
            return PurgeStep(Purged(keys=len(ended)))
        await self._told.add(asked.entries, PURGES)
        removed = [await self._remove_key(kept) for kept in ended]
        return PurgeStep(Purged(keys=sum(removed)), None, tuple(asked.entries))

    async def _projects(self, asked: PurgeAsked, members: Sequence[bytes]) -> PurgeStep:
        ended: list[Owner] = []
        for member in members:
            owner = await self._reading.owner(unlisted(member)[0])
            gone = owner is not None and owner.deleted_at is not None and owner.deleted_at < asked.before
            if owner is not None and gone and listed(owner.project.created_at, owner.project.id) == member:
                # First, what a process that was interrupted has left to be done for it.
                await self._owners.find_project(owner.project.id)
                if await self._is_empty(owner.project, asked):
                    ended.append(owner)
        if asked.dry or not ended:
            return PurgeStep(Purged(projects=len(ended)))
        await self._told.add(asked.entries, PURGES)
        removed = [await self._remove_project(owner.project) for owner in ended]
        return PurgeStep(Purged(projects=sum(removed)), None, tuple(asked.entries))

    async def _entries(self, asked: PurgeAsked, members: Sequence[bytes]) -> PurgeStep:
        if asked.dry or not members:
            return PurgeStep(Purged(entries=len(members)))
        await self._told.add(asked.entries, PURGES)
        removed = [await self._told.drop(member) for member in members]
        return PurgeStep(Purged(entries=sum(removed)), None, tuple(asked.entries))

    async def _remove_key(self, kept: Kept) -> bool:
        if await self._writing.swap(Slot("key", kept.key.id), kept.raw, b"", strings=("", "")) != "written":
            return False
        await self._admission.leave(Entry(kept.key, kept.token))
        return True

    async def _remove_project(self, project: Project) -> bool:
        slot = Slot("project", project.id)
        owner = await self._reading.owner(project.id)
        if owner is None or not owner.deleted:
            return False
        if await self._writing.swap(slot, owner.raw, b"", strings=("", "")) != "written":
            return False
        for whose in (Slot("organization", project.organization_id), EVERYBODY):
            await self._server.drop([whose.name("projects")], [listed(project.created_at, project.id)])
        return True

    async def _is_empty(self, project: Project, asked: PurgeAsked) -> bool:
        """Whether no key of a project is left, or will be; what its list names without a record is taken out."""
        name, beyond = Slot("project", project.id).name("list"), b"-"
        while members := await self._server.members(name, beyond, PAGE):
            records = await self._reading.keys([unlisted(member)[0] for member in members])
            for member, (key_id, (raw, *_)) in zip(members, records, strict=True):
                kept = None if raw is None else self._kept(raw, key_id)
                if raw is not None and not (asked.dry and kept is not None and kept.key.ended_before(asked.before)):
                    return False
                if raw is None and not asked.dry:
                    await self._server.drop([name], [member])
            beyond = b"(" + members[-1]
        return True

    def _kept(self, raw: bytes, key_id: str) -> Kept | None:
        try:
            return self._reading.read(read_key, raw, key_id)
        except UnreadableRecord:
            return None


def _next(phase: str, members: Sequence[bytes], most: int) -> str | None:
    """Where the next step goes on."""
    if len(members) == most:
        return f"{phase}:{members[-1].hex()}"
    place = _PHASES.index(phase) + 1
    return None if place == len(_PHASES) else _PHASES[place]
