"""`keystile limits`: show or reset what a key has used of its windows."""

from __future__ import annotations

import click

from .._ground.checks import known
from ..exceptions import ConfigurationError
from ..gate import Gate
from ..limiters import Usages
from ..model import ApiKey, Window
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
        name, windows = _windows(gate, key)
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
        name, windows = _windows(gate, key)
        if windows:
            ask(gate.limits.limiter.reset, name, windows)
    click.echo(f"Forgot what the key {key.id} has used.", err=True)
    _note_company(gate, key)


def _windows(gate: Gate, key: ApiKey) -> tuple[str, tuple[Window, ...]]:
    """The name under which a key's requests are counted, and the windows: its own, those of the rules, then units."""
    if not gate.quotas.knows(key.plan):
        reason = f"the key's plan {key.plan!r} is gone, so the key is refused; {known(gate.policy.plans)}"
        raise ConfigurationError(reason, key="plans")
    asking = [each for each in gate.rules.rules if each.rule.public is not True]
    more = dict.fromkeys(window for each in asking for window in each.own.windows)
    windows = gate.quotas.of(key, tuple(more)) + gate.quotas.units_of(key)
    return gate.quotas.subject(key), windows


def _note_company(gate: Gate, key: ApiKey) -> None:
    if gate.quotas.subject(key) != subject("key", key.id):
        click.echo(f"Note: all keys of its {gate.policy.limit_by} are counted together.", err=True)
