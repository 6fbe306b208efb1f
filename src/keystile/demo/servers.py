"""The example apps as real servers, each a process of its own on a free loopback port.

Each server chooses its own port: it binds port 0 and logs what it got. Picking a free port for it would be a race.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from ..exceptions import ConfigurationError, KeystileError

START_SECONDS, STOP_SECONDS, ANSWER_SECONDS = 20.0, 5.0, 10.0
_LISTENING = re.compile(r"http://127\.0\.0\.1:([1-9][0-9]*)")
_LOG_END = 2000
# Settings of the user's own servers and gates, which would change what the demo shows.
_FOREIGN = ("KEYSTILE_", "UVICORN_", "GUNICORN_", "WEB_CONCURRENCY", "FORWARDED_ALLOW_IPS")
# In a file and not on the command line: versions that do not know the setting ignore it there. Without it, the control
# socket would be in the user's home.
_GUNICORN_CONF = "control_socket_disable = True\n"


class DemoBroken(KeystileError):
    """The demo cannot go on: a server or a command that it needs does not work."""


@dataclass(frozen=True, slots=True)
class Server:
    """A started example app.

    Attributes:
        name: for people.
        process: its own; nothing else is ever stopped.
        log: the file that it writes to.
    """

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def port(self) -> int:
        """The port it listens on, or 0 while it does not."""
        listening = _LISTENING.search(self.log_text())
        return int(listening[1]) if listening else 0

    def log_text(self) -> str:
        """What the server has logged so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def wait_until_up(self) -> None:
        """Return once it answers.

        Raises:
            DemoBroken: it ended, or gave no answer within 20 seconds.
        """
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            if self.port and _answers(self.port):
                return
            time.sleep(0.05)
        raise DemoBroken(f"{self.name} did not start. The end of its log:\n{self.log_text()[-_LOG_END:]}")

    def stop(self) -> None:
        """Stop it: ask first, then kill."""
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def clean_environment(**extra: str) -> dict[str, str]:
    """This process's environment without settings of servers and gates, and with `extra`."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)} | extra


def commands(examples: Path, folder: Path) -> dict[str, list[str]]:
    """The servers by name, and how to start them. gunicorn has two workers: a revocation must take effect in both."""
    conf = folder / "gunicorn.conf.py"
    conf.write_text(_GUNICORN_CONF, encoding="utf-8")
    uvicorn = ["uvicorn", "--app-dir", str(examples), "--host", "127.0.0.1", "--port", "0", "fastapi_app:app"]
    gunicorn = ["gunicorn", "--config", str(conf), "--pythonpath", str(examples), "--bind", "127.0.0.1:0"]
    return {"FastAPI": uvicorn, "Flask": [*gunicorn, "--workers", "2", "flask_app:app"]}


@contextmanager
def started(name: str, command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Iterator[Server]:
    """``python -m <command>`` in this folder, stopped at the end of the block whatever happens in it."""
    log = folder / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - our own commands, no shell
            [sys.executable, "-m", *command], cwd=folder, env=environment, stdout=output, stderr=output
        )
    server = Server(name, process, log)
    try:
        yield server
    finally:
        server.stop()


def example_folder() -> Path:
    """Where the example apps are: beside this package in an installed wheel, else in the checkout.

    Raises:
        ConfigurationError: neither has them.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "_examples", package.parents[1] / "examples"):
        if (folder / "fastapi_app.py").is_file():
            return folder
    raise ConfigurationError("the example apps are missing from this installation of keystile")


def _answers(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        connection.request("GET", "/health/")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
