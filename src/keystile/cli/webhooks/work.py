"""`keystile webhooks work`: send what waits in the outbox, until somebody says stop."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from ..opening import Place, called, in_memory, opening
from .opening import outbox_of

_ENDING = (signal.SIGTERM, signal.SIGINT)


@click.command()
@click.option("--once", is_flag=True, help="Send what is due, then end: for a timer in place of a service.")
@click.pass_obj
def work(place: Place, /, *, once: bool) -> None:
    """Send messages, and tell endpoints of changes of keys, until SIGTERM or SIGINT. What is under way then is ended
    first; a second signal ends it at once."""
    from ...webhooks.working import Worker

    with opening(place) as found, outbox_of(found) as outbox:
        settings = found.settings.webhooks if found.settings is not None else None
        events = () if settings is None else settings.events
        if events and in_memory(found.gate, "store"):
            raise found.error("webhooks.events", "tells what this command cannot see: the store is in memory")
        worker = Worker(outbox, gate=found.gate, events=events)

        async def run() -> None:
            try:
                await worker.run(once=once)
            finally:
                await outbox.aclose()

        running: Callable[[], Any] = run
        with _stopped_by_signals(worker.stop):
            called(running)


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
