"""Pyramid: the same as the recipe, whose configuration is closed when it makes the application."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import state
from gates import gate
from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPUnprocessableEntity
from pyramid.response import Response
from recipes.pyramid_recipe import me

from keystile.wsgi import GateMiddleware


def health(request: Any) -> dict[str, str]:
    return state.PUBLIC


def handed(request: Any) -> dict[str, str]:
    return state.handed(request.environ)


def order(request: Any) -> dict[str, str]:
    if not isinstance(request.json_body["count"], int):
        raise HTTPUnprocessableEntity("count is a number")
    return {}


def boom(request: Any) -> None:
    state.boom()


def stream(request: Any) -> Response:
    def chunks() -> Iterator[bytes]:
        yield b"first\n"
        yield state.wait()

    return Response(app_iter=chunks(), content_type="text/plain", charset="utf-8")


def go_on(request: Any) -> dict[str, bool]:
    return state.go_on()


def upload(request: Any) -> dict[str, int]:
    length = 0
    while chunk := request.body_file.read(65_536):
        length += len(chunk)
    return {"length": length}


def task(request: Any) -> dict[str, str]:
    return state.tell_in_a_thread()


def told(request: Any) -> dict[str, list[str]]:
    return state.told()


def seen(handler: Any, registry: Any) -> Any:
    def tween(request: Any) -> Any:
        response = handler(request)
        response.headers["x-seen"] = state.seen()
        return response

    return tween


def things(config: Configurator) -> None:
    for name in ("things", "guarded"):
        config.add_route(name, f"/{name}")
        config.add_view(me, route_name=name, renderer="json")


with Configurator() as config:
    for view, method, *paths in (
        (health, "GET", "/health"),
        (me, "GET", "/v1/me", "/v1/sync", "/v1/limited"),
        (me, "POST", "/v1/exports"),
        (handed, "GET", "/v1/handed"),
        (order, "POST", "/v1/orders"),
        (boom, "GET", "/v1/boom"),
        (stream, "GET", "/v1/stream"),
        (go_on, "POST", "/v1/next"),
        (upload, "POST", "/v1/upload"),
        (task, "POST", "/v1/task"),
        (told, "GET", "/v1/task"),
    ):
        for path in paths:
            config.add_route(f"{method} {path}", path, request_method=method)
            config.add_view(view, route_name=f"{method} {path}", renderer=None if view is stream else "json")
    config.include(things, route_prefix="/sub")
    config.add_tween(f"{__name__}.seen")
    wsgi_app = GateMiddleware(config.make_wsgi_app(), gate=gate)
