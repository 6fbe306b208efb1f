"""The API's own description: valid, complete, and true of both doors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import openapi_spec_validator
import pytest
import schemathesis
import werkzeug
from hypothesis import strategies as st
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema

from keystile import Gate, Management, PageStyle, Plan, asgi, wsgi
from keystile.manage.api import ROUTES
from keystile.manage.api.names import camel
from keystile.manage.api.webhooks import WEBHOOK_ROUTES
from keystile.webhooks.outbox import Endpoint, Outbox, new_key
from tests.management import Both, asgi_host, wsgi_host

SCOPES = ["keys:manage", "plans:manage", "webhooks:manage", "audit:read", "a"]

URL = "https://hooks.example/"


def managed(**settings: Any) -> tuple[Gate, str]:
    """A gate with a managing key."""
    gate = Gate(
        prefix="acme",
        hasher="hmac-sha256",
        peppers=["a pepper of this test alone"],
        plans={"free": Plan("10000000/minute"), "pro": Plan("10000/second")},
        failure_limits=None,
        **{"management": Management(), **settings},
    )
    gate.organizations.create("org")
    return gate, gate.keys.create("boss", organization_id="org", scopes=SCOPES).secret


def doors(gate: Gate, key: str) -> Both:
    return Both(asgi.GateMiddleware(asgi_host, gate), wsgi.GateMiddleware(wsgi_host, gate), key)


SHAPES: dict[str, dict[str, Any]] = {
    "plain": {},
    "camel": {"management": Management(field_case="camel")},
    "envelope": {"envelope": True},
    "problems": {"error_format": "problem"},
    "other pages": {"page_style": PageStyle(member=None, limit=None, next_cursor="next", parameter="next", meta=False)},
    "public": {"management": Management(public_openapi=True)},
}


@pytest.mark.parametrize("settings", SHAPES.values(), ids=SHAPES)
def test_the_document_is_valid(settings: dict[str, Any]) -> None:
    gate, key = managed(**settings)
    document = doors(gate, key).get("/manage/openapi.json").json
    openapi_spec_validator.validate(document)
    assert document["servers"] == [{"url": "/manage"}]


def test_the_document_has_every_route_and_no_other() -> None:
    gate, key = managed(management=Management(field_case="camel"))
    document = doors(gate, key).get("/manage/openapi.json").json
    described = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert described == {(route.method, route.path.replace("_id}", "Id}")) for route in ROUTES}
    names = [each["operationId"] for methods in document["paths"].values() for each in methods.values()]
    assert len(set(names)) == len(names)


def test_the_document_names_members_as_answers_do() -> None:
    gate, key = managed(management=Management(field_case="camel"))
    both = doors(gate, key)
    schemas = both.get("/manage/openapi.json").json["components"]["schemas"]
    made = both.post("/manage/projects", {"name": "p"}).json
    assert list(made) == list(schemas["NewlyMadeProject"]["properties"])
    assert camel("api_key") in made


@pytest.mark.parametrize("public", [True, False])
def test_strangers_read_the_document_only_where_that_is_said(public: bool) -> None:
    gate, _ = managed(management=Management(public_openapi=public))
    answer = doors(gate, "").get("/manage/openapi.json")
    assert answer.status == (200 if public else 401)
    assert ("security" in answer.json["paths"]["/openapi.json"]["get"]) is public if public else True


# The schema names formats that no tool knows: what is in one of them is checked by the rules that the gate has for it.
_SOON = datetime.now(UTC).replace(microsecond=0, tzinfo=None) + timedelta(days=400)
FORMATS: dict[str, st.SearchStrategy[str]] = {
    "line": st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=200),
    "rate-limits": st.sampled_from(["60/minute", "1/second; 10/day"]),
    "endpoint-url": st.integers(1, 99).map(lambda number: f"https://hooks.example/{number}"),
    "match": st.sampled_from(["GET /v1/*", "/a/{b}"]),
    "network": st.ip_addresses().map(str) | st.ip_addresses(v=4).map(lambda each: f"{each}/32"),
    "date-time": st.datetimes(_SOON, _SOON + timedelta(days=20)).map(lambda moment: f"{moment.isoformat()}Z"),
    # A cursor is signed, so that none can be made up; an empty one is the first page.
    "cursor": st.just(""),
    "plan": st.sampled_from(["free", "pro"]),
    "entity-tag": st.sampled_from(["*", '"1"', 'W/"2"', '"x"']),
    "idempotency-key": st.uuids().map(str),
}

GENERATION = {
    "max-examples": 60,
    "database": "none",
    "with-security-parameters": False,  # the key is there: a second credential is refused, as it should be
    "allow-x00": False,  # PostgreSQL keeps no NUL in JSON, so that none is taken: no schema can say that
}
ACCEPTED = ["2xx", "401", "403", "404", "409"]
REFUSED = ["400", "401", "403", "404", "405", "406", "409", "415", "422", "428", "429", "5xx"]
CHECKS: dict[str, Any] = {
    # 412: a tag that is well written is that of another revision. A schema cannot say which revision is there, and a
    # body that is wrong as well is told of after it.
    "positive_data_acceptance": {"expected-statuses": [*ACCEPTED, "412"]},
    "negative_data_rejection": {"expected-statuses": [*REFUSED, "412"]},
}
OPERATIONS = [
    {
        # 400: `from` and `to` bound each other, which a schema cannot say of two parameters.
        "include-name": "GET /api-keys/{key_id}/usage",
        "checks": {"positive_data_acceptance": {"expected-statuses": [*ACCEPTED, "400"]}},
    },
]
# To delete a key is to revoke it: its record stays, so that its audit and its usage still say whose they are. The tool
# takes that for a thing that is still there.
REVOKED_STAYS = {
    ("use_after_free", route.path) for route in ROUTES if route.method == "GET" and route.ids == ("key_id",)
}


def found(schema: Any, succeeded: set[tuple[str, str]]) -> Iterator[tuple[str, str, str]]:
    """Every failure: the check, the path, and what was sent and answered. An error of the tool's own is one. And the
    routes that were asked for something that they did."""
    for event in from_schema(schema).execute():
        if isinstance(event, (events.NonFatalError, events.FatalError)):
            yield "error", "", repr(event)
        elif isinstance(event, events.ScenarioFinished):
            for case_id, checks in event.recorder.checks.items():
                case = event.recorder.cases[case_id].value
                sent = event.recorder.interactions[case_id]
                if sent.response is not None and sent.response.status_code < 300:
                    succeeded.add((case.method, case.path))
                for check in checks:
                    if check.failure_info is not None:
                        response = sent.response
                        shown = f"{case.method} {sent.request.uri} {sent.request.body!r}"
                        answered = "" if response is None else f"{response.status_code} {response.content!r}"
                        yield check.name, case.path, f"{shown} -> {answered}: {check.failure_info.failure.message}"


class Client(werkzeug.Client):
    """The tool hands settings of sockets to apps that it calls in process, when it sends a request once more."""

    def open(self, *args: Any, **named: Any) -> Any:
        for name in ("max_redirects", "verify", "cert"):
            named.pop(name, None)
        return super().open(*args, **named)


def fit(path: str, body: dict[str, Any]) -> None:
    """Have the fields of an endpoint fit together."""
    if "headers" in body:
        body["headers"] = {"X-Team": "a"}
    if path == "/webhooks":
        body["signature_header"] = None if body.get("scheme", "standard") == "standard" else "X-Signature"


@contextmanager
def mended(gate: Gate, outbox: Outbox) -> Iterator[None]:
    """Have what is sent fit together, where no schema can say how: the tool knows no clock and no other request."""

    @schemathesis.hook
    def before_call(_context: Any, case: Any, _kwargs: Any) -> None:
        if case.meta is None or not case.meta.generation.mode.is_positive:
            return
        if "Idempotency-Key" in (case.headers or {}):
            case.headers["Idempotency-Key"] = str(uuid4())
        body = case.body
        if isinstance(body, dict):
            end, project = body.get("expires_at"), body.get("project_id")
            if isinstance(end, str) and end < _SOON.isoformat():  # read in an answer, and in the past by now
                body["expires_at"] = None
            if isinstance(project, str) and project not in {each.id for each in gate.projects.list()}:
                body["project_id"] = None
            fit(case.path, body)
        if case.path.startswith("/webhooks/"):
            kept = spare() if case.method == "DELETE" else endpoint
            known = {"endpoint_id": kept.id, "delivery_id": delivery.id}
            case.path_parameters.update({name: known[name] for name in case.path_parameters})

    def spare() -> Endpoint:
        """One to delete. An organization may have so many, and the tool makes them too."""
        others = [each for each in outbox.endpoints.list(organization_id="org") if each.id != endpoint.id]
        return others[0] if others else outbox.endpoints.create(URL, organization_id="org").endpoint

    endpoint = outbox.endpoints.create(URL, organization_id="org").endpoint
    outbox.test(endpoint.id)
    (delivery,) = outbox.deliveries(endpoint.id)

    try:
        yield
    finally:
        schemathesis.hooks.unregister(before_call)


@pytest.mark.stress
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("door", ["asgi", "wsgi"])
def test_a_tool_that_tries_everything_finds_nothing(door: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("schemathesis.python.wsgi.get_client", Client)
    for name, strategy in FORMATS.items():
        schemathesis.openapi.format(name, strategy)
    gate, key = managed()
    outbox = Outbox(f"sqlite:///{tmp_path / 'outbox.db'}", new_key())
    for number in range(3):
        project = gate.projects.create(f"project {number}", organization_id="org").project
        gate.keys.create(f"key {number}", project_id=project.id)
    headers = {"Authorization": f"Bearer {key}"}
    config = SchemathesisConfig.from_dict(
        {
            "generation": GENERATION,
            "headers": headers,
            "checks": CHECKS,
            "operations": OPERATIONS,
            "workers": 1,
            "phases": {"stateful": {"enabled": True}},
        }
    )
    app, load = (
        (asgi.GateMiddleware(asgi_host, gate, outbox=outbox), schemathesis.openapi.from_asgi)
        if door == "asgi"
        else (wsgi.GateMiddleware(wsgi_host, gate, outbox=outbox), schemathesis.openapi.from_wsgi)
    )
    schema = load("/manage/openapi.json", app, config=config, headers=headers)
    succeeded: set[tuple[str, str]] = set()
    with mended(gate, outbox):
        assert [fault for fault in found(schema, succeeded) if fault[:2] not in REVOKED_STAYS] == []
    # The document itself is what the tool began with.
    routes = (*ROUTES, *WEBHOOK_ROUTES)
    assert {(route.method, route.path) for route in routes if route.kind != "document"} - succeeded == set()


def routes_as_a_table() -> str:
    """What docs/guides/management.md says of them."""
    rows = [
        f"| `{each.method} {each.path}` | {f'`{each.right}`' if each.right else ''} | {each.meaning} |"
        for each in (*ROUTES, *WEBHOOK_ROUTES)
    ]
    return "\n".join(["| route | needs | what it does |", "|---|---|---|", *rows])


def test_the_page_has_the_table_of_routes() -> None:
    page = (Path(__file__).parents[1] / "docs" / "guides" / "management.md").read_text(encoding="utf-8")
    assert page.partition("<!-- routes -->\n")[2].strip() == routes_as_a_table()
