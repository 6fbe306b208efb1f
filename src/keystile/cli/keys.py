"""`keystile keys`: create, list, show and revoke keys."""

from __future__ import annotations

import sys
from typing import Any

import click

from ..keys.changes.fields import MAX_PAGE
from ..model import ENVIRONMENTS
from .opening import Place, opened
from .shown import print_json, print_key, print_keys, record
from .typed import as_moment, as_object, check_key_id, json_option


@click.group()
def keys() -> None:
    """Create, list, show and revoke keys."""


@keys.command()
@click.argument("name")
@click.option("--organization", "organization_id", metavar="ID", help="Whom the key belongs to.")
@click.option("--owner", "owner_id", metavar="ID", help="Whom in it.")
@click.option("--environment", type=click.Choice(ENVIRONMENTS), default="production", show_default=True)
@click.option("--plan", metavar="NAME", help="One of the plans in the configuration; default: its default_plan.")
@click.option("--limits", metavar="NOTATION", help="Limits that replace its plan's, like '60/minute; 5000/day'.")
@click.option("--scope", "scopes", metavar="S", multiple=True, help="What the key may do; repeatable.")
@click.option(
    "--allow",
    metavar="CIDR",
    multiple=True,
    help="Address or network that it may be used from; repeatable; default: anywhere.",
)
@click.option(
    "--expires",
    "expires_at",
    callback=as_moment,
    metavar="TIME",
    help="2030-01-31T12:00:00Z, 30d or 12h; default: never.",
)
@click.option("--metadata", callback=as_object, metavar="JSON", help="A JSON object to keep with the key.")
@json_option
@click.pass_obj
def create(place: Place, /, *, allow: tuple[str, ...], as_json: bool, **described: Any) -> None:
    """Make a key and print its secret, this once."""
    if sys.stdout is None:
        raise click.ClickException("stdout is closed: the secret could not be shown")
    with opened(place, "store") as gate:
        issued = gate.keys.create(**described, ip_allowlist=allow or None)
    click.echo(f"Made the key {issued.key.id}. Its secret is shown this once; keep it now.", err=True)
    if as_json:
        print_json({"key": record(issued.key), "secret": issued.secret})
    else:
        click.echo(issued.secret)


@keys.command("list")
@click.option("--organization", "organization_id", metavar="ID", help="Only its keys.")
@click.option("--owner", "owner_id", metavar="ID", help="Only theirs.")
@click.option(
    "--limit", type=click.IntRange(1, MAX_PAGE), default=100, show_default=True, help="Show at most this many."
)
@click.option(
    "--after",
    callback=check_key_id,
    metavar="KEY_ID",
    help="Start after the key with this id: the last one of the previous page.",
)
@json_option
@click.pass_obj
def list_keys(place: Place, /, *, limit: int, as_json: bool, **wanted: Any) -> None:
    """List keys, oldest first."""
    with opened(place, "store") as gate:
        found = gate.keys.list(**wanted, limit=limit)
    print_keys(found, as_json=as_json)
    if len(found) == limit:
        click.echo(f"There may be more: --after {found[-1].id}", err=True)


@keys.command()
@click.argument("key_id", callback=check_key_id)
@json_option
@click.pass_obj
def show(place: Place, key_id: str, as_json: bool) -> None:
    """Show one key's record."""
    with opened(place, "store") as gate:
        print_key(gate.keys.get(key_id), as_json=as_json)


@keys.command()
@click.argument("key_id", callback=check_key_id)
@json_option
@click.pass_obj
def revoke(place: Place, key_id: str, as_json: bool) -> None:
    """Revoke a key for good, from the next request on."""
    with opened(place, "store") as gate:
        print_key(gate.keys.revoke(key_id), as_json=as_json)
