"""`keystile.client` against servers that want the key, or to be waited for: redirects by hand, echoes, chains."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import quote

import pytest

from keystile.client import ApiError, KeyAuth, RateLimited, Retry, Unauthorized, UnusableAnswer
from tests.clients import PLACES, Caller
from tests.test_client import KEY, URL, Script, every_caller, every_library, refused

EVIL, BACK = "https://evil.example.com/", "https://api.example.com/v1/open"
ODD = "ab/cd+ef=%gh~"
BASIC = base64.b64encode(f"{KEY}:".encode()).decode()


def holding(request: Any) -> bool:
    """Whether it holds the key in any form."""
    text = f"{request.headers.raw}{request.url}"
    return KEY in text or BASIC in text


def to(location: str) -> dict[str, Any]:
    return {"status_code": 307, "headers": {"location": location}}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("origin", [None, "https://api.example.com"])
@every_caller
def test_a_redirect_that_is_followed_by_hand_leaves_the_key_behind(
    caller: Caller, place: str, origin: str | None
) -> None:
    script = Script(caller, to(URL), to(EVIL), to(BACK), {})
    client = script.client() | {"auth": KeyAuth(KEY, place, origin=origin), "event_hooks": {}}
    answer = caller.send("GET", URL, client=client)
    for _ in range(3):
        answer = caller.resend(answer.next_request, client=client)
    assert [holding(each) for each in script.requests] == [True, True, False, False]


@every_library
def test_a_request_that_is_sent_once_more_has_its_key_and_its_time_anew(caller: Caller) -> None:
    script = Script(caller, to(EVIL), {}, {})
    auth = KeyAuth(KEY, "X-API-Key")
    client = script.client() | {"auth": auth, "follow_redirects": True}
    first = caller.send("GET", URL, client=client).history[0].request
    assert caller.resend(first, client=client).status_code == 200
    assert [holding(each) for each in script.requests] == [True, False, True]
    assert (
        caller.resend(caller.http.Request("GET", EVIL, extensions=first.extensions), client=client).status_code == 200
    )
    assert not holding(script.requests[3])
    other = KeyAuth("a_key_for_elsewhere", "X-API-Key")
    moved = caller.http.Request("GET", EVIL, extensions=first.extensions)
    caller.resend(moved, client=client | {"auth": other})
    assert script.requests[4].headers["x-api-key"] == "a_key_for_elsewhere"


@every_library
def test_one_key_is_in_the_query_and_it_is_that_of_the_auth(caller: Caller) -> None:
    script = Script(caller, to(f"{URL}?a=1&api%5Fkey={KEY}&b=%26"), {})
    client = script.client() | {"auth": KeyAuth(KEY, "?api_key"), "follow_redirects": True}
    caller.send("GET", f"{URL}?api_key=another&a=1&a=2", client=client)
    assert [each.url.query.decode() for each in script.requests] == [
        f"a=1&a=2&api_key={KEY}",
        f"a=1&b=%26&api_key={KEY}",
    ]


@pytest.mark.parametrize(
    ("place", "key", "form"),
    [
        ("Authorization: Basic", KEY, BASIC),
        ("Authorization: Basic", KEY, BASIC.rstrip("=")),
        ("?api_key", ODD, quote(ODD, safe="")),
        ("?api_key", ODD, quote(ODD)),
        ("X-API-Key", ODD, ODD),
    ],
)
@every_library
def test_no_form_of_the_key_is_repeated(caller: Caller, place: str, key: str, form: str) -> None:
    told = {"code": "bad_key", "message": f"bad {form}!", "details": {form: [form, {"a": f"<{form}>"}]}}
    answer = {"status_code": 401, "json": {"error": told}, "headers": {"x-request-id": "req_1"}}
    with pytest.raises(Unauthorized) as caught:
        caller.send("GET", URL, client=Script(caller, answer).client() | {"auth": KeyAuth(key, place)})
    error = caught.value
    assert form not in f"{error}{error!r}{error.args}"
    assert (error.message.replace("*", "").rstrip("="), error.request_id) == ("bad !", "req_1") or "=" in form


@pytest.mark.parametrize("held", [1, 10, len(KEY) - 1])
@every_library
def test_a_message_that_is_cut_within_the_key_does_not_end_with_a_part_of_it(caller: Caller, held: int) -> None:
    message = "x" * (999 - held) + KEY + "yy"
    answer = {"status_code": 401, "json": {"error": {"code": "bad", "message": message, "details": {}}}}
    with pytest.raises(Unauthorized) as caught:
        caller.send("GET", URL, client=Script(caller, answer).client() | {"auth": KeyAuth(KEY)})
    assert caught.value.message == "x" * (999 - held) + "…"
    assert caught.value.details == {"message": "x" * (999 - held) + "***yy"}


@pytest.mark.parametrize(
    ("key", "details", "clean"),
    [
        ("1", {"limit": 100}, {"limit": 100}),
        ("123456", {"n": 123456, "m": [1234567]}, {"n": "***", "m": [1234567]}),
        (":", {"n": 1}, {"n": 1}),
        ("true", {"n": True, "m": "true"}, {"n": True, "m": "***"}),
    ],
)
@every_library
def test_a_key_that_looks_like_json_makes_no_other_error(caller: Caller, key: str, details: Any, clean: Any) -> None:
    answer = {"status_code": 422, "json": {"error": {"code": "bad", "message": "no", "details": details}}}
    with pytest.raises(ApiError) as caught:
        caller.send("GET", URL, client=Script(caller, answer).client() | {"auth": KeyAuth(key)})
    assert caught.value.details == clean


@every_library
def test_waits_of_a_chain_of_redirects_have_one_bound(caller: Caller) -> None:
    now = [0.0]
    wait, again = refused(retry_after="40"), to("/v1/things")
    script = Script(caller, wait, wait, again, wait, again, wait)

    def sleep(seconds: float) -> None:
        now[0] += seconds

    client = script.client(Retry(jitter=0, attempts=10)) | {"follow_redirects": True}
    client["transport"]._sleep = client["transport"]._asleep = sleep
    client["transport"]._clock = lambda: now[0]
    with pytest.raises(RateLimited):
        caller.send("GET", URL, client=client)
    assert (now[0], len(script.requests)) == (120.0, 6)
    # The same request once more is another one.
    first = script.requests[0]
    with pytest.raises(RateLimited):
        caller.resend(first, client=client)
    assert now[0] == 240.0


@every_library
def test_an_empty_idempotency_key_is_none(caller: Caller) -> None:
    script = Script(caller, refused(503, retry_after="1"), {})
    client = script.client() | {"event_hooks": {}}
    assert caller.send("POST", URL, client=client, headers={"Idempotency-Key": ""}).status_code == 503
    assert len(script.requests) == 1


@every_library
def test_a_page_by_way_of_another_origin_is_refused(caller: Caller) -> None:
    page = {"json": {"data": [1], "pagination": {"has_more": False, "next_cursor": None}}}
    script = Script(caller, to(EVIL), to(BACK), page)
    with pytest.raises(UnusableAnswer, match="another origin"):
        caller.list(URL, client=script.client() | {"follow_redirects": True})
