"""What the gate adds to a request, in process: each door beside the bare app, in one interleaved run.

    python benchmarks/gate.py [--rounds 15] [--number 3000]

A round times every case once, so that a slow moment of the machine hits all of them; the median over the rounds is
printed. The last part floods the gate with wrong secrets and records how long the event loop stood still.
"""

from __future__ import annotations

import _path  # isort: skip # noqa: F401 - first: see there

import argparse
import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from keystile import Argon2Hasher, Gate, Plan, Rule, asgi, wsgi
from keystile.rules.keyformat import crc_check

Case = Callable[[], None]
HEADERS = [
    (b"host", b"localhost:8000"),
    (b"user-agent", b"python-httpx/0.28.1"),
    (b"accept", b"*/*"),
    (b"accept-encoding", b"gzip, deflate"),
    (b"connection", b"keep-alive"),
]
PATH = "/v1/projects/abc"


async def asgi_app(scope: Any, receive: Any, send: Any) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"{}"})


def wsgi_app(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", "2")])
    return [b"{}"]


async def receive() -> Any:
    raise AssertionError("nobody reads the body")


async def send(message: Any) -> None:
    pass


def start_response(status: str, headers: Any, exc_info: Any = None) -> Any:
    pass


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise AssertionError("it suspended")


def through_asgi(app: Any, key: str | None, peer: str = "127.0.0.1", method: str = "GET", path: str = PATH) -> Case:
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "scheme": "http",
        "query_string": b"",
        "headers": HEADERS + ([(b"authorization", b"Bearer " + key.encode())] if key else []),
        "client": (peer, 50_000),
        "server": ("127.0.0.1", 8000),
        "extensions": {},
    }
    return lambda: run(app(dict(scope), receive, send))


def through_wsgi(app: Any, key: str | None, peer: str = "127.0.0.1", method: str = "GET", path: str = PATH) -> Case:
    environ = {f"HTTP_{name.decode().upper().replace('-', '_')}": value.decode() for name, value in HEADERS}
    environ |= {"REQUEST_METHOD": method, "PATH_INFO": path, "RAW_URI": path, "REMOTE_ADDR": peer}
    if key:
        environ["HTTP_AUTHORIZATION"] = f"Bearer {key}"
    return lambda: app(dict(environ), start_response)


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
        through_wsgi(doors["wsgi"][2], key)()  # proves the key, so that it is warm
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


def timed(all_cases: dict[str, Case], rounds: int, number: int) -> dict[str, float]:
    """The median over the rounds of each case's mean, in µs."""
    samples: dict[str, list[float]] = {name: [] for name in all_cases}
    for _ in range(rounds):
        for name, case in all_cases.items():
            started = time.perf_counter()
            for _ in range(number):
                case()
            samples[name].append((time.perf_counter() - started) / number * 1e6)
    return {name: statistics.median(values) for name, values in samples.items()}


def report(results: dict[str, float]) -> None:
    print(f"{'':48}{'whole µs':>10}{'added µs':>10}")
    bare = 0.0
    for name, whole in results.items():
        if name.endswith("bare app"):
            bare = whole
        added = "" if "refused" in name or name.endswith("bare app") else f"{whole - bare:10.2f}"
        print(f"{name:48}{whole:10.2f}{added:>10}")


async def flood(secrets: int) -> tuple[float, float, dict[int, int]]:
    """The longest stall of the event loop alone and under a flood of wrong secrets, in ms; and the answers."""
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


async def longest_stall(work: Coroutine[Any, Any, None]) -> float:
    """The longest time between two turns of the loop while the work goes on, in ms."""
    task = asyncio.create_task(work)
    longest = 0.0
    last = time.perf_counter()
    while not task.done():
        await asyncio.sleep(0)
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    return longest * 1000


def import_time() -> float:
    """Seconds for `import keystile` in a fresh interpreter, without the interpreter's own start; the median of 7."""
    code = "import time; t = time.perf_counter(); import keystile; print(time.perf_counter() - t)"
    times = [
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout) for _ in range(7)
    ]
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--number", type=int, default=3000, help="calls of each case in a round")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report(timed(cases(Path(folder)) | windowed(), arguments.rounds, arguments.number))
    calm, flooded, answers = asyncio.run(flood(200))
    print(f"\n200 wrong secrets at once: answers {answers}")
    print(f"longest event-loop stall: {flooded:.2f} ms under the flood, {calm:.2f} ms without")
    print(f"import keystile: {import_time() * 1000:.0f} ms")


if __name__ == "__main__":
    main()
