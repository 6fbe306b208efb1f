"""The example of a host's own table: the gate needs no more of it than to find a key."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.servers import Server, serving

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "own_store"
LAUNCHER = "import sys\nsys.path.insert(0, {folder!r})\nfrom app import app\nwsgi_app = app\n"
GOOD, DISABLED = f"17.{'a' * 40}", f"18.{'b' * 40}"


def by_hand(folder: Path, *statement: object) -> None:
    with closing(sqlite3.connect(folder / "users.db", isolation_level=None)) as connection:
        connection.execute(*statement)  # type: ignore[arg-type]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    columns = "id INTEGER PRIMARY KEY, email TEXT, token_sha256 TEXT, plan TEXT, created_at TEXT, disabled_at TEXT"
    by_hand(tmp_path, f"CREATE TABLE users ({columns})")
    for user, token, ended in ((17, GOOD, None), (18, DISABLED, "2026-01-02T00:00:00+00:00")):
        row = (user, f"u{user}@example.com", hashlib.sha256(token.encode()).hexdigest(), "free", ended)
        by_hand(tmp_path, "INSERT INTO users VALUES (?, ?, ?, ?, '2026-01-01T00:00:00+00:00', ?)", row)
    (tmp_path / "service.py").write_text(LAUNCHER.format(folder=str(EXAMPLE)), encoding="utf-8")
    with serving("gunicorn-gthread", "service", tmp_path, USERS=str(tmp_path / "users.db")) as running:
        yield running


def test_an_app_is_guarded_over_its_own_table_of_users(server: Server, tmp_path: Path) -> None:
    def asked(token: str) -> tuple[int, str]:
        answer = server.get("/me", headers={"Authorization": f"Bearer {token}"})
        body = answer.json
        return answer.status, body.get("email") or body["error"]["code"]

    assert asked(GOOD) == (200, "u17@example.com")
    assert asked(DISABLED) == (401, "suspended_api_key")
    assert asked(f"17.{'c' * 40}") == (401, "invalid_api_key")
    assert asked(f"19.{'a' * 40}") == (401, "invalid_api_key")
    by_hand(tmp_path, "UPDATE users SET disabled_at = '2026-02-01T00:00:00+00:00' WHERE id = 17")
    assert asked(GOOD) == (401, "suspended_api_key")
    by_hand(tmp_path, "DELETE FROM users WHERE id = 17")
    assert asked(GOOD) == (401, "invalid_api_key")


def test_it_takes_fewer_than_forty_lines_of_code() -> None:
    lines = (EXAMPLE / "guard.py").read_text(encoding="utf-8").splitlines()
    assert (
        len([line for line in lines if line.strip() and not line.strip().startswith(('"""', "from ", "import "))]) < 40
    )
