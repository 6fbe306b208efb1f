"""`keystile check`: can this configuration be used, and what does it say?"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import click

from .._sync import patiently
from ..config.faults import told
from ..config.file import Settings, load, open_gate
from ..exceptions import KeystileError, StoreUnavailable
from ..gate import Gate
from ..model import Window
from ..rules.limits.subjects import subject
from ..stores import open_store
from .opening import PATIENCE, in_memory, url_of
from .shown import print_table, shown_plans, shown_url


@click.command()
@click.pass_obj
def check(config: Path | None) -> None:
    """Check that the configuration can be used, and show what it says."""
    settings = load(config)
    with closing(open_gate(settings)) as gate:
        gate.keys.list(limit=1)
        _look_at_limiter(settings, gate)
        advice = _advice(settings)
    print_table(
        [
            ("file", settings.source),
            ("store", shown_url(url_of(settings, "store"))),
            ("limiter", shown_url(url_of(settings, "limiter"))),
            *shown_plans(gate.policy),
            ("rules", str(len(settings.gate.get("rules", ())))),
            ("public", " ".join(settings.gate.get("public", ())) or "-"),
            ("app", _shown_app(settings)),
        ]
    )
    for each in advice:
        click.echo(f"Note: store: {each}.", err=True)
    if in_memory(settings, "store"):
        click.echo("Note: keys in memory end with their process, so no command can make one for a server.", err=True)


def _advice(settings: Settings) -> Sequence[str]:
    """What the store says of the way that it keeps keys."""
    with closing(open_store(url_of(settings, "store"))) as store:
        advice: Callable[[], Sequence[str]] = getattr(store, "advice", list)
        return advice()


def _look_at_limiter(settings: Settings, gate: Gate) -> None:
    """Ask the limiter for a window that nobody uses: a limiter connects when it is asked."""
    try:
        patiently(PATIENCE, gate.limits.limiter.peek, subject("check", "check"), (Window(1, 60, ""),))
    except StoreUnavailable as error:
        place = shown_url(url_of(settings, "limiter"))
        raise settings.error("limiter", f"{place} does not answer: {error.reason}") from None


def _shown_app(settings: Settings) -> str:
    """The app and the door that serves it. The service's own errors end here, because their text may hold settings."""
    if settings.app is None:
        return "-"
    from ..doors.apps import advice, fits
    from ..wrap import find_app

    try:
        app = find_app(settings)
    except KeystileError:
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 - importing a service may raise anything, or end the process
        raise settings.error("app", f"importing it raised {told(error, os.environ)}") from None
    doors = [f"keystile.wrap:{door}" for door in ("asgi", "wsgi") if fits(app, door)]
    if not doors:
        raise settings.error("app", f"is neither an ASGI nor a WSGI app; {advice(app)}")
    return f"{settings.app} ({' or '.join(doors)})"
