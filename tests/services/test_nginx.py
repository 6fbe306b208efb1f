"""keystile behind a real nginx, set up as docs/guides/hardening.md says: its defaults, and two headers of its own."""

from __future__ import annotations

import http.client
import json
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from keystile import Gate
from tests.ports import free_port
from tests.selection import program
from tests.servers import COMMANDS, MATRIX, serving, wait_for_port

pytestmark = pytest.mark.services("nginx")

# `underscores_in_headers off` is its default and stands here because the gate counts on it.
CONFIGURATION = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx-error.log;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    underscores_in_headers off;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://127.0.0.1:{behind};
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
        }}
    }}
}}
"""
# Each leaves the reading of X-Forwarded-For to the gate: two have to be told.
SERVERS = {
    "uvicorn-httptools": ["--no-proxy-headers"],
    "hypercorn": [],
    "granian-asgi": [],
    "gunicorn-sync": [],
    "waitress": ["--no-clear-untrusted-proxy-headers"],
    "granian-wsgi": [],
    "cheroot": [],
}
MODULE = """
import json, os
from keystile import Gate, asgi, wsgi

gate = Gate(os.environ["KEYSTILE_STORE"], prefix="acme", trusted_hops=1, public=["/public"])


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return
    names = [name.decode() for name, _ in scope["headers"]]
    body = json.dumps({"headers": names}).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": body})


def plain(environ, start_response):
    names = [name[5:].lower().replace("_", "-") for name in environ if name.startswith("HTTP_")]
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({"headers": names}).encode()]


asgi_app, wsgi_app = asgi.GateMiddleware(app, gate), wsgi.GateMiddleware(plain, gate)
"""


class Site(NamedTuple):
    """nginx in front of a server with the gate."""

    port: int
    gate: Gate

    def get(self, *headers: tuple[str, str], path: str = "/a") -> tuple[int, dict[str, Any]]:
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)) as connection:
            connection.putrequest("GET", path)
            for name, value in headers:
                connection.putheader(name, value)
            connection.endheaders()
            response = connection.getresponse()
            return response.status, json.loads(response.read())


@pytest.fixture(params=SERVERS)
def site(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    command = MATRIX[request.param].command
    monkeypatch.setitem(COMMANDS, request.param, [*command[1:-1], *SERVERS[request.param], command[-1]])
    store = f"sqlite:///{tmp_path}/keys.db"
    (tmp_path / "site_app.py").write_text(MODULE)
    with serving(request.param, "site_app", tmp_path, KEYSTILE_STORE=store, PYTHONPATH=str(tmp_path)) as server:
        port = free_port()
        configuration = tmp_path / "nginx.conf"
        configuration.write_text(CONFIGURATION.format(folder=tmp_path, port=port, behind=server.port))
        binary = program("nginx")
        assert binary, "nginx is not installed: run .ci/install"
        log = tmp_path / "nginx-error.log"
        nginx = subprocess.Popen([binary, "-e", str(log), "-c", str(configuration)])
        try:
            wait_for_port(port, nginx, log)
            with closing(Gate(store, prefix="acme")) as gate:
                yield Site(port, gate)
        finally:
            nginx.terminate()
            nginx.wait(15)


def test_a_key_works_and_one_with_underscores_is_no_key(site: Site) -> None:
    secret, other = (site.gate.keys.create(name).secret for name in ("one", "other"))
    assert site.get(("X-API-Key", secret))[0] == 200
    assert site.get()[0] == 401
    status, body = site.get(("X_API_Key", secret))
    assert (status, body["error"]["code"]) == (401, "missing_api_key")
    # The proxy drops the twin, so that no server can fold it into the name that counts.
    status, body = site.get(("X-API-Key", secret), ("X_API_Key", other))
    assert status == 200
    assert body["headers"].count("x-api-key") == 1


def test_the_client_is_the_one_that_nginx_saw_whatever_the_client_says(site: Site) -> None:
    near = site.gate.keys.create("near", ip_allowlist=["127.0.0.1"]).secret
    far = site.gate.keys.create("far", ip_allowlist=["192.0.2.7"]).secret
    assert site.get(("X-API-Key", near))[0] == 200
    for forged in (("X-Forwarded-For", "192.0.2.7"), ("X_Forwarded_For", "192.0.2.7"), ("X-Real-IP", "192.0.2.7")):
        status, body = site.get(("X-API-Key", far), forged)
        assert (status, body["error"]["code"]) == (403, "ip_not_allowed"), forged


def test_nothing_but_the_canonical_path_is_public(site: Site) -> None:
    assert site.get(path="/public")[0] == 200
    assert site.get(path="/public/")[0] == 401
    assert site.get(path="/public;a")[0] == 401
