"""One decision about one of a thousand callers, for each kind of limiter, compared with the library `limits`.

    python -m benchmarks.decisions [--rounds 15]

A decision of keystile covers all windows and says where the caller stands in each. `limits` needs one call for each
window, and one more for each to know where the caller stands ("usage" below), which response headers need. At the end
come the commands that Redis receives for one request.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import limits
from limits import RateLimitItemPerDay, RateLimitItemPerMinute, aio, storage, strategies

from keystile.limiters import RateLimiter, subject
from keystile.limiters.memory import MemoryLimiter
from keystile.limiters.redis import AsyncRedisLimiter, RedisLimiter
from keystile.limiters.sqlite import SQLiteLimiter
from keystile.model import Window
from keystile.rules.limits.charges import charged

from .harness import in_turn, parser, print_quartiles, redis_server
from .redis_script import commands_of

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
    charges = charged(windows)
    return lambda name: limiter.hit(name, charges)


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
    """The cases, each with the number of calls in a round."""
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
        charges = charged(WINDOWS)
        cases["keystile redis, 2, async"] = 200, lambda name: ours.hit(name, charges)
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


def in_each_place(folder: Path, url: str | None, rounds: int) -> dict[str, list[float]]:
    """Microseconds a decision in each round; a round does every case once, plain and async."""
    with asyncio.Runner() as runner:
        samplers: dict[str, Callable[[], float]] = {}
        for name, (number, hit) in plain_cases(folder, url).items():
            samplers[name] = lambda hit=hit, number=number: mean_over_callers(hit, number)
        for name, (number, awaited) in async_cases(url).items():
            samplers[name] = lambda hit=awaited, number=number: runner.run(timed_async(hit, number))
        return in_turn(samplers, rounds)


def mean_over_callers(hit: Hit, number: int) -> float:
    start = time.perf_counter()
    for turn in range(number):
        hit(NAMES[turn % CALLERS])
    return (time.perf_counter() - start) / number * 1e6


async def timed_async(hit: AsyncHit, number: int) -> float:
    start = time.perf_counter()
    for turn in range(number):
        await hit(NAMES[turn % CALLERS])
    return (time.perf_counter() - start) / number * 1e6


def commands(folder: Path, url: str) -> dict[str, int]:
    """What MONITOR sees of one request under two windows, headers included."""
    import redis

    found = {}
    with redis.Redis.from_url(url) as raw:
        for name, (_, hit) in plain_cases(folder, url).items():
            if " redis" in name and ("keystile" in name or "usage" in name):
                hit("caller")
                found[name] = len(commands_of(raw, lambda hit=hit: hit("caller")))
    return found


def main() -> None:
    arguments = parser(__doc__).parse_args()
    print(f"limits {limits.__version__}, Python {sys.version.split()[0]}")
    with tempfile.TemporaryDirectory() as folder, redis_server() as url:
        print_quartiles("one decision, 1,000 callers; windows", in_each_place(Path(folder), url, arguments.rounds))
        if url:
            print("\nRedis commands a request, 2 windows")
            for name, count in commands(Path(tempfile.mkdtemp(dir=folder)), url).items():
                print(f"{name:52}{count:9}")


if __name__ == "__main__":
    main()
