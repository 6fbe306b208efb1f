"""`keystile webhooks work`: send what waits in the outbox, until somebody says stop."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from ...config.file import default_path
from ..opening import Opened, Place, called, in_memory, opening
from .opening import outbox_of, outbox_option

_ENDING = (signal.SIGTERM, signal.SIGINT)


@click.command()
@click.option("--once", is_flag=True, help="Send what is due, then end: for a timer in place of a service.")
@click.option(
    "--event",
    "events",
    multiple=True,
    metavar="TYPE",
    help="Tell endpoints of these changes of the gate's, like key.*; several times for several. Default: the file's.",
)
@outbox_option
@click.pass_obj
def work(place: Place, /, *, once: bool, events: tuple[str, ...], named: str | None) -> None:
    """Send messages until SIGTERM or SIGINT: what is under way then is ended first, at a second signal not even it."""
    from ...webhooks.working import Worker

    with outbox_of(place, named) as outbox, _gate_of(place) as found:
        wanted = _wanted(found, events)
        worker = Worker(outbox, gate=None if found is None else found.gate, events=wanted)

        async def run() -> None:
            try:
                await worker.run(once=once)
            finally:
                await outbox.aclose()

        running: Callable[[], Any] = run
        with _stopped_by_signals(worker.stop):
            called(running)


@contextmanager
def _gate_of(place: Place) -> Iterator[Opened | None]:
    """The gate; None where there is only an outbox."""
    if place.gate is None and place.config is None and not default_path().exists():
        yield None
        return
    with opening(place) as found:
        yield found


def _wanted(found: Opened | None, given: Sequence[str]) -> Sequence[str]:
    """Which changes are told; an error if nobody could see them."""
    settings = None if found is None or found.settings is None else found.settings.webhooks
    wanted = given or (() if settings is None else settings.events)
    if wanted and found is not None and in_memory(found.gate, "store"):
        raise found.error("store", "keys in memory end with this command; name a store like 'sqlite:///keystile.db'")
    return wanted


@contextmanager
def _stopped_by_signals(stop: Callable[[], object]) -> Iterator[None]:
    told: list[int] = []

    def handle(number: int, _frame: Any) -> None:
        told.append(number)
        if len(told) > 1:
            raise SystemExit(128 + number)
        stop()
        click.echo("Stopping: what is under way is ended first.", err=True)

    before = {number: signal.signal(number, handle) for number in _ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
