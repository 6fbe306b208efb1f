"""A real MariaDB for tests, from the system's package: on a free port of the loopback, with its data in a folder."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymysql
import pytest

from tests.ports import free_port
from tests.postgres_server import somebody_for
from tests.selection import program

SECONDS_TO_START = 30.0


class MariaDBServer:
    """One server process; a context manager. The user ``keystile`` may do everything in the database ``keystile``."""

    def __init__(self) -> None:
        self.port = free_port()
        self._home = tempfile.TemporaryDirectory(prefix="keystile-mariadb-")
        home = Path(self._home.name)
        who = somebody_for(home)
        try:
            self._create(home, who)
            self.process = self._start(home, who)
        except BaseException:
            self._home.cleanup()
            raise

    @property
    def url(self) -> str:
        """Where it is."""
        return f"mariadb://keystile@127.0.0.1:{self.port}/keystile"

    def __enter__(self) -> MariaDBServer:
        return self

    def __exit__(self, *_unused: object) -> None:
        self.process.kill()
        self.process.wait()
        self._home.cleanup()

    def _create(self, home: Path, who: dict[str, Any]) -> None:
        command = [str(program("mariadb-install-db")), "--no-defaults", f"--datadir={home}/data"]
        command += ["--auth-root-authentication-method=normal", "--skip-test-db"]
        made = subprocess.run(command, capture_output=True, text=True, cwd=home, check=False, **who)
        if made.returncode:
            raise RuntimeError(f"mariadb-install-db: {made.stdout}{made.stderr}")

    def _start(self, home: Path, who: dict[str, Any]) -> subprocess.Popen[Any]:
        first = home / "first.sql"
        first.write_text("CREATE DATABASE keystile;\nCREATE USER keystile;\nGRANT ALL ON keystile.* TO keystile;\n")
        first.chmod(0o644)
        command = [str(program("mariadbd")), "--no-defaults", f"--datadir={home}/data", f"--port={self.port}"]
        command += ["--bind-address=127.0.0.1", f"--socket={home}/socket", f"--init-file={first}"]
        command += ["--innodb-flush-log-at-trx-commit=0", "--skip-name-resolve"]
        log = home / "server.log"
        with log.open("wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output, cwd=home, **who)
        deadline = time.monotonic() + SECONDS_TO_START
        while time.monotonic() < deadline and process.poll() is None:
            try:
                pymysql.connect(host="127.0.0.1", port=self.port, user="keystile", database="keystile").close()
            except pymysql.MySQLError:
                time.sleep(0.05)
            else:
                return process
        process.kill()
        process.wait()
        raise RuntimeError(f"MariaDB did not start: {log.read_text()[-2000:]}")


@pytest.fixture(scope="session")
def mariadb_url() -> Iterator[str]:
    """A server with an empty database."""
    with MariaDBServer() as server:
        yield server.url
