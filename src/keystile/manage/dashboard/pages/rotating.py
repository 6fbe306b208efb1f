"""A new secret for a key. The form names the revision that it was made from, so it rotates once."""

from __future__ import annotations

from collections.abc import Mapping

from ....exceptions import ConfigurationError, NotAllowed, RecordChanged
from ...operations import ShownKey
from ...requests import ManagementAnswer
from .. import texts
from ..rules.errors import told
from ..rules.forms import BadField, seconds
from ..visits import Visit
from .changing import REVISION, revision_of
from .fields import Form
from .making import once
from .shown import key_row

OTHER = "other"
USUAL = "24"
GRACE_LABELS = {"hours": texts.GRACE_HOURS}

_TEXTS = {"lead": texts.ROTATE_LEAD, "submit": texts.ROTATE_DO}


async def form(visit: Visit) -> ManagementAnswer:
    """``GET /keys/{id}/rotate``."""
    visit.who.require("keys:manage")
    shown = await visit.desk.operations.keys.get(visit.caller, visit.id)
    return _shown(visit, shown, {"grace": USUAL, "hours": ""}, {})


async def rotate(visit: Visit) -> ManagementAnswer:
    """``POST /keys/{id}/rotate``."""
    visit.who.require("keys:manage")
    sent = {"grace": visit.form.get("grace", ""), "hours": visit.form.get("hours", "")}
    revision = revision_of(visit)
    try:
        grace = grace_of(sent)
        made = await visit.desk.operations.keys.rotate(visit.caller, visit.id, grace=grace, revision=revision)
    except BadField as error:
        shown = await visit.desk.operations.keys.get(visit.caller, visit.id)
        return _shown(visit, shown, sent, {error.field: error.reason}, status=422)
    except (ConfigurationError, NotAllowed) as error:
        shown = await visit.desk.operations.keys.get(visit.caller, visit.id)
        return _shown(visit, shown, sent, {}, str(error), status=422)
    except RecordChanged as error:
        shown = await visit.desk.operations.keys.get(visit.caller, visit.id)
        return _shown(visit, shown, sent, {}, told(error), status=409)
    return once(visit, texts.ROTATED_TITLE, made)


def grace_of(sent: Mapping[str, str]) -> float:
    """For how many seconds the secret before it stays valid."""
    if sent["grace"] == OTHER:
        return seconds("hours", sent["hours"])
    if sent["grace"] not in texts.GRACES:
        raise BadField("hours", texts.CHOOSE_ONE)
    return seconds("hours", sent["grace"])


def _shown(
    visit: Visit,
    shown: ShownKey,
    values: dict[str, str],
    errors: dict[str, str],
    problem: str = "",
    *,
    status: int = 200,
) -> ManagementAnswer:
    values = values | {REVISION: str(shown.revision)}
    form = Form(values, errors, problem, GRACE_LABELS)
    return visit.page("rotate.html", status, key=key_row(visit, shown, {}), form=form, **_TEXTS)
