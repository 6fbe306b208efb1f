"""What of a policy can change while the gate serves, and who follows when it does.

A change is prepared whole before anything is changed: the policy is read, and every door makes ready what it writes and
reads with. What then takes place is one assignment for each of them. A request that has begun ends as it began; the
next one meets the new policy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any, NamedTuple, Protocol

from ..exceptions import ConfigurationError
from ..policy import Policy

CHANGEABLE = (
    *("public", "rules", "plans", "default_plan", "anonymous_limits", "failure_limits"),
    *("allow", "deny", "enforce"),
)
"""The settings of a policy that can change while it holds. The others are built into doors, stores and connections."""


class Turn(NamedTuple):
    """The two steps of a follower, neither of which can fail.

    Attributes:
        leave: what it does now belongs to the past: it keeps to the gate as it was.
        enter: it works by the gate, which holds the new policy by then.
    """

    leave: Callable[[], None]
    enter: Callable[[], None]


class Follower(Protocol):
    """Whoever works by a gate's policy and keeps what follows from it."""

    def under(self, later: Any, past: Any) -> Turn:
        """Make ready for another policy.

        Args:
            later: the `Gate` as it will be.
            past: the gate as it is.

        Raises:
            ConfigurationError: it cannot serve by this policy.
        """


def changes(before: Policy, after: Policy) -> tuple[str, ...]:
    """The settings that differ.

    Raises:
        ConfigurationError: one of them cannot change while the gate serves.
    """
    differing = [each.name for each in fields(Policy) if getattr(before, each.name) != getattr(after, each.name)]
    fixed = [name for name in differing if name not in CHANGEABLE]
    if fixed:
        raise ConfigurationError(cannot_change(fixed), key=fixed[0])
    return tuple(differing)


def cannot_change(names: list[str]) -> str:
    """The reason for which nothing was changed."""
    listed = f" (so do {', '.join(names[1:])})" if names[1:] else ""
    return f"a change of it needs a restart{listed}; without one these can change: {', '.join(CHANGEABLE)}"
