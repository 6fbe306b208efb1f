"""What one request costs: each window with the units to count in it."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from ...model import Charges, Window

Costs = tuple[int, ...]


@lru_cache(maxsize=4096)
def charged(windows: tuple[Window, ...], cost: int = 1) -> Charges:
    """The same cost in each of these windows. The same tuple each time, which limiters know again at once."""
    return tuple([(window, cost) for window in windows])


def asking(windows: Iterable[Window]) -> Charges:
    """Charges that count nothing, and ask of each window whether one unit is free."""
    return tuple([(window, 0) for window in windows])


def check_costs(costs: Iterable[int]) -> None:
    """ValueError if one of the costs is no whole number, or would take units away."""
    for cost in costs:
        if isinstance(cost, bool) or not isinstance(cost, int) or cost < 0:
            raise ValueError(f"cost: expected a whole number of at least 0, got {type(cost).__name__} {cost}"[:100])


def split(charges: Iterable[tuple[Window, int]]) -> tuple[tuple[Window, ...], Costs]:
    """The windows and the costs.

    Raises:
        ValueError: a cost is no whole number of at least 0.
    """
    pairs = tuple(charges)
    costs = tuple([cost for _, cost in pairs])
    check_costs(costs)
    return tuple([window for window, _ in pairs]), costs
