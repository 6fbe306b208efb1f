"""What the ASGI door does where a path asks for more than headers: the envelope, and JSON bodies."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from functools import partial
from typing import Any

from ...answers.envelopes import BODYLESS, MAX_JOINED, Collected, Splice, begins_json, whole
from ...answers.responses import Fields, Reply
from ...answers.shape import Shape
from ...answers.writers import Writers
from ...exceptions import InvalidRequest
from ...model import Admitted, Reason
from ...rules import outcomes
from ...rules.requests.bodies import announced_length, refuse_body, refuse_head
from .wire import Scope, head_ends

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_OF_THE_BODY = frozenset((b"content-length", b"transfer-encoding", b"content-type", b"content-encoding"))
# By these an app would send octets past us: it does not see that the server can.
_SHORT_CUTS = frozenset(("http.response.pathsend", "http.response.zerocopysend"))


def hide(scope: Scope) -> Scope:
    """Take from the scope what invites to an encoding or to a short cut; otherwise as `hide_short_cuts`."""
    before = {"headers": scope["headers"], **hide_short_cuts(scope)}
    scope["headers"] = [
        field for field in scope["headers"] if len(field[0]) != 15 or field[0].lower() != b"accept-encoding"
    ]
    return before


def hide_short_cuts(scope: Scope) -> Scope:
    """Take from the scope the server's offer to send files by itself.

    In place, because middleware around us reads what the app and its router leave there. What this gives is to be put
    back when the app has run.
    """
    extensions = scope.get("extensions")
    if not extensions or _SHORT_CUTS.isdisjoint(extensions):
        return {}
    scope["extensions"] = {name: value for name, value in extensions.items() if name not in _SHORT_CUTS}
    return {"extensions": extensions}


def header(scope: Scope, wanted: bytes) -> str | None:
    """The value of a header that stands there once."""
    values = [value for name, value in scope["headers"] if name.lower() == wanted]
    return values[0].decode("latin-1") if len(values) == 1 else None


def accepted_by(scope: Scope) -> str:
    """What the client accepts."""
    return ",".join(value.decode("latin-1") for name, value in scope["headers"] if name.lower() == b"accept")


def accept_of(scope: Scope) -> str:
    """What the client accepts, where that could matter to us: an error is JSON, or a problem document."""
    for name, value in scope["headers"]:
        if name == b"accept" and b"problem" in value.lower():
            return ",".join(value.decode("latin-1") for name, value in scope["headers"] if name == b"accept")
    return ""


class Answering:
    """One answer of the app, on its way into the envelope.

    Args:
        send: the server's.
        scope: the server's.
        admitted: whose answer it is.
        shape: what it is to look like.
        writers: what writes heads and bodies.
    """

    # Of the class, not of each request: few answers change them.
    held: tuple[int, Fields[bytes]] | None = None
    _waiting: tuple[Message, Fields[bytes], bytes] | None = None
    begun = False
    """Something of an answer has gone out."""
    # What the app found wrong with the request, if that was answered.
    _told: InvalidRequest | None = None

    def __init__(self, send: Send, scope: Scope, admitted: Admitted, shape: Shape, writers: Writers[bytes]) -> None:
        self._send, self._scope, self._admitted, self._shape, self._writers = send, scope, admitted, shape, writers
        self._on_body = send

    # Not a coroutine function: of most messages, what the app awaits is the server's own awaitable.
    def send(self, message: Message) -> Awaitable[None]:
        """For the app, in the place of the server's."""
        kind = message["type"]
        if kind == "http.response.body":
            return self._on_body(message)
        if kind == "http.response.start":
            return self._start(message)
        return self._send(message) if self._on_body != self._drop and self.held is None else _nothing()

    async def finish(self) -> None:
        """The body of an error that is held has come to its end, or as far as it may."""
        if self.held is not None:
            await self._replace(*self.held)

    async def settles(self, error: Exception) -> bool:
        """The app raised. Answer it if nothing has gone out yet; True if that is all there is to it, because the fault
        is the client's."""
        if self.begun:
            return self._told is error
        fault = error if isinstance(error, InvalidRequest) else None
        reply = self._writers.failed(fault, self._shape, self._admitted, accept_of(self._scope))
        await self._reply(reply)
        return fault is not None

    def _start(self, message: Message) -> Awaitable[None]:
        # Any iterable will do (ASGI), and an app may go on using its list.
        status, headers = message["status"], list(message.get("headers") or ())
        shape, writers = self._shape, self._writers
        shape.begun = True
        if status >= 400 and writers.replaces(status, headers, accepted_by(self._scope)):
            self.held, self._collected = (status, headers), Collected()
            self._on_body = self._collect
            return _nothing()
        fields, tail = writers.success(status, headers, shape, self._admitted)
        if self._scope["method"] == "HEAD" or status in BODYLESS:
            self._on_body = self._without_body
        elif tail is not None:
            # Whether it is what it says it is shows with the first octets.
            self._waiting, self._on_body = (message, fields, tail), self._first
            return _nothing()
        self.begun = True
        return self._send(dict(message, headers=fields))

    def _without_body(self, message: Message) -> Awaitable[None]:
        if message.get("more_body", False):
            return _nothing()
        return self._send({"type": "http.response.body", "body": b""})

    async def _first(self, message: Message) -> None:
        chunk, more = message.get("body", b""), message.get("more_body", False)
        if self._waiting is None or (more and not chunk):
            return None
        (start, fields, tail), self._waiting, self.begun = self._waiting, None, True
        if chunk and not begins_json(chunk, whole=not more):
            self._on_body = self._send
            fields = self._writers.no_json(list(start.get("headers") or ()), self._shape, self._admitted)
            await self._send(dict(start, headers=fields))
            return await self._send(message)
        self._on_body = partial(self._spliced, Splice(tail))
        await self._send(dict(start, headers=fields))
        if not more and len(chunk) <= MAX_JOINED:
            return await self._send({"type": "http.response.body", "body": whole(chunk, tail)})
        return await self._on_body(message)

    def _spliced(self, splice: Splice, message: Message) -> Awaitable[None]:
        more = message.get("more_body", False)
        pieces = splice.pieces(message.get("body", b""), last=not more)
        if not pieces:
            return self._send(message)  # an empty chunk has its use: some servers send the head with it
        if len(pieces) == 1:
            return self._send({"type": "http.response.body", "body": pieces[0], "more_body": more})
        return self._send_all(pieces, more)

    async def _send_all(self, pieces: list[bytes], more: bool) -> None:
        for left, piece in zip(range(len(pieces) - 1, -1, -1), pieces, strict=True):
            await self._send({"type": "http.response.body", "body": piece, "more_body": more or left > 0})

    async def _collect(self, message: Message) -> None:
        self._collected.add(message.get("body", b""))
        if self._collected.too_long or not message.get("more_body", False):
            await self.finish()

    async def _replace(self, status: int, headers: Fields[bytes]) -> None:
        body, head = self._collected.body, self._scope["method"] == "HEAD"
        self._told = self._writers.fault_behind(status, headers, self._shape)
        reply = self._writers.error(
            status, headers, body, self._shape, self._admitted, accept_of(self._scope), lengthless=head and not body
        )
        await self._reply(reply)

    async def _reply(self, reply: Reply[bytes]) -> None:
        self.held, self._waiting, self._on_body, self.begun = None, None, self._drop, True
        body = b"" if self._scope["method"] == "HEAD" else reply.body
        await self._send({"type": "http.response.start", "status": reply.status, "headers": reply.headers})
        await self._send({"type": "http.response.body", "body": body})

    async def _drop(self, message: Message) -> None:
        """What is left of an answer that was replaced."""


async def _nothing() -> None:
    """There is nothing to send for this message of the app's."""


async def read_json(scope: Scope, receive: Receive, most: int) -> Reason | Receive | None:
    """Read the request's body and see whether it is JSON. Whether there is one shows only when it is read: lengths lie.

    Args:
        scope, receive: the server's.
        most: how many bytes may come.

    Returns:
        Why it is refused; or what the app receives the same bytes from; or None, if the client has left.
    """
    fields = _body_fields(scope)
    if not {b"content-length", b"transfer-encoding"} & set(fields) and scope.get("http_version", "1.1") < "2":
        return receive
    length = announced_length(fields.get(b"content-length", []))
    if length == 0 and b"transfer-encoding" not in fields:
        return receive
    types, codings = fields.get(b"content-type", []), fields.get(b"content-encoding", [])
    reason = refuse_head(types[0] if len(types) == 1 else None, ", ".join(codings), length, most)
    if reason is not None and fields.keys() & {b"content-length", b"transfer-encoding"}:
        return reason
    body = await _read(receive, most)
    if not isinstance(body, bytes):
        return body
    if body and (reason := reason or refuse_body(body)):
        return reason
    return _replaying(body, receive)


def _body_fields(scope: Scope) -> dict[bytes, list[str]]:
    found: dict[bytes, list[str]] = {}
    certain = head_ends(scope)
    for at, (name, value) in enumerate(scope["headers"]):
        if at <= certain and (lowered := name.lower()) in _OF_THE_BODY:
            found.setdefault(lowered, []).append(value.decode("latin-1"))
    return found


async def _read(receive: Receive, most: int) -> bytes | Reason | None:
    body, more = bytearray(), True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            return None
        body += message.get("body", b"")
        if len(body) > most:
            return outcomes.too_large(most)
        more = message.get("more_body", False)
    return bytes(body)


def _replaying(body: bytes, receive: Receive) -> Receive:
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def received() -> Message:
        return waiting.pop() if waiting else await receive()

    return received
