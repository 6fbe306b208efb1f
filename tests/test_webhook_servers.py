"""Signed messages over real sockets: the app behind real servers gets the octets that were signed, or does not run."""

from __future__ import annotations

import gzip
import hashlib
import json
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from keystile.cli import main
from keystile.webhooks import Receiver, Scheme, Secret, sign
from tests.doors import Fields
from tests.matrix.rawhttp import Response, Wire
from tests.selection import some
from tests.servers import Server, serving
from tests.test_wrap import SERVERS as WRAPPED
from tests.test_wrap import serving as wrapping

KINDS = ["uvicorn-h11", "uvicorn-httptools", "gunicorn-sync", "gunicorn-gthread"]
WHSEC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
TEXT = "an anthyx secret of enough bytes"
PATH = "/hooks/billing"
STANDARD = Receiver(PATH, secrets=[WHSEC])
ANTHYX = Receiver("/hooks/anthyx", secrets=[TEXT], scheme="hex_body", header="X-Anthyx-Signature")
BODY = b'{"event": "post.published",\r\n "id": "p_1"}'
NUMBERS = count()
HOSTS = """
import hashlib, json
from flask import Flask, request
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route
from keystile import Gate, asgi, wsgi
from keystile.webhooks import Receiver

PATHS = ["/hooks/billing", "/hooks/anthyx", "/hooks/once"]

def told(body, received):
    with open("runs", "a") as runs:
        runs.write(json.dumps([hashlib.sha256(body).hexdigest(), received and received.id]) + "\\n")
    return {"length": len(body)}

def receive():
    whsec, text = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "an anthyx secret of enough bytes"
    return [Receiver("/hooks/billing", secrets=[whsec]),
            Receiver("/hooks/anthyx", secrets=[text], scheme="hex_body", header="X-Anthyx-Signature"),
            Receiver("/hooks/once", secrets=[whsec])]

async def starlette_told(request):
    return JSONResponse(told(await request.body(), request.scope.get("keystile.webhook")))

asgi_app = Starlette(routes=[Route(path, starlette_told, methods=["POST"]) for path in PATHS])
asgi_app.add_middleware(asgi.WebhookMiddleware, receive=receive(), ids="sqlite:///ids.db")
asgi_app.add_middleware(asgi.GateMiddleware, gate=Gate(public=PATHS))

wsgi_app = Flask(__name__)
wsgi_app.wsgi_app = wsgi.WebhookMiddleware(wsgi_app.wsgi_app, receive=receive(), ids="sqlite:///ids.db")
wsgi_app.wsgi_app = wsgi.GateMiddleware(wsgi_app.wsgi_app, gate=Gate(public=PATHS))

@wsgi_app.post("/hooks/<name>")
def flask_told(name):
    return told(request.get_data(), request.environ.get("keystile.webhook"))
"""


@pytest.fixture(scope="module", params=some(KINDS, "uvicorn-httptools", "gunicorn-gthread"))
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Path]]:
    folder = tmp_path_factory.mktemp("hooks")
    (folder / "hosts.py").write_text(HOSTS)
    with serving(request.param, "hosts", folder) as running:
        yield running, folder


class Hooks:
    """A running server, what its app was told since the last look, and messages to it."""

    def __init__(self, server: Server, folder: Path) -> None:
        self._server, self._runs = server, folder / "runs"
        self.ran()

    def ran(self) -> list[Any]:
        if not self._runs.exists():
            return []
        listed = [json.loads(line) for line in self._runs.read_text().splitlines()]
        self._runs.write_text("")
        return listed

    def headers(self, receiver: Receiver = STANDARD, body: bytes = BODY, *, off: int = 0) -> Fields:
        secrets = [Secret(each) for each in receiver.secrets]
        return sign(Scheme.of(receiver), secrets, body, now=int(time.time()) + off, id=f"msg_{next(NUMBERS)}")

    def post(self, headers: Fields, body: bytes = BODY, path: str = PATH, framing: str = "length") -> Response:
        if framing == "chunked":
            headers = [*headers, ("Transfer-Encoding", "chunked")]
            pieces = [body[at : at + 7] for at in range(0, len(body), 7)]
            body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
        else:
            headers = [*headers, ("Content-Length", str(len(body)))]
        with Wire(self._server.port, 10.0) as wire:
            wire.send(self.head(headers, path) + body)
            return wire.final("POST")

    @staticmethod
    def head(headers: Fields, path: str = PATH) -> bytes:
        lines = [
            f"POST {path} HTTP/1.1",
            "Host: a",
            "Connection: close",
            *(f"{name}: {text}" for name, text in headers),
        ]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def wire(self) -> Wire:
        return Wire(self._server.port, 10.0)


@pytest.fixture
def hooks(server: tuple[Server, Path]) -> Hooks:
    return Hooks(*server)


def digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


BODIES = {
    "json": BODY,
    "empty": b"",
    "octets": bytes(range(256)) * 400,
    "gzip": gzip.compress(BODY * 100),
    "most": b"x" * 262_144,
}


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("kind", BODIES)
@pytest.mark.parametrize("receiver", [STANDARD, ANTHYX], ids=["standard", "anthyx"])
def test_the_app_gets_the_octets_that_were_signed(hooks: Hooks, receiver: Receiver, kind: str, framing: str) -> None:
    body = BODIES[kind]
    headers = hooks.headers(receiver, body)
    encoding = [("Content-Encoding", "gzip")] if kind == "gzip" else []
    answer = hooks.post([*headers, *encoding], body, receiver.match, framing)
    assert (answer.status, answer.json) == (200, {"length": len(body)})
    [(found, message)] = hooks.ran()
    assert found == digest(body)
    assert message == (headers[0][1] if receiver is STANDARD else None)


def test_what_is_not_signed_does_not_run_the_app(hooks: Hooks) -> None:
    twice = hooks.headers()
    for headers, body, path in [
        ([], BODY, PATH),
        ([], BODY, ANTHYX.match),
        (hooks.headers(), BODY + b"\n", PATH),
        (hooks.headers(ANTHYX), BODY[:-1], ANTHYX.match),
        (hooks.headers(off=-301), BODY, PATH),
        (hooks.headers(off=310), BODY, PATH),
        ([*twice, twice[0]], BODY, PATH),
        ([*twice, twice[1]], BODY, PATH),
        ([*twice, twice[2]], BODY, PATH),
        ([("X-Anthyx-Signature", "md5=" + "a" * 64)], BODY, ANTHYX.match),
        ([*twice[:2], ("webhook-signature", twice[2][1].replace("v1,", "v7,"))], BODY, PATH),
    ]:
        for framing in ("length", "chunked"):
            answer = hooks.post(headers, body, path, framing)
            assert (answer.status, answer.code) == (400, "invalid_signature")
            assert answer.json["error"]["details"] == {}
    for path in (PATH + "/", "//hooks/billing", "/hooks/./billing", "/hooks%2Fbilling", "/HOOKS/billing"):
        assert hooks.post([], BODY, path).status >= 400
    assert hooks.ran() == []


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_body_that_is_too_long_is_413(hooks: Hooks, framing: str) -> None:
    body = b"x" * 262_145
    assert hooks.post(hooks.headers(body=body), body, PATH, framing).code == "payload_too_large"
    assert hooks.ran() == []


def test_a_client_that_asks_first_is_told_to_go_on_or_refused(hooks: Hooks) -> None:
    expects = [("Expect", "100-continue"), ("Content-Length", str(len(BODY)))]
    with hooks.wire() as wire:
        wire.send(hooks.head([*hooks.headers(), *expects]))
        wire.send(BODY)
        assert wire.final("POST").status == 200
    with hooks.wire() as wire:
        wire.send(hooks.head(expects))
        assert wire.final("POST").code == "invalid_signature"
    assert len(hooks.ran()) == 1


def test_a_client_that_leaves_in_the_middle_runs_nothing(hooks: Hooks) -> None:
    for headers in (hooks.headers(), hooks.headers(ANTHYX)):
        path = PATH if len(headers) == 3 else ANTHYX.match
        with hooks.wire() as wire:
            wire.send(hooks.head([*headers, ("Content-Length", str(len(BODY)))], path) + BODY[:-1])
    assert hooks.post(hooks.headers()).status == 200  # a server with one thread has done with the others by now
    assert len(hooks.ran()) == 1


def test_a_message_that_comes_again_runs_no_process_twice(hooks: Hooks) -> None:
    headers = hooks.headers(Receiver("/hooks/once", secrets=[WHSEC]))
    answers = [hooks.post(headers, BODY, "/hooks/once") for _ in range(12)]
    assert [each.status for each in answers] == [200] * 12
    assert [each.body for each in answers[1:]] == [b""] * 11
    assert len(hooks.ran()) == 1


WRAP_ASGI = """
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

async def answer(request):
    return PlainTextResponse(str(len(await request.body())))

class Holder:
    app = Starlette(routes=[Route("/hooks/billing", answer, methods=["POST"])])
"""
WRAP_WSGI = """
from flask import Flask, request

class Holder:
    app = Flask(__name__)

@Holder.app.post("/hooks/billing")
def answer():
    return str(len(request.get_data()))
"""
FILE = """
store = "sqlite:///keys.db"
app = "service.main:Holder.app"
public = ["/hooks/billing"]
[webhooks]
ids = "sqlite:///ids.db"
[[webhooks.receive]]
match = "POST /hooks/billing"
secrets = ["${BILLING_SECRET}"]
"""


def written(folder: Path, code: str, text: str = FILE) -> Path:
    (folder / "service").mkdir()
    (folder / "service" / "__init__.py").touch()
    (folder / "service" / "main.py").write_text(code)
    (folder / "keystile.toml").write_text(text)
    return folder


@pytest.mark.parametrize("name", WRAPPED)
def test_a_file_is_enough_for_a_service_that_knows_nothing_of_it(name: str, tmp_path: Path) -> None:
    command = WRAPPED[name][1]
    folder = written(tmp_path, WRAP_ASGI if name == "uvicorn" else WRAP_WSGI)
    with wrapping(folder, command, BILLING_SECRET=WHSEC) as client:
        headers = dict(sign(Scheme.standard(), [Secret(WHSEC)], BODY, now=int(time.time()), id="msg_1"))
        assert client.post(PATH, content=BODY, headers=headers).text == str(len(BODY))
        again = client.post(PATH, content=BODY, headers=headers)
        assert (again.status_code, again.text) == (200, "")
        refused = client.post(PATH, content=BODY + b" ", headers=headers)
        assert refused.json()["error"]["code"] == "invalid_signature"
        assert client.post("/other", content=BODY).status_code == 401
    assert (folder / "ids.db").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (FILE, "POST /hooks/billing"),
        (FILE.replace("${BILLING_SECRET}", "whsec_hunter2hunter2"), "webhooks.receive[0].secrets: "),
        (FILE.replace("POST /hooks", "POST /*"), "webhooks.receive[0].match: "),
        (FILE.replace('ids = "sqlite:///ids.db"', 'ids = "redis://:hunter2@h"'), "webhooks.ids: no store of ids"),
        (FILE.replace("sqlite:///ids.db", "sqlite://ids.db"), "webhooks.ids: expected 'sqlite:///file.db'"),
        (FILE.partition("[[webhooks")[0], "webhooks.ids: keeps ids, but no receiver"),
        (FILE.replace('ids = "sqlite:///ids.db"', "keep_ids = 5"), "POST /hooks/billing"),
        (FILE.replace("ids.db", "no/such/folder.db"), "webhooks.ids: cannot be used"),
    ],
)
def test_check_says_whether_messages_can_arrive(
    text: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from click.testing import CliRunner

    (written(tmp_path, WRAP_WSGI, text) / "keystile.toml").chmod(0o600)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BILLING_SECRET", WHSEC)
    monkeypatch.delenv("KEYSTILE_CONFIG", raising=False)
    result = CliRunner().invoke(main, ["check"])
    assert said in result.output
    assert "hunter2" not in result.output
    assert (result.exit_code == 0) is (said == "POST /hooks/billing")


def test_secrets_in_a_file_that_others_can_read_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from keystile.config.file import load

    file = tmp_path / "keystile.toml"
    for text, told in [(FILE.replace("${BILLING_SECRET}", WHSEC), 1), (FILE, 0)]:
        caplog.clear()
        file.write_text(text)
        file.chmod(0o644)
        shown = repr(load(file, {"BILLING_SECRET": WHSEC}))
        assert WHSEC not in shown
        assert len(caplog.records) == told
