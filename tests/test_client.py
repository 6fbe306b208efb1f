"""`keystile.client` against servers that answer as scripted: what is sent again, what is raised, what has a bound."""

from __future__ import annotations

import copy
import gzip
import json
import pickle
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystile import ConfigurationError, PageStyle
from keystile.client import (
    ApiError,
    Conflict,
    Forbidden,
    Invalid,
    KeyAuth,
    KeyNotSent,
    NotFound,
    RateLimited,
    Retry,
    ServerError,
    Unauthorized,
    Unavailable,
    UnusableAnswer,
    gate_transport,
    raise_for,
)
from keystile.client.waits import told
from keystile.client.walks import MOST_CURSOR
from keystile.rules.waits import MOST_SECONDS
from tests.clients import CALLERS, LIBRARIES, PLACES, Caller

URL = "https://api.example.com/v1/things"
KEY = "acme_live_0123456789abcdef"
every_caller = pytest.mark.parametrize("caller", CALLERS, ids="-".join)
# httpx does not close what it reads when its reader stops, and trio says so; httpx2 does.
unclosed = pytest.mark.filterwarnings("ignore:Async generator 'httpx[.]_:ResourceWarning")
every_library = pytest.mark.parametrize("caller", CALLERS[::3], ids="-".join)


class Script:
    """A server that gives these answers one after the other, the last one for ever, and keeps what it was sent.

    Args:
        caller: whose answers they are.
        answers: the arguments of each; or exceptions.
    """

    def __init__(self, caller: Caller, *answers: Any) -> None:
        self._caller, self._http, self._answers = caller, caller.http, list(answers)
        self.requests: list[Any] = []
        self.slept: list[float] = []

    def __call__(self, request: Any) -> Any:
        self.requests.append(request)
        given = {"status_code": 200} | (self._answers.pop(0) if len(self._answers) > 1 else self._answers[0])
        if "json" in given:
            given["content"] = json.dumps(given.pop("json")).encode()
            given["headers"] = {"content-type": "application/json"} | given.get("headers", {})
        if isinstance(given.get("content"), bytes):  # not read before it is asked for, as on a wire
            given["content"] = bodies(self._caller, given["content"], 1, [0])
        return self._http.Response(**given)

    def client(self, retry: Retry | None = None, **more: Any) -> dict[str, Any]:
        """How a client of it is made."""
        inner = self._http.MockTransport(self)
        return {"transport": gate_transport(inner, retry, sleep=self.slept.append, **more)}


def bodies(caller: Caller, chunk: bytes, chunks: int, read: list[int]) -> Any:
    """A body of many chunks, which notes how many were taken."""

    def parts() -> Iterator[bytes]:
        for _ in range(chunks):
            read[0] += 1
            yield chunk

    async def aparts() -> AsyncIterator[bytes]:
        for each in parts():
            yield each

    return parts() if caller.mode == "sync" else aparts()


def refused(status: int = 429, **headers: str) -> dict[str, Any]:
    return {"status_code": status, "headers": {name.replace("_", "-"): value for name, value in headers.items()}}


@every_caller
def test_a_refused_request_is_sent_again_after_no_less_than_was_told(caller: Caller) -> None:
    script = Script(caller, refused(retry_after="7"), refused(503, retry_after="3"), {"json": {"data": 1}})
    answer = caller.send("PUT", URL, client=script.client(), json={"a": 1})
    assert answer.json() == {"data": 1}
    assert [request.read() for request in script.requests] == [script.requests[0].content] * 3
    assert 7 <= script.slept[0] <= 8
    assert 3 <= script.slept[1] <= 5
    assert len(script.slept) == 2


@every_caller
def test_without_an_own_sleep_the_clients_own_loop_waits(caller: Caller) -> None:
    script = Script(caller, refused(retry_after="0"), {})
    transport = gate_transport(script.client()["transport"]._inner, Retry(jitter=0.01))
    assert caller.send("GET", URL, client={"transport": transport}).status_code == 200
    assert len(script.requests) == 2


@pytest.mark.parametrize(
    ("method", "status", "headers", "sent"),
    [
        ("GET", 429, {}, 2),
        ("POST", 429, {}, 2),
        ("PATCH", 429, {}, 2),
        ("GET", 503, {}, 2),
        ("HEAD", 503, {}, 2),
        ("DELETE", 503, {}, 2),
        ("POST", 503, {}, 1),
        ("PATCH", 503, {}, 1),
        ("POST", 503, {"Idempotency-Key": "a"}, 2),
        ("GET", 500, {}, 1),
        ("GET", 502, {}, 1),
        ("GET", 401, {}, 1),
    ],
)
@every_library
def test_only_what_may_arrive_twice_is_sent_again(
    caller: Caller, method: str, status: int, headers: dict[str, str], sent: int
) -> None:
    script = Script(caller, refused(status, retry_after="1"), {})
    client = script.client() | {"event_hooks": {}}
    answer = caller.send(method, URL, client=client, headers=headers)
    assert len(script.requests) == sent
    assert answer.status_code == (200 if sent == 2 else status)


@every_caller
def test_a_stream_is_not_sent_twice(caller: Caller) -> None:
    def parts() -> Iterator[bytes]:
        yield b"a"

    async def aparts() -> AsyncIterator[bytes]:
        yield b"a"

    script = Script(caller, refused(retry_after="1"), {})
    with pytest.raises(RateLimited):
        caller.send("PUT", URL, client=script.client(), content=parts() if caller.mode == "sync" else aparts())
    assert len(script.requests) == 1
    assert script.slept == []


@pytest.mark.parametrize(
    ("retry", "waits", "sent"),
    [
        (Retry(attempts=1), "1", 1),
        (Retry(attempts=3), "1", 3),
        (Retry(longest_wait=5), "6", 1),
        (Retry(longest_wait=5), "5", 4),
        (Retry(whole_time=20, longest_wait=60), "9", 3),
        (Retry(whole_time=20, longest_wait=60), "21", 1),
        (Retry(longest_wait=3600, whole_time=3600), "1000000000", 1),
        (Retry(longest_wait=3600, whole_time=3600), "9" * 60, 1),
        (Retry(), "", 1),
        (Retry(), "soon", 1),
        (Retry(), "-1", 1),
        (Retry(), "1, 2", 1),
        (Retry(), "１", 1),
        (Retry(), "1" * 5000, 1),
    ],
)
@every_library
def test_bounds_end_in_the_error_and_not_in_a_wait(caller: Caller, retry: Retry, waits: str, sent: int) -> None:
    script = Script(caller, {"status_code": 429, "headers": [(b"retry-after", waits.encode())]})
    client = script.client(retry, clock=lambda: sum(script.slept))
    with pytest.raises(RateLimited):
        caller.send("GET", URL, client=client)
    assert len(script.requests) == sent
    assert len(script.slept) == sent - 1
    assert all(wait <= retry.longest_wait for wait in script.slept)
    assert sum(script.slept) <= retry.whole_time


@pytest.mark.parametrize("jitter", [0, 1, 10])
def test_jitter_grows_and_is_only_added(jitter: int) -> None:
    caller = CALLERS[0]
    script = Script(caller, refused(retry_after="2"))
    with pytest.raises(RateLimited):
        caller.send("GET", URL, client=script.client(Retry(attempts=6, jitter=jitter, whole_time=3600)))
    assert len(script.slept) == 5
    for tries, wait in enumerate(script.slept):
        assert 2 <= wait <= 2 + jitter * 2**tries
    assert jitter == 0 or len(set(script.slept)) > 1


def at(seconds: float) -> str:
    return format_datetime(datetime(2026, 1, 15, 10, 0, tzinfo=UTC) + timedelta(seconds=seconds), usegmt=True)


NOW = datetime(2026, 1, 15, 10, 0, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({}, None),
        ({"retry-after": "17"}, 17),
        ({"retry-after": " 17\t"}, 17),
        ({"retry-after": "0"}, 0),
        ({"retry-after": at(30)}, 30),
        ({"retry-after": at(-30)}, 0),
        ({"retry-after": at(30), "date": at(10)}, 20),
        ({"retry-after": "Thursday, 15-Jan-26 10:00:30 GMT"}, 30),
        ({"retry-after": "Thu Jan 15 10:00:30 2026"}, 30),
        ({"retry-after": "Fri, 31 Feb 2026 10:00:00 GMT"}, None),
        ({"retry-after": "Fri, 31 Dec 9999 23:59:59 GMT"}, MOST_SECONDS),
        ({"retry-after": "10000000000"}, MOST_SECONDS),
        ({"retry-after": "1.5"}, None),
        ({"retry-after": "1e3"}, None),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(NOW) + 9)}, 9),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(NOW) + 9), "date": at(4)}, 5),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(NOW) - 9)}, 0),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "9"}, 9),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(NOW * 1000))}, MOST_SECONDS),
        ({"x-ratelimit-remaining": "1", "x-ratelimit-reset": "9"}, None),
        ({"x-ratelimit-reset": "9"}, None),
        ({"retry-after": "3", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "9"}, 3),
        ({"retry-after": "soon", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "9"}, 9),
    ],
)
def test_how_long_to_wait_is_read_from_each_form(headers: dict[str, str], wait: float | None) -> None:
    assert told(headers, NOW) == wait


@given(st.fixed_dictionaries({}, optional={name: st.text(max_size=80) for name in ("retry-after", "date")}))
def test_no_header_breaks_reading_and_every_wait_is_a_number_to_sleep(headers: dict[str, str]) -> None:
    wait = told(headers | {"x-ratelimit-remaining": "0", "x-ratelimit-reset": headers.get("date", "")}, time.time())
    assert wait is None or 0 <= wait <= MOST_SECONDS


@given(st.from_regex(r"[A-Z][a-z]{2,8},? [A-Za-z0-9: +-]{1,50}", fullmatch=True))
def test_no_date_breaks_reading(date: str) -> None:
    wait = told({"retry-after": date}, NOW)
    assert wait is None or 0 <= wait <= MOST_SECONDS


@pytest.mark.parametrize(
    ("name", "value"),
    [("attempts", 0), ("attempts", 101), ("longest_wait", -1), ("whole_time", 3601), ("jitter", "1"), ("jitter", True)],
)
def test_a_bound_out_of_its_range_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Retry(**{name: value})
    assert caught.value.key == name


ENVELOPE = {
    "error": {"code": "insufficient_scope", "message": "Not for this key.", "details": {"required_scopes": ["a"]}},
    "meta": {"request_id": "req_1", "timestamp": "2026-01-15T10:30:00Z"},
}
PROBLEM = {
    "type": "about:blank",
    "title": "Forbidden",
    "status": 403,
    "detail": "Not for this key.",
    "code": "insufficient_scope",
    "required_scopes": ["a"],
    "request_id": "req_1",
    "timestamp": "2026-01-15T10:30:00Z",
}


@pytest.mark.parametrize(("document", "media"), [(ENVELOPE, "json"), (PROBLEM, "problem+json")])
@every_caller
def test_an_envelope_and_a_problem_document_make_the_same_error(caller: Caller, document: Any, media: str) -> None:
    body, headers = json.dumps(document).encode(), {"content-type": f"application/{media}", "retry-after": "5"}
    for packed, encoding in ((body, {}), (gzip.compress(body), {"content-encoding": "gzip"})):
        script = Script(caller, {"status_code": 403, "content": packed, "headers": headers | encoding})
        with pytest.raises(Forbidden) as caught:
            caller.send("GET", URL, client=script.client())
        error = caught.value
        assert (error.status, error.code, error.message) == (403, "insufficient_scope", "Not for this key.")
        assert (error.details, error.request_id, error.retry_after) == ({"required_scopes": ["a"]}, "req_1", 5)
        assert str(error) == "403 insufficient_scope: Not for this key. (req_1)"
        for copied in (copy.copy(error), pickle.loads(pickle.dumps(error))):
            assert (type(copied), vars(copied)) == (Forbidden, vars(error))


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Invalid),
        (422, Invalid),
        (401, Unauthorized),
        (403, Forbidden),
        (404, NotFound),
        (410, NotFound),
        (409, Conflict),
        (412, Conflict),
        (418, ApiError),
        (429, RateLimited),
        (500, ServerError),
        (503, Unavailable),
        (599, ServerError),
    ],
)
@every_library
def test_each_status_has_its_class(caller: Caller, status: int, kind: type[ApiError]) -> None:
    with pytest.raises(ApiError) as caught:
        raise_for(caller.http.Response(status))
    assert type(caught.value) is kind
    assert caught.value.status == status
    for good in (200, 204, 301, 304):
        raise_for(caller.http.Response(good))


@pytest.mark.parametrize(
    ("headers", "content", "message"),
    [
        ("application/json", b'{"detail": "No\\nsuch thing."}', "No such thing."),
        ("application/json", b"[" * 60_000, "The resource was not found."),
        ("application/json", b"\xff", "The resource was not found."),
        ("text/html", b"<h1>Traceback", "The resource was not found."),
        ("text/plain", b"Not here.", "Not here."),
        ("", b"", "The resource was not found."),
        ("application/json", b'"' + b"a" * 70_000 + b'"', "The resource was not found."),
    ],
)
@every_library
def test_any_other_body_makes_an_error_too(caller: Caller, headers: str, content: bytes, message: str) -> None:
    with pytest.raises(NotFound) as caught:
        raise_for(caller.http.Response(404, headers={"content-type": headers}, content=content))
    assert caught.value.message == message


@unclosed
@every_caller
def test_an_error_of_a_hundred_megabytes_is_not_read(caller: Caller) -> None:
    read = [0]
    content = bodies(caller, b"a" * 65_536, 1600, read)
    script = Script(caller, {"status_code": 404, "headers": {"content-type": "text/plain"}, "content": content})
    with pytest.raises(NotFound):
        caller.send("GET", URL, client=script.client())
    assert read[0] <= 2


BOMB = gzip.compress(b"a" * 104_857_600, 1)


@unclosed
@every_caller
def test_an_error_that_unfolds_to_a_hundred_megabytes_is_not_unfolded(caller: Caller) -> None:
    headers = {"content-type": "text/plain", "content-encoding": "gzip"}
    script = Script(caller, {"status_code": 404, "headers": headers, "content": BOMB})
    with pytest.raises(NotFound) as caught:
        caller.send("GET", URL, client=script.client())
    assert caught.value.message == "The resource was not found."


@unclosed
@every_caller
def test_a_body_that_comes_too_slowly_is_left(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keystile.client.bodies.READ_WITHIN", -1.0)
    for answer, kind in ((refused(404) | {"content": b"Gone."}, NotFound), (page([1]), UnusableAnswer)):
        with pytest.raises(kind, match=r"The resource was not found\.|too slow"):
            caller.list(URL, client=Script(caller, answer).client())


@every_library
def test_no_error_repeats_the_key_that_was_sent(caller: Caller) -> None:
    said = {"error": {"code": KEY, "message": f"{KEY} is bad", "details": {KEY: [f"<{KEY}>"]}}}
    for place in PLACES:
        script = Script(caller, {"status_code": 401, "json": said, "headers": {"x-request-id": KEY}})
        with pytest.raises(Unauthorized) as caught:
            caller.send("GET", URL, client=script.client() | {"auth": KeyAuth(KEY, place)})
        error = caught.value
        assert KEY not in f"{error}{error!r}{error.args}{error.__dict__}"
        assert (error.code, error.message, error.request_id) == ("***", "*** is bad", None)


@every_caller
def test_the_key_goes_over_https_or_to_this_machine(caller: Caller) -> None:
    for place in ("Authorization: Bearer", "X-API-Key"):
        for url, allowed in (
            ("http://api.example.com/", False),
            ("http://192.0.2.1:8000/", False),
            ("http://localhost.example.com/", False),
            ("http://127.0.0.1.example.com/", False),
            ("http://localhost:8000/", True),
            ("http://127.8.0.1/", True),
            ("http://[::1]:8000/", True),
            ("https://api.example.com/", True),
        ):
            script = Script(caller, {})
            client = script.client() | {"auth": KeyAuth(KEY, place)}
            if allowed:
                caller.send("GET", url, client=client)
                assert KEY in str(script.requests[0].headers.raw)
            else:
                with pytest.raises(KeyNotSent, match="is not sent to") as caught:
                    caller.send("GET", url, client=client)
                assert KEY not in str(caught.value)
                assert script.requests == []
                caller.send("GET", url, client=client | {"auth": KeyAuth(KEY, place, allow_http=True)})
                assert KEY in str(script.requests[0].headers.raw)


@pytest.mark.parametrize("place", PLACES)
@every_library
def test_a_redirect_to_plain_http_leaves_the_key_behind(caller: Caller, place: str) -> None:
    script = Script(caller, {"status_code": 307, "headers": {"location": "http://api.example.com/v1/things"}}, {})
    client = script.client() | {"auth": KeyAuth(KEY, place), "follow_redirects": True}
    caller.send("GET", URL, client=client)
    assert len(script.requests) == 2
    last = script.requests[1]
    assert KEY not in f"{last.headers.raw}{last.url}"
    assert "authorization" not in last.headers


@pytest.mark.parametrize("place", ["X-API-Key", "?api_key", "Authorization: Bearer"])
@every_library
def test_a_key_that_was_left_behind_does_not_come_back(caller: Caller, place: str) -> None:
    there, back = ({"status_code": 307, "headers": {"location": url}} for url in ("https://evil.example.com/", URL))
    script = Script(caller, there, back, {})
    caller.send("GET", URL, client=script.client() | {"auth": KeyAuth(KEY, place), "follow_redirects": True})
    assert [KEY in f"{each.headers.raw}{each.url}" for each in script.requests] == [True, False, False]


@every_library
def test_one_key_is_sent_and_it_is_that_of_the_auth(caller: Caller) -> None:
    script = Script(caller, {})
    client = script.client() | {"auth": KeyAuth(KEY, "X-API-Key"), "headers": {"x-api-key": "another"}}
    caller.send("POST", URL, client=client, json={"a": 1})
    assert script.requests[0].headers.get_list("x-api-key") == [KEY]
    assert script.requests[0].read() == script.requests[0].content
    caller.send("GET", URL, client=script.client() | {"auth": KeyAuth(KEY, "X-API-Key")}, auth=None)
    assert "x-api-key" not in script.requests[1].headers


@every_library
def test_only_authorization_is_sent_without_the_transport(caller: Caller) -> None:
    for place, is_sent in (("Authorization: Bearer", True), ("X-API-Key", False), ("?api_key", False)):
        script = Script(caller, {})
        client = {"transport": caller.scripted(script), "auth": KeyAuth(KEY, place)}
        caller.send("GET", URL, client=client)
        assert (KEY in f"{script.requests[0].headers.raw}{script.requests[0].url}") is is_sent


@pytest.mark.parametrize(
    ("named", "key"),
    [
        ({"key": ""}, "key"),
        ({"key": "a b"}, "key"),
        ({"key": "a\r\nb"}, "key"),
        ({"key": "a,b"}, "key"),
        ({"key": "é"}, "key"),
        ({"key": b"abc"}, "key"),
        ({"key": "a" * 1025}, "key"),
        ({"header": "Cookie"}, "header"),
        ({"header": "Authorization"}, "header"),
        ({"header": "Sec-WebSocket-Protocol"}, "header"),
        ({"origin": "api.example.com"}, "origin"),
        ({"origin": "http://api.example.com"}, "origin"),
        ({"allow_http": "yes"}, "allow_http"),
    ],
)
def test_a_key_or_place_that_cannot_be_used_is_refused_and_not_repeated(named: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        KeyAuth(**({"key": KEY} | named))
    assert caught.value.key == key
    assert KEY not in str(caught.value)
    assert KEY not in repr(KeyAuth(KEY))


@every_library
def test_a_wrapped_transport_shows_what_the_inner_one_has(caller: Caller) -> None:
    script = Script(caller, {})
    inner = caller.scripted(script)
    wrapped = gate_transport(inner)
    assert wrapped.handler is script
    assert "MockTransport" in repr(wrapped)
    with pytest.raises(AttributeError):
        _ = wrapped.nothing
    with pytest.raises(AttributeError):
        _ = copy.copy(wrapped).nothing


PLAIN = PageStyle()


def page(items: Any, cursor: Any = None, style: PageStyle = PLAIN, **more: Any) -> dict[str, Any]:
    members = {style.has_more: cursor is not None, style.next_cursor: cursor} | more
    return {"json": {"data": items} | (members if style.member is None else {style.member: members})}


CAMEL = PageStyle(member="page", has_more="hasMore", next_cursor="nextCursor", parameter="pageToken", limit=None)
FLAT = PageStyle(member=None, limit=None, next_cursor="next_token", parameter="next_token", meta=False)


@pytest.mark.parametrize("style", [PLAIN, FLAT, CAMEL], ids=["plain", "flat", "camel"])
@every_caller
def test_pages_of_every_style_are_walked_and_other_parameters_stay(caller: Caller, style: PageStyle) -> None:
    script = Script(caller, page([1, 2], "a&b=%", style), page([], "c", style), page([3], None, style))
    client = script.client() | {"base_url": "https://api.example.com"}
    url = f"/v1/things?name=a%2Fb&x=1&x=2&limit=9&{style.parameter}=old#part"
    assert caller.list(url, client=client, style=style, limit=2, cursor="first") == [1, 2, 3]
    kept = "https://api.example.com/v1/things?name=a%2Fb&x=1&x=2"
    assert [str(each.url) for each in script.requests] == [
        f"{kept}&{style.parameter}={cursor}&limit=2" for cursor in ("first", "a%26b%3D%25", "c")
    ]


@every_caller
def test_a_walk_stops_when_it_is_left(caller: Caller) -> None:
    script = Script(caller, page([1, 2], "a"))
    with pytest.raises(UnusableAnswer, match="more pages than were to be read"):
        caller.list(URL, client=Script(caller, *(page([n], f"c{n}") for n in range(9))).client(), most_pages=3)
    pages = Script(caller, page([1], "a"), page([2], "b"), page([3]))
    assert caller.list(URL, client=pages.client(), most_pages=3) == [1, 2, 3]
    assert script.requests == []


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ([page([1], "a"), page([1], "b"), page([1], "a")], "for the second time"),
        ([page([1], "a"), page([1], "a")], "for the second time"),
        ([page([1], "first")], "for the second time"),
        ([page([1], "a" * (MOST_CURSOR + 1))], "no cursor of 1 to"),
        ([page([1], "a" * 1_048_576)], "no cursor of 1 to"),
        ([page([1], "")], "no cursor of 1 to"),
        ([page([1], "é")], "no cursor of 1 to"),
        ([page([1], 7)], "no cursor of 1 to"),
        ([page([1], None, has_more=True)], "no cursor of 1 to"),
        ([page([1], None, has_more="no")], "does not say with 'has_more'"),
        ([{"json": {"data": [1]}}], "does not say with 'has_more'"),
        ([page({"a": 1})], "no list under 'data'"),
        ([{"json": [1]}], "no list under 'data'"),
        ([{"text": "<p>"}], "not JSON"),
        ([{"content": b"[" * 100_000}], "not JSON"),
        ([{"status_code": 204}], "expected 200, got 204"),
        ([{"status_code": 307, "headers": {"location": "/v1/other"}}], "expected 200, got 307"),
        ([{"content": b" " * 5_000_000}], "too long"),
        ([{"content": gzip.compress(b" " * 5_000_000), "headers": {"content-encoding": "gzip"}}], "too long"),
        ([{"content": b"{}", "headers": {"content-encoding": "gzip"}}], "cannot be read"),
    ],
)
@every_library
def test_what_is_no_page_ends_the_walk_with_an_error(caller: Caller, answers: list[Any], reason: str) -> None:
    with pytest.raises(UnusableAnswer, match=reason):
        caller.list(URL, client=Script(caller, *answers).client(), cursor="first", most_bytes=4_000_000)


@every_caller
def test_a_redirect_is_followed_on_the_same_origin_alone(caller: Caller) -> None:
    for location, is_good in ((f"{URL}/", True), ("https://evil.example.com/v1/things", False)):
        script = Script(caller, {"status_code": 307, "headers": {"location": location}}, page([1]))
        client = script.client() | {"follow_redirects": True}
        if is_good:
            assert caller.list(URL, client=client) == [1]
        else:
            with pytest.raises(UnusableAnswer, match="another origin"):
                caller.list(URL, client=client)


@every_library
def test_a_link_of_the_server_is_not_followed(caller: Caller) -> None:
    link = {"headers": {"link": '<https://evil.example.com/>; rel="next"'}}
    script = Script(caller, page([1], "https://evil.example.com/") | link, page([2]))
    assert caller.list(URL, client=script.client()) == [1, 2]
    assert {request.url.host for request in script.requests} == {"api.example.com"}


@pytest.mark.parametrize("named", [{"limit": 0}, {"limit": "5"}, {"most_pages": 0}, {"most_bytes": -1}])
def test_a_walk_with_a_wrong_number_is_refused(named: dict[str, Any]) -> None:
    caller = CALLERS[0]
    script = Script(caller, page([1]))
    with pytest.raises(ConfigurationError) as caught:
        caller.list(URL, client=script.client(), **named)
    assert caught.value.key == next(iter(named))
    assert script.requests == []


def test_both_libraries_are_met() -> None:
    assert {caller.library for caller in CALLERS} == {caller.library for caller in CALLERS[::3]} == set(LIBRARIES)
