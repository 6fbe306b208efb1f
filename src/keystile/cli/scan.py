"""`keystile scan` and `keystile pattern`: keys where they do not belong, and how others find them.

A key that is found is never shown: as much of it as people need to find the place, and the state of its record. Its
secret is proved, so that a text that only looks like somebody's key harms nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import click

from ..exceptions import KeyNotFound, UnreadableRecord
from ..gate import Gate
from ..keys.leaks import Pattern, Scanner, described_for, shortened
from ..model import ApiKey
from .opening import Place, called, opened
from .places import Hit, hits
from .records.changing import actor
from .records.shown import state
from .shown import print_json
from .typed import json_option

_LIVE = ("live", "suspended")
_NOTHING, _LEAKED, _UNREAD = 0, 1, 2


class Leak(NamedTuple):
    """A key in a place where it does not belong.

    Attributes:
        hit: where.
        shown: as much of the key as may be shown.
        state: of its record: ``"live"``, ``"suspended"``, ``"expired"``, ``"revoked"``; ``"unknown"`` if it has none.
        key: its record, or None.
    """

    hit: Hit
    shown: str
    state: str
    key: ApiKey | None


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(exists=True, path_type=Path), metavar="PATH...")
@click.option("--stdin", "from_stdin", is_flag=True, help="Read standard input.")
@click.option("--git", "from_git", is_flag=True, help="Read every commit of the repositories at PATH, default: here.")
@click.option("--binary", is_flag=True, help="Read binary files too.")
@click.option("--revoke", is_flag=True, help="Revoke the live keys that are found.")
@click.option("--yes", is_flag=True, help="Revoke without asking.")
@json_option
@click.pass_context
def scan(
    ctx: click.Context, /, *, paths: tuple[Path, ...], revoke: bool, yes: bool, as_json: bool, **how: bool
) -> None:
    """Find this service's keys in files, in every folder below PATH, and say which of them are live.

    Ends with 1 if a live key was found, and with 2 if none was and something could not be read.
    """
    if not paths and not how["from_stdin"] and not how["from_git"]:
        raise click.UsageError("name files or folders, or use --stdin or --git")
    unread: list[str] = []
    with opened(ctx.obj, "store") as gate:
        pattern = gate.keys.pattern
        found = hits(pattern, paths, unread.append, **how)
        leaks = _identified(gate, pattern, found, None if as_json else _print)
        live = {leak.key.id: leak.key for leak in leaks if leak.key is not None and leak.state in _LIVE}
        for place in unread:
            click.echo(f"{place}: cannot be read", err=True)
        if revoke and live and (yes or click.confirm(_question(live.values()), err=True)):
            _revoke(gate, list(live))
    if as_json:
        print_json([_record(leak) for leak in leaks])
    ctx.exit(_LEAKED if live else _UNREAD if unread else _NOTHING)


@click.command()
@click.option("--for", "scanner", type=click.Choice(["github", "gitleaks", "trufflehog"]), required=True, help="Which.")
@click.pass_obj
def pattern(place: Place, scanner: Scanner) -> None:
    """Print what a secret scanner needs to find this service's keys, with strings to test it."""
    with opened(place) as gate:
        click.echo(described_for(scanner, gate.keys.pattern))


def _identified(gate: Gate, pattern: Pattern, found: Iterable[Hit], tell: Callable[[Leak], None] | None) -> list[Leak]:
    """Every hit with the record it proves. Each key is proved once, however often it is found."""
    known: dict[bytes, tuple[str, ApiKey | None]] = {}
    leaks = []
    for hit in found:
        if not pattern.checks(hit.raw):
            continue
        if hit.raw not in known:
            known[hit.raw] = _state_of(gate, hit.raw)
        leak = Leak(hit, shortened(pattern.prefix, hit.raw), *known[hit.raw])
        leaks.append(leak)
        if tell is not None:
            tell(leak)
    return leaks


def _state_of(gate: Gate, raw: bytes) -> tuple[str, ApiKey | None]:
    try:
        key = gate.keys.identify(raw.decode("ascii", "replace"))
    except UnreadableRecord:
        return "unreadable", None
    return ("unknown", None) if key is None else (state(key).replace("active", "live"), key)


def _revoke(gate: Gate, key_ids: Iterable[str]) -> None:
    for key_id in key_ids:
        try:
            called(gate.keys.revoke, key_id, actor=actor("leak_scan"))
        except KeyNotFound:
            continue
        click.echo(f"Revoked {key_id}.", err=True)


def _question(keys: Iterable[ApiKey]) -> str:
    named = ", ".join(f"{key.id} ({key.name})" for key in keys)
    return f"Revoke {named} for good?"


def _print(leak: Leak) -> None:
    more = "" if leak.key is None else f"  {leak.key.id} ({leak.key.name})"
    click.echo(f"{leak.hit.where}:{leak.hit.line}:{leak.hit.column}  {leak.shown}  {leak.state}{more}")


def _record(leak: Leak) -> dict[str, Any]:
    return {
        "path": leak.hit.where,
        "line": leak.hit.line,
        "column": leak.hit.column,
        "shown": leak.shown,
        "state": leak.state,
        "key_id": None if leak.key is None else leak.key.id,
        "name": None if leak.key is None else leak.key.name,
    }
