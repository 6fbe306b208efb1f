"""Tables fit the terminal, cut no id, and let nothing reach the terminal that it would obey."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystile.cli.tables import Column, layout, lines, pairs, printable, terminal_width

Row = Mapping[str, str]
IDS = st.text("0123456789abcXYZ", min_size=1, max_size=24)
# Letters of every width: ASCII, accents that take no place, and those that take two columns.
TEXTS = st.text(st.sampled_from("ab Zé鍵株\u0301ｱＡ🔑-"), max_size=40)


def column(title: str, least: int | None = None, *, stays: bool = False) -> Column:
    return Column(title, lambda row: row.get(title, ""), least, stays)


COLUMNS = (
    column("ID", stays=True),
    column("NAME", 8, stays=True),
    column("STATE", stays=True),
    column("PLAN", 6),
    column("WHOSE"),
    column("SCOPES", 8),
)
ROWS = st.lists(
    st.fixed_dictionaries(
        {"ID": IDS, "NAME": TEXTS, "STATE": st.sampled_from(["active", "suspended"])},
        optional={"PLAN": TEXTS, "WHOSE": IDS, "SCOPES": TEXTS},
    ),
    max_size=8,
)


def columns_of(line: str) -> int:
    """How many columns of a terminal a line takes, reckoned anew."""
    taken = 0
    for each in line:
        if unicodedata.category(each) not in {"Mn", "Me", "Cf"}:
            taken += 2 if unicodedata.east_asian_width(each) in {"W", "F"} else 1
    return taken


@given(ROWS, st.integers(60, 200))
def test_every_line_fits_and_every_id_is_whole(rows: list[Row], width: int) -> None:
    found = layout(COLUMNS, rows, width)
    head, *shown = lines(found, rows)
    assert all(columns_of(line) <= width for line in (head, *shown))
    assert [line.split()[0] for line in shown] == [row["ID"] for row in rows]
    assert head.split()[:3] == ["ID", "NAME", "STATE"]


@given(ROWS, st.integers(60, 200))
def test_columns_stand_one_below_the_other(rows: list[Row], width: int) -> None:
    found = layout(COLUMNS, rows, width)
    starts = [sum(found.widths[:at]) + 2 * at for at in range(len(found.widths))]
    for line, row in zip(lines(found, rows, head=False), rows, strict=True):
        state = starts[[each.title for each in found.columns].index("STATE")]
        before = line[: line.rindex(row["STATE"])] if len(found.columns) == 3 else line.split(row["STATE"])[0]
        assert columns_of(before) == state


@given(ROWS, st.integers(60, 400))
def test_a_column_is_there_or_says_nothing_or_is_told_as_left_out(rows: list[Row], width: int) -> None:
    found = layout(COLUMNS, rows, width)
    shown = [each.title for each in found.columns]
    for each in COLUMNS:
        says = each.stays or any(each.cell(row) not in {"", "-"} for row in rows)
        assert (each.title in shown) + (each.title in found.left_out) == says
    if width >= 24 * 2 + 80 * 3 + 9 + 10:
        assert found.left_out == ()


@given(st.lists(st.tuples(IDS, TEXTS), max_size=6), st.integers(40, 120))
def test_long_values_go_on_below(rows: list[tuple[str, str]], width: int) -> None:
    shown = list(pairs(rows, width))
    indent = max((len(name) for name, _ in rows), default=0) + 2
    words = [word for _, value in rows for word in (value or "-").split()]
    assert [word for line in shown for word in line[indent:].split()] == words or any(
        not value.strip() for _, value in rows
    )
    assert all(columns_of(line) <= width or " " not in line[indent:].strip() for line in shown)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("鍵", "鍵"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("two\nlines", r"two\nlines"),
        ("\u202etfel", r"\u202etfel"),
        ("\ud800", r"\ud800"),
        ("back\\slash", "back\\slash"),
    ],
)
def test_what_a_terminal_would_obey_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert shown in "\n".join(pairs([("name", text)], 80))
    row = {"ID": "1", "NAME": text, "STATE": "active"}
    assert shown in list(lines(layout(COLUMNS, [row], 80), [row]))[1]


def test_what_is_cut_ends_with_a_mark() -> None:
    row = {"ID": "1", "NAME": "株" * 40, "STATE": "active"}
    line = list(lines(layout(COLUMNS, [row], 30), [row]))[1]
    assert line == "1   株株株株株株株株…   active"


@pytest.mark.parametrize(("said", "width"), [("200", 200), ("1", 20), ("", 80), ("wide", 80)])
def test_the_environment_says_how_wide_a_table_may_be(monkeypatch: pytest.MonkeyPatch, said: str, width: int) -> None:
    monkeypatch.setenv("COLUMNS", said)
    assert terminal_width() == width
