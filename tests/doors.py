"""One way to send a request through either door, in process: the door suite is written against `Door` alone."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_to_bytes

import anyio

from keystile import Gate, asgi, current, wsgi
from tests.leaks import WATCH

Fields = list[tuple[str, str]]


@dataclass
class Answer:
    """What came back, with header names in lower case."""

    status: int
    headers: Fields
    body: bytes

    def __post_init__(self) -> None:
        WATCH.answer(self.status, self.headers, self.body)

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
    """A host app for both doors: answers with what the test sets and notes who called.

    Attributes:
        status, headers, chunks: the answer.
        calls: an Admitted for each call.
        acts: called in the handler, before the answer.
        fails: an exception and where it is raised: ``"call"``, ``"head"`` (the head is given) or ``"body"`` (the first
            chunk is).
        received: the body that was read, if `reads`.
        seen: the scope or environ of the last call.
        closed: how often the iterable of a WSGI answer was closed.
    """

    status: int = 200
    headers: Fields = field(default_factory=lambda: [("content-type", "application/json")])
    chunks: list[bytes] = field(default_factory=lambda: [b'{"ok": true}'])
    calls: list[Any] = field(default_factory=list)
    acts: Callable[[], object] | None = None
    fails: tuple[Exception, str] | None = None
    reads: bool = False
    received: bytes | None = None
    seen: Any = field(default=None, repr=False)  # it holds the credential
    closed: int = 0

    def note(self, seen: Any) -> None:
        self.seen, admitted = dict(seen), seen["keystile.admitted" if "PATH_INFO" in seen else "keystile"]
        assert current() is admitted
        self.calls.append(admitted)
        if self.acts is not None:
            self.acts()

    def fail(self, where: str) -> None:
        if self.fails is not None and self.fails[1] == where:
            raise self.fails[0]

    async def asgi(self, scope: Any, receive: Any, send: Any) -> None:
        if self.reads:
            self.received = await read_all(receive)
        self.note(scope)
        self.fail("call")
        headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in self.headers]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        self.fail("head")
        for chunk in self.chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
            self.fail("body")
        await send({"type": "http.response.body", "body": b""})

    def wsgi(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        if self.reads:
            self.received = environ["wsgi.input"].read()
        self.note(environ)
        self.fail("call")
        start_response(f"{self.status} Whatever", list(self.headers))
        return list(self.chunks) if self.fails is None else self

    def __iter__(self) -> Iterator[bytes]:
        self.fail("head")
        for chunk in self.chunks:
            yield chunk
            self.fail("body")

    def close(self) -> None:
        self.closed += 1


async def read_all(receive: Any) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += message["body"]
        if not message.get("more_body"):
            return body


class Door:
    """A gate's door with a host behind it.

    Args:
        make: builds a gate from settings.
        kind: ``"wsgi"``, or the event loop under ASGI: ``"asyncio"``, ``"trio"``.
    """

    def __init__(self, make: Callable[..., Gate], kind: str) -> None:
        self._make, self.kind = make, kind
        self.raised: Exception | None = None
        self.scheme = "http"
        self.extra: dict[str, Any] = {}
        """What the server adds to the scope or the environ."""
        self.host = Host()
        self.open()

    def open(self, **settings: Any) -> Gate:
        """Replace the gate by one with these settings."""
        return self.serve(self._make(**settings))

    def serve(self, gate: Gate) -> Gate:
        """Replace the gate by this one."""
        self.gate = gate
        self.asgi = asgi.GateMiddleware(self.host.asgi, gate=gate)
        if self.kind == "wsgi":
            self.wsgi = wsgi.GateMiddleware(self.host.wsgi, gate=gate)
        return gate

    def run(self, function: Callable[..., Any], *args: Any, **named: Any) -> Any:
        """Call an async twin, as a host would."""

        async def call() -> Any:
            return await function(*args, **named)

        return anyio.run(call, backend="trio" if self.kind == "trio" else "asyncio")

    def flush(self) -> None:
        """Have what was counted and used written now, and not within ten seconds."""
        self.run(self.gate.aflush)

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
        body: list[bytes] | None = None,
        scheme: str = "http",
    ) -> Answer:
        """Send one request. `path` is as on the wire, still encoded. With a body of None, nothing may read the body."""
        sent = [*headers] if key is None else [*headers, ("authorization", f"Bearer {key}")]
        self.scheme = scheme
        send = self.through_wsgi if self.kind == "wsgi" else self.through_asgi
        return send(method, path, sent, peer, body)

    def through_asgi(
        self, method: str, path: str, headers: Fields, peer: str | None, body: list[bytes] | None
    ) -> Answer:
        return self.run(self.asgi_call, method, path, headers, peer, body)

    async def asgi_call(
        self, method: str, path: str, headers: Fields, peer: str | None, body: list[bytes] | None = None
    ) -> Answer:
        scope = asgi_scope(method, path, headers, peer) | {"scheme": self.scheme} | self.extra
        messages: list[Any] = []

        async def send(message: Any) -> None:
            messages.append(message)

        async def receive() -> Any:
            assert waiting, "the gate read from the request"
            return {"type": "http.request", "body": waiting.pop(0), "more_body": bool(waiting)}

        waiting = list(body or ())
        try:
            await self.asgi(scope, receive, send)
        except Exception as error:
            # Whatever a server logs; the client has got what was sent before.
            self.raised = error
            if not messages:
                raise
        start, *rest = messages
        assert [message["type"] for message in rest] == ["http.response.body"] * len(rest)
        assert [message.get("more_body", False) for message in rest[:-1]] == [True] * len(rest[:-1])
        assert self.raised is not None or not rest[-1].get("more_body", False)
        assert all(name == name.lower() for name, _ in start["headers"])
        fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in start["headers"]]
        return Answer(start["status"], fields, b"".join(message.get("body", b"") for message in rest))

    def through_wsgi(
        self, method: str, path: str, headers: Fields, peer: str | None, body: list[bytes] | None
    ) -> Answer:
        started: list[Any] = []

        def start_response(status: str, fields: Fields, exc_info: Any = None) -> Callable[[bytes], object]:
            assert not started or exc_info, "the head was given twice"
            if sent and exc_info:
                raise exc_info[1]
            started[:] = [status, fields]
            return sent.append

        sent: list[bytes] = []
        environ = wsgi_environ(method, path, headers, peer) | {"wsgi.url_scheme": self.scheme} | self.extra
        if body is not None:
            environ["wsgi.input"] = io.BytesIO(b"".join(body))
        iterable = self.wsgi(environ, start_response)
        try:
            for chunk in iterable:
                assert started, "octets came before the head"
                sent += [chunk] if chunk else []
        except Exception as error:
            self.raised = error
            if not sent:
                raise
        finally:
            getattr(iterable, "close", lambda: None)()
        status, fields = started
        return Answer(int(status.split()[0]), [(name.lower(), value) for name, value in fields], b"".join(sent))


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
        variable = {"HTTP_CONTENT_TYPE": "CONTENT_TYPE", "HTTP_CONTENT_LENGTH": "CONTENT_LENGTH"}.get(
            variable, variable
        )
        environ[variable] = f"{environ[variable]},{value}" if variable in environ else value
    return environ
