"""Projects: list, make, change, suspend and resume."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ....exceptions import (
    ConfigurationError,
    IdempotencyKeyReused,
    KeyLimitReached,
    NotAllowed,
    NotFound,
    RecordChanged,
)
from ....model import Project
from ...operations import MadeProject
from ...requests import ManagementAnswer
from .. import texts
from ..rules.errors import told
from ..visits import Visit
from .changing import REVISION, revision_of
from .fields import Form, emptied, wrong
from .lists import by_organization
from .making import form_id_of, new_form_id, once
from .shown import environments, organizations, project_path

_NAMES = ("name", "organization_id", "environment", "key_name")
_LABELS = {
    "name": texts.NAME,
    "organization_id": texts.ORGANIZATION,
    "environment": texts.ENVIRONMENT,
    "key_name": texts.KEY_NAME,
}


async def listed(visit: Visit) -> ManagementAnswer:
    """``GET /projects``."""
    found, shown = await by_organization(visit, "/projects", visit.desk.operations.projects.list)
    return visit.page("projects.html", rows=[_row(visit, each) for each in found], **shown)


async def new(visit: Visit) -> ManagementAnswer:
    """``GET /projects/new``."""
    visit.who.require("keys:manage")
    return _new(visit, Form(emptied(_NAMES, {"environment": "production", "key_name": "default"}), labels=_LABELS))


async def make(visit: Visit) -> ManagementAnswer:
    """``POST /projects``. It is made once, as a key is, and its first key with it."""
    visit.who.require("keys:manage")
    sent = emptied(_NAMES, visit.form)
    form_id = form_id_of(visit.form)
    try:
        made = await _made(visit, form_id, sent)
    except (ConfigurationError, NotAllowed) as error:
        found = wrong(error, _NAMES)
        first = {"key_name": found.errors["name"]} if (getattr(error, "key", "") or "").startswith("key.") else None
        return _new(visit, Form(sent, first or found.errors, found.problem, _LABELS), 422)
    except (KeyLimitReached, IdempotencyKeyReused, NotFound) as error:
        problem = texts.FORM_REUSED if isinstance(error, IdempotencyKeyReused) else told(error)
        return _new(visit, Form(sent, problem=problem, labels=_LABELS), 409)
    return once(visit, texts.PROJECT_CREATED_TITLE, made.made, made.project.name)


async def _made(visit: Visit, form_id: str, sent: Mapping[str, str]) -> MadeProject:
    given: dict[str, Any] = {
        "organization_id": sent["organization_id"].strip() or None,
        "environment": sent["environment"],
        "key": {"name": sent["key_name"].strip()},
    }
    create, name = visit.desk.operations.projects.create, sent["name"].strip()
    if visit.desk.gate.keys.takes_ids:
        return await create(visit.caller, name, **given, idempotency_key=form_id)
    with visit.desk.sent.once(form_id) as first:
        if not first:
            raise IdempotencyKeyReused("this form was sent before")
        return await create(visit.caller, name, **given)


async def form(visit: Visit) -> ManagementAnswer:
    """``GET /projects/{id}``."""
    visit.who.require("keys:manage")
    project = await visit.desk.operations.projects.get(visit.caller, visit.id)
    return _one(visit, project, Form({"name": project.name, "environment": project.environment}, labels=_LABELS))


async def change(visit: Visit) -> ManagementAnswer:
    """``POST /projects/{id}``."""
    visit.who.require("keys:manage")
    project = await visit.desk.operations.projects.get(visit.caller, visit.id)
    sent = emptied(("name", "environment"), visit.form)
    try:
        await visit.desk.operations.projects.update(
            visit.caller,
            visit.id,
            name=sent["name"].strip(),
            environment=sent["environment"],  # type: ignore[arg-type] # checked there
            revision=revision_of(visit),
        )
    except (ConfigurationError, NotAllowed) as error:
        found = wrong(error, _NAMES)
        return _one(visit, project, Form(sent, found.errors, found.problem, _LABELS), 422)
    except RecordChanged as error:
        return _one(visit, project, Form(sent, problem=told(error), labels=_LABELS), 409)
    return visit.leave("/projects")


async def suspend(visit: Visit) -> ManagementAnswer:
    """``POST /projects/{id}/suspend``."""
    await visit.desk.operations.projects.suspend(visit.caller, visit.id)
    return visit.leave("/projects")


async def resume(visit: Visit) -> ManagementAnswer:
    """``POST /projects/{id}/resume``."""
    await visit.desk.operations.projects.resume(visit.caller, visit.id)
    return visit.leave("/projects")


def _row(visit: Visit, project: Project) -> dict[str, Any]:
    return {
        "id": project.id,
        "name": project.name,
        "environment": project.environment,
        "organization_id": project.organization_id,
        "state": "active" if project.suspended_at is None else "suspended",
        "created_at": project.created_at,
        "href": visit.to(project_path(project.id)),
        "keys_href": visit.to("/", project=project.id, organization=_named(visit, project)),
    }


def _named(visit: Visit, project: Project) -> str | None:
    return project.organization_id if len(organizations(visit)) > 1 else None


def _new(visit: Visit, form: Form, status: int = 200) -> ManagementAnswer:
    return visit.page(
        "project_form.html",
        status,
        title=texts.NEW_PROJECT,
        lead=texts.NEW_PROJECT_LEAD,
        making=True,
        form=form,
        hidden=new_form_id(),
        action=visit.to("/projects"),
        submit=texts.CREATE_PROJECT,
        organizations=organizations(visit),
        environments=environments(),
    )


def _one(visit: Visit, project: Project, form: Form, status: int = 200) -> ManagementAnswer:
    return visit.page(
        "project_form.html",
        status,
        title=project.name,
        lead=texts.PROJECT_LEAD,
        making=False,
        form=form,
        hidden={"name": REVISION, "value": visit.form.get(REVISION, str(project.revision))},
        action=visit.to(project_path(visit.id)),
        href=visit.to(project_path(visit.id)),
        suspended=project.suspended_at is not None,
        submit=texts.SAVE,
        organizations=(),
        environments=environments(),
    )
