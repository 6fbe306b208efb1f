"""Endpoints as text, and text as their members."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ....api.webhooks.shapes import endpoint_state
from ... import texts
from ...rules.forms import BadField, lines, listed
from ...rules.links import HOOKS, segment
from ...visits import Visit

if TYPE_CHECKING:
    from .....webhooks.outbox import Endpoint

LABELS = {
    "organization_id": texts.ORGANIZATION,
    "url": texts.URL,
    "description": texts.DESCRIPTION,
    "event_types": texts.EVENT_TYPES,
    "headers": texts.HEADERS,
    "scheme": texts.SCHEME,
    "signature_header": texts.SIGNATURE_HEADER,
}
CHANGED = ("url", "description", "event_types", "headers")
NO_HEADERS = "no_headers"
"""The box that takes all headers away: an empty field leaves those that are there, for their values are not shown."""
_SHADES = {"enabled": "active", "failing": "suspended", "disabled": "revoked"}


def endpoint_path(endpoint_id: str) -> str:
    """The path of an endpoint's page."""
    return f"{HOOKS}/{segment(endpoint_id)}"


def endpoint_row(visit: Visit, endpoint: Endpoint) -> dict[str, Any]:
    """What every page shows of an endpoint."""
    state = endpoint_state(endpoint)
    return {
        "id": endpoint.id,
        "url": endpoint.url,
        "name": endpoint.description or endpoint.url,
        "description": endpoint.description,
        "href": visit.to(endpoint_path(endpoint.id)),
        "organization_id": endpoint.organization_id,
        "state": texts.ENDPOINT_STATES[state],
        "shade": _SHADES[state],
        "enabled": endpoint.is_enabled,
        "reason": texts.DISABLED_BECAUSE.get(endpoint.disabled_reason or "", endpoint.disabled_reason),
        "disabled_at": endpoint.disabled_at,
        "failing_since": endpoint.first_failure_at,
        "event_types": endpoint.event_types,
        "scheme": texts.SCHEMES[endpoint.scheme.name],
        "signature_header": None if endpoint.scheme.name == "standard" else endpoint.scheme.header,
        "header_names": endpoint.header_names,
        "created_at": endpoint.created_at,
    }


def values_of(endpoint: Endpoint) -> dict[str, str]:
    """An endpoint as the text of the form. The values of headers are not shown."""
    return {
        "url": endpoint.url,
        "description": endpoint.description or "",
        "event_types": "\n".join(endpoint.event_types or ()),
        "headers": "",
    }


def members_of(sent: Mapping[str, str]) -> dict[str, Any]:
    """The members of an endpoint that these texts stand for; BadField if one of them stands for nothing."""
    return {
        "url": sent["url"].strip(),
        "description": sent["description"].strip() or None,
        "event_types": listed(sent["event_types"]) or None,
        "headers": _headers(sent["headers"]),
    }


def _headers(text: str) -> dict[str, str]:
    """Lines as they stand in a message: ``X-Team: billing``."""
    found: dict[str, str] = {}
    for line in lines(text):
        name, colon, value = line.partition(":")
        if not colon:
            raise BadField("headers", texts.HEADERS_WRONG)
        if name.strip() in found:
            raise BadField("headers", texts.HEADERS_TWICE)
        found[name.strip()] = value.strip()
    return found
