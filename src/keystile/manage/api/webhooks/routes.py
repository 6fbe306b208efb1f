"""The table of routes about webhook endpoints: they are there only with an outbox."""

from __future__ import annotations

from ..members import NOTHING
from ..routes import WHOSE, Parameter, Route
from . import handlers, members, shapes

_READ, _MANAGE = "webhooks:read", "webhooks:manage"
_ONE, _DELIVERY = "/webhooks/{endpoint_id}", "/webhooks/{endpoint_id}/deliveries/{delivery_id}"
_STATE = Parameter("state", shapes.DELIVERY_STATE, "Only deliveries that are in this state.")

# fmt: off
WEBHOOK_ROUTES = (
    Route("GET", "/webhooks", "listEndpoints", "List the webhook endpoints of the caller's organization, the oldest "
          "first.", _READ, handlers.list_endpoints, shapes.ENDPOINT, "page", query=(WHOSE,)),
    Route("POST", "/webhooks", "createEndpoint", "Make a webhook endpoint; the secret that its messages are signed "
          "with is in the answer, this once.", _MANAGE, handlers.create_endpoint, shapes.ISSUED_ENDPOINT, status=201,
          body=members.NEW_ENDPOINT, tagged=True, conflicts=True),
    Route("GET", _ONE, "getEndpoint", "Give a webhook endpoint.", _READ, handlers.get_endpoint, shapes.ENDPOINT,
          tagged=True),
    Route("PATCH", _ONE, "updateEndpoint", "Change what is given of a webhook endpoint; null clears. What is due "
          "already goes to the new URL.", _MANAGE, handlers.update_endpoint, shapes.ENDPOINT,
          body=members.ENDPOINT_CHANGE, tagged=True, matched=True),
    Route("DELETE", _ONE, "deleteEndpoint", "Delete a webhook endpoint for good; what is due is not sent any more.",
          _MANAGE, handlers.delete_endpoint, None, "none", 204),
    Route("POST", f"{_ONE}/rotate", "rotateSecret", "Give a webhook endpoint a new secret, which is in the answer, "
          "this once; the one before it signs as well for `grace` seconds, a day if nothing is said.", _MANAGE,
          handlers.rotate_secret, shapes.ISSUED_ENDPOINT, body=members.SECRET_ROTATION, tagged=True, matched=True),
    Route("POST", f"{_ONE}/enable", "enableEndpoint", "Send to a webhook endpoint again, also what waited.", _MANAGE,
          handlers.enable_endpoint, shapes.ENDPOINT, body=NOTHING, tagged=True, matched=True),
    Route("POST", f"{_ONE}/disable", "disableEndpoint", "Send nothing to a webhook endpoint until it is enabled; what "
          "is due waits, and what is added is not kept for it.", _MANAGE, handlers.disable_endpoint, shapes.ENDPOINT,
          body=NOTHING, tagged=True, matched=True),
    Route("POST", f"{_ONE}/test", "sendTest", "Send a message of the type `webhook.test` to a webhook endpoint.",
          _MANAGE, handlers.send_test, shapes.TEST_MESSAGE, status=202, body=NOTHING, conflicts=True),
    Route("GET", f"{_ONE}/deliveries", "listDeliveries", "List what was and is to be delivered to a webhook endpoint, "
          "the newest first.", _READ, handlers.list_deliveries, shapes.DELIVERY, "page", query=(_STATE,)),
    Route("GET", _DELIVERY, "getDelivery", "Give a delivery, and what came of each attempt.", _READ,
          handlers.get_delivery, shapes.TRACED_DELIVERY),
    Route("POST", f"{_DELIVERY}/retry", "retryDelivery", "Send a message once more, now, whatever came of it.",
          _MANAGE, handlers.retry_delivery, shapes.DELIVERY, status=202, body=NOTHING),
    Route("POST", f"{_ONE}/retry", "retryFailed", "Send once more what was given up since a moment, the oldest first; "
          "where `has_more`, ask again.", _MANAGE, handlers.retry_failed, shapes.RETRIED, status=202,
          body=members.RETRY),
)
# fmt: on
