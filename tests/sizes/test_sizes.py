"""No parser of a stranger's bytes takes longer than it may, at any size."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import partial

import pytest

from tests.selection import often
from tests.sizes.fed import everything, functions, functions_in
from tests.sizes.shapes import LARGE, SMALL, UNITS, USUAL, cost, shape
from tests.sizes.table import NO_STRANGERS, NOT_FED, TABLE, Row
from tests.test_floors import MODULES

# Machines differ and are shared. What is not linear is beyond this by far.
SLACK = 3.0
# What grows faster than its size is among the slowest at the usual size already: so many are tried at the largest.
SLOWEST = often(4, len(UNITS))


@pytest.fixture(autouse=True)
def _unlogged(caplog: pytest.LogCaptureFixture) -> None:
    """What the tests' own handlers do with a record is not counted as our cost."""
    caplog.set_level(logging.CRITICAL, "keystile")


@pytest.mark.parametrize("row", TABLE, ids=lambda row: " ".join(filter(None, (row.names[0], row.how))))
def test_what_a_stranger_sends_costs_little_and_no_more_than_its_size(row: Row) -> None:
    most = row.most / 1000 * SLACK
    for size in SMALL:
        costs(row, UNITS, size, most)
    usual = costs(row, UNITS, USUAL, most)
    slowest = sorted(usual, key=usual.__getitem__, reverse=True)[:SLOWEST]
    costs(row, slowest, LARGE, most * LARGE / USUAL)


def costs(row: Row, units: Iterable[bytes], size: int, allowed: float) -> dict[bytes, float]:
    """Seconds that each of these takes, repeated to the size; none takes more than is allowed."""
    taken = {}
    for unit in units:
        taken[unit] = cost(partial(lambda sent: row.feed(shape(sent, size)), unit), allowed)
        assert taken[unit] <= allowed, f"{size} bytes of {unit!r} take {taken[unit] * 1000:.1f} ms"
    return taken


def test_every_function_that_strangers_may_feed_is_in_the_table_or_has_a_reason() -> None:
    found = {name for module in MODULES if module not in NO_STRANGERS for name in functions(module)}
    measured = {name for row in TABLE for name in row.names}
    assert sorted(found - measured - set(NOT_FED)) == []


def test_nothing_is_measured_and_excused_at_once_and_neither_outlives_its_function() -> None:
    found = {name for module in MODULES if module not in NO_STRANGERS for name in functions(module)}
    measured = {name for row in TABLE for name in row.names}
    assert sorted(measured & set(NOT_FED)) == []
    assert sorted(set(NOT_FED) - found) == []
    assert sorted(set(NO_STRANGERS) - set(MODULES)) == []
    assert sorted(measured - {name for module in MODULES for name in everything(module)}) == []


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
