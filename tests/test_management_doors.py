"""The doors of the management app: what they read, and that both read and answer alike."""

from __future__ import annotations

import json
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystile import Gate, asgi, wsgi
from keystile.exceptions import ConfigurationError
from keystile.manage.asgi import served as served_by_asgi
from keystile.manage.requests import ManagementAnswer, ManagementRequest
from keystile.manage.wsgi import served as served_by_wsgi
from tests.async_store import AsyncStore
from tests.management import Both, Sent, plain, through_asgi, through_wsgi

MOST = 64


async def told(request: ManagementRequest, _offload: Any) -> ManagementAnswer:
    """All that a handler sees."""
    seen = {
        "method": request.method,
        "path": request.path,
        "query": request.query,
        "headers": request.headers,
        "body": request.body.decode("latin-1"),
        "at": [request.scheme, request.host, request.mount, request.client],
    }
    return ManagementAnswer(200, (("content-type", "application/json"),), json.dumps(seen).encode())


def both(handle: Any = told, **settings: Any) -> Both:
    gate = Gate(prefix="acme", **settings)
    return Both(served_by_asgi(handle, gate, most_body=MOST), served_by_wsgi(handle, gate, most_body=MOST))


BOTH = both()
_TEXT = st.text(st.characters(codec="latin-1", exclude_characters="\r\n\0?# ", min_codepoint=33), max_size=20)
_NAMES = st.sampled_from(["x-one", "X-One", "accept", "content-type", "host", "x_one", "idempotency-key", "origin"])


@given(
    method=st.sampled_from(["GET", "POST", "PUT", "HEAD", "OPTIONS", "BREW"]),
    path=_TEXT,
    query=_TEXT,
    headers=st.lists(st.tuples(_NAMES, _TEXT), max_size=5),
    body=st.none() | st.binary(max_size=2 * MOST),
    mount=st.sampled_from(["", "/manage", "/a/b"]),
)
def test_both_doors_read_every_request_alike(
    method: str, path: str, query: str, headers: list[tuple[str, str]], body: bytes | None, mount: str
) -> None:
    # A header whose name has an underscore is a twin of another one on WSGI, and not read on ASGI: servers drop it.
    lines = [(name, value) for name, value in headers if "_" not in name]
    sent = Sent(method, f"/{path}?{query}", lines, body, mount)
    assert plain(through_asgi(BOTH.asgi, sent)) == plain(through_wsgi(BOTH.wsgi, sent))


@pytest.mark.parametrize(
    ("sent", "seen"),
    [
        (Sent("GET", "/a%20b/%C3%A4?x=%C3%A4&x=1&y"), {"path": "/a b/ä", "query": [["x", "ä"], ["x", "1"], ["y", ""]]}),
        (Sent("GET", "/a", mount="/manage"), {"path": "/a", "at": ["http", "", "/manage", "127.0.0.1"]}),
        (Sent("GET", "/", mount="/manage"), {"path": "/"}),
        (Sent("GET", "", mount="/manage"), {"path": "/"}),
        (Sent("GET", "/manage/manage", mount="/manage"), {"path": "/manage/manage"}),
        (Sent("GET", "/a/"), {"path": "/a/"}),
        (Sent("POST", "/", [("X-A", "1"), ("x-a", "2")], b"{}"), {"headers": [["x-a", "1,2"]], "body": "{}"}),
        (Sent("GET", "/?" + "a&" * 2000), {"query": []}),
    ],
)
def test_what_a_handler_sees(sent: Sent, seen: dict[str, Any]) -> None:
    for answer in (through_asgi(BOTH.asgi, sent), through_wsgi(BOTH.wsgi, sent)):
        assert {name: answer.json[name] for name in seen} == seen


def test_headers_with_underscores_are_not_read() -> None:
    sent = Sent("GET", "/", [("idempotency_key", "x")])
    assert through_asgi(BOTH.asgi, sent).json["headers"] == []


def test_the_client_and_the_scheme_are_those_that_trusted_proxies_name() -> None:
    behind = both(trusted_proxies=["127.0.0.1"])
    lines = [("x-forwarded-for", "192.0.2.7"), ("x-forwarded-proto", "https")]
    assert behind.get("/", headers=lines).json["at"] == ["https", "", "", "192.0.2.7"]
    assert BOTH.get("/", headers=lines).json["at"] == ["http", "", "", "127.0.0.1"]


def test_a_body_that_is_too_long_is_refused() -> None:
    answers = [
        both().get("/", method=method, body=b"x" * (MOST + 1), headers=[("accept", accept)])
        for method in ("POST", "PUT")
        for accept in ("*/*", "application/problem+json")
    ]
    assert [answer.status for answer in answers] == [413] * 4
    assert answers[0].code == "payload_too_large"
    assert answers[1].json["code"] == "payload_too_large"
    assert BOTH.get("/", method="POST", body=b"x" * MOST).status == 200


def test_a_head_has_the_length_of_what_get_answers_and_no_body() -> None:
    head, whole = BOTH.get("/", method="HEAD"), BOTH.get("/", method="BODY")
    assert head.body == b""
    assert int(head.header("content-length") or 0) == len(whole.body)
    assert head.status == 200


async def fails(_request: ManagementRequest, _offload: Any) -> ManagementAnswer:
    raise RuntimeError("nobody may read this")


def test_a_handler_that_fails_is_a_plain_500_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    answer = both(fails).get("/")
    assert (answer.status, answer.code) == (500, "internal_error")
    assert b"nobody" not in answer.body
    assert [record.exc_info is not None for record in caplog.records] == [True, True]
    assert answer.json["meta"]["request_id"] in caplog.records[0].getMessage()


def test_a_door_writes_its_own_answers_as_it_is_told() -> None:
    def page(_request: ManagementRequest, reason: Any) -> ManagementAnswer:
        return ManagementAnswer(reason.status, (("content-type", "text/html"),), reason.code.encode())

    gate = Gate(prefix="acme")
    app = served_by_asgi(fails, gate, most_body=1, refuse=page)
    assert through_asgi(app, Sent("GET", "/")).body == b"internal_error"
    assert through_wsgi(served_by_wsgi(fails, gate, most_body=1, refuse=page), Sent("GET", "/")).status == 500


def test_the_head_of_a_stream_alone_has_no_length() -> None:
    async def handle(_request: ManagementRequest, _offload: Any) -> ManagementAnswer:
        return ManagementAnswer(200, (("content-type", "text/event-stream"),), None)

    answer = both(handle).get("/", method="HEAD")
    assert answer.body == b""
    assert answer.header("content-length") is None


def test_the_hosts_own_request_is_at_hand_with_its_body() -> None:
    async def native(request: ManagementRequest, _offload: Any) -> ManagementAnswer:
        found = request.native
        body = await found.body() if hasattr(found, "body") else found.get_data()
        kind = type(found).__module__.partition(".")[0].encode()
        return ManagementAnswer(200, (), kind + b" " + body + found.headers["x-a"].encode())

    apps, sent = both(native), Sent("POST", "/", [("x-a", "!")], b"hello")
    assert through_asgi(apps.asgi, sent).body == b"starlette hello!"
    assert through_wsgi(apps.wsgi, sent).body == b"werkzeug hello!"


def test_behind_a_gate_the_request_has_the_gates_id() -> None:
    gate = Gate(prefix="acme", public=["/"])
    apps = Both(
        asgi.GateMiddleware(served_by_asgi(told, gate, most_body=1), gate),
        wsgi.GateMiddleware(served_by_wsgi(told, gate, most_body=1), gate),
    )
    assert len(apps.get("/").all("x-request-id")) == 1
    assert len(BOTH.get("/").all("x-request-id")) == 1


def test_other_kinds_of_connections_end_as_asgi_asks() -> None:
    async def spoken(kind: str, *messages: str) -> list[str]:
        waiting, sent = [{"type": message} for message in messages], []

        async def receive() -> Any:
            return waiting.pop(0)

        async def send(message: Any) -> None:
            sent.append(message["type"])

        await BOTH.asgi({"type": kind}, receive, send)
        return sent

    assert anyio.run(spoken, "lifespan", "lifespan.startup", "lifespan.shutdown") == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]
    assert anyio.run(spoken, "websocket", "websocket.connect") == ["websocket.close"]
    with pytest.raises(RuntimeError, match="unknown"):
        anyio.run(spoken, "telepathy")


def test_a_client_that_leaves_gets_nothing() -> None:
    async def left() -> list[Any]:
        sent: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": "/", "headers": [(b"content-length", b"3")]}
        await BOTH.asgi(scope, receive, send)
        return sent

    assert anyio.run(left) == []


def test_a_gate_with_an_async_store_is_refused_under_wsgi() -> None:
    with pytest.raises(ConfigurationError, match="store: the store is async"):
        served_by_wsgi(told, Gate(AsyncStore(), prefix="acme"), most_body=1)
