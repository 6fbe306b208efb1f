"""The management app's ASGI door: Starlette's Request for the host, plain values for the handler."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Unpack

from starlette.requests import Request

from .._sync import in_time, pooled
from ..doors.asgi.bodies import read_body, replaying
from ..doors.asgi.mounts import moved
from ..doors.asgi.reading import Reader
from ..doors.asgi.wire import Message, Receive, Scope, Send, head_ends
from ..gate import Gate
from ..gate.transport import RequestIds
from ..model import Reason
from ..rules.requests.canonical import below
from .answers import INTERNAL, TOO_SLOW, Answers
from .api.app import MOST_BODY, APISettings, ManagementAPI
from .live.sending import send_all
from .live.stream import Stream
from .mounting import mounted
from .requests import Handle, ManagementAnswer, ManagementRequest, Refuse, folded, rooted, with_length

if TYPE_CHECKING:
    from ..webhooks.outbox import Outbox

READ_WITHIN = 30.0
logger = logging.getLogger("keystile")


def served(handle: Handle, gate: Gate, *, most_body: int, refuse: Refuse | None = None) -> ServedByASGI:
    """An ASGI app that answers with this handler.

    Args:
        handle: gives the answer.
        gate: what the handler manages; its settings say how errors look and which proxies are trusted.
        most_body: the most bytes that a request's body may have; more is 413.
        refuse: writes what the door answers itself; by default an error as the gate's.
    """
    return ServedByASGI(handle, gate, most_body, Answers(gate).error if refuse is None else refuse)


def management_app(gate: Gate, **settings: Unpack[APISettings]) -> ServedByASGI:
    """The management API as an ASGI app; see `keystile.asgi.management_app`."""
    api = ManagementAPI(gate, **settings)
    return served(api.handle, gate, most_body=MOST_BODY)


class Mounted:
    """An app with the management API below a path of it.

    Args:
        app: gets every other request.
        gate: its settings say where the API is; it stands in front of both.
        reader: reads the path as the gate does.
        outbox: where webhook endpoints are kept, or None.
    """

    def __init__(
        self, app: Callable[..., Awaitable[None]], gate: Gate, reader: Reader, outbox: Outbox | None = None
    ) -> None:
        self.app, self._below = app, reader.path
        self._path, api = mounted(gate, outbox)
        self._api = served(api.handle, gate, most_body=MOST_BODY)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            return await self.app(scope, receive, send)
        path = self._below(scope)
        if path != self._path and not path.startswith(f"{self._path}/"):
            return await self.app(scope, receive, send)
        return await self._api(moved(scope, path, self._path), receive, send)


class ServedByASGI:
    """See `served`."""

    def __init__(self, handle: Handle, gate: Gate, most_body: int, refuse: Refuse) -> None:
        self._handle, self._gate, self._most, self._refuse = handle, gate, most_body, refuse
        self._reader, self._ids = Reader(gate, None), RequestIds()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await _no_request(scope["type"], receive, send)
        body = await self._body(scope, receive)
        if body is None:
            return None  # the client has left
        octets = body if isinstance(body, bytes) else b""
        request = self._request(scope, octets, Request(scope, replaying(octets, receive)))
        if isinstance(body, Reason):
            answer = self._refuse(request, body)
        else:
            answer = await self._answer(request)
        return await _send(answer, request, receive, send)

    async def _body(self, scope: Scope, receive: Receive) -> bytes | Reason | None:
        announced = any(name.lower() in {b"content-length", b"transfer-encoding"} for name, _ in scope["headers"])
        if not announced and scope.get("http_version", "1.1") < "2":
            return b""
        try:
            return await in_time(READ_WITHIN, read_body(scope, receive, self._most))
        except TimeoutError:
            return TOO_SLOW

    def _request(self, scope: Scope, body: bytes, native: Request) -> ManagementRequest:
        current = scope.get("keystile")
        admitted = None if current is None else current.admitted
        request_id = self._ids.draw() if admitted is None else admitted.request_id
        visit = self._gate.transport.see(self._reader.read(scope), request_id)
        mount = (scope.get("root_path") or "").rstrip("/")
        # What follows may be trailers, which anybody's request may bring past a proxy.
        certain = scope["headers"][: head_ends(scope) + 1]
        headers = folded((name.decode("latin-1"), value.decode("latin-1")) for name, value in certain)
        return ManagementRequest(
            method=scope["method"],
            path=rooted(below(scope["path"], mount)),
            raw_query=scope.get("query_string") or b"",
            headers=headers,
            body=body,
            scheme="https" if visit.secure else "http",
            host=dict(headers).get("host", ""),
            mount=mount,
            bare_mount=not below(scope["path"], mount),
            client=visit.client,
            request_id=request_id,
            native=native,
            admitted=admitted,
        )

    async def _answer(self, request: ManagementRequest) -> ManagementAnswer:
        try:
            return await self._handle(request, pooled)
        except Exception:
            logger.exception("the management app failed, request %s", request.request_id)
            return self._refuse(request, INTERNAL)


async def _no_request(kind: str, receive: Receive, send: Send) -> None:
    if kind == "websocket":
        await receive()
        return await send({"type": "websocket.close", "code": 1008})
    if kind != "lifespan":
        raise RuntimeError(f"the scope type {kind!r} is unknown: expected http, websocket or lifespan")
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return None


async def _send(answer: ManagementAnswer, request: ManagementRequest, receive: Receive, send: Send) -> None:
    fields = [(name.encode(), value.encode("latin-1")) for name, value in with_length(answer, request)]
    head: Message = {"type": "http.response.start", "status": answer.status, "headers": fields}
    if isinstance(answer.body, Stream):
        return await send_all(answer.body, head, receive, send)
    await send(head)
    body = b"" if answer.body is None or request.method == "HEAD" else answer.body
    return await send({"type": "http.response.body", "body": body})
