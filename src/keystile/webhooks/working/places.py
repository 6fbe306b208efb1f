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

    @property
    def left_for_failing(self) -> int:
        """How many more may begin to all the endpoints that fail."""
        return min(self.free, self._for_failing - sum(self._taken[each] for each in self._taken.keys() & self._failing))

    def full(self) -> frozenset[str]:
        """The endpoints to which nothing more may begin."""
        free, spare = self.free, self.left_for_failing
        return frozenset(each for each in {**self._failing, **self._taken} if self._left(each, free, spare) <= 0)

    def left(self, endpoint_id: str) -> int:
        """How many more may begin to this endpoint."""
        return self._left(endpoint_id, self.free, self.left_for_failing)

    def take(self, endpoint_id: str, *, failing: bool = False) -> bool:
        """Take a place for this endpoint; say whether the outbox knows it for one that fails, which a worker that has
        just begun does not. Whether there was one."""
        if failing:
            self._remember(endpoint_id)
        there = self.left(endpoint_id) > 0
        self._taken[endpoint_id] += there
        self._forget_place(endpoint_id)
        return there

    def leave(self, endpoint_id: str, *, arrived: bool) -> None:
        """Give the place back, and say whether the message arrived."""
        self._taken[endpoint_id] -= 1
        self._forget_place(endpoint_id)
        self._failing.pop(endpoint_id, None)
        if not arrived:
            self._remember(endpoint_id)

    def _left(self, endpoint_id: str, free: int, spare: int) -> int:
        if endpoint_id not in self._failing:
            return min(free, self.each - self._taken[endpoint_id])
        return min(spare, 1 - self._taken[endpoint_id])

    def _remember(self, endpoint_id: str) -> None:
        self._failing[endpoint_id] = self._failing.pop(endpoint_id, None)
        if len(self._failing) > REMEMBERED:
            # One that has a place goes on counting as one that fails.
            del self._failing[next(each for each in self._failing if each not in self._taken)]

    def _forget_place(self, endpoint_id: str) -> None:
        if not self._taken[endpoint_id]:
            del self._taken[endpoint_id]
