"""A Django site behind real servers: the gate among its middleware, over WSGI and over ASGI."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from keystile import Gate
from tests.servers import Server, serving
from tests.test_django import HASHER

SITE = """
import asyncio
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import JsonResponse, StreamingHttpResponse
from django.urls import path

settings.configure(
    ROOT_URLCONF=__name__, SECRET_KEY="x", ALLOWED_HOSTS=["*"], LOGGING_CONFIG=None, DEBUG=False,
    MIDDLEWARE=["keystile.integrations.django.KeystileMiddleware", "django.middleware.common.CommonMiddleware"],
    KEYSTILE={"config": "keystile.toml", "only": ["/api/*"]},
)
ended = []

def me(request):
    return JsonResponse({"name": request.keystile.caller.name, "got": len(request.body)})

async def pieces(request):
    async def given():
        try:
            for number in range(3):
                await asyncio.sleep(0.01)
                yield b"%d\\n" % number
        finally:
            ended.append(number)
    def given_now():
        yield from (b"%d\\n" % number for number in range(3))
    return StreamingHttpResponse(given() if hasattr(request, "scope") else given_now())

async def endless(request):
    async def given():
        try:
            while True:
                request.keystile.charge(tokens=1)
                yield b"x" * 10_000
                await asyncio.sleep(0.001)
        finally:
            ended.append("endless")
    return StreamingHttpResponse(given())

def site(request):
    return JsonResponse({"gated": hasattr(request, "keystile"), "ended": ended})

urlpatterns = [path("api/me", me), path("api/pieces", pieces), path("api/endless", endless), path("site", site)]
wsgi_app, asgi_app = get_wsgi_application(), get_asgi_application()
"""
FILE = """
store = "sqlite:///keys.db"
prefix = "acme"
envelope = true
default_plan = "free"

[plans.free]
limits = "1000/hour"
units = { tokens = "1000000/hour" }

[[rules]]
match = "/api/endless"
reserve = { tokens = 500000 }

[[rules]]
match = "/api/pieces"
envelope = false
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    (folder / "mysite.py").write_text(SITE)
    (folder / "keystile.toml").write_text(FILE)
    return folder


@pytest.fixture(scope="module")
def key(folder: Path) -> str:
    gate = Gate(f"sqlite:///{folder}/keys.db", prefix="acme", hasher=HASHER, default_plan=None)
    secret = gate.keys.create("Anna").secret
    gate.close()
    return secret


@pytest.fixture(scope="module")
def over_asgi(folder: Path, key: str) -> Iterator[Server]:
    with serving("uvicorn-httptools", "mysite", folder) as running:
        yield running


@pytest.fixture(scope="module")
def over_wsgi(folder: Path, key: str) -> Iterator[Server]:
    with serving("waitress", "mysite", folder) as running:
        yield running


@pytest.mark.parametrize("server", ["over_asgi", "over_wsgi"])
def test_a_site_is_guarded_where_it_says(server: str, key: str, request: pytest.FixtureRequest) -> None:
    running: Server = request.getfixturevalue(server)
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/octet-stream"}
    missing = running.get("/api/me")
    assert (missing.status, missing.code) == (401, "missing_api_key")
    assert running.get("/api/nope").status == 401
    admitted = running.get("/api/me", headers, "POST", b"x" * 1_000_000)
    assert (admitted.status, admitted.json["data"]) == (200, {"name": "Anna", "got": 1_000_000})
    assert admitted.header("x-ratelimit-remaining") is not None
    assert running.get("/api/nope", headers).code == "not_found"
    assert running.get("/api/pieces", headers).body == b"0\n1\n2\n"
    assert running.get("/api/me", headers, "HEAD").body == b""
    outside = running.get("/site", headers)
    assert (outside.status, outside.json["gated"], outside.header("x-request-id")) == (200, False, None)


def test_a_stream_whose_client_leaves_is_ended_and_settled(over_asgi: Server, key: str) -> None:
    headers = {"Authorization": f"Bearer {key}"}
    with over_asgi.connection() as connection:
        connection.request("GET", "/api/endless", headers=headers)
        answer = connection.getresponse()
        assert len(answer.read(100_000)) == 100_000
    deadline = time.monotonic() + 30
    while "endless" not in over_asgi.get("/site").json["ended"] and time.monotonic() < deadline:
        time.sleep(0.02)
    assert "endless" in over_asgi.get("/site").json["ended"]
    with over_asgi.connection() as connection:
        connection.request("GET", "/api/endless", headers=headers)
        left = int(connection.getresponse().headers["X-RateLimit-Remaining-Tokens"])
    assert 400_000 < left < 500_000, "of the first half a million nearly all came back"
