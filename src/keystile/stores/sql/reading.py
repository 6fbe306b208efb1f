"""The statements with which the SQL store reads.

A key is read together with what it inherits, in one statement. The three revisions say whether any of it has changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from ...model.audit import COUNTED, DIGITS, numbered
from ..filters import AuditFilter, KeyFilter
from ..rows import (
    AUDIT_COLUMNS,
    KEY_COLUMNS,
    ORGANIZATION_COLUMNS,
    PROJECT_COLUMNS,
    Row,
    microseconds,
    searched_hint,
)
from .tables import audit, audit_targets, keys, organizations, projects, usage

_OWNED = keys.outerjoin(projects, projects.c.id == keys.c.project_id).outerjoin(
    organizations, organizations.c.id == keys.c.organization_id
)
# MySQL's LEAST is NULL if one of them is; PostgreSQL's is not.
_SINCE = sa.func.coalesce(
    sa.func.least(projects.c.suspended_at, organizations.c.suspended_at),
    projects.c.suspended_at,
    organizations.c.suspended_at,
)
SELECT_KEY = sa.select(
    *(table.c.revision for table in (keys, projects, organizations)),
    *(keys.c[name] for name in KEY_COLUMNS),
    organizations.c.plan,
    _SINCE,
).select_from(_OWNED)
BY_ID = SELECT_KEY.where(keys.c.id == sa.bindparam("key_id"))
SELECT_PROJECT = sa.select(projects.c.revision, *(projects.c[name] for name in PROJECT_COLUMNS))
SELECT_ORGANIZATION = sa.select(organizations.c.revision, *(organizations.c[name] for name in ORGANIZATION_COLUMNS))
SELECT_AUDIT = sa.select(*(audit.c[name] for name in AUDIT_COLUMNS))
ID, CREATED_AT = 3 + KEY_COLUMNS.index("id"), 3 + KEY_COLUMNS.index("created_at")

_OWNERS = ("organization_id", "project_id", "owner_id")


def can_be_kept(text: str | None) -> bool:
    """Whether a database can hold this text: PostgreSQL has no NUL, and UTF-8 no half of a character. What cannot be
    kept is not there either."""
    try:
        return text is None or b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False


def key_row_of(connection: sa.Connection, key_id: str) -> Row | None:
    """A key's row, in a transaction."""
    return _row(connection.execute(BY_ID, {"key_id": key_id}))


def project_row_of(connection: sa.Connection, project_id: str, *, living: bool = False) -> Row | None:
    """A project's row."""
    wanted = SELECT_PROJECT.where(projects.c.id == project_id)
    return _row(connection.execute(wanted.where(projects.c.deleted_at.is_(None)) if living else wanted))


def organization_row_of(connection: sa.Connection, organization_id: str) -> Row | None:
    """An organization's row."""
    return _row(connection.execute(SELECT_ORGANIZATION.where(organizations.c.id == organization_id)))


def last_use_of(connection: sa.Connection, key_id: str, name: str) -> Row | None:
    """When a key, or its older secret, was used last."""
    return _row(connection.execute(sa.select(keys.c[name]).where(keys.c.id == key_id)))


def key_rows(connection: sa.Connection, wanted: KeyFilter, after: str | None, limit: int) -> Sequence[Row]:
    """A page of keys."""
    where = [keys.c[name] == getattr(wanted, name) for name in _OWNERS if getattr(wanted, name) is not None]
    where += [*_in_state(wanted), *_found_by(wanted.search, connection.dialect.name)]
    return _page(connection, SELECT_KEY.where(*where), (keys, "created_at"), after, limit)


def project_rows(
    connection: sa.Connection, organization_id: str | None, after: str | None, limit: int
) -> Sequence[Row]:
    """A page of projects."""
    wanted = SELECT_PROJECT.where(projects.c.deleted_at.is_(None))
    if organization_id is not None:
        wanted = wanted.where(projects.c.organization_id == organization_id)
    return _page(connection, wanted, (projects, "created_at"), after, limit)


def organization_rows(connection: sa.Connection, after: str | None, limit: int) -> Sequence[Row]:
    """A page of organizations."""
    return _page(connection, SELECT_ORGANIZATION, (organizations, "created_at"), after, limit)


def entry_rows(connection: sa.Connection, wanted: AuditFilter, after: str | None, limit: int) -> Sequence[Row]:
    """A page of the audit, the newest first."""
    select = SELECT_AUDIT
    if wanted.target is not None:
        select = select.join(audit_targets, audit_targets.c.entry_id == audit.c.id)
        select = select.where(audit_targets.c.target_id == wanted.target)
    for name in ("organization_id", "event"):
        if getattr(wanted, name) is not None:
            select = select.where(audit.c[name] == getattr(wanted, name))
    return _page(connection, select, (audit, "at"), after, limit, backwards=True)


def usage_rows(connection: sa.Connection, key_id: str, first: int, end: int, step: int) -> Sequence[Row]:
    """A key's counts by span and outcome."""
    span = (usage.c.hour - usage.c.hour % step).label("span")
    wanted = sa.select(usage.c.key_id, span, usage.c.outcome, sa.func.sum(usage.c["count"]))
    wanted = wanted.where(usage.c.key_id == key_id, usage.c.hour >= first, usage.c.hour < end)
    by = wanted.group_by(usage.c.key_id, span, usage.c.outcome).order_by(span, usage.c.outcome)
    # A sum is a decimal number.
    return [(*row[:3], int(row[3])) for row in connection.execute(by)]


def entries_of(connection: sa.Connection, first: str) -> Sequence[Row]:
    """The audit entries of the action of which this is the first."""
    last = numbered(first, len(DIGITS) ** COUNTED - 1)
    wanted = SELECT_AUDIT.where(audit.c.id >= first, audit.c.id <= last)
    return [tuple(row) for row in connection.execute(wanted.order_by(audit.c.id))]


def _in_state(wanted: KeyFilter) -> Sequence[sa.ColumnElement[bool]]:
    if wanted.state is None:
        return ()
    state, at = wanted.state
    if state == "revoked":
        return (keys.c.revoked_at.is_not(None),)
    if state == "expired":
        return keys.c.revoked_at.is_(None), keys.c.expires_at <= microseconds(at)
    free = sa.and_(*(table.c.suspended_at.is_(None) for table in (keys, projects, organizations)))
    suspended = {"active": (free,), "suspended": (sa.not_(free),), "live": ()}
    return *living(at), *suspended[state]


def _found_by(search: str | None, dialect: str) -> Sequence[sa.ColumnElement[bool]]:
    """Not by LIKE, which has wildcards. On MySQL, a text column would find letters with other accents too."""
    if search is None:
        return ()

    def place(text: Any, within: sa.ColumnElement[str]) -> sa.ColumnElement[int]:
        if dialect == "postgresql":
            return sa.func.strpos(within, text)
        return sa.func.locate(text, within.collate("utf8mb4_bin"))

    begins = sa.func.substr(keys.c.id, 1, len(search), type_=keys.c.id.type) == search
    named = place(sa.func.lower(search), sa.func.lower(keys.c.name)) > 0
    return (sa.or_(named, begins, place(searched_hint(search), keys.c.hashes) > 0),)


def living(now: datetime) -> Sequence[sa.ColumnElement[bool]]:
    """What holds for keys that are live at this moment."""
    return keys.c.revoked_at.is_(None), sa.or_(keys.c.expires_at.is_(None), keys.c.expires_at > microseconds(now))


def _page(
    connection: sa.Connection,
    wanted: sa.Select[Any],
    order: tuple[sa.Table, str],
    after: str | None,
    limit: int,
    *,
    backwards: bool = False,
) -> Sequence[Row]:
    """So many rows by age, after the one with this id; none behind one that is not there."""
    table, moment = order
    at, name = table.c[moment], table.c.id
    if after is not None:
        start = _row(connection.execute(sa.select(at, name).where(name == after)))
        if start is None:
            return []
        # Not `(at, id) > (…)`: MySQL would not use the index for that.
        there, tie = (at <= start[0], name < start[1]) if backwards else (at >= start[0], name > start[1])
        wanted = wanted.where(there, sa.or_(at != start[0], tie))
    by = (at.desc(), name.desc()) if backwards else (at, name)
    return [tuple(row) for row in connection.execute(wanted.order_by(*by).limit(limit))]


def _row(result: sa.CursorResult[Any]) -> Row | None:
    found = result.first()
    return None if found is None else tuple(found)
