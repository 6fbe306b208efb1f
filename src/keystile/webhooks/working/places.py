"""How many messages one worker sends at once, and whose.

An endpoint that hangs holds each of its places for the whole deadline. So an endpoint has few places, one that fails
has a single one until something arrives there, and all that fail together have no more than a quarter: whoever answers
is never kept waiting by those that do not.
"""

from __future__ import annotations

from collections import Counter

MOST, EACH, FAILING_SHARE = 64, 4, 4
REMEMBERED = 1000
"""Of so many failing endpoints it is known that they fail."""


class Places:
    """The places of one worker.

    Args:
        most: how many messages are sent at once.
        each: how many of them to one endpoint.
    """

    def __init__(self, most: int = MOST, each: int = EACH) -> None:
        self.each, self._most = each, most
        self._for_failing = max(1, most // FAILING_SHARE)
        self._taken: Counter[str] = Counter()
        self._failing: dict[str, None] = {}  # the one that failed last stands last

    @property
    def taken(self) -> int:
        """How many are under way."""
        return self._taken.total()

    @property
    def free(self) -> int:
        """How many more may begin."""
        return self._most - self.taken

    def left(self, endpoint_id: str) -> int:
        """How many more may begin to this endpoint."""
        if endpoint_id not in self._failing:
            return min(self.free, self.each - self._taken[endpoint_id])
        return min(self.free, 1 - self._taken[endpoint_id], self._left_for_failing())

    def full(self) -> frozenset[str]:
        """The endpoints to which nothing more may begin."""
        return frozenset(each for each in {**self._failing, **self._taken} if self.left(each) <= 0)

    def take(self, endpoint_id: str) -> bool:
        """Take a place for this endpoint. Whether there was one."""
        there = self.left(endpoint_id) > 0
        self._taken[endpoint_id] += there
        return there

    def leave(self, endpoint_id: str, *, arrived: bool) -> None:
        """Give the place back, and say whether the message arrived."""
        self._taken[endpoint_id] -= 1
        if not self._taken[endpoint_id]:
            del self._taken[endpoint_id]
        self._failing.pop(endpoint_id, None)
        if not arrived:
            self._failing[endpoint_id] = None
            if len(self._failing) > REMEMBERED:
                del self._failing[next(iter(self._failing))]

    def _left_for_failing(self) -> int:
        return self._for_failing - sum(self._taken[each] for each in self._failing)
