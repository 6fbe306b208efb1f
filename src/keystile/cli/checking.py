"""`keystile check`: can this configuration be used, and what does it say?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any

import click

from ..config.file import Settings
from ..config.importing import ANYTHING
from ..exceptions import ConfigurationError, StoreUnavailable
from ..gate import Gate
from ..model import Window
from ..rules.limits.subjects import subject
from ..stores import open_store
from .opening import Opened, Place, ask, in_memory, opening
from .shown import print_table, shown_plans, shown_url
from .webhooks.opening import outbox_of

_NOTE = "Note: keys in memory end with their process, so no command can make one for a server."


@click.command()
@click.pass_obj
def check(place: Place) -> None:
    """Check that the configuration can be used, and show what it says."""
    with opening(place) as found:
        gate = found.gate
        gate.keys.list(limit=1)
        _look_at_limiter(found)
        print_table(
            [
                found.found_in,
                ("store", _shown_part(gate.parts.store)),
                ("limiter", _shown_part(gate.parts.limiter)),
                *shown_plans(gate.policy),
                *([("dry run", ", ".join(gate.policy.dry_runs()))] if gate.policy.dry_runs() else []),
                ("rules", str(len(tuple(gate.policy.rules)))),
                ("public", " ".join(gate.policy.public) or "-"),
                *([] if found.settings is None else _shown_webhooks(found.settings, gate)),
                *([] if found.settings is None else _shown_outbox(place, found.settings)),
                ("app", "-" if found.settings is None else _shown_app(found.settings)),
            ]
        )
        for each in _advice(gate.parts.store):
            click.echo(f"Note: store: {each}.", err=True)
        if in_memory(gate, "store"):
            click.echo(_NOTE, err=True)


def _advice(store: Any) -> Sequence[str]:
    """What a store that is named by a URL says of the way that it keeps keys."""
    if not isinstance(store, str):
        return []
    with closing(open_store(store)) as opened:
        advice: Callable[[], Sequence[str]] = getattr(opened, "advice", list)
        return advice()


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
    from ..webhooks.receiving.order import Receiving

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


def _shown_app(settings: Settings) -> str:
    """The app and the door that serves it. A factory is called: nothing else shows what it makes."""
    if settings.app is None and not settings.apps:
        return "-"
    from ..doors.apps import ARGUMENTS, advice, fits
    from ..wrap import doors_of, find_apps

    found = find_apps(settings, ANYTHING)
    for each in found:
        if not any(fits(each.app, door) for door in ARGUMENTS):
            raise settings.error(each.key, f"is neither an ASGI nor a WSGI app; {advice(each.app)}")
    doors = " or ".join(f"keystile.wrap:{door}" for door in doors_of(settings, found))
    named = [str(each.name) if each.prefix is None else f"{each.prefix} {each.name}" for each in found]
    return f"{', '.join(named)} ({doors})"
