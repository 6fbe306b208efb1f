"""Commands as processes: pipes that close, no stdin, wide names, long lists, stores that are down, two at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from keystile.config.file import load, open_gate
from tests.command_line import Desk, desk, environ

MANY = 1100
FULL = Path("/dev/full")


@pytest.fixture
def one(tmp_path: Path) -> Desk:
    """A folder with a file."""
    return desk(tmp_path, "file")


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """A folder with a store of many keys."""
    found = desk(tmp_path_factory.mktemp("many"), "file")
    with closing(open_gate(load(found.folder / "keystile.toml", {}))) as gate:
        for number in range(MANY):
            gate.keys.create(f"key {number}", plan="pro", organization_id="acme")
    return found


def did(at: Desk, *arguments: str, **options: Any) -> str:
    """What a process that succeeds prints on stdout."""
    code, out, err = at.end(at.start(*arguments, **options))
    assert code == 0, err
    return out


def made(at: Desk, *arguments: str) -> Any:
    return json.loads(did(at, "keys", "create", *arguments, "--json"))


@pytest.mark.parametrize("command", ["rotate", "revoke"])
def test_without_stdin_nothing_is_done(one: Desk, command: str) -> None:
    key = made(one, "ci")["key"]
    closed = [sys.executable, "-c", "import os, sys; os.close(0); os.execv(sys.executable, sys.argv[1:])"]
    ways = [
        one.start("keys", command, key["id"]),
        subprocess.Popen(
            [*closed, sys.executable, "-W", "error", "-m", "keystile", "keys", command, key["id"]],
            cwd=one.folder,
            text=True,
            env=environ(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ),
    ]
    for process in ways:
        code, out, err = one.end(process)
        assert (code, out) == (1, "")
        assert err.splitlines()[-1].startswith("Error: nothing was done, because nobody answered")
    assert json.loads(did(one, "keys", "show", key["id"], "--json")) == key


def test_an_answer_comes_through_a_pipe(one: Desk) -> None:
    key_id = made(one, "ci")["key"]["id"]
    code, out, err = one.end(one.start("keys", "rotate", key_id, stdin=subprocess.PIPE), "yes\n")
    assert code == 0, err
    assert out.startswith(f"acme_live_{key_id}")
    assert out.count("\n") == 1


def test_an_interrupt_at_the_question_does_nothing(one: Desk) -> None:
    key = made(one, "ci")["key"]
    process = one.start("keys", "revoke", key["id"], stdin=subprocess.PIPE)
    assert process.stderr is not None
    while not (said := process.stderr.read(1)).endswith("]"):
        assert said
    process.send_signal(signal.SIGINT)
    code, out, err = one.end(process)
    assert (code, out) == (1, "")
    assert "Traceback" not in err
    assert json.loads(did(one, "keys", "show", key["id"], "--json")) == key


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["table", "json"])
def test_a_reader_that_goes_away_early_ends_a_list_quietly(many: Desk, options: list[str]) -> None:
    with many.start("keys", "list", "--all", *options) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(1)
        process.stdout.close()
        assert process.stderr.read() == ""


@pytest.mark.parametrize("command", ["create", "rotate"])
def test_a_secret_that_cannot_be_written_is_told_as_lost(one: Desk, command: str) -> None:
    key_id = made(one, "ci")["key"]["id"]
    arguments = ["create", "other"] if command == "create" else ["rotate", key_id, "--grace", "1h"]
    with FULL.open("w") as full:
        code, _, err = one.end(one.start("keys", *arguments, stdout=full))
    lost = json.loads(did(one, "keys", "list", "--json"))[-1]["id"]
    assert code == 1
    reason = "No space left on device; it is lost: rotate the key, or revoke it"
    assert err.splitlines()[-1] == f"Error: the secret of the key {lost} could not be shown: {reason}"
    reader, writer = os.pipe()
    os.close(reader)
    code, _, err = one.end(one.start("keys", *arguments, *(["--yes"] * (command == "rotate")), stdout=writer))
    os.close(writer)
    assert code == 1
    assert "could not be shown: Broken pipe; it is lost" in err


def test_a_closed_stdout_is_seen_before_a_secret_is_made(one: Desk) -> None:
    key = made(one, "ci")["key"]
    commands = (["keys", "create", "x"], ["keys", "rotate", key["id"], "--yes"])
    for command in (*commands, ["projects", "create", "x", "--organization", "a"]):
        process = subprocess.Popen(
            ["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-m", "keystile", *command],
            cwd=one.folder,
            text=True,
            env=environ(),
            stderr=subprocess.PIPE,
        )
        assert one.end(process)[::2] == (1, "Error: stdout is closed: the secret could not be shown\n")
    assert json.loads(did(one, "keys", "list", "--json")) == [key]


def test_wide_names_are_shown_whole_or_escaped(one: Desk) -> None:
    name = "株式会社の鍵 🔑 for Ann"
    key_id = made(one, name)["key"]["id"]
    assert name in did(one, "keys", "show", key_id)
    assert did(one, "keys", "show", key_id, "--json").isascii()
    plain = did(one, "keys", "list", env=environ(PYTHONIOENCODING="latin-1"))
    assert r"\u682a" in plain
    code, _, err = one.end(one.start("keys", "revoke", key_id, env=environ(PYTHONIOENCODING="latin-1")))
    assert code == 1
    assert r"\u682a" in err


def test_a_list_of_any_length_comes_whole(many: Desk) -> None:
    found = json.loads(did(many, "keys", "list", "--all", "--json"))
    assert [key["name"] for key in found] == [f"key {number}" for number in range(MANY)]
    head, *lines = did(many, "keys", "list", "--all").splitlines()
    assert head.startswith("ID  ")
    # Where another page has other widths, the head is there again.
    assert [line.split()[0] for line in lines if not line.startswith("ID  ")] == [key["id"] for key in found]
    assert max(map(len, lines)) <= 80
    assert len(json.loads(did(many, "audit", "--all", "--json"))) == MANY


def test_pages_put_together_are_the_list(many: Desk) -> None:
    ids: list[str] = []
    while True:
        after = ["--after", ids[-1]] if ids else []
        page = json.loads(did(many, "keys", "list", "--limit", "1000", *after, "--json"))
        ids += [key["id"] for key in page]
        if len(page) < 1000:
            break
    assert len(set(ids)) == MANY


def test_people_see_how_far_a_long_list_is(many: Desk) -> None:
    terminal, other = os.openpty()
    process = many.start("keys", "list", "--all", "--json", stderr=other)
    os.close(other)
    out, _ = process.communicate(timeout=60)
    said = os.read(terminal, 10_000).decode()
    os.close(terminal)
    assert process.returncode == 0
    assert len(json.loads(out)) == MANY
    assert said.split("\r")[1:3] == ["1,000 so far", "1,100 in all "]


COMMANDS: dict[str, list[str]] = {
    "create": ["keys", "create", "ci"],
    "list": ["keys", "list", "--all"],
    "json": ["keys", "list", "--json"],
    "update": ["keys", "update", "0" * 12, "--name", "x"],
    "rotate": ["keys", "rotate", "0" * 12, "--yes"],
    "revoke": ["keys", "revoke", "0" * 12, "--yes"],
    "project": ["projects", "create", "x", "--organization", "a"],
    "delete": ["projects", "delete", "x", "--yes"],
    "plan": ["organizations", "plan", "a", "pro"],
    "audit": ["audit"],
}


@pytest.fixture
def down(one: Desk) -> Desk:
    """A folder whose store is no store any more."""
    (one.folder / "keys.db").write_text("no database, but a text that is long enough to be taken for one" * 20)
    return one


@pytest.mark.parametrize("arguments", COMMANDS.values(), ids=COMMANDS)
def test_a_store_that_is_down_is_one_line(down: Desk, arguments: list[str]) -> None:
    code, out, err = down.end(down.start(*arguments))
    assert (code, out) == (1, "")
    assert err.startswith("Error: ")
    assert err.count("\n") == 1


def test_two_at_once_do_all_their_work(one: Desk) -> None:
    made(one, "first")
    running = [one.start("keys", "create", f"n{number}", "--json") for number in range(4)]
    running += [one.start("projects", "create", f"p{number}", "--organization", "acme") for number in range(4)]
    for process in running:
        assert one.end(process)[0] == 0
    assert len(json.loads(did(one, "keys", "list", "--json"))) == 9
    assert len(json.loads(did(one, "projects", "list", "--json"))) == 4


def test_rotations_at_once_leave_two_secrets_and_one_of_them_is_the_last(one: Desk) -> None:
    key_id = made(one, "ci")["key"]["id"]
    running = [one.start("keys", "rotate", key_id, "--grace", "1h", "--yes") for _ in range(4)]
    ended = [one.end(process) for process in running]
    secrets = [out.strip() for code, out, _ in ended if code == 0]
    for code, _, err in ended:
        assert code == 0 or "was changed in the meantime" in err
    hints = json.loads(did(one, "keys", "show", key_id, "--json"))["hints"]
    assert len(hints) == 2
    assert hints[0] in [secret[-4:] for secret in secrets]


def test_a_cap_holds_whoever_creates_at_once(one: Desk) -> None:
    running = [one.start("keys", "create", "x", "--organization", "acme", "--plan", "few") for _ in range(6)]
    ended = [one.end(process) for process in running]
    assert sorted(code for code, _, _ in ended) == [0, 0, 1, 1, 1, 1]
    assert {err for code, _, err in ended if code} == {
        "Error: the plan 'few' allows 2 live keys of the same organization\n"
    }


def test_deletions_at_once_are_one_deletion(one: Desk) -> None:
    did(one, "projects", "create", "Web", "--organization", "acme", "--id", "web")
    running = [one.start("projects", "delete", "web", "--yes") for _ in range(4)]
    assert [one.end(process)[0] for process in running] == [0] * 4
    assert len(json.loads(did(one, "audit", "--event", "project.delete", "--json"))) == 1
