"""Paths, methods and rules through every door: what could be read in two ways opens nothing."""

from __future__ import annotations

import itertools
import logging
from typing import Any

import pytest

from keystile import ConfigurationError, Gate, Plan, Rule
from tests.doors import Answer, Door

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]
OVERRIDES = ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "x-http-method-override"]


def under(door: Door, root_path: str, path: str, key: str | None = None) -> Answer:
    """Ask for a path that the server gives beside a root path: the whole path under ASGI, the rest under WSGI."""
    if door.kind == "wsgi":
        door.extra = {"SCRIPT_NAME": root_path}
        path = path.removeprefix(root_path)
    else:
        door.extra = {"root_path": root_path}
    try:
        return door.get(path, key)
    finally:
        door.extra = {}


@pytest.mark.parametrize("last", ["", "/"])
@pytest.mark.parametrize("listed", ["/v1/exports", "/v1/exports/"])
def test_a_slash_at_the_end_changes_no_demand(door: Door, listed: str, last: str) -> None:
    door.open(rules=[Rule(f"POST {listed}", scopes=["exports"], limits="1/day", require_json=True)])
    plain, good = door.create().secret, door.create(scopes=["exports"]).secret
    path = f"/v1/exports{last}"
    assert door.get(path, plain, method="POST").code == "insufficient_scope"
    assert door.get(path, good, method="POST").status == 200
    other = "/v1/exports" if last else "/v1/exports/"
    assert door.get(other, good, method="POST").code == "rate_limited"
    assert door.get(path, plain).status == 200


@pytest.mark.parametrize("path", ["/admin", "/admin/", "/admin/x"])
def test_what_a_prefix_demands_holds_for_the_path_itself(door: Door, path: str) -> None:
    door.open(rules=[Rule("/admin/*", scopes=["admin"])])
    assert door.get(path, door.create().secret).code == "insufficient_scope"
    assert door.get("/administration", door.create().secret).status == 200


def test_public_is_one_spelling_alone(door: Door) -> None:
    door.open(public=["/health", "/docs/", "/static/*"])
    assert [door.get(path).status for path in ("/health", "/docs/", "/static/", "/static/a/")] == [200] * 4
    assert [door.get(path).status for path in ("/health/", "/docs", "/static")] == [401] * 3


def test_a_public_rule_s_windows_hold_where_it_is_not_public(door: Door) -> None:
    door.open(rules=[Rule("/login", public=True, limits="1/day")])
    secret = door.create().secret
    assert [door.get("/login").status for _ in range(2)] == [200, 429]
    assert [door.get("/login/", secret).status for _ in range(2)] == [200, 429]
    assert door.get("/login/").status == 401


@pytest.mark.parametrize("method", ["PROPFIND", "BREW", "CONNECT", "post", "Post", "get", "GET2", "", "G\xc9T"])
def test_an_odd_method_meets_every_rule_of_its_path(door: Door, method: str) -> None:
    rules = [Rule("POST /v1/x", scopes=["a"]), Rule("GET /v1/x/", scopes=["b"]), Rule("DELETE /v1/*", scopes=["c"])]
    door.open(rules=[*rules, Rule("/other", scopes=["d"])], public=["/health"])
    for held, status in [(["a", "b"], 403), (["a", "c"], 403), (["b", "c"], 403), (["a", "b", "c"], 200)]:
        assert door.get("/v1/x", door.create(scopes=held).secret, method=method).status == status
    assert door.get("/v1/y", door.create(scopes=["c"]).secret, method=method).status == 200
    assert door.get("/free", door.create().secret, method=method).status == 200
    assert door.get("/health", method=method).code == "missing_api_key"


@pytest.mark.parametrize("method", METHODS)
def test_a_method_of_http_meets_its_own_rules(door: Door, method: str) -> None:
    door.open(rules=[Rule(f"{each} /v1/x", scopes=[each]) for each in METHODS if each != "HEAD"], public=["/health"])
    scope = "GET" if method == "HEAD" else method
    assert door.get("/v1/x", door.create(scopes=[scope]).secret, method=method).status == 200
    assert door.get("/v1/x", door.create().secret, method=method).status == 403
    assert door.get("/health", method=method).status == 200


@pytest.mark.parametrize("name", OVERRIDES)
@pytest.mark.parametrize("value", ["DELETE", "GET", "", "x"])
def test_a_header_that_names_another_method_meets_every_rule(door: Door, name: str, value: str) -> None:
    door.open(rules=[Rule("DELETE /v1/x", scopes=["delete"])], public=["/health"])
    headers = [(name, value)]
    assert door.get("/v1/x", door.create().secret, headers=headers, method="POST").code == "insufficient_scope"
    assert door.get("/v1/x", door.create(scopes=["delete"]).secret, headers=headers, method="POST").status == 200
    assert door.get("/health", headers=headers).code == "missing_api_key"
    assert door.get("/health", headers=[(f"{name}s", value), (f"a{name}", value)]).status == 200


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/static/x", 200),
        ("/api/static/apis/x", 200),
        ("/api/static/x-api", 200),
        ("/api/static/api/admin", 401),
        ("/api/static/api", 401),
        ("/api/api/static/x", 401),
        ("/api", 401),
    ],
)
def test_a_path_that_holds_the_root_path_again_is_not_canonical(door: Door, path: str, status: int) -> None:
    door.open(public=["/static/*"], rules=[Rule("/admin", scopes=["admin"])])
    assert under(door, "/api", path).status == status
    if status == 401 and path != "/api/api/static/x":
        assert under(door, "/api", path, door.create().secret).code == "insufficient_scope"


def test_an_app_that_takes_a_prefix_off_itself_is_told_of_by_a_setting(door: Door) -> None:
    door.open(root_path="/api", public=["/static/*"], rules=[Rule("POST /v1/exports", scopes=["exports"])])
    plain = door.create().secret
    for path in ("/v1/exports", "/api/v1/exports"):
        assert door.get(path, plain, method="POST").code == "insufficient_scope"
    assert door.get("/api/static/x").status == 200
    assert door.get("/static/x").status == 200
    for path in ("/static/api/x", "/static/apix", "/api/static/api/x", "/apistatic/x", "/static/api"):
        assert door.get(path).status == 401, path


def test_no_root_path_is_taken_off_where_the_setting_says_so(door: Door) -> None:
    door.open(root_path="", public=["/api/health"])
    if door.kind != "wsgi":
        assert under(door, "/api", "/api/health").status == 200
        assert under(door, "/api", "/health").status == 401
    assert door.get("/api/health").status == 200


@pytest.mark.parametrize("root_path", ["api", "/api/", "/", "/a//b", "/a/../b", "/a%20", "/a b", "/é", 7, "/.", "//"])
def test_a_root_path_that_is_no_plain_path_is_refused(root_path: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Gate(root_path=root_path)
    assert caught.value.key == "root_path"


def many(windows: int, rules: int) -> list[Rule]:
    return [Rule(f"/v1/r{number}", limits=[f"9/{n + 1}second" for n in range(windows)]) for number in range(rules)]


@pytest.mark.parametrize("rules", [33, 300, 5000])
def test_a_request_that_would_meet_too_many_windows_is_refused_after_its_proof(door: Door, rules: int) -> None:
    if rules == 5000 and (door.kind, type(door.gate._shop.store).__name__) != ("asyncio", "MemoryStore"):
        rules = 3000
    door.open(rules=many(1, rules))
    secret = door.create().secret
    assert door.get("//a").code == "missing_api_key"
    assert door.get("//a", "nonsense").code == "invalid_api_key"
    answer = door.get("//a", secret)
    assert (answer.status, answer.code) == (400, "invalid_request")
    assert answer.header("x-ratelimit-limit") is None
    assert door.get("/v1/r1", secret, headers=[("X-HTTP-Method", "PUT")]).code == "invalid_request"
    assert door.get("/v1/r1", secret).status == 200
    assert door.host.calls[-1].usages[0].remaining == 8


def test_as_many_windows_as_may_hold_together_do(door: Door) -> None:
    door.open(rules=many(8, 3), plans={"free": Plan([f"99/{n}minute" for n in range(1, 9)])}, default_plan="free")
    secret = door.create().secret
    answer = door.get("//a", secret)
    assert (answer.status, len(door.host.calls[-1].usages)) == (200, 32)
    assert door.get("/v1/r0", secret).status == 200
    assert len(door.host.calls[-1].usages) == 16


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"rules": many(33, 1)}, "rules[0].limits"),
        ({"rules": many(20, 1), "plans": {"free": Plan([f"99/{n}minute" for n in range(1, 14)])}}, "plans.free.limits"),
        ({"plans": {"free": Plan([f"99/{n}second" for n in range(1, 34)])}}, "plans.free.limits"),
        (
            {
                "rules": [Rule("/login", public=True, limits=[f"9/{n}second" for n in range(1, 21)])],
                "anonymous_limits": [f"99/{n}minute" for n in range(1, 14)],
            },
            "anonymous_limits",
        ),
    ],
)
def test_a_policy_in_which_a_plain_request_meets_too_many_windows_is_refused(settings: Any, key: str) -> None:
    with pytest.raises(ConfigurationError, match="32") as caught:
        Gate(**settings)
    assert caught.value.key == key


def test_a_key_is_not_made_with_more_limits_than_may_hold_together(door: Door) -> None:
    door.open(rules=many(20, 1))
    with pytest.raises(ConfigurationError, match="32"):
        door.create(limits="; ".join(f"99/{n}minute" for n in range(1, 14)))
    assert door.get("/v1/r0", door.create(limits="; ".join(f"9/{n}minute" for n in range(1, 13))).secret).status == 200


@pytest.mark.parametrize("entry", ["0.0.0.0/0", "::/0", "0.0.0.0/1", "128.0.0.0/7", "2000::/3", "::ffff:0:0/96"])
def test_proxies_that_are_half_the_internet_are_warned_of(entry: str, caplog: pytest.LogCaptureFixture) -> None:
    Gate(trusted_proxies=["10.0.0.0/8", entry])
    [record] = [record for record in caplog.records if "wide_trusted_proxies" in record.getMessage()]
    assert record.levelno == logging.WARNING
    assert "trusted_proxies" in record.getMessage()


def test_networks_that_somebody_runs_are_not(caplog: pytest.LogCaptureFixture) -> None:
    Gate(trusted_proxies=["10.0.0.0/8", "fc00::/7", "127.0.0.1", "::1", "172.16.0.0/12", "2001:db8::/32"])
    Gate(trusted_hops=1)
    assert caplog.records == []


@pytest.mark.parametrize("match", ["/*", *(f"{method} /*" for method in METHODS)])
def test_everything_public_is_refused_in_every_spelling(match: str) -> None:
    with pytest.raises(ConfigurationError, match="public") as caught:
        Rule(match, public=True)
    assert caught.value.key == "public"


@pytest.mark.parametrize(
    ("size", "segments"), list(itertools.product([1_000, 64_000, 1_000_000], [2, 64, 65, 500_000])), ids=str
)
def test_a_path_of_any_size_is_answered(door: Door, size: int, segments: int) -> None:
    door.open(public=["/static/*"], rules=[Rule("/v1/exports", scopes=["exports"])])
    segments = min(segments, size // 2)
    path = "/static" + ("/" + "x" * max(1, size // segments - 1)) * (segments - 1)
    canonical = len(path) <= 8192 and path.count("/") <= 64
    assert door.get(path).status == (200 if canonical else 401)
