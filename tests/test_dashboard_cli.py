"""`keystile dashboard`: on this computer alone, and for whoever sees the terminal."""

from __future__ import annotations

import http.client
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlencode

import pytest

from keystile.webhooks.outbox import Outbox, new_key
from tests.ports import free_port

GATE = """
from keystile import Gate, HmacHasher
from tests.async_store import AsyncStore

gate = Gate(AsyncStore(), prefix="acme", hasher=HmacHasher(b"p" * 16), peppers=[b"p" * 32])
"""


class Served:
    """A dashboard that runs."""

    def __init__(self, folder: Path, *options: str, **environ: str) -> None:
        self.port = free_port()
        command = [sys.executable, "-m", "keystile", *options, "dashboard", "--port", str(self.port)]
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env=os.environ | environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def link(self) -> str:
        """The path of the next link in the terminal, with its token."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = re.fullmatch(rf"Open http://127\.0\.0\.1:{self.port}(/login#[\w-]{{43}})\n", line)
        assert found, line or self.process.communicate(timeout=20)
        return found[1]

    def ask(
        self, method: str, path: str, fields: dict[str, str] | None = None, **headers: str
    ) -> tuple[http.client.HTTPResponse, str]:
        named = {"Host": f"127.0.0.1:{self.port}", "Origin": f"http://127.0.0.1:{self.port}"}
        named |= {name.replace("_", "-"): value for name, value in headers.items()}
        if fields is not None:
            named["Content-Type"] = "application/x-www-form-urlencoded"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request(method, path, None if fields is None else urlencode(fields), named)
        answer = connection.getresponse()
        return answer, answer.read().decode()

    def enter(self, link: str) -> str:
        """Sign in; the cookie."""
        answer, _ = self.ask("POST", "/login", {"token": link.partition("#")[2]})
        assert (answer.status, answer.getheader("location")) == (303, "./")
        cookie = str(answer.getheader("set-cookie"))
        assert cookie.endswith("; Path=/; Secure; HttpOnly; SameSite=Strict")
        return cookie.partition(";")[0]

    def stop(self) -> tuple[int, str]:
        self.process.send_signal(signal.SIGINT)
        _, errors = self.process.communicate(timeout=20)
        return self.process.returncode, errors


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    subprocess.run([sys.executable, "-m", "keystile", "init"], cwd=tmp_path, check=True, capture_output=True)
    running = Served(tmp_path)
    yield running
    if running.process.poll() is None:
        running.stop()


def test_a_link_signs_in_once_and_the_session_ends_with_signing_out(served: Served) -> None:
    link = served.link()
    answer, _ = served.ask("GET", "/keys/new")
    assert (answer.status, answer.getheader("location")) == (303, "../login")
    assert served.ask("POST", "/login", {"token": "wrong"})[0].status == 403
    cookie = served.enter(link)
    assert cookie.startswith("__Host-keystile=")
    assert served.ask("POST", "/login", {"token": link.partition("#")[2]})[0].status == 403
    answer, page = served.ask("GET", "/", Cookie=cookie)
    assert (answer.status, "No keys yet" in page) == (200, True)
    assert answer.getheader("server") == "keystile"
    form = re.search(r'name="form_id" value="(\w+)"', served.ask("GET", "/keys/new", Cookie=cookie)[1])
    assert form
    _, page = served.ask("POST", "/keys", {"form_id": form[1], "name": "CI"}, Cookie=cookie)
    assert 'id="secret"' in page
    answer, _ = served.ask("POST", "/logout", {}, Cookie=cookie)
    assert (answer.status, answer.getheader("clear-site-data")) == (200, '"cache", "storage"')
    assert served.ask("GET", "/", Cookie=cookie)[0].status == 303
    served.link()  # that failed login showed the next one
    assert served.stop() == (0, "Ctrl-C ends it.\n")


def test_other_names_and_other_sites_get_nowhere(served: Served) -> None:
    cookie = served.enter(served.link())
    for host in ("evil.example.com", f"evil.example.com:{served.port}", "127.0.0.1:1", "127.0.0.1", ""):
        assert served.ask("GET", "/", Cookie=cookie, Host=host)[0].status == 421
    assert served.ask("GET", "/", Cookie=cookie, Host=f"localhost:{served.port}")[0].status == 200
    for path in ("/login", "/logout", "/keys"):
        answer, _ = served.ask("POST", path, {}, Cookie=cookie, Origin="http://127.0.0.1:1")
        assert answer.status == 403
        answer, _ = served.ask("POST", path, {}, Cookie=cookie, Sec_Fetch_Site="same-site")
        assert answer.status == 403
    assert served.ask("GET", "/", Cookie=cookie)[0].status == 200
    for wrong in ("__Host-keystile=x", "__Host-keystile=", "keystile=1", "=;=;,", "__Host-keystile=" + "x" * 5000):
        assert served.ask("GET", "/", Cookie=wrong)[0].status == 303
    # Those of other services on this computer come along.
    for other in ('prefs={"a": 1}', "name=Ada Lovelace", "@a=1", "a", 'b="', "=", "n\u00e5me=1"):
        assert served.ask("GET", "/", Cookie=f"{other}; {cookie};{other}")[0].status == 200
    answer, _ = served.ask("GET", "/a" * 1500)
    assert (answer.status, answer.getheader("location")) == (303, "/login")
    # From a link in a mail the cookie does not come: the page asks once more, as a page of ours.
    elsewhere = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Dest": "document"}
    answer, page = served.ask("GET", "/audit", **elsewhere)
    assert (answer.status, 'http-equiv="refresh"' in page) == (200, True)
    assert served.ask("GET", "/audit", Cookie=cookie, **elsewhere)[0].status == 200
    assert served.ask("DELETE", "/login")[0].status == 405
    assert served.ask("POST", "/login", None)[0].status == 415


def test_a_gate_in_code_may_be_async(tmp_path: Path) -> None:
    (tmp_path / "service.py").write_text(GATE)
    root = str(Path(__file__).parents[1])
    served = Served(tmp_path, "--gate", "service:gate", PYTHONPATH=f"{tmp_path}{os.pathsep}{root}")
    try:
        cookie = served.enter(served.link())
        form = re.search(r'name="form_id" value="(\w+)"', served.ask("GET", "/keys/new", Cookie=cookie)[1])
        assert form
        _, page = served.ask("POST", "/keys", {"form_id": form[1], "name": "CI"}, Cookie=cookie)
        assert 'id="secret"' in page
        assert "CI" in served.ask("GET", "/", Cookie=cookie)[1]
    finally:
        assert served.stop()[0] == 0


def test_webhook_endpoints_are_shown_of_an_outbox_that_is_named(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "keystile", "init"], cwd=tmp_path, check=True, capture_output=True)
    url, key = f"sqlite:///{tmp_path / 'outbox.db'}", new_key()
    with closing(Outbox(url, key)) as outbox:
        outbox.endpoints.create("https://hooks.example/in", organization_id="one")
    served = Served(tmp_path, KEYSTILE_OUTBOX=url, KEYSTILE_WEBHOOK_KEY=key)
    try:
        answer, page = served.ask("GET", "/webhooks", Cookie=served.enter(served.link()))
        assert (answer.status, "https://hooks.example/in" in page) == (200, True)
    finally:
        assert served.stop()[0] == 0


def test_what_cannot_be_served_is_one_line(tmp_path: Path, served: Served) -> None:
    served.link()
    (tmp_path / "memory.toml").write_text('store = "memory://"\n')
    for options, reason in (([], "port"), (["-c", "memory.toml"], "keys in memory end with this command")):
        command = [sys.executable, "-m", "keystile", *options, "dashboard", "--port", str(served.port)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 1
        assert reason in done.stderr
        assert "Traceback" not in done.stderr


def test_without_jinja_the_extra_is_named_and_the_rest_works() -> None:
    program = """
import sys
sys.modules["jinja2"] = None
from keystile import ConfigurationError, Gate, asgi, wsgi
for door in (asgi, wsgi):
    try:
        door.dashboard_app(Gate(), authorize=lambda request: None)
    except ConfigurationError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "the dashboard needs Jinja: pip install 'keystile[dashboard]'\n" * 2
