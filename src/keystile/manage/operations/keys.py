"""Keys: list, get, create, update, rotate, suspend, resume, revoke."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

from ..._ground.checks import check_flag
from ...exceptions import ConfigurationError, ForceRequired, RecordChanged
from ...gate import Gate
from ...keys.changes.fields import UNSET, Unset, checked
from ...model import ApiKey, IssuedKey, KeyState
from .calls import Call, check_listed, listed
from .grants import check_changed, check_held, check_lasts, check_made, check_not_own, check_sizes, with_own_bounds
from .repeats import Repeats
from .seeing import Seeing
from .shown import Listed, MadeKey, ShownKey, shown
from .standing import StandingOperations

T = TypeVar("T")

# How often an operation is decided anew when others change the key meanwhile.
TRIES = 3
# So many pages of so many live keys are looked through for another managing key.
PAGE, MOST_PAGES = 1000, 20
_FIXED = ("organization_id", "owner_id")


class KeyOperations:
    """What can be done with keys.

    Args:
        gate: whose keys they are.
        standing: where a key stands.
    """

    def __init__(self, gate: Gate, standing: StandingOperations) -> None:
        self._keys, self._seeing = gate.keys, Seeing(gate)
        self._repeats = Repeats(gate)
        self.usage, self.standing = standing.usage, standing.windows

    async def list(
        self,
        call: Call,
        *,
        organization_id: str | None = None,
        project_id: str | None = None,
        owner_id: str | None = None,
        live: bool = False,
        state: KeyState | None = None,
        search: str | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> Listed[ShownKey]:
        """Keys, oldest first.

        Args:
            call: who asks.
            organization_id: only its own. A managing key leaves it out; a session says it where it sees several. None
                is all that the caller sees.
            project_id, owner_id, live, state, search: as `gate.keys.list` takes them.
            after: only keys after the one with this id.
            limit: at most this many, 1 to 500.
        """
        call.authority.require("keys:read")
        check_listed(limit)
        organization = call.organization(organization_id)
        if project_id is not None:
            await self._seeing.project(call, project_id)
        if after is not None and not await self._seeing.has_key(call, after):
            return Listed((), has_more=False)
        found = await call.ask(
            self._keys.list,
            self._keys.alist,
            organization_id=organization,
            project_id=project_id,
            owner_id=owner_id,
            live=live,
            state=state,
            search=search,
            after=after,
            limit=limit + 1,
        )
        now = self._seeing.now()
        return listed([shown(each, now) for each in found], limit)

    async def get(self, call: Call, key_id: str) -> ShownKey:
        """One key, with its last use."""
        call.authority.require("keys:read")
        await self._seeing.key(call, key_id)
        return self._shown(await call.ask(self._keys.get, self._keys.aget, key_id))

    async def create(self, call: Call, name: str, *, idempotency_key: str | None = None, **members: Any) -> MadeKey:
        """Make a key, in a project or straight in an organization.

        Args:
            call: who asks.
            name: a label for people.
            idempotency_key: 1 to 255 printable ASCII characters. A second call with the same one, by the same caller,
                makes nothing and gives the key without its secret.
            members: as `gate.keys.create` takes them, but for `id` and `actor`. What is not said of addresses, end and
                requests is as the caller's own; None is without bounds.

        Raises:
            NotFound: there is no such project that the caller sees.
            NotAllowed: the key would hold more than the caller.
            KeyLimitReached: the plan allows no more keys.
            IdempotencyKeyReused: the idempotency key made another one.
        """
        call.authority.require("keys:manage")
        given = await self._placed(call, {"name": name, **members})
        if idempotency_key is not None:
            return await self._repeats.key(call, given, idempotency_key, self._make)
        return await self._make(call, given, None)

    async def update(self, call: Call, key_id: str, *, revision: int | None = None, **changes: Any) -> ShownKey:
        """Change members of a key's record; what is not given stays, None clears.

        Args:
            call: who asks.
            key_id: which key.
            revision: the one that the caller has seen; None for any.
            changes: as `gate.keys.update` takes them.
        """
        call.authority.require("keys:manage")
        for name in _FIXED:
            if name in changes:
                raise ConfigurationError("stays as it was made", key=name)
        check_sizes(changes)
        values = checked(changes, self._seeing.now())
        check_not_own(call, key_id)

        async def work(key: ApiKey) -> ApiKey:
            if values.get("project_id") is not None:
                await self._seeing.project(call, values["project_id"])
            check_changed(call.authority, key, replace(key, **values))
            return await call.ask(
                self._keys.update, self._keys.aupdate, key_id, **values, actor=call.actor, revision=key.revision
            )

        return self._shown(await self._decided(call, key_id, revision, work))

    async def rotate(
        self,
        call: Call,
        key_id: str,
        *,
        grace: float = 0.0,
        expires_at: datetime | Unset | None = UNSET,
        revision: int | None = None,
    ) -> MadeKey:
        """Give a key a new secret; the arguments are those of `gate.keys.rotate`."""
        call.authority.require("keys:manage")
        check_not_own(call, key_id)
        values = checked({"expires_at": expires_at}, self._seeing.now())

        async def work(key: ApiKey) -> IssuedKey:
            check_held(call.authority, key, values.get("expires_at", key.expires_at))
            return await call.ask(
                self._keys.rotate,
                self._keys.arotate,
                key_id,
                grace=grace,
                expires_at=expires_at,
                actor=call.actor,
                revision=key.revision,
            )

        return self._made(await self._decided(call, key_id, revision, work))

    async def suspend(self, call: Call, key_id: str, *, revision: int | None = None) -> ShownKey:
        """Refuse a key until it is resumed."""
        call.authority.require("keys:manage")
        check_not_own(call, key_id)

        async def work(key: ApiKey) -> ApiKey:
            return await call.ask(
                self._keys.suspend, self._keys.asuspend, key_id, actor=call.actor, revision=key.revision
            )

        return self._shown(await self._decided(call, key_id, revision, work))

    async def resume(self, call: Call, key_id: str, *, revision: int | None = None) -> ShownKey:
        """Take a key's suspension back."""
        call.authority.require("keys:manage")
        check_not_own(call, key_id)

        async def work(key: ApiKey) -> ApiKey:
            check_held(call.authority, key, key.expires_at)
            return await call.ask(
                self._keys.resume, self._keys.aresume, key_id, actor=call.actor, revision=key.revision
            )

        return self._shown(await self._decided(call, key_id, revision, work))

    async def revoke(self, call: Call, key_id: str, *, force: bool = False, revision: int | None = None) -> ShownKey:
        """Revoke a key for good. Revoking it twice is no error.

        Args:
            call: who asks.
            key_id: which key.
            force: also the caller's own, if no other key can manage the organization.
            revision: the one that the caller has seen; None for any.

        Raises:
            ForceRequired: it is that one. Whoever revokes another key remains to manage.
        """
        call.authority.require("keys:manage")
        check_flag(force, "force")
        key = await self._seeing.key(call, key_id, revision)
        if call.by_key and key.id == call.authority.id and not force and await self._is_last_manager(call, key):
            raise ForceRequired("no other key could manage the keys of this organization")
        return self._shown(await call.ask(self._keys.revoke, self._keys.arevoke, key_id, actor=call.actor))

    async def _placed(self, call: Call, members: dict[str, Any]) -> dict[str, Any]:
        """The members of a new key with its owner, its organization and its bounds."""
        given = with_own_bounds(call, members)
        if given.get("project_id") is None:
            given["organization_id"] = call.organization(given.get("organization_id"))
            return given
        project = await self._seeing.project(call, given["project_id"])
        if given.get("organization_id") not in {None, project.organization_id}:
            raise ConfigurationError("is not the organization of the project_id", key="organization_id")
        return given | {"organization_id": project.organization_id}

    async def _make(self, call: Call, given: dict[str, Any], key_id: str | None) -> MadeKey:
        now = self._seeing.now()
        check_lasts(call.authority, now)
        check_made(call.authority, checked(given, now))
        return self._made(await call.ask(self._keys.create, self._keys.acreate, **given, id=key_id, actor=call.actor))

    async def _decided(
        self, call: Call, key_id: str, revision: int | None, work: Callable[[ApiKey], Awaitable[T]]
    ) -> T:
        """What an operation gives that is decided on a record, and done only if the record is still that one."""
        for _ in range(TRIES):
            key = await self._seeing.key(call, key_id, revision)
            try:
                return await work(key)
            except RecordChanged:
                continue
        raise RecordChanged("key", key_id)

    async def _is_last_manager(self, call: Call, key: ApiKey) -> bool:
        """Whether no other key in force is known to manage the organization's keys. A guard against a slip: two
        managing keys that revoke each other at the same moment pass it."""
        after: str | None = None
        for _ in range(MOST_PAGES):
            found = await call.ask(
                self._keys.list,
                self._keys.alist,
                organization_id=key.organization_id,
                live=True,
                after=after,
                limit=PAGE,
            )
            if any("keys:manage" in each.scopes and not each.is_suspended and each.id != key.id for each in found):
                return False
            if len(found) < PAGE:
                break
            after = found[-1].id
        return True

    def _shown(self, key: ApiKey) -> ShownKey:
        return shown(key, self._seeing.now())

    def _made(self, issued: IssuedKey) -> MadeKey:
        return MadeKey(
            shown=self._shown(issued.key),
            secret=issued.secret,
            revoked=issued.revoked,
            replaced_at_once=issued.replaced_at_once,
        )
