"""The ASGI door: requests of an ASGI 3 server to the gate, and its answers back.

app.add_middleware(GateMiddleware, gate=gate)          # FastAPI, Starlette
app = GateMiddleware(app, gate=gate)                   # anything else
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from importlib import import_module
from typing import Any

from ._sync import pooled
from .answers.current import enter, leave
from .answers.responses import Reply, given_request_id
from .answers.shape import Shape
from .answers.writers import Writers
from .doors.apps import check_app
from .doors.asgi.answering import Answering, Message, Receive, Send, accept_of, header, hide, hide_short_cuts, read_json
from .doors.asgi.recheck import HeldAnswer, WatchedSocket
from .doors.asgi.wire import CODING, TELLING, Scope, read
from .exceptions import ConfigurationError
from .gate import Gate
from .model import Admitted, Reason, Refused, Request
from .rules.requests.canonical import OVERRIDES, ambiguous, below
from .rules.requests.credentials import spellings
from .rules.requests.preflights import is_preflight
from .rules.requests.querykeys import UNREAD, is_long, take

# Not in our own types: hosts have those of Starlette, of asgiref or none, and no two of them are the same.
App = Callable[[Any, Any, Any], Awaitable[None]]

_new = tuple.__new__
_OVERRIDING = frozenset(spelling for name in OVERRIDES for spelling in spellings(name))
_STARLETTE = frozenset(("starlette.applications.Starlette", "starlette.routing.Router"))
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
        ConfigurationError: `gate` is not a Gate, or the app is none that ASGI can call.
    """

    def __init__(self, app: App, gate: Gate) -> None:
        if not isinstance(gate, Gate):
            raise ConfigurationError(f"expected a Gate, got {type(gate).__name__}", key="gate")
        check_app(app, "asgi")
        self.app = app
        self._gate = gate
        self._own_root_path, self._strict_router = _reader_of(app)
        self._fixed_root_path = gate.policy.root_path
        self._asks_for_root = self._own_root_path is not None or self._fixed_root_path is not None
        self._wanted = gate.accepted.wanted | TELLING | _OVERRIDING
        self._wanted_lengths = frozenset(map(len, self._wanted))
        self._echo = gate.policy.echo_request_id
        self._writers: Writers[bytes] = Writers(gate, str.encode)
        self._write, self._clock = self._writers.headers.write, gate.clock
        self._query = (gate.policy.query_parameter or "").encode()
        self._passes = gate.policy.preflight == "pass"
        self._looks_into_query = bool(self._query) or gate.policy.https == "redirect"
        self._holds_key = gate.mask.holds
        self._looks = gate.transport.header is not None
        self._rechecks = gate.policy.recheck_in_flight

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "lifespan":
            await self._gate.limits.open(pooled)
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

    def _read(self, scope: Scope) -> Request:  # noqa: C901 - one pass over what a server gives
        lengths, wanted, looks = self._wanted_lengths, self._wanted, self._looks
        presented, wire, unreadable, long_query = [], None, False, False
        for name, value in scope["headers"]:
            # Most names differ in length already; servers should send lower case, and not all do.
            if len(name) in lengths and (lowered := name.lower()) in wanted:
                if lowered in TELLING:
                    looks = True
                elif lowered in _OVERRIDING:
                    unreadable = True
                else:
                    presented.append((lowered, value))
        client = scope.get("client")
        if looks or (client and client[1] == 0):
            transport = self._gate.transport
            wire, unsure = read(scope, transport.header, transport.twin, self._gate.accepted.wanted)
            if unsure:
                presented.append((CODING, b""))  # which no key is read from: there may be another key than it seems
        if self._looks_into_query and (query := scope.get("query_string")):
            long_query = is_long(query)
            if self._query:
                scope["query_string"], values = take(query, self._query)
                presented += [(b"?" + self._query, value) for value in values]
                if long_query:
                    presented.append(UNREAD)
        path = scope["path"]
        root_path = self._root_path(scope) if self._asks_for_root else scope.get("root_path")
        if root_path:
            unreadable = unreadable or ambiguous(path, root_path, strict_router=self._strict_router)
            path = below(path, root_path)
        kind = scope["type"]
        method = scope["method"] if kind == "http" else "GET"
        return _new(
            Request,
            (
                method,
                path,
                scope.get("raw_path") or b"",
                presented,
                client[0] if client else None,
                given_request_id(header(scope, b"x-request-id"), self._holds_key) if self._echo else None,
                scope.get("scheme", "http"),
                self._passes and kind == "http" and is_preflight(method, partial(_lines, scope)),
                wire,
                long_query,
                unreadable,
            ),
        )

    def _root_path(self, scope: Scope) -> str:
        """The prefix that the app takes off."""
        if self._fixed_root_path is not None:
            return self._fixed_root_path
        own = "" if self._own_root_path is None else self._own_root_path()
        return own or scope.get("root_path") or ""

    def _target(self, scope: Scope) -> tuple[str, bytes]:
        """The path as the client wrote it, decoded, and the query behind it."""
        path, stem = scope["path"], self._root_path(scope).rstrip("/")
        whole = path if path == stem or path.startswith(f"{stem}/") else stem + path
        return whole, scope.get("query_string") or b""

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


def _lines(scope: Scope, name: str) -> list[str]:
    """The value of each line with this lower-case name, however its dashes are written: an app may fold them."""
    wanted = name.encode()
    return [value.decode("latin-1") for found, value in scope["headers"] if found.lower().replace(b"_", b"-") == wanted]


def _reader_of(app: Any) -> tuple[Callable[[], str] | None, bool]:
    """What the app behind the gate takes off a path by itself, if it does; and whether its router is strict about where
    (`rules.canonical.ambiguous`).

    Rules are relative to what the app routes, so the gate has to take off the same. Only what is known to be a prefix
    of URLs is taken for one: FastAPI's `root_path` and Django's FORCE_SCRIPT_NAME. In Flask and Quart an attribute of
    that name is the folder of the app's files. Middleware in between is looked through by its usual attribute.
    """
    for _ in range(100):
        kinds = {f"{kind.__module__}.{kind.__qualname__}" for kind in type(app).__mro__}
        if "fastapi.applications.FastAPI" in kinds:
            return partial(_root_path_of, app), True
        if not kinds.isdisjoint(_STARLETTE):
            return None, True
        if any(kind.startswith("django.") for kind in kinds):
            return _script_name, True
        app = getattr(app, "app", None)
        if app is None:
            break
    return None, False


def _root_path_of(app: Any) -> str:
    return app.root_path or ""


def _script_name() -> str:
    return str(import_module("django.conf").settings.FORCE_SCRIPT_NAME or "")
