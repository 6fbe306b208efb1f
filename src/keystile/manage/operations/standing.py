"""Where a key stands in its windows, and how much it was used."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from ..._sync import can_wait, inline, pooled, waited
from ...exceptions import ConfigurationError, KeyNotFound
from ...gate import Gate
from ...gate.standing import windows_of
from ...keys.usage.reading import Step
from ...model import ApiKey, Usage, UsagePeriod
from .calls import Call
from .seeing import Seeing
from .shown import Whoami, shown


class StandingOperations:
    """Reads what is counted of keys.

    Args:
        gate: whose keys they are.
    """

    def __init__(self, gate: Gate) -> None:
        self._gate, self._seeing = gate, Seeing(gate)

    async def usage(
        self,
        call: Call,
        key_id: str,
        start: datetime | None = None,
        end: datetime | None = None,
        *,
        step: Step = "hour",
    ) -> Sequence[UsagePeriod]:
        """How often a key was admitted and refused; the arguments are those of `gate.keys.usage`."""
        call.authority.require("keys:read")
        await self._seeing.key(call, key_id)
        keys = self._gate.keys
        return await call.ask(keys.usage, keys.ausage, key_id, start, end, step=step)

    async def windows(self, call: Call, key_id: str) -> tuple[Usage, ...]:
        """Where a key stands now in its own windows, those of the rules, and the units of its plan; empty if it has
        none, or if its plan is gone, so that it is refused."""
        call.authority.require("keys:read")
        return await self._windows(call, await self._seeing.key(call, key_id))

    async def whoami(self, call: Call) -> Whoami:
        """Who calls, and where their own key stands. Needs no right."""
        if not call.by_key:
            return Whoami(authority=call.authority)
        keys, now = self._gate.keys, self._seeing.now()
        key = await call.ask(keys.get, keys.aget, call.authority.id)
        if key.organization_id is not None and not call.authority.sees(key.organization_id):
            raise KeyNotFound(key.id)
        month = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        used = await call.ask(keys.usage, keys.ausage, key.id, month, step="day")
        usages = await self._windows(call, key)
        return Whoami(authority=call.authority, shown=shown(key, now), usages=usages, used=tuple(used))

    async def _windows(self, call: Call, key: ApiKey) -> tuple[Usage, ...]:
        if not self._gate.quotas.knows(key.effective_plan):
            return ()
        subject, windows = windows_of(self._gate, key)
        if not windows:
            return ()
        asked = tuple((window, 1) for window in windows)
        limits = self._gate.limits
        if call.offload is not inline or not limits.needs_await:
            return tuple(await limits.hit(call.offload, subject, asked, count=False))
        if not can_wait():
            raise ConfigurationError("the limiter is async: only the ASGI door can ask it", key="limiter")
        return tuple(waited(limits.hit, pooled, subject, asked, count=False))
