"""Prefixes that a server or an app takes off a path: the gate takes off the same, with the frameworks and servers that
people use, on real sockets.

A path is let through without a key only if what the app routes is public too, whoever reads it.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from fastapi import FastAPI
from litestar import Litestar, Request
from litestar import get as litestar_get
from quart import Quart
from starlette.applications import Starlette
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from keystile import Gate, HmacHasher, Rule, asgi
from tests.doors import asgi_scope
from tests.selection import some
from tests.servers import COMMANDS, Server, serving

PUBLIC = ["/health", "/static/*"]
RULES = [Rule("/admin", scopes=["admin"])]


def gate(**settings: Any) -> Gate:
    return Gate(prefix="acme", hasher=HmacHasher(b"p" * 16), **{"public": PUBLIC, "rules": RULES} | settings)


def ask_all(
    app: Any, paths: Iterable[str], root_path: str = "", setting: str | None = None
) -> list[tuple[str, int, bytes]]:
    """What requests without a key get: the path, the status and the body of each."""
    guarded, answers = asgi.GateMiddleware(app, gate(root_path=setting)), []

    async def go() -> None:
        for path in paths:
            sent: list[Any] = []
            waiting = [{"type": "http.request", "body": b"", "more_body": False}]

            async def receive(waiting: list[Any] = waiting) -> Any:
                return waiting.pop() if waiting else await anyio.sleep_forever()

            async def send(message: Any, sent: list[Any] = sent) -> None:
                sent.append(message)

            scope = asgi_scope("GET", path, [("host", "x")], "127.0.0.1") | {"root_path": root_path}
            await guarded(scope, receive, send)
            body = b"".join(message.get("body", b"") for message in sent[1:])
            answers.append((path, sent[0]["status"], body))

    anyio.run(go)
    return answers


def ask(app: Any, path: str, root_path: str = "") -> tuple[int, bytes]:
    [(_, status, body)] = ask_all(app, [path], root_path)
    return status, body


def fastapi(root_path: str = "") -> FastAPI:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own root_path is deprecated, and used nevertheless
        app = FastAPI(root_path=root_path)

    async def shown(rest: str) -> str:
        return f"routed /{rest}"

    app.add_api_route("/{rest:path}", shown)
    return app


def litestar() -> Litestar:
    @litestar_get("/{rest:path}")
    async def shown(request: Request[Any, Any, Any]) -> str:
        return f"routed {request.path_params['rest']}"

    return Litestar([shown], openapi_config=None, logging_config=None)


def quart() -> Quart:
    app = Quart(__name__, static_folder=None)

    @app.get("/<path:rest>")
    async def shown(rest: str) -> str:
        return f"routed /{rest}"

    return app


def starlette() -> Starlette:
    async def shown(request: Any) -> PlainTextResponse:
        return PlainTextResponse(f"routed /{request.path_params['rest']}")

    return Starlette(routes=[Route("/{rest:path}", shown)])


APPS = {"fastapi": fastapi, "litestar": litestar, "quart": quart, "starlette": starlette}


def routed(body: bytes) -> str:
    """What the app's router took the path for."""
    return "/" + body.decode().strip('"').removeprefix("routed ").lstrip("/")


def is_public(path: str) -> bool:
    # "/ " is Quart's word for a path outside its root path, which no route but a catch-all has.
    return path in ("/ ", "/health") or path.startswith("/static/")


@pytest.mark.parametrize("root_path", ["", "/api", "/api/", "/a"])
@pytest.mark.parametrize("kind", APPS)
def test_without_a_key_nobody_reaches_what_is_not_public_however_the_app_reads_the_path(
    kind: str, root_path: str
) -> None:
    parts = ["static", "api", "admin", "apistatic", "staticapi", "health", "a"]
    picked = itertools.chain.from_iterable(itertools.permutations(parts, size) for size in (1, 2, 3))
    reached = 0
    for path, status, body in ask_all(APPS[kind](), ["/" + "/".join(each) for each in picked], root_path):
        if status == 200:
            reached += 1
            assert is_public(routed(body)), path
        else:
            assert status in (401, 404), path
    assert reached > (5 if root_path != "/api/" else 0)


@pytest.mark.parametrize(("setting", "root_path"), [("", "/v1"), ("/api", "/v1"), ("/v1", "/api"), ("/api", "/api/v1")])
@pytest.mark.parametrize("kind", APPS)
def test_a_setting_that_the_server_does_not_share_opens_nothing(kind: str, setting: str, root_path: str) -> None:
    parts = ["static", "api", "v1", "admin", "staticv1", "health"]
    picked = itertools.chain.from_iterable(itertools.permutations(parts, size) for size in (1, 2, 3, 4))
    answers = ask_all(APPS[kind](), ["/" + "/".join(each) for each in picked], root_path, setting)
    opened = [(path, routed(body)) for path, status, body in answers if status == 200]
    # By its setting, whoever set it up says that what follows the prefix is public.
    assert [each for each in opened if not is_public(each[1]) and not is_public(each[0].removeprefix(setting))] == []
    assert [each for each in opened if not is_public(each[1]) and root_path in each[0].removeprefix(setting)] == []
    assert "/static/admin" in [path for path, _ in opened]


def test_an_app_s_own_root_path_that_a_setting_does_not_share_opens_nothing() -> None:
    for setting in ("", "/v1"):
        answers = ask_all(fastapi("/api"), ["/static/x", "/static/api/admin", "/api/static/x"], setting=setting)
        assert [path for path, status, _ in answers if status == 200] == ["/static/x"]


@pytest.mark.parametrize("kind", APPS)
def test_what_is_public_is_reached_under_a_root_path(kind: str) -> None:
    status, body = ask(APPS[kind](), "/api/static/x", "/api")
    assert (status, b"routed /static/x" in body) == (200, True)


@pytest.mark.parametrize(
    ("root_path", "path", "status", "expected"),
    [
        ("/api", "/api/health", 200, "/health"),
        ("/api", "/health", 200, "/health"),
        ("/api", "/v1/api-keys", 401, ""),
        ("/api", "/static/api-keys", 200, "/static/api-keys"),
        ("/api", "/static/api/x", 401, ""),
        ("/api/", "/api/health", 401, ""),
        ("/api/", "/health", 200, "/health"),
        ("/api/", "/api//health", 200, "/health"),
        ("", "/health", 200, "/health"),
    ],
)
@pytest.mark.parametrize("wrapped", [False, True])
def test_fastapi_s_own_root_path_is_taken_off_as_it_is(
    root_path: str, path: str, status: int, expected: str, wrapped: bool
) -> None:
    app: Any = fastapi(root_path)
    found, body = ask(GZipMiddleware(app) if wrapped else app, path)
    assert found == status
    assert expected.encode() in body


def test_fastapi_s_own_root_path_is_read_when_it_is_used() -> None:
    app = fastapi()
    guarded = asgi.GateMiddleware(app, gate())
    for root_path, path in (("", "/health"), ("/api", "/api/health"), ("/v2", "/v2/health")):
        app.root_path = root_path
        assert guarded._read(asgi_scope("GET", path, [], None)).path == "/health"


class Folder:
    """An app whose files lie in a folder, as Flask's and Quart's say of themselves."""

    root_path = "/app"

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": f"routed {scope['path']}".encode()})


@pytest.mark.parametrize("wrapped", [False, True])
def test_the_folder_of_an_app_s_files_is_no_prefix_of_its_urls(wrapped: bool) -> None:
    quart_app = quart()
    quart_app.root_path = "/app"  # type: ignore[misc,unused-ignore]
    for app in (Folder(), quart_app):
        around: Any = GZipMiddleware(app) if wrapped else app
        assert ask(around, "/app/health")[0] == 401
        assert ask(around, "/health")[0] == 200
        assert ask(around, "/api/health", "/api")[0] == 200


def test_a_flask_app_behind_the_wsgi_door_has_none_either() -> None:
    from flask import Flask

    from keystile import wsgi

    app = Flask(__name__, root_path="/app", static_folder=None)
    app.add_url_rule("/<path:rest>", view_func=lambda rest: f"routed /{rest}")
    app.wsgi_app = wsgi.GateMiddleware(app.wsgi_app, gate())  # type: ignore[method-assign]
    client = app.test_client()
    assert client.get("/app/health").status_code == 401
    assert client.get("/health").text == "routed /health"


SERVED = """
import warnings
warnings.simplefilter("ignore")
from keystile import Gate, HmacHasher, Rule, asgi
from tests.test_root_paths import APPS, fastapi, gate

litestar_app = asgi.GateMiddleware(APPS["litestar"](), gate())
set_app = asgi.GateMiddleware(APPS["litestar"](), gate(root_path=""))
reset_app = asgi.GateMiddleware(APPS["litestar"](), gate(root_path="/v1"))
quart_app = asgi.GateMiddleware(APPS["quart"](), gate())
inner = APPS["starlette"]()
inner.add_middleware(asgi.GateMiddleware, gate=gate())
starlette_app = inner
own_app = asgi.GateMiddleware(fastapi("/api"), gate())

async def asgi_app(scope, receive, send):
    # /litestar/... is for the app of that name; what is left of the path is the server's word.
    if scope["type"] == "lifespan":
        return await starlette_app(scope, receive, send)
    names = {b"litestar": litestar_app, b"quart": quart_app, b"own": own_app, b"set": set_app, b"reset": reset_app}
    app = names.get(dict(scope["headers"]).get(b"x-app"), starlette_app)
    await app(scope, receive, send)
"""
ROOTED = {
    "uvicorn-rooted": ["uvicorn", "--root-path", "/api", "--port", "{port}", "{module}:asgi_app"],
    "hypercorn-rooted": [
        "hypercorn", "-w", "1", "--root-path", "/api", "-b", "127.0.0.1:{port}", "{module}:asgi_app"
    ],
    "granian-rooted": [
        "granian", "--url-path-prefix", "/api", "--host", "127.0.0.1", "--port", "{port}", "--workers", "1",
        "--interface", "asgi", "{module}:asgi_app",
    ],
}  # fmt: skip
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module", params=some(ROOTED, "uvicorn-rooted"))
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("rooted")
    (folder / "rooted.py").write_text(SERVED)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(COMMANDS, request.param, ROOTED[request.param])
        with serving(request.param, "rooted", folder, PYTHONPATH=str(ROOT)) as server:
            server.kind = request.param
            yield server


@pytest.mark.parametrize("app", ["starlette", "litestar", "quart", "own", "set", "reset"])
def test_a_served_root_path_opens_nothing(server: Server, app: str) -> None:
    headers = {"X-App": app}
    opened = []
    for path in (
        "/static/x",
        "/api/static/x",
        "/static/api/admin",
        "/static/apiadmin",
        "/api/static/api/admin",
        "/api/api/admin",
        "/admin",
        "/api/admin",
        "/apistatic/x",
        "/apihealth",
        "/health/api/admin",
        "/static/api/../admin",
    ):
        answer = server.get(path, headers)
        if answer.status == 200:
            assert is_public(routed(answer.body)), path
            opened.append(routed(answer.body))
        else:
            assert answer.status in (401, 404), path
    # uvicorn puts its root path before every path, and then nothing is public by a setting that takes off another.
    assert ("/static/x" in opened) != (app in ("set", "reset") and server.kind == "uvicorn-rooted"), opened
