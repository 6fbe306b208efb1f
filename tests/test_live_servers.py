"""Streams of events on real servers: who sees what, when they end, and that nothing is left of them."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from keystile import Gate, HmacHasher
from tests.selection import some
from tests.servers import COMMANDS, MATRIX, Kind, Server, serving

HOSTS = """
import os
from keystile import Gate, HmacHasher, Management, Rule, asgi, wsgi
from keystile.manage.live import serving
from keystile.manage.live.hub import hub_of
from keystile.manage.live.stream import Pace

serving.USUAL = Pace(look=0.02, beat=0.1, patience=2.0)
gate = Gate("sqlite:///keys.db", prefix="acme", hasher=HmacHasher(b"p" * 16), cursor_secrets=["c" * 16], envelope=True,
            rules=[Rule("/admin/*", scopes=["admin"])], wsgi_threads=int(os.environ.get("THREADS", "64")),
            management=Management("/manage", live=True))

async def asgi_host(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": str(hub_of(gate).count).encode()})

def wsgi_host(environ, start_response):
    start_response("200 OK", [("content-type", "text/plain")])
    return [str(hub_of(gate).count).encode()]

asgi_app = asgi.GateMiddleware(asgi_host, gate)
wsgi_app = wsgi.GateMiddleware(wsgi_host, gate)
"""
EVENTS = "/manage/events"

COMMANDS |= {
    "live-gthread": ["gunicorn", "-w", "1", "--threads", "16", "-b", "127.0.0.1:{port}", "{module}:wsgi_app"],
}
MATRIX["live-waitress"] = Kind(
    "wsgi", ["-m", "waitress", "--threads=16", "--listen=127.0.0.1:{port}", "{module}:wsgi_app"], ("waitress",)
)
SERVERS = ["uvicorn-httptools", "hypercorn", "live-gthread", "live-waitress"]
PATIENCE = 20.0


class Place(NamedTuple):
    """A running server, and its keys as another process has them."""

    server: Server
    gate: Gate

    def key(self, organization: str, **more: Any) -> Any:
        return self.gate.keys.create("key", organization_id=organization, **{"scopes": ["keys:read"]} | more)

    def refused(self, secret: str, times: int = 1) -> None:
        with self.server.connection() as connection:
            for _ in range(times):
                connection.request("GET", "/admin", headers={"x-api-key": secret})
                answer = connection.getresponse()
                assert (answer.status, answer.read()[:9]) == (403, b'{"error":')

    def streams(self) -> int:
        secret = self.key("counts").secret
        return int(self.server.get("/streams", {"x-api-key": secret}).body)

    def nobody_listens(self) -> None:
        until(lambda: not self.streams())


class Listener:
    """One client of the stream."""

    def __init__(self, server: Server, secret: str, last_id: str | None = None) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
        sent = {"x-api-key": secret} | ({"last-event-id": last_id} if last_id else {})
        self._connection.request("GET", EVENTS, headers=sent)
        self.answer = self._connection.getresponse()
        self.last_id = last_id

    def block(self) -> dict[str, str] | None:
        """The next block, by the names of its lines; None at the end."""
        found: dict[str, str] = {}
        while (line := self.answer.readline().decode()) not in ("\n", ""):
            name, _, value = line.rstrip("\n").partition(":")
            found[name] = value.strip()
        self.last_id = found.get("id", self.last_id)
        return found if line else None

    def next(self) -> dict[str, Any] | None:
        """The next event; None at the end."""
        deadline = time.monotonic() + PATIENCE
        while (block := self.block()) is not None:
            assert time.monotonic() < deadline, "nothing but heartbeats"
            if "data" in block:
                return {"kind": block["event"]} | json.loads(block["data"])
        return None

    def close(self) -> None:
        self.answer.close()
        self._connection.close()


def until(state: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not state():
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.01)


@contextmanager
def listening(place: Place, secret: str, last_id: str | None = None) -> Iterator[Listener]:
    listener = Listener(place.server, secret, last_id)
    try:
        assert listener.answer.status == 200
        assert listener.block() == {"retry": "2000"}
        yield listener
    finally:
        listener.close()


@contextmanager
def place_of(kind: str, folder: Path, **environ: str) -> Iterator[Place]:
    (folder / "hosts.py").write_text(HOSTS)
    gate = Gate(f"sqlite:///{folder}/keys.db", prefix="acme", hasher=HmacHasher(b"p" * 16))
    with serving(kind, "hosts", folder, **environ) as server:
        yield Place(server, gate)
    gate.close()


@pytest.fixture(scope="module", params=some(SERVERS, "uvicorn-httptools", "live-gthread"))
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with place_of(request.param, tmp_path_factory.mktemp("live")) as found:
        yield found


def test_two_organizations_see_their_own_and_nothing_else(place: Place) -> None:
    keys = {name: place.key(name) for name in ("one", "two")}
    with listening(place, keys["one"].secret) as one, listening(place, keys["two"].secret) as two:
        head = {name.lower(): value for name, value in one.answer.getheaders()}
        assert head["content-type"].partition(";")[0] == "text/event-stream"
        assert (head["cache-control"], head["x-accel-buffering"]) == ("no-store", "no")
        assert "content-length" not in head
        assert "keystile-envelope" not in head
        for name, listener in (("two", two), ("one", one), ("two", two)):
            place.refused(keys[name].secret)
            found = listener.next()
            assert found is not None
            assert (found["kind"], found["code"], found["status"]) == ("refused", "insufficient_scope", 403)
            assert (found["key_id"], found["organization_id"]) == (keys[name].key.id, name)
            assert (found["method"], found["path"]) == ("GET", "/admin")
        new = place.key("one")
        assert place.server.get("/v1", {"x-api-key": new.secret}, method="HEAD").status == 200
        found = one.next()
        assert found is not None
        assert (found["kind"], found["key_id"]) == ("first_use", new.key.id)
        # A raw key that a client puts into the path is masked, as in every event.
        with place.server.connection() as connection:
            connection.request("GET", f"/admin/{new.secret}", headers={"x-api-key": new.secret})
            assert connection.getresponse().status == 403
        found = one.next()
        assert found is not None
        assert (found["key_id"], new.secret[-10:] in found["path"]) == (new.key.id, False)
        place.refused(keys["two"].secret)
        found = two.next()
        assert found is not None
        assert found["key_id"] == keys["two"].key.id
    place.nobody_listens()


def test_a_burst_is_told_or_counted_and_harms_nobody(place: Place) -> None:
    secret = place.key("burst").secret
    with listening(place, secret) as listener:
        place.refused(secret, 1000)
        told = 0
        while told < 1000:
            found = listener.next()
            assert found is not None
            told += found["dropped"] if found["kind"] == "dropped" else 1
        assert told == 1000
    place.nobody_listens()


def test_who_comes_again_is_told_what_came_meanwhile(place: Place) -> None:
    issued = place.key("again")
    with listening(place, issued.secret) as listener:
        place.refused(issued.secret)
        assert listener.next()
    place.nobody_listens()
    for _ in range(3):
        place.refused(issued.secret)
    with listening(place, issued.secret, listener.last_id) as again:
        assert [(again.next() or {})["code"] for _ in range(3)] == ["insufficient_scope"] * 3
    with listening(place, place.key("other").secret, listener.last_id) as other:
        assert other.block() == {"": ""}
    place.nobody_listens()


@pytest.mark.parametrize("end", ["revoke", "organization"])
def test_a_stream_ends_when_its_key_is_no_longer_what_it_was(place: Place, end: str) -> None:
    """In another process than the stream's: the next heartbeat tells."""
    keys, organization = place.gate.keys, f"ends-{end}"
    place.gate.organizations.create(organization)
    issued = place.key(organization)
    acts: dict[str, Callable[[], object]] = {
        "revoke": lambda: keys.revoke(issued.key.id),
        "organization": lambda: place.gate.organizations.suspend(organization),
    }
    with listening(place, issued.secret) as listener:
        assert listener.block() == {"": ""}
        place.refused(issued.secret)
        assert listener.next()
        acts[end]()
        assert listener.next() is None
    place.nobody_listens()


def test_only_so_many_may_listen(place: Place) -> None:
    secret = place.key("many").secret
    listeners = [Listener(place.server, secret) for _ in range(8)]
    assert [listener.answer.status for listener in listeners] == [200] * 8
    answer = place.server.get(EVENTS, {"x-api-key": secret})
    assert (answer.status, answer.code, answer.header("retry-after")) == (429, "too_many_streams", "2")
    head = place.server.get(EVENTS, {"x-api-key": secret}, method="HEAD")
    assert (head.status, head.header("content-type"), head.body) == (200, "text/event-stream", b"")
    listeners.pop().close()
    until(lambda: place.streams() == 7)
    with listening(place, secret):
        pass
    for listener in listeners:
        listener.close()
    place.nobody_listens()


def test_clients_that_go_away_leave_nothing(place: Place) -> None:
    secret = place.key("away").secret
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", place.server.port)) as sent:
            sent.sendall(f"GET {EVENTS} HTTP/1.1\r\nHost: x\r\nX-API-Key: {secret}\r\n\r\n".encode())
            assert sent.recv(100)
            sent.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # at once, as a process that died
    place.nobody_listens()


@pytest.mark.parametrize("kind", ["uvicorn-httptools", "uvicorn-h11", "live-gthread"])
def test_streams_do_not_hold_up_the_end_of_their_server(kind: str, tmp_path: Path) -> None:
    """Without being told, uvicorn would wait for ever, and gunicorn for half a minute."""
    with place_of(kind, tmp_path) as place, listening(place, place.key("stops").secret) as listener:
        place.server.process.send_signal(signal.SIGTERM)
        assert listener.next() is None  # in good order: a broken answer raises
        place.server.process.wait(PATIENCE)


@pytest.mark.parametrize("kind", ["hypercorn", "live-waitress"])
def test_servers_that_wait_for_nobody_end_too(kind: str, tmp_path: Path) -> None:
    with place_of(kind, tmp_path) as place, listening(place, place.key("stops").secret):
        place.server.process.send_signal(signal.SIGTERM)
        place.server.process.wait(PATIENCE)


def test_a_server_with_one_thread_has_no_streams(tmp_path: Path) -> None:
    with place_of("gunicorn-sync", tmp_path) as place:
        answer = place.server.get(EVENTS, {"x-api-key": place.key("one").secret})
        assert (answer.status, answer.code) == (503, "unavailable")
        assert answer.header("retry-after") is None


def test_streams_leave_threads_to_other_requests(tmp_path: Path) -> None:
    with place_of("live-gthread", tmp_path, THREADS="8") as place:
        listeners = [Listener(place.server, place.key(name).secret) for name in ("one", "two", "three")]
        assert [listener.answer.status for listener in listeners] == [200, 200, 503]
        assert listeners[2].answer.getheader("retry-after") == "2"
        for listener in listeners:
            listener.close()


def test_a_key_without_the_right_or_an_organization_listens_to_nothing(place: Place) -> None:
    for secret, code in (
        (place.key("one", scopes=[]).secret, "insufficient_scope"),
        (place.gate.keys.create("nobody's", scopes=["keys:read"]).secret, "organization_required"),
    ):
        answer = place.server.get(EVENTS, {"x-api-key": secret})
        assert (answer.status, answer.code) == (403, code)
    assert place.server.get(EVENTS).status == 401
    assert place.server.get(EVENTS, {"x-api-key": place.key("one").secret}, method="POST").status == 405
    place.nobody_listens()
