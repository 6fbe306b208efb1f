"""What key stores cost: finding a key, warm and cold, called and awaited; pages of a list; writing usage.

    python -m benchmarks.stores [--keys 10000] [--rounds 5] [sqlite postgresql://… …]

Each store holds 1,000 keys, then ten times as many, up to `--keys`; a million take some minutes to write. Warm are the
same 100 keys in turn, cold is each key's first `find` after the store was opened. Awaited is as under the ASGI door: in
place where the store says so, else from a pool of threads. Any store is measured whose URL is given; it must be empty,
and is left filled.
"""

from __future__ import annotations

import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
from keystile.stores.sqlite.rows import key_row

from keystile._sync import Pool, adapt, is_async, pooled
from keystile.keys.usage.counting import BATCH
from keystile.model import Actor, ApiKey, AuditEntry, Counted, SecretHash, Target, Used
from keystile.stores import KeyFilter, open_store
from keystile.stores.sqlite.schema import KEY_COLUMNS

from .harness import parser

T0 = datetime(2026, 1, 15, tzinfo=UTC)
WARM, COLD, PAGE = 100, 500, 100
HASH = SecretHash("$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$" + "a" * 43, "aaaa")
Times = dict[str, float]


def key_id(number: int) -> str:
    return f"{number:012d}"


def keys(first: int, end: int) -> Iterator[ApiKey]:
    for number in range(first, end):
        made = T0 + timedelta(seconds=number)
        yield ApiKey(id=key_id(number), name=f"key {number}", created_at=made, hashes=(HASH,), scopes=("read", "write"))


async def fill(url: str, store: Any, first: int, end: int) -> None:
    """Write keys; into SQLite in one transaction, because each of ours waits for the disk."""
    if url.startswith("sqlite:"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection, connection:
            marks = ", ".join("?" * len(KEY_COLUMNS))
            statement = f"INSERT INTO keystile_keys ({', '.join(KEY_COLUMNS)}) VALUES ({marks})"
            connection.executemany(statement, map(key_row, keys(first, end)))
        return
    for number, key in enumerate(keys(first, end), first):
        target = Target("key", key.id, key.name)
        entry = AuditEntry(
            id=f"aud_{number:026d}",
            at=T0,
            event="key.create",
            actor=Actor(),
            organization_id=None,
            targets=(target,),
            correlation_id=f"aud_{number:026d}",
        )
        found = store.add(key, [entry])
        if is_async(store.add):
            await found


def called(method: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]) -> float:
    """Microseconds a call."""
    begun = time.perf_counter()
    for each in arguments:
        method(*each)
    return (time.perf_counter() - begun) / len(arguments) * 1e6


async def waited(method: Callable[..., Any], arguments: Sequence[tuple[Any, ...]], *, blocking: bool) -> float:
    """The same, awaited as the ASGI door does."""
    found = adapt(method, Pool(8, 256), blocking=blocking, patience=5)
    begun = time.perf_counter()
    for each in arguments:
        await found(pooled, *each)
    return (time.perf_counter() - begun) / len(arguments) * 1e6


async def finding(url: str, number: int, dice: random.Random) -> Times:
    """`find`, in a store that was just opened."""
    store: Any = open_store(url) if not url.startswith("memory:") else _memory[url]
    blocking = getattr(store, "blocking", True)
    some = [(key_id(each),) for each in dice.sample(range(number), min(COLD, number))]
    warm = some[:WARM] * 10
    found: Times = {}
    if not is_async(store.find):
        found["cold"] = called(store.find, some)
        found["warm"] = called(store.find, warm)
    else:
        found["cold, awaited"] = await waited(store.find, some, blocking=blocking)
    found["warm, awaited"] = await waited(store.find, warm, blocking=blocking)
    ending = store.close()
    if ending is not None:
        await ending
    return found


async def paging(store: Any, number: int) -> Times:
    """The first and the last page of all keys, in µs a page."""
    wanted, last = KeyFilter(), key_id(number - PAGE - 1)
    pages = {"page 1": None, f"page {number // PAGE}": last}
    return {name: await waited(store.list, [(wanted, each, PAGE)] * 3, blocking=True) for name, each in pages.items()}


async def writing(store: Any, hour: int) -> Times:
    """Usage of keys of which nothing was written before, and again, in µs a key."""
    ids = [key_id(each) for each in range(BATCH)]
    counts = [Counted(each, hour, "admitted", 7) for each in ids]
    times = []
    for minutes in (hour * 60, hour * 60 + 2):
        uses = [Used(each, T0 + timedelta(minutes=minutes), graced=False) for each in ids]
        times.append(await waited(store.add_usage, [(counts, uses)], blocking=True) / len(ids))
    return {"usage, first": times[0], "usage, more": times[1]}


_memory: dict[str, Any] = {}


async def measured(url: str, most: int, rounds: int) -> None:
    store: Any = open_store(url)
    _memory[url] = store
    written, number, dice = 0, 1000, random.Random(7)
    while number <= most:
        await fill(url, store, written, number)
        written = number
        samples: dict[str, list[float]] = {}
        for turn in range(rounds):
            found = await finding(url, number, dice) | await paging(store, number)
            found |= await writing(store, written + turn)
            for name, value in found.items():
                samples.setdefault(name, []).append(value)
        name = f"{url.partition(':')[0]}, {number:,} keys"
        shown = [f"{what} {statistics.median(each):,.1f}" for what, each in samples.items()]
        print(f"{name:26}{'   '.join(shown)}", flush=True)
        number *= 10


def main() -> None:
    options = parser(__doc__, rounds=5)
    options.add_argument("--keys", type=int, default=10_000, help="how many keys a store holds at most")
    options.add_argument("stores", nargs="*", default=["memory", "sqlite"], help="memory, sqlite, or a URL")
    given = options.parse_args()
    print(f"µs a find, µs a page of 100, µs a key whose usage is written {BATCH} at a time; medians")
    with tempfile.TemporaryDirectory() as folder:
        own = {"memory": "memory://", "sqlite": f"sqlite:///{folder}/keys.db"}
        for each in given.stores:
            anyio.run(measured, own.get(each, each), given.keys, given.rounds)


if __name__ == "__main__":
    main()
