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
        "warm, no windows": Counts(14, 28, 567, 1, 0),
        "warm, 2 windows": Counts(17, 39, 918, 1, 0),
        "public": Counts(19, 22, 651, 0, 0),
        "401 no key": Counts(21, 25, 694, 0, 0),
        "401 failed check": Counts(32, 51, 1109, 0, 0),
        "403 scope": Counts(34, 57, 1235, 1, 0),
        "429": Counts(43, 59, 1347, 1, 0),
    },
    "wsgi": {
        "warm, no windows": Counts(11, 28, 448, 1, 0),
        "warm, 2 windows": Counts(14, 39, 799, 1, 0),
        "public": Counts(19, 21, 560, 0, 0),
        "401 no key": Counts(22, 26, 639, 0, 0),
        "401 failed check": Counts(34, 54, 1024, 0, 0),
        "403 scope": Counts(36, 60, 1150, 1, 0),
        "429": Counts(41, 58, 1264, 1, 0),
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
