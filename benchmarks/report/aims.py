"""What we set out to reach, and the figure that says whether it was."""

from __future__ import annotations

from typing import NamedTuple

from benchmarks.harness import Spread
from benchmarks.prototype import NAME, REFERENCE

from .tables import Figures, Table, shown


class Aim(NamedTuple):
    """One aim.

    Attributes:
        figures: names of what was measured; each has to be within the limit.
        over: where the aim is a ratio: what the figures are divided into.
        least: whether the limit is the least that is good, and not the most.
        follows: whether the limit follows the machine, by the yardstick.
    """

    work: str
    limit: float
    unit: str
    command: str
    figures: tuple[str, ...]
    over: tuple[str, ...] = ()
    least: bool = False
    follows: bool = False


def _both(name: str) -> tuple[str, ...]:
    return f"raw ASGI: {name}", f"raw WSGI: {name}"


def _timed(work: str, most: float, figures: tuple[str, ...]) -> Aim:
    return Aim(work, most, "µs", "doors", figures, follows=True)


def _counted(path: str, what: str) -> tuple[str, ...]:
    return f"asgi {path} {what}", f"wsgi {path} {what}"


_REFUSED = ("401 no key", "401 failed check", "403 scope")
_OURS, _IN = "keystile added", "a warm key, 2 windows, added"
_SERVED = (
    ("uvicorn + Starlette", 72),
    ("granian + Starlette", 70),
    ("gunicorn sync + Flask", 92),
    ("gunicorn gthread + Flask", 88),
)

AIMS = [
    *(
        Aim(f"counted: a warm key, 2 windows: {what}", most, "", "counts", _counted("warm, 2 windows", name))
        for what, name, most in (
            ("bytecodes", "bytecodes", 700),
            ("Python calls", "calls", 14),
            ("objects", "objects", 45),
        )
    ),
    Aim("counted: no windows: bytecodes", 450, "", "counts", _counted("warm, no windows", "bytecodes")),
    *(Aim(f"counted: {name}: bytecodes", 500, "", "counts", _counted(name, "bytecodes")) for name in _REFUSED),
    Aim("counted: 429: bytecodes more than a warm key", 250, "", "counts", _counted("429", "more")),
    _timed(f"{_IN} to a raw app", 6, _both(_OURS)),
    _timed(f"{_IN} to Starlette", 8, (f"Starlette: {_OURS}",)),
    _timed(f"{_IN} in FastAPI, in Flask", 12, (f"FastAPI: {_OURS}", f"Flask: {_OURS}")),
    *(
        Aim(f"how many times less than {peer} in {host}", least, "×", "doors", (f"{host}: {_OURS}",), (name,), True)
        for host, peer, least, name in (
            ("Starlette", "slowapi", 10, "Starlette: slowapi added"),
            ("Flask", "flask-limiter", 10, "Flask: flask-limiter added"),
            ("FastAPI", "keyshield + slowapi", 15, "FastAPI: keyshield + slowapi added"),
        )
    ),
    *(
        Aim(f"{server}: requests/s of the bare app's", least, "%", "served", (f"{server}: keystile share",), (), True)
        for server, least in _SERVED
    ),
    Aim("uvicorn + Starlette: CPU time added", 12, "µs", "served", ("uvicorn + Starlette: keystile added",)),
    _timed("the key in SQLite: added", 13, _both("key in SQLite added")),
    _timed("key and windows in SQLite: added", 35, _both("key, windows in SQLite added")),
    _timed("a key used once a minute, in SQLite", 18, _both("key in SQLite, used once a minute added")),
    *(
        _timed(f"refused, whole: {name}", 5, _both(f"{name} whole"))
        for name in ("401 no key", "401 failed check", "403 address", "403 scope")
    ),
    _timed("429: more than a request that is let in", 3, _both("429 added")),
    _timed("100,000 keys in turn, warm", 25, ("raw WSGI: 100,000 keys in turn added",)),
    Aim("first uses after a restart, quick proofs: refused", 0, "", "restart", ("restart quick",)),
    Aim("first uses after a restart, argon2: 429", 0, "", "restart", ("restart argon2",)),
    Aim("Redis, 2 windows: commands a request", 1, "", "redis_script", ("redis keystile full commands",)),
    Aim("Redis, full windows: server time", 15, "µs", "redis_script", ("redis keystile full server",)),
    Aim("Redis, full windows: more than a PING", 30, "µs", "redis_script", ("redis keystile full more",)),
    Aim("Redis: memory of a caller", 1200, "bytes", "redis_script", ("redis keystile full bytes",)),
    Aim("SQLite limiter: a decision alone", 20, "µs", "decisions", ("decision keystile sqlite, 2",)),
    Aim("SQLite limiter, 4 processes at 500/s: p99", 500, "µs", "processes", ("4 x 500/s p99",)),
    Aim("the same, saturated: worst wait", 50_000, "µs", "processes", ("4 x saturated worst",)),
    Aim("the same: least / most served", 0.5, "", "processes", ("4 x saturated shares",), (), True),
    Aim("memory limiter: a decision at 1,000 callers", 1.5, "µs", "decisions", ("decision keystile memory, 2",)),
    Aim("at 1,000,000 callers: memory of each", 300, "bytes", "subjects", ("keystile, 1,000,000 bytes",)),
    Aim("at 1,000,000: p50 against 1,000", 2, "×", "subjects", ("keystile growth",)),
    Aim("at 1,000,000: p99.9", 50, "µs", "subjects", ("keystile, 1,000,000 p99.9",)),
    Aim("longest stall of the event loop in a flood of wrong secrets", 5, "ms", "gate", ("stall",)),
    Aim("envelope of 1 KB: added", 2, "µs", "envelope", ("envelope ASGI, spliced", "envelope WSGI, spliced")),
    Aim("`import keystile`", 60, "ms", "gate", ("import",)),
    Aim("web frameworks and drivers that it loads", 0, "", "gate", ("import loads",)),
    Aim("whether a Gate without windows loads `limits`", 0, "", "gate", ("gate loads",)),
]


def values(aim: Aim, figures: Figures) -> list[float]:
    """What was measured; nothing where it was not."""
    if not all(name in figures for name in (*aim.figures, *aim.over)):
        return []
    found = [figures[name] for name in aim.figures]
    return [figures[over] / each for over, each in zip(aim.over, found, strict=True)] if aim.over else found


def here(aim: Aim, figures: Figures) -> Aim:
    """The aim for this machine: its limit as much higher or lower as the yardstick is."""
    yardstick = figures.get(f"raw ASGI: {NAME} added")
    return aim._replace(limit=aim.limit * yardstick / REFERENCE) if aim.follows and yardstick else aim


def met(aim: Aim, value: float) -> bool:
    return value >= aim.limit if aim.least else value <= aim.limit


def compared(figures: Figures) -> Table:
    """The table of all aims."""
    table = Table(
        "aims",
        "Against what we set out to reach",
        "Two values are ASGI / WSGI, FastAPI / Flask. The aims of `doors` were set on a machine on which a gate that is"
        " one function (`benchmarks/prototype.py`) adds 2.9 µs to a raw app; “here” is as much for what it adds on this"
        " one.",
        ("work", "reach", "measured", "", "command: `python -m benchmarks.…`"),
        unit="% of what is allowed; where more is better, of what was reached",
    )
    for set_out in AIMS:
        found, aim = values(set_out, figures), here(set_out, figures)
        reach = f"{'≥' if aim.least else '≤'} {shown(set_out.limit)} {aim.unit}".strip()
        if aim is not set_out:
            reach += f", here {shown(aim.limit)}"
        verdict = "not in this run" if not found else "met" if all(met(aim, each) for each in found) else "**short**"
        ratios = [100 * (aim.limit / each if aim.least else each / aim.limit) for each in found if aim.limit and each]
        worst = max(ratios, default=None)
        bar = None if worst is None else Spread(worst, min(ratios), worst)
        measured = " / ".join(shown(each) for each in found)
        table.add(aim.work, reach, measured, verdict, f"`{aim.command}`", bar=bar, ours=all(met(aim, v) for v in found))
    return table
