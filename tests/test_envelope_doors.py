"""The envelope, JSON requests and pages, seen through every door."""

from __future__ import annotations

import json
import logging
import re
from typing import Any

import pytest

from keystile import InvalidRequest, PageStyle, Rule, current
from keystile.answers.envelopes import begins_json
from keystile.answers.pages import Page
from tests.doors import Answer, Door

JSON = [("content-type", "application/json")]
TOP = ("keystile.test", "req_")
META = {"request_id", "timestamp"}
SECRET = "a secret for cursors, long enough"


@pytest.fixture
def key(door: Door) -> str:
    issued = door.create(organization_id="org_1")
    door.open(envelope=True, public=["/health"], cursor_secrets=[SECRET])
    return str(issued.secret)


def answer_with(door: Door, status: int = 200, body: Any = b'{"ok": true}', headers: Any = None) -> None:
    """What the host says next; a body given whole comes with its length."""
    door.host.status = status
    chunks = body if isinstance(body, list) else [body]
    door.host.chunks = chunks
    door.host.headers = JSON if headers is None else headers
    if not isinstance(body, list):
        door.host.headers = [*door.host.headers, ("content-length", str(len(body)))]


def checked(answer: Answer) -> Any:
    """The document, with its frame and meta held to what is promised."""
    document = answer.json
    length = answer.header("content-length")
    assert length is None or int(length) == len(answer.body)
    assert answer.all("content-type") in (["application/json"], ["application/json; charset=utf-8"])
    assert document["meta"]["request_id"] == answer.header("x-request-id")
    assert re.fullmatch(r"req_[0-9A-Za-z]{24}", document["meta"]["request_id"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", document["meta"]["timestamp"])
    assert answer.header("keystile-envelope") is None
    return document


@pytest.mark.parametrize(
    "body", [b'{"a": 1}', b"[1, 2]", b'"text"', b"null", b"0", b" [] \n", b'{"a": "' + b"x" * 99_999 + b'"}']
)
def test_a_success_is_spliced_octet_for_octet(door: Door, key: str, body: bytes) -> None:
    answer_with(door, body=body)
    answer = door.get(key=key)
    document = checked(answer)
    assert document["data"] == json.loads(body)
    assert set(document) == {"data", "meta"}
    assert answer.body.startswith(b'{"data":' + body + b',"meta":{')
    assert answer.header("content-length") == str(len(answer.body))


@pytest.mark.parametrize(
    "chunks", [[b"[1", b", 2", b"", b"]"], [b"", b"[1, 2]"], [b"[1, 2]", b""], [b"[" + b" " * 70_000, b"1, 2]"]]
)
def test_a_stream_is_spliced_and_gets_no_length(door: Door, key: str, chunks: list[bytes]) -> None:
    answer_with(door, body=chunks)
    answer = door.get(key=key)
    assert checked(answer)["data"] == [1, 2]
    assert answer.header("content-length") is None


@pytest.mark.parametrize(
    ("body", "headers"),
    [(b"", JSON), ([], JSON), ([b"", b""], JSON), (b"", [])],
    ids=["length", "none", "chunks", "no type"],
)
def test_an_empty_body_is_null(door: Door, key: str, body: Any, headers: Any) -> None:
    answer_with(door, 202, body, headers)
    assert checked(door.get(key=key))["data"] is None


UNTOUCHED: dict[str, tuple[int, bytes, list[tuple[str, str]]]] = {
    "text": (200, b"hello", [("content-type", "text/plain")]),
    "ndjson": (200, b"{}\n{}\n", [("content-type", "application/x-ndjson")]),
    "events": (200, b"data: {}\n\n", [("content-type", "text/event-stream")]),
    "json of a kind": (200, b"{}", [("content-type", "application/ld+json")]),
    "another charset": (200, "{}".encode("utf-16"), [("content-type", "application/json; charset=utf-16")]),
    "encoded": (200, b"\x1f\x8b", [*JSON, ("content-encoding", "gzip")]),
    "partial": (206, b'{"a"', [*JSON, ("content-range", "bytes 0-3/9")]),
    "redirect": (302, b"{}", [*JSON, ("location", "/elsewhere")]),
    "no type": (200, b"{}", []),
    "two types": (200, b"{}", [*JSON, *JSON]),
    "opted out": (200, b"{}", [*JSON, ("keystile-envelope", "off")]),
    "opted out in capitals": (200, b"{}", [*JSON, ("Keystile-Envelope", "OFF")]),
    "error opted out": (404, b"{}", [*JSON, ("keystile-envelope", "off")]),
}


@pytest.mark.parametrize("case", UNTOUCHED)
def test_what_is_no_plain_json_success_goes_out_as_it_came(door: Door, key: str, case: str) -> None:
    status, body, headers = UNTOUCHED[case]
    answer_with(door, status, body, headers)
    answer = door.get(key=key)
    assert (answer.status, answer.body) == (status, body)
    assert answer.header("keystile-envelope") is None
    sent = {(name.lower(), value) for name, value in headers if name.lower() != "keystile-envelope"}
    assert sent <= set(answer.headers)
    assert answer.header("content-length") == str(len(body))


@pytest.mark.parametrize(
    "content_type",
    ["application/json; charset=utf-8", 'Application/JSON;Charset="UTF-8"', "application/json; indent=4"],
)
def test_json_is_json_however_it_is_written(door: Door, key: str, content_type: str) -> None:
    answer_with(door, headers=[("content-type", content_type)])
    assert door.get(key=key).json["data"] == {"ok": True}


def test_public_paths_and_exempt_rules_are_never_touched(door: Door, key: str) -> None:
    rules = [Rule("/raw/*", envelope=False), Rule("GET /raw/not", envelope=True)]
    door.open(envelope=True, public=["/health"], rules=rules)
    answer_with(door, body=b'{"a": 1}', headers=[*JSON, ("keystile-envelope", "off")])
    for path in ("/health", "/raw/x"):
        answer = door.get(path, key)
        assert answer.body == b'{"a": 1}', path
        assert answer.header("keystile-envelope") is None
        assert "HTTP_ACCEPT_ENCODING" not in answer.headers
    answer_with(door, 404, b"gone", [("content-type", "text/plain")])
    assert door.get("/health").body == b"gone"
    assert door.get("/raw/not", key).code == "not_found"
    assert door.get("/raw/x", key).body == b"gone"


def test_a_rule_can_ask_for_what_the_policy_does_not(door: Door) -> None:
    secret = door.create().secret
    door.open(rules=[Rule("/v1/*", envelope=True)])
    assert set(checked(door.get("/v1/x", secret))) == {"data", "meta"}
    assert door.get("/v2/x", secret).json == {"ok": True}


def test_validators_and_digests_speak_of_the_octets_that_go_out(door: Door, key: str) -> None:
    digests = [(name, "x") for name in ("Content-MD5", "Digest", "Content-Digest", "Repr-Digest", "Accept-Ranges")]
    answer_with(door, headers=[*JSON, ("ETag", '"abc"'), *digests, ("Last-Modified", "Mon, 01 Jan 2026 00:00:00 GMT")])
    answer = door.get(key=key)
    assert answer.header("etag") == 'W/"abc"'
    assert answer.header("last-modified") == "Mon, 01 Jan 2026 00:00:00 GMT"
    assert not {name.lower() for name, _ in digests} & {name for name, _ in answer.headers}
    answer_with(door, headers=[*JSON, ("etag", 'W/"abc"')])
    assert door.get(key=key).header("etag") == 'W/"abc"'


def test_head_gets_the_head_of_get(door: Door, key: str) -> None:
    answer_with(door, body=b'{"a": 1}')
    got = door.get(key=key)
    for chunks in ([], [b'{"a": 1}'], [b'{"a"', b": 1}"]):
        door.host.chunks = chunks
        answer = door.get(key=key, method="HEAD")
        assert answer.body == b""
        assert [field for field in answer.headers if field[0] != "x-request-id"] == [
            field for field in got.headers if field[0] != "x-request-id"
        ]


@pytest.mark.parametrize("chunks", [[b"hi"], [b"h", b"i"]])
def test_head_of_what_is_no_json_promises_no_other_length_than_get(door: Door, key: str, chunks: list[bytes]) -> None:
    # Where the app sends no octets on HEAD, nobody knows, and its word is taken: some servers could not go without.
    answer_with(door, body=b"hi")
    assert door.get(key=key).header("content-length") == "2"
    door.host.chunks = chunks
    answer = door.get(key=key, method="HEAD")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.header("content-length") == "2"


@pytest.mark.parametrize(
    ("status", "method"), [(204, "GET"), (304, "GET"), (204, "HEAD"), (200, "HEAD"), (404, "HEAD")]
)
def test_what_has_no_body_gets_none_even_if_the_app_sends_one(door: Door, key: str, status: int, method: str) -> None:
    answer_with(door, status, [b"{}", b"more"])
    answer = door.get(key=key, method=method)
    assert (answer.status, answer.body) == (status, b"")


def test_the_app_is_not_invited_to_encode(door: Door, key: str) -> None:
    door.get(key=key, headers=[("accept-encoding", "gzip"), ("accept", "*/*")])
    seen = door.host.seen
    if door.kind == "wsgi":
        assert "HTTP_ACCEPT_ENCODING" not in seen
        assert seen["HTTP_ACCEPT"] == "*/*"
    else:
        assert [name for name, _ in seen["headers"]] == [b"authorization", b"accept"] or b"accept" in dict(
            seen["headers"]
        )
        assert b"accept-encoding" not in dict(seen["headers"])
    door.open(envelope=True, public=["/health"])
    door.get("/health", headers=[("accept-encoding", "gzip")])
    seen = door.host.seen
    assert seen.get("HTTP_ACCEPT_ENCODING") == "gzip" or (b"accept-encoding", b"gzip") in seen["headers"]


ERRORS: list[tuple[int, str, bytes, str, str, Any]] = [
    (404, "application/json", b'{"detail": "Not Found"}', "not_found", "Not Found", {}),
    (405, "text/plain", b"Method Not Allowed", "method_not_allowed", "Method Not Allowed", {}),
    (422, "application/json", b'{"detail": [{"loc": ["a"]}]}', "validation_failed", "", {"errors": [{"loc": ["a"]}]}),
    (413, "text/html", b"<html>...", "payload_too_large", "", {}),
    (
        409,
        "application/json",
        b'{"error": {"code": "taken", "message": "No.", "details": {"a": 1}}}',
        "taken",
        "No.",
        {"a": 1},
    ),
    (
        409,
        "application/problem+json",
        b'{"title": "T", "detail": "D", "status": 409, "a": 1}',
        "conflict",
        "D",
        {"title": "T", "a": 1},
    ),
    (500, "text/plain", b"Traceback (most recent call last)", "internal_error", "", {}),
    (503, "application/octet-stream", b"\x00\xff", "unavailable", "", {}),
    (418, "text/plain", b"", "client_error", "", {}),
    (599, "text/plain", b"", "server_error", "", {}),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: f"{error[0]}-{error[1]}")
def test_an_error_of_the_host_gets_the_error_envelope(door: Door, key: str, error: tuple[Any, ...]) -> None:
    status, content_type, body, code, message, details = error
    answer_with(door, status, body, [("content-type", content_type)])
    answer = door.get(key=key)
    assert answer.status == status
    said = checked(answer)["error"]
    assert (said["code"], said["details"]) == (code, details)
    assert said["message"] == message or (not message and said["message"])
    assert b"Traceback" not in answer.body


def test_what_an_error_says_beside_its_body_survives(door: Door, key: str) -> None:
    kept = [
        ("allow", "GET"),
        ("location", "/login"),
        ("www-authenticate", 'Basic realm="host"'),
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
        ("retry-after", "7"),
    ]
    body = [
        ("content-type", "text/html"),
        ("ETag", '"x"'),
        ("Content-Encoding", "gzip"),
        ("content-disposition", "inline"),
    ]
    answer_with(door, 405, b"\x1f\x8b", [*kept, *body])
    answer = door.get(key=key)
    assert [field for field in answer.headers if field in kept] == kept
    assert not {"etag", "content-encoding", "content-disposition"} & {name for name, _ in answer.headers}
    assert checked(answer)["error"]["code"] == "method_not_allowed"


def test_a_long_error_is_replaced_and_not_parsed(door: Door, key: str) -> None:
    answer_with(door, 400, [b'{"detail": "' + b"x" * 40_000, b"x" * 40_000, b'"}'])
    said = checked(door.get(key=key))["error"]
    assert said["code"] == "invalid_request"
    assert "x" * 100 not in json.dumps(said)
    door.host.chunks = [b'{"detail": "' + b"x" * 900, b'"}']
    assert checked(door.get(key=key))["error"]["message"] == "x" * 900


@pytest.mark.parametrize("where", ["call", "head"])
def test_an_unhandled_exception_is_a_generic_500(
    door: Door, key: str, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    door.host.fails = RuntimeError("the password is hunter2"), where
    door.host.headers = [*JSON, ("set-cookie", "a=1"), ("content-length", "12")]
    answer = door.get(key=key)
    assert answer.all("set-cookie") == []
    assert answer.all("content-length") == [str(len(answer.body))]
    assert (answer.status, answer.code) == (500, "internal_error")
    assert b"hunter2" not in answer.body
    document = checked(answer)
    if door.kind == "wsgi":
        assert door.raised is None
        [record] = caplog.records
        assert document["meta"]["request_id"] in record.getMessage()
        assert record.exc_info is not None
        assert door.host.closed == (where == "head")
    else:
        assert door.raised is door.host.fails[0]
        assert caplog.records == []


def test_an_exception_after_the_first_octets_reaches_the_server(door: Door, key: str) -> None:
    door.host.fails = RuntimeError("late"), "body"
    answer = door.get(key=key)
    assert answer.status == 200
    assert door.raised is door.host.fails[0]
    assert answer.body == b'{"data":{"ok": true}'


@pytest.mark.parametrize(
    ("body", "is_json"),
    [
        (b"hi", False),
        (b"  hi", False),
        (b"<p>", False),
        (b"\xef\xbb\xbf{}", False),
        ([b"", b"hi", b" there"], False),
        ([b" ", b"{}"], True),
        (b"\t\r\n {}", True),
        ([b"", b"-1", b"2"], True),
    ],
)
def test_an_answer_that_is_no_json_goes_out_as_it_came_and_is_told_once(
    door: Door, key: str, body: Any, is_json: bool
) -> None:
    events: list[Any] = []
    door.gate.on_event(events.append)
    answer_with(door, body=body)
    for _ in range(2):
        answer = door.get(key=key)
        assert answer.status == 200
        if is_json:
            checked(answer)
        else:
            whole = b"".join(door.host.chunks)
            assert answer.body == whole
            assert answer.all("content-length") == ([] if isinstance(body, list) else [str(len(whole))])
            assert answer.all("content-type") == ["application/json"]
    told = [event for event in events if event.code == "not_json"]
    assert [(event.level, event.path) for event in told] == ([] if is_json else [(logging.WARNING, "/v1/things")])


@pytest.mark.parametrize(
    ("octets", "whole", "begins"),
    [(b" ", False, True), (b" \n", True, False), (b" 1", True, True), (b"\x00", False, False)],
)
def test_blanks_may_be_the_beginning_of_json_but_not_all_of_it(octets: bytes, whole: bool, begins: bool) -> None:
    assert begins_json(octets, whole=whole) is begins


BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "content_type", "status", "stays"),
    [
        (BROWSER, "text/html; charset=utf-8", 404, True),
        ("text/html", "Text/HTML", 403, True),
        ("text/html;q=0.5, application/json;q=0.4", "text/html", 404, True),
        ("text/*", "text/html", 404, True),
        ("application/xml, application/json;q=0.5", "application/xml", 422, True),
        (BROWSER, "text/html", 500, False),
        (BROWSER, "text/html", 503, False),
        ("text/html, application/json", "text/html", 404, False),
        ("text/html, */*", "text/html", 404, False),
        ("*/*", "text/html", 404, False),
        ("", "text/html", 404, False),
        (BROWSER, "text/plain", 404, False),
        ("application/json", "text/html", 404, False),
        ("text/html;q=0", "text/html", 404, False),
        ("application/vnd.api+json", "application/vnd.api+json", 404, False),
        ("text/html," + "x" * 1100, "text/html", 404, False),
    ],
)
def test_an_error_page_stays_what_it_is_for_a_client_that_likes_it_better_than_json(
    door: Door, key: str, accept: str, content_type: str, status: int, stays: bool
) -> None:
    answer_with(door, status, b"<h1>Gone fishing</h1>", [("content-type", content_type), ("vary", "Cookie")])
    answer = door.get(key=key, headers=[("accept", accept)] if accept else [])
    assert answer.status == status
    assert {"accept", "cookie"} <= set(",".join(answer.all("vary")).lower().replace(" ", "").split(","))
    if stays:
        assert (answer.body, answer.all("content-type")) == (b"<h1>Gone fishing</h1>", [content_type])
        assert answer.all("content-length") == ["21"]
    else:
        checked(answer)
    refused = door.get(headers=[("accept", accept)] if accept else [])
    assert refused.code == "missing_api_key"


def test_meta_of_the_host_joins_ours(door: Door, key: str) -> None:
    door.host.acts = lambda: current().add_meta(trace="t-1", n=[1, "\u2028"])
    meta = checked(door.get(key=key))["meta"]
    assert {name: meta[name] for name in meta.keys() - META} == {"trace": "t-1", "n": [1, "\u2028"]}
    answer_with(door, 404, b"", [])
    assert checked(door.get(key=key))["meta"]["trace"] == "t-1"
    door.open(public=["/health"])
    assert door.get("/health").status == 404


@pytest.mark.parametrize("fields", [{"request_id": 1}, {"timestamp": 1}, {"a": object()}, {"a": float("nan")}])
def test_meta_that_cannot_be_is_the_hosts_own_error(door: Door, key: str, fields: Any) -> None:
    def act() -> None:
        with pytest.raises((ValueError, TypeError)):
            current().add_meta(**fields)

    door.host.acts = act
    assert set(checked(door.get(key=key))["meta"]) == META


def test_problem_documents_by_setting_and_by_accept(door: Door) -> None:
    secret = door.create().secret
    door.open(envelope=True)
    accept = [("accept", "text/html;q=0.1, application/problem+json")]
    answer_with(door, 409, b'{"detail": {"field": "name"}}')
    for headers, settings in ((accept, {}), ([], {"error_format": "problem"})):
        door.open(envelope=True, **settings)
        answer = door.get(key=secret, headers=headers)
        assert answer.header("content-type") == "application/problem+json"
        assert answer.header("content-length") == str(len(answer.body))
        assert {"accept"} <= {each.strip() for each in (answer.header("vary") or "").split(",")}
        document = answer.json
        assert document.pop("request_id") == answer.header("x-request-id")
        assert document.pop("timestamp")
        assert document == {
            "type": "about:blank",
            "title": "Conflict",
            "status": 409,
            "detail": document["detail"],
            "code": "conflict",
            "field": "name",
        }
        refused = door.get(headers=headers)
        assert refused.header("content-type") == "application/problem+json"
        assert refused.header("content-length") == str(len(refused.body))
        assert (refused.json["code"], refused.json["status"]) == ("missing_api_key", 401)


@pytest.mark.parametrize(
    "accept",
    ["*/*", "application/json", "application/problem+json;q=0", "application/json, application/problem+json;q=0.5"],
)
def test_who_does_not_ask_for_a_problem_gets_none(door: Door, accept: str) -> None:
    answer = door.get(headers=[("accept", accept)])
    assert answer.header("content-type") == "application/json"


def test_a_request_id_is_taken_over_only_if_configured_and_well_formed(door: Door) -> None:
    secret = door.create().secret
    mine = [("x-request-id", "my-id_1.2")]
    assert (door.get(key=secret, headers=mine).header("x-request-id") or "").startswith("req_")
    door.open(echo_request_id=True, envelope=True)
    answer = door.get(key=secret, headers=mine)
    assert answer.header("x-request-id") == answer.json["meta"]["request_id"] == "my-id_1.2"
    refused = door.get(headers=mine)
    assert refused.header("x-request-id") == refused.json["meta"]["request_id"] == "my-id_1.2"
    assert refused.header("content-length") == str(len(refused.body))
    for bad in ("", "a b", 'a"b', "x" * 129, "\xe9", "a,b"):
        answer = door.get(key=secret, headers=[("x-request-id", bad)])
        assert (answer.header("x-request-id") or "").startswith("req_"), bad
        assert answer.header("content-length") is None or answer.header("content-length") == str(len(answer.body))
    assert (door.get(headers=[*mine, *mine]).header("x-request-id") or "").startswith("req_")


ROWS = [(number // 3, number) for number in range(10)]


def list_rows(**limits: int) -> Any:
    def act() -> None:
        params = current().page_params(**limits)
        page = Page.from_sequence(ROWS, params, key=lambda row: row)
        assert current().paginate(page) == page.items
        found.append(page.items)

    found: list[Any] = []
    return act, found


def test_a_handler_returns_its_plain_list_and_the_envelope_says_where_it_ends(door: Door, key: str) -> None:
    door.host.acts, found = list_rows(default=4)
    answer = door.get("/v1/rows?tag=a", key)
    document = checked(answer)
    assert set(document) == {"data", "pagination", "meta"}
    cursor = document["pagination"].pop("next_cursor")
    assert document["pagination"] == {"limit": 4, "has_more": True}
    assert answer.header("link") == f'</v1/rows?tag=a&limit=4&cursor={cursor}>; rel="next"'
    second = checked(door.get(f"/v1/rows?cursor={cursor}&limit=100&tag=a", key))
    assert second["pagination"] == {"limit": 100, "has_more": False, "next_cursor": None}
    assert found == [ROWS[:4], ROWS[4:]]


def test_a_flat_style_without_meta(door: Door) -> None:
    secret = door.create().secret
    style = PageStyle(
        member=None, limit=None, next_cursor="next_token", parameter="next_token", meta=False, default_limit=7
    )
    door.open(envelope=True, cursor_secrets=[SECRET], page_style=style, public_url="https://api.example.com/")
    door.host.acts, _ = list_rows()
    answer = door.get("/v1/rows", secret)
    document = answer.json
    token = document.pop("next_token")
    assert document == {"data": {"ok": True}, "has_more": True}
    assert answer.header("link") == f'<https://api.example.com/v1/rows?limit=7&next_token={token}>; rel="next"'
    assert door.get(f"/v1/rows?next_token={token}", secret).json == {"data": {"ok": True}, "has_more": False}


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=x", "limit=1_0", "limit=1&limit=1", "cursor=nonsense", "cursor=a&cursor=b", "limit="]
)
def test_a_bad_limit_or_cursor_is_a_400_that_names_it(door: Door, key: str, query: str) -> None:
    door.host.acts, _ = list_rows()
    answer = door.get(f"/v1/rows?{query}", key)
    assert (answer.status, answer.code) == (400, "invalid_request")
    assert checked(answer)["error"]["details"]["parameter"] == query.partition("=")[0]
    assert door.raised is None


def test_a_framework_that_turns_every_exception_into_a_500_still_gives_the_400(door: Door, key: str) -> None:
    def act() -> None:
        with pytest.raises(InvalidRequest):
            current().page_params()

    door.host.acts = act
    answer_with(door, 500, b"<h1>Internal Server Error</h1>", [("content-type", "text/html")])
    assert (door.get("/v1/rows?limit=x", key).status, door.get("/v1/rows?limit=x", key).code) == (
        400,
        "invalid_request",
    )


def test_a_cursor_serves_one_list_one_filter_and_one_owner(door: Door, key: str) -> None:
    other = door.create(organization_id="org_2").secret
    same = door.create(organization_id="org_1").secret
    door.host.acts, _ = list_rows(default=4)
    cursor = door.get("/v1/rows?tag=a&tag=b", key).json["pagination"]["next_cursor"]
    good = f"/v1/rows?tag=a&tag=b&cursor={cursor}"
    assert door.get(good, key).status == 200
    assert door.get(good, same).status == 200
    for path, secret in ((good, other), (good.replace("rows", "rows2"), key), (good.replace("tag=b&", ""), key)):
        assert door.get(path, secret).code == "invalid_request"


def test_pages_without_an_envelope_are_the_hosts_own_affair(door: Door) -> None:
    secret = door.create().secret
    door.open()

    def act() -> None:
        with pytest.raises(LookupError, match="envelope"):
            current().page_params()

    door.host.acts = act
    assert door.get(key=secret).json == {"ok": True}


def json_door(door: Door, **settings: Any) -> str:
    issued = door.create()
    door.open(rules=[Rule("/v1/*", require_json=True)], max_json_body=1000, **settings)
    door.host.reads = True
    return str(issued.secret)


def post(
    door: Door, secret: str, chunks: list[bytes], content_type: str | None = "application/json", **more: str
) -> Answer:
    headers = [("content-length", str(sum(map(len, chunks))))]
    headers += [("content-type", content_type)] if content_type else []
    headers += [(name.replace("_", "-"), value) for name, value in more.items()]
    return door.get("/v1/things", secret, method="POST", headers=headers, body=chunks)


@pytest.mark.parametrize(
    "chunks", [[b'{"a": 1}'], [b"[", b"1", b"]"], [b'"\xc3\xa9"'], [b" null "], [b"[" * 100 + b"]" * 100]]
)
def test_the_app_reads_the_same_octets_after_the_check(door: Door, chunks: list[bytes]) -> None:
    secret = json_door(door)
    for content_type in ("application/json", "application/json; charset=UTF-8", "application/merge-patch+json"):
        assert post(door, secret, chunks, content_type).status == 200
        assert door.host.received == b"".join(chunks)


BAD_JSON = [
    b"{",
    b"{} {}",
    b"nonsense",
    b"\xff",
    b"NaN",
    b"[Infinity]",
    b"\xef\xbb\xbf{}",
    b"[" * 900,
    b"9" * 900 + b"x",
    '"é"'.encode("utf-16"),
]


@pytest.mark.parametrize("body", BAD_JSON)
def test_a_malformed_body_is_a_400(door: Door, body: bytes) -> None:
    answer = post(door, json_door(door), [body])
    assert answer.status == 400
    error = answer.json["error"]
    assert error == {"code": "invalid_request", "message": "The request body is malformed", "details": {}}
    assert door.host.calls == []


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonx",
        "application/json; charset=latin-1",
        "x" * 5000,
    ],
)
def test_what_is_not_sent_as_json_is_a_415_and_is_not_read(door: Door, content_type: str | None) -> None:
    secret = json_door(door)
    headers = [("content-length", "2"), *([("content-type", content_type)] if content_type is not None else [])]
    answer = door.get("/v1/things", secret, method="POST", headers=headers)
    assert (answer.status, answer.code) == (415, "unsupported_media_type")
    assert door.host.calls == []


def test_an_encoded_body_is_a_415_and_a_large_one_a_413(door: Door) -> None:
    secret = json_door(door)
    assert post(door, secret, [b"\x1f\x8b"], content_encoding="gzip").status == 415
    answer = door.get("/v1/things", secret, method="POST", headers=[*JSON, ("content-length", "1001")])
    assert (answer.status, answer.code) == (413, "payload_too_large")
    chunked = [*JSON, ("transfer-encoding", "chunked")]
    answer = door.get("/v1/things", secret, method="POST", headers=chunked, body=[b"[" + b" " * 500, b" " * 500, b"]"])
    assert answer.status == 413
    answer = door.get("/v1/things", secret, method="POST", headers=chunked, body=[b"[" + b" " * 500, b" " * 498, b"]"])
    assert answer.status == 200
    assert door.host.calls[0].principal is not None


def test_a_request_without_a_body_passes(door: Door) -> None:
    secret = json_door(door)
    door.host.reads = False
    for method in ("GET", "DELETE", "POST"):
        assert door.get("/v1/things", secret, method=method).status == 200
    assert door.get("/v1/things", secret, method="POST", headers=[("content-length", "0")]).status == 200
    assert door.get("/other", secret, method="POST", headers=[("content-length", "9")]).status == 200


def test_the_key_comes_before_the_body_and_windows_before_both(door: Door) -> None:
    secret = json_door(door, anonymous_limits="1/minute")
    assert door.get("/v1/things", method="POST", headers=[("content-length", "2")]).code == "missing_api_key"
    issued = door.create(limits="2/minute")
    answer = post(door, issued.secret, [b"{"])
    assert (answer.status, answer.header("x-ratelimit-remaining")) == (400, "1")
    assert post(door, secret, [b"{}"]).status == 200


def test_json_requests_and_envelopes_go_together(door: Door) -> None:
    secret = json_door(door, envelope=True)
    assert checked(post(door, secret, [b"{}"]))["data"] == {"ok": True}
    assert checked(post(door, secret, [b"{"]))["error"]["message"] == "The request body is malformed"


@pytest.mark.parametrize("length", ["9" * 25, "0" * 18 + "9", "+9", "9, 9", "nine", " 9"])
def test_a_length_that_lies_lets_no_body_past_the_check(door: Door, length: str) -> None:
    secret = json_door(door)
    headers = [("content-type", "text/plain"), ("content-length", length)]
    answer = door.get("/v1/things", secret, method="POST", headers=headers, body=[b"not json!"])
    assert answer.status in (400, 415)
    chunked = [*JSON, ("content-length", "0"), ("transfer-encoding", "chunked")]
    answer = door.get("/v1/things", secret, method="POST", headers=chunked, body=[b"not json!"])
    assert answer.status == 400
    assert door.host.calls == []


def test_a_fault_that_the_app_dealt_with_hides_no_other_failure(door: Door, key: str, caplog: Any) -> None:
    def act() -> None:
        with pytest.raises(InvalidRequest):
            current().page_params()

    door.host.acts = act
    door.host.fails = RuntimeError("db down"), "call"
    assert (door.get("/v1/rows?limit=z", key).status, door.get("/v1/rows?limit=z", key).code) == (500, "internal_error")
    assert (len(caplog.records) > 0) == (door.kind == "wsgi")
    door.host.fails = None
    for status, headers, body in ((503, [], b"later"), (500, JSON, b'{"error": {"code": "db", "message": "m"}}')):
        answer_with(door, status, body, headers)
        assert door.get("/v1/rows?limit=z", key).status == status


def test_the_answer_to_a_fault_keeps_the_hosts_headers_and_meta(door: Door, key: str) -> None:
    def act() -> None:
        current().add_meta(trace="t")
        with pytest.raises(InvalidRequest):
            current().page_params()

    door.host.acts = act
    answer_with(door, 500, b"<p>", [("content-type", "text/html"), ("access-control-allow-origin", "*")])
    answer = door.get("/v1/rows?limit=z", key)
    assert (answer.status, answer.header("access-control-allow-origin")) == (400, "*")
    assert checked(answer)["meta"]["trace"] == "t"


def test_a_304_has_the_validator_of_its_200(door: Door, key: str) -> None:
    answer_with(door, 304, b"", [("etag", '"abc"')])
    assert door.get(key=key).header("etag") == 'W/"abc"'


def test_added_meta_overrides_nothing_of_a_problem_document(door: Door) -> None:
    secret = door.create().secret
    door.open(envelope=True, error_format="problem")
    door.host.acts = lambda: current().add_meta(status=200, detail="mine")
    answer_with(door, 404, b'{"detail": "x", "code": 7, "instance": 1}')
    answer = door.get(key=secret)
    document = answer.json
    assert (document["status"], document["detail"], document["code"]) == (404, "x", "not_found")
    assert document["meta"] == {"status": 200, "detail": "mine"}
    assert answer.body.count(b'"status"') == 2
    found = document | document["details"]
    assert (found["code"], found["instance"]) == (7, 1)


def test_meta_is_added_whole_or_not_at_all(door: Door, key: str) -> None:
    def act() -> None:
        current().add_meta(a=1)
        with pytest.raises(ValueError, match="request_id"):
            current().add_meta(b=2, request_id="x")

    door.host.acts = act
    assert set(checked(door.get(key=key))["meta"]) == META | {"a"}


def test_a_foreign_cursor_cannot_leave_its_place_in_the_link(door: Door, key: str) -> None:
    door.host.acts = lambda: current().paginate(Page([1], 1, True, 'a b>"\r\nSet-Cookie: x'))
    link = door.get("/v1/rows", key).header("link")
    assert link == '</v1/rows?limit=1&cursor=a%20b%3E%22%0D%0ASet-Cookie%3A%20x>; rel="next"'
