"""`keystile explain`: which rules hold for a request, and what follows; the same as the gate decides."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from keystile.cli import main
from keystile.config.file import load, open_gate

FILE = """
public = ["/health", "/v1/open/*"]
anonymous_limits = "9/minute"
root_path = "/api"
[[rules]]
match = "/v1/*"
scopes = ["v1"]
limits = "100/minute"
[[rules]]
match = "GET,POST /v1/exports/{id}"
scopes = ["exports"]
cost = 5
require_json = true
[[rules]]
match = "/v1/me"
cost = 0
"""
WIDE = {"limit": 100, "window_seconds": 60, "scope": "/v1/*", "enforced": True}
ANYONE = {"limit": 9, "window_seconds": 60, "scope": "", "enforced": True}


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("KEYSTILE_CONFIG", raising=False)
    monkeypatch.delenv("KEYSTILE_PEPPER", raising=False)
    path = tmp_path / "keystile.toml"
    path.write_text(FILE)
    return path


def run(file: Path, *arguments: str) -> Result:
    result = CliRunner().invoke(main, ["-c", str(file), "explain", *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def explained(file: Path, request: str) -> dict[str, Any]:
    result = run(file, request, "--json")
    assert result.exit_code == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


@pytest.mark.parametrize(
    ("request_line", "settings", "expected"),
    [
        ("/health", ["public[0]"], {"public": True, "scopes": [], "windows": [ANYONE], "cost": 1}),
        (
            "POST /v1/exports/7",
            ["rules[1]", "rules[0]"],
            {"public": False, "scopes": ["exports", "v1"], "windows": [WIDE], "cost": 5, "require_json": True},
        ),
        ("PUT /v1/exports/7", ["rules[0]"], {"scopes": ["v1"], "cost": 1, "require_json": False}),
        ("HEAD /api/v1/exports/7", ["rules[1]", "rules[0]"], {"path": "/v1/exports/7", "cost": 5}),
        ("GET /v1/open/x?y=1", ["public[1]", "rules[0]"], {"public": True, "scopes": [], "windows": [ANYONE, WIDE]}),
        ("GET /v1/me", ["rules[2]", "rules[0]"], {"cost": 0, "windows": []}),
        ("GET /v1/caf%C3%A9", ["rules[0]"], {"path": "/v1/caf\u00e9", "unreadable": None}),
        ("GET /other", [], {"public": False, "scopes": [], "windows": [], "cost": 1}),
        ("post /v1/exports/7", ["rules[1]", "rules[0]"], {"odd_method": True, "scopes": ["exports", "v1"], "cost": 5}),
    ],
)
def test_it_says_which_rules_hold_and_what_follows(
    file: Path, request_line: str, settings: list[str], expected: dict[str, Any]
) -> None:
    found = explained(file, request_line)
    assert [each["setting"] for each in found["rules"]] == settings
    assert {name: found[name] for name in expected} == expected


@pytest.mark.parametrize(
    "target", ["/v1//x", "/v1/%2e%2e/x", "/v1/a%2fb", "/v1;x", "/v1/%ff", "/api/v1/api/x", "/x/api", "/" + "x/" * 65]
)
def test_a_path_that_no_rule_can_read_meets_every_demand(file: Path, target: str) -> None:
    found = explained(file, f"GET {target}")
    assert found["unreadable"]
    assert len(found["rules"]) == 5
    assert {name: found[name] for name in found["not_canonical"]} == found["not_canonical"]
    assert (found["public"], found["scopes"], found["cost"]) == (False, ["exports", "v1"], 5)
    assert "every rule's demands hold" in run(file, f"GET {target}").stdout


def test_it_says_what_the_other_slash_and_other_spellings_get(file: Path) -> None:
    found = explained(file, "GET /health")
    assert found["other_slash"]["public"] is False
    assert found["not_canonical"]["scopes"] == ["exports", "v1"]
    assert explained(file, "GET /v1/exports/7")["other_slash"] is None
    assert explained(file, "GET /v1/me/")["other_slash"]["cost"] == 0
    assert explained(file, "GET /")["other_slash"] is None


def test_it_says_what_the_gate_decides(file: Path) -> None:
    with closing(open_gate(load(file))) as gate:
        for line in ("GET /v1/open/a", "POST /v1/exports/1", "DELETE /v1", "GET /", "BREW /v1/me", "GET /health/"):
            demand, found = gate.rules.demand(*line.split(" ")), explained(file, line)
            assert found["accept"] == ([] if demand.public else sorted(each.shown for each in demand.accept))
            told = found["public"], set(found["scopes"]), found["cost"], found["envelope"], found["require_json"]
            assert told == (demand.public, demand.scopes, demand.cost, demand.envelope, demand.json)


def test_people_get_a_table(file: Path) -> None:
    lines = run(file, "POST /v1/exports/7").stdout.splitlines()
    assert [line.split("  ")[0] for line in lines] == [
        "request", "rule rules[1]", "rule rules[0]", "key", "read from", "scopes", "windows", "cost", "envelope",
        "JSON bodies only", "not canonical",
    ]  # fmt: skip
    assert lines[4].endswith("Api-Key, Authorization: Api-Key, Authorization: Bearer, X-API-Key")
    assert "the key's own, 100 in 1 minute (/v1/*)" in lines[6]
    assert "with a slash" in run(file, "GET /health").stdout


def test_it_says_who_is_let_in_and_where_keys_are_read_from(file: Path) -> None:
    rules = ['match = "/v1/feed"\npublic = "optional"', 'match = "/v1/hook"\naccept = ["?token", "x-hook"]']
    file.write_text('anonymous_limits = "9/minute"\n' + "".join(f"[[rules]]\n{rule}\n" for rule in rules))
    feed, hook = explained(file, "/v1/feed"), explained(file, "/v1/hook")
    assert (feed["public"], feed["windows"], feed["anonymous_windows"]) == ("optional", [], [ANYONE])
    assert (hook["public"], hook["accept"], hook["anonymous_windows"]) == (False, ["?token", "X-Hook"], [])
    assert hook["not_canonical"]["accept"] == []
    text = run(file, "/v1/feed").stdout
    assert "optional: without one it is anonymous, with a wrong one refused" in text
    assert "the key's own; without a key: 9 in 1 minute (each address)" in text
    assert "?token, X-Hook" in run(file, "/v1/hook").stdout
    assert "a key is needed, read from nowhere" in run(file, "/v1/hook").stdout


def test_more_windows_than_may_hold_are_a_400(file: Path) -> None:
    file.write_text("".join(f'[[rules]]\nmatch = "/r{number}"\nlimits = "9/day"\n' for number in range(33)))
    assert explained(file, "//x")["too_many_windows"] is True
    assert explained(file, "/r1")["too_many_windows"] is False
    assert "more than 32: answered with 400" in run(file, "//x").stdout


@pytest.mark.parametrize(
    "wrong",
    ["", "POST", "v1/x", "POST v1/x", "POST  /x", "POST /x y", "https://a.example/x", "POST /x#y", "(x) /y", "/x\n"],
)
def test_what_is_no_request_is_wrong_usage(file: Path, wrong: str) -> None:
    result = run(file, "--", wrong)
    assert (result.exit_code, result.stdout) == (2, "")
    [line] = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert "POST /v1/exports/7" in line


def test_a_configuration_that_cannot_be_used_is_one_line(file: Path) -> None:
    file.write_text('[[rules]]\nmatch = "/a"\ncost = 2\n[[rules]]\nmatch = "/a/"\ncost = 3\n')
    result = run(file, "/a")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"Error: {file}: rules[1]: contradicts rules[0]: ")
    assert result.stderr.count("\n") == 1


UNITS = """
default_plan = "free"
[plans.free]
limits = "60/minute"
units = { tokens = "1000/minute; 9000/day", images = ["3/hour"] }
[[rules]]
match = "/v1/*"
scopes = ["v1"]
reserve = { tokens = 10 }
[[rules]]
match = "/v1/chat"
scopes = ["chat"]
limits = "5/minute"
reserve = { tokens = 100, images = 1 }
enforce = false
"""


def test_units_and_dry_runs_are_told(file: Path) -> None:
    file.write_text(UNITS)
    found = explained(file, "/v1/chat")
    assert found["enforce"] is True
    assert [(each["match"], each["enforce"]) for each in found["rules"]] == [("/v1/chat", False), ("/v1/*", True)]
    assert (found["scopes"], found["watched_scopes"]) == (["v1"], ["chat"])
    assert found["windows"] == [{"limit": 5, "window_seconds": 60, "scope": "/v1/chat", "enforced": False}]
    assert found["reserve"] == [
        {"unit": "images", "amount": 1, "enforced": False},
        {"unit": "tokens", "amount": 10, "enforced": True},
    ]
    assert found["not_canonical"]["reserve"][1] == {"unit": "tokens", "amount": 100, "enforced": True}
    lines = run(file, "/v1/chat").stdout
    assert "rule rules[1]     /v1/chat (dry run)\n" in lines
    assert "scopes            v1 chat (dry run)\n" in lines
    assert "the key's own, 5 in 1 minute (/v1/chat) (dry run)\n" in lines
    assert "reserves          1 images (dry run), 10 tokens\n" in lines
    file.write_text(f"enforce = false\n{UNITS}")
    assert "the gate is in dry run" in run(file, "/v1/chat").stdout
    assert explained(file, "/v1/chat")["enforce"] is False


def test_limits_show_tells_units(file: Path) -> None:
    file.write_text(
        f'store = "sqlite:///{file.parent}/keys.db"\nlimiter = "sqlite:///{file.parent}/windows.db"\n{UNITS}'
    )

    def asked(*arguments: str) -> str:
        result = CliRunner().invoke(main, ["-c", str(file), *arguments])
        assert result.exit_code == 0, result.output
        return result.stdout

    key_id = json.loads(asked("keys", "create", "ci", "--json"))["key"]["id"]
    shown = json.loads(asked("limits", "show", key_id, "--json"))
    assert [(each["unit"], each["window_seconds"], each["scope"], each["enforced"]) for each in shown] == [
        ("", 60, "", True),
        ("", 60, "/v1/chat", False),
        ("tokens", 60, "", True),
        ("tokens", 86_400, "", True),
        ("images", 3600, "", True),
    ]
    table = [line.split("  ")[0:] for line in asked("limits", "show", key_id).splitlines()]
    assert ["1 minute", "/v1/chat (dry run)"] in [[cell.strip() for cell in row if cell][:2] for row in table]
    assert ["1 day", "tokens"] in [[cell.strip() for cell in row if cell][:2] for row in table]
    checked = asked("check")
    assert "plan free  60/minute, tokens: 1000/minute; 9000/day, images: 3/hour (the default)\n" in checked
    assert "dry run    rules[1].enforce\n" in checked


LISTED = """
deny = ["192.0.2.7"]
cors_origins = ["https://app.example"]
[[rules]]
match = "/v1/*"
allow = ["10.0.0.0/8", "2001:db8::/32"]
[[rules]]
match = "GET,PUT /v1/users/{id}"
deny = ["10.0.0.9"]
"""


def test_it_says_which_addresses_are_admitted_and_what_a_preflight_gets(file: Path) -> None:
    file.write_text(LISTED)
    found = explained(file, "PUT /v1/users/7")
    gate = {"setting": None, "allow": None, "deny": ["192.0.2.7/32"]}
    wide = {"setting": "rules[0]", "allow": ["10.0.0.0/8", "2001:db8::/32"], "deny": None}
    narrow = {"setting": "rules[1]", "allow": None, "deny": ["10.0.0.9/32"]}
    assert found["lists"] == [gate, narrow, wide]
    assert found["cors"] == {"origins": ["https://app.example"], "credentials": False, "methods": ["GET", "PUT"]}
    assert explained(file, "/free")["lists"] == [gate]
    assert explained(file, "/free//x")["lists"] == [gate, narrow, wide]
    lines = run(file, "PUT /v1/users/7").stdout.splitlines()
    told = [line.split(None, 1)[1] for line in lines if line.startswith(("denied", "allowed", "preflight"))]
    assert told == [
        "192.0.2.7/32 (the gate)",
        "10.0.0.9/32 (rules[1])",
        "10.0.0.0/8 2001:db8::/32 (rules[0])",
        "answered for https://app.example, methods: GET, PUT, the one asked for",
    ]
    assert lines[-1].endswith("; all lists of addresses")


def test_of_a_long_list_it_shows_the_beginning(file: Path) -> None:
    file.write_text(f"deny = {json.dumps([f'10.0.0.{number}' for number in range(10)])}")
    [line] = [line for line in run(file, "/").stdout.splitlines() if line.startswith("denied")]
    assert line.endswith("10.0.0.7/32 and 2 more (the gate)")
    assert explained(file, "/")["cors"] is None
