"""What `docs/architecture.md` says of the code is so: its paths are there, and no change touches many rooms."""

from __future__ import annotations

import re

import pytest

from tests.test_floors import ARCHITECTURE, MODULES, PACKAGE, ROOMS, inner_imports

TEXT = ARCHITECTURE.read_text(encoding="utf-8")
CHANGES = [line.split("|") for line in TEXT.partition("\n## What a change costs\n")[2].splitlines() if "| `" in line]
MOST_ROOMS = 3


@pytest.mark.parametrize("path", sorted(set(re.findall(r"[a-z_/|]+\.py", TEXT)) - {"/recheck.py", "/answering.py"}))
def test_a_file_that_is_named_is_there(path: str) -> None:
    doors = ["asgi", "wsgi"] if "asgi|wsgi" in path else [""]
    for door in doors:
        assert (PACKAGE / path.replace("asgi|wsgi", door)).is_file()


@pytest.mark.parametrize("change", CHANGES, ids=[change[1].strip() for change in CHANGES])
def test_a_change_touches_at_most_three_rooms_and_they_are_there(change: list[str]) -> None:
    rooms = re.findall(r"`(\w+)`", change[2])
    assert set(rooms) <= set(ROOMS)
    assert len(rooms) + change[2].count(" and who ") <= MOST_ROOMS


def test_a_dozen_changes_are_told() -> None:
    assert len(CHANGES) == 12


def test_every_package_says_what_it_is_for() -> None:
    packages = [module for module, path in MODULES.items() if path.name == "__init__.py"]
    for package in packages:
        first = MODULES[package].read_text(encoding="utf-8")
        assert first.startswith('"""'), package
        assert "TODO" not in first, package


def test_modules_are_small() -> None:
    long = {module: path.read_text(encoding="utf-8").count("\n") for module, path in MODULES.items()}
    assert {module: lines for module, lines in long.items() if lines > 300} == {}


def integrations() -> list[str]:
    """The modules that bring a framework: all but what they have in common."""
    own = {"integrations", "integrations.refusing"}
    return sorted(module for module in MODULES if module.startswith("integrations") and module not in own)


def test_an_integration_is_short() -> None:
    long = {module: MODULES[module].read_text(encoding="utf-8").count("\n") for module in integrations()}
    assert {module: lines for module, lines in long.items() if lines > 150} == {}


def framework_of(module: str) -> str:
    """What it brings: DRF is part of Django here."""
    return "django" if module == "integrations.drf" else module.split(".")[1]


def test_nobody_knows_an_integration() -> None:
    frameworks = {module: framework_of(module) for module in integrations()}
    known = {(module, other) for module in MODULES for other in inner_imports(module) & frameworks.keys()}
    assert [pair for pair in known if frameworks.get(pair[0]) != frameworks[pair[1]]] == []


def test_packages_have_few_modules() -> None:
    sizes = {path.parent: len(list(path.parent.glob("*.py"))) for path in MODULES.values()}
    assert {str(folder): size for folder, size in sizes.items() if size > 13} == {}
