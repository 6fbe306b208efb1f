"""What the SQLite store does inside a transaction that holds the write lock."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from ...exceptions import NotFound
from ...model import AuditEntry, Target, Via
from ..contract import Cap
from ..rows import AUDIT_COLUMNS, Row, check_members, encoded, entry_row, microseconds
from .statements import TOUCH

# A value that keystile never writes there is no moment: the record could not be read even when the rest is mended.
_REVOKE = "UPDATE keystile_keys SET revoked_at = ? WHERE id = ? AND typeof(revoked_at) != 'integer'"
_PROJECT = "SELECT 1 FROM keystile_projects WHERE id = ? AND organization_id = ? AND deleted_at IS NULL"
_END_PROJECT = "UPDATE keystile_projects SET deleted_at = ? WHERE id = ? AND deleted_at IS NULL"


def insert(connection: sqlite3.Connection, table: str, columns: Sequence[str], row: Row) -> None:
    """Add a row; KeyError if its id is taken."""
    try:
        connection.execute(_inserting(table, columns), row)
    except sqlite3.IntegrityError:
        raise KeyError(row[0]) from None


def change(connection: sqlite3.Connection, table: str, id: str, revision: int, changes: Mapping[str, Any]) -> bool:
    """Set some members of a row, if it still has this revision; whether it has."""
    found = connection.execute(f"SELECT revision FROM {table} WHERE id = ?", (id,)).fetchone()  # noqa: S608 - a constant
    if found is None or found[0] != revision:
        return False
    check_members(table, changes)
    if changes:
        assignments = ", ".join(f"{name} = ?" for name in changes)
        values = (encoded(name, value) for name, value in changes.items())
        connection.execute(f"UPDATE {table} SET {assignments} WHERE id = ?", (*values, id))  # noqa: S608 - checked above
    return True


def touch(connection: sqlite3.Connection, key_id: str, at: datetime, graced: bool, every: float = 0.0) -> None:
    """Note a use, where the noted one is before it, and at least so many seconds."""
    latest = microseconds(at - (timedelta(seconds=every) or timedelta.resolution))
    for name in ("last_used_at", "grace_used_at")[: 1 + graced]:
        connection.execute(TOUCH.format(name), (microseconds(at), key_id, latest))


def revoke(connection: sqlite3.Connection, key_id: str, at: datetime) -> bool:
    """Set a key's moment of revocation for good, even if the rest of the record cannot be read; whether it had none."""
    return connection.execute(_REVOKE, (microseconds(at), key_id)).rowcount > 0


def check_project(connection: sqlite3.Connection, project_id: str | None, organization_id: str | None) -> None:
    """NotFound unless the project, if there is one, is alive and the organization's."""
    if project_id is not None and connection.execute(_PROJECT, (project_id, organization_id)).fetchone() is None:
        raise NotFound("project", project_id)


def make_room(
    connection: sqlite3.Connection, key_id: str, cap: Cap | None, entries: Sequence[AuditEntry]
) -> Sequence[AuditEntry]:
    """Revoke what is too much for one more key, or raise KeyLimitReached; gives what is to be told of it."""
    if cap is None:
        return ()
    at = entries[0].at
    known = [f"{name} = ?" for name, value in cap.by if value is not None]
    unknown = [f"{name} IS NULL" for name, value in cap.by if value is None]
    live = ["revoked_at IS NULL", "(expires_at IS NULL OR expires_at > ?)", "id != ?"]
    where = " AND ".join(known + unknown + live)
    values = (*(value for _, value in cap.by if value is not None), microseconds(at), key_id)
    [others] = connection.execute(f"SELECT count(*) FROM keystile_keys WHERE {where}", values).fetchone()  # noqa: S608 - likewise
    return _revoke_oldest(connection, where, values, entries, at, via="cap", most=cap.excess(others))


def end_project(connection: sqlite3.Connection, project_id: str, at: datetime) -> bool:
    """Mark a project as deleted; whether it was not."""
    return connection.execute(_END_PROJECT, (microseconds(at), project_id)).rowcount > 0


def revoke_of_project(
    connection: sqlite3.Connection, project_id: str, at: datetime, entries: Sequence[AuditEntry]
) -> Sequence[AuditEntry]:
    """Revoke all keys of a project; gives what is to be told of it."""
    where = "project_id = ? AND typeof(revoked_at) != 'integer'"
    return _revoke_oldest(connection, where, (project_id,), entries, at)


def tell(
    connection: sqlite3.Connection, entries: Sequence[AuditEntry], more: Sequence[AuditEntry] = ()
) -> tuple[AuditEntry, ...]:
    """Keep what is told of the change; gives all of it."""
    told = (*entries, *more)
    connection.executemany(_inserting("keystile_audit", AUDIT_COLUMNS), map(entry_row, told))
    return told


def _revoke_oldest(
    connection: sqlite3.Connection,
    where: str,
    values: Row,
    entries: Sequence[AuditEntry],
    at: datetime,
    *,
    via: Via | None = None,
    most: int = -1,
) -> Sequence[AuditEntry]:
    sql = f"SELECT id, name, organization_id FROM keystile_keys WHERE {where} ORDER BY created_at, id LIMIT ?"  # noqa: S608 - likewise
    made = []
    for number, (key_id, name, organization_id) in enumerate(
        connection.execute(sql, (*values, most)).fetchall(), len(entries)
    ):
        revoke(connection, key_id, at)
        made.append(entries[0].with_key_revoked(number, Target("key", key_id, name), organization_id, via))
    return made


def _inserting(table: str, columns: Sequence[str]) -> str:
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608 - constants
