"""What each route does: it calls one operation. Everything that is decided is decided there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ...answers.pages import PageParams
from ...exceptions import ConfigurationError, InvalidRequest
from ..operations import Call, Operations
from .fields import moment

_USUAL_NAME = "default"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a route is asked for, read and checked.

    Attributes:
        operations: what can be done.
        call: who asks.
        ids: what stands in the path, by name.
        fields: what the body holds.
        query: the parameters of the query that are there.
        page: which page is wanted, where the answer is a list.
        revision: the one that the client has seen (``If-Match``), or None.
        idempotency_key: ``Idempotency-Key``, or None.
    """

    operations: Operations
    call: Call
    ids: Mapping[str, Any]
    fields: Mapping[str, Any]
    query: Mapping[str, Any]
    page: PageParams | None = None
    revision: int | None = None
    idempotency_key: str | None = field(default=None, repr=False)

    @property
    def id(self) -> str:
        """The last id of the path."""
        return str(list(self.ids.values())[-1])

    @property
    def place(self) -> dict[str, Any]:
        """Where in the list to begin, and how long the page is."""
        if self.page is None:
            raise TypeError("this route lists nothing")
        after = self.page.place(1)
        return {"after": None if after is None else str(after[0]), "limit": self.page.limit}

    @property
    def forced(self) -> bool:
        """Whether ``?force=true``."""
        return self.query.get("force") == "true"


async def list_projects(asked: Asked) -> Any:
    """Projects, the oldest first."""
    return await asked.operations.projects.list(asked.call, **asked.query, **asked.place)


async def create_project(asked: Asked) -> Any:
    """A new project and its first key."""
    return await asked.operations.projects.create(asked.call, **asked.fields, idempotency_key=asked.idempotency_key)


async def get_project(asked: Asked) -> Any:
    """One project."""
    return await asked.operations.projects.get(asked.call, asked.id)


async def update_project(asked: Asked) -> Any:
    """A project, changed."""
    return await asked.operations.projects.update(asked.call, asked.id, **asked.fields, revision=asked.revision)


async def delete_project(asked: Asked) -> Any:
    """A project, ended."""
    return await asked.operations.projects.delete(asked.call, asked.id, force=asked.forced)


async def list_keys(asked: Asked) -> Any:
    """Keys, the oldest first; of a project, where the path names one."""
    return await asked.operations.keys.list(asked.call, **asked.ids, **asked.query, **asked.place)


async def create_key(asked: Asked) -> Any:
    """A new key; of a project, where the path or the body names one."""
    given = {"name": _USUAL_NAME, **asked.fields, **asked.ids}
    return await asked.operations.keys.create(asked.call, **given, idempotency_key=asked.idempotency_key)


async def get_key(asked: Asked) -> Any:
    """One key."""
    return await asked.operations.keys.get(asked.call, asked.id)


async def update_key(asked: Asked) -> Any:
    """A key, changed."""
    return await asked.operations.keys.update(asked.call, asked.id, **asked.fields, revision=asked.revision)


async def revoke_key(asked: Asked) -> Any:
    """A key, ended."""
    return await asked.operations.keys.revoke(asked.call, asked.id, force=asked.forced)


async def rotate_key(asked: Asked) -> Any:
    """A key with a new secret."""
    return await asked.operations.keys.rotate(asked.call, asked.id, **asked.fields, revision=asked.revision)


async def suspend_key(asked: Asked) -> Any:
    """A key, suspended."""
    return await asked.operations.keys.suspend(asked.call, asked.id, revision=asked.revision)


async def resume_key(asked: Asked) -> Any:
    """A key, resumed."""
    return await asked.operations.keys.resume(asked.call, asked.id, revision=asked.revision)


async def key_usage(asked: Asked) -> Any:
    """How often a key was used."""
    given: dict[str, Any] = {}
    for parameter, name in (("from", "start"), ("to", "end")):
        if parameter in asked.query:
            given[name] = _moment(asked.query[parameter], parameter)
    try:
        return await asked.operations.keys.usage(asked.call, asked.id, **given, step=asked.query.get("step", "hour"))
    except ConfigurationError as error:  # of the two together: there are too many periods between them
        raise InvalidRequest(error.reason, parameter="from") from None


async def key_limits(asked: Asked) -> Any:
    """Where a key stands."""
    return await asked.operations.keys.standing(asked.call, asked.id)


async def list_audit(asked: Asked) -> Any:
    """What was changed, the newest first."""
    return await asked.operations.audit(asked.call, **asked.query, **asked.place)


async def get_organization(asked: Asked) -> Any:
    """The organization."""
    return await asked.operations.organizations.get(asked.call, **asked.query)


async def set_plan(asked: Asked) -> Any:
    """The organization with another plan."""
    given = {**asked.fields, **asked.query}
    return await asked.operations.organizations.set_plan(asked.call, **given, revision=asked.revision)


async def whoami(asked: Asked) -> Any:
    """Who calls."""
    return await asked.operations.whoami(asked.call)


def _moment(text: str, parameter: str) -> datetime:
    try:
        return moment(text)
    except ValueError as error:
        raise InvalidRequest(str(error), parameter=parameter) from None
