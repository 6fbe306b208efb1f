"""What holds for all five contracts: every point has a test, and every example is small and says how it is run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.contracts.hosts import CONTRACTS, NAMES, commands

POINTS = {"anyway": "a", "projects_and_keys": "b", "apitally": "c", "anyformat": "d", "anthyx": "e"}
HOW_MANY = {"a": 10, "b": 8, "c": 7, "d": 7, "e": 7}


def lines_of_code(folder: Path) -> list[str]:
    texts = [path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.py"))]
    return [line for text in texts for line in text.splitlines() if line.strip()]


def test_there_are_thirty_nine_points_and_each_has_a_test() -> None:
    assert sum(HOW_MANY.values()) == 39
    for name, letter in POINTS.items():
        text = Path(__file__).with_name(f"test_{name}.py").read_text(encoding="utf-8")
        found = {int(number) for number in re.findall(rf"^def test_{letter}(\d+)_\w+\(", text, re.MULTILINE)}
        assert found == set(range(1, HOW_MANY[letter] + 1)), name


def test_these_are_all_the_examples() -> None:
    assert sorted(path.name for path in CONTRACTS.iterdir()) == sorted(NAMES) == sorted(POINTS)


@pytest.mark.parametrize("name", NAMES)
def test_a_host_is_small(name: str) -> None:
    assert 10 <= len(lines_of_code(CONTRACTS / name)) < 60


@pytest.mark.parametrize("name", NAMES)
def test_a_readme_says_what_to_run_and_what_is_configuration_and_what_is_code(name: str) -> None:
    text = (CONTRACTS / name / "README.md").read_text(encoding="utf-8")
    assert len(text.split()) < 150
    assert "**Configuration**" in text
    assert "**Code**" in text
    assert commands(name)


def test_a_flask_host_is_configured_in_ten_lines() -> None:
    lines = (CONTRACTS / "anyformat" / "anyformat.py").read_text(encoding="utf-8").splitlines()
    begins = next(number for number, line in enumerate(lines) if line.startswith("gate = "))
    ends = next(number for number, line in enumerate(lines) if "GateMiddleware(" in line)
    assert ends - begins < 10
    files = [path.parent.name for path in CONTRACTS.glob("*/keystile.toml")]
    assert sorted(files) == sorted(set(NAMES) - {"anyformat"})
