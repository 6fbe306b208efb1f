"""An app, or a gate, that a function makes: `service.main:create_app('prod')`."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystile import ConfigurationError
from keystile.config.importing import ANYTHING, find
from tests.test_wrap import SERVERS, asked, environment, keystile, service, serving

MEMORY = 'store = "memory://"\n'
PUBLIC = MEMORY + 'public = ["/"]\n'
FACTORY = {
    "uvicorn": """
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
{note}

def create(name, *, loud=False):
    note()
    async def answer(request):
        return PlainTextResponse(name.upper() if loud else name)
    return Starlette(routes=[Route("/", answer)])
""",
    "gunicorn": """
from flask import Flask
{note}

def create(name, *, loud=False):
    note()
    app = Flask(__name__)
    app.get("/")(lambda: name.upper() if loud else name)
    return app
""",
}
NOTE = """
import os
def note():
    with open("made.txt", "a") as file:
        file.write(f"{os.getpid()}\\n")
"""


@pytest.mark.parametrize("name", SERVERS)
def test_each_worker_calls_the_factory_once(name: str, tmp_path: Path) -> None:
    code = FACTORY[name].replace("{note}", NOTE)
    folder = service(tmp_path, code, PUBLIC + "app = \"service.main:create('prod', loud=True)\"")
    with serving(folder, SERVERS[name][1]) as client:
        for _ in range(20):
            answer = client.get("/", headers={"Connection": "close"})
            assert (answer.status_code, answer.text) == (200, "PROD")
    made = (folder / "made.txt").read_text().split()
    assert len(made) == len(set(made)) == (2 if name == "gunicorn" else 1)


def test_the_factory_is_called_once_for_both_doors(tmp_path: Path) -> None:
    code = f"{NOTE}\ndef create():\n    note()\n    def app(*anything): pass\n    return app\n"
    folder = service(tmp_path, code, MEMORY + 'app = "service.main:create()"')
    result = asked(folder, "import keystile.wrap; keystile.wrap.asgi, keystile.wrap.wsgi")
    assert result.stderr == ""
    assert len((folder / "made.txt").read_text().split()) == 1


GIVEN = {
    "nothing": ("", "((), {})"),
    "a string": ("'prod'", "(('prod',), {})"),
    "two, one by name": ("1, debug=True", "((1,), {'debug': True})"),
    "a comma at the end": ("1,", "((1,), {})"),
    "nested": ("[(-1.5, None)], {'a': {2}}", "(([(-1.5, None)], {'a': {2}}), {})"),
    "brackets in a string": ("'a) + (b'", "(('a) + (b',), {})"),
    "octets": ("b'x'", "((b'x',), {})"),
}


@pytest.mark.parametrize(("arguments", "seen"), GIVEN.values(), ids=GIVEN)
def test_literals_reach_the_factory_as_they_are(arguments: str, seen: str, tmp_path: Path) -> None:
    code = """
def create(*args, **named):
    def app(environ, start_response): pass
    app.seen = (args, named)
    return app
"""
    folder = service(tmp_path, code, f'{MEMORY}app = """service.main:create({arguments})"""')
    imports = "from keystile.wrap import find_apps; from keystile.config.file import load"
    shown = f"{imports}; print(find_apps(load())[0].app.seen)"
    assert asked(folder, shown).stdout == f"{seen}\n"


LITERALS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=8,
)
NAMES = st.from_regex(r"[a-z_]{1,9}", fullmatch=True).map(lambda name: f"n{name}")


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What `factories:create` was called with."""
    seen: list[Any] = []
    module = ModuleType("factories")
    vars(module)["create"] = lambda *args, **named: seen.append((args, named))
    monkeypatch.setitem(sys.modules, "factories", module)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return seen


def test_every_literal_is_read_as_python_reads_it(called: list[Any]) -> None:
    @given(args=st.lists(LITERALS, max_size=3).map(tuple), named=st.dictionaries(NAMES, LITERALS, max_size=3))
    def check(args: tuple[Any, ...], named: dict[str, Any]) -> None:
        text = ", ".join([*map(repr, args), *(f"{name}={value!r}" for name, value in named.items())])
        find(f"factories:create({text})", ConfigurationError, ANYTHING)
        assert called.pop() == (args, named)

    check()


def test_whatever_stands_in_the_brackets_is_a_call_or_an_error(called: list[Any]) -> None:
    pieces = st.sampled_from([*"()[]{}'\"\\,=*:# 1ab\n\0é\ud800", "f'{create}'", "lambda", "await", "**", "1j", "None"])

    @given(text=st.lists(pieces, max_size=12).map("".join))
    def check(text: str) -> None:
        with suppress(ConfigurationError):
            find(f"factories:create({text})", ConfigurationError, ANYTHING)
            (seen,) = called
            assert find(f"factories:create({text})", ConfigurationError, ANYTHING)[0].call == seen
        called.clear()

    check()


NO_CALL = {
    "a name": "create(prod)",
    "an attribute of a literal": "create('a'.upper())",
    "an f-string": "create(f'{prod}')",
    "a sum of strings": "create('a' + 'b')",
    "a star": "create(*['a'])",
    "two stars": "create(**{'a': 1})",
    "two calls": "create()()",
    "more behind the call": "create().app",
    "a sum of calls": "create(1)+(2)",
    "open": "create('a'",
    "no literal": "create(,)",
    "a name twice": "create(a=1, a=2)",
    "deeper than Python reads": f"create({'(' * 5000}{')' * 5000})",
}


@pytest.mark.parametrize("call", NO_CALL.values(), ids=NO_CALL)
def test_nothing_but_one_call_with_literals_is_read(call: str, tmp_path: Path) -> None:
    code = "prod = 'x'\ndef create(*args, **named):\n    raise SystemExit('it was called')"
    folder = service(tmp_path, code, f'{MEMORY}app = """service.main:{call}"""')
    result = asked(folder, "import keystile.wrap; keystile.wrap.asgi")
    last = result.stderr.splitlines()[-1]
    assert last.startswith("keystile.exceptions.ConfigurationError: keystile.toml: app: expected ")


WRONG = {
    "lacks an argument": (
        "def create(mode): pass",
        "create()",
        "'service.main:create' cannot be called with these arguments: missing a required argument: 'mode'",
    ),
    "too many": ("def create(): pass", "create('hunter2')", "too many positional arguments"),
    "unknown name": ("def create(): pass", "create(mode='hunter2')", "got an unexpected keyword argument 'mode'"),
    "async": ("async def create(): pass", "create()", "'service.main:create' is async, and nothing can await it here"),
    "async in disguise": (
        "async def make(): pass\ndef create(): return make()",
        "create()",
        "'service.main:create' gives an awaitable, and nothing can await it here",
    ),
    "async generator": ("async def create(): yield", "create()", "is async, and nothing can await it here"),
    "gives nothing": ("def create(): pass", "create()", "'service.main:create()' gives no app: NoneType"),
    "gives text": ("def create(): return 'hunter2'", "create()", "gives no app: str cannot be called"),
    "gives what no server can serve": ("def create(): return len", "create()", "is it a factory?"),
    "is no function": ("create = 7", "create()", "'service.main:create' cannot be called: it is of type int"),
    "is not there": ("", "create()", "'service.main' has no attribute 'create'"),
    "raises": (
        "def create(password):\n    {}['a']",
        "create('hunter2')",
        "calling 'service.main:create' raised KeyError: 'a' (service/main.py, line 2)",
    ),
    "raises a TypeError of its own": (
        "def create():\n    len(1)",
        "create()",
        "calling 'service.main:create' raised TypeError: object of type 'int' has no len() (service/main.py, line 2)",
    ),
    "ends the process": ("def create():\n    raise SystemExit(3)", "create()", "raised SystemExit: 3"),
}


@pytest.mark.parametrize(("code", "call", "reason"), WRONG.values(), ids=WRONG)
def test_check_says_why_a_factory_cannot_be_used(code: str, call: str, reason: str, tmp_path: Path) -> None:
    folder = service(tmp_path, code, f'{MEMORY}app = "service.main:{call}"')
    command = [sys.executable, "-W", "error", "-m", "keystile", "check"]
    result = subprocess.run(command, cwd=folder, env=environment(folder), check=False, capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: keystile.toml: app: ")
    assert reason in line
    assert "hunter2" not in line


def test_a_server_shows_where_a_factory_fails(tmp_path: Path) -> None:
    folder = service(tmp_path, "def create():\n    1 / 0", f'{MEMORY}app = "service.main:create()"')
    result = asked(folder, "import keystile.wrap; keystile.wrap.asgi")
    assert result.stderr.splitlines()[-1].startswith("ZeroDivisionError: ")
    assert "line 2, in create" in result.stderr


def test_check_builds_the_app_and_hides_the_arguments(tmp_path: Path) -> None:
    code = f"{NOTE}\ndef create(secret):\n    note()\n    def app(environ, start_response): pass\n    return app\n"
    folder = service(tmp_path, code, f"{MEMORY}app = \"service.main:create('hunter2')\"")
    rows = [line.split(maxsplit=1) for line in keystile(folder, "check").splitlines()]
    assert ["app", "service.main:create(…) (keystile.wrap:wsgi)"] in rows
    assert len((folder / "made.txt").read_text().split()) == 1
