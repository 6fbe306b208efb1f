"""A limiter that always answers in time, also while the one behind it is down.

After a failure the limiter is asked again only now and then, by one request at a time, at growing intervals; until it
answers, the policy's choice holds. Nothing is sent twice: whoever got no answer may have been counted.

Its state is one number that grows with each change: odd while the limiter is down. A call remembers the number it
started with, and what becomes of it counts only while that number holds: hundreds may be under way when a limiter goes
down or comes back, and what was sent before says nothing of afterwards.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Sequence
from typing import Any, cast

from .. import _sync
from ..events import Event, Events
from ..exceptions import ConfigurationError, Overloaded, StoreUnavailable
from ..model import Usage, Window
from . import RateLimiter, Usages
from .memory import MemoryLimiter

logger = logging.getLogger("keystile")

# For how long a request waits for a limiter that another process holds; for a free thread, or an async limiter's
# answer, in seconds. How long a call may then block its thread is the limiter's own affair.
PATIENCE, ANSWER_WITHIN = 0.25, 0.5
FIRST_PROBE, LAST_PROBE = 0.1, 5.0
SLOTS, QUEUE = 16, 1024


class LimiterDown(StoreUnavailable, Overloaded):
    """The limiter is down, and the policy denies: 503, but nothing is wrong with the key store."""


class _Local(tuple[Usage, ...]):
    """Usages that were counted in this process, in place of the limiter."""

    __slots__ = ()


class Failsafe:
    """Windows that hold, as far as they can, whatever happens to the limiter.

    Args:
        limiter: where windows are counted.
        on_error: ``"local"``, ``"allow"`` or ``"deny"``: what holds while it is down (`policy.Policy`).
        events: where it is told that the limiter went away or came back.
    """

    def __init__(self, limiter: RateLimiter, on_error: str, events: Events | None = None) -> None:
        self.limiter = limiter
        self.needs_await = _sync.is_async(limiter.hit)
        """Whether the limiter is async, so that WSGI cannot use it."""
        self._on_error, self._events = on_error, events or Events("text")
        # Kept from one outage to the next: a limiter that comes and goes gives nobody a fresh window each time.
        self._local = MemoryLimiter()
        self._pool = _sync.Pool(SLOTS, QUEUE)
        self._twin = _twin_of(limiter)
        self._hit, self._refund = self._adapted("hit"), self._adapted("refund")
        self._changes = 0
        self._wait, self._next_probe = FIRST_PROBE, 0.0
        self._lock = _sync.Lock()
        self.reset()
        _sync.on_fork(self)
        self.hit_now = limiter.hit if isinstance(limiter, MemoryLimiter) else None
        """A plain function, where the limiter is in this process's memory and cannot be down."""

    def reset(self) -> None:
        """Forget a probe that was under way in the process from which this one was forked."""
        self._probing = False

    async def hit(self, offload: _sync.Offload, subject: str, windows: tuple[Window, ...], cost: int) -> Usages:
        """What `RateLimiter.hit` answers; empty if the policy admits without counting.

        Raises:
            LimiterDown: the limiter is down, and the policy denies then.
        """
        seen = self._changes
        is_down = seen % 2 == 1
        if is_down and not self._may_probe():
            return self._instead(subject, windows, cost)
        try:
            usages = _checked(await self._hit(offload, _deadline(), subject, windows, cost), windows)
        except Exception as error:  # noqa: BLE001 - whatever a limiter raises, it is down
            self._failed(seen, error)
            return self._instead(subject, windows, cost)
        else:
            if is_down:
                self._answered(seen)
            return usages
        finally:
            if is_down:
                self._probing = False  # also if the request was cancelled

    async def refund(
        self,
        offload: _sync.Offload,
        subject: str,
        windows: tuple[Window, ...],
        cost: int,
        usages: Usages | None = None,
    ) -> None:
        """Give back what a hit counted, as far as it can be; fails for nobody.

        Args:
            usages: what the hit answered. It says where the cost was counted, if the limiter went down or came back
                since.
        """
        seen = self._changes
        if isinstance(usages, _Local) or (usages is None and seen % 2 == 1):
            self._local.refund(subject, windows, cost)
        elif seen % 2 == 0 and usages != ():
            try:
                await self._refund(offload, _deadline(), subject, windows, cost)
            except Exception as error:  # noqa: BLE001 - likewise
                self._failed(seen, error)

    def limiters(self) -> list[Any]:
        """Everything that wants to be closed: the limiter, and its twin for asyncio if it has one."""
        return [self.limiter] if self._twin is None else [self.limiter, self._twin]

    def _adapted(self, name: str) -> Any:
        awaited = None if self._twin is None else _in_time(getattr(self._twin, name))
        return _sync.adapt(
            _in_time(getattr(self.limiter, name)),
            self._pool,
            blocking=getattr(self.limiter, "blocking", True),
            patience=PATIENCE,
            awaited=awaited,
            within=ANSWER_WITHIN,
        )

    def _instead(self, subject: str, windows: tuple[Window, ...], cost: int) -> Usages:
        if self._on_error == "local":
            return _Local(self._local.hit(subject, windows, cost))
        if self._on_error == "allow":
            return ()
        raise LimiterDown("limiter", "is down")

    def _may_probe(self) -> bool:
        """Whether this request is the one that asks whether the limiter is back."""
        with self._lock:
            if self._probing or time.monotonic() < self._next_probe:
                return False
            self._probing = True
            return True

    def _failed(self, seen: int, error: Exception) -> None:
        with self._lock:
            if seen != self._changes:
                return
            self._wait = min(self._wait * 2, LAST_PROBE) if seen % 2 else FIRST_PROBE
            # Jittered, so that processes do not probe in step.
            self._next_probe = time.monotonic() + self._wait * random.uniform(0.75, 1.25)  # noqa: S311
            if seen % 2:
                return
            self._changes += 1
        # A foreign driver's message may hold a password: its type says enough.
        reason = str(error) if isinstance(error, StoreUnavailable) else type(error).__name__
        reason = f"on_limiter_error={self._on_error!r} holds: {reason}"
        self._events.tell(Event("limiter_down", logging.ERROR, reason=reason))

    def _answered(self, seen: int) -> None:
        with self._lock:
            if seen != self._changes:
                return
            self._changes += 1
        self._events.tell(Event("limiter_up", logging.WARNING))


def _twin_of(limiter: RateLimiter) -> Any:
    """What does the same for asyncio; None if there is none, or its driver is not installed."""
    for_asyncio = getattr(limiter, "for_asyncio", None)
    if for_asyncio is None:
        return None
    try:
        return for_asyncio()
    except ConfigurationError as error:
        logger.warning("under asyncio the limiter is used in worker threads: %s", error)
        return None


def _checked(usages: Any, windows: tuple[Window, ...]) -> Usages:
    if len(usages) != len(windows):
        raise StoreUnavailable("limiter", "answered for other windows")
    return cast("Usages", usages)


def _deadline() -> float:
    return time.monotonic() + ANSWER_WITHIN


def _in_time(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same with a deadline before its arguments: a call for which no thread was free in time is not made.

    Else those that queue while the limiter hangs would each wait for it in turn.
    """

    def call(deadline: float, subject: str, windows: Sequence[Window], cost: int) -> Any:
        if time.monotonic() > deadline:
            raise TimeoutError
        return function(subject, windows, cost)

    async def await_it(_deadline: float, subject: str, windows: Sequence[Window], cost: int) -> Any:
        return await function(subject, windows, cost)

    return await_it if _sync.is_async(function) else call
