"""`keystile migrate`: give the key store's database the tables that this keystile needs."""

from __future__ import annotations

from pathlib import Path

import click

from ..config.file import load
from ..exceptions import ConfigurationError
from ..stores import migration_of
from .opening import url_of
from .shown import shown_url


@click.command()
@click.option("--sql", "as_sql", is_flag=True, help="Print the statements, and change nothing.")
@click.pass_obj
def migrate(config: Path | None, as_sql: bool) -> None:
    """Bring the key store's database up to date. Two at once are safe; where nothing is to be done, nothing is."""
    settings = load(config)
    url = url_of(settings, "store")

    def tell(number: int, count: int, statement: str) -> None:
        if as_sql:
            click.echo(f"{statement};\n")
        else:
            click.echo(f"{number}/{count} {' '.join(statement.split())[:70]}", err=True)

    try:
        work = migration_of(url)
        done = 0 if work is None else work(tell, as_sql)
    except ConfigurationError as error:
        raise settings.error("store", f"{error.source}: {error.reason}" if error.source else error.reason) from None
    if work is None:
        click.echo(f"{shown_url(url)} needs no migration: it is brought up to date whenever it is opened.", err=True)
    elif not done:
        click.echo(f"{shown_url(url)} is up to date.", err=True)
    elif not as_sql:
        click.echo(f"{shown_url(url)} is up to date now.", err=True)
