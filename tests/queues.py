"""An outbox with endpoints that are servers of the tests, and workers on it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from keystile.events import Event
from keystile.gate import Gate
from keystile.webhooks import Scheme, Targets
from keystile.webhooks.outbox import IssuedEndpoint, Outbox, PastAttempt, new_key
from keystile.webhooks.working import Worker
from tests.postgres_server import postgres_url
from tests.receivers import LOOPBACK, Receiver
from tests.sql_stores import new_database, quiet

__all__ = ["postgres_url", "queue"]

ORGANIZATION = "org_1"
PAUSE = 5.0


class Queue:
    """An outbox of one organization.

    Args:
        url: of its database.
    """

    def __init__(self, url: str) -> None:
        self.url, self.key, self.ports = url, new_key(), list[int]()
        self.outbox = self.opened()
        self.outbox.migrate(quiet)
        self.gate = Gate()
        self.issued: list[IssuedEndpoint] = []

    def opened(self) -> Outbox:
        """One more outbox on the same database."""
        targets = Targets(allow_networks=LOOPBACK, allow_ports=self.ports or [443], allow_http=True)
        return Outbox(self.url, self.key, targets=targets)

    def endpoint(
        self, receiver: Receiver, *, host: str = "127.0.0.1", tls: bool = False, header: str | None = None, **named: Any
    ) -> IssuedEndpoint:
        """Have messages sent to this server."""
        self.ports.append(receiver.port)
        self.outbox.close()
        self.outbox = self.opened()
        if header is not None:
            named["scheme"] = Scheme.timestamped(header)
        url = f"{'https' if tls else 'http'}://{host}:{receiver.port}/"
        self.issued.append(self.outbox.endpoints.create(url, organization_id=ORGANIZATION, **named))
        return self.issued[-1]

    def add(self, type: str = "a.b", data: Any = None) -> str:
        """Add a message; its id."""
        return self.outbox.add(type, data or {}, organization_id=ORGANIZATION)

    def worker(self, *, ahead: float = 0.0, **settings: Any) -> Worker:
        """A worker whose clock is so many seconds ahead."""
        return Worker(self.outbox, gate=self.gate, clock=lambda: time.time() + ahead, **settings)

    def work(self, backend: str = "asyncio", **settings: Any) -> list[Event]:
        """Have a worker send what is due; what it told."""
        told: list[Event] = []
        self.gate = Gate()
        self.gate.on_event(told.append)
        anyio.run(self.once, partial(self.worker, **settings), backend=backend)
        return told

    async def once(self, worker: Any) -> None:
        """One worker, until nothing is due."""
        await worker().run(once=True)
        await self.outbox.aclose()

    def states(self) -> dict[str, int]:
        """How many deliveries are in each state."""
        found = [each.state for one in self.issued for each in self.outbox.deliveries(one.endpoint.id, limit=1000)]
        return dict(Counter(found))

    def attempts(self, issued: IssuedEndpoint) -> list[PastAttempt]:
        """All attempts to an endpoint."""
        deliveries = self.outbox.deliveries(issued.endpoint.id, limit=1000)
        return [each for one in deliveries for each in self.outbox.attempts(one.id)]

    def seconds(self, moment: datetime | None) -> float:
        """The same in Unix seconds."""
        assert moment is not None
        return moment.timestamp()


@pytest.fixture
def queue(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Queue]:
    """In SQLite; or as the test asks for by an indirect parameter."""
    kind = getattr(request, "param", "sqlite")
    if kind == "sqlite":
        url = f"sqlite:///{tmp_path}/outbox.db"
    else:
        url = new_database(request.getfixturevalue("postgres_url"))
    made = Queue(url)
    yield made
    made.outbox.close()
