"""What stands between a client and the gate: proxies, https, CORS, keys that end in flight or in a query; events."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from keystile import ConfigurationError, Rule
from keystile.events import Event
from keystile.exceptions import StoreBusy
from keystile.keys.format import crc_check
from keystile.policy import CREDENTIAL_FORMS
from tests.doors import Door, Host

PROXY = "10.0.0.1"
PROXIED = {"trusted_proxies": ["10.0.0.0/8"]}


def heard(door: Door) -> list[Event]:
    events: list[Event] = []
    door.gate.on_event(events.append)
    return events


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        ("1.1.1.1, 9.9.9.9", "9.9.9.9"),
        ("9.9.9.9, 10.0.0.2", "9.9.9.9"),
        ("1.1.1.1, unknown", None),
        ("9.9.9.9, ::ffff:10.0.0.2", "9.9.9.9"),
        ("[2001:db8::5]:443", "2001:db8::5"),
        ("", PROXY),
    ],
)
def test_the_client_is_whom_the_trusted_proxies_saw(door: Door, forwarded: str, client: str | None) -> None:
    issued = door.create(ip_allowlist=["9.9.9.9", "2001:db8::/32"])
    door.open(**PROXIED)
    events = heard(door)
    answer = door.get(key=issued.secret, headers=[("x-forwarded-for", forwarded)], peer=PROXY)
    allowed = client in ("9.9.9.9", "2001:db8::5")
    assert (answer.status, answer.status == 200 or answer.code) == ((200, True) if allowed else (403, "ip_not_allowed"))
    assert {event.client for event in events} == {client}


def test_a_header_of_somebody_else_is_not_read(door: Door) -> None:
    secret = door.create(ip_allowlist=["9.9.9.9"]).secret
    door.open(**PROXIED)
    spoofed = [("x-forwarded-for", "9.9.9.9"), ("forwarded", "for=9.9.9.9"), ("x-real-ip", "9.9.9.9")]
    assert door.get(key=secret, headers=spoofed, peer="8.8.8.8").code == "ip_not_allowed"
    assert door.get(key=secret, headers=spoofed[1:], peer=PROXY).code == "ip_not_allowed"
    door.open(client_header="Forwarded", **PROXIED)
    assert door.get(key=secret, headers=spoofed, peer=PROXY).status == 200
    door.open(client_header="X-Real-IP", **PROXIED)
    assert door.get(key=secret, headers=spoofed, peer=PROXY).status == 200
    door.open()
    assert door.get(key=secret, headers=spoofed, peer=PROXY).code == "ip_not_allowed"


def test_one_resolver_feeds_windows_and_the_failure_budget(door: Door) -> None:
    known = door.create().secret
    door.open(public=["/"], anonymous_limits="1/minute", failure_limits="1/minute", **PROXIED)

    def ask(path: str, client: str, key: str | None = None) -> int:
        return door.get(path, key, headers=[("x-forwarded-for", client)], peer=PROXY).status

    assert [ask("/", "9.9.9.9"), ask("/", "9.9.9.9"), ask("/", "8.8.8.8")] == [200, 429, 200]
    wrong = known[:-38] + "0" * 32
    wrong += crc_check(wrong.encode())
    assert [ask("/v1", "9.9.9.9", wrong), ask("/v1", "9.9.9.9", wrong), ask("/v1", "8.8.8.8", wrong)] == [401, 429, 401]
    # Nobody knows who these are: they are counted as the proxy that brought them.
    assert [ask("/", "unknown"), ask("/", "nonsense")] == [200, 429]


def test_hops_are_counted_from_the_right(door: Door) -> None:
    secret = door.create(ip_allowlist=["9.9.9.9"]).secret
    door.open(trusted_hops=2)
    for forwarded, status in (("1.1.1.1, 9.9.9.9, 7.7.7.7", 200), ("9.9.9.9", 403), ("9.9.9.9, 1.1.1.1, 7.7.7.7", 403)):
        assert door.get(key=secret, headers=[("x-forwarded-for", forwarded)]).status == status, forwarded


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_https_is_required_where_the_policy_says_so(door: Door, scheme: str) -> None:
    secret = door.create().secret
    door.open(https="require", hsts=31_536_000, public=["/health"])
    events = heard(door)
    for path, key in (("/v1", secret), ("/health", None)):
        answer = door.get(path, key, scheme=scheme)
        strict = "max-age=31536000" if scheme == "https" else None
        assert answer.header("strict-transport-security") == strict
        assert answer.status == (200 if scheme == "https" else 403)
        assert scheme == "https" or answer.code == "https_required"
    assert ("credential_over_http" in {event.code for event in events}) == (scheme == "http")
    refused = door.get("/v1", scheme="https")
    assert refused.header("strict-transport-security") == "max-age=31536000"


def test_a_redirect_leads_to_the_configured_host_and_only_there(door: Door) -> None:
    secret = door.create().secret
    door.open(https="redirect", public_url="https://api.example.com")
    for path, target in (
        ("/v1/a%20b?x=1&y=%2F", "/v1/a%20b?x=1&y=%2F"),
        ("/", "/"),
        ("//evil.example/x", "//evil.example/x"),
        ("/v1/%0d%0aSet-Cookie:a", "/v1/%0D%0ASet-Cookie:a"),
    ):
        answer = door.get(path, secret, headers=[("host", "evil.example")])
        assert answer.status == 301
        assert answer.header("location") == f"https://api.example.com{target}"
        assert answer.json["error"]["code"] == "https_required"
        assert answer.header("cache-control") == "no-store"
    assert door.host.calls == []


@pytest.mark.parametrize("redirect_status", [301, 308])
def test_a_redirect_may_keep_the_method_and_the_key_in_the_clear_is_told_either_way(
    door: Door, redirect_status: int
) -> None:
    secret = door.create().secret
    door.open(https="redirect", public_url="https://api.example.com", redirect_status=redirect_status)
    events = heard(door)
    answer = door.get("/v1/exports?x=1", secret, method="POST", body=[b"{}"])
    assert (answer.status, answer.json["error"]["code"]) == (redirect_status, "https_required")
    assert answer.header("location") == "https://api.example.com/v1/exports?x=1"
    assert answer.header("cache-control") == "no-store"
    told = [(event.code, event.status) for event in events]
    assert told == [("credential_over_http", None), ("https_required", redirect_status)]
    assert door.get("/v1/exports", method="HEAD").status == redirect_status
    assert len(events) == 3  # without a key, nothing came in the clear
    assert door.host.calls == []


def test_a_tls_proxy_makes_no_redirect_loop(door: Door) -> None:
    secret = door.create().secret
    door.open(https="redirect", public_url="https://api.example.com", hsts=60, **PROXIED)

    def ask(peer: str, *headers: tuple[str, str]) -> int:
        return door.get(key=secret, headers=headers, peer=peer).status

    https = ("x-forwarded-proto", "https")
    assert ask(PROXY, ("x-forwarded-for", "9.9.9.9"), https) == 200
    assert ask(PROXY, https) == 200
    assert ask(PROXY, ("x-forwarded-proto", "http")) == 301
    assert ask(PROXY, ("x-forwarded-proto", "https, http")) == 301
    assert ask("8.8.8.8", https) == 301


def test_a_scheme_that_the_server_may_have_from_an_outsider_is_not_https(door: Door) -> None:
    secret = door.create().secret
    proto = [("x-forwarded-proto", "https")]

    def ask(peer: str, *headers: tuple[str, str]) -> int:
        return door.get(key=secret, headers=headers, peer=peer, scheme="https").status

    door.open(https="require", **PROXIED)
    assert [ask("8.8.8.8"), ask("8.8.8.8", *proto), ask(PROXY, *proto)] == [200, 403, 200]
    # A proxy that writes the standard header may pass on what clients write into the other.
    door.open(https="require", client_header="Forwarded", **PROXIED)
    assert [ask(PROXY, ("forwarded", "for=9.9.9.9")), ask(PROXY, ("forwarded", "for=9.9.9.9"), *proto)] == [200, 403]
    assert ask(PROXY, ("forwarded", "for=9.9.9.9;proto=https"), *proto) == 200
    # Who names no proxies leaves the scheme to the server.
    door.open(https="require")
    assert ask("8.8.8.8", *proto) == 200


PREFLIGHT = [("origin", "https://app.example"), ("access-control-request-method", "POST")]


@pytest.mark.parametrize("path", ["/v1/x", "/odd//path", "*"])
def test_a_preflight_is_a_request_like_any_other(door: Door, path: str) -> None:
    events = heard(door)
    answer = door.get(path, method="OPTIONS", headers=PREFLIGHT)
    assert (answer.status, answer.code) == (401, "missing_api_key")
    assert [event.code for event in events] == ["missing_api_key"]
    assert door.host.calls == []
    assert door.get(path, door.create().secret, method="OPTIONS", headers=PREFLIGHT).status == 200


def test_a_preflight_for_a_public_path_is_counted_like_any_request_for_it(door: Door) -> None:
    door.open(public=["/open"], anonymous_limits="2/day")
    asked = [door.get("/open", method="OPTIONS", headers=PREFLIGHT).status for _ in range(3)]
    assert asked == [200, 200, 429]


@pytest.mark.parametrize("path", ["/v1/x", "/open"])
def test_a_preflight_that_passes_is_counted_by_address_and_told(door: Door, path: str) -> None:
    rules = [Rule("/v1/*", limits="2/day", scopes=["x"], cost=2), Rule("/open", public=True, limits="1/day")]
    door.open(rules=rules, anonymous_limits="2/day", preflight="pass", envelope=True, require_json=True)
    events = heard(door)
    answers = [door.get(path, method="OPTIONS", headers=PREFLIGHT) for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429]
    assert [answer.header("x-ratelimit-remaining") for answer in answers] == ["1", "0", "0"]
    assert [event.code for event in events] == ["preflight", "preflight", "rate_limited"]
    assert (events[0].client, events[0].method, events[0].path) == ("127.0.0.1", "OPTIONS", path)
    assert events[0].request_id == answers[0].header("x-request-id")
    assert [admitted.principal for admitted in door.host.calls] == [None] * 2
    assert answers[0].body == b'{"ok": true}'
    assert door.get(path, method="OPTIONS", headers=PREFLIGHT, peer="192.0.2.7").status == 200


def test_a_preflight_passes_over_https_where_https_is_demanded(door: Door) -> None:
    door.open(preflight="pass", https="require", hsts=60)
    assert door.get("/v1/x", method="OPTIONS", headers=PREFLIGHT).code == "https_required"
    answer = door.get("/v1/x", method="OPTIONS", headers=PREFLIGHT, scheme="https")
    assert (answer.status, answer.header("strict-transport-security")) == (200, "max-age=60")


def test_a_preflight_that_can_be_read_in_two_ways_does_not_pass(door: Door) -> None:
    door.open(preflight="pass")
    assert [door.get(path, method="OPTIONS", headers=PREFLIGHT).status for path in ("/odd//path", "/a/../b")] == [
        401
    ] * 2
    assert door.host.calls == []


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("OPTIONS", PREFLIGHT[:1]),
        ("OPTIONS", PREFLIGHT[1:]),
        ("OPTIONS", [PREFLIGHT[0], ("access-control-request-method", "")]),
        ("OPTIONS", [("origin", " "), PREFLIGHT[1]]),
        ("OPTIONS", [PREFLIGHT[0], *PREFLIGHT]),
        ("OPTIONS", [("origin", ""), *PREFLIGHT]),
        ("OPTIONS", [*PREFLIGHT, PREFLIGHT[1]]),
        ("OPTIONS", [*PREFLIGHT, ("x-http-method-override", "DELETE")]),
        ("OPTIONS", [*PREFLIGHT, ("x-http-method", "DELETE")]),
        ("OPTIONS", [*PREFLIGHT, ("x-method-override", "DELETE")]),
        ("options", PREFLIGHT),
        ("GET", PREFLIGHT),
        ("POST", PREFLIGHT),
        ("HEAD", PREFLIGHT),
        ("TRACE", PREFLIGHT),
        ("OPTIONSX", PREFLIGHT),
        ("OPTIONS", [("x-origin", "a"), ("access-control-request-methods", "POST")]),
    ],
)
def test_a_look_alike_of_a_preflight_does_not_pass(door: Door, method: str, headers: Any) -> None:
    door.open(preflight="pass")
    assert door.get(method=method, headers=headers).status == 401
    assert door.host.calls == []


def test_an_options_request_that_brings_a_key_is_judged_by_it(door: Door) -> None:
    secret = door.create().secret
    door.open(preflight="pass", rules=[Rule("/admin", scopes=["admin"])])
    assert door.get("/admin", secret, method="OPTIONS", headers=PREFLIGHT).code == "insufficient_scope"
    assert door.get("/v1", "nonsense", method="OPTIONS", headers=PREFLIGHT).code == "invalid_api_key"
    # An empty header: no browser sends it, and it is no credential.
    assert door.get("/v1", method="OPTIONS", headers=[*PREFLIGHT, ("x-api-key", "")]).status == 200


KNOWN_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]
ODD_METHODS = ["CONNECT", "PROPFIND", "get", ""]


@pytest.mark.parametrize("preflight", ["refuse", "pass"])
def test_no_method_runs_the_app_without_a_key_or_uncounted(door: Door, preflight: str) -> None:
    door.open(preflight=preflight, public=["/", "/open"], anonymous_limits="1/day", envelope=True)
    for number, method in enumerate(KNOWN_METHODS + ODD_METHODS):
        peer = f"192.0.2.{number}"
        for path in ("/v1", "*", "", "//", "/open/", "http://evil.example/open"):
            assert door.get(path, method=method, peer=peer).status == 401, (method, path)
        # A rule that permits does so for the methods that it knows.
        expected = [200, 429] if method in KNOWN_METHODS else [401, 401]
        assert [door.get("/open", method=method, peer=peer).status for _ in range(2)] == expected, method
    assert len(door.host.calls) == len(KNOWN_METHODS)


def revoking(door: Door, key_id: str) -> Any:
    """What a handler does whose caller loses the key meanwhile, in another process as far as this gate can tell."""

    def act() -> Any:
        return patiently(plain_store(door).revoke, key_id, datetime.now(UTC), ())

    return act


@pytest.mark.parametrize("envelope", [False, True])
def test_a_key_that_is_revoked_while_the_app_works_gets_no_answer_of_the_apps(door: Door, envelope: bool) -> None:
    issued = door.create()
    door.open(recheck_in_flight=True, envelope=envelope)
    assert door.get(key=issued.secret).status == 200
    door.host.acts = revoking(door, issued.key.id)
    door.host.chunks = [b"", b'{"secret": ', b'"of the app"}']
    answer = door.get(key=issued.secret)
    assert (answer.status, answer.code) == (401, "revoked_api_key")
    assert b"of the app" not in answer.body
    assert door.raised is None
    door.open(recheck_in_flight=False)
    assert door.get(key=issued.secret).code == "revoked_api_key"


class Streaming(Host):
    """Does something after the first chunk of its answer has left."""

    then: Callable[[], object]

    def fail(self, where: str) -> None:
        if where == "body":
            self.then()


@pytest.mark.parametrize("envelope", [False, True])
def test_a_stream_breaks_off_when_its_key_is_revoked(door: Door, envelope: bool) -> None:
    door.host = Streaming(chunks=[b'{"first": 1, ', b"", b'"secret": ', b'"of the app"}'], fails=(Exception(), "body"))
    door.host.then = dict
    issued = door.create()
    door.open(recheck_in_flight=True, envelope=envelope)
    assert b'{"first": 1, "secret": "of the app"}' in door.get(key=issued.secret).body
    door.host.then = revoking(door, issued.key.id)
    events = heard(door)
    cut = door.get(key=issued.secret)
    assert cut.status == 200
    assert cut.body == (b'{"data":' if envelope else b"") + b'{"first": 1, '
    assert isinstance(door.raised, ConnectionResetError)
    assert events[-1].code == "revoked_api_key"
    if door.kind == "wsgi":
        assert door.host.closed == 2


def test_a_stream_goes_on_for_a_key_that_is_not_asked_for_or_not_judged_again(door: Door) -> None:
    door.host = Streaming(chunks=[b"[1,", b"2]"], fails=(Exception(), "body"))
    issued = door.create()
    door.host.then = revoking(door, issued.key.id)
    door.open(recheck_in_flight=True, public=["/open"])
    assert door.get("/open").body == b"[1,2]"
    issued = door.create()
    door.host.then = revoking(door, issued.key.id)
    door.open(recheck_in_flight=False)
    assert door.get(key=issued.secret).body == b"[1,2]"
    assert door.raised is None


def test_a_key_that_holds_gets_the_apps_answer_as_it_was(door: Door) -> None:
    issued = door.create()
    door.open(recheck_in_flight=True, public=["/health"])
    door.host.chunks = [b"", b'{"ok": ', b"true}"]
    for method, path in (("GET", "/v1"), ("HEAD", "/v1"), ("GET", "/health")):
        answer = door.get(path, issued.secret, method=method)
        assert (answer.status, answer.body) == (200, b'{"ok": true}')
    door.host.chunks, door.host.status = [], 204
    assert door.get(key=issued.secret).status == 204


def patiently(function: Any, *args: Any) -> Any:
    """Call a store that may be busy: the note of the key's use is being written."""
    for _ in range(1000):
        try:
            return function(*args)
        except StoreBusy:
            time.sleep(0.001)
    raise AssertionError


def plain_store(door: Door) -> Any:
    store = door.gate._shop.store
    return getattr(store, "inner", store)


def rewriting(door: Door, key_id: str, changes: dict[str, Any]) -> Any:
    """What a handler does while the record of its caller's key becomes another one."""

    def act() -> None:
        store = plain_store(door)
        rest = {name: value for name, value in changes.items() if name != "revoked_at"}
        patiently(store.update, key_id, patiently(store.find, key_id).revision, rest, ())
        if "revoked_at" in changes:
            patiently(store.revoke, key_id, changes["revoked_at"], ())

    return act


CHANGES = {
    "expired": ({"expires_at": datetime(2020, 1, 1, tzinfo=UTC)}, 401, "expired_api_key"),
    "without the scope": ({"scopes": ()}, 403, "insufficient_scope"),
    "elsewhere": ({"ip_allowlist": ("192.0.2.1",)}, 403, "ip_not_allowed"),
    "without a plan": ({"plan": "gone"}, 403, "plan_required"),
    "revoked and expired": (
        {"expires_at": datetime(2020, 1, 1, tzinfo=UTC), "revoked_at": datetime(2020, 1, 1, tzinfo=UTC)},
        401,
        "revoked_api_key",
    ),
}


@pytest.mark.parametrize("envelope", [False, True])
@pytest.mark.parametrize("change", list(CHANGES))
def test_a_key_is_judged_anew_and_whole_before_the_answer_leaves(door: Door, change: str, envelope: bool) -> None:
    changes, status, code = CHANGES[change]
    issued = door.create(scopes=["read"])
    door.open(
        recheck_in_flight=True, envelope=envelope, rules=[Rule("/v1/*", scopes=["read"])], anonymous_limits="1/day"
    )
    assert door.get(key=issued.secret).status == 200
    door.host.acts = rewriting(door, issued.key.id, changes)
    events = heard(door)
    answer = door.get(key=issued.secret)
    assert (answer.status, answer.code) == (status, code)
    assert events[-1].code == code
    assert door.raised is None


def test_a_key_that_expires_in_flight_gets_no_answer_of_the_apps(door: Door) -> None:
    now = [time.time()]
    issued = door.create(expires_at=datetime.fromtimestamp(now[0] + 60, UTC))
    door.open(recheck_in_flight=True, clock=lambda: now[0])
    door.host.acts = lambda: now.__setitem__(0, now[0] + 61)
    answer = door.get(key=issued.secret)
    assert (answer.status, answer.code) == (401, "expired_api_key")


def test_a_recheck_takes_no_place_in_a_window(door: Door) -> None:
    issued = door.create(limits="2/day")
    door.open(recheck_in_flight=True)
    answers = [door.get(key=issued.secret) for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429]
    assert [answer.header("x-ratelimit-remaining") for answer in answers] == ["1", "0", "0"]


def test_a_hash_that_is_renewed_in_flight_ends_no_answer(door: Door) -> None:
    """A hash is made anew when the hasher's settings change: the secret is the same."""
    issued = door.create()
    door.open(recheck_in_flight=True)
    [before] = patiently(plain_store(door).find, issued.key.id).hashes
    again = replace(before, hash=door.gate._shop.hasher.hash(issued.secret.encode()))
    assert door.get(key=issued.secret).status == 200
    door.host.acts = rewriting(door, issued.key.id, {"hashes": (again,)})
    assert door.get(key=issued.secret).status == 200
    other = door.gate._shop.hasher.hash(b"another secret")
    door.host.acts = rewriting(door, issued.key.id, {"hashes": (replace(before, hash=other),)})
    assert door.get(key=issued.secret).code == "invalid_api_key"


def test_a_key_in_the_query_is_read_where_enabled_and_taken_out(door: Door) -> None:
    secret = door.create().secret
    assert door.get(f"/v1?api_key={secret}").code == "missing_api_key"
    door.open(accept=[*CREDENTIAL_FORMS, "?api_key"])
    assert door.get(f"/v1?a=1&api_key={secret}&b=%20").status == 200
    seen = door.host.seen
    if door.kind == "wsgi":
        assert (seen["QUERY_STRING"], seen["RAW_URI"]) == ("a=1&b=%20", "/v1?a=1&b=%20")
    else:
        assert seen["query_string"] == b"a=1&b=%20"
    assert secret not in repr(seen)
    other = door.create().secret
    for query in (f"api_key={secret}&api_key={secret}", f"api_key={secret}&api%5Fkey={other}"):
        assert door.get(f"/v1?{query}").code == "invalid_request"
    assert door.get(f"/v1?api_key={secret}", other).code == "invalid_request"
    assert door.get(f"/v1?api_key={secret}", secret).status == 200
    assert door.get("/v1?api_key=nonsense").code == "invalid_api_key"


@pytest.mark.parametrize(
    ("raw", "left"),
    [
        ("/v1?a=1&api_key={}#x", "/v1?a=1"),
        ("/v1?api_key={}#&api_key={}", "/v1"),
        ("/v1?a=1&api%5Fkey={}", "/v1?a=1"),
        ("/v1?a=%31&api_key={}&b", "/v1?a=%31&b"),
        ("http://x/v1?api_key={}&a=1#", "http://x/v1?a=1"),
        ("/v1?a=1&\tapi_key={}", "/v1"),
        ("/v1", "/v1"),
    ],
)
@pytest.mark.parametrize("door", [("wsgi", "memory")], indirect=True)
def test_the_raw_target_loses_the_key_however_it_differs_from_the_query(door: Door, raw: str, left: str) -> None:
    secret = door.create().secret
    door.open(accept=[*CREDENTIAL_FORMS, "?api_key"])
    door.extra = {"RAW_URI": raw.replace("{}", secret), "REQUEST_URI": raw.replace("{}", secret)}
    assert door.get(f"/v1?a=1&api_key={secret}").status == 200
    assert (door.host.seen["RAW_URI"], door.host.seen["REQUEST_URI"]) == (left, left)
    assert secret not in repr(door.host.seen)


@pytest.mark.parametrize("before", ["%20", "+", "%09", "%0b", "%C2%A0"])
def test_a_decoded_value_of_the_query_is_read_as_it_is(door: Door, before: str) -> None:
    secret = door.create().secret
    door.open(accept=[*CREDENTIAL_FORMS, "?api_key"])
    for value in (before + secret, secret + before, before):
        assert door.get(f"/v1?api_key={value}").code == "invalid_api_key", value
        assert door.get(f"/v1?api_key={value}", secret).code == "invalid_request", value
    assert door.host.calls == []


@pytest.mark.parametrize("query", ["api_key=", "api_key", "api%5Fkey=", "a=1&api_key=&b=2"])
def test_an_empty_parameter_presents_nothing(door: Door, query: str) -> None:
    secret = door.create().secret
    door.open(accept=[*CREDENTIAL_FORMS, "?api_key"])
    assert door.get(f"/v1?{query}").code == "missing_api_key"
    assert door.get(f"/v1?{query}", secret).status == 200
    # Servers and apps behind the gate differ in how they read a header that is there twice.
    assert door.get(f"/v1?{query}&api_key={secret}").code == "invalid_request"


def test_every_decision_that_matters_is_told(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="keystile")
    issued = door.create(limits="1/day")
    door.open(rules=[Rule("/admin", scopes=["admin"])])
    events = heard(door)
    door.get("/v1", issued.secret, peer="192.0.2.7")
    door.get("/v1", issued.secret)
    door.get("/admin", issued.secret)
    door.get("/v1/a\x01b\n")
    told = [(event.code, event.status, event.key_id, event.client) for event in events]
    assert told == [
        ("first_use", None, issued.key.id, "192.0.2.7"),
        ("rate_limited", 429, issued.key.id, "127.0.0.1"),
        ("insufficient_scope", 403, issued.key.id, "127.0.0.1"),
        ("missing_api_key", 401, None, "127.0.0.1"),
    ]
    assert events[-1].path == "/v1/a\x01b\n"
    assert all(event.request_id.startswith("req_") for event in events)
    lines = [record.getMessage() for record in caplog.records]
    assert [line.split()[0] for line in lines] == ["key.create", *(code for code, *_ in told)]
    assert not any(set(line) & set("\x01\n") for line in lines)
    assert issued.secret not in caplog.text


def test_lines_are_json_if_the_policy_says_so(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="keystile")
    door.open(event_format="json")
    answer = door.get("/v1/\x1b[31m\xe9")
    [line] = [record.getMessage() for record in caplog.records]
    assert line.isascii()
    assert json.loads(line) == {
        "event": "missing_api_key",
        "level": "INFO",
        "status": 401,
        "client": "127.0.0.1",
        "method": "GET",
        "path": json.loads(line)["path"],
        "request_id": answer.header("x-request-id"),
    }


def test_a_listener_that_fails_harms_no_request(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    def failing(event: Event) -> None:
        raise ZeroDivisionError

    door.gate.on_event(failing)
    assert door.get().status == 401
    assert "a listener of events failed" in caplog.text
    for wrong in (None, "text", door.host.asgi):
        with pytest.raises(ConfigurationError, match="plain function"):
            door.gate.on_event(wrong)
