"""The pages of docs/reference are those that the code makes, and their lists are what the package does."""

from __future__ import annotations

import ast
import inspect
import logging
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import get_args

import pytest

import keystile
from keystile import Gate
from keystile.policy import RedirectStatus
from keystile.reference import errors, events, headers
from keystile.reference.pages import written

DOCS = Path(__file__).parents[1] / "docs" / "reference"
PACKAGE = Path(keystile.__file__).parent
PAGES = written()
TOLD = [told for section in (events.KEYS, events.REQUESTS, events.PARTS, events.WEBHOOKS) for told in section]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_the_one_that_the_code_makes(page: str) -> None:
    assert (DOCS / page).read_text(encoding="utf-8") == PAGES[page], "`make docs` writes it anew"


@cache
def parsed(path: Path) -> list[ast.Call | ast.Constant]:
    """The calls and the constants of a module."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return [node for node in nodes if isinstance(node, (ast.Call, ast.Constant))]


def nodes(*folders: str) -> Iterator[ast.Call | ast.Constant]:
    """Those of all modules below these folders of the package, but for the one that makes the pages."""
    for path in sorted(path for folder in folders for path in (PACKAGE / folder).rglob("*.py")):
        if "reference" not in path.relative_to(PACKAGE).parts:
            yield from parsed(path)


def calls(*folders: str) -> Iterator[tuple[str, list[ast.expr]]]:
    """The name and the arguments of everything that is called."""
    for node in nodes(*folders):
        if isinstance(node, ast.Call):
            yield node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", ""), node.args


def word(node: ast.expr) -> object:
    """What a constant says; None for anything else."""
    return node.value if isinstance(node, ast.Constant) else None


def reasons(*folders: str) -> set[tuple[object, object]]:
    """The status and the code of every refusal that these folders make, where both stand there."""
    found = {(word(words[0]), word(words[1])) for name, words in calls(*folders) if name == "Reason" and len(words) > 1}
    return {each for each in found if None not in each}


def answered(listed: Iterable[errors.Error]) -> set[tuple[object, object]]:
    return {(status, each.code) for each in listed for status in each.statuses}


def test_every_refusal_of_the_gate_stands_on_the_page_of_errors() -> None:
    others = [path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "manage"]
    redirects = {(status, "https_required") for status in get_args(RedirectStatus)}
    assert answered(errors.GATE) == reasons(*others, "manage/live") | redirects


def test_every_error_of_the_management_api_stands_there_too() -> None:
    assert reasons("manage") - answered(errors.GATE) <= answered(errors.MANAGEMENT)
    said = {node.value for node in nodes("") if isinstance(node, ast.Constant)}
    assert [each.code for each in errors.MANAGEMENT if each.code not in said] == []


def test_every_error_says_what_the_caller_can_do() -> None:
    for each in (*errors.GATE, *errors.MANAGEMENT):
        assert each.when, each.code
        assert each.caller, each.code


# The functions that tell an event whose code is their first argument; others build it from parts.
TELLING = {"Event", "event_of", "_warn", "_tell_seldom", "made", "purged", "changed", "ended", "_tell"}


def happened() -> Iterator[tuple[object, ast.expr | None]]:
    """The code of every event that the package tells, refusals apart, and its level where that stands there."""
    for name, words in calls(""):
        if name in TELLING and words:
            yield word(words[0]), words[1] if len(words) > 1 else None
        elif name == "Outage":
            yield f"{word(words[1])}_down", None
            yield f"{word(words[1])}_up", None
        elif name == "asked" and len(words) > 2:
            yield f"{word(words[0])}.{word(words[2])}", None


def test_every_event_stands_on_the_page_of_events() -> None:
    listed = [code for told in TOLD for code in told.codes]
    assert len(listed) == len(set(listed))
    assert set(listed) == {code for code, _ in happened() if isinstance(code, str)}


def test_every_event_has_the_level_with_which_it_is_told() -> None:
    listed = {code: told.level for told in TOLD for code in told.codes}
    assert {re.split(r"\W", level)[0] for level in listed.values()} <= logging.getLevelNamesMapping().keys()
    compared = 0
    for code, level in happened():
        if isinstance(level, ast.Attribute) and level.attr.isupper() and code in listed:
            assert listed[str(code)].startswith(level.attr), code
            compared += 1
    assert compared > 10


# Words of `answers` that are written like names of fields and are none, or are parts of such.
NO_FIELDS = {"no-store", "allow-origin", "allow-credentials", "expose-headers"}
NO_FIELDS |= {"us-ascii", "latin-1", "utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"}


def test_every_field_that_answers_write_or_take_out_stands_on_the_page_of_headers() -> None:
    listed = {name.lower() for each in (*headers.WRITTEN, *headers.REMOVED) for name in each.names}
    alone = {"vary", "etag", "link", "location", "allow", "ratelimit", "digest"}
    said = {
        node.value.lower()
        for node in nodes("answers")
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and (re.fullmatch(r"[A-Za-z]+[0-9]?(-[A-Za-z0-9]+)+", node.value) or node.value.lower() in alone)
    }
    assert len(said) > 25
    assert sorted(said - listed - NO_FIELDS) == []
    composed = {"access-control-allow-origin", "access-control-allow-credentials", "access-control-expose-headers"}
    assert sorted(listed - said - composed - {"*-cache-control", "allow"}) == []


def test_every_setting_that_a_page_names_is_one() -> None:
    named = {
        name
        for page in ("errors.md", "headers.md", "events.md")
        for name, value in re.findall(r"`(\w+)(=[^`]*)?`", PAGES[page])
        if value and not name.startswith("force")
    }
    assert len(named) > 3
    assert named <= set(inspect.signature(Gate).parameters)
