"""Rate limiters: where windows are counted. `RateLimiter` is the contract; memory, SQLite and Redis are built in."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from importlib import import_module
from typing import Protocol

from ..exceptions import ConfigurationError, StoreUnavailable
from ..model import Usage, Window
from ..rules.limits.subjects import ANONYMOUS, anonymous_subject, subject

__all__ = ["ANONYMOUS", "NotCounted", "RateLimiter", "Usages", "anonymous_subject", "ignore", "open_limiter", "subject"]

Usages = tuple[Usage, ...]


class NotCounted(StoreUnavailable):
    """This one call was not counted, for a reason that says nothing of others: the limiter is not down."""


def ignore(_subject: str) -> None:
    """What a limiter calls about a subject as long as nobody listens."""


class RateLimiter(Protocol):
    """What the gate asks of a limiter. Each method may be plain or ``async def``, all of one kind.

    A plain limiter is taken to block, so that its calls leave the event loop, unless it has an attribute
    ``blocking = False``: then a hit runs in place and must take microseconds. It may raise StoreBusy, and is then tried
    again off the event loop, and `NotCounted` about one call alone. Whatever else a method raises, it counts as down.

    What a limiter may have besides: ``open()``, plain or async as the others, which connects before the first request;
    ``node_of(subject)``, which of its servers keeps the subject's windows, so that one that is down concerns nobody
    else; ``on_unreadable``, which it calls with a subject for which something was stored that it cannot read;
    ``bounded = True`` if it is async and each call ends by itself in short time, so that no deadline is put around it.

    A subject is a string of `subject` or `anonymous_subject`. Its windows are told apart by scope and seconds, never by
    what they allow: with another limit the count goes on.
    """

    def hit(self, subject: str, windows: Sequence[Window], cost: int) -> Usages | Awaitable[Usages]:
        """Count the cost in all windows in one step, or in none.

        Returns:
            For each window where the subject stands after this. The request is refused if and only if one of them has
            a `retry_after` that is None or greater than 0; nothing was counted then.
        """

    def peek(self, subject: str, windows: Sequence[Window]) -> Usages | Awaitable[Usages]:
        """For each window where the subject stands, with `retry_after` for a cost of 1. Counts nothing."""

    def refund(self, subject: str, windows: Sequence[Window], cost: int, at: int) -> Awaitable[None] | None:
        """Take back units that an admitted hit counted: as many as were not used after all.

        The oldest units of a window go first, and only where its length has not passed since the hit, by the limiter's
        own clock. A later refund changes nothing there.

        Args:
            subject, windows: those of the hit.
            cost: how many, at most the cost of the hit.
            at: `Usage.at` of what the hit answered.
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
    module, name = _BUILT_IN.get(scheme.partition("+")[0], ("storages", "StorageLimiter"))
    found: RateLimiter = getattr(import_module(f".{module}", __package__), name).from_url(url)
    return found
