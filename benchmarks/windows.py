"""What a decision about windows costs: in time, in memory, and among several processes; beside the library `limits`.

    python benchmarks/windows.py [--only decision|subjects|processes] [--seconds 3]

Each part is a function of its own and prints a table. Memory is measured in fresh processes, as what the process grows
by. A decision of keystile covers all windows and says where the caller stands in each; `limits` takes a call a window,
and another one each to know that.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from limits import RateLimitItemPerDay, RateLimitItemPerMinute, storage, strategies

from keystile._sync import patiently
from keystile.limiters import RateLimiter, subject
from keystile.limiters.memory import MemoryLimiter
from keystile.limiters.sqlite import SQLiteLimiter
from keystile.model import Window

Hit = Callable[[str], Any]
WINDOWS = (Window(10**6, 60), Window(10**7, 86_400))
FULL = (Window(1, 60), Window(10**7, 86_400))
CALLERS = 1000


def keystile_hit(limiter: RateLimiter, windows: tuple[Window, ...]) -> Hit:
    return lambda name: limiter.hit(name, windows, 1)


def limits_hit(strategy: type[strategies.RateLimiter], count: int, *, stats: bool = False) -> Hit:
    limiter = strategy(storage.MemoryStorage())
    items = [RateLimitItemPerMinute(10**6), RateLimitItemPerDay(10**7)][:count]

    def hit(name: str) -> Any:
        for item in items:
            limiter.hit(item, name)
        return [limiter.get_window_stats(item, name) for item in items] if stats else None

    return hit


def decision(_seconds: float) -> None:
    """Microseconds for one decision about one of a thousand callers; the median of interleaved rounds."""
    with tempfile.TemporaryDirectory() as folder:
        one, two = (SQLiteLimiter(Path(folder) / f"{name}.db") for name in ("one", "two"))
        counter, moving = strategies.SlidingWindowCounterRateLimiter, strategies.MovingWindowRateLimiter
        cases: dict[str, tuple[int, Hit]] = {
            "keystile memory, 1 window": (20, keystile_hit(MemoryLimiter(), WINDOWS[:1])),
            "keystile memory, 2 windows": (20, keystile_hit(MemoryLimiter(), WINDOWS)),
            "keystile memory, 2 windows, refused": (20, keystile_hit(MemoryLimiter(), FULL)),
            "keystile sqlite, 1 window": (2, keystile_hit(one, WINDOWS[:1])),
            "keystile sqlite, 2 windows": (2, keystile_hit(two, WINDOWS)),
            "limits sliding counter, 1 window": (2, limits_hit(counter, 1)),
            "limits sliding counter, 2 windows": (2, limits_hit(counter, 2)),
            "limits sliding counter, 2 windows, usage": (2, limits_hit(counter, 2, stats=True)),
            "limits moving window, 1 window": (2, limits_hit(moving, 1)),
            "limits moving window, 2 windows": (2, limits_hit(moving, 2)),
            "limits moving window, 2 windows, usage": (2, limits_hit(moving, 2, stats=True)),
        }
        names = [subject("key", f"AbC{number:09d}") for number in range(CALLERS)]
        times: dict[str, list[float]] = {case: [] for case in cases}
        for _ in range(15):
            for case, (repeats, hit) in cases.items():
                times[case].append(timed(hit, names, repeats))
        one.close()
        two.close()
    print(f"{'one decision, 1,000 callers':44}{'median':>9}{'best':>9}  µs")
    for case, each in times.items():
        print(f"{case:44}{statistics.median(each):9.2f}{min(each):9.2f}")


def timed(hit: Hit, names: list[str], repeats: int) -> float:
    """Microseconds a call."""
    start = time.perf_counter()
    for _ in range(repeats):
        for name in names:
            hit(name)
    return (time.perf_counter() - start) / repeats / len(names) * 1e6


def subjects(_seconds: float) -> None:
    """Bytes a subject after one hit each, and how long single hits take then."""
    print(f"\n{'two windows, real clock':28}{'bytes':>9}{'p50':>9}{'p99':>9}{'p99.9':>9}{'max':>10}  µs a hit")
    for limiter, count in (
        ("keystile", 1000),
        ("keystile", 100_000),
        ("keystile", 1_000_000),
        ("limits", 1000),
        ("limits", 100_000),
    ):
        command = [sys.executable, __file__, "--inner", limiter, "--subjects", str(count)]
        found = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
        size = f"{found['bytes']:9.0f}" if count > 1000 else f"{'':9}"
        print(f"{limiter:9}{count:>19,}{size}" + "".join(f"{each:9.2f}" for each in found["hits"]))


def many_subjects(limiter: str, count: int) -> None:
    """The inner process of `subjects`."""
    hit = (
        keystile_hit(MemoryLimiter(), WINDOWS)
        if limiter == "keystile"
        else limits_hit(strategies.SlidingWindowCounterRateLimiter, 2)
    )
    before = resident()
    for number in range(count):
        hit(subject("key", f"AbC{number:09d}"))
    size = (resident() - before) / count
    names = [subject("key", f"AbC{random.randrange(count):09d}") for _ in range(300_000)]
    times = []
    for name in names:
        start = time.perf_counter_ns()
        hit(name)
        times.append((time.perf_counter_ns() - start) / 1000)
    print(json.dumps({"bytes": size, "hits": percentiles(times)}))


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def percentiles(times: list[float]) -> list[float]:
    """p50, p99, p99.9 and the longest."""
    ordered = sorted(times)
    return [ordered[int(len(ordered) * share)] for share in (0.5, 0.99, 0.999)] + [ordered[-1]]


def processes(seconds: float) -> None:
    """Transactions in one SQLite file from several processes, at a steady pace and as fast as they can."""
    print(f"\n{'sqlite, two windows':28}{'per s':>9}{'p50':>9}{'p99':>9}{'p99.9':>9}{'max':>10}  µs a hit   least/most")
    for count in (1, 2, 4):
        for rate in (500, 0):
            with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(count, get_context("spawn")) as pool:
                path, start = str(Path(folder) / "windows.db"), time.time() + 1.5
                SQLiteLimiter(path).close()
                waiting = [pool.submit(one_process, path, start, seconds, rate, seed) for seed in range(count)]
                served = [each.result() for each in waiting]
            total = sum(len(each) for each in served)
            shares = min(len(each) for each in served) / max(len(each) for each in served)
            name = f"{count} x {'500/s' if rate else 'saturated'}"
            columns = "".join(f"{each:9.1f}" for each in percentiles([wait for each in served for wait in each]))
            print(f"{name:28}{total / seconds:9.0f}{columns}{shares:22.2f}")


def one_process(path: str, start: float, seconds: float, rate: int, seed: int) -> list[float]:
    """How many microseconds each hit took, waits for other processes included."""
    limiter, dice, times = SQLiteLimiter(path), random.Random(seed), []
    names = [subject("key", f"AbC{number:09d}") for number in range(CALLERS)]
    time.sleep(max(0.0, start - time.time()))
    due, end = time.perf_counter(), time.perf_counter() + seconds
    while (begin := time.perf_counter()) < end:
        patiently(30.0, limiter.hit, dice.choice(names), WINDOWS, 1)
        times.append((time.perf_counter() - begin) * 1e6)
        if rate:
            due += dice.expovariate(rate)
            time.sleep(max(0.0, due - time.perf_counter()))
    limiter.close()
    return times


PARTS: dict[str, Callable[[float], None]] = {"decision": decision, "subjects": subjects, "processes": processes}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=PARTS, help="run one part")
    parser.add_argument("--seconds", type=float, default=3.0, help="how long each case of the last part runs")
    parser.add_argument("--inner", help=argparse.SUPPRESS)
    parser.add_argument("--subjects", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inner:
        many_subjects(arguments.inner, arguments.subjects)
        return
    for name, part in PARTS.items():
        if arguments.only in (None, name):
            part(arguments.seconds)


if __name__ == "__main__":
    main()
