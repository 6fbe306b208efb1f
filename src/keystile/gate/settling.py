"""Charges settled: what a request reserved against what its app says it used, when the app's output has ended.

It goes through the limiter that took the reservation, even if that has gone down or come back since. It neither delays
the answer, which has been sent, nor fails.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from functools import partial

from .._sync import Offload, Seldom
from ..events import Event, Events
from ..limiters.failsafe import Failsafe
from ..model import Admitted, Charge, Charges, Principal, Usage
from ..rules.limits.quotas import Quotas
from ..rules.limits.reservations import settlement


class Settler:
    """Settles the charges of one gate.

    Args:
        quotas: who is counted together.
        limits: where windows are counted.
        events: told of callers that used more than a limit, and of charges that are lost.
    """

    def __init__(self, quotas: Quotas, limits: Failsafe, events: Events) -> None:
        self._quotas, self._limits, self._events = quotas, limits, events
        self._seldom = Seldom()

    async def settle(self, admitted: Admitted, used: Mapping[str, int] | None, offload: Offload) -> None:
        """Give back what was not used, and count what was used beyond the reservation. Never raises.

        Args:
            admitted: what `check` returned.
            used: what was charged, by unit; None if somebody else settles it.
            offload: as for `check`.
        """
        if not used or admitted.principal is None:
            return
        back, more = settlement(admitted.demand.reserve, admitted.usages, used)
        if not back and not more:
            return
        work = partial(self._settle, admitted, admitted.principal, back, more, offload)
        if self._limits.hit_now is not None:
            await work()  # in place, so that nothing can cancel it
            return
        try:
            # Not in the task of the request: its server may have cancelled that because the client is gone.
            await offload.finish(work, _nothing)
        except Exception as error:  # noqa: BLE001 - the answer is out, and the event loop may be closing
            self._lost(type(error).__name__)

    async def _settle(
        self, admitted: Admitted, caller: Principal, back: Charges, more: Charges, offload: Offload
    ) -> None:
        subject = self._quotas.subject(caller)
        if back and not await self._limits.refund(offload, subject, back, admitted.usages):
            self._lost("the limiter is down, so what was not used stays counted")
        if more:
            counted = await self._limits.overdraw(offload, subject, more, admitted.usages)
            if counted is None:
                self._lost("the limiter is down, so what was used beyond the reservation is not counted")
                return
            self._tell_overdrawn(admitted.request_id, caller, zip(more, counted, strict=False))

    def _tell_overdrawn(self, request_id: str, caller: Principal, counted: Iterable[tuple[Charge, Usage]]) -> None:
        passed = [window for (window, _), usage in counted if usage.retry_after != 0.0 and not window.watching]
        if passed:
            listed = ", ".join(f"{window.limit} {window.unit} in {window.seconds} seconds" for window in passed)
            reason = f"used more than {listed}"
            event = Event("overdrawn", logging.INFO, key_id=caller.id, request_id=request_id, reason=reason)
            self._events.tell(event._replace(organization_id=caller.organization_id))

    def _lost(self, reason: str) -> None:
        if self._seldom.due("not_settled"):
            self._events.tell(Event("not_settled", logging.WARNING, reason=f"{reason} (told once a minute)"))


def _nothing() -> None:
    """What is left to do after a settlement."""
