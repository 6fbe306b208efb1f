"""Webhook endpoints in the management API: through both doors, in SQLite and in PostgreSQL, for keys and for people."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jsonschema
import openapi_spec_validator
import pytest

from keystile import Gate, Management, asgi, wrap, wsgi
from keystile.exceptions import ConfigurationError
from keystile.manage import ALL, Authority
from keystile.manage.api.webhooks import WEBHOOK_ROUTES
from keystile.policy.webhooks import LEAKED, OWN_TYPES
from keystile.webhooks.outbox import Next, Outbox
from keystile.webhooks.outbox.registering import MOST_ENDPOINTS
from keystile.webhooks.sending import Attempt
from keystile.webhooks.working.own import TYPES, told
from tests.management import Both, asgi_host, through_asgi, through_wsgi, wsgi_host
from tests.outboxes import KEY, Box, outbox_of
from tests.postgres_server import postgres_url  # noqa: F401
from tests.test_management_api import PEPPER, faults, gate_of, parameter

WEBHOOKS = "/manage/webhooks"
URL = "https://hooks.example/in"
SCOPES = ["webhooks:manage"]


Ids = dict[str, dict[str, str]]


class Api(Both):
    """The management API with an outbox, and the outbox."""

    box: Box
    gate: Gate

    def make(self, url: str = URL, **fields: Any) -> Any:
        answer = self.post(WEBHOOKS, {"url": url, **fields})
        assert answer.status == 201, answer.body
        return answer.json


def api_of(box: Box, *, scopes: list[str] | None = None, **settings: Any) -> Api:
    gate = gate_of(**settings)
    key = gate.keys.create("boss", organization_id="org", scopes=SCOPES if scopes is None else scopes)
    made = Api(
        asgi.GateMiddleware(asgi_host, gate, outbox=box.inner),
        wsgi.GateMiddleware(wsgi_host, gate, outbox=box.inner),
        key.secret,
    )
    made.box, made.gate = box, gate
    return made


@pytest.fixture(params=["sqlite", "postgresql"])
def api(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Api]:
    with outbox_of(request.param, request, tmp_path) as box:
        yield api_of(box)


@pytest.fixture
def one(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Api]:
    with outbox_of("sqlite", request, tmp_path) as box:
        yield api_of(box)


def test_an_endpoint_is_made_and_its_secret_is_shown_once(api: Api) -> None:
    made = api.make(event_types=["invoice.paid"], headers={"X-Team": "secret team"}, description="Billing")
    assert made["secret"].startswith("whsec_")
    assert {name: made[name] for name in ("organization_id", "url", "state", "scheme", "signature_header")} == {
        "organization_id": "org",
        "url": URL,
        "state": "enabled",
        "scheme": "standard",
        "signature_header": None,
    }
    found = api.get(f"{WEBHOOKS}/{made['id']}")
    assert found.json == {name: value for name, value in made.items() if name != "secret"}
    assert (found.json["header_names"], found.json["event_types"]) == (["X-Team"], ["invoice.paid"])
    listed = api.get(WEBHOOKS)
    assert [each["id"] for each in listed.json["data"]] == [made["id"]]
    for answer in (found, listed):
        assert b"whsec_" not in answer.body
        assert b"secret team" not in answer.body
        assert "no-store" in str(answer.header("cache-control"))


def test_an_endpoint_is_changed_by_who_has_seen_it_last(api: Api) -> None:
    made = api.make(event_types=["a"], headers={"X-Team": "x"}, description="d")
    path = f"{WEBHOOKS}/{made['id']}"
    first = api.get(path)
    tag = ("if-match", str(first.header("etag")))
    changed = api.get(path, method="PATCH", json_body={"description": None, "event_types": None}, headers=[tag])
    assert (changed.status, changed.json["description"], changed.json["event_types"]) == (200, None, None)
    assert changed.json["header_names"] == ["X-Team"]
    assert changed.header("etag") != first.header("etag")
    for method, target, body in (
        ("PATCH", path, {"url": "https://other.example/"}),
        ("POST", f"{path}/rotate", {}),
        ("POST", f"{path}/disable", {}),
        ("POST", f"{path}/enable", {}),
        ("DELETE", path, None),
    ):
        assert api.get(target, method=method, json_body=body, headers=[tag]).status == 412, (method, target)
    assert api.get(path).json == changed.json
    replaced = api.get(path, method="PATCH", json_body={"headers": {"X-New": "1"}})
    assert replaced.json["header_names"] == ["X-New"]
    assert api.get(path, method="PATCH", json_body={"headers": None}).json["header_names"] == []
    last = ("if-match", str(api.get(path).header("etag")))
    assert api.get(path, method="DELETE", headers=[last]).status == 204
    assert api.get(path).status == 404
    assert api.get(path, method="DELETE").status == 404


def test_a_new_secret_signs_beside_the_old_one_for_its_grace(api: Api) -> None:
    made = api.make()
    answer = api.post(f"{WEBHOOKS}/{made['id']}/rotate", {"grace": 60})
    assert answer.status == 200
    assert answer.json["secret"] not in (None, made["secret"])
    api.box.send(organization_id="org")
    (claimed,) = api.box.take()
    assert len(claimed.endpoint.secrets) == 2
    hexed = api.make(scheme="hex_body", signature_header="X-Signature")
    assert (hexed["scheme"], hexed["signature_header"]) == ("hex_body", "X-Signature")
    assert faults(api.post(f"{WEBHOOKS}/{hexed['id']}/rotate", {"grace": 60})) == [("/grace", "invalid")]
    assert api.post(f"{WEBHOOKS}/{hexed['id']}/rotate", {}).status == 200


def test_a_disabled_endpoint_gets_nothing_until_it_is_enabled(api: Api) -> None:
    path = f"{WEBHOOKS}/{api.make()['id']}"
    off = api.post(f"{path}/disable", {})
    assert (off.status, off.json["state"], off.json["disabled_reason"]) == (200, "disabled", "by hand")
    refused = api.post(f"{path}/test", {})
    assert (refused.status, refused.code) == (409, "endpoint_disabled")
    assert api.post(f"{path}/enable", {}).json["state"] == "enabled"
    sent = api.post(f"{path}/test", {})
    assert sent.status == 202
    (claimed,) = api.box.take()
    assert (claimed.message_id, claimed.type) == (sent.json["message_id"], "webhook.test")


def test_deliveries_are_read_and_sent_once_more_and_nobody_reads_what_the_receiver_answered(api: Api) -> None:
    path = f"{WEBHOOKS}/{api.make()['id']}"
    for number in range(3):
        api.box.clock.now += 1
        api.box.send("invoice.paid", {"number": number}, "org")
    for claimed in api.box.take():
        came = Attempt(500, seconds=0.25, shown="a secret of the inside")
        api.box.end(claimed, Next.failed(), came)
    listed = api.get(f"{path}/deliveries?state=failed&limit=2").json
    assert [each["state"] for each in listed["data"]] == ["failed", "failed"]
    cursor = listed["pagination"]["next_cursor"]
    rest = api.get(f"{path}/deliveries?state=failed&limit=2&cursor={cursor}").json["data"]
    assert len({each["id"] for each in (*listed["data"], *rest)}) == 3
    delivery = f"{path}/deliveries/{rest[0]['id']}"
    whole = api.get(delivery)
    (attempt,) = whole.json["history"]
    assert {name: attempt[name] for name in ("attempt", "status", "error", "seconds")} == {
        "attempt": 1,
        "status": 500,
        "error": None,
        "seconds": 0.25,
    }
    assert b"inside" not in whole.body
    again = api.post(f"{delivery}/retry", {})
    assert (again.status, again.json["state"]) == (202, "due")
    assert parameter(api.get(f"{path}/deliveries?state=lost")) == "state"
    since = {"since": "2020-01-01T00:00:00Z"}
    assert api.post(f"{path}/retry", since).json == {"retried": 2, "has_more": False}
    assert api.post(f"{path}/retry", since).json == {"retried": 0, "has_more": False}
    assert faults(api.post(f"{path}/retry", {})) == [("/since", "required")]
    assert faults(api.post(f"{path}/retry", {"since": "yesterday"})) == [("/since", "invalid")]
    assert api.box.states(api.get(path).json["id"]) == ["due"] * 3


def test_a_delivery_is_one_of_the_endpoint_that_the_path_names(one: Api) -> None:
    first, second = one.make()["id"], one.make("https://other.example/")["id"]
    one.box.send(organization_id="org")
    (delivery,) = one.box.deliveries(first)
    assert one.get(f"{WEBHOOKS}/{first}/deliveries/{delivery.id}").status == 200
    assert one.get(f"{WEBHOOKS}/{second}/deliveries/{delivery.id}").status == 404
    assert one.post(f"{WEBHOOKS}/{second}/deliveries/{delivery.id}/retry", {}).status == 404


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ({}, ("/url", "required")),
        ({"url": 1}, ("/url", "type")),
        ({"url": "https://10.0.0.1/"}, ("/url", "invalid")),
        ({"url": "https://127.0.0.1.nip.io:22/"}, ("/url", "invalid")),
        ({"url": "file:///etc/passwd"}, ("/url", "invalid")),
        ({"url": URL, "event_types": []}, ("/event_types", "invalid")),
        ({"url": URL, "event_types": ["a b"]}, ("/event_types", "invalid")),
        ({"url": URL, "headers": {"Host": "x"}}, ("/headers", "invalid")),
        ({"url": URL, "headers": {"X-A": "a\r\nb"}}, ("/headers", "invalid")),
        ({"url": URL, "headers": {"Authorization": "x"}}, ("/headers", "invalid")),
        ({"url": URL, "headers": {"X-A": 1}}, ("/headers", "type")),
        ({"url": URL, "scheme": "none"}, ("/scheme", "invalid")),
        ({"url": URL, "scheme": "hex_body"}, ("/signature_header", "invalid")),
        ({"url": URL, "signature_header": "X-A"}, ("/signature_header", "invalid")),
        ({"url": URL, "scheme": "hex_body", "signature_header": "Host"}, ("/signature_header", "invalid")),
        ({"url": URL, "scheme": "timestamped", "signature_header": "content-length"}, ("/signature_header", "invalid")),
        ({"url": URL, "description": "x" * 300}, ("/description", "invalid")),
        ({"url": URL, "secret": "whsec_AAAA"}, ("/secret", "unknown")),
        ({"url": URL, "organization_id": "theirs"}, ("/organization_id", "unknown")),
    ],
)
def test_what_an_endpoint_cannot_be_is_named_and_nothing_is_written(one: Api, body: Any, fault: Any) -> None:
    assert faults(one.post(WEBHOOKS, body)) == [fault]
    assert one.box.endpoints.list() == []


def test_an_organization_has_so_many_endpoints(one: Api) -> None:
    for _ in range(MOST_ENDPOINTS):
        one.box.endpoint("org")
    answer = one.post(WEBHOOKS, {"url": URL})
    assert (answer.status, answer.code) == (409, "endpoint_limit_reached")


def test_a_request_that_makes_an_endpoint_cannot_be_repeated_by_name(one: Api) -> None:
    sent = one.post(WEBHOOKS, {"url": URL}, headers=[("idempotency-key", "x")])
    assert parameter(sent) == "Idempotency-Key"
    assert one.box.endpoints.list() == []


# Who may


@contextmanager
def attacked(
    request: pytest.FixtureRequest, folder: Path
) -> Iterator[tuple[Api, dict[str, dict[str, str]], list[str]]]:
    """The API, the ids of two organizations and of nobody, and what the outbox's database was asked for."""
    with outbox_of("sqlite", request, folder) as box:
        ids = {"never": {"endpoint_id": "ep_" + "0" * 22, "delivery_id": "dlv_" + "0" * 22}}
        for name in ("org", "theirs"):
            endpoint = box.endpoint(name)
            box.send(organization_id=name)
            ids[name] = {"endpoint_id": endpoint.id, "delivery_id": box.deliveries(endpoint.id)[0].id}
        calls: list[str] = []
        database = box.inner.database
        for name in ("read", "write"):
            _count(database, name, calls)
        yield api_of(box), ids, calls


def _count(database: Any, name: str, calls: list[str]) -> None:
    method = getattr(database, name)

    async def counted(*args: Any) -> Any:
        calls.append(name)
        return await method(*args)

    setattr(database, name, counted)


def target(route: Any, ids: dict[str, str]) -> str:
    path = f"/manage{route.path}"
    for name in route.ids:
        path = path.replace(f"{{{name}}}", ids[name])
    return str(path)


BODIES: dict[str, Any] = {"createEndpoint": {"url": URL}, "retryFailed": {"since": "2020-01-01T00:00:00Z"}}
WITH_IDS = [route for route in WEBHOOK_ROUTES if route.ids]


def body_of(route: Any) -> Any:
    return BODIES.get(route.name, {}) if route.body is not None else None


@pytest.mark.parametrize("route", WITH_IDS, ids=[route.name for route in WITH_IDS])
def test_ids_of_another_organization_are_answered_like_ids_that_never_were(
    route: Any, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    with attacked(request, tmp_path) as (api, ids, calls):
        before = api.box.rows("SELECT * FROM keystile_endpoints, keystile_deliveries")
        answers = []
        own_endpoint = {"endpoint_id": ids["org"]["endpoint_id"]}
        tried = [ids["theirs"], ids["never"], {**ids["theirs"], **own_endpoint}, {**ids["never"], **own_endpoint}]
        for each in tried if "delivery_id" in route.ids else tried[:2]:
            for send, app in ((through_asgi, api.asgi), (through_wsgi, api.wsgi)):
                calls.clear()
                answer = send(app, api.made(target(route, each), method=route.method, json_body=body_of(route)))
                shown = answer.status, answer.code, len(answer.body)
                answers.append((shown, list(calls)))
        assert answers[0][0][:2] == (404, "not_found")
        assert all(answer == answers[0] for answer in answers[:4])
        assert all(answer == answers[-1] for answer in answers[4:])
        assert api.box.rows("SELECT * FROM keystile_endpoints, keystile_deliveries") == before


@pytest.mark.parametrize("route", WEBHOOK_ROUTES, ids=[route.name for route in WEBHOOK_ROUTES])
def test_no_route_is_open_to_who_lacks_its_right(route: Any, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    with attacked(request, tmp_path) as (api, ids, calls):
        keys = {
            scope: api.gate.keys.create("k", organization_id="org", scopes=[scope]).secret
            for scope in ("keys:manage", "webhooks:read")
        }
        alone = api.gate.keys.create("alone", scopes=SCOPES).secret
        for each in ids.values():
            sent: dict[str, Any] = {"method": route.method, "json_body": body_of(route)}
            answers = {name: api.get(target(route, each), key=key, **sent) for name, key in keys.items()}
            assert (answers["keys:manage"].status, answers["keys:manage"].code) == (403, "insufficient_scope")
            reads = route.right == "webhooks:read"
            assert (answers["webhooks:read"].status == 403) is not reads
            assert api.get(target(route, each), key="", **sent).status == 401
            assert api.get(target(route, each), key=alone, **sent).code == "organization_required"
        assert "write" not in calls


def test_no_list_shows_anything_of_another_organization(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    with attacked(request, tmp_path) as (api, ids, _):
        body = api.get(WEBHOOKS).body.decode()
        assert ids["org"]["endpoint_id"] in body
        assert "theirs" not in body
        assert ids["theirs"]["endpoint_id"] not in body
        assert parameter(api.get(f"{WEBHOOKS}?organization_id=theirs")) == "organization_id"


HERE = [("sec-fetch-site", "same-origin")]


def session_api(box: Box, authority: Authority) -> Both:
    gate = gate_of(management=None)
    given: dict[str, Any] = {"authorize": lambda _request: authority, "outbox": box.inner}
    return Both(asgi.management_app(gate, **given), wsgi.management_app(gate, **given))


def test_a_person_manages_those_of_all_their_organizations(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    with outbox_of("sqlite", request, tmp_path) as box:
        first, second, third = (box.endpoint(name) for name in ("a", "b", "c"))
        may = frozenset(("webhooks:manage",))
        several = session_api(box, Authority(id="u", name="Ada", organization_ids=frozenset("ab"), may=may))
        assert parameter(several.get("/webhooks")) == "organization_id"
        assert [each["id"] for each in several.get("/webhooks?organization_id=b").json["data"]] == [second.id]
        assert several.get("/webhooks?organization_id=c").status == 404
        assert [several.get(f"/webhooks/{each.id}").status for each in (first, second, third)] == [200, 200, 404]
        made = several.post("/webhooks", {"url": URL, "organization_id": "b"}, headers=HERE)
        assert (made.status, made.json["organization_id"]) == (201, "b")
        assert several.post("/webhooks", {"url": URL, "organization_id": "b"}).code == "cross_site"
        assert several.post("/webhooks", {"url": URL, "organization_id": "c"}, headers=HERE).status == 422
        everybody = session_api(box, Authority(id="r", name="Root", organization_ids=ALL, may=may))
        assert len(everybody.get("/webhooks").json["data"]) == 4
        renamed = everybody.get(f"/webhooks/{third.id}", method="PATCH", json_body={"description": "x"}, headers=HERE)
        assert (renamed.json["organization_id"], renamed.json["description"]) == ("c", "x")
        assert faults(everybody.post("/webhooks", {"url": URL}, headers=HERE)) == [("/organization_id", "invalid")]


# Whether there is an outbox at all


def test_without_an_outbox_the_routes_are_not_there() -> None:
    gate = gate_of()
    key = gate.keys.create("boss", organization_id="org", scopes=SCOPES)
    api = Both(asgi.GateMiddleware(asgi_host, gate), wsgi.GateMiddleware(wsgi_host, gate), key.secret)
    for route in WEBHOOK_ROUTES:
        path = target(route, {"endpoint_id": "ep_1", "delivery_id": "dlv_1"})
        answer = api.get(path, method=route.method, json_body=body_of(route))
        assert (answer.status, answer.code) == (404, "not_found")
    document = api.get("/manage/openapi.json").json
    assert "webhooks" not in document
    assert not [path for path in document["paths"] if path.startswith("/webhooks")]


def test_the_document_describes_the_routes_and_the_messages(one: Api) -> None:
    document = one.get("/manage/openapi.json").json
    openapi_spec_validator.validate(document)
    described = {(method.upper(), path) for path, each in document["paths"].items() for method in each}
    assert {(route.method, route.path) for route in WEBHOOK_ROUTES} <= described
    assert set(document["webhooks"]) == {*OWN_TYPES.values(), LEAKED} == set(TYPES)


def test_a_message_is_as_the_document_says(one: Api) -> None:
    gate = one.gate
    key = gate.keys.create("CI", organization_id="org").key
    gate.keys.update(key.id, name="other")
    gate.keys.revoke(key.id)
    project = gate.projects.create("shop", organization_id="org").project
    gate.projects.delete(project.id)
    gate.organizations.create("org")
    described = one.get("/manage/openapi.json").json["webhooks"]
    seen = set()
    for entry in gate.audit(limit=100):
        for own in told(entry, frozenset(TYPES)):
            content = described[own.type]["post"]["requestBody"]["content"]["application/json"]["schema"]
            message = {"type": own.type, "timestamp": "2026-01-01T00:00:00Z", "data": own.data}
            jsonschema.validate(message, content)
            assert set(own.data) == set(content["properties"]["data"]["properties"])
            seen.add(own.type)
    assert {"key.created", "key.updated", "key.revoked", "project.deleted", "organization.created"} <= seen


@pytest.mark.parametrize("door", [asgi, wsgi], ids=["asgi", "wsgi"])
def test_an_outbox_that_nothing_would_show_or_that_is_none_is_refused(door: Any, one: Api) -> None:
    host = asgi_host if door is asgi else wsgi_host
    with pytest.raises(ConfigurationError, match="management") as refused:
        door.GateMiddleware(host, gate_of(management=None), outbox=one.box.inner)
    assert refused.value.key == "outbox"
    for app in (
        lambda: door.GateMiddleware(host, gate_of(), outbox="sqlite:///x.db"),
        lambda: door.management_app(gate_of(), outbox=object()),
        lambda: door.dashboard_app(gate_of(), authorize=lambda _request: None, outbox=object()),
    ):
        with pytest.raises(ConfigurationError, match="expected an Outbox"):
            app()


def test_a_public_rule_does_not_open_them() -> None:
    gate = gate_of(public=["/manage/webhooks"], management=Management())
    with pytest.raises(ConfigurationError, match="public"):
        asgi.GateMiddleware(asgi_host, gate)


@pytest.fixture
def rooted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a service and a file that names an outbox beside the management API."""
    lines = ['app = "hooked_service:app"', 'store = "sqlite:///keys.db"', f'peppers = ["{PEPPER}"]', 'prefix = "acme"']
    more = ["[management]", "[webhooks]", 'outbox = "sqlite:///outbox.db"']
    (tmp_path / "keystile.toml").write_text("\n".join((*lines, *more)))
    (tmp_path / "hooked_service.py").write_text("def app(environ, start_response):\n    raise AssertionError\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KEYSTILE_WEBHOOK_KEY", KEY)
    monkeypatch.delenv("KEYSTILE_CONFIG", raising=False)
    monkeypatch.setattr(wrap, "_found", [])
    monkeypatch.setattr(wrap, "_built", {})
    yield tmp_path
    sys.modules.pop("hooked_service", None)


def test_a_file_that_names_both_shows_endpoints_in_the_management_api(rooted: Path) -> None:
    app = wrap.wsgi
    gate = Gate("sqlite:///keys.db", prefix="acme", peppers=[PEPPER])
    key = gate.keys.create("boss", organization_id="org", scopes=SCOPES).secret
    gate.close()
    made = through_wsgi(app, Both(app, app, key).made(WEBHOOKS, method="POST", json_body={"url": URL}))
    assert made.status == 201
    outbox = Outbox("sqlite:///outbox.db")
    assert [each.organization_id for each in outbox.endpoints.list()] == ["org"]
    outbox.close()


def test_a_file_that_names_both_needs_the_key_that_seals_secrets(rooted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KEYSTILE_WEBHOOK_KEY")
    with pytest.raises(ConfigurationError, match="KEYSTILE_WEBHOOK_KEY") as refused:
        _ = wrap.wsgi
    assert str(rooted / "keystile.toml") in str(refused.value) or "keystile.toml" in str(refused.value)
