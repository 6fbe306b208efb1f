"""Schedules for races in the proof path: requests that stop where the test wants them to, on every kind of host.

A `HeldHasher` stops each proof at a gate of the test's; an `Actor` is one request on its way. What a test waits for is
a state, never a moment, so that no schedule needs luck.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from anyio.from_thread import start_blocking_portal

from keystile import Gate, _sync
from keystile.keys.format import crc_check
from keystile.model import Refused, Request

# How long a state may take to come about before a test fails; nothing ever waits that long.
PATIENCE = 20.0
KINDS = ["asyncio", "trio", "wsgi"]


def until(state: Callable[[], object]) -> None:
    """Return as soon as this holds."""
    deadline = time.monotonic() + PATIENCE
    while not state():
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.001)


def wrong(secret: str, number: int = 0) -> str:
    """The same id, another secret, and a right check."""
    body = f"{secret[:-38]}{number:032d}"
    return body + crc_check(body.encode())


class HeldHasher:
    """A hasher whose proofs wait until the test lets them go.

    Attributes:
        held: whether proofs wait at all.
        runs: the raw key of each proof that began, in their order.
        stale: stored hashes that are to be made anew.
    """

    blocking = True

    def __init__(self) -> None:
        self.held = False
        self.runs: list[bytes] = []
        self.stale: set[str] = set()
        self.under_way = self.most = self._salt = 0
        self._lock = threading.Condition()
        self._begun = self._let_go = 0

    def hash(self, raw: bytes) -> str:
        self._salt += 1
        return self._mark(str(self._salt), raw)

    def verify(self, stored: str, raw: bytes) -> bool:
        with self._lock:
            self.runs.append(bytes(raw))
            self.under_way += 1
            self.most = max(self.most, self.under_way)
            self._begun, turn = self._begun + self.held, self._begun
        try:
            with self._lock:  # in the order in which they began: no newcomer takes what another waits for
                assert self._lock.wait_for(lambda: not self.held or turn < self._let_go, PATIENCE), "nobody let it go"
            return stored == self._mark(stored.split("$")[2], raw)
        finally:
            with self._lock:
                self.under_way -= 1

    def needs_rehash(self, stored: str) -> bool:
        return stored in self.stale

    def decoy(self) -> str:
        return "$held$0$"

    def let_go(self, count: int = 1) -> None:
        """Let so many proofs end: the ones that wait, or the next ones."""
        with self._lock:
            self._let_go += count
            self._lock.notify_all()

    def open(self) -> None:
        """Let all proofs end, from now on at once."""
        with self._lock:
            self.held = False
            self._lock.notify_all()

    @staticmethod
    def _mark(salt: str, raw: bytes) -> str:
        return f"$held${salt}${hashlib.sha256(salt.encode() + raw).hexdigest()}"


class Actor:
    """One request on its way through a gate."""

    def __init__(self, future: Future[Any]) -> None:
        self._future = future

    @property
    def code(self) -> str:
        """How it ended: ``"ok"``, or the code of its refusal."""
        outcome = self._future.result(PATIENCE)
        return outcome.reason.code if isinstance(outcome, Refused) else "ok"

    @property
    def done(self) -> bool:
        return self._future.done()

    def hang_up(self) -> None:
        """Have the server cancel it, as it does when its client goes away."""
        assert self._future.cancel()


class Host:
    """Runs requests at once, as a server does.

    Args:
        kind: of `KINDS`.
        start: begins one.
        close: lets go of what a gate opened for them.
    """

    def __init__(
        self, kind: str, start: Callable[[Gate, Request], Future[Any]], close: Callable[[Gate], object]
    ) -> None:
        self.kind, self._start, self.close = kind, start, close

    def ask(self, gate: Gate, secret: str, peer: str | None = "192.0.2.1") -> Actor:
        return Actor(self._start(gate, Request("GET", "/v1", b"", [(b"x-api-key", secret.encode())], peer)))


@contextmanager
def hosting(kind: str, threads: int = 100) -> Iterator[Host]:
    """A host of this kind: an event loop in a thread of its own, or threads."""
    if kind == "wsgi":
        with ThreadPoolExecutor(threads) as pool:
            yield Host(kind, lambda gate, request: pool.submit(in_thread, gate, request), Gate.close)
        return
    with start_blocking_portal(kind) as portal:

        def start(gate: Gate, request: Request) -> Future[Any]:
            return portal.start_task_soon(gate.check, request, _sync.pooled)

        yield Host(kind, start, lambda gate: portal.call(gate.aclose) if kind == "asyncio" else gate.close())


def in_thread(gate: Gate, request: Request) -> Any:
    return _sync.run_now(gate.check(request, _sync.inline))
