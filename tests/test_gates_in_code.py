"""The command line on a gate that stands in code: `keystile --gate main:gate`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.test_wrap import SERVERS, bearer, serving

ROOT = Path(__file__).resolve().parents[1]
MAIN = """
from keystile import Gate, Plan, Rule

print("a line for people")
gate = Gate(
    "sqlite:///keys.db",
    limiter="sqlite:///windows.db",
    prefix="acme",
    public=["/health"],
    plans={"free": Plan("4/minute")},
    default_plan="free",
    rules=[Rule("POST /v1/exports", scopes=["exports:write"])],
)


def make_gate(file="keys.db"):
    return Gate(f"sqlite:///{file}", prefix="made")


def make_text():
    return "hunter2"
"""
# Every method of the store suspends, and its records last.
SUSPENDING = """
import anyio.lowlevel
from keystile import Gate, Plan
from keystile.limiters.sqlite import SQLiteLimiter
from keystile.stores import KeyStore
from keystile.stores.sqlite import SQLiteStore


def suspending(inner, *names):
    async def call(method, *args):
        await anyio.lowlevel.checkpoint()
        return method(*args)

    def twin(method):
        async def run(self, *args):
            return await call(method, *args)
        return run

    return type("Suspending", (), {name: twin(getattr(inner, name)) for name in names})()


operations = [name for name in ("find", *vars(KeyStore)) if not name.startswith("_")]
store = suspending(SQLiteStore.from_url("sqlite:///keys.db"), *operations)
limiter = suspending(SQLiteLimiter.from_url("sqlite:///windows.db"), "hit", "peek", "refund", "reset", "close")
gate = Gate(store, limiter=LIMITER, prefix="acme", plans={"free": Plan("4/minute")}, default_plan="free")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a gate in main.py, and no configuration."""
    (tmp_path / "main.py").write_text(MAIN)
    return tmp_path


def run(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("KEYSTILE_")}
    command = [Path(sys.executable).with_name("keystile"), *arguments]
    return subprocess.run(
        command, cwd=folder, env=kept | environ, check=False, capture_output=True, text=True, timeout=60
    )


def said(folder: Path, *arguments: str, **environ: str) -> Any:
    """What a command answers, as JSON."""
    result = run(folder, *arguments, "--json", **environ)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def refused(folder: Path, *arguments: str, **environ: str) -> str:
    """The one line of a command that fails."""
    result = run(folder, *arguments, **environ)
    assert (result.returncode, result.stdout) == (1, "")
    line = result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr
    return line


@pytest.mark.parametrize("named", ["option", "environment"])
def test_keys_live_in_the_gates_own_store(folder: Path, named: str) -> None:
    option, environ = (["--gate", "main:gate"], {}) if named == "option" else ([], {"KEYSTILE_GATE": "main:gate"})
    made = said(folder, *option, "keys", "create", "ci", **environ)
    assert made["secret"].startswith("acme_live_")
    assert (folder / "keys.db").is_file()
    assert [key["id"] for key in said(folder, *option, "keys", "list", **environ)] == [made["key"]["id"]]
    assert said(folder, *option, "keys", "show", made["key"]["id"], **environ) == made["key"]
    assert said(folder, *option, "limits", "show", made["key"]["id"], **environ)[0]["limit"] == 4
    assert run(folder, *option, "limits", "reset", made["key"]["id"], **environ).returncode == 0
    assert said(folder, *option, "explain", "POST /v1/exports", **environ)["scopes"] == ["exports:write"]
    assert said(folder, *option, "keys", "revoke", made["key"]["id"], "--yes", **environ)["revoked_at"]


def test_what_the_module_prints_is_no_part_of_the_answer(folder: Path) -> None:
    result = run(folder, "--gate", "main:gate", "keys", "create", "ci")
    assert result.stdout.startswith("acme_live_")
    assert "a line for people" in result.stderr


def test_a_server_of_the_same_folder_lets_the_key_in(folder: Path) -> None:
    app = """
from main import gate
from keystile.asgi import GateMiddleware

async def hello(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})

app = GateMiddleware(hello, gate=gate)
"""
    (folder / "service.py").write_text(app)
    secret = run(folder, "--gate", "main:gate", "keys", "create", "ci").stdout.strip()
    command = [*SERVERS["uvicorn"][1][:2], "service:app", "--port", "0"]
    with serving(folder, command) as client:
        assert client.get("/", headers=bearer(secret)).text == "hello"
        assert client.get("/").status_code == 401


def test_a_function_may_make_the_gate(folder: Path) -> None:
    made = said(folder, "--gate", "main:make_gate('others.db')", "keys", "create", "ci")
    assert made["secret"].startswith("made_live_")
    assert (folder / "others.db").is_file()
    assert not (folder / "keys.db").exists() or said(folder, "--gate", "main:make_gate()", "keys", "list") == []


def test_check_sums_up_the_gate(folder: Path) -> None:
    result = run(folder, "--gate", "main:gate", "check")
    assert [line.split(maxsplit=1) for line in result.stdout.splitlines()] == [
        ["gate", "main:gate"],
        ["store", "sqlite:///keys.db"],
        ["limiter", "sqlite:///windows.db"],
        ["plan", "free  4/minute (the default)"],
        ["rules", "1"],
        ["public", "/health"],
        ["app", "-"],
    ]
    assert result.returncode == 0


@pytest.mark.parametrize("limiter", ["limiter", '"sqlite:///windows.db"'])
def test_an_async_store_serves_every_command(folder: Path, limiter: str) -> None:
    (folder / "main.py").write_text(SUSPENDING.replace("LIMITER", limiter))
    gate = ["--gate", "main:gate"]
    made = said(folder, *gate, "keys", "create", "ci")
    key_id = made["key"]["id"]
    assert [key["id"] for key in said(folder, *gate, "keys", "list")] == [key_id]
    assert said(folder, *gate, "keys", "show", key_id)["name"] == "ci"
    assert said(folder, *gate, "limits", "show", key_id)[0]["remaining"] == 4
    assert run(folder, *gate, "limits", "reset", key_id).returncode == 0
    assert said(folder, *gate, "keys", "revoke", key_id, "--yes")["revoked_at"]
    checked = run(folder, *gate, "check")
    assert checked.returncode == 0, checked.stderr
    assert ["store", "Suspending"] in [line.split() for line in checked.stdout.splitlines()]
    assert refused(folder, *gate, "keys", "show", "0" * 12).startswith("Error: no key has the id")


def test_a_store_of_ones_own_that_fails_is_one_line(folder: Path) -> None:
    code = """
from keystile import Gate
from keystile.stores.memory import MemoryStore

class Broken(MemoryStore):
    def list(self, *args):
        raise RuntimeError("cannot reach postgresql://me:hunter2@db")

class Store:
    def __init__(self): self.inner = Broken()
    def __getattr__(self, name): return getattr(self.inner, name)

gate = Gate(Store())
"""
    (folder / "main.py").write_text(code)
    line = refused(folder, "--gate", "main:gate", "keys", "list")
    assert line == "Error: the key store: RuntimeError"


@pytest.mark.stress
def test_a_limiter_of_ones_own_that_never_answers_is_given_up(folder: Path) -> None:
    code = SUSPENDING.replace("LIMITER", "limiter") + (
        "\nasync def never(*args):\n    await anyio.sleep_forever()\n\ntype(limiter).peek = never\n"
    )
    (folder / "main.py").write_text(code)
    assert "limiter: Suspending does not answer" in refused(folder, "--gate", "main:gate", "check")


NOT_GATES = {
    "no name": ("main", "expected 'module:attribute', like 'service.main:gate'"),
    "no module": ("nothing:gate", "there is no module 'nothing', neither installed nor in the working directory"),
    "no attribute": ("main:other", "'main' has no attribute 'other'"),
    "a function": (
        "main:make_gate",
        "'main:make_gate' is no Gate: it is of type function; if it makes one,",
    ),
    "text": ("main:make_text()", "'main:make_text()' gives no Gate: it is of type str"),
    "a module": ("main:Gate", "'main:Gate' is no Gate: it is of type type"),
    "too many arguments": ("main:make_text('hunter2')", "cannot be called with these arguments: too many positional"),
    "no literal": ("main:make_gate(hunter2)", "expected one call, with literals as its arguments"),
}


@pytest.mark.parametrize(("name", "reason"), NOT_GATES.values(), ids=NOT_GATES)
@pytest.mark.parametrize("source", ["--gate", "KEYSTILE_GATE"])
def test_what_is_no_gate_is_named(folder: Path, source: str, name: str, reason: str) -> None:
    option, environ = (["--gate", name], {}) if source == "--gate" else ([], {source: name})
    line = refused(folder, *option, "keys", "list", **environ)
    assert line.startswith(f"Error: {source}: ")
    assert reason in line
    assert "hunter2" not in line.removeprefix(f"Error: {source}: there is no module")


RAISING = {
    "a name": ("x = 1\nprefix", "importing 'main' raised NameError: name 'prefix' is not defined (main.py, line 2)"),
    "syntax": ("x =", "importing 'main' raised SyntaxError: invalid syntax (main.py, line 1)"),
    "missing module": ("import nothing_like_it", "ModuleNotFoundError: No module named 'nothing_like_it' (main.py, l"),
    "exit": (
        "import sys\nsys.exit('no settings')",
        "raised SystemExit: no settings (main.py, line 2)",
    ),
    "a setting": (
        "from keystile import Gate\ngate = Gate(prefixx='a')",
        "ConfigurationError: prefixx: there is no such setting; did you mean 'prefix'? (main.py, line 2)",
    ),
    "a secret": ("import os\nraise ValueError(os.environ['DB_PASSWORD'])", "ValueError: ${DB_PASSWORD} (main.py, line"),
}


@pytest.mark.parametrize(("code", "reason"), RAISING.values(), ids=RAISING)
def test_an_error_of_the_module_is_told_with_file_and_line(folder: Path, code: str, reason: str) -> None:
    (folder / "main.py").write_text(code)
    line = refused(folder, "--gate", "main:gate", "check", DB_PASSWORD="hunter2")
    assert line.startswith("Error: --gate: importing 'main' raised ")
    assert reason in line


@pytest.mark.parametrize("command", [["keys", "list"], ["limits", "show", "0" * 12]], ids=" ".join)
@pytest.mark.parametrize("store", ['"memory://"', "MemoryStore()"])
def test_keys_in_memory_cannot_be_managed(folder: Path, command: list[str], store: str) -> None:
    code = f"from keystile import Gate\nfrom keystile.stores.memory import MemoryStore\ngate = Gate({store})"
    (folder / "main.py").write_text(code)
    line = refused(folder, "--gate", "main:gate", *command)
    assert line.startswith("Error: --gate: store: keys in memory end with this command")
    checked = run(folder, "--gate", "main:gate", "check")
    assert (checked.returncode, checked.stderr.startswith("Warning: store: keys in memory")) == (0, True)


BOTH = {
    "two options": (["-c", "keystile.toml", "--gate", "main:gate"], {}, "-c names a file and --gate a gate in code"),
    "two variables": (
        [],
        {"KEYSTILE_CONFIG": "keystile.toml", "KEYSTILE_GATE": "main:gate"},
        "KEYSTILE_CONFIG names a file and KEYSTILE_GATE a gate in code; unset one of them",
    ),
}


@pytest.mark.parametrize(("options", "environ", "reason"), BOTH.values(), ids=BOTH)
def test_a_file_and_a_gate_together_are_refused(
    folder: Path, options: list[str], environ: dict[str, str], reason: str
) -> None:
    result = run(folder, *options, "keys", "list", **environ)
    assert (result.returncode, result.stdout) == (2, "")
    assert reason in result.stderr


def test_an_option_comes_before_the_environment(folder: Path) -> None:
    (folder / "keystile.toml").write_text('store = "sqlite:///of_file.db"')
    run(folder, "-c", "keystile.toml", "keys", "create", "a", KEYSTILE_GATE="main:gate")
    assert (folder / "of_file.db").is_file()
    assert not (folder / "keys.db").exists()
    run(folder, "--gate", "main:gate", "keys", "create", "a", KEYSTILE_CONFIG="keystile.toml")
    assert (folder / "keys.db").is_file()


@pytest.mark.parametrize("command", ["init", "schema", "demo"])
def test_a_command_that_needs_no_gate_says_so(folder: Path, command: str) -> None:
    result = run(folder, "--gate", "main:gate", command)
    assert (result.returncode, result.stdout) == (2, "")
    assert f"{command} needs no gate; leave --gate out" in result.stderr
    assert not (folder / "keystile.toml").exists()


def test_init_works_where_the_environment_names_a_gate(folder: Path) -> None:
    assert run(folder, "init", KEYSTILE_GATE="main:gate").returncode == 0
    assert run(folder, "schema", KEYSTILE_GATE="main:gate").returncode == 0
    assert (folder / "keystile.toml").is_file()
