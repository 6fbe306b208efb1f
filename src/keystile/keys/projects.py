"""What a service does with its projects: create, get, list, update, delete, suspend, resume."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from .._sync import Offload, inline, is_async
from ..exceptions import ConfigurationError, NotFound
from ..model import Actor, Environment, IssuedProject, Project
from .changes.audit import check_actor, ended, made
from .changes.fields import UNSET, Unset, check_environment, check_optional, check_page, check_text
from .changes.making import Maker
from .changes.records import Records, asked
from .changes.twins import awaited, blocking
from .format import BASE62

FIRST_KEY = "default"
"""The name of a project's first key, if nobody names it."""
_ID_LENGTH = 16


class Projects:
    """The projects of one store; `gate.projects` is one. Its operations raise as those of `gate.keys`."""

    def __init__(self, records: Records, maker: Maker, on_deleted: Callable[[Project], Any] | None) -> None:
        self._records, self._maker, self._on_deleted = records, maker, on_deleted
        self.needs_await = records.needs_await
        """Whether the store is async, so that only the async twins work."""

    async def _create(
        self,
        offload: Offload,
        name: str,
        *,
        organization_id: str,
        environment: Environment = "production",
        id: str | None = None,
        key: Mapping[str, Any] | None = None,
        actor: Actor | None = None,
    ) -> IssuedProject:
        """Make a project and its first key.

        Args:
            name: a label for people.
            organization_id: whose it is, as the host's own id.
            environment: what its keys are made for, unless they say otherwise.
            id: the host's own id for it; None draws one. The id of a deleted project is not given again.
            key: arguments of `gate.keys.create` for its key: ``{"name": "CI", "scopes": ["read"]}``.
            actor: who makes it.

        Raises:
            IdTaken: there is, or was, a project with this id, or there is a key with that of its key.
            KeyLimitReached: the plan allows no more keys.
        """
        who, at = check_actor(actor), self._records.now()
        project = Project(
            id=_draw() if id is None else check_text(id, "id"),
            organization_id=check_text(organization_id, "organization_id"),
            name=check_text(name, "name"),
            environment=check_environment(environment),
            created_at=at,
        )
        given = {"id": None, "name": FIRST_KEY, **_arguments(key)}
        key_id = given.pop("id")
        draft = await self._maker.draft(offload, given, at, project, id=key_id)
        second = made("key.create", who, at, draft.key)
        first = made("project.create", who, at, project)
        entries = (first, first.followed_by(1, second))
        written = await self._records.write(offload, "add_project", project, draft.key, entries, draft.cap)
        return IssuedProject(await self._records.found(offload, "project", project.id), draft.issued(written))

    async def _get(self, offload: Offload, project_id: str) -> Project:
        """The project with this id; NotFound if there is none."""
        return cast("Project", await self._records.found(offload, "project", check_text(project_id, "project_id")))

    async def _list(
        self, offload: Offload, *, organization_id: str | None = None, after: str | None = None, limit: int = 100
    ) -> Sequence[Project]:
        """Projects, oldest first.

        Args:
            organization_id: only its own.
            after: only projects after the one with this id, the last one of the previous page.
            limit: at most this many, 1 to 1000.
        """
        wanted = check_optional(organization_id, "organization_id"), check_optional(after, "after"), check_page(limit)
        return cast("Sequence[Project]", await self._records.call(offload, "list_projects", *wanted))

    async def _update(
        self,
        offload: Offload,
        project_id: str,
        *,
        name: str | Unset = UNSET,
        environment: Environment | Unset = UNSET,
        actor: Actor | None = None,
        revision: int | None = None,
    ) -> Project:
        """Change a project. Its keys keep the environment that they have.

        Raises:
            NotFound: there is no such project.
            RecordChanged: it has another revision than the given one.
        """
        changes: dict[str, Any] = {} if name is UNSET else {"name": check_text(name, "name")}
        if environment is not UNSET:
            changes["environment"] = check_environment(environment)
        wanted = asked("project", project_id, "update", actor, revision)
        found = await self._records.set(offload, wanted, changes)
        return cast("Project", found)

    async def _delete(self, offload: Offload, project_id: str, *, actor: Actor | None = None) -> None:
        """Delete a project for good. All its keys are revoked in the same step, and refused from the next request on.

        Then the gate's `on_project_deleted` is called with the project, so that the host removes its own data. If that
        fails, or the process ends before, delete the project once more: the function is called again.

        Raises:
            NotFound: there is no such project.
            ConfigurationError: `on_project_deleted` is async: await adelete() instead.
        """
        who, at = check_actor(actor), self._records.now()
        check_text(project_id, "project_id")
        if offload is inline and self._on_deleted is not None and is_async(self._on_deleted):
            raise ConfigurationError("is async: await adelete() instead", key="on_project_deleted")
        found = await self._records.call(offload, "find_project", project_id)
        # One that is deleted already is not found, and nothing more is told of it.
        known = found or Project(id=project_id, organization_id="", name=project_id, created_at=at)
        entry = ended("project.delete", who, at, known)
        written = await self._records.write(offload, "delete_project", project_id, at, (entry,))
        if written.record is None:
            raise NotFound("project", project_id)
        if self._on_deleted is not None:
            await self._records.tell_host(offload, self._on_deleted, written.record)

    async def _suspend(self, offload: Offload, project_id: str, *, actor: Actor | None = None) -> Project:
        """Refuse all keys of a project from the next request on, until it is resumed; NotFound if there is none."""
        wanted = asked("project", project_id, "suspend", actor)
        found = await self._records.suspend(offload, wanted)
        return cast("Project", found)

    async def _resume(self, offload: Offload, project_id: str, *, actor: Actor | None = None) -> Project:
        """Take a suspension back; NotFound if there is no such project."""
        return cast(
            "Project",
            await self._records.set(offload, asked("project", project_id, "resume", actor), {"suspended_at": None}),
        )

    create, acreate = blocking(_create), awaited(_create)
    get, aget = blocking(_get), awaited(_get)
    list, alist = blocking(_list), awaited(_list)
    update, aupdate = blocking(_update), awaited(_update)
    delete, adelete = blocking(_delete), awaited(_delete)
    suspend, asuspend = blocking(_suspend), awaited(_suspend)
    resume, aresume = blocking(_resume), awaited(_resume)


def _arguments(key: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """What may be said about a project's first key."""
    given = {} if key is None else key
    if not isinstance(given, Mapping) or not _OF_FIRST_KEY.issuperset(given):
        raise ConfigurationError(f"expected some of {', '.join(sorted(_OF_FIRST_KEY))}", key="key")
    return given


_OF_FIRST_KEY = frozenset(
    (
        *("id", "name", "owner_id", "environment", "plan", "limits", "scopes", "may"),
        "ip_allowlist",
        "expires_at",
        "metadata",
    )
)


def _draw() -> str:
    return "proj_" + "".join(secrets.choice(BASE62) for _ in range(_ID_LENGTH))
