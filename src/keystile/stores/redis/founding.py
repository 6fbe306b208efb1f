"""Making a project together with its first key, which is in another slot.

First the project is written with the id of the key that it waits for, then the key. From then on the project is there;
until then it is not, and whoever wants its id may take it.
"""

from __future__ import annotations

from ...model import Project
from .bodies import Owner, draw, project_text
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
            before = None if owner is None else await self._take(owner)
            after = project_text(project, first_key=key_id)
            if await self._writing.swap(slot, before, after) == "written":
                return after
        raise self._writing.busy()

    async def finish(self, project: Project, raw: bytes) -> None:
        """Its key is there. If another process has noted that before, nothing is to be done."""
        slot = Slot("project", project.id)
        for _ in range(TRIES):
            if await self._writing.swap(slot, raw, project_text(project)) == "written":
                return
            owner = await self._reading.owner(project.id)
            if owner is None or owner.first_key is None:
                return
            raw, project = owner.raw, owner.project  # drawn anew by others who wanted its id
        raise self._writing.busy()

    async def undo(self, project: Project, raw: bytes) -> None:
        """Its key will not come."""
        await self._writing.swap(Slot("project", project.id), raw, b"")

    async def _take(self, owner: Owner) -> bytes:
        """Take a project's id from those who wait for its key; gives its record. KeyError if the key is there.

        Its record is drawn anew before the mark: so they wrote their key before that, or find a mark that they do not
        know, look once more, and see a record that is not theirs.
        """
        if owner.first_key is None:
            raise KeyError(owner.project.id)
        taken = project_text(owner.project, first_key=owner.first_key)
        # If it was changed meanwhile, so is what the caller writes next.
        await self._writing.swap(Slot("project", owner.project.id), owner.raw, taken)
        if not await self._writing.mark(Slot("key", owner.first_key), draw()):
            await self.finish(owner.project, taken)
            raise KeyError(owner.project.id)
        return taken

    async def list(self, project: Project) -> None:
        """Note a project in the lists."""
        for slot in (Slot("organization", project.organization_id), EVERYBODY):
            name = slot.name("projects")
            await self._server.ask(name, "ZADD", name, 0, listed(project.created_at, project.id))
