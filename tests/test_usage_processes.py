"""Counts of threads, processes, forks and servers add up; a process that is killed loses what it had not written."""

from __future__ import annotations

import dis
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from keystile import Gate, HmacHasher, Plan
from keystile.gate.order import Order
from keystile.keys.usage.counting import Counting
from keystile.model.counts import HOUR
from keystile.stores.sqlite import SQLiteStore
from tests.selection import some
from tests.servers import GEVENT, Server, serving

HOUR_NOW = 490_000
SETUP = f"""
    import os, pathlib, sys, threading
    from keystile import Gate, HmacHasher, Plan, wsgi
    from keystile.keys.usage import counting
    counting.EVERY = float(os.environ.get("EVERY", counting.EVERY))

    gate = Gate("sqlite:///keys.db", prefix="acme", hasher=HmacHasher(b"p" * 16), failure_limits=None,
                plans={{"p": Plan("100/day"), "free": Plan(None)}}, clock=lambda: {HOUR_NOW * HOUR}.0)
    wsgi_app = wsgi.GateMiddleware(lambda environ, start: [start("200 OK", []) and b""], gate)
    secrets = pathlib.Path("secrets.txt").read_text().split()

    def request(secret):
        environ = {{"REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "PATH_INFO": "/", "HTTP_X_API_KEY": secret,
                   "wsgi.url_scheme": "http", "SERVER_NAME": "x", "SERVER_PORT": "80"}}
        wsgi_app(environ, lambda status, headers, info=None: print)
    """


class Keys:
    """Two keys in a file, of which the second may be used a hundred times."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        plans = {"p": Plan("100/day"), "free": Plan(None)}
        gate = Gate(SQLiteStore(folder / "keys.db"), prefix="acme", hasher=HmacHasher(b"p" * 16), plans=plans)
        issued = [gate.keys.create("key", plan=plan) for plan in ("free", "p")]
        gate.close()
        self.ids, self.secrets = [each.key.id for each in issued], [each.secret for each in issued]
        (folder / "secrets.txt").write_text("\n".join(self.secrets))

    def counted(self) -> dict[str, int]:
        """All that is kept, by outcome."""
        store = SQLiteStore(self.folder / "keys.db")
        found: dict[str, int] = {}
        for each in (each for key_id in self.ids for each in store.usage(key_id, HOUR_NOW, HOUR_NOW + 1, 1)):
            found[each.outcome] = found.get(each.outcome, 0) + each.number
        store.close()
        return found


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path)


def run(folder: Path, script: str, **environ: str) -> str:
    [said] = finished([started(folder, script, **environ)])
    return said


def started(folder: Path, script: str, **environ: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(script)]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, cwd=folder, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=os.environ | environ
    )


def finished(processes: list[subprocess.Popen[str]]) -> list[str]:
    said = []
    for each in processes:
        out, err = each.communicate(timeout=120)
        assert (each.returncode, err) == (0, "")
        said.append(out)
    return said


@pytest.mark.parametrize("function", [Order.check, Counting.count], ids=["admitted", "refused"])
def test_nothing_can_come_between_reading_a_count_and_writing_it(function: Callable[..., Any]) -> None:
    """Threads change places where a function is called or begins, and where a loop begins again; nowhere else."""
    names = [each.opname for each in dis.get_instructions(function)]
    [writes] = [place for place, each in enumerate(names) if each == "STORE_SUBSCR"]
    begins = max(place for place, each in enumerate(names[:writes]) if each == "COPY")  # of the place, to read it
    between = names[begins:writes]
    assert "BINARY_OP" in between
    assert [each for each in between if each.startswith(("CALL", "JUMP", "RESUME", "SEND", "FOR"))] == []


THREADS = """
    sys.setswitchinterval(1e-6)

    def many():
        for _ in range(300):
            for secret in secrets:
                request(secret)

    threads = [threading.Thread(target=many) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    """


@pytest.mark.parametrize("every", ["0.005", "1000"], ids=["all the time", "at the end"])
def test_four_threads_lose_no_count(keys: Keys, every: str) -> None:
    run(keys.folder, textwrap.dedent(SETUP) + textwrap.dedent(THREADS), EVERY=every)
    assert keys.counted() == {"admitted": 1300, "rate_limited": 1100}


MANY = """
    for _ in range(500):
        for secret in secrets:
            request(secret)
    """


def test_four_processes_that_write_at_once_lose_no_count(keys: Keys) -> None:
    script = textwrap.dedent(SETUP) + textwrap.dedent(MANY)
    finished([started(keys.folder, script, EVERY="0.002") for _ in range(4)])
    assert keys.counted() == {"admitted": 2000 + 400, "rate_limited": 2000 - 400}


FORK = """
    for _ in range(5):
        request(secrets[0])
    child = os.fork()
    for _ in range(70 if child == 0 else 900):
        request(secrets[0])
    if child:
        assert os.waitpid(child, 0)[1] == 0
    """


@pytest.mark.parametrize("every", ["0.005", "1000"], ids=["all the time", "at the end"])
def test_parent_and_child_write_what_each_has_counted(keys: Keys, every: str) -> None:
    run(keys.folder, textwrap.dedent(SETUP) + textwrap.dedent(FORK), EVERY=every)
    assert keys.counted() == {"admitted": 975}


KILLED = """
    for line in sys.stdin:
        for _ in range(int(line)):
            request(secrets[0])
        print("done", flush=True)
    """


def test_a_process_that_is_killed_loses_only_what_it_had_not_written(keys: Keys) -> None:
    process = started(keys.folder, textwrap.dedent(SETUP) + textwrap.dedent(KILLED), EVERY="0.2")
    assert process.stdin is not None
    assert process.stdout is not None
    for number in (50, 7):
        process.stdin.write(f"{number}\n")
        process.stdin.flush()
        assert process.stdout.readline() == "done\n"
        if number == 50:
            deadline = time.monotonic() + 60
            while keys.counted().get("admitted") != 50:
                assert time.monotonic() < deadline, "it is not written"
                time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert 50 <= keys.counted()["admitted"] <= 57


def test_a_process_that_ends_in_the_middle_of_an_exception_writes_too(keys: Keys) -> None:
    script = textwrap.dedent(SETUP) + "\nrequest(secrets[0])\nraise SystemExit(0)\n"
    run(keys.folder, script, EVERY="1000")
    assert keys.counted() == {"admitted": 1}


APP = textwrap.dedent(SETUP) + textwrap.dedent("""
    request(secrets[0])  # where a server forks after the import, this is its parent's
    from keystile import asgi

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            while True:
                kind = (await receive())["type"]
                await send({"type": f"{kind}.complete"})
                if kind == "lifespan.shutdown":
                    return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    asgi_app = asgi.GateMiddleware(app, gate)
    """)
IMPORTS = {"gunicorn-sync": 2, "gunicorn-gthread": 2}


@pytest.mark.parametrize(
    "kind",
    some(
        ["gunicorn-sync", "gunicorn-gthread", "gunicorn-preload", *GEVENT, "uvicorn-h11", "uvicorn-httptools"],
        "gunicorn-preload",
        "gunicorn-gevent",
        "uvicorn-httptools",
    ),
)
def test_a_server_that_stops_has_written_every_request(keys: Keys, kind: str) -> None:
    (keys.folder / "hosted.py").write_text(APP)

    def ask(server: Server) -> int:
        return server.get("/", {"x-api-key": keys.secrets[0]}).status

    with serving(kind, "hosted", keys.folder, EVERY="1000") as server, ThreadPoolExecutor(4) as clients:
        assert set(clients.map(lambda _: ask(server), range(60))) == {200}
    assert keys.counted() == {"admitted": 60 + IMPORTS.get(kind, 1)}
