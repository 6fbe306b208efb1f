"""Keys in flight, keys in queries and clients behind proxies, on real servers."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from http.client import IncompleteRead
from pathlib import Path
from typing import Any

import pytest

from keystile import Gate
from tests.matrix.rawhttp import Closed, Wire
from tests.selection import some
from tests.servers import COMMANDS, MATRIX, Kind, Server, serving

ROOT = Path(__file__).resolve().parents[1]
# As they are shipped, and told to leave the peer to the gate and to log requests.
UVICORN = ["uvicorn", "--port", "{port}", "{module}:asgi_app"]
KINDS = {
    "uvicorn": UVICORN,
    "uvicorn-all": [*UVICORN, "--forwarded-allow-ips", "*"],
    "uvicorn-plain": [*UVICORN, "--no-proxy-headers"],
    "gunicorn": [*COMMANDS["gunicorn-gthread"], "--access-logfile", "-"],
    # It drops the headers of proxies, unless its settings say whom to trust, or leave that to the app.
    "waitress-plain": [
        "waitress",
        "--no-clear-untrusted-proxy-headers",
        "--listen=127.0.0.1:{port}",
        "{module}:wsgi_app",
    ],
}
# It ends an answer as if it were whole, whatever the app raises.
ENDS_WHOLE = ("granian-wsgi",)
OTHERS = ["hypercorn", "granian-asgi", "granian-wsgi"]


class Service:
    """A server with what lies around it."""

    def __init__(self, kind: str, server: Server, folder: Path) -> None:
        self.kind, self.server, self.folder = kind, server, folder
        self.gate = Gate(f"sqlite:///{folder}/keys.db", prefix="acme")

    @property
    def log(self) -> str:
        [file] = self.folder.glob("*.log")
        return file.read_text(encoding="utf-8")


@contextmanager
def started(kind: str, command: list[str] | None, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """A server as it is known by its name, or started by this command of Python's."""
    if command is not None:
        monkeypatch.delitem(COMMANDS, kind, raising=False)
        monkeypatch.setitem(MATRIX, kind, Kind("", command, ()))
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environ = {"KEYSTILE_STORE": f"sqlite:///{folder}/keys.db", "KEYSTILE_GO": str(folder / "go")}
    with serving(kind, "tests.network_app", folder, PYTHONPATH=path, **environ) as server:
        found = Service(kind, server, folder)
        yield found
        found.gate.close()


@pytest.fixture(scope="module", params=some([*KINDS, *OTHERS], "uvicorn", "gunicorn", "waitress-plain"))
def service(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One server of each kind, for all tests: none leaves anything behind that another one would see."""
    kind, folder = request.param, tmp_path_factory.mktemp(request.param)
    command = ["-m", *KINDS[kind]] if kind in KINDS else None
    with pytest.MonkeyPatch.context() as monkeypatch, started(kind, command, folder, monkeypatch) as found:
        yield found


def test_a_key_deleted_in_flight_gets_a_401_and_nothing_of_the_app(service: Service) -> None:
    issued = service.gate.keys.create("in flight")
    headers = {"Authorization": f"Bearer {issued.secret}"}
    assert service.server.get("/", headers).json == {"secret": "of the app"}
    with ThreadPoolExecutor(2) as threads:
        waiting = threads.submit(service.server.get, "/slow", headers)
        assert service.server.get("/", headers).status == 200
        service.gate.keys.revoke(issued.key.id)
        (service.folder / "go").touch()
        answer = waiting.result(20)
    assert (answer.status, answer.code) == (401, "revoked_api_key")
    assert b"of the app" not in answer.body


def test_a_stream_whose_key_is_deleted_breaks_off(service: Service) -> None:
    issued = service.gate.keys.create("streaming")
    headers = {"Authorization": f"Bearer {issued.secret}"}
    (service.folder / "go").unlink(missing_ok=True)
    with service.server.connection() as connection:
        connection.request("GET", "/stream", headers=headers)
        answer = connection.getresponse()
        assert (answer.status, answer.read(3)) == (200, b"[1,")
        service.gate.keys.revoke(issued.key.id)
        (service.folder / "go").touch()
        with nullcontext() if service.kind in ENDS_WHOLE else pytest.raises((IncompleteRead, ConnectionError)):
            assert answer.read() == b""
    other = service.gate.keys.create("another")
    assert service.server.get("/stream", {"X-API-Key": other.secret}).body == b'[1,{"secret": "of the app"}'


def test_a_file_arrives_whole(service: Service) -> None:
    secret = service.gate.keys.create("reader").secret
    answer = service.server.get("/file", {"X-API-Key": secret})
    assert (answer.status, answer.body) == (200, (ROOT / "tests/network_app.py").read_bytes())


def test_a_key_in_the_query_is_in_no_log(service: Service) -> None:
    secret = service.gate.keys.create("in a query").secret
    for _ in range(8):  # workers take turns, and each writes its lines in order
        assert service.server.get(f"/?api_key={secret}#x").status in (200, 400, 401)  # as the server reads fragments
    assert service.server.get(f"/?a=1&api_key={secret}&b=2").status == 200
    assert service.server.get(f"/?api_key={secret[:-1]}").code == "invalid_api_key"
    assert secret[-40:-2] not in service.log
    if service.kind.startswith("uvicorn") or service.kind == "gunicorn":  # the others log no requests unless told to
        deadline = time.monotonic() + 10
        while "/?a=1&b=2" not in service.log:  # it is written after the answer
            assert time.monotonic() < deadline
            time.sleep(0.02)
    assert secret[-40:-2] not in service.log


_WSGIREF = (
    "from wsgiref.simple_server import make_server; from {module} import wsgi_app; "
    "make_server('127.0.0.1', {port}, wsgi_app).serve_forever()"
)
# Its own format has no query.
_GRANIAN_LOG = ["--access-log", "--access-log-fmt", '"%(method)s %(path)s?%(query_string)s"']
# Each with its access log, and whether a key in the query is there, as docs/reference/servers.md says.
ACCESS_LOGS = {
    "uvicorn": (["-m", *UVICORN], False),
    "hypercorn": ([*MATRIX["hypercorn"].command, "--access-logfile", "-"], False),
    "granian-asgi": ([*MATRIX["granian-asgi"].command, *_GRANIAN_LOG], False),
    "gunicorn": (["-m", *COMMANDS["gunicorn-sync"], "--access-logfile", "-"], False),
    "granian-wsgi": ([*MATRIX["granian-wsgi"].command, *_GRANIAN_LOG], True),
    "daphne": (MATRIX["daphne"].command, True),
    "werkzeug": (MATRIX["werkzeug"].command, True),
    "wsgiref": (["-c", _WSGIREF], True),
}


@pytest.mark.parametrize("kind", list(ACCESS_LOGS))
def test_which_access_logs_hold_a_key_of_the_query(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command, has_it = ACCESS_LOGS[kind]
    with started(kind, command, tmp_path, monkeypatch) as service:
        secret = service.gate.keys.create("in a query").secret
        assert service.server.get(f"/?a=1&api_key={secret}&b=2").status == 200
        deadline = time.monotonic() + 10
        # It is written after the answer, and after the gate's own line, which names the path.
        while secret not in service.log if has_it else "GET /" not in service.log and '"/"' not in service.log:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert (secret in service.log) == has_it


@pytest.mark.parametrize(("more", "status"), [([], 200), (["--forwarded-allow-ips", ""], 403)])
def test_gunicorn_takes_the_scheme_from_more_than_one_header(
    more: list[str], status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proxy, on the same machine, sends no X-Forwarded-Proto; docs/reference/servers.md says what to do then."""
    monkeypatch.setenv("KEYSTILE_HTTPS", "require")
    with started("gunicorn", ["-m", *COMMANDS["gunicorn-sync"], *more], tmp_path, monkeypatch) as service:
        key = {"X-API-Key": service.gate.keys.create("in the clear").secret, "X-Forwarded-For": "9.9.9.9"}
        assert service.server.get("/", key).code == "https_required"
        for field in ({"X-Forwarded-Ssl": "on"}, {"X-Forwarded-Protocol": "ssl"}):
            assert service.server.get("/", key | field).status == status
        # The gate believes the proxy, whatever the server does.
        assert service.server.get("/", key | {"X-Forwarded-Proto": "https"}).status == 200


def test_the_client_is_whom_the_proxy_names(service: Service) -> None:
    secret = service.gate.keys.create("proxied", ip_allowlist=["9.9.9.9"]).secret

    def ask(forwarded: str) -> int:
        return service.server.get("/", {"X-API-Key": secret, "X-Forwarded-For": forwarded}).status

    asked = ["9.9.9.9", "1.1.1.1, 9.9.9.9", "9.9.9.9, 1.1.1.1", "9.9.9.9:4444, 1.1.1.1", "127.0.0.1:4444, 9.9.9.9"]
    # uvicorn believes loopback by default and puts what the header says in the peer's place: then nobody is the client.
    rewrites = service.kind in ("uvicorn", "uvicorn-all")
    wanted = [403] * 5 if rewrites else [200, 200, 403, 403, 200]
    if service.kind == "uvicorn":
        wanted[4] = 403
    assert [ask(forwarded) for forwarded in asked] == wanted
    events: list[dict[str, Any]] = []
    for line in service.log.splitlines():
        start = line.find('{"event"')
        events += [json.loads(line[start:])] if start >= 0 else []
    told = {event["event"] for event in events}
    assert "ip_not_allowed" in told
    assert ("peer_rewritten" in told) == rewrites


@pytest.mark.parametrize("proxies", ["", "10.0.0.0/8"])
def test_where_proxies_are_named_no_other_peer_says_that_it_came_over_https(
    proxies: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """uvicorn believes its own machine; docs/reference/servers.md says what to do where the gate knows no proxies."""
    monkeypatch.setenv("KEYSTILE_PROXIES", proxies)
    monkeypatch.setenv("KEYSTILE_HTTPS", "require")
    for more, status in (([], 403 if proxies else 200), (["--no-proxy-headers"], 403)):
        with started("uvicorn", ["-m", *UVICORN, *more], tmp_path, monkeypatch) as service:
            key = {"X-API-Key": service.gate.keys.create("in the clear").secret}
            assert service.server.get("/", key | {"X-Forwarded-Proto": "https"}).status == status


@pytest.mark.parametrize("proxies", ["", "10.0.0.0/8"])
def test_no_header_opens_an_allowlist_where_uvicorn_believes_everybody(
    proxies: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEYSTILE_PROXIES", proxies)
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")
    with started("uvicorn", ["-m", *UVICORN], tmp_path, monkeypatch) as service:
        key = {"X-API-Key": service.gate.keys.create("fenced", ip_allowlist=["192.0.2.7"]).secret}
        for forwarded in (
            *("192.0.2.7", "192.0.2.7:1234", "192.0.2.7:1234, 198.51.100.9", "192.0.2.7:-5", "192.0.2.7:100000"),
            *("[::ffff:192.0.2.7%a b]:1234, 198.51.100.9", "[::ffff:192.0.2.7%\xe9]:1234", "[::ffff:192.0.2.7%[]:1234"),
            *(
                "10.0.0.1:100000, 192.0.2.7",
                "10.0.0.1:-5, 192.0.2.7",
                "10.0.0.1:1234, 192.0.2.7",
                "10.0.0.1, 192.0.2.7",
            ),
            *("[::ffff:10.0.0.1%a b]:1234, 192.0.2.7", "[::ffff:10.0.0.1%\xe9]:1_234, 192.0.2.7"),
        ):
            assert service.server.get("/", key | {"X-Forwarded-For": forwarded}).code == "ip_not_allowed", forwarded


HEADERS = {
    "client": "X-Forwarded-For: {client}",
    "key": "X-API-Key: {key}",
    "content": "Content-Type: application/json",
}


@pytest.mark.parametrize("late", list(HEADERS))
@pytest.mark.parametrize("place", ["head", "trailer", "both"])
def test_nothing_that_decides_is_taken_from_a_trailer(service: Service, late: str, place: str) -> None:
    """All in one segment, so that a server that reads the trailers before it calls the app can."""
    key = service.gate.keys.create("proxied", ip_allowlist=["9.9.9.9"]).secret
    head = [HEADERS[name] for name in HEADERS if name != late or place != "trailer"]
    chunked = "Transfer-Encoding: chunked"
    client = "1.1.1.1" if late == "client" and place == "both" else "9.9.9.9"
    lines = ["POST /json HTTP/1.1", "Host: x", "Connection: close", *head, chunked, "", "2", "{{}}", "0"]
    before = "\r\n".join(lines).format(client=client, key=key)
    trailer = "" if place == "head" else HEADERS[late].format(client="9.9.9.9", key=key) + "\r\n"
    with Wire(service.server.port) as wire:
        wire.send(f"{before}\r\n{trailer}\r\n".encode())
        try:
            answer = wire.final("POST")
        except Closed:
            assert place != "head"
            return
    whole = service.kind not in ("uvicorn", "uvicorn-all")  # of these nobody is the client
    if place == "head":
        assert answer.status == (200 if whole else 403)
    elif place == "trailer" or late == "client":
        assert answer.status in (400, 401, 403, 415), answer
    else:
        assert answer.status in (200, 400, 403)
