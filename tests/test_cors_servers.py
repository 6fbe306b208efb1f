"""CORS by the gate on real servers and real sockets: a preflight, and what a browser would send after it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from keystile import Gate, HmacHasher
from keystile.stores.sqlite import SQLiteStore
from tests.doors import Answer
from tests.selection import some
from tests.servers import Server, ask, serving

MODULE = """
import json
from keystile import Gate, HmacHasher, Rule, asgi, wsgi

PAGE = "https://app.example"
gate = Gate("sqlite:///keys.db", limiter="sqlite:///windows.db", prefix="acme", hasher=HmacHasher(b"p" * 16),
            cors_origins=[PAGE], envelope=True,
            rules=[Rule("PUT /v1/once", limits="1/day"), Rule("/v1/far", deny=["127.0.0.0/8", "::1"])])


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return
    body = json.dumps({"method": scope["method"]}).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": body})


def plain(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({"method": environ["REQUEST_METHOD"]}).encode()]


asgi_app, wsgi_app = asgi.GateMiddleware(app, gate), wsgi.GateMiddleware(plain, gate)
"""
SERVERS = [
    "uvicorn-h11", "uvicorn-httptools", "hypercorn", "granian-asgi", "gunicorn-sync", "gunicorn-gthread", "waitress",
    "granian-wsgi", "cheroot",
]  # fmt: skip
PAGE = {"Origin": "https://app.example"}
ASKING = PAGE | {
    "Access-Control-Request-Method": "PUT",
    "Access-Control-Request-Headers": "content-type,x-api-key",
    "Access-Control-Request-Private-Network": "true",
}


@pytest.fixture(scope="module", params=some(SERVERS, "uvicorn-httptools", "hypercorn", "gunicorn-gthread"))
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, str]]:
    folder: Path = tmp_path_factory.mktemp(request.param)
    (folder / "cors_app.py").write_text(MODULE)
    gate = Gate(SQLiteStore(folder / "keys.db"), prefix="acme", hasher=HmacHasher(b"p" * 16))
    secret = gate.keys.create("page").secret
    gate.close()
    with serving(request.param, "cors_app", folder, PYTHONPATH=str(folder)) as server:
        yield server, secret


def readable(answer: Answer) -> bool:
    assert "origin" in (answer.header("vary") or "").lower()
    if answer.header("access-control-allow-origin") is None:
        return False
    assert answer.header("access-control-allow-origin") == PAGE["Origin"]
    assert "X-RateLimit-Remaining" in (answer.header("access-control-expose-headers") or "")
    return True


def test_a_preflight_and_what_follows_it_on_one_connection(served: tuple[Server, str]) -> None:
    server, secret = served
    key = PAGE | {"X-API-Key": secret}
    with server.connection() as connection:
        for _ in range(2):
            answer = ask(connection, "/v1/things", ASKING, "OPTIONS")
            assert (answer.status, answer.body, readable(answer)) == (204, b"", True)
            assert answer.header("access-control-allow-methods") == "PUT"
            assert answer.header("access-control-allow-headers") == "content-type, x-api-key"
            assert answer.header("access-control-max-age") == "600"
            assert answer.header("access-control-allow-private-network") is None
            assert answer.header("transfer-encoding") is None
            answer = ask(connection, "/v1/things", key, "PUT")
            assert (answer.status, answer.json["data"], readable(answer)) == (200, {"method": "PUT"}, True)


def test_every_answer_of_the_gate_is_readable_for_the_page_and_for_no_other(served: tuple[Server, str]) -> None:
    server, secret = served
    key = {"X-API-Key": secret}
    with server.connection() as connection:
        codes = [ask(connection, "/v1/once", PAGE | key, "PUT").code for _ in range(2)]
        assert "rate_limited" in codes
        for path, headers, method, code in (
            ("/v1/once", key, "PUT", "rate_limited"),
            ("/v1/far", key, "GET", "ip_not_allowed"),
            ("/v1/things", {}, "GET", "missing_api_key"),
        ):
            answer = ask(connection, path, PAGE | headers, method)
            assert (answer.code, readable(answer)) == (code, True)
            assert not readable(ask(connection, path, {"Origin": "https://evil.example"} | headers, method))
        other = ask(connection, "/v1/things", ASKING | {"Origin": "null"}, "OPTIONS")
        assert (other.status, readable(other)) == (401, False)
