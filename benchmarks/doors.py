"""The doors compared with other limiters' middleware, in process: what each adds to the bare app of its framework.

    python -m benchmarks.doors [--seconds 5]

CPU time of the process, the event loop included: the fifth percentile over many short rounds, in which the cases take
turns, and the median. What is added is the difference; a refusal counts whole. Peers are set up as
`benchmarks/served/apps.py` says; "one function" is the yardstick of `benchmarks/prototype.py`.
"""

from __future__ import annotations

import asyncio
import itertools
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from keystile import Gate, HmacHasher, Rule, asgi, wsgi

from .bare import asgi_app, environ_of, scope_of, send, wsgi_app
from .harness import Spread, in_turn_for, parser
from .prototype import NAME, prototype
from .served.apps import GUARDS, HOSTS, KEYSHIELD, TIGHT, WIDE, gate_of

BATCH = 0.02
"""Seconds that one case runs before it is another's turn."""
MANY = 100_000
YARDSTICK_KEY = "acme_live_" + 50 * "0"
Sampler = Callable[[], float]
Group = Mapping[str, Sampler]


async def receive_nothing() -> Any:
    return {"type": "http.request", "body": b"", "more_body": False}


class Loop:
    """Batches of requests through ASGI apps, in one event loop, and through WSGI apps."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self._runner = runner

    def through(self, host: str, app: Any, keys: str | list[str] | None, **other: str) -> Sampler:
        """The time of a request: µs of CPU time in a batch of about `BATCH` seconds."""
        every = itertools.cycle(keys if isinstance(keys, list) else [keys])
        if host in {"raw WSGI", "Flask"}:
            environs = {key: server_environ(key, other) for key in (keys if isinstance(keys, list) else [keys])}
            return self._sized(lambda number: wsgi_batch(app, environs, every, number))
        scopes = {key: scope_of(key, **other) for key in (keys if isinstance(keys, list) else [keys])}
        return self._sized(lambda number: self._runner.run(asgi_batch(app, scopes, every, number)))

    @staticmethod
    def _sized(batch: Callable[[int], float]) -> Sampler:
        batch(1)  # proves the key
        number = max(1, int(BATCH * 1e6 / batch(50)))
        return lambda: batch(number)


def server_environ(key: str | None, other: dict[str, str]) -> dict[str, Any]:
    """What a server adds to the fields of a request, and a framework asks for."""
    server = {"SERVER_NAME": "localhost", "SERVER_PORT": "8000", "wsgi.url_scheme": "http", "SCRIPT_NAME": ""}
    return environ_of(key, **other) | server


def wsgi_batch(app: Any, environs: Any, keys: Iterator[str | None], number: int) -> float:
    begun = time.process_time()
    for _ in range(number):
        body = app(dict(environs[next(keys)]), start_nothing)
        for _ in body:
            pass
        if hasattr(body, "close"):
            body.close()
    return (time.process_time() - begun) / number * 1e6


def start_nothing(status: str, headers: Any, exc_info: Any = None) -> Any:
    pass


async def asgi_batch(app: Any, scopes: Any, keys: Iterator[str | None], number: int) -> float:
    begun = time.process_time()
    for _ in range(number):
        await app(scopes[next(keys)] | {"state": {}}, receive_nothing, send)
    return (time.process_time() - begun) / number * 1e6


def frameworks(loop: Loop) -> dict[str, Group]:
    """Warm, two windows, all in memory: the bare app of each framework, ours, the peers and the yardstick."""
    found: dict[str, Group] = {}
    for host, guards in GUARDS.items():
        made = {guard: HOSTS[host](guard, WIDE) for guard in guards}
        found[host] = {guard: loop.through(host, each.app, each.key) for guard, each in made.items()}
        if host == "raw ASGI":
            found[host][NAME] = loop.through(host, prototype(made["bare"].app, YARDSTICK_KEY), YARDSTICK_KEY)
    return found


def places(loop: Loop, folder: Path, stack: ExitStack) -> dict[str, Group]:
    """The same over raw apps, with keys and windows in other places, keys that are used rarely, and many keys."""
    found: dict[str, Group] = {}
    minutes = itertools.count(time.time(), 61)
    for host in ("raw ASGI", "raw WSGI"):
        name = host[4:]
        kept = {
            "key in SQLite": {"store": f"sqlite:///{folder}/{name}1.db"},
            "key, windows in SQLite": {
                "store": f"sqlite:///{folder}/{name}2.db",
                "limiter": f"sqlite:///{folder}/{name}2w.db",
            },
            "key in SQLite, used once a minute": {
                "store": f"sqlite:///{folder}/{name}3.db",
                "clock": lambda: next(minutes),
            },
        }
        made = {each: gate_of(WIDE, **settings) for each, settings in kept.items()}
        for gate, _ in made.values():
            stack.callback(gate.close)
        cases = {each: loop.through(host, door(host, gate), key) for each, (gate, key) in made.items()}
        found[host] = {"bare": loop.through(host, HOSTS[host]("bare", WIDE).app, None)} | cases
    return found


def in_turns(loop: Loop, count: int = MANY) -> dict[str, Group]:
    """So many keys one after the other, each proved before."""
    gate, _ = gate_of(WIDE, hasher=HmacHasher(b"a pepper of a benchmark, which guards nothing"))
    keys = [gate.keys.create(f"key {number}").secret for number in range(count)]
    guarded = door("raw WSGI", gate)
    for key in keys:
        guarded(environ_of(key), start_nothing)
    bare = HOSTS["raw WSGI"]("bare", WIDE).app
    return {
        "raw WSGI": {
            "bare": loop.through("raw WSGI", bare, keys),
            f"{count:,} keys in turn": loop.through("raw WSGI", guarded, keys),
        }
    }


def door(host: str, gate: Gate) -> Any:
    """The gate before the bare app."""
    return asgi.GateMiddleware(asgi_app, gate) if host == "raw ASGI" else wsgi.GateMiddleware(wsgi_app, gate)


def refusals(loop: Loop) -> dict[str, Group]:
    """Whole: there is no app behind a refusal. A 429 of ours is compared with a request that is let in."""
    found: dict[str, Group] = {}
    for host in ("raw ASGI", "raw WSGI"):
        gate, key = gate_of(WIDE, rules=[Rule("POST /v1/exports", scopes=["exports:write"])])
        tight, poor = gate_of(TIGHT)
        guarded, spent = door(host, gate), door(host, tight)
        found[host] = {
            "let in, 2 windows": loop.through(host, guarded, key),
            "401 no key": loop.through(host, guarded, None),
            "401 failed check": loop.through(host, guarded, key[:-1] + ("0" if key[-1] != "0" else "1")),
            "403 address": loop.through(host, guarded, key, peer="192.0.2.1"),
            "403 scope": loop.through(host, guarded, key, method="POST", path="/v1/exports"),
            "429": loop.through(host, spent, poor),
        }
    for host in ("Starlette", "FastAPI", "Flask"):
        found[host] = {}
        for guard in GUARDS[host][1:]:
            made = HOSTS[host](guard, TIGHT)
            if guard == KEYSHIELD:
                found[host] |= {f"{guard}: 401 wrong key": loop.through(host, made.app, f"{made.key}0")}
            else:
                found[host] |= {f"{guard}: 429": loop.through(host, made.app, made.key)}
            if guard == "keystile":
                found[host] |= {f"{guard}: 401 no key": loop.through(host, made.app, None)}
    return found


@contextmanager
def made() -> Iterator[dict[str, dict[str, Group]]]:
    """All that is measured here."""
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner() as runner, ExitStack() as stack:
        loop = Loop(runner)
        yield {
            "frameworks": frameworks(loop),
            "places": places(loop, Path(folder), stack),
            "in turns": in_turns(loop),
            "refusals": refusals(loop),
        }


def measured(group: Group, seconds: float) -> dict[str, tuple[Spread, Spread]]:
    """Of each case: the whole time, and what it adds to the first one's."""
    found = {name: Spread.calm(each) for name, each in in_turn_for(seconds * len(group), group).items()}
    first = next(iter(found.values()))
    return {name: (each, each.over(first)) for name, each in found.items()}


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--seconds", type=float, default=5.0, help="how long each case runs")
    seconds = options.parse_args().seconds
    with made() as parts:
        print(f"µs of CPU time{'':44}{'whole':>9}{'added':>9}{'median':>9}")
        for part, groups in parts.items():
            for host, group in groups.items():
                for name, (whole, added) in measured(group, seconds).items():
                    line = f"{whole.middle:9.2f}{added.middle:9.2f}{added.high:9.2f}"
                    print(f"{f'{part}, {host}: {name}':58}{line}", flush=True)


if __name__ == "__main__":
    main()
