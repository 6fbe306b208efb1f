"""The gate on real servers and real sockets, with the hosts that people use: FastAPI and Flask."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import websockets
import websockets.exceptions

from keystile import Gate, HmacHasher
from keystile.stores.sqlite import SQLiteStore
from tests.selection import some
from tests.servers import COMMANDS, Server, ask, serving

HOSTS = """
import os
from fastapi import FastAPI, WebSocket
from fastapi.responses import StreamingResponse
from flask import Flask, Response, request
from keystile import Gate, HmacHasher, Rule, asgi, current, wsgi

def gate():
    return Gate(store="sqlite:///keys.db", prefix="acme", hasher=HmacHasher(b"p" * 16), public=["/open"],
                rules=[Rule("POST /v1/exports", scopes=["exports:write"])])

api = FastAPI(docs_url=None, redoc_url=None)
api.add_middleware(asgi.GateMiddleware, gate=gate())

@api.get("/v1/sync")
def sync():
    return {"name": current().principal.name}

@api.get("/v1/async")
async def asynchronous():
    return {"name": current().principal.name}

@api.post("/v1/exports")
async def exports():
    return {"done": True}

@api.get("/open")
def open_():
    return {"principal": current().principal}

@api.get("/v1/stream")
def stream():
    return StreamingResponse((b"%d\\n" % n for n in range(1000)), media_type="text/plain")

@api.websocket("/v1/ws")
async def ws(socket: WebSocket):
    await socket.accept()
    await socket.send_text(current().principal.name)
    await socket.close()

asgi_app = api
flask = Flask(__name__)
flask.wsgi_app = wsgi.GateMiddleware(flask.wsgi_app, gate=gate())
wsgi_app = flask

@flask.get("/v1/sync")
@flask.get("/v1/async")
def me():
    return {"name": current().principal.name}

@flask.post("/v1/exports")
def flask_exports():
    return {"done": True}

@flask.get("/open")
def flask_open():
    return {"principal": current().principal}

@flask.get("/v1/stream")
def flask_stream():
    return Response((b"%d\\n" % n for n in range(1000)), mimetype="text/plain")
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hosts")
    (folder / "hosts.py").write_text(HOSTS)
    return folder


@pytest.fixture(scope="module")
def gate(folder: Path) -> Iterator[Gate]:
    """The same keys as the servers', in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        gate = Gate(SQLiteStore("keys.db"), prefix="acme", hasher=HmacHasher(b"p" * 16))
    yield gate
    gate.close()


@pytest.fixture(scope="module", params=some(COMMANDS, "uvicorn-httptools", "gunicorn-gthread", "gunicorn-preload"))
def server(request: pytest.FixtureRequest, folder: Path, gate: Gate) -> Iterator[Server]:
    with serving(request.param, "hosts", folder) as server:
        server.is_asgi = "uvicorn" in request.param  # type: ignore[attr-defined]
        yield server


def test_a_key_opens_the_app_in_every_form(server: Server, gate: Gate) -> None:
    secret = gate.keys.create("CI/CD").secret
    for headers in (
        {"authorization": f"bearer {secret}"},
        {"AUTHORIZATION": f"Api-Key {secret}"},
        {"api-key": secret},
        {"X-API-KEY": secret},
    ):
        for path in ("/v1/sync", "/v1/async"):
            answer = server.get(path, headers)
            assert (answer.status, answer.json) == (200, {"name": "CI/CD"})
            assert (answer.header("x-request-id") or "").startswith("req_")


def test_refusals_over_the_wire(server: Server, gate: Gate) -> None:
    secret = gate.keys.create("plain").secret
    other = gate.keys.create("other", ip_allowlist=["192.0.2.1"]).secret
    assert server.get("/v1/sync").code == "missing_api_key"
    assert server.get("/v1/sync", {"x-api-key": secret[:-1]}).code == "invalid_api_key"
    assert server.get("/v1/sync", {"x-api-key": "\xe9\xff"}).code == "invalid_api_key"
    assert server.get("/v1/sync", {"x-api-key": "k" * 30_000}).status in (401, 400, 431)
    assert server.get("/v1/sync", {"x-api-key": secret, "api-key": other}).code == "invalid_request"
    assert server.get("/v1/sync", {"x-api-key": other}).code == "ip_not_allowed"
    assert server.get("/v1/exports", {"x-api-key": secret}, "POST").code == "insufficient_scope"
    assert server.get("/nowhere").code == "missing_api_key"
    assert server.get("/nowhere", {"x-api-key": secret}).status == 404


def test_repeated_lines_are_refused_however_the_server_joins_them(server: Server, gate: Gate) -> None:
    secret = gate.keys.create("plain").secret
    line = f"X-API-Key: {secret}\r\n"
    request = f"GET /v1/sync HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{line}{line}\r\n"
    with socket.create_connection(("127.0.0.1", server.port), 10) as wire:
        wire.sendall(request.encode())
        answer = b"".join(iter(lambda: wire.recv(65_536), b""))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"invalid_request" in answer


def test_public_paths_and_their_look_alikes(server: Server, gate: Gate) -> None:
    assert server.get("/open").json == {"principal": None}
    for path in ("/open/", "/open/../v1/sync", "//open", "/open;x", "/%6fpen/.", "/OPEN", "/open%2f", "/open%00"):
        assert server.get(path).status in (400, 401), path
    assert server.get("/%6fpen").status == 200


def test_one_connection_serves_refused_and_admitted_requests(server: Server, gate: Gate) -> None:
    secret = gate.keys.create("plain", scopes=["exports:write"]).secret
    with server.connection() as connection:
        for _ in range(5):
            assert ask(connection, "/v1/exports", {}, "POST", b"x" * 1000).status == 401
            assert ask(connection, "/v1/sync", {"x-api-key": secret}).status == 200
            head = ask(connection, "/v1/sync", {}, "HEAD")
            assert (head.status, head.body) == (401, b"")
            assert ask(connection, "/v1/exports", {"x-api-key": secret}, "POST").json == {"done": True}


def test_a_stream_arrives_whole(server: Server, gate: Gate) -> None:
    answer = server.get("/v1/stream", {"x-api-key": gate.keys.create("plain").secret})
    assert answer.body == b"".join(b"%d\n" % number for number in range(1000))


def test_a_key_revoked_in_this_process_is_refused_in_the_other_on_the_next_request(server: Server, gate: Gate) -> None:
    with server.connection() as connection:
        for _ in range(50):
            issued = gate.keys.create("short-lived")
            headers = {"x-api-key": issued.secret}
            assert ask(connection, "/v1/sync", headers).status == 200
            gate.keys.revoke(issued.key.id)
            assert ask(connection, "/v1/sync", headers).code == "revoked_api_key"


@pytest.mark.parametrize("kind", ["uvicorn-h11", "uvicorn-httptools"])
def test_websockets_over_the_wire(kind: str, folder: Path, gate: Gate) -> None:
    secret = gate.keys.create("chatter").secret

    async def talk(port: int) -> str:
        url = f"ws://127.0.0.1:{port}/v1/ws"
        with pytest.raises(websockets.exceptions.InvalidStatus) as refused:
            await websockets.connect(url)
        assert refused.value.response.status_code == 401
        assert refused.value.response.headers["WWW-Authenticate"] == 'Bearer realm="api"'
        assert b"missing_api_key" in (refused.value.response.body or b"")
        async with websockets.connect(url, additional_headers={"Authorization": f"Bearer {secret}"}) as socket:
            assert socket.response is not None
            assert socket.response.headers["X-Request-ID"].startswith("req_")
            return str(await socket.recv())

    with serving(kind, "hosts", folder) as server:
        assert asyncio.run(talk(server.port)) == "chatter"
