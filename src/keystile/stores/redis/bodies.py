"""Records as they stand in Redis.

A key's is two lines. The first is the moment at which it was revoked, or ``-``: it can be set even if nobody can read
the rest. The second is JSON: the members as they stand in the columns of a table (`rows`), what is inherited, the token
of its entries (`names.Entry`), and a random number, so that no two writes give the same octets. The revision is a
digest of it all: even a change by hand gives another one.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

from ..._ground.frozen import HiddenBytes
from ...model import ApiKey, AuditEntry, Inherited, Organization, Project
from ..rows import (
    AUDIT_COLUMNS,
    KEY_COLUMNS,
    ORGANIZATION_COLUMNS,
    PROJECT_COLUMNS,
    encoded,
    entry_of,
    entry_row,
    key_of,
    microseconds,
    moment,
    organization_of,
    project_of,
)

_ALIVE = b"-"


class Kept(NamedTuple):
    """A key as it was read: the octets, the record, and the token of its entries."""

    raw: bytes
    key: ApiKey
    token: str


class Owner(NamedTuple):
    """A project as it was read.

    Attributes:
        raw: the octets.
        project: the record.
        deleted_at: when it was deleted, or None.
        first_key: while it is being made, the id of its first key: it is there as soon as that key is; else None.
        ending: the entry that told of its end, and how many were told with it; or None.
    """

    raw: bytes
    project: Project
    deleted_at: datetime | None
    first_key: str | None
    ending: tuple[AuditEntry, int] | None

    @property
    def deleted(self) -> bool:
        """Whether it is no more."""
        return self.deleted_at is not None


def draw() -> str:
    """A token that nobody else has."""
    return secrets.token_hex(8)


def key_text(key: ApiKey, token: str) -> bytes:
    """A key's record."""
    members = _members(key, (name for name in KEY_COLUMNS if name != "revoked_at"))
    members["inherited"] = [key.inherited.plan, microseconds(key.inherited.suspended_at)]
    revoked = microseconds(key.revoked_at)
    head = _ALIVE if revoked is None else b"%d" % revoked
    return HiddenBytes(b"%s\n%s" % (head, _text(members | {"token": token})))


def is_revoked(raw: bytes) -> bool:
    """Whether a key's record says so, readable or not."""
    head, end, _ = raw.partition(b"\n")
    return bool(end) and head.removeprefix(b"-").isdigit()


def revoked_text(raw: bytes, at: Any) -> bytes:
    """A key's record, revoked at this moment."""
    head, _, rest = raw.partition(b"\n")
    return HiddenBytes(f"{microseconds(at)}\n".encode() + (rest if head == _ALIVE else raw))


def read_key(raw: bytes) -> Kept:
    """The key in these octets. Whatever this raises, it cannot be read."""
    head, _, rest = raw.partition(b"\n")
    values = json.loads(rest) | {"revoked_at": None if head == _ALIVE else int(head)}
    plan, suspended_at = values["inherited"]
    key = key_of(_revision(raw), [values[name] for name in KEY_COLUMNS], plan, suspended_at)
    if not isinstance(values["token"], str):
        raise TypeError
    return Kept(raw, key, values["token"])


def project_text(
    project: Project, *, first_key: str | None = None, deleted_at: Any = None, told: tuple[AuditEntry, ...] = ()
) -> bytes:
    """A project's record."""
    members = _members(project, PROJECT_COLUMNS)
    members |= {"first_key": first_key, "deleted_at": microseconds(deleted_at)}
    members["ending"] = [entry_text(told[0]).decode(), len(told)] if told else None
    return _text(members)


def read_project(raw: bytes) -> Owner:
    """The project in these octets; raises likewise."""
    values = json.loads(raw)
    project = project_of([_revision(raw), *(values[name] for name in PROJECT_COLUMNS)])
    ending = values["ending"] and (read_entry(values["ending"][0]), values["ending"][1])
    return Owner(raw, project, moment(values["deleted_at"]), values["first_key"], ending)


def organization_text(organization: Organization) -> bytes:
    """An organization's record."""
    return _text(_members(organization, ORGANIZATION_COLUMNS))


def read_organization(raw: bytes) -> Organization:
    """The organization in these octets; raises likewise."""
    values = json.loads(raw)
    return organization_of([_revision(raw), *(values[name] for name in ORGANIZATION_COLUMNS)])


def entry_text(entry: AuditEntry) -> bytes:
    """An audit entry."""
    return json.dumps(entry_row(entry)).encode()


def read_entry(raw: bytes | str) -> AuditEntry:
    """The audit entry in these octets."""
    row = json.loads(raw)
    if len(row) != len(AUDIT_COLUMNS):
        raise TypeError
    return entry_of(row)


def with_uses(key: ApiKey, used: bytes | None, graced: bytes | None) -> ApiKey:
    """The record with its last uses as they are now."""
    return replace(key, last_used_at=read_use(used), grace_used_at=read_use(graced))


def read_use(found: bytes | None) -> Any:
    """The moment of a use."""
    return moment(None if found is None else int(found))


def inherited(organization: Organization | None, project: Project | None) -> Inherited:
    """What a key takes over from these."""
    since = [each.suspended_at for each in (organization, project) if each is not None and each.suspended_at]
    return Inherited(None if organization is None else organization.plan, min(since, default=None))


def _members(record: Any, names: Iterable[str]) -> dict[str, Any]:
    return {name: encoded(name, getattr(record, name)) for name in names}


def _text(members: dict[str, Any]) -> bytes:
    return json.dumps(members | {"drawn": draw()}).encode()


def _revision(raw: bytes) -> int:
    return int(hashlib.sha1(raw, usedforsecurity=False).hexdigest()[:15], 16)
