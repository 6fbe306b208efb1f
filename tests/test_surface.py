"""What the package shows: a list, documented to the last method, and cheap to import."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import pytest

import keystile

SURFACE = [
    "Actor",
    "Admitted",
    "ApiKey",
    "Argon2Hasher",
    "AuditEntry",
    "ConfigurationError",
    "Current",
    "Gate",
    "HmacHasher",
    "InvalidRequest",
    "IssuedKey",
    "IssuedProject",
    "KeyLimitReached",
    "KeyNotActive",
    "KeyNotFound",
    "KeystileError",
    "Management",
    "NotFound",
    "OpaqueFormat",
    "Organization",
    "Overloaded",
    "PageStyle",
    "Plan",
    "Principal",
    "Project",
    "RecordChanged",
    "Refused",
    "Rule",
    "StoreUnavailable",
    "Usage",
    "UsagePeriod",
    "Window",
    "current",
]
# What `import keystile` must not load: doors, drivers, frameworks, and what only the command line needs.
NOT_LOADED = [
    "starlette",
    "werkzeug",
    "sqlalchemy",
    "redis",
    "limits",
    "sqlite3",
    "flask",
    "fastapi",
    "click",
    "trio",
    "keystile.asgi",
    "keystile.wsgi",
    "keystile.config",
    "keystile.wrap",
    "keystile.cli",
    "keystile.client",
    "keystile.stores.sqlite",
    "keystile.integrations",
    "keystile.leaks",
    "keystile.manage",
    "keystile.openapi",
    "keystile.testing",
    "django",
    "litestar",
    "bcrypt",
    "jinja2",
    "keystile.manage.dashboard",
    "cryptography",
    "httpx",
    "httpx2",
]
PACKAGE = Path(keystile.__file__).parent
PUBLIC_MODULES = sorted(
    path.relative_to(PACKAGE).as_posix()
    for path in PACKAGE.rglob("*.py")
    if not any(part.startswith("_") and part != "__init__.py" for part in path.relative_to(PACKAGE).parts)
)


def test_the_surface_is_this_list_and_sorted() -> None:
    assert keystile.__all__ == SURFACE
    assert sorted(SURFACE) == SURFACE


@pytest.mark.parametrize("name", SURFACE)
def test_every_name_is_there_and_says_what_it_is(name: str) -> None:
    found = getattr(keystile, name)
    assert found.__module__.startswith("keystile.")
    own = [found] if inspect.isfunction(found) else [found, *own_members(found)]
    assert [each for each in own if not (getattr(each, "__doc__", None) or "").strip()] == []


def own_members(kind: type) -> list[object]:
    """The public functions, classes and properties that a class of ours defines, its bases of ours included."""
    return [
        member
        for base in kind.__mro__
        if base.__module__.startswith("keystile")
        for name, member in vars(base).items()
        if not name.startswith("_")
        and (inspect.isfunction(member) or isinstance(member, (property, type, classmethod)))
    ]


def test_a_dataclass_is_documented_by_hand() -> None:
    for name in SURFACE:
        found = getattr(keystile, name)
        assert not (found.__doc__ or "").startswith(f"{name}(")


def undocumented(path: Path) -> Iterator[str]:
    """Public classes, functions and methods of a module without a docstring; what stands inside a function is not."""
    waiting: list[tuple[str, ast.AST]] = [("", ast.parse(path.read_text(encoding="utf-8")))]
    while waiting:
        prefix, node = waiting.pop()
        if not isinstance(node, ast.Module):
            assert isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
            if node.name.startswith("_"):
                continue
            prefix += f"{node.name}."
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            if not ast.get_docstring(node):
                yield prefix.rstrip(".") or "the module"
            if isinstance(node, (ast.Module, ast.ClassDef)):
                definitions = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
                waiting += [(prefix, inner) for inner in node.body if isinstance(inner, definitions)]


@pytest.mark.parametrize("module", PUBLIC_MODULES)
def test_every_public_definition_of_every_public_module_is_documented(module: str) -> None:
    assert sorted(undocumented(PACKAGE / module)) == []


def in_a_fresh_interpreter(code: str) -> str:
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def test_importing_the_package_loads_no_door_no_driver_and_no_framework() -> None:
    loaded = set(in_a_fresh_interpreter("import keystile, sys; print(*sys.modules)").split())
    assert "keystile.gate" in loaded
    assert sorted(loaded & set(NOT_LOADED)) == []


@pytest.mark.parametrize("door", ["asgi", "wsgi"])
def test_a_door_loads_neither_the_other_door_nor_a_framework(door: str) -> None:
    other = {"asgi": "wsgi", "wsgi": "asgi"}[door]
    loaded = set(in_a_fresh_interpreter(f"import keystile.{door}, sys; print(*sys.modules)").split())
    assert f"keystile.{door}" in loaded
    assert sorted(loaded & {*NOT_LOADED} - {f"keystile.{door}"}) == []
    assert f"keystile.{other}" not in loaded
    assert "keystile.webhooks" not in loaded


@pytest.mark.parametrize("door", ["asgi", "wsgi"])
def test_a_door_has_a_middleware_for_webhooks_and_loads_it_when_it_is_asked_for(door: str) -> None:
    code = f"from keystile.{door} import *; import sys; WebhookMiddleware, GateMiddleware; print(*sys.modules)"
    loaded = set(in_a_fresh_interpreter(code).split())
    assert {f"keystile.webhooks.receiving.{door}"} <= loaded
    assert not loaded & {*NOT_LOADED, "httpcore2", "cryptography"} - {f"keystile.{door}"}
    with pytest.raises(AttributeError, match="no attribute 'Other'"):
        _ = importlib.import_module(f"keystile.{door}").Other


def test_the_client_loads_neither_library_that_it_works_with() -> None:
    loaded = set(in_a_fresh_interpreter("from keystile.client import *; import sys; print(*sys.modules)").split())
    assert "keystile.client.transports" in loaded
    assert not loaded & {*NOT_LOADED} - {"keystile.client"}


def test_a_gate_over_memory_loads_no_driver() -> None:
    code = "import keystile, sys; keystile.Gate('memory://').keys.list(); print(*sys.modules)"
    assert sorted(set(in_a_fresh_interpreter(code).split()) & (set(NOT_LOADED) - {"limits"})) == []


def test_the_package_is_typed() -> None:
    assert resources.files("keystile").joinpath("py.typed").is_file()


def test_the_version_is_a_plain_release_number() -> None:
    assert [part.isdigit() for part in keystile.__version__.split(".")] == [True] * 3
