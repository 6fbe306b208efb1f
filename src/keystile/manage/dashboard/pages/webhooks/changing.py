"""Changing an endpoint: what it gets and where, its secret, and its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .....exceptions import ConfigurationError, NotAllowed, RecordChanged
from ....requests import ManagementAnswer
from ... import texts
from ...rules.errors import told
from ...rules.forms import BadField
from ...rules.links import HOOKS
from ...visits import Visit
from ..changing import REVISION, revision_of
from ..fields import Form, emptied, wrong
from ..rotating import GRACE_LABELS, USUAL, grace_of
from .fields import CHANGED, LABELS, NO_HEADERS, endpoint_path, endpoint_row, members_of, values_of
from .listing import once

if TYPE_CHECKING:
    from .....webhooks.outbox import Endpoint


async def form(visit: Visit) -> ManagementAnswer:
    """``GET /webhooks/{id}/edit``."""
    visit.who.require("webhooks:manage")
    endpoint = await visit.desk.operations.endpoints.get(visit.caller, visit.id)
    return _edited(visit, endpoint, Form(values_of(endpoint), labels=LABELS))


async def change(visit: Visit) -> ManagementAnswer:
    """``POST /webhooks/{id}/edit``."""
    visit.who.require("webhooks:manage")
    endpoint = await visit.desk.operations.endpoints.get(visit.caller, visit.id)
    sent, revision = emptied(CHANGED, visit.form), revision_of(visit)
    try:
        given = members_of(sent)
        if not given["headers"] and NO_HEADERS not in visit.form:
            del given["headers"]
        await visit.desk.operations.endpoints.update(visit.caller, visit.id, **given, revision=revision)
    except BadField as error:
        return _edited(visit, endpoint, Form(sent, {error.field: error.reason}, labels=LABELS), 422)
    except (ConfigurationError, NotAllowed) as error:
        found = wrong(error, CHANGED)
        return _edited(visit, endpoint, Form(sent, found.errors, found.problem, LABELS), 422)
    except RecordChanged as error:
        return _edited(visit, endpoint, Form(sent, problem=told(error), labels=LABELS), 409)
    return visit.leave(endpoint_path(visit.id))


async def rotate_form(visit: Visit) -> ManagementAnswer:
    """``GET /webhooks/{id}/rotate``."""
    visit.who.require("webhooks:manage")
    endpoint = await visit.desk.operations.endpoints.get(visit.caller, visit.id)
    # A message of this scheme has room for one signature.
    grace = "0" if endpoint.scheme.name == "hex_body" else USUAL
    return _rotated(visit, endpoint, Form({"grace": grace, "hours": ""}, labels=GRACE_LABELS))


async def rotate(visit: Visit) -> ManagementAnswer:
    """``POST /webhooks/{id}/rotate``. The form names the revision that it was made from, so it rotates once."""
    visit.who.require("webhooks:manage")
    operations, revision = visit.desk.operations.endpoints, revision_of(visit)
    sent = emptied(("grace", "hours"), visit.form)
    try:
        issued = await operations.rotate(visit.caller, visit.id, grace=grace_of(sent), revision=revision)
    except BadField as error:
        failed, status = Form(sent, {error.field: error.reason}, labels=GRACE_LABELS), 422
    except (ConfigurationError, NotAllowed) as error:
        failed, status = Form(sent, problem=str(error), labels=GRACE_LABELS), 422
    except RecordChanged as error:
        failed, status = Form(sent, problem=told(error), labels=GRACE_LABELS), 409
    else:
        return once(visit, texts.ROTATED_TITLE, issued)
    return _rotated(visit, await operations.get(visit.caller, visit.id), failed, status)


async def delete_form(visit: Visit) -> ManagementAnswer:
    """``GET /webhooks/{id}/delete``."""
    visit.who.require("webhooks:manage")
    endpoint = await visit.desk.operations.endpoints.get(visit.caller, visit.id)
    return visit.page(
        "confirm.html",
        title=texts.DELETE_ENDPOINT,
        name=endpoint.description or endpoint.url,
        shown=endpoint.id,
        lead=texts.DELETE_ENDPOINT_LEAD,
        action=visit.to(f"{endpoint_path(visit.id)}/delete"),
        back=visit.to(endpoint_path(visit.id)),
        sure="",
        sure_hint="",
        force="",
        submit=texts.DELETE_ENDPOINT_DO,
        form=Form(),
    )


async def delete(visit: Visit) -> ManagementAnswer:
    """``POST /webhooks/{id}/delete``."""
    await visit.desk.operations.endpoints.delete(visit.caller, visit.id)
    return visit.leave(HOOKS)


def _edited(visit: Visit, endpoint: Endpoint, form: Form, status: int = 200) -> ManagementAnswer:
    path = endpoint_path(visit.id)
    return visit.page(
        "webhook_form.html",
        status,
        title=texts.EDIT_ENDPOINT,
        lead=texts.EDIT_ENDPOINT_LEAD,
        making=False,
        form=form,
        hidden={"name": REVISION, "value": visit.form.get(REVISION, str(endpoint.revision))},
        action=visit.to(f"{path}/edit"),
        back=visit.to(path),
        submit=texts.SAVE,
        organizations=(),
        schemes=(),
        header_names=endpoint.header_names,
    )


def _rotated(visit: Visit, endpoint: Endpoint, form: Form, status: int = 200) -> ManagementAnswer:
    row = endpoint_row(visit, endpoint)
    shown = Form({**form.values, REVISION: str(endpoint.revision)}, form.errors, form.problem, form.labels)
    about = {"name": row["name"], "shown": row["id"], "href": row["href"]}
    texts_of = {"lead": texts.ROTATE_ENDPOINT_LEAD, "submit": texts.ROTATE_ENDPOINT_DO}
    return visit.page("rotate.html", status, key=about, form=shown, **texts_of)
