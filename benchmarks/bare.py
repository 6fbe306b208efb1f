"""The bare apps behind everything that is measured here, and one request through them, in process."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from .harness import Case

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


def scope_of(key: str | None, peer: str = "127.0.0.1", method: str = "GET", path: str = PATH) -> dict[str, Any]:
    return {
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


def through_asgi(app: Any, key: str | None, peer: str = "127.0.0.1", method: str = "GET", path: str = PATH) -> Case:
    scope = scope_of(key, peer, method, path)
    return lambda: run(app(dict(scope), receive, send))


def environ_of(key: str | None, peer: str = "127.0.0.1", method: str = "GET", path: str = PATH) -> dict[str, Any]:
    environ = {f"HTTP_{name.decode().upper().replace('-', '_')}": value.decode() for name, value in HEADERS}
    environ |= {"REQUEST_METHOD": method, "PATH_INFO": path, "RAW_URI": path, "REMOTE_ADDR": peer}
    if key:
        environ["HTTP_AUTHORIZATION"] = f"Bearer {key}"
    return environ


def through_wsgi(app: Any, key: str | None, peer: str = "127.0.0.1", method: str = "GET", path: str = PATH) -> Case:
    environ = environ_of(key, peer, method, path)
    return lambda: app(dict(environ), start_response)
