"""`keystile migrate`: give the key store's database the tables that this keystile needs."""

from __future__ import annotations

from collections.abc import Callable

import click

from ..config.file import load
from ..exceptions import ConfigurationError
from ..stores import migration_of
from .opening import GATE_OPTION, Place
from .shown import shown_url


@click.command()
@click.option(
    "--store",
    envvar="KEYSTILE_STORE",
    metavar="URL",
    help="The database, in place of the configuration's; default: $KEYSTILE_STORE, which shows no password to others.",
)
@click.option("--sql", "as_sql", is_flag=True, help="Print the statements, and change nothing.")
@click.pass_obj
def migrate(place: Place, store: str | None, as_sql: bool) -> None:
    """Bring the key store's database up to date. Two at once are safe; where nothing is to be done, nothing is."""
    url, error = _wanted(place, store)

    def tell(number: int, count: int, statement: str) -> None:
        if as_sql:
            click.echo(f"{statement};\n")
        else:
            click.echo(f"{number}/{count} {' '.join(statement.split())[:70]}", err=True)

    try:
        work = migration_of(url)
        done = 0 if work is None else work(tell, as_sql)
    except ConfigurationError as fault:
        raise error("store", f"{fault.source}: {fault.reason}" if fault.source else fault.reason) from None
    if work is None:
        click.echo(f"{shown_url(url)} needs no migration: it is brought up to date whenever it is opened.", err=True)
    elif not done:
        click.echo(f"{shown_url(url)} is up to date.", err=True)
    elif not as_sql:
        click.echo(f"{shown_url(url)} is up to date now.", err=True)


def _wanted(place: Place, store: str | None) -> tuple[str, Callable[[str | None, str], ConfigurationError]]:
    """The URL of the database, and what makes the exception about it."""
    if store is not None:
        return store, lambda key, reason: ConfigurationError(reason, key=key)
    if place.gate is not None:  # which cannot be made before its database has the tables
        raise click.UsageError(f"{GATE_OPTION} cannot be opened before its store is migrated: name that with --store")
    settings = load(place.config)
    return settings.gate.get("store", "memory://"), settings.error
