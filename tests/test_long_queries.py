"""A query that the gate has to read is bounded; a query that it need not read is not."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from keystile import current
from keystile.answers.pages import Page
from keystile.policy import CREDENTIAL_FORMS
from keystile.rules.requests.querykeys import MOST_PARAMETERS, MOST_QUERY, is_long, take
from tests.doors import Door

LONG = "a=" + "x" * MOST_QUERY
MANY = "&".join(["a=1"] * (MOST_PARAMETERS + 1))
FITTING = ["a=" + "x" * (MOST_QUERY - 2), "&".join(["a=1"] * MOST_PARAMETERS)]
SECRETS = [b"a secret for cursors"]


def query_of(seen: Any) -> str:
    """What the app, and the server's access log, see of the query."""
    if "QUERY_STRING" in seen:
        assert seen["RAW_URI"].partition("?")[2] == seen["QUERY_STRING"]
        return str(seen["QUERY_STRING"])
    return str(seen["query_string"].decode("latin-1"))


@pytest.mark.parametrize("query", [LONG, MANY], ids=["long", "many"])
def test_where_a_key_may_stand_in_the_query_a_long_one_is_refused(door: Door, query: str) -> None:
    secret = door.create().secret
    door.open(accept=[*CREDENTIAL_FORMS, "?api_key"])
    for key in (None, secret):
        answer = door.get(f"/v1/things?{query}", key)
        assert (answer.status, answer.code) == (400, "invalid_request")
        assert answer.json["error"]["message"] == (
            f"The query must have at most {MOST_QUERY} bytes and {MOST_PARAMETERS} parameters."
        )
    for where in (f"api_key={secret}&{query}", f"{query}&api_key={secret}"):
        assert door.get(f"/v1/things?{where}").status == 400
    assert door.host.calls == []


@pytest.mark.parametrize("query", FITTING, ids=["long", "many"])
def test_a_query_just_within_the_bound_is_looked_into(door: Door, query: str) -> None:
    secret = door.create().secret
    door.open(accept=[*CREDENTIAL_FORMS, "?api_key"])
    assert door.get(f"/v1/things?{query}", secret).status == 200
    assert query_of(door.host.seen) == query


def test_no_key_reaches_an_app_through_a_long_query(door: Door) -> None:
    secret = door.create().secret
    door.open(accept=[*CREDENTIAL_FORMS, "?api_key"], public=["/open"])
    for query in (LONG, MANY):
        door.get(f"/open?api_key={secret}&{query}&%61pi_ke%79={secret}")
        assert query_of(door.host.seen) == query


@pytest.mark.parametrize("query", [LONG, MANY, "&" * 60_000], ids=["long", "many", "empty"])
def test_a_query_that_nobody_has_to_look_into_is_the_apps(door: Door, query: str) -> None:
    secret = door.create().secret
    door.open()
    assert door.get(f"/v1/things?{query}", secret).status == 200
    assert query_of(door.host.seen) == query


@pytest.mark.parametrize("query", [LONG, MANY], ids=["long", "many"])
def test_over_https_a_redirecting_gate_has_no_business_with_the_query(door: Door, query: str) -> None:
    secret = door.create().secret
    door.open(https="redirect", public_url="https://api.example.com")
    assert door.get(f"/v1/things?{query}", secret, scheme="https").status == 200
    assert query_of(door.host.seen) == query


@pytest.mark.parametrize("target", [f"/v1?{LONG}", f"/v1?{MANY}", "/" + "x" * MOST_QUERY], ids=["long", "many", "path"])
def test_what_is_too_long_to_lead_elsewhere_is_refused_and_not_cut(door: Door, target: str) -> None:
    secret = door.create().secret
    door.open(https="redirect", public_url="https://api.example.com")
    heard: list[Any] = []
    door.gate.on_event(heard.append)
    answer = door.get(target, secret)
    assert (answer.status, answer.code, answer.header("location")) == (403, "https_required", None)
    assert heard[-1].status == 403
    for fitting in (*(f"/v1?{query}" for query in FITTING), "/" + "x" * (MOST_QUERY - 1)):
        assert door.get(fitting, secret).header("location") == f"https://api.example.com{fitting}"


@pytest.mark.parametrize("query", [LONG, MANY], ids=["long", "many"])
def test_page_parameters_are_not_read_from_a_long_query(door: Door, query: str) -> None:
    secret = door.create().secret
    door.open(envelope=True, cursor_secrets=SECRETS)
    door.host.acts = lambda: current().page_params()
    answer = door.get(f"/v1/things?{query}", secret)
    assert (answer.status, answer.code) == (400, "invalid_request")
    assert answer.json["error"]["details"]["reason"] == (
        f"expected a query of at most {MOST_QUERY} bytes and {MOST_PARAMETERS} parameters"
    )


@pytest.mark.parametrize("target", [f"/v1?{LONG}", f"/v1?{MANY}", "/" + "x" * MOST_QUERY], ids=["long", "many", "path"])
def test_no_link_leads_from_what_is_too_long(door: Door, target: str) -> None:
    secret = door.create().secret
    door.open(envelope=True, cursor_secrets=SECRETS)
    door.host.acts = lambda: current().paginate(Page([1], 1, True, "next"))
    answer = door.get(target, secret)
    assert (answer.status, answer.header("link")) == (200, None)
    assert answer.json["pagination"]["next_cursor"] == "next"
    assert door.get(f"/v1?{FITTING[0]}", secret).header("link") is not None


@pytest.mark.parametrize(
    ("query", "rest", "values"),
    [
        (b"", b"", []),
        (b"&", b"&", []),
        (b"k", b"", [b""]),
        (b"k=1", b"", [b"1"]),
        (b"k=1&", b"", [b"1"]),
        (b"&k=1", b"", [b"1"]),
        (b"a&&k=1", b"a&", [b"1"]),
        (b"k=1&a=b+c", b"a=b+c", [b"1"]),
        (b"%6B=1&%6b=2", b"", [b"1", b"2"]),
        (b"k=1&k=2&k=3&a", b"a", [b"1", b"2"]),  # more than one is too many, however many
        (b"k=a+b%20c%2", b"", [b"a b c%2"]),
        (b"kk=1&K=2&k+=3&%6=4&a=k", b"kk=1&K=2&k+=3&%6=4&a=k", []),
        (b"k=a=b", b"", [b"a=b"]),
    ],
)
def test_a_parameter_is_taken_out_of_a_query(query: bytes, rest: bytes, values: list[bytes]) -> None:
    assert take(query, b"k") == (rest, values)


def test_the_bound_is_exact() -> None:
    assert [is_long(query.encode()) for query in FITTING] == [False, False]
    assert [is_long(query.encode()) for query in (LONG, MANY, FITTING[0] + "x", FITTING[1] + "&")] == [True] * 4


def test_a_key_in_a_long_query_stands_in_no_log(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    secret = door.create().secret
    door.open(accept=[*CREDENTIAL_FORMS, "?api_key"], https="redirect", public_url="https://api.example.com")
    with caplog.at_level(logging.DEBUG):
        for scheme in ("http", "https"):
            door.get(f"/v1?{LONG}&api_key={secret}&other={secret}", scheme=scheme)
    assert secret not in caplog.text
