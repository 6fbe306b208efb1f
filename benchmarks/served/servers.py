"""Real servers, each with one worker, and what a request costs behind them.

The apps of a group (one server, one framework) are started together and loaded in turns: bare, keystile, each peer,
the same again backwards. CPU time is that of the server's processes, by their own clocks; it is compared with the bare
app's of the same round. A server that waits for a request costs next to nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tests.ports import free_port
from tests.servers import stop, wait_for_port

from benchmarks.harness import in_turn_for

from .apps import ENVIRON, GUARDS, PATH

ROOT = Path(__file__).parents[2]
APP = "benchmarks.served.apps:from_environ"
_GUNICORN = ["gunicorn", "-w", "1", "-b", "127.0.0.1:{port}", "--log-level", "warning"]
ROUND = 0.4


class Server(NamedTuple):
    """How a server is started; whether it keeps connections alive; how many the load has."""

    command: list[str]
    keeps: bool = True
    connections: int = 16


_QUIET = ["--log-level", "warning", "--factory", APP]
_UVICORN = ["uvicorn", "--http", "httptools", "--loop", "uvloop", "--port", "{port}", "--no-access-log", *_QUIET]
_GRANIAN = ["granian", "--interface", "asgi", "--workers", "1", "--host", "127.0.0.1", "--port", "{port}", *_QUIET]
SERVERS = {
    "uvicorn": Server(_UVICORN),
    "granian": Server(_GRANIAN),
    "gunicorn sync": Server([*_GUNICORN, f"{APP}()"], keeps=False, connections=4),
    "gunicorn gthread": Server([*_GUNICORN, "-k", "gthread", "--threads", "4", f"{APP}()"]),
}
GROUPS = [
    ("uvicorn", "Starlette"),
    ("uvicorn", "FastAPI"),
    ("granian", "Starlette"),
    ("gunicorn sync", "Flask"),
    ("gunicorn gthread", "Flask"),
]


class Taken(NamedTuple):
    """Of one round: µs of CPU time a request, requests a second, and how much of the time server and load were busy."""

    cpu: float
    rate: float
    server: float
    load: float


class Running(NamedTuple):
    """A server that runs."""

    port: int
    pid: int
    request: str
    kind: Server


def family(pid: int) -> list[int]:
    """A process and all that come from it."""
    parents: dict[int, list[int]] = {}
    for each in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents.setdefault(int(each.read_text().rpartition(")")[2].split()[1]), []).append(int(each.parent.name))
    found = [pid]
    for each in found:
        found += parents.get(each, [])
    return found


def cpu_of(pids: list[int]) -> float:
    """Seconds of CPU time that these processes have used, to the nanosecond: /proc counts in hundredths."""
    return sum(time.clock_gettime((~pid << 3) | 2) for pid in pids)  # the number of a process's clock: clock_getres(2)


@contextlib.contextmanager
def serving(kind: str, host: str, guard: str, folder: Path) -> Iterator[Running]:
    """One app behind one server; answers when it is entered."""
    server, port = SERVERS[kind], free_port()
    place, log = folder / f"{port}.key", folder / f"{port}.log"
    command = [sys.executable, "-m", *(part.format(port=port) for part in server.command)]
    environ = os.environ | {ENVIRON: f"{host}|{guard}|{place}"}
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=output, stderr=output, start_new_session=True)
    try:
        wait_for_port(port, process, log)
        yield Running(port, process.pid, _request(place, server), server)
    finally:
        stop(process)


def _request(place: Path, server: Server) -> str:
    deadline = time.monotonic() + 30
    while not place.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    fields = [f"GET {PATH} HTTP/1.1", "Host: localhost", "User-Agent: python-httpx/0.28.1", "Accept: */*"]
    fields += ["Accept-Encoding: gzip, deflate", f"Connection: {'keep-alive' if server.keeps else 'close'}"]
    if key := place.read_text():
        fields.append(f"Authorization: Bearer {key}")
    return "\r\n".join(fields) + "\r\n\r\n"


@contextlib.contextmanager
def load() -> Iterator[Callable[[Running, float], dict[str, Any]]]:
    """The process that sends requests."""
    command = [sys.executable, "-m", "benchmarks.served.load"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        orders, answers = process.stdin, process.stdout

        def sent(server: Running, seconds: float) -> dict[str, Any]:
            order = {"port": server.port, "request": server.request, "connections": server.kind.connections}
            orders.write(json.dumps(order | {"seconds": seconds, "keep": server.kind.keeps}) + "\n")
            orders.flush()
            answer = answers.readline()
            if not answer:
                raise RuntimeError("the load ended: what it met stands above")
            found: dict[str, Any] = json.loads(answer)
            return found

        yield sent
        orders.close()


def measured(
    kind: str, host: str, seconds: float, guards: tuple[str, ...] = (), length: float = ROUND
) -> dict[str, list[Taken]]:
    """Every round of each app of a group; each app is loaded for about this many seconds in all, each time for this
    long."""
    guards = guards or GUARDS[host]
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        send = stack.enter_context(load())
        running = {guard: stack.enter_context(serving(kind, host, guard, folder)) for guard in guards}
        for each in running.values():
            send(each, length)  # first uses: proofs, imports, threads
        pids = {guard: family(each.pid) for guard, each in running.items()}

        def taken(guard: str) -> Taken:
            before = cpu_of(pids[guard])
            found = send(running[guard], length)
            spent = cpu_of(pids[guard]) - before
            requests, took = found["requests"], found["seconds"]
            return Taken(spent / requests * 1e6, requests / took, spent / took, found["busy"])

        return in_turn_for(seconds * len(guards), {guard: lambda guard=guard: taken(guard) for guard in guards})
