"""A service on two real servers: as it is, and behind the gate that a `keystile.toml` puts in front of it.

Both serve the same folder, so that the same request can be sent to both and the answers compared.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from keystile import Gate
from keystile.config.file import load, open_gate
from tests.ports import free_port
from tests.servers import stop, wait_for_port

CONFIGURATION = """
store = "sqlite:///keystile.db"
limiter = "sqlite:///keystile.db"
prefix = "acme"
default_plan = "free"
plans.free.limits = "100000/minute"
plans.few.limits = "2/minute"
"""
_SERVERS = {
    "uvicorn": ["-m", "uvicorn", "--no-proxy-headers", "--port", "{port}"],
    # Services of this kind may stream for long, and wait for a second request while they do.
    "gunicorn": ["-m", "gunicorn", "--threads", "4", "--forwarded-allow-ips", "", "-b", "127.0.0.1:{port}"],
}
_WRAPPED = {"uvicorn": "keystile.wrap:asgi", "gunicorn": "keystile.wrap:wsgi"}


class Service(NamedTuple):
    """Somebody else's service.

    Attributes:
        server: ``"uvicorn"`` or ``"gunicorn"``.
        app: how the server, and `keystile.toml`, name the app.
        settings: what else `keystile.toml` says.
        environ: the service's own.
    """

    server: str
    app: str
    settings: str = ""
    environ: dict[str, str] = {}  # noqa: RUF012 - nobody writes to it


class Both(NamedTuple):
    """A running service.

    Attributes:
        plain: a client of the service as it is.
        gated: a client of the service behind the gate, without a key.
        gate: another gate with the same keys.
        folder: where both servers run.
        logs: what the two servers write, in the same order.
    """

    plain: httpx.Client
    gated: httpx.Client
    gate: Gate
    folder: Path
    logs: tuple[Path, Path]

    @property
    def port(self) -> int:
        """Where the gate is."""
        port = self.gated.base_url.port
        assert port is not None
        return port

    def key(self, plan: str = "free", scopes: tuple[str, ...] = ()) -> str:
        """A new key."""
        return self.gate.keys.create("ci", plan=plan, scopes=scopes).secret

    def revoke(self, key: str) -> None:
        """End a key."""
        self.gate.keys.revoke(key.split("_")[2][:12])

    def ask(self, method: str, path: str, key: str | None = None, **sent: Any) -> tuple[httpx.Response, httpx.Response]:
        """The same request to both; the one to the gate has a key."""
        headers = sent.pop("headers", {})
        self.plain.cookies.clear()
        self.gated.cookies.clear()
        plain = self.plain.request(method, path, headers=headers, **sent)
        gated = self.gated.request(method, path, headers=headers | {"X-API-Key": key or self.key()}, **sent)
        return plain, gated

    def same(self, method: str, path: str, key: str | None = None, **sent: Any) -> httpx.Response:
        """The answer of both to the same request, which is the same but for what the gate adds."""
        plain, gated = self.ask(method, path, key, **sent)
        ours, theirs = str(self.gated.base_url.port), str(plain.url.port)
        assert gated.status_code == plain.status_code, gated.text
        assert gated.content.replace(ours.encode(), theirs.encode()) == plain.content
        assert {(name, value.replace(ours, theirs)) for name, value in kept(gated)} == set(kept(plain))
        return gated


# What the servers say of themselves, what the gate adds, and what it adds to (Cache-Control, Vary).
_OWN = ("date", "server", "cache-control", "vary", "x-request-id", "x-ratelimit-")


def kept(answer: httpx.Response) -> list[tuple[str, str]]:
    """The fields of a head that the gate is to leave alone. Of a cookie its name: the rest tells when it was made."""
    fields = [(name, value) for name, value in answer.headers.multi_items() if not name.startswith(_OWN)]
    return [(name, value.partition("=")[0] if name == "set-cookie" else value) for name, value in fields]


@contextmanager
def running(service: Service, folder: Path) -> Iterator[Both]:
    """Serve a service from this folder, with and without a gate."""
    (folder / "keystile.toml").write_text(f"app = {service.app!r}\n{CONFIGURATION}{service.settings}")
    with ExitStack() as stack:
        ports = [stack.enter_context(_serving(service, app, folder)) for app in (service.app, _WRAPPED[service.server])]
        for started in ports:
            wait_for_port(*started)
        gate = stack.enter_context(closing(open_gate(load(folder / "keystile.toml"))))
        plain, gated = (
            stack.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False))
            for port, _, _ in ports
        )
        yield Both(plain, gated, gate, folder, (ports[0][2], ports[1][2]))


@contextmanager
def _serving(service: Service, app: str, folder: Path) -> Iterator[tuple[int, subprocess.Popen[bytes], Path]]:
    port = free_port()
    log = folder / f"{port}.log"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("KEYSTILE_", "GUNICORN_"))}
    command = [sys.executable, *(part.format(port=port) for part in _SERVERS[service.server]), app]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdout=output,
            stderr=output,
            env=kept | {"HOME": str(folder)} | service.environ,
            start_new_session=True,
        )
    try:
        yield port, process, log
    finally:
        stop(process)


def is_guarded(both: Both, path: str) -> None:
    """Whoever has a key sees this page as everybody saw it before; nobody else, and not for ever."""
    page = both.plain.get(path)
    assert page.status_code == 200
    wrong = {"X-API-Key": both.key()[:-1] + "-"}
    for headers, code in (({}, "missing_api_key"), (wrong, "invalid_api_key")):
        for asked in (path, "/no/such/page"):
            refused = both.gated.get(asked, headers=headers)
            assert (refused.status_code, refused.json()["error"]["code"]) == (401, code)
            assert refused.headers["www-authenticate"]
    key = both.key()
    assert both.same("GET", path, key).content
    both.same("HEAD", path, key)
    assert both.same("GET", "/no/such/page/at/all", key).status_code >= 300
    few = {"X-API-Key": both.key("few")}
    answers = [both.gated.get(path, headers=few) for _ in range(3)]
    assert [each.status_code for each in answers] == [200, 200, 429]
    assert [each.headers["x-ratelimit-remaining"] for each in answers] == ["1", "0", "0"]
    assert int(answers[-1].headers["retry-after"]) > 0
    both.revoke(key)
    refused = both.gated.get(path, headers={"X-API-Key": key})
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "revoked_api_key")
