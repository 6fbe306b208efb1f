"""Windows in any other storage of `limits`: memcached, MongoDB, and whatever else it supports or somebody registers.

This is the best that those storages can do, and less than memory, SQLite and Redis do here. What they cannot promise:

- Not atomic. A request takes several commands, and its windows are counted one after the other. All are checked before
  any is counted, so a refused request spends nothing unless another request came in between.
- Nor do they take windows of named units, or windows that only watch: what is used beyond a reservation could not be
  counted in the step that decides. Such windows raise ConfigurationError, and `one_step` says so before. Each window
  may have its own cost, as everywhere.
- Not strict. The best strategy that a storage supports is used. A sliding counter is an estimate that can admit more
  than the limit in some span; a fixed window can admit up to twice as much.
- `reset_at` is what the strategy says, and `retry_after` follows from it. After waiting that long, a request may be
  refused again if its cost is above 1.
- A refund lowers the counter of the window in which the hit was counted, in two commands and by no more than it holds.
  Once the next window has begun, nothing is given back; nor is it where moments are stored (MovingWindowRateLimiter).
- The clock is each process's own.
- memcached stores nothing for longer than 30 days, and a sliding counter needs two lengths of its window. So windows
  longer than 15 days raise ConfigurationError there.
- The driver limits how long a call may take: set its timeouts in the options.

A change of plan keeps the count, as everywhere: the limit of a window is not part of its name.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from hashlib import blake2b
from operator import attrgetter
from typing import Any, TypeVar

import limits

from .._sync import PerLoop, run_now
from ..model import Charge, Usage, Window
from ..rules.limits.charges import asking, check_costs, split
from ..rules.limits.packed import SECOND, slot_of
from .backends import Backend

logger = logging.getLogger("keystile")

# The least `retry_after` of a refused request, if a storage says that it need not wait.
_MOMENT = 0.001

T = TypeVar("T")
Ask = Callable[..., Awaitable[Any]]


class _Item(limits.RateLimitItemPerSecond):
    """A window under our own name. `limits` would put the amount into the name, and lose the count when it changes."""

    def key_for(self, *_identifiers: bytes | str | float) -> str:
        return self.namespace


def _item(subject: str, window: Window) -> _Item:
    # memcached takes neither long keys nor spaces in them.
    slot, seconds = slot_of(window)
    name = f"{len(subject)}:{subject}{seconds}/{slot}".encode("utf-8", "surrogatepass")
    return _Item(window.limit, window.seconds, f"keystile/{blake2b(name, digest_size=20).hexdigest()}")


def _usage(window: Window, stats: tuple[float, int] | None, cost: int, fits: bool) -> Usage:
    now = time.time()
    reset_at, remaining = stats or (now, 0)
    wait: float | None = 0.0
    if cost > window.limit:
        wait = None
    elif not fits:
        wait = max(_MOMENT, reset_at - now)
    return Usage(window, max(0, min(remaining, window.limit)), reset_at, wait, int(now * SECOND))


async def _decide(ask: Ask, subject: str, charges: Sequence[Charge]) -> tuple[Usage, ...]:
    """The order of commands, once for both kinds of storage."""
    windows, costs = split(charges)
    items = [_item(subject, window) for window in windows]
    asked = [(item, cost or 1) for item, cost in zip(items, costs, strict=True)]
    fits = [item.amount >= cost and await ask("test", item, cost=cost) for item, cost in asked]
    if all(fits):
        fits = [not cost or await ask("hit", item, cost=cost) for item, cost in zip(items, costs, strict=True)]
    # A storage need not support a window that allows nothing.
    stats = [await ask("get_window_stats", item) if item.amount else None for item in items]
    return tuple(
        _usage(window, each, cost, fit)
        for window, each, (_, cost), fit in zip(windows, stats, asked, fits, strict=True)
    )


async def _give_back(ask: Ask, backend: Backend, subject: str, charges: Sequence[Charge], at: int) -> None:
    check_costs(cost for _, cost in charges)
    for window, cost in charges:
        if not cost or int(time.time() / window.seconds) != at // (window.seconds * SECOND):
            continue
        item = _item(subject, window)
        counted, key = 0, item.key_for()
        if backend.counter == "get_sliding_window":
            _, _, counted, _ = await ask("storage.get_sliding_window", key, window.seconds)
        elif backend.counter == "get":
            counted = await ask("storage.get", key)
        if backend.lower is not None and counted:
            # No amount may be negative here. `limits` names the counter by the number of windows since 1970.
            await ask(backend.lower, f"{key}/{int(time.time() / window.seconds)}", min(cost, counted))
        elif counted > 0:
            await ask("hit", item, cost=-min(cost, counted))


async def _forget(ask: Ask, subject: str, windows: Sequence[Window]) -> None:
    for window in windows:
        await ask("clear", _item(subject, window))


class StorageLimiter:
    """A `RateLimiter` in a storage of `limits`. The module's docstring says what it cannot promise; the log says it
    once.

    Args:
        url: as `limits` reads it: ``memcached://host:port``, ``mongodb://host:port``...
        options: for the storage's driver.

    Raises:
        ConfigurationError: `limits` knows no such storage, or its driver is missing.
    """

    blocking = True
    one_step = False

    def __init__(self, url: str, **options: Any) -> None:
        self._backend = Backend(url, "", options)
        self._strategy = self._backend.open()
        self._for_asyncio = partial(AsyncStorageLimiter, url, **options)
        name = type(self._strategy).__name__
        logger.warning("limiter %s: %s of limits is neither atomic nor strict", self._backend.name, name)

    @classmethod
    def from_url(cls, url: str, **options: Any) -> StorageLimiter:
        """The limiter in this storage."""
        return cls(url, **options)

    def __repr__(self) -> str:
        return f"StorageLimiter({self._backend.name!r})"

    def for_asyncio(self) -> AsyncStorageLimiter:
        """A limiter of the same windows for an asyncio host, through the asyncio driver that `limits` asks for.

        Raises:
            ConfigurationError: that driver is missing or takes other options. Then use this limiter in worker threads,
                or build an `AsyncStorageLimiter` by hand.
        """
        return self._for_asyncio()

    def hit(self, subject: str, charges: Sequence[Charge]) -> tuple[Usage, ...]:
        """Count each cost in its window if all fit; StoreUnavailable if there is no answer."""
        return self._run(_decide(self._ask, subject, self._backend.check(charges)))

    def peek(self, subject: str, windows: Sequence[Window]) -> tuple[Usage, ...]:
        """Where each window stands, with `retry_after` for a cost of 1."""
        return self._run(_decide(self._ask, subject, self._backend.check(asking(windows))))

    def refund(self, subject: str, charges: Sequence[Charge], at: int) -> None:
        """Take back units that a hit counted at this moment, as far as the storage can."""
        self._run(_give_back(self._ask, self._backend, subject, charges, at))

    def reset(self, subject: str, windows: Sequence[Window]) -> None:
        """Forget what was counted in these windows."""
        self._run(_forget(self._ask, subject, windows))

    def close(self) -> None:
        """Do nothing: `limits` keeps its connections."""

    async def _ask(self, method: str, *args: Any, **named: Any) -> Any:
        return attrgetter(method)(self._strategy)(*args, **named)

    def _run(self, steps: Coroutine[Any, Any, T]) -> T:
        try:
            return run_now(steps)
        except self._backend.failures as error:
            raise self._backend.unavailable(error) from None


class AsyncStorageLimiter:
    """The same for asyncio, with one storage for each event loop.

    Arguments, errors and methods as `StorageLimiter`, with the options of the asyncio driver. What `limits` keeps in
    memory is not shared between loops.
    """

    one_step = False

    def __init__(self, url: str, **options: Any) -> None:
        self._backend = Backend(url, "async+", options)
        self._backend.open()  # finds errors now; each loop gets a storage of its own
        self._strategies: PerLoop[Any] = PerLoop(self._backend.open)

    @classmethod
    def from_url(cls, url: str, **options: Any) -> AsyncStorageLimiter:
        """The limiter in this storage."""
        return cls(url, **options)

    def __repr__(self) -> str:
        return f"AsyncStorageLimiter({self._backend.name!r})"

    async def hit(self, subject: str, charges: Sequence[Charge]) -> tuple[Usage, ...]:
        """As `StorageLimiter.hit`."""
        return await self._run(_decide(self._ask, subject, self._backend.check(charges)))

    async def peek(self, subject: str, windows: Sequence[Window]) -> tuple[Usage, ...]:
        """As `StorageLimiter.peek`."""
        return await self._run(_decide(self._ask, subject, self._backend.check(asking(windows))))

    async def refund(self, subject: str, charges: Sequence[Charge], at: int) -> None:
        """As `StorageLimiter.refund`."""
        await self._run(_give_back(self._ask, self._backend, subject, charges, at))

    async def reset(self, subject: str, windows: Sequence[Window]) -> None:
        """As `StorageLimiter.reset`."""
        await self._run(_forget(self._ask, subject, windows))

    async def close(self) -> None:
        """Forget the running loop's storage."""
        self._strategies.pop()

    async def _ask(self, method: str, *args: Any, **named: Any) -> Any:
        return await attrgetter(method)(self._strategies.get())(*args, **named)

    async def _run(self, steps: Coroutine[Any, Any, T]) -> T:
        try:
            return await steps
        except self._backend.failures as error:
            raise self._backend.unavailable(error) from None
