"""The life of keys, projects and organizations on the command line, over every kind of gate."""

from __future__ import annotations

import json
import os
import pwd
import re
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from keystile import Gate
from tests import redis_stores, sql_stores
from tests.command_line import KINDS, Desk, desk
from tests.postgres_server import postgres_url  # noqa: F401
from tests.selection import some

SECRET = re.compile(r"acme_live_[0-9A-Za-z]{50}\n")
USER = pwd.getpwuid(os.getuid()).pw_name


@pytest.fixture(params=some([*KINDS, "postgresql", "valkey"], "file", "postgresql"))
def each(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A folder with each kind of gate, and with a file whose store is a server."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    if request.param == "postgresql":
        return desk(tmp_path, "file", sql_stores.emptied(request.getfixturevalue("postgres_url")))
    if request.param == "valkey":
        return desk(tmp_path, "file", redis_stores.emptied("valkey"))
    return desk(tmp_path, request.param)


@pytest.fixture
def one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A folder with a file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return desk(tmp_path, "file")


def made(at: Desk, *arguments: str) -> Any:
    return at.said("keys", "create", "ci", *arguments)


def other_secret() -> str:
    """A key of another store, made with the same pepper."""
    with closing(Gate("memory://", prefix="acme", peppers=["a pepper of enough bytes"], hasher="hmac-sha256")) as gate:
        return gate.keys.create("old").secret


def audited(at: Desk, *arguments: str) -> list[str]:
    return [entry["event"] for entry in at.said("audit", *arguments)]


def test_a_key_lives_from_creation_to_revocation(each: Desk) -> None:
    key_id = made(each, "--scope", "a")["key"]["id"]
    changed = each.said(
        "keys", "update", key_id, "--name", "renamed", "--plan", "pro", "--scope", "b", "--may", "GET /"
    )
    assert (changed["name"], changed["plan"], changed["scopes"], changed["may"]) == ("renamed", "pro", ["b"], ["GET /"])
    assert each.said("keys", "suspend", key_id)["state"] == "suspended"
    assert each.said("keys", "resume", key_id)["state"] == "active"
    rotated = each.said("keys", "rotate", key_id, "--grace", "1h")
    assert rotated["key"]["hints"][0] == rotated["secret"][-4:]
    assert each.said("keys", "revoke", key_id, "--yes")["state"] == "revoked"
    assert each.said("keys", "show", key_id)["state"] == "revoked"
    assert audited(each, "--target", key_id) == [
        *("key.revoke", "key.rotate", "key.resume", "key.suspend", "key.update", "key.create")
    ]


def test_the_audit_names_the_user_of_the_system(each: Desk) -> None:
    each.did("organizations", "create", "acme")
    each.did("projects", "create", "Web", "--organization", "acme")
    entries = each.said("audit")
    assert [entry["event"] for entry in entries] == ["key.create", "project.create", "organization.create"]
    for entry in entries:
        assert entry["actor"] == {
            "type": "cli",
            "id": USER,
            "name": USER,
            "via": "cli",
            "client": None,
            "request_id": None,
        }
    assert entries[0]["correlation_id"] == entries[1]["id"]


def test_imported_and_leaked_keys_say_who_did_it(each: Desk) -> None:
    secret = made(each)["secret"]
    (each.folder / "leaked.txt").write_text(secret)
    each.run("scan", "leaked.txt", "--revoke", "--yes")
    line = json.dumps({"key": f"acme_live_{'0' * 50}", "name": "old", "actor": "ann"})
    result = each.run("keys", "import", answer=line)
    assert (result.exit_code, "'actor': there is no such field" in result.stderr) == (1, True)
    (each.folder / "keys.json").write_text(json.dumps({"key": other_secret(), "name": "old"}))
    (each.folder / "keys.json").chmod(0o600)
    each.did("keys", "import", "keys.json")
    told = [(entry["event"], entry["actor"]["id"], entry["actor"]["via"]) for entry in each.said("audit")]
    assert told == [("key.import", USER, "cli"), ("key.revoke", USER, "leak_scan"), ("key.create", USER, "cli")]


def test_an_environment_that_lies_is_not_believed(one: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "somebody else")
    made(one)
    assert one.said("audit")[0]["actor"]["id"] == USER


def test_a_user_without_a_name_is_told_by_number(one: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(_uid: int) -> Any:
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    made(one)
    assert one.said("audit")[0]["actor"]["id"] == f"uid {os.getuid()}"


@pytest.mark.parametrize(
    "command", [("keys", "create", "ci"), ("projects", "create", "Web", "--organization", "acme")], ids=lambda c: c[0]
)
def test_a_new_secret_is_alone_on_stdout(each: Desk, command: tuple[str, ...]) -> None:
    result = each.run(*command)
    assert SECRET.fullmatch(result.stdout), result.stdout
    assert result.stdout.strip() not in result.stderr


def test_a_rotation_prints_the_secret_alone_and_says_when_the_old_one_ends(each: Desk) -> None:
    first = made(each)
    result = each.run("keys", "rotate", first["key"]["id"], "--grace", "7d")
    assert SECRET.fullmatch(result.stdout)
    shown = each.said("keys", "show", first["key"]["id"])
    assert shown["hints"] == [result.stdout.strip()[-4:], first["secret"][-4:]]
    assert f"The secret before it ends at {shown['grace_expires_at']}." in result.stderr
    ends = datetime.fromisoformat(shown["grace_expires_at"]) - timedelta(days=7)
    assert timedelta(0) <= datetime.now(UTC) - ends < timedelta(minutes=5)


def test_a_rotation_that_ends_a_secret_at_once_asks_first(each: Desk) -> None:
    key_id = made(each)["key"]["id"]
    assert each.refused("keys", "rotate", key_id, answer="n\n") == "Error: nothing was done"
    assert audited(each, "--event", "key.rotate") == []
    result = each.run("keys", "rotate", key_id, answer="y\n")
    assert SECRET.fullmatch(result.stdout)
    assert f"The secret of the key {key_id} (ci) ends at once, without --grace. Rotate? [y/N]" in result.stderr
    assert "The secret before it ended." in result.stderr
    assert len(each.said("keys", "show", key_id)["hints"]) == 1


def test_a_rotation_in_the_grace_of_another_asks_and_tells(each: Desk) -> None:
    key_id = made(each)["key"]["id"]
    each.did("keys", "rotate", key_id, "--grace", "1h")
    line = each.refused("keys", "rotate", key_id, "--grace", "1h")
    assert line == "Error: nothing was done, because nobody answered; --yes does it without asking"
    result = each.run("keys", "rotate", key_id, "--grace", "1h", answer="yes\n")
    assert SECRET.fullmatch(result.stdout)
    assert "has an older secret too, valid until" in result.stderr
    assert "So did the one before that" in result.stderr
    assert each.said("keys", "rotate", key_id, "--grace", "1h", "--yes")["replaced_at_once"] is True


def test_a_revocation_asks_and_names_the_key(each: Desk) -> None:
    key_id = made(each, "--organization", "acme")["key"]["id"]
    for answer in ("n\n", "\n", "nonsense\n", "", "y" * 5000):
        assert each.refused("keys", "revoke", key_id, answer=answer).startswith("Error: nothing was done")
    assert each.said("keys", "show", key_id)["state"] == "active"
    result = each.run("keys", "revoke", key_id, "--json", answer="Y\n")
    assert f"Revoke the key {key_id} (ci, of acme) for good? It was never used. [y/N]" in result.stderr
    assert json.loads(result.stdout)["state"] == "revoked"
    again = each.run("keys", "revoke", key_id, "--json")
    assert (again.stdout, "?" in again.stderr) == (result.stdout, False)


def test_a_project_comes_with_a_key_and_goes_with_its_keys(each: Desk) -> None:
    options = [
        "--organization",
        "acme",
        "--id",
        "web",
        "--environment",
        "staging",
        "--key-name",
        "first",
        "--plan",
        "pro",
    ]
    issued = each.said("projects", "create", "Web", *options, "--scope", "a", "--expires", "30d")
    project, key = issued["project"], issued["key"]
    assert (project["id"], project["name"], project["environment"]) == ("web", "Web", "staging")
    assert (key["name"], key["project_id"], key["plan"], key["scopes"]) == ("first", "web", "pro", ["a"])
    assert issued["secret"].startswith("acme_stage_")
    second = made(each, "--project", "web")["key"]
    assert (second["organization_id"], second["environment"]) == ("acme", "staging")
    assert each.refused("projects", "delete", "web", answer="no\n") == "Error: nothing was done"
    result = each.run("projects", "delete", "web", answer="y\n")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "Delete the project web (Web, of acme) for good? Its 2 live keys end with it. [y/N]" in result.stderr
    assert "The project web is deleted." in result.stderr
    assert [each.said("keys", "show", found["id"])["state"] for found in (key, second)] == ["revoked", "revoked"]
    assert each.refused("projects", "show", "web") == "Error: no project has the id 'web'"


def test_a_project_is_changed_and_suspended(each: Desk) -> None:
    each.did("projects", "create", "Web", "--organization", "acme", "--id", "web")
    changed = each.said("projects", "update", "web", "--name", "Site", "--environment", "development")
    assert (changed["name"], changed["environment"]) == ("Site", "development")
    assert each.said("projects", "suspend", "web")["state"] == "suspended"
    (key,) = each.said("keys", "list", "--project", "web")
    assert (key["state"], key["suspended_at"]) == ("suspended", None)
    assert key["inherited"]["suspended_at"] is not None
    assert each.said("projects", "resume", "web")["state"] == "active"
    assert each.said("projects", "show", "web") == {**changed, "suspended_at": None}


def test_an_organizations_plan_holds_for_its_keys(each: Desk) -> None:
    key_id = made(each, "--organization", "acme")["key"]["id"]
    assert each.said("organizations", "create", "acme", "--name", "Acme Inc.", "--plan", "free")["plan"] == "free"
    assert each.said("organizations", "plan", "acme", "pro")["plan"] == "pro"
    assert each.said("keys", "show", key_id)["inherited"]["plan"] == "pro"
    assert each.said("organizations", "plan", "acme", "--none")["plan"] is None
    assert each.said("organizations", "update", "acme", "--name", "Acme")["name"] == "Acme"
    assert each.said("organizations", "suspend", "acme")["state"] == "suspended"
    assert each.said("keys", "show", key_id)["state"] == "suspended"
    assert each.said("organizations", "resume", "acme")["state"] == "active"
    assert each.said("organizations", "show", "acme") == each.said("organizations", "list")[0]


def test_a_cap_refuses_or_tells_what_it_revoked(each: Desk) -> None:
    few = ("--organization", "acme", "--plan", "few")
    made(each, *few)
    made(each, *few)
    said = "Error: the plan 'few' allows 2 live keys of the same organization"
    assert each.refused("keys", "create", "ci", *few) == said
    oldest = made(each, "--owner", "ann", "--plan", "one")["key"]["id"]
    result = each.run("keys", "create", "ci", "--owner", "ann", "--plan", "one")
    assert SECRET.fullmatch(result.stdout)
    assert f"so older ones were revoked: {oldest}." in result.stderr
    newest = made(each, "--owner", "ann", "--plan", "one")
    assert len(newest["revoked"]) == 1


@pytest.mark.parametrize("kind", ["plain", "mixed", "waiting"])
def test_what_the_host_does_when_a_project_is_deleted_may_fail_and_be_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.chdir(tmp_path)
    at = desk(tmp_path, kind)
    at.did("projects", "create", "Stubborn", "--organization", "acme", "--id", "web")
    for _ in range(2):
        line = at.refused("projects", "delete", "web", "--yes")
        assert line.startswith("Error: the project web is deleted, but on_project_deleted raised RuntimeError: no disk")
        assert line.endswith("the same command calls it again")
        assert "hunter2" not in line
    assert audited(at, "--event", "project.delete") == ["project.delete"]


def test_a_project_that_was_deleted_is_told_again(each: Desk) -> None:
    each.did("projects", "create", "Web", "--organization", "acme", "--id", "web")
    for said in ("is deleted.\n", "was before; on_project_deleted was called again, if there is one.\n"):
        result = each.run("projects", "delete", "web", "--yes")
        assert (result.exit_code, result.stdout, result.stderr.endswith(said)) == (0, "", True)
        assert ("the host removes web" in result.stderr) is bool(each.options)


CLEARED = {
    "plan": ("--plan", "pro", "plan", None),
    "limits": ("--limits", "7/minute", "limits", None),
    "scopes": ("--scope", "a", "scopes", []),
    "may": ("--may", "GET /v1/*", "may", None),
    "allow": ("--allow", "192.0.2.0/24", "ip_allowlist", None),
    "expires": ("--expires", "30d", "expires_at", None),
    "metadata": ("--metadata", '{"team": "data"}', "metadata", {}),
    "project": ("--project", "web", "project_id", None),
}


@pytest.mark.parametrize("word", CLEARED)
def test_what_was_set_can_be_cleared_and_nothing_else_changes(one: Desk, word: str) -> None:
    option, value, member, empty = CLEARED[word]
    one.did("projects", "create", "Web", "--organization", "acme", "--id", "web")
    before = made(one, "--organization", "acme", "--owner", "ann")["key"]
    changed = one.said("keys", "update", before["id"], option, value)
    assert changed[member] != empty
    assert {**changed, member: empty} == before
    assert one.said("keys", "update", before["id"], "--clear", word) == before
    result = one.run("keys", "update", before["id"], option, value, "--clear", word)
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"--clear {word} and the option that sets it contradict each other" in result.stderr


def test_every_option_of_update_can_be_cleared_but_those_that_must_be_there(one: Desk) -> None:
    options = set(re.findall(r"^  --([a-z]+)", one.did("keys", "update", "--help"), re.MULTILINE))
    can = {"scope" if word == "scopes" else word for word in CLEARED}
    assert options - can == {"name", "environment", "clear", "json"}


WRONG_USE = {
    "keys: nothing to change": ["keys", "update", "0" * 12],
    "projects: nothing to change": ["projects", "update", "web"],
    "organizations: nothing to change": ["organizations", "update", "acme"],
    "plan: none and a name": ["organizations", "plan", "acme", "pro", "--none"],
    "plan: neither": ["organizations", "plan", "acme"],
    "project: of nobody": ["projects", "create", "Web"],
    "grace: no span": ["keys", "rotate", "0" * 12, "--grace", "soon"],
    "grace: negative": ["keys", "rotate", "0" * 12, "--grace", "-1h"],
    "grace: other digits": ["keys", "rotate", "0" * 12, "--grace", "\u0661h"],
    "grace: far too long": ["keys", "rotate", "0" * 12, "--grace", "9" * 5000],
    "limit and all": ["keys", "list", "--limit", "3", "--all"],
    "audit: limit": ["audit", "--limit", "0"],
}


@pytest.mark.parametrize("arguments", WRONG_USE.values(), ids=WRONG_USE)
def test_wrong_usage_is_exit_code_2(one: Desk, arguments: list[str]) -> None:
    result = one.run(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Error: " in result.stderr


REFUSED = {
    "update: unknown": (["keys", "update", "0" * 12, "--name", "x"], "no key has the id '000000000000'"),
    "update: no such plan": (["keys", "update", "KEY", "--plan", "gold"], "plan: there is no plan 'gold'"),
    "update: empty name": (["keys", "update", "KEY", "--name", ""], "name: expected 1 to 200 printable characters"),
    "update: no project": (["keys", "update", "KEY", "--project", "none"], "no project has the id 'none'"),
    "update: may": (["keys", "update", "KEY", "--may", "GET v1"], "may"),
    "rotate: grace": (["keys", "rotate", "KEY", "--grace", "91d"], "grace: expected a number of seconds from 0 to"),
    "rotate: unknown": (["keys", "rotate", "0" * 12, "--yes"], "no key has the id"),
    "revoke: unknown": (["keys", "revoke", "0" * 12], "no key has the id"),
    "update: revoked": (["keys", "update", "GONE", "--name", "x"], "the key 'GONE' is revoked"),
    "rotate: revoked": (["keys", "rotate", "GONE", "--yes"], "the key 'GONE' is revoked"),
    "resume: revoked": (["keys", "resume", "GONE"], "the key 'GONE' is revoked"),
    "project: unknown": (["projects", "suspend", "none"], "no project has the id 'none'"),
    "project: delete unknown": (["projects", "delete", "none", "--yes"], "no project has the id 'none'"),
    "project: taken": (["projects", "create", "x", "--organization", "acme", "--id", "web"], "id: 'web' is taken"),
    "organization: unknown": (["organizations", "plan", "none", "pro"], "no organization has the id 'none'"),
    "organization: taken": (["organizations", "create", "acme"], "id: 'acme' is taken"),
    "organization: no such plan": (["organizations", "plan", "acme", "gold"], "plan: there is no plan 'gold'"),
}


@pytest.mark.parametrize(("arguments", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused_is_one_line_and_exit_code_1(one: Desk, arguments: list[str], reason: str) -> None:
    one.did("organizations", "create", "acme")
    one.did("projects", "create", "Web", "--organization", "acme", "--id", "web")
    ids = {"KEY": made(one)["key"]["id"], "GONE": made(one)["key"]["id"]}
    one.did("keys", "revoke", ids["GONE"], "--yes")
    before = one.said("audit")
    result = one.run(*[ids.get(each, each) for each in arguments])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"Error: {reason.replace('GONE', ids['GONE'])}")
    assert result.stderr.count("\n") == 1
    assert one.said("audit") == before


@pytest.mark.parametrize("command", ["show", "update --name x", "rotate --yes", "suspend", "resume", "revoke --yes"])
def test_a_whole_key_in_the_place_of_an_id_is_not_repeated(one: Desk, command: str) -> None:
    secret = made(one)["secret"]
    name, *options = command.split()
    assert secret[12:] not in one.refused("keys", name, secret, *options)
    assert secret[12:] not in one.refused("keys", "list", "--after", secret)


def test_no_shape_holds_a_secret_or_a_hash(one: Desk) -> None:
    first = made(one)
    key_id = first["key"]["id"]
    second = one.said("keys", "rotate", key_id, "--grace", "1h")
    outputs = [
        json.dumps([first["key"], second["key"]]),
        *(one.did(*command) for command in (("keys", "show", key_id), ("keys", "list"), ("audit",))),
        *(one.did(*command, "--json") for command in (("keys", "show", key_id), ("keys", "list"), ("audit",))),
    ]
    for output in outputs:
        assert first["secret"] not in output
        assert second["secret"] not in output
        assert "hmac" not in output


@pytest.mark.parametrize(
    ("noun", "make"),
    [
        ("keys", lambda at, name: at.said("keys", "create", name)["key"]["id"]),
        ("projects", lambda at, name: at.said("projects", "create", name, "--organization", "acme")["project"]["id"]),
        ("organizations", lambda at, name: at.said("organizations", "create", name)["id"]),
    ],
    ids=["keys", "projects", "organizations"],
)
def test_a_list_goes_on_where_the_page_before_ended(each: Desk, noun: str, make: Any) -> None:
    ids = [make(each, f"n{number}") for number in range(5)]
    first = each.run(noun, "list", "--limit", "2", "--json")
    assert [found["id"] for found in json.loads(first.stdout)] == ids[:2]
    assert f"There are more: --after {ids[1]}\n" in first.stderr
    rest = each.run(noun, "list", "--after", ids[1], "--limit", "3", "--json")
    assert [found["id"] for found in json.loads(rest.stdout)] == ids[2:]
    assert "There are more" not in rest.stderr
    assert [found["id"] for found in each.said(noun, "list", "--all")] == ids
    assert [line.split()[0] for line in each.did(noun, "list", "--all").splitlines()] == ["ID", *ids]


def test_a_key_is_found_by_whose_it_is_and_whether_it_lives(each: Desk) -> None:
    each.did("projects", "create", "Web", "--organization", "acme", "--id", "web", "--key-name", "of web")
    made(each, "--organization", "acme", "--owner", "ann")
    gone = made(each, "--owner", "bob")["key"]["id"]
    each.did("keys", "revoke", gone, "--yes")

    def found(*options: str) -> list[str]:
        return [key["owner_id"] or key["name"] for key in each.said("keys", "list", *options)]

    assert found() == ["of web", "ann", "bob"]
    assert found("--organization", "acme") == ["of web", "ann"]
    assert found("--project", "web") == ["of web"]
    assert found("--owner", "bob") == ["bob"]
    assert found("--live") == ["of web", "ann"]
    assert found("--state", "revoked") == ["bob"]
    assert found("--state", "active", "--organization", "acme") == ["of web", "ann"]
    assert found("--search", "OF W") == ["of web"]
    assert found("--search", gone) == ["bob"]
    said = each.run("keys", "list", "--live", "--state", "active")
    assert said.exit_code != 0
    assert "state: contradicts live" in said.stderr


def test_the_audit_is_filtered_and_comes_in_pages(each: Desk) -> None:
    each.did("organizations", "create", "acme")
    each.did("organizations", "create", "other")
    key_id = made(each, "--organization", "acme")["key"]["id"]
    each.did("keys", "suspend", key_id)
    assert audited(each, "--organization", "acme") == ["key.suspend", "key.create", "organization.create"]
    assert audited(each, "--target", key_id) == ["key.suspend", "key.create"]
    assert audited(each, "--event", "organization.create") == ["organization.create"] * 2
    newest, older = each.said("audit", "--limit", "2")
    rest = each.said("audit", "--after", older["id"])
    assert [newest["event"], *audited(each)[1:]] == audited(each)
    assert len(rest) == 2
    head, line, *_ = each.did("audit", "--target", key_id).splitlines()
    assert head.split() == ["AT", "EVENT", "TARGET", "BY", "CHANGED"]
    assert line.split()[1:] == ["key.suspend", key_id, USER, "suspended_at"]


def test_a_record_is_shown_whole_to_people(one: Desk) -> None:
    words = [f"scope:number-{number}" for number in range(12)]
    key_id = made(one, *(part for word in words for part in ("--scope", word)))["key"]["id"]
    shown = one.did("keys", "show", key_id)
    assert max(map(len, shown.splitlines())) <= 80
    assert shown.split("scopes")[1].split("may")[0].split() == words


def test_a_list_says_which_columns_do_not_fit(one: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    made(one, "--organization", "o" * 30, "--owner", "w" * 30, "--limits", "60/minute; 5000/day", "--expires", "30d")
    narrow = one.run("keys", "list")
    assert max(map(len, narrow.stdout.splitlines())) <= 80
    missing = re.search(r"Not shown, for it does not fit: (.*)\. --json shows everything\.", narrow.stderr)
    assert missing is not None
    monkeypatch.setenv("COLUMNS", "300")
    wide = one.run("keys", "list")
    assert wide.stderr == ""
    for title in missing[1].split(", "):
        assert title in wide.stdout.splitlines()[0]
        assert title not in narrow.stdout.splitlines()[0]


def test_what_a_list_is_asked_for_needs_no_column(one: Desk) -> None:
    made(one, "--organization", "acme", "--owner", "ann")
    assert "OWNER" in one.did("keys", "list", "--organization", "acme").splitlines()[0]
    assert "ORGANIZATION" not in one.did("keys", "list", "--organization", "acme").splitlines()[0]
    assert "OWNER" not in one.did("keys", "list", "--owner", "ann").splitlines()[0]


def test_a_store_that_only_finds_keys_is_named(one: Desk) -> None:
    code = "from keystile import Gate\nclass Finder:\n    def find(self, key_id): return None\ngate = Gate(Finder())\n"
    (one.folder / "finder.py").write_text(code)
    for command in (["projects", "list"], ["keys", "create", "x"], ["audit"], ["organizations", "create", "acme"]):
        line = Desk(one.folder, ("--gate", "finder:gate")).refused(*command)
        assert line == "Error: store: only finds keys: it keeps none, and nothing about them"


def test_what_ended_long_ago_is_purged_when_somebody_says_yes(each: Desk) -> None:
    key_id = made(each)["key"]["id"]
    each.did("keys", "revoke", key_id, "--yes")
    assert each.said("purge", "--dry-run") == {"dry_run": True, "keys": 0, "projects": 0, "entries": 0}
    assert each.did("purge") == "0 keys, 0 projects, 0 audit entries removed\n"
    assert each.did("purge", "--older-than", "1h", "--yes") == "0 keys, 0 projects, 0 audit entries removed\n"
    assert each.said("keys", "show", key_id)["state"] == "revoked"
    refused = each.run("purge", "--older-than", "59m")
    assert (refused.exit_code, refused.stderr) == (1, "Error: older_than: expected at least 3600 seconds\n")
    assert each.run("purge", "--older-than", "long").exit_code == 2
