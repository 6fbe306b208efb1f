"""The rules of the dashboard that need no gate: charts, links, forms, sessions."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urljoin, urlsplit
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystile.manage.dashboard.local import MOST_SESSIONS, SESSION_LASTS, SESSION_RESTS, TOKEN_LASTS, Sessions
from keystile.manage.dashboard.pages.audit import cell
from keystile.manage.dashboard.rules.chart import HEIGHT, WIDTH, Bar, Outcome, chart, scale, short
from keystile.manage.dashboard.rules.forms import BadField, BadForm, json_in, moment, read_form, seconds
from keystile.manage.dashboard.rules.links import id_in, segment, to
from keystile.manage.dashboard.texts import STATES

OUTCOMES = (Outcome("admitted", "Admitted"), Outcome("limited", "Rate limited"), Outcome("refused", "Refused"))
GOLDEN = Path(__file__).parent / "golden"
FORM = "application/x-www-form-urlencoded"
COUNTS = st.tuples(*[st.integers(0, 2**63)] * 3)


def test_a_chart_is_drawn_as_it_was() -> None:
    bars = [
        Bar("14:00", (120, 0, 0), "14:00"),
        Bar("15:00", (0, 0, 0)),
        Bar("16:00", (7, 12, 1), "16:00"),
        Bar('<17:00 & "later">', (1, 0, 0)),
    ]
    drawn = chart("requests", "Requests of <this> key", bars, OUTCOMES)
    assert str(drawn).replace("><", ">\n<") + "\n" == (GOLDEN / "chart.svg").read_text(encoding="utf-8")


@given(st.lists(COUNTS, min_size=1, max_size=40), st.text("<&\"'>a\u202e", max_size=8))
def test_any_counts_give_a_chart_within_its_bounds(counts: list[tuple[int, int, int]], title: str) -> None:
    bars = [Bar(f"bar {place}", each) for place, each in enumerate(counts)]
    drawn = ElementTree.fromstring(str(chart("c", title, bars, OUTCOMES)))
    rects = [each for each in drawn.iter("rect") if each.get("fill")]
    assert len(rects) == sum(count > 0 for each in counts for count in each)
    for rect in rects:
        x, y, width, height = (float(rect.attrib[name]) for name in ("x", "y", "width", "height"))
        assert 0 <= x < x + width <= WIDTH
        assert 0 <= y < y + height <= HEIGHT
    assert all("style" not in each.attrib for each in drawn.iter())


@given(st.integers(0, 3 * 2**63))
def test_the_lines_of_a_chart_are_few_and_at_round_numbers(most: int) -> None:
    step, top = scale(most)
    assert top >= most
    assert 1 <= top // step <= 4
    assert re.fullmatch(r"[125]0*", str(step))
    assert len(short(top)) <= 5


@given(st.text(min_size=1, max_size=40))
def test_an_id_is_one_segment_of_a_path_and_comes_back(id: str) -> None:
    text = segment(id)
    assert re.fullmatch(r"[0-9A-Za-z_~-]+", text)
    assert text != "new"
    assert id_in(text) == id


@given(st.text(max_size=30))
def test_a_segment_that_nobody_made_is_read_without_an_error(text: str) -> None:
    assert isinstance(id_in(text), str)


@pytest.mark.parametrize("mount", ["/", "/admin/keys/"])
@pytest.mark.parametrize("here", ["/", "/audit", "/keys/new", "/keys/abc/edit"])
@pytest.mark.parametrize("path", ["/", "/audit", "/keys/new", "/keys/abc/rotate", "/static/style.0123456789abcdef.css"])
def test_a_link_leads_from_every_page_to_every_page(mount: str, here: str, path: str) -> None:
    base = "https://elsewhere.example.com" + mount[:-1]
    assert urljoin(base + here, to(here, path)) == base + path
    found = urlsplit(urljoin(base + here, to(here, path, {"a": "1&2", "b": "", "c": None})))
    assert found.query == "a=1%262"


@given(st.binary(max_size=400))
def test_any_body_is_a_form_or_is_refused(body: bytes) -> None:
    try:
        found: object = read_form(FORM, body)
    except BadForm as error:
        found = error.status
    assert found == 400 or isinstance(found, dict)


def test_a_form_has_bounds() -> None:
    assert read_form(f"{FORM}; charset=utf-8", b"a=1&b=") == {"a": "1", "b": ""}
    assert len(read_form(FORM, b"&".join(b"f%d=" % number for number in range(100)))) == 100
    for status, kind, body in [
        (400, FORM, b"&".join(b"f%d=" % number for number in range(101))),
        (413, FORM, b"a" * 65_537),
        (415, None, b"a=1"),
        (415, f"{FORM},{FORM}", b"a=1"),
    ]:
        with pytest.raises(BadForm) as caught:
            read_form(kind, body)
        assert caught.value.status == status


def test_times_and_json_are_read_or_named() -> None:
    assert moment("at", "2030-01-31T12:00") == datetime(2030, 1, 31, 12, tzinfo=UTC)
    assert moment("at", "2030-01-31T12:00+02:00") == datetime(2030, 1, 31, 10, tzinfo=UTC)
    assert moment("at", " ") is None
    assert json_in("m", "") == {}
    assert seconds("h", "0.5") == 1800
    for read, text in [
        (moment, "soon"),
        (moment, "9999-12-31T23:59-01:00"),
        (moment, "0001-01-01T00:00+01:00"),
        (json_in, "[]"),
        (json_in, "[" * 100_000),
        (seconds, "1e3"),
        (seconds, "\u0661"),
    ]:
        with pytest.raises(BadField):
            read("field", text)


@given(st.text(max_size=10))
def test_no_cell_begins_a_formula(text: str) -> None:
    assert not cell(text).startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
    assert cell(text).endswith(text)
    assert not cell("\N{FULLWIDTH EQUALS SIGN}1" + text).startswith("\N{FULLWIDTH EQUALS SIGN}")


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_token_signs_in_once_and_for_five_minutes(clock: Clock) -> None:
    sessions = Sessions(clock)
    token = sessions.token()
    assert token is not None
    assert sessions.token() is None  # one at a time
    assert sessions.enter(token + "x") is None
    session = sessions.enter(token)
    assert session is not None
    assert sessions.knows(session)
    assert not sessions.knows(token)
    assert sessions.enter(token) is None
    late = sessions.token()
    assert late is not None
    clock.now += TOKEN_LASTS
    assert sessions.enter(late) is None
    assert sessions.token() is not None


def test_a_session_ends_after_half_an_hour_without_use_and_after_twelve_hours(clock: Clock) -> None:
    sessions = Sessions(clock)
    session = sessions.enter(sessions.token() or "") or ""
    began = clock.now
    while clock.now + SESSION_RESTS - 1 < began + SESSION_LASTS:
        clock.now += SESSION_RESTS - 1
        assert sessions.knows(session)
    clock.now = began + SESSION_LASTS
    assert not sessions.knows(session)
    other = sessions.enter(sessions.token() or "") or ""
    clock.now += SESSION_RESTS
    assert not sessions.knows(other)
    assert not sessions.knows(other)


def test_sessions_end_by_signing_out_and_are_bounded(clock: Clock) -> None:
    sessions = Sessions(clock)
    opened = [sessions.enter(sessions.token() or "") or "" for _ in range(MOST_SESSIONS + 1)]
    assert [sessions.knows(each) for each in opened] == [False] + [True] * MOST_SESSIONS
    sessions.leave(opened[-1])
    sessions.leave("unknown")
    assert not sessions.knows(opened[-1])
    assert all(session not in repr(vars(sessions)) for session in opened)


def test_every_state_has_a_name_for_people() -> None:
    from keystile.model import KEY_STATES

    assert set(STATES) == set(KEY_STATES)
