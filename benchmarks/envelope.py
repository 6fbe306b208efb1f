"""What the envelope adds to an answer: splicing it, compared with parsing and dumping it with json and orjson.

    python -m benchmarks.envelope [--rounds 15] [--number 2000]

Every case is behind the same gate with a warm key, so the difference is the envelope alone. `--number` is for 1 KB. The
fifth percentile over the rounds is printed. At the end 100 MB of JSON are streamed through each door. Printed are the
peak of the memory that this took, and how much had been sent when the app was asked for its second chunk.
"""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

from keystile import Gate, asgi, wsgi

from .bare import receive, run, through_asgi, through_wsgi
from .harness import Case, parser, timed

try:
    import orjson
except ImportError:
    orjson = None  # type: ignore[assignment]
    print("orjson is left out: pip install 'keystile[bench]'")

CHUNK = b'"' + b"x" * 65_533 + b'",'
CHUNKS = 1600  # 100 MB
Dump = Callable[[Any], bytes]


def document(size: int) -> bytes:
    """A list of small objects, about this long."""
    row = {"id": 12_345, "name": "a row of the list", "tags": ["a", "b"], "at": "2026-01-15T10:30:00Z", "price": 9.99}
    return json.dumps([row] * max(1, size // 112)).encode()


def apps(body: bytes) -> tuple[Any, Any]:
    length = str(len(body))

    async def asgi_app(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-type", b"application/json"), (b"content-length", length.encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def wsgi_app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", length)])
        return [body]

    return asgi_app, wsgi_app


def reparsing(app: Any, loads: Any, dump: Dump) -> Any:
    """An ASGI middleware that does what most do: buffer the body, parse it, and dump it inside the envelope."""

    async def guarded(scope: Any, receive: Any, send: Any) -> None:
        held: list[Any] = []

        async def buffered(message: Any) -> None:
            held.append(message)
            if message["type"] != "http.response.body" or message.get("more_body"):
                return
            parts = b"".join(each["body"] for each in held[1:])
            meta = {"request_id": scope["keystile"].request_id, "timestamp": "2026-01-15T10:30:00Z"}
            whole = dump({"data": loads(parts), "meta": meta})
            fields = [field for field in held[0]["headers"] if field[0] != b"content-length"]
            fields.append((b"content-length", str(len(whole)).encode()))
            await send({"type": "http.response.start", "status": 200, "headers": fields})
            await send({"type": "http.response.body", "body": whole})

        await app(scope, receive, buffered)

    return guarded


def dump_json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def cases(size: int) -> dict[str, Case]:
    body = document(size)
    asgi_app, wsgi_app = apps(body)
    plain, enveloped = (Gate(prefix="acme"), Gate(prefix="acme", envelope=True))
    keys = [gate.keys.create("key").secret for gate in (plain, enveloped)]
    found: dict[str, Case] = {}
    doors = [
        ("ASGI", through_asgi, asgi.GateMiddleware, asgi_app),
        ("WSGI", lambda app, key: whole(through_wsgi(app, key)), wsgi.GateMiddleware, wsgi_app),
    ]
    for door, through, middleware, app in doors:
        for gate, key, kind in ((plain, keys[0], "without"), (enveloped, keys[1], "spliced")):
            through_wsgi(wsgi.GateMiddleware(wsgi_app, gate), key)()  # proves the key
            found[f"{door}, {kind}"] = through(middleware(app, gate), key)
    found["ASGI, json"] = through_asgi(asgi.GateMiddleware(reparsing(asgi_app, json.loads, dump_json), plain), keys[0])
    if orjson is not None:
        through = reparsing(asgi_app, orjson.loads, orjson.dumps)
        found["ASGI, orjson"] = through_asgi(asgi.GateMiddleware(through, plain), keys[0])
    return found


def whole(case: Any) -> Case:
    return lambda: b"".join(case()) and None


def report(size: int, results: dict[str, float]) -> None:
    print(f"\n{size // 1000} KB{'':20}{'whole µs':>10}{'added µs':>10}")
    for name, time in results.items():
        base = results[f"{name[:4]}, without"]
        print(f"{name:24}{time:10.2f}{time - base:10.2f}")


def chunks(taken: list[int], left: list[int]) -> Iterator[bytes]:
    """100 MB of JSON; notes what had left when the second chunk was asked for."""
    for number in range(CHUNKS):
        if number == 1:
            taken.append(sum(left))
        yield (b"[" if number == 0 else b"") + CHUNK
    yield b"0]"


def streamed(door: str) -> tuple[int, int, int]:
    """The peak of memory, what had left by the second chunk, and the length of all, in bytes."""
    gate = Gate(prefix="acme", envelope=True)
    key = gate.keys.create("key").secret
    taken: list[int] = []
    left: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        for chunk in chunks(taken, left):
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    def wsgi_app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Type", "application/json")])
        return chunks(taken, left)

    async def send(message: Any) -> None:
        left.append(len(message.get("body", b"")))

    through_wsgi(wsgi.GateMiddleware(apps(b"{}")[1], gate), key)()  # proves the key, before memory is counted
    headers = [(b"x-api-key", key.encode())]
    scope = {"type": "http", "method": "GET", "path": "/", "headers": headers, "client": None}
    guarded = wsgi.GateMiddleware(wsgi_app, gate)
    tracemalloc.start()
    if door == "ASGI":
        run(asgi.GateMiddleware(app, gate)(scope, receive, send))
    else:
        environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "HTTP_X_API_KEY": key}
        left.extend(map(len, guarded(environ, lambda *_: left.append)))  # type: ignore[arg-type,return-value]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak, taken[0], sum(left)


def main() -> None:
    arguments = parser(__doc__, number=2000).parse_args()
    for size in (1000, 100_000):
        report(size, timed(cases(size), arguments.rounds, max(1, arguments.number * 1000 // size)))
    for door in ("ASGI", "WSGI"):
        peak, early, total = streamed(door)
        print(f"\n{door}: {total / 1e6:.1f} MB streamed, {peak / 1e6:.2f} MB of memory at the peak;", end=" ")
        print(f"{early} bytes had left when the app gave its second chunk")


if __name__ == "__main__":
    main()
