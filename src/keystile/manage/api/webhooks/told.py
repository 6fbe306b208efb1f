"""The messages about keys, projects and organizations, as OpenAPI describes webhooks."""

from __future__ import annotations

from typing import Any

from ..shapes import TEXT

_ABOUT = "Sent to the endpoints of the organization that it concerns, where this service is set up to tell of it."
_HEADERS = {
    "webhook-id": "The same at every attempt: what a second one is known by.",
    "webhook-timestamp": "Unix seconds at which it was sent.",
    "webhook-signature": "One signature or several, as Standard Webhooks writes them.",
}


def own_messages() -> dict[str, Any]:
    """Each type of them as a path item. It needs an outbox, and what that needs."""
    from ....webhooks.working.own import TYPES, schema_of

    return {each: {"post": _operation(each, schema_of(each))} for each in TYPES}


def _operation(type: str, data: dict[str, Any]) -> dict[str, Any]:
    message = {
        "type": "object",
        "properties": {
            "type": {"type": "string", "const": type},
            "timestamp": {"type": "string", "format": "date-time"},
            "data": data,
        },
        "required": ["type", "timestamp", "data"],
    }
    return {
        "summary": f"{type}: it has happened.",
        "description": _ABOUT,
        "parameters": [
            {"name": name, "in": "header", "required": True, "description": said, "schema": dict(TEXT)}
            for name, said in _HEADERS.items()
        ],
        "requestBody": {"required": True, "content": {"application/json": {"schema": message}}},
        "responses": {"2XX": {"description": "It has arrived; anything else is tried again."}},
    }
