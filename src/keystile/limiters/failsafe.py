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
from ..model import Charges, Usage, Window
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
        self.one_step: bool = getattr(limiter, "one_step", True)
        """Whether it takes windows of named units, and windows that only watch."""
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
        own = getattr(limiter.hit, "__func__", None) is MemoryLimiter.hit
        self.bound = limiter.bound if own and isinstance(limiter, MemoryLimiter) else None
        """The same for one subject and its charges, made once for many requests; None likewise, and where the host has
        put a `hit` of its own in place of the limiter's, which this would pass by."""

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

    async def hit(self, offload: _sync.Offload, subject: str, charges: Charges, *, count: bool = True) -> Usages:
        """What `RateLimiter.hit` answers, or `peek` if nothing is to be counted. Empty if the policy admits without
        counting.

        Raises:
            LimiterDown: the limiter is down, and the policy says ``"deny"``.
        """
        health = self._health if self._node_of is None else self._health_of(subject)
        seen = health.changes
        is_down = seen % 2 == 1
        if is_down and not health.may_probe():
            return self._instead(subject, charges, count)
        try:
            asked = (
                self._hit(offload, health, seen, subject, charges)
                if count
                else self._peek(offload, health, seen, subject, _windows(charges))
            )
            usages = _checked(await asked, charges)
        except (NotCounted, Overloaded) as error:
            if is_down and isinstance(error, NotCounted):
                health.answered(seen)
            self._tell_refusal(error)
            return self._instead(subject, charges, count)
        except Exception as error:  # noqa: BLE001 - whatever else a limiter raises, it is down
            health.failed(seen, error)
            return self._instead(subject, charges, count)
        else:
            if is_down:
                health.answered(seen)
            return usages
        finally:
            if is_down:
                health.probed()  # also if the request was cancelled

    async def refund(self, offload: _sync.Offload, subject: str, charges: Charges, usages: Usages) -> bool:
        """Give back what a hit counted, where it was counted. Never raises.

        Args:
            charges: windows of the hit, each with how many units go back.
            usages: what the hit answered, this very object. It says when and where the costs were counted, even if the
                limiter has gone down or come back since.

        Returns:
            Whether nothing is left to do; False if that limiter is down, so that the units stay counted.
        """
        if not usages:
            return True
        if isinstance(usages, _Local):
            self._local.refund(subject, charges, usages[0].at)
            return True
        done, _ = await self._settle(self._refund, offload, subject, charges, usages[0].at)
        return done

    async def overdraw(self, offload: _sync.Offload, subject: str, charges: Charges, usages: Usages) -> Usages | None:
        """Count what was used beyond what a hit counted, whatever the limits, where the hit was counted. Never raises.

        Args:
            charges: windows of the hit, each with how many units more were used.
            usages: as for `refund`.

        Returns:
            The usage of each window after this, whose `retry_after` is not 0.0 where the limit is passed; empty if the
            hit was counted nowhere. None if that limiter is down, so that these units are lost.
        """
        # A list: a limiter need not remember charges that come once.
        more = [(window._replace(watching=True), cost) for window, cost in charges]
        if not usages:
            return ()
        if isinstance(usages, _Local):
            return self._local.hit(subject, more)
        _, counted = await self._settle(self._hit, offload, subject, more)
        return cast("Usages | None", counted)

    async def _settle(self, call: Any, offload: _sync.Offload, subject: str, *args: Any) -> tuple[bool, Any]:
        """Whether the limiter did it, and its answer."""
        health = self._health if self._node_of is None else self._health_of(subject)
        seen = health.changes
        if seen % 2:
            return False, None
        try:
            return True, await call(offload, health, seen, subject, *args)
        except (NotCounted, Overloaded) as error:
            self._tell_refusal(error)
        except Exception as error:  # noqa: BLE001 - whatever else a limiter raises, it is down
            health.failed(seen, error)
        return False, None

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

    def _instead(self, subject: str, charges: Charges, count: bool) -> Usages:
        if self._on_error == "local":
            local = self._local
            return _Local(local.hit(subject, charges) if count else local.peek(subject, _windows(charges)))
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


def _windows(charges: Charges) -> tuple[Window, ...]:
    return tuple([window for window, _ in charges])


def _checked(usages: Any, charges: Charges) -> Usages:
    if len(usages) != len(charges):
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
