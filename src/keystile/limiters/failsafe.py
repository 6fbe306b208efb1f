"""A limiter that always answers in time, even while the limiter behind it is down.

While a server of the limiter is down, `Policy.on_limiter_error` holds for the subjects whose windows that server keeps
(`health` says when it is asked again). Down means that there is no answer. An error reply concerns one call, and
`on_limiter_error` holds for that call alone. Nothing is sent twice: a call without an answer may have been counted.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, cast

from .. import _sync
from .._ground.health import Health
from ..events import Event, Events
from ..exceptions import ConfigurationError, Overloaded, StoreUnavailable
from ..model import Usage, Window
from ..policy import OnLimiterError
from . import NotCounted, RateLimiter, Usages
from .memory import MemoryLimiter

logger = logging.getLogger("keystile")

# In seconds: how long a request waits for a limiter that another process has locked; for the answer of an async
# limiter without its own time limit; and for connections at start. How long a call may block its thread is up to the
# limiter.
PATIENCE, ANSWER_WITHIN, OPEN_WITHIN = 0.25, 0.5, 5.0
SLOTS, QUEUE = 16, 1024
# The states of at most this many servers are remembered.
NODES = 10_000


class LimiterDown(StoreUnavailable, Overloaded):
    """The limiter is down and the policy says ``"deny"``: 503, though nothing is wrong with the key store."""


class _Local(tuple[Usage, ...]):
    """Usages that were counted in this process instead of the limiter."""

    __slots__ = ()


class Failsafe:
    """Windows that hold as far as possible, whatever happens to the limiter.

    Args:
        limiter: where windows are counted.
        on_error: ``"local"``, ``"allow"`` or ``"deny"``: what holds while it is down (`policy.Policy`).
        events: told when the limiter goes down or comes back, and when it cannot read what it stored.
    """

    def __init__(self, limiter: RateLimiter, on_error: OnLimiterError, events: Events | None = None) -> None:
        self.limiter = limiter
        self.needs_await = _sync.is_async(limiter.hit)
        """Whether the limiter is async, so that WSGI cannot use it."""
        self._on_error, self._events = on_error, events or Events("text")
        # Kept from one outage to the next, so that a limiter that comes and goes does not give out fresh windows each
        # time.
        self._local = MemoryLimiter()
        self._pool = _sync.Pool(SLOTS, QUEUE)
        self._twin = _twin_of(limiter)
        self._hit, self._peek, self._refund = self._adapted("hit"), self._adapted("peek"), self._adapted("refund")
        self._node_of: Callable[[str], str] | None = getattr(limiter, "node_of", None)
        self._health = self._healthy("")
        self._nodes: dict[str, Health] = {"": self._health}
        self._seldom = _sync.Seldom()
        for each in self.limiters():
            if hasattr(each, "on_unreadable"):
                each.on_unreadable = self._tell_unreadable
        self.hit_now = limiter.hit if isinstance(limiter, MemoryLimiter) else None
        """A plain function, if the limiter is in this process's memory and cannot be down; otherwise None."""

    async def open(self, offload: _sync.Offload) -> None:
        """Have the limiter connect, so that no request has to. If it cannot, it is down from the start."""
        opening = getattr(self.limiter, "open", None)
        if opening is None:
            return
        seen = self._health.changes
        adapted = _sync.adapt(
            opening,
            self._pool,
            blocking=True,
            patience=PATIENCE,
            awaited=getattr(self._twin, "open", None),
            within=OPEN_WITHIN,
        )
        try:
            await adapted(offload)
        except (NotCounted, Overloaded):
            pass
        except Exception as error:  # noqa: BLE001 - whatever a limiter raises, it is down
            self._health.failed(seen, error)

    async def hit(
        self, offload: _sync.Offload, subject: str, windows: tuple[Window, ...], cost: int, *, count: bool = True
    ) -> Usages:
        """What `RateLimiter.hit` answers, or `peek` if nothing is to be counted. Empty if the policy admits without
        counting.

        Raises:
            LimiterDown: the limiter is down, and the policy says ``"deny"``.
        """
        health = self._health if self._node_of is None else self._health_of(subject)
        seen = health.changes
        is_down = seen % 2 == 1
        if is_down and not health.may_probe():
            return self._instead(subject, windows, cost, count)
        try:
            asked = (
                self._hit(offload, health, seen, subject, windows, cost)
                if count
                else self._peek(offload, health, seen, subject, windows)
            )
            usages = _checked(await asked, windows)
        except (NotCounted, Overloaded) as error:
            if is_down and isinstance(error, NotCounted):
                health.answered(seen)
            self._tell_refusal(error)
            return self._instead(subject, windows, cost, count)
        except Exception as error:  # noqa: BLE001 - whatever else a limiter raises, it is down
            health.failed(seen, error)
            return self._instead(subject, windows, cost, count)
        else:
            if is_down:
                health.answered(seen)
            return usages
        finally:
            if is_down:
                health.probed()  # also if the request was cancelled

    async def refund(
        self, offload: _sync.Offload, subject: str, windows: tuple[Window, ...], cost: int, usages: Usages
    ) -> None:
        """Give back what a hit counted, as far as possible. Never raises.

        Args:
            usages: what the hit answered. It says when and where the cost was counted, even if the limiter has gone
                down or come back since.
        """
        if not usages:
            return
        if isinstance(usages, _Local):
            self._local.refund(subject, windows, cost, usages[0].at)
            return
        health = self._health if self._node_of is None else self._health_of(subject)
        seen = health.changes
        if seen % 2:
            return
        try:
            await self._refund(offload, health, seen, subject, windows, cost, usages[0].at)
        except (NotCounted, Overloaded) as error:
            self._tell_refusal(error)
        except Exception as error:  # noqa: BLE001 - likewise
            health.failed(seen, error)

    def limiters(self) -> list[Any]:
        """Everything that must be closed: the limiter, and its twin for asyncio if it has one."""
        return [self.limiter] if self._twin is None else [self.limiter, self._twin]

    def _adapted(self, name: str) -> Any:
        awaited = None if self._twin is None else _unless_down(getattr(self._twin, name))
        return _sync.adapt(
            _unless_down(getattr(self.limiter, name)),
            self._pool,
            blocking=getattr(self.limiter, "blocking", True),
            patience=PATIENCE,
            awaited=awaited,
            within=None if getattr(self._twin or self.limiter, "bounded", False) else ANSWER_WITHIN,
        )

    def _instead(self, subject: str, windows: tuple[Window, ...], cost: int, count: bool) -> Usages:
        if self._on_error == "local":
            return _Local(self._local.hit(subject, windows, cost) if count else self._local.peek(subject, windows))
        if self._on_error == "allow":
            return ()
        raise LimiterDown("limiter", "is down")

    def _health_of(self, subject: str) -> Health:
        assert self._node_of is not None  # noqa: S101 - for the type checker
        node = self._node_of(subject)
        found = self._nodes.get(node)
        if found is None:
            if len(self._nodes) >= NODES:
                self._nodes = {"": self._health}
            found = self._nodes.setdefault(node, self._healthy(node))
        return found

    def _healthy(self, node: str) -> Health:
        def tell(error: Exception | None) -> None:
            if error is None:
                self._events.tell(Event("limiter_up", logging.WARNING, reason=node))
            else:
                reason = f"on_limiter_error={self._on_error!r} holds: {_shown(error)}"
                self._events.tell(Event("limiter_down", logging.ERROR, reason=reason))

        return Health(tell)

    def _tell_refusal(self, error: Exception) -> None:
        self._tell_seldom("limiter_refused", f"on_limiter_error={self._on_error!r} holds for one call: {_shown(error)}")

    def _tell_unreadable(self, subject: str) -> None:
        self._tell_seldom("limiter_unreadable", f"cannot read what was stored for {subject}: its windows start afresh")

    def _tell_seldom(self, code: str, reason: str) -> None:
        if self._seldom.due(code):
            self._events.tell(Event(code, logging.WARNING, reason=reason))


def _shown(error: Exception) -> str:
    """A reason to log. Of a driver's error only the type: its message may hold a password."""
    return str(error) if isinstance(error, StoreUnavailable) else type(error).__name__


def _twin_of(limiter: RateLimiter) -> Any:
    """The same limiter for asyncio; None if there is none, or its driver is not installed."""
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


def _unless_down(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, with a server's health and its number as first arguments. If the server went down while a
    call waited for a thread, the call is not made.

    Otherwise the calls that queue up while a server hangs would each wait for it in turn. How long a call has waited
    does not matter: its event loop may have been late.
    """

    def call(health: Health, seen: int, *args: Any) -> Any:
        if health.changes != seen:
            raise StoreUnavailable("limiter", "went down before it was asked")
        return function(*args)

    async def await_it(_health: Health, _seen: int, *args: Any) -> Any:
        return await function(*args)

    return await_it if _sync.is_async(function) else call
