"""The ASGI door: requests of an ASGI 3 server to the gate, and its answers back.

app.add_middleware(GateMiddleware, gate=gate)          # FastAPI, Starlette
app = GateMiddleware(app, gate=gate)                   # anything else
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from importlib import import_module
from typing import Any

from ._asgi_recheck import HeldAnswer, WatchedSocket
from ._asgi_shape import Answering, Message, Receive, Send, accept_of, header, hide, hide_short_cuts, read_json
from ._asgi_wire import CODING, TELLING, Scope, read
from ._sync import pooled
from .context import enter, leave
from .exceptions import ConfigurationError
from .gate import Gate
from .model import Admitted, Reason, Refused, Request
from .rules.preflights import is_preflight
from .rules.querykeys import take
from .rules.responses import Reply, given_request_id
from .shape import Shape
from .writers import Writers

App = Callable[[Scope, Receive, Send], Awaitable[None]]

_new = tuple.__new__
# The messages that carry the head of an answer: of a plain one, of an accepted and of a denied websocket.
_HEADS = frozenset({"http.response.start", "websocket.accept", "websocket.http.response.start"})


class GateMiddleware:
    """Lets a request through to the app, or answers it.

    A handler finds the `Admitted` in ``scope["keystile"]`` and from `keystile.current()`. Bodies pass untouched in
    both directions, but where a rule demands JSON or an envelope.

    Args:
        app: any ASGI 3 application.
        gate: what decides.

    Raises:
        ConfigurationError: `gate` is not a Gate.
    """

    def __init__(self, app: App, gate: Gate) -> None:
        if not isinstance(gate, Gate):
            raise ConfigurationError(f"expected a Gate, got {type(gate).__name__}", key="gate")
        if not callable(app):
            raise ConfigurationError(f"{type(app).__name__} is no ASGI app", key="app")
        self.app = app
        self._root_path = _own_root_path(app)
        self._gate = gate
        self._wanted = gate.accepted.wanted | TELLING
        self._wanted_lengths = frozenset(map(len, self._wanted))
        self._echo = gate.policy.echo_request_id
        self._writers: Writers[bytes] = Writers(gate, str.encode)
        self._write, self._clock = self._writers.headers.write, gate.clock
        self._query = (gate.policy.query_parameter or "").encode()
        self._looks = gate.transport.header is not None
        self._rechecks = gate.policy.recheck_in_flight

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "lifespan":
            return await self.app(scope, receive, send)
        if kind not in ("http", "websocket"):
            raise RuntimeError(f"the scope type {kind!r} is unknown here and cannot be guarded")
        request = self._read(scope)
        outcome = await self._gate.check(request, pooled)
        if isinstance(outcome, Refused):
            return await self._refuse(outcome, scope, receive, send)
        scope["keystile"] = outcome
        if self._rechecks and outcome.principal is not None:
            return await self._rechecked(outcome, request, scope, receive, send)
        if outcome.shape is not None and kind == "http":
            return await self._shaped(outcome, outcome.shape, request, scope, receive, send)
        token = enter(outcome)
        try:
            await self.app(scope, receive, self._writing(send, outcome))
        finally:
            leave(token)

    async def _shaped(  # noqa: PLR0917 - what a request is made of
        self, admitted: Admitted, shape: Shape, request: Request, scope: Scope, receive: Receive, send: Send
    ) -> None:
        if shape.json:
            read = await read_json(scope, receive, self._gate.policy.max_json_body)
            if isinstance(read, Reason):
                return await self._refuse(self._gate.refuse(read, admitted, request), scope, receive, send)
            if read is None:
                return None
            receive = read
        shape.target = self._target(scope)
        answering = Answering(send, scope, admitted, shape, self._writers) if shape.envelope else None
        token = enter(admitted)
        hidden: Scope = {}
        try:
            if answering is None:
                return await self.app(scope, receive, self._writing(send, admitted))
            hidden = hide(scope)
            await self.app(scope, receive, answering.send)
            if answering.held is not None:
                await answering.finish()
        except Exception as error:
            if answering is None or not await answering.settles(error):
                raise  # for the server, whose log is where it belongs
        finally:
            leave(token)
            scope.update(hidden)
        return None

    async def _rechecked(
        self, admitted: Admitted, request: Request, scope: Scope, receive: Receive, send: Send
    ) -> None:
        check = partial(self._gate.recheck, admitted, request, pooled)
        if scope["type"] == "websocket":
            socket = WatchedSocket(receive, send, check)
            return await self._run(admitted, scope, socket.receive, self._writing(socket.send, admitted))

        async def refuse(refused: Refused) -> None:
            await self._refuse(refused, scope, receive, send)

        held = HeldAnswer(send, check, refuse)
        hidden = hide_short_cuts(scope)
        try:
            if admitted.shape is not None:
                return await self._shaped(admitted, admitted.shape, request, scope, receive, held.send)
            return await self._run(admitted, scope, receive, self._writing(held.send, admitted))
        finally:
            scope.update(hidden)

    async def _run(self, admitted: Admitted, scope: Scope, receive: Receive, send: Send) -> None:
        token = enter(admitted)
        try:
            await self.app(scope, receive, send)
        finally:
            leave(token)

    def _read(self, scope: Scope) -> Request:
        lengths, wanted, looks = self._wanted_lengths, self._wanted, self._looks
        presented, wire = [], None
        for name, value in scope["headers"]:
            # Most names differ in length already; servers should send lower case, and not all do.
            if len(name) in lengths and (lowered := name.lower()) in wanted:
                if lowered in TELLING:
                    looks = True
                else:
                    presented.append((lowered, value))
        client = scope.get("client")
        if looks or (client and client[1] == 0):
            transport = self._gate.transport
            wire, unsure = read(scope, transport.header, transport.twin, self._gate.accepted.wanted)
            if unsure:
                presented.append((CODING, b""))  # which no key is read from: there may be another key than it seems
        if self._query and (query := scope.get("query_string")):
            scope["query_string"], values = take(query, self._query)
            presented += [(b"?" + self._query, value) for value in values]
        root_path = self._root_path or scope.get("root_path")
        method = scope.get("method", "GET")
        return _new(
            Request,
            (
                method,
                _app_path(scope["path"], root_path) if root_path else scope["path"],
                scope.get("raw_path") or b"",
                presented,
                client[0] if client else None,
                given_request_id(header(scope, b"x-request-id")) if self._echo else None,
                scope.get("scheme", "http"),
                method == "OPTIONS"
                and is_preflight(method, header(scope, b"origin"), header(scope, b"access-control-request-method")),
                wire,
            ),
        )

    def _target(self, scope: Scope) -> tuple[str, bytes]:
        """The path as the client wrote it, decoded, and the query behind it."""
        root_path = self._root_path or scope.get("root_path") or ""
        return root_path + _app_path(scope["path"], root_path), scope.get("query_string") or b""

    def _writing(self, send: Send, admitted: Admitted) -> Send:
        write, request_id, protected = self._write, admitted.request_id.encode(), admitted.principal is not None
        limits = self._writers.limits.write(admitted.usages, self._clock()) if admitted.usages else ()
        strict = admitted.strict

        # Not a coroutine function: what the app awaits is the server's own awaitable, once for each chunk of a stream.
        def send_written(message: Message) -> Awaitable[None]:
            if message["type"] in _HEADS:
                headers = write(message.get("headers") or (), request_id, protected=protected, limits=limits)
                if strict:
                    headers.append(self._writers.strict)
                message = dict(message, headers=headers)
            return send(message)

        return send_written

    async def _refuse(self, refused: Refused, scope: Scope, receive: Receive, send: Send) -> None:
        reply = self._writers.refusal(refused, accept_of(scope), lambda: self._target(scope))
        if scope["type"] == "http":
            body = b"" if scope["method"] == "HEAD" else reply.body
            return await _answer(send, "http.response", reply, body)
        await receive()  # websocket.connect, which the protocol has come before any answer
        if "websocket.http.response" in (scope.get("extensions") or ()):
            return await _answer(send, "websocket.http.response", reply, reply.body)
        return await send({"type": "websocket.close", "code": 1008, "reason": refused.reason.code})


async def _answer(send: Send, kind: str, reply: Reply[bytes], body: bytes) -> None:
    await send({"type": f"{kind}.start", "status": reply.status, "headers": reply.headers})
    await send({"type": f"{kind}.body", "body": body})


def _own_root_path(app: Any) -> str:
    """The prefix that the app itself takes off behind the gate: FastAPI's `root_path`, Django's FORCE_SCRIPT_NAME.

    Rules are relative to what the app routes, so the gate has to take off the same. Middleware in between is looked
    through by its usual attribute.
    """
    for _ in range(100):
        if app is None:
            break
        if isinstance(own := getattr(app, "root_path", None), str) and own:
            return own.rstrip("/")
        if type(app).__module__.startswith("django."):
            settings = import_module("django.conf").settings
            return str(settings.FORCE_SCRIPT_NAME or "").rstrip("/")
        app = getattr(app, "app", None)
    return ""


def _app_path(path: str, root_path: str) -> str:
    """The path below the mount: the root path is taken off once, and only at the border of a segment.

    Servers differ in whether `path` holds `root_path`; Starlette's router reads both in this same way.
    """
    if path.startswith(root_path):
        rest = path[len(root_path) :]
        if not rest or rest.startswith("/"):
            return rest
    return path
