"""Making a key. The same form makes one key, however often it is sent: the key's id follows from the form's."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from ....exceptions import ConfigurationError, IdempotencyKeyReused, KeyLimitReached, NotAllowed, NotFound
from ...operations import MadeKey
from ...requests import ManagementAnswer
from .. import texts
from ..rules.errors import told
from ..rules.forms import BadForm
from ..visits import Visit
from .fields import LABELS, Form, emptied, members, wrong
from .shown import environments, key_label, key_path, organizations, plan_choices, project_choices

FORM_ID = "form_id"
_MOST = 64
_NAMES = tuple(LABELS)


async def form(visit: Visit) -> ManagementAnswer:
    """``GET /keys/new``."""
    visit.who.require("keys:manage")
    chosen = {"project_id": visit.query.get("project", ""), "organization_id": visit.query.get("organization", "")}
    return await _shown(visit, Form(emptied(_NAMES, chosen)))


async def make(visit: Visit) -> ManagementAnswer:
    """``POST /keys``."""
    visit.who.require("keys:manage")
    form_id = form_id_of(visit.form)
    sent = emptied(_NAMES, visit.form)
    given, errors = members({name: text for name, text in sent.items() if text.strip()})
    if errors or "name" not in given:
        return await _shown(visit, Form(sent, errors or {"name": texts.REQUIRED}), 422)
    try:
        made = await _made(visit, form_id, given)
    except (ConfigurationError, NotAllowed) as error:
        found = wrong(error, _NAMES)
        return await _shown(visit, Form(sent, found.errors, found.problem), 422)
    except NotFound as error:
        return await _shown(visit, Form(sent, {f"{error.kind}_id": str(error)}), 422)
    except KeyLimitReached as error:
        return await _shown(visit, Form(sent, problem=told(error)), 409)
    except IdempotencyKeyReused:
        return await _shown(visit, Form(sent, problem=texts.FORM_REUSED), 409)
    return once(visit, texts.CREATED_TITLE, made)


async def _made(visit: Visit, form_id: str, given: Mapping[str, Any]) -> MadeKey:
    create = visit.desk.operations.keys.create
    if visit.desk.gate.keys.takes_ids:
        return await create(visit.caller, **given, idempotency_key=form_id)
    with visit.desk.sent.once(form_id) as first:
        if not first:
            raise IdempotencyKeyReused("this form was sent before")
        return await create(visit.caller, **given)


def once(visit: Visit, title: str, made: MadeKey, *notes: str) -> ManagementAnswer:
    """The one page that has the secret."""
    shown = made.shown
    told_of = list(notes)
    if made.revoked:
        text = texts.ONE_MADE_ROOM if len(made.revoked) == 1 else texts.MADE_ROOM
        told_of.append(text.format(number=len(made.revoked)))
    if made.replaced_at_once:
        told_of.append(texts.CUT_SHORT)
    return visit.page(
        "secret.html",
        title=title,
        name=shown.key.name,
        shown=key_label(shown),
        secret=made.secret,
        notes=told_of,
        href=visit.to(key_path(shown.key.id)),
    )


def form_id_of(sent: Mapping[str, str]) -> str:
    """Which form was sent; BadForm if it does not say so."""
    text = sent.get(FORM_ID, "")
    if not text.isascii() or not text.isalnum() or not 16 <= len(text) <= _MOST:
        raise BadForm(400, texts.WRONG_METHOD_LEAD)
    return f"form {text}"


def new_form_id() -> dict[str, str]:
    """The hidden field of a form that makes something."""
    return {"name": FORM_ID, "value": secrets.token_hex(16)}


def known_scopes(visit: Visit) -> list[str]:
    """The scopes that rules of this service ask for."""
    return sorted({scope for each in visit.desk.gate.policy.rules for scope in each.scopes})


async def _shown(visit: Visit, form: Form, status: int = 200) -> ManagementAnswer:
    return visit.page(
        "key_form.html",
        status,
        title=texts.NEW_KEY,
        lead=texts.NEW_KEY_LEAD,
        making=True,
        form=form,
        hidden=new_form_id(),
        action=visit.to("/keys"),
        back=visit.to("/"),
        submit=texts.CREATE_KEY,
        organizations=organizations(visit),
        projects=await project_choices(visit),
        environments=environments(("", texts.AS_PROJECT)),
        scopes=known_scopes(visit),
        plans=plan_choices(visit),
        plans_too=visit.who.can("plans:manage"),
        boxes={},
    )
