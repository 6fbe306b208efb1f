"""Several apps behind one gate, each below a prefix: `[[apps]]`, at both doors."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystile import ConfigurationError, Gate
from keystile.config.file import load
from keystile.doors.asgi.lifespans import Lifespans
from keystile.doors.asgi.mounts import Mounts as ASGIMounts
from keystile.doors.prefixes import Places
from keystile.doors.wsgi.mounts import Mounts as WSGIMounts
from tests.doors import Door
from tests.test_wrap import asked, service

KINDS = ("wsgi", "asyncio", "trio")
PREFIXES = ("/", "/billing", "/billing/admin", "/files")


def asgi_app(name: str) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        said = f"{name} {scope['root_path']} {scope['path'][len(scope['root_path']) :]}"
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": said.encode()})

    return app


def wsgi_app(name: str) -> Any:
    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [f"{name} {environ['SCRIPT_NAME']} {environ['PATH_INFO']}".encode()]

    return app


class Host:
    """A host of mounted apps, for `Door`."""

    def __init__(self, gate: Gate, prefixes: Iterable[str]) -> None:
        named = [(prefix, f"apps[{at}].app") for at, prefix in enumerate(prefixes)]
        self.asgi = ASGIMounts([(prefix, name, asgi_app(prefix)) for prefix, name in named], gate)
        self.wsgi = WSGIMounts([(prefix, name, wsgi_app(prefix)) for prefix, name in named], gate)


@pytest.fixture(params=KINDS)
def doors(request: pytest.FixtureRequest) -> Iterator[Callable[..., Door]]:
    made: list[Gate] = []

    def opened(prefixes: Iterable[str] = PREFIXES, **settings: Any) -> Door:
        gate = Gate(**{"prefix": "acme", "public": ["/billing/*", "/open"], **settings})
        made.append(gate)
        door = Door(lambda **_: gate, request.param)
        door.host = Host(gate, prefixes)  # type: ignore[assignment]
        door.serve(gate)
        return door

    yield opened
    for gate in made:
        gate.close()


FOUND = {
    "/billing": "/billing /billing ",
    "/billing/": "/billing /billing /",
    "/billing/x": "/billing /billing /x",
    "/billing/admin/x": "/billing/admin /billing/admin /x",
    "/billing/administrator": "/billing /billing /administrator",
    "/billing/billing/x": "/billing /billing /billing/x",
    "/billings": "/  /billings",
    "/x/billing": "/  /x/billing",
    "/": "/  /",
}


@pytest.mark.parametrize("path", FOUND)
def test_the_longest_prefix_wins_on_whole_segments(doors: Callable[..., Door], path: str) -> None:
    door = doors()
    assert door.get(path, door.create().secret).body.decode() == FOUND[path]


def test_rules_are_about_paths_of_the_whole_service(doors: Callable[..., Door]) -> None:
    door = doors()
    assert (door.get("/billing/x").status, door.get("/files/x").status, door.get("/x").status) == (200, 401, 401)


@pytest.mark.parametrize("settings", [{}, {"envelope": True}, {"error_format": "problem"}])
def test_where_no_app_is_the_gate_answers_after_the_key_was_checked(
    doors: Callable[..., Door], settings: dict[str, Any]
) -> None:
    door = doors(("/billing", "/files"), default_plan="free", plans=_plans(), **settings)
    secret = door.create().secret
    assert door.get("/elsewhere").status == 401
    answer = door.get("/elsewhere", secret)
    error = answer.json if settings.get("error_format") else answer.json["error"]
    meta = answer.json if settings.get("error_format") else answer.json["meta"]
    assert (answer.status, error["code"]) == (404, "not_found")
    assert meta["request_id"] == answer.header("x-request-id")
    assert answer.header("x-ratelimit-remaining") == "8"
    assert answer.header("keystile-envelope") is None
    assert int(answer.header("content-length") or 0) == len(answer.body)
    assert door.get("/open").json.get("error", door.get("/open").json)["code"] == "not_found"
    head = door.get("/elsewhere", secret, method="HEAD")
    assert (head.status, head.body) == (404, b"")


def _plans() -> Any:
    from keystile import Plan

    return {"free": Plan("9/minute")}


def test_the_server_s_root_path_comes_before_the_prefix(doors: Callable[..., Door]) -> None:
    door = doors()
    if door.kind == "wsgi":
        door.extra = {"SCRIPT_NAME": "/svc"}
        assert door.get("/billing/x").body == b"/billing /svc/billing /x"
        return
    door.extra = {"root_path": "/svc"}
    assert door.get("/svc/billing/x").body == b"/billing /svc/billing /x"
    assert door.get("/billing/x").body == b"/billing /svc/billing /x"
    assert door.get("/svc/files/x").status == 401


def test_a_slash_at_the_end_of_the_server_s_root_path_is_not_doubled(doors: Callable[..., Door]) -> None:
    door = doors()
    door.extra = {"SCRIPT_NAME": "/svc"} if door.kind == "wsgi" else {"root_path": "/svc/"}
    assert door.get("/billing/x").body == b"/billing /svc/billing /x"


def test_a_root_path_that_is_set_is_taken_off_before_the_prefix(doors: Callable[..., Door]) -> None:
    door = doors(root_path="/svc")
    assert door.get("/svc/billing/x").body == b"/billing /svc/billing /x"
    assert door.get("/svc/files/x").status == 401


def test_an_app_with_a_root_path_of_its_own_is_refused() -> None:
    from fastapi import FastAPI

    gate, own = Gate(), FastAPI()
    own.root_path = "/v2"
    with pytest.raises(ConfigurationError, match=r"apps\[1\].app.*root path of its own, '/v2'.*'/billing'"):
        ASGIMounts([("/", "apps[0].app", FastAPI()), ("/billing", "apps[1].app", own)], gate)


@given(
    st.lists(st.lists(st.sampled_from(["a", "b", "ab"]), max_size=3), unique_by=tuple, max_size=8),
    st.lists(st.sampled_from(["a", "b", "ab", ""]), max_size=6),
)
def test_what_is_found_is_the_longest_prefix_of_whole_segments(prefixes: list[list[str]], path: list[str]) -> None:
    places = Places(("/" + "/".join(each), each) for each in prefixes)
    found = places.find("/" + "/".join(path))
    fitting = [each for each in prefixes if path[: len(each)] == each]
    assert (None if found is None else found.app) == max(fitting, key=len, default=None)


class Told:
    """An app that notes its lifespan."""

    def __init__(self, name: str, log: list[str], fails: str = "") -> None:
        self.name, self.log, self.fails = name, log, fails

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if self.fails == "unknown":
            raise ValueError("only http")
        assert (await receive())["type"] == "lifespan.startup"
        if self.fails == "start":
            await send({"type": "lifespan.startup.failed", "message": "no database"})
            raise RuntimeError("no database")
        self.log.append(f"{self.name} up")
        scope["state"]["name"] = self.name
        await send({"type": "lifespan.startup.complete"})
        if self.fails == "leaves":
            return
        assert (await receive())["type"] == "lifespan.shutdown"
        self.log.append(f"{self.name} down")
        if self.fails == "end":
            raise RuntimeError("cannot end")
        await send({"type": "lifespan.shutdown.complete"})


LIFESPANS = {
    "all": (["", "", ""], ["0 up", "1 up", "2 up", "2 down", "1 down", "0 down"], None),
    "one does not know it": (["", "unknown", ""], ["0 up", "2 up", "2 down", "0 down"], None),
    "one leaves early": (["", "leaves", ""], ["0 up", "1 up", "2 up", "2 down", "0 down"], None),
    "the last fails": (["", "", "start"], ["0 up", "1 up", "1 down", "0 down"], "2: no database"),
    "the first fails": (["start", "", ""], [], "0: no database"),
    "one fails at the end": (
        ["", "end", ""],
        ["0 up", "1 up", "2 up", "2 down", "1 down", "0 down"],
        "1: RuntimeError",
    ),
}


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("which", LIFESPANS)
def test_lifespans_begin_and_end_together(which: str, backend: str) -> None:
    fails, expected, failed = LIFESPANS[which]
    log: list[str] = []
    lifespans = Lifespans((str(at), Told(str(at), log, each)) for at, each in enumerate(fails))
    sent: list[Any] = []
    asked: list[int] = []

    async def receive() -> Any:
        asked.append(1)
        return {"type": "lifespan.startup" if len(asked) == 1 else "lifespan.shutdown"}

    async def send(message: Any) -> None:
        sent.append(message)

    anyio.run(lifespans.run, {"type": "lifespan", "state": {}}, receive, send, backend=backend)
    assert log == expected
    kinds = [message["type"].removeprefix("lifespan.") for message in sent]
    if failed is None:
        assert kinds == ["startup.complete", "shutdown.complete"]
    else:
        up = [] if "start" in fails else ["startup.complete"]
        assert kinds == [*up, "shutdown.failed" if up else "startup.failed"]
        assert sent[-1]["message"] == failed
    assert all(state.get("name") == name for name, state in lifespans.states.items() if f"{name} up" in log)


FILES = {
    "both": ("app = 'a:b'\n[[apps]]\napp = 'a:b'", "apps", "contradicts `app`"),
    "none": ("apps = []", "apps", "is empty"),
    "the same twice": (
        "[[apps]]\napp = 'a:b'\nprefix = '/x'\n[[apps]]\napp = 'a:c'\nprefix = '/x'",
        "apps[1].prefix",
        "'/x' is the prefix of apps[0] too",
    ),
    "no app": ("[[apps]]\nprefix = '/x'", "apps[0].app", "is missing"),
    "a slash at the end": ("[[apps]]\napp = 'a:b'\nprefix = '/x/'", "apps[0].prefix", "write '/x'"),
    "no slash": ("[[apps]]\napp = 'a:b'\nprefix = 'x'", "apps[0].prefix", "expected a path like '/billing'"),
    "two slashes": ("[[apps]]\napp = 'a:b'\nprefix = '//x'", "apps[0].prefix", "expected a path like"),
    "dots": ("[[apps]]\napp = 'a:b'\nprefix = '/x/..'", "apps[0].prefix", "expected a path like"),
    "a pattern": ("[[apps]]\napp = 'a:b'\nprefix = '/x/*'", "apps[0].prefix", "expected a path like"),
    "a parameter": ("[[apps]]\napp = 'a:b'\nprefix = '/{x}'", "apps[0].prefix", "expected a path like"),
    "something else": ("[[apps]]\napp = 'a:b'\npath = '/x'", "apps[0].path", "there is no such setting"),
}


@pytest.mark.parametrize("which", FILES)
def test_a_file_that_cannot_be_meant_is_refused(which: str, tmp_path: Path) -> None:
    text, key, reason = FILES[which]
    (tmp_path / "keystile.toml").write_text(f'store = "memory://"\n{text}\n')
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path / "keystile.toml", {})
    assert caught.value.key == key
    assert reason in caught.value.reason


def test_apps_without_a_store_are_not_served(tmp_path: Path) -> None:
    (tmp_path / "keystile.toml").write_text("[[apps]]\napp = 'a:b'")
    with pytest.raises(ConfigurationError, match="store: is missing"):
        load(tmp_path / "keystile.toml", {})


APPS = """
def plain(environ, start_response): pass
async def other(scope, receive, send): pass
def neither(): pass
"""
MIXED = [("service.main:other", "/"), ("service.main:plain", "/x")]


@pytest.mark.parametrize("door", ["asgi", "wsgi"])
def test_apps_of_two_kinds_are_refused_naming_both(door: str, tmp_path: Path) -> None:
    folder = service(tmp_path, APPS, _apps(MIXED))
    said = asked(folder, f"import keystile.wrap as wrap; wrap.{door}").stderr.splitlines()[-1]
    assert "keystile.toml: apps: apps[0].app ('service.main:other') is an ASGI app and" in said
    assert "apps[1].app ('service.main:plain') a WSGI app" in said


def test_the_one_that_is_no_app_is_named(tmp_path: Path) -> None:
    folder = service(tmp_path, APPS, _apps([("service.main:plain", "/"), ("service.main:neither", "/x")]))
    said = asked(folder, "import keystile.wrap as wrap; wrap.wsgi").stderr.splitlines()[-1]
    assert "keystile.toml: apps[1].app: it is not an app for WSGI" in said
    folder = service(tmp_path / "two", APPS, _apps([("service.main:plain", "/")]))
    said = asked(folder, "import keystile.wrap as wrap; wrap.asgi").stderr.splitlines()[-1]
    assert "keystile.toml: apps[0].app: it is a WSGI app: use keystile.wrap:wsgi" in said


def _apps(listed: Iterable[tuple[str, str]]) -> str:
    entries = "".join(f'[[apps]]\napp = "{app}"\nprefix = "{prefix}"\n' for app, prefix in listed)
    return textwrap.dedent(f'store = "memory://"\n{entries}')
