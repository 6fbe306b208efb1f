"""The ASGI door: it takes requests from an ASGI 3 server to the gate and the app, and their answers back.

app.add_middleware(GateMiddleware, gate=gate)          # FastAPI, Starlette
app = GateMiddleware(app, gate=gate)                   # anything else
app = WebhookMiddleware(app, receive=[Receiver(...)])  # signed messages, beside a gate or without one
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any

from ._sync import pooled
from .answers.charging import Charged
from .answers.current import Current, charger, enter, leave, shaper
from .answers.shape import Shape
from .answers.writers import Writers
from .doors.apps import check_alone, check_app
from .doors.asgi.answering import Answering
from .doors.asgi.bodies import read_json
from .doors.asgi.concealing import concealer
from .doors.asgi.glancing import Lines, glancer
from .doors.asgi.hiding import hide, hide_short_cuts
from .doors.asgi.reading import Reader, accepted_by
from .doors.asgi.recheck import HeldAnswer, WatchedSocket
from .doors.asgi.sending import Sender
from .doors.asgi.wire import Message, Receive, Scope, Send
from .doors.following import Following
from .exceptions import ConfigurationError
from .gate import Gate
from .model import Refused, Request

if TYPE_CHECKING:
    from .manage.api.app import Authorize
    from .policy.beside.management import FieldCase
    from .webhooks.outbox import Outbox
    from .webhooks.receiving.asgi import WebhookMiddleware

__all__ = ["GateMiddleware", "WebhookMiddleware", "dashboard_app", "management_app"]

# Any, not our own types: hosts use the types of Starlette, of asgiref or none, and these do not match each other.
App = Callable[[Any, Any, Any], Awaitable[None]]

_new = tuple.__new__
_ENDS = frozenset(("lifespan.shutdown.complete", "lifespan.shutdown.failed"))


def __getattr__(name: str) -> Any:
    """`WebhookMiddleware` is loaded when somebody asks for it: most services receive no webhooks."""
    if name != "WebhookMiddleware":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .webhooks.receiving.asgi import WebhookMiddleware

    return WebhookMiddleware


def dashboard_app(
    gate: Gate,
    *,
    authorize: Callable[[Any], Any],
    public_url: str | None = None,
    embed_in: Iterable[str] = (),
    sign_out: str | None = None,
    live: bool = False,
    outbox: Outbox | None = None,
) -> App:
    """Pages for people who manage the keys of a gate; needs the extra ``[dashboard]``. Mount it at a path that the gate
    does not guard: it has a door of its own.

    Args:
        gate: whose keys these are.
        authorize: says who may enter. It is given each request, as Starlette's ``Request``, and returns a
            `keystile.manage.Authority`, a `keystile.manage.dashboard.Redirect` to where people sign in, or None.
            It may be async; a plain one runs in a thread. There is no default, and an API key is no login.
        public_url: the URL that people see, where the request does not say it; by default that of the gate. Only
            browsers without Fetch Metadata need it.
        embed_in: origins of pages that may show these in a frame; by default none may.
        sign_out: where its button leads to sign out, a path or a URL of the host's; None shows no button.
        live: whether there is a page that shows what this process refuses. docs/guides/live.md says more.
        outbox: where webhook endpoints are kept; with it there are pages about them.

    Raises:
        ConfigurationError: an argument is wrong, or Jinja is not installed.
    """
    from .manage.dashboard.apps import asgi_app

    return asgi_app(
        gate, authorize, public_url=public_url, embed_in=embed_in, sign_out=sign_out, live=live, outbox=outbox
    )


def management_app(
    gate: Gate,
    *,
    authorize: Authorize | None = None,
    field_case: FieldCase = "snake",
    public_openapi: bool = False,
    live: bool = False,
    outbox: Outbox | None = None,
) -> App:
    """The management API as an app of its own, for a host to mount: keys, projects, audit and usage as JSON.

    Mounted behind the gate, whoever has a key manages as far as the key's scopes reach (`keys:read`, `keys:manage`,
    `plans:manage`, `audit:read`). docs/guides/management.md says more.

    Args:
        gate: whose keys are managed.
        authorize: for a host that has logins of its own: a function, plain or async, that gets Starlette's `Request`
            and gives a `keystile.manage.Authority`, or None for nobody. Requests that change something are then
            accepted only as JSON, from pages of the same origin.
        field_case: how the names of members are written: ``"snake"`` or ``"camel"``.
        public_openapi: whether everybody who reaches it may read ``openapi.json``.
        live: whether ``events`` is a stream of what this process refuses. docs/guides/live.md says more.
        outbox: where webhook endpoints are kept; with it, whoever has `webhooks:read` or `webhooks:manage` gets at
            those of their organization.

    Raises:
        ConfigurationError: an argument cannot be used, or the gate has no secret to sign the cursors of lists with.
    """
    from .manage.asgi import management_app

    return management_app(
        gate, authorize=authorize, field_case=field_case, public_openapi=public_openapi, live=live, outbox=outbox
    )


def _managed(app: App, gate: Gate, reader: Reader, outbox: Outbox | None) -> App:
    if gate.policy.management is None:
        check_alone(outbox)
        return app
    from .manage.asgi import Mounted

    return Mounted(app, gate, reader, outbox)


class GateMiddleware(Following):
    """Lets a request through to the app, or answers it.

    A handler finds the `Current` in ``scope["keystile"]`` and through `keystile.current()`. Bodies pass unchanged in
    both directions, except where a rule demands JSON or an envelope.

    Args:
        app: any ASGI 3 application.
        gate: decides on each request.
        outbox: where webhook endpoints are kept, for a gate that serves the management API.

    Raises:
        ConfigurationError: `gate` is not a Gate or stands before this app already, the app cannot be called as an ASGI
            app, or there is an outbox and no management API.
    """

    def __init__(self, app: App, gate: Gate, *, outbox: Outbox | None = None) -> None:
        if not isinstance(gate, Gate):
            raise ConfigurationError(f"expected a Gate, got {type(gate).__name__}", key="gate")
        check_app(app, "asgi")
        self.app = _managed(app, gate, Reader(gate, app), outbox)
        self._follow(app, gate)

    def _serve(self, gate: Gate) -> None:
        if gate.policy.management is not None:
            from .manage.mounting import place_of

            place_of(gate)
        self._reader = Reader(gate, self.app)
        self._read = self._reader.read
        self._conceal = concealer(gate)
        self._glance = glancer(gate, self._reader) if self._conceal is None else None
        self._writers: Writers[bytes] = Writers(gate, str.encode)
        sender = Sender(gate, self._reader, self._writers)
        self._with_fields, self._refuse = sender.with_fields, sender.refuse
        self._with_cors = sender.with_cors if gate.policy.cors_origins else None
        self._shape, self._charge = shaper(gate), charger(gate)
        self._rechecks = gate.policy.recheck_in_flight

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self = self._now  # noqa: PLW0642 - the whole request meets one policy
        kind = scope["type"]
        if kind != "http" and kind != "websocket":  # noqa: PLR1714 - faster than a look into a tuple
            return await self._no_request(kind, scope, receive, send)
        if self._with_cors is not None:
            send = self._with_cors(send, scope)
        gate, request = self._gate, None
        outcome: Any = None
        admit = gate.admit  # read once: another thread may replace it
        if admit is not None and self._glance is not None and kind == "http":
            outcome = self._glance(scope, admit)
        if outcome is None or outcome.__class__ is Lines:
            request = self._read(scope, outcome)
            outcome = await gate.check(request, pooled)  # anew each time: `keystile.testing` replaces it
            if self._conceal is not None:
                send = self._conceal(scope, outcome, send)
        if isinstance(outcome, Refused):
            return await self._refuse(outcome, scope, receive, send)
        shape = None if self._shape is None else self._shape(outcome)
        charged = None if self._charge is None else self._charge(outcome)
        current = scope["keystile"] = _new(Current, (outcome, shape, charged, gate))
        if charged is not None or self._rechecks or shape is not None:
            request = self._read(scope) if request is None else request
            if charged is not None:
                return await self._settled(current, charged, request, scope, receive, send)
            return await self._answered(current, request, scope, receive, send)
        token = enter(current)
        try:
            await self.app(scope, receive, self._with_fields(send, outcome))
        finally:
            leave(token)

    async def _no_request(self, kind: str, scope: Scope, receive: Receive, send: Send) -> None:
        if kind != "lifespan":
            raise RuntimeError(
                f"the scope type {kind!r} is unknown and cannot be guarded: expected http, websocket or lifespan"
            )

        async def flush_and_send(message: Message) -> None:
            if message["type"] in _ENDS:  # the server may not wait for what comes after it
                await self._gate.aflush()
            await send(message)

        await self._gate.limits.open(pooled)
        await self.app(scope, receive, flush_and_send)

    async def _answered(self, current: Current, request: Request, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the app, whatever has to be done to its answer."""
        if self._rechecks and current.principal is not None:
            return await self._rechecked(current, request, scope, receive, send)
        if current.shape is not None and scope["type"] == "http":
            return await self._shaped(current, current.shape, request, scope, receive, send)
        return await self._run(current, scope, receive, self._with_fields(send, current.admitted))

    async def _settled(  # noqa: PLR0917 - all that a request is made of
        self, current: Current, charged: Charged, request: Request, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Run the app where units are reserved. What it used is settled when it has ended, in whatever way."""
        try:
            await self._answered(current, request, scope, receive, send)
        finally:
            await self._gate.settle(current.admitted, charged.close(), pooled)

    async def _shaped(  # noqa: PLR0917 - all that a request is made of
        self, current: Current, shape: Shape, request: Request, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Run the app where the body must be JSON or the answer gets the envelope."""
        if shape.json:
            read = await read_json(scope, receive, self._gate.policy.max_json_body)
            if read is None:
                return None
            reason, receive = read
            refused = None if reason is None else self._gate.refuse(reason, current.admitted, request)
            if refused is not None:
                return await self._refuse(refused, scope, receive, send)
        shape.target = self._reader.target(scope)
        if not shape.envelope:
            return await self._run(current, scope, receive, self._with_fields(send, current.admitted))
        head = scope["method"] == "HEAD"
        answering = Answering(send, accepted_by(scope), head, current.admitted, shape, self._writers)
        hidden = hide(scope)
        try:
            await self._run(current, scope, receive, answering.send)
            await answering.finish()
        except Exception as error:
            if not await answering.settles(error):
                raise  # to the server, which logs it
        finally:
            scope.update(hidden)
        return None

    async def _rechecked(self, current: Current, request: Request, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the app where its caller is judged again before the answer leaves."""
        admitted = current.admitted

        def check() -> Awaitable[Refused | None]:
            return self._latest.recheck(admitted, request, pooled)

        if scope["type"] == "websocket":
            socket = WatchedSocket(receive, send, check)
            return await self._run(current, scope, socket.receive, self._with_fields(socket.send, admitted))

        async def refuse(refused: Refused) -> None:
            await self._refuse(refused, scope, receive, send)

        held = HeldAnswer(send, check, refuse)
        hidden = hide_short_cuts(scope)
        try:
            if current.shape is not None:
                return await self._shaped(current, current.shape, request, scope, receive, held.send)
            return await self._run(current, scope, receive, self._with_fields(held.send, admitted))
        finally:
            scope.update(hidden)

    async def _run(self, current: Current, scope: Scope, receive: Receive, send: Send) -> None:
        token = enter(current)
        try:
            await self.app(scope, receive, send)
        finally:
            leave(token)
