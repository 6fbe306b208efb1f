"""What `keystile check` warns about, and what it does not."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from django import conf

from keystile.cli import main
from keystile.cli.checking.routes import Route, routes_of
from tests.redis_server import Server

STORE = 'store = "sqlite:///keys.db"\nprefix = "acme"\n'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("KEYSTILE_CONFIG", "FORWARDED_ALLOW_IPS", "GUNICORN_CMD_ARGS"):
        monkeypatch.delenv(name, raising=False)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith("checked_"):
            del sys.modules[name]


def check(folder: Path, text: str, *options: str) -> Result:
    (folder / "keystile.toml").write_text(text)
    return CliRunner().invoke(main, ["check", *options])


@pytest.fixture
def alone() -> Iterator[None]:
    """As if Django were not set up yet: its settings are one for a process, and other tests have theirs."""
    before = conf.settings._wrapped
    conf.settings._wrapped = conf.empty
    yield
    conf.settings._wrapped = before


def warnings(folder: Path, text: str) -> list[str]:
    result = check(folder, text)
    assert result.exit_code == 0, result.output
    assert all(line.startswith("Warning: ") and line.endswith(".") for line in result.stderr.splitlines())
    return [line.removeprefix("Warning: ") for line in result.stderr.splitlines()]


APPS = {
    "checked_fastapi": """
from fastapi import APIRouter, FastAPI
from starlette.staticfiles import StaticFiles

app = FastAPI(openapi_url=None)
inner = APIRouter(prefix="/in")


@inner.get("/users/{user_id}")
def user(user_id: str): ...


@inner.websocket("/live")
async def live(socket): ...


outer = APIRouter(prefix="/out")
outer.include_router(inner, prefix="/more")
app.include_router(outer, prefix="/v1")


@app.post("/files/{name:path}")
def files(name: str): ...


sub = FastAPI(openapi_url=None)


@sub.get("/things")
def things(): ...


app.mount("/sub", sub)
app.mount("/static", StaticFiles(directory="."))
""",
    "checked_starlette": """
from starlette.applications import Starlette
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles


async def answer(request): ...


inside = Starlette(
    routes=[
        Mount("/v1/out/more/in", routes=[Route("/users/{user_id:int}", answer), WebSocketRoute("/live", answer)]),
        Route("/files/{name:path}", answer, methods=["POST"]),
        Mount("/sub", routes=[Route("/things", answer)]),
        Mount("/static", StaticFiles(directory=".")),
    ]
)
app = GZipMiddleware(inside)
""",
    "checked_flask": """
from flask import Blueprint, Flask

app = Flask(__name__, static_folder=None)
inner = Blueprint("inner", __name__)


@inner.get("/users/<int:user_id>")
@inner.get("/live")
def user(user_id=None): ...


app.register_blueprint(inner, url_prefix="/v1/out/more/in")


@app.post("/files/<path:name>")
def files(name): ...


@app.get("/sub/<any(things, others):which>")
def things(which): ...


@app.get("/static/<path:name>")
def static(name): ...
""",
    "checked_django": """
import django
from django.conf import settings
from django.urls import include, path, re_path

if not settings.configured:
    settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="x" * 50)
    django.setup()


def answer(request, **parts): ...


urlpatterns = [
    path("v1/out/more/in/", include([path("users/<int:user_id>/", answer), path("live", answer)])),
    path("files/<path:name>", answer),
    path("sub/things", answer),
    path("static/", include([re_path(r"^(?P<name>.*)$", answer)])),
]

from django.core.wsgi import get_wsgi_application

app = get_wsgi_application()
""",
}
HELD = (
    "/v1/*",
    "GET /v1/out/more/in/users/{id}",
    "/v1/out/more/in/live",
    "POST /files/x/y/z",
    "/sub/things",
    "/static/deep/down.js",
    "/{any}/*",
    "/*",
)
IDLE = ("/v1/out/more/in/user/{id}", "/v2/*", "/v1/out/more/in/users/7/exports", "/file/*", "/sub")
RULES = "".join(f'[[rules]]\nmatch = "{match}"\nscopes = ["a"]\n' for match in (*HELD, *IDLE))


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("name", APPS)
def test_a_rule_that_no_route_matches_is_named(folder: Path, name: str) -> None:
    (folder / f"{name}.py").write_text(APPS[name])
    told = warnings(folder, f'{STORE}app = "{name}:app"\npublic = ["/nowhere"]\n{RULES}')
    matches = {f"rules[{len(HELD) + at}]": match for at, match in enumerate(IDLE)} | {"public[0]": "/nowhere"}
    assert sorted(told) == sorted(
        f"{key}: no route of {name}:app matches {match!r}, so it holds for nothing: correct it, or leave it out."
        for key, match in matches.items()
    )


@pytest.mark.parametrize("name", ["checked_fastapi", "checked_flask"])
def test_a_rule_for_a_method_that_no_route_has_is_named(folder: Path, name: str) -> None:
    (folder / f"{name}.py").write_text(APPS[name])
    rules = '[[rules]]\nmatch = "GET /files/x"\ncost = 2\n[[rules]]\nmatch = "POST /files/*"\ncost = 2\n'
    assert [line.partition(":")[0] for line in warnings(folder, f'{STORE}app = "{name}:app"\n{rules}')] == ["rules[0]"]


UNKNOWN = {
    "a plain app": "async def app(scope, receive, send): ...",
    "a wrapper that may serve more": (
        "from starlette.applications import Starlette\nclass Wrapper:\n    def __init__(self, app): self.app = app\n"
        "    async def __call__(self, scope, receive, send): ...\napp = Wrapper(Starlette())"
    ),
    "a host": (
        "from starlette.applications import Starlette\nfrom starlette.routing import Host, Router\n"
        "app = Starlette(routes=[Host('{x}.example', Router())])"
    ),
    "a mount with a parameter": (
        "from starlette.applications import Starlette\nfrom starlette.routing import Mount\n"
        "app = Starlette(routes=[Mount('/{x}', Starlette())])"
    ),
    "a route of its own kind": (
        "from starlette.applications import Starlette\nfrom starlette.routing import BaseRoute\n"
        "class Own(BaseRoute): ...\napp = Starlette(routes=[Own()])"
    ),
    "a list that breaks": (
        "from starlette.applications import Starlette\nclass App(Starlette):\n"
        "    routes = property(lambda self: 1 / 0)\napp = App()"
    ),
    "itself again and again": ("from starlette.applications import Starlette\napp = Starlette()\napp.mount('/a', app)"),
}


@pytest.mark.parametrize("which", UNKNOWN)
def test_what_cannot_be_looked_into_is_not_warned_of(folder: Path, which: str) -> None:
    (folder / "checked_other.py").write_text(UNKNOWN[which])
    text = f'{STORE}app = "checked_other:app"\n[[rules]]\nmatch = "/{"a/" * 15}b"\nscopes = ["a"]\n'
    if which == "itself again and again":  # below so many that nobody looks further
        text = text.replace("/b", "")
        from keystile.cli.checking import routes

        assert routes.DEEPEST > 16
        assert any(unknown.startswith("/a" * 16) for unknown in routes_of(_app("checked_other")).unknown)
        return
    assert warnings(folder, text) == []


def _app(name: str) -> Any:
    from importlib import import_module

    return import_module(name).app


def test_routes_have_a_bound() -> None:
    from starlette.applications import Starlette
    from starlette.routing import Route as StarletteRoute

    from keystile.cli.checking.routes import MOST_ROUTES

    async def answer(request: Any) -> Any: ...

    found = routes_of(Starlette(routes=[StarletteRoute(f"/{at}", answer) for at in range(MOST_ROUTES + 10)]))
    assert (len(found.known), found.unknown) == (MOST_ROUTES, [""])
    assert found.known[0] == Route("/0", frozenset({"GET", "HEAD"}))


ENDLESS = """
from starlette.applications import Starlette
from starlette.routing import Mount

print("of the service")
app = Starlette()
app.router.routes += [Mount("/x", app), Mount("/y", app), Mount("/z", app)]
"""


def test_apps_that_hold_each_other_without_end_are_looked_through_to_a_bound(folder: Path) -> None:
    (folder / "checked_endless.py").write_text(ENDLESS)
    text = f"""{STORE}app = "checked_endless:app"\n[[rules]]\nmatch = "/other"\nscopes = ["x"]"""
    result = check(folder, text)
    assert (result.exit_code, result.stderr) == (0, "of the service\n")
    assert result.stdout.startswith("file ")


def test_rules_for_several_apps_are_about_the_whole_service(folder: Path) -> None:
    (folder / "checked_fastapi.py").write_text(APPS["checked_fastapi"])
    text = f'{STORE}[[apps]]\napp = "checked_fastapi:sub"\nprefix = "/one"\n[[apps]]\napp = "checked_fastapi:app"\n'
    rules = "".join(f'[[rules]]\nmatch = "{match}"\ncost = 2\n' for match in ("/one/things", "/things", "/sub/things"))
    assert [line.partition(":")[0] for line in warnings(folder, text + rules)] == ["rules[1]"]


def test_paths_of_the_management_api_are_there(folder: Path) -> None:
    (folder / "checked_fastapi.py").write_text(APPS["checked_fastapi"])
    text = f'{STORE}peppers = ["0123456789abcdef"]\napp = "checked_fastapi:app"\nmanagement.path = "/manage"\n'
    assert warnings(folder, text + '[[rules]]\nmatch = "/manage/*"\nallow = ["10.0.0.1"]\n') == []


DOCS = "from fastapi import FastAPI\napp = FastAPI()\noff = FastAPI(openapi_url=None)\n"
CLOSED = "Swagger UI asks for a key at {}, and a browser sends none"
PAGES = ("/docs", "/redoc", "/openapi.json", "/docs/oauth2-redirect")


@pytest.mark.parametrize(
    ("app", "public", "closed"),
    [
        ("app", [], PAGES),
        ("app", PAGES, None),
        ("app", ["/docs", "/docs/oauth2-redirect", "/redoc"], ["/openapi.json"]),
        ("off", [], None),
    ],
)
def test_pages_that_no_browser_can_open_are_named(folder: Path, app: str, public: Any, closed: Any) -> None:
    (folder / "checked_docs.py").write_text(DOCS)
    told = warnings(folder, f'{STORE}app = "checked_docs:{app}"\npublic = {list(public)}')
    if closed is None:
        assert told == []
    else:
        assert [line.partition(": add")[0] for line in told] == [f"app: {CLOSED.format(', '.join(closed))}"]


def test_a_receiver_of_webhooks_that_needs_a_key_is_named(folder: Path) -> None:
    hook = '[[webhooks.receive]]\nmatch = "/hooks/github"\nscheme = "hex_body"\nheader = "X-Sig"\n'
    hook += 'secrets = ["0123456789abcdef01234567"]\n'
    assert warnings(folder, STORE + hook) == [
        "webhooks.receive[0].match: '/hooks/github' needs a key, and senders have none: add it to public."
    ]
    assert warnings(folder, f'{STORE}public = ["/hooks/*"]\n{hook}') == []


@pytest.mark.parametrize(
    ("name", "value", "warned"),
    [
        ("FORWARDED_ALLOW_IPS", "*", True),
        ("UVICORN_PROXY_HEADERS", "true", True),
        ("UVICORN_PROXY_HEADERS", "false", False),
        ("GUNICORN_CMD_ARGS", "--workers 2 --forwarded-allow-ips='*'", True),
        ("GUNICORN_CMD_ARGS", "--workers 2", False),
    ],
)
def test_a_server_that_is_told_to_replace_the_peer_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, warned: bool
) -> None:
    monkeypatch.setenv(name, value)
    told = warnings(folder, STORE)
    assert len(told) == warned
    assert all(line.startswith(f"server: {name} is set") and "trusted_proxies" in line for line in told)


def test_what_needs_no_key_is_listed(folder: Path) -> None:
    rules = (
        '[[rules]]\nmatch = "GET /open"\npublic = true\n[[rules]]\nmatch = "/either"\npublic = "optional"\n'
        '[[rules]]\nmatch = "/x"\nscopes = ["a"]\n'
    )
    lines = check(folder, f'{STORE}public = ["/health"]\n{rules}').stdout.splitlines()
    shown = [line.split(maxsplit=1) for line in lines]
    assert ["public", "/health"] in shown
    assert ["by", "rules  GET /open"] in shown
    assert ["optional", "/either"] in shown


def test_strict_makes_an_error_of_a_warning(folder: Path) -> None:
    assert check(folder, 'prefix = "acme"\n').exit_code == 0
    strict = check(folder, 'prefix = "acme"\n', "--strict")
    assert strict.exit_code == 1
    assert strict.stderr.startswith("Warning: store: keys in memory end with their process")
    assert check(folder, STORE, "--strict").exit_code == 0


def test_a_redis_that_forgets_windows_is_named(folder: Path, redis_server: Server) -> None:
    text = f'{STORE}limiter = "{redis_server.url}"\n'
    assert warnings(folder, text) == []
    redis_server.command("CONFIG", "SET", "maxmemory-policy", "volatile-lru")
    try:
        assert [line.partition(" (")[0] for line in warnings(folder, text)] == [
            "limiter: maxmemory-policy is volatile-lru: a server that is full forgets windows"
        ]
    finally:
        redis_server.command("CONFIG", "SET", "maxmemory-policy", "noeviction")


def test_a_redis_that_may_not_be_asked_is_no_error(folder: Path, redis_server: Server) -> None:
    redis_server.command("ACL", "SETUSER", "plain", "on", ">word", "~*", "+@all", "-config", "-info")
    url = redis_server.url.replace("://", "://plain:word@")
    try:
        told = warnings(folder, f'store = "{url}"\nlimiter = "{url}"\nprefix = "acme"\n')
    finally:
        redis_server.command("ACL", "DELUSER", "plain")
    assert [line.partition(" (")[0] for line in told] == [
        f"{part}: the server does not tell what it does when it is full" for part in ("store", "limiter")
    ]
