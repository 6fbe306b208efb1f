"""What the windows must do, written as simply as possible: lists of batches, and a log of what was admitted."""

from __future__ import annotations

from dataclasses import dataclass, field

from keystile.model import Charge, Window

SECOND = 1_000_000
MOST = 2**53


@dataclass
class Batch:
    first: float
    last: int
    count: int


@dataclass
class PlainWindow:
    """One window of one subject."""

    seconds: int
    batches: list[Batch] = field(default_factory=list)

    @property
    def length(self) -> int:
        return self.seconds * SECOND

    def standing(self, now: int) -> list[Batch]:
        known = [batch for batch in self.batches if batch.last <= now + self.length]
        if known and len(known) < len(self.batches):
            known[-1] = Batch(float("-inf"), known[-1].last, known[-1].count)
        moment = max([now, *(batch.last for batch in known)])
        return [batch for batch in known if batch.last + self.length > moment]

    def used(self, now: int) -> int:
        return sum(batch.count for batch in self.standing(now))

    def wait(self, limit: int, cost: int, now: int) -> int | None:
        """Microseconds until the cost fits, or one unit if it is 0; None for never."""
        cost = cost or 1
        if cost > limit:
            return None
        batches = self.standing(now)
        moment = now
        while sum(batch.count for batch in batches) + cost > limit:
            moment = batches.pop(0).last + self.length
        return moment - now

    def count(self, cost: int, now: int) -> None:
        self.batches = self.standing(now)
        now = max([now, *(batch.last for batch in self.batches)])
        cost = min(cost, MOST - self.used(now))
        if cost == 0:
            return
        if self.batches and (now - self.batches[-1].first) * 60 < self.length:
            self.batches[-1].last = now
            self.batches[-1].count += cost
        else:
            self.batches.append(Batch(now, now, cost))

    def give_back(self, units: int, at: int, now: int) -> None:
        standing = self.standing(now)
        if not standing or standing[-1].last < at or max(now, standing[-1].last) >= at + self.length:
            return
        self.batches = standing
        for batch in standing:
            taken = min(units, batch.count)
            batch.count, units = batch.count - taken, units - taken
        self.batches = [batch for batch in standing if batch.count]


class PlainLimiter:
    """Subjects with their windows. `hit` gives (admitted, [(remaining, wait)]) in microseconds."""

    def __init__(self) -> None:
        self.windows: dict[tuple[str, str, str, int], PlainWindow] = {}

    def hit(self, subject: str, charges: tuple[Charge, ...], now: int) -> tuple[bool, list[tuple[int, int | None]]]:
        mine = [(self.window(subject, each), each, cost) for each, cost in charges]
        waits = [plain.wait(each.limit, cost, now) for plain, each, cost in mine]
        admitted = not any(wait != 0 and not each.watching for wait, (each, _) in zip(waits, charges, strict=True))
        if admitted and any(cost for _, cost in charges):
            for plain, _, cost in mine:
                plain.count(cost, now)
            self._drop_ended(subject, now)
        left = [max(0, each.limit - plain.used(now)) for plain, each, _ in mine]
        return admitted, list(zip(left, waits, strict=True))

    def refund(self, subject: str, charges: tuple[Charge, ...], at: int, now: int) -> None:
        for each, units in charges:
            self.window(subject, each).give_back(units, at, now)

    def window(self, subject: str, each: Window) -> PlainWindow:
        slot = (subject, each.unit, each.scope, each.seconds)
        return self.windows.setdefault(slot, PlainWindow(each.seconds))

    def _drop_ended(self, subject: str, now: int) -> None:
        """Once something is written, expired batches are gone for good, even if the clock is set back later."""
        for (whose, *_), plain in self.windows.items():
            if whose == subject and all(batch.last + plain.length <= now for batch in plain.batches):
                plain.batches = []
