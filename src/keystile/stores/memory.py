"""Keys in this process's memory: for tests, demonstrations, and services that load their keys at start.

What a key inherits stands on each key's record, so that finding one stays a single look-up. A change of a project or
an organization is copied to all its keys before the call returns.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from .. import _sync
from ..exceptions import NotFound
from ..model import ApiKey, AuditEntry, Counted, Inherited, Organization, Project, Purged, SecretHash, Target, Used, Via
from .contract import PLACES, USE_EVERY, Cap, PurgeAsked, PurgeStep, Written
from .counts import Counts
from .filters import AuditFilter, KeyFilter
from .listing import age, page, page_of_audit


class MemoryStore:
    """A `KeyStore` that no other process sees, and that is gone when the process ends."""

    blocking = False

    def __init__(self) -> None:
        self._keys: dict[str, ApiKey] = {}
        self._projects: dict[str, Project] = {}
        self._organizations: dict[str, Organization] = {}
        self._deleted: dict[str, tuple[Project, datetime]] = {}
        self._audit: list[AuditEntry] = []
        # Kept apart from the records, which stay the same objects: what the gate derives from them is derived once.
        self._used: dict[tuple[str, bool], datetime] = {}
        self._counts = Counts()
        self._lock = _sync.Lock()

    def find(self, key_id: str) -> ApiKey | None:
        """The record, or None. Its `last_used_at` is the one that it was added with; `last_used` gives the last."""
        return self._keys.get(key_id)

    def last_used(self, key_id: str, graced: bool = False) -> datetime | None:
        """When the key, or its older secret, was used last."""
        return self._used.get((key_id, graced))

    def touch(self, key_id: str, at: datetime, graced: bool = False) -> None:
        """Set `last_used_at`, and perhaps `grace_used_at`, never backwards."""
        with self._lock:
            self._touch(key_id, at, graced)

    def add_usage(self, counts: Sequence[Counted], uses: Sequence[Used]) -> None:
        """Add counts, and note uses."""
        with self._lock:
            self._counts.add(counts)
            for use in uses:
                self._touch(*use, USE_EVERY)

    def usage(self, key_id: str, first: int, end: int, step: int) -> Sequence[Counted]:
        """Counts of a key by span and outcome."""
        with self._lock:
            return self._counts.of(key_id, first, end, step)

    def forget_usage(self, before: int, most: int) -> int:
        """Delete old counts."""
        with self._lock:
            return self._counts.forget(before, most)

    def rehash(self, key_id: str, old: SecretHash, new: SecretHash) -> None:
        """Replace one hash by another."""
        with self._lock:
            key = self._keys.get(key_id)
            if key is not None and old in key.hashes:
                self._keep(key, hashes=tuple(new if each == old else each for each in key.hashes))

    def add(self, key: ApiKey, entries: Sequence[AuditEntry], cap: Cap | None = None) -> Written:
        """Keep a new record."""
        with self._lock:
            self._check_new(key)
            self._check_project(key)
            made = self._make_room(key, cap, entries)
            self._insert(key)
            return self._told(self._shown(key.id), entries, made)

    def update(
        self,
        key_id: str,
        revision: int,
        changes: Mapping[str, Any],
        entries: Sequence[AuditEntry],
        cap: Cap | None = None,
    ) -> Written:
        """Set some members of a record."""
        with self._lock:
            key = self._keys.get(key_id)
            if key is None or key.revision != revision:
                return Written(None)
            changed = replace(key, **changes)
            if not PLACES.isdisjoint(changes):
                self._check_project(changed)
            made = self._make_room(changed, cap, entries)
            for graced, name in ((False, "last_used_at"), (True, "grace_used_at")):
                if name in changes:
                    self._used.pop((key_id, graced), None)
            self._keep(changed, inherited=self._inherited(changed))
            return self._told(self._shown(key_id), entries, made)

    def revoke(self, key_id: str, at: datetime, entries: Sequence[AuditEntry]) -> Written:
        """Set `revoked_at` for good."""
        with self._lock:
            key = self._keys.get(key_id)
            if key is None or key.revoked_at is not None:
                return Written(key and self._shown(key_id))
            self._keep(key, revoked_at=at)
            return self._told(self._shown(key_id), entries)

    def list(self, wanted: KeyFilter, after: str | None, limit: int) -> Sequence[ApiKey]:
        """Records by age."""
        with self._lock:
            return [self._shown(key.id) for key in page(self._keys, wanted.fits, after, limit)]

    def add_project(
        self, project: Project, key: ApiKey, entries: Sequence[AuditEntry], cap: Cap | None = None
    ) -> Written:
        """Keep a new project and its key."""
        with self._lock:
            if project.id in self._projects or project.id in self._deleted:
                raise KeyError(project.id)
            self._check_new(key)
            made = self._make_room(key, cap, entries)
            self._projects[project.id] = replace(project, revision=_drawn())
            self._insert(key)
            return self._told(self._shown(key.id), entries, made)

    def find_project(self, project_id: str) -> Project | None:
        """The project, or None."""
        return self._projects.get(project_id)

    def list_projects(self, organization_id: str | None, after: str | None, limit: int) -> Sequence[Project]:
        """Projects by age."""
        with self._lock:
            return page(self._projects, lambda each: organization_id in (None, each.organization_id), after, limit)

    def update_project(
        self, project_id: str, revision: int, changes: Mapping[str, Any], entries: Sequence[AuditEntry]
    ) -> Written:
        """Set some members of a project."""
        with self._lock:
            return self._change("project_id", project_id, revision, changes, entries)

    def delete_project(self, project_id: str, at: datetime, entries: Sequence[AuditEntry]) -> Written:
        """End a project and its keys."""
        with self._lock:
            project = self._projects.pop(project_id, None)
            if project is None:
                return Written(self._deleted.get(project_id, (None,))[0])
            self._deleted[project_id] = project, at
            living = [key for key in self._by_age("project_id", project_id) if key.revoked_at is None]
            return self._told(project, entries, self._revoke(living, at, entries))

    def add_organization(self, organization: Organization, entries: Sequence[AuditEntry]) -> Written:
        """Keep a new organization."""
        with self._lock:
            if organization.id in self._organizations:
                raise KeyError(organization.id)
            # As if it had been there before, with nothing to inherit.
            self._organizations[organization.id] = organization
            return self._change("organization_id", organization.id, organization.revision, {}, entries)

    def find_organization(self, organization_id: str) -> Organization | None:
        """The organization, or None."""
        return self._organizations.get(organization_id)

    def list_organizations(self, after: str | None, limit: int) -> Sequence[Organization]:
        """Organizations by age."""
        with self._lock:
            return page(self._organizations, lambda _each: True, after, limit)

    def update_organization(
        self, organization_id: str, revision: int, changes: Mapping[str, Any], entries: Sequence[AuditEntry]
    ) -> Written:
        """Set some members of an organization."""
        with self._lock:
            return self._change("organization_id", organization_id, revision, changes, entries)

    def list_audit(self, wanted: AuditFilter, after: str | None, limit: int) -> Sequence[AuditEntry]:
        """Entries, the newest first."""
        with self._lock:
            return page_of_audit(self._audit, wanted, after, limit)

    def purge(self, asked: PurgeAsked) -> PurgeStep:
        """Remove what ended long ago, all at once."""
        with self._lock:
            gone = {key.id for key in self._keys.values() if key.ended_before(asked.before)}
            owning = {key.project_id for key in self._keys.values() if key.id not in gone}
            ended = [name for name, (_, at) in self._deleted.items() if at < asked.before and name not in owning]
            kept = [each for each in self._audit if each.at >= asked.before]
            removed = Purged(len(gone), len(ended), len(self._audit) - len(kept))
            if asked.dry or not any(removed):
                return PurgeStep(removed)
            self._audit[:] = kept
            self._used = {use: at for use, at in self._used.items() if use[0] not in gone}
            for records, names in ((self._keys, gone), (self._deleted, ended)):
                for name in names:
                    del records[name]
            return PurgeStep(removed, None, self._told(None, asked.entries).entries)

    def close(self) -> None:
        """Nothing to close."""

    def _touch(self, key_id: str, at: datetime, graced: bool, every: float = 0.0) -> None:
        """Note a use, where the noted one is before it, and at least so many seconds."""
        if key_id not in self._keys:
            return
        least = timedelta(seconds=every) or timedelta.resolution
        for each in (False, True) if graced else (False,):
            before = self._used.get((key_id, each))
            if before is None or at - before >= least:
                self._used[key_id, each] = at

    def _shown(self, key_id: str) -> ApiKey:
        used, graced = self._used.get((key_id, False)), self._used.get((key_id, True))
        return replace(self._keys[key_id], last_used_at=used, grace_used_at=graced)

    def _keep(self, key: ApiKey, **changes: Any) -> None:
        self._keys[key.id] = replace(key, revision=_drawn(), **changes)

    def _insert(self, key: ApiKey) -> None:
        for graced, at in ((False, key.last_used_at), (True, key.grace_used_at)):
            if at is not None:
                self._used[key.id, graced] = at
        self._keep(key, inherited=self._inherited(key))

    def _inherited(self, key: ApiKey) -> Inherited:
        project = self._projects.get(key.project_id or "")
        organization = self._organizations.get(key.organization_id or "")
        since = [each.suspended_at for each in (project, organization) if each is not None and each.suspended_at]
        return Inherited(None if organization is None else organization.plan, min(since, default=None))

    def _check_new(self, key: ApiKey) -> None:
        if key.id in self._keys:
            raise KeyError(key.id)

    def _check_project(self, key: ApiKey) -> None:
        if key.project_id is not None:
            project = self._projects.get(key.project_id)
            if project is None or project.organization_id != key.organization_id:
                raise NotFound("project", key.project_id)

    def _make_room(self, key: ApiKey, cap: Cap | None, entries: Sequence[AuditEntry]) -> Iterable[AuditEntry]:
        """Revoke what is too much for one more key, or raise KeyLimitReached."""
        if cap is None:
            return ()
        at = entries[0].at
        name, value = cap.by[0]
        others = [each for each in self._by_age(name, value) if each.id != key.id and cap.holds(each, at)]
        return self._revoke(others[: cap.excess(len(others))], at, entries, by_cap=True)

    def _revoke(
        self, keys: Sequence[ApiKey], at: datetime, entries: Sequence[AuditEntry], *, by_cap: bool = False
    ) -> Sequence[AuditEntry]:
        for key in keys:
            self._keep(key, revoked_at=at)
        via: Via | None = "cap" if by_cap else None
        return [
            entries[0].with_key_revoked(number, Target("key", key.id, key.name), key.organization_id, via)
            for number, key in enumerate(keys, len(entries))
        ]

    def _by_age(self, name: str, value: str | None) -> Sequence[ApiKey]:
        return sorted((key for key in self._keys.values() if getattr(key, name) == value), key=age)

    def _change(
        self, owner: str, id: str, revision: int, changes: Mapping[str, Any], entries: Sequence[AuditEntry]
    ) -> Written:
        """Change the project or the organization that a key's `owner` names, and what its keys inherit."""
        records: dict[str, Any] = self._projects if owner == "project_id" else self._organizations
        record = records.get(id)
        if record is None or record.revision != revision:
            return Written(None)
        records[id] = replace(record, revision=_drawn(), **changes)
        for key in [key for key in self._keys.values() if getattr(key, owner) == id]:
            inherited = self._inherited(key)
            if inherited != key.inherited:
                self._keep(key, inherited=inherited)
        return self._told(records[id], entries)

    def _told(self, record: Any, entries: Sequence[AuditEntry], more: Iterable[AuditEntry] = ()) -> Written:
        told = (*entries, *more)
        self._audit += told
        return Written(record, told)


def _drawn() -> int:
    """A revision. Clients see it: by a number that counts, they would count what others do."""
    return secrets.randbits(62)
