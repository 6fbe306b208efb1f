"""What a request costs in calls and bytecodes: what makes the gate slower shows here, on a busy machine too."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.counts import Counts, count

# Python calls, calls of C, and bytecodes of CPython 3.11: at most so many. Store reads and argon2 runs: exactly.
# These numbers may fall. One that rises needs a reason that is worth its time on every request.
MOST = {
    "asgi": {
        "warm, no windows": Counts(29, 44, 1092, 1, 0),
        "warm, 2 windows": Counts(32, 60, 1482, 1, 0),
        "public": Counts(18, 26, 680, 0, 0),
        "401 no key": Counts(24, 35, 795, 0, 0),
        "401 failed check": Counts(33, 53, 1095, 0, 0),
        "403 scope": Counts(38, 59, 1200, 1, 0),
        "429": Counts(53, 82, 1861, 1, 0),
    },
    "wsgi": {
        "warm, no windows": Counts(31, 36, 958, 1, 0),
        "warm, 2 windows": Counts(34, 49, 1348, 1, 0),
        "public": Counts(19, 20, 566, 0, 0),
        "401 no key": Counts(24, 26, 626, 0, 0),
        "401 failed check": Counts(34, 41, 894, 0, 0),
        "403 scope": Counts(36, 44, 999, 1, 0),
        "429": Counts(54, 67, 1660, 1, 0),
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
        assert (counts.store, counts.argon2) == (most.store, most.argon2), name
        if sys.version_info[:2] == (3, 11):  # others translate the same lines into other bytecodes
            assert counts.c_calls <= most.c_calls, name
            assert counts.bytecodes <= most.bytecodes, name


def test_what_is_counted_is_what_was_done() -> None:
    def twice() -> None:
        len("")
        len("")

    assert count(twice)[:2] == (1, 2)
    assert count(twice).bytecodes > count(lambda: None).bytecodes
