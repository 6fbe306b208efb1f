"""The records of one store, as the operations on them need it: reading, changing under a condition, telling of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from ..._sync import Offload, is_async
from ...events import Events
from ...exceptions import (
    ConfigurationError,
    IdTaken,
    KeyNotFound,
    KeystileError,
    NotFound,
    RecordChanged,
    StoreUnavailable,
)
from ...model import Actor, AuditEntry
from ...stores import AuditFilter, Written
from ..workshop import WRITE_PATIENCE, Workshop
from .audit import changed, check_actor, event_of
from .fields import check_optional, check_page, check_text
from .twins import awaited, blocking

# How often a change is worked out anew when others change the record at the same time.
TRIES = 3

_ADDS = {"add": "key", "add_project": "project", "add_organization": "organization"}

Change = Callable[[Any, datetime], Awaitable[Mapping[str, Any]]]
"""Works out what to set, from a record and the moment."""
Write = Callable[[Any, Mapping[str, Any], tuple[AuditEntry, ...]], Awaitable[Written]]
"""Writes these changes of a record, if it is still the same."""


class Asked(NamedTuple):
    """Which record is to be changed, and who asks for it.

    Attributes:
        kind: ``"key"``, ``"project"`` or ``"organization"``.
        id: which one.
        event: what is done to it, as the last part of the event: ``"update"``.
        actor: who does it.
        revision: the one that the change was worked out from; None for any.
    """

    kind: str
    id: str
    event: str
    actor: Actor
    revision: int | None = None


def asked(kind: str, id: str, event: str, actor: Actor | None, revision: int | None = None) -> Asked:
    """The same, checked."""
    who = check_actor(actor)
    if revision is not None and (isinstance(revision, bool) or not isinstance(revision, int)):
        raise ConfigurationError("expected a record's revision, or None", key="revision")
    return Asked(kind, check_text(id, f"{kind}_id"), event, who, revision)


class Records:
    """Calls the store of a gate, and tells of what was written.

    Args:
        workshop: the store and the clock.
        events: where changes are told.
    """

    def __init__(self, workshop: Workshop, events: Events) -> None:
        self._workshop, self._events = workshop, events
        self.needs_await = is_async(workshop.store.find)
        """Whether the store is async, so that only awaited operations work."""
        self._calls: dict[str, Callable[..., Awaitable[Any]]] = {}

    def now(self) -> datetime:
        """The gate's moment."""
        return datetime.fromtimestamp(self._workshop.clock(), UTC)

    def has(self, method: str) -> bool:
        """Whether the store has this method."""
        return callable(getattr(self._workshop.store, method, None))

    async def call(self, offload: Offload, method: str, *args: Any) -> Any:
        """What a method of the store gives.

        Raises:
            ConfigurationError: the store only finds keys.
            IdTaken: what is to be added has an id that is taken.
            StoreUnavailable: whatever else a store raises, it is down.
        """
        known = self._calls.get(method)
        if known is None:
            if not self.has(method):
                raise ConfigurationError("only finds keys: it keeps none, and nothing about them", key="store")
            known = self._calls[method] = self._workshop.adapted(method, blocking=True, patience=WRITE_PATIENCE)
        try:
            return await known(offload, *args)
        except Exception as error:
            if isinstance(error, KeystileError):
                raise
            if isinstance(error, KeyError) and method in _ADDS:
                raise IdTaken(_ADDS[method], args[0].id) from None
            raise StoreUnavailable("the key store", type(error).__name__) from error

    async def write(self, offload: Offload, method: str, *args: Any) -> Written:
        """What a write did. What was written is told when it is kept."""
        written: Written = await self.call(offload, method, *args)
        for entry in written.entries:
            self._events.tell(event_of(entry))
        return written

    async def change(self, offload: Offload, asked: Asked, work: Change, write: Write) -> Any:
        """Change a record under the condition that it is still the one that was read; gives the record as it is then.

        Args:
            offload: how this door runs what blocks.
            asked: which record.
            work: works out what to set.
            write: writes it.

        Raises:
            NotFound: there is no such record.
            RecordChanged: it has another revision, or others go on changing it.
        """
        for _ in range(TRIES):
            record = await self.found(offload, asked.kind, asked.id)
            if asked.revision not in {None, record.revision}:
                break
            at = self.now()
            wanted = await work(record, at)
            changes = {name: value for name, value in wanted.items() if getattr(record, name) != value}
            if not changes:
                return record
            event = f"{asked.kind}.{asked.event}"
            written = await write(record, changes, (changed(event, asked.actor, at, record, changes),))
            if written.record is not None:
                return written.record
        raise RecordChanged(asked.kind, asked.id)

    async def set(self, offload: Offload, asked: Asked, changes: Mapping[str, Any]) -> Any:
        """Set members of a project or an organization; gives the record."""

        async def work(_record: Any, _at: datetime) -> Mapping[str, Any]:
            return changes

        return await self._change_owner(offload, asked, work)

    async def suspend(self, offload: Offload, asked: Asked) -> Any:
        """Suspend a project or an organization, unless it is suspended already; gives the record."""

        async def work(record: Any, at: datetime) -> Mapping[str, Any]:
            return {"suspended_at": record.suspended_at or at}

        return await self._change_owner(offload, asked, work)

    async def _change_owner(self, offload: Offload, asked: Asked, work: Change) -> Any:
        async def write(record: Any, changes: Mapping[str, Any], entries: tuple[AuditEntry, ...]) -> Written:
            return await self.write(offload, f"update_{asked.kind}", asked.id, record.revision, changes, entries)

        return await self.change(offload, asked, work, write)

    async def tell_host(self, offload: Offload, function: Callable[..., Any], *args: Any) -> None:
        """Call a function of the host's, which may block."""
        if is_async(function):
            await function(*args)
        else:
            await offload.run(self._workshop.store_pool, function, *args)

    async def found(self, offload: Offload, kind: str, id: str) -> Any:
        """The record with this id; NotFound if there is none."""
        record = await self.call(offload, "find" if kind == "key" else f"find_{kind}", id)
        if record is None:
            raise KeyNotFound(id) if kind == "key" else NotFound(kind, id)
        return record

    async def _audit(
        self,
        offload: Offload,
        *,
        organization_id: str | None = None,
        target: str | None = None,
        event: str | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> Sequence[AuditEntry]:
        """What was changed, the newest first.

        Args:
            organization_id: only what concerns this organization and what is its own.
            target: only what was done to the key, project or organization with this id.
            event: only this event: ``"key.revoke"``.
            after: only entries before the one with this id, the last one of the previous page.
            limit: at most this many, 1 to 1000.
        """
        check_page(limit)
        given = {"organization_id": organization_id, "target": target, "event": event}
        wanted = AuditFilter(**{name: check_optional(value, name) for name, value in given.items()})
        found: Sequence[AuditEntry] = await self.call(
            offload, "list_audit", wanted, check_optional(after, "after"), limit
        )
        return found

    audit, aaudit = blocking(_audit), awaited(_audit)
