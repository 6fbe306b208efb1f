"""`keystile purge`: remove for good what ended long ago."""

from __future__ import annotations

import sys
from typing import Any

import click

from ...model import Purged
from ..opening import Place, called, opened
from ..shown import print_json
from ..typed import as_seconds, json_option
from .changing import actor, confirm, yes_option


@click.command()
@click.option(
    "--older-than",
    metavar="SPAN",
    callback=lambda ctx, param, value: None if value is None else as_seconds(ctx, param, value),
    help="What ended so long ago: 90d or 12h, at least 1h; default: the setting `retention`.",
)
@click.option("--dry-run", is_flag=True, help="Remove nothing; only count.")
@yes_option
@json_option
@click.pass_obj
def purge(place: Place, older_than: float | None, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Remove for good keys that were revoked or expired long ago, deleted projects, and the audit of that time.

    A removed key is answered like one that never was. May run while servers do, and as often as you like.
    """
    with opened(place, "store") as gate:
        wanted: dict[str, Any] = {"older_than": older_than, "actor": actor()}
        found = Purged() if yes and not dry_run else called(gate.purge, **wanted, dry_run=True)
        if not dry_run:
            if any(found):
                confirm(f"Remove {_said(found)} for good?", yes=yes)
            found = called(gate.purge, **wanted, progress=_progress)
    if as_json:
        print_json({"dry_run": dry_run, **found._asdict()})
    else:
        click.echo(f"{_said(found)} {'would be removed' if dry_run else 'removed'}")


def _said(found: Purged) -> str:
    numbers = (
        f"{count:,} {name if count == 1 else names}"
        for count, name, names in zip(
            found, ("key", "project", "audit entry"), ("keys", "projects", "audit entries"), strict=True
        )
    )
    return ", ".join(numbers)


def _progress(done: Purged) -> None:
    """For people who look on."""
    if sys.stderr is not None and sys.stderr.isatty():
        click.echo(f"\r{_said(done)} so far ", nl=False, err=True)
