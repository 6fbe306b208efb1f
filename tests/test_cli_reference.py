"""docs/reference/cli.md is what the commands are, and what they print."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from keystile.cli.commands import main
from keystile.cli.reference import page
from tests.command_line import Desk, desk

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "cli.md"
SHAPES = [json.loads(block) for block in re.findall(r"^```json\n(.*?)^```$", page(), re.MULTILINE | re.DOTALL)]


@pytest.fixture
def at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A folder with a file."""
    monkeypatch.chdir(tmp_path)
    return desk(tmp_path, "file")


def commands(group: click.Group = main, path: str = "keystile") -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")


def test_the_page_is_what_the_commands_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run `make docs`"


@pytest.mark.parametrize(("path", "command"), list(commands()), ids=lambda each: each if isinstance(each, str) else "")
def test_every_command_stands_on_the_page_with_all_its_options_and_says_what_they_mean(
    path: str, command: click.Command
) -> None:
    section = page().partition(f"### `{path}`\n")[2].partition("\n### ")[0]
    assert f"    {path} " in section
    for option in command.params:
        if isinstance(option, click.Option):
            assert option.help
            assert max(option.opts, key=len) in section


def test_each_shape_has_the_members_that_are_printed(at: Desk) -> None:
    key, issued, project, organization, entry = SHAPES
    at.did("organizations", "create", "acme")
    made = at.said("projects", "create", "Web", "--organization", "acme")
    assert list(made) == ["project", *issued]
    assert list(at.said("keys", "create", "ci")) == list(issued)
    assert same(key, made["key"])
    assert same(project, made["project"])
    assert same(organization, at.said("organizations", "show", "acme"))
    assert same({**entry, "before": None, "after": None}, {**at.said("audit")[-1], "before": None, "after": None})


@pytest.mark.parametrize("command", [path for path, found in commands() if not isinstance(found, click.Group)])
def test_every_command_that_answers_has_json(command: str) -> None:
    found = dict(commands())[command]
    names = {name for option in found.params for name in option.opts}
    silent = {"init", "check", "dashboard", "schema", "demo", "work", "reset", "delete", "key", "migrate", "pattern"}
    assert ("--json" in names) is (command.rsplit(maxsplit=1)[-1] not in silent)


def same(shown: Any, printed: Any) -> bool:
    """Whether two JSON values have the same members, in the same order, all the way down."""
    if isinstance(shown, dict) and shown:
        return list(shown) == list(printed) and all(same(shown[name], printed[name]) for name in shown)
    if isinstance(shown, list) and shown and printed:
        return same(shown[0], printed[0])
    return True
