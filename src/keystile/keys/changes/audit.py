"""The audit: who changed what. Entries are made here, kept by the stores together with the change, and told as events.

No entry holds a secret or a hash, and long metadata stands in it by its beginning alone.
"""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any

from ..._ground.checks import check_choice
from ..._ground.frozen import FrozenDict, frozen
from ...events import Event
from ...exceptions import ConfigurationError
from ...model import Actor, ActorType, ApiKey, AuditEntry, Organization, Project, Target, Via
from ...model.audit import COUNTED, DIGITS
from .fields import check_optional

MOST_METADATA = 1024
# An id sorts by the millisecond, and is unique by 60 random bits.
_TIME, _RANDOM = 10, 12
# What the entry says elsewhere, and what nobody has set.
_NOT_TOLD = frozenset(("id", "created_at", "last_used_at", "grace_used_at", "inherited", "revision", "_principal"))


def check_actor(actor: Any) -> Actor:
    """Who changes something; None is the system itself."""
    if actor is None:
        return Actor()
    if not isinstance(actor, Actor):
        raise ConfigurationError(f"expected an Actor, got {type(actor).__name__}", key="actor")
    check_choice(actor.type, ActorType, "actor.type")
    check_choice(actor.via, Via, "actor.via")
    for name in ("id", "name", "client", "request_id"):
        check_optional(getattr(actor, name), f"actor.{name}")
    return actor


def made(event: str, actor: Actor, at: datetime, record: ApiKey | Project | Organization) -> AuditEntry:
    """The entry about a new record."""
    return _entry(event, actor, at, record, None, _members(record))


def ended(event: str, actor: Actor, at: datetime, record: Project) -> AuditEntry:
    """The entry about a record that is no more."""
    return _entry(event, actor, at, record, _members(record), None)


def changed(
    event: str, actor: Actor, at: datetime, record: ApiKey | Project | Organization, changes: Mapping[str, Any]
) -> AuditEntry:
    """The entry about changes of a record."""
    before = {name: getattr(record, name) for name in changes}
    return _entry(event, actor, at, record, before, changes)


def purged(event: str, actor: Actor, at: datetime, before: datetime) -> AuditEntry:
    """The entry about a purge of what had ended before a moment."""
    name = _draw(at)
    return AuditEntry(
        id=name,
        at=at,
        event=event,
        actor=actor,
        organization_id=None,
        targets=(Target("store", "store", "store"),),
        after=FrozenDict(before=before.isoformat()),
        correlation_id=name,
    )


def event_of(entry: AuditEntry) -> Event:
    """What is told of an entry to those who listen to events."""
    actor, target = entry.actor, entry.targets[0]
    key_id = target.id if target.type == "key" else None
    who = " ".join(filter(None, (actor.type, actor.id)))
    what = "" if key_id is not None else f" of {target.type} {target.id}"
    reason = f"{entry.id}{what} by {who} via {actor.via}"
    request_id = actor.request_id or ""
    return Event(
        entry.event, logging.INFO, None, key_id, actor.client, "", "", request_id, reason, entry.organization_id
    )


def _entry(  # noqa: PLR0917 - what an entry holds
    event: str,
    actor: Actor,
    at: datetime,
    record: ApiKey | Project | Organization,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
) -> AuditEntry:
    name = _draw(at)
    return AuditEntry(
        id=name,
        at=at,
        event=event,
        actor=actor,
        organization_id=record.id if isinstance(record, Organization) else record.organization_id,
        targets=(Target(event.partition(".")[0], record.id, record.name),),
        before=_told(before),
        after=_told(after),
        correlation_id=name,
    )


def _members(record: ApiKey | Project | Organization) -> dict[str, Any]:
    """What a record holds and that is not empty."""
    names = [each.name for each in fields(record) if each.name not in _NOT_TOLD]
    return {name: value for name in names if (value := getattr(record, name))}


def _told(values: Mapping[str, Any] | None) -> FrozenDict | None:
    if values is None:
        return None
    return FrozenDict({name: _as_json(name, value) for name, value in values.items() if name != "grace_used_at"})


def _as_json(name: str, value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if name == "hashes":
        return frozen({"count": len(value), "hints": [each.hint for each in value]})
    if name == "metadata" and len(text := json.dumps(value)) > MOST_METADATA:
        return frozen({"cut": text[:MOST_METADATA]})
    return value


def _draw(at: datetime) -> str:
    """A new id, with room for the number of an entry."""
    number, digits = int(at.timestamp() * 1000), ""
    for _ in range(_TIME):
        number, digit = divmod(number, len(DIGITS))
        digits = DIGITS[digit] + digits
    return f"aud_{digits}{''.join(secrets.choice(DIGITS) for _ in range(_RANDOM))}{DIGITS[0] * COUNTED}"
