"""Which requests of browsers may change something: the vectors, and what holds for all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystile.manage.crosssite import may_change, may_show, origin_of

OWN = "https://keys.example.com"
SITE, ORIGIN, KIND = "sec-fetch-site", "origin", "sec-fetch-dest"


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ([(SITE, "same-origin")], True),
        ([(SITE, "same-origin"), (ORIGIN, "http://keys.example.com")], True),  # TLS ended at a proxy that says nothing
        ([(SITE, "none")], True),
        ([(SITE, "same-site")], False),
        ([(SITE, "same-site"), (ORIGIN, OWN)], False),
        ([(SITE, "cross-site")], False),
        ([(SITE, "same-origin"), (SITE, "cross-site")], False),
        ([(SITE, "same-origin,cross-site")], False),
        ([(SITE, "")], False),
        ([(SITE, "SAME-ORIGIN")], False),
        ([(ORIGIN, OWN)], True),
        ([(ORIGIN, OWN + ":443")], False),
        ([(ORIGIN, "http://keys.example.com")], False),
        ([(ORIGIN, "https://keys.example.com:8443")], False),
        ([(ORIGIN, "https://evil.keys.example.com")], False),
        ([(ORIGIN, "https://keys.example.com.evil.test")], False),
        ([(ORIGIN, "null")], False),
        ([(ORIGIN, "")], False),
        ([(ORIGIN, OWN), (ORIGIN, OWN)], False),
        ([(ORIGIN, OWN), (ORIGIN, "https://evil.test")], False),
        ([(ORIGIN, f"{OWN}, {OWN}")], False),
        ([("referer", OWN)], False),
        ([], False),
    ],
)
def test_only_our_own_pages_and_the_user_may_change_something(headers: list[tuple[str, str]], *, allowed: bool) -> None:
    assert may_change(headers, OWN) is allowed


@given(st.lists(st.tuples(st.sampled_from([SITE, ORIGIN, "host"]), st.text(max_size=30))))
def test_nothing_else_is_let_in(headers: list[tuple[str, str]]) -> None:
    sites = [value.strip() for name, value in headers if name == SITE]
    origins = [value.strip() for name, value in headers if name == ORIGIN]
    by_site = sites in (["same-origin"], ["none"])
    assert may_change(headers, OWN) is (by_site or (not sites and origins == [OWN]))


def test_where_our_own_origin_is_not_known_no_origin_is_ours() -> None:
    assert origin_of("keys.example.com") == ""
    assert not may_change([(ORIGIN, "null")], "")
    assert not may_change([(ORIGIN, "")], "")
    assert not may_change([], "")


@pytest.mark.parametrize(
    ("headers", "framed", "shown"),
    [
        ([], False, True),
        ([(SITE, "cross-site"), (KIND, "document")], False, True),  # a link in a mail
        ([(SITE, "cross-site"), (KIND, "image")], False, False),
        ([(SITE, "same-site"), (KIND, "image")], False, False),
        ([(SITE, "same-site"), (KIND, "script")], False, False),
        ([(SITE, "cross-site"), (KIND, "empty")], False, False),
        ([(SITE, "cross-site"), (KIND, "iframe")], False, False),
        ([(SITE, "cross-site"), (KIND, "iframe")], True, True),
        ([(SITE, "cross-site"), (KIND, "object")], True, False),
        ([(SITE, "cross-site"), (KIND, "document"), (KIND, "image")], False, False),
        ([(SITE, "same-origin"), (SITE, "cross-site"), (KIND, "image")], False, False),
        ([(SITE, "same-origin"), (KIND, "empty")], False, True),
    ],
)
def test_a_page_is_shown_to_links_and_not_to_what_loads_it_as_something_else(
    headers: list[tuple[str, str]], *, framed: bool, shown: bool
) -> None:
    assert may_show(headers, framed=framed) is shown


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://Keys.Example.com:443/admin?x#y", OWN),
        ("http://127.0.0.1:8377/", "http://127.0.0.1:8377"),
        ("http://[::1]:8377/", "http://[::1]:8377"),
        ("https://user:password@keys.example.com", OWN),
        ("ftp://keys.example.com", ""),
        ("http://keys.example.com:no", ""),
        ("http://", ""),
        ("", ""),
    ],
)
def test_an_origin_is_written_as_browsers_write_it(url: str, origin: str) -> None:
    assert origin_of(url) == origin
