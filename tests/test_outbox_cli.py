"""`keystile webhooks`: endpoints, deliveries and tables on the command line, over files and over outboxes in code."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner, Result

from keystile.cli.commands import main
from keystile.config.file import load
from keystile.webhooks import Scheme, Secret, sign, verify
from keystile.webhooks.outbox import Next, Outbox
from keystile.webhooks.sending import Attempt
from tests.outboxes import KEY, START
from tests.postgres_server import postgres_url  # noqa: F401
from tests.sql_stores import new_database

Run = Callable[..., Result]
FILE = 'store = "memory://"\n[webhooks]\noutbox = "sqlite:///outbox.db"\nallow_networks = ["10.1.0.0/16"]\n'


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    for name in ("KEYSTILE_CONFIG", "KEYSTILE_GATE", "KEYSTILE_OUTBOX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KEYSTILE_WEBHOOK_KEY", KEY)
    (tmp_path / "keystile.toml").write_text(FILE)
    return lambda *arguments, **named: CliRunner().invoke(main, ["webhooks", *arguments], **named)


def said(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def created(run: Run, *more: str) -> Any:
    return said(run("endpoints", "create", "https://a.example/in", "--organization", "acme", "--json", *more))


def test_an_endpoint_is_made_and_its_secret_is_shown_once(run: Run) -> None:
    done = run("endpoints", "create", "https://a.example/in", "--organization", "acme")
    assert done.exit_code == 0
    secret = done.stdout.strip()
    assert secret.startswith("whsec_")
    [shown] = said(run("endpoints", "list", "--json"))
    assert f"The secret of the endpoint {shown['id']} is shown this once; keep it now." in done.stderr
    for command in (("list",), ("list", "--json"), ("show", shown["id"]), ("show", shown["id"], "--json")):
        assert secret not in run("endpoints", *command).output


def test_the_shape_of_an_endpoint(run: Run) -> None:
    made = created(run, "--type", "a.b", "--type", "c", "--header", "X-Team: data", "--description", "Billing")
    endpoint = made["endpoint"]
    assert list(made) == ["endpoint", "secret"]
    assert {**endpoint, "id": "", "created_at": ""} == {
        "id": "",
        "state": "enabled",
        "organization_id": "acme",
        "url": "https://a.example/in",
        "description": "Billing",
        "event_types": ["a.b", "c"],
        "scheme": "standard",
        "header_names": ["X-Team"],
        "created_at": "",
        "disabled_at": None,
        "disabled_reason": None,
        "first_failure_at": None,
        "revision": 1,
        "signature_header": None,
    }
    assert said(run("endpoints", "show", endpoint["id"], "--json")) == endpoint
    table = run("endpoints", "list").stdout.splitlines()
    assert table[0].split()[:3] == ["ID", "URL", "STATE"]
    assert table[1].startswith(endpoint["id"])


def test_an_endpoint_with_a_header_of_its_own(run: Run) -> None:
    made = created(run, "--scheme", "hex_body", "--signature-header", "X-Sig")
    assert (made["endpoint"]["scheme"], made["endpoint"]["signature_header"]) == ("hex_body", "X-Sig")
    for wrong in (("--scheme", "hex_body"), ("--signature-header", "X-Sig")):
        refused = run("endpoints", "create", "https://a.example", "--organization", "acme", *wrong)
        assert refused.exit_code == 2
        assert "--signature-header belongs to hex_body and timestamped" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["http://a.example"], "url: messages go over https"),
        (["https://10.2.0.1/"], "url: the address is not public"),
        (["https://a.example", "--type", "A"], "event_types: expected a type"),
        (["https://a.example", "--header", "Host: x"], "headers: 'Host' cannot be set"),
    ],
)
def test_what_cannot_be_an_endpoint_is_one_line(run: Run, arguments: list[str], reason: str) -> None:
    refused = run("endpoints", "create", *arguments, "--organization", "acme")
    assert (refused.exit_code, refused.stdout, refused.stderr.count("\n")) == (1, "", 1)
    assert reason in refused.stderr


def test_headers_are_read_and_never_repeated(run: Run) -> None:
    for wrong in (["hunter2"], [": hunter2"], ["X-A: hunter2", "x-a: hunter2"]):
        options = [part for each in wrong for part in ("--header", each)]
        refused = run("endpoints", "create", "https://a.example", "--organization", "acme", *options)
        assert refused.exit_code == 2
        assert "hunter2" not in refused.output


def test_the_settings_of_the_file_hold(run: Run) -> None:
    assert run("endpoints", "create", "https://10.1.0.1/", "--organization", "acme").exit_code == 0
    assert Path("outbox.db").exists()


def test_an_endpoint_is_changed(run: Run) -> None:
    made = created(run, "--type", "a", "--header", "X-A: b", "--description", "old")["endpoint"]
    found = said(
        run("endpoints", "update", made["id"], "--url", "https://b.example/", "--description", "new", "--json")
    )
    assert (found["url"], found["description"], found["event_types"]) == ("https://b.example/", "new", ["a"])
    found = said(run("endpoints", "update", made["id"], "--clear", "type", "--clear", "header", "--json"))
    assert (found["event_types"], found["header_names"], found["description"]) == (None, [], "new")
    refused = run("endpoints", "update", made["id"], "--type", "a", "--clear", "type")
    assert (refused.exit_code, "contradict each other" in refused.stderr) == (2, True)


def test_a_secret_is_rotated_with_a_grace_or_at_once(run: Run) -> None:
    made = created(run)
    first = said(run("endpoints", "rotate", made["endpoint"]["id"], "--json"))
    assert first["secret"] != made["secret"]
    refused = run("endpoints", "rotate", made["endpoint"]["id"], "--grace", "0")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "at once?" in refused.stderr
    ended = run("endpoints", "rotate", made["endpoint"]["id"], "--grace", "0", "--yes").stdout.strip()
    outbox = Outbox("sqlite:///outbox.db")
    outbox.test(made["endpoint"]["id"])
    [claimed] = outbox.claim("w", 1, now=START * 2)
    headers = sign(Scheme.standard(), claimed.endpoint.secrets, claimed.payload, now=1, id="msg_1")
    verify(Scheme.standard(), [Secret(ended)], headers, claimed.payload, now=1)
    assert len(claimed.endpoint.secrets) == 1


def test_an_endpoint_is_disabled_enabled_and_deleted(run: Run) -> None:
    made = created(run)["endpoint"]
    found = said(run("endpoints", "disable", made["id"], "--reason", "moving", "--json"))
    assert (found["state"], found["disabled_reason"]) == ("disabled", "moving")
    assert "is disabled: enable it first" in run("endpoints", "test", made["id"]).stderr
    assert said(run("endpoints", "enable", made["id"], "--json"))["state"] == "enabled"
    kept = run("endpoints", "delete", made["id"], input="n\n")
    assert (kept.exit_code, "(https://a.example/in, of acme) for good?" in kept.stderr) == (1, True)
    assert run("endpoints", "delete", made["id"], input="y\n").exit_code == 0
    gone = run("endpoints", "show", made["id"])
    assert (gone.exit_code, gone.stderr.startswith("Error: no endpoint has the id")) == (1, True)


def test_deliveries_and_attempts_are_shown_and_tried_once_more(run: Run) -> None:
    made = created(run)["endpoint"]
    message = run("endpoints", "test", made["id"]).stdout.strip()
    assert said(run("endpoints", "test", made["id"], "--json"))["message_id"] != message
    outbox = Outbox("sqlite:///outbox.db")
    for each in outbox.claim("w", 2, now=START * 2):
        outbox.finish(each, Attempt(500, seconds=1.5, shown="no\x1b[2J"), Next.failed(), now=START)
    found = said(run("deliveries", made["id"], "--json"))
    assert [each["state"] for each in found] == ["failed", "failed"]
    assert message in {each["message_id"] for each in found}
    assert list(found[0])[:4] == ["id", "message_id", "endpoint_id", "type"]
    assert said(run("deliveries", made["id"], "--state", "done", "--json")) == []
    assert "FAILED" not in run("deliveries", made["id"]).stdout
    assert "There are more: --after" in run("deliveries", made["id"], "--limit", "1").stderr
    [attempt] = said(run("attempts", found[0]["id"], "--json"))
    assert (attempt["status"], attempt["seconds"], attempt["attempt"]) == (500, 1.5, 1)
    assert "\x1b" not in run("attempts", found[0]["id"]).stdout
    assert "\n1    2027-01-15T08:00:00Z  500   1.5" in run("attempts", found[0]["id"]).stdout
    again = said(run("retry", found[0]["id"], "--json"))
    assert (again["state"], again["id"]) == ("due", found[0]["id"])
    assert said(run("retry", "--endpoint", made["id"], "--since", "1d", "--json")) == {"retried": 1}
    assert run("retry", "--endpoint", made["id"], "--since", "1d").stderr == "0 are delivered once more.\n"
    for wrong in ([], [found[0]["id"], "--since", "1d"], ["--endpoint", made["id"]], ["--since", "1d"]):
        assert run("retry", *wrong).exit_code == 2


def test_a_key_is_made(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    made = run("key").stdout.strip()
    monkeypatch.setenv("KEYSTILE_WEBHOOK_KEY", made)
    assert run("endpoints", "list").exit_code == 0
    assert run("key").stdout.strip() != made
    monkeypatch.delenv("KEYSTILE_WEBHOOK_KEY")
    refused = run("endpoints", "list")
    assert (refused.exit_code, refused.stderr.count("\n")) == (1, 1)
    assert "key: is missing, and so is KEYSTILE_WEBHOOK_KEY" in refused.stderr
    monkeypatch.setenv("KEYSTILE_WEBHOOK_KEY", "hunter2")
    assert "hunter2" not in run("endpoints", "list").output


def test_a_file_that_names_no_outbox_says_so(run: Run) -> None:
    Path("keystile.toml").write_text('store = "memory://"\n')
    refused = run("endpoints", "list")
    assert (refused.exit_code, refused.stderr.count("\n")) == (1, 1)
    assert "keystile.toml: webhooks.outbox: is missing" in refused.stderr
    Path("keystile.toml").write_text('[webhooks]\noutbox = "mysql://me:hunter2@db/x"\n')
    refused = run("endpoints", "list")
    assert "webhooks.outbox: expected postgresql://… or sqlite:///…, got 'mysql://db'" in refused.stderr
    assert "hunter2" not in refused.output


def test_a_check_opens_the_outbox_of_the_file(run: Run, monkeypatch: pytest.MonkeyPatch, postgres_url: str) -> None:  # noqa: F811
    done = CliRunner().invoke(main, ["check"])
    assert done.exit_code == 0, done.output
    assert any(line.split()[0] == "outbox" and line.endswith("outbox.db") for line in done.stdout.splitlines())
    Path("keystile.toml").write_text(f'[webhooks]\noutbox = "{new_database(postgres_url)}"\n')
    refused = CliRunner().invoke(main, ["check"])
    assert (refused.exit_code, "run `keystile webhooks migrate`" in refused.stderr) == (1, True)
    monkeypatch.delenv("KEYSTILE_WEBHOOK_KEY")
    assert "key: is missing" in CliRunner().invoke(main, ["check"]).stderr


def test_another_outbox_is_named_by_its_url(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    made = created(run, "--outbox", "sqlite:///other.db")["endpoint"]
    assert said(run("endpoints", "list", "--json")) == []
    monkeypatch.setenv("KEYSTILE_OUTBOX", "sqlite:///other.db")
    assert said(run("endpoints", "list", "--json")) == [made]
    Path("keystile.toml").unlink()
    assert said(run("endpoints", "list", "--json")) == [made]
    monkeypatch.delenv("KEYSTILE_OUTBOX")
    assert "there is no such file" in run("endpoints", "list").stderr


def test_an_outbox_in_code_is_named(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "outbox_in_code.py").write_text(
        "from keystile.webhooks.outbox import Outbox\nprint('hello')\n"
        f"outbox = Outbox('sqlite:///{tmp_path}/code.db')\nother = 1\n"
    )
    made = created(run, "--outbox", "outbox_in_code:outbox")["endpoint"]
    assert said(run("endpoints", "show", made["id"], "--json", "--outbox", "outbox_in_code:outbox")) == made
    wrong = run("endpoints", "list", "--outbox", "outbox_in_code:other")
    assert (wrong.exit_code, "'outbox_in_code:other' is no Outbox: it is" in wrong.stderr) == (1, True)
    refused = CliRunner().invoke(main, ["--gate", "main:gate", "webhooks", "endpoints", "list"])
    assert (refused.exit_code, "--gate names no outbox: name it with --outbox" in refused.stderr) == (2, True)


def test_tables_are_made_in_postgresql_by_a_command(run: Run, postgres_url: str) -> None:  # noqa: F811
    url = new_database(postgres_url)
    Path("keystile.toml").write_text(f'store = "memory://"\n[webhooks]\noutbox = "{url}"\n')
    refused = run("endpoints", "list")
    assert (refused.exit_code, "run `keystile webhooks migrate`" in refused.stderr) == (1, True)
    printed = run("migrate", "--sql")
    assert (printed.exit_code, printed.stderr) == (0, "")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(printed.stdout)
    assert said(run("endpoints", "list", "--json")) == []
    assert run("migrate").stderr.endswith("is up to date.\n")
    other = new_database(postgres_url)
    done = run("migrate", "--outbox", other)
    assert (done.exit_code, done.stdout, done.stderr.splitlines()[0][:2]) == (0, "", "1/")
    assert done.stderr.endswith("is up to date now.\n")


def test_the_tables_of_keys_and_of_the_outbox_live_in_one_database(run: Run, postgres_url: str) -> None:  # noqa: F811
    for first, second in ((["migrate"], ["webhooks", "migrate"]), (["webhooks", "migrate"], ["migrate"])):
        url = new_database(postgres_url)
        Path("keystile.toml").write_text(f'store = "{url}"\n[webhooks]\noutbox = "{url}"\n')
        for arguments in (first, second, first):
            done = CliRunner().invoke(main, arguments)
            assert done.exit_code == 0, done.output
        assert CliRunner().invoke(main, ["keys", "create", "a"]).exit_code == 0
        assert run("endpoints", "create", "https://a.example", "--organization", "acme").exit_code == 0


def test_the_keys_and_the_outbox_live_in_one_file(run: Run) -> None:
    Path("keystile.toml").write_text('store = "sqlite:///all.db"\n[webhooks]\noutbox = "sqlite:///all.db"\n')
    assert run("endpoints", "create", "https://a.example", "--organization", "acme").exit_code == 0
    assert CliRunner().invoke(main, ["keys", "create", "a"]).exit_code == 0
    assert "up to date" in run("migrate").stderr
    assert len(said(run("endpoints", "list", "--json"))) == 1


def test_a_database_that_does_not_answer_is_one_line(run: Run) -> None:
    failed = run("endpoints", "list", "--outbox", "postgresql://me:hunter2@127.0.0.1:1/x")
    assert (failed.exit_code, failed.stdout, failed.stderr.count("\n")) == (1, "", 1)
    assert "hunter2" not in failed.output


def test_a_place_in_the_file_is_relative_to_the_file(tmp_path: Path) -> None:
    file = tmp_path / "keystile.toml"
    file.write_text(FILE)
    webhooks = load(file).webhooks
    assert webhooks is not None
    assert webhooks.outbox == f"sqlite:///{tmp_path / 'outbox.db'}"
    assert webhooks.receive == ()
