"""The contract of key stores, exact enough to write another one from.

There are two sizes. A `KeyFinder` only finds keys: it is all that the gate needs, and a few lines over a host's own
table. A `KeyStore` also keeps what `gate.keys`, `gate.projects`, `gate.organizations` and `gate.audit` write.

How every write works:

- **One step.** A write and its audit entries are kept together or not at all. A SQL store uses one transaction. A store
  that has none may need several steps for what concerns several keys; then the order is: what refuses, what is marked,
  what is copied to each key; and the call returns when all of it is done.
- **On the disk.** What was written survives a crash once the method returns.
- **Conditions.** A change names the revision of the record that it was worked out from. If the record has another
  revision now, or is gone, nothing is written and `Written.record` is None. Any change of a record gives it another
  revision, even one made by hand in the store; a use (`touch`) does not.
- **Never back.** `revoked_at` is set once and for ever. No method writes a whole record back.
- **Caps.** Where a `Cap` is given, the store first takes a lock that only one writer at a time can have for this
  `Cap.subject`, then counts, then writes, and lets go when the step is done. Counting first lets 50 writers pass a cap
  of 5.
- **Entries.** `entries` are written as they are, but only if the change is. Where the store itself chooses keys to
  revoke, it adds ``entries[0].with_key_revoked(…)`` for each, with numbers that go on after the given ones,
  and with ``via="cap"`` where a cap asked for it. `Written.entries` is all that was written.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar

from ..exceptions import KeyLimitReached, UnreadableRecord
from ..model import ApiKey, AuditEntry, Counted, Organization, Project, Purged, SecretHash, Used
from .filters import AuditFilter, KeyFilter

# How often a key's use is noted, in seconds.
USE_EVERY = 60.0
PLACES = frozenset(("project_id", "organization_id"))
"""The members of a key that say where it belongs. A write that names one of them looks for the project."""

T = TypeVar("T")
Perhaps: TypeAlias = T | Awaitable[T]
"""What a plain method returns, or an ``async def`` one."""


def ignore(_error: UnreadableRecord) -> None:
    """The `on_unreadable` of a store to which nobody listens."""


class Cap(NamedTuple):
    """How many live keys there may be. A key is live until it is revoked or expires; suspended keys are live.

    Attributes:
        most: so many, with the key that is being written.
        by: whose keys are counted together, as members of the key's record with their values, all of which must be
            equal: ``(("organization_id", "acme"), ("owner_id", None))``. None is a value like any other: keys without
            an owner are counted together.
        replaces: when there are too many, revoke the oldest ones (by `created_at`, then `id`; never the key that is
            being written) instead of refusing.
        plan: the name of the plan that says so, for the error.
    """

    most: int
    by: tuple[tuple[str, str | None], ...]
    replaces: bool = False
    plan: str | None = None

    @property
    def subject(self) -> str:
        """The name of what is locked and counted: no two caps that count different keys share it."""
        return ",".join(f"{name}:{'-' if value is None else len(value)}:{value or ''}" for name, value in self.by)

    def holds(self, key: ApiKey, now: datetime) -> bool:
        """Whether this key is one of those that are counted."""
        return key.is_live(now) and all(getattr(key, name) == value for name, value in self.by)

    def excess(self, others: int) -> int:
        """How many keys must be revoked before one more is written, when there are so many others.

        Raises:
            KeyLimitReached: none may be revoked, and there is no room.
        """
        excess = max(0, others + 1 - self.most)
        if excess and not self.replaces:
            raise KeyLimitReached(self.most, self.plan, tuple(name.removesuffix("_id") for name, _ in self.by))
        return excess


class Written(NamedTuple):
    """What a write did.

    Attributes:
        record: the record as it is now; None if there is none, or if a condition did not hold.
        entries: the audit entries that were written; empty if nothing was.
    """

    record: Any
    entries: tuple[AuditEntry, ...] = ()


class PurgeAsked(NamedTuple):
    """One step of a purge.

    Attributes:
        before: at least an hour ago, so that no write that was begun before it is still under way.
        most: look at, or remove, about so many records of each kind: a step is short, and others get their turn between
            two of them.
        after: None in the first step, then `PurgeStep.next` of the step before.
        entries: what is told, if anything is removed; a store without transactions writes it first.
        dry: remove and tell nothing; only count, perhaps everything in one step.
    """

    before: datetime
    most: int
    after: str | None = None
    entries: Sequence[AuditEntry] = ()
    dry: bool = False


class PurgeStep(NamedTuple):
    """What one step of a purge did.

    Attributes:
        removed: how many records went.
        next: what the next step is to be given as `after`; None if nothing is left to be done.
        entries: the audit entries that were written.
    """

    removed: Purged
    next: str | None = None
    entries: tuple[AuditEntry, ...] = ()


class KeyFinder(Protocol):
    """What the gate asks of a store: the record of a key. The method may be plain or ``async def``.

    A plain one is expected to block, so it is called off the event loop. If the store has an attribute
    ``blocking = False``, it runs in place and must take microseconds. Any exception means "the store is down": the gate
    stays closed.

    The gate keeps what it derives from a record as long as `find` returns the very same object; so return the same
    object while nothing has changed, if that is cheap, and another one as soon as anything has: in the key's own
    record, or in what it inherits. Only then does everything hold on the next request.

    More methods may be there, of the same kind as `find`:

    - ``touch(key_id, at, graced)``, ``last_used(key_id, graced)``, ``rehash(key_id, old, new)``: as in `KeyStore`.
      Without `touch` nobody notes when a key was used; without `last_used` the record alone says whether it ever was;
      without `rehash` old hashes stay.
    - ``add_usage(counts, uses)``, ``usage(key_id, first, end, step)``, ``forget_usage(before, most)``: as in
      `KeyStore`. Without `add_usage` requests are not counted, and `touch` is called for each use.
    - ``close()``.
    """

    def find(self, key_id: str) -> Perhaps[ApiKey | None]:
        """The record with this id as it is now, with what it inherits, or None. Called on every request; must not be
        cached. Whether the key may be used is for the gate to judge, not for the store."""


class KeyStore(KeyFinder, Protocol):
    """Finds keys, and keeps what is written about them. All methods are plain, or all are ``async def``.

    If a store cannot read one key's record, it raises `exceptions.UnreadableRecord`; only that key is refused. `list`
    leaves such a record out, or nobody could see the other keys any more. A store that does so has an attribute
    ``on_unreadable``, which it calls with the exception.

    Lists are in the order of `created_at`, then `id`, and go on after the record with the id `after`; behind an unknown
    one there is nothing. They hold revoked and expired keys too.
    """

    def touch(self, key_id: str, at: datetime, graced: bool = False) -> Perhaps[None]:
        """Set `last_used_at`, and with `graced` also `grace_used_at`, never backwards, and nothing else. An unknown id
        is no error. A use is no change of the record, not even the first one: `find` goes on returning the same
        object, with the `last_used_at` that it has."""

    def last_used(self, key_id: str, graced: bool = False) -> Perhaps[datetime | None]:
        """`last_used_at`, or with `graced` `grace_used_at`, as it is now; None for never, and for an unknown id."""

    def add_usage(self, counts: Sequence[Counted], uses: Sequence[Used]) -> Perhaps[None]:
        """Add what a process counted since its last call, and note when keys were used; all of it in one step.

        Called off the path of requests, by several processes at once. It need not survive a loss of power at once. If
        it raises, the same rows come again: so it must have written nothing then.

        Args:
            counts: each is added to the count that is kept for this key, hour and outcome; from 0 where there is none.
                Sorted by key, hour and outcome, each once, and at most 100: locks taken in this order cannot form a
                circle. A key may be unknown.
            uses: each as for `touch`, at most 100, sorted by key. One that is less than `USE_EVERY` seconds after the
                moment that is noted may be left out, and is better left out: another process has noted it.
        """

    def usage(self, key_id: str, first: int, end: int, step: int) -> Perhaps[Sequence[Counted]]:
        """What is counted for a key, summed up over spans of `step` hours: for each span and outcome one row, whose
        `hour` is the first hour of the span, in this order. Spans without counts, and unknown keys, have none.

        Args:
            key_id: which key.
            first, end: hours since 1970 in UTC, from `first` on and before `end`.
            step: 1, or 24 for days. A span begins at a multiple of it: ``hour - hour % step``.
        """

    def forget_usage(self, before: int, most: int) -> Perhaps[int]:
        """Delete at most so many counts of hours before this one; how many there were. Needs an index by hour."""

    def rehash(self, key_id: str, old: SecretHash, new: SecretHash) -> Perhaps[None]:
        """Replace `old` by `new` in its place, if `old` is still there: two processes may try at once. Nothing is told
        of it: the secret stays what it is."""

    def add(self, key: ApiKey, entries: Sequence[AuditEntry], cap: Cap | None = None) -> Perhaps[Written]:
        """Keep a new record. `key.inherited` is not looked at.

        Raises, in this order:
            KeyError: the id is taken.
            NotFound: `key.project_id` names no project, or one of another organization.
            KeyLimitReached: the cap is reached.
        """

    def update(
        self,
        key_id: str,
        revision: int,
        changes: Mapping[str, Any],
        entries: Sequence[AuditEntry],
        cap: Cap | None = None,
    ) -> Perhaps[Written]:
        """Set these members of a record, if it still has this revision.

        Args:
            key_id: which record.
            revision: the one that was read.
            changes: new values by the name of the member; never `id`, `created_at`, `revoked_at`, `inherited`.
            entries: what is told.
            cap: as it is for the changed record; the key itself is not one of the others.

        Raises:
            NotFound: as for `add`, where `changes` name `project_id` or `organization_id`, even with the value that it
                has: the project may be gone since. No other change asks for the project.
            KeyLimitReached: as for `add`.
        """

    def revoke(self, key_id: str, at: datetime, entries: Sequence[AuditEntry]) -> Perhaps[Written]:
        """Set `revoked_at` for good. If it is set already, nothing changes and nothing is told: `Written.entries` is
        empty. A record that cannot be read is revoked too, before UnreadableRecord says so."""

    def list(self, wanted: KeyFilter, after: str | None, limit: int) -> Perhaps[Sequence[ApiKey]]:
        """At most `limit` records."""

    def add_project(
        self, project: Project, key: ApiKey, entries: Sequence[AuditEntry], cap: Cap | None = None
    ) -> Perhaps[Written]:
        """Keep a new project and its first key: both or neither. The record is the key's. Raises as `add`; KeyError
        with the id that is taken, of the project or of the key; that of a deleted project stays taken."""

    def find_project(self, project_id: str) -> Perhaps[Project | None]:
        """The project, or None; a deleted one is no more."""

    def list_projects(self, organization_id: str | None, after: str | None, limit: int) -> Perhaps[Sequence[Project]]:
        """At most `limit` projects, of this organization or of all."""

    def update_project(
        self, project_id: str, revision: int, changes: Mapping[str, Any], entries: Sequence[AuditEntry]
    ) -> Perhaps[Written]:
        """Set these members, if the project still has this revision. From then on its keys inherit them."""

    def delete_project(self, project_id: str, at: datetime, entries: Sequence[AuditEntry]) -> Perhaps[Written]:
        """End a project for good and revoke its keys that are not revoked yet; a key that is added at the same moment
        is revoked or refused. The record is the project as it was. If it was deleted before, it is given again, and
        nothing is written; None for an unknown one."""

    def add_organization(self, organization: Organization, entries: Sequence[AuditEntry]) -> Perhaps[Written]:
        """Keep a new organization; KeyError if the id is taken. Keys and projects that name it already inherit from it
        from now on."""

    def find_organization(self, organization_id: str) -> Perhaps[Organization | None]:
        """The organization, or None."""

    def list_organizations(self, after: str | None, limit: int) -> Perhaps[Sequence[Organization]]:
        """At most `limit` organizations."""

    def update_organization(
        self, organization_id: str, revision: int, changes: Mapping[str, Any], entries: Sequence[AuditEntry]
    ) -> Perhaps[Written]:
        """Set these members, if the organization still has this revision. From then on its keys inherit them."""

    def list_audit(self, wanted: AuditFilter, after: str | None, limit: int) -> Perhaps[Sequence[AuditEntry]]:
        """At most `limit` entries, the newest first (by `at`, then `id`), after the entry with the id `after`."""

    def purge(self, asked: PurgeAsked) -> Perhaps[PurgeStep]:
        """Remove for good what ended before a moment, one bounded step of it: keys that were revoked, or expired, by
        then; projects that were deleted by then, once none of their keys is left; audit entries from before then.
        Whether a record has ended is looked at in the step that removes it. A record that cannot be read may stay.
        An id that is free again may be given again.

        Several processes may do this at once, and any of them may be killed: what one leaves, the next removes."""

    def close(self) -> Perhaps[None]:
        """Close files and connections. The store may be used again afterwards."""
