"""Changing a key: what its record says, and whether it is suspended."""

from __future__ import annotations

import re
from typing import Any

from ....exceptions import ConfigurationError, KeyLimitReached, KeyNotActive, NotAllowed, NotFound, RecordChanged
from ...operations import ShownKey
from ...requests import ManagementAnswer
from .. import texts
from ..rules.errors import told
from ..rules.forms import BadForm
from ..visits import Visit
from .fields import PLANNED, WIDENING, Form, emptied, members, values_of, wrong
from .making import known_scopes
from .one import shown_again
from .shown import environments, key_path, plan_choices, project_choices

REVISION = "revision"
_WHOLE = re.compile(r"-?[0-9]{1,20}")  # stores draw it from 64 bits
_NAMES = ("name", "project_id", "environment", "scopes", "may", "ip_allowlist", *PLANNED, "expires_at", "metadata")


async def form(visit: Visit) -> ManagementAnswer:
    """``GET /keys/{id}/edit``."""
    visit.who.require("keys:manage")
    shown = await visit.desk.operations.keys.get(visit.caller, visit.id)
    return await _shown(visit, shown, Form(values_of(shown)))


async def change(visit: Visit) -> ManagementAnswer:
    """``POST /keys/{id}/edit``. Only what differs from the record is changed."""
    visit.who.require("keys:manage")
    shown = await visit.desk.operations.keys.get(visit.caller, visit.id)
    known = values_of(shown)
    sent = {name: text for name, text in emptied(_NAMES, visit.form).items() if name in visit.form}
    given, errors = members({name: text for name, text in sent.items() if text.strip() != known[name].strip()})
    for name, box in WIDENING.items():
        if name in given and given[name] is None and box not in visit.form:
            errors[name] = texts.SAY_SO
    values = known | sent
    if errors:
        return await _shown(visit, shown, Form(values, errors), 422)
    try:
        await visit.desk.operations.keys.update(visit.caller, visit.id, revision=revision_of(visit), **given)
    except (ConfigurationError, NotAllowed) as error:
        found = wrong(error, _NAMES)
        return await _shown(visit, shown, Form(values, found.errors, found.problem), 422)
    except (RecordChanged, KeyLimitReached) as error:
        return await _shown(visit, shown, Form(values, problem=told(error)), 409)
    except NotFound as error:
        if error.kind == "key":
            raise
        return await _shown(visit, shown, Form(values, {"project_id": str(error)}), 422)
    return visit.leave(key_path(visit.id))


async def suspend(visit: Visit) -> ManagementAnswer:
    """``POST /keys/{id}/suspend``."""
    return await _switched(visit, visit.desk.operations.keys.suspend)


async def resume(visit: Visit) -> ManagementAnswer:
    """``POST /keys/{id}/resume``."""
    return await _switched(visit, visit.desk.operations.keys.resume)


def revision_of(visit: Visit) -> int:
    """The revision of the record that the form was made from; BadForm if it does not say so."""
    text = visit.form.get(REVISION, "")
    if not _WHOLE.fullmatch(text):
        raise BadForm(400, texts.WRONG_METHOD_LEAD)
    return int(text)


async def _switched(visit: Visit, operation: Any) -> ManagementAnswer:
    try:
        await operation(visit.caller, visit.id)
    except (RecordChanged, KeyNotActive, NotAllowed) as error:
        visit.who.require("keys:manage")
        return await shown_again(visit, Form(problem=told(error)), 409)
    return visit.leave(key_path(visit.id))


async def _shown(visit: Visit, shown: ShownKey, form: Form, status: int = 200) -> ManagementAnswer:
    known = values_of(shown)
    asked = {"may": texts.EVERY_SURE, "ip_allowlist": texts.ANYWHERE_SURE}
    return visit.page(
        "key_form.html",
        status,
        title=f"{texts.EDIT}: {shown.key.name}",
        lead=texts.EDIT_LEAD,
        making=False,
        form=form,
        hidden={"name": REVISION, "value": visit.form.get(REVISION, str(shown.revision))},
        action=visit.to(f"{key_path(visit.id)}/edit"),
        back=visit.to(key_path(visit.id)),
        submit=texts.SAVE,
        organizations=(),
        projects=await project_choices(visit),
        environments=environments(),
        scopes=known_scopes(visit),
        plans=plan_choices(visit),
        plans_too=visit.who.can("plans:manage"),
        boxes={name: (WIDENING[name], text) for name, text in asked.items() if known[name]},
    )
