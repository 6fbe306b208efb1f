"""Litestar: the caller in handlers and guards, and a document that tells of the gate. Needs the extra ``[litestar]``.

app = GateMiddleware(Litestar([...], plugins=[KeystilePlugin(gate)]), gate=gate)

Litestar's own middleware sees a request after routing, so that a path that is not there would be answered without a
key. So the gate stands outside, the plugin guards nothing, and an app with the plugin answers nothing unless a gate let
the request through.
"""

from __future__ import annotations

from copy import copy
from functools import partial
from typing import Any

from ..exceptions import ConfigurationError
from ..gate import Gate
from ..model import Principal
from ..openapi import Described
from .refusing import Refusal, caller_of, check_scopes, passed, reply_to, wanted_scopes

try:
    from litestar import Request, Response
    from litestar.config.app import AppConfig
    from litestar.connection import ASGIConnection, WebSocket
    from litestar.di import NamedDependency, Provide
    from litestar.exceptions import WebSocketException
    from litestar.handlers import BaseRouteHandler
    from litestar.openapi.config import OpenAPIConfig
    from litestar.openapi.spec import OpenAPI
    from litestar.plugins import InitPlugin, ReceiveRoutePlugin
    from litestar.routes import BaseRoute
    from litestar.types import ASGIApp, Guard, Receive, Scope, Send
except ImportError:
    raise ImportError("keystile.integrations.litestar needs Litestar: pip install 'keystile[litestar]'") from None

__all__ = ["CurrentPrincipal", "KeystilePlugin", "OptionalPrincipal", "require", "require_scopes"]

CurrentPrincipal = NamedDependency[Principal]
"""Of a handler's argument `principal`: who is calling."""
OptionalPrincipal = NamedDependency[Principal | None]
"""Of a handler's argument `optional_principal`: None where nobody need be."""

_Connection = ASGIConnection[Any, Any, Any, Any]


class KeystilePlugin(InitPlugin, ReceiveRoutePlugin):
    """Gives handlers ``principal`` and ``optional_principal``, sets ``connection.user`` and ``connection.auth``, and
    has the OpenAPI document tell of the gate, see `keystile.openapi.describe`.

    Args:
        gate: the one that stands before the app.

    Raises:
        ConfigurationError: `gate` is not a Gate.
    """

    def __init__(self, gate: Gate) -> None:
        if not isinstance(gate, Gate):
            raise ConfigurationError(f"expected a Gate, got {type(gate).__name__}", key="gate")
        self._gate = gate
        self._templates: dict[str, str] = {}

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        """For Litestar."""
        self._templates = {}  # of this app; one plugin may serve several
        documents: list[Described] = []
        app_config.middleware.insert(0, partial(_with_user, documents))
        for name, provide in (("principal", _provide), ("optional_principal", _provide_optional)):
            app_config.dependencies.setdefault(name, Provide(provide))
        app_config.exception_handlers[Refusal] = _answer
        if app_config.openapi_config is not None:
            app_config.openapi_config = self._described(app_config.openapi_config, documents)
        return app_config

    def receive_route(self, route: BaseRoute) -> None:
        """For Litestar. Its document does not say which parameters hold several segments."""
        several = [each.name for each in route.path_parameters.values() if f"{{{each.name}:path}}" in route.path]
        if several:
            template = route.path_format
            for name in several:
                template = template.replace(f"{{{name}}}", f"{{{name}:path}}")
            self._templates[route.path_format] = template

    def _described(self, config: OpenAPIConfig, documents: list[Described]) -> OpenAPIConfig:
        config = copy(config)  # the host may use its own for another app
        make, templates = config.to_openapi_schema, self._templates

        def made() -> OpenAPI:
            document = make()
            told = Described(partial(OpenAPI.to_schema, document), self._gate, "", lambda: templates)
            document.to_schema = told  # type: ignore[method-assign]
            documents[:] = [told]
            return document

        config.to_openapi_schema = made  # type: ignore[method-assign]
        return config


async def _provide(request: _Connection) -> Principal:
    return caller_of(*passed(request.scope))


async def _provide_optional(request: _Connection) -> Principal | None:
    return passed(request.scope)[0].principal


def require(*scopes: str) -> Guard:
    """A guard that asks for scopes: ``@get("/exports", guards=[require("exports:write")])``, or on a controller, a
    router, the app. Who lacks one is answered as by the gate, 403; a websocket is closed with 1008.

    It comes after the windows have counted the request; the scopes of a `Rule` come before.

    Raises:
        ConfigurationError: there is no scope, or one is no scope.
    """
    wanted = wanted_scopes(scopes)

    async def guard(connection: _Connection, _: BaseRouteHandler) -> None:
        current, method, path = passed(connection.scope)
        try:
            check_scopes(current, wanted, method, path)
        except Refusal as refusal:
            if isinstance(connection, WebSocket):
                raise WebSocketException(detail=str(refusal), code=1008) from None
            raise

    return guard


require_scopes = require


def _with_user(documents: list[Described], app: ASGIApp) -> ASGIApp:
    async def with_user(scope: Scope, receive: Receive, send: Send) -> None:
        for document in documents:
            document.renew()  # Litestar asks for it once
        scope["user"] = scope["auth"] = passed(scope)[0].principal
        await app(scope, receive, send)

    return with_user


def _answer(request: Request[Any, Any, Any], refusal: Refusal) -> Response[bytes]:
    reply = reply_to(refusal, request.headers.get("accept", ""))
    fields = dict(reply.headers)
    kind = fields.pop("content-type")
    return Response(reply.body, status_code=reply.status, headers=fields, media_type=kind)
