"""Which windows hold for a caller, and who is counted together."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from .._checks import known
from ..exceptions import ConfigurationError
from ..model import Principal, Window
from ..policy import Limits, Policy
from .notation import check_windows, parse_limits
from .subjects import subject

Windows = tuple[Window, ...]


class Quotas:
    """The plans of a policy, with their windows read.

    Args:
        policy: the settings.
        costs: what requests may cost, by the rules.

    Raises:
        ConfigurationError: a notation cannot be read, or a cost would never fit a plan.
    """

    def __init__(self, policy: Policy, costs: Iterable[int]) -> None:
        self._dearest = max(costs, default=1)
        self._by = policy.limit_by
        self._plans: dict[str | None, Windows] = {None: ()}
        for name, plan in policy.plans.items():
            self._plans[name] = self._read(plan.limits, f"plans.{name}.limits")
        if policy.default_plan is not None:
            self._plans[None] = self._plans[policy.default_plan]
        self._anonymous = self._read(policy.anonymous_limits, "anonymous_limits")
        # A scope of their own, which no rule can have: then an address is one subject, and one anonymous place.
        self.failures = _keyed(policy.failure_limits, "failure_limits", scope="failures")

    def check_key(self, plan: str | None, limits: Limits) -> None:
        """ConfigurationError unless a key may have this plan and these limits."""
        if plan not in self._plans:
            names = [name for name in self._plans if name is not None]
            raise ConfigurationError(f"there is no plan {plan!r}; {known(names, str(plan))}", key="plan")
        self._read(limits, "limits")

    def knows(self, plan: str | None) -> bool:
        """Whether this plan is one of the policy's; of another, nothing says what its keys may do."""
        return plan in self._plans

    def of(self, caller: Principal, more: Windows = ()) -> Windows:
        """The windows for a caller of a known plan.

        Args:
            caller: whose limits, if it has its own, replace its plan's.
            more: a rule's windows.
        """
        windows = self._plans[caller.plan] if caller.limits is None else _own(caller.limits)
        return _joined(windows, more) if more else windows

    def for_anyone(self, more: Windows) -> Windows:
        """The windows of a client address on a public path."""
        return _joined(self._anonymous, more) if more else self._anonymous

    def subject(self, caller: Principal) -> str:
        """The name under which the caller's requests are counted."""
        if self._by == "organization" and caller.organization_id is not None:
            return subject("organization", caller.organization_id)
        if self._by == "project" and caller.project_id is not None:
            return subject("project", caller.project_id)
        return subject("key", caller.id)

    def _read(self, limits: Limits, key: str) -> Windows:
        windows = _keyed(limits, key)
        try:
            check_windows(windows, self._dearest)
        except ConfigurationError as error:
            raise ConfigurationError(f"a rule's cost of {error.reason}", key=key) from None
        return windows


_own = lru_cache(maxsize=4096)(parse_limits)


@lru_cache(maxsize=4096)
def _joined(windows: Windows, more: Windows) -> Windows:
    return windows + more


def _keyed(limits: Limits, key: str, scope: str = "") -> Windows:
    try:
        return parse_limits(limits, scope=scope)
    except ConfigurationError as error:
        raise ConfigurationError(error.reason, key=key) from None
