"""Management as tests use it: a gate with two organizations, and operations called as one of the doors calls them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import anyio
import pytest

from keystile import Gate, Plan
from keystile._sync import inline, pooled, run_now
from keystile.manage import ALL, Authority, authority_of
from keystile.manage.operations import Call, Operations
from tests import redis_stores
from tests.selection import some
from tests.sql_stores import emptied
from tests.test_keyring import PEPPER, STORES, Clock

PLANS = {"free": Plan("60/minute", units={"tokens": "100/minute"}), "pro": Plan("1000/minute"), "few": Plan(max_keys=1)}
MANAGER = ("keys:manage", "audit:read", "a", "b")
WAYS = some(
    [
        *(("memory", way) for way in ("wsgi", "asyncio", "trio")),
        *(("sqlite", way) for way in ("wsgi", "asyncio")),
        *(("blocking", "asyncio"), ("async", "trio"), ("async", "asyncio")),
        *(("postgresql", way) for way in ("wsgi", "asyncio")),
        ("redis", "wsgi"),
    ],
    ("memory", "wsgi"),
    ("memory", "trio"),
    ("sqlite", "asyncio"),
    ("async", "asyncio"),
    ("postgresql", "wsgi"),
    ("redis", "wsgi"),
)


class Desk:
    """Operations on one gate.

    Args:
        store: where its records are kept.
        way: ``"wsgi"``, or the event loop under ASGI.
        settings: of the gate.
    """

    def __init__(self, store: Any, way: str = "wsgi", **settings: Any) -> None:
        self.way, self.clock, self.deleted = way, Clock(), list[Any]()
        known = {"prefix": "acme", "peppers": [PEPPER], "hasher": "hmac-sha256", "clock": self.clock, "plans": PLANS}
        self.gate = Gate(store, **known | {"on_project_deleted": self.deleted.append} | settings)
        self.keys, self.projects = _Nouns(self, "keys"), _Nouns(self, "projects")
        self.organizations, self.own = _Nouns(self, "organizations"), _Nouns(self, "")

    def run(self, function: Callable[..., Any], *args: Any, **named: Any) -> Any:
        """The result of an async function, run as this door runs it."""

        async def call() -> Any:
            return await function(*args, **named)

        return run_now(call()) if self.way == "wsgi" else anyio.run(call, backend=self.way)

    def host(self, noun: str, operation: str, *args: Any, **named: Any) -> Any:
        """What the service itself does: an operation of the gate."""
        found = getattr(self.gate, noun)
        self.tick()
        if self.way == "wsgi":
            return getattr(found, operation)(*args, **named)
        return self.run(getattr(found, f"a{operation}"), *args, **named)

    def tick(self) -> None:
        """A moment passes, so that what is told has an order."""
        self.clock.now += 0.001

    def call(self, authority: Authority) -> Call:
        return Call(authority, inline if self.way == "wsgi" else pooled, "192.0.2.1", "req_1")

    def manager(self, organization: str | None = "one", scopes: Any = MANAGER, **members: Any) -> Authority:
        """A managing key."""
        made = self.host("keys", "create", "manager", organization_id=organization, scopes=scopes, **members)
        return authority_of(made.key.principal)

    def key(self, organization: str | None = "one", **members: Any) -> Any:
        """The record of a key that the service has made."""
        return self.host("keys", "create", **{"name": "key", "organization_id": organization} | members).key

    def project(self, organization: str = "one", **values: Any) -> Any:
        return self.host("projects", "create", "project", organization_id=organization, **values).project

    def told(self, **wanted: Any) -> list[tuple[str, str]]:
        """The events of the audit and the ids of their targets, the oldest first."""
        listed = self.gate.audit if self.way == "wsgi" else lambda **named: self.run(self.gate.aaudit, **named)
        return [(entry.event, entry.targets[0].id) for entry in reversed(listed(**wanted))]


class _Nouns:
    def __init__(self, desk: Desk, noun: str) -> None:
        self._desk, operations = desk, Operations(desk.gate)
        self._inner = getattr(operations, noun) if noun else operations

    def __getattr__(self, name: str) -> Callable[..., Any]:
        operation = getattr(self._inner, name)

        def call(who: Authority, *args: Any, **named: Any) -> Any:
            self._desk.tick()
            return self._desk.run(operation, self._desk.call(who), *args, **named)

        return call


def session(organizations: Any = ("one",), may: Any = ("keys:manage", "audit:read"), **values: Any) -> Authority:
    """A person whom the host has logged in."""
    own = organizations if organizations is ALL else frozenset(organizations)
    return Authority(id="u1", name="Ann", organization_ids=own, may=frozenset(may), **values)


@contextmanager
def desk(way: tuple[str, str], folder: Any, request: pytest.FixtureRequest, **settings: Any) -> Iterator[Desk]:
    """A desk over a store of this kind."""
    store, door = way
    makes: dict[str, Callable[[], Any]] = {
        "postgresql": lambda: emptied(request.getfixturevalue("postgres_url")),
        "redis": lambda: redis_stores.patient(redis_stores.emptied("valkey")),
    }
    found = Desk(makes[store]() if store in makes else STORES[store](folder), door, **settings)
    try:
        yield found
    finally:
        if found.gate.needs_await or door != "wsgi":
            found.run(found.gate.aclose)
        else:
            found.gate.close()
