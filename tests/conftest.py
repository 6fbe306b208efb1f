"""Fixtures that more than one module uses."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from keystile import Argon2Hasher, Gate
from keystile.stores.memory import MemoryStore
from keystile.stores.sqlite import SQLiteStore
from tests.async_store import AsyncStore
from tests.doors import Door
from tests.leaks import no_leak, watching
from tests.redis_server import redis62_url, redis_server, redis_url
from tests.selection import needs, often, reasons, some

__all__ = ["no_leak", "redis62_url", "redis_server", "redis_url", "watching"]


# Of the properties that do not say it themselves.
settings.register_profile("keystile", settings(), max_examples=often(40, 100))
settings.load_profile("keystile")

# Whoever started the tests in the background, or with nohup, had these ignored, and servers here would inherit that.
for _ended_by in (signal.SIGHUP, signal.SIGINT):
    if signal.getsignal(_ended_by) is signal.SIG_IGN:
        signal.signal(_ended_by, signal.SIG_DFL if _ended_by is signal.SIGHUP else signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what `tests.selection` says."""
    left_out, kept, gone = reasons(os.environ).keys(), [], []
    for item in items:
        (gone if needs(item) & left_out else kept).append(item)
    config.hook.pytest_deselected(items=gone)
    items[:] = kept


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was left out, and why."""
    for reason in reasons(os.environ).values():
        terminalreporter.write_line(f"left out: {reason}")


class BlockingStore(MemoryStore):
    """A store whose calls go to the worker pool, as a synchronous database driver's do."""

    blocking = True


@pytest.fixture
def cheap_hasher() -> Argon2Hasher:
    """Argon2id with the lowest parameters: the tests need its behaviour, not its cost."""
    return Argon2Hasher(memory_kib=8, time_cost=1)


STORES: dict[str, Callable[[Path], Any]] = {
    "memory": lambda _: MemoryStore(),
    "sqlite": lambda folder: SQLiteStore(folder / "keys.db"),
    "async": lambda _: AsyncStore(),
    "pool": lambda _: BlockingStore(),
}

# Usually: each door, each loop, each kind of store.
DOORS = some(
    [
        *(("asyncio", store) for store in STORES),
        *(("trio", store) for store in ("memory", "async", "pool")),
        *(("wsgi", store) for store in ("memory", "sqlite", "pool")),
    ],
    ("asyncio", "memory"),
    ("asyncio", "sqlite"),
    ("trio", "async"),
    ("wsgi", "sqlite"),
)

# Where lanes admit nobody, every request goes through the order of checks.
WITHOUT_LANES = some([("asyncio", "memory", "without lanes"), ("wsgi", "sqlite", "without lanes")])


@pytest.fixture(params=[*DOORS, *WITHOUT_LANES], ids="-".join)
def door(request: pytest.FixtureRequest, tmp_path: Path, cheap_hasher: Argon2Hasher) -> Iterator[Door]:
    """Every way through the gate: both protocols, both event loops, each kind of store; with lanes and without."""
    kind, store, *without = request.param
    opened: list[Gate] = []
    shared = STORES[store](tmp_path)

    def make(**settings: Any) -> Gate:
        opened.append(gate := Gate(**{"store": shared, "prefix": "acme", "hasher": cheap_hasher} | settings))
        if without:
            gate.admit = None
        return gate

    yield Door(make, kind)
    for gate in opened:
        if not gate.needs_await:
            gate.close()
