"""200 requests at once against a limit of 50, on real servers with one and with four processes: exactly 50 pass."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from keystile import Gate, HmacHasher, Plan
from tests.selection import some
from tests.servers import COMMANDS, Server, ask, serving

HOSTS = """
import os
from flask import Flask
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route
from keystile import Gate, HmacHasher, Plan, asgi, wsgi
from keystile.limiters.redis import RedisLimiter

def gate():
    limiter = os.environ["LIMITER"]
    if limiter.startswith("redis"):  # a busy test machine is no reason to count elsewhere
        limiter = RedisLimiter(limiter, socket_timeout=10, socket_connect_timeout=10)
    return Gate("sqlite:///keys.db", limiter=limiter, prefix="acme", hasher=HmacHasher(b"p" * 16),
                plans={"free": Plan("50/hour; 5000/month")}, default_plan="free")

async def ok(request):
    return JSONResponse({"ok": True})

asgi_app = asgi.GateMiddleware(Starlette(routes=[Route("/v1", ok)]), gate())
wsgi_app = Flask(__name__)
wsgi_app.wsgi_app = wsgi.GateMiddleware(wsgi_app.wsgi_app, gate())

@wsgi_app.get("/v1")
def flask_ok():
    return {"ok": True}
"""

COMMANDS |= {
    "gunicorn-4": ["gunicorn", "-w", "4", "--threads", "4", "-b", "127.0.0.1:{port}", "{module}:wsgi_app"],
    "uvicorn-4": ["uvicorn", "--workers", "4", "--port", "{port}", "{module}:asgi_app"],
    "gunicorn-1": ["gunicorn", "-w", "1", "--threads", "16", "-b", "127.0.0.1:{port}", "{module}:wsgi_app"],
}


def outcomes(server: Server, secret: str, requests: int = 200, clients: int = 20) -> Counter[int]:
    def one_client(count: int) -> list[int]:
        found = []
        for _ in range(count):
            with server.connection() as connection:  # a connection each, so that every process gets its share
                found.append(ask(connection, "/v1", {"x-api-key": secret}).status)
        return found

    with ThreadPoolExecutor(clients) as threads:
        counts = [requests // clients] * clients
        return Counter(status for statuses in threads.map(one_client, counts) for status in statuses)


@pytest.mark.parametrize(
    ("kind", "limiter"),
    some(
        [
            ("uvicorn-httptools", "memory://"),
            ("gunicorn-1", "memory://"),
            ("uvicorn-4", "sqlite:///windows.db"),
            ("gunicorn-4", "sqlite:///windows.db"),
            ("gunicorn-4", "sqlite:///keys.db"),
            ("uvicorn-4", "redis"),
            ("gunicorn-4", "redis"),
        ],
        ("gunicorn-4", "sqlite:///windows.db"),
        ("uvicorn-4", "redis"),
    ),
)
def test_exactly_as_many_as_the_limit_pass(kind: str, limiter: str, tmp_path: Path, redis_url: str) -> None:
    (tmp_path / "hosts.py").write_text(HOSTS)
    gate = Gate(f"sqlite:///{tmp_path}/keys.db", prefix="acme", hasher=HmacHasher(b"p" * 16))
    secret = gate.keys.create("key").secret
    with serving(kind, "hosts", tmp_path, LIMITER=redis_url if limiter == "redis" else limiter) as server:
        assert outcomes(server, secret) == {200: 50, 429: 150}
    gate.close()


def test_two_servers_on_one_file_share_their_windows(tmp_path: Path) -> None:
    """A limit that both doors count against in one file."""
    (tmp_path / "hosts.py").write_text(HOSTS)
    gate = Gate(f"sqlite:///{tmp_path}/keys.db", prefix="acme", hasher=HmacHasher(b"p" * 16), plans={"p": Plan(None)})
    secret = gate.keys.create("key", limits="10/hour").secret
    environ = {"LIMITER": "sqlite:///keys.db"}
    with (
        serving("gunicorn-sync", "hosts", tmp_path, **environ) as flask,
        serving("uvicorn-h11", "hosts", tmp_path, **environ) as starlette,
    ):
        left = [
            server.get("/v1", {"x-api-key": secret}).header("x-ratelimit-remaining")
            for server in (flask, starlette, flask, starlette)
        ]
    assert left == ["9", "8", "7", "6"]
    gate.close()
