"""What the SQL store does inside a transaction.

Locks are taken in one order, so that few wait for each other in a circle: the cap's row, the key that is written, its
project, other keys by age. Where some do all the same, the database ends one transaction, and it is begun anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql

from ...exceptions import ConfigurationError, NotFound
from ...model import AuditEntry, SecretHash, Target, Via
from ..contract import Cap
from ..rows import AUDIT_COLUMNS, Row, check_members, encoded, entry_row, microseconds
from .reading import can_be_kept, living
from .tables import audit, audit_targets, caps, keys, projects


def insert(connection: sa.Connection, table: sa.Table, columns: Sequence[str], row: Row) -> None:
    """Add a row; KeyError if its id is taken."""
    values = dict(zip(columns, row, strict=True))
    _check_kept(values)
    try:
        connection.execute(sa.insert(table).values(values))
    except sa.exc.IntegrityError:
        taken = True
    else:
        taken = False
    if taken:
        raise KeyError(row[0])


def change(connection: sa.Connection, table: sa.Table, id: str, revision: int, changes: Mapping[str, Any]) -> bool:
    """Set some members of a row, if it still has this revision; whether it has."""
    wanted = sa.select(table.c.revision).where(table.c.id == id).with_for_update()
    found = connection.execute(wanted).first()
    if found is None or found[0] != revision:
        return False
    check_members(table.name, changes)
    if changes:
        values = {name: encoded(name, value) for name, value in changes.items()}
        _check_kept(values)
        connection.execute(sa.update(table).where(table.c.id == id).values(values))
    return True


def revoke(connection: sa.Connection, key_id: str, at: datetime) -> bool:
    """Set a key's moment of revocation for good; whether it had none."""
    wanted = sa.update(keys).where(keys.c.id == key_id, keys.c.revoked_at.is_(None))
    return connection.execute(wanted.values(revoked_at=microseconds(at))).rowcount > 0


def touch(connection: sa.Connection, key_id: str, name: str, at: datetime) -> None:
    """Set a moment of use, never backwards."""
    used, column = microseconds(at), keys.c[name]
    earlier = sa.or_(column.is_(None), column < used)
    connection.execute(sa.update(keys).where(keys.c.id == key_id, earlier).values({name: used}))


def set_hashes(connection: sa.Connection, key_id: str, hashes: Sequence[SecretHash]) -> None:
    """Replace a key's hashes."""
    connection.execute(sa.update(keys).where(keys.c.id == key_id).values(hashes=encoded("hashes", hashes)))


def hold_key(connection: sa.Connection, key_id: str) -> None:
    """Let nobody else change this key before the transaction ends."""
    connection.execute(sa.select(keys.c.id).where(keys.c.id == key_id).with_for_update())


def hold_project(connection: sa.Connection, project_id: str | None, organization_id: str | None) -> None:
    """NotFound unless the project, if there is one, is alive and the organization's; it lives on until the transaction
    ends."""
    if project_id is None:
        return
    wanted = sa.select(projects.c.id).where(
        projects.c.id == project_id,
        projects.c.organization_id == organization_id,
        projects.c.deleted_at.is_(None),
    )
    kept = can_be_kept(project_id) and can_be_kept(organization_id)
    if not kept or connection.execute(wanted.with_for_update(read=True)).first() is None:
        raise NotFound("project", project_id)


def hold_cap(connection: sa.Connection, cap: Cap | None) -> None:
    """Let nobody else count against this cap before the transaction ends. Must come before anything else: whoever
    counts first and waits then has counted too few."""
    if cap is None:
        return
    # The ids in it are longer together than an index may be.
    subject = {"subject": sha256(cap.subject.encode(errors="surrogatepass")).hexdigest()}
    if connection.dialect.name == "postgresql":
        there = postgresql.insert(caps).values(subject)
        connection.execute(there.on_conflict_do_update(index_elements=[caps.c.subject], set_=subject))
    else:
        connection.execute(mysql.insert(caps).values(subject).on_duplicate_key_update(subject))


def make_room(
    connection: sa.Connection, key_id: str, cap: Cap | None, entries: Sequence[AuditEntry]
) -> Sequence[AuditEntry]:
    """Revoke what is too much for one more key, or raise KeyLimitReached; gives what is to be told of it."""
    if cap is None:
        return ()
    owners = [keys.c[name].is_(None) if value is None else keys.c[name] == value for name, value in cap.by]
    at = entries[0].at
    where = [*owners, *living(at), keys.c.id != key_id]
    others = connection.execute(sa.select(sa.func.count()).select_from(keys).where(*where)).scalar_one()
    return _revoke_oldest(connection, where, entries, at, via="cap", most=cap.excess(others))


def end_project(connection: sa.Connection, project_id: str, at: datetime) -> bool:
    """Mark a project as deleted; whether it was not."""
    wanted = sa.update(projects).where(projects.c.id == project_id, projects.c.deleted_at.is_(None))
    return connection.execute(wanted.values(deleted_at=microseconds(at))).rowcount > 0


def revoke_of_project(
    connection: sa.Connection, project_id: str, at: datetime, entries: Sequence[AuditEntry]
) -> Sequence[AuditEntry]:
    """Revoke all keys of a project; gives what is to be told of it."""
    return _revoke_oldest(connection, [keys.c.project_id == project_id, keys.c.revoked_at.is_(None)], entries, at)


def tell(
    connection: sa.Connection, entries: Sequence[AuditEntry], more: Sequence[AuditEntry] = ()
) -> tuple[AuditEntry, ...]:
    """Keep what is told of the change; gives all of it."""
    told = (*entries, *more)
    rows = [dict(zip(AUDIT_COLUMNS, entry_row(entry), strict=True)) for entry in told]
    for row in rows:
        _check_kept(row)
    connection.execute(sa.insert(audit), rows)
    named = {(target.id, entry.id) for entry in told for target in entry.targets}
    if named:
        connection.execute(
            sa.insert(audit_targets), [{"target_id": target, "entry_id": entry} for target, entry in sorted(named)]
        )
    return told


def was_told(connection: sa.Connection, entry: AuditEntry) -> bool:
    """Whether another transaction has kept this entry; one that is about to end is waited for."""
    row = dict(zip(AUDIT_COLUMNS, entry_row(entry), strict=True))
    if connection.dialect.name == "postgresql":
        there: sa.Insert = postgresql.insert(audit).on_conflict_do_nothing()
    else:
        there = sa.insert(audit).prefix_with("IGNORE")
    # Without this option, what an INSERT has done is not kept.
    if connection.execute(there.values(row), execution_options={"preserve_rowcount": True}).rowcount == 0:
        return True
    connection.execute(sa.delete(audit).where(audit.c.id == entry.id))
    return False


def _revoke_oldest(
    connection: sa.Connection,
    where: Sequence[sa.ColumnElement[bool]],
    entries: Sequence[AuditEntry],
    at: datetime,
    *,
    via: Via | None = None,
    most: int | None = None,
) -> Sequence[AuditEntry]:
    if most == 0:
        return ()
    wanted = sa.select(keys.c.id, keys.c.name, keys.c.organization_id).where(*where)
    rows = connection.execute(wanted.order_by(keys.c.created_at, keys.c.id).limit(most).with_for_update()).all()
    made: list[AuditEntry] = []
    for key_id, name, organization_id in rows:
        if revoke(connection, key_id, at):
            number = len(entries) + len(made)
            made.append(entries[0].with_key_revoked(number, Target("key", key_id, name), organization_id, via))
    return made


def _check_kept(values: Mapping[str, Any]) -> None:
    """ConfigurationError for a text that no database can hold."""
    for name, value in values.items():
        if isinstance(value, str) and not can_be_kept(value):
            raise ConfigurationError("holds NUL or half of a character, which no database keeps", key=name)
