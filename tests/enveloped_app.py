"""An app behind an enveloping gate, plain ASGI and plain WSGI, for real servers.

It answers by path, and sends octets where none belong: on HEAD, 204 and 304, but for ``/polite``; ``/fails`` fails
between its head and its first octets. KEYSTILE_STORE names the key store.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from keystile import Gate, Rule, asgi, wsgi

JSON = ("content-type", "application/json")
ANSWERS: dict[str, tuple[str, list[tuple[str, str]], list[bytes]]] = {
    "/json": ("200 OK", [JSON, ("content-length", "8"), ("etag", '"v1"')], [b'{"a": 1}']),
    "/empty": ("202 Accepted", [JSON, ("content-length", "0")], []),
    "/stream": ("200 OK", [JSON], [b"[1", b", 2", b"]"]),
    "/204": ("204 No Content", [], [b"octets that nobody may see"]),
    "/304": ("304 Not Modified", [("etag", '"v1"')], [b"octets that nobody may see"]),
    "/404": ("404 Not Found", [("content-type", "text/html"), ("content-length", "9")], [b"<h1>gone\n"]),
    "/teapot": ("418 I'm a Teapot", [JSON], [b'{"detail": ', b'"short and stout"}']),
    "/polite": ("404 Not Found", [("content-type", "text/plain")], []),
    "/fails": ("200 OK", [JSON, ("content-length", "8"), ("set-cookie", "a=1")], []),
    "/no-json": ("200 OK", [JSON, ("content-length", "2")], [b"hi"]),
    "/text": ("200 OK", [("content-type", "text/plain"), ("content-length", "5")], [b"plain"]),
}


def _answer(path: str, body: bytes) -> tuple[str, list[tuple[str, str]], list[bytes]]:
    if path == "/boom":
        raise RuntimeError("the password is hunter2")
    if path == "/echo":
        return "200 OK", [JSON, ("content-length", str(len(body)))], [body]
    return ANSWERS[path]


async def _asgi_app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        return await send({"type": "lifespan.shutdown.complete"})
    body = (await receive())["body"] if scope["path"] == "/echo" else b""
    status, fields, chunks = _answer(scope["path"], body)
    headers = [(name.encode(), value.encode()) for name, value in fields]
    await send({"type": "http.response.start", "status": int(status[:3]), "headers": headers})
    if scope["path"] == "/fails":
        raise RuntimeError("no octets")
    for chunk in chunks:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    return await send({"type": "http.response.body", "body": b""})


def _wsgi_app(environ: Any, start_response: Any) -> Any:
    path = environ["PATH_INFO"]
    body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])) if path == "/echo" else b""
    status, fields, chunks = _answer(path, body)
    if path == "/stream":
        return _late(start_response, status, fields, chunks)
    if path == "/fails":
        start_response(status, fields)
        return _failing()
    start_response(status, fields)
    return chunks


def _late(start_response: Any, status: str, fields: list[tuple[str, str]], chunks: list[bytes]) -> Iterator[bytes]:
    """PEP 3333 allows an app to call start_response as late as with its first octets."""
    start_response(status, fields)
    yield from chunks


def _failing() -> Iterator[bytes]:
    yield b""
    raise RuntimeError("no octets")


_gate = Gate(
    os.environ["KEYSTILE_STORE"],
    prefix="acme",
    envelope=True,
    rules=[Rule("/echo", require_json=True)],
    max_json_body=100_000,
)
asgi_app = asgi.GateMiddleware(_asgi_app, _gate)
wsgi_app = wsgi.GateMiddleware(_wsgi_app, _gate)
