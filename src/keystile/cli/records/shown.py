"""How records are shown: as JSON, one stable shape for each kind, and as tables.

Scripts depend on the shapes: a member is never renamed, and is there also if it is null. Nothing here holds a secret or
a hash. docs/reference/cli.md shows each shape, and a test compares.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

import click

from ...model import ApiKey, AuditEntry, IssuedKey, Organization, Principal, Project
from ..shown import plain, print_json
from ..tables import Column, Layout, layout, lines, pairs, terminal_width

Record = ApiKey | Project | Organization | AuditEntry
Shape = Callable[[Any], dict[str, Any]]


def state(record: ApiKey | Project | Organization) -> str:
    """In which part of its life it is: ``"active"``, ``"suspended"``, ``"expired"`` or ``"revoked"``."""
    if isinstance(record, ApiKey):
        return record.state(datetime.now(UTC))
    return "active" if record.suspended_at is None else "suspended"


def as_json(record: Record) -> dict[str, Any]:
    """The record's shape."""
    if isinstance(record, ApiKey):
        return _key(record)
    if isinstance(record, AuditEntry):
        return _entry(record)
    return {"id": record.id, "name": record.name, "state": state(record)} | {
        each.name: plain(getattr(record, each.name)) for each in fields(record) if each.name != "revision"
    }


def issued_json(issued: IssuedKey) -> dict[str, Any]:
    """A key with its secret: the only shape that has one."""
    return {
        "key": as_json(issued.key),
        "secret": issued.secret,
        "revoked": list(issued.revoked),
        "replaced_at_once": issued.replaced_at_once,
    }


def print_record(record: Any, *, for_machines: bool, shape: Shape = as_json) -> None:
    """One record, whole."""
    shown = shape(record)
    if for_machines:
        print_json(shown)
    else:
        for line in pairs(((name, cell(value)) for name, value in shown.items()), terminal_width()):
            click.echo(line)


def print_pages(
    pages: Iterable[Sequence[Any]],
    columns: Sequence[Column],
    *,
    for_machines: bool,
    same: Iterable[str] = (),
    shape: Shape = as_json,
) -> None:
    """Records, page by page, as one list. There is always a first page, if only an empty one.

    Args:
        pages: the records.
        columns: what a table says of them.
        for_machines: JSON instead.
        same: titles of columns in which they are all the same, so that no table need say it.
        shape: the JSON of a record.
    """
    columns = [each for each in columns if each.title not in same]
    if for_machines:
        _print_list(pages, shape)
        return
    before: Layout | None = None
    left_out: set[str] = set()
    for page in pages:
        found = layout(columns, page, terminal_width())
        again = before is None or (found.columns, found.widths) != (before.columns, before.widths)
        click.echo("\n".join(lines(found, page, head=again)))
        left_out |= {*found.left_out}
        before = found
    if left_out:
        named = ", ".join(each.title for each in columns if each.title in left_out)
        click.echo(f"Not shown, for it does not fit: {named}. --json shows everything.", err=True)


def _print_list(pages: Iterable[Sequence[Any]], shape: Shape) -> None:
    begin = "["
    for page in pages:
        if page or begin == "[":
            click.echo(begin + ", ".join(json.dumps(shape(each)) for each in page), nl=False)
            begin = ", " if page else ""
    click.echo("]")


def cell(value: Any) -> str:
    """A member's value as text; empty if there is none."""
    if isinstance(value, dict):
        said = {name: each for name, each in value.items() if each is not None}
        return json.dumps(said, ensure_ascii=False) if said else ""
    if isinstance(value, (list, tuple)):
        return " ".join(each if isinstance(each, str) else cell(each) for each in value)
    return "" if value is None else str(value)


def _key(key: ApiKey) -> dict[str, Any]:
    older = key.hashes[1:]
    return {
        "id": key.id,
        "name": key.name,
        "state": state(key),
        **{each.name: plain(getattr(key, each.name)) for each in fields(Principal)},
        "inherited": {name: plain(value) for name, value in key.inherited._asdict().items()},
        "hints": [each.hint for each in key.hashes if each.hint],
        "grace_expires_at": plain(older[0].expires_at) if older else None,
        "grace_used_at": plain(key.grace_used_at),
    }


def _entry(entry: AuditEntry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "at": entry.at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "event": entry.event,
        "actor": entry.actor._asdict(),
        "organization_id": entry.organization_id,
        "targets": [target._asdict() for target in entry.targets],
        "before": entry.before,
        "after": entry.after,
        "correlation_id": entry.correlation_id,
    }


def _day(moment: datetime | None) -> str:
    return "" if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%d")


def _changed(entry: AuditEntry) -> str:
    """What an entry says was changed; of a new record that would be everything."""
    return "" if entry.before is None else cell(list(entry.after or ()))


_ID = Column("ID", lambda record: record.id, stays=True)
_NAME = Column("NAME", lambda record: record.name, 8, stays=True)
_STATE = Column("STATE", state, stays=True)
_ORGANIZATION = Column("ORGANIZATION", lambda record: record.organization_id or "")
_ENVIRONMENT = Column("ENVIRONMENT", lambda record: record.environment)
_CREATED = Column("CREATED", lambda record: _day(record.created_at))

KEY_COLUMNS = (
    _ID,
    _NAME,
    _STATE,
    Column("PLAN", lambda key: key.effective_plan or "", 6),
    Column("EXPIRES", lambda key: _day(key.expires_at)),
    Column("LAST USED", lambda key: _day(key.last_used_at)),
    _ORGANIZATION,
    Column("PROJECT", lambda key: key.project_id or ""),
    Column("OWNER", lambda key: key.owner_id or "", 8),
    Column("LIMITS", lambda key: key.limits or "", 12),
    Column("SCOPES", lambda key: cell(key.scopes), 8),
    Column("ENDS IN", lambda key: cell([each.hint for each in key.hashes])),
    _ENVIRONMENT,
)
PROJECT_COLUMNS = (_ID, _NAME, _STATE, _ORGANIZATION, _ENVIRONMENT, _CREATED)
ORGANIZATION_COLUMNS = (_ID, _NAME, _STATE, Column("PLAN", lambda each: each.plan or "", 6), _CREATED)
AUDIT_COLUMNS = (
    Column("AT", lambda entry: plain(entry.at), stays=True),
    Column("EVENT", lambda entry: entry.event, stays=True),
    Column("TARGET", lambda entry: cell([target.id for target in entry.targets]), stays=True),
    Column("BY", lambda entry: entry.actor.name or entry.actor.id or entry.actor.type, 6, stays=True),
    Column("CHANGED", _changed, 8),
)
