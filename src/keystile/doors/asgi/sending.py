"""Sending: the head of an app's answer with the gate's fields added, the gate's refusals, and CORS around it all."""

from __future__ import annotations

from collections.abc import Awaitable
from functools import partial

from ...answers.writers import Writers
from ...gate import Gate
from ...model import Admitted, Refused
from .reading import Reader, asks_for_form, origin_of
from .wire import Message, Receive, Scope, Send

# The messages that carry the head of an answer: of a plain one, of an accepted websocket and of a denied one.
_HEADS = frozenset({"http.response.start", "websocket.accept", "websocket.http.response.start"})
# A websocket that is accepted is not what CORS is about.
_ANSWERS = _HEADS - {"websocket.accept"}


class Sender:
    """Sends for one door.

    Args:
        gate: its settings hold.
        reader: reads what an answer needs to know of its request.
        writers: what writes heads and bodies.
    """

    def __init__(self, gate: Gate, reader: Reader, writers: Writers[bytes]) -> None:
        self._writers, self._clock, self._target = writers, gate.clock, reader.target
        self._fields, self._finish = writers.headers.fields, writers.headers.finish
        self._of_admitted, self._write_expiry = writers.limits.of_admitted, writers.expiry.write

    def with_fields(self, send: Send, admitted: Admitted) -> Send:
        """For the app, in place of the server's `send`: it adds the gate's fields to the head."""
        principal, name, usages, demand, strict = admitted
        limits = self._of_admitted(usages, self._clock) if usages else ()
        own, finish = self._fields(name.encode(), limits, protected=demand.public is not True), self._finish
        if principal is not None and principal.expires_at is not None:
            own.append(self._write_expiry(principal.expires_at))
        if strict:
            own.append(self._writers.strict)

        # Not a coroutine function: the app awaits the server's own awaitable, once for each chunk of a stream.
        def send_written(message: Message) -> Awaitable[None]:
            if message["type"] in _HEADS:
                message = {**message, "headers": finish(list(message.get("headers") or ()), own)}
            return send(message)

        return send_written

    def with_cors(self, send: Send, scope: Scope) -> Send:
        """The server's `send`, for all that a gate with `cors_origins` sends: it adds to every head what it says of
        CORS."""
        write, origin = self._writers.cors.write, origin_of(scope)

        def send_written(message: Message) -> Awaitable[None]:
            if message["type"] in _ANSWERS:
                message = dict(message, headers=write(message.get("headers") or (), origin))
            return send(message)

        return send_written

    async def refuse(self, refused: Refused, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the gate's own answer, in the app's place."""
        reply = self._writers.refusal(refused, asks_for_form(scope), partial(self._target, scope))
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": reply.status, "headers": reply.headers})
            return await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else reply.body})
        await receive()  # websocket.connect, which comes before any answer in the protocol
        if "websocket.http.response" in (scope.get("extensions") or ()):
            await send({"type": "websocket.http.response.start", "status": reply.status, "headers": reply.headers})
            return await send({"type": "websocket.http.response.body", "body": reply.body})
        return await send({"type": "websocket.close", "code": 1008, "reason": refused.reason.code})
