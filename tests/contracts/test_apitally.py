"""Contract C: logs and metrics of apps, on FastAPI and granian, point by point."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from keystile import IssuedKey
from tests.contracts.hosts import Host, copied, rates, serving
from tests.doors import Answer

LOGS = "/v1/apps/shop/request-logs"


class Apitally:
    """The service as the keys of two teams see it.

    Attributes:
        north, south: a key of each, both on the plan Premium.
    """

    def __init__(self, host: Host) -> None:
        self.host = host
        for team in ("north", "south"):
            host.did("organizations", "create", team, "--plan", "premium")
        self.north, self.south = self.key("north"), self.key("south")

    def key(self, team: str | None, **fields: Any) -> IssuedKey:
        return self.host.gate.keys.create("dashboard", organization_id=team, **fields)

    def get(self, path: str, key: IssuedKey | None = None) -> Answer:
        # A key for each question that does not say whose it is: none of them meets the limit of another.
        asking = self.key("north") if key is None else key
        return self.host.ask(path, headers={"Api-Key": asking.secret})


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apitally]:
    with serving("apitally", copied("apitally", tmp_path_factory.mktemp("contract"))) as host:
        yield Apitally(host)


def test_c1_the_key_comes_in_the_header_api_key(service: Apitally) -> None:
    secret = service.north.secret
    assert service.host.ask("/v1/apps", headers={"Api-Key": secret}).status == 200
    assert service.host.ask("/v1/apps", headers={"api-key": secret}).status == 200
    missing = service.host.ask("/v1/apps")
    assert (missing.status, missing.code) == (401, "missing_api_key")
    for headers in (
        {"Authorization": f"Bearer {secret}"},
        {"Authorization": f"Api-Key {secret}"},
        {"X-API-Key": secret},
    ):
        assert service.host.ask("/v1/apps", headers=headers).status == 401
    assert service.host.ask(f"/v1/apps?api_key={secret}").status == 401


def test_c2_a_key_reaches_all_apps_of_its_team_and_no_others(service: Apitally) -> None:
    assert [each["id"] for each in service.get("/v1/apps", service.north).json["data"]] == ["blog", "shop"]
    assert [each["id"] for each in service.get("/v1/apps", service.south).json["data"]] == ["wiki"]
    for what in ("consumers", "request-logs", "traffic"):
        for app, key in (("blog", service.north), ("shop", service.north), ("wiki", service.south)):
            assert service.get(f"/v1/apps/{app}/{what}", key).status == 200
        foreign, never = (service.get(f"/v1/apps/{app}/{what}", service.north) for app in ("wiki", "none"))
        assert (foreign.status, foreign.json["error"]) == (404, never.json["error"])


def test_c3_a_key_has_a_hundred_requests_a_minute(service: Apitally) -> None:
    key, other, began = service.key("north"), service.key("north"), int(time.time())
    for number in range(1, 101):
        answer = service.get("/v1/apps", key)
        assert (answer.status, rates(answer)[:2]) == (200, [100, 100 - number])
        assert began <= rates(answer)[2] <= int(time.time()) + 61
    refused = service.get("/v1/apps", key)
    assert (refused.status, refused.code, rates(refused)[:2]) == (429, "rate_limited", [100, 0])
    assert 1 <= int(refused.header("retry-after") or "") <= 60
    assert rates(service.get("/v1/apps", other))[:2] == [100, 99]


def test_c4_lists_have_a_token_where_there_is_more(service: Apitally) -> None:
    sizes, seen, query = [], [], ""
    while query is not None:
        page = service.get(f"{LOGS}{query}").json
        sizes.append(len(page["data"]))
        seen += [each["id"] for each in page["data"]]
        query = f"?next_token={page['next_token']}" if page["has_more"] else None
        assert set(page) == {"data", "has_more"} | ({"next_token"} if page["has_more"] else set())
    assert sizes == [100] * 12 + [1]
    assert seen == list(range(1201))
    most = service.get(f"{LOGS}?limit=1000").json
    assert (len(most["data"]), most["has_more"]) == (1000, True)
    rest = service.get(f"{LOGS}?limit=1000&next_token={most['next_token']}").json
    assert (len(rest["data"]), rest["has_more"]) == (201, False)
    assert len(service.get(f"{LOGS}?limit=5000").json["data"]) == 1000
    exactly = service.get("/v1/apps/blog/request-logs").json
    assert (len(exactly["data"]), exactly["has_more"]) == (100, False)
    assert len(service.get(f"{LOGS}?limit=7").json["data"]) == 7


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "next_token=abc123"])
def test_c4_what_cannot_be_used_is_named(service: Apitally, query: str) -> None:
    refused = service.get(f"{LOGS}?{query}")
    assert (refused.status, refused.code) == (400, "invalid_request")
    assert refused.json["error"]["details"]["parameter"] == query.partition("=")[0]


def test_c5_there_are_four_lists(service: Apitally) -> None:
    routes = ("/v1/apps", "/v1/apps/shop/consumers", LOGS, "/v1/apps/shop/traffic")
    assert [len(service.get(each).json["data"]) for each in routes] == [2, 3, 100, 1]
    assert service.get("/v1/apps/shop/traffic").json["data"] == [{"hour": "2026-01-15T10:30:00Z", "requests": 1201}]


def test_c6_another_plan_has_no_access(service: Apitally) -> None:
    service.host.did("organizations", "create", "west", "--plan", "free")
    for key in (service.key("west"), service.key(None), service.key("north", plan="free")):
        for path in ("/v1/apps", LOGS, "/v1/apps/shop/consumers", "/v1/apps/shop/traffic", "/nowhere"):
            refused = service.get(path, key)
            assert (refused.status, refused.code) == (403, "plan_required")
    waiting = service.key("west")
    service.host.did("organizations", "plan", "west", "premium")
    assert service.get("/v1/apps", waiting).status == 200


def test_c7_lists_have_no_meta(service: Apitally) -> None:
    for path in ("/v1/apps", "/v1/apps/shop/consumers", LOGS, "/v1/apps/shop/traffic"):
        assert "meta" not in service.get(path).json
    assert set(service.get("/v1/apps/none/traffic").json) == {"error", "meta"}
