"""One way to send a message through either door, in process, to an app behind a `WebhookMiddleware`."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import anyio

from keystile import asgi, wsgi
from keystile.webhooks import Received
from tests.doors import Answer, Fields, asgi_scope, read_all, wsgi_environ


class HookHost:
    """An app that notes what it got, and answers what the test sets.

    Attributes:
        status: of its answer.
        bodies: what it read, call by call.
        received: what the middleware told it, call by call; None where the request was let through unlooked.
        acts: called before the answer.
        fails: ``"call"``, ``"body"``: where it raises.
    """

    def __init__(self) -> None:
        self.status = 200
        self.bodies: list[bytes] = []
        self.received: list[Received | None] = []
        self.acts: Callable[[], Any] | None = None
        self.fails = ""
        self.seen: Any = None
        self.closed = 0

    async def asgi(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            return await send({"type": "websocket.accept"})
        self.seen = dict(scope)
        self.bodies.append(await read_all(receive))
        self.received.append(scope.get("keystile.webhook"))
        if self.acts is not None:
            await self.acts()
        if self.fails == "call":
            raise ZeroDivisionError
        await send({"type": "http.response.start", "status": self.status, "headers": [(b"x-app", b"1")]})
        await send({"type": "http.response.body", "body": b"o", "more_body": True})
        if self.fails == "body":
            raise ZeroDivisionError
        return await send({"type": "http.response.body", "body": b"k"})

    def wsgi(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        self.seen = dict(environ)
        self.bodies.append(environ["wsgi.input"].read())
        self.received.append(environ.get("keystile.webhook"))
        if self.acts is not None:
            self.acts()
        if self.fails == "call":
            raise ZeroDivisionError
        start_response(f"{self.status} Whatever", [("x-app", "1")])
        return _Octets(self)


class _Octets:
    def __init__(self, host: HookHost) -> None:
        self._host, self._chunks = host, iter([b"o", b"k"])

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._host.fails == "body":
            raise ZeroDivisionError
        return next(self._chunks)

    def close(self) -> None:
        self._host.closed += 1


class HookDoor:
    """A middleware with a host behind it.

    Args:
        kind: ``"wsgi"``, or the event loop under ASGI: ``"asyncio"``, ``"trio"``.
    """

    def __init__(self, kind: str) -> None:
        self.kind, self.host = kind, HookHost()
        self.left = False
        """Whether the client leaves after the first chunk of its body."""

    def open(self, *receive: Any, around: Callable[[Any], Any] = lambda app: app, **settings: Any) -> None:
        """Put a middleware with these settings before the host; `around` puts something before both."""
        if self.kind == "wsgi":
            self.app = around(wsgi.WebhookMiddleware(self.host.wsgi, receive=receive, **settings))
        else:
            self.app = around(asgi.WebhookMiddleware(self.host.asgi, receive=receive, **settings))

    def run(self, call: Callable[..., Any], *args: Any) -> Any:
        return anyio.run(call, *args, backend="trio" if self.kind == "trio" else "asyncio")

    def send(
        self,
        path: str,
        headers: Fields,
        *chunks: bytes,
        method: str = "POST",
        extra: dict[str, Any] | None = None,
    ) -> Answer:
        """Send a request whose body comes in these chunks."""
        if self.kind == "wsgi":
            return self.through_wsgi(method, path, headers, chunks, extra or {})
        return self.run(self.through_asgi, method, path, headers, chunks, extra or {})

    async def through_asgi(
        self, method: str, path: str, headers: Fields, chunks: Iterable[bytes], extra: dict[str, Any]
    ) -> Answer:
        waiting, messages = list(chunks) or [b""], []

        async def receive() -> Any:
            if not waiting:
                return {"type": "http.disconnect"}
            return {"type": "http.request", "body": waiting.pop(0), "more_body": bool(waiting) or self.left}

        async def send(message: Any) -> None:
            messages.append(message)

        await self.app(asgi_scope(method, path, headers, "192.0.2.1") | extra, receive, send)
        if not messages:
            return Answer(0, [], b"")
        start, *rest = messages
        fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in start["headers"]]
        return Answer(start["status"], fields, b"".join(message["body"] for message in rest))

    def through_wsgi(
        self, method: str, path: str, headers: Fields, chunks: Iterable[bytes], extra: dict[str, Any]
    ) -> Answer:
        started: list[Any] = []

        def start_response(status: str, fields: Fields, exc_info: Any = None) -> Callable[[bytes], object]:
            started[:] = [status, fields]
            return lambda data: None

        environ = wsgi_environ(method, path, headers, "192.0.2.1") | extra
        body = b"".join(chunks)
        environ["wsgi.input"] = io.BytesIO(body)
        if "HTTP_TRANSFER_ENCODING" not in environ and "CONTENT_LENGTH" not in environ:
            environ["CONTENT_LENGTH"] = str(len(body) + self.left)
        iterable = self.app(environ, start_response)
        try:
            octets = b"".join(iterable)
        finally:
            getattr(iterable, "close", lambda: None)()
        status, fields = started
        return Answer(int(status.split()[0]), [(name.lower(), value) for name, value in fields], octets)
