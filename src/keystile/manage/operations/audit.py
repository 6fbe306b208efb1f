"""What was changed, by whom."""

from __future__ import annotations

from ...gate import Gate
from ...model import AuditEntry
from .calls import Call, check_listed, listed
from .shown import Listed


class AuditOperations:
    """Reads the audit; nothing writes it but the changes themselves.

    Args:
        gate: whose audit it is.
    """

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    async def list(
        self,
        call: Call,
        *,
        organization_id: str | None = None,
        target: str | None = None,
        event: str | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> Listed[AuditEntry]:
        """Entries of the caller's organization, the newest first; the arguments are those of `gate.audit`."""
        call.authority.require("audit:read")
        check_listed(limit)
        found = await call.ask(
            self._gate.audit,
            self._gate.aaudit,
            organization_id=call.organization(organization_id),
            target=target,
            event=event,
            after=after,
            limit=limit + 1,
        )
        return listed(found, limit)
