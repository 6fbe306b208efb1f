"""What `keystile.openapi` writes into the document of an app: valid in every shape, and true of the rules."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import openapi_spec_validator
import pytest

from keystile import ConfigurationError, Gate, PageStyle, Plan, Rule
from keystile.openapi import REQUIRED, components, describe

PEPPERS = ["a pepper of these tests alone!!!"]
THING = {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]}
VALIDATION = {
    "type": "object",
    "properties": {"detail": {"type": "array", "items": {"$ref": "#/components/schemas/ValidationError"}}},
}


def answer(schema: Any, **more: Any) -> dict[str, Any]:
    return {"description": "Said.", "content": {"application/json": {"schema": schema, **more}}}


def document(version: str = "3.1.0") -> dict[str, Any]:
    """As frameworks make them."""
    ids = [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}]
    one = answer({"$ref": "#/components/schemas/Thing"}, example={"id": "a"})
    other = answer({"$ref": "#/components/schemas/Thing"}, examples={"b": {"value": {"id": "b"}}})
    text = {"description": "Text.", "content": {"text/plain": {"schema": {"type": "string"}}}}
    things = answer({"type": "array", "items": {"$ref": "#/components/schemas/Thing"}})
    made = {
        "openapi": version,
        "info": {"title": "Things", "version": "1"},
        "paths": {
            "/health": {"get": {"responses": {"200": text}}},
            "/things": {
                "get": {"responses": {"200": things}},
                "post": {
                    "responses": {
                        "201": one,
                        "403": {"description": "The host's own."},
                        "422": answer({"$ref": "#/components/schemas/HTTPValidationError"}),
                    }
                },
            },
            "/things/{id}": {
                "parameters": ids,
                "get": {"responses": {"200": {"$ref": "#/components/responses/One"}, "default": text}},
                "delete": {"responses": {"204": {"description": "Gone."}}},
            },
            "/login": {"post": {"security": [{"session": []}], "responses": {"200": text}}},
        },
        "components": {
            "securitySchemes": {"session": {"type": "apiKey", "in": "cookie", "name": "session"}},
            "responses": {"One": other},
            "schemas": {
                "Thing": THING,
                "ValidationError": {"type": "object"},
                "HTTPValidationError": VALIDATION,
            },
        },
    }
    return deepcopy(made)


RULES = [Rule("GET /things/{id}", public="optional"), Rule("/things", scopes=["things"], limits="9/day")]
PAGES = PageStyle(member=None, limit=None, next_cursor="next", parameter="next", meta=False)
EVERYWHERE = ["Authorization: Bearer", "Authorization: Basic", "Authorization: Token", "X-My-Key", "?api_key", "?key"]
SHAPES: dict[str, dict[str, Any]] = {
    "plain": {},
    "envelope": {"envelope": True},
    "problems": {"error_format": "problem"},
    "enveloped problems": {"envelope": True, "error_format": "problem"},
    "other pages": {"envelope": True, "page_style": PAGES},
    "no limit": {"envelope": True, "page_style": PageStyle(limit=None)},
    "public": {"public": ["/health"], "anonymous_limits": "9/minute"},
    "rules": {"rules": RULES},
    "enveloped rules": {"rules": RULES, "envelope": True},
    "some enveloped": {"envelope": True, "rules": [Rule("/things/a", envelope=False)]},
    "units": {
        "plans": {"p": Plan("9/minute", units={"prompt_tokens": "9/day"})},
        "rules": [Rule("/things/*", reserve={"prompt_tokens": 1})],
    },
    "draft headers": {"ietf_headers": True},
    "cors": {"cors_origins": ["https://app.example"]},
    "everywhere": {"accept": EVERYWHERE},
    "a subprotocol": {"accept": ["X-API-Key", "Sec-WebSocket-Protocol"]},
    "by path": {"rules": [Rule("/things/*", accept=["X-API-Key"])]},
    "json": {"require_json": True},
    "https": {"https": "require"},
    "dry run": {"enforce": False},
    "root path": {"root_path": "/api"},
}


def gated(**settings: Any) -> Gate:
    return Gate(**{"prefix": "acme", "peppers": PEPPERS, "hasher": "hmac-sha256"} | settings)


def refs(part: Any) -> set[str]:
    if isinstance(part, dict):
        own = {part["$ref"]} if isinstance(part.get("$ref"), str) else set()
        return own.union(*map(refs, part.values())) if part else own
    return set().union(*map(refs, part)) if isinstance(part, list) and part else set()


def resolved(described: dict[str, Any], part: dict[str, Any]) -> Any:
    while "$ref" in part:
        found: Any = described
        for name in part["$ref"][2:].split("/"):
            found = found[name]
        part = found
    return part


@pytest.mark.parametrize("version", ["3.0.3", "3.1.0"])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_document_is_valid_and_the_app_s_own_stays_as_it_was(shape: str, version: str) -> None:
    before = document(version)
    given = deepcopy(before)
    described = describe(given, gated(**SHAPES[shape]))
    assert given == before
    openapi_spec_validator.validate(described)
    assert all(resolved(described, {"$ref": ref}) for ref in refs(described))
    described["paths"]["/things"]["get"]["responses"].clear()
    assert given == before
    again = describe(before, gated(**SHAPES[shape]))
    assert describe(again, gated(**SHAPES[shape])) == again


def operation(path: str, method: str = "get", prefix: str = "", version: str = "3.1.0", **settings: Any) -> Any:
    return describe(document(version), gated(**settings), prefix)["paths"][path][method]


KEYS = ("bearerKey", "apiKeyHeader", "keyHeader")


def needs(*scopes: str) -> list[dict[str, list[str]]]:
    return [{name: list(scopes)} for name in KEYS]


def test_security_follows_the_rules_of_the_path() -> None:
    rules = [*RULES, Rule("/things/*", scopes=["wide"])]
    assert operation("/things", rules=rules)["security"] == needs("things", "wide")
    assert operation("/things/{id}", rules=rules)["security"] == [*needs(), {}]
    assert operation("/things/{id}", "delete", rules=rules)["security"] == needs("wide")
    assert operation("/health", public=["/health"])["security"] == []
    assert operation("/health", public=["/health/"])["security"] == needs()
    assert operation("/login", "post", rules=rules)["security"] == [{"session": []}]
    assert operation("/things", rules=rules, version="3.0.3")["security"] == needs()
    mounted = operation("/things", prefix="/sub", rules=[Rule("/sub/things", scopes=["sub"])])
    assert mounted["security"] == needs("sub")


def test_a_parameter_of_several_segments_is_known_from_its_template() -> None:
    gate = gated(rules=[Rule("/things/a/b", scopes=["deep"])])
    templates = {"/things/{id}": "/things/{id:path}"}
    for given, expected in (({}, needs()), (templates, needs("deep"))):
        found = describe(document(), gate, templates=given)
        assert found["paths"]["/things/{id}"]["delete"]["security"] == expected


def test_scopes_that_a_handler_requires_are_added() -> None:
    gate = gated(rules=[Rule("/things", scopes=["a"])])
    given = document()
    given["components"]["securitySchemes"][REQUIRED] = {"type": "apiKey", "in": "header", "name": "x"}
    things = given["paths"]["/things"]
    things["get"]["security"] = [{REQUIRED: ["b"]}, {REQUIRED: ["c"]}]
    things["post"]["security"] = [{"session": []}, {REQUIRED: ["b"]}]
    given["paths"]["/health"]["get"]["security"] = []
    described = describe(given, gate)
    openapi_spec_validator.validate(described)
    assert described["paths"]["/things"]["get"]["security"] == needs("a", "b", "c")
    assert described["paths"]["/things"]["post"]["security"] == [{"session": []}]
    assert described["paths"]["/health"]["get"]["security"] == []
    assert REQUIRED not in described["components"]["securitySchemes"]


def test_what_an_item_refers_to_meets_the_rules_of_its_own_path() -> None:
    gate = gated(rules=[Rule("/a", scopes=["a"])], public=["/b"])
    item = {"get": {"responses": {"200": {"description": "Said."}}}}
    given: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "Things", "version": "1"},
        "paths": {path: {"$ref": "#/components/pathItems/One"} for path in ("/a", "/b")}
        | {"/c": {"$ref": "#/paths/~1a"}, "/d": item, "/e": item},
        "components": {"pathItems": {"One": deepcopy(item)}},
    }
    described = describe(given, gate)
    openapi_spec_validator.validate(described)
    found = {path: each["get"]["security"] for path, each in described["paths"].items()}
    assert found == {"/a": needs("a"), "/b": [], "/c": needs(), "/d": needs(), "/e": needs()}
    assert described["components"]["pathItems"] == given["components"]["pathItems"]


def test_an_item_may_be_shared_by_paths_that_are_not_alike() -> None:
    one = {"get": {"responses": {"200": {"description": "Said."}}}}
    paths = describe(document() | {"paths": {"/a": one, "/b": one}}, gated(public=["/a"]))["paths"]
    assert [paths[path]["get"]["security"] for path in ("/a", "/b")] == [[], needs()]


def test_methods_that_rules_cannot_name_are_told_of() -> None:
    said = {"responses": {"200": {"description": "Said."}}}
    item = {"get": said, "query": said, "additionalOperations": {"COPY": said}, "x-more": said}
    given = document() | {"openapi": "3.2.0", "paths": {"/a": item}}
    found = describe(given, gated(public=["/a"]))["paths"]["/a"]
    assert (found["get"]["security"], found["query"]["security"]) == ([], needs())
    assert found["additionalOperations"]["COPY"]["security"] == needs()
    assert found["x-more"] == said


@pytest.mark.parametrize(
    "more",
    [
        {"paths": None, "components": None},
        {"paths": {"x-more": "a", "/a": None, "/b": {"get": None, "post": {"responses": None, "security": None}}}},
        {"paths": {"/a": {"get": {"responses": {"x-more": "a", "200": None}}, "additionalOperations": None}}},
        {"components": {"securitySchemes": None, "schemas": None, "responses": None, "headers": None}},
    ],
)
def test_extensions_and_what_is_left_empty_stay(more: dict[str, Any]) -> None:
    described = describe(document() | more, gated())
    assert described["x-keystile"] is True
    assert "KeystileUnauthorized" in described["components"]["responses"]


def test_schemes_say_where_keys_stand() -> None:
    schemes = describe(document(), gated(accept=EVERYWHERE))["components"]["securitySchemes"]
    said = {
        name: (each["type"], each.get("scheme") or (each["in"], each["name"]), each.get("bearerFormat"))
        for name, each in schemes.items()
    }
    assert said == {
        "bearerKey": ("http", "bearer", "acme_…"),
        "basicKey": ("http", "basic", None),
        "xMyKeyHeader": ("apiKey", ("header", "X-My-Key"), None),
        "apiKeyQuery": ("apiKey", ("query", "api_key"), None),
        "keyQuery": ("apiKey", ("query", "key"), None),
        "session": ("apiKey", ("cookie", "session"), None),
    }
    assert schemes["bearerKey"]["description"] == "An API key. It is also read from `Authorization: Token`."
    rules = [Rule("/things", accept=["Authorization: Token"])]
    schemes = describe(document(), gated(rules=rules))["components"]["securitySchemes"]
    token = schemes["authorizationTokenKey"]
    assert (token["type"], token["in"], token["name"]) == ("apiKey", "header", "Authorization")
    assert token["description"] == "The word Token, a blank, and an API key."
    assert operation("/things", rules=rules)["security"] == [{"authorizationTokenKey": []}]
    security = operation("/things", accept=EVERYWHERE)["security"]
    assert [*map(list, security)] == [["bearerKey"], ["basicKey"], ["xMyKeyHeader"], ["apiKeyQuery"], ["keyQuery"]]
    assert operation("/things", accept=["Authorization: Token"])["security"] == [{"authorizationTokenKey": []}]
    assert operation("/things", rules=[Rule("/things", accept=["?key"])])["security"] == [{"keyQuery": []}]


def test_a_scheme_of_the_host_keeps_its_name() -> None:
    given = document()
    own = {"type": "apiKey", "in": "cookie", "name": "own"}
    given["components"]["securitySchemes"]["bearerKey"] = own
    described = describe(given, gated())
    assert described["components"]["securitySchemes"]["bearerKey"] == own
    assert described["components"]["securitySchemes"]["bearerKey_"]["scheme"] == "bearer"
    assert described["paths"]["/things"]["get"]["security"][0] == {"bearerKey_": []}


def statuses(path: str, method: str = "get", **settings: Any) -> str:
    return " ".join(sorted(operation(path, method, **settings)["responses"]))


def test_an_operation_has_the_refusals_that_it_can_meet() -> None:
    assert statuses("/things") == "200 400 401 403 429 503"
    assert statuses("/things", "post", require_json=True) == "201 400 401 403 413 415 422 429 503"
    public: dict[str, Any] = {"public": ["/health"]}
    assert statuses("/health", **public) == "200"
    assert statuses("/health", anonymous_limits="1/day", **public) == "200 429"
    assert statuses("/health", anonymous_limits="1/day", on_limiter_error="deny", **public) == "200 429 503"
    assert statuses("/health", allow=["192.0.2.1"], **public) == "200 403"
    assert statuses("/health", https="require", **public) == "200 403"


def test_a_response_of_the_host_stays_beside_ours() -> None:
    responses = operation("/things", "post")["responses"]
    assert responses["403"]["description"] == "The host's own."
    assert responses["401"] == {"$ref": "#/components/responses/KeystileUnauthorized"}
    numbered = document()
    numbered["paths"]["/things"]["post"]["responses"] = {201: {"description": "x"}, 403: {"description": "y"}}
    assert set(describe(numbered, gated())["paths"]["/things"]["post"]["responses"]) >= {201, 403, "401"}
    assert "403" not in describe(numbered, gated())["paths"]["/things"]["post"]["responses"]


def codes(status: str, **settings: Any) -> set[str]:
    gate = gated(**settings)
    name = operation("/things", **settings)["responses"][status]["$ref"].rpartition("/")[2]
    [*_, content] = components(gate)["responses"][name]["content"].values()
    return set(content["schema"]["allOf"][1]["properties"]["code"]["enum"])


def test_codes_are_those_of_the_status() -> None:
    assert codes("401") == {
        "missing_api_key",
        "invalid_api_key",
        "revoked_api_key",
        "suspended_api_key",
        "expired_api_key",
    }
    assert codes("403") == {"ip_not_allowed", "insufficient_scope", "plan_required"}
    assert codes("403", accept=EVERYWHERE) - codes("403") == {"cross_site"}
    assert codes("403", https="require") - codes("403") == {"https_required"}
    assert codes("429") == {"rate_limited", "too_many_failures"}


def test_headers_with_limits_stand_where_windows_are_asked() -> None:
    def headers(path: str, status: str = "200", **settings: Any) -> list[str]:
        return sorted(operation(path, **settings)["responses"][status]["headers"])

    limits = ["X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"]
    assert headers("/things") == [*limits, "X-Request-ID"]
    assert headers("/things", ietf_headers=True) == ["RateLimit", "RateLimit-Policy", *limits, "X-Request-ID"]
    assert headers("/health", public=["/health"]) == ["X-Request-ID"]
    assert headers("/health", public=["/health"], anonymous_limits="1/day") == [*limits, "X-Request-ID"]
    assert "X-RateLimit-Remaining-Prompt-Tokens" not in headers("/health", **SHAPES["units"])
    assert "X-RateLimit-Remaining-Prompt-Tokens" in headers("/things", **SHAPES["units"])
    refused = components(gated())["responses"]
    assert sorted(refused["KeystileTooManyRequests"]["headers"]) == ["Retry-After", *limits, "X-Request-ID"]
    assert sorted(refused["KeystileUnauthorized"]["headers"]) == ["WWW-Authenticate", "X-Request-ID"]


def schema(path: str, method: str, status: str, kind: str = "application/json", **settings: Any) -> Any:
    return operation(path, method, **settings)["responses"][status]["content"][kind]["schema"]


def test_the_envelope_stands_around_what_gets_it() -> None:
    thing = {"$ref": "#/components/schemas/Thing"}
    found = schema("/things", "post", "201", envelope=True)
    meta = {"$ref": "#/components/schemas/KeystileMeta"}
    assert found == {"type": "object", "required": ["data", "meta"], "properties": {"data": thing, "meta": meta}}
    media = operation("/things", "post", envelope=True)["responses"]["201"]["content"]["application/json"]
    assert media["example"]["data"] == {"id": "a"}
    media = operation("/things/{id}", envelope=True)["responses"]["200"]["content"]["application/json"]
    assert media["examples"]["b"]["value"]["data"] == {"id": "b"}
    assert schema("/things/{id}", "get", "200", envelope=True)["properties"]["data"] == thing
    assert schema("/things", "post", "201", envelope=True, rules=[Rule("/things", envelope=False)]) == thing
    assert schema("/health", "get", "200", "text/plain", envelope=True) == {"type": "string"}
    assert operation("/things/{id}", "delete", envelope=True)["responses"]["204"] == {
        "description": "Gone.",
        "headers": operation("/things")["responses"]["200"]["headers"],
    }
    some = schema("/things/{id}", "get", "200", **SHAPES["some enveloped"])
    assert [each.get("properties", each).get("data", each) for each in some["anyOf"]] == [thing, thing]


def test_a_list_may_be_a_page() -> None:
    found = schema("/things", "get", "200", envelope=True)
    assert found["required"] == ["data", "meta"]
    assert list(found["properties"]["pagination"]["properties"]) == ["limit", "has_more", "next_cursor"]
    assert found["properties"]["pagination"]["properties"]["next_cursor"] == {"type": ["string", "null"]}
    old = schema("/things", "get", "200", envelope=True, version="3.0.3")
    assert old["properties"]["pagination"]["properties"]["next_cursor"] == {"type": "string", "nullable": True}
    flat = schema("/things", "get", "200", **SHAPES["other pages"])
    assert (flat["required"], list(flat["properties"])) == (["data"], ["data", "meta", "has_more", "next"])
    assert "pagination" not in schema("/things", "post", "201", envelope=True)["properties"]


def test_an_error_of_the_app_is_an_error_envelope() -> None:
    assert schema("/things", "post", "422") == {"$ref": "#/components/schemas/HTTPValidationError"}
    ours, details = schema("/things", "post", "422", envelope=True)["allOf"]
    assert ours == {"$ref": "#/components/schemas/KeystileError"}
    error = details["properties"]["error"]["properties"]
    assert error["code"]["enum"] == ["validation_failed"]
    assert error["details"]["properties"]["errors"] == VALIDATION["properties"]["detail"]
    kind = "application/problem+json"
    ours, details = schema("/things", "post", "422", kind, **SHAPES["enveloped problems"])["allOf"]
    assert ours == {"$ref": "#/components/schemas/KeystileProblem"}
    assert details["properties"]["errors"] == VALIDATION["properties"]["detail"]


def test_an_error_has_the_format_of_the_policy() -> None:
    def formats(**settings: Any) -> list[str]:
        return list(components(gated(**settings))["responses"]["KeystileForbidden"]["content"])

    assert formats() == ["application/json", "application/problem+json"]
    assert formats(error_format="problem") == ["application/problem+json"]


@pytest.mark.parametrize(
    ("given", "prefix", "key"),
    [
        ({}, "", "document"),
        ({"swagger": "2.0"}, "", "document"),
        (document(), "sub", "prefix"),
        (document(), "/", "prefix"),
    ],
)
def test_what_is_no_document_or_no_prefix_is_refused(given: dict[str, Any], prefix: str, key: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        describe(given, gated(), prefix)
    assert caught.value.key == key
