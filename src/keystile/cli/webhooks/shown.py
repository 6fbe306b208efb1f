"""How endpoints, deliveries and attempts are shown: as JSON, one stable shape for each, and as tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from ..records.shown import cell
from ..shown import plain
from ..tables import Column


def shape(record: Any) -> dict[str, Any]:
    """The record's shape: its members, in their order."""
    return {each.name: _plain(getattr(record, each.name)) for each in fields(record)}


def endpoint_shape(endpoint: Any) -> dict[str, Any]:
    """An endpoint's shape: as above, and its state."""
    found = shape(endpoint)
    scheme = endpoint.scheme
    header = None if scheme.name == "standard" else scheme.header
    return {"id": found.pop("id"), "state": state(endpoint), **found, "scheme": scheme.name, "signature_header": header}


def state(endpoint: Any) -> str:
    """``"enabled"``, ``"failing"`` (nothing has arrived lately) or ``"disabled"``."""
    if not endpoint.is_enabled:
        return "disabled"
    return "enabled" if endpoint.first_failure_at is None else "failing"


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else plain(value)


def _came(attempt: Any) -> str:
    return str(attempt.error if attempt.status is None else attempt.status)


_ID = Column("ID", lambda record: record.id, stays=True)
ENDPOINT_COLUMNS: Sequence[Column] = (
    _ID,
    Column("URL", lambda each: each.url, 16, stays=True),
    Column("STATE", state, stays=True),
    Column("ORGANIZATION", lambda each: each.organization_id),
    Column("TYPES", lambda each: cell(each.event_types), 8),
    Column("WHY", lambda each: each.disabled_reason or "", 8),
    Column("DESCRIPTION", lambda each: each.description or "", 8),
)
DELIVERY_COLUMNS: Sequence[Column] = (
    _ID,
    Column("STATE", lambda each: each.state, stays=True),
    Column("TYPE", lambda each: each.type, 8, stays=True),
    Column("TRIES", lambda each: str(each.attempts), stays=True),
    Column("DUE", lambda each: plain(each.due_at) or ""),
    Column("ADDED", lambda each: plain(each.created_at)),
    Column("MESSAGE", lambda each: each.message_id),
)
ATTEMPT_COLUMNS: Sequence[Column] = (
    Column("TRY", lambda each: str(each.attempt), stays=True),
    Column("AT", lambda each: plain(each.at), stays=True),
    Column("CAME", _came, stays=True),
    Column("SECONDS", lambda each: f"{each.seconds:.1f}", stays=True),
    Column("ANSWER", lambda each: each.response_head, 8),
)
