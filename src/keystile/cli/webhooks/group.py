"""The group `keystile webhooks`, and what prepares an outbox: a key and tables."""

from __future__ import annotations

import click

from ..opening import Place
from ..shown import shown_url
from .deliveries import attempts, deliveries, retry
from .endpoints import endpoints
from .opening import outbox_of, outbox_option
from .work import work


@click.group()
def webhooks() -> None:
    """Send webhooks: keep endpoints, and see what was delivered to them."""


@webhooks.command()
def key() -> None:
    """Print a new key for KEYSTILE_WEBHOOK_KEY, which the secrets of endpoints are sealed with."""
    from ...webhooks.outbox.sealing import new_key

    click.echo(new_key())


@webhooks.command()
@click.option("--sql", "as_sql", is_flag=True, help="Print the statements, and change nothing.")
@outbox_option
@click.pass_obj
def migrate(place: Place, /, *, named: str | None, as_sql: bool) -> None:
    """Bring the outbox's tables up to date. Two at once are safe; where nothing is to be done, nothing is."""

    def tell(number: int, count: int, statement: str) -> None:
        if as_sql:
            click.echo(f"{statement};\n")
        else:
            click.echo(f"{number}/{count} {' '.join(statement.split())[:70]}", err=True)

    with outbox_of(place, named) as outbox:
        done = outbox.migrate(tell, dry=as_sql)
        if not (done and as_sql):
            click.echo(f"{shown_url(outbox.name)} is up to date{' now' if done else ''}.", err=True)


for _command in (endpoints, deliveries, work, attempts, retry):
    webhooks.add_command(_command)
