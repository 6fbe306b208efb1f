"""The SQLite store as a file: many threads and processes at once, and everything that can happen to it on disk."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
import textwrap
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from keystile import ApiKey, ConfigurationError, StoreUnavailable
from keystile._ground import connection as opening
from keystile._sync import patiently
from keystile.exceptions import StoreBusy, UnreadableRecord
from keystile.limiters.sqlite import SQLiteLimiter
from keystile.model import SecretHash
from keystile.stores import AuditFilter, KeyFilter
from keystile.stores.sqlite import SQLiteStore, statements
from tests.stored import told

T0 = datetime(2026, 1, 15, 10, 30, 0, 123456, UTC)
HASH = SecretHash("$hash", "hint")
NOBODY = 65534


def a_key(id: str = "0123456789AB", **values: Any) -> ApiKey:
    return ApiKey(**{"id": id, "name": "CI", "created_at": T0, "hashes": (HASH,)} | values)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.db"


@pytest.fixture
def store(path: Path) -> Iterator[SQLiteStore]:
    """A store with one key, already read by this thread."""
    opened = SQLiteStore(path)
    opened.add(a_key(), ())
    assert opened.find("0123456789AB") == a_key()
    yield opened
    opened.close()


@contextlib.contextmanager
def by_hand(path: Path) -> Iterator[sqlite3.Connection]:
    """The file as somebody with the sqlite3 shell sees it: every statement its own transaction."""
    connection = sqlite3.connect(path, timeout=5, isolation_level=None)
    try:
        yield connection
    finally:
        connection.close()


def outcome_of(work: Callable[[], Any]) -> Any:
    """What the work returned or raised."""
    try:
        return work()
    except Exception as error:  # noqa: BLE001 - handed to the caller
        return error


def in_thread(work: Callable[[], Any]) -> Any:
    """What the work returns or raises, in a thread of its own."""
    outcomes: list[Any] = []
    thread = threading.Thread(target=lambda: outcomes.append(outcome_of(work)))
    thread.start()
    thread.join()
    if isinstance(outcomes[0], Exception):
        raise outcomes[0]
    return outcomes[0]


def python(script: str, *args: object) -> str:
    """What a fresh interpreter prints that runs this script."""
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(script), *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.strip()


def contents(folder: Path) -> set[str]:
    return {each.name for each in folder.iterdir()}


# The file


def test_the_file_is_in_wal_mode_and_belongs_to_its_owner_alone(store: SQLiteStore, path: Path) -> None:
    with by_hand(path) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert contents(path.parent) == {"keys.db", "keys.db-wal", "keys.db-shm"}
    assert {stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()} == {0o600}


def test_an_existing_file_keeps_its_mode(path: Path) -> None:
    SQLiteStore(path).close()
    path.chmod(0o640)
    SQLiteStore(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o666])
def test_a_file_that_others_may_use_is_told_of_once_when_it_is_opened(
    path: Path, mode: int, caplog: pytest.LogCaptureFixture
) -> None:
    path.touch(mode)
    path.chmod(mode)
    store = SQLiteStore(path)
    store.add(a_key(), ())
    store.find("0123456789AB")
    store.close()
    [record] = caplog.records
    assert (record.name, record.levelno) == ("keystile", logging.WARNING)
    assert f"sqlite:///{path}: other users may read or write it (mode {mode:o})" in record.getMessage()
    assert "chmod 600" in record.getMessage()


def test_a_file_of_ones_own_is_not_told_of(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        SQLiteStore(path).close()
    assert caplog.records == []


def test_records_outlive_the_store_object(store: SQLiteStore, path: Path) -> None:
    store.close()
    again = SQLiteStore(path)
    assert again.find("0123456789AB") == a_key()
    again.close()


def test_a_relative_path_stays_where_it_was_when_the_process_moves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    store = SQLiteStore.from_url("sqlite:///keys.db")
    store.add(a_key(), ())
    store.close()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert store.find("0123456789AB") == a_key()
    assert contents(tmp_path / "elsewhere") == set()
    store.close()


@pytest.mark.parametrize("name", ["with space.db", "what?mode=ro", "100%25.db", "#hash.db", "ключи.db", "a&b=c.db"])
def test_any_file_name_is_taken_as_it_is(tmp_path: Path, name: str) -> None:
    store = SQLiteStore(tmp_path / name)
    store.add(a_key(), ())
    assert name in contents(tmp_path)
    assert store.find("0123456789AB") == a_key()
    store.close()
    assert contents(tmp_path) == {name}


def test_it_lives_beside_other_tables_in_one_file(path: Path) -> None:
    with by_hand(path) as connection:
        connection.execute("CREATE TABLE mine (x)")
        connection.execute("INSERT INTO mine VALUES (1)")
    store = SQLiteStore(path)
    store.add(a_key(), ())
    store.close()
    with by_hand(path) as connection:
        assert connection.execute("SELECT x FROM mine").fetchall() == [(1,)]


# On the disk


NAMES = ("OFF", "NORMAL", "FULL")


def synced_at_commits(store: SQLiteStore, work: Callable[[], Any]) -> list[str]:
    """How much each commit of the work waits for the disk, as SQLite itself was told on that very connection."""
    shelf, seen = store._file._shelf, []
    held = shelf.take()
    [level] = held.inner.execute("PRAGMA synchronous").fetchone()
    levels = [NAMES[level]]

    def trace(statement: str) -> None:
        if statement.startswith("PRAGMA synchronous="):
            levels.append(statement.partition("=")[2])
        elif statement == "COMMIT":
            seen.append(levels[-1])

    held.inner.set_trace_callback(trace)
    shelf.give(held)
    work()
    held.inner.set_trace_callback(None)
    return seen


def test_what_the_key_ring_writes_waits_for_the_disk_and_a_touch_does_not(store: SQLiteStore) -> None:
    works: list[Callable[[], Any]] = [
        lambda: store.add(a_key("another"), ()),
        lambda: store.rehash("0123456789AB", HASH, SecretHash("$new", "hint")),
        lambda: store.revoke("0123456789AB", T0, ()),
        lambda: store.revoke("0123456789AB", T0, ()),
    ]
    for seconds, work in enumerate(works):
        at = T0 + timedelta(seconds=seconds)
        assert synced_at_commits(store, lambda at=at: store.touch("0123456789AB", at)) == ["NORMAL"]
        assert synced_at_commits(store, work) == ["FULL"]


def test_the_level_is_what_sqlite_has_while_the_transaction_runs(store: SQLiteStore) -> None:
    for synced, level in ((True, 2), (False, 1), (True, 2), (True, 2)):
        with store._file.write(synced=synced) as connection:
            assert connection.execute("PRAGMA synchronous").fetchone() == (level,)


def test_windows_in_a_file_of_their_own_wait_for_no_disk_and_beside_keys_for_a_checkpoint(path: Path) -> None:
    alone = SQLiteLimiter(path.with_name("windows.db"))
    assert alone._file.row("PRAGMA synchronous", ()) == (0,)
    alone.close()
    SQLiteStore(path).close()
    beside = SQLiteLimiter(path)
    assert beside._file.row("PRAGMA synchronous", ()) == (1,)
    beside.close()


# Edited by others


UNREADABLE = {
    "scopes are no JSON": "scopes = 'admin'",
    "scopes are a text": "scopes = '\"admin\"'",
    "scopes are an object": """scopes = '{"admin": 1}'""",
    "a scope is a number": "scopes = '[1]'",
    "scopes are a blob": "scopes = x'00ff'",
    "an allowlist of numbers": "ip_allowlist = '[1]'",
    "an allowlist that is a text": "ip_allowlist = '\"10.0.0.1\"'",
    "a date as text": "expires_at = '2026-01-01'",
    "a date out of range": "expires_at = 9223372036854775807",
    "limits as a number": "limits = 5.5, plan = x'00'",
    "metadata is a list": "metadata = '[]'",
    "metadata is null": "metadata = 'null'",
    "hashes are null": "hashes = 'null'",
    "a hash is a number": "hashes = '[[1, \"hint\", null]]'",
    "a hash is short": "hashes = '[[\"$hash\"]]'",
    "nested too deep": "metadata = replace(hex(zeroblob(60000)), '0', '[')",
}


@pytest.mark.parametrize("edit", UNREADABLE)
def test_a_record_that_cannot_be_read_concerns_that_key_alone(store: SQLiteStore, path: Path, edit: str) -> None:
    store.add(a_key("another"), ())
    with by_hand(path) as connection:
        connection.execute(f"UPDATE keystile_keys SET {UNREADABLE[edit]} WHERE id = '0123456789AB'")
    for _ in range(2):
        with pytest.raises(UnreadableRecord, match="the record of '0123456789AB' cannot be read") as caught:
            store.find("0123456789AB")
        assert caught.value.key_id == "0123456789AB"
        assert store.find("another") == a_key("another")
    told: list[UnreadableRecord] = []
    store.on_unreadable = told.append
    assert store.list(KeyFilter(), None, 100) == [a_key("another")]
    assert [error.key_id for error in told] == ["0123456789AB"]
    with pytest.raises(UnreadableRecord, match="revoked all the same"):
        store.revoke("0123456789AB", T0, ())
    with by_hand(path) as connection:
        assert connection.execute("SELECT typeof(revoked_at) FROM keystile_keys WHERE id != 'another'").fetchall() == [
            ("integer",)
        ]


def test_pages_are_full_however_many_records_in_between_cannot_be_read(store: SQLiteStore, path: Path) -> None:
    for number in range(30):
        store.add(a_key(f"key{number:02}", created_at=T0 + timedelta(seconds=number // 3), owner_id="she"), ())
    with by_hand(path) as connection:
        connection.execute("UPDATE keystile_keys SET scopes = 'x' WHERE id NOT IN ('key03', 'key11', 'key12', 'key28')")
    for size in (1, 2, 3, 4, 5, 31):
        found: list[str] = []
        while page := [key.id for key in store.list(KeyFilter(owner_id="she"), (found or [None])[-1], size)]:
            found += page
            assert len(page) == size or len(found) == 4
        assert found == ["key03", "key11", "key12", "key28"]


@pytest.mark.parametrize("value", ["'junk'", "9223372036854775807"])
def test_a_last_use_that_cannot_be_read_concerns_that_key_alone(store: SQLiteStore, path: Path, value: str) -> None:
    store.touch("0123456789AB", T0)
    store.find("0123456789AB")
    with by_hand(path) as connection:
        connection.execute(f"UPDATE keystile_keys SET last_used_at = {value}")
    with pytest.raises(UnreadableRecord):
        store.last_used("0123456789AB")


def test_a_moment_of_revocation_that_cannot_be_read_is_replaced_by_the_next(store: SQLiteStore, path: Path) -> None:
    with by_hand(path) as connection:
        connection.execute("UPDATE keystile_keys SET revoked_at = 'yesterday'")
    assert store.revoke("0123456789AB", T0, ()).record == a_key(revoked_at=T0)


OLD_TABLES = """
    CREATE TABLE keystile_schema (component TEXT PRIMARY KEY, version INTEGER);
    CREATE TABLE keystile_keys (
        id TEXT PRIMARY KEY NOT NULL, name TEXT NOT NULL, organization_id TEXT, project_id TEXT, owner_id TEXT,
        environment TEXT NOT NULL, plan TEXT, limits TEXT, scopes TEXT NOT NULL, ip_allowlist TEXT,
        created_at INTEGER NOT NULL, expires_at INTEGER, revoked_at INTEGER, last_used_at INTEGER,
        metadata TEXT NOT NULL, hashes TEXT NOT NULL, revision INTEGER NOT NULL DEFAULT (random())
    ) WITHOUT ROWID;
    CREATE INDEX keystile_keys_by_age ON keystile_keys (created_at, id);
    CREATE INDEX keystile_keys_by_organization ON keystile_keys (organization_id, created_at, id);
"""
OLD_DRAW = "BEGIN UPDATE keystile_keys SET revision = random() WHERE id = new.id; END;"
OLD_TRIGGERS = {
    1: f"""CREATE TRIGGER keystile_keys_revised AFTER UPDATE ON keystile_keys WHEN new.revision = old.revision
        {OLD_DRAW}""",
    2: f"""CREATE TRIGGER keystile_keys_revised AFTER UPDATE ON keystile_keys
        WHEN new.revision = old.revision AND NOT (new.name IS old.name AND new.revoked_at IS old.revoked_at
            AND (new.last_used_at IS NULL) = (old.last_used_at IS NULL)) {OLD_DRAW}""",
    3: f"""CREATE TRIGGER keystile_keys_revised AFTER UPDATE ON keystile_keys
        WHEN NOT (new.name IS old.name AND new.revoked_at IS old.revoked_at
            AND (new.last_used_at IS NULL) = (old.last_used_at IS NULL)) {OLD_DRAW}
        CREATE TRIGGER keystile_keys_inserted AFTER INSERT ON keystile_keys {OLD_DRAW}""",
}
# Of versions that differ from today's in a few things alone: how a file of today becomes one of theirs.
WITH_FIRST_USE = """
    DROP TRIGGER keystile_keys_revised;
    CREATE TRIGGER keystile_keys_revised AFTER UPDATE ON keystile_keys
        WHEN NOT (new.name IS old.name AND new.scopes IS old.scopes AND new.revoked_at IS old.revoked_at
            AND (new.last_used_at IS NULL) = (old.last_used_at IS NULL)) """
WITHOUT_TARGETS = """
    DROP TABLE keystile_audit_targets; DROP TRIGGER keystile_audit_told; DROP TRIGGER keystile_audit_purged;
    DROP INDEX keystile_keys_by_revocation; DROP INDEX keystile_keys_by_expiry; DROP INDEX keystile_projects_by_end;
"""
BACK_TO = {4: WITHOUT_TARGETS + WITH_FIRST_USE + OLD_DRAW, 5: WITH_FIRST_USE + OLD_DRAW}
OLD_VERSIONS = (*OLD_TRIGGERS, *BACK_TO)
OLD_ROW = """INSERT INTO keystile_keys
    (id, name, environment, scopes, created_at, last_used_at, metadata, hashes) VALUES
    (?, 'CI', 'production', '["a"]', 1768473000123456, NULL, '{}', '[["$hash", "hint", null]]')"""


def an_old_file(path: Path, version: int) -> None:
    """What keystile wrote in this version of its tables, with one key in it."""
    path.touch(0o600)
    if version in BACK_TO:
        SQLiteStore(path).close()
    with by_hand(path) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.executescript(BACK_TO.get(version) or OLD_TABLES + OLD_TRIGGERS[version])
        connection.execute("INSERT OR REPLACE INTO keystile_schema VALUES ('keys', ?)", (version,))
        connection.execute(OLD_ROW, ("0123456789AB",))


@pytest.mark.parametrize("version", OLD_VERSIONS)
def test_a_file_of_an_older_schema_is_brought_up_to_date_while_others_use_it(path: Path, version: int) -> None:
    an_old_file(path, version)
    with by_hand(path) as before:
        assert len(before.execute("SELECT * FROM keystile_keys").fetchall()) == 1
        for _ in range(2):
            store = SQLiteStore(path)
            assert before.execute("SELECT component, version FROM keystile_schema").fetchall() == [("keys", 6)]
            used = store.find("0123456789AB")
            store.touch("0123456789AB", T0)
            assert used is not None
            assert replace(used, last_used_at=None, grace_used_at=None) == a_key(scopes=("a",))
            store.touch("0123456789AB", T0 + timedelta(hours=1), True)
            assert store.find("0123456789AB") is used
            saved = before.execute("SELECT * FROM keystile_keys").fetchone()
            before.execute("UPDATE keystile_keys SET scopes = '[]'")
            changed = store.find("0123456789AB")
            assert changed is not None
            assert changed.scopes == ()
            # As it was, with the revision that it had: for the store, that is another row again.
            before.execute(f"INSERT OR REPLACE INTO keystile_keys VALUES ({', '.join('?' * len(saved))})", saved)
            back = store.find("0123456789AB")
            assert back is not None
            assert (back.scopes, back.revision != used.revision) == (("a",), True)
            before.execute("UPDATE keystile_keys SET last_used_at = NULL")
            store.close()
        before.execute(OLD_ROW, ("BA9876543210",))  # by a process of that version, which is still there
        store = SQLiteStore(path)
        assert store.find("BA9876543210") == a_key("BA9876543210", scopes=("a",))
        before.execute("UPDATE keystile_keys SET revoked_at = 1500000 WHERE id = 'BA9876543210'")
        found = store.find("BA9876543210")
        assert found is not None
        assert found.revoked_at is not None
        store.close()


@pytest.mark.parametrize("version", OLD_VERSIONS)
def test_a_file_that_was_brought_up_to_date_is_like_a_new_one(tmp_path: Path, version: int) -> None:
    an_old_file(tmp_path / "old.db", version)
    layouts = []
    for name in ("old.db", "new.db"):
        SQLiteStore(tmp_path / name).close()
        with by_hand(tmp_path / name) as connection:
            things = connection.execute("SELECT type, name FROM sqlite_schema ORDER BY type, name").fetchall()
            tables = [name for kind, name in things if kind == "table"]
            asked = "SELECT name, type, pk FROM pragma_table_info(?)"
            columns = [sorted(connection.execute(asked, (table,))) for table in tables]
            triggers = connection.execute("SELECT sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
            layouts.append((things, columns, sorted(triggers)))
    assert layouts[0] == layouts[1]


def test_entries_of_an_older_schema_and_of_its_processes_are_found_by_their_target(path: Path) -> None:
    with contextlib.closing(SQLiteStore(path)) as store:
        store.add(a_key(), [told("key.create", "0123456789AB")])
    with by_hand(path) as connection:
        connection.executescript(BACK_TO[4] + "UPDATE keystile_schema SET version = 4;")
        for number, targets in enumerate(["nothing", "[1]", '["a"]', '[["key"]]', '[["key", null, ""]]', "{}"]):
            row = (f"broken {number}", 0, "x", targets, "c", "system", "python")
            columns = "(id, at, event, targets, correlation_id, actor_type, via)"
            connection.execute(f"INSERT INTO keystile_audit {columns} VALUES (?, ?, ?, ?, ?, ?, ?)", row)
    with contextlib.closing(SQLiteStore(path)) as store, by_hand(path) as before:
        [first] = store.list_audit(AuditFilter(target="0123456789AB"), None, 10)
        assert first.event == "key.create"
        copied = "SELECT 'later', at + 1, 'key.copy', organization_id, targets, before, after, correlation_id, "
        copied += "actor_type, actor_id, actor_name, via, client, request_id FROM keystile_audit WHERE id = ?"
        before.execute(f"INSERT INTO keystile_audit {copied}", (first.id,))
        assert [each.id for each in store.list_audit(AuditFilter(target="0123456789AB"), None, 10)] == [
            "later",
            first.id,
        ]
        before.execute("DELETE FROM keystile_audit")
        assert before.execute("SELECT count(*) FROM keystile_audit_targets").fetchone() == (0,)


def test_entries_are_found_by_their_target_by_way_of_an_index(store: SQLiteStore, path: Path) -> None:
    statement, values = statements.page(
        statements.SELECT_AUDIT, statements.entries_wanted(AuditFilter(target="a"), None), "at DESC, id DESC", 100
    )
    with by_hand(path) as connection:
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", values)]
    assert not [step for step in plan if step.startswith("SCAN")], plan
    assert any("keystile_audit_targets USING PRIMARY KEY (target_id=?)" in step for step in plan), plan


@pytest.mark.parametrize(
    "column", ["name", "plan", "scopes", "may", "metadata", "hashes", "expires_at", "ip_allowlist", "suspended_at"]
)
def test_whatever_else_is_edited_by_hand_binds_also_together_with_a_use(
    store: SQLiteStore, path: Path, column: str
) -> None:
    store.touch("0123456789AB", T0)
    used = store.find("0123456789AB")
    value = {"expires_at": 5, "suspended_at": 5, "hashes": "[]", "metadata": "{}"}.get(column, '["10.0.0.1"]')
    with by_hand(path) as connection:
        connection.execute(f"UPDATE keystile_keys SET {column} = ?, last_used_at = 7", (value,))
        changed = connection.execute("SELECT changes()").fetchone()
    assert changed == (1,)
    if column != "metadata":  # which was that before
        assert store.find("0123456789AB") != used
    found = store.find("0123456789AB")
    with by_hand(path) as connection:
        connection.execute("UPDATE keystile_keys SET last_used_at = NULL")
    assert store.find("0123456789AB") is found
    assert store.last_used("0123456789AB") is None


def test_an_edit_by_hand_binds_on_the_next_find(store: SQLiteStore, path: Path) -> None:
    with by_hand(path) as connection:
        connection.execute("UPDATE keystile_keys SET revoked_at = 1500000 WHERE id = '0123456789AB'")
        assert store.find("0123456789AB") == a_key(revoked_at=datetime(1970, 1, 1, 0, 0, 1, 500000, UTC))
        connection.execute("UPDATE keystile_keys SET scopes = '[\"a\"]', revoked_at = NULL")
        assert store.find("0123456789AB") == a_key(scopes=("a",))
        connection.execute("UPDATE keystile_keys SET name = 'other'")
        assert store.find("0123456789AB") == a_key(name="other", scopes=("a",))
        connection.execute("DELETE FROM keystile_keys")
        assert store.find("0123456789AB") is None


def test_an_edit_by_hand_of_what_a_key_inherits_binds_on_the_next_find(path: Path) -> None:
    store = SQLiteStore(path)
    store.add(a_key(organization_id="o"), ())
    edits = {
        "INSERT INTO keystile_organizations (id, name, plan, created_at) VALUES ('o', 'O', 'pro', 0)": ("pro", None),
        "UPDATE keystile_organizations SET suspended_at = 0": ("pro", datetime(1970, 1, 1, tzinfo=UTC)),
        "UPDATE keystile_organizations SET suspended_at = NULL, plan = NULL": (None, None),
        "UPDATE keystile_organizations SET plan = 'free'": ("free", None),
        "DELETE FROM keystile_organizations": (None, None),
    }
    with by_hand(path) as connection:
        for edit, inherited in edits.items():
            connection.execute(edit)
            found = store.find("0123456789AB")
            assert found is not None
            assert found.inherited == inherited
        connection.execute("INSERT INTO keystile_organizations VALUES ('o', 'O', NULL, 0, 'x', NULL, 1)")
        with pytest.raises(UnreadableRecord):
            store.find("0123456789AB")
    store.close()


def test_a_row_that_was_deleted_and_put_in_anew_is_read_anew(store: SQLiteStore, path: Path) -> None:
    with by_hand(path) as connection:
        connection.execute("CREATE TABLE kept AS SELECT * FROM keystile_keys")
        connection.execute("DELETE FROM keystile_keys")
        connection.execute("UPDATE kept SET name = 'restored', revision = random()")
        connection.execute("INSERT INTO keystile_keys SELECT * FROM kept")
    assert store.find("0123456789AB") == a_key(name="restored")


PUT_BACK = {
    "replaced": "INSERT OR REPLACE INTO keystile_keys SELECT * FROM saved",
    "deleted and put in": "DELETE FROM keystile_keys; INSERT INTO keystile_keys SELECT * FROM saved",
    "upserted": """INSERT INTO keystile_keys SELECT * FROM saved WHERE true
        ON CONFLICT DO UPDATE SET revoked_at = excluded.revoked_at, revision = excluded.revision""",
    "updated": "UPDATE keystile_keys SET revoked_at = saved.revoked_at, revision = saved.revision FROM saved",
    "another row renamed": """UPDATE saved SET id = 'other'; INSERT INTO keystile_keys SELECT * FROM saved;
        UPDATE OR REPLACE keystile_keys SET id = '0123456789AB', revision = (SELECT revision FROM saved)
            WHERE id = 'other'""",
}


@pytest.mark.parametrize("recursive", ["off", "on"])
@pytest.mark.parametrize("between", ["", "UPDATE keystile_keys SET name = 'meanwhile'"], ids=["at once", "later"])
@pytest.mark.parametrize("how", PUT_BACK)
def test_a_revocation_in_a_saved_row_that_is_put_back_binds_on_the_next_find(
    store: SQLiteStore, path: Path, how: str, between: str, recursive: str
) -> None:
    """A saved row brings back its revision, under which this process remembers what was there before."""
    assert store.find("0123456789AB") == a_key()
    with by_hand(path) as connection:
        connection.execute(f"PRAGMA recursive_triggers = {recursive}")
        connection.executescript(
            f"""CREATE TEMP TABLE saved AS SELECT * FROM keystile_keys; UPDATE saved SET revoked_at = 1; {between};
            {PUT_BACK[how]}"""
        )
    found = store.find("0123456789AB")
    assert found is not None
    assert found.revoked_at is not None


def test_a_change_in_another_process_binds_on_the_next_find(store: SQLiteStore, path: Path) -> None:
    python(
        """
        import sys
        from datetime import UTC, datetime
        from keystile.stores import KeyFilter
        from keystile.stores.sqlite import SQLiteStore
        SQLiteStore(sys.argv[1]).revoke("0123456789AB", datetime(2026, 2, 1, tzinfo=UTC), ())
        """,
        path,
    )
    assert store.find("0123456789AB") == a_key(revoked_at=datetime(2026, 2, 1, tzinfo=UTC))


def test_a_change_in_another_thread_binds_on_the_next_find(store: SQLiteStore) -> None:
    in_thread(lambda: store.revoke("0123456789AB", T0, ()))
    assert store.find("0123456789AB") == a_key(revoked_at=T0)


# Threads


def connections_of(path: Path) -> int:
    """How many connections to the file this process has. Each has a descriptor of its own on the log; those on the
    file itself SQLite keeps for later, because closing one would give up the locks of all (fcntl(2))."""
    path, found = path.with_name(f"{path.name}-wal"), 0
    for each in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found += each.readlink() == path
    return found


def test_threads_that_come_one_after_the_other_share_a_connection(store: SQLiteStore, path: Path) -> None:
    for number in range(30):
        in_thread(lambda at=number: store.touch("0123456789AB", T0 + timedelta(seconds=at)))
    assert connections_of(path) == 1
    assert store.last_used("0123456789AB") == T0 + timedelta(seconds=29)


def test_threads_at_once_have_one_each_and_few_are_kept(store: SQLiteStore, path: Path) -> None:
    ready, leave = threading.Barrier(21), threading.Event()
    shelf = store._file._shelf

    def use() -> None:
        held = shelf.take()
        ready.wait()
        leave.wait()
        shelf.give(held)

    threads = [threading.Thread(target=use) for _ in range(20)]
    for thread in threads:
        thread.start()
    ready.wait()
    during = connections_of(path)
    leave.set()
    for thread in threads:
        thread.join()
    assert during == 20
    assert connections_of(path) == 8
    assert store.find("0123456789AB") == a_key()


def test_closing_closes_and_the_log_is_folded_into_the_file(store: SQLiteStore, path: Path) -> None:
    store.close()
    assert connections_of(path) == 0
    assert contents(path.parent) == {"keys.db"}


def test_a_store_that_nobody_holds_any_more_leaves_nothing_open(path: Path) -> None:
    store = SQLiteStore(path)
    store.add(a_key(), ())
    assert connections_of(path) == 1
    del store
    gc.collect()
    assert connections_of(path) == 0


# Processes


def test_a_forked_child_and_its_parent_both_go_on(path: Path) -> None:
    said = python(
        """
        import os, sqlite3, sys
        from datetime import UTC, datetime
        from keystile.model import ApiKey, SecretHash
        from keystile.stores import KeyFilter
        from keystile.stores.sqlite import SQLiteStore

        T0 = datetime(2026, 1, 15, tzinfo=UTC)
        key = lambda id: ApiKey(id=id, name="n", created_at=T0, hashes=(SecretHash("h", "hint"),))
        store = SQLiteStore(sys.argv[1])
        store.add(key("parent"), ())
        assert store.find("parent").revoked_at is None
        for number in range(3):
            child = os.fork()
            if child == 0:
                assert store.find("parent") is not None
                store.add(key(f"child {number}"), ())
                store.revoke("parent", T0, ())
                assert store.find("parent").revoked_at == T0
                sys.exit(0)  # through the interpreter's whole tear-down
            assert os.waitpid(child, 0)[1] == 0
            assert store.find("parent").revoked_at == T0
            assert store.find(f"child {number}") is not None
            store.add(key(f"parent {number}"), ())
        child = os.fork()
        if child == 0:
            store.add(key("forgotten"), ())
            os._exit(0)  # and as gunicorn's workers may go
        assert os.waitpid(child, 0)[1] == 0
        assert store.find("forgotten") is not None
        store.close()
        other = sqlite3.connect(sys.argv[1])
        for statement in ("SELECT count(*) FROM keystile_keys", "PRAGMA integrity_check"):
            print(other.execute(statement).fetchone()[0])
        other.close()
        """,
        path,
    )
    assert said.split() == ["8", "ok"]


def test_a_child_has_no_part_in_its_parents_transaction_nor_takes_its_locks_along(path: Path) -> None:
    said = python(
        """
        import os, sqlite3, sys
        from datetime import UTC, datetime
        from keystile.exceptions import StoreUnavailable
        from keystile.model import ApiKey, SecretHash
        from keystile.stores import KeyFilter
        from keystile.stores.sqlite import SQLiteStore

        store = SQLiteStore(sys.argv[1])
        store.add(ApiKey(id="x", name="n", created_at=datetime.now(UTC), hashes=(SecretHash("h", "hint"),)), ())
        with store._file.write() as connection:
            connection.execute("UPDATE keystile_keys SET name = 'not yet'")
            child = os.fork()
            if child == 0:
                try:
                    store.find("x")
                except StoreUnavailable as error:
                    assert "forked while its parent was using a SQLite file" in str(error)
                    store.close()
                    sys.exit(0)
                sys.exit(1)
            assert os.waitpid(child, 0)[1] == 0
            other = sqlite3.connect(sys.argv[1], timeout=0, isolation_level=None)
            try:
                other.execute("BEGIN IMMEDIATE")
                print("not locked")
            except sqlite3.OperationalError as error:
                print(error)
            other.close()
        assert store.find("x").name == "not yet"
        """,
        path,
    )
    assert said == "database is locked"


def test_many_processes_that_open_a_new_file_at_once_all_can(path: Path) -> None:
    script = """
        import sys
        from datetime import UTC, datetime
        from keystile._sync import patiently
        from keystile.model import ApiKey, SecretHash
        from keystile.stores import KeyFilter
        from keystile.stores.sqlite import SQLiteStore
        sys.stdin.read()
        store = SQLiteStore(sys.argv[1])
        key = ApiKey(id=sys.argv[2], name="n", created_at=datetime.now(UTC), hashes=(SecretHash("h", "hint"),))
        patiently(20, store.add, key, ())
        """
    command = [sys.executable, "-c", textwrap.dedent(script), str(path)]
    running = [subprocess.Popen([*command, f"k{number}"], stdin=subprocess.PIPE) for number in range(4)]
    for process in running:
        assert process.stdin is not None
        process.stdin.close()
    assert [process.wait(60) for process in running] == [0] * 4
    store = SQLiteStore(path)
    assert {key.id for key in store.list(KeyFilter(), None, 100)} == {"k0", "k1", "k2", "k3"}
    store.close()


HOLD = """
    import sqlite3, sys
    connection = sqlite3.connect(sys.argv[1], timeout=10, isolation_level=None)
    for statement in sys.argv[2:]:
        connection.execute(statement)
    print("held", flush=True)
    sys.stdin.read()
    """


@contextlib.contextmanager
def held_by_another_process(path: Path, *statements: str) -> Iterator[None]:
    """While another process holds what these statements took."""
    command = [sys.executable, "-c", textwrap.dedent(HOLD), str(path), *statements]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        yield


def test_while_another_process_writes_we_read_and_a_write_is_busy(store: SQLiteStore, path: Path) -> None:
    with held_by_another_process(path, "BEGIN EXCLUSIVE"):
        assert store.find("0123456789AB") == a_key()
        assert [key.id for key in store.list(KeyFilter(), None, 100)] == ["0123456789AB"]
        for write in (
            lambda: store.touch("0123456789AB", T0),
            lambda: store.revoke("0123456789AB", T0, ()),
            lambda: store.add(a_key("another"), ()),
            lambda: store.rehash("0123456789AB", HASH, SecretHash("$new", "hint")),
        ):
            with pytest.raises(StoreBusy, match="locked") as caught:
                write()
            assert caught.value.store == f"sqlite:///{path}"
    assert store.find("0123456789AB") == a_key()
    store.touch("0123456789AB", T0)
    assert store.last_used("0123456789AB") == T0


def test_while_another_process_holds_the_file_exclusively_a_read_is_busy(store: SQLiteStore, path: Path) -> None:
    store.close()
    with held_by_another_process(path, "PRAGMA locking_mode=EXCLUSIVE", "BEGIN EXCLUSIVE"):
        for _ in range(2):
            with pytest.raises(StoreBusy):
                store.find("0123456789AB")
    assert store.find("0123456789AB") == a_key()


def test_a_store_can_be_built_while_another_process_holds_the_file_for_a_moment(store: SQLiteStore, path: Path) -> None:
    store.close()
    built: list[Any] = []
    with held_by_another_process(path, "PRAGMA locking_mode=EXCLUSIVE", "BEGIN EXCLUSIVE"):
        building = threading.Thread(target=lambda: built.append(outcome_of(lambda: SQLiteStore(path))))
        building.start()
        building.join(0.2)
    building.join()
    assert isinstance(built[0], SQLiteStore), built[0]
    assert built[0].find("0123456789AB") == a_key()
    built[0].close()


def test_a_busy_store_answers_as_soon_as_the_other_lets_go(store: SQLiteStore, path: Path) -> None:
    with by_hand(path) as other:
        other.execute("BEGIN IMMEDIATE")
        tried: list[str] = []

        def touch() -> None:
            tried.append("touch")
            if len(tried) == 3:
                other.execute("COMMIT")
            store.touch("0123456789AB", T0)

        patiently(20, touch)
    assert len(tried) == 3
    assert store.last_used("0123456789AB") == T0


# What can happen to the file


def test_a_file_that_is_gone_is_down_and_is_not_made_anew(store: SQLiteStore, path: Path) -> None:
    for each in path.parent.iterdir():
        each.unlink()
    for use in (
        lambda: store.find("0123456789AB"),
        lambda: store.find("unknown"),
        lambda: store.list(KeyFilter(), None, 100),
        lambda: store.add(a_key("another"), ()),
        lambda: store.revoke("0123456789AB", T0, ()),
        lambda: store.touch("0123456789AB", T0),
        lambda: in_thread(lambda: store.find("0123456789AB")),
    ):
        with pytest.raises(StoreUnavailable) as caught:
            use()
        assert not isinstance(caught.value, StoreBusy)
        assert caught.value.store == f"sqlite:///{path}"
    assert contents(path.parent) == set()


def test_a_folder_that_is_gone_is_down_and_is_not_made_anew(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    store = SQLiteStore(folder / "keys.db")
    shutil.rmtree(folder)
    with pytest.raises(StoreUnavailable):
        store.find("0123456789AB")
    assert contents(tmp_path) == set()


def test_a_file_that_was_moved_away_and_back_works_again(store: SQLiteStore, path: Path) -> None:
    away = path.with_name("away.db")
    path.rename(away)
    with pytest.raises(StoreUnavailable):
        store.find("0123456789AB")
    away.rename(path)
    assert store.find("0123456789AB") == a_key()
    store.touch("0123456789AB", T0)
    assert store.last_used("0123456789AB") == T0


def remove_log(path: Path) -> None:
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink()


def test_a_replaced_file_is_not_read_through_the_old_ones_log(store: SQLiteStore, path: Path) -> None:
    other = SQLiteStore(path.with_name("other.db"))
    other.add(a_key(name="in the other file"), ())
    other.close()
    path.with_name("other.db").replace(path)
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="remove its -wal and -shm"):
            store.find("0123456789AB")
    remove_log(path)
    assert store.find("0123456789AB") == a_key(name="in the other file")
    store.revoke("0123456789AB", T0, ())
    with by_hand(path) as connection:
        assert connection.execute("SELECT name, revoked_at IS NULL FROM keystile_keys").fetchall() == [
            ("in the other file", 0)
        ]
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_file_that_was_replaced_together_with_its_log_is_read_from_then_on(store: SQLiteStore, path: Path) -> None:
    other = SQLiteStore(path.with_name("other.db"))
    other.add(a_key(name="in the other file"), ())
    other.close()
    remove_log(path)
    path.with_name("other.db").replace(path)
    for _ in range(2):
        assert store.find("0123456789AB") == a_key(name="in the other file")
    assert in_thread(lambda: store.find("0123456789AB")) == a_key(name="in the other file")
    store.revoke("0123456789AB", T0, ())
    with by_hand(path) as connection:
        assert connection.execute("SELECT name, revoked_at IS NULL FROM keystile_keys").fetchall() == [
            ("in the other file", 0)
        ]


def test_every_thread_reads_the_file_that_replaced_another(store: SQLiteStore, path: Path) -> None:
    replaced = threading.Barrier(2, timeout=10)

    def use_before_and_after() -> str:
        assert store.find("0123456789AB") == a_key()
        replaced.wait()
        replaced.wait()
        found = store.find("0123456789AB")
        assert found is not None
        return found.name

    seen: list[Any] = []
    thread = threading.Thread(target=lambda: seen.append(outcome_of(use_before_and_after)))
    thread.start()
    replaced.wait()
    other = SQLiteStore(path.with_name("other.db"))
    other.add(a_key(name="in the other file"), ())
    other.close()
    remove_log(path)
    path.with_name("other.db").replace(path)
    first = outcome_of(lambda: store.find("0123456789AB"))
    replaced.wait()
    thread.join()
    assert first == a_key(name="in the other file")
    assert seen == ["in the other file"]
    assert store.find("0123456789AB") == a_key(name="in the other file")


def test_a_key_that_the_new_file_does_not_have_is_gone(store: SQLiteStore, path: Path) -> None:
    SQLiteStore(path.with_name("other.db")).close()
    remove_log(path)
    path.with_name("other.db").replace(path)
    assert store.find("0123456789AB") is None


LOSE: dict[str, Callable[[Path, Path], Any]] = {
    "the file overwritten, both removed": lambda path, copy: (shutil.copyfile(copy, path), remove_log(path)),
    "both removed": lambda path, _: remove_log(path),
    "-shm removed": lambda path, _: path.with_name(f"{path.name}-shm").unlink(),
    "-wal removed": lambda path, _: path.with_name(f"{path.name}-wal").unlink(),
    "both moved away": lambda path, _: [
        path.with_name(path.name + end).rename(path.with_name(f"old{end}")) for end in ("-wal", "-shm")
    ],
    "-wal replaced": lambda path, copy: (
        shutil.copyfile(path.with_name(f"{path.name}-wal"), copy) and copy.replace(path.with_name(f"{path.name}-wal"))
    ),
    "-shm replaced": lambda path, copy: (
        shutil.copyfile(path.with_name(f"{path.name}-shm"), copy) and copy.replace(path.with_name(f"{path.name}-shm"))
    ),
}


@pytest.mark.parametrize("lose", LOSE)
def test_a_log_that_was_lost_while_in_use_is_down_here_and_harms_nobody_else(path: Path, lose: str) -> None:
    """In a process of its own: what it has open stays so for its life."""
    said = python(
        """
        import pickle, subprocess, sys
        from pathlib import Path
        from datetime import UTC, datetime
        from keystile.exceptions import StoreUnavailable
        from keystile.model import ApiKey, SecretHash
        from keystile.stores import KeyFilter
        from keystile.stores.sqlite import SQLiteStore
        from tests.test_sqlite import LOSE

        path = Path(sys.argv[1])
        T0 = datetime(2026, 1, 15, tzinfo=UTC)
        store = SQLiteStore(path)
        store.add(ApiKey(id="x", name="n", created_at=T0, hashes=(SecretHash("h", "hint"),)), ())
        copy = path.with_name("copy.db")
        backup = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('VACUUM INTO ?', sys.argv[2:])"
        subprocess.run([sys.executable, "-c", backup, str(path), str(copy)], check=True)
        store.revoke("x", T0, ())
        assert store.find("x").revoked_at is not None
        LOSE[sys.argv[2]](path, copy)

        every = (KeyFilter(), None, 100)
        uses = (
            lambda: store.find("x"),
            lambda: store.list(*every),
            lambda: store.revoke("x", T0, ()),
            lambda: SQLiteStore(path).list(*every),
        )
        for use in uses:
            try:
                print(use())
            except (StoreUnavailable, ValueError) as error:
                print("restart the processes that use it" in str(error))
        store.close()
        """,
        path,
        lose,
    )
    assert said.split() == ["True"] * 4
    # Another process may go on with what is there: nothing of the old log was written into it.
    with by_hand(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        revoked = connection.execute("SELECT revoked_at IS NOT NULL FROM keystile_keys").fetchall()
    if lose.startswith("the file"):
        assert revoked == [(0,)]


# So long another thread may try what it must not do yet. If it does it, it does so at once.
TRYING = 0.3


def meanwhile(work: Callable[[], Any]) -> threading.Thread:
    """Another thread at this work, which it has done by now unless it has to wait for this one."""
    thread = threading.Thread(target=work)
    thread.start()
    thread.join(TRYING)
    return thread


def test_a_log_that_another_thread_makes_meanwhile_is_not_taken_for_lost(
    store: SQLiteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, look = SQLiteStore(path), opening._ids
    for each in (other, store):
        each.close()
    threads = []

    def looked(path: str) -> Any:
        found = look(path)
        monkeypatch.setattr(opening, "_ids", look)
        # Between this look at what is there and the next one at what this process uses.
        threads.append(meanwhile(lambda: other.find("0123456789AB")))
        return found

    monkeypatch.setattr(opening, "_ids", looked)
    assert store.find("0123456789AB") == a_key()
    threads[0].join()
    other.close()


def test_a_log_that_another_thread_gives_up_meanwhile_is_not_taken_for_lost(
    store: SQLiteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = store._file._shelf
    while shelf._free:
        last = shelf.take()
    real, threads, files = sqlite3.connect, [], []

    def connect(*args: Any, **named: Any) -> sqlite3.Connection:
        monkeypatch.setattr(sqlite3, "connect", real)
        threads.append(meanwhile(lambda: opening.Connection.close(last)))
        # The log that is made now shall be another file than the one that may have been removed.
        files.extend(path.with_name(f"other{number}").open("w") for number in range(4))
        return real(*args, **named)

    monkeypatch.setattr(sqlite3, "connect", connect)
    for _ in range(3):
        assert store.find("0123456789AB") == a_key()
        assert in_thread(lambda: store.find("0123456789AB")) == a_key()
    threads[0].join()
    store.close()
    assert store.find("0123456789AB") == a_key()
    for each in files:
        each.close()


def test_two_threads_that_open_a_file_at_once_know_of_one_log(
    store: SQLiteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = SQLiteStore(path)
    for each in (other, store):
        each.close()
    threads, looks, logs = [], iter(range(100)), opening._logs

    class Looked:
        def get(self, key: Any) -> Any:
            found = logs.get(key)
            if next(looks) == 1:  # the first look is before the file is opened, this one before the log is noted
                threads.append(meanwhile(lambda: other.find("0123456789AB")))
            return found

        def __setitem__(self, key: Any, value: Any) -> None:
            logs[key] = value

    monkeypatch.setattr(opening, "_logs", Looked())
    assert store.find("0123456789AB") == a_key()
    threads[0].join()
    store.close()  # the other one is open still
    path.with_name(f"{path.name}-shm").unlink()
    with pytest.raises(StoreUnavailable, match="restart the processes"):
        store.find("0123456789AB")


def test_the_first_connection_to_a_new_file_does_not_claim_a_log_that_it_does_not_use(path: Path) -> None:
    sqlite3.connect(path).close()
    path.touch()
    inner = sqlite3.connect(path, isolation_level=None)
    inner.execute("CREATE TABLE mine (x)")
    for end in ("-wal", "-shm"):
        path.with_name(path.name + end).touch()
    connection = opening.Connection(f"sqlite:///{path}", str(path), inner, "NORMAL")
    remove_log(path)
    assert not connection.is_current()
    connection.close()
    assert connection not in opening._kept


def test_a_store_that_ends_while_its_thread_opens_another_is_closed_at_once(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The collector runs in whatever thread it likes, in the middle of anything."""
    store, other = SQLiteStore(path), [SQLiteStore(path)]
    store.close()
    real = sqlite3.connect

    def connect(*args: Any, **named: Any) -> sqlite3.Connection:
        monkeypatch.setattr(sqlite3, "connect", real)
        other.clear()
        gc.collect()
        return real(*args, **named)

    monkeypatch.setattr(sqlite3, "connect", connect)
    assert store.find("0123456789AB") is None
    assert connections_of(path) == 1
    store.close()


def test_a_log_at_which_another_thread_still_looks_says_nothing_of_the_next_one(store: SQLiteStore, path: Path) -> None:
    seen = list(opening._logs.values())
    store.close()
    # The numbers of the files that are gone are not given again.
    others = [path.with_name(f"other{number}").open("w") for number in range(3)]
    for _ in range(2):
        assert store.find("0123456789AB") == a_key()
        store._file._shelf._free[0].due = 0.0  # to look again
    assert seen
    for each in others:
        each.close()


@pytest.mark.parametrize("through", ["this store", "another store of this process", "a link"])
def test_a_revocation_elsewhere_binds_or_the_store_is_down_when_only_the_shm_was_removed(
    store: SQLiteStore, path: Path, through: str
) -> None:
    if through == "a link":
        path.with_name("link.db").symlink_to(path)
        reader = SQLiteStore(path.with_name("link.db"))
    else:
        reader = store if through == "this store" else SQLiteStore(path)
    assert reader.find("0123456789AB") == a_key()
    path.with_name(f"{path.name}-shm").unlink()
    with by_hand(path) as connection:
        connection.execute("UPDATE keystile_keys SET revoked_at = 1")
        with pytest.raises(StoreUnavailable, match="restart the processes"):
            reader.find("0123456789AB")
        with pytest.raises(StoreUnavailable, match="restart the processes"):
            in_thread(lambda: reader.find("0123456789AB"))


def test_a_log_that_was_cut_off_by_others_makes_nothing_valid_that_was_revoked(store: SQLiteStore, path: Path) -> None:
    store.revoke("0123456789AB", T0, ())
    os.truncate(path.with_name(f"{path.name}-wal"), 0)
    for read in (lambda: store.find("0123456789AB"), lambda: in_thread(lambda: store.find("0123456789AB"))):
        found = outcome_of(read)
        assert isinstance(found, StoreUnavailable) or found.revoked_at == T0


def test_checkpoints_by_hand_change_nothing(store: SQLiteStore, path: Path) -> None:
    for kind in ("PASSIVE", "FULL", "RESTART", "TRUNCATE"):
        with by_hand(path) as connection:
            connection.execute(f"PRAGMA wal_checkpoint({kind})")
        store.touch("0123456789AB", T0)
        assert store.last_used("0123456789AB") == T0


def test_a_change_in_the_tick_of_the_look_before_is_seen(store: SQLiteStore, path: Path) -> None:
    """The folder's time is the same then; so it is not trusted while it is as young as that."""
    other = SQLiteStore(path.with_name("other.db"))
    other.add(a_key(name="in the other file"), ())
    other.close()
    remove_log(path)
    with pytest.raises(StoreUnavailable):
        store.find("0123456789AB")
    before = path.parent.stat()
    path.with_name("other.db").replace(path)
    os.utime(path.parent, ns=(before.st_atime_ns, before.st_mtime_ns))
    found = store.find("0123456789AB")
    assert found is not None
    assert found.name == "in the other file"


def test_rows_of_equal_revision_in_another_file_are_read_anew(store: SQLiteStore, path: Path) -> None:
    assert store.find("0123456789AB") == a_key()
    copy = path.with_name("copy.db")
    with by_hand(path) as connection:
        connection.execute("VACUUM INTO ?", (str(copy),))
    with by_hand(copy) as connection:
        connection.execute("UPDATE keystile_keys SET revoked_at = 1, revision = revision + 1")
        connection.execute("UPDATE keystile_keys SET revision = revision - 1")
        connection.execute("PRAGMA journal_mode=WAL")
    with by_hand(path) as connection, by_hand(copy) as other:
        [revision] = connection.execute("SELECT revision FROM keystile_keys").fetchone()
        other.execute("DROP TRIGGER keystile_keys_revised")
        other.execute("UPDATE keystile_keys SET revision = ?", (revision,))
    remove_log(path)
    copy.replace(path)
    found = store.find("0123456789AB")
    assert found is not None
    assert found.revoked_at is not None
    store.close()
    with by_hand(path) as connection:
        connection.execute("UPDATE keystile_keys SET name = 'also by hand'")
    found = store.find("0123456789AB")
    assert found is not None
    assert found.name == "also by hand"


def test_a_second_store_on_the_file_leaves_the_first_ones_locks_alone(store: SQLiteStore, path: Path) -> None:
    """A file that is opened and closed again takes all locks of its process with it, and the next process to close it
    would then remove the log under us."""
    with SQLiteLimiter(path)._file.write():
        pass
    python("import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT 1 FROM sqlite_schema')", path)
    assert path.with_name(f"{path.name}-wal").exists()
    assert store.find("0123456789AB") == a_key()


def test_a_file_that_was_replaced_by_an_empty_one_is_down(store: SQLiteStore, path: Path) -> None:
    path.with_name("empty").touch(0o600)
    path.with_name("empty").replace(path)
    with pytest.raises(StoreUnavailable):
        store.find("0123456789AB")
    with pytest.raises(StoreUnavailable):
        store.add(a_key("another"), ())


@pytest.mark.parametrize("octets", [b"\x00", b"\xff", b"not a database "])
def test_a_corrupt_file_is_down(store: SQLiteStore, path: Path, octets: bytes) -> None:
    store.close()
    size = path.stat().st_size
    path.write_bytes((octets * size)[:size])
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            store.find("0123456789AB")
    with pytest.raises(StoreUnavailable):
        store.revoke("0123456789AB", T0, ())


def test_a_file_with_corrupt_pages_is_down(store: SQLiteStore, path: Path) -> None:
    store.close()
    octets = path.read_bytes()
    path.write_bytes(octets[:100] + b"\xa5" * (len(octets) - 100))
    with pytest.raises(StoreUnavailable):
        store.find("0123456789AB")


def test_a_corrupt_file_that_was_restored_works_again(store: SQLiteStore, path: Path) -> None:
    store.close()
    octets = path.read_bytes()
    path.write_bytes(b"x" * len(octets))
    with pytest.raises(StoreUnavailable):
        store.find("0123456789AB")
    path.write_bytes(octets)
    assert store.find("0123456789AB") == a_key()


def test_a_table_that_was_dropped_is_down(store: SQLiteStore, path: Path) -> None:
    with by_hand(path) as connection:
        connection.execute("DROP TABLE keystile_keys")
    with pytest.raises(StoreUnavailable):
        store.find("0123456789AB")


# What it refuses to be built on


@pytest.mark.parametrize("version", [7, 99, 0])
def test_another_schema_version_is_refused_and_the_file_is_not_changed(path: Path, version: int) -> None:
    SQLiteStore(path).close()
    with by_hand(path) as connection:
        connection.execute("UPDATE keystile_schema SET version = ?", (version,))
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match=f"version {version}") as caught:
        SQLiteStore(path)
    assert (caught.value.key, caught.value.source) == ("store", f"sqlite:///{path}")
    assert path.read_bytes() == before
    assert contents(path.parent) == {"keys.db"}


@pytest.mark.parametrize("octets", [b"not a database", b"x" * 5000, b"SQLite format 3\x00" + b"x" * 5000])
def test_a_file_that_is_no_database_is_refused_and_not_changed(path: Path, octets: bytes) -> None:
    path.write_bytes(octets)
    with pytest.raises(ConfigurationError) as caught:
        SQLiteStore(path)
    assert caught.value.key == "store"
    assert path.read_bytes() == octets


def test_a_folder_or_a_missing_folder_is_refused(tmp_path: Path) -> None:
    for unusable in (tmp_path, tmp_path / "missing" / "keys.db"):
        with pytest.raises(ConfigurationError) as caught:
            SQLiteStore(unusable)
        assert caught.value.key == "store"
    assert contents(tmp_path) == set()


# For somebody who is not root. Everything is imported before the script drops its rights.

AS_NOBODY = """
    import os, stat, sys
    from datetime import UTC, datetime
    import keystile._ground.connection, keystile.stores.sqlite, sqlite3, pathlib
    from keystile import ConfigurationError, StoreUnavailable
    from keystile.stores.sqlite import SQLiteStore
    path = sys.argv[1]
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(int(sys.argv[2]))
        os.setuid(int(sys.argv[2]))

    def outcome(work):
        try:
            work()
        except Exception as error:
            return type(error).__name__
        return "done"
    """


@pytest.fixture
def anybodys_folder() -> Iterator[Path]:
    """A folder that a process without rights may write in."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)


def test_a_file_that_cannot_be_written_is_refused(anybodys_folder: Path) -> None:
    path = anybodys_folder / "keys.db"
    SQLiteStore(path).close()
    path.chmod(0o444)
    assert python(textwrap.dedent(AS_NOBODY) + "print(outcome(lambda: SQLiteStore(path)))", path, NOBODY) == (
        "ConfigurationError"
    )
    path.chmod(0o000)
    assert python(textwrap.dedent(AS_NOBODY) + "print(outcome(lambda: SQLiteStore(path)))", path, NOBODY) == (
        "ConfigurationError"
    )


def test_a_file_that_becomes_read_only_is_down_until_it_can_be_written_again(anybodys_folder: Path) -> None:
    script = """
    keystile._ground.connection.LOOK_EVERY = 0  # a change that only the mode shows is checked once a second
    store = SQLiteStore(path)
    find = lambda: store.find("unknown")
    print(outcome(find))
    os.chmod(path, 0o400)
    print(outcome(find), outcome(lambda: store.revoke("unknown", datetime.now(UTC), ())))
    os.chmod(path, 0o600)
    print(outcome(find))
    """
    said = python(textwrap.dedent(AS_NOBODY) + textwrap.dedent(script), anybodys_folder / "keys.db", NOBODY)
    assert said.split() == ["done", "StoreUnavailable", "StoreUnavailable", "done"]


def test_a_file_of_somebody_elses_is_refused(anybodys_folder: Path) -> None:
    path = anybodys_folder / "keys.db"
    path.touch(0o400)
    assert python(textwrap.dedent(AS_NOBODY) + "print(outcome(lambda: SQLiteStore(path)))", path, NOBODY) == (
        "ConfigurationError"
    )
    assert path.stat().st_size == 0
