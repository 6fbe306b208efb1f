"""Every framework with its little app on a real server, and docs/reference/frameworks.md that says what came of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from keystile import Gate, HmacHasher
from tests.frameworks.cases import CASES, Case
from tests.frameworks.kinds import KINDS
from tests.frameworks.table import DOCUMENT, columns, document, meaning
from tests.frameworks.talk import ORIGIN, Keys, Talk
from tests.servers import serving

HERE = Path(__file__).parent
# What the little apps and the framework warn of is an error there too, so that none breaks with its next version.
WARNINGS = "error::DeprecationWarning"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("frameworks")


@pytest.fixture(scope="module")
def keys(folder: Path) -> Keys:
    gate = Gate(f"sqlite:///{folder}/keys.db", prefix="acme", hasher=HmacHasher(b"frameworks" * 2))
    good = gate.keys.create("good", scopes=["exports:write", "reports:write"]).secret
    plain = gate.keys.create("plain").secret
    gate.close()
    return Keys(good, plain)


def _environ(folder: Path, notes: Path, ignores: tuple[str, ...]) -> dict[str, str]:
    return {
        "PYTHONPATH": os.pathsep.join([str(HERE / "apps"), str(HERE)]),
        "PYTHONWARNINGS": ",".join([WARNINGS, *ignores]),
        "KEYSTILE_FRAMEWORKS": str(folder),
        "KEYSTILE_NOTES": str(notes),
    }


def _helped(folder: Path, keys: Keys) -> dict[str, str]:
    """What comes of the helper of a host's tests, by framework."""
    ignores = tuple(each for kind in KINDS.values() for each in kind.ignores)
    environ = os.environ | _environ(folder, folder / "helper.notes", ignores)
    command = [sys.executable, str(HERE / "helping.py")]
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    words: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return words


@contextmanager
def _talking(name: str, folder: Path, keys: Keys) -> Iterator[Talk]:
    kind, notes = KINDS[name], folder / f"{name}.notes"
    environ = _environ(folder, notes, kind.ignores)
    environ["KEYSTILE_CORS_ORIGINS"] = ORIGIN if kind.cors == "gate" else ""
    with serving(kind.server, kind.module, folder, **environ) as server:
        talk = Talk(kind, server, keys, folder / f"{kind.server}-{server.port}.log", notes)
        # A socket that listens need not have an app behind it yet.
        assert talk.get("/health", None).status == 200, talk.log.read_text()
        yield talk


@pytest.fixture(scope="module")
def talks(folder: Path, keys: Keys) -> Iterator[dict[str, Talk]]:
    """All servers at once: starting them takes longest."""
    with ExitStack() as stack, ThreadPoolExecutor(4) as threads:
        started = {name: threads.submit(stack.enter_context, _talking(name, folder, keys)) for name in KINDS}
        helped = threads.submit(_helped, folder, keys)
        yield {name: replace(future.result(), helped=helped.result()[name]) for name, future in started.items()}


@pytest.fixture(scope="module")
def seen() -> dict[tuple[str, str], str]:
    return {}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("name", list(KINDS))
def test_case(name: str, case: Case, talks: dict[str, Talk], seen: dict[tuple[str, str], str]) -> None:
    seen[case.name, name] = case.run(talks[name])


def test_names_of_cases_are_their_own() -> None:
    assert len({case.name for case in CASES}) == len(CASES)


def test_the_table_is_what_was_observed(seen: dict[tuple[str, str], str]) -> None:
    if len(seen) < len(CASES) * len(KINDS):
        return  # a part of the cases was asked for, or one has failed: there is no whole table to compare
    assert [word for word in set(seen.values()) if meaning(word) is None] == []
    text = document(seen)
    if os.environ.get("KEYSTILE_WRITE_DOCS"):
        DOCUMENT.write_text(text)
    written, now = columns(DOCUMENT.read_text()), columns(text)
    other = [name for name in KINDS if name not in written or written[name][0] != now[name][0]]
    for name in KINDS:
        assert name in other or written[name] == now[name], f"{name}: write it anew with KEYSTILE_WRITE_DOCS=1"
    # Of other versions the document says nothing; their cases have run all the same.
    assert other or DOCUMENT.read_text() == text, "write it anew with KEYSTILE_WRITE_DOCS=1"
