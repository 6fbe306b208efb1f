"""Which windows hold for a caller, and who is counted together."""

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

# How often the budget of one network the next wider ones have: each holds 256 of those before. Eight of them may be at
# their worst before their neighbours are held to account, and whoever has a /48 gains 64 times, not 65,536 times.
WIDER = (1, 8, 64)


class Quotas:
    """The plans of a policy, with their windows read.

    Args:
        policy: the settings.
        costs: what requests may cost, by the rules.
        windows: how many windows the rules may add on public paths (True) and on others (False).

    Raises:
        ConfigurationError: a notation cannot be read, a cost would never fit a plan, or a request could meet more
            windows than may hold together.
    """

    def __init__(self, policy: Policy, costs: Iterable[int], windows: Mapping[bool, int] | None = None) -> None:
        self._dearest = max(costs, default=1)
        self._more = windows or {}
        self._by = policy.limit_by
        self._plans: dict[str | None, Windows] = {None: ()}
        for name, plan in policy.plans.items():
            self._plans[name] = self._read(plan.limits, f"plans.{name}.limits")
        if policy.default_plan is not None:
            self._plans[None] = self._plans[policy.default_plan]
        self._anonymous = self._read(policy.anonymous_limits, "anonymous_limits", public=True)
        # A scope of their own, which no rule can have: then an address is one subject, and one anonymous place.
        failures = _keyed(policy.failure_limits, "failure_limits", scope="failures")
        self._failures = [_times(factor, failures) for factor in WIDER] if failures else []

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

    def failures(self, address: str | None) -> tuple[tuple[str, Windows], ...]:
        """Where the failures of an address are counted, by subject, the narrowest first; nothing if nowhere."""
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
