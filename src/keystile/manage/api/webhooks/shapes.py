"""What is answered about webhook endpoints.

A secret stands only where it was just made. The values of headers stand nowhere, and neither does what the other side
answered.
"""

from __future__ import annotations

from typing import Any

from ..shapes import (
    FLAG,
    MAYBE_TEXT,
    TEXT,
    WHOLE,
    Member,
    Schema,
    Shape,
    plain,
    shapes_of,
    texts,
    timed,
)

DELIVERY_STATE: Schema = {"type": "string", "enum": ["due", "done", "failed", "dropped"]}
_SCHEME: Schema = {"type": "string", "enum": ["standard", "hex_body", "timestamped"]}
_STATE: Schema = {"type": "string", "enum": ["enabled", "failing", "disabled"]}
_SECONDS: Schema = {"type": "number", "minimum": 0}
_MAYBE_WHOLE: Schema = {"type": ["integer", "null"]}


def endpoint_state(endpoint: Any) -> str:
    """``"enabled"``, ``"failing"`` (nothing has arrived lately) or ``"disabled"``."""
    if not endpoint.is_enabled:
        return "disabled"
    return "enabled" if endpoint.first_failure_at is None else "failing"


def _signature_header(endpoint: Any) -> str | None:
    return None if endpoint.scheme.name == "standard" else endpoint.scheme.header


ENDPOINT = Shape(
    "Endpoint",
    (
        plain("id", TEXT),
        plain("organization_id", TEXT),
        plain("url", TEXT),
        plain("description", MAYBE_TEXT),
        Member("state", _STATE, endpoint_state),
        texts("event_types", null=True),
        plain("scheme", _SCHEME, "scheme.name"),
        Member("signature_header", MAYBE_TEXT, _signature_header),
        texts("header_names"),
        timed("created_at", null=False),
        timed("disabled_at"),
        plain("disabled_reason", MAYBE_TEXT),
        timed("first_failure_at"),
    ),
)
ISSUED_ENDPOINT = ENDPOINT.within("IssuedEndpoint", "endpoint", plain("secret", TEXT))
DELIVERY = Shape(
    "Delivery",
    (
        plain("id", TEXT),
        plain("message_id", TEXT),
        plain("endpoint_id", TEXT),
        plain("type", TEXT),
        plain("state", DELIVERY_STATE),
        plain("attempts", WHOLE),
        timed("due_at"),
        timed("created_at", null=False),
    ),
)
ATTEMPT = Shape(
    "Attempt",
    (
        plain("attempt", WHOLE),
        timed("at", null=False),
        plain("status", _MAYBE_WHOLE),
        plain("error", MAYBE_TEXT),
        plain("seconds", _SECONDS),
    ),
)
TRACED_DELIVERY = DELIVERY.within("TracedDelivery", "delivery", shapes_of("history", ATTEMPT))
TEST_MESSAGE = Shape("TestMessage", (Member("message_id", TEXT, str),))
RETRIED = Shape("Retried", (plain("retried", WHOLE), plain("has_more", FLAG)))
