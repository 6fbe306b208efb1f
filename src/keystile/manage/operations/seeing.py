"""What a caller may see. What it may not see is answered like what never existed, after as many calls of the store."""

from __future__ import annotations

from datetime import UTC, datetime

from ...exceptions import KeyNotFound, NotFound, RecordChanged
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

    async def key(self, call: Call, key_id: str, revision: int | None = None) -> ApiKey:
        """The record with this id.

        Args:
            call: who asks.
            key_id: which key.
            revision: the one that the caller has seen; None for any.

        Raises:
            KeyNotFound: the caller sees none.
            RecordChanged: it has another revision.
        """
        keys = self._gate.keys
        found = await call.ask(keys.get, keys.aget, key_id, uses=False)
        if not call.authority.sees(found.organization_id):
            raise KeyNotFound(key_id)
        if revision is not None and revision != found.revision:
            raise RecordChanged("key", key_id)
        return found

    async def project(self, call: Call, project_id: str, revision: int | None = None) -> Project:
        """The project with this id; the arguments are those of `key`, and so is what it raises."""
        projects = self._gate.projects
        found = await call.ask(projects.get, projects.aget, project_id)
        if not call.authority.sees(found.organization_id):
            raise NotFound("project", project_id)
        if revision is not None and revision != found.revision:
            raise RecordChanged("project", project_id)
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
