"""Real servers on loopback: started on a free port, stopped by their own process."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.doors import Answer

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


class Server:
    """A running server, spoken to over one kept-alive connection a caller."""

    def __init__(self, port: int) -> None:
        self.port = port

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


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(kind: str, module: str, folder: Path, **environ: str) -> Iterator[Server]:
    """Serve a module of this folder."""
    port = free_port()
    command = [part.format(port=port, module=module) for part in COMMANDS[kind]]
    log = folder / f"{kind}-{port}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *command], cwd=folder, stdout=output, stderr=output, env=os.environ | environ
        )
    try:
        _wait(port, process, log)
        yield Server(port)
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", port), 1):
                return
        except OSError:
            time.sleep(0.02)
    raise AssertionError(f"the server did not start:\n{log.read_text()[-2000:]}")
