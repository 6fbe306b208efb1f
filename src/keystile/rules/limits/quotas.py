"""Which windows hold for a caller, and which callers are counted together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache

from ..._ground.checks import known
from ...exceptions import ConfigurationError
from ...model import Principal, Window
from ...policy import Limits, Policy
from .notation import MOST, MOST_WINDOWS, check_windows, parse_limits
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

    Raises:
        ConfigurationError: a notation cannot be read, a cost would never fit into a plan, or a request could meet too
            many windows.
    """

    def __init__(self, policy: Policy, costs: Iterable[int], windows: Mapping[bool, int] | None = None) -> None:
        self._dearest = max(costs, default=1)
        self._more = windows or {}
        self._by = policy.limit_by
        self._plans: dict[str | None, Windows] = {None: ()}
        self._closed: set[str | None] = set()
        for name, plan in policy.plans.items():
            self._plans[name] = self._read(plan.limits, f"plans.{name}.limits")
        self._closed.update(name for name, plan in policy.plans.items() if not plan.access)
        if policy.default_plan in self._closed:
            self._closed.add(None)
        if policy.default_plan is not None:
            self._plans[None] = self._plans[policy.default_plan]
        self._anonymous = self._read(policy.anonymous_limits, "anonymous_limits", public=True)
        # Their own scope, which no rule can have. So an address is one subject and takes one anonymous place.
        failures = _keyed(policy.failure_limits, "failure_limits", scope="failures")
        self._failures = [_times(factor, failures) for factor in WIDER] if failures else []

    def check_key(self, plan: str | None, limits: Limits) -> None:
        """ConfigurationError unless a key may have this plan and these limits."""
        if plan not in self._plans:
            names = [name for name in self._plans if name is not None]
            raise ConfigurationError(f"there is no plan {plan!r}; {known(names, str(plan))}", key="plan")
        self._read(limits, "limits")

    def knows(self, plan: str | None) -> bool:
        """Whether the policy has this plan. Nothing says what the keys of an unknown plan may do."""
        return plan in self._plans

    def admits(self, plan: str | None) -> bool:
        """Whether the keys of this plan are let in at all."""
        return plan in self._plans and plan not in self._closed

    def of(self, caller: Principal, more: Windows = ()) -> Windows:
        """The windows for a caller of a known plan.

        Args:
            caller: its own limits, if it has any, replace those of its plan.
            more: a rule's windows.
        """
        windows = self._plans[caller.effective_plan] if caller.limits is None else _own(caller.limits)
        return _joined(windows, more) if more else windows

    def for_anyone(self, more: Windows) -> Windows:
        """The windows of a client address on a public path."""
        return _joined(self._anonymous, more) if more else self._anonymous

    def failures(self, address: str | None) -> tuple[tuple[str, Windows], ...]:
        """The subjects and windows that count the failures of an address, the narrowest first; empty if there are
        none."""
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

    def _read(self, limits: Limits, key: str, *, public: bool = False) -> Windows:
        windows, more = _keyed(limits, key), self._more.get(public, 0)
        if len(windows) + more > MOST_WINDOWS:
            raise ConfigurationError(
                f"{len(windows)} windows and the {more} of a rule are more than the {MOST_WINDOWS} that may hold for "
                "one request",
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


def _times(factor: int, windows: Windows) -> Windows:
    return tuple(window._replace(limit=min(MOST, window.limit * factor)) for window in windows)


def _keyed(limits: Limits, key: str, scope: str = "") -> Windows:
    try:
        return parse_limits(limits, scope=scope)
    except ConfigurationError as error:
        raise ConfigurationError(error.reason, key=key) from None
