"""Which tests run: `make test` leaves out those that need more than Python packages and those that take long.

`@pytest.mark.services("nginx")` runs with KEYSTILE_SERVICES=1, `@pytest.mark.stress` with KEYSTILE_STRESS=1: `make
test-all` sets both. What only repeats the same goes on for longer with KEYSTILE_STRESS (`often`), and in more
settings (`some`). A service that is not installed is left out and named; where CI is set its tests run all the same,
and fail. Nothing is left out silently, and nothing is skipped.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from typing import TypeVar

import pytest

T = TypeVar("T")

PACKAGES = {
    "chromedriver": "chromium-driver",
    "chromium": "chromium",
    "git": "git",
    "mariadbd": "mariadb-server",
    "nginx": "nginx-light",
    "pgbouncer": "pgbouncer",
}
"""The program that a service's tests need, and the package of Debian that has it. `.ci/install` installs them all."""


def program(name: str) -> str | None:
    """The path of the program. Debian keeps servers in a folder that is not on a user's PATH."""
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"]))


def often(usually: int, under_stress: int) -> int:
    """How often a test repeats what it repeats."""
    return under_stress if os.environ.get("KEYSTILE_STRESS") else usually


def some(every: Iterable[T], *usually: T) -> list[T]:
    """The settings in which a test runs: these, and under stress all there are."""
    there = list(every)
    assert not [each for each in usually if each not in there]
    return there if os.environ.get("KEYSTILE_STRESS") else list(usually)


def reasons(environ: os._Environ[str] | dict[str, str]) -> dict[str, str]:
    """Why tests are left out, by what they need; empty where all are to run."""
    found = {}
    for name, package in PACKAGES.items():
        if not environ.get("KEYSTILE_SERVICES"):
            found[name] = f"tests that need {name}: `make test-all` runs them"
        elif program(name) is None and not environ.get("CI"):
            found[name] = f"tests that need {name}: it is not installed (.ci/install, or apt-get install {package})"
    if not environ.get("KEYSTILE_STRESS"):
        found["stress"] = "tests that take long: `make test-all` runs them"
    return found


def needs(item: pytest.Item) -> set[str]:
    """What this test needs besides Python packages and a minute."""
    found = {name for mark in item.iter_markers("services") for name in mark.args}
    return found | {mark.name for mark in item.iter_markers("stress")}
