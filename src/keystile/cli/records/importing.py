"""`keystile keys import`: bring in the keys that a service already has.

Each line is one key, and is in the store when the next one is read. A key that is there already is passed over, so the
same file may be imported again.
"""

from __future__ import annotations

import inspect
import os
import re
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import click

from ..._ground.checks import known
from ...exceptions import KeystileError
from ...gate import Gate
from ...model import Actor
from ...rules.requests.masks import Mask
from ..opening import Place, called, opened
from ..shown import print_json
from ..typed import json_option
from .changing import actor
from .lines import Line, LineFault, csv_lines, json_lines

Form = Literal["json", "csv"]
_STDIN = "-"
_NAME = re.compile(r"[a-z_]{1,20}")


@dataclass
class Summary:
    """What was done.

    Attributes:
        read: lines with a key.
        new: keys that were not there before.
        known: keys that were.
        dry_run: nothing was kept.
        failed_line: the line that could not be imported, or None.
    """

    read: int = 0
    new: int = 0
    known: int = 0
    dry_run: bool = False
    failed_line: int | None = None


@click.command("import")
@click.argument("file", default=_STDIN, metavar="[FILE]")
@click.option("--format", "form", type=click.Choice(["json", "csv"]), help="Default: csv for a name that ends so.")
@click.option("--resume", metavar="LINE", type=click.IntRange(1), default=1, help="Go on at this line.")
@click.option("--dry-run", is_flag=True, help="Check every line and keep nothing.")
@json_option
@click.pass_obj
def import_keys(place: Place, /, *, file: str, form: Form | None, resume: int, dry_run: bool, as_json: bool) -> None:
    """Bring in keys that exist already, from FILE or from standard input: a JSON object on each line, or CSV.

    A line holds the raw key as "key" (in a file only if the file is its owner's alone), or the "hash" that another
    program kept of it, with the "id" by which it found the key; and "name", "plan", "scopes" and everything else that
    a key can have. docs/guides/existing-keys.md shows each.
    """
    summary = Summary(dry_run=dry_run)
    with opened(place, "store") as gate, _stream(file) as (stream, size, private):
        is_csv = (form or file[-4:].lower().lstrip(".")) == "csv"
        lines = csv_lines(stream, resume) if is_csv else json_lines(stream, resume)
        try:
            with _bar(size) as moved:
                _import_all(gate, lines, summary, private, lambda: moved(stream))
        except LineFault as fault:
            _tell(summary, fault, as_json=as_json)
            raise SystemExit(1) from None
    _tell(summary, None, as_json=as_json)


def _import_all(gate: Gate, lines: Iterator[Line], summary: Summary, private: bool, moved: Callable[[], None]) -> None:
    names = {"key", "hash", "id", *inspect.signature(gate.keys.create).parameters} - {"self", "actor"}
    seen: set[str] = set()
    who = actor()
    for line in lines:
        summary.read += 1
        if "key" in line.fields and not private:
            raise LineFault(line.number, "holds a raw key, and others may read the file: chmod 600 it")
        _check_names(line, names, gate.mask)
        key_id, new = _import(gate, line, who, dry_run=summary.dry_run)
        if new and key_id not in seen:
            summary.new += 1
        else:
            summary.known += 1
        if summary.dry_run:  # which keeps nothing, so that a line that comes twice is new twice
            seen.add(key_id)
        moved()


def _import(gate: Gate, line: Line, who: Actor, *, dry_run: bool) -> tuple[str, bool]:
    fields = dict(line.fields)
    try:
        name, raw = fields.pop("name"), fields.pop("key", None)
        imported = called(gate.keys.import_key, name, raw=raw, dry_run=dry_run, actor=who, **fields)
    except KeystileError as error:
        reason = str(error)
    else:
        return imported.key.id, imported.new
    for secret in (line.fields.get("key"), line.fields.get("hash")):
        if isinstance(secret, str):
            reason = reason.replace(secret, "***")
    raise LineFault(line.number, gate.mask.hide(reason))


def _check_names(line: Line, names: set[str], mask: Mask) -> None:
    for name in line.fields:
        if name not in names:
            # In a file without a header it may be a key.
            shows = _NAME.fullmatch(name) and mask.hide(name) == name
            shown = repr(name) if shows else "a name that is not shown"
            raise LineFault(line.number, f"{shown}: there is no such field; {known(sorted(names), name)}")
    if "name" not in line.fields:
        raise LineFault(line.number, "name: is missing")


@contextmanager
def _stream(file: str) -> Iterator[tuple[BinaryIO, int | None, bool]]:
    """What to read, its size if that is known, and whether nobody else can read it."""
    if file == _STDIN:
        yield sys.stdin.buffer, None, True
        return
    with Path(file).open("rb") as stream:
        found = os.fstat(stream.fileno())
        regular = stat.S_ISREG(found.st_mode)
        # Where there are no such modes, who may read a file is told otherwise.
        private = not regular or os.name != "posix" or not found.st_mode & 0o077
        yield stream, found.st_size if regular else None, private


@contextmanager
def _bar(size: int | None) -> Iterator[Callable[[BinaryIO], None]]:
    """A progress bar for people who look on."""
    if size is None or not sys.stderr.isatty():
        yield lambda _stream: None
        return
    with click.progressbar(length=size, label="Importing", file=sys.stderr) as bar:

        def moved(stream: BinaryIO) -> None:
            bar.update(stream.tell() - bar.pos)

        yield moved


def _tell(summary: Summary, fault: LineFault | None, *, as_json: bool) -> None:
    if fault is not None:
        summary.failed_line = fault.number
        done = summary.new + summary.known
        kept = "nothing was kept" if summary.dry_run else f"the {done} before it are in"
        more = f"{kept}: mend it and go on with --resume {fault.number}"
        click.echo(f"Error: line {fault.number}: {fault.reason}; {more}", err=True)
    if as_json:
        print_json(asdict(summary))
    elif fault is None:
        said = "would be new" if summary.dry_run else "new"
        click.echo(f"{summary.read} read, {summary.new} {said}, {summary.known} known")
