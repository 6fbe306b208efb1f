"""No parser of a stranger's bytes takes longer than it may, at any size."""

from __future__ import annotations

import logging

import pytest

from tests.sizes.fed import functions, functions_in
from tests.sizes.shapes import LARGE, SMALL, UNITS, USUAL, cost, shape
from tests.sizes.table import NO_STRANGERS, NOT_FED, TABLE, Row
from tests.test_floors import MODULES

# Machines differ and are shared. What is not linear is beyond this by far.
SLACK = 3.0


@pytest.fixture(autouse=True)
def _unlogged(caplog: pytest.LogCaptureFixture) -> None:
    """What the tests' own handlers do with a record is not counted as our cost."""
    caplog.set_level(logging.CRITICAL, "keystile")


@pytest.mark.parametrize("row", TABLE, ids=lambda row: " ".join(filter(None, (row.names[0], row.how))))
def test_what_a_stranger_sends_costs_little_and_no_more_than_its_size(row: Row) -> None:
    most = row.most / 1000 * SLACK
    for sizes, allowed in (((*SMALL, USUAL), most), ((LARGE,), most * LARGE / USUAL)):
        for size in sizes:
            for unit in UNITS:
                taken = cost(lambda unit=unit, size=size: row.feed(shape(unit, size)), allowed)  # type: ignore[misc]
                assert taken <= allowed, f"{size} bytes of {unit!r} take {taken * 1000:.1f} ms"


def test_every_function_that_strangers_may_feed_is_in_the_table_or_has_a_reason() -> None:
    found = {name for module in MODULES if module not in NO_STRANGERS for name in functions(module)}
    measured = {name for row in TABLE for name in row.names}
    assert sorted(found - measured - set(NOT_FED)) == []


def test_nothing_is_measured_and_excused_at_once_and_no_excuse_outlives_its_function() -> None:
    found = {name for module in MODULES if module not in NO_STRANGERS for name in functions(module)}
    measured = {name for row in TABLE for name in row.names}
    assert sorted(measured & set(NOT_FED)) == []
    assert sorted(set(NOT_FED) - found) == []
    assert sorted(set(NO_STRANGERS) - set(MODULES)) == []


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("def read(text: str) -> int: ...", ["rules.x.read"]),
        ("def read(found: list[bytes] | None) -> int: ...", ["rules.x.read"]),
        ("async def read(*, request: Request) -> int: ...", ["rules.x.read"]),
        ("def read(*texts: str) -> int: ...", ["rules.x.read"]),
        ("def read(whatever) -> int: ...", ["rules.x.read"]),
        ("class A:\n    def read(self, text: str) -> int: ...", ["rules.x.A.read"]),
        ("class A:\n    def __call__(self, text: str) -> int: ...", ["rules.x.A.__call__"]),
        ("def read(number: int, of: Window) -> str: ...", []),
        ("def _read(text: str) -> int: ...", []),
    ],
)
def test_a_new_parser_is_seen(source: str, names: list[str]) -> None:
    assert list(functions_in("rules.x", source)) == names


def test_what_is_quadratic_is_seen() -> None:
    def quadratic(sent: bytes) -> int:
        return sum(len(sent[:end]) for end in range(0, len(sent), 4))

    row = Row(("quadratic",), lambda sent: lambda: quadratic(sent))
    with pytest.raises(AssertionError, match="64000 bytes"):
        test_what_a_stranger_sends_costs_little_and_no_more_than_its_size(row)
