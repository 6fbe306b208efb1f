"""One message on its way to an endpoint, with what came of each attempt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ....requests import ManagementAnswer
from ... import texts
from ...rules.links import segment
from ...visits import Visit
from .fields import endpoint_path, endpoint_row

if TYPE_CHECKING:
    from .....webhooks.outbox import Delivery

_SHADES = {"done": "active", "due": "suspended", "failed": "revoked", "dropped": ""}


def delivery_path(endpoint_id: str, delivery_id: str) -> str:
    """The path of a delivery's page."""
    return f"{endpoint_path(endpoint_id)}/deliveries/{segment(delivery_id)}"


def delivery_row(visit: Visit, delivery: Delivery) -> dict[str, Any]:
    """What every page shows of a delivery."""
    return {
        "id": delivery.id,
        "message_id": delivery.message_id,
        "type": delivery.type,
        "state": texts.DELIVERY_STATES[delivery.state],
        "shade": _SHADES[delivery.state],
        "attempts": delivery.attempts,
        "due_at": delivery.due_at,
        "created_at": delivery.created_at,
        "href": visit.to(delivery_path(delivery.endpoint_id, delivery.id)),
    }


async def show(visit: Visit) -> ManagementAnswer:
    """``GET /webhooks/{id}/deliveries/{id}``."""
    operations = visit.desk.operations.endpoints
    endpoint = await operations.get(visit.caller, visit.id)
    found, history = await operations.delivery(visit.caller, visit.id, visit.inner)
    return visit.page(
        "webhook_delivery.html",
        endpoint=endpoint_row(visit, endpoint),
        delivery=delivery_row(visit, found),
        history=[
            {
                "number": each.attempt,
                "at": each.at,
                "came": str(each.status) if each.status is not None else texts.CAME.get(each.error or "", each.error),
                "seconds": f"{each.seconds:.1f} s",
            }
            for each in history
        ],
    )


async def retry(visit: Visit) -> ManagementAnswer:
    """``POST /webhooks/{id}/deliveries/{id}/retry``."""
    await visit.desk.operations.endpoints.retry(visit.caller, visit.id, visit.inner)
    return visit.leave(delivery_path(visit.id, visit.inner))
