"""What the pages on security point at is there: tests, modules, other pages and settings."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from keystile import Gate

ROOT = Path(__file__).parents[1]
PAGES = {
    page: (ROOT / page).read_text()
    for page in ("SECURITY.md", "docs/explain/security.md", "docs/guides/hardening.md", "docs/guides/stores.md")
}
SECURITY = PAGES["docs/explain/security.md"]


@pytest.mark.parametrize("named", sorted(set(re.findall(r"tests/[\w/]+\.py::\w+", SECURITY))))
def test_a_named_test_is_there(named: str) -> None:
    path, name = named.split("::")
    assert re.search(rf"^ *(?:async )?def {name}\(", (ROOT / path).read_text(), re.MULTILINE)


@pytest.mark.parametrize("named", sorted(set(re.findall(r"`(src/[\w/.]+)`", SECURITY))))
def test_a_named_module_is_there(named: str) -> None:
    assert (ROOT / named).is_file()


@pytest.mark.parametrize("page", PAGES)
def test_a_link_leads_to_a_page(page: str) -> None:
    for link in re.findall(r"\]\(([^)]+)\)", PAGES[page]):
        assert ((ROOT / page).parent / link).is_file(), link


def test_every_setting_to_tick_off_is_one() -> None:
    named = re.findall(r"^- \[ \] \*\*`(\w+)`\*\*", PAGES["docs/guides/hardening.md"], re.MULTILINE)
    assert len(named) > 5
    assert set(named) <= set(inspect.signature(Gate).parameters)


@pytest.mark.parametrize("points", [10, 45])
def test_each_point_says_where_it_is_met(points: int) -> None:
    title = "## OWASP API" if points == 10 else "## OWASP ASVS"
    table = SECURITY.partition(title)[2].partition("\n## ")[0]
    rows = [row.split(" | ") for row in table.splitlines() if re.match(r"\| (?:API)?\d", row)]
    assert len(rows) >= points
    for row in rows:
        assert len(row) == 4, row
        assert re.search(r"met|partly|not ours|operator|by choice|by default|with `envelope`", row[1]), row
