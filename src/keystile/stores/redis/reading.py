"""Reading records, and what keys inherit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from ...exceptions import NotFound, UnreadableRecord
from ...model import ApiKey, Inherited, Organization, Project
from .bodies import Kept, Owner, inherited, read_key, read_organization, read_project, with_uses
from .names import Slot
from .server import Server

R = TypeVar("R")


class Reading:
    """Reads the records of one store."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def read(self, decode: Callable[[bytes], R], raw: bytes, id: str, more: str = "") -> R:
        """What is in these octets, or UnreadableRecord."""
        try:
            return decode(raw)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with a record, its hashes must not be in a traceback
            reason = type(error).__name__
        raise UnreadableRecord(self.server.name, id, reason + more)

    async def raw(self, slot: Slot) -> bytes | None:
        """The record in a slot as it stands there."""
        return await self.server.get(slot.name("record"))

    async def key(self, key_id: str) -> Kept | None:
        """The key with this id."""
        raw = await self.raw(Slot("key", key_id))
        return None if raw is None else self.read(read_key, raw, key_id)

    async def keys(self, key_ids: Sequence[str]) -> list[tuple[str, list[bytes | None]]]:
        """The record, the last use, and that of the older secret, of each of these keys."""
        return list(zip(key_ids, await self.server.gets([_all_of(each) for each in key_ids]), strict=True))

    async def shown(self, kept: Kept) -> ApiKey:
        """The record with its last uses as they are now."""
        [[_, *uses]] = await self.server.gets([_all_of(kept.key.id)])
        return self.with_uses(kept, uses)

    def with_uses(self, kept: Kept, uses: Sequence[bytes | None]) -> ApiKey:
        """The record with these uses."""
        return self.read(lambda _raw: with_uses(kept.key, *uses), kept.raw, kept.key.id)

    async def owner(self, project_id: str) -> Owner | None:
        """What stands of a project, also of one that was deleted or is being made."""
        raw = await self.raw(Slot("project", project_id))
        return None if raw is None else self.read(read_project, raw, project_id)

    async def is_there(self, owner: Owner) -> bool:
        """Whether it is a project: it has its first key, and was not deleted."""
        if owner.deleted or owner.first_key is None:
            return not owner.deleted
        return await self.raw(Slot("key", owner.first_key)) is not None

    async def project(self, project_id: str) -> Project | None:
        """The project with this id."""
        owner = await self.owner(project_id)
        return owner.project if owner is not None and await self.is_there(owner) else None

    async def organization(self, organization_id: str) -> Organization | None:
        """The organization with this id."""
        raw = await self.raw(Slot("organization", organization_id))
        return None if raw is None else self.read(read_organization, raw, organization_id)

    async def inherited(self, key: ApiKey, project: Project | None = None) -> Inherited:
        """What a key takes over from its owners; they may be gone."""
        if project is None and key.project_id is not None:
            project = await self.project(key.project_id)
        organization = None if key.organization_id is None else await self.organization(key.organization_id)
        return inherited(organization, project)

    async def check_project(self, key: ApiKey) -> None:
        """NotFound unless the key's project, if it has one, is there and its organization's."""
        if key.project_id is not None:
            project = await self.project(key.project_id)
            if project is None or project.organization_id != key.organization_id:
                raise NotFound("project", key.project_id)


def _all_of(key_id: str) -> Sequence[bytes]:
    slot = Slot("key", key_id)
    return [slot.name(what) for what in ("record", "used", "graced")]
