"""FastAPI: the gate, the caller in handlers, and a document that tells of both. Needs the extra ``[fastapi]``."""

# Annotations are values here: FastAPI reads those of what it calls.
from typing import Annotated, Any

from ..asgi import GateMiddleware
from ..exceptions import ConfigurationError
from ..gate import Gate
from ..model import Principal
from ..openapi import REQUIRED, Described, templates_of
from .refusing import Refusal, caller_of, check_scopes, passed, reply_to, wanted_scopes

try:
    from fastapi import Depends, FastAPI, HTTPException, Response, Security, routing
    from fastapi.middleware.cors import CORSMiddleware
    from fastapi.requests import HTTPConnection
    from fastapi.security import OAuth2
    from fastapi.websockets import WebSocket
except ImportError:
    raise ImportError("keystile.integrations.fastapi needs FastAPI: pip install 'keystile[fastapi]'") from None

__all__ = ["CurrentPrincipal", "OptionalPrincipal", "install", "install_docs", "require", "require_scopes"]

_CORS_FIRST = (
    "its CORSMiddleware would run inside the gate, so that browsers could not read refusals: call install first and "
    "app.add_middleware(CORSMiddleware, ...) after it, or set cors_origins on the gate instead"
)


def install(app: FastAPI, gate: Gate, *, openapi: bool = True, errors: bool = True) -> None:
    """Put a gate in front of an app. A second call with the same gate does nothing.

    Args:
        app: before its first request, and before it gets its CORSMiddleware.
        gate: decides on each request.
        openapi: whether the app's document tells of the gate, see `keystile.openapi.describe`.
        errors: whether `require` and `CurrentPrincipal` refuse as the gate does, and not by an HTTPException.

    Raises:
        ConfigurationError: `app` is none of FastAPI's, has started, has another gate, or has CORSMiddleware inside it.
    """
    _check(app, gate)
    layers: list[Any] = list(app.user_middleware)  # the outermost first
    own = next((at for at, each in enumerate(layers) if each.cls is GateMiddleware), None)
    if own is not None and layers[own].kwargs.get("gate") is not gate:
        raise ConfigurationError("the app has another gate already", key="gate")
    _check_fresh(app, own is not None)
    if any(isinstance(each.cls, type) and issubclass(each.cls, CORSMiddleware) for each in layers[own or 0 :]):
        raise ConfigurationError(_CORS_FIRST, key="app")
    if own is None:
        app.add_middleware(GateMiddleware, gate=gate)
    _tell(app, gate, "", openapi=openapi, errors=errors)


def install_docs(app: FastAPI, gate: Gate, *, prefix: str, errors: bool = True) -> None:
    """What `install` does for document and errors, for an app that is mounted at `prefix` (``"/admin"``) in one behind
    the gate. Arguments and errors are as there; and the prefix must be a path.
    """
    _tell(app, gate, prefix, openapi=True, errors=errors)


def _check(app: Any, gate: Any) -> None:
    for key, value, kind in (("app", app, FastAPI), ("gate", gate, Gate)):
        if not isinstance(value, kind):
            raise ConfigurationError(f"expected a {kind.__name__}, got {type(value).__name__}", key=key)


def _check_fresh(app: FastAPI, done: bool) -> None:
    if not done and app.middleware_stack is not None:
        raise ConfigurationError("the app has started: call this before its first request", key="app")


def _tell(app: FastAPI, gate: Gate, prefix: str, *, openapi: bool, errors: bool) -> None:
    _check(app, gate)
    if openapi and not isinstance(app.openapi, Described):
        app.openapi = Described(app.openapi, gate, prefix, lambda: _templates(app))  # type: ignore[method-assign]
    if errors:
        _check_fresh(app, Refusal in app.exception_handlers)
        app.add_exception_handler(Refusal, _answer)  # type: ignore[arg-type]


def _templates(app: FastAPI) -> dict[str, str]:
    """What routes match, by the paths of the document: these do not tell that a parameter holds several segments."""
    within: Any = getattr(routing, "iter_route_contexts", iter)  # in older versions all routes stand in one list
    routes = [each for each in within(app.routes) if getattr(each, "path_format", None)]
    return templates_of((each.path_format, each.path) for each in routes)


async def _answer(connection: HTTPConnection, refusal: Refusal) -> Response | None:
    reply = reply_to(refusal, connection.headers.get("accept", ""))
    response = Response(reply.body, reply.status, dict(reply.headers))
    if not isinstance(connection, WebSocket):
        return response
    if "websocket.http.response" in connection.scope.get("extensions", {}):
        await connection.send_denial_response(response)
    else:
        await connection.close(1008)
    return None


def _raised(connection: HTTPConnection, refusal: Refusal) -> Exception:
    """What to raise: the refusal, or what an app knows that is without the handler."""
    if Refusal in getattr(connection.scope.get("app"), "exception_handlers", ()):
        return refusal
    return HTTPException(*refusal.plainly())


async def _caller(connection: HTTPConnection) -> Principal:
    try:
        return caller_of(*passed(connection.scope))
    except Refusal as refusal:
        raise _raised(connection, refusal) from None


async def _principal(connection: HTTPConnection) -> Principal | None:
    return passed(connection.scope)[0].principal


CurrentPrincipal = Annotated[Principal, Depends(_caller)]
"""Who is calling. Where the key is optional and none came, the request is refused with 401."""
OptionalPrincipal = Annotated[Principal | None, Depends(_principal)]
"""Who is calling, or None: on a public path, without a key on an optional one, or in dry run of the gate."""


class _Required(OAuth2):
    """A dependency that shows in the document, where `describe` finds the scopes: older versions show no others'."""

    def __init__(self, scopes: frozenset[str]) -> None:
        super().__init__(scheme_name=REQUIRED)
        self._scopes = scopes

    async def __call__(self, connection: HTTPConnection) -> None:
        current, *told = passed(connection.scope)
        try:
            check_scopes(current, self._scopes, *told)
        except Refusal as refusal:
            raise _raised(connection, refusal) from None


def require(*scopes: str) -> Any:
    """Require all of these scopes, of a route, a router or an app: ``dependencies=[require("exports:write")]``.

    It is checked inside the app, when the request has been counted; a scope in a `Rule` before that, and everywhere.
    """
    wanted = wanted_scopes(scopes)
    return Security(_Required(wanted), scopes=sorted(wanted))


require_scopes = require
