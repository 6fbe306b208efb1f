"""Which windows hold for a caller, and which callers are counted together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache

from ..._ground.checks import errors_under, known
from ...exceptions import ConfigurationError
from ...model import Charges, Demand, Principal, Window
from ...policy import Limits, Policy
from .charges import charged
from .notation import MOST_WINDOWS, check_windows, parse_limits
from .packed import MOST
from .reservations import PlanUnits, watched
from .subjects import guessing_subjects, subject

Windows = tuple[Window, ...]

# How many times the budget of a /64 its /56 and its /48 have. Each of them holds 256 of the networks before it. So
# eight networks can do their worst before their neighbours suffer, and the owner of a /48 gains 64 times, not 65,536
# times.
WIDER = (1, 8, 64)


class Quotas:
    """The plans of a policy, with their windows parsed.

    Args:
        policy: the settings.
        costs: every cost that a rule gives a request.
        windows: how many windows the rules may add on public paths (True) and on others (False).
        reserving: which units requests reserve together, and with how many windows of rules.

    Raises:
        ConfigurationError: a notation cannot be read, a cost would never fit into a plan, or a request could meet too
            many windows.
    """

    def __init__(
        self,
        policy: Policy,
        costs: Iterable[int],
        windows: Mapping[bool, int] | None = None,
        reserving: Mapping[tuple[str, ...], int] | None = None,
    ) -> None:
        self._dearest = max(costs, default=1)
        self._more, self._reserving = windows or {}, reserving or {}
        self._by, self._enforces = policy.limit_by, policy.enforce
        self._units = PlanUnits(policy.plans, policy.own_rules(), enforce=policy.enforce)
        self._default = policy.default_plan
        self._taken = lru_cache(maxsize=4096)(self._units.taken)
        self._plans: dict[str | None, Windows] = {None: ()}
        self._closed: set[str | None] = set()
        self._spared: set[str | None] = set()
        for name, plan in policy.plans.items():
            found = self._read(plan.limits, f"plans.{name}.limits", self._most_beside(name))
            self._plans[name] = found if plan.enforce and policy.enforce else watched(found)
            if not plan.access:
                (self._closed if plan.enforce else self._spared).add(name)
        for closed in (self._closed, self._spared):
            if policy.default_plan in closed:
                closed.add(None)
        if policy.default_plan is not None:
            self._plans[None] = self._plans[policy.default_plan]
        anonymous = self._read(policy.anonymous_limits, "anonymous_limits", self._more.get(True, 0))
        self._anonymous = self._held(anonymous)
        # Their own scope, which no rule can have. So an address is one subject and takes one anonymous place.
        failures = _keyed(policy.failure_limits, "failure_limits", scope="failures")
        self._failures = [charged(_times(factor, failures)) for factor in WIDER] if failures else []

    def become(self, other: Quotas) -> None:
        """Hold what these others do from now on, for whoever keeps this object while the policy changes."""
        vars(self).update(vars(other))

    @property
    def units(self) -> tuple[str, ...]:
        """The names of all units that plans limit."""
        return self._units.names

    def check_key(self, plan: str | None, limits: Limits) -> None:
        """ConfigurationError unless a key may have this plan and these limits."""
        if plan not in self._plans:
            names = [name for name in self._plans if name is not None]
            raise ConfigurationError(f"there is no plan {plan!r}; {known(names, str(plan))}", key="plan")
        self._read(limits, "limits", self._most_beside(plan))

    def knows(self, plan: str | None) -> bool:
        """Whether the policy has this plan. Nothing says what the keys of an unknown plan may do."""
        return plan in self._plans

    def admits(self, plan: str | None) -> bool:
        """Whether the keys of this plan are let in at all."""
        return plan in self._plans and plan not in self._closed

    def spares(self, plan: str | None) -> bool:
        """Whether the keys of this plan are let in only because it is in dry run."""
        return plan in self._spared

    def of(self, caller: Principal, more: Windows = ()) -> Windows:
        """The windows for the requests of a caller; none of its own if its plan is unknown.

        Args:
            caller: its own limits, if it has any, replace those of its plan. They are not in the plan's dry run.
            more: a rule's windows.
        """
        windows = (
            self._plans.get(caller.effective_plan, ()) if caller.limits is None else self._held(_own(caller.limits))
        )
        return _joined(windows, self._held(more)) if more else windows

    def units_of(self, caller: Principal) -> Windows:
        """The windows of all units that the plan of a caller limits."""
        return self._units.of(self._plan(caller.effective_plan))

    def charges(self, caller: Principal, demand: Demand) -> Charges:
        """What a request costs a caller: its windows, each with its cost."""
        requests = charged(self.of(caller, demand.windows), demand.cost) if demand.cost else ()
        if not demand.reserve:
            return requests
        return _added(requests, self._taken(self._plan(caller.effective_plan), demand.reserve))

    def for_anyone(self, more: Windows) -> Windows:
        """The windows of a client address on a public path."""
        return _joined(self._anonymous, self._held(more)) if more else self._anonymous

    def failures(self, address: str | None) -> tuple[tuple[str, Charges], ...]:
        """The subjects and windows that count the failures of an address, the narrowest first, each with a cost of 1;
        empty if there are none."""
        if not self._failures:
            return ()
        return tuple(zip(guessing_subjects(address), self._failures, strict=False))

    def subject(self, caller: Principal) -> str:
        """The name under which the caller's requests are counted."""
        if self._by == "organization" and caller.organization_id is not None:
            return subject("organization", caller.organization_id)
        if self._by == "project" and caller.project_id is not None:
            return subject("project", caller.project_id)
        return subject("key", caller.id)

    def _plan(self, name: str | None) -> str | None:
        return self._default if name is None else name

    def _held(self, windows: Windows) -> Windows:
        """These windows as they hold: in dry run of the gate they only watch."""
        return windows if self._enforces else watched(windows)

    def _most_beside(self, plan: str | None) -> int:
        """How many windows of rules and units may hold beside those for the requests of a key of this plan."""
        name = self._plan(plan)
        counts = [more + self._units.count(name, units) for units, more in self._reserving.items()]
        return max(counts, default=self._more.get(False, 0))

    def _read(self, limits: Limits, key: str, more: int) -> Windows:
        windows = _keyed(limits, key)
        if len(windows) + more > MOST_WINDOWS:
            raise ConfigurationError(
                f"{len(windows)} windows and the {more} of rules and units are more than the {MOST_WINDOWS} that may "
                "hold for one request",
                key=key,
            )
        try:
            check_windows(windows, self._dearest)
        except ConfigurationError as error:
            raise ConfigurationError(f"a rule's cost of {error.reason}", key=key) from None
        return windows


_own = lru_cache(maxsize=4096)(parse_limits)


@lru_cache(maxsize=4096)
def _joined(windows: Windows, more: Windows) -> Windows:
    return windows + more


@lru_cache(maxsize=4096)
def _added(requests: Charges, units: Charges) -> Charges:
    return requests + units


def _times(factor: int, windows: Windows) -> Windows:
    return tuple(window._replace(limit=min(MOST, window.limit * factor)) for window in windows)


def _keyed(limits: Limits, key: str, scope: str = "") -> Windows:
    with errors_under(key):
        return parse_limits(limits, scope=scope)
