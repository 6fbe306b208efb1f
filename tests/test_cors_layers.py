"""Beside other CORS layers, inside and outside of the gate: no field is said twice, and the app's own word stands."""

from __future__ import annotations

from typing import Any

import anyio
import flask
import flask_cors
import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse
from starlette.routing import Route

from keystile import Gate, HmacHasher, asgi, wsgi
from keystile.stores.memory import MemoryStore

PAGE, APPS, OTHER = "https://app.example", "https://own.example", "https://evil.example"
ALLOW, CREDENTIALS, EXPOSE = (
    f"access-control-{name}" for name in ("allow-origin", "allow-credentials", "expose-headers")
)
STORE = MemoryStore()
SECRET = Gate(STORE, prefix="acme", hasher=HmacHasher(b"p" * 16)).keys.create("page").secret


def gate(**settings: Any) -> Gate:
    return Gate(STORE, prefix="acme", hasher=HmacHasher(b"p" * 16), **settings)


async def things(_request: Any) -> Any:
    return JSONResponse({"ok": True}, headers={"X-Total": "1"})


def starlette_app() -> Starlette:
    return Starlette(routes=[Route("/v1/things", things, methods=["GET", "PUT"])])


def flask_app() -> flask.Flask:
    app = flask.Flask(__name__)
    app.add_url_rule("/v1/things", view_func=lambda: {"ok": True}, methods=["GET", "PUT"])
    return app


def with_starlettes(app: Any, *origins: str) -> CORSMiddleware:
    return CORSMiddleware(
        app, allow_origins=origins, allow_methods=["*"], allow_credentials=True, expose_headers=["X-Total"]
    )


def with_flasks(app: flask.Flask, *origins: str) -> flask.Flask:
    flask_cors.CORS(app, origins=list(origins), supports_credentials=True, expose_headers=["X-Total"])
    return app


def outer_flask(inner: Any, *origins: str) -> flask.Flask:
    """Another app whose CORS layer stands outside: it serves the whole of the inner one."""
    app = flask.Flask("outer")

    def serve(**_: str) -> flask.Response:
        return flask.Response.from_app(inner, flask.request.environ)

    app.add_url_rule("/v1/<path:rest>", view_func=serve, methods=["GET", "PUT"])
    return with_flasks(app, *origins)


def call(app: Any, origin: str | None, key: str | None = SECRET, method: str = "GET", **more: str) -> httpx.Response:
    headers = {name.replace("_", "-"): value for name, value in more.items()}
    headers |= {} if origin is None else {"origin": origin}
    headers |= {} if key is None else {"x-api-key": key}
    if isinstance(app, (flask.Flask, wsgi.GateMiddleware)):
        with httpx.Client(transport=httpx.WSGITransport(app), base_url="http://api") as client:
            return client.request(method, "/v1/things", headers=headers)

    async def send() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as client:
            return await client.request(method, "/v1/things", headers=headers)

    return anyio.run(send)


def said(answer: httpx.Response, name: str) -> list[str]:
    values = answer.headers.get_list(name)
    assert len(values) <= 1, f"{name} stands {len(values)} times"
    return values


def gated(kind: str, layer_inside: tuple[str, ...] | None, **settings: Any) -> Any:
    """A gate in front of an app of this kind, with a CORS layer of the app's for these origins, if any."""
    if kind == "starlette":
        app: Any = starlette_app()
        return asgi.GateMiddleware(with_starlettes(app, *layer_inside) if layer_inside else app, gate(**settings))
    host = flask_app()
    if layer_inside:
        with_flasks(host, *layer_inside)
    return wsgi.GateMiddleware(host.wsgi_app, gate(**settings))


def behind(kind: str, app: Any, *origins: str) -> Any:
    """The same behind a CORS layer for these origins."""
    return with_starlettes(app, *origins) if kind == "starlette" else outer_flask(app, *origins)


KINDS = pytest.mark.parametrize("kind", ["starlette", "flask"])


@KINDS
def test_a_layer_inside_speaks_for_its_origins_and_the_gate_for_its_own(kind: str) -> None:
    app = gated(kind, (APPS,), cors_origins=[PAGE])
    answer = call(app, APPS)
    assert [said(answer, name) for name in (ALLOW, CREDENTIALS, EXPOSE)] == [[APPS], ["true"], ["X-Total"]]
    answer = call(app, PAGE)
    assert [said(answer, name) for name in (ALLOW, CREDENTIALS)] == [[PAGE], []]
    assert "X-Request-ID" in said(answer, EXPOSE)[0]
    assert said(call(app, OTHER), ALLOW) == []
    # A refusal never reaches the layer inside: only the gate's own origins may read it.
    assert [said(call(app, origin, key=None), ALLOW) for origin in (APPS, PAGE)] == [[], [PAGE]]


@KINDS
def test_where_both_list_an_origin_the_apps_word_stands_and_is_said_once(kind: str) -> None:
    app = gated(kind, (PAGE,), cors_origins=[PAGE])
    answer = call(app, PAGE)
    assert [said(answer, name) for name in (ALLOW, CREDENTIALS, EXPOSE)] == [[PAGE], ["true"], ["X-Total"]]
    assert "origin" in answer.headers["vary"].lower()
    preflight = call(app, PAGE, None, "OPTIONS", access_control_request_method="PUT")
    assert (preflight.status_code, said(preflight, ALLOW), said(preflight, CREDENTIALS)) == (204, [PAGE], [])


@KINDS
def test_a_layer_outside_of_a_gate_that_says_nothing_of_cors_says_it_all(kind: str) -> None:
    app = behind(kind, gated(kind, None), PAGE)
    for key, status in ((SECRET, 200), (None, 401)):
        answer = call(app, PAGE, key)
        assert answer.status_code == status
        assert [said(answer, name) for name in (ALLOW, CREDENTIALS, EXPOSE)] == [[PAGE], ["true"], ["X-Total"]]
    preflight = call(app, PAGE, None, "OPTIONS", access_control_request_method="PUT")
    assert (preflight.status_code, said(preflight, ALLOW)) == (200, [PAGE])


def test_a_layer_outside_that_replaces_fields_has_the_last_word() -> None:
    app = behind("starlette", gated("starlette", None, cors_origins=[PAGE, APPS]), PAGE)
    answer = call(app, PAGE)
    assert [said(answer, name) for name in (ALLOW, CREDENTIALS, EXPOSE)] == [[PAGE], ["true"], ["X-Total"]]


@KINDS
def test_a_layer_outside_that_does_not_know_an_origin_leaves_what_the_gate_says(kind: str) -> None:
    app = behind(kind, gated(kind, None, cors_origins=[PAGE]), APPS)
    assert said(call(app, PAGE), ALLOW) == [PAGE]
    assert said(call(app, OTHER), ALLOW) == []
