"""`keystile migrate`: what it does to a database, and what it says."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner, Result

from keystile.cli.commands import main
from keystile.stores import open_store
from tests.postgres_server import postgres_url  # noqa: F401
from tests.sql_stores import new_database


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("KEYSTILE_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(folder: Path, store: str, *arguments: str) -> Result:
    (folder / "keystile.toml").write_text(f'store = "{store}"\n')
    return CliRunner().invoke(main, arguments)


def test_a_database_without_tables_is_named_with_the_command_that_makes_them(
    folder: Path,
    postgres_url: str,  # noqa: F811
) -> None:
    url = new_database(postgres_url)
    refused = run(folder, url, "check")
    assert refused.exit_code == 1
    assert "no tables of keystile yet; run `keystile migrate`" in refused.stderr
    done = run(folder, url, "migrate")
    assert (done.exit_code, done.stdout) == (0, "")
    lines = done.stderr.splitlines()
    steps = [line.split()[0] for line in lines[:-1]]
    assert steps == [f"{number}/{len(steps)}" for number in range(1, len(steps) + 1)]
    assert lines[-1].endswith("is up to date now.")
    assert run(folder, url, "check").exit_code == 0
    again = run(folder, url, "migrate")
    assert (again.exit_code, again.stdout, again.stderr.count("\n")) == (0, "", 1)
    assert again.stderr.endswith("is up to date.\n")
    made = run(folder, url, "keys", "create", "a")
    assert made.exit_code == 0


def test_the_statements_are_printed_and_nothing_is_changed(folder: Path, postgres_url: str) -> None:  # noqa: F811
    url = new_database(postgres_url)
    printed = run(folder, url, "migrate", "--sql")
    assert (printed.exit_code, printed.stderr) == (0, "")
    assert "no tables" in run(folder, url, "check").stderr
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(printed.stdout)
    assert run(folder, url, "check").exit_code == 0
    assert run(folder, url, "migrate", "--sql").stdout == ""


@pytest.mark.parametrize("store", ["memory://", "sqlite:///keys.db"])
def test_a_store_that_migrates_itself_says_so(folder: Path, store: str) -> None:
    for arguments in (("migrate",), ("migrate", "--sql")):
        done = run(folder, store, *arguments)
        assert (done.exit_code, done.stdout) == (0, "")
        assert "needs no migration" in done.stderr
    assert not (folder / "keys.db").exists()


def test_a_database_that_cannot_be_reached_is_an_error_in_one_line(folder: Path) -> None:
    failed = run(folder, "postgresql://user:hunter2@127.0.0.1:1/db", "migrate")
    assert (failed.exit_code, failed.stdout) == (1, "")
    assert failed.stderr.count("\n") == 1
    assert "store: postgresql://127.0.0.1:1: cannot be migrated: OperationalError" in failed.stderr
    assert "hunter2" not in failed.output


def test_a_wrong_scheme_is_named_as_it_is_everywhere(folder: Path) -> None:
    failed = run(folder, "oracle://user:hunter2@host/db", "migrate")
    assert failed.exit_code == 1
    assert "no key store for the scheme 'oracle'" in failed.stderr
    assert "hunter2" not in failed.output
    with pytest.raises(ValueError, match="no key store for the scheme 'oracle'"):
        open_store("oracle://host/db")


def test_the_store_of_a_gate_in_code_is_named(folder: Path, postgres_url: str) -> None:  # noqa: F811
    assert list(folder.iterdir()) == []
    refused = CliRunner().invoke(main, ["--gate", "main:gate", "migrate"])
    assert refused.exit_code == 2
    assert "--gate cannot be opened before its store is migrated: name that with --store" in refused.stderr
    url = new_database(postgres_url)
    for arguments, environ in (([], {"KEYSTILE_STORE": url}), (["--store", url], {})):
        done = CliRunner().invoke(main, ["--gate", "main:gate", "migrate", *arguments], env=environ)
        assert done.exit_code == 0, done.output
        assert "is up to date" in done.stderr
