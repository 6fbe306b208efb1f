"""One way to send a request through either door, in process: the door suite is written against `Door` alone."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_to_bytes

import anyio

from keystile import Gate, asgi, current, wsgi

Fields = list[tuple[str, str]]


@dataclass
class Answer:
    """What came back, with header names in lower case."""

    status: int
    headers: Fields
    body: bytes

    def all(self, name: str) -> list[str]:
        return [value for found, value in self.headers if found == name]

    def header(self, name: str) -> str | None:
        values = self.all(name)
        assert len(values) <= 1, f"{name} stands {len(values)} times"
        return values[0] if values else None

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str | None:
        return self.json["error"]["code"] if self.status >= 400 else None


@dataclass
class Host:
    """A host app for both doors: answers with what the test sets and notes who called."""

    status: int = 200
    headers: Fields = field(default_factory=lambda: [("content-type", "application/json")])
    chunks: list[bytes] = field(default_factory=lambda: [b'{"ok": true}'])
    calls: list[Any] = field(default_factory=list)

    def note(self, admitted: Any) -> None:
        assert current() is admitted
        self.calls.append(admitted)

    async def asgi(self, scope: Any, receive: Any, send: Any) -> None:
        self.note(scope["keystile"])
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in self.headers]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        for chunk in self.chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    def wsgi(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        self.note(environ["keystile"])
        start_response(f"{self.status} Whatever", list(self.headers))
        return list(self.chunks)


class Door:
    """A gate's door with a host behind it.

    Args:
        make: builds a gate from settings.
        kind: ``"wsgi"``, or the event loop under ASGI: ``"asyncio"``, ``"trio"``.
    """

    def __init__(self, make: Callable[..., Gate], kind: str) -> None:
        self._make, self.kind = make, kind
        self.host = Host()
        self.open()

    def open(self, **settings: Any) -> Gate:
        """Put a gate with these settings in the place of the one before."""
        self.gate = self._make(**settings)
        self.asgi = asgi.GateMiddleware(self.host.asgi, gate=self.gate)
        if self.kind == "wsgi":
            self.wsgi = wsgi.GateMiddleware(self.host.wsgi, gate=self.gate)
        return self.gate

    def run(self, function: Callable[..., Any], *args: Any, **named: Any) -> Any:
        """Call an async twin, as a host would."""

        async def call() -> Any:
            return await function(*args, **named)

        return anyio.run(call, backend="trio" if self.kind == "trio" else "asyncio")

    def create(self, name: str = "test", **settings: Any) -> Any:
        return self.run(self.gate.keys.acreate, name, **settings)

    def get(
        self,
        path: str = "/v1/things",
        key: str | None = None,
        *,
        method: str = "GET",
        headers: Iterable[tuple[str, str]] = (),
        peer: str | None = "127.0.0.1",
    ) -> Answer:
        """Send one request. `path` is as on the wire: still encoded."""
        sent = [*headers] if key is None else [*headers, ("authorization", f"Bearer {key}")]
        send = self.through_wsgi if self.kind == "wsgi" else self.through_asgi
        return send(method, path, sent, peer)

    def through_asgi(self, method: str, path: str, headers: Fields, peer: str | None) -> Answer:
        return self.run(self.asgi_call, method, path, headers, peer)

    async def asgi_call(self, method: str, path: str, headers: Fields, peer: str | None) -> Answer:
        scope = asgi_scope(method, path, headers, peer)
        messages: list[Any] = []

        async def send(message: Any) -> None:
            messages.append(message)

        async def receive() -> Any:
            raise AssertionError("the gate read from the request")

        await self.asgi(scope, receive, send)
        start, *rest = messages
        assert all(name == name.lower() for name, _ in start["headers"])
        fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in start["headers"]]
        return Answer(start["status"], fields, b"".join(message.get("body", b"") for message in rest))

    def through_wsgi(self, method: str, path: str, headers: Fields, peer: str | None) -> Answer:
        started: list[Any] = []

        def start_response(status: str, fields: Fields, exc_info: Any = None) -> Callable[[bytes], object]:
            started[:] = [status, fields]
            return lambda data: None

        iterable = self.wsgi(wsgi_environ(method, path, headers, peer), start_response)
        body = b"".join(iterable)
        status, fields = started
        return Answer(int(status.split()[0]), [(name.lower(), value) for name, value in fields], body)


def asgi_scope(method: str, path: str, headers: Fields, peer: str | None) -> dict[str, Any]:
    raw, _, query = path.encode("latin-1").partition(b"?")
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote_to_bytes(raw).decode("utf-8", "replace"),
        "raw_path": raw,
        "query_string": query,
        "root_path": "",
        "headers": [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers],
        "client": None if peer is None else (peer, 50_000),
        "server": ("127.0.0.1", 80),
    }


def wsgi_environ(method: str, path: str, headers: Fields, peer: str | None) -> dict[str, Any]:
    raw, _, query = path.partition("?")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(raw.encode("latin-1")).decode("latin-1"),
        "RAW_URI": path,
        "QUERY_STRING": query,
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    if peer is not None:
        environ["REMOTE_ADDR"] = peer
    for name, value in headers:
        variable = "HTTP_" + name.upper().replace("-", "_")
        # What every server of the matrix does with a repeated line but one, which keeps the last.
        environ[variable] = f"{environ[variable]},{value}" if variable in environ else value
    return environ
