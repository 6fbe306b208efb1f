"""What the gate adds to a request, in process: each door compared with the bare app, in one interleaved run.

    python -m benchmarks.gate [--rounds 15] [--number 3000]

The fifth percentile over the rounds is printed. The last part floods the gate with wrong secrets and records how long
the event loop was blocked.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from keystile import Argon2Hasher, Gate, Plan, Rule, asgi, wsgi
from keystile.keys.format import crc_check

from .bare import PATH, asgi_app, receive, through_asgi, through_wsgi, wsgi_app
from .harness import Case, parser, timed


def cases(folder: Path) -> dict[str, Case]:
    found: dict[str, Case] = {}
    for store in ("memory://", f"sqlite:///{folder}/keys.db"):
        gate = Gate(
            store, prefix="acme", public=["/health"], rules=[Rule("POST /v1/exports", scopes=["exports:write"])]
        )
        key = gate.keys.create("key", ip_allowlist=["127.0.0.0/8"]).secret
        doors = {
            "asgi": (through_asgi, asgi_app, asgi.GateMiddleware(asgi_app, gate)),
            "wsgi": (through_wsgi, wsgi_app, wsgi.GateMiddleware(wsgi_app, gate)),
        }
        kind = store.partition(":")[0]
        through_wsgi(doors["wsgi"][2], key)()  # proves the key, which makes it warm
        for door, (through, bare, guarded) in doors.items():
            found |= {
                f"{door}, {kind}: bare app": through(bare, key),
                f"{door}, {kind}: warm key with an allowlist": through(guarded, key),
            }
            if kind == "memory":
                bad_check = key[:-1] + ("0" if key[-1] != "0" else "1")
                found |= {
                    f"{door}: public path": through(guarded, None, path="/health"),
                    f"{door}: refused, no key": through(guarded, None),
                    f"{door}: refused, failed check": through(guarded, bad_check),
                    f"{door}: refused, address": through(guarded, key, peer="192.0.2.1"),
                    f"{door}: refused, scope": through(guarded, key, method="POST", path="/v1/exports"),
                }
    return found


def windowed() -> dict[str, Case]:
    """A warm key with an allowlist and two windows, all in memory; so wide that every call is admitted."""
    plans = {"p": Plan("10000000/minute; 500000000/day")}
    gate = Gate("memory://", prefix="acme", plans=plans, default_plan="p")
    key = gate.keys.create("key", ip_allowlist=["127.0.0.0/8"]).secret
    guarded = wsgi.GateMiddleware(wsgi_app, gate)
    through_wsgi(guarded, key)()  # proves the key
    return {
        "asgi, windows: bare app": through_asgi(asgi_app, key),
        "asgi, 2 windows in memory": through_asgi(asgi.GateMiddleware(asgi_app, gate), key),
        "wsgi, windows: bare app": through_wsgi(wsgi_app, key),
        "wsgi, 2 windows in memory": through_wsgi(guarded, key),
    }


def report(results: dict[str, float]) -> None:
    print(f"{'':48}{'whole µs':>10}{'added µs':>10}")
    bare = 0.0
    for name, whole in results.items():
        if name.endswith("bare app"):
            bare = whole
        added = "" if "refused" in name or name.endswith("bare app") else f"{whole - bare:10.2f}"
        print(f"{name:48}{whole:10.2f}{added:>10}")


class Stall(NamedTuple):
    """The longest time between two turns of an event loop, in ms.

    Attributes:
        whole: on the wall, with what the system and the interpreter gave to other threads meanwhile.
        own: processor time of the loop's thread, without the garbage collector.
        collected: of the collector alone, in this thread: it grows with the heap of the whole process.
    """

    whole: float
    own: float
    collected: float

    def __str__(self) -> str:
        return f"{self.whole:.2f} ms (of its own {self.own:.2f}, of the garbage collector {self.collected:.2f})"


async def flood(secrets: int) -> tuple[Stall, Stall, dict[int, int]]:
    """The longest stalls of the event loop alone and under a flood of wrong secrets; and the answers."""
    gate = Gate(prefix="acme", hasher=Argon2Hasher())
    key = gate.keys.create("key").secret
    door = asgi.GateMiddleware(asgi_app, gate)
    answers: dict[int, int] = {}

    async def one(raw: str) -> None:
        async def counted(message: Any) -> None:
            if "status" in message:
                answers[message["status"]] = answers.get(message["status"], 0) + 1

        headers = [(b"x-api-key", raw.encode())]
        await door(
            {"type": "http", "method": "GET", "path": PATH, "headers": headers, "client": None}, receive, counted
        )

    await one(key)  # as on a server that has served before: worker threads and their backend are loaded
    answers.clear()
    bodies = [f"{key[:-38]}{number:032d}" for number in range(secrets)]
    wrong = [body + crc_check(body.encode()) for body in bodies]
    calm = await longest_stall(asyncio.sleep(1))
    flooded = await longest_stall(flooding(one, wrong))
    return calm, flooded, answers


async def flooding(one: Callable[[str], Coroutine[Any, Any, None]], keys: list[str]) -> None:
    """As a server would: each request is a task that the loop begins when it comes to it."""
    tasks = []
    for key in keys:
        tasks.append(asyncio.create_task(one(key)))
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)


async def longest_stall(work: Coroutine[Any, Any, None]) -> Stall:
    """The longest times between two turns of the loop while the work goes on."""
    task = asyncio.create_task(work)
    whole = own = longest = 0.0
    with collector_watched() as pauses:
        last, spent = time.perf_counter(), time.thread_time()
        while not task.done():
            await asyncio.sleep(0)
            now, used = time.perf_counter(), time.thread_time()
            whole, own = max(whole, now - last), max(own, used - spent - sum(pauses))
            longest = max([longest, *pauses])
            pauses.clear()
            last, spent = now, used
    return Stall(whole * 1000, own * 1000, longest * 1000)


@contextmanager
def collector_watched() -> Iterator[list[float]]:
    """How long the garbage collector ran in this thread each time, in seconds."""
    mine, began = threading.get_ident(), 0.0
    pauses: list[float] = []

    def watch(phase: str, _info: dict[str, int]) -> None:
        nonlocal began
        if threading.get_ident() == mine and phase == "start":
            began = time.thread_time()
        elif threading.get_ident() == mine:
            pauses.append(time.thread_time() - began)

    gc.callbacks.append(watch)
    try:
        yield pauses
    finally:
        gc.callbacks.remove(watch)


def import_time() -> float:
    """Seconds for `import keystile` in a fresh interpreter, without the interpreter's own start; the median of 7."""
    code = "import time; t = time.perf_counter(); import keystile; print(time.perf_counter() - t)"
    times = [
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout) for _ in range(7)
    ]
    return statistics.median(times)


def main() -> None:
    arguments = parser(__doc__, number=3000).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report(timed(cases(Path(folder)) | windowed(), arguments.rounds, arguments.number))
    calm, flooded, answers = asyncio.run(flood(200))
    print(f"\n200 wrong secrets at once: answers {answers}")
    print(f"longest event-loop stall under the flood: {flooded}; without: {calm}")
    print(f"import keystile: {import_time() * 1000:.0f} ms")


if __name__ == "__main__":
    main()
