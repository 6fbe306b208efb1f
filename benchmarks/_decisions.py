"""One decision about one of a thousand callers, in each place where windows are kept; beside the library `limits`.

A decision of keystile covers all windows and says where the caller stands in each. `limits` takes a call a window, and
another one each to know that ("usage" below), which is what response headers need.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from limits import RateLimitItemPerDay, RateLimitItemPerMinute, aio, storage, strategies

from keystile.limiters import RateLimiter, subject
from keystile.limiters.memory import MemoryLimiter
from keystile.limiters.redis import AsyncRedisLimiter, RedisLimiter
from keystile.limiters.sqlite import SQLiteLimiter
from keystile.model import Window

Hit = Callable[[str], Any]
AsyncHit = Callable[[str], Awaitable[Any]]
WINDOWS = (Window(10**7, 60), Window(10**9, 86_400))
FULL = (Window(1, 60), Window(10**9, 86_400))
CALLERS = 1000
NAMES = [subject("key", f"AbC{number:09d}") for number in range(CALLERS)]
KINDS = ("SlidingWindowCounter", "MovingWindow")


def items(count: int) -> list[Any]:
    return [RateLimitItemPerMinute(10**7), RateLimitItemPerDay(10**9)][:count]


def keystile_hit(limiter: RateLimiter, windows: tuple[Window, ...]) -> Hit:
    return lambda name: limiter.hit(name, windows, 1)


def limits_hit(strategy: type[strategies.RateLimiter], count: int, kept: Any = None, *, stats: bool = False) -> Hit:
    limiter, windows = strategy(kept or storage.MemoryStorage()), items(count)

    def hit(name: str) -> Any:
        for item in windows:
            limiter.hit(item, name)
        return [limiter.get_window_stats(item, name) for item in windows] if stats else None

    return hit


def limits_async_hit(strategy: Any, count: int, *, stats: bool = False) -> AsyncHit:
    windows = items(count)

    async def hit(name: str) -> Any:
        for item in windows:
            await strategy.hit(item, name)
        return [await strategy.get_window_stats(item, name) for item in windows] if stats else None

    return hit


def plain_cases(folder: Path, url: str | None) -> dict[str, tuple[int, Hit]]:
    """Each with how many calls a round makes."""
    cases: dict[str, tuple[int, Hit]] = {}
    for count in (1, 2):
        cases[f"keystile memory, {count}"] = 8000, keystile_hit(MemoryLimiter(), WINDOWS[:count])
        limiter = SQLiteLimiter(folder / f"{count}.db")
        cases[f"keystile sqlite, {count}"] = 1000, keystile_hit(limiter, WINDOWS[:count])
        if url:
            cases[f"keystile redis, {count}"] = 200, keystile_hit(RedisLimiter.from_url(url), WINDOWS[:count])
    cases["keystile memory, 2, refused"] = 8000, keystile_hit(MemoryLimiter(), FULL)
    for kind in KINDS:
        strategy = getattr(strategies, f"{kind}RateLimiter")
        for count, stats in ((1, False), (2, False), (2, True)):
            name = f"{kind}, {count}{', usage' if stats else ''}"
            cases[f"limits memory {name}"] = 1000, limits_hit(strategy, count, stats=stats)
            if url:
                kept = storage.RedisStorage(url)
                cases[f"limits redis {name}"] = 200, limits_hit(strategy, count, kept, stats=stats)
    return cases


def async_cases(url: str | None) -> dict[str, tuple[int, AsyncHit]]:
    cases: dict[str, tuple[int, AsyncHit]] = {}
    if url:
        ours = AsyncRedisLimiter.from_url(url)
        cases["keystile redis, 2, async"] = 200, lambda name: ours.hit(name, WINDOWS, 1)
    for kind in KINDS:
        strategy = getattr(aio.strategies, f"{kind}RateLimiter")
        for count, stats in ((2, False), (2, True)):
            name = f"{kind}, {count}{', usage' if stats else ''}, async"
            memory = strategy(aio.storage.MemoryStorage())
            cases[f"limits memory {name}"] = 1000, limits_async_hit(memory, count, stats=stats)
            if url:
                kept = strategy(aio.storage.RedisStorage(f"async+{url}", implementation="redispy"))
                cases[f"limits redis {name}"] = 200, limits_async_hit(kept, count, stats=stats)
    return cases


def measured(folder: Path, url: str | None, rounds: int) -> dict[str, list[float]]:
    """Microseconds a decision in each round; a round does every case once, plain and async."""
    plain, awaited = plain_cases(folder, url), async_cases(url)
    times: dict[str, list[float]] = {name: [] for name in (*plain, *awaited)}
    with asyncio.Runner() as runner:
        for turn in range(rounds + 1):
            for name, (number, hit) in plain.items():
                times[name].append(timed(hit, number))
            for name, (number, awaited_hit) in awaited.items():
                times[name].append(runner.run(timed_async(awaited_hit, number)))
            if not turn:  # callers are new in the first one, and connections too
                for each in times.values():
                    each.clear()
    return times


def timed(hit: Hit, number: int) -> float:
    start = time.perf_counter()
    for turn in range(number):
        hit(NAMES[turn % CALLERS])
    return (time.perf_counter() - start) / number * 1e6


async def timed_async(hit: AsyncHit, number: int) -> float:
    start = time.perf_counter()
    for turn in range(number):
        await hit(NAMES[turn % CALLERS])
    return (time.perf_counter() - start) / number * 1e6
