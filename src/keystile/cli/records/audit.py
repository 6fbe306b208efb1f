"""`keystile audit`: who changed what, and when."""

from __future__ import annotations

from functools import partial
from typing import Any

import click

from ..opening import Place, opened
from ..typed import json_option
from .pages import page_options, pages, part_of
from .shown import AUDIT_COLUMNS, print_pages


@click.command()
@click.option("--organization", "organization_id", metavar="ID", help="Only what concerns it and what is its own.")
@click.option("--target", metavar="ID", help="Only what was done to this key, project or organization.")
@click.option("--event", metavar="NAME", help="Only this, like key.revoke.")
@page_options()
@json_option
@click.pass_obj
def audit(
    place: Place, /, *, limit: int | None, after: str | None, everything: bool, as_json: bool, **wanted: Any
) -> None:
    """Show who changed what, the newest first. With --json also what was there before, and what is now."""
    part = part_of(limit, after, everything)
    with opened(place, "store") as gate:
        found = pages(partial(gate.audit, **wanted), part)
        print_pages(found, AUDIT_COLUMNS, for_machines=as_json)
