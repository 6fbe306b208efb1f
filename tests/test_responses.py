"""How a refusal goes out, and what the gate adds to the host's answers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any, AnyStr

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystile import Refused
from keystile._ground.frozen import FrozenDict
from keystile.answers.responses import HeaderWriter, RefusalWriter, Reply, timestamp
from keystile.model import Reason
from keystile.rules import outcomes

VARY = ("api-key", "authorization", "x-api-key")
ALL_VARY = "api-key, authorization, x-api-key"
NOW = 1_768_473_000.75
ID, OTHER_ID = "req_" + "a" * 24, "req_" + "Z9" * 12
REASONS = [value for value in vars(outcomes).values() if isinstance(value, Reason)]
REASONS += [
    outcomes.lacking(frozenset({"b:write", "a"})),
    Reason(418, "teapot", 'Ünsure, "really"', FrozenDict(x="é\u2028")),
]


def refused(reason: Reason, request_id: str = ID, now: float = NOW, realm: str = "api") -> Reply[str]:
    return RefusalWriter(str, VARY, realm).write(Refused(reason, request_id), now)


# Refusals


@pytest.mark.parametrize("reason", REASONS, ids=lambda reason: reason.code)
def test_a_refusal_is_the_error_envelope_in_json(reason: Reason) -> None:
    reply = refused(reason)
    assert reply.status == reason.status
    assert json.loads(reply.body) == {
        "error": {"code": reason.code, "message": reason.message, "details": json.loads(json.dumps(reason.details))},
        "meta": {"request_id": ID, "timestamp": "2026-01-15T10:30:00Z"},
    }
    assert reply.body.isascii()


@pytest.mark.parametrize("reason", REASONS, ids=lambda reason: reason.code)
def test_a_refusal_has_the_headers_that_its_reason_asks_for_and_each_once(reason: Reason) -> None:
    reply = refused(reason)
    headers = dict(reply.headers)
    assert len(headers) == len(reply.headers)
    assert all(name == name.lower() for name in headers)
    expected = {
        "content-type": "application/json",
        "content-length": str(len(reply.body)),
        "cache-control": "no-store",
        "vary": ALL_VARY,
        "x-request-id": ID,
    }
    if reason.challenge is not None:
        expected["www-authenticate"] = f'Bearer realm="api"{reason.challenge}'
    if reason.retry_after is not None:
        expected["retry-after"] = str(reason.retry_after)
    assert headers == expected


@pytest.mark.parametrize("reason", REASONS, ids=lambda reason: reason.code)
def test_two_refusals_for_one_reason_differ_in_id_and_time_alone(reason: Reason) -> None:
    one, other = refused(reason), refused(reason, OTHER_ID, NOW + 3601)
    assert one.body != other.body
    assert len(one.body) == len(other.body)
    stamps = {b"2026-01-15T10:30:00Z": b"T", b"2026-01-15T11:30:01Z": b"T", ID.encode(): b"I", OTHER_ID.encode(): b"I"}

    def blank(body: bytes) -> bytes:
        for stamp, mark in stamps.items():
            body = body.replace(stamp, mark)
        return body

    assert blank(one.body) == blank(other.body)
    assert one.headers[:-1] == other.headers[:-1]
    assert (one.headers[-1], other.headers[-1]) == (("x-request-id", ID), ("x-request-id", OTHER_ID))


def test_one_writer_writes_many_refusals_and_none_touches_the_next() -> None:
    writer = RefusalWriter(str, VARY, "api")
    for _ in range(3):
        reply = writer.write(Refused(outcomes.MISSING, ID), NOW)
        assert reply == refused(outcomes.MISSING)
        reply.headers.append(("x-more", "of the door's"))
        assert writer.write(Refused(outcomes.INVALID, OTHER_ID), NOW) == refused(outcomes.INVALID, OTHER_ID)


def test_more_reasons_than_are_kept_ready_are_still_written_right() -> None:
    writer = RefusalWriter(str, VARY, "api")
    for number in [*range(2000), *range(2000)]:
        reply = writer.write(Refused(Reason(400, f"code_{number}", "m"), ID), NOW)
        assert json.loads(reply.body)["error"]["code"] == f"code_{number}"
        assert dict(reply.headers)["content-length"] == str(len(reply.body))


def test_both_doors_say_the_same() -> None:
    for reason in REASONS:
        as_text, as_bytes = refused(reason), RefusalWriter(str.encode, VARY, "api").write(Refused(reason, ID), NOW)
        assert as_bytes.headers == [(name.encode(), value.encode()) for name, value in as_text.headers]
        assert (as_bytes.status, as_bytes.body) == (as_text.status, as_text.body)


@pytest.mark.parametrize(
    ("reason", "status", "code", "challenge"),
    [
        (outcomes.MISSING, 401, "missing_api_key", 'Bearer realm="the api"'),
        (outcomes.INVALID, 401, "invalid_api_key", 'Bearer realm="the api", error="invalid_token"'),
        (outcomes.REVOKED, 401, "revoked_api_key", 'Bearer realm="the api", error="invalid_token"'),
        (outcomes.EXPIRED, 401, "expired_api_key", 'Bearer realm="the api", error="invalid_token"'),
        (outcomes.AMBIGUOUS, 400, "invalid_request", 'Bearer realm="the api", error="invalid_request"'),
        (outcomes.ADDRESS, 403, "ip_not_allowed", None),
        (outcomes.STORE_DOWN, 503, "unavailable", None),
        (outcomes.OVERLOADED, 503, "unavailable", None),
        (
            outcomes.lacking(frozenset({"b:write", "a"})),
            403,
            "insufficient_scope",
            'Bearer realm="the api", error="insufficient_scope", scope="a b:write"',
        ),
    ],
)
def test_each_outcome_has_the_status_code_and_challenge_that_are_promised(
    reason: Reason, status: int, code: str, challenge: str | None
) -> None:
    reply = refused(reason, realm="the api")
    assert (reply.status, json.loads(reply.body)["error"]["code"]) == (status, code)
    assert dict(reply.headers).get("www-authenticate") == challenge


def test_retry_after_comes_with_503_alone_and_is_at_least_a_second() -> None:
    for reason in REASONS:
        retry_after = dict(refused(reason).headers).get("retry-after")
        assert (retry_after is not None) == (reason.status == 503)
        assert retry_after is None or int(retry_after) >= 1


def test_missing_scopes_are_listed_in_order_in_the_details() -> None:
    body = json.loads(refused(outcomes.lacking(frozenset({"b", "a", "c"}))).body)
    assert body["error"]["details"] == {"required_scopes": ["a", "b", "c"]}


@given(st.floats(0, 4e9))
def test_a_timestamp_is_utc_in_whole_seconds_never_ahead_of_the_clock(now: float) -> None:
    text = timestamp(now)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", text)
    assert datetime.fromisoformat(text).timestamp() == int(now)


# The host's answers. Each case runs for ASGI's bytes and for WSGI's text.


def as_bytes(headers: list[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in headers]


def same(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return headers


def written(headers: list[tuple[str, str]], *, protected: bool = True) -> list[tuple[str, str]]:
    """What goes out, the same on both sides."""
    text = outgoing(str, same, headers, protected)
    octets = outgoing(str.encode, as_bytes, headers, protected)
    assert [(name.decode(), value.decode()) for name, value in octets] == text
    return text


def outgoing(
    encode: Callable[[str], AnyStr], prepare: Callable[..., Any], headers: list[tuple[str, str]], protected: bool
) -> list[tuple[AnyStr, AnyStr]]:
    given_headers = prepare(headers)
    before = list(given_headers)
    result = HeaderWriter(encode, VARY).write(given_headers, encode(ID), protected=protected)
    assert given_headers == before
    assert result is not given_headers
    return result


def values(headers: list[tuple[str, str]], name: str) -> list[str]:
    return [value for each, value in headers if each.lower() == name]


def directives(headers: list[tuple[str, str]]) -> set[str]:
    """What a cache reads, which splits outside quotes."""
    joined = ",".join(values(headers, "cache-control"))
    return {part.strip().lower() for part in re.findall(r'(?:[^,"]|"[^"]*")+', joined)} - {""}


APP = [
    ("Content-Type", "text/plain"),
    ("Set-Cookie", "a=1"),
    ("X-Custom", "one"),
    ("Set-Cookie", "b=2"),
    ("x-custom", "two"),
    ("Content-Length", "5"),
    ("Set-Cookie", "a=1"),
]


@pytest.mark.parametrize("protected", [True, False])
def test_the_apps_headers_keep_their_order_case_and_repeats(protected: bool) -> None:
    assert written(APP, protected=protected)[: len(APP)] == APP


def test_a_protected_answer_gains_id_cache_control_and_vary() -> None:
    assert written(APP)[len(APP) :] == [("x-request-id", ID), ("cache-control", "private"), ("vary", ALL_VARY)]


def test_a_public_answer_gains_the_id_alone() -> None:
    caching = [("Cache-Control", "public, max-age=60"), ("Vary", "Accept"), ("ETag", '"x"')]
    assert written(caching, protected=False) == [*caching, ("x-request-id", ID)]


@pytest.mark.parametrize("protected", [True, False])
@pytest.mark.parametrize("name", ["X-Request-ID", "x-request-id", "X-REQUEST-ID"])
def test_the_apps_request_id_is_replaced_however_often_it_stands(name: str, protected: bool) -> None:
    headers = written([(name, "theirs"), ("a", "b"), (name, "again")], protected=protected)
    assert values(headers, "x-request-id") == [ID]
    assert headers[0] == ("a", "b")


def test_pairs_that_are_lists_or_come_from_a_generator_are_taken_too() -> None:
    pairs = ([name, value] for name, value in [(b"a", b"b"), (b"vary", b"accept")])
    result = HeaderWriter(str.encode, VARY).write(pairs, ID.encode(), protected=True)  # type: ignore[arg-type]
    assert [tuple(pair) for pair in result][-1] == (b"vary", b"accept, " + ALL_VARY.encode())
    assert tuple(result[0]) == (b"a", b"b")


def test_the_app_may_send_one_list_again_and_again() -> None:
    writer = HeaderWriter(str, VARY)
    first = writer.write(APP, ID, protected=True)
    first.append(("x-more", "1"))
    assert writer.write(APP, ID, protected=True) == first[:-1]


@pytest.mark.parametrize(
    ("lines", "merged"),
    [
        (["max-age=60"], "max-age=60, private"),
        (["public"], "private"),
        (["PUBLIC"], "private"),
        (["public, max-age=60"], "max-age=60, private"),
        (["max-age=60, public, must-revalidate"], "max-age=60, must-revalidate, private"),
        (["private"], "private"),
        (["Private"], "Private"),
        (["private, max-age=60"], "private, max-age=60"),
        (["no-store"], "no-store"),
        (["No-Store"], "No-Store"),
        (["no-store, max-age=0"], "no-store, max-age=0"),
        (["no-cache"], "no-cache, private"),
        (["s-maxage=60"], "s-maxage=60, private"),
        (['private="x-name"'], 'private="x-name", private'),
        (['no-cache="set-cookie"'], 'no-cache="set-cookie", private'),
        ([""], "private"),
        ([" , ,"], "private"),
        (["public", "max-age=60"], "max-age=60, private"),
        (["max-age=60", "no-store"], "max-age=60, no-store"),
        (["private", "max-age=60"], "private, max-age=60"),
        (["publicity"], "publicity, private"),
        (["my-private"], "my-private, private"),
        (["private, public"], "private"),
        (["public", "private"], "private"),
        (["public, no-store"], "no-store"),
    ],
)
def test_cache_control_is_merged_into_one_line_and_never_loosened(lines: list[str], merged: str) -> None:
    headers = written([("Cache-Control", line) for line in lines])
    assert values(headers, "cache-control") == [merged]


@pytest.mark.parametrize("value", ['private="a,b"', 'no-cache="a, private, b"', 'x="y, no-store, z"', 'x=", private,"'])
def test_a_word_within_quotes_is_no_directive(value: str) -> None:
    assert "private" in directives(written([("cache-control", value)]))


cache_values = st.lists(
    st.sampled_from(
        [
            "public",
            "private",
            "no-store",
            "no-cache",
            "max-age=60",
            "s-maxage=9",
            'private="x"',
            'no-cache="y"',
            "PUBLIC",
            "",
        ]
    ),
    max_size=5,
).map(", ".join)


@given(st.lists(cache_values, max_size=3))
def test_no_cache_control_of_the_apps_lets_a_shared_cache_keep_a_protected_answer(lines: list[str]) -> None:
    headers = written([("cache-control", line) for line in lines])
    said, asked = directives(headers), {part for line in lines for part in directives([("cache-control", line)])}
    assert len(values(headers, "cache-control")) == 1
    assert said & {"private", "no-store"}
    assert "public" not in said
    assert asked - {"public"} <= said
    assert said - asked <= {"private"}


@pytest.mark.parametrize(
    ("lines", "merged"),
    [
        ([], ALL_VARY),
        ([""], ALL_VARY),
        (["Accept"], f"Accept, {ALL_VARY}"),
        (["Accept", "Origin"], f"Accept, Origin, {ALL_VARY}"),
        (["Accept,Origin"], f"Accept, Origin, {ALL_VARY}"),
        (["Authorization"], "Authorization, api-key, x-api-key"),
        (["X-API-KEY, aPi-kEy , AUTHORIZATION"], "X-API-KEY, aPi-kEy, AUTHORIZATION"),
        (["*"], "*"),
        (["Accept, *"], "*"),
        (["Accept", "*"], "*"),
        (["Authorization-Info"], f"Authorization-Info, {ALL_VARY}"),
    ],
)
def test_vary_is_merged_into_one_line_with_each_credential_header_once(lines: list[str], merged: str) -> None:
    assert values(written([("Vary", line) for line in lines]), "vary") == [merged]


def test_vary_names_only_the_headers_that_are_read() -> None:
    headers = HeaderWriter(str, ("x-api-key",)).write([], ID, protected=True)
    assert headers == [("x-request-id", ID), ("cache-control", "private"), ("vary", "x-api-key")]
