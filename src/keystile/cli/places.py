"""Where `keystile scan` looks: files, standard input, and every commit of a repository."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import IO, NamedTuple

import click

from ..keys.leaks import Pattern
from ..rules.leaks import BLOCK, Found, find

# As git and grep do: a file with a NUL in its first octets is binary.
_HEAD = 8192
# No program of the repository's own runs, and nothing is coloured or paged.
_GIT_LOG = (
    *("log", "-p", "--all", "--diff-merges=first-parent", "--no-color", "--no-decorate", "--no-show-signature"),
    *("--no-ext-diff", "--no-textconv"),
)
# git ends a line of its own here, so that these do not stand in what was committed.
_COMMIT = rb"^commit [0-9a-f]{40,64}$"
_FILE = rb"^\+\+\+ b/.{1,4096}$"
_LONGEST_MARK = 4200


class Hit(NamedTuple):
    """Something that has the form of a key.

    Attributes:
        where: the name of the file; ``<stdin>``; or the commit and the name of the file in it.
        line, column: in it, from 1; for a commit, in the output of ``git log -p``.
        raw: the octets; no repr shows them.
    """

    where: str
    line: int
    column: int
    raw: bytes


def hits(
    pattern: Pattern,
    paths: Iterable[Path],
    unread: Callable[[str], object],
    *,
    from_stdin: bool,
    from_git: bool,
    binary: bool,
) -> Iterator[Hit]:
    """Everything with the form of a key, in the order of reading.

    Args:
        pattern: what keys look like.
        paths: files and folders; with `from_git`, repositories.
        unread: called with the name of each file that cannot be read.
        from_stdin, from_git, binary: as on the command line.
    """
    compiled = re.compile(pattern.expression.encode())
    if from_stdin:
        blocks = _blocks(sys.stdin.buffer)
        yield from (Hit("<stdin>", *each) for each in find(blocks, compiled, pattern.longest))
    if from_git:
        for folder in paths or (Path(),):
            yield from _in_commits(pattern, folder)
        return
    for file in _files(paths, unread):
        try:
            yield from _in_file(file, compiled, pattern.longest, binary=binary)
        except OSError:
            unread(_shown(os.fsencode(file)))


def _files(paths: Iterable[Path], unread: Callable[[str], object]) -> Iterator[Path]:
    """Every regular file. No link is followed in a folder, and what git packs is left to `--git`."""
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        for folder, names, files in os.walk(path, onerror=lambda error: unread(_shown(os.fsencode(error.filename)))):
            names[:] = sorted(name for name in names if name != ".git")
            yield from (Path(folder, name) for name in sorted(files))


def _in_file(file: Path, compiled: re.Pattern[bytes], longest: int, *, binary: bool) -> Iterator[Hit]:
    if not stat.S_ISREG(file.lstat().st_mode):  # a pipe would never end, and a link leads to what is read elsewhere
        return
    where = _shown(os.fsencode(file))
    with file.open("rb") as stream:
        head = stream.read(_HEAD)
        if not binary and b"\0" in head:
            return
        stream.seek(0)
        yield from (Hit(where, *each) for each in find(_blocks(stream), compiled, longest))


def _in_commits(pattern: Pattern, folder: Path) -> Iterator[Hit]:
    marked = re.compile(rb"(?m:(" + _COMMIT + rb")|(" + _FILE + rb"))|" + pattern.expression.encode())
    command = ["git", "-C", str(folder), *_GIT_LOG]
    try:
        process = subprocess.Popen(command, stdout=subprocess.PIPE)  # noqa: S603 - its own words, and a folder's name
    except FileNotFoundError:
        raise click.ClickException("--git needs git") from None
    with process, closing(process.stdout) as stream:  # type: ignore[type-var]
        commit = file = b""
        for found in find(_blocks(stream), marked, max(pattern.longest, _LONGEST_MARK)):
            if found.raw.startswith(b"commit "):
                commit, file = found.raw[7:19], b""
            elif found.raw.startswith(b"+++ b/"):
                file = found.raw[6:]
            else:
                yield _hit_in(commit, file, found)
    if process.returncode:
        raise click.ClickException(f"{folder}: git ended with {process.returncode}")


def _hit_in(commit: bytes, file: bytes, found: Found) -> Hit:
    return Hit(_shown(commit + b":" + file), *found)


def _blocks(stream: IO[bytes] | None) -> Iterator[bytes]:
    return iter(partial(stream.read, BLOCK), b"") if stream is not None else iter(())


def _shown(name: bytes) -> str:
    """A name for the terminal, which may hold anything but its control characters."""
    text = name.decode(errors="backslashreplace")
    return text if text.isprintable() else ascii(text)[1:-1]
