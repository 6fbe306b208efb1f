"""An app behind a gate with proxies, https and rechecks, plain ASGI and plain WSGI, for real servers.

KEYSTILE_STORE names the key store; ``/slow`` answers when the file KEYSTILE_GO is there, and then with what only a
valid key may see; ``/stream`` sends something at once, and that when the file is there; ``/file`` gives this file in
the way that servers know best.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from wsgiref.util import FileWrapper

import anyio
from starlette.responses import FileResponse

from keystile import Gate, Rule, asgi, wsgi
from keystile.policy import CREDENTIAL_FORMS

logging.basicConfig(level=logging.INFO)
GO = Path(os.environ["KEYSTILE_GO"])
BEFORE = b"[1,"
SECRET = b'{"secret": "of the app"}'


async def _asgi_app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        return await send({"type": "lifespan.shutdown.complete"})
    if scope["path"] == "/file":
        return await FileResponse(__file__)(scope, receive, send)
    while scope["path"] == "/slow" and not GO.exists():  # noqa: ASYNC110, ASYNC240 - another process makes it
        await anyio.sleep(0.01)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    if scope["path"] == "/stream":
        await send({"type": "http.response.body", "body": BEFORE, "more_body": True})
        while not GO.exists():  # noqa: ASYNC110, ASYNC240
            await anyio.sleep(0.01)
    await send({"type": "http.response.body", "body": SECRET, "more_body": True})
    return await send({"type": "http.response.body", "body": b""})


def _wsgi_app(environ: Any, start_response: Any) -> Any:
    if environ["PATH_INFO"] == "/file":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return environ.get("wsgi.file_wrapper", FileWrapper)(Path(__file__).open("rb"))
    while environ["PATH_INFO"] == "/slow" and not GO.exists():
        time.sleep(0.01)
    start_response("200 OK", [("Content-Type", "application/json")])
    return _stream() if environ["PATH_INFO"] == "/stream" else [SECRET]


def _stream() -> Iterator[bytes]:
    yield BEFORE
    while not GO.exists():
        time.sleep(0.01)
    yield SECRET


_gate = Gate(
    os.environ["KEYSTILE_STORE"],
    prefix="acme",
    recheck_in_flight=True,
    accept=[*CREDENTIAL_FORMS, "?api_key"],
    trusted_proxies=os.environ.get("KEYSTILE_PROXIES", "127.0.0.1").split(),
    event_format="json",
    https=os.environ.get("KEYSTILE_HTTPS", "off"),
    rules=[Rule("/json", require_json=True)],
)
asgi_app = asgi.GateMiddleware(_asgi_app, _gate)
wsgi_app = wsgi.GateMiddleware(_wsgi_app, _gate)
