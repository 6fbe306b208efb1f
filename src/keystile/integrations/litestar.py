"""Litestar: the caller in handlers and guards, and keys in the document. The gate stands outside, before the whole app.

app = GateMiddleware(Litestar([...], plugins=[KeystilePlugin(gate)]), gate=gate)

Litestar's own middleware sees a request after routing, so that a path that is not there would be answered without a
key. So the plugin guards nothing, and an app with the plugin answers nothing unless the gate let the request through.
"""

from __future__ import annotations

from copy import copy
from typing import Any

from litestar import Request, Response
from litestar.config.app import AppConfig
from litestar.connection import ASGIConnection, WebSocket
from litestar.di import NamedDependency, Provide
from litestar.exceptions import WebSocketException
from litestar.handlers import BaseRouteHandler
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.spec import Components, Reference, SecurityScheme
from litestar.plugins import InitPlugin
from litestar.types import ASGIApp, Guard, Receive, Scope, Send

from ..answers.current import Current
from ..exceptions import ConfigurationError
from ..gate import Gate
from ..model import Principal
from ..policy.places import SUBPROTOCOL, place_of
from .refusing import Refusal, caller_of, check_scopes, reply_to, wanted_scopes

__all__ = ["CurrentPrincipal", "KeystilePlugin", "OptionalPrincipal", "require", "require_scopes"]

_NO_GATE = "no gate let this request through: serve GateMiddleware(app, gate=gate) in place of the app"

CurrentPrincipal = NamedDependency[Principal]
"""Of a handler's argument `principal`: who is calling."""
OptionalPrincipal = NamedDependency[Principal | None]
"""Of a handler's argument `optional_principal`: None where nobody need be."""

_NAMES = {
    "Authorization: Bearer": "bearerKey",
    "Authorization: Basic": "basicKey",
    "X-API-Key": "apiKeyHeader",
    "Api-Key": "keyHeader",
}
_SHOWN = (b"bearer", b"basic")
_Connection = ASGIConnection[Any, Any, Any, Any]


class KeystilePlugin(InitPlugin):
    """Gives handlers ``principal`` and ``optional_principal``, sets ``connection.user`` and ``connection.auth``, and
    names in the OpenAPI document where keys are read from.

    Args:
        gate: the one that stands before the app.

    Raises:
        ConfigurationError: `gate` is not a Gate.
    """

    def __init__(self, gate: Gate) -> None:
        if not isinstance(gate, Gate):
            raise ConfigurationError(f"expected a Gate, got {type(gate).__name__}", key="gate")
        self._gate = gate

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        """For Litestar."""
        app_config.middleware.insert(0, _with_user)
        for name, provides in (("principal", _provide), ("optional_principal", _provide_optional)):
            app_config.dependencies.setdefault(name, Provide(provides))
        app_config.exception_handlers[Refusal] = _answer
        if app_config.openapi_config is not None:
            app_config.openapi_config = copy(app_config.openapi_config)  # the host may use its own for another app
            _describe(app_config.openapi_config, self._gate)
        return app_config


def _describe(config: OpenAPIConfig, gate: Gate) -> None:
    """Name the places of keys in the document: each is enough. What rules say of single paths is not in it."""
    schemes: dict[str, SecurityScheme | Reference] = {}
    for form in gate.policy.accept:
        place = place_of(form)
        name = _NAMES.get(form, form.lstrip("?"))
        if place.header == b"authorization":
            if place.scheme in _SHOWN:  # for others, pages that show the document have no field
                schemes[name] = SecurityScheme("http", scheme=place.scheme.decode())
        elif place != SUBPROTOCOL:
            where: Any = "query" if place.is_parameter else "header"
            schemes[name] = SecurityScheme("apiKey", name=form.lstrip("?"), security_scheme_in=where)
    given = config.components
    config.components = [*(given if isinstance(given, list) else [given]), Components(security_schemes=schemes)]
    alternatives: list[dict[str, list[str]]] = [{name: []} for name in schemes]
    config.security = [*(config.security or ()), *alternatives]


def _current(connection: _Connection) -> Current:
    current: Current | None = connection.scope.get("keystile")  # type: ignore[assignment]
    if current is None:
        raise RuntimeError(_NO_GATE)
    return current


def _asked(connection: _Connection) -> tuple[str, str]:
    return str(connection.scope.get("method", "GET")), connection.scope["path"]


async def _provide(request: _Connection) -> Principal:
    """Who is calling. Where the key is optional and none came: 401, as from the gate; a public path has no caller."""
    return caller_of(_current(request), *_asked(request))


async def _provide_optional(request: _Connection) -> Principal | None:
    """Who is calling; None where nobody need be."""
    return _current(request).principal


def require(*scopes: str) -> Guard:
    """A guard that asks for scopes: ``@get("/exports", guards=[require("exports:write")])``, or on a controller, a
    router, the app. Who lacks one is answered as by the gate, 403; a websocket is closed with 1008.

    It comes after the windows have counted the request; the scopes of a `Rule` come before.

    Raises:
        ConfigurationError: there is no scope, or one is no scope.
    """
    wanted = wanted_scopes(scopes)

    async def guard(connection: _Connection, _: BaseRouteHandler) -> None:
        try:
            check_scopes(_current(connection), wanted, *_asked(connection))
        except Refusal as refusal:
            if isinstance(connection, WebSocket):
                raise WebSocketException(detail=str(refusal), code=1008) from None
            raise

    return guard


require_scopes = require


def _with_user(app: ASGIApp) -> ASGIApp:
    async def with_user(scope: Scope, receive: Receive, send: Send) -> None:
        scope["user"] = scope["auth"] = _current(ASGIConnection(scope)).principal
        await app(scope, receive, send)

    return with_user


def _answer(request: Request[Any, Any, Any], refusal: Refusal) -> Response[bytes]:
    reply = reply_to(refusal, request.headers.get("accept", ""))
    kind = dict(reply.headers).get("content-type")
    others = {name: value for name, value in reply.headers if name not in {"content-type", "content-length"}}
    return Response(reply.body, status_code=reply.status, headers=others, media_type=kind)
