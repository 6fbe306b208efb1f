"""Keys in one SQLite file that every process on the machine may use at once, with no server to run.

The tables are in `schema`, the steps of a transaction in `steps`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from ..._ground.checks import check_count
from ..._ground.frozen import HiddenRow
from ..._ground.sqlite import IN_PLACE, SQLiteFile, path_of
from ...exceptions import UnreadableRecord
from ...model import ApiKey, AuditEntry, Counted, Organization, Project, SecretHash, Used
from ...policy import REMEMBERED_KEYS
from ..contract import PLACES, USE_EVERY, Cap, PurgeAsked, PurgeStep, Written, ignore
from ..filters import AuditFilter, KeyFilter
from ..records import CREATED_AT, ID, Records
from ..rows import (
    KEY_COLUMNS,
    ORGANIZATION_COLUMNS,
    PROJECT_COLUMNS,
    Row,
    encoded,
    key_row,
    organization_row,
    project_row,
)
from . import purging, steps
from . import statements as sql
from .schema import SCHEMA, STEPS
from .statements import BY_ID, REVISED

__all__ = ["IN_PLACE", "SQLiteStore"]

R = TypeVar("R")


class SQLiteStore:
    """A `KeyStore` in a file.

    Every `find` reads the file, so a change by another process takes effect on the next request. It first reads the
    revisions of the key's row and of those it inherits from. The rows themselves are read and decoded only if one of
    these has changed. A use is no such change: the record from `find` may show an older `last_used_at`, or none, and
    `last_used` reads the current one.

    Args:
        path: of the file; created if it is missing.
        remembered_keys: how many decoded records are kept; 1 kB each, and what its metadata needs.

    Raises:
        ConfigurationError: the file cannot be used, or was written by another version of the schema.
    """

    blocking = False

    def __init__(self, path: str | os.PathLike[str], *, remembered_keys: int = REMEMBERED_KEYS) -> None:
        check_count(remembered_keys, "remembered_keys")
        self.on_unreadable: Callable[[UnreadableRecord], object] = ignore
        """Called with each record that `list` leaves out because it cannot be read."""
        self._records = Records(f"sqlite:///{os.fspath(path)}", remembered_keys, self._tell)
        self._kept = self._records.kept
        self._file = SQLiteFile(path, SCHEMA, steps=STEPS, forget=self._kept.forget)

    @classmethod
    def from_url(cls, url: str, *, remembered_keys: int = REMEMBERED_KEYS) -> SQLiteStore:
        """The store in the file of ``sqlite:///relative.db`` or ``sqlite:////absolute.db``."""
        return cls(path_of(url), remembered_keys=remembered_keys)

    def __repr__(self) -> str:
        return f"SQLiteStore({self._file.path!r})"

    def _tell(self, error: UnreadableRecord) -> None:
        self.on_unreadable(error)

    def find(self, key_id: str) -> ApiKey | None:
        """The record as it stands in the file now, or None."""
        records = self._kept.records
        known = records.get(key_id)
        if known is not None and self._file.row(REVISED, (key_id,)) == known[0] and records is self._kept.records:
            return known[1]
        row = self._file.row(BY_ID, (key_id,))
        if row is None:
            return None
        row = HiddenRow(row)
        return self._records.decoded(row, records)

    def last_used(self, key_id: str, graced: bool = False) -> datetime | None:
        """When the key, or its older secret, was used last; None for never, and for an unknown id."""
        row = self._file.row(sql.GRACE_USED if graced else sql.LAST_USED, (key_id,))
        found: datetime | None = None if row is None else self._records.moment(row, key_id)
        return found

    def touch(self, key_id: str, at: datetime, graced: bool = False) -> None:
        """Set `last_used_at`, and perhaps `grace_used_at`, never backwards."""
        with self._file.write() as connection:
            steps.touch(connection, key_id, at, graced)

    def add_usage(self, counts: Sequence[Counted], uses: Sequence[Used]) -> None:
        """Add counts, and note uses."""
        with self._file.write() as connection:
            connection.executemany(sql.ADD_COUNT, counts)
            for use in uses:
                steps.touch(connection, *use, USE_EVERY)

    def usage(self, key_id: str, first: int, end: int, step: int) -> Sequence[Counted]:
        """Counts of a key by span and outcome."""
        return [Counted(*row) for row in self._file.rows(sql.USAGE, (step, key_id, first, end))]

    def forget_usage(self, before: int, most: int) -> int:
        """Delete old counts."""
        with self._file.write() as connection:
            return connection.execute(sql.FORGET_COUNTS, (before, most)).rowcount

    def rehash(self, key_id: str, old: SecretHash, new: SecretHash) -> None:
        """Replace one hash by another."""
        with self._file.write(synced=True) as connection:
            row = HiddenRow(connection.execute(BY_ID, (key_id,)).fetchone() or ())
            if not row:
                return
            hashes = encoded("hashes", [new if each == old else each for each in self._records.key(row).hashes])
            connection.execute("UPDATE keystile_keys SET hashes = ? WHERE id = ?", (hashes, key_id))

    def add(self, key: ApiKey, entries: Sequence[AuditEntry], cap: Cap | None = None) -> Written:
        """Keep a new record."""
        return self._add(None, key, entries, cap)

    def update(
        self,
        key_id: str,
        revision: int,
        changes: Mapping[str, Any],
        entries: Sequence[AuditEntry],
        cap: Cap | None = None,
    ) -> Written:
        """Set some members of a record."""
        with self._file.write(synced=True) as connection:
            if not steps.change(connection, "keystile_keys", key_id, revision, changes):
                return Written(None)
            row = HiddenRow(connection.execute(BY_ID, (key_id,)).fetchone())
            if not PLACES.isdisjoint(changes):
                changed = dict(zip(KEY_COLUMNS, row[3:-2], strict=True))
                steps.check_project(connection, changed["project_id"], changed["organization_id"])
            told = steps.tell(connection, entries, steps.make_room(connection, key_id, cap, entries))
        return Written(self._records.key(row), told)

    def revoke(self, key_id: str, at: datetime, entries: Sequence[AuditEntry]) -> Written:
        """Set `revoked_at` for good, even if the rest of the record cannot be read."""
        with self._file.write(synced=True) as connection:
            told = steps.tell(connection, entries) if steps.revoke(connection, key_id, at) else ()
            row = HiddenRow(connection.execute(BY_ID, (key_id,)).fetchone() or ())
        return Written(self._records.key(row, "; the key is revoked all the same") if row else None, told)

    def list(self, wanted: KeyFilter, after: str | None, limit: int) -> Sequence[ApiKey]:
        """Records by age. Those that cannot be read are left out and told to `on_unreadable`."""
        filters = sql.keys_wanted(wanted, after)
        found: list[ApiKey] = []
        # Those that are left out make no page shorter: a short one would say that there are no more keys.
        while len(found) < limit:
            missing = limit - len(found)
            rows = self._rows(sql.SELECT_KEY, filters, "k.created_at, k.id", missing)
            found += filter(None, map(self._records.key_or_tell, rows))
            if len(rows) < missing:
                break
            filters["(k.created_at, k.id) > (?, ?)"] = (rows[-1][CREATED_AT], rows[-1][ID])
        return found

    def add_project(
        self, project: Project, key: ApiKey, entries: Sequence[AuditEntry], cap: Cap | None = None
    ) -> Written:
        """Keep a new project and its key."""
        return self._add(project, key, entries, cap)

    def find_project(self, project_id: str) -> Project | None:
        """The project, or None."""
        row = self._file.row(sql.LIVING_PROJECT, (project_id,))
        return None if row is None else self._records.project(row)

    def list_projects(self, organization_id: str | None, after: str | None, limit: int) -> Sequence[Project]:
        """Projects by age."""
        filters: dict[str, Row] = {
            "organization_id = ?": (organization_id,),
            "(created_at, id) > (SELECT created_at, id FROM keystile_projects WHERE id = ?)": (after,),
            "deleted_at IS NULL": (),
        }
        rows = self._rows(sql.SELECT_PROJECT, filters, "created_at, id", limit)
        return [self._records.project(row) for row in rows]

    def update_project(
        self, project_id: str, revision: int, changes: Mapping[str, Any], entries: Sequence[AuditEntry]
    ) -> Written:
        """Set some members of a project."""
        table = "keystile_projects"
        return self._change(table, sql.PROJECT, self._records.project, project_id, revision, changes, entries)

    def delete_project(self, project_id: str, at: datetime, entries: Sequence[AuditEntry]) -> Written:
        """End a project and its keys."""
        with self._file.write(synced=True) as connection:
            row = connection.execute(sql.PROJECT, (project_id,)).fetchone()
            ended = steps.end_project(connection, project_id, at)
            more = steps.revoke_of_project(connection, project_id, at, entries) if ended else ()
            told = steps.tell(connection, entries, more) if ended else ()
        return Written(None if row is None else self._records.project(row), told)

    def add_organization(self, organization: Organization, entries: Sequence[AuditEntry]) -> Written:
        """Keep a new organization."""
        with self._file.write(synced=True) as connection:
            row = organization_row(organization)
            steps.insert(connection, "keystile_organizations", ORGANIZATION_COLUMNS, row)
            told = steps.tell(connection, entries)
            row = connection.execute(sql.ORGANIZATION, (organization.id,)).fetchone()
        return Written(self._records.organization(row), told)

    def find_organization(self, organization_id: str) -> Organization | None:
        """The organization, or None."""
        row = self._file.row(sql.ORGANIZATION, (organization_id,))
        return None if row is None else self._records.organization(row)

    def list_organizations(self, after: str | None, limit: int) -> Sequence[Organization]:
        """Organizations by age."""
        later = "(created_at, id) > (SELECT created_at, id FROM keystile_organizations WHERE id = ?)"
        rows = self._rows(sql.SELECT_ORGANIZATION, {later: (after,)}, "created_at, id", limit)
        return [self._records.organization(row) for row in rows]

    def update_organization(
        self, organization_id: str, revision: int, changes: Mapping[str, Any], entries: Sequence[AuditEntry]
    ) -> Written:
        """Set some members of an organization."""
        table = "keystile_organizations"
        decode = self._records.organization
        return self._change(table, sql.ORGANIZATION, decode, organization_id, revision, changes, entries)

    def list_audit(self, wanted: AuditFilter, after: str | None, limit: int) -> Sequence[AuditEntry]:
        """Entries, the newest first."""
        rows = self._rows(sql.SELECT_AUDIT, sql.entries_wanted(wanted, after), "at DESC, id DESC", limit)
        return [self._records.entry(row) for row in rows]

    def purge(self, asked: PurgeAsked) -> PurgeStep:
        """Remove what ended long ago."""
        if asked.dry:
            return PurgeStep(purging.count(self._file, asked))
        with self._file.write(synced=True) as connection:
            return purging.remove(connection, asked)

    def close(self) -> None:
        """Close this process's connections."""
        self._file.close()

    def _add(self, project: Project | None, key: ApiKey, entries: Sequence[AuditEntry], cap: Cap | None) -> Written:
        with self._file.write(synced=True) as connection:
            if project is not None:
                steps.insert(connection, "keystile_projects", PROJECT_COLUMNS, project_row(project))
            steps.insert(connection, "keystile_keys", KEY_COLUMNS, key_row(key))
            steps.check_project(connection, key.project_id, key.organization_id)
            told = steps.tell(connection, entries, steps.make_room(connection, key.id, cap, entries))
            row = HiddenRow(connection.execute(BY_ID, (key.id,)).fetchone())
        return Written(self._records.key(row), told)

    def _change(  # noqa: PLR0917 - what is said of the table, then what is said of the change
        self,
        table: str,
        select: str,
        decode: Callable[[Row], R],
        id: str,
        revision: int,
        changes: Mapping[str, Any],
        entries: Sequence[AuditEntry],
    ) -> Written:
        with self._file.write(synced=True) as connection:
            if not steps.change(connection, table, id, revision, changes):
                return Written(None)
            told = steps.tell(connection, entries)
            row = connection.execute(select, (id,)).fetchone()
        return Written(decode(row), told)

    def _rows(self, select: str, wanted: sql.Conditions, order: str, limit: int) -> Sequence[Row]:
        return [HiddenRow(row) for row in self._file.rows(*sql.page(select, wanted, order, limit))]
