"""What the pages on security point at is there: tests, modules, other pages and settings."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from keystile import Gate

ROOT = Path(__file__).parents[1]
PROMISED, THREATS, HARDENING = (
    (ROOT / "docs" / page).read_text(encoding="utf-8")
    for page in ("explain/what-is-promised.md", "explain/threat-model.md", "guides/hardening.md")
)


@pytest.mark.parametrize("named", sorted(set(re.findall(r"tests/[\w/]+\.py::\w+", PROMISED + THREATS))))
def test_a_named_test_is_there(named: str) -> None:
    path, name = named.split("::")
    assert re.search(rf"^ *(?:async )?def {name}\(", (ROOT / path).read_text(), re.MULTILINE)


@pytest.mark.parametrize("named", sorted(set(re.findall(r"`(src/[\w/.]+)`", PROMISED + THREATS))))
def test_a_named_module_is_there(named: str) -> None:
    assert (ROOT / named).is_file()


def test_each_page_that_the_code_names_is_there() -> None:
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py")]
    named = set(re.findall(r"docs/[\w/-]+\.md", " ".join(texts)))
    assert len(named) > 10
    assert {page for page in named if not (ROOT / page).is_file()} == set()


def test_every_promise_names_its_test_and_its_exception() -> None:
    promises = [line.split(" | ") for line in PROMISED.partition("\n## How much")[0].splitlines() if "::test_" in line]
    assert len(promises) > 20
    for each in promises:
        assert len(each) == 3, each


def test_every_setting_to_tick_off_is_one() -> None:
    named = re.findall(r"^- \[ \] \*\*`(\w+)`\*\*", HARDENING, re.MULTILINE)
    assert len(named) > 5
    assert set(named) <= set(inspect.signature(Gate).parameters)


@pytest.mark.parametrize("points", [10, 45])
def test_each_point_says_where_it_is_met(points: int) -> None:
    title = "## OWASP API" if points == 10 else "## OWASP ASVS"
    table = THREATS.partition(title)[2].partition("\n## ")[0]
    rows = [row.split(" | ") for row in table.splitlines() if re.match(r"\| (?:API)?\d", row)]
    assert len(rows) >= points
    for row in rows:
        assert len(row) == 4, row
        assert re.search(r"met|partly|not ours|operator|by choice|by default|with `envelope`", row[1]), row
