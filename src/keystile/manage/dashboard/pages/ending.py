"""What cannot be undone: revoking a key, deleting a project. Each is confirmed on a page that names it."""

from __future__ import annotations

from ....exceptions import ForceRequired
from ....model import Project
from ...operations import ShownKey
from ...requests import ManagementAnswer
from .. import texts
from ..visits import Visit
from .fields import Form
from .shown import key_label, key_path, project_path

_SURE = "sure"
_LABELS = {_SURE: texts.CONFIRM}


async def form(visit: Visit) -> ManagementAnswer:
    """``GET /keys/{id}/revoke``."""
    visit.who.require("keys:manage")
    return _shown(visit, await visit.desk.operations.keys.get(visit.caller, visit.id), {})


async def revoke(visit: Visit) -> ManagementAnswer:
    """``POST /keys/{id}/revoke``."""
    visit.who.require("keys:manage")
    shown = await visit.desk.operations.keys.get(visit.caller, visit.id)
    hint = _asked(shown)
    if hint and visit.form.get(_SURE, "").strip() != hint:
        return _shown(visit, shown, {_SURE: texts.WRONG_HINT}, status=422)
    try:
        await visit.desk.operations.keys.revoke(visit.caller, visit.id, force="force" in visit.form)
    except ForceRequired:
        return _shown(visit, shown, {}, texts.LAST_MANAGER_LEAD, status=409)
    return visit.leave(key_path(visit.id))


async def project_form(visit: Visit) -> ManagementAnswer:
    """``GET /projects/{id}/delete``."""
    visit.who.require("keys:manage")
    return _project_shown(visit, await visit.desk.operations.projects.get(visit.caller, visit.id), {})


async def delete(visit: Visit) -> ManagementAnswer:
    """``POST /projects/{id}/delete``."""
    visit.who.require("keys:manage")
    project = await visit.desk.operations.projects.get(visit.caller, visit.id)
    if visit.form.get(_SURE, "").strip() != project.name.strip():
        return _project_shown(visit, project, {_SURE: texts.WRONG_NAME}, status=422)
    try:
        await visit.desk.operations.projects.delete(visit.caller, visit.id, force="force" in visit.form)
    except ForceRequired:
        return _project_shown(visit, project, {}, texts.OWN_PROJECT_LEAD, status=409)
    return visit.leave("/projects")


def _asked(shown: ShownKey) -> str:
    """What must be typed; nothing for keys that are not of production, or whose end is not known."""
    known = shown.key.environment == "production" and shown.secrets
    return shown.secrets[0].hint if known else ""


def _shown(
    visit: Visit, shown: ShownKey, errors: dict[str, str], problem: str = "", *, status: int = 200
) -> ManagementAnswer:
    hint = _asked(shown)
    return visit.page(
        "confirm.html",
        status,
        title=texts.REVOKE,
        name=shown.key.name,
        shown=key_label(shown),
        lead=texts.REVOKE_LEAD,
        action=visit.to(f"{key_path(visit.id)}/revoke"),
        back=visit.to(key_path(visit.id)),
        sure=texts.REVOKE_SURE if hint else "",
        sure_hint=texts.REVOKE_SURE_HINT.format(hint=hint),
        force=texts.ALL_THE_SAME if problem else "",
        submit=texts.REVOKE_DO,
        form=Form({_SURE: visit.form.get(_SURE, "")}, errors, problem, _LABELS),
    )


def _project_shown(
    visit: Visit, project: Project, errors: dict[str, str], problem: str = "", *, status: int = 200
) -> ManagementAnswer:
    return visit.page(
        "confirm.html",
        status,
        title=texts.DELETE,
        name=project.name,
        shown=project.id,
        lead=texts.DELETE_PROJECT_LEAD,
        action=visit.to(f"{project_path(visit.id)}/delete"),
        back=visit.to(project_path(visit.id)),
        sure=texts.DELETE_SURE,
        sure_hint="",
        force=texts.ALL_THE_SAME if problem else "",
        submit=texts.DELETE_PROJECT_DO,
        form=Form({_SURE: visit.form.get(_SURE, "")}, errors, problem, _LABELS),
    )
