"""Named units: what plans allow of them, what a request reserves, and how that is settled when its answer has ended.

A rule without `reserve` does not consult units, and a plan without a unit does not limit it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from ..._ground.checks import errors_under, known
from ...exceptions import ConfigurationError
from ...model import Charges, Reservation, Usage, Window
from ...policy import Plan, Rule
from .notation import parse_limits

Windows = tuple[Window, ...]


class PlanUnits:
    """The windows of each plan's units.

    Args:
        plans: the policy's plans.
        rules: every rule, with the name of the setting that it came from.
        enforce: false in dry run of the gate.

    Raises:
        ConfigurationError: a notation cannot be read; a rule reserves a unit that no plan has, or more than a plan ever
            admits.
    """

    def __init__(self, plans: Mapping[str, Plan], rules: Iterable[tuple[str, Rule]], *, enforce: bool) -> None:
        self._windows: dict[str | None, dict[str, Windows]] = {}
        for name, plan in plans.items():
            read = {unit: _read(limits, unit, f"plans.{name}.units.{unit}") for unit, limits in plan.units.items()}
            holds = enforce and plan.enforce
            self._windows[name] = read if holds else {unit: watched(windows) for unit, windows in read.items()}
        self.names = tuple(dict.fromkeys(unit for units in self._windows.values() for unit in units))
        """Every unit that some plan has."""
        for key, rule in rules:
            for unit, amount in rule.reserve.items():
                self._check(f"{key}.reserve.{unit}", rule, unit, amount)

    def taken(self, plan: str | None, reserve: Iterable[Reservation]) -> Charges:
        """What a key of this plan takes for these reservations."""
        found = self._windows.get(plan, {})
        return tuple(
            (window._replace(watching=window.watching or each.watching), each.amount)
            for each in reserve
            for window in found.get(each.unit, ())
        )

    def count(self, plan: str | None, units: Iterable[str]) -> int:
        """How many windows these units have in a plan."""
        return sum(len(self._windows.get(plan, {}).get(unit, ())) for unit in units)

    def of(self, plan: str | None) -> Windows:
        """All windows of the units of a plan."""
        return tuple(window for windows in self._windows.get(plan, {}).values() for window in windows)

    def _check(self, key: str, rule: Rule, unit: str, amount: int) -> None:
        if unit not in self.names:
            reason = f"{rule.match!r} reserves {unit!r}, and no plan has such a unit; {known(self.names, unit)}"
            raise ConfigurationError(reason, key=key)
        for plan, units in self._windows.items():
            for window in units.get(unit, ()):
                if 0 < window.limit < amount:
                    reason = f"{amount} is above the {window.limit} in {window.seconds} seconds of plans.{plan}.units"
                    raise ConfigurationError(f"{reason}: {rule.match!r} would never be admitted", key=key)


@lru_cache(maxsize=4096)
def watched(windows: Windows) -> Windows:
    """The same windows, in dry run. The same tuple each time."""
    return tuple([window._replace(watching=True) for window in windows])


def _read(limits: str | Sequence[str], unit: str, key: str) -> Windows:
    with errors_under(key):
        return parse_limits(limits, unit=unit)


def settlement(
    reserve: Iterable[Reservation], usages: Iterable[Usage], used: Mapping[str, int]
) -> tuple[Charges, Charges]:
    """What is to be given back, and what is to be counted on top. A unit that was never charged keeps its reservation.

    Args:
        reserve: what the request was to take.
        usages: what the limiter answered then: it took from these windows.
        used: what the app charged, by unit.

    Returns:
        Two lists of windows, each with a number of units.
    """
    reserved = {each.unit: each.amount for each in reserve}
    back: list[tuple[Window, int]] = []
    more: list[tuple[Window, int]] = []
    for window in [usage.window for usage in usages]:
        if window.unit not in used:
            continue
        over = used[window.unit] - reserved[window.unit]
        if over < 0:
            back.append((window, -over))
        elif over > 0:
            more.append((window, over))
    return tuple(back), tuple(more)
