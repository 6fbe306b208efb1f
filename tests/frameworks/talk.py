"""What a case works with: one server with its little app, and the keys."""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.doors import Answer
from tests.frameworks.kinds import Kind
from tests.servers import Server, stop

ORIGIN = "https://page.example"


@dataclass(frozen=True)
class Keys:
    """Secrets: one that may do everything, and one without scopes."""

    good: str
    plain: str


@dataclass(frozen=True)
class Talk:
    """A conversation with one server.

    Attributes:
        log: what the server and the app write.
        notes: a line for each start and each end of the app.
        helped: what came of the helper of tests, in a process of its own.
    """

    kind: Kind
    server: Server
    keys: Keys
    log: Path
    notes: Path
    helped: str = ""

    def get(self, path: str, key: str | None = "good", method: str = "GET", body: Any = None, **headers: str) -> Answer:
        return self.server.get(path, self.headers(key, **headers), method, body)

    def headers(self, key: str | None = "good", **more: str) -> dict[str, str]:
        sent = {} if key is None else {"X-API-Key": getattr(self.keys, key)}
        return sent | {name.replace("_", "-"): value for name, value in more.items()}

    @contextmanager
    def answering(self, path: str) -> Iterator[http.client.HTTPResponse]:
        """An answer whose body has yet to be read."""
        with self.server.connection() as connection:
            connection.request("GET", path, headers=self.headers())
            yield connection.getresponse()

    def noted(self) -> list[str]:
        return self.notes.read_text().split() if self.notes.exists() else []

    def eventually(self, path: str, member: str) -> Any:
        """A member of an answer's data, as soon as it is there."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if found := self.get(path).json["data"][member]:
                return found
            time.sleep(0.02)
        raise AssertionError(f"{path} never said {member}")

    def end(self) -> None:
        stop(self.server.process)
