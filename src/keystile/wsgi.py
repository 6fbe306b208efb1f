"""The WSGI door: it takes requests from a PEP 3333 server to the gate and the app, and their answers back.

app.wsgi_app = GateMiddleware(app.wsgi_app, gate=gate)     # Flask
application = GateMiddleware(application, gate=gate)       # Django, anything else
app = WebhookMiddleware(app, receive=[Receiver(...)])      # signed messages, beside a gate or without one
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from ._sync import inline, run_now
from .answers.charging import Charged
from .answers.current import Current, charger, enter, leave, shaper
from .answers.shape import Shape
from .answers.writers import Writers
from .doors.apps import check_alone, check_app
from .doors.following import Following
from .doors.wsgi.answering import Answering
from .doors.wsgi.bodies import read_json
from .doors.wsgi.concealing import concealer
from .doors.wsgi.glancing import glancer
from .doors.wsgi.host import wants_exceptions
from .doors.wsgi.protocol import Environ, StartResponse
from .doors.wsgi.reading import Reader, target_of
from .doors.wsgi.recheck import HeldAnswer
from .doors.wsgi.sending import Sender
from .doors.wsgi.settling import settled
from .exceptions import ConfigurationError
from .gate import Gate
from .model import Refused, Request

if TYPE_CHECKING:
    from .manage.api.app import Authorize
    from .policy.beside.management import FieldCase
    from .webhooks.outbox import Outbox
    from .webhooks.receiving.wsgi import WebhookMiddleware

__all__ = ["GateMiddleware", "WebhookMiddleware", "dashboard_app", "management_app"]

App = Callable[[Environ, StartResponse], Iterable[bytes]]

_new = tuple.__new__


def __getattr__(name: str) -> Any:
    """`WebhookMiddleware` is loaded when somebody asks for it: most services receive no webhooks."""
    if name != "WebhookMiddleware":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .webhooks.receiving.wsgi import WebhookMiddleware

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
        authorize: says who may enter. It is given each request, as Werkzeug's ``Request``, and returns a
            `keystile.manage.Authority`, a `keystile.manage.dashboard.Redirect` to where people sign in, or None.
            It is plain. There is no default, and an API key is no login.
        public_url: the URL that people see, where the request does not say it; by default that of the gate. Only
            browsers without Fetch Metadata need it.
        embed_in: origins of pages that may show these in a frame; by default none may.
        sign_out: where its button leads to sign out, a path or a URL of the host's; None shows no button.
        live: whether there is a page that shows what this process refuses. docs/guides/live.md says more.
        outbox: where webhook endpoints are kept; with it there are pages about them.

    Raises:
        ConfigurationError: an argument is wrong, or Jinja is not installed.
    """
    from .manage.dashboard.apps import wsgi_app

    return wsgi_app(
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
        authorize: for a host that has logins of its own: a plain function that gets Werkzeug's `Request` and gives a
            `keystile.manage.Authority`, or None for nobody. Requests that change something are then accepted only as
            JSON, from pages of the same origin.
        field_case: how the names of members are written: ``"snake"`` or ``"camel"``.
        public_openapi: whether everybody who reaches it may read ``openapi.json``.
        live: whether ``events`` is a stream of what this process refuses. docs/guides/live.md says more.
        outbox: where webhook endpoints are kept; with it, whoever has `webhooks:read` or `webhooks:manage` gets at
            those of their organization.

    Raises:
        ConfigurationError: an argument cannot be used, the gate has no secret to sign the cursors of lists with, or its
            store or its limiter is async.
    """
    from .manage.wsgi import management_app

    return management_app(
        gate, authorize=authorize, field_case=field_case, public_openapi=public_openapi, live=live, outbox=outbox
    )


def _managed(app: App, gate: Gate, outbox: Outbox | None) -> App:
    if gate.policy.management is None:
        check_alone(outbox)
        return app
    from .manage.wsgi import Mounted

    return Mounted(app, gate, outbox)


class GateMiddleware(Following):
    """Lets a request through to the app, or answers it.

    A handler finds the `Current` in ``environ["keystile.admitted"]`` and, while the app is being called, through
    `keystile.current()`. The app's own iterable goes to the server unchanged, so that ``wsgi.file_wrapper``, streams
    and ``close()`` work as without the gate, except where an envelope is put around it or a rule reserves units. Code
    that runs while the iterable is iterated reads ``environ``.

    Args:
        app: any WSGI application.
        gate: decides on each request; neither its store nor its limiter may be async.
        outbox: where webhook endpoints are kept, for a gate that serves the management API.

    Raises:
        ConfigurationError: `gate` is not a Gate or stands before this app already, its store or its limiter is async,
            it reads keys from subprotocols of websockets, the app cannot be called as a WSGI app, or there is an outbox
            and no management API.
    """

    def __init__(self, app: App, gate: Gate, *, outbox: Outbox | None = None) -> None:
        if not isinstance(gate, Gate):
            raise ConfigurationError(f"expected a Gate, got {type(gate).__name__}", key="gate")
        check_app(app, "wsgi")
        if gate.needs_await:
            key = "store" if gate.keys.needs_await else "limiter"
            raise ConfigurationError(f"the {key} is async: WSGI needs one with plain methods", key=key)
        self.app = _managed(app, gate, outbox)
        self._follow(app, gate)
        run_now(gate.limits.open(inline))

    def _serve(self, gate: Gate) -> None:
        if gate.policy.management is not None:
            from .manage.mounting import place_of

            place_of(gate)
        if gate.accepted.subprotocols:
            reason = "'Sec-WebSocket-Protocol' is for websockets, which WSGI does not have: use keystile.asgi"
            raise ConfigurationError(reason, key="accept")
        reader, self._conceal = Reader(gate), concealer(gate)
        self._read = reader.read
        self._glance = glancer(gate, reader) if self._conceal is None else None
        self._writers: Writers[str] = Writers(gate, str)
        sender = Sender(gate, self._writers)
        self._with_fields, self._refuse = sender.with_fields, sender.refuse
        self._with_cors = sender.with_cors if gate.policy.cors_origins else None
        self._shape, self._charge = shaper(gate), charger(gate)
        self._rechecks = gate.policy.recheck_in_flight

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        self = self._now  # noqa: PLW0642 - the whole request meets one policy
        if self._with_cors is not None:
            start_response = self._with_cors(start_response, environ)
        gate, request = self._gate, None
        outcome: Any = None
        admit = gate.admit  # read once: another thread may replace it
        if admit is not None and self._glance is not None:
            outcome = self._glance(environ, admit)
        if outcome is None:
            request = self._read(environ)
            outcome = run_now(gate.check(request, inline))  # anew each time: `keystile.testing` replaces it
            if self._conceal is not None:
                self._conceal(environ, outcome)
        if isinstance(outcome, Refused):
            return self._refuse(outcome, environ, start_response)
        shape = None if self._shape is None else self._shape(outcome)
        charged = None if self._charge is None else self._charge(outcome)
        current = environ["keystile.admitted"] = _new(Current, (outcome, shape, charged, gate))
        if charged is None and shape is None and not self._rechecks:
            token = enter(current)
            try:
                return self.app(environ, self._with_fields(start_response, outcome))
            finally:
                leave(token)
        request = self._read(environ) if request is None else request
        if charged is not None:
            return self._settled(current, charged, request, environ, start_response)
        if self._rechecks and outcome.principal is not None:
            return self._rechecked(current, request, environ, start_response)
        return self._answered(current, request, environ, start_response)

    def _settled(
        self, current: Current, charged: Charged, request: Request, environ: Environ, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Run the app where units are reserved. What it used is settled when its output has ended, in whatever way."""

        def settle() -> None:
            run_now(self._gate.settle(current.admitted, charged.close(), inline))

        answer = self._rechecked if self._rechecks and current.principal is not None else self._answered
        try:
            body = answer(current, request, environ, start_response)
        except BaseException:
            settle()
            raise
        return settled(body, settle)

    def _answered(
        self, current: Current, request: Request, environ: Environ, start_response: StartResponse
    ) -> Iterable[bytes]:
        if current.shape is not None:
            return self._shaped(current, current.shape, request, environ, start_response)
        token = enter(current)
        try:
            return self.app(environ, self._with_fields(start_response, current.admitted))
        finally:
            leave(token)

    def _rechecked(
        self, current: Current, request: Request, environ: Environ, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Run the app where its caller is judged again before the answer leaves."""
        held = HeldAnswer(
            start_response,
            lambda: run_now(self._latest.recheck(current.admitted, request, inline)),
            lambda refused: self._refuse(refused, environ, start_response),
        )
        return held.body(self._answered(current, request, environ, held.start))

    def _shaped(
        self, current: Current, shape: Shape, request: Request, environ: Environ, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Run the app where the body must be JSON or the answer gets the envelope."""
        admitted = current.admitted
        if shape.json:
            reason = read_json(environ, self._gate.policy.max_json_body)
            refused = None if reason is None else self._gate.refuse(reason, admitted, request)
            if refused is not None:
                return self._refuse(refused, environ, start_response)
        if not shape.envelope:
            return self._run(current, environ, self._with_fields(start_response, admitted))
        shape.target = target_of(environ)
        answering = Answering(start_response, environ, admitted, shape, self._writers, self._raises)
        encodings = environ.pop("HTTP_ACCEPT_ENCODING", None)  # an encoded answer could not be put into the envelope
        try:
            return answering.body(self._run(current, environ, answering.start))
        except Exception as error:  # noqa: BLE001 - whatever it is, the client is told that the app failed
            return answering.failed(error)
        finally:
            if encodings is not None:
                environ["HTTP_ACCEPT_ENCODING"] = encodings

    def _raises(self) -> bool:
        asked = self._gate.policy.propagate_exceptions
        return wants_exceptions(self.app) if asked is None else asked

    def _run(self, current: Current, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        token = enter(current)
        try:
            return self.app(environ, start_response)
        finally:
            leave(token)
