"""The types that hosts are given: what the checkers let pass, what they report, and what `inspect` and editors show."""

from __future__ import annotations

import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest

from keystile import ConfigurationError, Gate, PageStyle, Plan, Rule
from keystile.policy import Policy
from tests.selection import some

USER_CODE = Path(__file__).with_name("user_code.py")
WRONG = {
    number for number, line in enumerate(USER_CODE.read_text(encoding="utf-8").splitlines(), 1) if "# wrong" in line
}


def run(folder: Path, *command: str) -> str:
    """What a checker says of the user's code, in a folder where there is nothing of ours but the installed package."""
    shutil.copy(USER_CODE, folder / "user_code.py")
    environ = {name: value for name, value in os.environ.items() if name not in ("MYPYPATH", "PYTHONPATH")}
    # Whatever it would like to look up: nothing is there to be reached.
    environ |= {"PYRIGHT_PYTHON_IGNORE_WARNINGS": "1", "HTTPS_PROXY": "http://127.0.0.1:9"}
    ran = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode == 1, ran.stdout + ran.stderr
    return ran.stdout


def by_mypy(folder: Path) -> dict[int, str]:
    said = run(folder, "mypy", "--strict", "--config-file=", "--cache-dir", str(folder / "cache"), "user_code.py")
    return {int(line): text for line, text in re.findall(r"^user_code\.py:(\d+): error: (.*)$", said, re.MULTILINE)}


def by_pyright(folder: Path) -> dict[int, str]:
    said = json.loads(run(folder, "pyright", "--pythonpath", sys.executable, "--outputjson", "user_code.py"))
    return {each["range"]["start"]["line"] + 1: each["message"] for each in said["generalDiagnostics"]}


@pytest.mark.parametrize("check", some([by_mypy, by_pyright], by_mypy))
def test_a_checker_reports_the_lines_that_are_wrong_and_no_others(
    check: Callable[[Path], dict[int, str]], tmp_path: Path
) -> None:
    reported = check(tmp_path)
    assert {line: text for line, text in reported.items() if line not in WRONG} == {}
    assert sorted(WRONG - set(reported)) == []


@pytest.mark.parametrize(
    ("kind", "given", "message"),
    [
        (Gate, {"stor": "x"}, "stor: there is no such setting; did you mean 'store'?"),
        (Gate, {"limits": "60/minute"}, "limits: there is no such setting; did you mean 'limiter'?"),
        (Gate, {"colour": "x"}, "colour: there is no such setting; there are store, prefix, "),
        (Gate, {"self_": 1}, "self_: there is no such setting; there are store, "),
        (Rule, {"match": "/x", "scope": ["a"]}, "scope: there is no such setting; did you mean 'scopes'?"),
        (Plan, {"limit": "60/minute"}, "limit: there is no such setting; did you mean 'limits'?"),
        (PageStyle, {"has_mroe": "x"}, "has_mroe: there is no such setting; did you mean 'has_more'?"),
    ],
)
def test_a_setting_that_there_is_not_is_named_with_the_one_that_was_meant(
    kind: Any, given: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        kind(**given)
    assert str(caught.value).startswith(message)
    assert caught.value.key == next(name for name in given if name != "match")


def test_inspect_shows_every_setting_of_a_gate_with_its_type_and_default() -> None:
    shown = inspect.signature(Gate).parameters
    assert "self" not in shown
    assert next(iter(shown)) == "store"
    kinds = {each.kind for name, each in shown.items() if name != "store"}
    assert kinds == {inspect.Parameter.KEYWORD_ONLY}
    for setting in fields(Policy):
        assert shown[setting.name].annotation == setting.type, setting.name
        if setting.name != "plans":
            assert shown[setting.name].default == setting.default, setting.name


@pytest.mark.parametrize("kind", [Rule, Plan, PageStyle])
def test_inspect_shows_the_arguments_of_what_is_checked(kind: Any) -> None:
    assert list(inspect.signature(kind).parameters) == [each.name for each in fields(kind)]
    assert kind.__init__.__qualname__ == f"{kind.__name__}.__init__"


def test_what_a_setting_with_a_few_values_may_be_is_said_by_its_type_alone() -> None:
    few = {name: hint for name, hint in get_type_hints(Policy).items() if get_origin(hint) is Literal}
    assert sorted(few) == [
        "error_format",
        "event_format",
        "foreign",
        "https",
        "limit_by",
        "on_limiter_error",
        "preflight",
        "redirect_status",
    ]
    for name, hint in few.items():
        for value in get_args(hint):
            assert getattr(Policy(**{name: value, "public_url": "https://a.example"}), name) == value
        wrong: Any
        for wrong in ("other", 302, 301.0, True, None, ["off"], b"off"):
            with pytest.raises(ConfigurationError) as caught:
                Policy(**{name: wrong})
            assert str(caught.value) == f"{name}: expected one of {', '.join(map(str, get_args(hint)))}"
