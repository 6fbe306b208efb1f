"""How many keys a plan allows, and whose are counted together."""

from __future__ import annotations

from typing import Any

from ...policy import Policy
from ...stores import Cap

MEMBERS = {"organization": "organization_id", "project": "project_id", "owner": "owner_id"}


class Caps:
    """The caps of a policy's plans.

    Args:
        policy: the plans.
    """

    def __init__(self, policy: Policy) -> None:
        self._plans, self._default = policy.plans, policy.default_plan

    def become(self, other: Caps) -> None:
        """Hold what these others do from now on, for whoever keeps this object while the policy changes."""
        vars(self).update(vars(other))

    def cap(self, plan: str | None, owners: Any) -> Cap | None:
        """The cap for one more key, or None for no cap.

        Args:
            plan: the name of the plan that holds for it; None for the default plan.
            owners: the key, or a mapping with its members, by which it is counted.
        """
        name = self._default if plan is None else plan
        found = None if name is None else self._plans.get(name)
        if found is None or found.max_keys is None:
            return None
        # In one order, however a plan lists them, so that all lock and count the same subject.
        counted = [member for word, member in MEMBERS.items() if word in found.cap_by]
        values = tuple((member, getattr(owners, member)) for member in counted)
        return Cap(found.max_keys, values, found.when_full == "revoke_oldest", name)
