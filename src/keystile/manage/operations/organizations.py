"""Organizations: get, and set the plan."""

from __future__ import annotations

from ...exceptions import ConfigurationError
from ...gate import Gate
from ...model import Organization
from .calls import Call


class OrganizationOperations:
    """What can be done with organizations.

    Args:
        gate: whose organizations they are.
    """

    def __init__(self, gate: Gate) -> None:
        self._organizations = gate.organizations

    async def get(self, call: Call, organization_id: str | None = None) -> Organization:
        """The caller's organization, or of a session's the one with this id; NotFound if there is no record of it."""
        call.authority.require("keys:read")
        wanted = self._named(call, organization_id)
        return await call.ask(self._organizations.get, self._organizations.aget, wanted)

    async def set_plan(
        self, call: Call, plan: str | None, *, organization_id: str | None = None, revision: int | None = None
    ) -> Organization:
        """Give an organization another plan, or with None none, as `gate.organizations.set_plan`."""
        call.authority.require("plans:manage")
        wanted = self._named(call, organization_id)
        return await call.ask(
            self._organizations.set_plan,
            self._organizations.aset_plan,
            wanted,
            plan,
            actor=call.actor,
            revision=revision,
        )

    @staticmethod
    def _named(call: Call, organization_id: str | None) -> str:
        found = call.organization(organization_id)
        if found is None:
            raise ConfigurationError("say which organization", key="organization_id")
        return found
