"""Projects and organizations, and copying to each of their keys what it inherits from them.

The owner is written first, together with a note that its keys are still to follow; the note goes when all have. If a
process ends in between, whoever looks at the owner next finishes the work before he gets an answer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from ....model import AuditEntry, Organization, Project
from ...contract import Written
from ...rows import check_members
from ..bodies import Owner, draw, organization_text, project_text, read_organization, read_project
from ..founding import Founding
from ..names import EVERYBODY, Slot, behind, listed, unlisted
from ..server import RELEASE
from ..told import Told
from ..writing import KEEP, TRIES, Writing
from .keys import Keys

# How many members of a list are read at a time.
PAGE = 200

Visit = Callable[[str, int], Awaitable[Sequence[AuditEntry]]]


class Owners:
    """The projects and organizations of one store."""

    def __init__(self, writing: Writing, told: Told, founding: Founding, keys: Keys) -> None:
        self._writing, self._told, self._founding, self._keys = writing, told, founding, keys
        self._server, self._reading = writing.server, writing.reading

    async def find_project(self, project_id: str) -> Project | None:
        """The project, or None."""
        owner = await self._project(project_id)
        return None if owner is None or owner.deleted else owner.project

    async def list_projects(self, organization_id: str | None, after: str | None, limit: int) -> Sequence[Project]:
        """Projects by age."""
        whose = EVERYBODY if organization_id is None else Slot("organization", organization_id)
        last = None if after is None else await self._reading.owner(after)
        if after is not None and last is None:
            return []

        async def look(id: str) -> Project | None:
            found = await self._reading.project(id)
            return found if found is not None and organization_id in {None, found.organization_id} else None

        beyond = b"-" if last is None else behind(last.project.created_at, last.project.id)
        return await self._page(whose.name("projects"), beyond, limit, look)

    async def update_project(
        self, project_id: str, revision: int, changes: Mapping[str, Any], entries: Sequence[AuditEntry]
    ) -> Written:
        """Set some members of a project."""
        check_members("keystile_projects", changes)
        owner = await self._project(project_id)
        if owner is None or owner.deleted or owner.project.revision != revision:
            return Written(None)
        after = replace(owner.project, **changes)
        await self._founding.list(after)
        slot = Slot("project", project_id)
        raw = await self._swap(slot, owner.raw, project_text(after), entries, {"suspended_at"} & changes.keys())
        return (
            Written(None)
            if raw is None
            else Written(self._reading.read(read_project, raw, project_id).project, tuple(entries))
        )

    async def delete_project(self, project_id: str, at: datetime, entries: Sequence[AuditEntry]) -> Written:
        """End a project and its keys."""
        slot = Slot("project", project_id)
        for _ in range(TRIES):
            owner = await self._project(project_id)
            if owner is None or owner.deleted:
                return Written(owner and owner.project)
            after = project_text(owner.project, deleted_at=at, told=tuple(entries))
            token = draw()
            await self._told.index(entries, slot)
            if await self._writing.swap(slot, owner.raw, after, entries, strings=(token, KEEP)) == "written":
                more = await self._end_keys(project_id, token, at, (entries[0], len(entries)))
                return Written(owner.project, (*entries, *more))
        await self._told.unindex(entries, slot)
        raise self._writing.busy()

    async def add_organization(self, organization: Organization, entries: Sequence[AuditEntry]) -> Written:
        """Keep a new organization."""
        if await self._reading.raw(Slot("organization", organization.id)) is not None:
            raise KeyError(organization.id)
        name = EVERYBODY.name("organizations")
        await self._server.ask(name, "ZADD", name, 0, listed(organization.created_at, organization.id))
        slot = Slot("organization", organization.id)
        raw = await self._swap(slot, None, organization_text(organization), entries, {"plan"})
        if raw is None:
            raise KeyError(organization.id)
        return Written(self._reading.read(read_organization, raw, organization.id), tuple(entries))

    async def find_organization(self, organization_id: str) -> Organization | None:
        """The organization, or None."""
        slot = Slot("organization", organization_id)
        raw, spreading = await self._look(slot)
        if raw is not None and spreading is not None:
            await self._spread(slot, spreading, self._inherit)
        return None if raw is None else self._reading.read(read_organization, raw, organization_id)

    async def list_organizations(self, after: str | None, limit: int) -> Sequence[Organization]:
        """Organizations by age."""
        last = None if after is None else await self._reading.organization(after)
        if after is not None and last is None:
            return []
        beyond = b"-" if last is None else behind(last.created_at, last.id)
        return await self._page(EVERYBODY.name("organizations"), beyond, limit, self._reading.organization)

    async def update_organization(
        self, organization_id: str, revision: int, changes: Mapping[str, Any], entries: Sequence[AuditEntry]
    ) -> Written:
        """Set some members of an organization."""
        check_members("keystile_organizations", changes)
        slot = Slot("organization", organization_id)
        raw, _ = await self._look(slot)
        if raw is None:
            return Written(None)
        found = self._reading.read(read_organization, raw, organization_id)
        if found.revision != revision:
            return Written(None)
        after = organization_text(replace(found, **changes))
        new = await self._swap(slot, raw, after, entries, {"plan", "suspended_at"} & changes.keys())
        return (
            Written(None)
            if new is None
            else Written(self._reading.read(read_organization, new, organization_id), tuple(entries))
        )

    async def _look(self, slot: Slot) -> tuple[bytes | None, bytes | None]:
        [[raw, spreading]] = await self._server.gets([[slot.name("record"), slot.name("spreading")]])
        return raw, spreading

    async def _project(self, project_id: str) -> Owner | None:
        """What stands of a project, also of one that was deleted, when nothing is left to be done for it."""
        slot = Slot("project", project_id)
        for _ in range(TRIES):
            raw, spreading = await self._look(slot)
            if raw is None:
                return None
            owner = self._reading.read(read_project, raw, project_id)
            if owner.first_key is not None:
                if not await self._reading.is_there(owner):
                    return None
                await self._founding.finish(owner.project, raw)
                continue
            if spreading is not None and owner.ending is not None and owner.deleted_at is not None:
                first, count = owner.ending
                # After the numbers that were given out before the interruption.
                listed_keys = await self._server.ask(slot.name("list"), "ZCARD", slot.name("list"))
                await self._end_keys(project_id, spreading, owner.deleted_at, (first, count + listed_keys))
            elif spreading is not None:
                await self._spread(slot, spreading, self._inherit)
            return owner
        raise self._writing.busy()

    async def _swap(
        self, slot: Slot, before: bytes | None, after: bytes, entries: Sequence[AuditEntry], inherited: set[str]
    ) -> bytes | None:
        """Write an owner, and copy what is inherited, if any of it was changed; None if it is another one now."""
        token = draw()
        await self._told.index(entries, slot)
        strings = (token if inherited else KEEP, KEEP)
        if await self._writing.swap(slot, before, after, entries, strings=strings) != "written":
            await self._told.unindex(entries, slot)
            return None
        if inherited:
            await self._spread(slot, token, self._inherit)
        return after

    async def _inherit(self, key_id: str, _number: int) -> Sequence[AuditEntry]:
        await self._keys.inherit(key_id)
        return ()

    async def _end_keys(
        self, project_id: str, token: bytes | str, at: datetime, told: tuple[AuditEntry, int]
    ) -> Sequence[AuditEntry]:
        first, count = told

        async def end(key_id: str, number: int) -> Sequence[AuditEntry]:
            return await self._keys.end_of(project_id, key_id, at, first, count + number)

        return await self._spread(Slot("project", project_id), token, end)

    async def _spread(self, slot: Slot, token: bytes | str, visit: Visit) -> Sequence[AuditEntry]:
        """Visit all keys of an owner, also those that are just being made; gives what was told."""
        told: list[AuditEntry] = []
        beyond = b"-"
        while True:
            members = await self._server.members(slot.name("list"), beyond, PAGE)
            for member in members:
                told += await visit(unlisted(member)[0], len(told))
            if len(members) < PAGE:
                await self._server.run(RELEASE, [slot.name("spreading")], token)
                return told
            beyond = b"(" + members[-1]

    async def _page(
        self, name: bytes, beyond: bytes, limit: int, look: Callable[[str], Awaitable[Any]]
    ) -> Sequence[Any]:
        """So many records of a list; what was never written, or is gone, is passed over."""
        found: list[Any] = []
        while True:
            members = await self._server.members(name, beyond, PAGE)
            for member in members:
                record = await look(unlisted(member)[0])
                # Somebody may have wanted the same id at another moment.
                if record is not None and listed(record.created_at, record.id) == member:
                    found.append(record)
                if len(found) == limit:
                    return found
            if len(members) < PAGE:
                return found
            beyond = b"(" + members[-1]
