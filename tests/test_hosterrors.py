"""What the host's error answers say in an envelope: bodies as the frameworks really write them, and any others."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from typing import Any

import anyio
import fastapi
import flask
import httpx
import pytest
import starlette.applications
import starlette.exceptions
import starlette.routing
import werkzeug.exceptions
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel

from keystile import InvalidRequest
from keystile.answers.hosterrors import CODES, MAX_BODY, HostError, describe

JSON = "application/json"
PROBLEM = "application/problem+json"
HTML = "text/html; charset=utf-8"
TEXT = "text/plain; charset=utf-8"
SECRET = "hunter2"


def default(status: int) -> HostError:
    """What is said where nothing is known but the status."""
    return describe(status, "", None)


def said(status: int, value: Any, content_type: str = JSON) -> HostError:
    """What a body of this JSON value says."""
    return describe(status, content_type, json.dumps(value).encode())


def written(error: HostError) -> str:
    """The error as an envelope holds it, in both ways of writing JSON."""
    json.dumps(error._asdict(), ensure_ascii=False, allow_nan=False).encode()
    return json.dumps(error._asdict(), allow_nan=False)


# The table


@pytest.mark.parametrize("status", sorted(CODES))
def test_every_code_and_message_of_the_table_is_well_formed(status: int) -> None:
    code, message, details = default(status)
    assert (code, message) == CODES[status]
    assert details == {}
    assert re.fullmatch("[a-z]+(_[a-z]+)*", code)
    assert re.fullmatch(r"[A-Z][A-Za-z ]{10,70}\.", message)


def test_codes_are_told_apart_by_their_status() -> None:
    assert len({code for code, _ in CODES.values()}) == len(CODES) == 32


@pytest.mark.parametrize(
    ("status", "code"),
    [
        *((400, "invalid_request"), (404, "not_found"), (422, "validation_failed"), (500, "internal_error")),
        *((418, "client_error"), (499, "client_error")),
        *((505, "server_error"), (599, "server_error"), (600, "server_error"), (999, "server_error")),
    ],
)
def test_a_status_without_a_body_has_the_code_of_the_table(status: int, code: str) -> None:
    for body in (None, b""):
        error = describe(status, JSON, body)
        assert (error.code, error.details) == (code, {})
        assert error.message


@pytest.mark.parametrize(
    "content_type",
    [
        *("", ";", "json", "application/xml", "image/png", "text/json", "application/jsonp", "application/x-ndjson"),
        *("text/event-stream", "application/json; charset=utf-16", 'text/plain;charset="latin-1"'),
        "text/html; charset=iso-8859-1",
    ],
)
def test_another_type_or_charset_is_not_read(content_type: str) -> None:
    for body in (b'{"message": "no"}', b"no", b"<p>no</p>"):
        assert describe(404, content_type, body) == default(404)


@pytest.mark.parametrize(
    "content_type",
    [
        *("application/json", "Application/JSON", " application/json ", "application/vnd.api+json"),
        *("application/json;charset=utf-8", 'application/json; Charset="UTF-8"'),
        "application/json; profile=x; charset=utf8",
    ],
)
def test_json_has_many_names(content_type: str) -> None:
    assert describe(404, content_type, '{"message": "Où ?"}'.encode()).message == "Où ?"


# FastAPI and Starlette


class Order(BaseModel):
    """What the validating route takes."""

    count: int


@cache
def fastapi_app() -> fastapi.FastAPI:
    app = fastapi.FastAPI()
    details: dict[str, Any] = {
        "none": None,
        "text": "Gone fishing.",
        "object": {"code": "out_of_stock", "message": "Nothing left.", "details": {"sku": 7}, "retry": False},
        "other": {"sku": 7, "left": [1, 2]},
        "list": [{"sku": 7}, {"sku": 8}],
        "number": 5,
        "empty": "",
    }

    @app.get("/raise/{status}/{name}")
    def raise_it(status: int, name: str) -> None:
        raise fastapi.HTTPException(status, details[name])

    @app.get("/invalid")
    def invalid() -> None:
        raise InvalidRequest("give digits", parameter="limit")

    @app.post("/orders")
    def order(order: Order, page: int) -> None:
        raise AssertionError

    @app.get("/boom")
    def boom() -> None:
        raise RuntimeError(SECRET)

    @app.exception_handler(InvalidRequest)
    def answer(_: fastapi.Request, error: InvalidRequest) -> fastapi.responses.JSONResponse:
        body, status = error.answer()
        return fastapi.responses.JSONResponse(body, status)

    return app


def over_asgi(app: Any, method: str, path: str, **sent: Any) -> httpx.Response:
    async def call() -> httpx.Response:
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://host") as client:
            return await client.request(method, path, **sent)

    return anyio.run(call)


def through(app: Any, method: str, path: str, **sent: Any) -> HostError:
    """What the answer of an ASGI app says."""
    answer = over_asgi(app, method, path, **sent)
    assert answer.status_code >= 400
    return describe(answer.status_code, answer.headers["content-type"], answer.content)


def test_fastapi_has_no_such_route() -> None:
    assert through(fastapi_app(), "GET", "/nowhere") == ("not_found", "Not Found", {})


def test_fastapi_has_no_such_method() -> None:
    assert through(fastapi_app(), "DELETE", "/boom") == ("method_not_allowed", "Method Not Allowed", {})


def test_fastapi_lists_what_is_invalid() -> None:
    code, message, details = through(fastapi_app(), "POST", "/orders?page=x", json={"count": "y"})
    assert (code, message) == CODES[422]
    assert list(details) == ["errors"]
    assert [each["loc"] for each in details["errors"]] == [["query", "page"], ["body", "count"]]
    assert {"type", "msg", "input"} <= details["errors"][0].keys()


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("409/text", ("conflict", "Gone fishing.", {})),
        ("503/text", ("unavailable", "Gone fishing.", {})),
        ("418/text", ("client_error", "Gone fishing.", {})),
        ("404/none", ("not_found", "Not Found", {})),
        ("409/object", ("out_of_stock", "Nothing left.", {"sku": 7, "retry": False})),
        ("409/other", (*CODES[409], {"sku": 7, "left": [1, 2]})),
        ("409/list", (*CODES[409], {"errors": [{"sku": 7}, {"sku": 8}]})),
        ("409/number", (*CODES[409], {"detail": 5})),
        ("409/empty", (*CODES[409], {})),
    ],
)
def test_the_detail_of_a_fastapi_exception(path: str, error: tuple[Any, ...]) -> None:
    assert through(fastapi_app(), "GET", f"/raise/{path}") == error


def test_an_unhandled_exception_in_fastapi_is_the_tables_500() -> None:
    assert through(fastapi_app(), "GET", "/boom") == default(500)


def test_an_unusable_parameter_keeps_its_code_and_details() -> None:
    message = "The parameter 'limit' cannot be used: give digits."
    expected = ("invalid_request", message, {"parameter": "limit", "reason": "give digits"})
    assert through(fastapi_app(), "GET", "/invalid") == expected


def starlette_app(*, debug: bool = False) -> starlette.applications.Starlette:
    def fail(request: Any) -> None:
        if request.path_params["status"] == 0:
            raise RuntimeError(SECRET)
        raise starlette.exceptions.HTTPException(request.path_params["status"], request.query_params.get("detail"))

    return starlette.applications.Starlette(debug, [starlette.routing.Route("/{status:int}", fail)])


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/nowhere", ("not_found", "Not Found", {})),
        ("/410?detail=Sold%20out.", ("gone", "Sold out.", {})),
        ("/410?detail=%C3%89puis%C3%A9%C2%A0!%0A", ("gone", "Épuisé\u00a0!", {})),
        ("/410?detail=two%0Alines", default(410)),
        ("/410?detail=" + "x" * 1000, ("gone", "x" * 1000, {})),
        ("/410?detail=" + "x" * 1001, default(410)),
        ("/503?detail=Sold%20out.", default(503)),
        ("/0", default(500)),
    ],
)
def test_the_plain_text_of_starlette(path: str, error: tuple[Any, ...]) -> None:
    assert through(starlette_app(), "GET", path) == error


@pytest.mark.parametrize("accept", ["*/*", "text/html"])
def test_starlettes_debug_page_is_not_shown(accept: str) -> None:
    answer = over_asgi(starlette_app(debug=True), "GET", "/0", headers={"accept": accept})
    assert SECRET in answer.text
    for status in (500, 404):
        assert describe(status, answer.headers["content-type"], answer.content) == default(status)


# Flask and werkzeug


@cache
def flask_app(*, debug: bool = False) -> flask.Flask:
    app = flask.Flask("host")
    app.debug = debug
    app.config["PROPAGATE_EXCEPTIONS"] = False

    @app.get("/abort/<int:status>")
    def abort(status: int) -> None:
        flask.abort(status, flask.request.args.get("description"))

    @app.get("/field")
    def field() -> str:
        return flask.request.form["absent"]

    @app.get("/boom")
    def boom() -> None:
        raise RuntimeError(SECRET)

    app.register_error_handler(InvalidRequest, InvalidRequest.answer)

    @app.get("/invalid")
    def invalid() -> None:
        raise InvalidRequest("give digits", parameter="limit")

    return app


def through_flask(path: str, *, debug: bool = False, method: str = "GET", **query: str) -> HostError:
    answer = flask_app(debug=debug).test_client().open(path, method=method, query_string=query)
    return describe(answer.status_code, answer.headers["content-type"], answer.data)


def test_flask_has_no_such_route() -> None:
    assert through_flask("/nowhere") == ("not_found", werkzeug.exceptions.NotFound.description, {})


def test_flask_has_no_such_method() -> None:
    expected = ("method_not_allowed", werkzeug.exceptions.MethodNotAllowed.description, {})
    assert through_flask("/boom", method="DELETE") == expected


@pytest.mark.parametrize(
    ("description", "message"),
    [
        ("Sold out.", "Sold out."),
        ("<b>&amp; 'é' \"x\"</b>", "<b>&amp; 'é' \"x\"</b>"),
        ("two\nlines", "two lines"),
        ("bell\x07 and tab\t.", "bell  and tab ."),
        ("x" * 1000, "x" * 1000),
        (" \n ", CODES[410][1]),
    ],
)
def test_the_description_of_abort(description: str, message: str) -> None:
    assert through_flask("/abort/410", description=description) == ("gone", message, {})


def test_a_description_for_a_5xx_is_not_shown() -> None:
    assert through_flask("/abort/503", description=SECRET) == default(503)


@pytest.mark.parametrize("debug", [False, True])
def test_an_unhandled_exception_in_flask_is_the_tables_500(debug: bool) -> None:
    flask_app(debug=debug).logger.disabled = True
    assert through_flask("/boom", debug=debug) == default(500)


def test_a_missing_form_field_in_flask() -> None:
    assert through_flask("/field") == ("invalid_request", werkzeug.exceptions.BadRequest.description, {})


def test_an_unusable_parameter_in_flask_keeps_its_details() -> None:
    assert through_flask("/invalid").details == {"parameter": "limit", "reason": "give digits"}


@pytest.mark.parametrize("kind", werkzeug.exceptions.default_exceptions.values(), ids=lambda kind: kind.__name__)
def test_every_page_of_werkzeug_is_read_or_replaced(kind: type[werkzeug.exceptions.HTTPException]) -> None:
    answer = kind().get_response({})
    assert kind.code is not None
    code, message = CODES.get(kind.code, ("client_error" if kind.code < 500 else "server_error", ""))
    error = describe(kind.code, answer.headers["content-type"], answer.get_data())
    assert error.code == code
    assert error.message == (kind.description if kind.code < 500 else message or default(kind.code).message)


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        ("<p>", "<pre>"),
        ("</p>", "</p><p>more</p>"),
        ("<title>", "<meta><title>"),
        ("Gone", "<i>Gone</i>"),
        ("410 Gone", "RuntimeError: x"),
        ("Sold", "<script>x</script>"),
        ("Sold", "<br/>"),
        ("<html lang=en>", "<html>"),
    ],
)
def test_html_that_only_resembles_a_known_form_is_not_read(was: str, becomes: str) -> None:
    page = werkzeug.exceptions.Gone("Sold out.").get_body()
    assert describe(410, HTML, page.encode()).message == "Sold out."
    assert describe(410, HTML, page.replace(was, becomes).encode()) == default(410)
    assert describe(410, HTML, page.encode("utf-16")) == default(410)


# Django, which is configured once per process and for all of it: hence in one of its own

DJANGO = """
import base64, json, sys, warnings
warnings.simplefilter("ignore")
import django
from django.conf import settings
DEBUG = sys.argv[1] == "debug"
settings.configure(DEBUG=DEBUG, ROOT_URLCONF="__main__", SECRET_KEY="x", ALLOWED_HOSTS=["testserver"],
    LOGGING_CONFIG=None, DEBUG_PROPAGATE_EXCEPTIONS=False, MIDDLEWARE=["django.middleware.csrf.CsrfViewMiddleware"],
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}])
django.setup()
import logging; logging.disable()
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.http import Http404
from django.test import Client
from django.urls import path
from django.views.decorators.csrf import csrf_protect
def raising(error):
    def view(request):
        raise error
    return view
urlpatterns = [path("400", raising(SuspiciousOperation("hunter2"))), path("403", raising(PermissionDenied("hunter2"))),
    path("404", raising(Http404("hunter2"))), path("500", raising(RuntimeError("hunter2"))),
    path("csrf", csrf_protect(raising(AssertionError)))]
answers = {}
for name, method in [("400", "get"), ("403", "get"), ("404", "get"), ("500", "get"), ("csrf", "post"), ("none", "get")]:
    for accept in ("text/html", "application/json"):
        client = Client(raise_request_exception=False, enforce_csrf_checks=True)
        answer = getattr(client, method)("/" + name, headers={"accept": accept})
        body = base64.b64encode(answer.content).decode()
        answers[f"{name} {accept}"] = [answer.status_code, answer.headers["content-type"], body]
print(json.dumps(answers))
"""


@cache
def django_answers(mode: str) -> dict[str, tuple[int, str, bytes]]:
    """Name and ``Accept`` of each request, and what Django answered: status, content type, body."""
    command = [sys.executable, "-c", DJANGO, mode]
    told = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    return {name: (status, kind, base64.b64decode(body)) for name, (status, kind, body) in json.loads(told).items()}


@pytest.mark.parametrize("accept", ["text/html", JSON])
@pytest.mark.parametrize(
    ("name", "status", "message"),
    [
        ("400", 400, None),
        ("403", 403, None),
        ("404", 404, "The requested resource was not found on this server."),
        ("none", 404, "The requested resource was not found on this server."),
        ("500", 500, None),
        ("csrf", 403, None),
    ],
)
def test_the_pages_of_django(name: str, accept: str, status: int, message: str | None) -> None:
    answer = django_answers("plain")[f"{name} {accept}"]
    assert answer[0] == status
    assert answer[1].startswith("text/html")
    code, own = CODES[status]
    assert describe(*answer) == (code, message or own, {})


@pytest.mark.parametrize("accept", ["text/html", JSON])
@pytest.mark.parametrize(("name", "status"), [("400", 400), ("404", 404), ("none", 404), ("500", 500), ("csrf", 403)])
def test_the_debug_pages_of_django_are_not_shown(name: str, accept: str, status: int) -> None:
    answer = django_answers("debug")[f"{name} {accept}"]
    assert answer[0] == status
    assert describe(*answer) == default(status)


def test_djangos_debug_pages_were_there() -> None:
    answers = django_answers("debug")
    assert answers[f"400 {JSON}"][1].startswith("text/plain")  # a traceback under a 4xx
    assert [SECRET.encode() in answers[f"{name} text/html"][2] for name in ("400", "404", "500")] == [True] * 3


# JSON that hosts write by hand

ENVELOPES = [
    (
        {
            "error": {"code": "quota.used-up", "message": "Used up.", "details": {"left": 0}},
            "meta": {"request_id": "a"},
        },
        ("quota.used-up", "Used up.", {"left": 0}),
    ),
    ({"error": {"code": "Gone", "message": "Sold."}}, ("Gone", "Sold.", {})),
    ({"error": {"code": "Gone", "message": "Sold.", "details": None}}, ("Gone", "Sold.", {})),
    ({"error": {"code": "Gone", "message": ""}}, ("Gone", CODES[409][1], {})),
    ({"error": {"code": "x" * 100, "message": "Sold."}}, ("x" * 100, "Sold.", {})),
    ({"error": {"code": "x" * 101, "message": "Sold."}}, ("conflict", "Sold.", {"code": "x" * 101})),
    ({"error": {"code": "no spaces", "message": "Sold."}}, ("conflict", "Sold.", {"code": "no spaces"})),
    ({"error": {"code": "new\n", "message": "Sold."}}, ("conflict", "Sold.", {"code": "new\n"})),
    ({"error": {"code": "", "message": "Sold."}}, ("conflict", "Sold.", {"code": ""})),
    ({"error": {"code": None, "message": "Sold.", "type": "t"}}, ("conflict", "Sold.", {"type": "t"})),
    ({"error": {"code": 409, "message": "Sold.", "status": "ABORTED"}}, ("conflict", "Sold.", {"status": "ABORTED"})),
    ({"error": {"code": 17, "message": "Sold."}}, ("conflict", "Sold.", {"code": 17})),
    ({"error": {"code": "Gone", "message": "Sold.", "details": [1]}}, ("Gone", "Sold.", {"details": [1]})),
    (
        {"error": {"code": "Gone", "message": "Sold.", "details": {"a": 1}, "b": 2}, "c": 3},
        ("Gone", "Sold.", {"a": 1, "b": 2, "c": 3}),
    ),
    (
        {"error": {"code": "Gone", "message": "Sold.", "details": {"a": 1, "b": 4}, "b": 2}, "c": 3},
        ("Gone", "Sold.", {"details": {"a": 1, "b": 4}, "b": 2, "c": 3}),
    ),
    (
        {
            "error": {"code": "Gone", "message": "Sold.", "details": {"c": 1}},
            "c": 3,
            "meta": {"timestamp": 1, "page": 2},
        },
        ("Gone", "Sold.", {"error": {"c": 1}, "c": 3, "meta": {"page": 2}}),
    ),
    ({"error": {"code": "Gone", "message": "Sold."}, "meta": 5}, ("Gone", "Sold.", {"meta": 5})),
]


@pytest.mark.parametrize(("body", "error"), ENVELOPES)
def test_an_error_envelope_of_the_hosts_own_is_kept(body: Any, error: tuple[Any, ...]) -> None:
    assert said(409, body) == error


def test_an_envelope_inside_an_envelope_says_the_same() -> None:
    error = HostError("quota.used-up", "Used up.", {"left": [0, None, "é"], "error": {"a": {}}})
    assert said(400, {"error": error._asdict(), "meta": {"request_id": "a", "timestamp": "b"}}) == error


OUT_OF_CREDIT = {  # RFC 9457 section 3
    "type": "https://example.com/probs/out-of-credit",
    "title": "You do not have enough credit.",
    "detail": "Your current balance is 30, but that costs 50.",
    "instance": "/account/12345/msgs/abc",
    "balance": 30,
    "accounts": ["/account/12345", "/account/67890"],
}


def test_a_problem_document_keeps_its_extensions_and_its_kind() -> None:
    kept = {name: value for name, value in OUT_OF_CREDIT.items() if name != "detail"}
    assert said(403, OUT_OF_CREDIT, PROBLEM) == ("forbidden", OUT_OF_CREDIT["detail"], kept)
    assert said(403, OUT_OF_CREDIT | {"status": 403}) == ("forbidden", OUT_OF_CREDIT["detail"], kept)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"type": "about:blank", "title": "Conflict", "status": 409}, ("conflict", "Conflict", {})),
        ({"title": "Conflict", "status": 409, "detail": "Sold."}, ("conflict", "Sold.", {})),
        ({"title": "Sale", "status": 409, "detail": "Sold."}, ("conflict", "Sold.", {"title": "Sale"})),
        ({"title": "Sale", "status": 410, "code": "gone.x"}, ("gone.x", "Sale", {"status": 410})),
        ({"title": "Sale", "status": 409, "code": "no code"}, ("conflict", "Sale", {"code": "no code"})),
        ({"title": "Sale", "type": None, "detail": None, "instance": None}, ("conflict", "Sale", {})),
        ({"title": "Sale", "detail": [1], "instance": "/1"}, ("conflict", "Sale", {"detail": [1], "instance": "/1"})),
        ({"type": "tag:x", "n": 1}, (*CODES[409], {"type": "tag:x", "n": 1})),
        ({}, default(409)),
    ],
)
def test_problem_documents(body: Any, error: tuple[Any, ...]) -> None:
    assert said(409, body, PROBLEM + "; charset=utf-8") == error
    if "status" in body:
        assert said(409, body) == error


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"message": "Sold.", "sku": 7}, ("conflict", "Sold.", {"sku": 7})),
        ({"error": "Sold.", "sku": 7}, ("conflict", "Sold.", {"sku": 7})),
        ({"description": "Sold."}, ("conflict", "Sold.", {})),
        ({"error": "gone", "message": "Sold."}, ("conflict", "Sold.", {"error": "gone"})),
        ({"error": True, "message": "Sold."}, ("conflict", "Sold.", {"error": True})),
        ({"message": "Sold.", "code": "gone"}, ("conflict", "Sold.", {"code": "gone"})),
        ({"code": 409, "name": "Conflict", "description": "Sold."}, ("conflict", "Sold.", {"name": "Conflict"})),
        ({"code": 17, "message": "Sold."}, ("conflict", "Sold.", {"code": 17})),
        ({"status": "error", "message": "Sold."}, ("conflict", "Sold.", {"status": "error"})),
        ({"detail": "Sold.", "sku": 7}, ("conflict", "Sold.", {"sku": 7})),
        ({"detail": "Sold.", "code": "gone"}, ("conflict", "Sold.", {"code": "gone"})),
        ({"detail": "Sold.", "code": "gone", "status": "x"}, ("conflict", "Sold.", {"code": "gone", "status": "x"})),
        ({"detail": [1], "body": {"a": 1}}, (*CODES[409], {"errors": [1], "body": {"a": 1}})),
        ({"detail": [1], "errors": [2]}, (*CODES[409], {"detail": [1], "errors": [2]})),
        ({"detail": {"a": 1}, "a": 2}, (*CODES[409], {"detail": {"a": 1}, "a": 2})),
        ({"detail": {"message": "Sold."}}, ("conflict", "Sold.", {})),
        ({"detail": {"code": "gone"}}, ("gone", CODES[409][1], {})),
        ({"detail": {"code": 7, "message": 8}}, (*CODES[409], {"code": 7, "message": 8})),
        ({"name": ["Required."], "n": None}, (*CODES[409], {"name": ["Required."], "n": None})),
        ({"error": {"code": "gone"}}, (*CODES[409], {"error": {"code": "gone"}})),
        ({"message": {"name": "Required."}}, (*CODES[409], {"message": {"name": "Required."}})),
        ({"status": 409, "sku": 7}, (*CODES[409], {"status": 409, "sku": 7})),
        ({}, default(409)),
        (["Required.", 7], (*CODES[409], {"errors": ["Required.", 7]})),
        ([], (*CODES[409], {"errors": []})),
        ("Sold.", ("conflict", "Sold.", {})),
        ("", default(409)),
        (7, (*CODES[409], {"value": 7})),
        (False, (*CODES[409], {"value": False})),
        (None, default(409)),
    ],
)
def test_other_json(body: Any, error: tuple[Any, ...]) -> None:
    assert said(409, body) == error
    assert said(409, body, "application/vnd.host+json") == error


def test_a_message_is_one_line() -> None:
    assert said(409, {"message": " \r\n two\r\nlines\u2028\x00\x9f. \t"}).message == "two lines ."
    assert said(409, {"message": "\n\x00"}) == default(409)


def test_a_long_message_is_cut_and_stands_whole_in_the_details() -> None:
    assert said(409, {"message": "é" * 1000}) == ("conflict", "é" * 1000, {})
    long = "é" * 1001
    expected = ("conflict", "é" * 999 + "…", {"message": long, "sku": 7})
    assert said(409, {"detail": long, "sku": 7}) == expected
    assert said(409, long).details == {"message": long}


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"nonsense",
        b'{"message": "no"} {}',
        b'\xef\xbb\xbf{"message": "no"}',
        b'{"message": "\xff"}',
        b'{"message": "no", "n": NaN}',
        b'{"message": "no", "n": -Infinity}',
        b'{"message": "no", "n": 1e999}',
        b'{"message": "no", "n": ' + b"9" * 5000 + b"}",
        b"[" * 101 + b"]" * 101,
        b"[" * 50_000,
        b"[" * 30_000 + b"]" * 30_000,
        b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    ],
    ids=lambda body: body[:30].decode("latin-1"),
)
def test_malformed_json_is_replaced(body: bytes) -> None:
    assert describe(409, JSON, body) == default(409)


def test_nesting_up_to_a_hundred_is_kept() -> None:
    body = b"[" * 100 + b"]" * 100
    assert describe(409, JSON, body).details == {"errors": json.loads(body)}


def test_a_body_over_the_limit_is_not_read() -> None:
    body = b'{"message": "Sold."}'
    assert describe(409, JSON, body.ljust(MAX_BODY)).message == "Sold."
    assert describe(409, JSON, body.ljust(MAX_BODY + 1)) == default(409)


def test_lone_surrogates_become_text_again() -> None:
    body = rb'{"message": "a\ud800 \\ud800", "\udfff": ["\ud83d\ude00", "\udc00\ud800"]}'
    expected = ("conflict", "a\ufffd \\ud800", {"\ufffd": ["\U0001f600", "\ufffd\ufffd"]})
    assert describe(409, JSON, body) == expected
    assert written(describe(409, JSON, body))


def test_the_last_of_two_equal_names_counts_as_everywhere_in_python() -> None:
    assert describe(409, JSON, b'{"message": "a", "message": "b"}') == ("conflict", "b", {})


# Any body

WERKZEUG = "<!doctype html>\n<html lang=en>\n<title>410 Gone</title>\n<h1>Gone</h1>\n<p>"
DJANGO_HEAD = '\n<!doctype html>\n<html lang="en">\n<head>\n  <title>Gone</title>\n</head>\n<body>\n  <h1>Gone</h1><p>'


@pytest.mark.parametrize("head", [WERKZEUG, DJANGO_HEAD, "", WERKZEUG[:16], DJANGO_HEAD[:17]], ids=range(5))
@pytest.mark.parametrize(
    "filler", [" ", "\n", "x", "<", "<p>", "<br>", "<br>x", "</p>", "</p>\n", "&", "&#", "&#9", "9", "&amp", "\0"]
)
def test_no_page_takes_long(head: str, filler: str) -> None:
    body = (head + filler * MAX_BODY)[: MAX_BODY - 1]
    begun = time.perf_counter()
    for tail in ("", ">", "</p>", "</p>\n</body>\n</html>\n"):
        written(describe(410, HTML, (body[: MAX_BODY - len(tail)] + tail).encode()))
    assert time.perf_counter() - begun < 1


def test_a_page_with_a_number_that_python_does_not_read_is_replaced() -> None:
    body = f"{WERKZEUG}&#{'9' * 5000};</p>\n"
    assert describe(410, HTML, body.encode()) == default(410)


STATUSES = st.one_of(st.sampled_from(sorted(CODES)), st.integers(400, 999))
TYPES = st.one_of(st.sampled_from(["", JSON, PROBLEM, HTML, TEXT, "text/html", "text/plain"]), st.text(max_size=30))
NAMES = st.sampled_from(
    [
        *("error", "code", "message", "details", "detail", "errors", "description", "meta", "request_id"),
        *("title", "status", "type", "instance"),
    ]
)
TEXTS = st.one_of(st.text(st.characters(exclude_categories=[]), max_size=12), st.just("x" * 1001), st.just("gone"))
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.sampled_from([404, 422]), st.floats(), TEXTS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.one_of(NAMES, NAMES, st.text(max_size=5)), inner, max_size=5)
    ),
    max_leaves=12,
)


def assert_well_formed(error: HostError) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_.-]{1,100}", error.code)
    assert 1 <= len(error.message) <= 1000
    assert error.message == error.message.strip()
    assert len(error.message.splitlines()) == 1
    assert HostError(**json.loads(written(error))) == error


@given(STATUSES, TYPES, st.binary(max_size=200))
@example(404, JSON, b'"\\ud800"')
def test_any_bytes_give_an_error_that_can_be_written(status: int, content_type: str, body: bytes) -> None:
    assert_well_formed(describe(status, content_type, body))


@given(STATUSES, st.sampled_from([JSON, PROBLEM]), VALUES)
def test_any_json_gives_an_error_that_can_be_written(status: int, content_type: str, value: Any) -> None:
    assert_well_formed(said(status, value, content_type))


def leaves(value: Any) -> list[Any]:
    """What stands in the ends of a JSON value, and the names on the way there."""
    if isinstance(value, dict):
        return [each for name, inner in value.items() for each in (name, *leaves(inner))]
    if isinstance(value, list):
        return [each for inner in value for each in leaves(inner)]
    return [value]


MARKED = st.recursive(
    st.integers(10_000, 99_999).map("marked-{}".format),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.one_of(NAMES, st.sampled_from("abc")), inner, max_size=6)
    ),
    max_leaves=12,
)


@given(st.sampled_from([JSON, PROBLEM]), MARKED)
def test_nothing_that_json_says_is_lost(content_type: str, value: Any) -> None:
    out = written(said(409, value, content_type))
    told = [each for each in leaves(value) if each.startswith("marked-")]
    # The gate's envelope has a request id of its own.
    meta = value.get("meta") if isinstance(value, dict) and isinstance(value.get("error"), dict) else None
    replaced = leaves(meta["request_id"]) if isinstance(meta, dict) and "request_id" in meta else []
    assert [each for each in told if each not in out and each not in replaced] == []


@given(st.integers(500, 599), st.sampled_from([HTML, TEXT, "text/html", "TEXT/PLAIN"]), st.binary(max_size=200))
def test_no_5xx_shows_anything_of_a_page_or_text(status: int, content_type: str, body: bytes) -> None:
    for each in (body, b"RuntimeError: hunter2", WERKZEUG.encode() + body + b"</p>\n"):
        assert describe(status, content_type, each) == default(status)


@given(st.text(max_size=60))
def test_any_description_of_werkzeugs_comes_back_as_one_line(text: str) -> None:
    page = werkzeug.exceptions.Gone(text).get_body()
    error = describe(410, HTML, page.encode())
    assert_well_formed(error)
    printable = "".join(each for each in text if each.isprintable() and each != "\ufffd")
    if printable == text and text.strip():
        assert error.message == text.strip()


def test_the_documented_table_is_the_one_that_holds() -> None:
    text = (Path(__file__).resolve().parents[1] / "docs" / "guides" / "envelopes.md").read_text(encoding="utf-8")
    rows = [f"| {status} | `{code}` | {message} |" for status, (code, message) in CODES.items()]
    assert [row for row in rows if row not in text] == []
