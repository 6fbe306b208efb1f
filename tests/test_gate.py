"""What a gate refuses when it is built, and what it survives when a store holds nonsense."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest

from keystile import Argon2Hasher, ConfigurationError, Gate, HmacHasher, KeyNotFound, Refused, Rule, _sync
from keystile.model import ApiKey, Request
from keystile.stores.memory import MemoryStore
from tests.async_store import AsyncStore

PEPPERS = ["p" * 16]


class HalfAsync(MemoryStore):
    async def touch(self, key_id: str, at: Any) -> None: ...  # type: ignore[override]


class Promising(MemoryStore):
    """Plain by its looks, yet what it gives must be awaited."""

    blocking = True

    def find(self, key_id: str) -> Any:
        return _Awaitable()


class _Awaitable:
    def __await__(self) -> Any:
        yield


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"limits": "60/minute"}, "limits"),
        ({"envelope": "yes"}, "envelope"),
        ({"page_style": {}}, "page_style"),
        ({"cursor_secrets": [1]}, "cursor_secrets"),
        ({"public_url": 1}, "public_url"),
        ({"https": "redirect"}, "https"),
        ({"trusted_proxies": "10.0.0.1"}, "trusted_proxies"),
        ({"store": MemoryStore}, "store"),
        ({"store": object()}, "store"),
        ({"store": "memory://user:pw@host"}, "store"),
        ({"store": "postgresql://user:hunter2@host/db"}, "store"),
        ({"store": "hunter2"}, "store"),
        ({"store": HalfAsync()}, "store"),
        ({"prefix": 7}, "prefix"),
        ({"prefix": ""}, "prefix"),
        ({"accept_crc": "no", "peppers": PEPPERS}, "accept_crc"),
        ({"accept_crc": True}, "accept_crc"),
        ({"peppers": "p" * 16}, "peppers"),
        ({"peppers": ["short"]}, "peppers"),
        ({"peppers": [16]}, "peppers"),
        ({"hasher": "md5"}, "hasher"),
        ({"hasher": "hmac-sha256"}, "hasher"),
        ({"hasher": Argon2Hasher}, "hasher"),
        ({"hasher": object()}, "hasher"),
        ({"key_format": object()}, "key_format"),
        ({"key_format": Gate()._shop.key_format, "prefix": "acme"}, "prefix"),
        ({"key_format": Gate()._shop.key_format, "accept_crc": True}, "accept_crc"),
        ({"clock": 5}, "clock"),
        ({"public": "/health"}, "public"),
        ({"public": ["/a b"]}, "public[0]"),
        ({"rules": [Rule("/x", scopes=["a"]), Rule("/x", public=True)]}, "rules[1]"),
        ({"rules": [Rule("/x", scopes=["a"])], "public": ["/x"]}, "public[0]"),
    ],
)
def test_a_setting_that_cannot_hold_is_refused_when_the_gate_is_built(settings: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Gate(**settings)
    assert caught.value.key == key
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("match", [" /x", "/x ", "GET  /x", "get /x", "GET", "", "x", "/a b", "GET /a b", "\t/x"])
def test_a_match_has_one_spelling(match: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Rule(match)
    assert caught.value.key == "match"


def check(gate: Gate, secret: str, peer: str | None = "127.0.0.1") -> Any:
    request = Request("GET", "/v1", b"", [(b"x-api-key", secret.encode())], peer)
    return _sync.run_now(gate.check(request, _sync.inline))


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("ip_allowlist", "[]"),
        ("ip_allowlist", '["x"]'),
        ("ip_allowlist", "5"),
        ("scopes", "null"),
        ("scopes", "{"),
        ("hashes", "[[1]]"),
        ("expires_at", "tomorrow"),
        ("metadata", "\x00"),
    ],
)
def test_a_record_that_makes_no_sense_opens_nothing_and_breaks_nothing(tmp_path: Path, column: str, value: str) -> None:
    gate = Gate(f"sqlite:///{tmp_path}/keys.db", hasher=HmacHasher(b"p" * 16), rules=[Rule("/v1", scopes=["a"])])
    issued, other = gate.keys.create("broken", scopes=["a"]), gate.keys.create("good", scopes=["a"])
    assert not isinstance(check(gate, issued.secret), Refused)
    gate.flush()
    with sqlite3.connect(tmp_path / "keys.db") as connection:
        connection.execute(f"UPDATE keystile_keys SET {column} = ? WHERE id = ?", (value, issued.key.id))
    connection.close()
    assert check(gate, issued.secret).reason.status == 503 or check(gate, issued.secret).reason.status == 403
    assert not isinstance(check(gate, other.secret), Refused)
    gate.close()


def test_a_last_use_that_makes_no_sense_is_met_by_whoever_reads_the_record_anew(tmp_path: Path) -> None:
    gates = [Gate(f"sqlite:///{tmp_path}/keys.db", hasher=HmacHasher(b"p" * 16)) for _ in range(2)]
    issued = gates[0].keys.create("broken")
    assert not isinstance(check(gates[0], issued.secret), Refused)
    gates[0].flush()
    with sqlite3.connect(tmp_path / "keys.db") as connection:
        connection.execute("UPDATE keystile_keys SET last_used_at = 'yesterday'")
    connection.close()
    # A use is no change of the record, and nothing about it decides.
    assert not isinstance(check(gates[0], issued.secret), Refused)
    assert check(gates[1], issued.secret).reason.status == 503
    for gate in gates:
        gate.close()


def test_a_store_whose_plain_methods_give_awaitables_is_down() -> None:
    gate = Gate(Promising(), hasher=HmacHasher(b"p" * 16))
    assert check(gate, gate._shop.key_format.mint("production", "a".__mul__)).reason.code == "unavailable"


def test_keys_survive_the_rotation_of_a_pepper() -> None:
    store = MemoryStore()
    old, new = "o" * 16, "n" * 16
    issued = Gate(store, hasher="hmac-sha256", peppers=[old]).keys.create("key")
    gate = Gate(store, hasher="hmac-sha256", peppers=[new, old])
    assert not isinstance(check(gate, issued.secret), Refused)
    assert _sync.settled()
    record: ApiKey | None = store.find(issued.key.id)
    assert record is not None
    assert record.hashes != issued.key.hashes
    assert HmacHasher(new.encode()).verify(record.hashes[0].hash, issued.secret.encode())
    assert check(Gate(store, hasher="hmac-sha256", peppers=[new]), issued.secret).reason.code == "invalid_api_key"


def test_a_key_in_the_place_of_an_id_is_not_repeated() -> None:
    gate = Gate(hasher=HmacHasher(b"p" * 16))
    secret = gate.keys.create("key").secret
    for operation in (gate.keys.get, gate.keys.revoke):
        with pytest.raises(KeyNotFound) as caught:
            operation(secret)
        assert secret not in str(caught.value) + repr(caught.value) + repr(vars(caught.value))


def test_a_request_shows_no_credential() -> None:
    assert "acme_live" not in repr(Request("GET", "/", b"", [(b"x-api-key", b"acme_live_x")], None))


def test_long_methods_are_not_remembered() -> None:
    gate = Gate()
    for number in range(100):
        gate._order._rules.demand("X" * 50_000 + str(number), "/v1")
    assert not gate._order._rules.met


def test_whoever_is_cancelled_leaves_the_pool_as_bounded_as_it_was() -> None:
    pool = _sync.Pool(slots=1, queue=2)
    release = threading.Event()

    async def go() -> list[int]:
        tasks = [asyncio.create_task(_sync.pooled.run(pool, release.wait, 10)) for _ in range(3)]
        await asyncio.sleep(0.05)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        inside = [pool._inside]
        release.set()
        while pool._inside:  # noqa: ASYNC110 - threads know no events
            await asyncio.sleep(0.001)
        return inside

    [inside] = asyncio.run(go())
    assert inside >= 1


def test_background_work_waits_when_the_system_has_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    background = _sync.background._Background()  # type: ignore[attr-defined]
    done: list[int] = []
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        background.add(lambda: done.append(1))
    ready = threading.Event()
    background.add(ready.set)
    assert ready.wait(5)
    assert done == [1]


def test_a_lock_is_free_in_a_forked_child() -> None:
    lock = _sync.Lock()
    with lock:
        child = os.fork()
        if child == 0:
            with lock:
                os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


async def close(gate: Gate) -> None:
    await gate.aclose()


def test_a_gate_is_closed_as_its_store_wants_it() -> None:
    Gate().close()
    asyncio.run(close(Gate()))
    gate = Gate(AsyncStore())
    with pytest.raises(ConfigurationError, match="await aclose"):
        gate.close()
    asyncio.run(close(gate))
