"""Blocking work is done off the event loop; a tool that looks for blocking calls (blockbuster) agrees."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from blockbuster import BlockBuster, blockbuster_ctx

from keystile import Gate, HmacHasher, Plan, _sync
from keystile.asgi import GateMiddleware
from keystile.exceptions import StoreBusy
from keystile.stores.sqlite import IN_PLACE, SQLiteStore
from tests.doors import Host, asgi_scope


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    url = f"sqlite:///{tmp_path}/keys.db"
    plans = {"free": Plan("1000/minute")}
    gate = Gate(url, limiter=url, prefix="acme", hasher=HmacHasher(b"p" * 16), plans=plans, default_plan="free")
    yield gate
    gate.close()


def statuses(gate: Gate, secret: str, count: int, between: Callable[[], Any] = int) -> list[int]:
    """Those of requests one after the other, on one event loop."""
    door = GateMiddleware(Host().asgi, gate)
    found: list[int] = []

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            found.append(message["status"])

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def serve() -> None:
        for _ in range(count):
            await door(asgi_scope("GET", "/", [("x-api-key", secret)], None), receive, send)
            await anyio.to_thread.run_sync(between)

    anyio.run(serve)
    return found


def declare(tool: BlockBuster) -> None:
    """As a test suite does it that has a gate with SQLite behind its app."""
    for name, function in tool.functions.items():
        if name.startswith(("sqlite3.", "os.stat")):
            for file, functions in IN_PLACE:
                function.can_block_in(file, functions)


def test_a_file_is_opened_off_the_event_loop_and_read_in_place(gate: Gate) -> None:
    issued = gate.keys.create("key")
    with blockbuster_ctx() as tool:
        declare(tool)
        # Nothing is open after each close, and again the next request finds that.
        assert statuses(gate, issued.secret, 4, gate.close) == [200] * 4
        assert statuses(gate, issued.secret, 4) == [200] * 4
    assert _sync.settled()


def test_a_file_that_was_replaced_is_closed_off_the_event_loop_too(gate: Gate, tmp_path: Path) -> None:
    issued = gate.keys.create("key")
    path, copy = tmp_path / "keys.db", tmp_path / "copy.db"

    def replace() -> None:
        gate._shop.store._file.rows("VACUUM INTO ?", (str(copy),))  # type: ignore[attr-defined]
        for end in ("-wal", "-shm"):
            path.with_name(path.name + end).unlink()
        copy.replace(path)

    with blockbuster_ctx() as tool:
        declare(tool)
        assert statuses(gate, issued.secret, 3, replace) == [200] * 3
    assert _sync.settled()


def test_where_it_is_not_declared_the_log_says_what_was_forbidden(gate: Gate, caplog: pytest.LogCaptureFixture) -> None:
    issued = gate.keys.create("key")
    with blockbuster_ctx():
        assert statuses(gate, issued.secret, 2) == [503] * 2
    [down] = [record for record in caplog.records if "store_down" in record.getMessage()]
    assert "BlockingError: Blocking call to " in down.getMessage()
    assert statuses(gate, issued.secret, 1) == [200]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_on_an_event_loop_a_file_is_opened_only_for_who_waits(backend: str, tmp_path: Path) -> None:
    async def use() -> None:
        # Code that builds a store, or calls a blocking function, has chosen to wait.
        store = SQLiteStore(tmp_path / "keys.db")
        assert store.find("x") is None
        store.close()
        with pytest.raises(StoreBusy, match="off the event loop"):
            store.find("x")
        assert _sync.patiently(5, store.find, "x") is None
        assert store.find("x") is None
        store.close()
        assert await anyio.to_thread.run_sync(store.find, "x") is None
        store.close()

    anyio.run(use, backend=backend)
    store = SQLiteStore(tmp_path / "keys.db")
    store.close()
    assert store.find("x") is None
    store.close()


def test_the_blocking_twins_block_wherever_they_are_called(gate: Gate) -> None:
    async def use() -> str:
        gate.close()
        return gate.keys.get(gate.keys.create("key").key.id).name

    assert anyio.run(use) == "key"
