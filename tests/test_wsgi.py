"""What only the WSGI door does: iterables, write(), close(), exc_info."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from wsgiref.util import FileWrapper
from wsgiref.validate import validator

import pytest
from flask import Flask, Response
from werkzeug.middleware.proxy_fix import ProxyFix

from keystile import ConfigurationError, Gate, HmacHasher, InvalidRequest, Plan, Rule, current, wsgi
from keystile.doors.wsgi.host import wants_exceptions
from keystile.policy import CREDENTIAL_FORMS
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


VALIDATED = {
    "plain": {},
    "enveloped": {"envelope": True},
    "rechecked": {"recheck_in_flight": True},
    "enveloped and rechecked": {"envelope": True, "recheck_in_flight": True},
    "JSON": {"require_json": True},
    "query": {"accept": [*CREDENTIAL_FORMS, "?api_key"]},
    "proxied": {"trusted_proxies": ["127.0.0.1"], "https": "require", "hsts": 60},
    "preflight": {"preflight": "pass"},
}


def answers_plainly(environ: Any, start_response: Any) -> Any:
    assert environ["keystile.admitted"] is current()
    found = environ["PATH_INFO"] != "/v2"
    start_response("200 OK" if found else "404 Not Found", [("Content-Type", "application/json")])
    return iter([] if environ["REQUEST_METHOD"] == "HEAD" else [b"[1", b", 2]"])


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS"])
@pytest.mark.parametrize("settings", VALIDATED.values(), ids=list(VALIDATED))
def test_both_sides_keep_to_the_protocol(settings: dict[str, Any], method: str) -> None:
    gate = Gate(prefix="acme", hasher=HmacHasher(b"p" * 16), public=["/open"], **settings)
    guarded = validator(wsgi.GateMiddleware(validator(answers_plainly), gate))
    secret, ended = gate.keys.create("key").secret, gate.keys.create("ended")
    gate.keys.revoke(ended.key.id)
    https = [("x-forwarded-proto", "https")]
    wanted = [("origin", "https://app.example"), ("access-control-request-method", "POST")]
    for path, headers, status in (
        ("/v1", [("x-api-key", secret)], "200 OK"),
        ("/v2", [("x-api-key", secret)], "404 Not Found"),
        ("/open", [], "200 OK"),
        ("/v1", [], "401 Unauthorized"),
        ("/v1", [("x-api-key", ended.secret)], "401 Unauthorized"),
        (f"/v1?api_key={secret}", [], "200 OK" if "accept" in settings else "401 Unauthorized"),
        ("/v1", wanted, "200 OK" if "preflight" in settings and method == "OPTIONS" else "401 Unauthorized"),
    ):
        server, sent = Server(), wsgi_environ(method, path, [*headers, *https], "127.0.0.1")
        sent |= {"wsgi.errors": sys.stderr, "wsgi.input": io.BytesIO()}
        body = guarded(sent, server.start_response)
        whole = b"".join(body)
        body.close()  # type: ignore[attr-defined]
        assert server.starts[-1][0] == status, path
        assert not whole or method != "HEAD"


def test_a_key_that_ends_in_flight_is_refused_by_the_protocol() -> None:
    gate = Gate(prefix="acme", hasher=HmacHasher(b"p" * 16), recheck_in_flight=True)
    issued = gate.keys.create("key")

    def app(environ: Any, start_response: Any) -> Any:
        gate.keys.revoke(issued.key.id)
        start_response("200 OK", [("Content-Type", "application/json")])
        return iter([b"[1", b", 2]"])

    sent = wsgi_environ("GET", "/v1", [("x-api-key", issued.secret)], "127.0.0.1") | {"wsgi.errors": sys.stderr}
    server = Server()
    body = validator(wsgi.GateMiddleware(validator(app), gate))(sent, server.start_response)
    assert b"revoked_api_key" in b"".join(body)
    body.close()  # type: ignore[attr-defined]
    assert server.starts[-1][0] == "401 Unauthorized"


def test_what_is_written_after_a_key_ended_breaks_off() -> None:
    gate = Gate(prefix="acme", hasher=HmacHasher(b"p" * 16), recheck_in_flight=True)
    issued = gate.keys.create("key")

    def app(environ: Any, start_response: Any) -> Any:
        write = start_response("200 OK", JSON)
        write(b"[1")
        gate.keys.revoke(issued.key.id)
        write(b"")
        write(b", 2]")
        return []

    server = Server()
    sent = wsgi_environ("GET", "/v1", [("x-api-key", issued.secret)], "127.0.0.1")
    with pytest.raises(ConnectionResetError):
        wsgi.GateMiddleware(app, gate)(sent, server.start_response)
    assert b"".join(server.written) == b"[1"


@pytest.mark.parametrize("rest", [[], [b", 3]"], (b"", b", 3]"), "generator", "written"], ids=str)
def test_an_app_that_goes_on_after_its_stream_was_cut_does_not_end_it(rest: Any) -> None:
    """Nothing more leaves, and the server is not told that the answer is whole."""
    gate = Gate(prefix="acme", hasher=HmacHasher(b"p" * 16), recheck_in_flight=True)
    issued = gate.keys.create("key")

    def app(environ: Any, start_response: Any) -> Any:
        write = start_response("200 OK", JSON)

        def generated() -> Iterator[bytes]:
            write(b"[1")
            gate.keys.revoke(issued.key.id)
            with suppress(OSError):
                write(b", 2")
            with suppress(OSError):
                write(b"" if rest != "written" else b", 2")
            yield b", 3]" if rest == "generator" else b""

        if isinstance(rest, str):
            return generated()
        list(generated())
        return rest

    server = Server()
    sent = wsgi_environ("GET", "/v1", [("x-api-key", issued.secret)], "127.0.0.1")
    with pytest.raises(ConnectionResetError):
        server.written += wsgi.GateMiddleware(app, gate)(sent, server.start_response)
    assert b"".join(server.written) == b"[1"


def test_what_is_returned_after_something_was_written_is_judged_too() -> None:
    gate = Gate(prefix="acme", hasher=HmacHasher(b"p" * 16), recheck_in_flight=True)
    issued = gate.keys.create("key")

    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", JSON)(b"[1")
        gate.keys.revoke(issued.key.id)
        return [b", 2]"]

    server = Server()
    sent = wsgi_environ("GET", "/v1", [("x-api-key", issued.secret)], "127.0.0.1")
    with pytest.raises(ConnectionResetError):
        server.written += wsgi.GateMiddleware(app, gate)(sent, server.start_response)
    assert b"".join(server.written) == b"[1"


def test_the_principal_is_in_the_environ_after_the_call_too(gate: Gate) -> None:
    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield environ["keystile.admitted"].principal.name.encode()
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


def test_a_gate_stands_before_an_app_once(gate: Gate) -> None:
    app = Flask(__name__)
    app.wsgi_app = wsgi.GateMiddleware(app.wsgi_app, gate)  # type: ignore[method-assign]
    for inside in (app, app.wsgi_app):
        with pytest.raises(ConfigurationError, match="gate: stands before this app already"):
            wsgi.GateMiddleware(inside, gate)
    wsgi.GateMiddleware(app, Gate())  # another one decides on other things


def test_exc_info_may_come_by_name_and_a_refused_head_has_no_chunk(gate: Gate) -> None:
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
    assert list(refused) == []


def test_what_is_no_app_is_refused(gate: Gate) -> None:
    with pytest.raises(ConfigurationError, match="app: expected an app for WSGI, got NoneType"):
        wsgi.GateMiddleware(None, gate)  # type: ignore[arg-type]


JSON = [("Content-Type", "application/json")]


@pytest.fixture
def enveloping() -> Gate:
    return Gate(prefix="acme", hasher=HmacHasher(b"p" * 16), envelope=True)


def test_the_envelope_wraps_only_what_it_must(enveloping: Gate, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    wrapped: list[Any] = []

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [("Content-Type", "text/csv")])
        wrapped.append(environ["wsgi.file_wrapper"](path.open("rb")))
        return wrapped[-1]

    answer = Server().call(app, enveloping, **{"wsgi.file_wrapper": FileWrapper})
    assert answer is wrapped[0]
    answer.close()


def test_an_enveloped_stream_leaves_as_it_comes_and_is_closed(enveloping: Gate) -> None:
    events: list[str] = []

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", JSON)
        return chunks()

    def chunks() -> Iterator[bytes]:
        try:
            for chunk in (b"[1", b", 2]"):
                events.append(f"made {chunk.decode()}")
                yield chunk
        finally:
            events.append("closed")

    body = Server().call(app, enveloping)
    assert events == ["made [1"]  # only now the head is certain
    assert next(body) == b'{"data":[1'
    assert events == ["made [1"]
    body.close()
    assert events == ["made [1", "closed"]


@pytest.mark.parametrize("where", ["iter", "next"])
@pytest.mark.parametrize("settings", [{"recheck_in_flight": True}, {"envelope": True}], ids=["recheck", "envelope"])
def test_an_iterable_that_fails_is_closed_whatever_it_raises(settings: dict[str, Any], where: str) -> None:
    class TimeLimit(BaseException):
        """As gevent's, which is no Exception."""

    class Failing:
        closed = 0

        def __iter__(self) -> Iterator[bytes]:
            if where == "iter":
                raise TimeLimit
            return self

        def __next__(self) -> bytes:
            raise TimeLimit

        def close(self) -> None:
            self.closed += 1

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", JSON)
        return failing

    failing = Failing()
    with pytest.raises(TimeLimit):
        Server().call(app, Gate(prefix="acme", hasher=HmacHasher(b"p" * 16), **settings))
    assert failing.closed == 1


def test_write_is_spliced_too(enveloping: Gate) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        write = start_response("200 OK", JSON)
        write(b"[1")
        write(b", 2")
        return [b"]"]

    server = Server()
    whole = b"".join([*server.call(app, enveloping), b""])
    assert b"".join(server.written).startswith(b'{"data":[1, 2')
    assert whole.startswith(b'],"meta":{')


def test_a_second_head_replaces_the_first_only_with_exc_info(enveloping: Gate) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        start_response("404 Not Found", [])
        with pytest.raises(AssertionError):
            start_response("200 OK", JSON)
        try:
            1 / 0  # noqa: B018
        except ZeroDivisionError:
            start_response("503 Service Unavailable", [("Retry-After", "7")], sys.exc_info())
        return [b"later"]

    server = Server()
    body = b"".join(server.call(app, enveloping))
    [(status, headers)] = server.starts
    assert status == "503 Service Unavailable"
    assert ("Retry-After", "7") in headers
    assert b'"unavailable"' in body


def test_a_server_whose_start_response_gives_nothing_will_do(enveloping: Gate) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", JSON)
        return iter([b"[1", b"]"])

    sent = wsgi_environ("GET", "/v1", [("x-api-key", enveloping.keys.create("key").secret)], "127.0.0.1")
    body = b"".join(wsgi.GateMiddleware(app, enveloping)(sent, lambda *_: None))  # type: ignore[arg-type,return-value]
    assert body.startswith(b'{"data":[1],"meta"')


@pytest.mark.parametrize("status", ["200 OK", "404 Not Found"])
def test_a_head_that_comes_after_an_empty_chunk_is_enveloped_like_any(enveloping: Gate, status: str) -> None:
    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        yield b""
        start_response(status, [*JSON, ("Content-Length", "3")])
        yield b"[1]"

    server = Server()
    body = b"".join(server.call(app, enveloping))
    [(_, headers)] = server.starts
    assert dict(headers).get("Content-Length", dict(headers).get("content-length")) == str(len(body))
    assert body.startswith(b'{"data":[1]' if status == "200 OK" else b'{"error"')


def test_a_close_that_fails_takes_nothing_from_a_whole_answer(enveloping: Gate, caplog: Any) -> None:
    class Chunks(list[bytes]):
        def close(self) -> None:
            raise ZeroDivisionError

    def app(environ: Any, start_response: Any) -> Any:
        start_response("404 Not Found", [])
        return Chunks([b"gone"])

    assert b'"not_found"' in b"".join(Server().call(app, enveloping))
    assert "close() failed" in caplog.text


def failing_stream(environ: Any, start_response: Any) -> Iterator[bytes]:
    """It starts like a success, and fails before its first octets."""
    start_response("200 OK", [*JSON, ("Content-Length", "8"), ("Set-Cookie", "a=1")])
    yield b""
    raise RuntimeError("no octets")


def test_a_server_is_given_one_head_also_by_a_stream_that_fails_at_once(enveloping: Gate) -> None:
    """Not every server takes back what it was given first: gunicorn adds the one to the other."""
    for app in (failing_stream, lambda environ, start_response: iter(list(failing_stream(environ, start_response)))):
        server = Server()
        body = b"".join(server.call(app, enveloping))
        [(status, headers)] = server.starts
        assert status == "500 Internal Server Error"
        assert [value for name, value in headers if name.lower() in ("content-length", "set-cookie")] == [
            str(len(body))
        ]


@pytest.mark.parametrize("status", ["200 OK", "404 Not Found"])
def test_an_answer_to_head_is_no_chunk_whose_length_could_be_taken_for_its_own(enveloping: Gate, status: str) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        start_response(status, JSON)
        return iter([]) if environ["PATH_INFO"] == "/stream" else []

    for path in ("/v1", "/stream"):
        assert list(Server().call(app, enveloping, REQUEST_METHOD="HEAD", PATH_INFO=path)) == []


def flask_app(**config: Any) -> Any:
    app = Flask(__name__)
    app.config.update(config)

    @app.get("/v1")
    def fails() -> Any:
        raise ZeroDivisionError("of the app")

    @app.get("/stream")
    def streams() -> Any:
        def chunks() -> Iterator[bytes]:
            raise ZeroDivisionError("of the app")
            yield b""

        return Response(chunks(), mimetype="application/json")

    @app.get("/fault")
    def fault() -> Any:
        raise InvalidRequest("no such page", parameter="page")

    return app


@pytest.mark.parametrize(
    ("config", "setting", "raises"),
    [
        ({"TESTING": True}, None, True),
        ({"DEBUG": True}, None, True),
        ({"PROPAGATE_EXCEPTIONS": True}, None, True),
        ({"TESTING": True, "PROPAGATE_EXCEPTIONS": False}, None, False),
        ({}, None, False),
        ({"TESTING": True}, False, False),
        ({"PROPAGATE_EXCEPTIONS": True}, False, False),
        ({}, True, True),
    ],
)
@pytest.mark.parametrize("between", [False, True])
def test_an_exception_comes_out_where_the_host_asks_for_it(
    config: dict[str, Any], setting: bool | None, raises: bool, between: bool
) -> None:
    gate = Gate(prefix="acme", hasher=HmacHasher(b"p" * 16), envelope=True, propagate_exceptions=setting)
    app = flask_app(**config)
    inner = ProxyFix(app.wsgi_app) if between else app.wsgi_app
    app.wsgi_app = wsgi.GateMiddleware(inner, gate)
    client, headers = app.test_client(), {"X-API-Key": gate.keys.create("key").secret}
    paths = ["/stream"] if setting is True else ["/v1", "/stream"]  # what Flask answers itself raises nothing
    for path in paths:
        if raises:
            with pytest.raises(ZeroDivisionError, match="of the app"):
                client.get(path, headers=headers)
        else:
            answer = client.get(path, headers=headers)
            assert (answer.status_code, answer.get_json()["error"]["code"]) == (500, "internal_error")
    if raises and setting is None:  # what the client did wrong is answered all the same
        assert client.get("/fault", headers=headers).status_code == 400


def test_an_exception_that_comes_out_is_not_logged_as_well(caplog: pytest.LogCaptureFixture) -> None:
    gate = Gate(prefix="acme", hasher=HmacHasher(b"p" * 16), envelope=True, propagate_exceptions=True)
    with pytest.raises(RuntimeError, match="no octets"):
        Server().call(failing_stream, gate)
    assert caplog.records == []


def test_a_host_that_says_nothing_of_exceptions_has_them_answered() -> None:
    """Nor is anything that only looks like a host, or goes round in circles."""

    class Odd:
        config = "PROPAGATE_EXCEPTIONS"

    odd = Odd()
    odd.app = odd  # type: ignore[attr-defined]
    assert wants_exceptions(odd) is wants_exceptions(None) is wants_exceptions(failing_stream) is False


@pytest.mark.parametrize("chunks", [[b"{}"], (b"{", b"}")])
def test_a_list_keeps_its_length_where_units_are_reserved(chunks: Any) -> None:
    plans = {"free": Plan(units={"tokens": "9/hour"})}
    gate = Gate(
        plans=plans, default_plan="free", rules=[Rule("/x", reserve={"tokens": 2})], hasher=HmacHasher(b"p" * 16)
    )
    closed = []

    class Stream(list[bytes]):
        def close(self) -> None:
            closed.append(current_of[0].charged is not None)

    current_of: list[Any] = []

    def app(environ: Any, start_response: Any) -> Any:
        current_of[:] = [environ["keystile.admitted"]]
        start_response("200 OK", [])
        return Stream(chunks)

    environ = wsgi_environ("GET", "/x", [("x-api-key", gate.keys.create("key").secret)], "127.0.0.1")
    body = wsgi.GateMiddleware(app, gate)(environ, lambda *_: lambda _: None)
    assert len(body) == len(chunks)  # type: ignore[arg-type]
    assert list(body) == list(chunks)
    assert closed == []
    body.close()  # type: ignore[attr-defined]
    assert closed == [True]
