"""What a caller may see. What it may not see is answered like what never existed, after as many calls of the store."""

from __future__ import annotations

from datetime import UTC, datetime

from ...exceptions import KeyNotFound, NotFound
from ...gate import Gate
from ...model import ApiKey, Project
from .calls import Call


class Seeing:
    """Looks records up for a caller.

    Args:
        gate: whose records they are.
    """

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def now(self) -> datetime:
        """The gate's moment."""
        return datetime.fromtimestamp(self._gate.clock(), UTC)

    async def key(self, call: Call, key_id: str) -> ApiKey:
        """The record with this id; KeyNotFound if the caller sees none."""
        keys = self._gate.keys
        found = await call.ask(keys.get, keys.aget, key_id, uses=False)
        if not call.authority.sees(found.organization_id):
            raise KeyNotFound(key_id)
        return found

    async def project(self, call: Call, project_id: str) -> Project:
        """The project with this id; NotFound if the caller sees none."""
        projects = self._gate.projects
        found = await call.ask(projects.get, projects.aget, project_id)
        if not call.authority.sees(found.organization_id):
            raise NotFound("project", project_id)
        return found

    async def has_key(self, call: Call, key_id: str) -> bool:
        """Whether the caller sees a key with this id."""
        try:
            await self.key(call, key_id)
        except KeyNotFound:
            return False
        return True

    async def has_project(self, call: Call, project_id: str) -> bool:
        """Whether the caller sees a project with this id."""
        try:
            await self.project(call, project_id)
        except NotFound:
            return False
        return True
