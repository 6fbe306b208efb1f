"""What a decision about two windows costs in Redis: our one script compared with the strategies of `limits`.

Both return what the response headers need. Every figure is taken on a fresh server, started from a wheel:

    python -m benchmarks.redis_script [--redis62]
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import limits
import redis
from limits.storage import RedisStorage
from limits.strategies import MovingWindowRateLimiter, SlidingWindowCounterRateLimiter
from tests.clocked_redis import with_clock_as_argument
from tests.redis_server import Server, redis62_binary, valkey_binary

from keystile.limiters.redis import RedisLimiter
from keystile.limiters.script import HIT, arguments, key_of
from keystile.model import Window
from keystile.rules.limits.charges import charged

from .harness import Case as Request
from .harness import mean

ROUNDS, CALLS = 15, 100
MINUTE, DAY = 60, 86_400
WIDE = 10**6


def with_keystile(limiter: RedisLimiter, subject: str, minute: int, day: int) -> Request:
    """One request under two windows."""
    charges = charged((Window(minute, MINUTE), Window(day, DAY)))
    return lambda: limiter.hit(subject, charges)


def with_limits(strategy: Any, subject: str, minute: int, day: int) -> Request:
    """The same in an application with `limits`, including what it needs for the headers."""
    items = [limits.RateLimitItemPerMinute(minute), limits.RateLimitItemPerDay(day)]

    def request() -> None:
        all(strategy.hit(item, subject) for item in items)
        for item in items:
            strategy.get_window_stats(item, subject)

    return request


def fill(raw: redis.Redis, subject: str) -> None:
    """Fill both of our windows with as many batches as possible."""
    script = raw.script_load(with_clock_as_argument())
    seconds, microseconds = raw.time()
    now = seconds * 1_000_000 + microseconds
    for window in (Window(WIDE, DAY), Window(WIDE, MINUTE)):
        for step in range(59):
            moment = now - window.seconds * (59 - step) * 1_000_000 // 60
            raw.execute_command("EVALSHA", script, *arguments(HIT, subject, [window], 1)[2:], moment)


def commands_of(raw: redis.Redis, request: Request) -> list[str]:
    """The names of the commands that a client sends for one request."""
    raw.echo("warm")
    with raw.monitor() as monitor:
        request()
        raw.echo("done")
        names: list[str] = []
        for seen in monitor.listen():
            name = seen["command"].split()[0].lower()
            if name == "echo":
                break
            if seen["client_type"] != "lua" and name not in ("client", "hello"):
                names.append(name)
    return names


def server_time(raw: redis.Redis, request: Request) -> float:
    """Microseconds of server time for a request: the best of several rounds."""
    names, best = set(commands_of(raw, request)), float("inf")
    for _ in range(ROUNDS):
        raw.config_resetstat()
        for _ in range(CALLS):
            request()
        stats = raw.info("commandstats")
        best = min(best, sum(stats[f"cmdstat_{name}"]["usec"] for name in names) / CALLS)
    return best


def round_trips(raw: redis.Redis, request: Request) -> tuple[float, float]:
    """Microseconds for a request, and how many times a PING that is: medians of rounds taken in turn."""
    pairs = [(mean(request, CALLS), mean(raw.ping, CALLS)) for _ in range(ROUNDS)]
    return statistics.median(pair[0] for pair in pairs), statistics.median(mine / ping for mine, ping in pairs)


def measure(raw: redis.Redis, name: str, make: Callable[[str, int, int], Request], full: Callable[[str], None]) -> None:
    """Print a line for a caller's first calls, one whose windows are full of batches, and one who is refused."""
    for state in ("few", "full", "refused"):
        raw.flushdb()
        if state != "few":
            full("caller")
        request = make("caller", WIDE, WIDE)
        request()
        if state == "refused":
            request = make("caller", 60, 60)
        commands = len(commands_of(raw, request))
        spent = server_time(raw, request)
        trip, ratio = round_trips(raw, request)
        size = sum(raw.memory_usage(key) or 0 for key in raw.scan_iter())
        print(f"{name:28} {state:8} {commands:8} {spent:10.1f} {trip:10.0f} {ratio:8.2f} {size:9,}")


def main() -> None:
    """Measure everything, in about half a minute."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--redis62", action="store_true", help="on Redis 6.2 rather than a recent Valkey")
    binary = redis62_binary() if parser.parse_args().redis62 else valkey_binary()
    # The same timeouts for all: with one, the driver makes a system call more for each reply.
    timeouts = {"socket_timeout": 10.0, "socket_connect_timeout": 10.0}
    with Server(binary) as server, redis.Redis.from_url(server.url, **timeouts) as raw:
        print(f"{Path(binary).name}, two windows: a minute and a day")
        print(f"{'':28} {'caller':8} {'commands':>8} {'server us':>10} {'trip us':>10} {'x PING':>8} {'bytes':>9}")
        limiter = RedisLimiter.from_url(server.url, **timeouts)
        measure(raw, "keystile", lambda *args: with_keystile(limiter, *args), lambda who: fill(raw, who))
        assert raw.exists(key_of("caller"))
        limiter.close()
        storage = RedisStorage(server.url, **timeouts)
        for kind in (SlidingWindowCounterRateLimiter, MovingWindowRateLimiter):
            strategy = kind(storage)

            def filled(who: str, strategy: Any = strategy) -> None:
                strategy.hit(limits.RateLimitItemPerMinute(WIDE), who, cost=60)
                strategy.hit(limits.RateLimitItemPerDay(WIDE), who, cost=5000)

            name = f"limits {kind.__name__.removesuffix('RateLimiter')}"
            measure(raw, name, lambda *args, strategy=strategy: with_limits(strategy, *args), filled)


if __name__ == "__main__":
    main()
