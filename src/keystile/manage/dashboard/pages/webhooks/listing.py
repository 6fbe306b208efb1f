"""The list of endpoints, and the form that makes one."""

from __future__ import annotations

from typing import Any

from .....exceptions import ConfigurationError, EndpointConflict, NotAllowed, NotFound
from ....requests import ManagementAnswer
from ... import texts
from ...rules.forms import BadField
from ...rules.links import HOOKS
from ...visits import Visit
from ..fields import Form, emptied, wrong
from ..lists import by_organization
from ..making import form_id_of, new_form_id
from ..shown import organizations
from .fields import LABELS, endpoint_path, endpoint_row, members_of

_NAMES = tuple(LABELS)


async def listed(visit: Visit) -> ManagementAnswer:
    """``GET /webhooks``."""
    found, shown = await by_organization(visit, HOOKS, visit.desk.operations.endpoints.list)
    return visit.page("webhooks.html", rows=[endpoint_row(visit, each) for each in found], **shown)


async def new(visit: Visit) -> ManagementAnswer:
    """``GET /webhooks/new``."""
    visit.who.require("webhooks:manage")
    return _shown(visit, Form(emptied(_NAMES, {"scheme": "standard"}), labels=LABELS))


async def make(visit: Visit) -> ManagementAnswer:
    """``POST /webhooks``. A form makes one endpoint, however often it is sent to this process."""
    visit.who.require("webhooks:manage")
    form_id, sent = form_id_of(visit.form), emptied(_NAMES, visit.form)
    try:
        given = {**members_of(sent), "scheme": sent["scheme"] or "standard"}
        with visit.desk.sent.once(form_id) as first:
            if not first:
                return _shown(visit, Form(sent, problem=texts.FORM_REUSED, labels=LABELS), 409)
            return once(visit, texts.ENDPOINT_CREATED, await _made(visit, sent, given))
    except BadField as error:
        return _shown(visit, Form(sent, {error.field: error.reason}, labels=LABELS), 422)
    except EndpointConflict as error:
        return _shown(visit, Form(sent, problem=texts.ENDPOINT_LIMIT.format(reason=error.reason), labels=LABELS), 409)
    except (ConfigurationError, NotAllowed) as error:
        found = wrong(error, _NAMES)
        return _shown(visit, Form(sent, found.errors, found.problem, LABELS), 422)
    except NotFound as error:
        return _shown(visit, Form(sent, {f"{error.kind}_id": str(error)}, labels=LABELS), 422)


async def _made(visit: Visit, sent: dict[str, str], given: dict[str, Any]) -> Any:
    return await visit.desk.operations.endpoints.create(
        visit.caller,
        **given,
        organization_id=sent["organization_id"].strip() or None,
        signature_header=sent["signature_header"].strip() or None,
    )


def once(visit: Visit, title: str, issued: Any) -> ManagementAnswer:
    """The one page that has the secret."""
    href = visit.to(endpoint_path(issued.endpoint.id))
    return visit.page(
        "secret.html",
        title=title,
        name=issued.endpoint.url,
        shown=issued.endpoint.id,
        secret=issued.secret,
        notes=[],
        href=href,
        back=href,
    )


def _shown(visit: Visit, form: Form, status: int = 200) -> ManagementAnswer:
    return visit.page(
        "webhook_form.html",
        status,
        title=texts.NEW_ENDPOINT,
        lead=texts.NEW_ENDPOINT_LEAD,
        making=True,
        form=form,
        hidden=new_form_id(),
        action=visit.to(HOOKS),
        back=visit.to(HOOKS),
        submit=texts.CREATE_ENDPOINT,
        organizations=organizations(visit),
        schemes=list(texts.SCHEMES.items()),
        header_names=(),
    )
