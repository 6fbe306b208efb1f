"""The command line: what it prints where, what it makes, and how it fails."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from keystile import __version__
from keystile.cli.commands import main
from keystile.cli.shown import shown_url
from keystile.config.file import load, open_gate
from keystile.model import Counted, Window
from keystile.rules.limits.charges import charged
from keystile.stores.sqlite import SQLiteStore

NO_FILE = (
    "there is no such file: `keystile init` writes one; `keystile -c FILE` and KEYSTILE_CONFIG name another, and "
    "`keystile --gate main:gate` takes a gate in code"
)
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory and an environment that says nothing."""
    for name in list(os.environ):
        if name.startswith("KEYSTILE_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def ready(folder: Path) -> Path:
    """A working directory with a configuration and a store."""
    assert run("init").exit_code == 0
    return folder


LIMITED = """
store = "sqlite:///keys.db"
limiter = "sqlite:///windows.db"
default_plan = "free"
[[rules]]
match = "POST /v1/exports"
limits = "10/hour"
cost = 2
[[rules]]
match = "/open"
public = true
limits = "9/minute"
[plans.free]
limits = "60/minute; 5000/day"
[plans.pro]
limits = ["1000/minute"]
[plans.enterprise]
"""


@pytest.fixture
def limited(folder: Path) -> Path:
    """A working directory with plans, and a limiter that outlasts a process."""
    (folder / "keystile.toml").write_text(LIMITED)
    return folder


def hit(key_id: str, cost: int = 1, more: tuple[Window, ...] = ()) -> None:
    """Count as a server does."""
    with closing(open_gate(load(environ={}))) as gate:
        key = gate.keys.get(key_id)
        gate.limits.limiter.hit(gate.quotas.subject(key), charged(gate.quotas.of(key, more), cost))


def standing(key_id: str) -> dict[tuple[str, int], tuple[int, int]]:
    """Limit and remaining, by scope and seconds."""
    shown = json.loads(run("limits", "show", key_id, "--json").stdout)
    return {(each["scope"], each["window_seconds"]): (each["limit"], each["remaining"]) for each in shown}


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(main, arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def made(*arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run("keys", "create", *arguments, "--json").stdout)
    return found


def listed(*arguments: str) -> list[str]:
    return [key["name"] for key in json.loads(run("keys", "list", *arguments, "--json").stdout)]


def process(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "keystile", *arguments]
    return subprocess.run(command, check=False, text=True, **{"capture_output": True} | options)


def test_it_says_its_version() -> None:
    assert run("--version").stdout == f"keystile {__version__}\n"
    assert process("--version").stdout == f"keystile {__version__}\n"


@pytest.mark.parametrize(
    "command", [[], ["init"], ["check"], ["keys"], ["keys", "create"], ["limits"], ["usage"], ["demo"]], ids=" ".join
)
def test_every_command_has_help(command: list[str]) -> None:
    assert "Usage: " in run(*command, "--help").stdout


def test_init_writes_a_file_that_can_be_used_and_makes_the_store(folder: Path) -> None:
    result = run("init")
    assert result.exit_code == 0
    assert (folder / "keystile.db").is_file()
    settings = load(environ={})
    assert settings.gate["public"] == ("/health",)
    assert settings.gate["prefix"] == "key"
    assert settings.app is None


def test_init_makes_a_pepper_that_only_the_file_knows(folder: Path) -> None:
    assert run("init").stderr == ""
    (pepper,) = load(environ={}).gate["peppers"]
    assert len(pepper) >= 43
    assert stat.S_IMODE((folder / "keystile.toml").stat().st_mode) == 0o600
    assert run("init", "other/keystile.toml").exit_code == 1
    (folder / "other").mkdir()
    assert run("init", "other/keystile.toml").exit_code == 0
    assert load("other/keystile.toml", {}).gate["peppers"] != (pepper,)


def test_init_makes_no_pepper_that_would_lock_out_keys_of_before(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "keystile.toml").write_text('store = "sqlite:///keystile.db"')
    secret = made("ci")["secret"]
    (folder / "keystile.toml").unlink()
    result = run("init")
    assert "so no pepper was made" in result.stderr
    settings = load(environ={})
    assert "peppers" not in settings.gate
    with closing(open_gate(settings)) as gate:
        assert gate.is_key(secret.encode())
    (folder / "keystile.toml").unlink()
    (folder / "keystile.db").unlink()
    monkeypatch.setenv("KEYSTILE_PEPPER", "a pepper of more than 16 bytes")
    assert "so no pepper was made" in run("init").stderr
    assert load().gate["peppers"] == ("a pepper of more than 16 bytes",)


def test_what_init_writes_is_its_owners_alone(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    before = os.umask(0)
    try:
        assert run("init").exit_code == 0
    finally:
        os.umask(before)
    assert {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()} == {
        "keystile.toml": 0o600,
        "keystile.db": 0o600,
    }
    assert caplog.records == []


@pytest.mark.parametrize("arguments", [["init", "other.toml"], ["-c", "other.toml", "init"]], ids=["FILE", "-c"])
def test_init_writes_where_it_is_told(folder: Path, arguments: list[str]) -> None:
    result = run(*arguments)
    assert "keystile -c other.toml keys create" in result.stdout
    assert {path.name for path in folder.iterdir()} == {"other.toml", "keystile.db"}


def test_init_overwrites_nothing(folder: Path) -> None:
    (folder / "keystile.toml").write_text("mine")
    result = run("init")
    assert result.exit_code == 1
    assert result.stderr == "Error: keystile.toml exists already and was not changed; name another file with -c\n"
    assert (folder / "keystile.toml").read_text() == "mine"


def test_init_keeps_a_store_that_is_there(ready: Path) -> None:
    key = made("ci")["key"]
    (ready / "keystile.toml").unlink()
    assert run("init").exit_code == 0
    assert json.loads(run("keys", "show", key["id"], "--json").stdout) == key


def test_init_that_fails_can_be_tried_again(folder: Path) -> None:
    (folder / "keystile.db").write_text("no database, but a text that is long enough to be taken for one" * 20)
    result = run("init")
    assert result.exit_code == 1
    assert "keystile.toml: store: " in result.stderr
    (folder / "keystile.db").unlink()
    assert run("init").exit_code == 0


def test_init_in_a_folder_that_is_not_there_says_so(folder: Path) -> None:
    result = run("init", "no/such/keystile.toml")
    assert (result.exit_code, result.stderr) == (1, "Error: no/such/keystile.toml: No such file or directory\n")


def test_check_sums_up_the_configuration(ready: Path) -> None:
    (ready / "service.py").write_text("def app(environ, start_response): pass")
    with (ready / "keystile.toml").open("a") as file:
        file.write('\n[[rules]]\nmatch = "/v1/*"\nscopes = ["a"]\n')
    text = (ready / "keystile.toml").read_text().replace("# app = ", "app = ").replace(".main", "")
    (ready / "keystile.toml").write_text(text)
    result = process("check")
    assert result.stderr == ""
    assert [line.split(maxsplit=1) for line in result.stdout.splitlines()] == [
        ["file", "keystile.toml"],
        ["store", f"sqlite:///{ready / 'keystile.db'}"],
        ["limiter", "memory://"],
        ["plans", "-"],
        ["rules", "1"],
        ["public", "/health"],
        ["app", "service:app (keystile.wrap:wsgi)"],
    ]


def test_check_tells_the_plans(limited: Path) -> None:
    lines = [re.split("  +", line) for line in run("check").stdout.splitlines()]
    assert lines[2:6] == [
        ["limiter", f"sqlite:///{limited / 'windows.db'}"],
        ["plan free", "60/minute; 5000/day (the default)"],
        ["plan pro", "1000/minute"],
        ["plan enterprise", "unlimited"],
    ]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://me:hunter2@localhost:1/3?password=hunter2", "redis://localhost:1/3"),
        ("redis://me:hunter2@localhost:1", "redis://localhost:1/0"),
        ("redis://me:hunter2@localhost:1/3?db=4", "redis://localhost:1/4"),
        ("redis://me:hunter2@localhost:1/hunter2", "redis://localhost:1/0"),
        ("redis+cluster://:hunter2@localhost:1,localhost:2", "redis+cluster://localhost:1,localhost:2"),
        ("redis+sentinel://:hunter2@localhost:1,localhost:2/name", "redis+sentinel://localhost:1,localhost:2/name"),
        ("mongodb://:hunter2@localhost/hunter2", "mongodb://localhost"),
        ("sqlite:////keys.db", "sqlite:////keys.db"),
    ],
)
def test_a_url_is_shown_with_its_database_and_without_its_password(url: str, shown: str) -> None:
    assert shown_url(url) == shown


def test_check_shows_where_the_limiter_is(folder: Path, redis_url: str) -> None:
    url = redis_url.replace("://", "://default:@").removesuffix("/0") + "/3"
    (folder / "keystile.toml").write_text(f'store = "sqlite:///keys.db"\nlimiter = "{url}"')
    result = run("check")
    assert result.exit_code == 0, result.output
    assert ["limiter", redis_url.removesuffix("/0") + "/3"] in [line.split() for line in result.stdout.splitlines()]


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("redis://me:hunter2@127.0.0.1:1/3", "redis://127.0.0.1:1/3 does not answer: ConnectionError"),
        ("redis+cluster://:hunter2@127.0.0.1:1", "redis+cluster://127.0.0.1:1 does not answer: ConnectionError"),
        ("memcached://127.0.0.1:1", "memcached://127.0.0.1:1 does not answer: ConnectionRefusedError"),
    ],
)
def test_check_fails_while_the_limiter_is_down(folder: Path, url: str, reason: str) -> None:
    (folder / "keystile.toml").write_text(f'store = "sqlite:///keys.db"\nlimiter = "{url}"')
    result = run("check")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines()[-1] == f"Error: keystile.toml: limiter: {reason}"


def test_check_notes_that_keys_in_memory_do_not_last(folder: Path) -> None:
    (folder / "keystile.toml").write_text("")
    result = run("check")
    assert result.exit_code == 0
    assert "memory" in result.stderr


@pytest.mark.parametrize(
    ("service", "reason"),
    [
        (
            "import nothing_like_it",
            "importing 'service' raised ModuleNotFoundError: No module named 'nothing_like_it' (service.py, line 1)",
        ),
        ("x = 1\nprefix", "importing 'service' raised NameError: name 'prefix' is not defined (service.py, line 2)"),
        ("import os\nos.nothing", "AttributeError: module 'os' has no attribute 'nothing' (service.py, line 2)"),
        ("import json\ndef f():\n    json.loads('')\nf()", "(service.py, line 3)"),
        ("x =", "importing 'service' raised SyntaxError: invalid syntax (service.py, line 1)"),
        (
            "import sys\nsys.exit('no settings')",
            "raised SystemExit: no settings (service.py, line 2)",
        ),
        ("raise RuntimeError('no postgresql://me:hunter2@db')", "RuntimeError: no postgresql://…@db (service.py"),
        ("import os\nraise ValueError(os.environ['DB_PASSWORD'])", "ValueError: ${DB_PASSWORD} (service.py, line 2)"),
        ("raise ValueError('two\\nlines')", "importing 'service' raised ValueError: two (service.py, line 1)"),
        ("def app(): pass", "is it a factory?"),
        ("class app: pass", "is it a factory? app is a class: name an app that it makes"),
        ("", "has no attribute 'app'"),
    ],
)
def test_check_says_why_the_app_cannot_be_used(
    ready: Path, monkeypatch: pytest.MonkeyPatch, service: str, reason: str
) -> None:
    (ready / "service.py").write_text(service)
    (ready / "keystile.toml").write_text('store = "sqlite:///keystile.db"\napp = "service:app"')
    monkeypatch.setenv("DB_PASSWORD", "hunter2")
    result = process("check")
    assert result.returncode == 1
    assert result.stderr.startswith("Error: keystile.toml: app: ")
    assert reason in result.stderr
    assert "hunter2" not in result.stderr


@pytest.mark.parametrize("command", [["check"], ["keys", "list"], ["keys", "create", "ci"]], ids=" ".join)
def test_a_wrong_configuration_is_one_line_and_exit_code_1(folder: Path, command: list[str]) -> None:
    (folder / "keystile.toml").write_text('prefixx = "acme"')
    result = run(*command)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Error: keystile.toml: prefixx: there is no such setting; did you mean 'prefix'?\n"


def test_a_missing_configuration_is_named(folder: Path) -> None:
    result = run("-c", "nowhere.toml", "check")
    assert (result.exit_code, result.stderr) == (1, f"Error: nowhere.toml: {NO_FILE}\n")


def test_the_environment_names_the_configuration(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEYSTILE_CONFIG", "gate.toml")
    assert run("init").exit_code == 0
    assert (folder / "gate.toml").is_file()
    assert made("ci")["key"]["name"] == "ci"


def test_create_prints_the_secret_alone_on_stdout(ready: Path) -> None:
    result = run("keys", "create", "ci")
    assert re.fullmatch(r"key_live_[0-9A-Za-z]{50}\n", result.stdout)
    assert result.stdout.strip() not in result.stderr
    assert "shown this once" in result.stderr


def test_create_keeps_what_it_was_told(ready: Path) -> None:
    words = "ci --organization acme --owner ann --environment staging --scope a:read --scope b --allow 192.0.2.0/24"
    found = made(*words.split(), "--expires", "2099-01-31T12:00:00+02:00", "--metadata", '{"team": ["data"]}')
    key = found["key"]
    assert set(found) == {"key", "secret", "revoked", "replaced_at_once"}
    assert found["secret"].startswith(f"key_stage_{key['id']}")
    assert MOMENT.fullmatch(key.pop("created_at"))
    assert key == {
        "id": key["id"],
        "name": "ci",
        "state": "active",
        "organization_id": "acme",
        "project_id": None,
        "owner_id": "ann",
        "environment": "staging",
        "plan": None,
        "limits": None,
        "scopes": ["a:read", "b"],
        "may": None,
        "ip_allowlist": ["192.0.2.0/24"],
        "expires_at": "2099-01-31T10:00:00Z",
        "suspended_at": None,
        "revoked_at": None,
        "last_used_at": None,
        "metadata": {"team": ["data"]},
        "inherited": {"plan": None, "suspended_at": None},
        "hints": [found["secret"][-4:]],
        "grace_expires_at": None,
        "grace_used_at": None,
    }


def test_a_key_has_the_plan_and_the_limits_that_it_was_given(limited: Path) -> None:
    key = made("ci", "--plan", "pro", "--limits", "7/minute; 90/day")["key"]
    assert (key["plan"], key["limits"]) == ("pro", "7/minute; 90/day")
    made("other")
    head, *rows = (re.split("  +", line) for line in run("keys", "list").stdout.splitlines())
    at = head.index("PLAN")
    assert head[at : at + 2] == ["PLAN", "LIMITS"]
    assert [row[at : at + 2] for row in rows] == [["pro", "7/minute; 90/day"], ["-", "-"]]
    shown = run("keys", "show", key["id"]).stdout
    assert re.search(r"^plan +pro$", shown, re.MULTILINE)
    assert re.search(r"^limits +7/minute; 90/day$", shown, re.MULTILINE)


@pytest.mark.parametrize(("span", "hours"), [("30d", 720), ("12h", 12)])
def test_a_key_may_expire_after_a_span(ready: Path, span: str, hours: int) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    expires = datetime.fromisoformat(made("ci", "--expires", span)["key"]["expires_at"])
    assert before <= expires - timedelta(hours=hours) <= datetime.now(UTC)


WRONG_USE = {
    "no name": ["keys", "create"],
    "no command": ["keys", "destroy"],
    "environment": ["keys", "create", "x", "--environment", "moon"],
    "expires: nonsense": ["keys", "create", "x", "--expires", "soon"],
    "expires: no zone": ["keys", "create", "x", "--expires", "2099-01-31T12:00:00"],
    "expires: day only": ["keys", "create", "x", "--expires", "2099-01-31"],
    "expires: too far": ["keys", "create", "x", "--expires", "9999999999d"],
    "expires: far longer": ["keys", "create", "x", "--expires", "9" * 5000 + "d"],
    "expires: end of time": ["keys", "create", "x", "--expires", "9999-12-31T23:59:59-05:00"],
    "metadata: no JSON": ["keys", "create", "x", "--metadata", "{"],
    "metadata: no object": ["keys", "create", "x", "--metadata", "[]"],
    "metadata: too deep": ["keys", "create", "x", "--metadata", "[" * 100_000],
    "limit: 0": ["keys", "list", "--limit", "0"],
    "limit: too many": ["keys", "list", "--limit", "1001"],
}


@pytest.mark.parametrize("arguments", WRONG_USE.values(), ids=WRONG_USE)
def test_wrong_usage_is_exit_code_2(ready: Path, arguments: list[str]) -> None:
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Error: " in result.stderr


REFUSED = {
    "name": (["keys", "create", ""], "name: expected 1 to 200 printable characters"),
    "scope": (["keys", "create", "x", "--scope", "a b"], "scopes: 'a b' is not a scope"),
    "network": (["keys", "create", "x", "--allow", "300.0.0.0/8"], "ip_allowlist: "),
    "expired": (["keys", "create", "x", "--expires", "2001-01-31T12:00:00Z"], "expires_at: is in the past"),
    "plan": (["keys", "create", "x", "--plan", "gold"], "plan: there is no plan 'gold'; there are none"),
    "network: host bits": (
        ["keys", "create", "x", "--allow", "10.1.2.3/8"],
        "ip_allowlist: '10.1.2.3/8' has host bits set: did you mean '10.0.0.0/8', or '10.1.2.3' alone?",
    ),
    "limits": (["keys", "create", "x", "--limits", "often"], "limits: cannot read 'often'; write '60/minute'"),
    "limits: empty": (["keys", "create", "x", "--limits", ""], "limits: "),
    "limits: no id": (["limits", "show", "nope"], "this is not the id of a key"),
    "usage: unknown": (["usage", "012345678901"], "no key has the id '012345678901'"),
    "usage: no id": (["usage", "nope"], "this is not the id of a key"),
    "metadata": (["keys", "create", "x", "--metadata", '{"a": NaN}'], "metadata: expected JSON values"),
    "show: unknown": (["keys", "show", "012345678901"], "no key has the id '012345678901'"),
    "revoke: unknown": (["keys", "revoke", "012345678901"], "no key has the id '012345678901'"),
    "revoke: no id": (["keys", "revoke", "nope"], "this is not the id of a key"),
    "list: no id": (["keys", "list", "--after", "nope"], "this is not the id of a key"),
}


@pytest.mark.parametrize(("arguments", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused_is_one_line_and_exit_code_1(ready: Path, arguments: list[str], reason: str) -> None:
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"Error: {reason}")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("command", ["show", "revoke"])
def test_a_whole_key_in_the_place_of_an_id_is_not_repeated(ready: Path, command: str) -> None:
    secret = made("ci")["secret"]
    result = run("keys", command, secret)
    assert result.exit_code == 1
    assert secret not in result.output


@pytest.mark.parametrize("store", ["", 'store = "memory://"'], ids=["default", "named"])
def test_keys_in_memory_are_not_made(folder: Path, store: str) -> None:
    (folder / "keystile.toml").write_text(store)
    result = run("keys", "create", "ci")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("Error: keystile.toml: store: ")


def test_list_shows_keys_by_age_and_filters(ready: Path) -> None:
    ids = [
        made(name, "--organization", organization, "--owner", owner)["key"]["id"]
        for name, organization, owner in [("a", "acme", "ann"), ("b", "acme", "bob"), ("c", "other", "ann")]
    ]
    assert listed() == ["a", "b", "c"]
    assert listed("--organization", "acme") == ["a", "b"]
    assert listed("--owner", "ann") == ["a", "c"]
    assert listed("--limit", "2") == ["a", "b"]
    assert listed("--after", ids[1]) == ["c"]
    assert f"--after {ids[1]}" in run("keys", "list", "--limit", "2").stderr


def test_list_is_an_aligned_table_with_states(ready: Path) -> None:
    made("short")
    made("expiring", "--expires", "12h")
    run("keys", "revoke", made("a rather long name")["key"]["id"], "--yes")
    with closing(sqlite3.connect(ready / "keystile.db", isolation_level=None)) as connection:
        connection.execute("UPDATE keystile_keys SET expires_at = 1 WHERE name = 'expiring'")
    connection.close()
    lines = run("keys", "list").stdout.splitlines()
    column = lines[0].index("STATE")
    assert [line[column:].split()[0] for line in lines] == ["STATE", "active", "expired", "revoked"]
    assert len({line.index(" production") for line in lines[1:]}) == 1


def test_no_keys_are_an_empty_list(ready: Path) -> None:
    assert run("keys", "list", "--json").stdout == "[]\n"
    assert run("keys", "list").stdout.startswith("ID  NAME")


def test_show_and_revoke_tell_the_record(ready: Path) -> None:
    key = made("ci")["key"]
    shown = json.loads(run("keys", "show", key["id"], "--json").stdout)
    assert shown == key
    revoked = json.loads(run("keys", "revoke", key["id"], "--yes", "--json").stdout)
    assert MOMENT.fullmatch(revoked["revoked_at"])
    assert {**revoked, "revoked_at": None, "state": "active"} == key
    assert json.loads(run("keys", "revoke", key["id"], "--json").stdout) == revoked
    assert re.search(r"^state +revoked$", run("keys", "show", key["id"]).stdout, re.MULTILINE)


def test_nothing_but_create_prints_a_secret_or_a_hash(ready: Path) -> None:
    found = made("ci")
    key_id, secret = found["key"]["id"], found["secret"]
    gate = open_gate(load(environ={}))
    stored = gate.keys.get(key_id).hashes[0].hash
    gate.close()
    outputs = [
        json.dumps(found["key"]),
        run("check").output,
        run("keys", "list").output,
        run("keys", "show", key_id).output,
    ]
    outputs += [
        run("keys", *command, "--json").output for command in (["list"], ["show", key_id], ["revoke", key_id, "--yes"])
    ]
    for output in outputs:
        assert secret not in output
        assert stored not in output
        assert "argon2" not in output


@pytest.mark.parametrize("hasher", ["argon2id", "hmac-sha256"])
def test_a_made_key_carries_the_check_of_the_pepper(ready: Path, monkeypatch: pytest.MonkeyPatch, hasher: str) -> None:
    with (ready / "keystile.toml").open("a") as file:
        file.write(f'\nhasher = "{hasher}"\n')
    monkeypatch.setenv("KEYSTILE_PEPPER", "a pepper of more than 16 bytes")
    result = run("keys", "create", "ci")
    assert result.exit_code == 0
    assert "a pepper" not in result.output


def test_a_store_that_cannot_be_used_is_one_line(ready: Path) -> None:
    (ready / "keystile.db").write_text("no database, but a text that is long enough to be taken for one" * 20)
    result = run("keys", "list")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("Error: keystile.toml: store: ")


def test_a_store_that_goes_down_midway_is_one_line(ready: Path) -> None:
    with closing(sqlite3.connect(ready / "keystile.db", isolation_level=None)) as connection:
        connection.execute("ALTER TABLE keystile_keys RENAME TO gone")
    connection.close()
    result = run("keys", "create", "ci")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("Error: sqlite:///")


def test_a_closed_stdout_is_no_traceback(ready: Path) -> None:
    for name in ("a", "b"):
        made(name)
    reader, writer = os.pipe()
    os.close(reader)
    result = process("keys", "list", capture_output=False, stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert result.stderr == ""


def test_a_secret_that_cannot_be_printed_is_an_error(ready: Path) -> None:
    with Path("keystile.toml").open() as unwritable:
        result = process("keys", "create", "ci", capture_output=False, stdout=unwritable, stderr=subprocess.PIPE)
    assert result.returncode == 1
    (key,) = json.loads(run("keys", "list", "--json").stdout)
    said = f"the secret of the key {key['id']} could not be shown: Bad file descriptor; it is lost"
    assert result.stderr.splitlines()[-1] == f"Error: {said}: rotate the key, or revoke it"


def test_a_name_that_the_terminal_cannot_show_is_escaped(ready: Path) -> None:
    made("鍵")
    environ = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    assert r"\u9375" in process("keys", "list", env=environ).stdout


def test_a_process_makes_and_revokes_a_key(ready: Path) -> None:
    result = process("keys", "create", "ci")
    secret = result.stdout.splitlines()[-1]
    gate = open_gate(load(environ={}))
    (key,) = gate.keys.list()
    assert secret.startswith(f"key_live_{key.id}")
    assert process("keys", "revoke", key.id, "--yes").returncode == 0
    assert gate.keys.get(key.id).revoked_at is not None
    gate.close()


def test_a_process_fails_without_a_traceback(folder: Path) -> None:
    result = process("keys", "show", "012345678901")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == f"Error: keystile.toml: {NO_FILE}\n"


def test_limits_show_where_a_key_stands_in_its_windows_and_in_those_of_every_rule(limited: Path) -> None:
    key_id = made("ci")["key"]["id"]
    fresh = {("", 60): (60, 60), ("", 86_400): (5000, 5000), ("POST /v1/exports", 3600): (10, 10)}
    assert standing(key_id) == fresh
    hit(key_id)
    hit(key_id, 2, (Window(10, 3600, "POST /v1/exports"),))
    used = {("", 60): (60, 57), ("", 86_400): (5000, 4997), ("POST /v1/exports", 3600): (10, 8)}
    assert standing(key_id) == used
    assert standing(key_id) == used


def test_limits_are_a_table_for_people(limited: Path) -> None:
    key_id = made("ci", "--limits", "2/minute; 5/90 seconds; 7/2 hours")["key"]["id"]
    hit(key_id)
    hit(key_id)
    head, *rows = (re.split("  +", line) for line in run("limits", "show", key_id).stdout.splitlines())
    assert head == ["WINDOW", "SCOPE", "LIMIT", "REMAINING", "RESETS AT"]
    assert [row[:4] for row in rows] == [
        ["1 minute", "-", "2", "0"],
        ["90 seconds", "-", "5", "3"],
        ["2 hours", "-", "7", "5"],
        ["1 hour", "POST /v1/exports", "10", "10"],
    ]
    assert [bool(MOMENT.fullmatch(row[4])) for row in rows] == [True, True, True, False]


def test_limits_reset_at_the_moment_when_more_is_left(limited: Path) -> None:
    key_id = made("ci", "--limits", "5/minute")["key"]["id"]
    before = datetime.now(UTC).replace(microsecond=0)
    hit(key_id)
    own, rule = json.loads(run("limits", "show", key_id, "--json").stdout)
    assert set(own) == {"window_seconds", "scope", "unit", "enforced", "limit", "remaining", "reset_at"}
    wait = datetime.fromisoformat(own["reset_at"]) - before
    assert timedelta(seconds=60) <= wait <= timedelta(seconds=75)
    assert rule["reset_at"] is None


@pytest.fixture
def counted(limited: Path) -> str:
    """The id of a key that was used on two days."""
    key_id: str = made("ci")["key"]["id"]
    store = SQLiteStore("keys.db")
    day = int(datetime(2026, 1, 15, tzinfo=UTC).timestamp()) // 3600
    for hour, outcome, number in ((9, "admitted", 7), (9, "rate_limited", 2), (10, "expired_api_key", 1)):
        store.add_usage([Counted(key_id, day + hour, outcome, number)], [])
    store.add_usage([Counted(key_id, day + 24, "admitted", 30)], [])
    store.close()
    return key_id


DAYS = "--from", "2026-01-15", "--to", "2026-01-17"


def test_usage_is_a_table_for_people_with_what_there_was_and_the_sums(counted: str) -> None:
    def table(*arguments: str) -> list[list[str]]:
        return [re.split("  +", line) for line in run("usage", counted, *arguments).stdout.splitlines()]

    assert table(*DAYS) == [
        ["HOUR", "ADMITTED", "expired_api_key", "rate_limited"],
        ["2026-01-15 09:00 UTC", "7", "0", "2"],
        ["2026-01-15 10:00 UTC", "0", "1", "0"],
        ["2026-01-16 00:00 UTC", "30", "0", "0"],
        ["total", "37", "1", "2"],
    ]
    assert table(*DAYS, "--step", "day") == [
        ["DAY", "ADMITTED", "expired_api_key", "rate_limited"],
        ["2026-01-15", "7", "1", "2"],
        ["2026-01-16", "30", "0", "0"],
        ["total", "37", "1", "2"],
    ]
    assert table("--from", "30d", "--step", "day")[0][0] == "DAY"
    assert table("--from", "2026-01-15", "--to", "2026-01-15") == [["HOUR", "ADMITTED"]]


def test_usage_for_machines_has_every_period(counted: str) -> None:
    found = json.loads(run("usage", counted, *DAYS, "--json").stdout)
    assert len(found) == 48
    assert found[9] == {"start": "2026-01-15T09:00:00Z", "admitted": 7, "refused": {"rate_limited": 2}}
    assert found[11] == {"start": "2026-01-15T11:00:00Z", "admitted": 0, "refused": {}}
    assert len(json.loads(run("usage", counted, "--from", "12h", "--json").stdout)) == 13
    assert len(json.loads(run("usage", counted, "--step", "day", "--json").stdout)) == 30


@pytest.mark.parametrize("moment", ["yesterday", "2026-01-15T10:00:00", "2026-13-01", "9999999d"])
def test_usage_from_no_moment_is_wrong_usage(counted: str, moment: str) -> None:
    result = run("usage", counted, "--from", moment)
    assert (result.exit_code, result.stdout) == (2, "")


def test_usage_of_a_span_without_end_is_refused(counted: str) -> None:
    result = run("usage", counted, "--from", "2001-01-01")
    assert (result.exit_code, result.stderr) == (
        1,
        "Error: start: expected at most 10000 hours before the end\n",
    )


def test_limits_of_the_plan_that_a_key_has(limited: Path) -> None:
    assert standing(made("ci", "--plan", "pro")["key"]["id"])["", 60] == (1000, 1000)
    assert list(standing(made("ci", "--plan", "enterprise")["key"]["id"])) == [("POST /v1/exports", 3600)]


def test_an_unlimited_key_has_no_windows_to_show_or_reset(limited: Path) -> None:
    (limited / "keystile.toml").write_text('store = "sqlite:///keys.db"\nlimiter = "sqlite:///windows.db"')
    key_id = made("ci")["key"]["id"]
    assert run("limits", "show", key_id, "--json").stdout == "[]\n"
    assert run("limits", "reset", key_id).exit_code == 0


def test_what_a_key_has_used_can_be_forgotten_and_only_that(limited: Path) -> None:
    one, other = made("one")["key"]["id"], made("other")["key"]["id"]
    fresh = standing(one)
    for key_id in (one, other):
        hit(key_id, 2, (Window(10, 3600, "POST /v1/exports"),))
    used = standing(other)
    assert run("limits", "reset", one).exit_code == 0
    assert (standing(one), standing(other)) == (fresh, used)
    assert used != fresh


def test_keys_that_are_counted_together_stand_together(limited: Path) -> None:
    (limited / "keystile.toml").write_text('limit_by = "organization"\n' + LIMITED)
    one, other = (made(name, "--organization", "acme")["key"]["id"] for name in ("one", "other"))
    alone = made("alone")["key"]["id"]
    hit(one)
    assert standing(other)["", 60] == (60, 59)
    assert standing(alone)["", 60] == (60, 60)
    for command in ("show", "reset"):
        assert "all keys of its organization are counted together" in run("limits", command, other).stderr
        assert "together" not in run("limits", command, alone).stderr
    assert standing(one)["", 60] == (60, 60)


@pytest.mark.parametrize("command", ["show", "reset"])
@pytest.mark.parametrize("limiter", ["", 'limiter = "memory://"'], ids=["default", "named"])
def test_windows_in_memory_cannot_be_seen(folder: Path, command: str, limiter: str) -> None:
    (folder / "keystile.toml").write_text(f'store = "sqlite:///keys.db"\n{limiter}')
    result = run("limits", command, made("ci")["key"]["id"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(
        "Error: keystile.toml: limiter: no command can see what a server counts in its memory"
    )


@pytest.mark.parametrize("command", ["show", "reset"])
def test_a_key_of_a_plan_that_is_gone_is_named(limited: Path, command: str) -> None:
    key_id = made("ci", "--plan", "pro")["key"]["id"]
    (limited / "keystile.toml").write_text(LIMITED.replace("plans.pro", "plans.other"))
    result = run("limits", command, key_id)
    assert (result.exit_code, result.stdout) == (1, "")
    assert (
        result.stderr
        == "Error: plans: the key's plan 'pro' is gone, so the key is refused; there are free, other, enterprise\n"
    )


@pytest.mark.parametrize("command", ["show", "reset"])
def test_limits_of_a_key_that_is_not_there(limited: Path, command: str) -> None:
    result = run("limits", command, "012345678901")
    assert (result.exit_code, result.stderr) == (1, "Error: no key has the id '012345678901'\n")


def test_a_limiter_that_does_not_answer_is_one_line(limited: Path) -> None:
    key_id = made("ci")["key"]["id"]
    text = LIMITED.replace("sqlite:///windows.db", "redis://:hunter2@127.0.0.1:1/0")
    (limited / "keystile.toml").write_text(text)
    for command in ("show", "reset"):
        result = run("limits", command, key_id)
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr == "Error: redis://127.0.0.1:1: ConnectionError\n"


def test_a_record_that_cannot_be_read_is_named_and_hides_no_other(ready: Path) -> None:
    broken, good = (run("keys", "create", name, "--json") for name in ("broken", "good"))
    ids = [json.loads(each.stdout)["key"]["id"] for each in (broken, good)]
    with closing(sqlite3.connect(ready / "keystile.db", isolation_level=None)) as connection:
        connection.execute("UPDATE keystile_keys SET scopes = 'x' WHERE id = ?", ids[:1])
    listed = process("keys", "list", "--json")
    assert [key["id"] for key in json.loads(listed.stdout)] == ids[1:]
    for result in (listed, process("check")):
        assert result.returncode == 0
        assert "unreadable_record" in result.stderr
        assert ids[0] in result.stderr
    revoked = process("keys", "revoke", ids[0], "--yes")
    assert revoked.returncode == 1
    assert "the key is revoked all the same" in revoked.stderr
    assert revoked.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("raise GeneratorExit", "raised GeneratorExit"),
        ("from keystile import Gate\nGate(https='no')", "raised ConfigurationError: https: expected one of"),
        (
            "class Odd(Exception):\n    def __str__(self): raise ValueError\nraise Odd",
            "raised Odd: its text cannot be shown",
        ),
    ],
)
def test_whatever_the_app_raises_when_it_is_imported_is_one_line_about_the_app(
    folder: Path, code: str, said: str
) -> None:
    (folder / "oddservice.py").write_text(code)
    (folder / "keystile.toml").write_text('store = "sqlite:///keys.db"\napp = "oddservice:app"')
    result = process("check")
    assert result.returncode == 1
    assert said in result.stderr
    assert "oddservice.py, line" in result.stderr
    assert result.stderr.count("\n") == 1
