"""Imports point down. The floors are design, so they stand here as data, and every exception has its reason."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import keystile

PACKAGE = Path(keystile.__file__).parent

# From the ground up; within a line nobody imports anybody, but for ALLOWED. A floor of the design may be several lines.
# The package's own `__init__` is "".
FLOORS = [
    "exceptions _frozen",
    "model",
    "_sync.local _sync.loops _sync.shelf _checks _apps",
    "_sync.offload",
    "_sync.running _sync.flights _sync.places",
    "_sync.background styles",
    "_sync policy",
    "_connection",
    "rules rules.querykeys rules.preflights rules.keyformat rules.addresses rules.packed rules.notation rules.urls"
    " rules.errors rules.canonical cursors webhooks hashing _sqlite",
    "rules.masks",
    "events",
    "pagination rules.credentials",
    "rules.batches rules.clients rules.subjects rules.paths rules.outcomes",
    "rules.windows rules.jsonbodies",
    "rules.quotas rules.ratelimits rules.hosterrors",
    "rules.responses context shape",
    "rules.envelopes keyset",
    "stores stores.memory stores.sqlite stores.sql stores.redis limiters",
    "limiters.memory limiters.sqlite limiters.storages limiters.script limiters.servers limiters.health",
    "limiters.cluster",
    "limiters.links",
    "limiters.redis",
    "limiters.failsafe",
    "workshop transport budget",
    "proving keyring callers",
    "rechecking",
    "gate",
    "management",
    "writers",
    "_asgi_wire",
    "_asgi_shape _wsgi_shape _wsgi_host",
    "_asgi_recheck _wsgi_recheck",
    "asgi wsgi",
    "_origin _shown _typed _faults",
    "_settings",
    "config",
    "wrap",
    "demo.servers integrations integrations.fastapi integrations.flask",
    "demo.transcript",
    "demo.story",
    "demo",
    "cli",
    "__main__",
    "",
]
ALLOWED = {
    ("stores", "stores.memory"): "opened by URL, imported when it is asked for",
    ("stores", "stores.sqlite"): "likewise",
    ("model", "pagination"): "for the type of what a handler is given; never imported when it runs",
    ("model", "shape"): "likewise",
    ("cli", ""): "`--version` shows what the package says of itself",
}
FLOOR = {module: number for number, line in enumerate(FLOORS) for module in line.split() or [""]}
# Packages that are one noun: nobody outside reaches past their `__init__`.
CLOSED = ("_sync", "demo")
# Whoever knows of threads or event loops is `_sync`.
CONCURRENCY = {"threading", "_thread", "queue", "concurrent", "multiprocessing", "anyio", "asyncio", "trio", "sniffio"}


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


def imports(module: str, source: str) -> Iterator[str]:
    """The full name of everything that the module imports, at its top or anywhere inside."""
    is_package = MODULES[module].name == "__init__.py"
    here = ["keystile", *filter(None, module.split("."))]
    package = here if is_package else here[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*base, *filter(None, [node.module])])
            for alias in node.names:
                inner = f"{origin}.{alias.name}"
                yield inner if inner.removeprefix("keystile.") in MODULES else origin


def inner_imports(module: str, source: str) -> set[str]:
    """What it imports of this package; "" is the package itself."""
    named = {name for name in imports(module, source) if name.partition(".")[0] == "keystile"}
    return {name.removeprefix("keystile").removeprefix(".") for name in named} - {module}


def faults(module: str, source: str) -> list[str]:
    """Which of its imports do not point down."""
    return [
        f"{module} imports {other}"
        for other in sorted(inner_imports(module, source))
        if FLOOR.get(other, len(FLOORS)) >= FLOOR.get(module, -1) and (module, other) not in ALLOWED
    ]


def test_every_module_has_a_floor() -> None:
    assert sorted(set(MODULES) - set(FLOOR)) == []


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_module_imports_only_from_lower_floors(module: str) -> None:
    assert faults(module, MODULES[module].read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_module_reaches_into_no_closed_package(module: str) -> None:
    reached = {
        other
        for other in inner_imports(module, MODULES[module].read_text(encoding="utf-8"))
        if other.partition(".")[0] in CLOSED and "." in other
    }
    assert {other.partition(".")[0] for other in reached} <= {module.partition(".")[0]}


@pytest.mark.parametrize("module", sorted(name for name in MODULES if name.partition(".")[0] != "_sync"))
def test_nobody_but_sync_knows_of_threads_and_event_loops(module: str) -> None:
    imported = {name.partition(".")[0] for name in imports(module, MODULES[module].read_text(encoding="utf-8"))}
    assert imported & CONCURRENCY == set()


def test_every_exception_is_still_needed() -> None:
    used = {
        (module, other)
        for module, path in MODULES.items()
        for other in inner_imports(module, path.read_text(encoding="utf-8"))
    }
    assert sorted(pair for pair in ALLOWED if pair not in used) == []


@pytest.mark.parametrize(
    ("module", "source", "fault"),
    [
        ("asgi", "from .wsgi import GateMiddleware", "asgi imports wsgi"),
        ("wsgi", "import keystile.asgi", "wsgi imports asgi"),
        ("model", "def f():\n    from .gate import Gate", "model imports gate"),
        ("rules.paths", "from . import responses", "rules.paths imports rules.responses"),
        ("rules.paths", "from ..gate import Gate", "rules.paths imports gate"),
        ("stores.memory", "from .sqlite import SQLiteStore", "stores.memory imports stores.sqlite"),
        ("stores", "from ..keyring import KeyRing", "stores imports keyring"),
        ("keyring", "from . import gate", "keyring imports gate"),
        ("gate", "from keystile import current", "gate imports "),
        ("_sync", "from ..policy import Rule", "_sync imports policy"),
        ("_sync.local", "from .running import run_now", "_sync.local imports _sync.running"),
        ("hashing", "from .somewhere_new import x", "hashing imports somewhere_new"),
    ],
)
def test_this_test_sees_an_import_that_points_up(module: str, source: str, fault: str) -> None:
    assert faults(module, source) == [fault]
    assert faults(module, "import json\nfrom __future__ import annotations") == []
