"""What key stores cost: finding a key, warm and cold, called and awaited; pages of a list and of the audit; usage.

    python -m benchmarks.stores [--keys 10000] [--rounds 5] [memory sqlite postgresql://… redis://… …]

Each store holds 1,000 keys, then ten times as many, up to `--keys`, and for each of them an entry in the audit; a
million take a minute or more to write. Warm are the same 100 keys in turn, cold is each key's first `find` after the
store was opened. Awaited is as under the ASGI door: by the store's twin for asyncio, in place where the store says so,
else from a pool of threads. Any store is measured whose URL is given; it must have no keys yet, and is left filled.
Tables that are missing are made.

Pages have 100 keys: the first and the last of all, one of those that are expired (there are none), and one of those
that have a word in their names (only the last key has). A page of the audit is of one key.
"""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

import anyio

from keystile import ConfigurationError
from keystile._sync import Pool, adapt, is_async, pooled
from keystile.keys.usage.counting import BATCH
from keystile.model import Counted, Used
from keystile.stores import AuditFilter, KeyFilter, migration_of, open_store

from .filling import T0, fill, key_id
from .harness import parser

WARM, COLD, PAGE = 100, 500, 100
Times = dict[str, float]


def called(method: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]) -> float:
    """Microseconds a call."""
    begun = time.perf_counter()
    for each in arguments:
        method(*each)
    return (time.perf_counter() - begun) / len(arguments) * 1e6


async def waited(store: Any, name: str, arguments: Sequence[tuple[Any, ...]], *, blocking: bool = True) -> float:
    """The same for a method of a store, awaited as the ASGI door does."""
    twin = getattr(store, "for_asyncio", lambda: None)()
    awaited = None if twin is None else getattr(twin, name)
    found = adapt(getattr(store, name), Pool(8, 256), blocking=blocking, patience=5, awaited=awaited)
    begun = time.perf_counter()
    for each in arguments:
        await found(pooled, *each)
    return (time.perf_counter() - begun) / len(arguments) * 1e6


async def closed(store: Any) -> None:
    """Close a store, and its twin for asyncio."""
    twin = getattr(store, "for_asyncio", lambda: None)()
    for each in (store, twin):
        ending = None if each is None else each.close()
        if ending is not None:
            await ending


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
        found["cold, awaited"] = await waited(store, "find", some, blocking=blocking)
    found["warm, awaited"] = await waited(store, "find", warm, blocking=blocking)
    await closed(store)
    return found


async def paging(store: Any, number: int) -> Times:
    """Pages of keys, and of the audit, in µs a page."""
    every, last = KeyFilter(), key_id(number - PAGE - 1)
    pages = {
        "page 1": (every, None),
        f"page {number // PAGE}": (every, last),
        "expired": (KeyFilter(state=("expired", T0)), None),
        "search": (KeyFilter(search=f"Y {number - 1}"), None),
    }
    found: Times = {}
    for name, each in pages.items():
        with suppress(ConfigurationError):  # that is too much for one page, and refused
            found[name] = await waited(store, "list", [(*each, PAGE)] * 3)
    of_one = AuditFilter(target=key_id(number // 2))
    return found | {"audit": await waited(store, "list_audit", [(of_one, None, PAGE)] * 3)}


async def writing(store: Any, hour: int) -> Times:
    """Usage of keys of which nothing was written before, and again, in µs a key."""
    ids = [key_id(each) for each in range(BATCH)]
    counts = [Counted(each, hour, "admitted", 7) for each in ids]
    times = []
    for minutes in (hour * 60, hour * 60 + 2):
        uses = [Used(each, T0 + timedelta(minutes=minutes), graced=False) for each in ids]
        times.append(await waited(store, "add_usage", [(counts, uses)]) / len(ids))
    return {"usage, first": times[0], "usage, more": times[1]}


_memory: dict[str, Any] = {}


async def measured(url: str, most: int, rounds: int) -> None:
    migrate = migration_of(url)
    if migrate is not None:
        migrate(lambda *_told: None, False)
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
    await closed(store)


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
