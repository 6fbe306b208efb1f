"""What a service does with its keys: create, get, list, update, rotate, suspend, resume, revoke.

What a member of a record must be is in `fields`, how a key is made in `making`, what a rotation does in `rotation`, how
many keys there may be in `caps`, how keys that exist already are brought in in `existing.ring`. Here is what each
operation checks and writes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, cast

from .._sync import Offload
from ..exceptions import KeyNotActive, UnreadableRecord
from ..model import Actor, ApiKey, AuditEntry, Environment, IssuedKey, KeyState
from ..policy import Limits
from ..rules.limits.quotas import Quotas
from ..stores import Written
from .changes.audit import changed, check_actor, made
from .changes.fields import UNSET, Unset, check_optional, check_page, check_seconds, check_text, checked, without
from .changes.making import Maker, place
from .changes.records import Asked, Change, Records, asked
from .changes.rotation import rotated
from .changes.twins import awaited, blocking
from .existing.ring import KnownKeys
from .lists import wanted_keys
from .usage.reading import UsageReader

# What decides against which cap a key counts.
_COUNTED = frozenset(("plan", "project_id", "organization_id"))


class KeyRing(KnownKeys):
    """The keys of one store; `gate.keys` is one.

    Every operation raises StoreUnavailable if the store does not answer, and ConfigurationError if an argument is
    wrong. Whatever is written is told in the audit; `actor` says there who did it, and None stands for the service
    itself.
    """

    def __init__(self, records: Records, maker: Maker, quotas: Quotas, reader: UsageReader, max_grace: float) -> None:
        super().__init__(records, maker)
        self._quotas, self._max_grace = quotas, max_grace
        self.usage, self.ausage = reader.usage, reader.ausage
        self.takes_ids = maker.takes_ids
        """Whether `create` may be given an id."""

    async def _create(
        self,
        offload: Offload,
        name: str,
        *,
        organization_id: str | None = None,
        project_id: str | None = None,
        owner_id: str | None = None,
        environment: Environment | Unset = UNSET,
        plan: str | None = None,
        limits: Limits = None,
        scopes: Sequence[str] = (),
        may: Sequence[str] | None = None,
        ip_allowlist: Sequence[str] | None = None,
        expires_at: datetime | None = None,
        metadata: Mapping[str, Any] | None = None,
        id: str | None = None,
        actor: Actor | None = None,
    ) -> IssuedKey:
        """Make a key. Its secret is in the answer, this once.

        Args:
            name: a label for people, 1 to 200 characters.
            organization_id, owner_id: to whom it belongs, as the host's own ids.
            project_id: one of `gate.projects`; the key then belongs to the project's organization.
            environment: shown in the key's prefix; by default that of its project, or else ``"production"``.
            plan: one of the gate's plans; None for its organization's, or else the default.
            limits: windows that replace the plan's, ``"60/minute; 5000/day"``.
            scopes: what it may do (RFC 6749 section 3.3).
            may: the requests that it may make, as matches of rules: ``["GET /v1/*"]``; ``WS /path`` for a websocket.
                None is everything.
            ip_allowlist: addresses or CIDR networks that it may be used from. None is unrestricted; an empty list is
                refused.
            expires_at: an aware datetime in the future, or None for never.
            metadata: JSON values to keep with it, at most 16 KiB and 32 levels of containers.
            id: the public part of the key, as `key_format` has it; None draws one.
            actor: who makes it.

        Raises:
            NotFound: there is no such project.
            IdTaken: there is a key with this id.
            KeyLimitReached: the plan allows no more keys.
            Overloaded: too much hashing is under way.
        """
        given = without(locals(), "self", "offload", "actor", "id")
        who, at = check_actor(actor), self._records.now()
        draft = await self._maker.draft(offload, given, at, id=id)
        entries = (made("key.create", who, at, draft.key),)
        return draft.issued(await self._records.write(offload, "add", draft.key, entries, draft.cap))

    async def _get(self, offload: Offload, key_id: str, *, uses: bool = True) -> ApiKey:
        """The record with this id.

        Args:
            key_id: which key.
            uses: whether to ask when it was used last; without that, `last_used_at` may be of an earlier use.

        Raises:
            KeyNotFound: there is none.
        """
        key: ApiKey = await self._records.found(offload, "key", check_text(key_id, "key_id"))
        if not uses or not self._records.has("last_used"):
            return key
        used, graced = [await self._records.call(offload, "last_used", key_id, graced) for graced in (False, True)]
        return replace(key, last_used_at=used, grace_used_at=graced)

    async def _list(
        self,
        offload: Offload,
        *,
        organization_id: str | None = None,
        project_id: str | None = None,
        owner_id: str | None = None,
        live: bool = False,
        state: KeyState | None = None,
        search: str | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> Sequence[ApiKey]:
        """Records, oldest first. Those that cannot be read are left out, and told as an event.

        Args:
            organization_id, project_id, owner_id: only theirs.
            live: only those that are neither revoked nor expired.
            state: only those that are ``"active"``, ``"suspended"``, ``"revoked"`` or ``"expired"`` now. A key whose
                project or organization is suspended is suspended; a revoked one is revoked, whatever else it is.
            search: only those whose name holds this text, in any case of its letters, or whose id begins with it, or
                whose key ends with these 4 characters; 1 to 200 printable characters, each of which stands for itself.
            after: only keys after the one with this id, the last one of the previous page.
            limit: at most this many, 1 to 1000.
        """
        asked = {"organization_id": organization_id, "project_id": project_id, "owner_id": owner_id, "search": search}
        wanted = wanted_keys(asked, state, live, self._records.now())
        found = await self._records.call(offload, "list", wanted, check_optional(after, "after"), check_page(limit))
        return cast("Sequence[ApiKey]", found)

    async def _update(
        self,
        offload: Offload,
        key_id: str,
        *,
        name: str | Unset = UNSET,
        project_id: str | Unset | None = UNSET,
        environment: Environment | Unset = UNSET,
        plan: str | Unset | None = UNSET,
        limits: Limits | Unset = UNSET,
        scopes: Sequence[str] | Unset = UNSET,
        may: Sequence[str] | Unset | None = UNSET,
        ip_allowlist: Sequence[str] | Unset | None = UNSET,
        expires_at: datetime | Unset | None = UNSET,
        metadata: Mapping[str, Any] | Unset | None = UNSET,
        actor: Actor | None = None,
        revision: int | None = None,
    ) -> ApiKey:
        """Change members of a key's record; they hold from the next request on. What is not given stays; None clears.

        Args:
            key_id: which key.
            name, project_id, environment, plan, limits, scopes, may, ip_allowlist, expires_at, metadata: as for
                `create`. A key that moves to another project becomes that organization's.
            actor: who changes it.
            revision: the `ApiKey.revision` that the change was worked out from; None for any.

        Raises:
            KeyNotFound, NotFound: there is no such key, or no such project.
            KeyNotActive: the key is revoked or expired. Neither can be taken back.
            KeyLimitReached: by its new plan or project it is one too many.
            RecordChanged: it has another revision.
        """
        given = without(locals(), "self", "offload", "key_id", "actor", "revision")
        values = checked(given, self._records.now())

        async def work(key: ApiKey, _now: datetime) -> Mapping[str, Any]:
            changes = dict(values)
            project = await self._maker.project(offload, changes.get("project_id"))
            if project is not None:
                changes.setdefault("environment", key.environment)
                place(changes, project)
            if changes.keys() & {"plan", "limits"}:
                self._quotas.check_key(changes.get("plan", key.plan), changes.get("limits", key.limits))
            return changes

        return await self._change(offload, asked("key", key_id, "update", actor, revision), work)

    async def _rotate(
        self,
        offload: Offload,
        key_id: str,
        *,
        grace: float = 0.0,
        expires_at: datetime | Unset | None = UNSET,
        actor: Actor | None = None,
        revision: int | None = None,
    ) -> IssuedKey:
        """Give a key a new secret. The key keeps its id and everything else.

        A key has two secrets at most: a rotation during the grace of an earlier one ends the oldest at once, and
        `IssuedKey.replaced_at_once` says so.

        Args:
            key_id: which key.
            grace: for how many seconds the secret before it remains valid, but not beyond the key's own end; 0 ends it
                now.
            expires_at: a new end for the key, or None for no end; what is not given stays.
            actor: who does it.
            revision: the `ApiKey.revision` that this was decided on; None for any.

        Raises:
            KeyNotFound: there is no such key.
            KeyNotActive: it is revoked or expired.
            RecordChanged: it has another revision, or others go on changing it.
            Overloaded: too much hashing is under way.
        """
        seconds = check_seconds(grace, self._max_grace, "grace")
        values = checked({"expires_at": expires_at}, self._records.now())
        minted: list[Any] = []

        async def work(key: ApiKey, now: datetime) -> Mapping[str, Any]:
            raw, _, new = await self._maker.mint(offload, key)
            hashes, cut = rotated(key.hashes, new, now, seconds, key.expires_at)
            minted[:] = raw, cut
            return {**values, "hashes": hashes, "grace_used_at": None}

        key = await self._change(offload, asked("key", key_id, "rotate", actor, revision), work)
        raw, cut = minted
        return IssuedKey(key, raw.plain, replaced_at_once=cut)

    async def _suspend(
        self, offload: Offload, key_id: str, *, actor: Actor | None = None, revision: int | None = None
    ) -> ApiKey:
        """Refuse a key from the next request on, in every process, until it is resumed. Suspending it twice is no
        error. Raises KeyNotFound, KeyNotActive and RecordChanged, as `update`."""

        async def work(key: ApiKey, now: datetime) -> Mapping[str, Any]:
            return {"suspended_at": key.suspended_at or now}

        return await self._change(offload, asked("key", key_id, "suspend", actor, revision), work)

    async def _resume(
        self, offload: Offload, key_id: str, *, actor: Actor | None = None, revision: int | None = None
    ) -> ApiKey:
        """Take a suspension back. Raises as `suspend`."""

        async def work(_key: ApiKey, _now: datetime) -> Mapping[str, Any]:
            return {"suspended_at": None}

        return await self._change(offload, asked("key", key_id, "resume", actor, revision), work)

    async def _revoke(self, offload: Offload, key_id: str, *, actor: Actor | None = None) -> ApiKey:
        """Revoke a key for good: it is refused from the next request on, in every process. Revoking it twice is no
        error.

        Raises:
            KeyNotFound: there is no such key.
            UnreadableRecord: it is revoked, but its record cannot be read.
        """
        who, at = check_actor(actor), self._records.now()
        entry = await self._revocation(offload, check_text(key_id, "key_id"), who, at)
        written = await self._records.write(offload, "revoke", key_id, at, (entry,))
        return cast("ApiKey", written.record)

    async def _revocation(self, offload: Offload, key_id: str, who: Actor, at: datetime) -> AuditEntry:
        """What is told of a revocation; of a record that cannot be read only its id."""
        try:
            key: ApiKey = await self._records.found(offload, "key", key_id)
        except UnreadableRecord:
            key = ApiKey(id=key_id, name=key_id, created_at=at, hashes=())
        return changed("key.revoke", who, at, key, {"revoked_at": at})

    async def _change(self, offload: Offload, wanted: Asked, work: Change) -> ApiKey:
        """Change a live key, within its cap where that depends on the change."""

        async def of_live(key: ApiKey, now: datetime) -> Mapping[str, Any]:
            if not key.is_live(now):
                raise KeyNotActive(key.id, "expired" if key.revoked_at is None else "revoked")
            return await work(key, now)

        async def write(key: ApiKey, changes: Mapping[str, Any], entries: tuple[AuditEntry, ...]) -> Written:
            cap = await self._maker.cap(offload, replace(key, **changes)) if _COUNTED & changes.keys() else None
            return await self._records.write(offload, "update", key.id, key.revision, changes, entries, cap)

        return cast("ApiKey", await self._records.change(offload, wanted, of_live, write))

    create, acreate = blocking(_create), awaited(_create)
    get, aget = blocking(_get), awaited(_get)
    list, alist = blocking(_list), awaited(_list)
    update, aupdate = blocking(_update), awaited(_update)
    rotate, arotate = blocking(_rotate), awaited(_rotate)
    suspend, asuspend = blocking(_suspend), awaited(_suspend)
    resume, aresume = blocking(_resume), awaited(_resume)
    revoke, arevoke = blocking(_revoke), awaited(_revoke)
