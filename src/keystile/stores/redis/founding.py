"""Making a project together with its first key, which is in another slot.

First the project is written with the id of the key that it waits for, then the key. From then on the project is there;
until then it is not, and whoever wants its id may take it.
"""

from __future__ import annotations

from ...model import Project
from .bodies import draw, project_text
from .names import EVERYBODY, Slot, listed
from .writing import TRIES, Writing


class Founding:
    """Makes the projects of one store."""

    def __init__(self, writing: Writing) -> None:
        self._writing, self._server, self._reading = writing, writing.server, writing.reading

    async def check(self, project: Project) -> None:
        """KeyError if its id is taken."""
        owner = await self._reading.owner(project.id)
        if owner is not None and (owner.deleted or await self._reading.is_there(owner)):
            raise KeyError(project.id)

    async def begin(self, project: Project, key_id: str) -> bytes:
        """Write a project that waits for this key; gives its record. KeyError if its id is taken."""
        slot = Slot("project", project.id)
        await self.list(project)
        for _ in range(TRIES):
            owner = await self._reading.owner(project.id)
            # A mark keeps others from writing the key that a project waits for, or they wrote it already.
            if owner is not None and (
                owner.first_key is None or not await self._writing.mark(Slot("key", owner.first_key), draw())
            ):
                raise KeyError(project.id)
            after = project_text(project, first_key=key_id)
            if await self._writing.swap(slot, None if owner is None else owner.raw, after) == "written":
                return after
        raise self._writing.busy()

    async def finish(self, project: Project, raw: bytes) -> None:
        """Its key is there. If another process has noted that before, nothing is to be done."""
        await self._writing.swap(Slot("project", project.id), raw, project_text(project))

    async def undo(self, project: Project, raw: bytes) -> None:
        """Its key will not come."""
        await self._writing.swap(Slot("project", project.id), raw, b"")

    async def list(self, project: Project) -> None:
        """Note a project in the lists."""
        for slot in (Slot("organization", project.organization_id), EVERYBODY):
            name = slot.name("projects")
            await self._server.ask(name, "ZADD", name, 0, listed(project.created_at, project.id))
