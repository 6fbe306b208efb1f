"""`keystile check`: can this configuration be used, and what does it say?"""

from __future__ import annotations

import os
import sys
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Any

import click

from ...config.file import Settings
from ...config.importing import ANYTHING
from ...exceptions import ConfigurationError, StoreUnavailable
from ...gate import Gate
from ...model import Window
from ...policy import Policy
from ...rules.limits.subjects import subject
from ..opening import Opened, Place, ask, opening
from ..shown import print_table, shown_plans, shown_url
from ..webhooks.opening import outbox_of
from .warnings import warnings_of

if TYPE_CHECKING:
    from ...wrap import Found


@click.command()
@click.option("--strict", is_flag=True, help="Exit with 1 if there is any warning.")
@click.pass_obj
def check(place: Place, strict: bool) -> None:
    """Check that the configuration can be used, and show what it says. What works, but hardly as it was meant, is a
    warning."""
    with opening(place) as found:
        gate, settings = found.gate, found.settings
        gate.keys.list(limit=1)
        _look_at_limiter(found)
        apps, shown = ([], "-") if settings is None else _apps(settings)
        print_table(
            [
                found.found_in,
                ("store", _shown_part(gate.parts.store)),
                ("limiter", _shown_part(gate.parts.limiter)),
                *shown_plans(gate.policy),
                *([("dry run", ", ".join(gate.policy.dry_runs()))] if gate.policy.dry_runs() else []),
                ("rules", str(len(tuple(gate.policy.rules)))),
                *_shown_open(gate.policy),
                *([] if settings is None else _shown_webhooks(settings, gate)),
                *([] if settings is None else _shown_outbox(place, settings)),
                ("app", shown),
            ]
        )
        told = list(warnings_of(gate, settings, apps, os.environ))
        for each in told:
            click.echo(f"Warning: {each}.", err=True)
        if told and strict:
            raise click.exceptions.Exit(1)


def _shown_open(policy: Policy) -> list[tuple[str, str]]:
    """What needs no key: paths of `public`, then what rules make public or optional."""
    by_rule = {kind: [rule.match for rule in policy.rules if rule.public == kind] for kind in (True, "optional")}
    rows = [("public", " ".join(policy.public) or "-")]
    if by_rule[True]:
        rows.append(("by rules", ", ".join(by_rule[True])))
    if by_rule["optional"]:
        rows.append(("optional", ", ".join(by_rule["optional"])))
    return rows


def _look_at_limiter(found: Opened) -> None:
    """Ask the limiter for a window that nobody uses: a limiter connects when it is asked."""
    try:
        ask(found.gate.limits.limiter.peek, subject("check", "check"), (Window(1, 60, ""),))
    except StoreUnavailable as error:
        place = _shown_part(found.gate.parts.limiter)
        raise found.error("limiter", f"{place} does not answer: {error.reason}") from None


def _shown_part(part: Any) -> str:
    return shown_url(part) if isinstance(part, str) else type(part).__name__


def _shown_webhooks(settings: Settings, gate: Gate) -> list[tuple[str, str]]:
    """Where signed messages arrive, if any do and they could."""
    if settings.webhooks is None or not settings.webhooks.receive:
        return []
    from ...webhooks.receiving.order import Receiving

    found = settings.webhooks
    try:
        Receiving(found.receive, found.ids, found.keep_ids, gate).close()
    except ConfigurationError as error:
        raise settings.error(f"webhooks.{error.key}", error.reason) from None
    return [("webhooks", ", ".join(each.match for each in found.receive))]


def _shown_outbox(place: Place, settings: Settings) -> list[tuple[str, str]]:
    """Where messages wait that are sent, if any are; its tables are there."""
    if settings.webhooks is None or settings.webhooks.outbox is None:
        return []
    with outbox_of(place, None) as outbox:
        outbox.endpoints.list(limit=1)
        return [("outbox", shown_url(outbox.name))]


def _apps(settings: Settings) -> tuple[list[Found], str]:
    """The apps, and how they and the doors that serve them are shown. A factory is called: nothing else shows what it
    makes."""
    if settings.app is None and not settings.apps:
        return [], "-"
    from ...doors.apps import ARGUMENTS, advice, fits
    from ...wrap import doors_of, find_apps

    with redirect_stdout(sys.stderr):  # what the service prints when it is imported
        found = find_apps(settings, ANYTHING)
    for each in found:
        if not any(fits(each.app, door) for door in ARGUMENTS):
            raise settings.error(each.key, f"is neither an ASGI nor a WSGI app; {advice(each.app)}")
    doors = " or ".join(f"keystile.wrap:{door}" for door in doors_of(settings, found))
    named = [str(each.name) if each.prefix is None else f"{each.prefix} {each.name}" for each in found]
    return found, f"{', '.join(named)} ({doors})"
