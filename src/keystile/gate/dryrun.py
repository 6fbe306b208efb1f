"""Dry run: what is not enforced is let through, and told as the event ``would_refuse``.

`enforce` softens what is written beside it. A rule's or a plan's windows, scopes and reservations are marked where they
are read; what the whole gate softens is decided here. Requests that cannot be read (400), what is down (503) and
guessing are refused in any case.
"""

from __future__ import annotations

import logging

from ..events import Event, Events
from ..exceptions import ConfigurationError
from ..model import Demand, Principal, Reason
from ..policy import Policy
from ..rules import outcomes
from .callers import Caller
from .transport import Visit, event_of

_ALWAYS = (400, 503)


class DryRun:
    """What the gate as a whole enforces.

    Args:
        policy: the settings.
        events: told of what would have been refused.
    """

    def __init__(self, policy: Policy, events: Events) -> None:
        self.enforces = policy.enforce
        self._events, self._listed = events, policy.dry_runs()

    def announce(self) -> None:
        """Tell which dry runs the policy asks for: nobody should forget one."""
        if self._listed:
            reason = f"{', '.join(self._listed)} = false: what these would refuse is only told, as would_refuse"
            self._events.tell(Event("dry_run", logging.WARNING, reason=reason))

    def softens(self, reason: Reason) -> bool:
        """Whether the gate lets through what is refused for this."""
        return not self.enforces and reason.status not in _ALWAYS and reason.code != "too_many_failures"

    def bars(self, demand: Demand, visit: Visit, *, again: bool) -> bool:
        """Whether lists of addresses bar a client. What bars it in dry run is told, unless it is asked again."""
        if demand.admits is not None and not demand.admits(visit.client):
            if self.enforces:
                return True
        elif demand.would_admit is None or demand.would_admit(visit.client):
            return False
        if not again:
            self.tell(outcomes.BARRED, visit)
        return False

    def tell_spared(self, caller: Caller, demand: Demand, visit: Visit) -> None:
        """Tell what plans and rules in dry run would have refused a caller for."""
        if caller.spared is not None:
            self.tell(caller.spared, visit, caller.key)
        if not demand.watched.issubset(caller.key.scopes):
            self.tell(outcomes.lacking(demand.watched), visit, caller.key)

    def tell(self, reason: Reason, visit: Visit, key: Principal | None = None) -> None:
        """Tell what would have been refused."""
        if self._events.wanted(logging.INFO):
            event = event_of("would_refuse", logging.INFO, visit, reason.status, key)
            self._events.tell(event._replace(reason=reason.code))


def check_one_step(policy: Policy, one_step: bool) -> None:
    """Refuse a limiter that counts windows one after the other, where units or dry runs need all in one step.

    Args:
        policy: the settings.
        one_step: whether the limiter counts all windows in one step.

    Raises:
        ConfigurationError: it cannot hold these settings.
    """
    needing = [*policy.dry_runs(), *(f"plans.{name}.units" for name, plan in policy.plans.items() if plan.units)]
    if needing and not one_step:
        reason = "counts windows one after the other; use memory, SQLite or Redis, or do without"
        raise ConfigurationError(f"{reason} {', '.join(needing)}", key="limiter")
