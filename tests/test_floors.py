"""Imports point down. `docs/architecture.md` lists the floors for people; this test holds the code to that table."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import keystile

PACKAGE = Path(keystile.__file__).parent
ARCHITECTURE = Path(__file__).parents[1] / "docs" / "architecture.md"
MOST_FLOORS = 10
# The package itself, as the table calls it; its `__init__` is "" here.
ITSELF = "keystile"
ALLOWED = {
    ("stores", "stores.memory"): "opened by URL, imported when it is asked for",
    ("stores", "stores.sqlite"): "likewise",
    ("stores", "stores.redis"): "likewise",
}
# Packages that are one noun: nobody outside reaches past their `__init__`.
CLOSED = ("_sync", "demo")
# Only `_sync` may know about threads and event loops.
CONCURRENCY = {"threading", "_thread", "queue", "concurrent", "multiprocessing", "anyio", "asyncio", "trio", "sniffio"}


def floors() -> list[list[str]]:
    """The rooms of each floor in the table, from the ground up; on a floor, from left to right."""
    section = ARCHITECTURE.read_text(encoding="utf-8").partition("\n## Floors\n")[2].partition("\n## ")[0]
    rows = [line.split("|")[2] for line in section.splitlines() if line.startswith("|")][2:]
    return [[room.replace(ITSELF, "") for room in re.findall(r"`(\w+)`", row)] for row in rows]


ROOMS = {room: place for place, room in enumerate(room for floor in floors() for room in floor)}


def modules() -> dict[str, Path]:
    """Every module of the package, as it is called inside it."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        if "_examples" in path.parts:  # host apps, which ship for the demo
            continue
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def room_of(module: str) -> str:
    """The package or module at the top of keystile that it belongs to."""
    return module.partition(".")[0]


def imports(module: str, source: str) -> Iterator[str]:
    """The full name of everything that the module imports, at its top or anywhere inside."""
    is_package = MODULES[module].name == "__init__.py"
    here = [ITSELF, *filter(None, module.split("."))]
    package = here if is_package else here[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*base, *filter(None, [node.module])])
            for alias in node.names:
                inner = f"{origin}.{alias.name}"
                yield inner if inner.removeprefix(f"{ITSELF}.") in MODULES else origin


def inner_imports(module: str, source: str | None = None) -> set[str]:
    """What it imports of this package; "" is the package itself."""
    text = MODULES[module].read_text(encoding="utf-8") if source is None else source
    named = {name for name in imports(module, text) if name.partition(".")[0] == ITSELF}
    return {name.removeprefix(ITSELF).removeprefix(".") for name in named} - {module}


def faults(module: str, source: str | None = None) -> list[str]:
    """Which of its imports do not point down, or reach into another package's own modules."""
    found = []
    for other in sorted(inner_imports(module, source)):
        room = room_of(other)
        if (module, other) in ALLOWED:
            continue
        if room != room_of(module) and ROOMS.get(room, len(ROOMS)) >= ROOMS.get(room_of(module), -1):
            found.append(f"{module} imports {other}")
        elif room != room_of(module) and any(part.startswith("_") for part in other.split(".")[1:]):
            found.append(f"{module} reaches into {other}")
    return found


def test_the_table_has_few_floors_and_every_room() -> None:
    assert len(floors()) <= MOST_FLOORS
    assert sorted(ROOMS) == sorted({room_of(module) for module in MODULES})


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_module_imports_only_from_lower_floors(module: str) -> None:
    assert faults(module) == []


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_inside_a_room_imports_have_no_circle(room: str) -> None:
    waiting = {
        module: {
            other
            for other in inner_imports(module)
            if room_of(other) == room and (module, other) not in ALLOWED and not module.startswith(f"{other}.")
        }
        for module in MODULES
        if room_of(module) == room
    }
    while waiting:
        free = {module for module, others in waiting.items() if not others & waiting.keys()}
        assert free, f"these need each other: {sorted(waiting)}"
        waiting = {module: others for module, others in waiting.items() if module not in free}


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_module_reaches_into_no_closed_package(module: str) -> None:
    reached = {other for other in inner_imports(module) if room_of(other) in CLOSED and "." in other}
    assert {room_of(other) for other in reached} <= {room_of(module)}


@pytest.mark.parametrize("module", sorted(name for name in MODULES if room_of(name) != "_sync"))
def test_nobody_but_sync_knows_of_threads_and_event_loops(module: str) -> None:
    imported = {name.partition(".")[0] for name in imports(module, MODULES[module].read_text(encoding="utf-8"))}
    assert imported & CONCURRENCY == set()


def test_every_exception_is_still_needed() -> None:
    used = {(module, other) for module in MODULES for other in inner_imports(module)}
    assert sorted(pair for pair in ALLOWED if pair not in used) == []


@pytest.mark.parametrize(
    ("module", "source", "fault"),
    [
        ("asgi", "from .wsgi import GateMiddleware", "asgi imports wsgi"),
        ("model", "def f():\n    from ..gate import Gate", "model imports gate"),
        ("rules.requests.paths", "from ...gate import Gate", "rules.requests.paths imports gate"),
        ("gate.gate", "from ..answers import writers", "gate.gate imports answers.writers"),
        ("stores", "from ..keys.ring import KeyRing", "stores imports keys.ring"),
        ("gate.gate", "from keystile import current", "gate.gate imports "),
        ("_sync", "from ..policy import Rule", "_sync imports policy"),
        ("keys.hashing", "from ..somewhere_new import x", "keys.hashing imports somewhere_new"),
        ("asgi", "from .gate._order import x", "asgi reaches into gate._order"),
    ],
)
def test_this_test_sees_an_import_that_points_up(module: str, source: str, fault: str) -> None:
    assert faults(module, source) == [fault] or faults(module, source) == [fault.replace("gate._order", "gate")]
    assert faults(module, "import json\nfrom __future__ import annotations") == []
