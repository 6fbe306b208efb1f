"""What the gate does, seen through every door: one suite, so that the doors cannot drift apart."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio.lowlevel
import pytest

from keystile import Argon2Hasher, Rule, StoreUnavailable, _sync, current
from keystile.keys.format import crc_check
from tests.doors import Answer, Door

TIMES = re.compile(rb'"req_[0-9A-Za-z]{24}"|"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"')


def forged(secret: str) -> str:
    """The same id and hint-free shape with another secret, and a right check."""
    body = secret[:-38] + "0" * 32
    return body + crc_check(body.encode())


def masked(answer: Answer) -> tuple[Any, ...]:
    """Everything of an answer but its request id and moment."""
    headers = [field for field in answer.headers if field[0] != "x-request-id"]
    return answer.status, headers, TIMES.sub(b'"..."', answer.body)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Authorization", "Bearer {}"),
        ("authorization", "bearer {}"),
        ("AUTHORIZATION", "BEARER   {}  "),
        ("Authorization", "Api-Key {}"),
        ("authorization", "aPI-kEY {}"),
        ("Api-Key", "{}"),
        ("api-key", " {}\t"),
        ("X-API-Key", "{}"),
        ("x-api-key", "{}"),
    ],
)
def test_a_key_is_admitted_in_each_form_and_any_case(door: Door, name: str, value: str) -> None:
    issued = door.create(organization_id="org_1")
    answer = door.get(headers=[(name, value.format(issued.secret))])
    assert (answer.status, answer.body) == (200, b'{"ok": true}')
    [admitted] = door.host.calls
    assert admitted.principal == issued.key.principal
    assert admitted.principal.organization_id == "org_1"
    assert answer.header("x-request-id") == admitted.request_id


def test_a_request_without_a_credential_is_asked_for_one(door: Door) -> None:
    answer = door.get()
    assert (answer.status, answer.code) == (401, "missing_api_key")
    assert answer.header("www-authenticate") == 'Bearer realm="api"'
    assert door.get(headers=[("authorization", "Basic dXNlcjpwYXNz")]).code == "missing_api_key"
    assert door.host.calls == []


def test_nobody_without_the_secret_learns_anything(door: Door) -> None:
    known, revoked = door.create(), door.create()
    door.run(door.gate.keys.arevoke, revoked.key.id)
    wrong = known.secret[:-1] + ("0" if known.secret[-1] != "0" else "1")
    strangers = [
        "nonsense",
        "acme_live_",
        wrong,
        known.secret + "abc",
        known.secret.swapcase(),
        forged(known.secret),
        forged(revoked.secret),
        forged(known.secret.replace(known.key.id, "000000000000")),
        "x" * 65_536,
    ]
    answers = [masked(door.get(key=stranger)) for stranger in strangers]
    assert len(set(map(repr, answers))) == 1
    assert answers[0][0] == 401
    assert ("www-authenticate", 'Bearer realm="api", error="invalid_token"') in answers[0][1]
    assert b'"invalid_api_key"' in answers[0][2]
    assert door.host.calls == []


def test_whoever_proves_the_secret_is_told_why_it_ended(door: Door) -> None:
    issued = door.create(expires_at=datetime.now(UTC) + timedelta(hours=1))
    assert door.get(key=issued.secret).status == 200
    later = time.time() + 3600
    door.open(clock=lambda: later)
    assert (door.get(key=issued.secret).status, door.get(key=issued.secret).code) == (401, "expired_api_key")
    door.run(door.gate.keys.arevoke, issued.key.id)
    answer = door.get(key=issued.secret)
    assert (answer.status, answer.code) == (401, "revoked_api_key")
    assert 'error="invalid_token"' in (answer.header("www-authenticate") or "")


def test_a_revoked_key_is_refused_on_the_next_request_warm_or_not(door: Door) -> None:
    issued = door.create()
    assert door.get(key=issued.secret).status == 200
    assert door.get(key=issued.secret).status == 200
    door.run(door.gate.keys.arevoke, issued.key.id)
    assert door.get(key=issued.secret).code == "revoked_api_key"
    door.open()
    assert door.get(key=issued.secret).code == "revoked_api_key"


def test_a_touch_does_not_bring_a_revoked_key_back(door: Door) -> None:
    issued = door.create()
    door.get(key=issued.secret)
    first = door.run(door.gate.keys.arevoke, issued.key.id)
    door.flush()
    door.open()
    assert door.get(key=issued.secret).code == "revoked_api_key"
    assert door.run(door.gate.keys.arevoke, issued.key.id).revoked_at == first.revoked_at


@pytest.mark.parametrize(
    "headers",
    [
        [("authorization", "Bearer {good}"), ("x-api-key", "{other}")],
        [("api-key", "{good}"), ("x-api-key", "{other}")],
        [("api-key", "{good}"), ("x-api-key", "nonsense")],
        [("authorization", "Bearer {good}"), ("authorization", "Bearer {good}")],
        [("x-api-key", "{good}"), ("x-api-key", "{good}")],
        [("x-api-key", "{good}"), ("x-api-key", "{other}")],
        [("authorization", "Bearer {good}, Bearer {good}")],
        [("x-api-key", ""), ("x-api-key", "{good}")],
        [("x-api-key", "{good}"), ("x-api-key", "")],
        [("x-api-key", ""), ("x-api-key", "")],
        [("authorization", ""), ("authorization", "Bearer {good}")],
        [("authorization", "Bearer {good}"), ("authorization", "Bearer")],
        [("authorization", "Basic x"), ("authorization", "")],
        [("authorization", "Bearer"), ("authorization", "Bearer")],
        [("x-api-key", "{good},{good}")],
        [("x-api-key", "{good}, ")],
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(door: Door, headers: list[tuple[str, str]]) -> None:
    keys = {"good": door.create().secret, "other": door.create().secret}
    answer = door.get(headers=[(name, value.format(**keys)) for name, value in headers])
    assert (answer.status, answer.code) == (400, "invalid_request")
    assert door.host.calls == []


def test_one_key_in_two_headers_is_one_key(door: Door) -> None:
    secret = door.create().secret
    assert door.get(key=secret, headers=[("x-api-key", secret), ("api-key", secret)]).status == 200


@pytest.mark.parametrize("value", ["", " ", "\t "])
@pytest.mark.parametrize("name", ["x-api-key", "API-KEY"])
def test_an_empty_value_presents_nothing(door: Door, name: str, value: str) -> None:
    secret = door.create().secret
    assert door.get(headers=[(name, value)]).code == "missing_api_key"
    assert door.get(key=secret, headers=[(name, value)]).status == 200
    assert door.get(headers=[(name, value), ("authorization", "Bearer")]).code == "missing_api_key"
    assert door.get(headers=[(name, value), ("authorization", "Bearer x")]).code == "invalid_api_key"


@pytest.mark.parametrize("value", ["", "Bearer", "bearer ", " Api-Key\t"])
def test_a_scheme_with_nothing_behind_it_presents_nothing(door: Door, value: str) -> None:
    answer = door.get(headers=[("authorization", value)])
    assert (answer.status, answer.code) == (401, "missing_api_key")
    assert door.get(headers=[("authorization", value), ("x-api-key", door.create().secret)]).status == 200


def test_a_foreign_scheme_beside_a_key_is_none_of_our_business(door: Door) -> None:
    headers = [("authorization", "Basic dXNlcjpwYXNz"), ("x-api-key", door.create().secret)]
    assert door.get(headers=headers).status == 200


@pytest.mark.parametrize("name", ["authorization", "api-key", "x-api-key"])
@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "\t",
        "Bearer",
        "Bearer ",
        "Bearer\t{}",
        "Bearer {} x",
        "{} {}",
        "\xe9\xff",
        "{}\x00",
        "{}\r\n {}",
        "\x7f",
    ],
)
def test_an_odd_value_is_a_401_and_nothing_else(door: Door, name: str, value: str) -> None:
    secret = door.create().secret
    answer = door.get(headers=[(name, value.replace("{}", secret))])
    assert answer.status == 401
    assert answer.code in ("invalid_api_key", "missing_api_key")
    assert door.host.calls == []


def test_only_the_accepted_forms_are_read(door: Door) -> None:
    secret = door.create().secret
    door.open(accept=["x-api-key"])
    assert door.get(key=secret).code == "missing_api_key"
    answer = door.get(headers=[("x-api-key", secret), ("authorization", "Bearer nonsense")])
    assert answer.status == 200
    assert answer.header("vary") == "x-api-key"


def test_a_public_path_needs_no_key_and_has_no_principal(door: Door) -> None:
    door.open(public=["/", "/health/", "/static/*"])
    for path in ("/", "/health/", "/static/", "/static/css/site.css", "/static/caf%C3%A9"):
        answer = door.get(path)
        assert answer.status == 200, path
        assert answer.header("cache-control") is None
        assert answer.header("vary") is None
        assert answer.header("x-request-id")
    assert {admitted.principal for admitted in door.host.calls} == {None}
    for path in ("/health", "/static", "/Static/x", "/staticx", "/health/x", "/v1"):
        assert door.get(path).code == "missing_api_key", path


@pytest.mark.parametrize(
    "path",
    [
        "//static/x",
        "/static//x",
        "/static/../v1",
        "/static/%2e%2e/v1",
        "/static/%2E./v1",
        "/static/x%2fy",
        "/static/x%5cy",
        "/static/.",
        "/static/x;y",
        "/static/x%00",
        "/static/x%0a",
        "/static/%252e",
        "/static/%ff",
        "/static/\\x",
        "",
    ],
)
def test_a_path_that_is_not_canonical_is_never_public(door: Door, path: str) -> None:
    door.open(public=["/static/*", "/"], rules=[Rule("POST /v1/exports", scopes=["exports:write"])])
    assert door.get(path).code == "missing_api_key"
    assert door.get(path, door.create().secret).code == "insufficient_scope"
    assert door.get(path, door.create(scopes=["exports:write"]).secret).status == 200


def test_a_handler_has_a_caller_wherever_a_key_was_asked_for(door: Door) -> None:
    issued = door.create()
    door.open(public=["/open"], preflight="pass")
    door.host.acts = lambda: callers.append(current().caller)
    callers: list[Any] = []
    assert door.get(key=issued.secret).status == 200
    assert callers == [issued.key.principal]
    preflight = [("origin", "https://app.example"), ("access-control-request-method", "POST")]
    for path, method, headers in (("/open", "GET", []), ("/v1", "OPTIONS", preflight)):
        with pytest.raises(LookupError, match="no key was asked for: use `principal`"):
            door.get(path, method=method, headers=headers)
        assert door.host.seen["keystile.admitted" if door.kind == "wsgi" else "keystile"].principal is None


def test_every_scope_of_the_rule_is_needed(door: Door) -> None:
    door.open(
        rules=[
            Rule("POST /v1/exports", scopes=["exports:write", "exports:read"]),
            Rule("GET /v1/exports", scopes=["exports:read"]),
        ]
    )
    reader = door.create(scopes=["exports:read"]).secret
    writer = door.create(scopes=["exports:read", "exports:write"]).secret
    answer = door.get("/v1/exports", reader, method="POST")
    assert (answer.status, answer.code) == (403, "insufficient_scope")
    assert answer.json["error"]["details"] == {"required_scopes": ["exports:read", "exports:write"]}
    challenge = 'Bearer realm="api", error="insufficient_scope", scope="exports:read exports:write"'
    assert answer.header("www-authenticate") == challenge
    assert door.get("/v1/exports", reader, method="post").status == 403
    assert door.get("/v1/exports", writer, method="POST").status == 200
    assert door.get("/v1/exports", reader).status == 200
    bare = door.create().secret
    assert door.get("/v1/exports", bare).status == 403
    assert door.get("/v1/exports", bare, method="HEAD").status == 403
    assert door.get("/v1/other", bare, method="POST").status == 200


def test_the_most_specific_rule_decides(door: Door) -> None:
    door.open(
        public=["/v1/docs", "/v1/open/*"],
        rules=[
            Rule("/v1/*", scopes=["v1"]),
            Rule("/v1/open/admin/*", scopes=["v1", "admin"]),
            Rule("DELETE /v1/open/x", scopes=["v1", "delete"]),
        ],
    )
    secret = door.create(scopes=["v1"]).secret
    assert door.get("/v1/docs").status == 200
    assert door.get("/v1/open/x").status == 200
    assert door.get("/v1/open/x", method="DELETE").code == "missing_api_key"
    assert door.get("/v1/open/x", secret, method="DELETE").status == 403
    assert door.get("/v1/open/admin/x", secret).status == 403
    assert door.get("/v1/x", secret).status == 200
    assert door.get("/v1/x", door.create().secret).status == 403


@pytest.mark.parametrize(
    ("allowed", "peer", "status"),
    [
        (["192.0.2.0/24"], "192.0.2.7", 200),
        (["192.0.2.0/24"], "192.0.3.7", 403),
        (["192.0.2.7"], "::ffff:192.0.2.7", 200),
        (["::ffff:192.0.2.0/120"], "192.0.2.7", 200),
        (["::/0"], "192.0.2.7", 403),
        (["::/0"], "::ffff:192.0.2.7", 403),
        (["0.0.0.0/0"], "2001:db8::1", 403),
        (["2001:db8::/32", "10.0.0.1"], "2001:db8::1%eth0", 200),
        (["2001:db8::/32", "10.0.0.1"], "10.0.0.1", 200),
        (["0.0.0.0/0"], None, 403),
        (["0.0.0.0/0"], "", 403),
        (["0.0.0.0/0"], "unknown", 403),
        (["0.0.0.0/0"], "010.0.0.1", 403),
        (None, None, 200),
    ],
)
def test_a_key_works_from_its_addresses_only(door: Door, allowed: Any, peer: str | None, status: int) -> None:
    answer = door.get(key=door.create(ip_allowlist=allowed).secret, peer=peer)
    assert answer.status == status
    assert answer.code in (None, "ip_not_allowed")


def test_a_scope_is_looked_at_after_the_address(door: Door) -> None:
    door.open(rules=[Rule("/v1/*", scopes=["x"])])
    secret = door.create(ip_allowlist=["192.0.2.1"]).secret
    assert door.get(key=secret).code == "ip_not_allowed"
    assert door.get(key=secret, peer="192.0.2.1").code == "insufficient_scope"


def test_a_refusal_is_an_envelope_that_no_cache_keeps(door: Door) -> None:
    answer = door.get()
    assert answer.header("content-type") == "application/json"
    assert answer.header("content-length") == str(len(answer.body))
    assert answer.header("cache-control") == "no-store"
    assert answer.header("vary") == "api-key, authorization, x-api-key"
    body = answer.json
    assert set(body) == {"error", "meta"}
    assert body["error"] == {"code": "missing_api_key", "message": "An API key is required.", "details": {}}
    assert re.fullmatch(r"req_[0-9A-Za-z]{24}", body["meta"]["request_id"])
    assert body["meta"]["request_id"] == answer.header("x-request-id")
    assert abs(datetime.fromisoformat(body["meta"]["timestamp"]).timestamp() - time.time()) < 60


def test_a_refused_head_has_the_head_of_get_and_no_body(door: Door) -> None:
    get, head = door.get(), door.get(method="HEAD")
    assert head.body == b""
    assert masked(head)[:2] == masked(get)[:2]


def test_the_hosts_answer_is_not_for_shared_caches(door: Door) -> None:
    secret = door.create().secret
    answer = door.get(key=secret)
    assert answer.header("cache-control") == "private"
    assert answer.header("vary") == "api-key, authorization, x-api-key"
    door.host.headers = [("Cache-Control", "public, max-age=60"), ("Vary", "Accept-Encoding, AUTHORIZATION")]
    answer = door.get(key=secret)
    assert answer.header("cache-control") == "max-age=60, private"
    assert answer.header("vary") == "Accept-Encoding, AUTHORIZATION, api-key, x-api-key"
    door.host.headers = [("cache-control", "no-store"), ("vary", "*")]
    answer = door.get(key=secret)
    assert (answer.header("cache-control"), answer.header("vary")) == ("no-store", "*")


def test_the_hosts_headers_and_body_pass_as_they_are(door: Door) -> None:
    door.host.status = 404
    door.host.headers = [("set-cookie", "a=1"), ("x-one", "1"), ("set-cookie", "b=2"), ("x-request-id", "mine")]
    door.host.chunks = [b"a", b"", b"b" * 100_000]
    answer = door.get(key=door.create().secret)
    assert (answer.status, answer.body) == (404, b"a" + b"b" * 100_000)
    assert answer.all("set-cookie") == ["a=1", "b=2"]
    assert answer.headers[:3] == [("set-cookie", "a=1"), ("x-one", "1"), ("set-cookie", "b=2")]
    assert answer.header("x-request-id") == door.host.calls[0].request_id
    assert door.host.headers[-1] == ("x-request-id", "mine")


def test_each_request_has_an_id_of_its_own(door: Door) -> None:
    assert len({door.get().header("x-request-id") for _ in range(300)}) == 300


def test_current_is_gone_when_the_request_is(door: Door) -> None:
    door.get(key=door.create().secret)
    with pytest.raises(LookupError, match="no request"):
        current()


def test_a_store_that_fails_closes_the_gate_until_it_is_back(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    secret = door.create().secret
    assert door.get(key=secret).status == 200
    calls = len(door.host.calls)
    store = door.gate._shop.store
    working = type(store).find
    for error in (StoreUnavailable("sqlite:///keys.db", "disk I/O error"), RuntimeError("pw=hunter2"), OSError(5)):
        with pytest.MonkeyPatch.context() as patch:

            async def failing(self: Any, key_id: str, error: Exception = error) -> None:
                raise error

            def failing_now(self: Any, key_id: str, error: Exception = error) -> None:
                raise error

            patch.setattr(type(store), "find", failing if door.gate.needs_await else failing_now)
            door.open(store=store, public=["/health"])
            answers = [door.get(key=secret), door.get(key=secret)]
            assert door.get("/health").status == 200
        assert [(answer.status, answer.code) for answer in answers] == [(503, "unavailable")] * 2
        assert answers[0].header("retry-after") == "5"
        assert answers[0].header("www-authenticate") is None
    assert len(door.host.calls) == calls + 3
    assert type(store).find is working
    assert "hunter2" not in caplog.text
    assert caplog.text.count("store_down") == 3
    door.open(store=store)
    assert door.get(key=secret).status == 200


def test_a_used_key_is_touched_once_a_minute(door: Door) -> None:
    now = time.time()
    gate = door.open(clock=lambda: now)
    issued = door.create()

    def last_used() -> datetime | None:
        door.flush()
        return door.run(gate.keys.aget, issued.key.id).last_used_at

    async def use(times: int) -> None:
        for _ in range(times):
            if door.kind == "wsgi":
                door.through_wsgi("GET", "/v1", [("x-api-key", issued.secret)], None, None)
            else:
                await door.asgi_call("GET", "/v1", [("x-api-key", issued.secret)], None)
            await anyio.lowlevel.checkpoint()
            await anyio.lowlevel.checkpoint()

    door.run(use, 3)
    first = last_used()
    assert first == datetime.fromtimestamp(now, UTC)
    now += 59
    door.run(use, 3)
    assert last_used() == first
    now += 2
    door.run(use, 3)
    assert last_used() == datetime.fromtimestamp(now, UTC)


def test_an_old_hash_is_renewed_on_use(door: Door) -> None:
    issued = door.create()
    old = issued.key.hashes[0].hash
    stronger = Argon2Hasher(memory_kib=16, time_cost=1)
    gate = door.open(hasher=stronger)

    async def use() -> None:
        if door.kind == "wsgi":
            answer = door.through_wsgi("GET", "/v1", [("x-api-key", issued.secret)], None, None)
        else:
            answer = await door.asgi_call("GET", "/v1", [("x-api-key", issued.secret)], None)
        assert answer.status == 200
        await anyio.lowlevel.checkpoint()
        await anyio.lowlevel.checkpoint()

    door.run(use)
    assert _sync.settled()
    [renewed] = door.run(gate.keys.aget, issued.key.id).hashes
    assert renewed.hash != old
    assert not stronger.needs_rehash(renewed.hash)
    assert renewed.hint == issued.key.hashes[0].hint
    assert door.get(key=issued.secret).status == 200
