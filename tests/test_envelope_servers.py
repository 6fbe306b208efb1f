"""The envelope on the wire of real servers: framing above all, for what is framed wrong is read as the next answer."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from keystile import Gate
from tests.matrix.rawhttp import Closed, Response, Wire
from tests.selection import some
from tests.servers import MATRIX, serving

ROOT = Path(__file__).resolve().parents[1]


class Client:
    """One connection to a server, opened again where the server said that it closes."""

    def __init__(self, port: int, secret: str) -> None:
        self._port, self.secret = port, secret
        self.wire = Wire(port)

    def ask(self, method: str, path: str, *fields: str, body: bytes = b"") -> Response:
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"X-API-Key: {self.secret}", *fields]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        self.wire.send("\r\n".join([*lines, "", ""]).encode() + body)
        response = self.wire.final(method)
        if response.closes:
            rest = self.wire.rest()
            # Of an answer to HEAD whose length nobody knows, waitress sends the end of the chunks that it announces.
            ended = method == "HEAD" and rest == b"0\r\n\r\n" and response.all("transfer-encoding") == ["chunked"]
            assert rest == b"" or ended, "octets after the last answer"
            self.again()
        return response

    def again(self) -> None:
        self.wire.__exit__(None, None, None)
        self.wire = Wire(self._port)

    def is_right(self) -> None:
        """The next request on this connection gets its own answer, and nothing lies before it."""
        response = self.ask("GET", "/json")
        assert (response.status, response.json["data"]) == (200, {"a": 1})


@pytest.fixture(scope="module", params=some(MATRIX, "uvicorn-h11", "hypercorn", "gunicorn-sync", "waitress"))
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, str, Path]]:
    folder = tmp_path_factory.mktemp(request.param)
    store = f"sqlite:///{folder}/keys.db"
    gate = Gate(store, prefix="acme")
    secret = gate.keys.create("wire").secret
    gate.close()
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    with serving(request.param, "tests.enveloped_app", folder, PYTHONPATH=path, KEYSTILE_STORE=store) as server:
        with Wire(server.port, 30) as wire:  # a socket that listens need not have an app behind it yet
            wire.send(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert wire.final().status == 401
        yield server.port, secret, folder


@pytest.fixture
def client(served: tuple[int, str, Path]) -> Iterator[Client]:
    port, secret, _ = served
    found = Client(port, secret)
    yield found
    assert found.wire.rest(0.05) == b""
    found.wire.__exit__(None, None, None)


def test_a_success_is_spliced_and_framed(client: Client) -> None:
    for _ in range(3):
        response = client.ask("GET", "/json")
        assert response.body.startswith(b'{"data":{"a": 1},"meta":{"request_id":"req_')
        assert response.all("content-length") == [str(len(response.body))]
        assert response.all("etag") == ['W/"v1"']
        assert response.json["meta"]["request_id"] == response.all("x-request-id")[0]
    assert client.ask("GET", "/text").body == b"plain"
    assert client.ask("GET", "/empty").json["data"] is None
    client.is_right()


def test_a_stream_is_spliced_chunk_by_chunk(client: Client) -> None:
    response = client.ask("GET", "/stream")
    assert response.json["data"] == [1, 2]
    assert response.all("content-length") == []
    client.is_right()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/204", 204),
        ("GET", "/304", 304),
        ("HEAD", "/json", 200),
        ("HEAD", "/stream", 200),
        ("HEAD", "/404", 404),
    ],
)
def test_what_has_no_body_carries_no_octets(client: Client, method: str, path: str, status: int) -> None:
    response = client.ask(method, path)
    assert response.status == status
    assert client.wire.rest(0.1) == b""
    client.is_right()


def test_the_head_of_head_is_that_of_get(client: Client) -> None:
    got, head = client.ask("GET", "/json"), client.ask("HEAD", "/json")
    assert head.all("content-length") == got.all("content-length")
    assert head.all("etag") == got.all("etag")
    client.is_right()


def test_errors_of_the_host_are_framed_anew(client: Client) -> None:
    for path, status, code in (("/404", 404, "not_found"), ("/teapot", 418, "client_error")):
        response = client.ask("GET", path)
        assert (response.status, response.code) == (status, code)
        assert response.all("content-length") == [str(len(response.body))]
        client.is_right()
    assert client.ask("GET", "/teapot").json["error"]["message"] == "short and stout"


def test_an_unhandled_exception_is_a_500_and_in_the_log_once(
    client: Client, served: tuple[int, str, Path], request: pytest.FixtureRequest
) -> None:
    [log] = served[2].glob("*.log")
    before = log.read_text(encoding="utf-8").count("RuntimeError: the password")
    response = client.ask("GET", "/boom")
    assert (response.status, response.code) == (500, "internal_error")
    assert b"hunter2" not in response.body
    try:
        client.is_right()
    except Closed:  # what uvicorn and others do after an exception of the app, without saying so
        client.again()
        client.is_right()
    # Daphne logs no exception that comes behind a whole answer, ours or anybody's.
    logged = 0 if request.node.callspec.params["served"] == "daphne" else 1
    deadline = time.monotonic() + 10
    while (times := log.read_text(encoding="utf-8").count("RuntimeError: the password")) < before + logged:
        assert time.monotonic() < deadline  # it is written after the answer
        time.sleep(0.02)
    assert times == before + logged


def test_an_answer_that_fails_before_its_first_octets_is_one_whole_500_and_nothing_of_the_other(client: Client) -> None:
    response = client.ask("GET", "/fails")
    assert (response.status, response.code) == (500, "internal_error")
    assert response.all("content-length") == [str(len(response.body))]
    assert response.all("content-type") == ["application/json"]
    assert response.all("set-cookie") == []
    try:
        client.is_right()
    except Closed:  # as above
        client.again()
        client.is_right()


def test_head_says_no_length_that_get_does_not_have(client: Client) -> None:
    got, head = client.ask("GET", "/polite"), client.ask("HEAD", "/polite")
    assert (got.status, head.status) == (404, 404)
    assert head.all("content-length") in ([], got.all("content-length"))
    client.is_right()


def test_what_is_no_json_is_framed_as_the_app_did(client: Client) -> None:
    response = client.ask("GET", "/no-json")
    assert (response.status, response.body, response.all("content-length")) == (200, b"hi", ["2"])
    client.is_right()


def test_json_requests_over_the_wire(client: Client) -> None:
    body = b'{"text": "' + b"x" * 70_000 + b'"}'
    assert client.ask("POST", "/echo", "Content-Type: application/json", body=body).json["data"] == {
        "text": "x" * 70_000
    }
    client.is_right()
    assert client.ask("POST", "/echo", "Content-Type: application/json", body=b"{").code == "invalid_request"
    client.is_right()
    assert client.ask("POST", "/echo", "Content-Type: text/plain", body=b"{}").code == "unsupported_media_type"
    assert (
        client.ask("POST", "/echo", "Content-Type: application/json", body=b"[" * 200_000).code == "payload_too_large"
    )


def test_a_chunked_request_is_checked_too(client: Client) -> None:
    # What decides stands before the coding: behind it, one server could not tell it from a trailer.
    fields = ["Host: localhost", "Content-Type: application/json", f"X-API-Key: {client.secret}"]
    lines = ["POST /echo HTTP/1.1", *fields, "Transfer-Encoding: chunked"]
    for body, status in ((b'8\r\n{"a": 1}\r\n0\r\n\r\n', 200), (b"1\r\n{\r\n0\r\n\r\n", 400)):
        client.wire.send("\r\n".join([*lines, "", ""]).encode() + body)
        response = client.wire.final("POST")
        assert response.status == status
        if response.closes:
            client.again()
        client.is_right()
