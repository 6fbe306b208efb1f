"""Litestar behind the gate: the caller in handlers and guards, and a document that says where keys are read from."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from litestar import Litestar, Request, WebSocket, get, websocket
from litestar.connection import ASGIConnection
from litestar.exceptions import WebSocketDisconnect
from litestar.handlers import BaseRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Components, SecurityScheme
from litestar.params import FromPath
from litestar.testing import TestClient
from openapi_spec_validator import validate

from keystile import Argon2Hasher, ConfigurationError, Gate, Rule, current
from keystile.asgi import GateMiddleware
from keystile.integrations.litestar import CurrentPrincipal, KeystilePlugin, OptionalPrincipal, require, require_scopes
from keystile.testing import override_principal
from tests.test_doors import TIMES

HASHER = Argon2Hasher(memory_kib=8, time_cost=1)


def make_gate(**settings: Any) -> Gate:
    return Gate(**{"prefix": "acme", "hasher": HASHER} | settings)


@get("/me")
async def me(principal: CurrentPrincipal, request: Request[Any, Any, Any]) -> dict[str, Any]:
    assert current().principal is principal is request.user is request.auth
    return {"name": principal.name}


@get("/threaded", sync_to_thread=True)
def threaded(principal: CurrentPrincipal) -> dict[str, Any]:
    assert current().principal is principal
    return {"name": principal.name}


@get("/anybody")
async def anybody(optional_principal: OptionalPrincipal) -> dict[str, bool]:
    return {"known": optional_principal is not None}


@get("/guarded", guards=[require("b")])
async def guarded() -> str:
    return "got"


def owned(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    assert connection.user.owner_id == "user_1"


@get("/owned", guards=[owned])
async def for_owner() -> str:
    return "got"


@websocket("/socket", guards=[require_scopes("b")])
async def socket(socket: WebSocket[Any, Any, Any], principal: CurrentPrincipal) -> None:
    await socket.accept()
    await socket.send_text(principal.name)
    await socket.close()


HANDLERS = [me, threaded, anybody, guarded, for_owner, socket]


def make_client(gate: Gate, *, route_handlers: list[Any] = HANDLERS, **settings: Any) -> Any:
    app = Litestar(route_handlers, plugins=[KeystilePlugin(gate)], **settings)
    return TestClient(app=GateMiddleware(app, gate=gate))  # type: ignore[arg-type]


def of(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_a_handler_knows_who_is_calling() -> None:
    gate = make_gate()
    key = gate.keys.create("Anna", owner_id="user_1").secret
    with make_client(gate) as client:
        for path in ("/me", "/threaded"):
            assert client.get(path, headers=of(key)).json() == {"name": "Anna"}
        assert client.get("/owned", headers=of(key)).text == "got"
        assert client.get("/nope", headers=of(key)).status_code == 404


def test_a_path_that_is_not_there_asks_for_a_key_too() -> None:
    with make_client(make_gate()) as client:
        for path in ("/me", "/nope", "/schema/openapi.json"):
            refused = client.get(path)
            assert (refused.status_code, refused.headers["www-authenticate"]) == (401, 'Bearer realm="api"')


def test_the_plugin_serves_nothing_that_no_gate_let_through() -> None:
    app = Litestar(HANDLERS, plugins=[KeystilePlugin(make_gate())])
    with TestClient(app=app, raise_server_exceptions=False) as client:
        for path in ("/me", "/anybody", "/guarded"):
            assert client.get(path).status_code == 500


def test_where_a_key_is_optional() -> None:
    gate = make_gate(rules=[Rule("/anybody", public="optional"), Rule("/me", public="optional")])
    key = gate.keys.create("Anna").secret
    with make_client(gate) as client:
        assert client.get("/anybody").json() == {"known": False}
        assert client.get("/anybody", headers=of(key)).json() == {"known": True}
        assert client.get("/me", headers=of(key)).json() == {"name": "Anna"}
        missing = client.get("/me")
        assert (missing.status_code, missing.json()["error"]["code"]) == (401, "missing_api_key")


@pytest.mark.parametrize("shape", [{}, {"envelope": True}, {"error_format": "problem"}, {"realm": "mine"}], ids=str)
@pytest.mark.parametrize("accept", ["*/*", "application/problem+json"])
def test_a_scope_that_is_required_is_missed_in_the_words_of_the_gate(shape: dict[str, Any], accept: str) -> None:
    answers = []
    for gate in (make_gate(**shape), make_gate(**shape, rules=[Rule("/*", scopes=["b"])])):
        with make_client(gate) as client:
            headers = of(gate.keys.create("k", scopes=["a"]).secret) | {"accept": accept}
            answer = client.get("/guarded", headers=headers)
            fields = {name: answer.headers.get(name) for name in ("content-type", "content-length", "www-authenticate")}
            answers.append((answer.status_code, fields, TIMES.sub(b"", answer.content)))
    assert answers[0] == answers[1]
    assert answers[0][0] == 403


def test_who_has_the_scope_gets_in() -> None:
    gate = make_gate()
    with make_client(gate) as client:
        key = gate.keys.create("Anna", scopes=["b"]).secret
        assert client.get("/guarded", headers=of(key)).text == "got"
        with client.websocket_connect("/socket", headers=of(key)) as connection:
            assert connection.receive_text() == "Anna"


def test_a_websocket_without_the_scope_is_closed() -> None:
    gate = make_gate()
    with make_client(gate) as client:
        headers = of(gate.keys.create("k").secret)
        with pytest.raises(WebSocketDisconnect) as ended, client.websocket_connect("/socket", headers=headers):
            pass
        assert ended.value.code == 1008


@pytest.mark.parametrize("scopes", [(), ("a b",), (1,)])
def test_no_scope_is_an_error_at_start(scopes: Any) -> None:
    with pytest.raises(ConfigurationError):
        require(*scopes)


def test_what_is_no_gate_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="Gate"):
        KeystilePlugin("gate")  # type: ignore[arg-type]


def test_a_stand_in_for_tests_goes_through() -> None:
    gate = make_gate()
    with make_client(gate) as client:
        with override_principal(gate, name="Anna", scopes=["b"]):
            assert client.get("/me").json() == {"name": "Anna"}
            assert client.get("/guarded").text == "got"
        assert client.get("/me").status_code == 401


def test_the_hosts_own_dependency_of_that_name_stays() -> None:
    gate = make_gate()

    async def mine() -> Any:
        return gate.keys.create("mine").key.principal

    app = Litestar([threaded_alone], plugins=[KeystilePlugin(gate)], dependencies={"principal": mine})
    with TestClient(app=GateMiddleware(app, gate=gate)) as client:  # type: ignore[arg-type]
        assert client.get("/alone", headers=of(gate.keys.create("Anna").secret)).json() == {"name": "mine"}


@get("/alone")
async def threaded_alone(principal: CurrentPrincipal) -> dict[str, Any]:
    return {"name": principal.name}


# The document


def document(gate: Gate, **settings: Any) -> Any:
    with make_client(gate, **settings) as client:
        answer = client.get("/schema/openapi.json", headers=of(gate.keys.create("k").secret))
        assert answer.status_code == 200
        return answer.json()


@get("/files/{name:path}")
async def files(name: FromPath[str]) -> str:
    return name


@get("/count/{number:int}")
async def count(number: FromPath[int]) -> int:
    return number


def test_the_document_tells_of_the_gate() -> None:
    rules = [
        Rule("GET /guarded", scopes=["b"]),
        Rule("/files/private/*", scopes=["c"]),
        Rule("/anybody", public="optional"),
    ]
    gate = make_gate(rules=rules, public=["/threaded"], envelope=True)
    told = document(gate, route_handlers=[*HANDLERS, files, count])
    schemes = told["components"]["securitySchemes"]
    assert schemes["bearerKey"]["type"] == "http"
    assert (schemes["apiKeyHeader"]["in"], schemes["apiKeyHeader"]["name"]) == ("header", "X-API-Key")
    asked = {path: found["get"]["security"] for path, found in told["paths"].items()}
    assert {"bearerKey": []} in asked["/me"]
    assert {"bearerKey": ["b"]} in asked["/guarded"]
    assert {"bearerKey": ["c"]} in asked["/files/{name}"]
    assert {} in asked["/anybody"]
    assert asked["/threaded"] == []
    assert {"bearerKey": []} in asked["/count/{number}"]
    answers = told["paths"]["/me"]["get"]["responses"]
    assert {"200", "401", "403", "429", "503"} <= answers.keys()
    assert "data" in json.dumps(answers["200"])
    validate(told)


def test_the_document_follows_the_policy() -> None:
    gate = make_gate(public=["/schema/*"])
    app = Litestar(HANDLERS, plugins=[KeystilePlugin(gate)])
    with TestClient(app=GateMiddleware(app, gate=gate)) as client:  # type: ignore[arg-type]
        for rules in ([], [Rule("/me", scopes=["me:deep"])], [Rule("/me", scopes=["other"])]):
            gate.reload(replace(gate.policy, rules=rules))
            told = client.get("/schema/openapi.json").json()
            wanted = [scope for rule in rules for scope in rule.scopes]
            assert {"bearerKey": wanted} in told["paths"]["/me"]["get"]["security"]
            assert ("me:deep" in client.get("/schema/swagger").text) is ("me:deep" in wanted)
        app.openapi_schema.to_schema()  # as others may ask for it
        gate.reload(replace(gate.policy, public=["/schema/*", "/me"], rules=[]))
        assert client.get("/schema/openapi.json").json()["paths"]["/me"]["get"]["security"] == []


@get("/files/{name:str}")
async def one_file(name: FromPath[str]) -> str:
    return name


def test_apps_with_one_plugin_have_documents_of_their_own() -> None:
    gate = make_gate(rules=[Rule("/files/private/x", scopes=["deep"])], public=["/schema/*"])
    plugin, asked = KeystilePlugin(gate), []
    apps = [Litestar([handler], plugins=[plugin]) for handler in (files, one_file)]
    for app in apps:
        with TestClient(app=GateMiddleware(app, gate=gate)) as client:  # type: ignore[arg-type]
            told = client.get("/schema/openapi.json").json()
        asked.append(told["paths"]["/files/{name}"]["get"]["security"][0])
    assert asked == [{"bearerKey": ["deep"]}, {"bearerKey": []}]


def test_an_app_without_a_document_has_none() -> None:
    with make_client(make_gate(public=["/schema/*"]), openapi_config=None) as client:
        assert client.get("/schema/openapi.json").status_code == 404


def test_what_the_host_says_in_the_document_stays() -> None:
    own = Components(security_schemes={"login": SecurityScheme("http", scheme="basic")})
    config = OpenAPIConfig("Shop", "1", components=own, security=[{"login": []}])
    told = document(make_gate(), openapi_config=config)
    assert "login" in told["components"]["securitySchemes"]
    assert "bearerKey" in told["components"]["securitySchemes"]
    assert config.components is own
    assert config.security == [{"login": []}]
