"""What only the WSGI door does: iterables, write(), close(), exc_info."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from wsgiref.util import FileWrapper
from wsgiref.validate import validator

import pytest

from keystile import ConfigurationError, Gate, HmacHasher, current, wsgi
from tests.async_store import AsyncStore
from tests.doors import wsgi_environ


@pytest.fixture
def gate() -> Gate:
    return Gate(prefix="acme", hasher=HmacHasher(b"p" * 16))


class Server:
    """A WSGI server's side of one call."""

    def __init__(self) -> None:
        self.starts: list[tuple[Any, ...]] = []
        self.written: list[bytes] = []

    def start_response(self, *args: Any) -> Any:
        self.starts.append(args)
        return self.written.append

    def call(self, app: Any, gate: Gate, **environ: Any) -> Any:
        sent = wsgi_environ("GET", "/v1", [("x-api-key", gate.keys.create("key").secret)], "127.0.0.1") | environ
        return wsgi.GateMiddleware(app, gate)(sent, self.start_response)


def test_the_apps_own_iterable_goes_to_the_server(gate: Gate, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    wrapped: list[Any] = []

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        wrapped.append(environ["wsgi.file_wrapper"](path.open("rb")))
        return wrapped[0]

    answer = Server().call(app, gate, **{"wsgi.file_wrapper": FileWrapper})
    assert answer is wrapped[0]
    answer.close()


def test_a_generator_is_neither_started_nor_closed_by_the_gate(gate: Gate) -> None:
    events: list[str] = []

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        try:
            events.append("first")
            yield b"a"
            yield b"b"
        finally:
            events.append("closed")

    server = Server()
    body = server.call(app, gate)
    assert (events, server.starts) == ([], [])
    assert next(body) == b"a"
    assert any(name == "x-request-id" for name, _ in server.starts[0][1])
    body.close()
    assert events == ["first", "closed"]


def test_write_and_exc_info_pass_through(gate: Gate) -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("x-a", "1")])(b"early")
        try:
            int("")
        except ValueError:
            start_response("500 Oops", [("x-a", "2")], sys.exc_info())
        return [b"late"]

    server = Server()
    assert server.call(app, gate) == [b"late"]
    assert server.written == [b"early"]
    (first, second) = server.starts
    assert (len(first), first[0], first[1][0]) == (2, "200 OK", ("x-a", "1"))
    assert (len(second), second[0], second[1][0]) == (3, "500 Oops", ("x-a", "2"))
    assert second[2][0] is ValueError


def test_both_sides_keep_to_the_protocol(gate: Gate) -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
        return [b"ok"]

    guarded = validator(wsgi.GateMiddleware(app, gate))
    secret = gate.keys.create("key").secret
    for headers, status in (([("x-api-key", secret)], "200 OK"), ([], "401 Unauthorized")):
        server = Server()
        environ = wsgi_environ("GET", "/v1", headers, "127.0.0.1") | {
            "wsgi.errors": sys.stderr,
            "wsgi.input": io.BytesIO(),
        }
        body = guarded(environ, server.start_response)
        assert b"".join(body)
        body.close()
        assert server.starts[0][0] == status


def test_the_principal_is_in_the_environ_after_the_call_too(gate: Gate) -> None:
    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield environ["keystile"].principal.name.encode()
        try:
            current()
        except LookupError:
            yield b" and no leftovers in this thread"

    assert b"".join(Server().call(app, gate)) == b"key and no leftovers in this thread"


def test_an_exception_of_the_app_reaches_the_server(gate: Gate) -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Server().call(app, gate)
    with pytest.raises(LookupError):
        current()


def test_an_environ_that_breaks_the_protocol_is_a_401(gate: Gate) -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        raise AssertionError("the app ran")

    server = Server()
    Server.call(server, app, gate, HTTP_X_API_KEY="\u20ac\U0001f600")
    assert server.starts[0][0] == "401 Unauthorized"


def test_an_async_store_is_refused_when_the_door_is_built() -> None:
    with pytest.raises(ConfigurationError, match="store: the store is async"):
        wsgi.GateMiddleware(lambda environ, start_response: [], gate=Gate(AsyncStore()))


def test_an_asgi_app_is_refused_when_the_door_is_built(gate: Gate) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None: ...

    with pytest.raises(ConfigurationError, match=r"app: it is an ASGI app"):
        wsgi.GateMiddleware(app, gate=gate)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="gate: expected a Gate"):
        wsgi.GateMiddleware(lambda environ, start_response: [], gate=None)  # type: ignore[arg-type]


def test_exc_info_may_come_by_name_and_a_refused_head_is_one_empty_chunk(gate: Gate) -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        try:
            int("")
        except ValueError:
            start_response("500 Oops", [], exc_info=sys.exc_info())
        return []

    server = Server()
    server.call(app, gate)
    assert server.starts[0][2][0] is ValueError
    refused = wsgi.GateMiddleware(app, gate)(wsgi_environ("HEAD", "/v1", [], None), Server().start_response)
    assert list(refused) == [b""]


def test_what_is_no_app_is_refused(gate: Gate) -> None:
    with pytest.raises(ConfigurationError, match="app: NoneType is no WSGI app"):
        wsgi.GateMiddleware(None, gate)  # type: ignore[arg-type]
