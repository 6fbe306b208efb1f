"""Cursors that cannot be altered, limits that can only be numbers, and walks that lose and repeat nothing."""

from __future__ import annotations

import base64
import copy
import hashlib
import hmac
import json
import pickle
import string
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import IntEnum
from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keystile import ConfigurationError, InvalidRequest, PageStyle
from keystile.answers import cursors
from keystile.answers import pages as module
from keystile.answers.cursors import MAX_CURSOR, Cursor
from keystile.answers.pages import Page, PageParams, members, next_query
from keystile.rules.requests.urls import target_of

SECRET, OTHER = b"0123456789abcdef", b"fedcba9876543210"
ALPHABET = string.ascii_letters + string.digits + "-_"
BOUND: dict[str, Any] = {"route": "/v1/items", "filters": ((b"q", b"x"), (b"tag", b"a")), "owner": "org 1"}
FLAT = PageStyle(member=None, limit=None, next_cursor="next_token", parameter="next_token", meta=False)


def cursor(*after: Any, **changes: Any) -> Cursor:
    return Cursor(after, **{**BOUND, **changes})


def verify(text: str, secrets: Any = (SECRET,), **changes: Any) -> Cursor:
    return Cursor.verify(text, secrets, **{**BOUND, "parameter": "cursor", **changes})


def refused(text: str, secrets: Any = (SECRET,), **changes: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        verify(text, secrets, **changes)
    return caught.value


REASON = "expected the cursor of a page of this list, asked for in the same way"

# Whole seconds: Python 3.11 itself does not read back an offset of microseconds that it wrote.
offsets = st.integers(-82_800, 82_800).map(lambda seconds: timezone(timedelta(seconds=seconds)))
keys = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=30),
    st.text(st.characters(categories=["Cs"]), max_size=3),
    st.binary(max_size=30),
    st.datetimes(),
    st.datetimes(min_value=datetime(2, 1, 1), max_value=datetime(9998, 1, 1), timezones=offsets),
    st.dates(),
    st.decimals(allow_nan=False, allow_infinity=False),
    st.uuids(),
)
pairs = st.tuples(st.binary(max_size=5), st.binary(max_size=5))


@given(st.lists(keys, min_size=1, max_size=5), st.text(max_size=9), st.lists(pairs, max_size=4), st.text(max_size=9))
def test_a_place_comes_back_as_it_was(after: list[Any], route: str, filters: list[Any], owner: str) -> None:
    place = Cursor(tuple(after), route, tuple(filters), owner)
    text = place.sign([SECRET])
    back = Cursor.verify(text, [SECRET], route=route, filters=tuple(filters), owner=owner, parameter="cursor")
    assert back == place
    assert [type(key) for key in back.after] == [type(key) for key in after]
    assert set(text) <= set(ALPHABET)


def test_aware_and_naive_moments_stay_what_they_are() -> None:
    moments = datetime(2026, 1, 15, 10, 30, tzinfo=UTC), datetime(2026, 1, 15, 10, 30, 0, 1)
    back = verify(cursor(*moments).sign([SECRET])).after
    assert back == moments
    assert [moment.utcoffset() for moment in back] == [timedelta(0), None]


def test_a_number_keeps_its_sign_and_a_decimal_its_digits() -> None:
    back = verify(cursor(-0.0, Decimal("1.50"), 2**80).sign([SECRET])).after
    assert [str(key) for key in back] == ["-0.0", "1.50", str(2**80)]


def test_a_uuid_of_a_driver_is_a_uuid() -> None:
    class DriversUUID(UUID):
        pass

    (back,) = verify(cursor(DriversUUID(int=5)).sign([SECRET])).after
    assert type(back) is UUID
    assert back == UUID(int=5)


@pytest.mark.parametrize(
    ("key", "name"),
    [
        (IntEnum("Colour", "red").red, "Colour"),  # type: ignore[attr-defined]
        (type("Text", (str,), {})("x"), "Text"),
        ([1], "list"),
        (object(), "object"),
        (timedelta(1), "timedelta"),
        (bytearray(b"x"), "bytearray"),
    ],
)
def test_another_type_is_named(key: Any, name: str) -> None:
    with pytest.raises(TypeError, match=f"of the type {name}"):
        cursor(key).sign([SECRET])


@pytest.mark.parametrize("key", [float("nan"), float("inf"), Decimal("NaN"), Decimal("-Infinity"), Decimal("sNaN")])
def test_a_number_that_is_not_finite_has_no_place(key: Any) -> None:
    with pytest.raises(ValueError, match="cannot be"):
        cursor(key).sign([SECRET])


def test_a_text_is_bounded_on_both_sides() -> None:
    longest = cursor("x" * 3050).sign([SECRET])
    assert MAX_CURSOR - 3 < len(longest) <= MAX_CURSOR
    assert verify(longest).after == ("x" * 3050,)
    with pytest.raises(ValueError, match="too long"):
        cursor("x" * 3051).sign([SECRET])
    with pytest.raises(ValueError, match="4300"):
        cursor(10**5000).sign([SECRET])
    assert refused("A" * 100_000).reason == REASON


def test_any_altered_character_is_refused() -> None:
    text = cursor("ab", 7, datetime(2026, 1, 1, tzinfo=UTC)).sign([SECRET])
    others = ALPHABET + "=+/. \n\0%é\uff21"
    for at, was in enumerate(text):
        for char in others:
            if char != was:
                refused(text[:at] + char + text[at + 1 :])
        refused(text[:at] + text[at + 1 :])
    for at in range(len(text) + 1):
        for char in "A_=\né":
            refused(text[:at] + char + text[at:])
    for at in range(len(text)):
        refused(text[:at])
        refused(text[at + 1 :])


def test_bits_that_base64_ignores_cannot_be_altered() -> None:
    # One of these payloads, at least, ends in a character with bits that no byte takes.
    for keys_ in (("a",), ("ab",), ("abc",)):
        text = cursor(*keys_).sign([SECRET])
        payload = text[:-22]
        decoded = base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
        twins = [payload[:-1] + char for char in ALPHABET if char != payload[-1]]
        for twin in twins:
            if base64.urlsafe_b64decode(twin + "=" * (-len(twin) % 4)) == decoded:
                assert refused(twin + text[-22:]).reason == REASON
        assert refused(payload + "==" + text[-22:]).reason == REASON


@given(st.text() | st.text(ALPHABET, min_size=20, max_size=60))
def test_whatever_is_sent_nothing_else_is_raised(text: str) -> None:
    assert refused(text).reason == REASON


@given(st.binary(max_size=80), st.binary(max_size=80))
def test_whatever_query_is_sent_nothing_else_is_raised(start: bytes, end: bytes) -> None:
    for query in (start, start + b"&cursor=" + end, b"limit=" + start, start + b"&limit=" + end):
        for given_ in (query, query.decode("latin-1"), query.decode("utf-8", "surrogateescape")):
            with suppress(InvalidRequest):
                assert 1 <= PageParams.read(given_, secrets=[SECRET]).limit <= 100


@pytest.mark.parametrize(
    "other",
    [
        {"route": "/v1/items/"},
        {"route": "/v1/itemsorg 1", "owner": ""},
        {"owner": "org 2"},
        {"owner": ""},
        {"filters": ()},
        {"filters": ((b"q", b"x"),)},
        {"filters": ((b"q", b"y"), (b"tag", b"a"))},
        {"filters": ((b"q", b"x"), (b"tag", b"a"), (b"tag", b"a"))},
        {"filters": ((b"qx", b""), (b"tag", b"a"))},
        {"secrets": [OTHER]},
    ],
)
def test_a_cursor_of_something_else_is_refused_with_the_same_reason(other: dict[str, Any]) -> None:
    error = refused(cursor(1).sign([SECRET]), parameter="next_token", **other)
    assert (error.reason, error.parameter) == (REASON, "next_token")


def test_what_a_cursor_is_bound_to_cannot_be_shifted() -> None:
    texts = {
        Cursor((1,), route, filters, owner).sign([SECRET])
        for route in ("", "a", "ab")
        for owner in ("", "a", "b", "ab")
        for filters in (
            (),
            ((b"a", b""),),
            ((b"", b"a"),),
            ((b"a", b"b"),),
            ((b"ab", b""),),
            ((b"a", b""), (b"b", b"")),
        )
    }
    assert len(texts) == 3 * 4 * 6


def test_the_order_of_different_parameters_does_not_matter_and_repeats_do() -> None:
    text = cursor(1, filters=((b"a", b"1"), (b"b", b"2"), (b"a", b"3"))).sign([SECRET])
    verify(text, filters=((b"b", b"2"), (b"a", b"1"), (b"a", b"3")))
    refused(text, filters=((b"b", b"2"), (b"a", b"3"), (b"a", b"1")))
    refused(text, filters=((b"b", b"2"), (b"a", b"1")))


def test_the_first_secret_signs_and_all_verify() -> None:
    old, new = cursor(1).sign([SECRET]), cursor(1).sign([OTHER, SECRET])
    assert old != new
    assert verify(old, [OTHER, SECRET]) == verify(new, [OTHER, SECRET]) == cursor(1)
    assert new == cursor(1).sign([OTHER])
    refused(old, [OTHER])


def test_a_mac_that_the_secret_makes_elsewhere_is_none() -> None:
    text = cursor(1).sign([SECRET])
    parts = [text[:-22].encode(), b"/v1/items", b"org 1", b"q", b"x", b"tag", b"a"]
    message = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    plain = hmac.digest(SECRET, message, hashlib.sha256)[:16]
    own = hmac.digest(hmac.digest(SECRET, b"keystile cursor 1", "sha256"), message, "sha256")[:16]
    assert text[-22:] == base64.urlsafe_b64encode(own).decode().rstrip("=")
    refused(text[:-22] + base64.urlsafe_b64encode(plain).decode().rstrip("="))


def test_the_text_of_another_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cursors, "_VERSION", b"\x02")
    text = cursor(1).sign([SECRET])
    monkeypatch.undo()
    assert refused(text).reason == REASON


def test_neither_owner_nor_route_nor_filters_stand_in_the_text() -> None:
    text = cursor(1).sign([SECRET])
    decoded = base64.urlsafe_b64decode(text[:-22] + "=" * (-len(text[:-22]) % 4))
    assert json.loads(decoded[1:]) == [1]


# What a query says.


def read(query: bytes | str, **more: Any) -> PageParams:
    return PageParams.read(query, **{"secrets": [SECRET], **more})


@pytest.mark.parametrize(
    "sent",
    [
        *("1_0", "\uff11\uff10", "%EF%BC%91", "+5", "%2B5", "%205", " 5", "5 ", "5%0A", "-1", "0", "000", "", "5.0"),
        *("1e1", "0x5", "\u00b2", "\u0663", "5%00", "null", "5,6", "%FF", "0" * 5000),
    ],
)
def test_a_limit_is_a_number_from_1_in_ascii_digits(sent: str) -> None:
    for query in (f"limit={sent}", f"limit={sent}".encode()):
        with pytest.raises(InvalidRequest) as caught:
            read(query)
        assert (caught.value.parameter, caught.value.reason) == ("limit", "expected a whole number of at least 1")


@pytest.mark.parametrize(
    ("sent", "limit"),
    [("1", 1), ("007", 7), ("%31", 1), ("100", 100), ("101", 100), ("9" * 5000, 100), ("0" * 4999 + "9", 9)],
)
def test_a_limit_above_the_maximum_is_clamped(sent: str, limit: int) -> None:
    assert read(f"limit={sent}").limit == limit


def test_the_limits_are_the_styles_unless_they_are_given() -> None:
    assert read("").limit == 50
    assert read("", style=PageStyle(default_limit=7, max_limit=9)).limit == 7
    assert read("limit=500", style=PageStyle(default_limit=7, max_limit=9)).limit == 9
    assert read("limit=500", default=20, maximum=300).limit == 300
    assert read("", default=20, maximum=300).limit == 20
    assert read("", maximum=10).limit == 10


@pytest.mark.parametrize("wrong", [{"default": 0}, {"maximum": 0}, {"maximum": True}, {"secrets": SECRET}])
def test_what_the_host_sets_wrongly_is_its_own_fault(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        read("", **wrong)


@pytest.mark.parametrize(("query", "parameter"), [("limit=5&limit=5", "limit"), ("cursor=&%63ursor=", "cursor")])
def test_a_parameter_of_the_page_is_sent_once(query: str, parameter: str) -> None:
    with pytest.raises(InvalidRequest, match="once") as caught:
        read(query)
    assert caught.value.parameter == parameter


@pytest.mark.parametrize("query", ["", "cursor=", "cursor", "limit=3&cursor=", "?", "&&", "next_token=x"])
def test_without_a_cursor_it_is_the_first_page(query: str) -> None:
    assert read(query).after is None


def test_the_other_parameters_are_the_filters_byte_by_byte() -> None:
    found = read(b"b=1&limit=5&a=%FF\xfe&cursor=&b=2+3&empty&n=%C3%A9")
    assert found.filters == ((b"b", b"1"), (b"a", b"\xff\xfe"), (b"b", b"2 3"), (b"empty", b""), (b"n", b"\xc3\xa9"))


def test_a_cursor_leads_on_with_another_limit_and_another_order_of_parameters() -> None:
    text = read("q=%FF&r=1&limit=5", route="/x", owner="me").cursor((3, "b"))
    assert read(f"limit=9&r=1&q=%ff&cursor={text}", route="/x", owner="me").after == (3, "b")
    for query, more in [
        (f"q=%FE&r=1&cursor={text}", {"route": "/x", "owner": "me"}),
        (f"q=%FF&r=1&cursor={text}", {"route": "/y", "owner": "me"}),
        (f"q=%FF&r=1&cursor={text}", {"route": "/x", "owner": "you"}),
        (f"q=%FF&r=1&cursor={text}%C3", {"route": "/x", "owner": "me"}),
    ]:
        with pytest.raises(InvalidRequest) as caught:
            read(query, **more)
        assert caught.value.parameter == "cursor"


def test_the_parameter_has_the_styles_name() -> None:
    text = read("", style=FLAT).cursor(1)
    assert read(f"next_token={text}", style=FLAT).after == (1,)
    with pytest.raises(InvalidRequest) as caught:
        read("next_token=x", style=FLAT)
    assert caught.value.parameter == "next_token"


@pytest.mark.parametrize("secrets", [[], [b"short"], [SECRET, b""]])
def test_without_a_usable_secret_only_a_list_of_one_page_works(secrets: list[bytes]) -> None:
    params = read("limit=2", secrets=secrets)
    assert Page.from_rows([1, 2], params, int).items == [1, 2]
    for act in (
        lambda: Page.from_rows([1, 2, 3], params, int),
        lambda: params.cursor(1),
        lambda: read("cursor=x", secrets=secrets),
        lambda: verify("x", secrets),
    ):
        with pytest.raises(ConfigurationError) as caught:
            act()
        assert caught.value.key == "cursor_secrets"
    if not secrets:
        assert caught.value.reason == "cursors need a secret: set cursor_secrets, or peppers"


def test_nothing_shows_secrets_or_what_clients_sent() -> None:
    shown = repr(read("token=private"))
    assert "0123456789" not in shown
    assert "private" not in shown


# Pages.


def ten(query: str = "", **more: Any) -> Page[int]:
    return Page.from_sequence(range(1, 11), read(query), lambda item: item, **more)


def test_a_page_says_where_it_ends() -> None:
    page = ten("limit=3")
    assert (page.items, page.limit, page.has_more) == ([1, 2, 3], 3, True)
    assert page.next_cursor is not None
    assert ten("limit=10") == Page([*range(1, 11)], 10, False, None)
    assert ten(f"limit=7&cursor={page.next_cursor}") == Page([4, 5, 6, 7, 8, 9, 10], 7, False, None)


def test_more_rows_than_asked_for_are_cut() -> None:
    assert Page.from_rows(iter(range(100)), read("limit=3"), int).items == [0, 1, 2]


def test_a_query_is_asked_for_one_row_more() -> None:
    asked = []

    def fetch(after: Any, count: int) -> list[int]:
        asked.append((after, count))
        start = after[0] + 1 if after else 0
        return [*range(start, 5)][:count]

    first = Page.from_query(fetch, read("limit=3"), lambda row: (row,))
    second = Page.from_query(fetch, read(f"limit=3&cursor={first.next_cursor}"), lambda row: (row,))
    assert asked == [(None, 4), ((2,), 4)]
    assert (first.items, second.items, second.has_more) == ([0, 1, 2], [3, 4], False)


def test_keys_are_a_tuple_or_a_single_one() -> None:
    params = read("")
    assert params.cursor(5) == params.cursor((5,))
    with pytest.raises(ValueError, match="at least one"):
        params.cursor(())
    with pytest.raises(ValueError, match="at least one"):
        Page.from_sequence([1], params, lambda _: ())


def test_keys_that_are_not_unique_are_refused_where_a_row_would_be_lost() -> None:
    with pytest.raises(ValueError, match="same sort keys"):
        Page.from_sequence([(1, "a"), (1, "b")], read("limit=1"), lambda item: item[0])


def test_a_cursor_with_another_number_of_keys_is_refused() -> None:
    text = read("").cursor((1, 2))
    with pytest.raises(InvalidRequest) as caught:
        ten(f"cursor={text}")
    assert (caught.value.parameter, caught.value.reason) == ("cursor", REASON)


def test_an_empty_list_is_a_last_page_with_and_without_a_cursor() -> None:
    empty: list[int] = []
    for query in ("", f"cursor={read('').cursor(1)}"):
        assert Page.from_sequence(empty, read(query), int) == Page([], 50, False, None)


def test_pages_are_plain_values() -> None:
    page = Page[int](items=[1], limit=1, has_more=True, next_cursor="x")
    assert pickle.loads(pickle.dumps(page)) == copy.copy(page) == page
    with pytest.raises(AttributeError):
        page.limit = 2  # type: ignore[misc]


def test_a_nested_page_says_null_at_its_end_and_a_flat_one_says_nothing() -> None:
    page, last = Page([1], 1, True, "abc"), Page([1], 1, False, None)
    nested = PageStyle()
    assert members(page, nested) == {"pagination": {"limit": 1, "has_more": True, "next_cursor": "abc"}}
    assert members(last, nested) == {"pagination": {"limit": 1, "has_more": False, "next_cursor": None}}
    assert members(page, FLAT) == {"has_more": True, "next_token": "abc"}
    assert members(last, FLAT) == {"has_more": False}
    assert list(members(page, PageStyle(member=None))) == ["limit", "has_more", "next_cursor"]
    assert page.as_dict() == {"data": [1], **members(page, nested)}
    assert last.as_dict(FLAT) == {"data": [1], "has_more": False}


def linked(query: bytes, style: PageStyle) -> str:
    """The query of the next page, as it stands in `Link`."""
    return target_of("", "/", next_query(query, style, 5, "abc")).partition("?")[2]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (b"", "limit=5&cursor=abc"),
        (b"limit=9&cursor=x", "limit=5&cursor=abc"),
        (b"b=2&%6Cimit=9&a=1&&b=1&c", "b=2&a=1&b=1&c&limit=5&cursor=abc"),
        (b"q=%FF+%2B&r=\xff\"<>\r\n #[]'", "q=%FF+%2B&r=%FF%22%3C%3E%0D%0A%20%23%5B%5D'&limit=5&cursor=abc"),
    ],
)
def test_the_next_query_keeps_the_other_parameters(query: bytes, expected: str) -> None:
    assert linked(query, PageStyle()) == expected


@given(st.lists(st.tuples(st.text(), st.text(min_size=1))), st.binary())
def test_the_next_query_means_the_same_list(fields: list[tuple[str, str]], noise: bytes) -> None:
    query = noise + b"&" + "&".join(f"{name}={value}" for name, value in fields).encode("utf-8", "surrogatepass")
    following = linked(query, FLAT)
    assert following.isascii()
    assert set(following) <= set(string.ascii_letters + string.digits + "-._~!$&'()*+,;=:@/?%")
    assert dict(parse_qsl(following))["next_token"] == "abc"
    own = ("limit", "next_token")
    sent = [pair for pair in map(module._pair, module._pieces(query)) if pair[0].decode("latin-1") not in own]
    kept = list(map(module._pair, module._pieces(following.encode())))
    assert kept == [*sent, (b"limit", b"5"), (b"next_token", b"abc")]


# Walks.

DIRECTIONS: dict[str, tuple[Any, bool]] = {
    "up": (lambda item: item, False),
    "down": (lambda item: item, True),
    "mixed": (lambda item: (item[0], -item[1]), False),
    "mixed down": (lambda item: (-item[0], item[1]), True),
}
# Few different first keys, so that equal ones lie across the ends of pages.
items = st.tuples(st.integers(0, 2), st.integers(0, 60))


@pytest.mark.parametrize("direction", DIRECTIONS)
@settings(max_examples=60, deadline=None)
@given(stable=st.sets(items), passing=st.sets(items, max_size=40), data=st.data())
def test_a_walk_sees_what_stays_exactly_once(
    direction: str, stable: set[Any], passing: set[Any], data: st.DataObject
) -> None:
    key, reverse = DIRECTIONS[direction]
    passing -= stable
    query, seen = "", []
    for _ in range(len(stable) + len(passing) + 1):
        there = stable | data.draw(st.sets(st.sampled_from(sorted(passing)))) if passing else stable
        limit = data.draw(st.integers(1, 7))
        # A set has an order of its own, so that sorting is up to the page.
        page = Page.from_sequence(there, read(f"limit={limit}{query}"), key, reverse=reverse)
        assert len(page.items) <= limit
        seen += page.items
        query = f"&cursor={page.next_cursor}"
        if not page.has_more:
            break
    else:
        pytest.fail("the walk does not end")
    assert [item for item in seen if item in stable] == sorted(stable, key=key, reverse=reverse)
    assert len(seen) == len(set(seen))


def test_a_walk_goes_on_where_the_item_of_its_cursor_was() -> None:
    everything = {date(2026, 1, day): day for day in range(1, 10)}
    page = Page.from_sequence(everything, read("limit=4"), lambda day: day)
    del everything[page.items[-1]]
    rest = Page.from_sequence(everything, read(f"cursor={page.next_cursor}"), lambda day: day)
    assert [day.day for day in rest.items] == [5, 6, 7, 8, 9]
