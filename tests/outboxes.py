"""Outboxes for tests: in SQLite and in PostgreSQL, called by their blocking names and by their awaited twins."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from anyio.from_thread import start_blocking_portal

from keystile.webhooks import Targets
from keystile.webhooks.outbox import Claimed, Next, Outbox, metadata, new_key
from keystile.webhooks.sending import Attempt
from tests.selection import some
from tests.sql_stores import new_database

KEY = new_key()
START = 1_800_000_000.0
KINDS = some(["sqlite", "sqlite awaited", "postgresql", "postgresql awaited"], "sqlite", "postgresql awaited")
TARGETS = Targets(allow_networks=["127.0.0.1"], allow_http=True, allow_ports=[8080])
ARRIVED, REFUSED = Attempt(204, seconds=0.25, shown="ok"), Attempt(500)
_migrated: dict[str, str] = {}


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


class Box:
    """An outbox as the tests call it: always by its plain names, whichever twin that runs.

    Args:
        inner: the outbox, or its endpoints.
        url: of its database.
        clock: its clock.
        run: runs an awaited operation; None calls the blocking one.
    """

    def __init__(self, inner: Any, url: str, clock: Clock, run: Callable[..., Any] | None = None) -> None:
        self.inner, self.url, self.clock, self._run = inner, url, clock, run

    def __getattr__(self, name: str) -> Any:
        if name == "endpoints":
            return Box(self.inner.endpoints, self.url, self.clock, self._run)
        if self._run is None:
            return getattr(self.inner, name)
        return lambda *args, **named: self._run(partial(getattr(self.inner, f"a{name}"), *args, **named))

    def endpoint(self, organization_id: str = "org_1", **named: Any) -> Any:
        """An endpoint of an organization."""
        url = named.pop("url", "https://hooks.example/in")
        return self.endpoints.create(url, organization_id=organization_id, **named).endpoint

    def send(self, type: str = "invoice.paid", data: Any = None, organization_id: str = "org_1", **named: Any) -> str:
        """The id of a message that was added."""
        found: str = self.add(type, {"id": 1} if data is None else data, organization_id=organization_id, **named)
        return found

    def take(self, worker_id: str = "worker", most: int = 64, **named: Any) -> list[Claimed]:
        """What this worker is given now."""
        return list(self.claim(worker_id, most, now=self.clock.now, **named))

    def end(self, claimed: Claimed, then: Next | None = None, attempt: Attempt = ARRIVED) -> Any:
        """What finishing gives."""
        return self.finish(claimed, attempt, then or Next.done(), now=self.clock.now)

    def states(self, endpoint_id: str) -> list[str]:
        """Of its deliveries, the oldest first."""
        return [each.state for each in reversed(self.deliveries(endpoint_id))]

    @contextmanager
    def engine(self) -> Iterator[sa.Engine]:
        """The host's own way to the database."""
        engine = sa.create_engine(host_url(self.url))
        try:
            yield engine
        finally:
            engine.dispose()

    def rows(self, statement: str) -> list[Any]:
        """What a statement gives."""
        with self.engine() as engine, engine.connect() as connection:
            return list(connection.exec_driver_sql(statement).all())


def host_url(url: str) -> str:
    """The URL as SQLAlchemy's own."""
    return url.replace("postgresql://", "postgresql+psycopg://")


def emptied_outbox(server: str) -> str:
    """The URL of a database with empty tables of the outbox: always the same one for a server."""
    if server not in _migrated:
        url = new_database(server)
        Outbox(url, KEY).migrate()
        _migrated[server] = url
    url = _migrated[server]
    engine = sa.create_engine(host_url(url))
    with engine.begin() as connection:
        for table in metadata.sorted_tables:
            connection.execute(sa.delete(table))
    engine.dispose()
    return url


@contextmanager
def outbox_of(kind: str, request: pytest.FixtureRequest, folder: Path, **named: Any) -> Iterator[Box]:
    """An empty outbox of this kind."""
    clock = Clock()
    if kind.startswith("postgresql"):
        url = emptied_outbox(request.getfixturevalue("postgres_url"))
    else:
        url = f"sqlite:///{folder / 'outbox.db'}"
    inner = Outbox(url, KEY, targets=TARGETS, clock=clock, **named)
    try:
        if kind.endswith(("awaited", "trio")):
            with start_blocking_portal("trio" if kind.endswith("trio") else "asyncio") as portal:
                yield Box(inner, url, clock, portal.call)
                portal.call(inner.aclose)
        else:
            yield Box(inner, url, clock)
    finally:
        inner.close()
