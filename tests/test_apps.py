"""Which apps a door turns away when it is built: those that cannot be one, and no others."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from typing import Any
from wsgiref.validate import validator

import fastapi
import flask
import pytest
import starlette.applications
from asgiref.compatibility import guarantee_single_callable
from asgiref.wsgi import WsgiToAsgi
from django.core.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from starlette.endpoints import HTTPEndpoint
from starlette.middleware.gzip import GZipMiddleware

from keystile import ConfigurationError, Gate, asgi, wsgi
from keystile.doors.apps import check_app, fits

GATE = Gate()


async def asgi_app(scope: Any, receive: Any, send: Any) -> None: ...


def wsgi_app(environ: Any, start_response: Any) -> list[bytes]:
    return []


def double(scope: Any) -> Callable[..., Any]:
    async def instance(receive: Any, send: Any) -> None: ...

    return instance


def gives_awaitable(scope: Any, receive: Any, send: Any) -> Any:
    return asgi_app(scope, receive, send)


def decorated(app: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(app)
    def around(*args: Any) -> Any:
        return app(*args)

    return around


@wraps(wsgi_app)
async def bridged(scope: Any, receive: Any, send: Any) -> None: ...


class Object:
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...

    def method(self, environ: Any, start_response: Any) -> list[bytes]:
        return []


class Plain:
    def __call__(self, environ: Any, start_response: Any) -> list[bytes]:
        return []


class OldStyle:
    """The class of PEP 3333's own example: an instance is the answer."""

    def __init__(self, environ: Any, start_response: Any) -> None: ...

    def __iter__(self) -> Any:
        return iter(())


class Service:
    """A class that somebody forgot to make an instance of; its arguments would fit anything."""

    def __init__(self, files: Any = None, immutables: Any = None, settings: Any = None) -> None: ...

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...


class Made:
    def __new__(cls, *args: Any) -> Any:
        return asgi_app(*args)


class Unreadable:
    def __call__(self, *args: Any) -> Any: ...

    __signature__ = "nothing that inspect can read"


ASGI: dict[str, Any] = {
    "function": asgi_app,
    "object": Object(),
    "partial": partial(asgi_app),
    "partial of more": partial(lambda more, scope, receive, send: None, 1),
    "plain function that gives an awaitable": gives_awaitable,
    "FastAPI": fastapi.FastAPI(),
    "Starlette": starlette.applications.Starlette(),
    "Starlette's middleware": GZipMiddleware(asgi_app),
    "Starlette's endpoint, a class": HTTPEndpoint,
    "Django": ASGIHandler.__new__(ASGIHandler),
    "WSGI within": WsgiToAsgi(wsgi_app),
    "made single": guarantee_single_callable(double),
    "behind a gate": asgi.GateMiddleware(asgi_app, GATE),
    "wraps a WSGI app": bridged,
}
WSGI: dict[str, Any] = {
    "function": wsgi_app,
    "object": Plain(),
    "method": Object().method,
    "partial": partial(wsgi_app),
    "class": OldStyle,
    "Flask": flask.Flask("test"),
    "Flask's own": flask.Flask("test").wsgi_app,
    "Django": WSGIHandler.__new__(WSGIHandler),
    "behind a gate": wsgi.GateMiddleware(wsgi_app, GATE),
}
EITHER: dict[str, Any] = {
    "anything": lambda *args: None,
    "two or three": lambda a, b, c=None: None,
    "builtin": print,
    "decorated ASGI": decorated(asgi_app),
    "decorated WSGI": decorated(wsgi_app),
    "validated": validator(wsgi_app),
    "a class that makes something else": Made,
    "unreadable": Unreadable(),
}
NEITHER: dict[str, Any] = {
    "factory": lambda: None,
    "ASGI 2": double,
    "an application's class": Service,
    "FastAPI's class": fastapi.FastAPI,
    "Flask's class": flask.Flask,
}


@pytest.mark.parametrize("app", [*ASGI.values(), *EITHER.values()], ids=[*ASGI, *EITHER])
def test_what_may_be_an_asgi_app_is_taken(app: Any) -> None:
    assert fits(app, "asgi")
    check_app(app, "asgi")


@pytest.mark.parametrize("app", [*WSGI.values(), *EITHER.values()], ids=[*WSGI, *EITHER])
def test_what_may_be_a_wsgi_app_is_taken(app: Any) -> None:
    assert fits(app, "wsgi")
    check_app(app, "wsgi")


@pytest.mark.parametrize("app", WSGI.values(), ids=list(WSGI))
def test_the_asgi_door_refuses_a_wsgi_app_when_it_is_built(app: Any) -> None:
    assert not fits(app, "asgi")
    with pytest.raises(ConfigurationError, match=r"^app: it is a WSGI app: use keystile\.wsgi$"):
        asgi.GateMiddleware(app, gate=GATE)


@pytest.mark.parametrize("app", ASGI.values(), ids=list(ASGI))
def test_the_wsgi_door_refuses_an_asgi_app_when_it_is_built(app: Any) -> None:
    assert not fits(app, "wsgi")
    with pytest.raises(ConfigurationError, match=r"^app: it is an ASGI app: use keystile\.asgi$"):
        wsgi.GateMiddleware(app, gate=GATE)


@pytest.mark.parametrize("app", NEITHER.values(), ids=list(NEITHER))
def test_what_neither_door_can_call_is_refused_by_both(app: Any) -> None:
    for door in (asgi, wsgi):
        with pytest.raises(ConfigurationError, match=r"^app: it is not an app for (?:A|W)SGI: .*is it a factory\?"):
            door.GateMiddleware(app, gate=GATE)
