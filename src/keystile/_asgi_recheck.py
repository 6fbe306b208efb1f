"""What the ASGI door does so that a key revoked while the app works gets no answer of the app's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from ._asgi_shape import Message, Receive, Send
from .model import Refused

Check = Callable[[], Awaitable[Refused | None]]
Refuse = Callable[[Refused], Awaitable[None]]


class HeldAnswer:
    """Holds the head of an answer until the first octets of its body, then has the key's record read again.

    Args:
        send: the server's.
        check: reads the record; None if the key still holds.
        refuse: answers in the app's place.
    """

    def __init__(self, send: Send, check: Check, refuse: Refuse) -> None:
        self._send, self._check, self._refuse = send, check, refuse
        self._head: Message | None = None
        self._pass: Send | None = None

    async def send(self, message: Message) -> None:
        """For the app, in the place of the server's."""
        if self._pass is not None:
            await self._pass(message)
        elif message["type"] == "http.response.start":
            self._head = message
        elif message["type"] != "http.response.body":
            await self._send(message)
        elif message.get("body") or not message.get("more_body", False):
            await self._release()
            if self._pass is not None:
                await self._pass(message)

    async def _release(self) -> None:
        refused = await self._check()
        if refused is not None:
            self._pass = _drop
            return await self._refuse(refused)
        self._pass = self._send
        if self._head is not None:
            await self._send(self._head)
        return None


class WatchedSocket:
    """Has the key's record read again for each message of a websocket, and closes it with 1008 if the key has ended.

    Args:
        receive, send: the server's.
        check: reads the record; None if the key still holds.
    """

    def __init__(self, receive: Receive, send: Send, check: Check) -> None:
        self._receive, self._send, self._check = receive, send, check
        self._ended = False

    async def receive(self) -> Message:
        """For the app, in the place of the server's."""
        message = await self._receive()
        if message["type"] == "websocket.receive" and (self._ended or await self._end_if_refused()):
            return {"type": "websocket.disconnect", "code": 1008}
        return message

    async def send(self, message: Message) -> None:
        """For the app, in the place of the server's."""
        if self._ended or (message["type"] == "websocket.send" and await self._end_if_refused()):
            return
        await self._send(message)

    async def _end_if_refused(self) -> bool:
        refused = await self._check()
        if refused is None:
            return False
        if not self._ended:  # the app may send and receive at once
            self._ended = True
            await self._send({"type": "websocket.close", "code": 1008, "reason": refused.reason.code})
        return True


async def _drop(message: Message) -> None:
    """What is left of an answer that was refused."""
