"""The configured app behind the gate: real servers over services that know nothing of keystile."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from keystile import ConfigurationError
from keystile.config.file import load
from keystile.wrap import find_apps

ASGI_SERVICE = """
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route


async def answer(request):
    return PlainTextResponse("hello")


class Holder:
    app = Starlette(routes=[Route(path, answer) for path in ("/health", "/v1/things", "/v1/exports")])
"""
WSGI_SERVICE = """
from flask import Flask


class Holder:
    app = Flask(__name__)


@Holder.app.get("/health")
@Holder.app.get("/v1/things")
@Holder.app.get("/v1/exports")
def answer():
    return "hello"
"""
CONFIGURATION = """
store = "sqlite:///keys.db"
prefix = "acme"
public = ["/health"]
app = "service.main:Holder.app"
[[rules]]
match = "/v1/exports"
scopes = ["exports:read"]
"""
MEMORY = 'store = "memory://"\n'
SERVERS = {
    "uvicorn": (ASGI_SERVICE, ["-m", "uvicorn", "keystile.wrap:asgi", "--port", "0"]),
    "gunicorn": (WSGI_SERVICE, ["-m", "gunicorn", "keystile.wrap:wsgi", "--bind", "127.0.0.1:0", "--workers", "2"]),
}
_LISTENING = re.compile(r"(?:running on|Listening at:) (http://127\.0\.0\.1:[1-9]\d*)")


def service(folder: Path, code: str, configuration: str = CONFIGURATION) -> Path:
    """A folder with a service and a configuration."""
    package = folder / "service"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "main.py").write_text(code)
    (folder / "keystile.toml").write_text(configuration)
    return folder


def environment(home: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("KEYSTILE_", "GUNICORN_"))}
    return kept | {"HOME": str(home)} | more


@contextmanager
def serving(folder: Path, command: list[str], **more: str) -> Iterator[httpx.Client]:
    """A client of a server that runs in this folder."""
    with subprocess.Popen(
        [sys.executable, *command], cwd=folder, env=environment(folder, **more), stderr=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stderr is not None
            said = ""
            while (found := _LISTENING.search(said)) is None:
                line = server.stderr.readline()
                assert line, f"the server ended: {said}"
                said += line
            with httpx.Client(base_url=found[1], timeout=30, trust_env=False) as client:
                yield client
        finally:
            server.terminate()
            server.communicate()


def keystile(folder: Path, *arguments: str) -> str:
    """What the command prints."""
    command = [sys.executable, "-m", "keystile", *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment(folder), check=True, capture_output=True, text=True
    ).stdout


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_guards_a_service_that_knows_nothing_of_it(name: str, tmp_path: Path) -> None:
    code, command = SERVERS[name]
    folder = service(tmp_path, code)
    made = json.loads(keystile(folder, "keys", "create", "ci", "--json"))
    with serving(folder, command) as client:
        assert client.get("/health").text == "hello"
        assert client.get("/v1/things").json()["error"]["code"] == "missing_api_key"
        assert client.get("/v1/things", headers=bearer("acme_live_wrong")).status_code == 401
        for _ in range(10):  # so that every worker has proved the key once
            assert client.get("/v1/things", headers=bearer(made["secret"])).text == "hello"
        assert client.get("/v1/exports", headers=bearer(made["secret"])).status_code == 403
        keystile(folder, "keys", "revoke", made["key"]["id"], "--yes")
        refused = client.get("/v1/things", headers=bearer(made["secret"]))
        assert refused.status_code == 401
        assert refused.json()["error"]["code"] == "revoked_api_key"


@pytest.mark.parametrize("name", SERVERS)
def test_the_limits_of_the_file_hold_over_all_workers(name: str, tmp_path: Path) -> None:
    code, command = SERVERS[name]
    limits = 'limiter = "sqlite:///keys.db"\ndefault_plan = "free"\nplans.free.limits = "4/minute"\n'
    folder = service(tmp_path, code, limits + CONFIGURATION)
    made = json.loads(keystile(folder, "keys", "create", "ci", "--json"))
    with serving(folder, command) as client:
        answers = [client.get("/v1/things", headers=bearer(made["secret"])) for _ in range(6)]
        assert [answer.status_code for answer in answers] == [200] * 4 + [429] * 2
        assert [answer.headers["x-ratelimit-remaining"] for answer in answers] == ["3", "2", "1", "0", "0", "0"]
        assert answers[-1].json()["error"]["code"] == "rate_limited"
        keystile(folder, "limits", "reset", made["key"]["id"])
        assert client.get("/v1/things", headers=bearer(made["secret"])).text == "hello"


def test_a_key_that_is_made_while_the_server_runs_is_let_through(tmp_path: Path) -> None:
    code, command = SERVERS["gunicorn"]
    folder = service(tmp_path, code)
    with serving(folder, command) as client:
        secret = keystile(folder, "keys", "create", "ci", "--scope", "exports:read").strip()
        assert client.get("/v1/exports", headers=bearer(secret)).text == "hello"


def test_the_file_may_lie_elsewhere(tmp_path: Path) -> None:
    code, command = SERVERS["uvicorn"]
    folder = service(tmp_path, code)
    etc = tmp_path / "etc"
    etc.mkdir()
    file = (folder / "keystile.toml").rename(etc / "gate.toml")
    secret = keystile(folder, "-c", str(file), "keys", "create", "ci").strip()
    with serving(folder, command, KEYSTILE_CONFIG=str(file)) as client:
        assert client.get("/v1/things", headers=bearer(secret)).text == "hello"
    assert (etc / "keys.db").is_file()
    assert not (folder / "keys.db").exists()


def asked(folder: Path, code: str) -> subprocess.CompletedProcess[str]:
    """What a fresh interpreter does with this code; `-P` keeps the working directory off its path at first."""
    command = [sys.executable, "-P", "-W", "error", "-c", code]
    return subprocess.run(command, cwd=folder, env=environment(folder), check=False, capture_output=True, text=True)


APPS = {
    "missing": ("x = 1", None, "asgi", "is missing"),
    "no attribute named": ("x = 1", "service.main", "asgi", "expected 'module:attribute'"),
    "no package": ("x = 1", "nothing.main:app", "asgi", "there is no module 'nothing.main'"),
    "no module": ("x = 1", "service.other:app", "wsgi", "there is no module 'service.other'"),
    "module in a module": ("x = 1", "service.main.deep:app", "wsgi", "there is no module 'service.main.deep'"),
    "no attribute": ("x = 1", "service.main:app", "asgi", "'service.main' has no attribute 'app'"),
    "no dotted attribute": ("x = 1", "service.main:x.app", "asgi", "has no attribute 'x.app'"),
    "not callable": ("app = 'an app'", "service.main:app", "asgi", "str cannot be called"),
    "a factory": ("def app(): pass", "service.main:app", "asgi", "is it a factory?"),
    "a class": (
        "class App:\n    def __init__(self, files=None, config=None, plugins=None): pass\n"
        "    def __call__(self, environ, start_response): pass",
        "service.main:App",
        "asgi",
        "is it a factory? App is a class: name an app that it makes",
    ),
    "the class of ASGI apps": (
        "from starlette.applications import Starlette",
        "service.main:Starlette",
        "asgi",
        "is it a factory? Starlette is a class",
    ),
    "the class of WSGI apps": ("from flask import Flask", "service.main:Flask", "wsgi", "Flask is a class"),
    "a WSGI app": (
        "def app(environ, start_response): pass",
        "service.main:app",
        "asgi",
        "it is a WSGI app: use keystile.wrap:wsgi",
    ),
    "a Flask app": (WSGI_SERVICE, "service.main:Holder.app", "asgi", "it is a WSGI app: use keystile.wrap:wsgi"),
    "an ASGI app": (
        "async def app(scope, receive, send): pass",
        "service.main:app",
        "wsgi",
        "it is an ASGI app: use keystile.wrap:asgi",
    ),
    "a Starlette app": (ASGI_SERVICE, "service.main:Holder.app", "wsgi", "it is an ASGI app: use keystile.wrap:asgi"),
    "itself": ("x = 1", "keystile.wrap:asgi", "asgi", "name the service's own app"),
    "asks for itself": ("from keystile.wrap import wsgi as app", "service.main:app", "wsgi", "service's own app"),
    "breaks on an attribute": ("import os; os.nothing", "service.main:app", "asgi", "has no attribute 'nothing'"),
}


@pytest.mark.parametrize(("code", "app", "door", "reason"), APPS.values(), ids=APPS)
def test_an_app_that_cannot_be_served_is_named(
    tmp_path: Path, code: str, app: str | None, door: str, reason: str
) -> None:
    folder = service(tmp_path, code, "" if app is None else f'{MEMORY}app = "{app}"')
    result = asked(folder, f"import keystile.wrap; keystile.wrap.{door}")
    last = result.stderr.splitlines()[-1]
    assert last.startswith("keystile.exceptions.ConfigurationError: keystile.toml: app: ")
    assert reason in last
    assert result.returncode == 1


@pytest.mark.parametrize("missing", ["nothing_like_it", "service.nothing", "nothing.main"])
def test_what_a_service_misses_itself_stays_its_own_error(tmp_path: Path, missing: str) -> None:
    folder = service(tmp_path, f"import {missing}", f'{MEMORY}app = "service.main:app"')
    result = asked(folder, "import keystile.wrap; keystile.wrap.asgi")
    assert result.stderr.splitlines()[-1].startswith("ModuleNotFoundError: No module named")
    assert missing.removesuffix(".main") in result.stderr.splitlines()[-1]


def test_an_app_without_a_store_is_not_served(tmp_path: Path) -> None:
    result = asked(
        service(tmp_path, ASGI_SERVICE, 'app = "service.main:Holder.app"'), "import keystile.wrap as wrap; wrap.asgi"
    )
    assert "keystile.toml: store: is missing: name where the keys are" in result.stderr
    assert result.returncode == 1


def test_an_app_that_comes_from_the_environment_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "keystile.toml").write_text(MEMORY + 'app = "${APP}"')
    settings = load(tmp_path / "keystile.toml", {"APP": "hunter2:app"})
    with pytest.raises(ConfigurationError) as caught:
        find_apps(settings)
    assert "hunter2" not in str(caught.value)
    assert "${APP}" in str(caught.value)


def test_a_broken_configuration_keeps_a_server_from_starting(tmp_path: Path) -> None:
    folder = service(tmp_path, ASGI_SERVICE, 'prefixx = "acme"')
    command = [sys.executable, *SERVERS["uvicorn"][1]]
    result = subprocess.run(command, cwd=folder, env=environment(folder), check=False, capture_output=True, text=True)
    assert result.returncode != 0
    assert "keystile.toml: prefixx: there is no such setting; did you mean 'prefix'?" in result.stderr


def test_importing_the_module_reads_nothing_and_loads_no_door(tmp_path: Path) -> None:
    result = asked(tmp_path, "import keystile.wrap, sys; print([m for m in sys.modules if m[:13] == 'keystile.asgi'])")
    assert (result.stdout, result.stderr) == ("[]\n", "")


def test_an_app_is_built_once_however_many_threads_ask(tmp_path: Path) -> None:
    folder = service(tmp_path, "def app(environ, start_response): pass", f'{MEMORY}app = "service.main:app"')
    code = """
from concurrent.futures import ThreadPoolExecutor
import keystile.wrap
with ThreadPoolExecutor(8) as pool:
    print(len({id(app) for app in pool.map(lambda _: keystile.wrap.wsgi, range(64))}))
"""
    assert asked(folder, code).stdout == "1\n"


def test_an_unknown_name_is_an_attribute_error(tmp_path: Path) -> None:
    assert asked(tmp_path, "import keystile.wrap; keystile.wrap.app").stderr.endswith(
        "AttributeError: module 'keystile.wrap' has no attribute 'app'\n"
    )


STARTED = """
from contextlib import asynccontextmanager
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route


def make(name, fails=False):
    @asynccontextmanager
    async def lifespan(app):
        with open("lifespans", "a") as log:
            print(name, "up", file=log)
        if fails:
            raise RuntimeError("no database")
        yield {"name": name}
        with open("lifespans", "a") as log:
            print(name, "down", file=log)

    async def answer(request):
        return PlainTextResponse(f"{request.state.name} {request.url.path} {request['root_path']}")

    return Starlette(routes=[Route("/things", answer), Route("/", answer)], lifespan=lifespan)
"""
PREFIXED = """
store = "sqlite:///keys.db"
prefix = "acme"
public = ["/billing/*"]
[[apps]]
app = "service.main:make('rest')"
[[apps]]
app = "service.main:make('billing')"
prefix = "/billing"
"""


def test_several_apps_start_once_and_are_served_below_their_prefixes(tmp_path: Path) -> None:
    folder = service(tmp_path, STARTED, PREFIXED)
    secret = keystile(folder, "keys", "create", "ci").strip()
    log = folder / "lifespans"
    with serving(folder, [*SERVERS["uvicorn"][1], "--root-path", "/svc"]) as client:
        assert log.read_text().splitlines() == ["rest up", "billing up"]
        # uvicorn puts its root path before the path, whether or not a proxy has taken it off.
        assert client.get("/billing/things").text == "billing /svc/billing/things /svc/billing"
        assert client.get("/things").json()["error"]["code"] == "missing_api_key"
        assert client.get("/things", headers=bearer(secret)).text == "rest /svc/things /svc"
        assert client.get("/billing", headers=bearer(secret)).headers["location"].endswith("/svc/billing/")
    assert log.read_text().splitlines()[2:] == ["billing down", "rest down"]


def test_an_app_of_several_that_cannot_start_keeps_the_server_from_starting(tmp_path: Path) -> None:
    folder = service(tmp_path, STARTED, PREFIXED.replace("'billing')", "'billing', fails=True)"))
    command = [sys.executable, *SERVERS["uvicorn"][1]]
    result = subprocess.run(command, cwd=folder, env=environment(folder), check=False, capture_output=True, text=True)
    assert result.returncode != 0
    assert "apps[1].app: " in result.stderr
    assert "no database" in result.stderr
    assert (folder / "lifespans").read_text().splitlines() == ["rest up", "billing up", "rest down"]


PREFIXED_FLASK = """
from flask import Flask, request


def make(name):
    app = Flask(name)

    @app.get("/things")
    def answer():
        return f"{name} {request.root_path} {request.path}"

    return app
"""


def test_several_wsgi_apps_are_served_below_their_prefixes(tmp_path: Path) -> None:
    folder = service(tmp_path, PREFIXED_FLASK, PREFIXED)
    secret = keystile(folder, "keys", "create", "ci").strip()
    with serving(folder, SERVERS["gunicorn"][1], SCRIPT_NAME="/svc") as client:
        assert client.get("/svc/billing/things").text == "billing /svc/billing /things"
        assert client.get("/svc/things").status_code == 401
        assert client.get("/svc/things", headers=bearer(secret)).text == "rest /svc /things"


def test_a_root_path_that_the_file_sets_is_taken_off(tmp_path: Path) -> None:
    """For a server that says nothing of it, behind a proxy that takes nothing off."""
    code = ASGI_SERVICE.replace('"/health"', '"/svc/health"').replace('"/v1/things"', '"/svc/v1/things"')
    folder = service(tmp_path, code, 'root_path = "/svc"\n' + CONFIGURATION)
    with serving(folder, SERVERS["uvicorn"][1]) as client:
        assert client.get("/svc/health").text == "hello"
        assert client.get("/svc/v1/things").status_code == 401
        assert client.get("/health").status_code == 404
