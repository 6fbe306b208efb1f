"""What a decision about two windows costs in Redis: our one script compared with the strategies of `limits`.

Both return what the response headers need. Every figure is taken on a fresh server, started from a wheel:

    python -m benchmarks.redis_script [--redis62]
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

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
            raw.execute_command("EVALSHA", script, *arguments(HIT, subject, charged((window,)))[2:], moment)


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


class Row(NamedTuple):
    """A request about a caller in some state.

    Attributes:
        server: µs of server time.
        trip: µs for the whole round trip; `pings`: how many times a PING's that is; `more`: µs more than a PING.
        bytes: of memory for the caller.
    """

    name: str
    state: str
    commands: int
    server: float
    trip: float
    pings: float
    more: float
    bytes: int


def server_time(raw: redis.Redis, request: Request, rounds: int) -> float:
    """Microseconds of server time for a request: the best of several rounds."""
    names, best = set(commands_of(raw, request)), float("inf")
    for _ in range(rounds):
        raw.config_resetstat()
        for _ in range(CALLS):
            request()
        stats = raw.info("commandstats")
        best = min(best, sum(stats[f"cmdstat_{name}"]["usec"] for name in names) / CALLS)
    return best


def round_trips(raw: redis.Redis, request: Request, rounds: int) -> tuple[float, float, float]:
    """Microseconds for a request, how many times a PING that is, and how much more: medians of rounds in turn."""
    pairs = [(mean(request, CALLS), mean(raw.ping, CALLS)) for _ in range(rounds)]
    return (
        statistics.median(pair[0] for pair in pairs),
        statistics.median(mine / ping for mine, ping in pairs),
        statistics.median(mine - ping for mine, ping in pairs),
    )


def states(
    raw: redis.Redis, name: str, make: Callable[[str, int, int], Request], full: Callable[[str], None], rounds: int
) -> Iterator[Row]:
    """A caller's first calls, one whose windows are full of batches, and one who is refused."""
    for state in ("few", "full", "refused"):
        raw.flushdb()
        if state != "few":
            full("caller")
        request = make("caller", WIDE, WIDE)
        request()
        if state == "refused":
            request = make("caller", 60, 60)
        commands = len(commands_of(raw, request))
        spent = server_time(raw, request, rounds)
        trips = round_trips(raw, request, rounds)
        size = sum(raw.memory_usage(key) or 0 for key in raw.scan_iter())
        yield Row(name, state, commands, spent, *trips, size)


def measured(binary: str, rounds: int = ROUNDS) -> Iterator[Row]:
    # The same timeouts for all: with one, the driver makes a system call more for each reply.
    timeouts = {"socket_timeout": 10.0, "socket_connect_timeout": 10.0}
    with Server(binary) as server, redis.Redis.from_url(server.url, **timeouts) as raw:
        limiter = RedisLimiter.from_url(server.url, **timeouts)
        yield from states(raw, "keystile", partial(with_keystile, limiter), partial(fill, raw), rounds)
        assert raw.exists(key_of("caller"))
        limiter.close()
        storage = RedisStorage(server.url, **timeouts)
        for kind in (SlidingWindowCounterRateLimiter, MovingWindowRateLimiter):
            strategy = kind(storage)

            def filled(who: str, strategy: Any = strategy) -> None:
                strategy.hit(limits.RateLimitItemPerMinute(WIDE), who, cost=60)
                strategy.hit(limits.RateLimitItemPerDay(WIDE), who, cost=5000)

            name = f"limits {kind.__name__.removesuffix('RateLimiter')}"
            yield from states(raw, name, partial(with_limits, strategy), filled, rounds)


def main() -> None:
    """Measure everything, in about half a minute."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--redis62", action="store_true", help="on Redis 6.2 rather than a recent Valkey")
    binary = redis62_binary() if parser.parse_args().redis62 else valkey_binary()
    print(f"{Path(binary).name}, two windows: a minute and a day")
    print(f"{'':28} {'caller':8} {'commands':>8} {'server us':>10} {'trip us':>10} {'x PING':>8} {'bytes':>9}")
    for row in measured(binary):
        print(f"{row.name:28} {row.state:8} {row.commands:8} {row.server:10.1f} {row.trip:10.0f}", end="")
        print(f" {row.pings:8.2f} {row.bytes:9,}", flush=True)


if __name__ == "__main__":
    main()
