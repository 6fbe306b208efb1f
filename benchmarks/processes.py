"""Several processes that use one SQLite file of windows, at a steady pace and as fast as they can.

python -m benchmarks.processes [--seconds 2]
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

from keystile._sync import patiently
from keystile.limiters import subject
from keystile.limiters.sqlite import SQLiteLimiter
from keystile.rules.limits.charges import charged

from .decisions import CALLERS, WINDOWS
from .harness import parser, percentiles


class Row(NamedTuple):
    """Transactions in one SQLite file.

    Attributes:
        rate: a second, of all processes.
        waits: µs a transaction: p50, p99, p99.9 and the longest.
        shares: what the process got that got least, of what the one got that got most.
    """

    name: str
    rate: float
    waits: list[float]
    shares: float


def measured(seconds: float) -> Iterator[Row]:
    """From several processes, at a steady pace and as fast as they can."""
    for count in (1, 2, 4):
        for rate in (500, 0):
            with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(count, get_context("spawn")) as pool:
                path, start = str(Path(folder) / "windows.db"), time.time() + 1.5
                SQLiteLimiter(path).close()
                waiting = [pool.submit(one_process, path, start, seconds, rate, seed) for seed in range(count)]
                served = [each.result() for each in waiting]
            shares = min(map(len, served)) / max(map(len, served))
            waits = percentiles([wait for each in served for wait in each])
            name = f"{count} x {'500/s' if rate else 'saturated'}"
            yield Row(name, sum(map(len, served)) / seconds, waits, shares)


def processes(seconds: float) -> None:
    print(f"\n{'sqlite, 2 windows':28}{'per s':>9}{'p50':>9}{'p99':>9}{'p99.9':>9}{'max':>10}  µs a hit   least/most")
    for row in measured(seconds):
        columns = "".join(f"{each:9.1f}" for each in row.waits)
        print(f"{row.name:28}{row.rate:9.0f}{columns}{row.shares:22.2f}", flush=True)


def one_process(path: str, start: float, seconds: float, rate: int, seed: int) -> list[float]:
    """How many microseconds each hit took, waits for other processes included."""
    limiter, dice, times = SQLiteLimiter(path), random.Random(seed), []
    names = [subject("key", f"AbC{number:09d}") for number in range(CALLERS)]
    time.sleep(max(0.0, start - time.time()))
    due, end = time.perf_counter(), time.perf_counter() + seconds
    while (begin := time.perf_counter()) < end:
        patiently(30.0, limiter.hit, dice.choice(names), charged(WINDOWS))
        times.append((time.perf_counter() - begin) * 1e6)
        if rate:
            due += dice.expovariate(rate)
            time.sleep(max(0.0, due - time.perf_counter()))
    limiter.close()
    return times


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--seconds", type=float, default=2.0, help="how long each case runs")
    processes(options.parse_args().seconds)


if __name__ == "__main__":
    main()
