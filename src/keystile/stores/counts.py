"""The counts of requests that the memory store keeps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice

from ..model import Counted


class Counts:
    """How many requests there were, by key, hour and outcome."""

    def __init__(self) -> None:
        self._known: dict[str, Counter[tuple[int, str]]] = {}

    def add(self, counts: Iterable[Counted]) -> None:
        """Add to them."""
        for each in counts:
            self._known.setdefault(each.key_id, Counter())[each.hour, each.outcome] += each.number

    def of(self, key_id: str, first: int, end: int, step: int) -> Sequence[Counted]:
        """Those of a key from one hour on and before another, summed up over spans of so many hours."""
        found: Counter[tuple[int, str]] = Counter()
        for (hour, outcome), number in self._known.get(key_id, {}).items():
            if first <= hour < end:
                found[hour - hour % step, outcome] += number
        return [Counted(key_id, *place, found[place]) for place in sorted(found)]

    def forget(self, before: int, most: int) -> int:
        """Drop at most so many of hours before this one; how many that were."""
        every = ((key_id, place) for key_id, places in self._known.items() for place in places if place[0] < before)
        old = list(islice(every, most))
        for key_id, place in old:
            del self._known[key_id][place]
            if not self._known[key_id]:
                del self._known[key_id]
        return len(old)
