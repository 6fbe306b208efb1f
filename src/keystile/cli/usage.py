"""`keystile usage`: how often a key was admitted and refused."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import click

from ..keys.usage.reading import STEPS, USUAL
from ..model import UsagePeriod
from .opening import Place, opened
from .shown import plain, print_json, print_table
from .typed import as_past, check_key_id, json_option

_USUAL = " and ".join(f"{number} {step}s" for step, number in USUAL.items())


@click.command()
@click.argument("key_id", callback=check_key_id)
@click.option(
    "--from",
    "start",
    callback=as_past,
    metavar="TIME",
    help=f"2026-01-31, 2026-01-31T12:00:00Z, or 30d or 12h ago; default: the last {_USUAL}.",
)
@click.option("--to", "end", callback=as_past, metavar="TIME", help="As above; default: now.")
@click.option("--step", type=click.Choice(list(STEPS)), default="hour", show_default=True, help="In UTC.")
@json_option
@click.pass_obj
def usage(place: Place, /, *, key_id: str, as_json: bool, **wanted: Any) -> None:
    """Show how often a key was admitted and refused, by hour or by day.

    What servers counted in the last ten seconds may be missing.
    """
    with opened(place, "store") as gate:
        found = gate.keys.usage(key_id, **wanted)
    if as_json:
        print_json([_record(each) for each in found])
    else:
        print_table(_rows(found, wanted["step"]))


def _record(period: UsagePeriod) -> dict[str, Any]:
    return {**period._asdict(), "start": plain(period.start)}


def _rows(periods: Sequence[UsagePeriod], step: str) -> list[tuple[str, ...]]:
    """A row for each period in which there was something, a column for each way to be refused, and the sums."""
    outcomes = sorted({outcome for each in periods for outcome in each.refused})
    rows = [(step.upper(), "ADMITTED", *outcomes)]
    rows += [
        _row(_named(each.start, step), each, outcomes)
        for each in periods
        if each.admitted or any(each.refused.values())
    ]
    sums = {outcome: sum(each.refused.get(outcome, 0) for each in periods) for outcome in outcomes}
    total = UsagePeriod(periods[0].start, sum(each.admitted for each in periods), sums) if periods else None
    return [*rows, _row("total", total, outcomes)] if total else rows


def _row(name: str, period: UsagePeriod, outcomes: Sequence[str]) -> tuple[str, ...]:
    return name, str(period.admitted), *(str(period.refused.get(outcome, 0)) for outcome in outcomes)


def _named(start: datetime, step: str) -> str:
    return f"{start:%Y-%m-%d}" if step == "day" else f"{start:%Y-%m-%d %H:00} UTC"
