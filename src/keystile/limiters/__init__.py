"""Rate limiters: where windows are counted. `RateLimiter` is the contract; memory, SQLite and Redis are built in.

Knows the arithmetic of windows (`rules.limits`), the words, the events, `_sync`, and the connections to SQLite and
Redis (`_ground`); knows no keys and no requests. A limiter can be changed or added here alone, as long as it passes the
contract suite (`tests/test_limiters.py`). `windows.lua` is the twin of `rules/limits/windows.py`: change both or
neither. Every call of the gate goes through `failsafe`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from importlib import import_module
from typing import Protocol

from .._ground.urls import place_of
from ..exceptions import ConfigurationError, StoreUnavailable
from ..model import Charge, Charges, Usage, Window
from ..rules.limits.subjects import ANONYMOUS, anonymous_subject, subject

__all__ = [
    "ANONYMOUS",
    "Charge",
    "Charges",
    "NotCounted",
    "RateLimiter",
    "Usages",
    "anonymous_subject",
    "ignore",
    "open_limiter",
    "subject",
]

Usages = tuple[Usage, ...]


class NotCounted(StoreUnavailable):
    """This one call was not counted, for a reason that concerns no other call: the limiter is not down."""


def ignore(_subject: str) -> None:
    """The `on_unreadable` of a limiter to which nobody listens."""


class RateLimiter(Protocol):
    """What the gate asks of a limiter. Each method may be plain or ``async def``, all of one kind.

    A plain limiter is expected to block, so its calls leave the event loop. If it has an attribute ``blocking =
    False``, a hit runs in place and must take microseconds; it may raise StoreBusy, and is then tried again off the
    event loop. A method may raise `NotCounted` about one call alone. After any other exception the limiter counts as
    down.

    A limiter may also have: ``open()``, plain or async like the others, which connects before the first request;
    ``node_of(subject)``, which names the server that keeps the subject's windows, so that a server that is down
    concerns nobody else; ``on_unreadable``, which it calls with a subject whose stored state it cannot read; ``bounded
    = True`` if it is async and each call ends soon without help, so that no deadline is needed; ``one_step = False`` if
    it counts windows one after the other, so that it takes neither windows of named units nor windows that only watch.

    A subject is a string made by `subject` or `anonymous_subject`. Windows are told apart by unit, scope and seconds,
    never by their limit: when the limit changes, the count goes on.
    """

    def hit(self, subject: str, charges: Sequence[Charge]) -> Usages | Awaitable[Usages]:
        """Count each cost in its window, all in one step, or none.

        A cost of 0 counts nothing and asks that one unit be free. A window that only watches is counted in the same
        step, beyond its limit too (up to 2**53 units), and never keeps the others from counting; so what was used
        beyond a reservation is counted by a hit in windows that watch.

        Args:
            subject: who is counted.
            charges: windows, each with its cost. A tuple that is used again is decided faster than an equal one.

        Returns:
            The usage of each window after this. The request is refused if and only if one of them, other than those
            that only watch, has a `retry_after` that is None or greater than 0; then nothing was counted anywhere.

        Raises:
            ValueError: a cost is negative or no whole number.
        """

    def peek(self, subject: str, windows: Sequence[Window]) -> Usages | Awaitable[Usages]:
        """The usage of each window, with `retry_after` for a cost of 1. Counts nothing."""

    def refund(self, subject: str, charges: Sequence[Charge], at: int) -> Awaitable[None] | None:
        """Take back units that an admitted hit counted: those that were not used after all.

        The oldest units of a window go first. If a window's length has passed since the hit, by the limiter's own
        clock, the refund changes nothing there.

        Args:
            subject: that of the hit.
            charges: windows of the hit, each with how many units to take back, at most its cost there.
            at: `Usage.at` of what the hit answered.

        Raises:
            ValueError: a cost is negative or no whole number.
        """

    def reset(self, subject: str, windows: Sequence[Window]) -> Awaitable[None] | None:
        """Forget what the subject has used in these windows."""

    def close(self) -> Awaitable[None] | None:
        """Let go of files and connections. The limiter may be used again afterwards."""


_BUILT_IN = {
    "memory": ("memory", "MemoryLimiter"),
    "sqlite": ("sqlite", "SQLiteLimiter"),
    "redis": ("redis", "RedisLimiter"),
    "rediss": ("redis", "RedisLimiter"),
    "valkey": ("redis", "RedisLimiter"),
    "valkeys": ("redis", "RedisLimiter"),
}


def open_limiter(url: str) -> RateLimiter:
    """The limiter that a URL names.

    ``memory://``; ``sqlite:///file.db``; ``redis://`` or ``rediss://``, and with ``redis+sentinel://`` or
    ``redis+cluster://`` several of them; every other storage of `limits`, with what that can promise.

    Raises:
        ConfigurationError: no limiter has this scheme, or it cannot be opened.
    """
    scheme, separator, _ = url.partition("://")
    if not separator:
        raise ConfigurationError("expected a URL like memory:// or sqlite:///file.db", key="limiter")
    if scheme.partition("+")[0] == "async":
        reason = "'async+' belongs to limits; leave it out: the ASGI door uses an asyncio driver by itself if it can"
        raise ConfigurationError(reason, key="limiter", source=place_of(url))
    module, name = _BUILT_IN.get(scheme.partition("+")[0], ("storages", "StorageLimiter"))
    found: RateLimiter = getattr(import_module(f".{module}", __package__), name).from_url(url)
    return found
