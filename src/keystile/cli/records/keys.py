"""`keystile keys`: create, import, list, show, update, rotate, suspend, resume and revoke keys."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any

import click

from ...exceptions import UnreadableRecord
from ...gate import Gate
from ...model import KEY_STATES, ApiKey
from ..opening import Place, called, opened
from ..shown import plain
from ..typed import as_seconds, check_key_id, json_option
from .changing import actor, check_stdout, confirm, named, print_secret, yes_option
from .importing import import_keys
from .options import CLEARED, OF_KEYS, changes, given, key_options
from .pages import page_options, pages, part_of
from .shown import KEY_COLUMNS, issued_json, print_pages, print_record

_COLUMN_OF = {"organization_id": "ORGANIZATION", "project_id": "PROJECT", "owner_id": "OWNER"}
_key_id = click.argument("key_id", callback=check_key_id)


@click.group()
def keys() -> None:
    """Create, import, list, show, change and end keys."""


keys.add_command(import_keys)


@keys.command()
@click.argument("name")
@key_options(*OF_KEYS)
@json_option
@click.pass_obj
def create(place: Place, /, *, as_json: bool, **described: Any) -> None:
    """Make a key and print its secret, this once."""
    check_stdout()
    with opened(place, "store") as gate:
        issued = called(gate.keys.create, **given(described), actor=actor())
        print_secret(issued, issued_json(issued) if as_json else None)


@keys.command("list")
@click.option("--organization", "organization_id", metavar="ID", help="Only its keys.")
@click.option("--project", "project_id", metavar="ID", help="Only its keys.")
@click.option("--owner", "owner_id", metavar="ID", help="Only theirs.")
@click.option("--live", is_flag=True, help="Only keys that are neither revoked nor expired.")
@click.option("--state", type=click.Choice(KEY_STATES), help="Only keys in this state.")
@click.option("--search", metavar="TEXT", help="Only where the name holds it, the id begins or the key ends with it.")
@page_options(check_key_id)
@json_option
@click.pass_obj
def list_keys(
    place: Place, /, *, limit: int | None, after: str | None, everything: bool, as_json: bool, **wanted: Any
) -> None:
    """List keys, oldest first."""
    part = part_of(limit, after, everything)
    with opened(place, "store") as gate:
        found = pages(partial(gate.keys.list, **wanted), part)
        same = [_COLUMN_OF[name] for name in given(wanted) if name in _COLUMN_OF]
        print_pages(found, KEY_COLUMNS, for_machines=as_json, same=same)


@keys.command()
@_key_id
@json_option
@click.pass_obj
def show(place: Place, key_id: str, as_json: bool) -> None:
    """Show one key's record."""
    with opened(place, "store") as gate:
        print_record(called(gate.keys.get, key_id), for_machines=as_json)


@keys.command()
@_key_id
@click.option("--name", metavar="TEXT", help="Its label.")
@key_options(*(name for name in OF_KEYS if name not in {"organization_id", "owner_id"}))
@click.option(
    "--clear",
    "cleared",
    type=click.Choice(list(CLEARED)),
    multiple=True,
    help="Take this away; repeatable.",
)
@json_option
@click.pass_obj
def update(place: Place, /, *, key_id: str, cleared: tuple[str, ...], as_json: bool, **described: Any) -> None:
    """Change a key, from its next request on. What is not named stays."""
    wanted = changes(described, cleared)
    with opened(place, "store") as gate:
        print_record(called(gate.keys.update, key_id, **wanted, actor=actor()), for_machines=as_json)


@keys.command()
@_key_id
@click.option(
    "--grace",
    metavar="SPAN",
    callback=as_seconds,
    default="0",
    help="How long the secret before it stays valid: 90s, 30m, 12h or 7d; default: not at all.",
)
@key_options("expires_at")
@yes_option
@json_option
@click.pass_obj
def rotate(place: Place, /, *, key_id: str, grace: float, yes: bool, as_json: bool, **described: Any) -> None:
    """Give a key a new secret and print it, this once. The key keeps its id and everything else.

    Asks first if a secret ends at once: without --grace the one that clients use now, and during the grace of an
    earlier rotation the oldest.
    """
    check_stdout()
    with opened(place, "store") as gate:
        question = _what_ends(called(gate.keys.get, key_id), grace)
        if question is not None:
            confirm(question, yes=yes)
        issued = called(gate.keys.rotate, key_id, grace=grace, **given(described), actor=actor())
        print_secret(issued, issued_json(issued) if as_json else None)
    until = issued.key.hashes[-1].expires_at if grace else None
    click.echo(f"The secret before it {'ended' if until is None else f'ends at {plain(until)}'}.", err=True)
    if issued.replaced_at_once:
        click.echo("So did the one before that, which was in the grace of an earlier rotation.", err=True)


@keys.command()
@_key_id
@json_option
@click.pass_obj
def suspend(place: Place, key_id: str, as_json: bool) -> None:
    """Refuse a key from its next request on, until it is resumed."""
    with opened(place, "store") as gate:
        print_record(called(gate.keys.suspend, key_id, actor=actor()), for_machines=as_json)


@keys.command()
@_key_id
@json_option
@click.pass_obj
def resume(place: Place, key_id: str, as_json: bool) -> None:
    """Take back that a key was suspended."""
    with opened(place, "store") as gate:
        print_record(called(gate.keys.resume, key_id, actor=actor()), for_machines=as_json)


@keys.command()
@_key_id
@yes_option
@json_option
@click.pass_obj
def revoke(place: Place, key_id: str, yes: bool, as_json: bool) -> None:
    """Revoke a key for good, from its next request on. Asks first, unless it is revoked already."""
    with opened(place, "store") as gate:
        question = _what_is_revoked(gate, key_id)
        if question is not None:
            confirm(question, yes=yes)
        print_record(called(gate.keys.revoke, key_id, actor=actor()), for_machines=as_json)


def _what_is_revoked(gate: Gate, key_id: str) -> str | None:
    """What to ask before a key is revoked; None if it is revoked already."""
    key: ApiKey | None = None
    with suppress(UnreadableRecord):  # it can be revoked all the same
        key = called(gate.keys.get, key_id)
    if key is None:
        return f"Revoke the key {key_id} for good? Its record cannot be read."
    if key.revoked_at is not None:
        return None
    used = "never used" if key.last_used_at is None else f"last used {plain(key.last_used_at)}"
    return f"Revoke the key {named(key)} for good? It was {used}."


def _what_ends(key: ApiKey, grace: float) -> str | None:
    """What to ask before a key is rotated; None if no secret ends at once."""
    if not grace:
        return f"The secret of the key {named(key)} ends at once, without --grace. Rotate?"
    older = [each for each in key.hashes[1:] if each.expires_at is not None and each.expires_at > datetime.now(UTC)]
    if older:
        until = plain(older[0].expires_at)
        return f"The key {named(key)} has an older secret too, valid until {until}; it ends at once. Rotate?"
    return None
