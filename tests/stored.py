"""Stores of every kind, called in one way: what the contract suites share."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import anyio
from anyio.from_thread import start_blocking_portal

from keystile.model import Actor, ApiKey, AuditEntry, Organization, Project, SecretHash, Target
from keystile.model.audit import numbered
from keystile.stores import Cap, KeyFilter
from keystile.stores.memory import MemoryStore
from keystile.stores.sqlite import SQLiteStore
from tests.async_store import AsyncStore
from tests.redis_stores import emptied, patient

T0 = datetime(2026, 1, 15, 10, 30, 0, 123456, UTC)
OLD, NEW = SecretHash("$old", "oldX"), SecretHash("$new", "newX", T0)
STORES: dict[str, Callable[[Path], Any]] = {
    "memory": lambda _: MemoryStore(),
    "sqlite": lambda folder: SQLiteStore(folder / "keys.db"),
    "redis": lambda _: patient(emptied("valkey")),
    "redis 6.2": lambda _: patient(emptied("redis62")),
    "redis cluster": lambda _: patient(emptied("cluster")),
    "async under asyncio": lambda _: AsyncStore(),
    "async under trio": lambda _: AsyncStore(),
}

LOOPS = {"redis under asyncio": "redis", "redis cluster under asyncio": "redis cluster"}
"""Stores that have a twin for asyncio, by the name of the twin."""


def later(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def a_key(id: str = "0123456789AB", **values: Any) -> ApiKey:
    return ApiKey(**{"id": id, "name": "CI", "created_at": T0, "hashes": (OLD,)} | values)


def a_project(id: str = "p", organization_id: str = "o", **values: Any) -> Project:
    return Project(**{"id": id, "organization_id": organization_id, "name": "Shop", "created_at": T0} | values)


def an_organization(id: str = "o", **values: Any) -> Organization:
    return Organization(**{"id": id, "name": "Acme", "created_at": T0} | values)


class Store:
    """Any store, called as if it were a plain one; what is told of a write is made up where a test says nothing."""

    def __init__(self, inner: Any, backend: str, run: Callable[..., Any] | None = None) -> None:
        self.inner = inner
        # Connections belong to one event loop: who has any runs all calls in the same.
        self.run = run or partial(anyio.run, backend=backend)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self.inner, name)

        async def run(*args: Any, **named: Any) -> Any:
            return await method(*args, **named)

        def call(*args: Any, **named: Any) -> Any:
            return self.run(lambda: run(*args, **named))

        return call if inspect.iscoroutinefunction(method) else method

    def shown(self, id: str) -> Any:
        """The record with its last uses as they are now, as `gate.keys.get` puts them together."""
        used, graced = self.last_used(id), self.last_used(id, True)
        return replace(self.find(id), last_used_at=used, grace_used_at=graced)

    def put(self, key: ApiKey, cap: Cap | None = None) -> ApiKey:
        """Add a record, with its project if there is none yet; gives the record as it is then."""
        entries = [told("key.create", key.id)]
        if key.project_id is None or self.find_project(key.project_id) is not None:
            found: ApiKey = self.add(key, entries, cap).record
            return found
        first: ApiKey = self.add_project(a_project(key.project_id, str(key.organization_id)), key, entries, cap).record
        return first

    def change(self, id: str, cap: Cap | None = None, **changes: Any) -> Any:
        """Update the record as it is now; gives it as it is then."""
        return self.update(id, self.find(id).revision, changes, [told("key.update", id)], cap).record

    def end(self, id: str, at: datetime) -> Any:
        """Revoke a key; gives the record."""
        return self.revoke(id, at, [told("key.revoke", id)]).record

    def records(self, after: str | None = None, limit: int = 100, **wanted: Any) -> list[ApiKey]:
        """What is listed."""
        return list(self.list(KeyFilter(**wanted), after, limit))

    def listed(self, after: str | None = None, limit: int = 100, **wanted: Any) -> list[str]:
        """The ids of what is listed."""
        return [key.id for key in self.records(after, limit, **wanted)]


@contextmanager
def in_a_loop(store: Any) -> Iterator[Store]:
    """A store's twin for asyncio: all calls in one event loop."""
    with start_blocking_portal("asyncio") as portal:
        twin = store.for_asyncio()
        yield Store(twin, "asyncio", portal.call)
        portal.call(twin.close)
    store.close()


_told = count()


def told(event: str, target: str, at: datetime = T0, **values: Any) -> AuditEntry:
    """An entry that a store keeps with a write."""
    name = numbered(f"aud_{next(_told):018d}{'0' * 8}", 0)
    known = {"actor": Actor(), "organization_id": None, "targets": (Target(event.partition(".")[0], target, "a name"),)}
    return AuditEntry(**{"id": name, "at": at, "event": event, "correlation_id": name} | known | values)
