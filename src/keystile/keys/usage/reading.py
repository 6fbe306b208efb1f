"""What a service learns of its keys' usage."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from ..._ground.frozen import FrozenDict
from ..._sync import Offload
from ...exceptions import ConfigurationError
from ...model import Counted, UsagePeriod
from ...model.counts import ADMITTED, DAY_HOURS, HOUR
from ..changes.fields import check_text
from ..changes.records import Records
from ..changes.twins import awaited, blocking
from .counting import Counting

Step = Literal["hour", "day"]
STEPS: dict[str, int] = {"hour": 1, "day": DAY_HOURS}
# So many periods are given where no start is asked for, and at most.
USUAL, MOST_PERIODS = {"hour": 24, "day": 30}, 10_000
# The first hour that a datetime can be, and the one after the last.
_FIRST, _LAST = (int(each.replace(tzinfo=UTC).timestamp()) // HOUR for each in (datetime.min, datetime.max))


class UsageReader:
    """Gives the counts that a store keeps; `gate.keys.usage` is its one operation.

    Args:
        records: calls the store.
        counting: what this process has not written yet.
    """

    def __init__(self, records: Records, counting: Counting) -> None:
        self._records, self._counting = records, counting
        self.needs_await = records.needs_await
        """Whether the store is async, so that only the awaited operation works."""

    async def _usage(
        self,
        offload: Offload,
        key_id: str,
        start: datetime | None = None,
        end: datetime | None = None,
        *,
        step: Step = "hour",
    ) -> Sequence[UsagePeriod]:
        """How often a key was admitted and refused, in each hour or on each day in UTC, the oldest first.

        Each request counts once, as the order of checks decided on it, whatever it costs. Requests whose secret was not
        proved belong to no key. What other processes counted in the last ten seconds may be missing.

        Args:
            key_id: which key.
            start: an aware datetime; the hour or day that it lies in is the first. None is 24 hours or 30 days before
                the end.
            end: the hour or day that it lies in is the last, unless it begins with it; None is now.
            step: ``"hour"`` or ``"day"``.

        Raises:
            KeyNotFound: there is no such key.
        """
        hours = _check_step(step)
        ends = _hour(self._records.now(), "end") + 1 if end is None else _hour(end, "end", up=True)
        last = -(-ends // hours) * hours
        first = last - USUAL[step] * hours if start is None else _hour(start, "start") // hours * hours
        if not 0 <= last - first <= MOST_PERIODS * hours:
            raise ConfigurationError(f"expected at most {MOST_PERIODS} {step}s before the end", key="start")
        if first < _FIRST or last > _LAST:
            raise ConfigurationError("expected periods within the years 1 to 9999 in UTC", key="start")
        await self._records.found(offload, "key", check_text(key_id, "key_id"))
        await self._counting.flush(offload)
        found = await self._records.call(offload, "usage", key_id, first, last, hours)
        return _periods(found, range(first, last, hours))

    usage, ausage = blocking(_usage), awaited(_usage)


def _check_step(step: Any) -> int:
    if not isinstance(step, str) or step not in STEPS:
        raise ConfigurationError(f"expected one of {', '.join(STEPS)}", key="step")
    return STEPS[step]


def _hour(moment: Any, key: str, *, up: bool = False) -> int:
    """The hour since 1970 in UTC that begins at this moment or before it, or after it."""
    if not isinstance(moment, datetime) or moment.utcoffset() is None:
        raise ConfigurationError("expected a datetime with a time zone", key=key)
    whole = moment - datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=HOUR) * up - timedelta.resolution * up
    return whole // timedelta(seconds=HOUR)


def _periods(counts: Iterable[Counted], hours: Iterable[int]) -> Sequence[UsagePeriod]:
    """A period for each of these hours."""
    found: dict[int, dict[str, int]] = {}
    for each in counts:
        found.setdefault(each.hour, {})[each.outcome] = each.number
    made = []
    for hour in hours:
        outcomes = found.get(hour, {})
        admitted = outcomes.pop(ADMITTED, 0)
        made.append(UsagePeriod(datetime.fromtimestamp(hour * HOUR, UTC), admitted, FrozenDict(outcomes)))
    return made
