"""`keystile webhooks deliveries`, `attempts` and `retry`: what arrived, what did not, and once more."""

from __future__ import annotations

from datetime import datetime
from functools import partial

import click

from ..opening import Place, called
from ..records.pages import page_options, pages, part_of
from ..records.shown import print_pages, print_record
from ..shown import print_json
from ..typed import as_past, json_option
from .opening import outbox_of, outbox_option
from .shown import ATTEMPT_COLUMNS, DELIVERY_COLUMNS, shape

_STATES = ("due", "done", "failed", "dropped")


@click.command()
@click.argument("endpoint_id", metavar="ENDPOINT")
@click.option("--state", type=click.Choice(_STATES), help="Only those in this state.")
@page_options()
@json_option
@outbox_option
@click.pass_obj
def deliveries(
    place: Place,
    /,
    *,
    named: str | None,
    endpoint_id: str,
    state: str | None,
    limit: int | None,
    after: str | None,
    everything: bool,
    as_json: bool,
) -> None:
    """List what was and is to be delivered to an endpoint, the newest first."""
    part = part_of(limit, after, everything)
    with outbox_of(place, named) as outbox:
        found = pages(partial(outbox.deliveries, endpoint_id, state), part)  # type: ignore[arg-type]
        print_pages(found, DELIVERY_COLUMNS, for_machines=as_json, shape=shape)


@click.command()
@click.argument("delivery_id", metavar="DELIVERY")
@json_option
@outbox_option
@click.pass_obj
def attempts(place: Place, /, *, named: str | None, delivery_id: str, as_json: bool) -> None:
    """Show what came of each attempt to deliver a message."""
    with outbox_of(place, named) as outbox:
        found = called(outbox.attempts, delivery_id)
    print_pages([found], ATTEMPT_COLUMNS, for_machines=as_json, shape=shape)


@click.command()
@click.argument("delivery_id", metavar="DELIVERY", required=False)
@click.option("--endpoint", "endpoint_id", metavar="ID", help="All that this endpoint did not get, with --since.")
@click.option(
    "--since",
    metavar="TIME",
    callback=as_past,
    help="Only what was added since then: 2030-01-31T12:00:00Z, or 2d, or 12h.",
)
@json_option
@outbox_option
@click.pass_obj
def retry(
    place: Place,
    /,
    *,
    named: str | None,
    delivery_id: str | None,
    endpoint_id: str | None,
    since: datetime | None,
    as_json: bool,
) -> None:
    """Have a message delivered once more, now; or all that were given up of an endpoint."""
    missing = (delivery_id is None, endpoint_id is None, since is None)
    if missing not in {(False, True, True), (True, False, False)}:
        raise click.UsageError("name either a delivery, or --endpoint and --since")
    with outbox_of(place, named) as outbox:
        if delivery_id is not None:
            print_record(called(outbox.retry, delivery_id), for_machines=as_json, shape=shape)
            return
        if endpoint_id is not None and since is not None:
            count = called(outbox.retry_failed, endpoint_id, since=since)
    if as_json:
        print_json({"retried": count})
    else:
        click.echo(f"{count} {'is' if count == 1 else 'are'} delivered once more.", err=True)
