"""What a service does with its organizations: create, get, list, update, set_plan, suspend, resume."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from .._sync import Offload
from ..model import Actor, Organization
from ..rules.limits.quotas import Quotas
from .changes.audit import check_actor, made
from .changes.fields import UNSET, Unset, check_optional, check_page, check_text
from .changes.records import Records, asked
from .changes.twins import awaited, blocking


class Organizations:
    """The organizations of one store; `gate.organizations` is one. Its operations raise as those of `gate.keys`."""

    def __init__(self, records: Records, quotas: Quotas) -> None:
        self._records, self._quotas = records, quotas
        self.needs_await = records.needs_await
        """Whether the store is async, so that only the async twins work."""

    async def _create(
        self, offload: Offload, id: str, *, name: str | None = None, plan: str | None = None, actor: Actor | None = None
    ) -> Organization:
        """Keep an organization. Keys and projects that name it already belong to it from now on.

        Args:
            id: the host's own id for it.
            name: a label for people; None takes the id.
            plan: the plan of its keys that have none of their own.
            actor: who makes it.

        Raises:
            IdTaken: there is one with this id.
        """
        self._quotas.check_key(check_optional(plan, "plan"), None)
        who, at = check_actor(actor), self._records.now()
        label = check_text(id, "id") if name is None else check_text(name, "name")
        organization = Organization(id=check_text(id, "id"), name=label, plan=plan, created_at=at)
        entries = (made("organization.create", who, at, organization),)
        written = await self._records.write(offload, "add_organization", organization, entries)
        return cast("Organization", written.record)

    async def _get(self, offload: Offload, organization_id: str) -> Organization:
        """The organization with this id; NotFound if there is none."""
        found = await self._records.found(offload, "organization", check_text(organization_id, "organization_id"))
        return cast("Organization", found)

    async def _list(self, offload: Offload, *, after: str | None = None, limit: int = 100) -> Sequence[Organization]:
        """Organizations, oldest first; `after` and `limit` as for `gate.projects.list`."""
        wanted = check_optional(after, "after"), check_page(limit)
        return cast("Sequence[Organization]", await self._records.call(offload, "list_organizations", *wanted))

    async def _update(
        self,
        offload: Offload,
        organization_id: str,
        *,
        name: str | Unset = UNSET,
        actor: Actor | None = None,
        revision: int | None = None,
    ) -> Organization:
        """Change an organization's name.

        Raises:
            NotFound: there is no such organization.
            RecordChanged: it has another revision than the given one.
        """
        changes = {} if name is UNSET else {"name": check_text(name, "name")}
        found = await self._records.set(
            offload, asked("organization", organization_id, "update", actor, revision), changes
        )
        return cast("Organization", found)

    async def _set_plan(
        self,
        offload: Offload,
        organization_id: str,
        plan: str | None,
        *,
        actor: Actor | None = None,
        revision: int | None = None,
    ) -> Organization:
        """Give an organization another plan, or with None none: it holds for the next request of each of its keys that
        have no plan of their own. Keys beyond the new plan's cap stay; only new ones are refused.

        Raises:
            NotFound: there is no such organization.
            RecordChanged: it has another revision than the given one.
        """
        self._quotas.check_key(check_optional(plan, "plan"), None)
        wanted = asked("organization", organization_id, "plan", actor, revision)
        found = await self._records.set(offload, wanted, {"plan": plan})
        return cast("Organization", found)

    async def _suspend(self, offload: Offload, organization_id: str, *, actor: Actor | None = None) -> Organization:
        """Refuse all its keys from the next request on, until it is resumed; NotFound if there is no such one."""
        wanted = asked("organization", organization_id, "suspend", actor)
        found = await self._records.suspend(offload, wanted)
        return cast("Organization", found)

    async def _resume(self, offload: Offload, organization_id: str, *, actor: Actor | None = None) -> Organization:
        """Take a suspension back; NotFound if there is no such organization."""
        changes = {"suspended_at": None}
        return cast(
            "Organization",
            await self._records.set(offload, asked("organization", organization_id, "resume", actor), changes),
        )

    create, acreate = blocking(_create), awaited(_create)
    get, aget = blocking(_get), awaited(_get)
    list, alist = blocking(_list), awaited(_list)
    update, aupdate = blocking(_update), awaited(_update)
    set_plan, aset_plan = blocking(_set_plan), awaited(_set_plan)
    suspend, asuspend = blocking(_suspend), awaited(_suspend)
    resume, aresume = blocking(_resume), awaited(_resume)
