"""The gate among a Django site's middleware does what the gate's door does before the site: over WSGI, over ASGI, and
over ASGI with middleware that is not async."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.http import FileResponse, Http404, HttpResponse, JsonResponse, StreamingHttpResponse
from django.test import AsyncClient, Client, override_settings
from django.urls import path, re_path
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.csrf import csrf_exempt

from keystile import Argon2Hasher, ConfigurationError, Gate, Management, Plan, Rule, current
from keystile.doors.asgi.reading import Reader
from keystile.integrations.django import KeystileMiddleware, get_gate, require, require_scopes
from keystile.stores.memory import MemoryStore
from keystile.testing import override_principal
from tests.async_store import AsyncStore
from tests.django_site import KINDS, Site
from tests.doors import Answer, asgi_scope
from tests.test_doors import TIMES

HASHER = Argon2Hasher(memory_kib=8, time_cost=1)
pytestmark = pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume:Warning")
seen: list[Any] = []


@pytest.fixture(autouse=True)
def afresh() -> None:
    seen.clear()


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


NOW = time.time()


def make_gate(**settings: Any) -> Gate:
    # At one moment: what two answers tell of windows is compared.
    return Gate(**{"prefix": "acme", "hasher": HASHER, "clock": lambda: NOW} | settings)


# Views


@csrf_exempt
def things(request: Any) -> HttpResponse:
    seen.append(request)
    assert current() is getattr(request, "keystile", current())
    principal = current().principal
    return JsonResponse({"who": principal and principal.name, "got": request.body.decode()})


async def awaited(request: Any) -> HttpResponse:
    await asyncio.sleep(0)
    return things(request)


awaited.csrf_exempt = True  # type: ignore[attr-defined]  # the decorator of Django 4.2 knows nothing of async


def pieces(request: Any) -> StreamingHttpResponse:
    seen.append(request)
    return StreamingHttpResponse(iter([b'{"a"', b": 1}"]), content_type="application/json")


async def awaited_pieces(request: Any) -> StreamingHttpResponse:
    async def given() -> Any:
        for piece in (b'{"a"', b": 1}"):
            await asyncio.sleep(0)
            yield piece

    return StreamingHttpResponse(given(), content_type="application/json")


def missing(request: Any) -> HttpResponse:
    raise Http404("hunter2")


def broken(request: Any) -> HttpResponse:
    raise RuntimeError("hunter2")


def cookies(request: Any) -> HttpResponse:
    answer = JsonResponse({"ok": True})
    answer.set_cookie("a", "1", httponly=True)
    answer.set_cookie("b", "2")
    return answer


URLS = [
    path("v1/things", things),
    path("v1/awaited", awaited),
    path("v1/pieces", pieces),
    path("v1/awaited-pieces", awaited_pieces),
    path("v1/missing", missing),
    path("v1/broken", broken),
    path("v1/cookies", cookies),
    re_path(r"^site/", lambda request: HttpResponse(f"site {hasattr(request, 'keystile')}")),
    re_path(r"^geheim/", things),
    re_path("^höhle/", things),
]


def both(kind: str, gate: Gate, **told: Any) -> tuple[Site, Site]:
    """The gate's door before a site, and the gate among its middleware."""
    return Site(kind, gate, URLS, outermost=True, **told), Site(kind, gate, URLS, **told)


def masked(answer: Answer) -> Any:
    # Django sends cookies last, whatever stands behind them at the door.
    fields = sorted(
        (each for each in answer.headers if each[0] != "x-request-id"), key=lambda each: each[0] == "set-cookie"
    )
    assert answer.header("x-request-id") is not None
    return answer.status, fields, TIMES.sub(b'"..."', answer.body)


def alike(kind: str, gate: Gate, *args: Any, **named: Any) -> Answer:
    """What both answer, which must be the same."""
    by_door, by_middleware = (site.get(*args, **named) for site in both(kind, gate))
    assert masked(by_middleware) == masked(by_door)
    return by_middleware


JSON_TYPE = ("content-type", "application/json")
PREFLIGHT = [("origin", "https://page.example"), ("access-control-request-method", "POST")]


class Down(MemoryStore):
    """A store that does not answer."""

    def find(self, id: str) -> Any:
        raise OSError("down")


def revoked(gate: Gate, key: Any) -> None:
    gate.keys.revoke(key.id)


def suspended(gate: Gate, key: Any) -> None:
    gate.keys.suspend(key.id)


# Settings of the gate, members of the key or what is done to it, the request, and what comes of it: status and code.
REFUSALS: dict[str, tuple[dict[str, Any], Any, dict[str, Any], int, str]] = {
    "no key": ({}, None, {}, 401, "missing_api_key"),
    "no key, HEAD": ({}, None, {"method": "HEAD"}, 401, ""),
    "no key, OPTIONS": ({}, None, {"method": "OPTIONS"}, 401, "missing_api_key"),
    "no key, an unknown path": ({}, None, {"path": "/nope"}, 401, "missing_api_key"),
    "no key, a path that is not canonical": (
        {"public": ["/site/*"]},
        None,
        {"path": "/site/../v1"},
        401,
        "missing_api_key",
    ),
    "nonsense": ({}, None, {"key": "nonsense"}, 401, "invalid_api_key"),
    "a forged key": ({}, None, {"key": "acme_live_0123456789ab"}, 401, "invalid_api_key"),
    "two keys": ({}, {}, {"headers": [("x-api-key", "other")]}, 400, "invalid_request"),
    "revoked": ({}, revoked, {}, 401, "revoked_api_key"),
    "suspended": ({}, suspended, {}, 401, "suspended_api_key"),
    "its list": ({}, {"ip_allowlist": ["192.0.2.1"]}, {}, 403, "ip_not_allowed"),
    "the gate's list": ({"deny": ["127.0.0.0/8"]}, {}, {}, 403, "ip_not_allowed"),
    "an unknown address": ({"allow": ["127.0.0.0/8"]}, {}, {"peer": None}, 403, "ip_not_allowed"),
    "scopes": ({"rules": [Rule("/v1/*", scopes=["b"])]}, {"scopes": ["a"]}, {}, 403, "insufficient_scope"),
    "its uses": ({}, {"may": ["GET /v2/*"]}, {}, 403, "insufficient_scope"),
    "its plan": ({"plans": {"none": Plan(None, access=False)}, "default_plan": "none"}, {}, {}, 403, "plan_required"),
    "a limit of 0": ({"plans": {"none": Plan("0/hour")}, "default_plan": "none"}, {}, {}, 429, "rate_limited"),
    "http": ({"https": "require"}, {}, {}, 403, "https_required"),
    "no JSON": (
        {"require_json": True},
        {},
        {"method": "POST", "body": b"a=1", "headers": [("content-type", "text/plain")]},
        415,
        "unsupported_media_type",
    ),
    "broken JSON": (
        {"require_json": True},
        {},
        {"method": "POST", "body": b"{", "headers": [JSON_TYPE]},
        400,
        "invalid_request",
    ),
    "too long": (
        {"require_json": True, "max_json_body": 10},
        {},
        {"method": "POST", "body": b'"0123456789"', "headers": [JSON_TYPE]},
        413,
        "payload_too_large",
    ),
    "the store is down": ({"store": Down()}, None, {"key": "made"}, 503, "unavailable"),
    "a problem": ({"error_format": "problem"}, None, {}, 401, ""),
    "a problem, asked for": ({}, None, {"headers": [("accept", "application/problem+json")]}, 401, ""),
    "other places": ({"accept": ["X-Token", "Authorization: Basic"]}, None, {}, 401, "missing_api_key"),
    "another origin": (
        {"cors_origins": ["https://page.example"]},
        None,
        {"headers": PREFLIGHT[:1]},
        401,
        "missing_api_key",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_refusal_is_the_doors(kind: str, case: str) -> None:
    settings, of_key, request, status, code = REFUSALS[case]
    gate = make_gate(**settings)
    if of_key is not None:
        issued = gate.keys.create("k", **(of_key if isinstance(of_key, dict) else {}))
        request = {"key": issued.secret} | request
        if not isinstance(of_key, dict):
            of_key(gate, issued.key)
    if request.get("key") == "made":
        request["key"] = make_gate().keys.create("k").secret
    answer = alike(kind, gate, **request)
    assert (answer.status, seen) == (status, [])
    if code:
        assert answer.code == code


def test_a_preflight_is_answered(kind: str) -> None:
    gate = make_gate(cors_origins=["https://page.example"])
    answer = alike(kind, gate, method="OPTIONS", headers=PREFLIGHT)
    assert (answer.status, answer.body, seen) == (204, b"", [])
    assert answer.header("access-control-allow-origin") == "https://page.example"


def test_a_redirect_leads_to_the_configured_host_and_not_to_the_requests(kind: str) -> None:
    gate = make_gate(https="redirect", public_url="https://api.example.com", accept=["X-API-Key", "?key"])
    answer = alike(kind, gate, "/v1/h%C3%B6hle?key=abc&a=1", headers=[("host", "evil.example")])
    assert (answer.status, answer.header("location")) == (301, "https://api.example.com/v1/h%C3%B6hle?a=1")


def test_too_many_failures(kind: str) -> None:
    site = Site(kind, make_gate(failure_limits="1/hour"), URLS)
    made = make_gate().keys.create("k").secret
    assert [site.get(key=made).code for _ in range(2)] == ["invalid_api_key", "too_many_failures"]


@pytest.mark.parametrize("name", ["things", "awaited", "pieces", "awaited-pieces", "cookies", "missing", "broken"])
@pytest.mark.parametrize("envelope", [False, True])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_an_answer_is_the_doors(kind: str, name: str, envelope: bool, method: str) -> None:
    gate = make_gate(envelope=envelope, cors_origins=["https://page.example"])
    key = gate.keys.create("Anna").secret
    answer = alike(kind, gate, f"/v1/{name}", key, method=method, headers=PREFLIGHT[:1])
    assert answer.status == {"missing": 404, "broken": 500}.get(name, 200)
    assert answer.header("access-control-allow-origin") == "https://page.example"
    assert b"hunter2" not in answer.body
    assert len(answer.all("set-cookie")) == (2 if name == "cookies" else 0)
    if envelope and method == "GET":
        assert {"meta"} <= answer.json.keys()


def test_limits_are_told_and_counted_once(kind: str) -> None:
    gate = make_gate(plans={"free": Plan("3/hour")}, default_plan="free", ietf_headers=True)
    site, key = Site(kind, gate, URLS), gate.keys.create("k").secret
    left = [site.get("/v1/things", key).header("x-ratelimit-remaining") for _ in range(2)]
    left.append(site.get("/nope", key).header("x-ratelimit-remaining"))
    assert left == ["2", "1", "0"]
    full = site.get("/v1/things", key)
    assert (full.status, full.code) == (429, "rate_limited")
    assert full.header("retry-after") is not None
    assert full.header("ratelimit") is not None
    assert len(seen) == 2
    gate.flush()
    [period] = gate.keys.usage(gate.keys.list()[0].id)[-1:]
    assert (period.admitted, dict(period.refused)) == (3, {"rate_limited": 1})


def test_what_is_public_is_open_and_what_is_optional_is_either(kind: str) -> None:
    gate = make_gate(public=["/v1/things"], rules=[Rule("/v1/awaited", public="optional")])
    site, key = Site(kind, gate, URLS), gate.keys.create("Anna").secret
    assert site.get("/v1/things").json["who"] is None
    assert site.get("/v1/awaited").json["who"] is None
    assert site.get("/v1/awaited", key).json["who"] == "Anna"
    assert site.get("/v1/awaited", "nonsense").code == "invalid_api_key"


# `only`


def test_outside_nothing_happens(kind: str) -> None:
    events: list[Any] = []
    gate = make_gate(anonymous_limits="1/hour", cors_origins=["https://page.example"], hide_credentials=True)
    site, key = Site(kind, gate, URLS, only=["/v1/*", "GET /geheim/x"]), gate.keys.create("k").secret
    gate.on_event(events.append)
    for _ in range(3):
        answer = site.get("/site/a?key=acme_live_0", key, headers=[("x-api-key", "other"), *PREFLIGHT[:1]])
        assert (answer.status, answer.body) == (200, b"site False")
        assert [name for name, _ in answer.headers] == ["content-type"]
    assert site.get("/site/a", method="OPTIONS", headers=PREFLIGHT).status == 200
    assert events == []
    assert site.get("/v1/things").status == 401
    assert site.get("/v1").status == 401
    assert site.get("/v1/things", key).status == 200


@pytest.mark.parametrize(
    "path",
    ["/v1/../site/a", "//v1/things", "/site/../v1/things", "/site/%2e%2e/v1", "/site//a", "/site/a;b", "/site/a%00"],
)
def test_what_can_be_read_in_two_ways_is_inside(kind: str, path: str) -> None:
    assert Site(kind, make_gate(), URLS, only=["/v1/*"]).get(path).status == 401


def test_a_method_that_another_header_names_is_inside(kind: str) -> None:
    site = Site(kind, make_gate(), URLS, only=["POST /site/*"])
    assert site.get("/site/a").status == 200
    assert site.get("/site/a", headers=[("x-http-method-override", "POST")]).status == 401
    assert site.get("/site/a", method="post").status == 401


def test_a_path_that_is_not_ascii_meets_its_rule(kind: str) -> None:
    gate = make_gate(rules=[Rule("/höhle/*", scopes=["deep"])])
    key = gate.keys.create("k").secret
    assert alike(kind, gate, "/h%C3%B6hle/a", key).code == "insufficient_scope"
    assert alike(kind, gate, "/h%F6hle/a", key).code == "insufficient_scope"
    assert alike(kind, gate, "/geheim/a", key).status == 200
    site = Site(kind, gate, URLS, only=["/höhle/*"])
    assert site.get("/h%C3%B6hle/a").status == 401
    assert site.get("/h%F6hle/a").status == 401
    assert seen[-1].META["PATH_INFO"] == "/geheim/a"


def test_a_prefix_that_django_is_told_of_is_taken_off(kind: str) -> None:
    gate = make_gate(rules=[Rule("/v1/things", scopes=["deep"])])
    key = gate.keys.create("k").secret
    path = "/v1/things" if kind == "wsgi" else "/app/v1/things"
    by_door, by_middleware = (site.get(path, key) for site in both(kind, gate, FORCE_SCRIPT_NAME="/app"))
    assert (by_door.code, by_middleware.code) == ("insufficient_scope", "insufficient_scope")


@pytest.mark.parametrize("django_is_told", [True, False])
def test_a_prefix_that_django_does_not_take_off_is_not_taken_off(
    django_is_told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = make_gate()
    handler = Site("asgi", gate, URLS, FORCE_SCRIPT_NAME="/app").asgi
    if not django_is_told:  # so are versions before 5.0, which route by the server's prefix alone
        monkeypatch.delattr("django.core.handlers.asgi.get_script_prefix")
    scope = asgi_scope("GET", "/xyz/v1/things", [], None) | {"root_path": "/xyz"}
    with override_settings(FORCE_SCRIPT_NAME="/app"):
        read = Reader(gate, handler).read(scope)
    assert read.path == ("/xyz/v1/things" if django_is_told else "/v1/things")


def moving(get_response: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Middleware in front of the gate's that has Django route another path than was asked for."""

    def moved(request: Any) -> Any:
        request.path_info = request.path_info.removeprefix("/en")
        return get_response(request)

    return moved


def test_what_django_will_route_inside_is_inside(kind: str) -> None:
    site = Site(kind, make_gate(), URLS, only=["/v1/*"], around=("tests.test_django.moving",))
    assert site.get("/en/v1/things").status == 401
    assert site.get("/en/site/a").status == 200


# What a view sees of a request


@pytest.mark.parametrize("around", [(), ("tests.test_django.asks_before",)])
def test_a_key_is_hidden_from_views(kind: str, around: tuple[str, ...]) -> None:
    gate = make_gate(hide_credentials=True, accept=["Authorization: Bearer", "?key"])
    secret = gate.keys.create("k").secret
    site = Site(kind, gate, URLS, around=around)
    sent = [("x-other", secret), ("cookie", f"a=1; b={secret}"), ("x-kept", "1")]
    assert site.get(f"/v1/things?key={secret}&a=1", headers=sent).status == 200
    [request] = seen
    assert request.GET.dict() == {"a": "1"}
    assert request.headers["x-kept"] == "1"
    assert secret not in repr((request.META, dict(request.headers), request.COOKIES, request.get_full_path()))
    assert site.get("/v1/things", secret).status == 200
    assert "authorization" not in seen[-1].headers


def asks_before(get_response: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Middleware that has a request work out everything before the gate looks at it."""

    def asked(request: Any) -> Any:
        assert (request.GET, request.COOKIES, request.headers) is not None
        return get_response(request)

    return asked


@pytest.mark.parametrize("name", ["things", "awaited"])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_the_gate_has_read_is_there(kind: str, name: str, chunked: bool) -> None:
    gate = make_gate(require_json=True, envelope=True)
    key, body = gate.keys.create("k").secret, json.dumps({"a": "x" * 200_000}).encode()
    site = Site(kind, gate, URLS)
    if chunked and kind == "wsgi":
        site.server_adds["wsgi.input_terminated"] = True
    answer = site.get(f"/v1/{name}", key, method="POST", body=body, headers=[JSON_TYPE], chunked=chunked)
    assert (answer.status, answer.json["data"]["got"]) == (200, body.decode())


def test_a_body_without_a_rule_is_djangos_to_read(kind: str) -> None:
    gate = make_gate()
    key = gate.keys.create("k").secret
    answer = Site(kind, gate, URLS).get("/v1/things", key, method="POST", body=b"a=1" * 100_000)
    assert answer.json["got"] == "a=1" * 100_000


def test_inner_compression_does_not_change_the_shape_and_outer_does_its_work(kind: str) -> None:
    gate, zipping = make_gate(envelope=True), "django.middleware.gzip.GZipMiddleware"
    key, sent = gate.keys.create("k" * 100).secret, [("accept-encoding", "gzip"), JSON_TYPE]
    big = {"key": key, "method": "POST", "body": b'"' + b"x" * 1000 + b'"', "headers": sent}
    inner = Site(kind, gate, URLS, inside=(zipping,)).get("/v1/things", **big)
    assert inner.header("content-encoding") is None
    outer = Site(kind, gate, URLS, around=(zipping,)).get("/v1/things", **big)
    assert outer.header("content-encoding") == "gzip"
    assert json.loads(gzip.decompress(outer.body))["data"] == inner.json["data"]


# What a door does to an answer in flight


def test_a_key_that_ends_in_flight_gets_no_answer(kind: str) -> None:
    gate = make_gate(recheck_in_flight=True)
    issued = [gate.keys.create("k") for _ in range(2)]
    closed: list[str] = []

    def ends(request: Any) -> HttpResponse:
        gate.keys.revoke(request.keystile.caller.id)
        answer = HttpResponse("hunter2")
        answer.set_cookie("session", "hunter2")
        return answer

    async def endless(request: Any) -> StreamingHttpResponse:
        async def given() -> Any:
            try:
                while True:
                    gate.keys.revoke(request.keystile.caller.id)
                    yield b"hunter2"
            finally:
                closed.append("closed")

        def given_now() -> Iterator[bytes]:
            try:
                gate.keys.revoke(request.keystile.caller.id)
                yield b"hunter2"
            finally:
                closed.append("closed")

        return StreamingHttpResponse(given_now() if kind == "wsgi" else given())

    site = Site(kind, gate, [path("ends", ends), path("endless", endless)])
    for path_of, each in zip(("/ends", "/endless"), issued, strict=True):
        answer = site.get(path_of, each.secret)
        assert (answer.status, answer.code) == (401, "revoked_api_key")
        assert answer.all("set-cookie") == []
    assert closed == ["closed"]


@pytest.mark.parametrize("name", ["whole", "streamed", "raises"])
def test_charges_are_settled_when_the_answer_has_ended(kind: str, name: str) -> None:
    gate = make_gate(
        plans={"free": Plan(None, units={"tokens": "100/hour"})},
        default_plan="free",
        rules=[Rule("/*", reserve={"tokens": 50})],
    )
    key = gate.keys.create("k").secret

    def left() -> str | None:
        """Of the tokens; asked by a request that gives back what it reserves."""
        return site.get("/none", key).header("x-ratelimit-remaining-tokens")

    def none(request: Any) -> HttpResponse:
        current().charge(tokens=0)
        return HttpResponse()

    def whole(request: Any) -> HttpResponse:
        current().charge(tokens=3)
        return HttpResponse("ok")

    def raises(request: Any) -> HttpResponse:
        current().charge(tokens=3)
        raise RuntimeError

    def streamed(request: Any) -> StreamingHttpResponse:
        charge = request.keystile.charge

        def given() -> Iterator[bytes]:
            yield b"o"
            charge(tokens=3)
            yield b"k"

        return StreamingHttpResponse(given())

    views = (none, whole, streamed, raises)
    site = Site(kind, gate, [path(view.__name__, view) for view in views])
    answer = site.get(f"/{name}", key)
    assert (answer.status, answer.header("x-ratelimit-remaining-tokens")) == (500 if name == "raises" else 200, "50")
    assert left() == "47"  # of 97, with 50 reserved


def test_pages_and_meta_are_the_apps(kind: str) -> None:
    gate = make_gate(envelope=True)
    key = gate.keys.create("k").secret

    def listed(request: Any) -> HttpResponse:
        current().add_meta(note="n")
        return JsonResponse({"limit": current().page_params(default=7).limit})

    site = Site(kind, gate, [path("listed", listed)])
    answer = site.get("/listed", key)
    assert answer.json["data"] == {"limit": 7}
    assert answer.json["meta"]["note"] == "n"
    bad = site.get("/listed?limit=x", key)
    assert (bad.status, bad.code) == (400, "invalid_request")


@pytest.mark.parametrize("envelope", [False, True])
def test_a_file_is_sent_and_closed(kind: str, envelope: bool, tmp_path: Path) -> None:
    gate, file = make_gate(envelope=envelope), tmp_path / "a.bin"
    file.write_bytes(b"x" * 100_000)
    key = gate.keys.create("k").secret
    streams: list[Any] = []

    def sent(request: Any) -> FileResponse:
        streams.append(file.open("rb"))
        return FileResponse(streams[0])

    site = Site(kind, gate, [path("file", sent)])
    wrapped: list[Any] = []

    class Wrapper:
        def __init__(self, stream: Any, size: int) -> None:
            wrapped.append(stream)
            self.stream, self.close = stream, stream.close

        def __iter__(self) -> Iterator[bytes]:
            return iter(self.stream)

    site.server_adds["wsgi.file_wrapper"] = Wrapper
    answer = site.get("/file", key)
    assert (answer.status, len(answer.body), answer.header("content-length")) == (200, 100_000, "100000")
    assert streams[0].closed
    assert wrapped == (streams if kind == "wsgi" and not envelope else [])


def test_the_response_that_others_hold_is_the_one_that_goes_out(kind: str) -> None:
    gate = make_gate(envelope=True)
    key = gate.keys.create("k").secret
    made: list[Any] = []

    def answers(request: Any) -> HttpResponse:
        made.append(JsonResponse({"ok": True}))
        made[0].marked = True
        return made[0]

    site = Site(kind, gate, [path("a", answers)], around=("tests.test_django.notes_answer",))
    assert site.get("/a", key).json["data"] == {"ok": True}
    assert seen[-1] is made[0]


def notes_answer(get_response: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Middleware that keeps the response."""

    def noted(request: Any) -> Any:
        seen.append(get_response(request))
        return seen[-1]

    return noted


def test_django_does_not_log_what_the_gate_has_told_of(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    gate = make_gate(store=Down())
    with caplog.at_level(logging.INFO, "django.request"):
        assert Site(kind, gate, URLS).get(key=make_gate().keys.create("k").secret).status == 503
    assert [record for record in caplog.records if record.name == "django.request"] == []


def test_the_management_api_of_the_gate_is_served(kind: str) -> None:
    gate = make_gate(management=Management("/manage"), cursor_secrets=["x" * 32])
    key = gate.keys.create("admin", scopes=["keys:manage", "keys:read"], organization_id="org_1").secret
    project = gate.projects.create("old", organization_id="org_1").project
    where = f"/manage/projects/{project.id}"
    for number, site in enumerate(both(kind, gate)):
        body = json.dumps({"name": f"new {number}"}).encode()
        changed = site.get(where, key, method="PATCH", body=body, headers=[JSON_TYPE])
        assert (changed.status, changed.json["name"]) == (200, f"new {number}")
        assert site.get(where, key).json["name"] == f"new {number}"
        assert site.get(where).status == 401


def test_an_async_store_is_awaited(kind: str) -> None:
    gate = make_gate(store=AsyncStore())
    if kind == "wsgi":
        with pytest.raises(ConfigurationError, match="async"):
            Site(kind, gate, URLS, outermost=True)
        site = Site(kind, gate, URLS, DEBUG_PROPAGATE_EXCEPTIONS=True)
        with pytest.raises(ConfigurationError, match="async"):
            site.get()
        return
    key = asyncio.run(gate.keys.acreate("k")).secret
    site = Site(kind, gate, URLS)
    assert (site.get(key=key).status, site.get().status) == (200, 401)


def test_an_exception_that_django_is_to_raise_is_raised(kind: str) -> None:
    gate = make_gate(envelope=True)
    key = gate.keys.create("k").secret
    site = Site(kind, gate, URLS, DEBUG_PROPAGATE_EXCEPTIONS=True)
    with pytest.raises(RuntimeError, match="hunter2"):
        site.get("/v1/broken", key)


def test_a_stand_in_for_tests_goes_through(kind: str) -> None:
    gate = make_gate()
    site = Site(kind, gate, URLS)
    with override_principal(gate, name="Anna"):
        assert site.get().json["who"] == "Anna"
    assert site.get().status == 401


def test_djangos_own_clients_go_through_it() -> None:
    gate = make_gate(envelope=True)
    headers = {"authorization": f"Bearer {gate.keys.create('Anna').secret}"}
    with Site("wsgi", gate, URLS).configured():
        assert Client().get("/v1/things").status_code == 401
        answer = Client().get("/v1/things", headers=headers)
        assert (answer.json()["data"]["who"], answer.resolver_match.func) == ("Anna", things)

        async def call() -> Any:
            return await AsyncClient().get("/v1/awaited", headers=headers)

        assert asyncio.run(call()).json()["data"]["who"] == "Anna"


# `require`


@method_decorator(require("b"), name="dispatch")
class Exports(View):
    """A view that is a class."""

    def get(self, request: Any) -> HttpResponse:
        return HttpResponse("got")


@method_decorator(require("b"), name="dispatch")
class AwaitedExports(View):
    """One whose methods are async."""

    async def get(self, request: Any) -> HttpResponse:
        await asyncio.sleep(0)
        return HttpResponse("got")


@csrf_exempt
@require("a", "b")
def needs(request: Any) -> HttpResponse:
    return HttpResponse("got")


@require_scopes("b")
async def needs_awaited(request: Any) -> HttpResponse:
    return HttpResponse("got")


NEEDING = [path("plain", needs), path("awaited", needs_awaited), path("class", Exports.as_view())]
NEEDING.append(path("awaited-class", AwaitedExports.as_view()))


@pytest.mark.parametrize("name", ["plain", "awaited", "class", "awaited-class"])
@pytest.mark.parametrize("shape", [{}, {"envelope": True}, {"error_format": "problem"}], ids=str)
@pytest.mark.parametrize("outermost", [False, True])
def test_a_scope_that_a_view_requires(kind: str, name: str, shape: dict[str, Any], outermost: bool) -> None:
    gate, strict = (
        make_gate(**shape),
        make_gate(**shape, rules=[Rule("/*", scopes=["a", "b"] if name == "plain" else ["b"])]),
    )
    site = Site(kind, gate, NEEDING, outermost=outermost)
    lacking = site.get(f"/{name}", gate.keys.create("k", scopes=["a"]).secret)
    by_gate = Site(kind, strict, NEEDING).get(f"/{name}", strict.keys.create("k", scopes=["a"]).secret)
    assert (lacking.status, TIMES.sub(b"", lacking.body)) == (403, TIMES.sub(b"", by_gate.body))
    assert lacking.header("www-authenticate") == by_gate.header("www-authenticate") is not None
    assert lacking.header("content-type") == by_gate.header("content-type")
    assert site.get(f"/{name}", gate.keys.create("k", scopes=["a", "b"]).secret).body == b"got"
    assert site.get(f"/{name}").status == 401


def test_a_view_that_no_gate_guards_cannot_require(kind: str) -> None:
    site = Site(kind, make_gate(), NEEDING, only=["/class"], DEBUG_PROPAGATE_EXCEPTIONS=True)
    with pytest.raises(RuntimeError, match="only"):
        site.get("/plain")


def test_require_keeps_what_a_view_says_of_itself_and_asks_for_no_login() -> None:
    def view(request: Any) -> None: ...

    view.marked, view.csrf_exempt = True, True  # type: ignore[attr-defined]
    guarded: Any = require("a")(view)
    assert (guarded.__name__, guarded.marked, guarded.csrf_exempt) == ("view", True, True)
    assert guarded.login_required is False
    assert asyncio.iscoroutinefunction(needs_awaited)


def test_djangos_middleware_for_logins_leaves_such_a_view_alone(kind: str) -> None:
    gate = make_gate()
    key = gate.keys.create("k", scopes=["a", "b"]).secret
    inside = (
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.auth.middleware.LoginRequiredMiddleware",
    )
    sessions = "django.contrib.sessions.backends.signed_cookies"
    site = Site(kind, gate, [*NEEDING, *URLS], inside=inside, SESSION_ENGINE=sessions)
    assert site.get("/plain", key).body == b"got"
    assert site.get("/class", key).body == b"got"
    assert site.get("/v1/things", key).status == 302


@pytest.mark.parametrize("scopes", [(), ("a b",), ("",), (1,)])
def test_no_scope_is_an_error_at_start(scopes: Any) -> None:
    with pytest.raises(ConfigurationError):
        require(*scopes)


# The setting


def built(told: Any) -> Any:
    with override_settings(KEYSTILE=told):
        return KeystileMiddleware(lambda request: HttpResponse())


@pytest.mark.parametrize(
    ("told", "error"),
    [
        ([], r"KEYSTILE.*dict"),
        ({"confg": "a"}, r"KEYSTILE\['confg'\].*config, gate, only"),
        ({"gate": 1}, r"KEYSTILE\['gate'\].*Gate"),
        ({"gate": "nowhere"}, r"KEYSTILE\['gate'\]"),
        ({"gate": "tests.test_django:HASHER"}, r"KEYSTILE\['gate'\].*Argon2Hasher"),
        ({"gate": "tests.test_django:make_gate()", "config": "a.toml"}, r"KEYSTILE\['config'\].*'gate'"),
        ({"config": "/nowhere/a.toml"}, r"/nowhere/a.toml"),
        ({"gate": "tests.test_django:make_gate()", "only": "/api/*"}, r"KEYSTILE\['only'\].*list"),
        ({"gate": "tests.test_django:make_gate()", "only": []}, r"KEYSTILE\['only'\]"),
        ({"gate": "tests.test_django:make_gate()", "only": ["api"]}, r"KEYSTILE\['only'\]\[0\]"),
        ({"gate": "tests.test_django:make_gate()", "only": ["/<int:id>"]}, r"KEYSTILE\['only'\]\[0\]"),
        ({"gate": "tests.test_django:make_gate()", "only": [1]}, r"KEYSTILE\['only'\]\[0\]"),
    ],
    ids=str,
)
def test_a_setting_that_cannot_be_used_is_an_error_at_start(told: Any, error: str) -> None:
    with pytest.raises(ConfigurationError, match=error):
        built(told)


def test_there_is_one_gate_for_a_process() -> None:
    with override_settings(KEYSTILE={"gate": "tests.test_django:make_gate()"}):
        assert get_gate() is get_gate()
        first = get_gate()
    with override_settings(KEYSTILE={"gate": "tests.test_django:make_gate()"}):
        assert get_gate() is not first


def test_a_file_names_the_gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('store = "sqlite:///keys.db"\nprefix = "filed"\n')
    with override_settings(KEYSTILE={"config": file}):
        assert get_gate().keys.list() == []
        assert (tmp_path / "keys.db").exists()
        get_gate().close()
    monkeypatch.setenv("KEYSTILE_CONFIG", str(file))
    with override_settings(KEYSTILE={}):
        assert get_gate().keys.create("k").secret.startswith("filed_")
        get_gate().close()
