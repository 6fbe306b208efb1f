"""Removing for good what ended long ago, in steps that each hold the write lock for a few milliseconds."""

from __future__ import annotations

import sqlite3

from ..._ground.sqlite import SQLiteFile
from ...model import Purged
from ..contract import PurgeAsked, PurgeStep
from ..rows import microseconds
from . import steps

_ENDS = ("revoked_at", "expires_at")
_LIVES = " AND ".join(f"({end} IS NULL OR {end} >= ?1)" for end in _ENDS)
_PROJECTS = """FROM keystile_projects p WHERE deleted_at < ?1
    AND NOT EXISTS (SELECT 1 FROM keystile_keys k WHERE k.project_id = p.id{})"""
_REMOVE_KEYS = "DELETE FROM keystile_keys WHERE id IN (SELECT id FROM keystile_keys WHERE {0} < ? ORDER BY {0} LIMIT ?)"
_REMOVE_PROJECTS = f"DELETE FROM keystile_projects WHERE id IN (SELECT id {_PROJECTS.format('')} LIMIT ?2)"  # noqa: S608 - constants
_REMOVE_ENTRIES = """DELETE FROM keystile_audit WHERE id IN
    (SELECT id FROM keystile_audit WHERE at < ? ORDER BY at LIMIT ?)"""
_COUNTS = (
    "SELECT count(*) FROM keystile_keys WHERE revoked_at < ?1 OR expires_at < ?1",
    f"SELECT count(*) {_PROJECTS.format(' AND ' + _LIVES)}",
    "SELECT count(*) FROM keystile_audit WHERE at < ?1",
)


def remove(connection: sqlite3.Connection, asked: PurgeAsked) -> PurgeStep:
    """Remove at most so many records of each kind."""
    moment, most = microseconds(asked.before), asked.most
    gone = 0
    for end in _ENDS:
        gone += connection.execute(_REMOVE_KEYS.format(end), (moment, most - gone)).rowcount
    ended = connection.execute(_REMOVE_PROJECTS, (moment, most)).rowcount
    removed = Purged(gone, ended, connection.execute(_REMOVE_ENTRIES, (moment, most)).rowcount)
    told = steps.tell(connection, asked.entries) if any(removed) else ()
    return PurgeStep(removed, "more" if most in removed else None, told)


def count(file: SQLiteFile, asked: PurgeAsked) -> Purged:
    """How many records have ended."""
    moment = microseconds(asked.before)
    return Purged(*(file.row(statement, (moment,))[0] for statement in _COUNTS))
