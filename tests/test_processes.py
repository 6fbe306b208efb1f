"""Two processes on one SQLite file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from keystile import Gate, HmacHasher, wsgi
from tests.doors import Host, wsgi_environ
from tests.selection import often

PEPPER = b"p" * 16

REVOKER = """
import sys
from keystile import Gate, HmacHasher
gate = Gate("sqlite:///keys.db", prefix="acme", hasher=HmacHasher(b"p" * 16))
print("ready", flush=True)
for line in sys.stdin:
    gate.keys.revoke(line.strip())
    print("revoked", flush=True)
"""


def test_a_key_revoked_elsewhere_is_refused_here_on_the_next_request_every_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    gate = Gate("sqlite:///keys.db", prefix="acme", hasher=HmacHasher(PEPPER))
    door = wsgi.GateMiddleware(Host().wsgi, gate)

    def status(secret: str) -> str:
        started: list[str] = []
        door(
            wsgi_environ("GET", "/v1", [("x-api-key", secret)], None),
            lambda line, headers, exc_info=None: started.append(line) or started.append,  # type: ignore[func-returns-value]
        )
        return started[0]

    with subprocess.Popen(
        [sys.executable, "-c", REVOKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=tmp_path
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
        for _ in range(often(100, 1000)):
            issued = gate.keys.create("short-lived")
            assert status(issued.secret) == "200 Whatever"
            print(issued.key.id, file=other.stdin, flush=True)
            assert other.stdout.readline() == "revoked\n"
            assert status(issued.secret) == "401 Unauthorized"
        other.stdin.close()
    gate.close()


LOCKER = """
import sqlite3, sys
connection = sqlite3.connect("keys.db", isolation_level=None)
connection.execute("PRAGMA locking_mode=EXCLUSIVE")
connection.execute("BEGIN EXCLUSIVE")
connection.execute("CREATE TABLE locked (x)")
print("locked", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Behind:
    monkeypatch.chdir(tmp_path)
    return Behind(tmp_path)


class Behind:
    """A WSGI door on ``keys.db``, with a warm key."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "keys.db"
        self.gate = Gate(f"sqlite:///{self.file}", prefix="acme", hasher=HmacHasher(PEPPER))
        self.host = Host()
        self.issued = self.gate.keys.create("key")
        assert self.status() == 200

    def let_go(self) -> None:
        """Close every connection of this process; the gate opens others when it needs them."""
        self.gate.close()

    def status(self) -> int:
        answers: list[tuple[str, list[tuple[str, str]]]] = []
        environ = wsgi_environ("GET", "/v1", [("x-api-key", self.issued.secret)], None)
        calls = len(self.host.calls)
        door = wsgi.GateMiddleware(self.host.wsgi, self.gate)
        door(environ, lambda line, headers, exc_info=None: answers.append((line, headers)) or print)  # type: ignore[func-returns-value]
        status = int(answers[0][0].split()[0])
        assert (len(self.host.calls) > calls) == (status == 200)
        assert (dict(answers[0][1]).get("retry-after") is not None) == (status == 503)
        return status


def test_a_file_that_was_moved_away_is_a_503_until_it_is_back(door: Behind) -> None:
    door.file.rename(door.file.with_suffix(".away"))
    assert [door.status(), door.status()] == [503, 503]
    assert not door.file.exists()
    door.file.with_suffix(".away").rename(door.file)
    assert door.status() == 200


def test_a_file_that_was_deleted_and_restored_from_a_copy_is_read_anew(door: Behind, tmp_path: Path) -> None:
    door.let_go()
    backup = door.file.read_bytes()
    assert door.status() == 200
    for path in tmp_path.glob("keys.db*"):
        path.unlink()
    assert door.status() == 503
    door.file.write_bytes(backup)
    assert door.status() == 200
    door.gate.keys.revoke(door.issued.key.id)
    assert door.status() == 401


def test_a_corrupt_file_is_a_503_until_it_is_repaired(door: Behind, tmp_path: Path) -> None:
    door.let_go()
    for path in (*tmp_path.glob("keys.db-*"),):
        path.unlink()
    good = door.file.read_bytes()
    door.file.write_bytes(b"not a database, but of the same length "[:32] + b"\xff" * (len(good) - 32))
    assert [door.status(), door.status()] == [503, 503]
    door.file.write_bytes(good)
    assert door.status() == 200


def test_a_file_that_another_process_locks_is_a_503_until_it_lets_go(door: Behind, tmp_path: Path) -> None:
    door.let_go()
    with subprocess.Popen(
        [sys.executable, "-c", LOCKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=tmp_path
    ) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        assert other.stdout.readline() == "locked\n"
        assert door.status() == 503
        other.stdin.close()
    assert door.status() == 200


def test_a_file_that_cannot_be_written_is_a_503_until_it_can(tmp_path: Path) -> None:
    """Run as a user whom file modes bind."""
    tmp_path.chmod(0o777)
    for parent in tmp_path.parents:
        if parent.stat().st_uid == tmp_path.stat().st_uid and not parent.stat().st_mode & 0o001:
            parent.chmod(0o755)
    script = (
        "import os, sys\n"
        f"sys.path[:0] = {sys.path!r}\n"
        "from pathlib import Path\n"
        "import keystile.stores.sqlite, keystile._ground.connection, limits\n"
        "keystile._ground.connection.LOOK_EVERY = 0\n"
        "from tests.test_processes import Behind\n"
        # After the imports: that user may not be able to read the interpreter's own files.
        "os.geteuid() or (os.setgid(65534), os.setuid(65534))\n"
        "door = Behind(Path('.').absolute())\n"
        "door.file.chmod(0o444)\n"
        "assert [door.status(), door.status()] == [503, 503]\n"
        "door.file.chmod(0o600)\n"
        "assert door.status() == 200\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


OPENER = """
import sys
from keystile import Gate
sys.stdin.readline()
gate = Gate("sqlite:///keys.db", hasher="hmac-sha256", peppers=["p" * 16])
gate.keys.revoke(gate.keys.create("mine").key.id)
print(len(gate.keys.list()) > 0)
"""


def test_workers_that_all_open_a_missing_file_at_once_all_succeed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", OPENER]
    for _ in range(often(1, 10)):
        for path in tmp_path.glob("keys.db*"):
            path.unlink()
        workers = [
            subprocess.Popen(command, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for _ in range(4)
        ]
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.write("go\n")
            worker.stdin.flush()
        assert [worker.communicate()[0] for worker in workers] == ["True\n"] * 4
