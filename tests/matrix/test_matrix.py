"""Every case of the matrix on every server, and the table in docs/reference/servers.md that says what came of it.

What holds everywhere: nothing is admitted without a valid key, and what is refused never reaches the app. What else a
server makes of a request is its own affair, but it is written down.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

import keystile
from keystile import Gate
from tests.matrix.cases import CASES, Case
from tests.matrix.connections import CONNECTIONS
from tests.matrix.gates import open_gate
from tests.matrix.table import DOCUMENT, cell, columns, document, meaning
from tests.matrix.talk import Keys, Talk, is_public
from tests.selection import some
from tests.servers import MATRIX, serving

ALL = [*CASES, *CONNECTIONS]
TALKING = some(MATRIX, "uvicorn-httptools", "gunicorn-gthread")
ROOT = Path(__file__).parents[2]
PACKAGE = Path(keystile.__file__).parent


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("matrix")


@pytest.fixture(scope="module")
def keys(folder: Path) -> Iterator[Keys]:
    gate = open_gate(folder)
    revoked = gate.keys.create("revoked")
    gate.keys.revoke(revoked.key.id)
    elsewhere = Gate(prefix="acme")
    yield Keys(
        good=gate.keys.create("good", scopes=["exports:write"]).secret,
        plain=gate.keys.create("plain").secret,
        other=gate.keys.create("other", scopes=["exports:write"]).secret,
        revoked=revoked.secret,
        bad=elsewhere.keys.create("bad").secret,
    )
    gate.close()
    elsewhere.close()


@contextmanager
def _talking(kind: str, folder: Path, keys: Keys) -> Iterator[Talk]:
    runs = folder / f"{kind}.runs"
    # The servers import this folder's app. Nothing of the installed package is shadowed: that lies in src.
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environ = {"PYTHONPATH": path, "KEYSTILE_MATRIX": str(folder), "KEYSTILE_RUNS": str(runs)}
    with serving(kind, "tests.matrix.app", folder, **environ) as server:
        talk = Talk(server.port, keys, runs)
        # A socket that listens need not have an app behind it yet.
        with talk.open(30) as wire:
            wire.send(talk.fill("GET /health HTTP/1.1\nHost: x\nConnection: close"))
            assert wire.final().status == 200
        yield talk


@pytest.fixture(scope="module")
def talks(folder: Path, keys: Keys) -> Iterator[dict[str, Talk]]:
    """All servers at once: starting them takes longest."""
    with ExitStack() as stack, ThreadPoolExecutor(4) as threads:
        managers = {kind: _talking(kind, folder, keys) for kind in TALKING}
        started = {kind: threads.submit(stack.enter_context, manager) for kind, manager in managers.items()}
        yield {kind: future.result() for kind, future in started.items()}


@pytest.fixture(scope="module")
def seen() -> dict[tuple[str, str], str]:
    return {}


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)
@pytest.mark.parametrize("kind", TALKING)
def test_case(kind: str, case: Case, talks: dict[str, Talk], seen: dict[tuple[str, str], str]) -> None:
    talk = talks[kind]
    talk.findings.clear()
    case.run(talk)
    seen[case.name, kind] = cell(case, talk.findings)


def test_names_of_cases_are_their_own() -> None:
    assert len({case.name for case in ALL}) == len(ALL)


@pytest.mark.parametrize("kind", TALKING)
def test_no_run_without_a_key_but_on_public_paths(kind: str, talks: dict[str, Talk]) -> None:
    runs = talks[kind].runs()
    assert {run["caller"] for run in runs} <= {"good", "plain", None}
    assert all(is_public(str(run["path"])) for run in runs if run["caller"] is None)


@pytest.mark.parametrize("kind", TALKING)
def test_the_gate_raised_nothing(kind: str, folder: Path, talks: dict[str, Talk]) -> None:
    """A traceback may end in the server, because the app broke HTTP or the client left; it may not end in the gate."""
    (log,) = folder.glob(f"{kind}-{talks[kind].port}.log")
    ends = [block.rstrip().split("  File ")[-1] for block in log.read_text().split("Traceback (most recent")[1:]]
    assert [end for end in ends if in_the_gate(end)] == []


def in_the_gate(frame: str) -> bool:
    """Whether a traceback's frame is in the package, wherever that is installed: a folder above may have its name."""
    return frame.startswith(f'"{PACKAGE}{os.sep}')


def test_a_folder_that_is_called_like_the_package_is_not_the_gate() -> None:
    server = PACKAGE.parent / "uvicorn" / "main.py"
    assert not in_the_gate(f'"/home/me/keystile{server}", line 1, in main')
    assert in_the_gate(f'"{PACKAGE / "asgi.py"}", line 1, in main')


def test_the_table_is_what_was_observed(seen: dict[tuple[str, str], str]) -> None:
    if len(seen) < len(ALL) * len(MATRIX):
        return  # a part of the cases was asked for, or one has failed: there is no whole table to compare
    assert [word for words in set(seen.values()) for word in words.split("; ") if meaning(word) is None] == []
    text = document(ALL, seen)
    if os.environ.get("KEYSTILE_WRITE_DOCS"):
        DOCUMENT.write_text(text)
    written = columns(DOCUMENT.read_text())
    now = columns(text)
    other = [kind for kind in MATRIX if kind not in written or written[kind][0] != now[kind][0]]
    for kind in MATRIX:
        assert kind in other or written[kind] == now[kind], f"{kind}: write it anew with KEYSTILE_WRITE_DOCS=1"
    # Of other versions, or another Python's werkzeug, the document says nothing; their cases have run all the same.
    assert other or DOCUMENT.read_text() == text, "write it anew with KEYSTILE_WRITE_DOCS=1"
