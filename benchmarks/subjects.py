"""A million subjects in memory: bytes for each, and the time of single random hits. Each case runs in its own process.

python -m benchmarks.subjects
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from limits import strategies

from keystile.limiters.memory import MemoryLimiter

from .decisions import WINDOWS, keystile_hit, limits_hit
from .harness import parser, percentiles

COUNTS = (1000, 100_000, 1_000_000)


class Row(NamedTuple):
    """Bytes for each subject after one hit each, and the time of single random hits after that, in µs: p50, p99, p99.9
    and the longest."""

    limiter: str
    count: int
    bytes: float
    hits: list[float]


def measured(counts: Iterable[int] = COUNTS) -> Iterator[Row]:
    for limiter in ("keystile", "limits"):
        for count in counts:
            command = [sys.executable, "-m", "benchmarks.subjects", "--inner", limiter, str(count)]
            found = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
            yield Row(limiter, count, found["bytes"], found["hits"])


def subjects() -> None:
    print(f"\n{'memory, 2 windows, subjects':28}{'bytes':>9}{'p50':>9}{'p99':>9}{'p99.9':>9}{'max':>10}  µs a hit")
    for row in measured():
        size = f"{row.bytes:9.0f}" if row.count > COUNTS[0] else f"{'':9}"
        columns = "".join(f"{each:9.2f}" for each in row.hits)
        print(f"{row.limiter:9}{row.count:>19,}{size}{columns}", flush=True)


def many_subjects(limiter: str, count: int) -> None:
    """The inner process of `subjects`."""
    counter = strategies.SlidingWindowCounterRateLimiter
    hit = keystile_hit(MemoryLimiter(), WINDOWS) if limiter == "keystile" else limits_hit(counter, 2)
    hit("warm")
    before = resident()
    for number in range(count):
        hit(f"3:key12:AbC{number:09d}")
    gc.collect()
    size = (resident() - before) / count
    names = [f"3:key12:AbC{random.randrange(count):09d}" for _ in range(200_000)]
    times = []
    for name in names:
        start = time.perf_counter_ns()
        hit(name)
        times.append((time.perf_counter_ns() - start) / 1000)
    print(json.dumps({"bytes": size, "hits": percentiles(times)}))


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--inner", nargs=2, help=argparse.SUPPRESS)
    inner = options.parse_args().inner
    if inner:
        many_subjects(inner[0], int(inner[1]))
    else:
        subjects()


if __name__ == "__main__":
    main()
