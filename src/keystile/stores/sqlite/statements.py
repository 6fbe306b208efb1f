"""The statements with which the SQLite store reads. Where a name of a column stands in one, it comes from `rows`."""

from __future__ import annotations

from itertools import chain

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

# A key is read together with what it inherits, in one statement; the three revisions say whether any of it has changed.
_OWNED = """FROM keystile_keys k LEFT JOIN keystile_projects p ON p.id = k.project_id
    LEFT JOIN keystile_organizations o ON o.id = k.organization_id"""
_REVISIONS = "SELECT k.revision, p.revision, o.revision"
REVISED = f"{_REVISIONS} {_OWNED} WHERE k.id = ?"
_SINCE = "coalesce(min(p.suspended_at, o.suspended_at), p.suspended_at, o.suspended_at)"
# SQLite's own function is ten times as quick as ours, and as good for ASCII.
_FOLDED = "CASE WHEN k.name GLOB '*[^ -~]*' THEN casefold(k.name) ELSE lower(k.name) END"
_FREE = "k.suspended_at IS NULL AND p.suspended_at IS NULL AND o.suspended_at IS NULL"
SELECT_KEY = f"{_REVISIONS}, {', '.join(f'k.{name}' for name in KEY_COLUMNS)}, o.plan, {_SINCE} {_OWNED}"
BY_ID = f"{SELECT_KEY} WHERE k.id = ?"
LAST_USED = "SELECT last_used_at FROM keystile_keys WHERE id = ?"
GRACE_USED = "SELECT grace_used_at FROM keystile_keys WHERE id = ?"
TOUCH = "UPDATE keystile_keys SET {0} = ? WHERE id = ? AND ({0} IS NULL OR {0} <= ?)"
ADD_COUNT = """INSERT INTO keystile_usage VALUES (?, ?, ?, ?)
    ON CONFLICT (key_id, hour, outcome) DO UPDATE SET count = count + excluded.count"""
USAGE = """SELECT key_id, hour - hour % ?1 AS span, outcome, sum(count) FROM keystile_usage
    WHERE key_id = ?2 AND hour >= ?3 AND hour < ?4 GROUP BY span, outcome ORDER BY span, outcome"""
FORGET_COUNTS = """DELETE FROM keystile_usage WHERE (key_id, hour, outcome) IN
    (SELECT key_id, hour, outcome FROM keystile_usage WHERE hour < ? LIMIT ?)"""
SELECT_PROJECT = f"SELECT revision, {', '.join(PROJECT_COLUMNS)} FROM keystile_projects"  # noqa: S608 - likewise
PROJECT = f"{SELECT_PROJECT} WHERE id = ?"
LIVING_PROJECT = f"{PROJECT} AND deleted_at IS NULL"
SELECT_ORGANIZATION = f"SELECT revision, {', '.join(ORGANIZATION_COLUMNS)} FROM keystile_organizations"  # noqa: S608 - likewise
ORGANIZATION = f"{SELECT_ORGANIZATION} WHERE id = ?"
SELECT_AUDIT = f"SELECT {', '.join(AUDIT_COLUMNS)} FROM keystile_audit"  # noqa: S608 - likewise
_OF_TARGET = "id IN (SELECT entry_id FROM keystile_audit_targets WHERE target_id = ?)"

Conditions = dict[str, Row]
"""What must hold, with the values for its question marks; one whose value is None does not filter."""


def keys_wanted(wanted: KeyFilter, after: str | None) -> Conditions:
    """The conditions for a page of keys."""
    return {
        "k.organization_id = ?": (wanted.organization_id,),
        "k.project_id = ?": (wanted.project_id,),
        "k.owner_id = ?": (wanted.owner_id,),
        **_in_state(wanted),
        **_found_by(wanted.search),
        "(k.created_at, k.id) > (SELECT created_at, id FROM keystile_keys WHERE id = ?)": (after,),
    }


def _in_state(wanted: KeyFilter) -> Conditions:
    if wanted.state is None:
        return {}
    state, at = wanted.state
    if state == "revoked":
        return {"k.revoked_at IS NOT NULL": ()}
    now = (microseconds(at),)
    if state == "expired":
        return {"k.revoked_at IS NULL": (), "k.expires_at <= ?": now}
    suspended = {"active": {_FREE: ()}, "suspended": {f"NOT ({_FREE})": ()}, "live": {}}
    return {"k.revoked_at IS NULL": (), "(k.expires_at IS NULL OR k.expires_at > ?)": now, **suspended[state]}


def _found_by(search: str | None) -> Conditions:
    if search is None:
        return {}
    # Not LIKE: it has wildcards, and knows only the letters of A to Z in any case.
    found = f"(instr({_FOLDED}, ?) OR substr(k.id, 1, ?) = ? OR instr(k.hashes, ?))"
    return {found: (search.casefold(), len(search), search, searched_hint(search))}


def page(select: str, wanted: Conditions, order: str, limit: int) -> tuple[str, Row]:
    """A statement for so many rows of which these conditions hold, and its values."""
    held = {condition: values for condition, values in wanted.items() if values != (None,)}
    where = f"WHERE {' AND '.join(held)}" if held else ""
    return f"{select} {where} ORDER BY {order} LIMIT ?", (*chain.from_iterable(held.values()), limit)


def entries_wanted(wanted: AuditFilter, after: str | None) -> Conditions:
    """The conditions for a page of the audit."""
    return {
        "organization_id = ?": (wanted.organization_id,),
        "event = ?": (wanted.event,),
        _OF_TARGET: (wanted.target,),
        "(at, id) < (SELECT at, id FROM keystile_audit WHERE id = ?)": (after,),
    }
