"""Contract A: a telemetry API on FastAPI and uvicorn, point by point."""

from __future__ import annotations

import json
import re
import shlex
import time
from collections.abc import Iterator
from typing import Any

import pytest

from keystile import IssuedKey
from tests.contracts.hosts import HTTPS, WHEN, Host, copied, moments, rates, serving

MANAGING = ["keys:manage", "webhooks:manage", "audit:read"]
TRACE = {"name": "checkout", "started_at": "2024-01-15T12:30:00+02:00"}


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    folder = copied("anyway", tmp_path_factory.mktemp("contract"))
    with serving("anyway", folder, always=HTTPS) as found:
        yield found


@pytest.fixture
def account(host: Host, request: pytest.FixtureRequest) -> IssuedKey:
    """A key of an organization of its own, on the plan Free."""
    return key_of(host, request.node.name)


def key_of(host: Host, organization: str, **fields: str) -> IssuedKey:
    return host.gate.keys.create("console", organization_id=organization, scopes=MANAGING, **fields)


def test_a1_every_request_needs_a_bearer_key(host: Host, account: IssuedKey) -> None:
    for path in ("/", "/v1/traces", "/v1/projects", "/v1/api-keys", "/v1/webhooks", "/docs", "/nowhere"):
        assert (host.ask(path).status, host.ask(path).code) == (401, "missing_api_key")
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            assert host.ask(path, method=method, body={}).code == "missing_api_key"
    wrong = host.ask("/v1/traces", f"{account.secret[:-7]}x{account.secret[-6:]}")
    assert (wrong.status, wrong.code) == (401, "invalid_api_key")
    for headers in ({"X-API-Key": account.secret}, {"Authorization": f"Api-Key {account.secret}"}):
        assert host.ask("/v1/traces", headers=headers).status == 401
    assert host.ask("/v1/traces", account.secret).status == 200


def test_a2_a_new_key_is_shown_once(host: Host, account: IssuedKey) -> None:
    made = host.ask("/v1/api-keys", account.secret, "POST", {"name": "CI"})
    raw = made.json["data"]["api_key"]
    assert (made.status, host.ask("/v1/traces", raw).status) == (201, 200)
    on_command = host.did("keys", "create", "CI", "--organization", str(account.key.organization_id)).strip()
    assert host.ask("/v1/traces", on_command).status == 200
    listed = host.ask("/v1/api-keys", account.secret)
    assert len(listed.json["data"]) == 3
    again = listed.body + host.ask(f"/v1/api-keys/{made.json['data']['id']}", account.secret).body + host.stored()
    assert raw.encode() not in again
    assert on_command.encode() not in again
    assert on_command not in host.did("keys", "list", "--json")


def test_a2_the_key_of_the_readme_reaches_all_that_it_names(host: Host) -> None:
    text = (host.folder / "README.md").read_text(encoding="utf-8").replace("\n", " ")
    [create] = re.findall(r"`keystile (keys create [^`]+)`", text)
    key = host.did(*shlex.split(create)).strip()
    for path in ("/v1/traces", "/v1/projects", "/v1/api-keys", "/v1/webhooks"):
        assert host.ask(path, key).status == 200


def test_a3_bodies_are_json(host: Host, account: IssuedKey) -> None:
    paths = ("/v1/traces", "/v1/projects", "/v1/api-keys", "/v1/webhooks")
    malformed = (b'{"name": ', b"{,}", b"\xff", b'{"name": "a"} x')
    for refused in (host.ask(path, account.secret, "POST", body) for path in paths for body in malformed):
        assert refused.status == 400
        assert refused.json["error"] == {
            "code": "invalid_request",
            "message": "The request body is malformed",
            "details": {},
        }
    for path in paths:
        other = host.ask(path, account.secret, "POST", TRACE, headers={"Content-Type": "text/plain"})
        assert (other.status, other.code) == (415, "unsupported_media_type")
    taken = host.ask("/v1/traces", account.secret, "POST", TRACE, headers={"Content-Type": "application/json"})
    assert (taken.status, taken.header("content-type")) == (201, "application/json")


def members(value: Any) -> Iterator[str]:
    """The names of all members of an answer."""
    for name, inner in value.items() if isinstance(value, dict) else ((None, each) for each in value):
        if name is not None:
            yield name
        if isinstance(inner, (dict, list)):
            yield from members(inner)


def test_a4_timestamps_are_iso_8601_in_utc(host: Host, account: IssuedKey) -> None:
    made = host.ask("/v1/traces", account.secret, "POST", TRACE)
    assert made.json["data"]["started_at"] == "2024-01-15T10:30:00Z"
    project = host.ask("/v1/projects", account.secret, "POST", {"name": "shop"})
    ending = {"name": "CI", "expires_at": "2099-01-15T12:30:00+02:00"}
    key = host.ask("/v1/api-keys", account.secret, "POST", ending)
    assert key.json["data"]["expires_at"] == "2099-01-15T10:30:00Z"
    assert host.ask(f"/v1/api-keys/{project.json['data']['key']['id']}", account.secret, "DELETE").status == 204
    hook = host.ask("/v1/webhooks", account.secret, "POST", {"url": "https://hooks.example/in"})
    lists = [
        host.ask(f"/v1/{each}", account.secret) for each in ("traces", "api-keys", "projects", "webhooks", "audit")
    ]
    assert [each.status for each in (key, hook, *lists)] == [201, 201, *[200] * 5]
    answers = [made, project, key, hook, *lists, host.ask("/v1/traces")]
    named = {name for answer in answers for name in members(answer.json) if name == "timestamp" or name.endswith("_at")}
    assert {"created_at", "expires_at", "revoked_at", "last_used_at", "started_at", "timestamp"} <= named
    found = [each for answer in answers for each in moments(answer.json, sorted(named)) if each is not None]
    assert len(found) >= 20
    # The audit trail has fractions of a second.
    assert [each for each in found if not WHEN.fullmatch(re.sub(r"\.\d{6}Z", "Z", each))] == []
    [ended] = [each for each in lists[-1].json["data"] if each["event"] == "key.revoke"]
    assert WHEN.fullmatch(re.sub(r"\.\d{6}Z", "Z", ended["after"]["revoked_at"]))


def test_a5_all_answers_have_one_shape(host: Host, account: IssuedKey) -> None:
    key, full = account.secret, key_of(host, "one shape, and no room")
    host.spend(full, 100)
    successes = [
        host.ask("/v1/traces", key, "POST", TRACE),
        host.ask("/v1/projects", key, "POST", {"name": "shop"}),
        host.ask("/v1/whoami", key),
    ]
    for answer in successes:
        assert set(answer.json) == {"data", "meta"}
    errors = {
        "missing_api_key": host.ask("/v1/traces"),
        "https_required": host.ask("/v1/traces", headers={"X-Forwarded-Proto": "http"}),
        "rate_limited": host.ask("/v1/traces", full.secret),
        "validation_failed": host.ask("/v1/traces", key, "POST", {"name": "checkout"}),
        "method_not_allowed": host.ask("/v1/projects", key, "DELETE"),
        "not_found": host.ask("/nowhere", key),
        "invalid_fields": host.ask("/v1/projects", key, "POST", {"nam": "shop"}),
    }
    assert [each.code for each in errors.values()] == list(errors)
    assert host.ask("/v1/nowhere", key).code == "not_found"
    for answer in errors.values():
        assert set(answer.json) == {"error", "meta"}
        assert set(answer.json["error"]) == {"code", "message", "details"}
    for answer in (*successes, *errors.values()):
        assert set(answer.json["meta"]) == {"request_id", "timestamp"}
        assert re.fullmatch(r"req_[0-9A-Za-z]+", answer.json["meta"]["request_id"])
        assert answer.json["meta"]["request_id"] == answer.header("x-request-id")


@pytest.mark.parametrize(("plan", "limit"), [("free", 100), ("pro", 1000)])
def test_a6_a_plan_belongs_to_the_account(host: Host, plan: str, limit: int) -> None:
    organization = f"account of {plan}"
    host.did("organizations", "create", organization, "--plan", plan)
    first, second = key_of(host, organization), key_of(host, organization)
    host.spend(first, limit - 1)
    last = host.ask("/v1/traces", second.secret)
    assert (last.status, rates(last)[:2]) == (200, [limit, 0])
    for each in (first, second):
        refused = host.ask("/v1/traces", each.secret)
        assert (refused.status, refused.json["error"]["details"]["limit"]) == (429, limit)
    assert host.ask("/v1/traces", key_of(host, f"neighbour of {plan}").secret).status == 200
    host.did("organizations", "plan", organization, "enterprise")
    assert host.ask("/v1/traces", first.secret).status == 200


def test_a6_enterprise_is_by_agreement(host: Host) -> None:
    host.did("organizations", "create", "initech", "--plan", "enterprise")
    unlimited = key_of(host, "initech")
    assert host.ask("/v1/traces", unlimited.secret).header("x-ratelimit-limit") is None
    agreed = key_of(host, "initech", limits="5000/minute")
    host.spend(agreed, 4999)
    assert rates(host.ask("/v1/traces", agreed.secret))[:2] == [5000, 0]
    assert host.ask("/v1/traces", agreed.secret).status == 429


def test_a7_a_caller_sees_where_it_stands(host: Host, account: IssuedKey) -> None:
    key, began = account.secret, int(time.time())
    answers = [
        host.ask("/v1/traces", key),
        host.ask("/v1/traces", key, "POST", TRACE),
        host.ask("/v1/traces", key, "POST", b"{"),
        host.ask("/v1/traces", key, "POST", {}),
        host.ask("/nowhere", key),
        host.ask("/v1/api-keys", key),
        host.ask("/v1/organization/plan", key, "PUT", {"plan": "pro"}),
    ]
    assert [each.status for each in answers] == [200, 201, 400, 422, 404, 200, 403]
    assert [rates(each)[:2] for each in answers] == [[100, 100 - number] for number in range(1, 8)]
    assert [each for each in answers if not began <= rates(each)[2] <= int(time.time()) + 61] == []
    host.spend(account, 93)
    refused = host.ask("/v1/traces", key)
    assert (refused.status, refused.code, rates(refused)[:2]) == (429, "rate_limited", [100, 0])


def test_a8_lists_are_pages(host: Host, account: IssuedKey) -> None:
    for number in range(5):
        sent = TRACE | {"name": f"trace {number}", "started_at": f"2024-01-15T10:30:0{number}Z"}
        assert host.ask("/v1/traces", account.secret, "POST", sent).status == 201
    whole = host.ask("/v1/traces", account.secret).json
    assert whole["pagination"] == {"limit": 50, "has_more": False, "next_cursor": None}
    seen, cursor = [], ""
    for more in (True, True, False):
        page = host.ask(f"/v1/traces?limit=2{cursor}", account.secret).json
        assert set(page) == {"data", "pagination", "meta"}
        assert set(page["pagination"]) == {"limit", "has_more", "next_cursor"}
        assert (page["pagination"]["limit"], page["pagination"]["has_more"]) == (2, more)
        seen += [each["name"] for each in page["data"]]
        cursor = f"&cursor={page['pagination']['next_cursor']}"
    assert seen == [f"trace {number}" for number in (4, 3, 2, 1, 0)]
    assert host.ask("/v1/traces?limit=50&cursor=abc123", account.secret).code == "invalid_request"
    neighbour = key_of(host, "neighbour of pages")
    assert host.ask("/v1/traces", neighbour.secret).json["data"] == []


def test_a9_everything_is_below_v1(host: Host, account: IssuedKey) -> None:
    key = account.secret
    lists = ("traces", "projects", "api-keys", "webhooks")
    assert [host.ask(f"/v1/{each}", key).status for each in lists] == [200] * 4
    assert [host.ask(f"/{each}", key).status for each in lists] == [404] * 4
    bodies = {"traces": TRACE, "projects": {"name": "shop"}, "api-keys": {"name": "CI"}}
    hook = {"url": "https://hooks.example/in"}
    made = [host.ask(f"/v1/{name}", key, "POST", body) for name, body in {**bodies, "webhooks": hook}.items()]
    assert [each.status for each in made] == [201] * 4
    for name, each in zip(lists[1:], made[1:], strict=True):
        assert json.dumps(each.json["data"]["id"]) in host.ask(f"/v1/{name}", key).body.decode()


def test_a10_all_requests_use_https(host: Host, account: IssuedKey) -> None:
    for plain in ({"X-Forwarded-Proto": "http"}, {"X-Forwarded-Proto": ""}):
        refused = host.ask("/v1/traces", account.secret, headers=plain)
        assert (refused.status, refused.code) == (403, "https_required")
    direct = host.server.get("/v1/traces", {"Authorization": f"Bearer {account.secret}"})
    assert (direct.status, direct.code) == (403, "https_required")
    for path, method in (
        ("/v1/api-keys", "POST"),
        ("/v1/projects", "GET"),
        ("/v1/webhooks", "DELETE"),
        ("/docs", "GET"),
    ):
        assert host.ask(path, account.secret, method, headers={"X-Forwarded-Proto": "http"}).code == "https_required"
    pretended = host.ask("/v1/traces", account.secret, source="127.0.0.2")
    assert (pretended.status, pretended.code) == (403, "https_required")
    assert host.ask("/v1/traces", account.secret).status == 200
