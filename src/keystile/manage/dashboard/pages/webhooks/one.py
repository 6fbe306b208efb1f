"""One endpoint: where it stands and what was delivered to it; and what is done with it by one press of a button."""

from __future__ import annotations

from collections.abc import Awaitable
from datetime import timedelta
from typing import Any

from .....exceptions import EndpointConflict
from ....requests import ManagementAnswer
from ... import texts
from ...rules.forms import BadForm
from ...visits import Visit
from ..fields import Form
from ..shown import PAGE
from .deliveries import delivery_row
from .fields import endpoint_path, endpoint_row


async def show(visit: Visit) -> ManagementAnswer:
    """``GET /webhooks/{id}``."""
    return await _shown(visit, Form())


async def enable(visit: Visit) -> ManagementAnswer:
    """``POST /webhooks/{id}/enable``."""
    return await _done(visit, visit.desk.operations.endpoints.enable(visit.caller, visit.id))


async def disable(visit: Visit) -> ManagementAnswer:
    """``POST /webhooks/{id}/disable``."""
    return await _done(visit, visit.desk.operations.endpoints.disable(visit.caller, visit.id))


async def test(visit: Visit) -> ManagementAnswer:
    """``POST /webhooks/{id}/test``."""
    return await _done(visit, visit.desk.operations.endpoints.test(visit.caller, visit.id))


async def retry_failed(visit: Visit) -> ManagementAnswer:
    """``POST /webhooks/{id}/retry``."""
    hours = visit.form.get("hours", "")
    if hours not in texts.RETRY_SPANS:
        raise BadForm(400, texts.WRONG_METHOD_LEAD)
    since = visit.now - timedelta(hours=int(hours))
    return await _done(visit, visit.desk.operations.endpoints.retry_failed(visit.caller, visit.id, since=since))


async def _done(visit: Visit, operation: Awaitable[Any]) -> ManagementAnswer:
    try:
        await operation
    except EndpointConflict:
        return await _shown(visit, Form(problem=texts.ENDPOINT_DISABLED), 409)
    return visit.leave(endpoint_path(visit.id))


async def _shown(visit: Visit, form: Form, status: int = 200) -> ManagementAnswer:
    state = visit.query.get("state", "")
    state = state if state in texts.DELIVERY_STATES else ""
    place = f"webhooks {visit.id}"
    after = visit.after(place, state=state)
    operations = visit.desk.operations.endpoints
    endpoint = await operations.get(visit.caller, visit.id)
    found = await operations.deliveries(
        visit.caller,
        visit.id,
        state=state or None,  # type: ignore[arg-type] # it is one of them
        after=after,
        limit=PAGE,
    )
    path = endpoint_path(visit.id)
    cursor = visit.cursor(found.items[-1].id, place, state=state) if found.has_more else ""
    return visit.page(
        "webhook.html",
        status,
        form=form,
        endpoint=endpoint_row(visit, endpoint),
        deliveries=[delivery_row(visit, each) for each in found.items],
        states=[
            {"label": label, "href": visit.to(path, state=name), "here": name == state}
            for name, label in {"": texts.ALL, **texts.DELIVERY_STATES}.items()
        ],
        page={
            "first": visit.to(path, state=state) if after else "",
            "next": visit.to(path, state=state, after=cursor) if cursor else "",
        },
    )
