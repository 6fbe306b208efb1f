"""Real servers on loopback: started on a free port, stopped by their own process group."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from tests.doors import Answer
from tests.ports import free_port

COMMANDS = {
    "uvicorn-h11": ["uvicorn", "--http", "h11", "--loop", "asyncio", "--port", "{port}", "{module}:asgi_app"],
    "uvicorn-httptools": [
        "uvicorn",
        "--http",
        "httptools",
        "--loop",
        "uvloop",
        "--port",
        "{port}",
        "{module}:asgi_app",
    ],
    "gunicorn-sync": ["gunicorn", "-w", "2", "-b", "127.0.0.1:{port}", "{module}:wsgi_app"],
    "gunicorn-gthread": ["gunicorn", "-w", "2", "--threads", "4", "-b", "127.0.0.1:{port}", "{module}:wsgi_app"],
    "gunicorn-preload": ["gunicorn", "-w", "2", "--preload", "-b", "127.0.0.1:{port}", "{module}:wsgi_app"],
}


class Kind(NamedTuple):
    """One server of the matrix, as it is shipped: nothing is set but the address and one worker.

    Attributes:
        protocol: what the module is served as: ``"asgi"`` or ``"wsgi"``.
        command: the arguments of Python.
        packages: the distributions whose behaviour on the wire this is.
    """

    protocol: str
    command: list[str]
    packages: tuple[str, ...]


# Werkzeug has no command of its own.
_WERKZEUG = (
    "from werkzeug.serving import run_simple; from {module} import wsgi_app; "
    "run_simple('127.0.0.1', {port}, wsgi_app, threaded=True)"
)
_GRANIAN = ["-m", "granian", "--host", "127.0.0.1", "--port", "{port}", "--workers", "1", "--interface"]

# Servers that differ in what they make of the octets of a request. COMMANDS holds those that whole hosts are tested on.
MATRIX = {
    "uvicorn-h11": Kind("asgi", ["-m", *COMMANDS["uvicorn-h11"]], ("uvicorn", "h11")),
    "uvicorn-httptools": Kind("asgi", ["-m", *COMMANDS["uvicorn-httptools"]], ("uvicorn", "httptools")),
    "hypercorn": Kind(
        "asgi", ["-m", "hypercorn", "-w", "1", "-b", "127.0.0.1:{port}", "{module}:asgi_app"], ("hypercorn", "h11")
    ),
    "granian-asgi": Kind("asgi", [*_GRANIAN, "asgi", "{module}:asgi_app"], ("granian",)),
    "daphne": Kind(
        "asgi", ["-m", "daphne", "-b", "127.0.0.1", "-p", "{port}", "{module}:asgi_app"], ("daphne", "twisted")
    ),
    "gunicorn-sync": Kind("wsgi", ["-m", *COMMANDS["gunicorn-sync"]], ("gunicorn",)),
    "gunicorn-gthread": Kind("wsgi", ["-m", *COMMANDS["gunicorn-gthread"]], ("gunicorn",)),
    "granian-wsgi": Kind("wsgi", [*_GRANIAN, "wsgi", "{module}:wsgi_app"], ("granian",)),
    "waitress": Kind("wsgi", ["-m", "waitress", "--listen=127.0.0.1:{port}", "{module}:wsgi_app"], ("waitress",)),
    "cheroot": Kind("wsgi", ["-m", "cheroot", "--bind", "127.0.0.1:{port}", "{module}:wsgi_app"], ("cheroot",)),
    "werkzeug": Kind("wsgi", ["-c", _WERKZEUG], ("werkzeug",)),
}


# One process, many greenlets; with ``--preload`` the app is imported before gevent replaces the ways of waiting.
_GEVENT = ["-m", "gunicorn", "-w", "1", "-k", "gevent", "-b", "127.0.0.1:{port}", "{module}:wsgi_app"]
GEVENT = {"gunicorn-gevent": _GEVENT, "gunicorn-gevent-preload": [*_GEVENT, "--preload"]}


class Server:
    """A running server, spoken to over one kept-alive connection a caller."""

    def __init__(self, port: int, process: subprocess.Popen[bytes]) -> None:
        self.port, self.process = port, process

    @contextmanager
    def connection(self) -> Iterator[http.client.HTTPConnection]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            yield connection
        finally:
            connection.close()

    def get(self, path: str, headers: dict[str, str] | None = None, method: str = "GET", body: Any = None) -> Answer:
        with self.connection() as connection:
            return ask(connection, path, headers, method, body)


def ask(
    connection: http.client.HTTPConnection,
    path: str,
    headers: dict[str, str] | None = None,
    method: str = "GET",
    body: Any = None,
) -> Answer:
    """One request on an open connection."""
    connection.request(method, path, body, headers or {})
    response = connection.getresponse()
    fields = [(name.lower(), value) for name, value in response.getheaders()]
    return Answer(response.status, fields, response.read())


@contextmanager
def serving(kind: str, module: str, folder: Path, **environ: str) -> Iterator[Server]:
    """Serve a module of this folder. What the server says is in ``{kind}-{port}.log`` there."""
    port = free_port()
    arguments = ["-m", *COMMANDS[kind]] if kind in COMMANDS else GEVENT.get(kind) or MATRIX[kind].command
    command = [part.format(port=port, module=module) for part in arguments]
    log = folder / f"{kind}-{port}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=folder,
            stdout=output,
            stderr=output,
            env=os.environ | environ,
            start_new_session=True,
        )
    try:
        wait_for_port(port, process, log)
        yield Server(port, process)
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a server that leads a session of its own, and its workers."""
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    # Workers that outlive the process that started them: the group is ours alone, for it is a session of its own.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def wait_for_port(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Return when the process listens; its log tells why it does not."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", port), 1):
                return
        except OSError:
            time.sleep(0.02)
    raise AssertionError(f"the server did not start:\n{log.read_text()[-2000:]}")
