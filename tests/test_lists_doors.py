"""Allow and deny lists of addresses, of the gate and of rules, through every door: before any key is looked at."""

from __future__ import annotations

from typing import Any

import pytest

from keystile import Rule
from tests.doors import Answer, Door

INSIDE, OUTSIDE = "10.0.0.1", "192.0.2.7"
TEN = ["10.0.0.0/8"]


def refused(answer: Answer) -> bool:
    if answer.status != 403:
        return False
    assert answer.json["error"] == {
        "code": "ip_not_allowed",
        "message": "Requests from this address are not allowed here.",
        "details": {},
    }
    # Nothing of a key: whoever has none is told the same.
    assert answer.header("www-authenticate") is None
    assert answer.header("cache-control") == "no-store"
    return True


def test_whoever_is_denied_or_not_allowed_is_refused_before_a_key_is_looked_at(door: Door) -> None:
    revoked = door.create()
    door.run(door.gate.keys.arevoke, revoked.key.id)
    door.open(allow=TEN, deny=["10.0.0.64/26"], failure_limits="1/day")
    good = door.create().secret
    keys = (None, good, revoked.secret, good[:-1] + "!", "nonsense")
    for key in keys:
        answers = [door.get(key=key, peer=peer) for peer in (OUTSIDE, "10.0.0.65", None, "unknown", "::1")]
        assert all(map(refused, answers))
    assert refused(door.get(headers=[("x-api-key", good), ("x-api-key", good)], peer=OUTSIDE))
    assert door.host.calls == []
    assert door.get(key=good, peer=INSIDE).status == 200
    assert door.get(peer=INSIDE).code == "missing_api_key"


def test_a_refusal_for_the_address_is_told_without_a_key_and_counts_nowhere(door: Door) -> None:
    door.open(rules=[Rule("/v1/*", deny=[OUTSIDE], limits="1/day")])
    secret = door.create().secret
    events: list[Any] = []
    door.gate.on_event(events.append)
    for _ in range(3):
        answer = door.get(key=secret, peer=OUTSIDE)
        assert refused(answer)
        assert answer.header("x-ratelimit-limit") is None
    assert {(event.code, event.status, event.key_id, event.client) for event in events} == {
        ("ip_not_allowed", 403, None, OUTSIDE)
    }
    assert [door.get(key=secret, peer=INSIDE).status for _ in range(2)] == [200, 429]


@pytest.mark.parametrize(
    ("settings", "inside", "outside", "unknown"),
    [
        ({"allow": TEN}, True, False, False),
        ({"deny": TEN}, False, True, False),
        ({"allow": ["0.0.0.0/0"], "deny": TEN}, False, True, False),
        ({"rules": [Rule("/v1/*", allow=TEN)]}, True, False, False),
        ({"rules": [Rule("/v1/*", deny=TEN)]}, False, True, False),
        ({"allow": ["0.0.0.0/0", "::/0"], "rules": [Rule("/v1/*", allow=TEN)]}, True, False, False),
        ({"deny": TEN, "rules": [Rule("/v1/*", allow=[OUTSIDE])]}, False, True, False),
        ({"rules": [Rule("/v1/*", allow=TEN), Rule("/v1/things", allow=["10.0.0.0/24"])]}, True, False, False),
        ({"rules": [Rule("/v1/*", allow=TEN), Rule("/v1/things", allow=["10.9.0.0/24"])]}, False, False, False),
        ({"rules": [Rule("/v1/*", allow=["0.0.0.0/0"]), Rule("/v1/things", deny=TEN)]}, False, True, False),
        ({"rules": [Rule("/other", allow=["10.9.0.0/24"])]}, True, True, True),
        ({"rules": [Rule("POST /v1/things", allow=["10.9.0.0/24"])]}, True, True, True),
    ],
)
def test_deny_comes_first_and_every_allow_list_that_holds_must_admit(
    door: Door, settings: dict[str, Any], inside: bool, outside: bool, unknown: bool
) -> None:
    door.open(**settings)
    secret = door.create().secret
    for peer, admitted in ((INSIDE, inside), (f"::ffff:{INSIDE}", inside), (OUTSIDE, outside), (None, unknown)):
        answer = door.get("/v1/things", secret, peer=peer)
        assert (answer.status == 200) is admitted, peer
        assert admitted or refused(answer)


def test_lists_hold_on_public_paths_those_of_wider_rules_too(door: Door) -> None:
    rules = [Rule("/v1/*", scopes=["x"], allow=TEN), Rule("/v1/open", public=True), Rule("/free", public=True)]
    door.open(rules=rules, deny=["10.0.0.9"])
    assert door.get("/v1/open", peer=INSIDE).status == 200
    assert refused(door.get("/v1/open", peer=OUTSIDE))
    assert refused(door.get("/v1/open", peer=None))
    assert [door.get("/free", peer=peer).status for peer in (INSIDE, OUTSIDE, "10.0.0.9")] == [200, 200, 403]
    door.open(rules=[Rule("/open", public=True, allow=TEN)])
    assert [door.get("/open", peer=peer).status for peer in (INSIDE, OUTSIDE)] == [200, 403]


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_list_holds_with_a_slash_and_without(door: Door, slash: str) -> None:
    door.open(rules=[Rule(f"/admin{slash}", allow=TEN)])
    secret = door.create().secret
    assert all(refused(door.get(path, secret, peer=OUTSIDE)) for path in ("/admin", "/admin/"))


@pytest.mark.parametrize("path", ["/v1//things", "/x/../admin", "/v1/%2e%2e/admin", "/other;x", "/a%2fb"])
def test_what_no_rule_can_read_meets_the_lists_of_all_rules(door: Door, path: str) -> None:
    door.open(rules=[Rule("/admin", allow=TEN), Rule("/v1/*", allow=["10.0.0.0/16"]), Rule("/v2", deny=["10.0.0.9"])])
    secret = door.create().secret
    asked = [door.get(path, secret, peer=peer) for peer in (INSIDE, OUTSIDE, "10.1.0.1", "10.0.0.9", None)]
    assert [answer.status for answer in asked] == [200, 403, 403, 403, 403]
    assert all(map(refused, asked[1:]))
    overriding = [("x-http-method-override", "PUT")]
    assert refused(door.get("/free", secret, peer="10.0.0.9", headers=overriding))
    # Two rules that hold for no path together may have nothing in common; then nobody is let through here.
    door.open(rules=[Rule("/admin", allow=TEN), Rule("/partner", allow=[OUTSIDE])])
    assert all(refused(door.get(path, secret, peer=peer)) for peer in (INSIDE, OUTSIDE))
    assert door.get("/partner", secret, peer=OUTSIDE).status == 200


@pytest.mark.parametrize("method", ["FOO", "post", "X" * 600])
def test_an_odd_method_meets_the_lists_of_all_rules_of_its_path(door: Door, method: str) -> None:
    door.open(rules=[Rule("POST /admin", allow=TEN), Rule("/other", allow=["10.9.0.0/16"])])
    secret = door.create().secret
    assert [door.get("/admin", secret, method=method, peer=peer).status for peer in (INSIDE, OUTSIDE)] == [200, 403]


def test_the_client_is_whom_the_trusted_proxies_saw(door: Door) -> None:
    door.open(allow=["9.9.9.9"], trusted_proxies=TEN, public=["/open"])
    for forwarded, status in (("9.9.9.9", 200), ("8.8.8.8", 403), ("unknown", 403), ("9.9.9.9, 8.8.8.8", 403)):
        assert door.get("/open", headers=[("x-forwarded-for", forwarded)], peer=INSIDE).status == status
    # One who is not behind the proxies cannot say so; and the proxy itself is no client.
    assert refused(door.get("/open", headers=[("x-forwarded-for", "9.9.9.9")], peer=OUTSIDE))
    assert refused(door.get("/open", peer=INSIDE))


def test_https_comes_before_the_lists_and_the_keys_own_list_after_its_proof(door: Door) -> None:
    door.open(allow=TEN, https="require")
    secret = door.create(ip_allowlist=["10.0.0.9"]).secret
    assert door.get(key=secret, peer=OUTSIDE).code == "https_required"
    assert refused(door.get(key=secret, peer=OUTSIDE, scheme="https"))
    answer = door.get(key=secret, peer=INSIDE, scheme="https")
    assert answer.json["error"]["message"] == "The API key may not be used from this address."


def test_a_preflight_that_would_pass_is_refused_by_the_lists(door: Door) -> None:
    door.open(preflight="pass", rules=[Rule("/v1/*", allow=TEN)])
    headers = [("origin", "https://app.example"), ("access-control-request-method", "PUT")]
    asked = [door.get("/v1/x", method="OPTIONS", headers=headers, peer=peer).status for peer in (INSIDE, OUTSIDE)]
    assert asked == [200, 403]


def test_an_address_that_is_no_address_is_unknown_however_long_it_is(door: Door) -> None:
    door.open(deny=TEN, public=["/open"])
    for peer in ("", "localhost", "10.0.0.01", "10.0.0.1:80", "x" * 65_536, "8.8.8.8" + "0" * 100):
        assert refused(door.get("/open", peer=peer))
    assert door.get("/open", peer="8.8.8.8").status == 200
