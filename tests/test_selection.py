"""What `make test` and `make test-all` leave out, and what they say of it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import ports, selection
from tests.ports import free_port

ROOT = Path(__file__).parents[1]
SERVICE = "tests/services/test_nginx.py"


def test_make_test_leaves_out_what_needs_a_program_or_takes_long() -> None:
    assert set(selection.reasons({})) == {*selection.PACKAGES, "stress"}
    assert all("make test-all" in reason for reason in selection.reasons({}).values())


def test_make_test_all_leaves_out_what_is_not_installed_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    everything = {"KEYSTILE_SERVICES": "1", "KEYSTILE_STRESS": "1"}
    monkeypatch.setattr(selection, "program", lambda _name: "/usr/sbin/it")
    assert selection.reasons(everything) == {}
    monkeypatch.setattr(selection, "program", lambda _name: None)
    found = selection.reasons(everything)
    assert set(found) == set(selection.PACKAGES)
    assert all("is not installed" in found[name] and selection.PACKAGES[name] in found[name] for name in found)
    assert selection.reasons({**everything, "CI": "true"}) == {}


def pytest_on(path: str, **environ: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("KEYSTILE_", "PYTEST_", "CI"))}
    command = [sys.executable, "-m", "pytest", "-q", "--collect-only", "-p", "no:cacheprovider", path]
    return subprocess.run(command, cwd=ROOT, env=kept | environ, capture_output=True, text=True, check=False)


def test_a_run_tells_what_it_leaves_out() -> None:
    done = pytest_on(SERVICE)
    assert done.returncode == pytest.ExitCode.NO_TESTS_COLLECTED
    assert "left out: tests that need nginx: `make test-all` runs them" in done.stdout


def test_in_ci_nothing_is_left_out() -> None:
    done = pytest_on(SERVICE, CI="true", KEYSTILE_SERVICES="1", KEYSTILE_STRESS="1")
    assert done.returncode == 0
    assert "test_nginx.py" in done.stdout
    assert "left out" not in done.stdout


def test_the_script_of_ci_installs_each_package() -> None:
    script = (ROOT / ".ci" / "install").read_text()
    (listed,) = re.findall(r"packages=\((.*?)\)", script, re.DOTALL)
    assert dict(re.findall(r"\[(\S+)\]=(\S+)", listed)) == selection.PACKAGES


@pytest.mark.parametrize("script", ["run", "install"])
def test_the_scripts_of_ci_are_bash(script: str) -> None:
    bash = shutil.which("bash")
    assert bash
    subprocess.run([bash, "-n", ROOT / ".ci" / script], check=True)
    assert os.access(ROOT / ".ci" / script, os.X_OK)


def test_ports_are_outside_the_range_that_systems_choose_from(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len({free_port() for _ in range(100)}) == 100
    seen = set()
    for worker in range(2):
        monkeypatch.setattr(ports, "_worker", worker)
        mine = {free_port() for _ in range(50)}
        assert not mine & seen
        assert max(mine) < 32_768
        seen |= mine
