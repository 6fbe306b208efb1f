"""SIGHUP has a wrapped service read its file again, on real servers; and several workers share what the file says."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.ports import free_port
from tests.test_wrap import ASGI_SERVICE, CONFIGURATION, WSGI_SERVICE, bearer, environment, keystile, service

# Each with whom the signal is sent to: the process that serves, or the one that starts those.
SERVERS = {
    "uvicorn": (ASGI_SERVICE, ["-m", "uvicorn", "keystile.wrap:asgi", "--port", "{port}"]),
    "waitress": (WSGI_SERVICE, ["-m", "waitress", "--listen=127.0.0.1:{port}", "keystile.wrap:wsgi"]),
}
_GRANIAN = ["-m", "granian", "--host", "127.0.0.1", "--port", "{port}", "--workers", "2", "--interface"]
OFTEN = {
    "gunicorn": (WSGI_SERVICE, ["-m", "gunicorn", "keystile.wrap:wsgi", "-b", "127.0.0.1:{port}", "-w", "2"]),
    "uvicorn workers": (ASGI_SERVICE, [*SERVERS["uvicorn"][1], "--workers", "2"]),
    "granian": (ASGI_SERVICE, [*_GRANIAN, "asgi", "keystile.wrap:asgi"]),
    "daphne": (ASGI_SERVICE, ["-m", "daphne", "-b", "127.0.0.1", "-p", "{port}", "keystile.wrap:asgi"]),
    "cheroot": (WSGI_SERVICE, ["-m", "cheroot", "--bind", "127.0.0.1:{port}", "keystile.wrap:wsgi"]),
}
OPENED = CONFIGURATION.replace('public = ["/health"]', 'public = ["/health", "/v1/things"]')
LIMITS = 'limiter = "sqlite:///keys.db"\ndefault_plan = "free"\nplans.free.limits = "{}/minute"\n'


class Served:
    """A server that runs in a folder."""

    def __init__(self, process: subprocess.Popen[bytes], client: httpx.Client, log: Path) -> None:
        self.process, self.client, self._log = process, client, log

    def hang_up(self) -> None:
        self.process.send_signal(signal.SIGHUP)

    def get(self, path: str, secret: str | None = None) -> Any:
        return self.client.get(path, headers=bearer(secret) if secret else {})

    def status(self, path: str) -> int | None:
        try:
            return int(self.client.get(path).status_code)
        except httpx.TransportError:  # a worker that is being replaced
            return None

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")


def until(holds: Callable[[], object], why: Callable[[], str], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, why()
        time.sleep(0.02)


@contextmanager
def serving(folder: Path, command: list[str]) -> Iterator[Served]:
    port, log = free_port(), folder / "log"
    words = [sys.executable, *(word.format(port=port) for word in command)]
    with log.open("wb") as out:
        # Without a terminal, as under an init system.
        process = subprocess.Popen(
            words, cwd=folder, env=environment(folder), stdout=out, stderr=out, start_new_session=True
        )
    # A connection for each request: no worker keeps one.
    limits = httpx.Limits(max_keepalive_connections=0)
    url = f"http://127.0.0.1:{port}"
    with httpx.Client(base_url=url, timeout=30, trust_env=False, limits=limits) as client:
        served = Served(process, client, log)
        try:
            until(lambda: served.status("/health") == 200 or process.poll() is not None, lambda: served.log)
            yield served
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


@pytest.mark.parametrize("name", [*SERVERS, *(pytest.param(name, marks=pytest.mark.stress) for name in OFTEN)])
def test_a_server_reads_the_file_again(name: str, tmp_path: Path) -> None:
    code, command = (SERVERS | OFTEN)[name]
    folder = service(tmp_path, code, LIMITS.format(100) + CONFIGURATION)
    made = json.loads(keystile(folder, "keys", "create", "ci", "--json"))
    file = folder / "keystile.toml"
    with serving(folder, command) as served:
        assert served.get("/v1/things").status_code == 401
        answer = served.get("/v1/things", made["secret"])
        assert answer.headers["x-ratelimit-remaining"] == "99"
        file.write_text(LIMITS.format(50) + OPENED)
        served.hang_up()
        # Each worker of several: as often in turn as no chance explains.
        until(lambda: all(served.status("/v1/things") == 200 for _ in range(30)), lambda: served.log)
        # What was counted before is still counted, and the new limit holds for it.
        headers = served.get("/v1/exports", made["secret"]).headers
        assert served.get("/v1/exports", made["secret"]).status_code == 403
        assert "x-ratelimit-remaining" not in headers
        served.process.poll()
        assert served.process.returncode is None


def test_a_file_that_cannot_be_used_changes_nothing_and_says_why(tmp_path: Path) -> None:
    code, command = SERVERS["uvicorn"]
    folder = service(tmp_path, code, CONFIGURATION)
    file = folder / "keystile.toml"
    broken = {
        OPENED + "[[rules]]\nmatch = 'no path'\n": "rules[1].match: expected '/path'",
        OPENED.replace("prefix", "prefixx"): "prefixx: there is no such setting; did you mean 'prefix'?",
        OPENED.replace('"acme"', '"other"'): "prefix: a change of it needs a restart",
        OPENED.replace("Holder.app", "Other.app"): "app: a change of it needs a restart",
        'realm = "x"\n' + OPENED: "realm: a change of it needs a restart",
        OPENED.replace("keys.db", "other.db"): "store: a change of it needs a restart",
        "nonsense": "is not TOML",
        'default_plan = "${UNSET_NAME}"\n' + OPENED: "the environment variable UNSET_NAME is unset",
    }
    with serving(folder, command) as served:
        for at, (text, why) in enumerate(broken.items(), 1):
            file.write_text(text)
            served.hang_up()
            until(lambda at=at: served.log.count("not_reloaded") == at, lambda: served.log)  # type: ignore[misc]
            assert why in served.log.splitlines()[-1], (why, served.log.splitlines()[-1])
            assert "keystile.toml" in served.log.splitlines()[-1]
            assert served.get("/v1/things").status_code == 401
        file.unlink()
        served.hang_up()
        until(lambda: "there is no such file" in served.log, lambda: served.log)
        os.mkfifo(file)
        served.hang_up()
        until(lambda: "keystile.toml: is no file, but a pipe" in served.log, lambda: served.log)
        file.unlink()
        file.write_text(OPENED)
        served.hang_up()
        until(lambda: served.status("/v1/things") == 200, lambda: served.log)
        assert 'reloaded level=WARNING reason="changed: public"' in served.log


OWNED = """
import signal, sys
signal.signal(signal.SIGHUP, {handler})
import keystile.wrap as wrap
wrap.wsgi
print(signal.getsignal(signal.SIGHUP) is {handler})
"""
THREADED = """
import signal, threading
import keystile.wrap as wrap
thread = threading.Thread(target=lambda: wrap.wsgi)
thread.start(); thread.join()
print(signal.getsignal(signal.SIGHUP) is signal.SIG_DFL)
"""


@pytest.mark.parametrize(
    "code",
    [
        OWNED.format(handler="signal.SIG_IGN"),  # nohup
        OWNED.format(handler="print"),
        THREADED,
    ],
    ids=["nohup", "a handler of the server's", "not the main thread"],
)
def test_who_else_answers_to_the_signal_keeps_it(code: str, tmp_path: Path) -> None:
    folder = service(tmp_path, WSGI_SERVICE, CONFIGURATION)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment(folder), capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("True\n", "")


WAITS = """
import sys, time
import keystile.wrap as wrap
wrap.wsgi
print("ready", flush=True)
time.sleep(60)
"""


def test_a_terminal_that_closes_ends_the_server_as_ever(tmp_path: Path) -> None:
    folder = service(tmp_path, WSGI_SERVICE, CONFIGURATION)
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(folder)
        os.execve(sys.executable, [sys.executable, "-c", WAITS], environment(folder))
    said = b""
    while b"ready" not in said:
        said += os.read(terminal, 1024)
    os.close(terminal)
    ended: list[int] = []
    until(lambda: ended.extend(each for each in os.waitpid(child, os.WNOHANG)[1:] if each) or ended, lambda: "it lives")
    assert os.waitstatus_to_exitcode(ended[0]) == -signal.SIGHUP


PRELOADED = ["-m", "gunicorn", "keystile.wrap:wsgi", "-b", "127.0.0.1:{port}", "-w", "2", "--preload"]


@pytest.mark.stress
def test_a_service_that_is_loaded_before_the_fork_serves(tmp_path: Path) -> None:
    folder = service(tmp_path, WSGI_SERVICE, LIMITS.format(6) + CONFIGURATION)
    secret = keystile(folder, "keys", "create", "ci").strip()
    with serving(folder, PRELOADED) as served:
        statuses = [served.get("/v1/things", secret).status_code for _ in range(8)]
        assert statuses == [200] * 6 + [429] * 2
