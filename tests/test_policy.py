"""Settings are checked when they are built, and errors name a setting as its user wrote it."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields
from typing import Any

import pytest

from keystile import ConfigurationError, Gate, Rule
from keystile._ground.checks import check_scopes
from keystile.policy import CREDENTIAL_FORMS, Policy

BAD_RULES: list[tuple[dict[str, Any], str]] = [
    ({"match": None}, "match"),
    ({"match": b"/a"}, "match"),
    ({"match": 7}, "match"),
    ({"match": ["/a"]}, "match"),
    ({"match": ""}, "match"),
    ({"match": " "}, "match"),
    ({"match": "a"}, "match"),
    ({"match": "*"}, "match"),
    ({"match": "GET"}, "match"),
    ({"match": "GET a"}, "match"),
    ({"match": "get /a"}, "match"),
    ({"match": "Get /a"}, "match"),
    ({"match": "GET  /a"}, "match"),
    ({"match": "GET POST /a"}, "match"),
    ({"match": "GET\t/a"}, "match"),
    ({"match": "GET, POST /a"}, "match"),
    ({"match": "GET,GET /a"}, "match"),
    ({"match": "GÉT /a"}, "match"),
    ({"match": "/a "}, "match"),
    ({"match": "/a b"}, "match"),
    ({"match": "https://api.example.com/a"}, "match"),
    ({"match": "/a", "public": 1}, "public"),
    ({"match": "/a", "public": "true"}, "public"),
    ({"match": "/a", "cost": -1}, "cost"),
    ({"match": "/a", "cost": 0, "limits": "9/day"}, "limits"),
    ({"match": "/a", "cost": True}, "cost"),
    ({"match": "/a", "cost": 1.5}, "cost"),
    ({"match": "/a", "cost": "1"}, "cost"),
    ({"match": "/a", "scopes": None}, "scopes"),
    ({"match": "/a", "scopes": 7}, "scopes"),
    ({"match": "/a", "scopes": "read"}, "scopes"),
    ({"match": "/a", "scopes": b"read"}, "scopes"),
    ({"match": "/a", "scopes": [7]}, "scopes"),
    ({"match": "/a", "scopes": [None]}, "scopes"),
    ({"match": "/a", "scopes": [b"read"]}, "scopes"),
    ({"match": "/a", "scopes": [""]}, "scopes"),
    ({"match": "/a", "scopes": ["read write"]}, "scopes"),
    ({"match": "/a", "scopes": ['"read"']}, "scopes"),
    ({"match": "/a", "scopes": ["read\\"]}, "scopes"),
    ({"match": "/a", "scopes": ["read\n"]}, "scopes"),
    ({"match": "/a", "scopes": ["lesen-für-alle"]}, "scopes"),
    ({"match": "/a", "public": True, "scopes": ["read"]}, "scopes"),
]
BAD_POLICIES: list[tuple[dict[str, Any], str]] = [
    ({"public": None}, "public"),
    ({"public": "/a"}, "public"),
    ({"public": b"/a"}, "public"),
    ({"public": 7}, "public"),
    ({"public": [7]}, "public"),
    ({"public": [Rule("/a")]}, "public"),
    ({"public": ["/*"]}, "public"),
    ({"public": ["/a", "/*"]}, "public"),
    ({"rules": None}, "rules"),
    ({"rules": Rule("/a")}, "rules"),
    ({"rules": "/a"}, "rules"),
    ({"rules": ["/a"]}, "rules"),
    ({"rules": [Rule("/a"), {"match": "/a"}]}, "rules"),
    ({"accept": None}, "accept"),
    ({"accept": "X-API-Key"}, "accept"),
    ({"accept": []}, "accept"),
    ({"accept": [7]}, "accept"),
    ({"accept": ["Cookie"]}, "accept"),
    ({"accept": ["Authorization"]}, "accept"),
    ({"accept": ["X_API_Key"]}, "accept"),
    ({"accept": ["X-API-Key "]}, "accept"),
    ({"accept": ["X-API-Key", ""]}, "accept"),
    ({"address_wait": None}, "address_wait"),
    ({"address_wait": "1"}, "address_wait"),
    ({"address_wait": -1}, "address_wait"),
    ({"hashing_wait": True}, "hashing_wait"),
    ({"hashing_wait": 3601}, "hashing_wait"),
    ({"hashing_wait": float("nan")}, "hashing_wait"),
    ({"wsgi_threads": 0}, "wsgi_threads"),
    ({"wsgi_threads": 1.5}, "wsgi_threads"),
    ({"remembered_keys": 0}, "remembered_keys"),
    ({"remembered_keys": None}, "remembered_keys"),
    ({"realm": None}, "realm"),
    ({"realm": b"api"}, "realm"),
    ({"realm": ""}, "realm"),
    ({"realm": 'a"b'}, "realm"),
    ({"realm": "a\\b"}, "realm"),
    ({"realm": "a\r\nb"}, "realm"),
    ({"realm": "é"}, "realm"),
]
BAD_GATES: list[tuple[dict[str, Any], str]] = [
    *BAD_POLICIES,
    ({"public": ["a"]}, "public[0]"),
    ({"public": ["/a", "GET /b"]}, "public[1]"),
    ({"public": ["/a", "/b//c"]}, "public[1]"),
    ({"public": ["/a", "/b c"]}, "public[1]"),
    ({"rules": [Rule("/a/../b")]}, "rules[0]"),
    ({"prefix": "a_b"}, "prefix"),
    ({"prefix": 7}, "prefix"),
    ({"peppers": "x" * 16}, "peppers"),
    ({"peppers": b"x" * 16}, "peppers"),
    ({"peppers": None}, "peppers"),
    ({"peppers": ["short"]}, "peppers"),
    ({"peppers": [7]}, "peppers"),
    ({"accept_crc": True}, "accept_crc"),
    ({"hasher": "md5"}, "hasher"),
    ({"hasher": None}, "hasher"),
    ({"hasher": object()}, "hasher"),
    ({"hasher": "hmac-sha256"}, "hasher"),
    ({"store": None}, "store"),
    ({"store": object()}, "store"),
    ({"store": ""}, "store"),
    ({"store": "mysql://root@localhost/keys"}, "store"),
    ({"store": "sqlite://"}, "store"),
    ({"store": "sqlite:///"}, "store"),
    ({"store": "sqlite:///:memory:"}, "store"),
    ({"store": "sqlite:///keys.db?mode=ro"}, "store"),
    ({"store": "sqlite:////no/such/folder/keys.db"}, "store"),
    ({"stroe": "memory://"}, "stroe"),
    ({"ratelimit": "60/minute"}, "ratelimit"),
]


@pytest.mark.parametrize(("given", "key"), BAD_RULES)
def test_a_rule_that_cannot_be_read_or_contradicts_itself_is_refused(given: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Rule(**given)
    assert caught.value.key == key
    assert str(caught.value).startswith(f"{key}: ")


@pytest.mark.parametrize(("given", "key"), BAD_POLICIES)
def test_a_policy_with_a_wrong_setting_is_refused(given: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Policy(**given)
    assert caught.value.key == key


@pytest.mark.parametrize(("given", "key"), BAD_GATES)
def test_a_gate_with_a_wrong_setting_is_refused_when_it_is_built(given: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Gate(**given)
    assert caught.value.key == key


def test_the_message_for_a_bad_store_does_not_repeat_its_password() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Gate("postgresql://user:hunter2@db/keys")
    assert "hunter2" not in str(caught.value)


def test_a_configuration_error_is_a_value_error_and_names_file_setting_and_reason() -> None:
    error = ConfigurationError("is wrong", key="rules[0].match", source="keystile.toml")
    assert isinstance(error, ValueError)
    assert str(error) == "keystile.toml: rules[0].match: is wrong"
    assert (error.reason, error.key, error.source) == ("is wrong", "rules[0].match", "keystile.toml")


@pytest.mark.parametrize(
    ("match", "methods", "segments"),
    [
        ("/", set(), ()),
        ("/a/*", set(), ("a",)),
        ("POST /v1/exports", {"POST"}, ("v1", "exports")),
        ("TRACE /a", {"TRACE"}, ("a",)),
        ("GET,PUT /v1/users/{id}", {"GET", "PUT"}, ("v1", "users", None)),
        ("/a:b/c@d/e(f)", set(), ("a:b", "c@d", "e(f)")),
    ],
)
def test_a_match_is_methods_if_any_and_a_path(match: str, methods: set[str], segments: tuple[str | None, ...]) -> None:
    pattern = Rule(match).pattern
    assert (pattern.methods, pattern.segments) == (methods, segments)


def test_lists_become_tuples_and_scopes_lose_their_repeats() -> None:
    rule = Rule("/a", scopes=["b", "a", "b"])  # type: ignore[arg-type]
    assert rule.scopes == ("b", "a")
    policy = Policy(public=["/x"], rules=[rule], accept=["X-API-Key"])  # type: ignore[arg-type]
    assert (policy.public, policy.rules, policy.accept) == (("/x",), (rule,), ("X-API-Key",))
    assert hash(policy) == hash(Policy(public=("/x",), rules=(rule,), accept=("X-API-Key",)))


@pytest.mark.parametrize("scope", ["a", "exports:write", "!#$%&'()*+,-./:;<=>?@[]^_`{|}~", "https://x/y"])
def test_a_scope_is_any_printable_ascii_but_space_quote_and_backslash(scope: str) -> None:
    assert check_scopes([scope]) == (scope,)


def test_accepted_forms_are_known_in_any_case_and_kept_once() -> None:
    policy = Policy(accept=("x-api-key", "X-API-KEY", "authorization: BEARER"))
    assert policy.accept == ("X-API-Key", "Authorization: Bearer")
    assert Policy().accept == CREDENTIAL_FORMS


def test_public_paths_are_spelled_out_as_rules_behind_the_others() -> None:
    policy = Policy(public=("/a",), rules=(Rule("/b"),))
    assert policy.all_rules() == (("rules[0]", Rule("/b")), ("public[0]", Rule("/a", public=True)))


@pytest.mark.parametrize(
    ("path", "parameter"),
    [
        ("/v1/users/<int:id>", "<int:id>"),
        ("/v1/users/:id/*", ":id"),
        ("/v1/file-{name}", "file-{name}"),
        ("/a/{path:path}", "{path:path}"),
        ("/${NAME}", "${NAME}"),
    ],
)
def test_a_path_parameter_in_another_spelling_is_refused_and_the_message_says_what_to_write(
    path: str, parameter: str
) -> None:
    for match in (path, f"DELETE {path}"):
        with pytest.raises(ConfigurationError) as caught:
            Rule(match, scopes=("admin",))
        assert caught.value.key == "match"
        assert f"{parameter!r} is no segment of a rule; write {{name}}" in caught.value.reason
    with pytest.raises(ConfigurationError, match="no segment of a rule") as caught:
        Gate(public=["/fine", path])
    assert caught.value.key == "public[1]"


@pytest.mark.parametrize("method", ["M-SEARCH", "PROPFIND", "CONNECT", "GTE", "QUERY"])
def test_a_method_that_rules_do_not_tell_apart_is_refused(method: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{method!r} is not one of DELETE, GET, .*: leave it out") as caught:
        Rule(f"{method} /a")
    assert caught.value.key == "match"


@pytest.mark.parametrize("value", [Rule("/a"), Policy()])
def test_settings_are_frozen_and_slotted(value: Any) -> None:
    for field in fields(value):
        with pytest.raises(FrozenInstanceError):
            setattr(value, field.name, None)
    assert not hasattr(value, "__dict__")


def test_a_message_repeats_no_megabyte() -> None:
    for wrong in ({"client_header": "x" * 10**6}, {"accept": ["?" * 10**6]}, {"public": ["x" * 10**6]}):
        with pytest.raises(ConfigurationError) as caught:
            Gate(**wrong)
        assert len(str(caught.value)) < 2000


def test_a_list_that_cannot_be_read_is_a_wrong_setting() -> None:
    class Broken:
        def __iter__(self) -> Any:
            raise RuntimeError("of the host")

    for name in ("public", "rules", "peppers", "trusted_proxies"):
        with pytest.raises(ConfigurationError, match="raised RuntimeError") as caught:
            Gate(**{name: Broken()})
        assert caught.value.key == name


@pytest.mark.parametrize("url", ["async+memory://", "async+redis://:word@host", "async+memcached://host"])
def test_a_scheme_of_limits_for_asyncio_is_refused_by_name(url: str) -> None:
    with pytest.raises(ConfigurationError, match="leave it out") as caught:
        Gate(limiter=url)
    assert "word" not in str(caught.value)
