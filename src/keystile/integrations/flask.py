"""Flask: the gate before an app, the caller in its views, and its keys on its command line. Needs ``[flask]``.

keystile = Keystile()                       # or Keystile(app, gate=gate)
def create_app():
    app = Flask(__name__)
    app.config["KEYSTILE_CONFIG"] = "keystile.toml"
    keystile.init_app(app)                  # the gate stands before app.wsgi_app
    return app
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any

from ..answers.current import Current
from ..cli.commands import commands_on
from ..config.file import load, open_gate
from ..exceptions import ConfigurationError
from ..gate import Gate
from ..model import Principal
from ..wsgi import GateMiddleware
from .refusing import Refusal, check_scopes, reply_to, wanted_scopes

try:
    from flask import Flask, Response, current_app, request
    from werkzeug.local import LocalProxy
except ImportError:
    raise ImportError("keystile.integrations.flask needs Flask: pip install 'keystile[flask]'") from None

if TYPE_CHECKING:
    from ..webhooks.outbox import Outbox

__all__ = ["Keystile", "current_principal", "require", "require_scopes"]

_NAME, _FILE = "keystile", "KEYSTILE_CONFIG"


@dataclass(frozen=True, slots=True)
class _State:
    """What an app keeps in ``app.extensions["keystile"]``."""

    gate: Gate


class Keystile:
    """Puts the gate before Flask apps. It keeps nothing of an app, so one of it serves all that a factory makes.

    Args:
        app: calls `init_app` with it.
        gate: decides on each request. If None, each app gets a gate of its own, of the file that its
            ``KEYSTILE_CONFIG`` names, or of the usual file.
        outbox: where webhook endpoints are kept, for a gate that serves the management API.

    Raises:
        ConfigurationError: as `init_app`.
    """

    def __init__(self, app: Flask | None = None, *, gate: Gate | None = None, outbox: Outbox | None = None) -> None:
        self._gate, self._outbox = gate, outbox
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Put the gate before this app, and ``flask keystile`` on its command line.

        Raises:
            ConfigurationError: the app has a gate already; a gate was given and the app's config names a file too; or
                as `Gate` and its door.
        """
        if _NAME in app.extensions:
            raise ConfigurationError(f"the app {app.name!r} has a gate already: call init_app once", key="app")
        file, gate = app.config.get(_FILE), self._gate
        if gate is not None and file is not None:
            reason = f"a gate was given, and the config of {app.name!r} has {_FILE}: leave one of them out"
            raise ConfigurationError(reason, key="gate")
        gate = open_gate(load(file)) if gate is None else gate
        app.wsgi_app = GateMiddleware(app.wsgi_app, gate, outbox=self._outbox)  # type: ignore[method-assign]
        app.extensions[_NAME] = _State(gate)
        app.cli.add_command(commands_on(gate, f"the app {app.name!r}"), _NAME)

    @property
    def gate(self) -> Gate:
        """The gate of the app that is being served, or whose context this is."""
        state: _State = current_app.extensions[_NAME]
        return state.gate


def _current() -> Current:
    current: Current | None = request.environ.get("keystile.admitted")
    if current is None:
        # No RuntimeError: a proxy takes that for "nobody is there", and is false.
        raise LookupError("no gate let this request through: call init_app, and send tests through app.test_client()")
    return current


current_principal: Principal = LocalProxy(lambda: _current().principal)  # type: ignore[assignment]
"""Who is calling, in a request. Where nobody need be, on public and optional paths, it is false: ``if
current_principal``. In a thread of your own there is no request: hand over what the thread needs."""


def require(*scopes: str) -> Callable[..., Any]:
    """Have a view, or all of a blueprint, ask for scopes: ``@require("exports:write")`` below the route, or
    ``blueprint.before_request(require("exports:write"))``.

    Who lacks one is answered as by the gate, 403. That comes after the windows have counted the request; the scopes of
    a `Rule` come before, and hold for what has no view too.

    Args:
        scopes: all of them are needed.

    Raises:
        ConfigurationError: there is none, or one is no scope.
    """
    wanted = wanted_scopes(scopes)

    def refused() -> Response | None:
        try:
            check_scopes(_current(), wanted, request.method, request.path)
        except Refusal as refusal:
            reply = reply_to(refusal, request.headers.get("Accept", ""))
            return Response(reply.body, reply.status, reply.headers)
        return None

    def guard(view: Callable[..., Any] | None = None) -> Any:
        if view is None:  # before_request calls it so
            return refused()

        @wraps(view)
        def guarded(*args: Any, **named: Any) -> Any:
            answer = refused()
            return current_app.ensure_sync(view)(*args, **named) if answer is None else answer

        return guarded

    return guard


require_scopes = require
