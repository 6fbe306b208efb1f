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

from typing import TYPE_CHECKING, Any

from ...exceptions import ConfigurationError
from ...gate import Gate
from .audit import AuditOperations
from .calls import Call
from .endpoints import EndpointOperations
from .keys import KeyOperations
from .organizations import OrganizationOperations
from .projects import ProjectOperations
from .shown import Listed, MadeKey, MadeProject, ShownDelivery, ShownKey, ShownSecret, Whoami
from .standing import StandingOperations

if TYPE_CHECKING:
    from ...webhooks.outbox import Outbox

__all__ = [
    "Call",
    "Listed",
    "MadeKey",
    "MadeProject",
    "Operations",
    "ShownDelivery",
    "ShownKey",
    "ShownSecret",
    "Whoami",
]


class Operations:
    """All operations on one gate.

    Args:
        gate: whose keys are managed.
        outbox: where webhook endpoints are kept; None if there is none.

    Raises:
        ConfigurationError: it is no `Outbox`.

    Attributes:
        keys, projects, organizations: what can be done with them, under the names that `gate.keys` and its like have.
        endpoints: what can be done with webhook endpoints; only where there is an outbox.
        audit: lists what was changed.
        whoami: what a caller may do itself, where it stands and what it has used.
    """

    def __init__(self, gate: Gate, outbox: Outbox | None = None) -> None:
        standing = StandingOperations(gate)
        self.keys = KeyOperations(gate, standing)
        self.projects = ProjectOperations(gate)
        self.organizations = OrganizationOperations(gate)
        if outbox is not None:
            self.endpoints = EndpointOperations(_checked(outbox))
        self.audit = AuditOperations(gate).list
        self.whoami = standing.whoami


def _checked(outbox: Any) -> Outbox:
    from ...webhooks.outbox import Outbox

    if not isinstance(outbox, Outbox):
        raise ConfigurationError(f"expected an Outbox, got {type(outbox).__name__}", key="outbox")
    return outbox
