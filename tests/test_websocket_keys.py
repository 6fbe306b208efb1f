"""Keys of websockets: among the subprotocols, and in what browsers add on their own. In process and on real servers."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import websockets
import websockets.exceptions

from keystile import ConfigurationError, Gate, HmacHasher, Rule, asgi, current, wsgi
from keystile.policy import CREDENTIAL_FORMS
from keystile.stores.memory import MemoryStore
from tests.selection import some
from tests.servers import COMMANDS, Server, serving
from tests.test_asgi import call, handshake

PLACE = "Sec-WebSocket-Protocol"
# The other of the two libraries with which uvicorn speaks websockets.
WSPROTO = ["uvicorn", "--ws", "wsproto", "--port", "{port}", "{module}:asgi_app"]
COMMANDS["uvicorn-wsproto"] = WSPROTO
CONNECT = [{"type": "websocket.connect"}]
ROOT = Path(__file__).resolve().parents[1]
HASHER = HmacHasher(b"p" * 16)
STORE = MemoryStore()
Served = tuple[Server, str, Path]


def gate_with(**settings: Any) -> Gate:
    usual: dict[str, Any] = {"accept": [*CREDENTIAL_FORMS, PLACE], "public": ["/open"]}
    return Gate(STORE, prefix="acme", hasher=HASHER, **usual | settings)


SECRET = gate_with().keys.create("chatter").secret
OTHER = gate_with().keys.create("other").secret


def offering(*lines: str, path: str = "/ws", more: tuple[tuple[str, str], ...] = ()) -> dict[str, Any]:
    scope = handshake(path, None)
    scope["headers"] = [(b"sec-websocket-protocol", line.encode()) for line in lines]
    scope["headers"] += [(name.encode(), value.encode()) for name, value in more]
    scope["subprotocols"] = [word.strip() for line in lines for word in line.split(",")]
    return scope


def through(gate: Gate, scope: dict[str, Any], chosen: dict[str, Any] | None = None) -> tuple[list[Any], list[Any]]:
    """What goes out, and the scopes that the app saw."""
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        seen.append((dict(scope), current().principal))
        await send({"type": "websocket.accept"} | (chosen or {}))
        await send({"type": "websocket.send", "text": "hello"})

    return call(asgi.GateMiddleware(app, gate), scope, list(CONNECT)), seen


@pytest.mark.parametrize("settings", [{}, {"recheck_in_flight": True}, {"hide_credentials": True}], ids=str)
def test_a_key_among_the_subprotocols_admits_and_is_answered_with_keystile(settings: dict[str, Any]) -> None:
    sent, [(scope, principal)] = through(gate_with(**settings), offering(f"chat, keystile, {SECRET}", "other"))
    assert principal.name == "chatter"
    assert (sent[0]["type"], sent[0]["subprotocol"]) == ("websocket.accept", "keystile")
    assert scope["subprotocols"] == ["chat", "other"]
    assert dict(scope["headers"])[b"sec-websocket-protocol"] == b"chat, other"
    assert SECRET not in repr(sent) + repr({name: value for name, value in scope.items() if name != "keystile"})


@pytest.mark.parametrize("settings", [{}, {"hide_credentials": True}, {"accept": CREDENTIAL_FORMS}], ids=str)
def test_an_offer_that_the_server_takes_out_of_the_headers_is_read_and_hidden_all_the_same(
    settings: dict[str, Any],
) -> None:
    scope = offering("chat", f"keystile, {SECRET}", path="/feed") | {"headers": []}
    gate = gate_with(rules=[Rule("/feed", public="optional")], **settings)
    reads = "accept" not in settings
    _, [(scope, principal)] = through(gate, scope)
    assert (principal is not None) is reads
    assert (scope["headers"], scope["subprotocols"] == ["chat"]) == ([], reads)
    bad = offering("keystile", f"{SECRET[:-1]}!", path="/feed") | {"headers": []}
    assert len(through(gate, bad)[1]) == (0 if reads else 1)
    alone = offering(SECRET, path="/feed") | {"headers": []}
    assert len(through(gate, alone)[1]) == (0 if reads else 1)


@pytest.mark.parametrize(
    ("chosen", "subprotocol"),
    [
        ({"subprotocol": "chat"}, "chat"),
        ({"subprotocol": None}, "keystile"),
        ({"subprotocol": ""}, "keystile"),
        ({"headers": [(b"Sec-WebSocket-Protocol", b"chat")]}, None),
    ],
)
def test_the_app_may_choose_another(chosen: dict[str, Any], subprotocol: str | None) -> None:
    sent, _ = through(gate_with(), offering("chat", f"keystile,{SECRET}"), chosen)
    assert sent[0].get("subprotocol") == subprotocol


def test_where_only_the_key_was_offered_the_app_sees_no_offer() -> None:
    _, [(scope, _)] = through(gate_with(), offering(f"keystile, {SECRET}"))
    assert scope["subprotocols"] == []
    assert b"sec-websocket-protocol" not in dict(scope["headers"])


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        ([SECRET], "invalid_request"),
        ([f"chat, {SECRET}"], "invalid_request"),
        ([f"keystile, {SECRET}, {OTHER}"], "invalid_request"),
        ([f"keystile, {SECRET}", SECRET], "invalid_request"),
        ([f"keystile, {SECRET} x"], "invalid_request"),
        ([f"keystile, {SECRET[:-1]}!"], "invalid_api_key"),
        (["keystile"], "missing_api_key"),
        (["keystile, chat"], "missing_api_key"),
        ([], "missing_api_key"),
    ],
)
def test_an_offer_without_exactly_one_key_and_keystile_is_refused(lines: list[str], code: str) -> None:
    sent, seen = through(gate_with(), offering(*lines))
    assert sent == [{"type": "websocket.close", "code": 1008, "reason": code}]
    assert seen == []


def test_a_key_that_differs_in_another_place_is_one_too_many() -> None:
    scope = offering(f"keystile, {SECRET}", more=(("x-api-key", OTHER),))
    assert through(gate_with(), scope)[0][0]["reason"] == "invalid_request"
    scope = offering(f"keystile, {SECRET}", more=(("x-api-key", SECRET),))
    assert through(gate_with(), scope)[0][0]["type"] == "websocket.accept"
    scope = offering(f"keystile, {SECRET}", more=(("sec_websocket_protocol", "x"),))
    assert through(gate_with(), scope)[0][0]["reason"] == "invalid_request"


def test_a_rule_may_accept_it_for_its_path_alone() -> None:
    gate = gate_with(accept=CREDENTIAL_FORMS, rules=[Rule("/ws", accept=[PLACE])])
    assert through(gate, offering(f"keystile, {SECRET}"))[0][0]["type"] == "websocket.accept"
    assert through(gate, offering(f"keystile, {SECRET}", path="/other"))[0][0]["reason"] == "missing_api_key"
    assert through(gate, offering(more=(("x-api-key", SECRET),)))[0][0]["reason"] == "missing_api_key"
    off = gate_with(accept=CREDENTIAL_FORMS)
    assert through(off, offering(f"keystile, {SECRET}"))[0][0]["reason"] == "missing_api_key"


def test_on_a_public_path_the_key_is_taken_out_all_the_same() -> None:
    sent, [(scope, principal)] = through(gate_with(), offering(f"chat, keystile, {SECRET}", path="/open"))
    assert (principal, scope["subprotocols"], sent[0]["subprotocol"]) == (None, ["chat"], "keystile")
    sent, [(scope, _)] = through(gate_with(), offering("chat, keystile", path="/open"))
    assert (scope["subprotocols"], "subprotocol" in sent[0]) == (["chat", "keystile"], False)


def test_an_optional_websocket_is_anonymous_without_a_key() -> None:
    gate = gate_with(rules=[Rule("/ws", public="optional")])
    assert through(gate, offering("chat"))[1][0][1] is None
    assert through(gate, offering(f"keystile, {SECRET}"))[1][0][1].name == "chatter"
    assert through(gate, offering(f"keystile, {SECRET[:-1]}!"))[0][0]["reason"] == "invalid_api_key"


def test_no_other_request_has_subprotocols() -> None:
    scope = offering(f"keystile, {SECRET}") | {"type": "http", "method": "GET", "scheme": "http"}
    sent = call(asgi.GateMiddleware(wrong_app, gate_with()), scope)
    assert sent[0]["status"] == 401
    assert b"missing_api_key" in sent[1]["body"]


async def wrong_app(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("the app ran")


def test_wsgi_has_no_websockets_and_says_so_when_it_is_built() -> None:
    for gate in (gate_with(), gate_with(accept=CREDENTIAL_FORMS, rules=[Rule("/ws", accept=[PLACE])])):
        with pytest.raises(ConfigurationError, match=r"WSGI does not have: use keystile\.asgi") as caught:
            wsgi.GateMiddleware(lambda environ, start_response: [], gate)
        assert caught.value.key == "accept"


@pytest.mark.parametrize(
    ("origin", "host", "scheme", "settings", "admitted"),
    [
        (None, "api.example.com", "wss", {}, True),
        ("https://api.example.com", "api.example.com", "wss", {}, True),
        ("https://evil.example", "api.example.com", "wss", {}, False),
        ("null", "api.example.com", "wss", {}, False),
        ("http://api.example.com", "api.example.com", "wss", {}, False),
        ("https://api.example.com", "inner", "ws", {"public_url": "https://api.example.com"}, True),
        ("https://inner", "inner", "wss", {"public_url": "https://api.example.com"}, False),
    ],
)
def test_a_browser_cannot_be_made_to_open_a_websocket_with_basic_for_another_origin(
    origin: str | None, host: str, scheme: str, settings: dict[str, Any], admitted: bool
) -> None:
    pair = b64encode(f"{SECRET}:".encode()).decode()
    more = [("authorization", f"Basic {pair}"), ("host", host), *([("origin", origin)] if origin else [])]
    gate = gate_with(accept=["Authorization: Basic", "X-API-Key"], **settings)
    sent, seen = through(gate, offering(more=tuple(more)) | {"scheme": scheme})
    assert (len(seen), sent[0].get("reason")) == ((1, None) if admitted else (0, "cross_site"))
    # A key that the page itself knows is no browser's doing.
    plain = [("x-api-key", SECRET), *more[1:]]
    assert len(through(gate, offering(more=tuple(plain)) | {"scheme": scheme})[1]) == 1


# On real servers


@pytest.fixture(
    scope="module",
    params=some(
        ["uvicorn-h11", "uvicorn-httptools", "uvicorn-wsproto", "hypercorn", "granian-asgi", "daphne"],
        "uvicorn-httptools",
        "hypercorn",
    ),
)
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Server, str, Path]]:
    folder = tmp_path_factory.mktemp(request.param)
    store = f"sqlite:///{folder}/keys.db"
    gate = Gate(store, prefix="acme", hasher=HASHER)
    secret = gate.keys.create("chatter").secret
    gate.close()
    with serving(request.param, "tests.websocket_app", folder, PYTHONPATH=str(ROOT), KEYSTILE_STORE=store) as server:
        yield server, secret, folder


def talk(server: Server, path: str, offers: list[str]) -> tuple[str | None, dict[str, Any]]:
    """The subprotocol that the server chose, and what the app says that it saw."""

    async def connected() -> tuple[str | None, dict[str, Any]]:
        async with websockets.connect(f"ws://127.0.0.1:{server.port}{path}", subprotocols=offers) as socket:  # type: ignore[arg-type]
            return socket.subprotocol, json.loads(await socket.recv())

    return asyncio.run(connected())


def test_a_browser_like_client_connects_with_its_key_as_a_subprotocol(served: Served) -> None:
    server, secret, folder = served
    chosen, seen = talk(server, "/ws", ["keystile", secret])
    assert (chosen, seen["name"], seen["subprotocols"], seen["offered"]) == ("keystile", "chatter", [], [])
    assert secret not in seen["all"]
    chosen, seen = talk(server, "/chooses", ["chat", "keystile", secret])
    assert (chosen, seen["name"], seen["subprotocols"]) == ("chat", "chatter", ["chat"])
    assert seen["offered"] == ([] if list(folder.glob("uvicorn-wsproto-*")) else ["chat"])
    chosen, seen = talk(server, "/open", ["keystile", secret])
    assert (chosen, seen["name"]) == ("keystile", None)
    for wrong in (["keystile"], [secret], ["keystile", f"{secret[:-1]}!"]):
        with pytest.raises(websockets.exceptions.InvalidStatus):
            talk(server, "/ws", wrong)
    assert all(secret not in log.read_text(encoding="utf-8") for log in folder.glob("*.log"))
