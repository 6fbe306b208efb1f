"""What is told of a change to the organization that it concerns: a plain function from an entry of the audit.

A message says what happened to what, and who did it. It holds no values: who needs them asks for the record, with the
rights that he has. So it can hold no secret, no hash and nothing that a host keeps in metadata for itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from ...model import AuditEntry
from ...policy.webhooks import LEAKED, OWN_TYPES

TYPES = (*OWN_TYPES.values(), LEAKED)
"""The types of all such messages."""


class Own(NamedTuple):
    """A message about a change.

    Attributes:
        type: ``"key.revoked"``.
        data: what it says.
        dedupe_key: the same for the same change, however often it is read.
    """

    type: str
    data: dict[str, Any]
    dedupe_key: str


def told(entry: AuditEntry, wanted: frozenset[str]) -> Iterator[Own]:
    """The messages about an entry whose types are wanted.

    A key that was revoked because it was found in public is told twice: whoever waits for revocations must hear of all
    of them, and whoever waits for leaks of nothing else.
    """
    types = [OWN_TYPES.get(entry.event, ""), LEAKED if _is_leak(entry) else ""]
    for each in wanted.intersection(types):
        suffix = f":{each}" if each == LEAKED else ""
        yield Own(each, _data(entry), f"{entry.id}{suffix}")


def schema_of(type: str) -> dict[str, Any]:
    """The JSON Schema of the data of messages of this type."""
    text = {"type": "string"}
    target = _record({"id": text, "name": text})
    members = {
        "id": text,
        "correlation_id": text,
        "at": {"type": "string", "format": "date-time"},
        "organization_id": text,
        type.partition(".")[0]: target,
        "changed": {"type": "array", "items": text},
        "actor": _record({"type": text, "via": text}),
    }
    return _record(members)


def _record(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _is_leak(entry: AuditEntry) -> bool:
    return entry.event == "key.revoke" and entry.actor.via == "leak_scan"


def _data(entry: AuditEntry) -> dict[str, Any]:
    actor, target = entry.actor, entry.targets[0]
    changed = {**(entry.before or {}), **(entry.after or {})} if entry.before is not None else {}
    return {
        "id": entry.id,
        "correlation_id": entry.correlation_id,
        "at": entry.at.isoformat(),
        "organization_id": entry.organization_id,
        target.type: {"id": target.id, "name": target.name},
        "changed": sorted(changed) if entry.after is not None else [],
        "actor": {"type": actor.type, "via": actor.via},
    }
