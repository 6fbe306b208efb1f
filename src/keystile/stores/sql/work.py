"""What each method of the store does, for callers that block.

Under asyncio the same runs inside a greenlet: the engine is another one, and everything else is the same code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

import sqlalchemy as sa

from ...model import ApiKey, AuditEntry, Counted, Organization, Project, SecretHash, Used
from ..contract import PLACES, USE_EVERY, Cap, Written
from ..filters import AuditFilter, KeyFilter
from ..rows import KEY_COLUMNS, ORGANIZATION_COLUMNS, PROJECT_COLUMNS, key_row, organization_row, project_row
from . import reading, writing
from .links import Links
from .reading import can_be_kept
from .records import Records
from .tables import keys, organizations, projects

Connection = sa.Connection


class Work:
    """The methods of a `KeyStore`, with these connections."""

    def __init__(self, links: Links, records: Records) -> None:
        self._links, self._records = links, records
        # As text: SQLAlchemy's own way to a prepared statement costs as much as the database's answer.
        self._by_id = str(reading.BY_ID.compile(dialect=links.readers.dialect))
        self.close = links.close

    def find(self, key_id: str) -> ApiKey | None:
        """The record, read in one round trip."""
        if not can_be_kept(key_id):
            return None
        row = self._links.row(self._by_id, {"key_id": key_id})
        return None if row is None else self._records.found(tuple(row))

    def last_used(self, key_id: str, graced: bool = False) -> datetime | None:
        """When the key, or its older secret, was used last."""
        name = "grace_used_at" if graced else "last_used_at"
        row = self._look(reading.last_use_of, key_id, name)
        found: datetime | None = None if row is None else self._records.moment(row, key_id)
        return found

    def touch(self, key_id: str, at: datetime, graced: bool = False) -> None:
        """Set `last_used_at`, and perhaps `grace_used_at`, never backwards."""
        if can_be_kept(key_id):
            use = Used(key_id, at, graced)
            self._links.write(lambda connection: writing.touch(connection, [use]), lambda _connection: None)

    def add_usage(self, counts: Sequence[Counted], uses: Sequence[Used]) -> None:
        """Add counts, and note uses. If the connection breaks during the commit, counts may be added twice."""
        kept = [each for each in counts if can_be_kept(each.key_id)]
        used = [each for each in uses if can_be_kept(each.key_id)]

        def work(connection: Connection) -> None:
            writing.add_counts(connection, kept)
            writing.touch(connection, used, USE_EVERY)

        self._links.write(work, lambda _connection: None)

    def usage(self, key_id: str, first: int, end: int, step: int) -> Sequence[Counted]:
        """Counts of a key by span and outcome."""
        return [Counted(*row) for row in self._page(reading.usage_rows, key_id, first, end, step)]

    def forget_usage(self, before: int, most: int) -> int:
        """Delete old counts."""
        return self._links.write(
            lambda connection: writing.forget_counts(connection, before, most), lambda _connection: None
        )

    def rehash(self, key_id: str, old: SecretHash, new: SecretHash) -> None:
        """Replace one hash by another."""

        def work(connection: Connection) -> None:
            writing.hold_key(connection, key_id)
            row = reading.key_row_of(connection, key_id)
            hashes = () if row is None else self._records.key(row).hashes
            if old in hashes:
                writing.set_hashes(connection, key_id, [new if each == old else each for each in hashes])

        if can_be_kept(key_id):
            self._links.write(work, lambda _connection: None)

    def add(self, key: ApiKey, entries: Sequence[AuditEntry], cap: Cap | None = None) -> Written:
        """Keep a new record."""
        return self._add(None, key, entries, cap)

    def add_project(
        self, project: Project, key: ApiKey, entries: Sequence[AuditEntry], cap: Cap | None = None
    ) -> Written:
        """Keep a new project and its key."""
        return self._add(project, key, entries, cap)

    def _add(self, project: Project | None, key: ApiKey, entries: Sequence[AuditEntry], cap: Cap | None) -> Written:
        def work(connection: Connection) -> Sequence[AuditEntry]:
            writing.hold_cap(connection, cap)
            if project is not None:
                writing.insert(connection, projects, PROJECT_COLUMNS, project_row(project))
            writing.insert(connection, keys, KEY_COLUMNS, key_row(key))
            writing.hold_project(connection, key.project_id, key.organization_id)
            return writing.tell(connection, entries, writing.make_room(connection, key.id, cap, entries))

        return self._write(work, entries, self._key_now, key.id, new=True)

    def update(
        self,
        key_id: str,
        revision: int,
        changes: Mapping[str, Any],
        entries: Sequence[AuditEntry],
        cap: Cap | None = None,
    ) -> Written:
        """Set some members of a record."""

        def work(connection: Connection) -> Sequence[AuditEntry] | None:
            writing.hold_cap(connection, cap)
            if not writing.change(connection, keys, key_id, revision, changes):
                return None
            if not PLACES.isdisjoint(changes):
                row = reading.key_row_of(connection, key_id) or ()
                now = dict(zip(KEY_COLUMNS, row[3:-2], strict=True))
                writing.hold_project(connection, now["project_id"], now["organization_id"])
            return writing.tell(connection, entries, writing.make_room(connection, key_id, cap, entries))

        return self._write(work, entries, self._key_now, key_id)

    def revoke(self, key_id: str, at: datetime, entries: Sequence[AuditEntry]) -> Written:
        """Set `revoked_at` for good, even if the rest of the record cannot be read."""

        def work(connection: Connection) -> Sequence[AuditEntry]:
            return writing.tell(connection, entries) if writing.revoke(connection, key_id, at) else ()

        return self._write(work, entries, self._revoked_now, key_id)

    def list(self, wanted: KeyFilter, after: str | None, limit: int) -> Sequence[ApiKey]:
        """Records by age. Those that cannot be read are left out and told to `on_unreadable`."""
        found: list[ApiKey] = []
        # Those that are left out make no page shorter: a short one would say that there are no more keys.
        while len(found) < limit:
            missing = limit - len(found)
            rows = self._page(reading.key_rows, wanted, after, missing)
            found += filter(None, map(self._records.key_or_tell, rows))
            if len(rows) < missing:
                break
            after = rows[-1][reading.ID]
        return found

    def find_project(self, project_id: str) -> Project | None:
        """The project, or None."""
        row = self._look(partial(reading.project_row_of, living=True), project_id)
        return None if row is None else self._records.project(row)

    def list_projects(self, organization_id: str | None, after: str | None, limit: int) -> Sequence[Project]:
        """Projects by age."""
        rows = self._page(reading.project_rows, organization_id, after, limit)
        return [self._records.project(row) for row in rows]

    def update_project(
        self, project_id: str, revision: int, changes: Mapping[str, Any], entries: Sequence[AuditEntry]
    ) -> Written:
        """Set some members of a project."""
        return self._change(projects, project_id, revision, changes, entries, self._project_now)

    def delete_project(self, project_id: str, at: datetime, entries: Sequence[AuditEntry]) -> Written:
        """End a project and its keys."""

        def work(connection: Connection) -> Sequence[AuditEntry]:
            if not writing.end_project(connection, project_id, at):
                return ()
            return writing.tell(connection, entries, writing.revoke_of_project(connection, project_id, at, entries))

        return self._write(work, entries, self._project_now, project_id)

    def add_organization(self, organization: Organization, entries: Sequence[AuditEntry]) -> Written:
        """Keep a new organization."""

        def work(connection: Connection) -> Sequence[AuditEntry]:
            writing.insert(connection, organizations, ORGANIZATION_COLUMNS, organization_row(organization))
            return writing.tell(connection, entries)

        return self._write(work, entries, self._organization_now, organization.id, new=True)

    def find_organization(self, organization_id: str) -> Organization | None:
        """The organization, or None."""
        row = self._look(reading.organization_row_of, organization_id)
        return None if row is None else self._records.organization(row)

    def list_organizations(self, after: str | None, limit: int) -> Sequence[Organization]:
        """Organizations by age."""
        return [self._records.organization(row) for row in self._page(reading.organization_rows, after, limit)]

    def update_organization(
        self, organization_id: str, revision: int, changes: Mapping[str, Any], entries: Sequence[AuditEntry]
    ) -> Written:
        """Set some members of an organization."""
        return self._change(organizations, organization_id, revision, changes, entries, self._organization_now)

    def list_audit(self, wanted: AuditFilter, after: str | None, limit: int) -> Sequence[AuditEntry]:
        """Entries, the newest first."""
        return [self._records.entry(row) for row in self._page(reading.entry_rows, wanted, after, limit)]

    def _look(self, read: Callable[..., Any], id: str, *args: Any) -> Any:
        """What is read about one id; None for one that no database can hold."""
        return self._links.read(lambda connection: read(connection, id, *args)) if can_be_kept(id) else None

    def _page(self, read: Callable[..., Any], *args: Any) -> Any:
        """Rows. A page may take longer than a request may wait, so it takes a connection for writing."""
        texts = [each for arg in args for each in (arg if isinstance(arg, tuple) else (arg,)) if isinstance(each, str)]
        if not all(map(can_be_kept, texts)):
            return []
        return self._links.write(lambda connection: read(connection, *args), lambda _connection: None)

    def _change(  # noqa: PLR0917 - what is said of the table, then what is said of the change
        self,
        table: sa.Table,
        id: str,
        revision: int,
        changes: Mapping[str, Any],
        entries: Sequence[AuditEntry],
        now: Callable[[Connection, str], Any],
    ) -> Written:
        def work(connection: Connection) -> Sequence[AuditEntry] | None:
            if not writing.change(connection, table, id, revision, changes):
                return None
            return writing.tell(connection, entries)

        return self._write(work, entries, now, id)

    def _write(
        self,
        work: Callable[[Connection], Sequence[AuditEntry] | None],
        entries: Sequence[AuditEntry],
        now: Callable[[Connection, str], Any],
        id: str,
        *,
        new: bool = False,
    ) -> Written:
        """What a write did: it gives what it told, or None if its condition did not hold."""

        def once(connection: Connection) -> Callable[[], Written]:
            told = work(connection)
            if told is None:
                return lambda: Written(None)
            return partial(_written, now(connection, id), tuple(told))

        def before(connection: Connection) -> Callable[[], Written] | None:
            if not writing.was_told(connection, entries[0]):
                return None
            told = tuple(map(self._records.entry, reading.entries_of(connection, entries[0].id)))
            return partial(_written, now(connection, id), told)

        if not new and not can_be_kept(id):
            return Written(None)
        # Decoded after the commit: a key whose record cannot be read is revoked all the same.
        return self._links.write(once, before)()

    def _key_now(self, connection: Connection, key_id: str) -> Callable[[], Any]:
        row = reading.key_row_of(connection, key_id)
        return lambda: None if row is None else self._records.key(row)

    def _revoked_now(self, connection: Connection, key_id: str) -> Callable[[], Any]:
        row = reading.key_row_of(connection, key_id)
        return lambda: None if row is None else self._records.key(row, "; the key is revoked all the same")

    def _project_now(self, connection: Connection, project_id: str) -> Callable[[], Any]:
        row = reading.project_row_of(connection, project_id)
        return lambda: None if row is None else self._records.project(row)

    def _organization_now(self, connection: Connection, organization_id: str) -> Callable[[], Any]:
        row = reading.organization_row_of(connection, organization_id)
        return lambda: None if row is None else self._records.organization(row)


def _written(record: Callable[[], Any], told: tuple[AuditEntry, ...]) -> Written:
    return Written(record(), told)
