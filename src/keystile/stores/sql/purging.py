"""Removing for good what ended long ago, in steps: each takes rows that nobody else has locked, and looks at them again
under its own lock."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from ...model import Purged
from ..contract import PurgeAsked, PurgeStep
from ..rows import microseconds, targets_in
from . import writing
from .tables import audit, audit_targets, keys, projects

_ENDS = (keys.c.revoked_at, keys.c.expires_at)


def remove(connection: sa.Connection, asked: PurgeAsked) -> PurgeStep:
    """Remove at most so many records of each kind."""
    moment, most = microseconds(asked.before), asked.most
    gone = 0
    for end in _ENDS:
        gone += _remove_rows(connection, keys, end, [end < moment], most - gone)
    owners = [projects.c.deleted_at < moment, ~sa.exists().where(keys.c.project_id == projects.c.id)]
    removed = Purged(
        gone,
        _remove_rows(connection, projects, projects.c.deleted_at, owners, most),
        _remove_entries(connection, audit.c.at < moment, most),
    )
    told = writing.tell(connection, asked.entries) if asked.entries and any(removed) else ()
    return PurgeStep(removed, "more" if most in removed else None, told)


def count(connection: sa.Connection, asked: PurgeAsked) -> PurgeStep:
    """How many records have ended."""
    moment = microseconds(asked.before)
    lives = sa.and_(*(sa.or_(end.is_(None), end >= moment) for end in _ENDS))
    keeps = sa.exists().where(keys.c.project_id == projects.c.id, lives)
    wanted = (
        (keys, sa.or_(*(end < moment for end in _ENDS))),
        (projects, sa.and_(projects.c.deleted_at < moment, ~keeps)),
        (audit, audit.c.at < moment),
    )
    counts = [sa.select(sa.func.count()).select_from(table).where(where) for table, where in wanted]
    return PurgeStep(Purged(*(connection.execute(each).scalar_one() for each in counts)))


def _remove_rows(
    connection: sa.Connection,
    table: sa.Table,
    order: sa.Column[Any],
    where: Sequence[sa.ColumnElement[bool]],
    most: int,
) -> int:
    wanted = sa.select(table.c.id).where(*where).order_by(order).limit(most)
    ids = connection.execute(wanted.with_for_update(skip_locked=True)).scalars().all() if most else []
    if ids:
        connection.execute(sa.delete(table).where(table.c.id.in_(ids)))
    return len(ids)


def _remove_entries(connection: sa.Connection, where: sa.ColumnElement[bool], most: int) -> int:
    wanted = sa.select(audit.c.id, audit.c.targets).where(where).order_by(audit.c.at).limit(most)
    rows = connection.execute(wanted.with_for_update(skip_locked=True)).all()
    named = [{"target": target, "entry": entry} for entry, targets in rows for target in sorted(targets_in(targets))]
    if named:
        at = (audit_targets.c.target_id == sa.bindparam("target"), audit_targets.c.entry_id == sa.bindparam("entry"))
        connection.execute(sa.delete(audit_targets).where(*at), named)
    if rows:
        connection.execute(sa.delete(audit).where(audit.c.id.in_([entry for entry, _ in rows])))
    return len(rows)
