"""What is stored: keys, and the projects and organizations that they belong to.

A record says what is its own. What a key takes over from its project and organization is read with it and stands
apart, in `Inherited`: so a change there is a change of one row, and no key has to be written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, Literal, NamedTuple, cast, get_args

from .._ground.frozen import FrozenDict, HiddenText

Environment = Literal["production", "staging", "development"]
ENVIRONMENTS: tuple[Environment, ...] = get_args(Environment)
KeyState = Literal["active", "suspended", "revoked", "expired"]
KEY_STATES: tuple[KeyState, ...] = get_args(KeyState)


@dataclass(frozen=True, slots=True)
class SecretHash:
    """A secret at rest.

    Attributes:
        hash: in the hasher's own encoding. Never shown.
        hint: the last 4 characters of the raw key: they pick the one hash to prove, and let people tell keys apart.
        expires_at: when a rotated secret expires, or None.
        quick: a second, quick proof of the same secret (`keys.quick`); None where there is none. Never shown.
    """

    hash: str = field(repr=False)
    hint: str
    expires_at: datetime | None = None
    quick: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "hash", HiddenText(self.hash))
        if self.quick is not None:
            object.__setattr__(self, "quick", HiddenText(self.quick))


class Inherited(NamedTuple):
    """What a key takes over from its project and its organization.

    Attributes:
        plan: the organization's plan; it holds for keys that have none of their own.
        suspended_at: since when its project or its organization is suspended, or None.
    """

    plan: str | None = None
    suspended_at: datetime | None = None


_NOTHING = Inherited()


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who is calling, as the host app sees it: the key's record without its hashes. Times are aware UTC datetimes.

    Attributes:
        id: the public part of the key, 12 characters in the default format.
        name: a label for people.
        organization_id, project_id, owner_id: who the key belongs to; the host's own identifiers, or None.
        environment: ``"production"``, ``"staging"`` or ``"development"``.
        plan: the name of the key's own plan, or None.
        limits: windows that replace the plan's for this key, or None.
        scopes: what the key may do; every scope that a rule asks for must be among them.
        may: the requests that the key may make, as matches of rules (``"GET /v1/*"``); None is every request.
        ip_allowlist: addresses and networks that the key may be used from; None means from anywhere.
        created_at, expires_at, suspended_at, revoked_at, last_used_at: moments in the key's life; None for one that has
            not been set. A suspension can be taken back, a revocation cannot. To a caller with the older secret of a
            rotated key, `expires_at` is the end of that secret.
        metadata: JSON values that the host keeps with the key; immutable.
        inherited: what its project and its organization add.
    """

    id: str
    name: str
    organization_id: str | None = None
    project_id: str | None = None
    owner_id: str | None = None
    environment: Environment = "production"
    plan: str | None = None
    limits: str | None = None
    scopes: tuple[str, ...] = ()
    may: tuple[str, ...] | None = None
    ip_allowlist: tuple[str, ...] | None = None
    created_at: datetime
    expires_at: datetime | None = None
    suspended_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None
    metadata: Mapping[str, Any] = FrozenDict()
    inherited: Inherited = _NOTHING

    @property
    def effective_plan(self) -> str | None:
        """The name of the plan that holds: its own, else its organization's; None for the gate's default plan."""
        return self.inherited.plan if self.plan is None else self.plan

    @property
    def is_suspended(self) -> bool:
        """Whether the key, its project or its organization is suspended."""
        return self.suspended_at is not None or self.inherited.suspended_at is not None

    def is_live(self, now: datetime) -> bool:
        """Whether it is neither revoked nor expired. A suspended key is live: it can be resumed."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    def ended_before(self, moment: datetime) -> bool:
        """Whether it was revoked, or expired, before this moment."""
        ends = (self.revoked_at, self.expires_at)
        return any(end is not None and end < moment for end in ends)

    def state(self, now: datetime) -> KeyState:
        """In which part of its life it is. Of several reasons to refuse it, the one that lasts longest: a revoked key
        is ``"revoked"`` even if it is expired too, and an expired one ``"expired"`` even if it is suspended."""
        if self.revoked_at is not None:
            return "revoked"
        if not self.is_live(now):
            return "expired"
        return "suspended" if self.is_suspended else "active"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey(Principal):
    """The stored record: a principal and at most two hashes (two only while a rotation's grace lasts).

    Attributes:
        hashes: the newest first.
        grace_used_at: when the older of two secrets was used last; None for never, and where there is but one.
        revision: differs after each change of the record, but not after a use. A change is made only if the record is
            still the one that was read.
    """

    hashes: tuple[SecretHash, ...]
    grace_used_at: datetime | None = None
    revision: int = field(default=0, repr=False, compare=False)
    _principal: Principal | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def principal(self) -> Principal:
        """This record without its hashes; made once."""
        if self._principal is None:
            known = {each.name: getattr(self, each.name) for each in fields(Principal)}
            object.__setattr__(self, "_principal", Principal(**known))
        return cast("Principal", self._principal)


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A key that was just made, or made anew. The raw key is here and nowhere else: show it once, then discard it.

    Attributes:
        key: the record.
        secret: the raw key; left out of ``repr``.
        revoked: the ids of the keys that were revoked to make room for it, because its plan says so.
        replaced_at_once: after a rotation, whether a secret that was still in the grace of an earlier rotation ended
            now: a key has two secrets at most.
    """

    key: ApiKey
    secret: str = field(repr=False)
    revoked: tuple[str, ...] = ()
    replaced_at_once: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Organization:
    """Whom keys and projects belong to: it has the plan that they inherit.

    An organization needs no record to have keys. Without one nothing is inherited from it.

    Attributes:
        id: the host's own.
        name: a label for people.
        plan: the name of the plan of all its keys that have none of their own, or None.
        created_at, suspended_at: moments in its life; while it is suspended, so are all its keys.
        revision: as in `ApiKey`.
    """

    id: str
    name: str
    plan: str | None = None
    created_at: datetime
    suspended_at: datetime | None = None
    revision: int = field(default=0, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A part of an organization, with keys of its own.

    Attributes:
        id: the host's own, or made by the gate.
        organization_id: whose it is.
        name: a label for people.
        environment: what its keys are made for, unless they say otherwise.
        created_at, suspended_at: as in `Organization`.
        revision: as in `ApiKey`.
    """

    id: str
    organization_id: str
    name: str
    environment: Environment = "production"
    created_at: datetime
    suspended_at: datetime | None = None
    revision: int = field(default=0, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class IssuedProject:
    """A project that was just made, and its first key.

    Attributes:
        project: the record.
        issued: its key, with the secret.
    """

    project: Project
    issued: IssuedKey


class Purged(NamedTuple):
    """How many records were removed for good, because they had ended long ago.

    Attributes:
        keys: that were revoked, or had expired.
        projects: that had been deleted.
        entries: of the audit.
    """

    keys: int = 0
    projects: int = 0
    entries: int = 0
