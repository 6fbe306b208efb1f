"""A cap holds whoever makes keys at once: threads of a process, and processes on one file. Twenty times over."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from keystile import Gate, Plan
from keystile.exceptions import KeyLimitReached
from tests.redis_stores import emptied
from tests.selection import often
from tests.sql_stores import emptied as emptied_sql
from tests.sql_stores import postgres_url  # noqa: F401

PEPPER = "a pepper of enough bytes"
ROUNDS, TRIES, CAP = often(2, 20), 50, 5


def a_gate(store: str, plan: Plan) -> Gate:
    return Gate(store, prefix="acme", peppers=[PEPPER], hasher="hmac-sha256", plans={"free": plan}, default_plan="free")


def live(gate: Gate, organization: str) -> int:
    return len(gate.keys.list(organization_id=organization, live=True, limit=1000))


def make(gate: Gate, organization: str, start: threading.Barrier, full: list[int], faults: list[BaseException]) -> None:
    """Make keys, and note those that were refused and what went wrong."""
    start.wait()
    for number in range(TRIES // 5):
        try:
            gate.keys.create("CI", organization_id=organization)
        except KeyLimitReached:
            full.append(number)
        except Exception as error:  # noqa: BLE001 - it is what is looked for
            faults.append(error)


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
@pytest.mark.parametrize("when_full", ["refuse", "revoke_oldest"])
def test_threads_that_make_keys_at_once_leave_as_many_as_the_cap_says(
    tmp_path: Path, kind: str, when_full: Any
) -> None:
    gate = a_gate(
        "memory://" if kind == "memory" else f"sqlite:///{tmp_path}/keys.db", Plan(None, CAP, when_full=when_full)
    )
    for each in range(ROUNDS):
        full: list[int] = []
        faults: list[BaseException] = []
        start = threading.Barrier(5)
        work = partial(make, gate, f"o{each}", start, full, faults)
        threads = [threading.Thread(target=work) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert faults == []
        assert live(gate, f"o{each}") == CAP
        assert len(full) == (TRIES - CAP if when_full == "refuse" else 0)
        revoked = gate.audit(organization_id=f"o{each}", event="key.revoke", limit=1000)
        assert len(revoked) == (0 if when_full == "refuse" else TRIES - CAP)
        assert len(gate.audit(organization_id=f"o{each}", event="key.create", limit=1000)) == TRIES - len(full)
    gate.close()


SCRIPT = f"""
    import sys
    from keystile import Plan
    from keystile.exceptions import KeyLimitReached
    from tests.test_caps import a_gate
    url, when_full, tries = sys.argv[1], sys.argv[2], int(sys.argv[3])
    gate = a_gate(url, Plan(None, {CAP}, when_full=when_full))
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range({ROUNDS}):
        full = 0
        for _ in range(tries):
            try:
                gate.keys.create("CI", organization_id=f"o{{number}}")
            except KeyLimitReached:
                full += 1
        print(full, flush=True)
        sys.stdin.readline()
    gate.close()
"""


@pytest.fixture(params=["sqlite", "postgresql", "valkey", "cluster"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty store that several processes can use."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/keys.db"
    if request.param == "postgresql":
        return emptied_sql(request.getfixturevalue("postgres_url"))
    return emptied(request.param)


@pytest.mark.stress
@pytest.mark.parametrize("when_full", ["refuse", "revoke_oldest"])
def test_four_processes_that_make_keys_at_once_leave_as_many_as_the_cap_says(url: str, when_full: Any) -> None:
    gate = a_gate(url, Plan(None, CAP, when_full=when_full))
    shares = (13, 13, 12, 12)
    command = [sys.executable, "-c", textwrap.dedent(SCRIPT), url, when_full]
    running = [
        subprocess.Popen([*command, str(share)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for share in shares
    ]

    def said() -> list[str]:
        return [str(process.stdout and process.stdout.readline()).strip() for process in running]

    def go_on() -> None:
        for process in running:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()

    assert said() == ["ready"] * 4
    for each in range(ROUNDS):
        go_on()
        full = sum(map(int, said()))
        assert live(gate, f"o{each}") == CAP
        assert full == (sum(shares) - CAP if when_full == "refuse" else 0)
    go_on()
    for process in running:
        assert process.wait(60) == 0
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()
    gate.close()
