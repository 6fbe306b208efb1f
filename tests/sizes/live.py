"""What a client of the stream says, and what of others' requests is kept for it."""

from __future__ import annotations

from collections.abc import Callable

from keystile import _sync
from keystile.events import Event, Events
from keystile.manage.live.hub import Hub, shows
from keystile.manage.live.rings import Ring, Told, shortened
from keystile.manage.live.stream import shown


def come_again(sent: str) -> None:
    hub = Hub(Events("text"), lambda: 0.0)
    for text in (sent, f"{'a' * 12}-{sent}"):
        hub.join(frozenset(("org",)), _sync.pooled, text)


def keep(event: Callable[[str], Event]) -> Callable[[str], object]:
    """A ring that keeps an event with these texts, and shows it."""

    def kept(sent: str) -> None:
        ring, short = Ring("a"), shortened(event(sent))
        ring.add(short, 0.0)
        shown(Told("a", 1, 0.0, short))
        shows(short)
        ring.number(sent)

    return kept
