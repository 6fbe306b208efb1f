"""`keystile limits`: show or reset what a key has used of its windows."""

from __future__ import annotations

import click

from ..gate import Gate
from ..gate.standing import windows_of
from ..limiters import Usages
from ..model import ApiKey
from ..rules.limits.subjects import subject
from .opening import Place, ask, opened
from .shown import print_usages
from .typed import check_key_id, json_option


@click.group()
def limits() -> None:
    """Show or reset what a key has used of its windows."""


@limits.command("show")
@click.argument("key_id", callback=check_key_id)
@json_option
@click.pass_obj
def show_limits(place: Place, key_id: str, as_json: bool) -> None:
    """Show where a key stands in its own windows, in those of every rule, and in the units of its plan."""
    with opened(place, "store", "limiter") as gate:
        key = gate.keys.get(key_id)
        name, windows = windows_of(gate, key)
        usages: Usages = ask(gate.limits.limiter.peek, name, windows) if windows else ()
    print_usages(usages, as_json=as_json)
    _note_company(gate, key)


@limits.command()
@click.argument("key_id", callback=check_key_id)
@click.pass_obj
def reset(place: Place, key_id: str) -> None:
    """Forget what a key has used, in its own windows, in those of every rule, and of the units of its plan."""
    with opened(place, "store", "limiter") as gate:
        key = gate.keys.get(key_id)
        name, windows = windows_of(gate, key)
        if windows:
            ask(gate.limits.limiter.reset, name, windows)
    click.echo(f"Forgot what the key {key.id} has used.", err=True)
    _note_company(gate, key)


def _note_company(gate: Gate, key: ApiKey) -> None:
    if gate.quotas.subject(key) != subject("key", key.id):
        click.echo(f"Note: all keys of its {gate.policy.limit_by} are counted together.", err=True)
