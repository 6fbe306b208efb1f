"""The examples as their users run them: a copy in a folder of any name, served by the command of its README."""

from __future__ import annotations

import http.client
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from keystile import Gate, IssuedKey
from keystile.cli.commands import main
from keystile.config.file import load, open_gate
from tests.doors import Answer
from tests.management import Sent, answer_of
from tests.ports import free_port
from tests.servers import Server, stop, wait_for_port

CONTRACTS = Path(__file__).resolve().parents[2] / "examples" / "contracts"
NAMES = ("anyway", "projects_and_keys", "apitally", "anyformat", "anthyx")
SECRETS = {
    "KEYSTILE_PEPPER": "a pepper of the contracts alone",
    "KEYSTILE_WEBHOOK_KEY": "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY=",
}
WHEN = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
RATES = ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset")
HTTPS = {"X-Forwarded-Proto": "https"}

_PORT = {
    "uvicorn": ["--port", "{}"],
    "granian": ["--port", "{}"],
    "gunicorn": ["-b", "127.0.0.1:{}"],
    "waitress-serve": ["--listen=127.0.0.1:{}"],
}


def commands(name: str) -> list[list[str]]:
    """The commands of an example's README; the first one serves it."""
    text = (CONTRACTS / name / "README.md").read_text(encoding="utf-8")
    return [shlex.split(line[2:]) for line in text.splitlines() if line.startswith("$ ")]


def copied(name: str, folder: Path) -> Path:
    """The example, where a user has put it."""
    return Path(shutil.copytree(CONTRACTS / name, folder / f"my {name}", ignore=shutil.ignore_patterns("__pycache__")))


def environment(**more: str) -> dict[str, str]:
    """What the examples take from it, and nothing that this process was told for others."""
    return {name: value for name, value in os.environ.items() if not name.startswith("KEYSTILE_")} | SECRETS | more


class Host:
    """An example that is being served.

    Attributes:
        folder: where it lies.
        server: the server.
        gate: a gate of this process on the same keys and the same windows.
        always: headers of every request.
    """

    def __init__(self, folder: Path, server: Server, gate: Gate, always: dict[str, str]) -> None:
        self.folder, self.server, self.gate, self.always = folder, server, gate, always

    def ask(
        self,
        path: str,
        key: str | None = None,
        method: str = "GET",
        body: Any = None,
        *,
        headers: dict[str, str] | None = None,
        source: str = "127.0.0.1",
    ) -> Answer:
        """One request, from this address of the loopback. A body that is no octets is sent as JSON."""
        lines = dict(self.always)
        if key is not None:
            lines["Authorization"] = f"Bearer {key}"
        if body is not None:
            lines["Content-Type"] = "application/json"
            body = body if isinstance(body, bytes) else json.dumps(body).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30, source_address=(source, 0))
        try:
            connection.request(method, path, body, lines | (headers or {}))
            response = connection.getresponse()
            fields = [(name.lower(), value) for name, value in response.getheaders()]
            return answer_of(Sent(method, path), response.status, fields, response.read())
        finally:
            connection.close()

    def spend(self, issued: IssuedKey, requests: int, seconds: int = 60) -> None:
        """Count so many requests of a key in its window of so many seconds, as if it had made them."""
        caller = self.gate.keys.get(issued.key.id)
        [window] = [each for each in self.gate.quotas.of(caller) if each.seconds == seconds]
        limiter: Any = self.gate.limits.limiter
        [usage] = limiter.hit(self.gate.quotas.subject(caller), ((window, requests),))
        assert usage.retry_after == 0.0

    def stored(self) -> bytes:
        """Everything that lies in the folder's databases."""
        return b"".join(path.read_bytes() for path in self.folder.glob("*.db*"))

    def command(self, *arguments: str) -> Result:
        """`keystile` in this folder, in this process."""
        unset = {name: None for name in os.environ if name.startswith("KEYSTILE_")}
        options = ("-c", str(self.folder / "keystile.toml"))
        result = CliRunner(env={**unset, **SECRETS}).invoke(main, [*options, *arguments])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    def did(self, *arguments: str) -> str:
        """What a command that is done prints on stdout."""
        result = self.command(*arguments)
        assert result.exit_code == 0, result.stderr
        return result.stdout


def opened(folder: Path) -> Gate:
    """The gate that the file of a folder describes."""
    return open_gate(load(folder / "keystile.toml", SECRETS))


@contextmanager
def serving(
    name: str, folder: Path, gate: Gate | None = None, always: dict[str, str] | None = None, **environ: str
) -> Iterator[Host]:
    """Serve the example in this folder by the first command of its README, on a port of ours."""
    program, *arguments = commands(name)[0]
    port = free_port()
    command = [_script(program), *(each.format(port) for each in _PORT[program]), *arguments]
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, stdout=output, stderr=output, env=environment(**environ), start_new_session=True
        )
    try:
        wait_for_port(port, process, log)
        own = opened(folder) if gate is None else gate
        yield Host(folder, Server(port, process), own, always or {})
        own.close()
    finally:
        stop(process)
    assert "Traceback" not in log.read_text(encoding="utf-8")


def ran(folder: Path, *command: str) -> str:
    """What a command of a README prints on stdout, in a process of its own."""
    done = subprocess.run(
        [_script(command[0]), *command[1:]],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _script(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def rates(answer: Answer) -> list[int]:
    """Limit, Remaining and Reset."""
    return [int(answer.header(name) or "") for name in RATES]


def moments(value: Any, names: Sequence[str]) -> Iterator[Any]:
    """The values of all members of these names in an answer, however deep."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name in names:
                yield inner
            yield from moments(inner, names)
    elif isinstance(value, list):
        for inner in value:
            yield from moments(inner, names)
