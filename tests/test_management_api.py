"""The management API through both doors: what it takes, what it answers, who may use it, and where it is mounted."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from keystile import Gate, Management, PageStyle, Plan, asgi, wsgi
from keystile.config.file import load, open_gate
from keystile.exceptions import ConfigurationError, Overloaded, StoreUnavailable
from keystile.manage import ALL, Authority
from keystile.manage.api import ROUTES
from tests.doors import Answer
from tests.management import Both, asgi_host, through_asgi, wsgi_host

PEPPER = "a pepper of this test alone"
SCOPES = ["keys:manage", "plans:manage", "audit:read", "a", "b"]
SESSION = Authority(id="user_1", name="Ada", organization_ids=frozenset(("org",)), may=frozenset(("keys:manage",)))


def gate_of(**settings: Any) -> Gate:
    return Gate(
        **{
            "prefix": "acme",
            "hasher": "hmac-sha256",
            "peppers": [PEPPER],
            "failure_limits": None,
            "plans": {"free": Plan("1000/minute", max_keys=3), "pro": Plan(None)},
            "management": Management(),
            **settings,
        }
    )


def behind(gate: Gate, **key: Any) -> Both:
    """The gate with a managing key."""
    issued = gate.keys.create("boss", **{"organization_id": "org", "scopes": SCOPES, **key})
    apps = asgi.GateMiddleware(asgi_host, gate), wsgi.GateMiddleware(wsgi_host, gate)
    return Both(*apps, issued.secret)


@pytest.fixture
def api() -> Both:
    return behind(gate_of())


def faults(answer: Answer) -> list[tuple[str, str]]:
    assert (answer.status, answer.code) == (422, "invalid_fields")
    return [(each["path"], each["code"]) for each in answer.json["error"]["details"]["fields"]]


def parameter(answer: Answer) -> str:
    assert (answer.status, answer.code) == (400, "invalid_request")
    found: str = answer.json["error"]["details"]["parameter"]
    return found


JSON = ("content-type", "application/json")


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{", [JSON], 400),
        (b"", [JSON], 422),
        (b"", [], 422),
        (b'{"name": "a", "name": "a"}', [JSON], 400),
        (b'{"name": "a", "metadata": {"x": {"y": 1, "y": 1}}}', [JSON], 400),
        (b'{"name": NaN}', [JSON], 400),
        (b'{"name": Infinity}', [JSON], 400),
        (b'{"name": 1e999}', [JSON], 400),
        (b'{"name": ' + b"9" * 5000 + b"}", [JSON], 400),
        (b"\xff", [JSON], 400),
        (b"\xef\xbb\xbf{}", [JSON], 400),
        (b"[" * 20_000, [JSON], 400),
        (b"[]", [JSON], 422),
        (b"null", [JSON], 422),
        (b'"name"', [JSON], 422),
        (b'{"name": "a"}', [], 415),
        (b'{"name": "a"}', [("content-type", "text/plain")], 415),
        (b'{"name": "a"}', [("content-type", "application/x-www-form-urlencoded")], 415),
        (b'{"name": "a"}', [("content-type", "application/json; charset=utf-16")], 415),
        (b'{"name": "a"}', [JSON, ("content-encoding", "gzip")], 415),
        (b'{"name": "a"}', [("content-type", "application/json; charset=utf-8")], 201),
        (b'{"name": "a"}' + b" " * 65_536, [JSON], 413),
    ],
)
def test_a_body_is_one_json_object(api: Both, body: bytes, headers: Any, status: int) -> None:
    for _ in range(2):  # once through each door
        assert api.get("/manage/projects", method="POST", body=body, headers=headers).status == status


def test_every_wrong_field_is_named(api: Both) -> None:
    answer = api.post(
        "/manage/api-keys",
        {
            "name": "",
            "plan": "gold",
            "limits": "sometimes",
            "scopes": ["a b"],
            "may": [],
            "ip_allowlist": [],
            "expires_at": "2020-01-01T00:00:00Z",
            "metadata": {"a": "\0"},
            "environment": 3,
            "nonsense": 1,
        },
    )
    assert faults(answer) == [
        ("/environment", "type"),
        ("/expires_at", "invalid"),
        ("/ip_allowlist", "invalid"),
        ("/limits", "invalid"),
        ("/may", "invalid"),
        ("/metadata", "invalid"),
        ("/name", "invalid"),
        ("/nonsense", "unknown"),
        ("/plan", "invalid"),
        ("/scopes", "invalid"),
    ]


@pytest.mark.parametrize(
    "value",
    [
        "2030-01-01",
        "2030-01-01T00:00:00",
        "2030-13-01T00:00:00Z",
        "2030-01-01 00:00:00Z",
        "٢٠30-01-01T00:00:00Z",
        "now",
        3,
    ],
)
def test_a_moment_is_written_as_rfc_3339_says(api: Both, value: Any) -> None:
    assert [path for path, _ in faults(api.post("/manage/api-keys", {"expires_at": value}))] == ["/expires_at"]


@pytest.mark.parametrize("value", ["2030-01-01T00:00:00Z", "2030-01-01t02:00:00.123456789+02:00"])
def test_a_moment_may_have_a_fraction_and_an_offset(api: Both, value: str) -> None:
    assert api.post("/manage/api-keys", {"expires_at": value}).json["expires_at"] == "2030-01-01T00:00:00Z"


@pytest.mark.parametrize(
    "metadata", [{"a": "\ud800"}, {"\ud800": 1}, {"a": [{"b": "\0"}]}, {"a": "x" * 20_000}, 3, [1]]
)
def test_metadata_that_no_store_could_keep_is_refused(api: Both, metadata: Any) -> None:
    assert [path for path, _ in faults(api.post("/manage/api-keys", {"metadata": metadata}))] == ["/metadata"]


def test_a_key_in_the_wrong_place_is_not_repeated(api: Both) -> None:
    answer = api.post("/manage/api-keys", {"name": "x", "scopes": [f"{api.key} "], str(api.key): 1})
    assert [path for path, _ in faults(answer)][-1] == "/scopes"
    assert faults(api.post("/manage/api-keys", {"metadata": {"a": [{f"x{api.key}": 1}]}})) == [("/metadata", "invalid")]
    assert str(api.key) not in answer.body.decode()


def test_a_thousand_unknown_fields_get_a_bounded_answer(api: Both) -> None:
    answer = api.post("/manage/api-keys", {f"field_{number}": 1 for number in range(3000)})
    assert len(faults(answer)) == 100


def test_a_merge_patch_sets_clears_and_keeps(api: Both) -> None:
    made = api.post(
        "/manage/api-keys", {"name": "ci", "limits": "5/minute", "metadata": {"a": 1}, "scopes": ["a"]}
    ).json
    path = f"/manage/api-keys/{made['id']}"
    for kind in ("application/json", "application/merge-patch+json"):
        answer = api.get(
            path, method="PATCH", json_body={"limits": None, "name": "cd"}, headers=[("content-type", kind)]
        )
        assert answer.status == 200
        assert (answer.json["name"], answer.json["limits"]) == ("cd", None)
        assert (answer.json["metadata"], answer.json["scopes"]) == ({"a": 1}, ["a"])
    assert faults(api.get(path, method="PATCH", json_body={"name": None})) == [("/name", "type")]


def test_a_tag_guards_against_lost_changes(api: Both) -> None:
    made = api.post("/manage/api-keys", {"name": "ci"})
    path, tag = f"/manage/api-keys/{made.json['id']}", str(made.header("etag"))
    assert api.get(path).header("etag") == tag
    first = api.get(path, method="PATCH", json_body={"name": "one"}, headers=[("if-match", tag)])
    assert first.status == 200
    assert first.header("etag") != tag
    for stale in (tag, f"W/{first.header('etag')}", '"x"', '"99999999999999999999"'):
        for change in ("PATCH", "DELETE", "POST /rotate", "POST /suspend", "POST /resume"):
            method, _, below = change.partition(" ")
            body = None if method == "DELETE" else {}
            late = api.get(path + below, method=method, json_body=body, headers=[("if-match", stale)])
            assert (late.status, late.code) == (412, "precondition_failed")
    assert api.get(path, method="PATCH", json_body={"name": "two"}, headers=[("if-match", "*")]).status == 200
    assert api.get(path).json["name"] == "two"
    unread = api.get(path, method="PATCH", json_body={}, headers=[("if-match", "3")])
    assert parameter(unread) == "If-Match"
    assert parameter(api.post("/manage/api-keys", {}, headers=[("if-match", tag)])) == "If-Match"


def test_a_tag_is_taken_back_whatever_a_store_draws(tmp_path: Path) -> None:
    gate = gate_of(store=f"sqlite:///{tmp_path / 'keys.db'}", plans={})
    api = behind(gate)
    for number in range(20):  # SQLite draws half of them from below zero
        made = api.post("/manage/api-keys")
        path = f"/manage/api-keys/{made.json['id']}"
        for stale in ('"9999999999999999999"', '"-9999999999999999999"', '"-"', '"-1"'):
            late = api.get(path, method="PATCH", json_body={"name": "x"}, headers=[("if-match", stale)])
            assert late.status == 412
        tag = [("if-match", str(made.header("etag")))]
        assert api.get(path, method="PATCH", json_body={"name": f"n{number}"}, headers=tag).status == 200
    gate.close()


def test_a_tag_does_not_count_what_others_do() -> None:
    gate = gate_of(plans={})
    api = behind(gate)
    tags = [int(str(api.post("/manage/api-keys").header("etag")).strip('"')) for _ in range(9)]
    assert max(tags) - min(tags) > 1_000_000


@pytest.mark.parametrize("path", ["/manage/projects", "/manage/api-keys"])
def test_a_creation_may_be_repeated_and_its_secret_is_not(api: Both, path: str) -> None:
    again = [("idempotency-key", "b1c2")]
    first, second = [api.post(path, {"name": "ci"}, headers=again) for _ in range(2)]
    assert (first.status, second.status) == (201, 201)
    assert first.json["id"] == second.json["id"]
    assert first.json["api_key"].startswith("acme_live_")
    assert (second.json["api_key"], second.json["replayed"]) == (None, True)
    other = api.post(path, {"name": "cd"}, headers=again)
    assert (other.status, other.code) == (422, "idempotency_key_reused")
    for wrong in ("", "ä", "x" * 256):
        assert parameter(api.post(path, {"name": "x"}, headers=[("idempotency-key", wrong)])) == "Idempotency-Key"
    rotated = api.post(f"/manage/api-keys/{'0' * 12}/rotate", headers=again)
    assert parameter(rotated) == "Idempotency-Key"


def test_a_list_is_walked_by_its_links(api: Both) -> None:
    for number in range(5):
        api.post("/manage/projects", {"name": f"p{number}"})
    seen, target = [], "/manage/projects?limit=2"
    while target:
        answer = api.get(target)
        seen += [each["name"] for each in answer.json["data"]]
        link = answer.header("link")
        target = "" if link is None else link[1 : link.index(">")]
    assert seen == ["p0", "p1", "p2", "p3", "p4"]


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("limit=0", "limit"),
        ("limit=x", "limit"),
        ("limit=1&limit=2", "limit"),
        ("cursor=x", "cursor"),
        ("state=dead", "state"),
        ("state=active&state=active", "state"),
        ("nonsense=1", "nonsense"),
        ("search=", "search"),
        ("search=%00", "search"),
        ("search=%ff", "search"),
        ("organization_id=org", "organization_id"),
    ],
)
def test_a_query_holds_what_a_route_knows_each_once(api: Both, query: str, name: str) -> None:
    assert parameter(api.get(f"/manage/api-keys?{query}")) == name


def test_a_key_in_a_query_is_not_repeated(api: Both) -> None:
    for name in (api.key, f"x{api.key}"):
        answer = api.get(f"/manage/api-keys?{name}=1")
        assert (answer.status, answer.code) == (400, "invalid_request")
        assert str(api.key).encode() not in answer.body


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00%2B14:00", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59-14:00"])
@pytest.mark.parametrize("query", ["to={0}", "from={0}", "from={0}&to={0}"])
@pytest.mark.parametrize("step", ["hour", "day"])
def test_usage_at_the_ends_of_time_is_no_failure(api: Both, moment: str, query: str, step: str) -> None:
    key_id = api.post("/manage/api-keys").json["id"]
    answer = api.get(f"/manage/api-keys/{key_id}/usage?step={step}&{query.format(moment)}")
    assert answer.status in (200, 400)


def test_a_cursor_is_for_one_list_and_one_caller(api: Both) -> None:
    for number in range(3):
        api.post("/manage/api-keys", {"name": f"k{number}"})
    cursor = api.get("/manage/api-keys?limit=1").json["pagination"]["next_cursor"]
    assert api.get(f"/manage/api-keys?limit=1&cursor={cursor}").status == 200
    assert parameter(api.get(f"/manage/projects?cursor={cursor}")) == "cursor"
    assert parameter(api.get(f"/manage/api-keys?state=active&cursor={cursor}")) == "cursor"
    assert parameter(behind(gate_of()).get(f"/manage/api-keys?cursor={cursor}")) == "cursor"


def test_lists_of_keys_are_filtered(api: Both) -> None:
    ids = [api.post("/manage/api-keys", {"name": name}).json["id"] for name in ("alpha", "beta")]
    api.get(f"/manage/api-keys/{ids[1]}", method="DELETE")
    assert [each["name"] for each in api.get("/manage/api-keys?search=alp").json["data"]] == ["alpha"]
    assert [each["name"] for each in api.get("/manage/api-keys?state=revoked").json["data"]] == ["beta"]


def test_usage_and_limits_of_a_key_are_told() -> None:
    api = behind(gate_of(default_plan="free"))
    own = api.get("/manage/whoami").json
    assert (own["name"], own["may"]) == ("boss", ["audit:read", "keys:manage", "plans:manage"])
    assert [window["limit"] for window in own["windows"]] == [1000]
    assert own["used_this_month"]["admitted"] >= 1
    path = f"/manage/api-keys/{own['id']}"
    assert len(api.get(f"{path}/usage").json["data"]) == 24
    assert len(api.get(f"{path}/usage?step=day").json["data"]) == 30
    assert api.get(f"{path}/usage?from=2026-01-01T00:00:00Z&to=2026-01-01T02:00:00Z").json["data"] == [
        {"start": f"2026-01-01T0{hour}:00:00Z", "admitted": 0, "refused": {}} for hour in range(2)
    ]
    assert parameter(api.get(f"{path}/usage?from=2020-01-01T00:00:00Z")) == "from"
    assert parameter(api.get(f"{path}/usage?to=yesterday")) == "to"
    assert [window["seconds"] for window in api.get(f"{path}/limits").json["data"]] == [60]


def test_an_organizations_plan_is_shown_and_set(api: Both) -> None:
    assert api.get("/manage/organization").status == 404
    gate = gate_of()
    gate.organizations.create("org", name="Acme")
    api = behind(gate)
    assert api.get("/manage/organization").json["plan"] is None
    assert api.get("/manage/organization/plan", method="PUT", json_body={"plan": "pro"}).json["plan"] == "pro"
    assert faults(api.get("/manage/organization/plan", method="PUT", json_body={"plan": "x"})) == [("/plan", "invalid")]
    assert faults(api.get("/manage/organization/plan", method="PUT", json_body={})) == [("/plan", "required")]


def test_the_state_of_a_record_may_forbid_a_change(api: Both) -> None:
    path = f"/manage/api-keys/{api.post('/manage/api-keys', {'name': 'ci'}).json['id']}"
    assert api.post(f"{path}/suspend").json["state"] == "suspended"
    assert api.post(f"{path}/resume").json["state"] == "active"
    assert [api.get(path, method="DELETE").status for _ in range(2)] == [204, 204]
    late = api.post(f"{path}/rotate")
    assert (late.status, late.code) == (409, "key_not_active")
    own = f"/manage/api-keys/{api.get('/manage/whoami').json['id']}"
    last = api.get(own, method="DELETE")
    assert (last.status, last.code) == (409, "force_required")
    assert api.get(f"{own}?force=true", method="DELETE").status == 204
    assert api.get("/manage/whoami").status == 401


def test_a_cap_answers_409(api: Both) -> None:
    capped = behind(gate_of(default_plan="free"), plan="pro")
    answers = [capped.post("/manage/api-keys", {"name": "ci"}) for _ in range(4)]
    assert [answer.status for answer in answers] == [201, 201, 201, 409] or answers[-1].status == 409
    assert answers[-1].code == "key_limit_reached"
    assert answers[-1].json["error"]["details"]["limit"] == 3


def test_a_rotation_gives_a_new_secret_and_a_grace(api: Both) -> None:
    made = api.post("/manage/api-keys", {"name": "ci"}).json
    path = f"/manage/api-keys/{made['id']}"
    new = api.post(f"{path}/rotate", {"grace": 3600}).json
    assert new["api_key"] != made["api_key"]
    assert [api.get("/manage/whoami", key=each["api_key"]).status for each in (made, new)] == [200, 200]
    assert len(api.get(path).json["secrets"]) == 2
    assert faults(api.post(f"{path}/rotate", {"grace": -1})) == [("/grace", "invalid")]
    assert faults(api.post(f"{path}/rotate", {"grace": True})) == [("/grace", "type")]


def test_answers_have_the_shape_that_the_gate_has(api: Both) -> None:
    plain = api.get("/manage/projects").json
    assert set(plain) == {"data", "pagination"}
    enveloped = behind(gate_of(envelope=True))
    own = enveloped.get("/manage/whoami").json["data"]["id"]
    for path in ("/manage/projects", "/manage/whoami", f"/manage/api-keys/{own}/limits"):
        answer = enveloped.get(path)
        assert answer.json["meta"]["request_id"] == answer.header("x-request-id")
        assert "meta" not in answer.json["data"]
        assert answer.header("keystile-envelope") is None
    problems = behind(gate_of(error_format="problem")).get("/manage/api-keys/nothing")
    assert problems.header("content-type") == "application/problem+json"
    assert problems.json["status"] == 404
    asked = enveloped.get("/manage/nothing", headers=[("accept", "application/problem+json")])
    assert asked.json["code"] == "not_found"
    style = PageStyle(member=None, limit=None, next_cursor="next_token", parameter="next_token", meta=False)
    assert set(behind(gate_of(page_style=style, envelope=True)).get("/manage/projects").json) == {"data", "has_more"}


@pytest.mark.parametrize("route", ROUTES, ids=[route.name for route in ROUTES])
def test_a_path_says_which_methods_it_knows(api: Both, route: Any) -> None:
    path = f"/manage{route.path}".replace("{project_id}", "x").replace("{key_id}", "x")
    for method in ("OPTIONS", "BREW"):
        answer = api.get(path, method=method)
        assert (answer.status, answer.code) == (405, "method_not_allowed")
        assert route.method in str(answer.header("allow")).split(", ")
    assert api.get(f"{path}/").status == 404


def test_every_answer_is_kept_by_nobody(api: Both) -> None:
    for path in ("/manage/projects", "/manage/whoami", "/manage/nothing", "/manage/openapi.json"):
        assert "no-store" in str(api.get(path).header("cache-control"))
    assert "no-store" in str(api.post("/manage/projects", {"name": "p"}).header("cache-control"))


# A host that says itself who manages.


def session_app(authorize: Any, **settings: Any) -> Both:
    gate = gate_of(**settings)
    return Both(asgi.management_app(gate, authorize=authorize), wsgi.management_app(gate, authorize=authorize))


def logged_in(request: Any) -> Authority | None:
    """Works for both frameworks' requests."""
    return SESSION if request.cookies.get("session") == "ada" else None


HERE = [("cookie", "session=ada"), ("host", "console.example"), ("sec-fetch-site", "same-origin")]


def test_a_host_says_who_manages() -> None:
    app = session_app(logged_in)
    assert (app.get("/projects").status, app.get("/projects").code) == (401, "login_required")
    made = app.post("/projects", {"name": "p"}, headers=HERE)
    assert made.status == 201
    assert app.get("/whoami", headers=HERE).json | {"used_this_month": None} == {
        "type": "session",
        "id": "user_1",
        "name": "Ada",
        "organization_ids": ["org"],
        "may": ["keys:manage"],
        "key": None,
        "windows": [],
        "used_this_month": None,
    }
    assert app.get("/audit", headers=HERE).status == 403
    assert "security" not in app.get("/openapi.json", headers=HERE).json


@pytest.mark.parametrize(("error", "after"), [(StoreUnavailable("redis", "is down"), "5"), (Overloaded(), "1")])
def test_an_authorize_that_cannot_answer_now_is_asked_later(error: Exception, after: str) -> None:
    def down(_request: Any) -> Authority | None:
        raise error

    answer = session_app(down).get("/whoami")
    assert (answer.status, answer.code, answer.header("retry-after")) == (503, "unavailable", after)


def test_a_session_whose_end_has_passed_makes_nothing() -> None:
    over = replace(SESSION, expires_at=datetime(2020, 1, 1, tzinfo=UTC))
    app = session_app(lambda _request: over)
    for headers in (HERE, [*HERE, ("idempotency-key", "once")]):
        for path in ("/projects", "/api-keys"):
            answer = app.post(path, {"name": "p"}, headers=headers)
            assert (answer.status, answer.code) == (403, "more_than_held")


def test_an_async_authorize_is_for_asgi() -> None:
    async def later(request: Any) -> Authority | None:
        return logged_in(request)

    with pytest.raises(ConfigurationError, match="authorize: is async"):
        wsgi.management_app(gate_of(), authorize=later)
    app = asgi.management_app(gate_of(), authorize=later)
    assert through_asgi(app, Both(app, app).made("/projects", headers=HERE)).status == 200


def test_an_authorize_that_gives_something_else_opens_nothing(caplog: pytest.LogCaptureFixture) -> None:
    answer = session_app(lambda _request: True).get("/projects")
    assert (answer.status, answer.code) == (500, "internal_error")
    assert "Authority" in caplog.text


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([("sec-fetch-site", "same-origin")], 201),
        ([("sec-fetch-site", "none")], 201),
        ([("sec-fetch-site", "same-site")], 403),
        ([("sec-fetch-site", "cross-site")], 403),
        ([("origin", "http://console.example")], 201),
        ([("origin", "https://console.example")], 403),
        ([("origin", "http://evil.example")], 403),
        ([("origin", "null")], 403),
        ([], 403),
    ],
)
def test_a_page_of_another_site_changes_nothing(headers: Any, status: int) -> None:
    app = session_app(logged_in)
    lines = [("cookie", "session=ada"), ("host", "console.example"), *headers]
    for _ in range(2):
        answer = app.post("/projects", {"name": "p"}, headers=lines)
        assert answer.status == status
        assert status == 201 or answer.code == "cross_site"
    assert app.get("/projects", headers=lines).status == 200


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
def test_a_form_changes_nothing(kind: str) -> None:
    app = session_app(logged_in)
    key = app.post("/api-keys", {}, headers=HERE).json["id"]
    for body in (b"", b'{"name": "p"}'):
        answer = app.get(f"/api-keys/{key}/suspend", method="POST", body=body, headers=[*HERE, ("content-type", kind)])
        assert answer.status == 415


def test_who_sees_several_organizations_says_which() -> None:
    everybody = Authority(id="root", name="Root", organization_ids=ALL, may=frozenset(("keys:manage",)))
    app = session_app(lambda _request: everybody)
    assert faults(app.post("/projects", {"name": "p"}, headers=HERE[1:])) == [("/organization_id", "invalid")]
    assert app.post("/projects", {"name": "p", "organization_id": "b"}, headers=HERE[1:]).status == 201
    assert [each["name"] for each in app.get("/projects?organization_id=b").json["data"]] == ["p"]
    assert app.get("/projects?organization_id=c").json["data"] == []


# Where it is mounted.


def test_it_is_mounted_in_a_hosts_own_app_behind_the_gate() -> None:
    gate = gate_of(management=None)
    key = gate.keys.create("boss", organization_id="org", scopes=SCOPES).secret
    starlette = Starlette(routes=[Mount("/console/keys", app=asgi.management_app(gate))])
    dispatched = DispatcherMiddleware(wsgi_host, {"/console/keys": wsgi.management_app(gate)})
    app = Both(asgi.GateMiddleware(starlette, gate), wsgi.GateMiddleware(dispatched, gate), key)
    app.post("/console/keys/projects", {"name": "p"})
    app.post("/console/keys/projects", {"name": "q"})
    answer = app.get("/console/keys/projects?limit=1")
    assert str(answer.header("link")).startswith("</console/keys/projects?limit=1&cursor=")
    assert app.get("/console/keys/openapi.json").json["servers"] == [{"url": "/console/keys"}]


def test_without_a_gate_in_front_nobody_is_let_in() -> None:
    gate = gate_of(management=None)
    key = gate.keys.create("boss", organization_id="org", scopes=SCOPES).secret
    app = Both(asgi.management_app(gate), wsgi.management_app(gate), key)
    answer = app.get("/projects")
    assert (answer.status, answer.code) == (401, "missing_api_key")
    assert "www-authenticate" in dict(answer.headers)


def test_on_a_public_path_and_in_a_dry_run_nobody_is_let_in() -> None:
    gate = gate_of(management=None, public=["/whoami"])
    inner = asgi.management_app(gate), wsgi.management_app(gate)
    app = Both(asgi.GateMiddleware(inner[0], gate), wsgi.GateMiddleware(inner[1], gate))
    assert app.get("/whoami").status == 401
    dry = gate_of(enforce=False)
    both = Both(asgi.GateMiddleware(asgi_host, dry), wsgi.GateMiddleware(wsgi_host, dry), "")
    assert both.get("/manage/projects").status == 401


@pytest.mark.parametrize("mount", ["", "/api", "/a/b"])
def test_the_gate_serves_it_below_its_path_and_nothing_beside_it(mount: str) -> None:
    app = behind(gate_of(management=Management("/manage/keys")))
    app.mount = mount
    app.post("/manage/keys/projects", {"name": "p"})
    app.post("/manage/keys/projects", {"name": "q"})
    assert str(app.get("/manage/keys/projects?limit=1").header("link")).startswith(f"<{mount}/manage/keys/projects?")
    assert app.get("/manage/keys/openapi.json").json["servers"] == [{"url": f"{mount}/manage/keys"}]
    for beside in ("/manage", "/manage/keysx", "/manage/keys2/projects", "/projects"):
        with pytest.raises(AssertionError, match="the app was called"):
            app.get(beside)


def test_a_prefix_that_the_app_takes_off_is_taken_off_here_too() -> None:
    app = behind(gate_of(root_path="/v1"))
    assert app.get("/v1/manage/projects").status == 200
    assert app.get("/v1/manage/openapi.json").json["servers"] == [{"url": "/v1/manage"}]


@pytest.mark.parametrize("settings", [{"public": ["/manage/*"]}, {"public": ["/manage/whoami"]}])
def test_a_public_path_is_refused_at_start(settings: Any) -> None:
    gate = gate_of(**settings)
    for door, host in ((asgi, asgi_host), (wsgi, wsgi_host)):
        with pytest.raises(ConfigurationError, match=r"management\.path: /manage is public"):
            door.GateMiddleware(host, gate)


@pytest.mark.parametrize("door", [asgi, wsgi])
def test_what_cannot_be_used_is_refused_at_start(door: Any, tmp_path: Path) -> None:
    for key, value in {"field_case": "kebab", "authorize": 3, "public_openapi": 1}.items():
        with pytest.raises(ConfigurationError, match=f"{key}: expected"):
            door.management_app(gate_of(), **{key: value})
    with pytest.raises(ConfigurationError, match="gate: expected a Gate, got str"):
        door.management_app("gate")
    unsigned = Gate(f"sqlite:///{tmp_path / 'keys.db'}", prefix="acme")
    with pytest.raises(ConfigurationError, match="cursor_secrets: is missing"):
        door.management_app(unsigned)
    unsigned.close()


def test_a_file_says_where_it_is(tmp_path: Path) -> None:
    file = tmp_path / "keystile.toml"
    file.write_text(
        f'store = "sqlite:///keys.db"\nprefix = "acme"\npeppers = ["{PEPPER}"]\n\n'
        '[management]\npath = "/keys"\nfield_case = "camel"\npublic_openapi = true\n'
    )
    file.chmod(0o600)
    gate = open_gate(load(file, {}))
    app = behind(gate)
    assert "organizationIds" in app.get("/keys/whoami").json
    assert app.get("/keys/openapi.json", key="").status == 200
    assert app.get("/keys/whoami", key="").status == 401
    gate.close()
