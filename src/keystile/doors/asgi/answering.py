"""One answer of the app, put into the envelope on its way to an ASGI server."""

from __future__ import annotations

from collections.abc import Awaitable
from functools import partial

from ..._sync import give_way
from ...answers.envelopes import BODYLESS, MAX_JOINED, Collected, Splice, begins_json, whole
from ...answers.responses import Fields, Reply
from ...answers.shape import Shape
from ...answers.writers import Writers
from ...exceptions import InvalidRequest
from ...model import Admitted
from .wire import Message, Send


class Answering:
    """One answer of the app, on its way into the envelope.

    Args:
        send: the server's.
        accept: what the client accepts.
        head: whether the request was HEAD, whose answer has no body.
        admitted: the request that it answers.
        shape: what it has to look like.
        writers: what writes heads and bodies.
    """

    # On the class, not on each instance: few answers change them.
    held: tuple[int, Fields[bytes]] | None = None
    _waiting: tuple[Message, Fields[bytes], bytes] | None = None
    begun = False
    """Part of an answer has gone out."""
    # What the app found wrong with the request, if the client was told.
    _told: InvalidRequest | None = None

    def __init__(  # noqa: PLR0917 - what an answer is made of
        self, send: Send, accept: str, head: bool, admitted: Admitted, shape: Shape, writers: Writers[bytes]
    ) -> None:
        self._send, self._accept, self._head = send, accept, head
        self._admitted, self._shape, self._writers = admitted, shape, writers
        self._on_body = send

    # Not a coroutine function: for most messages, the app awaits the server's own awaitable.
    def send(self, message: Message) -> Awaitable[None]:
        """For the app, in place of the server's `send`."""
        kind = message["type"]
        if kind == "http.response.body":
            return self._on_body(message)
        if kind == "http.response.start":
            return self._start(message)
        return self._send(message) if self._on_body != self._drop and self.held is None else _nothing()

    async def finish(self) -> None:
        """The body of a held error is complete, or as long as it may become."""
        if self.held is not None:
            await self._replace(*self.held)

    async def settles(self, error: Exception) -> bool:
        """The app raised. Answer if nothing has gone out yet. True if nothing else is to be done, because the fault is
        the client's."""
        if self.begun:
            return self._told is error
        fault = error if isinstance(error, InvalidRequest) else None
        reply = self._writers.failed(fault, self._shape, self._admitted, self._accept)
        await self._reply(reply)
        return fault is not None

    def _start(self, message: Message) -> Awaitable[None]:
        # Any iterable will do (ASGI), and an app may go on using its list.
        status, headers = message["status"], list(message.get("headers") or ())
        shape, writers = self._shape, self._writers
        shape.begun = True
        if status >= 400 and writers.replaces(status, headers, self._accept):
            self.held, self._collected = (status, headers), Collected()
            self._on_body = self._collect
            return _nothing()
        fields, tail = writers.success(status, headers, shape, self._admitted)
        if tail is None and (self._head or status in BODYLESS):
            self._on_body = self._without_body
        elif tail is not None:
            # Only the first octets show whether it is the JSON that it says it is.
            self._waiting, self._on_body = (message, fields, tail), self._first
            return _nothing()
        self.begun = True
        return self._send(dict(message, headers=fields))

    def _without_body(self, _: Message) -> Awaitable[None]:
        # At once: what would follow may have no end.
        self._on_body = self._drop
        return self._send({"type": "http.response.body", "body": b""})

    async def _first(self, message: Message) -> None:
        chunk, more = message.get("body", b""), message.get("more_body", False)
        head = self._head
        if self._waiting is None or (more and not chunk and not head):
            return None
        (start, fields, tail), self._waiting, self.begun = self._waiting, None, True
        if chunk and not begins_json(chunk, whole=not more):
            self._on_body = self._without_body if head else self._send
            fields = self._writers.no_json(list(start.get("headers") or ()), self._shape, self._admitted)
            await self._send(dict(start, headers=fields))
            return await self._on_body(message)
        if head:
            self._on_body = self._without_body
            await self._send(dict(start, headers=fields))
            return await self._on_body(message)
        self._on_body = partial(self._spliced, Splice(tail))
        await self._send(dict(start, headers=fields))
        if not more and len(chunk) <= MAX_JOINED:
            return await self._send({"type": "http.response.body", "body": whole(chunk, tail)})
        return await self._on_body(message)

    def _spliced(self, splice: Splice, message: Message) -> Awaitable[None]:
        more = message.get("more_body", False)
        pieces = splice.pieces(message.get("body", b""), last=not more)
        if not pieces:
            return self._send(message)  # an empty chunk has a use: some servers send the head with it
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
        body, head = self._collected.body, self._head
        self._told = self._writers.fault_behind(status, headers, self._shape)
        reply = self._writers.error(
            status, headers, body, self._shape, self._admitted, self._accept, lengthless=head and not body
        )
        await self._reply(reply)

    async def _reply(self, reply: Reply[bytes]) -> None:
        self.held, self._waiting, self._on_body, self.begun = None, None, self._drop, True
        body = b"" if self._head else reply.body
        await self._send({"type": "http.response.start", "status": reply.status, "headers": reply.headers})
        await self._send({"type": "http.response.body", "body": body})

    async def _drop(self, _: Message) -> None:
        """What is left of an answer that was replaced, or has no body. It may be endless, and nobody else waits."""
        await give_way()


async def _nothing() -> None:
    """Send nothing for this message of the app's."""
