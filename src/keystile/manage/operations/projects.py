"""Projects: list, get, create, update, delete, suspend, resume."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..._ground.checks import check_flag
from ...exceptions import ConfigurationError, ForceRequired, NotAllowed
from ...gate import Gate
from ...keys.changes.fields import UNSET, Unset, check_environment, check_text, checked
from ...keys.projects import FIRST_KEY
from ...model import Environment, IssuedProject, Project
from .calls import Call, check_listed, listed
from .grants import check_lasts, check_made, with_own_bounds
from .repeats import Repeats
from .seeing import Seeing
from .shown import Listed, MadeKey, MadeProject, shown

# What is said of a first key follows from its project.
_OF_PROJECT = ("id", "project_id", "organization_id")


class ProjectOperations:
    """What can be done with projects.

    Args:
        gate: whose projects they are.
    """

    def __init__(self, gate: Gate) -> None:
        self._projects, self._seeing, self._repeats = gate.projects, Seeing(gate), Repeats(gate)

    async def list(
        self, call: Call, *, organization_id: str | None = None, after: str | None = None, limit: int = 100
    ) -> Listed[Project]:
        """Projects, oldest first; the arguments are those of the list of keys."""
        call.authority.require("keys:read")
        check_listed(limit)
        organization = call.organization(organization_id)
        if after is not None and not await self._seeing.has_project(call, after):
            return Listed((), has_more=False)
        found = await call.ask(
            self._projects.list, self._projects.alist, organization_id=organization, after=after, limit=limit + 1
        )
        return listed(found, limit)

    async def get(self, call: Call, project_id: str) -> Project:
        """One project."""
        call.authority.require("keys:read")
        return await self._seeing.project(call, project_id)

    async def create(
        self,
        call: Call,
        name: str,
        *,
        organization_id: str | None = None,
        environment: Environment = "production",
        key: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> MadeProject:
        """Make a project and its first key.

        Args:
            call: who asks.
            name: a label for people.
            organization_id: whose it is; a managing key leaves it out.
            environment: what its keys are made for, unless they say otherwise.
            key: members of its key's record, as for a new key.
            idempotency_key: as for a new key.

        Raises:
            NotAllowed, KeyLimitReached, IdempotencyKeyReused: as for a new key.
        """
        call.authority.require("keys:manage")
        organization = call.organization(organization_id)
        if organization is None:
            raise ConfigurationError("say whose it is", key="organization_id")
        project = Project(
            id="",
            organization_id=organization,
            name=check_text(name, "name"),
            environment=check_environment(environment),
            created_at=self._seeing.now(),
        )
        given = {"name": FIRST_KEY, "environment": environment} | with_own_bounds(call, _first(key))

        async def make(project_id: str | None, key_id: str | None) -> MadeProject:
            now = self._seeing.now()
            check_lasts(call.authority, now)
            check_made(call.authority, checked(given, now))
            issued = await call.ask(
                self._projects.create,
                self._projects.acreate,
                name,
                organization_id=organization,
                environment=environment,
                id=project_id,
                key={**given, "id": key_id},
                actor=call.actor,
            )
            return self._made(issued)

        if idempotency_key is None:
            return await make(None, None)
        return await self._repeats.project(call, project, given, idempotency_key, make)

    async def update(
        self,
        call: Call,
        project_id: str,
        *,
        name: str | Unset = UNSET,
        environment: Environment | Unset = UNSET,
        revision: int | None = None,
    ) -> Project:
        """Change a project; the arguments are those of `gate.projects.update`."""
        call.authority.require("keys:manage")
        await self._seeing.project(call, project_id)
        return await call.ask(
            self._projects.update,
            self._projects.aupdate,
            project_id,
            name=name,
            environment=environment,
            actor=call.actor,
            revision=revision,
        )

    async def delete(self, call: Call, project_id: str, *, force: bool = False, revision: int | None = None) -> Project:
        """Delete a project for good, and revoke all its keys; gives it as it was.

        Args:
            call: who asks.
            project_id: which project.
            force: also if the key that asks is one of them.
            revision: the one that the caller has seen; None for any.

        Raises:
            ForceRequired: it is.
        """
        call.authority.require("keys:manage")
        check_flag(force, "force")
        found = await self._seeing.project(call, project_id, revision)
        if not force and self._is_own(call, project_id):
            raise ForceRequired("the key that asks belongs to this project, and would be revoked")
        await call.ask(self._projects.delete, self._projects.adelete, project_id, actor=call.actor)
        return found

    async def suspend(self, call: Call, project_id: str, *, revision: int | None = None) -> Project:
        """Refuse all keys of a project until it is resumed. A managing key does not suspend its own."""
        call.authority.require("keys:manage")
        await self._seeing.project(call, project_id, revision)
        if self._is_own(call, project_id):
            raise NotAllowed("own_key", "the key that asks belongs to this project, and would be suspended")
        return await call.ask(self._projects.suspend, self._projects.asuspend, project_id, actor=call.actor)

    async def resume(self, call: Call, project_id: str, *, revision: int | None = None) -> Project:
        """Take a project's suspension back."""
        call.authority.require("keys:manage")
        await self._seeing.project(call, project_id, revision)
        return await call.ask(self._projects.resume, self._projects.aresume, project_id, actor=call.actor)

    def _is_own(self, call: Call, project_id: str) -> bool:
        return call.by_key and call.authority.project_id == project_id

    def _made(self, issued: IssuedProject) -> MadeProject:
        first = issued.issued
        key = MadeKey(shown=shown(first.key, self._seeing.now()), secret=first.secret, revoked=first.revoked)
        return MadeProject(issued.project, key)


def _first(key: Mapping[str, Any] | None) -> dict[str, Any]:
    if key is not None and not isinstance(key, Mapping):
        raise ConfigurationError("expected the members of a key", key="key")
    given = dict(key or {})
    for name in _OF_PROJECT:
        if name in given:
            raise ConfigurationError("follows from the project; leave it out", key=f"key.{name}")
    return given
