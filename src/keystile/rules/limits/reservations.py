"""Named units: what plans allow of them, what a request reserves, and how that is settled when its answer has ended.

A rule without `reserve` does not consult units, and a plan without a unit does not limit it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ..._ground.checks import known
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

    Raises:
        ConfigurationError: a notation cannot be read; a rule reserves a unit that no plan has, or more than a plan ever
            admits.
    """

    def __init__(self, plans: Mapping[str, Plan], rules: Iterable[tuple[str, Rule]] = ()) -> None:
        self._windows = {
            plan: {unit: _read(limits, unit, f"plans.{plan}.units.{unit}") for unit, limits in settings.units.items()}
            for plan, settings in plans.items()
        }
        self.names = tuple(dict.fromkeys(unit for units in self._windows.values() for unit in units))
        """Every unit that some plan has."""
        for key, rule in rules:
            for unit, amount in rule.reserve.items():
                self._check(f"{key}.reserve.{unit}", rule, unit, amount)

    def taken(self, plan: str | None, reserve: Iterable[Reservation], *, watching: bool = False) -> Charges:
        """What a key of this plan takes for these reservations; `watching` if the plan is in dry run."""
        windows = self._windows.get(plan or "", {})
        return tuple(
            (window._replace(watching=watching or each.watching), each.amount)
            for each in reserve
            for window in windows.get(each.unit, ())
        )

    def count(self, plan: str | None, units: Iterable[str]) -> int:
        """How many windows these units have in a plan."""
        return sum(len(self._windows.get(plan or "", {}).get(unit, ())) for unit in units)

    def of(self, plan: str | None) -> Windows:
        """All windows of the units of a plan."""
        return tuple(window for windows in self._windows.get(plan or "", {}).values() for window in windows)

    def _check(self, key: str, rule: Rule, unit: str, amount: int) -> None:
        if unit not in self.names:
            reason = f"{rule.match!r} reserves {unit!r}, and no plan has such a unit; {known(self.names, unit)}"
            raise ConfigurationError(reason, key=key)
        for plan, units in self._windows.items():
            for window in units.get(unit, ()):
                if 0 < window.limit < amount:
                    reason = f"{amount} is above the {window.limit} in {window.seconds} seconds of plans.{plan}.units"
                    raise ConfigurationError(f"{reason}: {rule.match!r} would never be admitted", key=key)


def _read(limits: str | Sequence[str], unit: str, key: str) -> Windows:
    try:
        return tuple(window._replace(unit=unit) for window in parse_limits(limits))
    except ConfigurationError as error:
        raise ConfigurationError(error.reason, key=key) from None


def settlement(
    reserve: Iterable[Reservation], usages: Iterable[Usage], used: Mapping[str, int]
) -> tuple[Charges, Charges]:
    """What is to be given back, and what is to be counted on top. A unit that was never charged keeps its reservation.

    Args:
        reserve: what the request was to take.
        usages: what the limiter answered then: it took from these windows.
        used: what the app charged, by unit.

    Returns:
        Two lists of windows, each with a number of units. Those of the second only watch: what has been used is
        counted, whatever the limit.
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
            more.append((window._replace(watching=True), over))
    return tuple(back), tuple(more)
