"""How the ASGI door keeps the app's answer from a caller whose key expires or is revoked while the app works."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from ..._sync import give_way
from ...model import Refused
from ..cutting import cut
from .wire import Message, Receive, Send

Check = Callable[[], Awaitable[Refused | None]]
Refuse = Callable[[Refused], Awaitable[None]]


class HeldAnswer:
    """Holds an answer until the first octets of its body, then has its caller judged again; and once more at each
    further chunk of a stream, which ends in the middle if the caller may not have the rest.

    Whatever else the app sends before them, hints for instance, is held as well: it is part of the answer.

    Args:
        send: the server's.
        check: judges; None if the caller may still have the answer.
        refuse: sends the answer in the app's place.
    """

    def __init__(self, send: Send, check: Check, refuse: Refuse) -> None:
        self._send, self._check, self._refuse = send, check, refuse
        self._held: list[Message] = []
        self._decides = False
        self._pass: Send | None = None
        self._cut: Refused | None = None

    async def send(self, message: Message) -> None:
        """For the app, in the place of the server's."""
        if self._pass is not None:
            return await self._pass(message)
        octets = message["type"] == "http.response.body"
        if octets and not message.get("body") and message.get("more_body", False):
            return None
        self._held.append(message)
        if octets and not self._decides:
            self._decides = True
            await self._release()
        return None

    async def _release(self) -> None:
        refused = await self._check()
        if refused is not None:
            self._pass = _drop
            return await self._refuse(refused)
        for message in self._held:  # an app may send more messages meanwhile, from another task
            await self._send(message)
        self._pass = self._judged
        return None

    async def _judged(self, message: Message) -> None:
        if message.get("body") and self._cut is None:
            self._cut = await self._check()
        if self._cut is not None:
            raise cut(self._cut)  # and again if the app goes on: octets are missing, so nothing may end this as whole
        await self._send(message)


class WatchedSocket:
    """Has the caller judged again at each message of a websocket, and closes it with 1008 if the caller is refused.

    A reason that the app gives when it closes counts as such a message. Where the app denies the handshake with an
    answer of its own, the head waits for the first octets of the body, as in any answer.

    Args:
        receive, send: the server's.
        check: judges; None if the caller may go on.
    """

    def __init__(self, receive: Receive, send: Send, check: Check) -> None:
        self._receive, self._send, self._check = receive, send, check
        self._ended = False
        self._denial: Message | None = None

    async def receive(self) -> Message:
        """For the app, in the place of the server's."""
        message = await self._receive()
        if message["type"] == "websocket.receive" and (self._ended or await self._end_if_refused()):
            return {"type": "websocket.disconnect", "code": 1008}
        return message

    async def send(self, message: Message) -> None:
        """For the app, in the place of the server's."""
        if self._ended:
            return
        kind, denial = message["type"], self._denial
        if kind == "websocket.http.response.start":
            self._denial = message
            return
        if denial is not None and not message.get("body") and message.get("more_body", False):
            return
        if (kind == "websocket.send" or denial is not None or message.get("reason")) and await self._end_if_refused():
            return
        self._denial = None
        if denial is not None:
            await self._send(denial)
        await self._send(message)

    async def _end_if_refused(self) -> bool:
        refused = await self._check()
        if refused is None:
            return False
        if not self._ended:  # the app may send and receive at the same time
            self._ended = True
            await self._send({"type": "websocket.close", "code": 1008, "reason": refused.reason.code})
        return True


async def _drop(_: Message) -> None:
    """What is left of an answer that was refused. It may be endless, and nobody else waits."""
    await give_way()
