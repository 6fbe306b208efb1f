"""What only the ASGI door does: websockets, lifespan, mounts, streams."""

from __future__ import annotations

import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import pytest
from fastapi import FastAPI
from starlette.middleware.gzip import GZipMiddleware

from keystile import ConfigurationError, Gate, HmacHasher, Plan, Rule, asgi, current
from keystile._sync import Seldom
from keystile.limiters.memory import MemoryLimiter
from keystile.limiters.sqlite import SQLiteLimiter
from keystile.stores.memory import MemoryStore
from tests.doors import asgi_scope


@pytest.fixture
def gate() -> Gate:
    return Gate(prefix="acme", hasher=HmacHasher(b"p" * 16), rules=[Rule("GET /ws/admin", scopes=["admin"])])


def call(app: Any, scope: dict[str, Any], incoming: list[Any] | None = None) -> list[Any]:
    """The messages that an app sends; it may receive only what is given."""
    sent: list[Any] = []
    waiting = list(incoming or [])

    async def receive() -> Any:
        return waiting.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    anyio.run(app, scope, receive, send)
    return sent


async def nobody(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("the app ran")


async def chat(scope: Any, receive: Any, send: Any) -> None:
    assert current() is scope["keystile"]
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.accept", "headers": [(b"x-mine", b"1")]})
    await send({"type": "websocket.send", "text": current().principal.name})


def handshake(path: str, key: str | None, *, denial: bool = False) -> dict[str, Any]:
    headers = [] if key is None else [("x-api-key", key)]
    scope = asgi_scope("GET", path, headers, "127.0.0.1") | {"type": "websocket", "subprotocols": []}
    del scope["method"]
    return scope | ({"extensions": {"websocket.http.response": {}}} if denial else {})


def reserving(**settings: Any) -> Gate:
    plans = {"free": Plan(units={"tokens": "100/hour"})}
    rules = [Rule("/v1/*", reserve={"tokens": 40})]
    given = {"prefix": "acme", "hasher": HmacHasher(b"p" * 16), "plans": plans, "default_plan": "free", "rules": rules}
    return Gate(**given | settings)  # type: ignore[arg-type]


def tokens_left(gate: Gate) -> int:
    [key] = gate.keys.list()
    (usage,) = gate.limits.limiter.peek(gate.quotas.subject(key), gate.quotas.units_of(key))  # type: ignore[misc]
    return int(usage.remaining)


def test_a_websocket_is_settled_at_its_end() -> None:
    gate = reserving()
    secret = gate.keys.create("chatter").secret
    seen = []

    async def counting(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while (await receive())["type"] == "websocket.receive":
            current().charge(tokens=2)
            seen.append(tokens_left(gate))

    messages = [{"type": "websocket.receive", "text": "x"}] * 3
    incoming = [{"type": "websocket.connect"}, *messages, {"type": "websocket.disconnect", "code": 1000}]
    sent = call(asgi.GateMiddleware(counting, gate), handshake("/v1/chat", secret), incoming)
    assert (b"x-ratelimit-remaining-tokens", b"60") in sent[0]["headers"]
    assert seen == [60, 60, 60]
    assert tokens_left(gate) == 94


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("kind", ["memory", "sqlite", "blocking"])
def test_what_a_server_cancels_is_settled_all_the_same(backend: str, kind: str, tmp_path: Path) -> None:
    """hypercorn, for one, cancels the task of a request whose client is gone."""
    limiter: Any = MemoryLimiter() if kind == "memory" else SQLiteLimiter(tmp_path / "windows.db")
    if kind == "blocking":
        limiter.blocking = True
    gate = reserving(limiter=limiter)
    secret = gate.keys.create("chatter").secret
    scope = asgi_scope("GET", "/v1/chat", [("x-api-key", secret)], "127.0.0.1")

    async def endless(scope: Any, receive: Any, send: Any) -> None:
        current().charge(tokens=7)
        began.set()
        await anyio.sleep_forever()

    async def main() -> None:
        nonlocal began
        began = anyio.Event()
        async with anyio.create_task_group() as group:
            group.start_soon(asgi.GateMiddleware(endless, gate), scope, None, None)
            await began.wait()
            assert tokens_left(gate) == 60
            group.cancel_scope.cancel()
        with anyio.fail_after(20):
            while tokens_left(gate) != 93:  # noqa: ASYNC110 - it comes about in a task that nobody knows
                await anyio.sleep(0.001)

    began: Any = None
    anyio.run(main, backend=backend)


def test_a_key_that_may_get_may_not_open_a_websocket(gate: Gate) -> None:
    cases = {"GET /ws": False, "GET /*": False, "GET /ws/*": False, "WS /ws": True, "GET,WS /*": True, "/ws": True}
    for may, opens in cases.items():
        secret = gate.keys.create("chatter", may=[may]).secret
        sent = call(asgi.GateMiddleware(chat, gate), handshake("/ws", secret), [{"type": "websocket.connect"}])
        assert (sent[0]["type"] == "websocket.accept") is opens
        assert opens or sent == [{"type": "websocket.close", "code": 1008, "reason": "insufficient_scope"}]


def test_a_websocket_is_authenticated_at_its_handshake(gate: Gate) -> None:
    secret = gate.keys.create("chatter").secret
    sent = call(asgi.GateMiddleware(chat, gate), handshake("/ws", secret), [{"type": "websocket.connect"}])
    assert [message["type"] for message in sent] == ["websocket.accept", "websocket.send"]
    assert dict(sent[0]["headers"])[b"x-mine"] == b"1"
    assert dict(sent[0]["headers"])[b"x-request-id"].startswith(b"req_")
    assert sent[1] == {"type": "websocket.send", "text": "chatter"}


def test_a_refused_handshake_is_a_true_answer_where_the_server_can(gate: Gate) -> None:
    start, body = call(
        asgi.GateMiddleware(nobody, gate), handshake("/ws", None, denial=True), [{"type": "websocket.connect"}]
    )
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 401)
    assert (b"www-authenticate", b'Bearer realm="api"') in start["headers"]
    assert body["type"] == "websocket.http.response.body"
    assert b"missing_api_key" in body["body"]


def test_a_refused_handshake_is_closed_before_accept_elsewhere(gate: Gate) -> None:
    sent = call(asgi.GateMiddleware(nobody, gate), handshake("/ws", None), [{"type": "websocket.connect"}])
    assert sent == [{"type": "websocket.close", "code": 1008, "reason": "missing_api_key"}]


def test_a_rule_for_get_holds_the_handshake(gate: Gate) -> None:
    secret = gate.keys.create("plain").secret
    sent = call(asgi.GateMiddleware(nobody, gate), handshake("/ws/admin", secret), [{"type": "websocket.connect"}])
    assert sent[0]["reason"] == "insufficient_scope"


def test_no_handshake_is_a_preflight() -> None:
    gate = Gate(prefix="acme", hasher=HmacHasher(b"p" * 16), preflight="pass")
    wanted = [(b"origin", b"https://app.example"), (b"access-control-request-method", b"GET")]
    for method in ({}, {"method": "OPTIONS"}):
        scope = handshake("/ws", None) | {"headers": wanted} | method
        sent = call(asgi.GateMiddleware(nobody, gate), scope, [{"type": "websocket.connect"}])
        assert sent == [{"type": "websocket.close", "code": 1008, "reason": "missing_api_key"}]


@pytest.mark.parametrize("name", ["x_http_method_override", "access_control_request_method", "Origin"])
def test_a_preflight_has_no_line_that_an_app_may_fold_into_it(name: str) -> None:
    gate = Gate(prefix="acme", hasher=HmacHasher(b"p" * 16), preflight="pass")
    lines = [
        (b"origin", b"https://app.example"),
        (b"access-control-request-method", b"GET"),
        (name.encode(), b"DELETE"),
    ]
    scope = asgi_scope("OPTIONS", "/v1", [], None) | {"headers": lines}
    assert call(asgi.GateMiddleware(nobody, gate), scope)[0]["status"] == 401


def test_lifespan_passes_untouched(gate: Gate) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope, await receive()))
        await send({"type": "lifespan.startup.complete"})

    scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
    sent = call(asgi.GateMiddleware(app, gate), scope, [{"type": "lifespan.startup"}])
    assert sent == [{"type": "lifespan.startup.complete"}]
    assert seen == [(scope, {"type": "lifespan.startup"})]
    assert "keystile" not in scope


@pytest.mark.parametrize("kind", ["http2", "webtransport", "", "LIFESPAN"])
def test_a_scope_that_cannot_be_guarded_is_refused(gate: Gate, kind: str) -> None:
    with pytest.raises(RuntimeError, match="cannot be guarded"):
        call(asgi.GateMiddleware(nobody, gate), {"type": kind, "headers": [], "path": "/"})


@pytest.mark.parametrize("twin", ["api_key", "x_api_key", "X_API-Key"])
def test_an_underscore_twin_is_refused_alone_and_beside_a_good_key(gate: Gate, twin: str) -> None:
    secret = gate.keys.create("key").secret
    for headers in (
        [(twin, secret)],
        [(twin, "evil"), ("x-api-key", secret)],
        [("authorization", "Basic x"), (twin, secret)],
    ):
        start, body = call(asgi.GateMiddleware(nobody, gate), asgi_scope("GET", "/v1", headers, None))
        assert start["status"] == 400
        assert b"invalid_request" in body["body"]


def test_header_names_in_upper_case_are_read(gate: Gate) -> None:
    scope = asgi_scope("GET", "/v1", [], None)
    scope["headers"] = [(b"X-API-KEY", gate.keys.create("key").secret.encode()), (b"X_Api_Key", b"evil")]
    assert call(asgi.GateMiddleware(nobody, gate), scope)[0]["status"] == 400


@pytest.mark.parametrize(
    ("path", "root_path", "status"),
    [
        ("/health", "", 200),
        ("/api/health", "/api", 200),
        ("/health", "/api", 200),
        ("/api/health", "", 401),
        ("/apihealth", "/api", 401),
        ("/api/api/health", "/api", 401),
        ("/api", "/api", 401),
    ],
)
def test_paths_are_relative_to_the_mount(path: str, root_path: str, status: int) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body"})

    gate = Gate(public=["/health"])
    scope = asgi_scope("GET", path, [], None) | {"root_path": root_path}
    start, _ = call(asgi.GateMiddleware(app, gate), scope)
    assert start["status"] == status
    assert any(name == b"x-request-id" for name, _ in start["headers"])


def test_a_stream_leaves_as_it_comes(gate: Gate) -> None:
    order: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [], "trailers": True})
        for number in range(3):
            order.append(f"made {number}")
            await send({"type": "http.response.body", "body": b"x", "more_body": number < 2})
        await send({"type": "http.response.trailers", "headers": [(b"x-t", b"1")], "more_trailers": False})

    async def send(message: Any) -> None:
        order.append(message["type"])

    async def go() -> None:
        scope = asgi_scope("GET", "/v1", [("x-api-key", secret)], None)
        await asgi.GateMiddleware(app, gate)(scope, go, send)  # type: ignore[arg-type]

    secret = gate.keys.create("key").secret
    anyio.run(go)
    body = "http.response.body"
    assert order == ["http.response.start", "made 0", body, "made 1", body, "made 2", body, "http.response.trailers"]


def test_an_exception_of_the_app_reaches_the_server(gate: Gate) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise ZeroDivisionError

    secret = gate.keys.create("key").secret
    with pytest.raises(ZeroDivisionError):
        call(asgi.GateMiddleware(app, gate), asgi_scope("GET", "/v1", [("x-api-key", secret)], None))
    with pytest.raises(LookupError):
        current()


def test_only_a_gate_can_guard() -> None:
    with pytest.raises(ConfigurationError, match="gate: expected a Gate, got str"):
        asgi.GateMiddleware(nobody, gate="memory://")  # type: ignore[arg-type]


def test_a_gate_stands_before_an_app_once(gate: Gate) -> None:
    app = FastAPI()
    app.add_middleware(asgi.GateMiddleware, gate=gate)
    for inside in (app, asgi.GateMiddleware(nobody, gate)):
        with pytest.raises(ConfigurationError, match="gate: stands before this app already"):
            asgi.GateMiddleware(inside, gate)
    asgi.GateMiddleware(app, Gate())  # another one decides on other things


@pytest.mark.parametrize("path", ["/v1/exports", "/api/v1/exports"])
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_prefix_that_the_app_takes_off_itself_dodges_no_rule(path: str, wrapped: bool) -> None:
    app: Any = FastAPI()
    app.root_path = "/api"
    app.add_api_route("/v1/exports", lambda: "exported", methods=["POST"])
    if wrapped:
        app = GZipMiddleware(app)
    gate = Gate(hasher=HmacHasher(b"p" * 16), rules=[Rule("POST /v1/exports", scopes=["exports:write"])])
    secret = gate.keys.create("plain").secret
    scope = asgi_scope("POST", path, [("x-api-key", secret)], None)
    start, body = call(asgi.GateMiddleware(app, gate), scope)
    assert start["status"] == 403
    assert b"insufficient_scope" in body["body"]


def test_what_is_no_app_is_refused(gate: Gate) -> None:
    with pytest.raises(ConfigurationError, match="app: expected an app for ASGI, got NoneType"):
        asgi.GateMiddleware(None, gate)  # type: ignore[arg-type]


def test_an_enveloped_stream_leaves_as_it_comes() -> None:
    gate = Gate(prefix="acme", hasher=HmacHasher(b"p" * 16), envelope=True)
    order: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert "http.response.pathsend" not in scope["extensions"]
        assert "http.response.early_hint" in scope["extensions"]
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers, "trailers": True})
        for number in range(3):
            order.append(f"made {number}")
            await send({"type": "http.response.body", "body": b"%d" % number, "more_body": number < 2})
        await send({"type": "http.response.trailers", "headers": [], "more_trailers": False})

    async def send(message: Any) -> None:
        order.append(message.get("body", b"").partition(b',"meta"')[0].decode() or message["type"])

    async def go() -> None:
        extensions = {"http.response.pathsend": {}, "http.response.early_hint": {}}
        scope = asgi_scope("GET", "/v1", [("x-api-key", secret)], None) | {"extensions": extensions}
        await asgi.GateMiddleware(app, gate)(scope, go, send)  # type: ignore[arg-type]

    secret = gate.keys.create("key").secret
    anyio.run(go)
    assert order == [
        "made 0",  # the head goes out with the first octets: they show whether it is JSON
        "http.response.start",
        '{"data":0',
        "made 1",
        "1",
        "made 2",
        "2",
        "http.response.trailers",
    ]


def test_what_follows_an_error_that_was_replaced_is_dropped() -> None:
    gate = Gate(prefix="acme", hasher=HmacHasher(b"p" * 16), envelope=True)
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 400, "headers": [], "trailers": True})
        for _ in range(3):
            await send({"type": "http.response.body", "body": b"x" * 50_000, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
        await send({"type": "http.response.trailers", "headers": [], "more_trailers": False})

    async def send(message: Any) -> None:
        sent.append(message)

    async def go() -> None:
        scope = asgi_scope("GET", "/v1", [("x-api-key", secret)], None)
        await asgi.GateMiddleware(app, gate)(scope, go, send)  # type: ignore[arg-type]

    secret = gate.keys.create("key").secret
    anyio.run(go)
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert "trailers" not in sent[0]


def test_a_client_that_leaves_before_its_body_is_whole_reaches_no_app() -> None:
    gate = Gate(prefix="acme", hasher=HmacHasher(b"p" * 16), require_json=True)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError

    waiting: list[Any] = [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]

    async def receive() -> Any:
        return waiting.pop(0)

    async def go() -> None:
        fields = [("x-api-key", secret), ("content-type", "application/json"), ("content-length", "9")]
        scope = asgi_scope("POST", "/v1", fields, None)
        await asgi.GateMiddleware(app, gate)(scope, receive, app)  # type: ignore[arg-type]

    secret = gate.keys.create("key").secret
    anyio.run(go)
    assert waiting == []


def watched(gate: Gate, app: Any, incoming: list[Any]) -> list[Any]:
    """What a websocket's client gets, of an app behind a gate that rechecks."""
    sent: list[Any] = []

    async def receive() -> Any:
        return incoming.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    async def go() -> None:
        scope = asgi_scope("GET", "/live", [("x-api-key", gate.secret)], None) | {"type": "websocket"}  # type: ignore[attr-defined]
        await asgi.GateMiddleware(app, gate)(scope, receive, send)

    anyio.run(go)
    return sent


@pytest.mark.parametrize("end", ["receive", "send"])
def test_a_websocket_whose_key_ends_is_closed_on_its_next_message(end: str) -> None:
    gate = Gate(prefix="acme", hasher=HmacHasher(b"p" * 16), recheck_in_flight=True)
    issued = gate.keys.create("key")
    gate.secret = issued.secret  # type: ignore[attr-defined]
    got: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert (await receive())["type"] == "websocket.connect"
        await send({"type": "websocket.accept"})
        got.append(await receive())
        await send({"type": "websocket.send", "text": "before"})
        gate.keys.revoke(issued.key.id)
        if end == "receive":
            got.append(await receive())
        await send({"type": "websocket.send", "text": "after"})
        if end == "send":
            got.append(await receive())

    text = {"type": "websocket.receive", "text": "x"}
    sent = watched(gate, app, [{"type": "websocket.connect"}, dict(text), dict(text)])
    assert [message["type"] for message in sent] == ["websocket.accept", "websocket.send", "websocket.close"]
    assert (sent[1]["text"], sent[2]["code"], sent[2]["reason"]) == ("before", 1008, "revoked_api_key")
    assert [message["type"] for message in got] == ["websocket.receive", "websocket.disconnect"]
    assert got[1]["code"] == 1008


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"expires_at": datetime(2020, 1, 1, tzinfo=UTC)}, "expired_api_key"),
        ({"scopes": ()}, "insufficient_scope"),
        ({"ip_allowlist": ("192.0.2.1",)}, "ip_not_allowed"),
    ],
)
def test_a_websocket_is_judged_whole_on_its_next_message(changes: dict[str, Any], code: str) -> None:
    rules = [Rule("/live", scopes=["read"])]
    store = MemoryStore()
    gate = Gate(store, prefix="acme", hasher=HmacHasher(b"p" * 16), recheck_in_flight=True, rules=rules)
    issued = gate.keys.create("key", scopes=["read"])
    gate.secret = issued.secret  # type: ignore[attr-defined]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await receive()
        store.update(issued.key.id, store.find(issued.key.id).revision, changes, ())  # type: ignore[union-attr]
        assert await receive() == {"type": "websocket.disconnect", "code": 1008}

    text = {"type": "websocket.receive", "text": "x"}
    sent = watched(gate, app, [{"type": "websocket.connect"}, dict(text), dict(text)])
    assert sent[-1] == {"type": "websocket.close", "code": 1008, "reason": code}


@pytest.mark.parametrize("ends", [True, False])
@pytest.mark.parametrize("way", ["denial", "empty first", "reason"])
def test_nothing_that_a_websocket_is_told_leaves_after_its_key_ended(way: str, ends: bool) -> None:
    gate = Gate(prefix="acme", hasher=HmacHasher(b"p" * 16), recheck_in_flight=True)
    issued = gate.keys.create("key")
    gate.secret = issued.secret  # type: ignore[attr-defined]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        if way != "reason":
            await send({"type": "websocket.http.response.start", "status": 403, "headers": []})
        if way == "empty first":
            await send({"type": "websocket.http.response.body", "body": b"", "more_body": True})
        if ends:
            gate.keys.revoke(issued.key.id)
        if way == "reason":
            return await send({"type": "websocket.close", "code": 4000, "reason": "of the app"})
        await send({"type": "websocket.http.response.body", "body": b"of the app", "more_body": True})
        return await send({"type": "websocket.http.response.body", "body": b""})

    sent = watched(gate, app, [{"type": "websocket.connect"}])
    if ends:
        assert sent == [{"type": "websocket.close", "code": 1008, "reason": "revoked_api_key"}]
    elif way == "reason":
        assert sent == [{"type": "websocket.close", "code": 4000, "reason": "of the app"}]
    else:
        assert [message["type"].rpartition(".")[2] for message in sent] == ["start", "body", "body"]
        assert sent[1]["body"] == b"of the app"


def test_an_app_that_goes_on_after_its_stream_was_cut_does_not_end_it() -> None:
    """Nothing more leaves, and the server is not told that the answer is whole."""
    gate = Gate(prefix="acme", hasher=HmacHasher(b"p" * 16), recheck_in_flight=True)
    issued = gate.keys.create("key")
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"1", "more_body": True})
        gate.keys.revoke(issued.key.id)
        for octets in (b"2", b""):
            with suppress(OSError):
                await send({"type": "http.response.body", "body": octets, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def send(message: Any) -> None:
        sent.append(message)

    async def go() -> None:
        scope = asgi_scope("GET", "/v1", [("x-api-key", issued.secret)], None)
        with pytest.raises(ConnectionResetError):
            await asgi.GateMiddleware(app, gate)(scope, send, send)

    anyio.run(go)
    assert [message.get("body") for message in sent] == [None, b"1"]
    assert sent[-1]["more_body"]


def test_nothing_of_the_app_leaves_before_its_key_is_looked_at_again() -> None:
    """Neither hints nor files: a server sends these by messages of their own."""
    gate = Gate(prefix="acme", hasher=HmacHasher(b"p" * 16), recheck_in_flight=True)
    issued = gate.keys.create("key")
    seen: list[Any] = []
    ends = False

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(sorted(scope["extensions"]))
        await send({"type": "http.response.early_hint", "links": [b"</style.css>; rel=preload"]})
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.debug", "info": {}})
        if ends:
            gate.keys.revoke(issued.key.id)
        await send({"type": "http.response.body", "body": b"of the app", "more_body": True})
        await send({"type": "http.response.body", "body": b""})
        await send({"type": "http.response.trailers", "headers": []})

    def ask() -> list[str]:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        async def go() -> None:
            extensions = {"http.response.pathsend": {}, "http.response.zerocopysend": {}, "other": {}}
            scope = asgi_scope("GET", "/v1", [("x-api-key", issued.secret)], None) | {"extensions": extensions}
            await asgi.GateMiddleware(app, gate)(scope, send, send)
            assert scope["extensions"] is extensions  # middleware around us reads it

        anyio.run(go)
        return [message["type"].removeprefix("http.response.") for message in sent]

    assert ask() == ["early_hint", "start", "debug", "body", "body", "trailers"]
    ends = True
    assert ask() == ["start", "body"]
    assert seen == [["other"], ["other"]]


@pytest.mark.parametrize("settings", [{}, {"trusted_proxies": ["10.0.0.0/8"]}, {"trusted_hops": 1}])
@pytest.mark.parametrize("client", [("6.6.6.6", 0), ("6.6.6.6", 4444), ("10.0.0.7", 4444)])
def test_a_peer_that_a_header_named_opens_no_allowlist(
    client: Any, settings: dict[str, Any], caplog: Any, monkeypatch: Any
) -> None:
    now = [1000.0]
    gate = Gate(prefix="acme", hasher=HmacHasher(b"p" * 16), **settings)
    monkeypatch.setattr(gate.transport, "_seldom", Seldom(lambda: now[0]))
    secret = gate.keys.create("key", ip_allowlist=["6.6.6.6", "10.0.0.7"]).secret
    # As uvicorn writes it: the port is 0, or what stands in the header.
    forwarded = f"{client[0]}:{client[1]}, 6.6.6.6" if client[1] else client[0]

    def status(headers: list[Any] | None = None) -> Any:
        fields = [("x-api-key", secret), ("x-forwarded-for", forwarded)] if headers is None else headers
        return call(asgi.GateMiddleware(nothing, gate), asgi_scope("GET", "/v1", fields, None) | {"client": client})[0][
            "status"
        ]

    assert [status(), status()] == [403, 403]
    now[0] += 59
    assert status() == 403
    assert len([record for record in caplog.records if "--no-proxy-headers" in record.getMessage()]) == 1
    now[0] += 1
    assert status() == 403
    assert len([record for record in caplog.records if "--no-proxy-headers" in record.getMessage()]) == 2
    if client[1] == 0:
        assert status([("x-api-key", secret)]) == 403


def test_clients_whose_peers_a_header_named_are_counted_together() -> None:
    """Else everybody could have as many windows as there are addresses."""
    gate = Gate(prefix="acme", hasher=HmacHasher(b"p" * 16), public=["/open"], anonymous_limits="2/day")
    statuses = []
    for number in range(3):
        scope = asgi_scope("GET", "/open", [("x-forwarded-for", f"6.6.6.{number}")], None)
        [start, _] = call(asgi.GateMiddleware(nothing, gate), scope | {"client": (f"6.6.6.{number}", 0)})
        statuses.append(start["status"])
    assert statuses == [204, 204, 429]


def merging(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where uvicorn runs with httptools."""
    monkeypatch.setitem(sys.modules, "uvicorn.protocols.http.httptools_impl", sys)


CHUNKED = ("transfer-encoding", "chunked")


def test_a_key_that_may_be_a_trailer_is_none(monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    gate = Gate(prefix="acme", hasher=HmacHasher(b"p" * 16))
    key = ("x-api-key", gate.keys.create("key").secret)
    cases = [([CHUNKED, key], 400), ([key, CHUNKED], 204), ([key, CHUNKED, ("api-key", "x")], 400), ([key], 204)]
    cases += [([key, CHUNKED, CHUNKED], 204), ([CHUNKED, key, CHUNKED], 400), ([CHUNKED], 401)]
    cases += [([key, CHUNKED, ("x_api_key", "x")], 400), ([key, CHUNKED, ("x-other", "x")], 204)]
    for fields, status in cases:
        statuses = []
        for merges in (False, True):
            with monkeypatch.context() as patch:
                if merges:
                    merging(patch)
                scope = asgi_scope("POST", "/v1", fields, None)
                statuses.append(call(asgi.GateMiddleware(nothing, gate), scope)[0]["status"])
        assert statuses[1] == status, fields
        assert statuses[0] == (204 if fields in ([CHUNKED, key], [CHUNKED, key, CHUNKED]) else status), fields
    assert len([record for record in caplog.records if "--http h11" in record.getMessage()]) == 1


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP"])
def test_a_client_whom_a_trailer_may_name_is_unknown(header: str, monkeypatch: pytest.MonkeyPatch) -> None:
    merging(monkeypatch)
    gate = Gate(prefix="acme", hasher=HmacHasher(b"p" * 16), trusted_proxies=["10.0.0.1"], client_header=header)
    secret = gate.keys.create("key", ip_allowlist=["9.9.9.9"]).secret
    named = (header, "for=9.9.9.9" if header == "Forwarded" else "9.9.9.9")
    for fields, status in (([named, CHUNKED], 204), ([CHUNKED, named], 403), ([named, CHUNKED, named], 403)):
        scope = asgi_scope("POST", "/v1", [("x-api-key", secret), *fields], "10.0.0.1")
        assert call(asgi.GateMiddleware(nothing, gate), scope)[0]["status"] == status


@pytest.mark.parametrize("settings", [{}, {"trusted_proxies": ["10.0.0.1"]}])
def test_a_scheme_that_a_trailer_may_name_is_not_believed(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    merging(monkeypatch)
    gate = Gate(prefix="acme", hasher=HmacHasher(b"p" * 16), https="require", **settings)
    secret = gate.keys.create("key").secret
    proto = ("x-forwarded-proto", "https")
    for fields, status in (([proto, CHUNKED], 204), ([CHUNKED, proto], 403), ([proto], 204)):
        scope = asgi_scope("POST", "/v1", [("x-api-key", secret), *fields], "10.0.0.1") | {"scheme": "https"}
        assert call(asgi.GateMiddleware(nothing, gate), scope)[0]["status"] == status


def test_a_content_type_that_may_be_a_trailer_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    merging(monkeypatch)
    gate = Gate(prefix="acme", hasher=HmacHasher(b"p" * 16), require_json=True)
    key, kind = ("x-api-key", gate.keys.create("key").secret), ("content-type", "application/json")
    body = {"type": "http.request", "body": b"{}", "more_body": False}
    for fields, status in (([key, kind, CHUNKED], 204), ([key, CHUNKED, kind], 415), ([key, kind, CHUNKED, kind], 204)):
        scope = asgi_scope("POST", "/v1", fields, None)
        assert call(asgi.GateMiddleware(nothing, gate), scope, [dict(body)])[0]["status"] == status


async def nothing(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def test_an_underscore_twin_of_the_forwarded_header_makes_the_client_unknown() -> None:
    gate = Gate(prefix="acme", hasher=HmacHasher(b"p" * 16), trusted_proxies=["10.0.0.0/8"])
    secret = gate.keys.create("key", ip_allowlist=["9.9.9.9"]).secret
    headers = [("x-api-key", secret), ("x-forwarded-for", "9.9.9.9")]
    for extra, status in (([], 204), ([("x_forwarded_for", "9.9.9.9")], 403)):
        scope = asgi_scope("GET", "/v1", [*headers, *extra], "10.0.0.1")
        assert call(asgi.GateMiddleware(nothing, gate), scope)[0]["status"] == status


@pytest.mark.parametrize("https", ["require", "redirect"])
def test_a_plain_websocket_is_refused_where_https_is_demanded(https: str) -> None:
    gate = Gate(prefix="acme", hasher=HmacHasher(b"p" * 16), https=https, public_url="https://a.example")
    gate.secret = gate.keys.create("key").secret  # type: ignore[attr-defined]
    sent = watched(gate, nothing, [{"type": "websocket.connect"}])
    assert [(message["type"], message.get("reason")) for message in sent] == [("websocket.close", "https_required")]


def test_what_the_app_leaves_in_the_scope_is_there_for_middleware_around_the_gate() -> None:
    gate = Gate(prefix="acme", hasher=HmacHasher(b"p" * 16), envelope=True)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert dict(scope["headers"]).keys() == {b"x-api-key"}
        scope["route"] = "/x/{i}"
        await nothing(scope, receive, send)

    headers = [("x-api-key", gate.keys.create("key").secret), ("accept-encoding", "gzip")]
    scope = asgi_scope("GET", "/x/1", headers, None) | {"extensions": {"http.response.pathsend": {}}}
    call(asgi.GateMiddleware(app, gate), scope)
    assert scope["route"] == "/x/{i}"
    assert dict(scope["headers"])[b"accept-encoding"] == b"gzip"
    assert "http.response.pathsend" in scope["extensions"]


def test_headers_may_be_any_iterable() -> None:
    gate = Gate(prefix="acme", hasher=HmacHasher(b"p" * 16), envelope=True)
    secret = gate.keys.create("key").secret

    def answering(status: int, *fields: tuple[bytes, bytes]) -> Any:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": status, "headers": iter(fields)})
            await send({"type": "http.response.body", "body": b"{}", "more_body": False})

        return call(asgi.GateMiddleware(app, gate), asgi_scope("GET", "/", [("x-api-key", secret)], None))

    json, cookie = (b"content-type", b"application/json"), (b"set-cookie", b"a=1")
    for status in (200, 404):
        assert cookie in answering(status, json, cookie)[0]["headers"]
    assert answering(200, json, (b"content-encoding", b"gzip"))[1]["body"] == b"{}"


def test_an_empty_chunk_decides_nothing_before_the_first_octets_and_goes_on_behind_them() -> None:
    gate = Gate(prefix="acme", hasher=HmacHasher(b"p" * 16), envelope=True)
    secret = gate.keys.create("key").secret

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        for chunk in (b"", b"1", b""):
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"2"})

    sent = call(asgi.GateMiddleware(app, gate), asgi_scope("GET", "/", [("x-api-key", secret)], None))
    assert [message.get("body", b"").partition(b",")[0] for message in sent] == [b"", b'{"data":1', b"", b"2"]


def test_a_fault_that_was_answered_is_no_failure_of_the_server() -> None:
    from keystile import InvalidRequest

    app = FastAPI()

    @app.get("/q")
    async def query() -> list[int]:
        current().page_params()
        raise AssertionError

    gate = Gate(prefix="acme", hasher=HmacHasher(b"p" * 16), envelope=True)
    secret = gate.keys.create("key").secret
    scope = asgi_scope("GET", "/q?limit=z", [("x-api-key", secret)], None)
    sent = call(asgi.GateMiddleware(app, gate), scope)  # it raises nothing
    assert sent[0]["status"] == 400
    assert issubclass(InvalidRequest, ValueError)


def test_links_know_the_prefix_that_the_app_itself_takes_off() -> None:
    from keystile.answers.pages import Page

    app = FastAPI()
    app.root_path = "/api"

    @app.get("/v1/x")
    async def rows() -> list[int]:
        return current().paginate(Page.from_rows([1, 2], current().page_params(default=1), key=lambda row: row))

    gate = Gate(prefix="acme", hasher=HmacHasher(b"p" * 16), envelope=True, cursor_secrets=[b"s" * 16])
    secret = gate.keys.create("key").secret
    for path in ("/v1/x", "/api/v1/x"):
        scope = asgi_scope("GET", path, [("x-api-key", secret)], None)
        headers = dict(call(asgi.GateMiddleware(app, gate), scope)[0]["headers"])
        assert headers[b"link"].startswith(b"</api/v1/x?")


@pytest.mark.parametrize("kind", [b"application/json", b"text/plain"])
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_head_of_an_endless_stream_is_answered_and_holds_up_nobody(kind: bytes, backend: str) -> None:
    gate = Gate(prefix="acme", hasher=HmacHasher(b"p" * 16), envelope=True)
    secret, sent = gate.keys.create("key").secret, []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
        while True:
            await send({"type": "http.response.body", "body": b"[1", "more_body": True})

    async def send(message: Any) -> None:
        sent.append(message)

    async def go() -> None:
        scope = asgi_scope("HEAD", "/v1", [("x-api-key", secret)], None)
        with anyio.move_on_after(0.05):
            await asgi.GateMiddleware(app, gate)(scope, send, send)

    anyio.run(go, backend=backend)
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert sent[1] == {"type": "http.response.body", "body": b""}
