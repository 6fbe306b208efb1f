"""klaus, which shows git repositories and serves them to git: a key is the password of clone and push."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from dulwich.repo import Repo

from tests.realapps.running import Both, Service, is_guarded, running
from tests.selection import program

pytestmark = pytest.mark.stress

APP = "klaus:make_app(['demo'], 'code', use_smarthttp=True, unauthenticated_push=True)"
SETTINGS = 'accept = ["X-API-Key", "Authorization: Basic"]\n'
ME = b"A <a@example.com>"
LONG_AGO = 1_700_000_000
PYTHONS = [sys.executable, "-m", "dulwich"]


def git(folder: Path, *arguments: str, command: list[str] = PYTHONS) -> subprocess.CompletedProcess[str]:
    """A git command in this folder, of nobody who has settings."""
    quiet = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0", "HOME": str(folder)}
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith(("GIT_", "HTTP"))}
    return subprocess.run(
        [*command, *arguments], cwd=folder, env=kept | quiet, capture_output=True, text=True, check=False
    )


def did(folder: Path, *arguments: str, command: list[str] = PYTHONS) -> None:
    done = git(folder, *arguments, command=command)
    assert done.returncode == 0, done.stderr


def commit(folder: Path, name: str, octets: bytes) -> None:
    """Commit a file, long ago: the pages tell how many seconds have passed since."""
    (folder / name).write_bytes(octets)
    with closing(Repo(folder)) as repository:
        work = repository.get_worktree()
        work.stage([name])
        work.commit(name.encode(), author=ME, committer=ME, author_timestamp=LONG_AGO, commit_timestamp=LONG_AGO)


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    folder = tmp_path_factory.mktemp("code")
    Repo.init(folder / "demo", mkdir=True).close()
    commit(folder / "demo", "README", b"hello\n")
    with running(Service("gunicorn", APP, SETTINGS), folder) as both:
        yield both


def test_the_pages_are_guarded(code: Both) -> None:
    is_guarded(code, "/demo/")
    assert b"hello" in code.same("GET", "/demo/blob/master/README").content


def test_a_repository_is_downloaded_whole(code: Both) -> None:
    # gzip notes when it was made.
    plain, gated = (gzip.decompress(answer.content) for answer in code.ask("GET", "/demo/tarball/master/"))
    assert gated == plain
    assert b"hello\n" in gated


def test_clone_and_push_with_a_key_as_password(code: Both) -> None:
    plain, key = f"{code.plain.base_url}/demo", code.key()
    gated = f"http://ci:{key}@127.0.0.1:{code.port}/demo"
    did(code.folder, "clone", plain, "unguarded")
    did(code.folder, "clone", gated, "cloned")
    assert (code.folder / "cloned" / "README").read_bytes() == (code.folder / "unguarded" / "README").read_bytes()
    octets = os.urandom(20_000)
    commit(work := code.folder / "cloned", "more", octets)
    assert git(work, "push", f"{code.gated.base_url}/demo", "master:more").returncode != 0
    did(work, "push", gated, "master:more")
    assert code.same("GET", "/demo/raw/more/more", key).content == octets
    code.revoke(key)
    assert git(code.folder, "clone", gated, "refused").returncode != 0


@pytest.mark.services("git")
def test_git_itself(code: Both) -> None:
    name, key = program("git"), code.key()
    assert name is not None
    gated = f"127.0.0.1:{code.port}/demo"
    asked = git(code.folder, "clone", f"http://{gated}", "asked", command=[name])
    assert "fatal: could not read Username for" in asked.stderr
    wrong = git(code.folder, "clone", f"http://ci:{key[:-1]}-@{gated}", "asked", command=[name])
    assert "fatal: Authentication failed for" in wrong.stderr
    did(code.folder, "clone", f"http://ci:{key}@{gated}", "by-url", command=[name])
    did(code.folder, "-c", f"http.extraHeader=X-API-Key: {key}", "clone", f"http://{gated}", "by-field", command=[name])
    assert (code.folder / "by-url" / "README").read_text() == (code.folder / "by-field" / "README").read_text()
    octets = os.urandom(3_000_000)
    commit(code.folder / "by-url", "large", octets)
    did(code.folder / "by-url", "-c", "http.postBuffer=9000000", "push", "origin", "HEAD:large", command=[name])
    assert code.same("GET", "/demo/raw/large/large", key).content == octets
    code.revoke(key)
    pulled = git(code.folder / "by-url", "pull", command=[name])
    assert "fatal: Authentication failed for" in pulled.stderr
