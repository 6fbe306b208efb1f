"""FastAPI at home: `keystile.integrations.fastapi`, with FastAPI's own test client and documents."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Any

import jsonschema
import openapi_spec_validator
import pytest
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Security, WebSocket
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBasic
from fastapi.testclient import TestClient
from pydantic import BaseModel
from starlette.websockets import WebSocketDisconnect

from keystile import ConfigurationError, Gate, Rule, current
from keystile.asgi import GateMiddleware
from keystile.integrations import fastapi as home
from keystile.integrations.fastapi import (
    CurrentPrincipal,
    OptionalPrincipal,
    install,
    install_docs,
    require,
    require_scopes,
)
from keystile.testing import override_principal

PEPPERS = ["a pepper of these tests alone!!!"]
OPEN = ["/docs", "/openapi.json"]


class Thing(BaseModel):
    name: str


def gated(**settings: Any) -> Gate:
    given = {"prefix": "acme", "peppers": PEPPERS, "hasher": "hmac-sha256", "public": OPEN, "failure_limits": None}
    return Gate(**given | settings)


def api() -> FastAPI:
    app = FastAPI()
    things = APIRouter(prefix="/things", dependencies=[require("things")])

    @app.get("/me")
    def me(principal: CurrentPrincipal) -> dict[str, str]:
        assert current().caller is principal
        return {"name": principal.name}

    @app.get("/async")
    async def later(principal: CurrentPrincipal) -> dict[str, str]:
        return {"name": principal.name}

    @app.get("/maybe")
    def maybe(principal: OptionalPrincipal) -> dict[str, str | None]:
        return {"name": principal and principal.name}

    @app.post("/exports", dependencies=[require("exports:write", "exports:read")])
    def export(thing: Thing) -> Thing:
        return thing

    @things.get("/{path:path}")
    def thing(path: str, principal: CurrentPrincipal) -> list[Thing]:
        return [Thing(name=path)]

    @app.websocket("/socket")
    async def socket(websocket: WebSocket, principal: CurrentPrincipal, _: Annotated[None, require("live")]) -> None:
        await websocket.accept()
        await websocket.send_text(principal.name)
        await websocket.close()

    app.include_router(things)
    return app


class Served:
    """An app behind a gate, and a client with a key."""

    def __init__(self, app: FastAPI, gate: Gate, *scopes: str) -> None:
        self.app, self.gate = app, gate
        key = gate.keys.create("ada", scopes=scopes).secret
        self.client = TestClient(app, headers={"X-API-Key": key}, raise_server_exceptions=False)
        self.nobody = TestClient(app, raise_server_exceptions=False)

    def code(self, path: str, method: str = "GET", **more: Any) -> Any:
        answer = self.client.request(method, path, **more)
        said = answer.json()
        return answer.status_code, said["error"]["code"] if "error" in said else None


def served(*scopes: str, **settings: Any) -> Served:
    app, gate = api(), gated(**settings)
    install(app, gate)
    return Served(app, gate, *scopes)


@pytest.fixture(params=[False, True], ids=["plain", "enveloped"])
def enveloped(request: pytest.FixtureRequest) -> Iterator[bool]:
    return request.param


def test_handlers_get_the_caller(enveloped: bool) -> None:
    some = served(envelope=enveloped)
    for path in ("/me", "/async", "/maybe"):
        answer = some.client.get(path).json()
        assert (answer["data"] if enveloped else answer) == {"name": "ada"}
    assert some.nobody.get("/me").status_code == 401
    assert some.nobody.get("/nowhere").status_code == 401
    assert some.client.get("/nowhere").status_code == 404


def test_a_key_may_be_optional(enveloped: bool) -> None:
    optional = [Rule("/me", public="optional"), Rule("/maybe", public="optional")]
    some = served(envelope=enveloped, rules=optional)
    answer = some.nobody.get("/maybe").json()
    assert (answer["data"] if enveloped else answer) == {"name": None}
    refused = some.nobody.get("/me")
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "missing_api_key")
    assert refused.headers["www-authenticate"] == 'Bearer realm="api"'


def test_a_public_path_has_no_caller_and_says_so() -> None:
    some = served(public=["/me", "/maybe"])
    assert some.client.get("/maybe").json() == {"name": None}
    with pytest.raises(RuntimeError, match="public path"):
        TestClient(some.app).get("/me")


def test_an_app_without_a_gate_says_so() -> None:
    with pytest.raises(RuntimeError, match="no gate"):
        TestClient(api()).get("/me")


@pytest.mark.parametrize("form", ["envelope", "problem"])
def test_require_refuses_as_the_gate_does(enveloped: bool, form: str) -> None:
    ours = served(envelope=enveloped, error_format=form)
    rule = Rule("/exports", scopes=["exports:write", "exports:read"])
    theirs = served(envelope=enveloped, error_format=form, rules=[rule])

    def answer(some: Served) -> Any:
        found = some.client.post("/exports", json={"name": "x"})
        members = found.json()
        error = members.get(
            "error", {name: members[name] for name in members if name not in ("request_id", "timestamp")}
        )
        return found.status_code, error, found.headers["content-type"], found.headers["www-authenticate"]

    assert answer(ours) == answer(theirs)
    assert answer(ours)[0] == 403
    assert served("exports:write", "exports:read").code("/exports", "POST", json={"name": "x"}) == (200, None)
    assert served("exports:write").code("/exports", "POST", json={"name": "x"}) == (403, "insufficient_scope")
    assert served("things").code("/things/a/b") == (200, None)
    assert served().code("/things/a/b") == (403, "insufficient_scope")


def test_the_host_s_own_handlers_do_not_get_it() -> None:
    some = served()
    some.app.add_exception_handler(HTTPException, lambda *_: JSONResponse({}, 418))
    some.app.add_exception_handler(403, lambda *_: JSONResponse({}, 418))
    some.app.add_exception_handler(Exception, lambda *_: JSONResponse({}, 418))
    assert some.code("/things/a") == (403, "insufficient_scope")


def test_without_handlers_for_errors_it_is_an_http_exception(enveloped: bool) -> None:
    app, gate = api(), gated(envelope=enveloped)
    install(app, gate, errors=False)
    answer = Served(app, gate).client.get("/things/a")
    assert answer.status_code == 403
    error = answer.json()["error"] if enveloped else answer.json()["detail"]
    assert (error["code"], error.get("details", error)["required_scopes"]) == ("insufficient_scope", ["things"])
    assert "insufficient_scope" in answer.headers["www-authenticate"]


def test_websockets_have_callers_and_scopes() -> None:
    some = served("live")
    with some.client.websocket_connect("/socket") as socket:
        assert socket.receive_text() == "ada"
    with pytest.raises(WebSocketDisconnect) as caught, served().client.websocket_connect("/socket"):
        pytest.fail("it was accepted")
    assert getattr(caught.value, "status_code", 403) == 403
    with pytest.raises(WebSocketDisconnect), some.nobody.websocket_connect("/socket"):
        pytest.fail("it was accepted")


def test_a_test_may_put_a_principal_in_the_place_of_a_key() -> None:
    some = served()
    with override_principal(some.gate, name="eve", scopes=["things"]):
        assert some.nobody.get("/me").json() == {"name": "eve"}
        assert some.nobody.get("/things/a").json() == [{"name": "a"}]
    assert some.nobody.get("/me").status_code == 401


def test_installing_twice_does_nothing() -> None:
    some = served()
    layers, document = list(some.app.user_middleware), some.app.openapi
    install(some.app, some.gate)
    assert some.app.user_middleware == layers
    assert some.app.openapi is document
    some.client.get("/me")
    install(some.app, some.gate)
    with pytest.raises(ConfigurationError, match="another gate"):
        install(some.app, gated())


def test_a_gate_that_stands_there_already_is_used() -> None:
    app, gate = api(), gated()
    app.add_middleware(GateMiddleware, gate=gate)
    install(app, gate)
    assert [each.cls for each in app.user_middleware] == [GateMiddleware]
    assert Served(app, gate).code("/things/a") == (403, "insufficient_scope")


def test_an_app_that_has_started_is_too_late() -> None:
    app = api()
    TestClient(app, raise_server_exceptions=False).get("/nowhere")
    with pytest.raises(ConfigurationError, match="has started"):
        install(app, gated())
    assert app.user_middleware == []


@pytest.mark.parametrize("by_hand", [False, True])
def test_cors_belongs_outside(by_hand: bool) -> None:
    app, gate = api(), gated()
    app.add_middleware(CORSMiddleware, allow_origins=["https://app.example"])
    if by_hand:
        app.add_middleware(GateMiddleware, gate=gate)
    layers = list(app.user_middleware)
    with pytest.raises(ConfigurationError, match=r"install first and app\.add_middleware\(CORSMiddleware"):
        install(app, gate)
    assert app.user_middleware == layers
    app = api()
    install(app, gate)
    app.add_middleware(CORSMiddleware, allow_origins=["https://app.example"])
    install(app, gate)
    answer = TestClient(app).get("/me", headers={"origin": "https://app.example"})
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (401, "https://app.example")


@pytest.mark.parametrize(("app", "gate", "key"), [(object(), gated(), "app"), (FastAPI(), "gate", "gate")])
def test_what_is_no_app_or_no_gate_is_refused(app: Any, gate: Any, key: str) -> None:
    for call in (lambda: install(app, gate), lambda: install_docs(app, gate, prefix="/sub")):
        with pytest.raises(ConfigurationError) as caught:
            call()
        assert caught.value.key == key


def test_scopes_are_checked_at_once() -> None:
    assert require_scopes is require
    with pytest.raises(ConfigurationError):
        require()


def security(document: dict[str, Any], path: str, method: str = "get") -> Any:
    return [*document["paths"][path][method]["security"]]


def needs(*scopes: str) -> list[dict[str, list[str]]]:
    return [{name: sorted(scopes)} for name in ("bearerKey", "apiKeyHeader", "keyHeader")]


def test_the_document_tells_of_the_gate(enveloped: bool) -> None:
    rules = [Rule("/things/a/b", scopes=["deep"]), Rule("/maybe", public="optional")]
    some = served(envelope=enveloped, rules=rules)
    document = some.nobody.get("/openapi.json").json()
    openapi_spec_validator.validate(document)
    assert security(document, "/me") == needs()
    assert security(document, "/maybe") == [*needs(), {}]
    assert security(document, "/exports", "post") == needs("exports:read", "exports:write")
    assert security(document, "/things/{path}") == needs("deep", "things")
    assert set(document["components"]["securitySchemes"]) == {"bearerKey", "apiKeyHeader", "keyHeader"}
    schema = document["paths"]["/exports"]["post"]["responses"]["422"]["content"]["application/json"]["schema"]
    assert ("allOf" in schema) is enveloped


def test_answers_are_as_the_document_says(enveloped: bool) -> None:
    some = served("exports:write", "exports:read", "things", envelope=enveloped, plans={})
    document = some.app.openapi()
    asked = [
        ("get", "/me", "/me", 200, {}),
        ("get", "/things/{path}", "/things/a/b", 200, {}),
        ("post", "/exports", "/exports", 200, {"json": {"name": "x"}}),
        ("post", "/exports", "/exports", 422, {"json": {}}),
        ("get", "/me", "/me", 400, {"headers": {"Api-Key": "other"}}),
        ("get", "/me", "/me", 401, {"headers": {"X-API-Key": "bad"}}),
    ]
    for method, template, path, status, more in asked:
        answer = some.client.request(method, path, **more)
        assert answer.status_code == status
        said = document["paths"][template][method]["responses"][str(status)]
        if "$ref" in said:
            said = document["components"]["responses"][said["$ref"].rpartition("/")[2]]
        schema = said["content"]["application/json"]["schema"] | {"components": document["components"]}
        jsonschema.Draft202012Validator(schema).validate(answer.json())
        assert set(map(str.lower, said.get("headers", {}))) >= {"x-request-id"}


def test_routes_that_are_added_later_are_in_the_document() -> None:
    some = served()
    first = some.app.openapi()
    assert some.app.openapi() is first

    @some.app.get("/later", dependencies=[require("later")])
    def later() -> None: ...

    some.app.openapi_schema = None  # what hosts do to have it made anew
    assert security(some.app.openapi(), "/later") == needs("later")


def test_the_document_follows_the_policy() -> None:
    some = served(public=OPEN)
    for more, asked in (
        ({"public": [*OPEN, "/me"]}, []),
        ({"rules": [Rule("/me", scopes=["deep"])], "public": OPEN}, [{"bearerKey": ["deep"]}]),
        ({"rules": []}, [{"bearerKey": []}]),
    ):
        some.gate.reload(replace(some.gate.policy, **more))
        security = some.nobody.get("/openapi.json").json()["paths"]["/me"]["get"]["security"]
        assert security[:1] == asked


def test_routes_of_one_path_may_differ_in_how_much_a_parameter_holds() -> None:
    gate, app = gated(rules=[Rule("/files/a/b", scopes=["deep"])]), FastAPI()
    install(app, gate)
    app.get("/files/{name:path}")(lambda name: name)
    app.post("/files/{name}")(lambda name: name)
    told = TestClient(app).get("/openapi.json").json()["paths"]["/files/{name}"]
    assert told["get"]["security"][0] == {"bearerKey": ["deep"]}


def test_the_host_s_own_document_and_security_stay() -> None:
    app, gate = FastAPI(), gated()

    @app.get("/own", dependencies=[Security(HTTPBasic()), require("a")])
    def own() -> None: ...

    made = {"openapi": "3.1.0", "info": {"title": "t", "version": "1"}, "paths": {}}
    install(app, gate)
    assert security(app.openapi(), "/own") == [{"HTTPBasic": []}]
    other = FastAPI()
    other.openapi = lambda: made  # type: ignore[method-assign]
    install(other, gate)
    assert "x-keystile" in other.openapi()
    assert made == {"openapi": "3.1.0", "info": {"title": "t", "version": "1"}, "paths": {}}
    third = FastAPI()
    before = third.openapi
    install(third, gate, openapi=False)
    assert third.openapi == before


def test_a_mounted_app_has_its_own_document_and_errors() -> None:
    app, sub, gate = api(), api(), gated(rules=[Rule("/sub/me", scopes=["sub"])], public=["/sub/openapi.json"])
    install(app, gate)
    app.mount("/sub", sub)
    install_docs(sub, gate, prefix="/sub")
    install_docs(sub, gate, prefix="/sub")
    some = Served(app, gate, "sub")
    document = some.nobody.get("/sub/openapi.json").json()
    openapi_spec_validator.validate(document)
    assert security(document, "/me") == needs("sub")
    assert some.client.get("/sub/me").json() == {"name": "ada"}
    assert some.code("/sub/things/a") == (403, "insufficient_scope")
    with pytest.raises(ConfigurationError, match="prefix"):
        install_docs(api(), gate, prefix="sub")


def test_a_mounted_app_that_nobody_told_refuses_all_the_same() -> None:
    app, sub, gate = api(), api(), gated()
    install(app, gate)
    app.mount("/sub", sub)
    answer = Served(app, gate).client.get("/sub/things/a")
    assert (answer.status_code, answer.json()["detail"]["code"]) == (403, "insufficient_scope")
    with pytest.raises(ConfigurationError, match="has started"):
        install_docs(sub, gate, prefix="/sub")


def test_a_gate_around_the_app_has_its_errors_too() -> None:
    app, gate = api(), gated(envelope=True)
    install_docs(app, gate, prefix="")

    @app.get("/fails")
    def fails() -> None:
        raise ZeroDivisionError

    headers = {"X-API-Key": gate.keys.create("ada").secret}
    outside = TestClient(GateMiddleware(app, gate=gate), headers=headers, raise_server_exceptions=False)
    for path, code in (("/fails", "internal_error"), ("/things/a", "insufficient_scope")):
        assert outside.get(path).json()["error"]["code"] == code
    assert security(app.openapi(), "/me") == needs()


def test_a_root_path_is_no_part_of_rules() -> None:
    app, gate = FastAPI(), gated(root_path="/api", rules=[Rule("/own", scopes=["a"])])

    @app.get("/own")
    def own(principal: CurrentPrincipal) -> str:
        return principal.name

    install(app, gate)
    headers = {"X-API-Key": gate.keys.create("ada", scopes=["a"]).secret}
    client = TestClient(app, root_path="/api")
    document = client.get("/openapi.json").json()
    assert (security(document, "/own"), document["servers"]) == (needs("a"), [{"url": "/api"}])
    assert client.get("/own", headers=headers).json() == "ada"


def test_two_apps_may_share_a_gate() -> None:
    gate, apps = gated(), [api(), api()]
    for app in apps:
        install(app, gate)
    assert [Served(app, gate).client.get("/me").status_code for app in apps] == [200, 200]


def test_a_dependency_of_the_host_may_ask_for_the_caller() -> None:
    app, gate = FastAPI(), gated()

    def tenant(principal: CurrentPrincipal) -> str:
        return principal.organization_id or "none"

    @app.get("/tenant")
    def show(name: str = Depends(tenant)) -> str:
        return name

    install(app, gate)
    key = gate.keys.create("ada", organization_id="org_1").secret
    assert TestClient(app).get("/tenant", headers={"X-API-Key": key}).json() == "org_1"


def test_what_a_host_imports_is_this_and_needs_fastapi() -> None:
    assert sorted(home.__all__) == home.__all__ or set(home.__all__) == {
        "CurrentPrincipal",
        "OptionalPrincipal",
        "install",
        "install_docs",
        "require",
        "require_scopes",
    }
    code = "import sys; sys.modules['fastapi'] = None; import keystile.integrations.fastapi"
    failed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert "pip install 'keystile[fastapi]'" in failed.stderr
