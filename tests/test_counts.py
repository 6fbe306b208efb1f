"""What a request costs in calls, bytecodes, objects and commands: what makes the gate slower shows here, on a busy
machine too."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.counts import Counts, count, redis_commands

from keystile.limiters.memory import MemoryLimiter
from keystile.model import Window
from keystile.rules.limits.charges import charged

# Python calls, calls of C, bytecodes and objects of CPython 3.11: at most so many. How often the store and the limiter
# are asked and argon2 is run: exactly. Objects have one to spare, for what is kept to be used again is not the same in
# every order of work.
# These numbers may fall. One that rises needs a reason that is worth its time on every request.
MOST = {
    "asgi": {
        "warm, no windows": Counts(14, 28, 578, 33, 1, 0, 0),
        "warm, 2 windows": Counts(17, 39, 929, 53, 1, 1, 0),
        "public": Counts(15, 17, 474, 29, 0, 0, 0),
        "401 no key": Counts(16, 20, 519, 21, 0, 0, 0),
        "401 failed check": Counts(20, 31, 673, 35, 0, 0, 0),
        "403 scope": Counts(18, 32, 658, 27, 1, 0, 0),
        "429": Counts(32, 55, 1210, 53, 1, 1, 0),
    },
    "wsgi": {
        "warm, no windows": Counts(11, 28, 458, 27, 1, 0, 0),
        "warm, 2 windows": Counts(14, 39, 809, 47, 1, 1, 0),
        "public": Counts(12, 16, 349, 22, 0, 0, 0),
        "401 no key": Counts(14, 21, 430, 13, 0, 0, 0),
        "401 failed check": Counts(18, 33, 589, 28, 0, 0, 0),
        "403 scope": Counts(16, 34, 574, 20, 1, 0, 0),
        "429": Counts(30, 54, 1126, 46, 1, 1, 0),
    },
}


@pytest.fixture(scope="module")
def counted() -> dict[str, Counts]:
    """In a process of its own: what watches the tests would be counted too."""
    command = [sys.executable, "-m", "benchmarks.counts"]
    ran = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=True)
    rows = re.findall(r"^(\w+, .*?) {2,}([\d ]+)$", ran.stdout, re.MULTILINE)
    return {name: Counts(*map(int, numbers.split())) for name, numbers in rows if "bare" not in name}


@pytest.mark.parametrize("door", MOST)
def test_a_request_costs_no_more_than_it_did(door: str, counted: dict[str, Counts]) -> None:
    assert {name for name in counted if name.startswith(door)} == {f"{door}, {name}" for name in MOST[door]}
    for name, most in MOST[door].items():
        counts = counted[f"{door}, {name}"]
        assert counts.calls <= most.calls, name
        assert counts[4:] == most[4:], name
        if sys.version_info[:2] == (3, 11):  # others translate the same lines into other bytecodes
            assert counts.c_calls <= most.c_calls, name
            assert counts.bytecodes <= most.bytecodes, name
            assert counts.objects <= most.objects, name


def test_two_windows_in_redis_are_one_command(redis_url: str) -> None:
    assert redis_commands(redis_url) == {"asgi": ["evalsha"], "wsgi": ["evalsha"]}


def test_what_is_counted_is_what_was_done() -> None:
    def twice() -> None:
        len("")
        len("")

    assert count(twice)[:2] == (1, 2)
    assert count(twice).bytecodes > count(lambda: None).bytecodes


def test_objects_are_counted_when_they_are_given_back_too() -> None:
    def three() -> None:
        object()
        object()
        object()

    def none() -> None:
        _nothing()
        _nothing()

    assert count(three).objects - count(none).objects == 3
    assert count(none).objects == 0


def _nothing() -> None:
    pass


def test_calls_of_a_limiter_are_counted_once_each() -> None:
    limiter, charges = MemoryLimiter(), charged((Window(10, 60), Window(100, 3600)))
    assert count(lambda: (limiter.hit("a", charges), limiter.hit("b", charges)))[4:] == (0, 2, 0)
