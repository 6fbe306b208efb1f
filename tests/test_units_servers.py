"""Charges on real servers: a stream whose end charges, a client that hangs up in the middle. Each is settled once."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from keystile import Gate, HmacHasher
from keystile.limiters.redis import RedisLimiter
from keystile.limiters.sqlite import SQLiteLimiter
from keystile.model import Window
from tests.selection import some
from tests.servers import Server, serving
from tests.stage import until

HOSTS = """
import os, time
import anyio
from flask import Flask, Response
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route
from keystile import Gate, HmacHasher, Plan, Rule, asgi, current, wsgi
from keystile.limiters.redis import RedisLimiter

def gate():
    limiter = os.environ["LIMITER"]
    if limiter.startswith("redis"):  # a busy test machine is no reason to count elsewhere
        limiter = RedisLimiter(limiter, socket_timeout=10, socket_connect_timeout=10)
    return Gate("sqlite:///keys.db", limiter=limiter, prefix="acme", hasher=HmacHasher(b"p" * 16),
                plans={"free": Plan("1000/hour", units={"tokens": "100/hour"})}, default_plan="free",
                rules=[Rule("/v1/*", reserve={"tokens": 40})])

async def words(request):
    async def stream():
        for _ in range(5):
            yield "word "
            await anyio.sleep(0.01)
        request.scope["keystile"].charge(tokens=5)
    return StreamingResponse(stream())

async def endless(request):
    async def stream():
        request.scope["keystile"].charge(tokens=7)
        while True:
            yield "word " * 1000
            await anyio.sleep(0.01)
    return StreamingResponse(stream())

async def later(request):
    here = current()
    return PlainTextResponse("ok", background=BackgroundTask(lambda: here.charge(tokens=3)))

routes = [Route("/v1/words", words), Route("/v1/endless", endless), Route("/v1/later", later)]
asgi_app = asgi.GateMiddleware(Starlette(routes=routes), gate())

flask = Flask(__name__)
def wsgi_app(environ, start_response):
    return guarded(environ, start_response)
guarded = wsgi.GateMiddleware(flask.wsgi_app, gate())

@flask.get("/v1/words")
def flask_words():
    here = current()
    def stream():
        for _ in range(5):
            yield "word "
            time.sleep(0.01)
        here.charge(tokens=5)
    return Response(stream())

@flask.get("/v1/endless")
def flask_endless():
    here = current()
    def stream():
        here.charge(tokens=7)
        while True:
            yield "word " * 1000
            time.sleep(0.01)
    return Response(stream())

@flask.get("/v1/later")
def flask_later():
    response, here = Response("ok"), current()
    response.call_on_close(lambda: here.charge(tokens=3))
    return response
"""
TOKENS = (Window(100, 3600, "", "tokens"),)
KINDS = [
    ("uvicorn-h11", "sqlite"),
    ("uvicorn-h11", "redis"),
    ("uvicorn-httptools", "redis"),
    ("hypercorn", "sqlite"),
    ("hypercorn", "redis"),
    ("granian-asgi", "redis"),
    ("gunicorn-sync", "sqlite"),
    ("gunicorn-gthread", "redis"),
    ("waitress", "sqlite"),
    ("gunicorn-gevent", "sqlite"),
]


class Caller:
    """One key at a server, and what is left of its tokens."""

    def __init__(self, server: Server, secret: str, subject: str, limiter: Any) -> None:
        self.server, self._headers = server, {"x-api-key": secret}
        self._subject, self._limiter = subject, limiter
        self._secret = secret

    def get(self, path: str) -> bytes:
        answer = self.server.get(path, self._headers)
        assert (answer.status, answer.header("x-ratelimit-limit-tokens")) == (200, "100")
        return answer.body

    def hang_up_in(self, path: str) -> None:
        """Ask, wait for the first octets of the body, and go."""
        with socket.create_connection(("127.0.0.1", self.server.port), 30) as line:
            line.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nX-API-Key: {self._secret}\r\n\r\n".encode())
            seen = b""
            while b"word" not in seen:
                seen += line.recv(65_536)

    @property
    def left(self) -> int:
        (usage,) = self._limiter.peek(self._subject, TOKENS)
        return int(usage.remaining)


@pytest.fixture(
    params=some(KINDS, ("uvicorn-httptools", "redis"), ("gunicorn-sync", "sqlite"), ("waitress", "sqlite")),
    ids="-".join,
)
def caller(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Caller]:
    kind, where = request.param
    (tmp_path / "hosts.py").write_text(HOSTS)
    url = f"sqlite:///{tmp_path}/windows.db" if where == "sqlite" else request.getfixturevalue("redis_url")
    limiter: Any = SQLiteLimiter(tmp_path / "windows.db") if where == "sqlite" else RedisLimiter(url)
    gate = Gate(f"sqlite:///{tmp_path}/keys.db", prefix="acme", hasher=HmacHasher(b"p" * 16))
    issued = gate.keys.create("key")
    subject = gate.quotas.subject(issued.key)
    gate.close()
    with serving(kind, "hosts", tmp_path, LIMITER=url) as server:
        yield Caller(server, issued.secret, subject, limiter)
    limiter.close()


def test_the_end_of_a_stream_charges(caller: Caller) -> None:
    assert caller.get("/v1/words") == b"word " * 5
    until(lambda: caller.left == 95)
    caller.get("/v1/later")
    until(lambda: caller.left == 92)


def test_a_client_that_hangs_up_is_settled_once(caller: Caller) -> None:
    for left in (93, 86, 79):
        caller.hang_up_in("/v1/endless")
        until(lambda left=left: caller.left == left)  # type: ignore[misc]
    assert caller.get("/v1/words") == b"word " * 5
    until(lambda: caller.left == 74)
