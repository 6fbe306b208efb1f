"""A million subjects in memory, and several processes at one SQLite file. Each case in processes of its own."""

from __future__ import annotations

import gc
import json
import random
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from _decisions import CALLERS, WINDOWS, keystile_hit, limits_hit
from limits import strategies

from keystile._sync import patiently
from keystile.limiters import subject
from keystile.limiters.memory import MemoryLimiter
from keystile.limiters.sqlite import SQLiteLimiter


def subjects() -> None:
    """Bytes a subject after one hit each, and how long single hits at random take then."""
    print(f"\n{'memory, 2 windows, subjects':28}{'bytes':>9}{'p50':>9}{'p99':>9}{'p99.9':>9}{'max':>10}  µs a hit")
    for limiter in ("keystile", "limits"):
        for count in (1000, 100_000, 1_000_000):
            command = [sys.executable, sys.argv[0], "--inner", limiter, str(count)]
            found = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
            size = f"{found['bytes']:9.0f}" if count > 1000 else f"{'':9}"
            columns = "".join(f"{each:9.2f}" for each in found["hits"])
            print(f"{limiter:9}{count:>19,}{size}{columns}", flush=True)


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


def percentiles(times: list[float]) -> list[float]:
    """p50, p99, p99.9 and the longest."""
    ordered = sorted(times)
    return [ordered[int(len(ordered) * share)] for share in (0.5, 0.99, 0.999)] + [ordered[-1]]


def processes(seconds: float) -> None:
    """Transactions in one SQLite file from several processes, at a steady pace and as fast as they can."""
    print(f"\n{'sqlite, 2 windows':28}{'per s':>9}{'p50':>9}{'p99':>9}{'p99.9':>9}{'max':>10}  µs a hit   least/most")
    for count in (1, 2, 4):
        for rate in (500, 0):
            with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(count, get_context("spawn")) as pool:
                path, start = str(Path(folder) / "windows.db"), time.time() + 1.5
                SQLiteLimiter(path).close()
                waiting = [pool.submit(one_process, path, start, seconds, rate, seed) for seed in range(count)]
                served = [each.result() for each in waiting]
            shares = min(map(len, served)) / max(map(len, served))
            columns = "".join(f"{each:9.1f}" for each in percentiles([wait for each in served for wait in each]))
            name = f"{count} x {'500/s' if rate else 'saturated'}"
            print(f"{name:28}{sum(map(len, served)) / seconds:9.0f}{columns}{shares:22.2f}", flush=True)


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
