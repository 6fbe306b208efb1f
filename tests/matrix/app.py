"""The app of the matrix, plain ASGI and plain WSGI, each behind the gate: it notes each run and answers by path.

Environment: KEYSTILE_MATRIX is a folder with ``keys.db``, KEYSTILE_RUNS the file that gets one line a run. What the
app is served with is as little as can be, so that what comes out is the server's doing or the gate's.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from keystile import asgi, wsgi
from tests.matrix.gates import open_gate

PIECES = [b"%d\n" % number for number in range(50)]


def _note(method: str, path: str, admitted: Any) -> None:
    """One line for each run, in one write, so that threads and processes do not mix their lines."""
    principal = admitted.principal
    line = json.dumps({"method": method, "path": path, "caller": principal and principal.name})
    file = os.open(os.environ["KEYSTILE_RUNS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(file, line.encode() + b"\n")
    finally:
        os.close(file)


def _answer(method: str, path: str, length: int | None) -> tuple[int, list[tuple[str, str]], list[bytes]]:
    """Status, fields and chunks. Below ``/rude/`` it sends a body where HTTP has none."""
    kind, name = path.split("/")[-2:] if path.startswith("/v1/") else ("", "")
    if name in ("204", "304"):
        return int(name), [], [b"octets that nobody may see"] if kind == "rude" else []
    if name == "stream":
        return 200, [("content-type", "text/plain")], [] if method == "HEAD" else PIECES
    body = json.dumps({"method": method, "path": path, "ran": True, "length": length}).encode()
    fields = [("content-type", "application/json"), ("content-length", str(len(body)))]
    return 200, fields, [] if method == "HEAD" and kind != "rude" else [body]


async def _asgi_app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        return await send({"type": "lifespan.shutdown.complete"})
    method, path, length = scope["method"], scope["path"], None
    _note(method, path, scope["keystile"])
    if path.endswith("/length"):
        length, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            length, more = length + len(message.get("body", b"")), message.get("more_body", False)
    status, fields, chunks = _answer(method, path, length)
    headers = [(name.encode(), value.encode()) for name, value in fields]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    for chunk in chunks:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    return await send({"type": "http.response.body", "body": b""})


def _wsgi_app(environ: Any, start_response: Any) -> list[bytes]:
    # Text as PEP 3333 has it, read as any framework reads it.
    path = environ["PATH_INFO"].encode("latin-1").decode("utf-8", "replace")
    method, length = environ["REQUEST_METHOD"], None
    _note(method, path, environ["keystile.admitted"])
    if path.endswith("/length"):
        announced = environ.get("CONTENT_LENGTH")
        body = environ["wsgi.input"].read(int(announced)) if announced else environ["wsgi.input"].read()
        length = len(body)
    status, fields, chunks = _answer(method, path, length)
    start_response({200: "200 OK", 204: "204 No Content", 304: "304 Not Modified"}[status], fields)
    return chunks


_gate = open_gate(Path(os.environ["KEYSTILE_MATRIX"]))
asgi_app = asgi.GateMiddleware(_asgi_app, _gate)
wsgi_app = wsgi.GateMiddleware(_wsgi_app, _gate)
