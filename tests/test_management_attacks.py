"""Two organizations attack each other's ids on every route, and strangers try them all. The routes come from the table,
so that a new one is tested by itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystile import Gate, Management, asgi, wsgi
from keystile.manage.api import ROUTES
from keystile.manage.api.routes import Route
from keystile.stores.memory import MemoryStore
from tests.management import Both, asgi_host, plain, through_asgi, through_wsgi, wsgi_host

PEPPER = "a pepper of this test alone"
ALL_SCOPES = ["keys:manage", "plans:manage", "audit:read", "other:scope"]
WITH_IDS = [route for route in ROUTES if route.ids]
NEVER = {"project_id": "proj_0000000000000000", "key_id": "000000000000"}
BODIES: dict[str, Any] = {"setPlan": {"plan": None}, "createProject": {"name": "x"}, "replaceProject": {"name": "x"}}
MOUNT = "/manage"


class Two:
    """A gate with two organizations, each with a managing key, a project and a key in it.

    Attributes:
        calls: the names of the store's methods that were called.
    """

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.gate = Gate(
            self._counting(MemoryStore()),
            prefix="acme",
            hasher="hmac-sha256",
            peppers=[PEPPER],
            failure_limits=None,
            management=Management(),
        )
        self.bosses, self.ids = {}, {}
        for name in ("ours", "theirs"):
            self.gate.organizations.create(name)
            boss = self.gate.keys.create("boss", organization_id=name, scopes=ALL_SCOPES)
            made = self.gate.projects.create("shop", organization_id=name)
            self.bosses[name] = boss.secret
            self.ids[name] = {"project_id": made.project.id, "key_id": made.issued.key.id}
        self.both = Both(
            asgi.GateMiddleware(asgi_host, self.gate), wsgi.GateMiddleware(wsgi_host, self.gate), self.bosses["ours"]
        )

    def _counting(self, store: MemoryStore) -> MemoryStore:
        for name in ("find", "find_project", "find_organization", "list", "update", "revoke", "list_audit", "add"):
            self._count(store, name)
        return store

    def _count(self, store: MemoryStore, name: str) -> None:
        method = getattr(store, name)

        def counted(*args: Any) -> Any:
            self.calls.append(name)
            return method(*args)

        setattr(store, name, counted)


@pytest.fixture
def two() -> Iterator[Two]:
    made = Two()
    yield made
    made.gate.close()


def target(route: Route, ids: dict[str, str]) -> str:
    path = route.path
    for name in route.ids:
        path = path.replace(f"{{{name}}}", ids[name])
    return MOUNT + path


def body_of(route: Route) -> Any:
    return BODIES.get(route.name, {}) if route.body is not None else None


def named(routes: list[Route]) -> Any:
    return pytest.mark.parametrize("route", routes, ids=[route.name for route in routes])


@named(WITH_IDS)
def test_an_id_of_another_organization_is_answered_like_one_that_never_was(two: Two, route: Route) -> None:
    two.both.get(f"{MOUNT}/whoami")  # now the key is proved, which calls the store too
    answers = []
    for ids in (two.ids["theirs"], NEVER):
        for send, app in ((through_asgi, two.both.asgi), (through_wsgi, two.both.wsgi)):
            sent = two.both.made(target(route, ids), method=route.method, json_body=body_of(route))
            two.calls.clear()
            answers.append((plain(send(app, sent)), sorted(two.calls)))
    assert answers[0][0][0] == 404
    assert all(answer == answers[0] for answer in answers)


@named(WITH_IDS)
def test_nothing_of_another_organization_is_changed_by_any_route(two: Two, route: Route) -> None:
    before = [two.gate.keys.get(two.ids["theirs"]["key_id"]), two.gate.projects.get(two.ids["theirs"]["project_id"])]
    told = len(two.gate.audit(limit=1000))
    two.both.get(target(route, two.ids["theirs"]), method=route.method, json_body=body_of(route))
    after = [two.gate.keys.get(two.ids["theirs"]["key_id"]), two.gate.projects.get(two.ids["theirs"]["project_id"])]
    assert (after, len(two.gate.audit(limit=1000))) == (before, told)


@named([route for route in ROUTES if not route.ids and route.method == "GET"])
def test_no_list_shows_anything_of_another_organization(two: Two, route: Route) -> None:
    text = two.both.get(target(route, {})).body.decode()
    assert all(each not in text for each in ("theirs", *two.ids["theirs"].values()))


@pytest.mark.parametrize("parameter", ["project_id", "owner_id", "search", "target", "organization_id"])
def test_no_filter_leads_to_another_organization(two: Two, parameter: str) -> None:
    for path in ("/api-keys", "/audit", "/projects", "/organization"):
        for value in ("theirs", *two.ids["theirs"].values()):
            answer = two.both.get(f"{MOUNT}{path}?{parameter}={value}")
            assert two.bosses["theirs"][12:20] not in answer.body.decode()
            assert answer.status in (200, 400, 404)
            assert answer.status != 200 or answer.json["data"] == []


@named([route for route in ROUTES if route.body is not None])
@pytest.mark.parametrize(
    "name", ["id", "hashes", "revision", "created_at", "revoked_at", "organization_id", "owner_id", "secret"]
)
def test_what_nobody_may_set_is_named_and_nothing_is_written(two: Two, route: Route, name: str) -> None:
    told = len(two.gate.audit(limit=1000))
    answer = two.both.get(
        target(route, two.ids["ours"]), method=route.method, json_body={**body_of(route), name: "theirs"}
    )
    assert answer.status == 422
    assert {"path": f"/{name}", "code": "unknown", "message": "there is no such field"} in answer.json["error"][
        "details"
    ]["fields"]
    assert len(two.gate.audit(limit=1000)) == told


@named(list(ROUTES))
def test_without_a_key_every_route_is_401(two: Two, route: Route) -> None:
    answer = two.both.get(target(route, two.ids["ours"]), method=route.method, json_body=body_of(route), key="")
    assert (answer.status, answer.code) == (401, "missing_api_key")


@named([route for route in ROUTES if route.right])
def test_without_its_right_every_route_is_403(two: Two, route: Route) -> None:
    weak = two.gate.keys.create("weak", organization_id="ours", scopes=["other:scope"]).secret
    for ids in (two.ids["ours"], two.ids["theirs"], NEVER):
        answer = two.both.get(target(route, ids), method=route.method, json_body=body_of(route), key=weak)
        assert (answer.status, answer.code) == (403, "insufficient_scope")
        assert route.right in (answer.header("www-authenticate") or "")


@named([route for route in ROUTES if route.right])
def test_a_key_of_no_organization_manages_nothing(two: Two, route: Route) -> None:
    alone = two.gate.keys.create("alone", scopes=ALL_SCOPES).secret
    answer = two.both.get(target(route, two.ids["ours"]), method=route.method, json_body=body_of(route), key=alone)
    assert (answer.status, answer.code) == (403, "organization_required")


def test_a_key_without_any_scope_sees_itself(two: Two) -> None:
    weak = two.gate.keys.create("weak", organization_id="ours")
    answer = two.both.get(f"{MOUNT}/whoami", key=weak.secret)
    assert (answer.status, answer.json["id"], answer.json["may"]) == (200, weak.key.id, [])


_TWO = Two()
_PATHS = st.sampled_from([target(route, ids) for route in ROUTES for ids in (*_TWO.ids.values(), NEVER)])
_ENDS = st.sampled_from(
    ["", "/", "//", "/x", "?", "?limit=1", "?limit=x", "?cursor=x", "?force=true", "?a=1&a=2", "%2F"]
)
_HEADERS = st.lists(
    st.sampled_from(
        [
            ("if-match", '"1"'),
            ("if-match", "*"),
            ("if-match", "x"),
            ("idempotency-key", "a"),
            ("idempotency-key", "ä"),
            ("accept", "application/problem+json"),
            ("content-type", "text/plain"),
            ("content-type", "application/json"),
            ("content-encoding", "gzip"),
        ]
    ),
    max_size=3,
    unique_by=lambda line: line[0],
)
_OBJECTS = [
    b'{"name": "a", "name": "b"}',
    b'{"name": NaN}',
    b'{"name": 1e999}',
    b'{"name": "\\ud800"}',
    b'{"scopes": 1}',
]
_OTHERS = [b"", b"{}", b"[]", b"null", b"\xff", b"\xef\xbb\xbf{}", b"[" * 5000, b'{"metadata": ' + b"[" * 500]
_BODIES = st.none() | st.sampled_from([*_OBJECTS, *_OTHERS])


@given(
    method=st.sampled_from(["GET", "HEAD", "OPTIONS", "BREW", "POST", "PUT", "PATCH", "DELETE"]),
    path=_PATHS,
    end=_ENDS,
    headers=_HEADERS,
    body=_BODIES,
)
def test_both_doors_answer_every_request_alike_and_none_fails(
    method: str, path: str, end: str, headers: list[tuple[str, str]], body: bytes | None
) -> None:
    # A key without rights writes nothing, so that the same request can be sent twice; what is wrong is found before.
    for key in (_TWO.bosses["ours"], ""):
        if key and method not in ("GET", "HEAD", "OPTIONS", "BREW"):
            continue
        sent = _TWO.both.made(path + end, method=method, key=key, headers=headers, body=body)
        first, second = through_asgi(_TWO.both.asgi, sent), through_wsgi(_TWO.both.wsgi, sent)
        assert plain(first) == plain(second)
        assert first.status < 500
