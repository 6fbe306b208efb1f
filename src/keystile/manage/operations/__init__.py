"""What can be managed, and how: every rule about it stands here, so that each door and each page keeps all of them.

Every operation is one coroutine whose first argument is the `Call`: who asks, and how this door runs what blocks. It
runs on both doors. What it gives holds no hash, and a secret only where it was just made. What the caller may not see
is answered exactly like what never existed, after the same calls of the store.

An operation raises what the gate's own operation of that name raises, and

- NotAllowed: the caller lacks a right, or would get or hand on more than it holds;
- NotFound: there is no such thing that it may see;
- ConfigurationError: a value cannot be used; its `key` names the member.
"""

from __future__ import annotations

from ...gate import Gate
from .audit import AuditOperations
from .calls import Call
from .keys import KeyOperations
from .organizations import OrganizationOperations
from .projects import ProjectOperations
from .shown import Listed, MadeKey, MadeProject, ShownKey, ShownSecret, Whoami
from .standing import StandingOperations

__all__ = ["Call", "Listed", "MadeKey", "MadeProject", "Operations", "ShownKey", "ShownSecret", "Whoami"]


class Operations:
    """All operations on one gate.

    Args:
        gate: whose keys are managed.

    Attributes:
        keys, projects, organizations: what can be done with them, under the names that `gate.keys` and its like have.
        audit: lists what was changed.
        whoami: what a caller may do itself, where it stands and what it has used.
    """

    def __init__(self, gate: Gate) -> None:
        standing = StandingOperations(gate)
        self.keys = KeyOperations(gate, standing)
        self.projects = ProjectOperations(gate)
        self.organizations = OrganizationOperations(gate)
        self.audit = AuditOperations(gate).list
        self.whoami = standing.whoami
