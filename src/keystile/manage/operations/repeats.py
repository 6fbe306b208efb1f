"""Creation that may be repeated: the same request makes one thing, and shows its secret once.

The id of what is made follows from the idempotency key and from whose it is. So the store's own rule that an id is
given once decides, in every process, and nothing more has to be kept. Whether the request is the same is seen from the
audit, where the creation stands with the record as it was made.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from ...exceptions import IdempotencyKeyReused, IdTaken, InvalidRequest, KeyNotFound, NotFound
from ...gate import Gate
from ...keys.changes.audit import MOST_METADATA, made
from ...keys.changes.fields import checked
from ...keys.changes.making import place
from ...keys.format import ID_LENGTH, base62
from ...model import ApiKey, AuditEntry, Project
from .calls import Call
from .seeing import Seeing
from .shown import MadeKey, MadeProject, shown

MOST = 255
"""So many characters an idempotency key has at most."""
_HEADER = "Idempotency-Key"
# What is in the past now may not have been when the request came first.
_LONG_AGO = datetime.min.replace(tzinfo=UTC)

# So often what another request makes is looked for, and so many seconds lie between.
_LOOKS, _BETWEEN = 10, 0.02

M = TypeVar("M", MadeKey, MadeProject)
MakeKey = Callable[[Call, dict[str, Any], str | None], Awaitable[MadeKey]]
MakeProject = Callable[[str, str], Awaitable[MadeProject]]


class Repeats:
    """Makes things that may have been made before.

    Args:
        gate: where they are made.
    """

    def __init__(self, gate: Gate) -> None:
        self._gate, self._seeing = gate, Seeing(gate)

    async def key(self, call: Call, given: dict[str, Any], text: str, make: MakeKey) -> MadeKey:
        """The key that this request makes, or made before.

        Args:
            call: who asks.
            given: the members of its record, with its organization.
            text: the idempotency key.
            make: makes it with this id.
        """
        self._check(text)
        key_id = _derived("key", call, given["organization_id"], text)
        again = await self._key_again(call, key_id, given)
        if again is not None:
            return again
        try:
            return await make(call, given, key_id)
        except IdTaken:  # the same request, at the same moment
            return await _soon(call, lambda: self._key_again(call, key_id, given))

    async def project(
        self, call: Call, project: Project, given: Mapping[str, Any], text: str, make: MakeProject
    ) -> MadeProject:
        """The project that this request makes, or made before.

        Args:
            call: who asks.
            project: as it is to be made, but for its id.
            given: the members of its first key's record.
            text: the idempotency key.
            make: makes them with these ids.
        """
        self._check(text)
        key_id = _derived("first key", call, project.organization_id, text)
        project_id = f"proj_{_derived('project', call, project.organization_id, text)}"
        again = await self._project_again(call, project_id, key_id, project, given)
        if again is not None:
            return again
        try:
            return await make(project_id, key_id)
        except IdTaken:
            return await _soon(call, lambda: self._project_again(call, project_id, key_id, project, given))

    async def _key_again(self, call: Call, key_id: str, given: Mapping[str, Any]) -> MadeKey | None:
        try:
            key = await self._seeing.key(call, key_id)
        except KeyNotFound:
            return None
        values = checked(given, _LONG_AGO)
        if values.get("project_id") is not None:
            place(values, await self._seeing.project(call, values["project_id"]))
        wanted = ApiKey(id="", hashes=(), created_at=_LONG_AGO, **values)
        await self._check_same(call, "key.create", key_id, wanted)
        if len(json.dumps(wanted.metadata)) > MOST_METADATA and wanted.metadata != key.metadata:
            raise _reused()  # the audit has only the beginning of what was said then
        return MadeKey(shown=shown(key, self._seeing.now()), secret=None, replayed=True)

    async def _project_again(
        self, call: Call, project_id: str, key_id: str, project: Project, given: Mapping[str, Any]
    ) -> MadeProject | None:
        try:
            found = await self._seeing.project(call, project_id)
        except NotFound:
            return None
        await self._check_same(call, "project.create", project_id, project)
        # The key belongs to the project from its first moment on, so this is what it was made with.
        first = await self._key_again(call, key_id, {**given, "project_id": project_id})
        if first is None:
            raise _gone()
        return MadeProject(found, first)

    async def _check_same(self, call: Call, event: str, id: str, record: ApiKey | Project) -> None:
        """IdempotencyKeyReused unless this caller made this record then."""
        found = await call.ask(self._gate.audit, self._gate.aaudit, target=id, event=event, limit=1)
        wanted = made(event, call.actor, _LONG_AGO.replace(year=2000), record)
        if not found or _who(found[0]) != _who(wanted) or _what(found[0]) != _what(wanted):
            raise _reused()

    def _check(self, text: Any) -> None:
        if not isinstance(text, str) or not 1 <= len(text) <= MOST or not text.isascii() or not text.isprintable():
            raise InvalidRequest(f"expected 1 to {MOST} printable ASCII characters", parameter=_HEADER)
        if not self._gate.keys.takes_ids:
            reason = "is not taken here: the ids of this service's keys follow from their secrets; leave it out"
            raise InvalidRequest(reason, parameter=_HEADER)


async def _soon(call: Call, again: Callable[[], Awaitable[M | None]]) -> M:
    """What another process is making: where it has several parts, its id is taken before it is there."""
    for _ in range(_LOOKS):
        found = await again()
        if found is not None:
            return found
        await call.offload.pause(_BETWEEN)
    raise _gone()


def _derived(kind: str, call: Call, organization_id: str | None, text: str) -> str:
    who = call.authority
    parts = json.dumps(["keystile idempotency 1", kind, organization_id, who.type, who.id, text])
    number = int.from_bytes(hashlib.sha256(parts.encode()).digest(), "big")
    return base62(number, ID_LENGTH // 2)


def _reused() -> IdempotencyKeyReused:
    return IdempotencyKeyReused("it was used for another request")


def _gone() -> IdempotencyKeyReused:
    return IdempotencyKeyReused("what it made is gone")


def _who(entry: AuditEntry) -> tuple[str, str | None]:
    return entry.actor.type, entry.actor.id


def _what(entry: AuditEntry) -> str:
    """What was made, but for its secret."""
    return json.dumps({name: value for name, value in (entry.after or {}).items() if name != "hashes"}, sort_keys=True)
