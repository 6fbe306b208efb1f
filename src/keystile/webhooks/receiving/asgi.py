"""The ASGI door for signed messages: it verifies them before the app runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any

from ..._sync import in_time, pooled
from ...answers.writers import Writers
from ...doors.apps import check_app
from ...doors.asgi.bodies import read_body, replaying
from ...doors.asgi.reading import Reader
from ...doors.asgi.sending import Sender
from ...doors.asgi.wire import Message, Receive, Scope, Send
from ...gate import Gate
from ...model import Reason, Refused
from ...policy.webhooks import KEEP_IDS, Receiver
from ...rules import outcomes
from ..signing import lines_of
from .ids import IdStore
from .order import LATE, READ_SECONDS, Receiving, Repeated, Verified

App = Callable[[Any, Any, Any], Awaitable[None]]


class WebhookMiddleware:
    """Lets a signed message through to the app, and answers what is not signed as it should be. Requests that concern
    no receiver go to the app as they are.

    The app gets the octets that were signed. A handler finds the `webhooks.Received` in ``scope["keystile.webhook"]``.
    Beside a gate, this stands inside of it, and the receivers' paths are among the gate's `public`: senders have no
    key.

    Args:
        app: any ASGI 3 application.
        receive: where messages arrive, and how they are signed.
        ids: where the ids of messages are kept, so that none runs the app twice: ``"memory://"``,
            ``"sqlite:///file.db"``, or an `IdStore`. None keeps none.
        keep_ids: for how many seconds.
        gate: the gate that it stands beside: its events, clock, proxies and error format hold here too.

    Raises:
        ConfigurationError: a setting cannot be used, two contradict each other, or the app cannot be called as an ASGI
            app.
    """

    def __init__(
        self,
        app: App,
        receive: Iterable[Receiver],
        *,
        ids: str | IdStore | None = None,
        keep_ids: int = KEEP_IDS,
        gate: Gate | None = None,
    ) -> None:
        check_app(app, "asgi")
        self.app = app
        self._receiving = Receiving(receive, ids, keep_ids, gate)
        reader = Reader(self._receiving.gate, app)
        self._read = reader.read
        self._refuse = Sender(self._receiving.gate, reader, Writers(self._receiving.gate, str.encode)).refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return await self.app(scope, receive, send)
        request = self._read(scope)
        places = self._receiving.concerns(request)
        if not places:
            return await self.app(scope, receive, send)
        lines, websocket = partial(lines_of, scope["headers"]), scope["type"] == "websocket"
        arrival = self._receiving.meet(places, request, scope.get("keystile"), lines, websocket=websocket)
        if isinstance(arrival, Refused):
            return await self._refuse(arrival, scope, receive, send)
        body = await _body(scope, receive, arrival.hook.max_body)
        if body is None:
            return None
        if isinstance(body, Reason):
            why = LATE if body is outcomes.INVALID_SIGNATURE else ""
            return await self._refuse(self._receiving.refused(body, arrival.visit, why), scope, receive, send)
        outcome = await self._receiving.judge(arrival, body, pooled)
        if isinstance(outcome, Refused):
            return await self._refuse(outcome, scope, receive, send)
        if isinstance(outcome, Repeated):
            return await _say_done(outcome, send)
        scope["keystile.webhook"] = outcome.received
        return await self._run(outcome, scope, replaying(body, receive), send)

    async def _run(self, verified: Verified, scope: Scope, receive: Receive, send: Send) -> None:
        if verified.id is None:
            return await self.app(scope, receive, send)
        noting = _Noting(send, partial(self._receiving.settle, verified, pooled))
        try:
            await self.app(scope, receive, noting.send)
        finally:
            await noting.finish()
        return None


class _Noting:
    """Watches an answer, and says how it ended before the client can know."""

    def __init__(self, send: Send, settle: Callable[..., Awaitable[None]]) -> None:
        self._send, self._settle = send, settle
        self._success = self._settled = False

    async def send(self, message: Message) -> None:
        """For the app, in the place of the server's."""
        if message["type"] == "http.response.start":
            self._success = 200 <= message["status"] < 300
        elif message["type"].startswith("http.response.") and not message.get("more_body", False):
            await self._end(success=self._success)
        await self._send(message)

    async def finish(self) -> None:
        """The app has ended; if its answer has not, that was no success."""
        await self._end(success=False)

    async def _end(self, *, success: bool) -> None:
        if not self._settled:
            self._settled = True
            await self._settle(success=success)


async def _body(scope: Scope, receive: Receive, most: int) -> bytes | Reason | None:
    try:
        return await in_time(READ_SECONDS, read_body(scope, receive, most))
    except TimeoutError:
        return outcomes.INVALID_SIGNATURE


async def _say_done(repeated: Repeated, send: Send) -> None:
    headers = [(b"content-length", b"0"), (b"cache-control", b"no-store")]
    headers.append((b"x-request-id", repeated.request_id.encode()))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
