"""`on_project_deleted` in a file: a function by its name. tests/contracts runs it over HTTP, behind both doors."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import anyio
import pytest

from keystile import ConfigurationError, Gate
from keystile.config.file import load, open_gate

SOURCE = """
told = []
nothing = None

def forget(project):
    told.append(project.name)

async def forget_later(project):
    told.append(project.name)

def made(prefix):
    return lambda project: told.append(prefix + project.name)

def fails():
    raise AttributeError("inside")
"""
_count = itertools.count()


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module in the working directory; each is imported once in a process."""
    monkeypatch.chdir(tmp_path)
    name = f"hooks_{next(_count)}"
    (tmp_path / f"{name}.py").write_text(SOURCE)
    return name


def gate_with(hook: str) -> Gate:
    Path("keystile.toml").write_text(f'store = "memory://"\non_project_deleted = "{hook}"\n')
    return open_gate(load(environ={}))


def told_by(module: str) -> Any:
    return __import__(module).told


@pytest.mark.parametrize(("hook", "told"), [("forget", "shop"), ("made('the ')", "the shop")])
def test_a_function_that_is_named_is_told_of_deleted_projects(module: str, hook: str, told: str) -> None:
    gate = gate_with(f"{module}:{hook}")
    made = gate.projects.create("shop", organization_id="acme")
    gate.projects.delete(made.project.id)
    assert told_by(module) == [told]


def test_it_may_be_async(module: str) -> None:
    gate = gate_with(f"{module}:forget_later")
    made = gate.projects.create("shop", organization_id="acme")
    anyio.run(gate.projects.adelete, made.project.id)
    assert told_by(module) == ["shop"]


@pytest.mark.parametrize(
    ("hook", "reason"),
    [
        ("forget", "expected 'module:attribute'"),
        ("no_such_module:forget", "there is no module 'no_such_module'"),
        ("{module}:nobody", "has no attribute 'nobody'"),
        ("{module}:nothing", "is no function: it is None"),
        ("{module}:made()", "cannot be called with these arguments"),
        ("{module}:fails()", "raised AttributeError"),
        ("", "expected 'module:attribute'"),
    ],
)
def test_what_cannot_be_used_is_refused_at_start(module: str, hook: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=r"keystile\.toml: on_project_deleted") as caught:
        gate_with(hook.format(module=module))
    assert reason in str(caught.value)


def test_in_code_it_is_the_function_itself() -> None:
    name: Any = "service:forget"
    with pytest.raises(ConfigurationError, match="expected a function that takes a project"):
        Gate(on_project_deleted=name)
