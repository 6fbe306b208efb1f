"""What operations give. Nothing here holds a hash, and a secret is only where it was just made."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from ...model import ApiKey, KeyState, Principal, Project, Usage, UsagePeriod
from ..authority import Authority

if TYPE_CHECKING:
    from ...webhooks.outbox import Delivery

T = TypeVar("T")


class ShownSecret(NamedTuple):
    """A secret that is in force, without anything that proves it.

    Attributes:
        hint: the last 4 characters of the raw key; empty where they are not known.
        expires_at: the end of its grace; None for the newest.
    """

    hint: str
    expires_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownKey:
    """A key, as those who manage it see it.

    Attributes:
        key: its record, without hashes.
        state: in which part of its life it is; suspended also where its project or its organization is.
        secrets: those in force, the newest first.
        grace_used_at: when the older of two secrets was used last, or None.
        revision: differs after each change of the record, but not after a use.
    """

    key: Principal
    state: KeyState
    secrets: tuple[ShownSecret, ...]
    grace_used_at: datetime | None
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeKey:
    """A key that was just made, or got a new secret.

    Attributes:
        shown: the key.
        secret: the raw key, this once; None where it was made before, by the same request.
        replayed: whether the same request made it before. Its secret is not shown again.
        revoked: the ids of the keys that were revoked to make room for it.
        replaced_at_once: whether a secret in its grace ended with this rotation.
    """

    shown: ShownKey
    secret: str | None = field(repr=False)
    replayed: bool = False
    revoked: tuple[str, ...] = ()
    replaced_at_once: bool = False


@dataclass(frozen=True, slots=True)
class MadeProject:
    """A project that was just made, and its first key.

    Attributes:
        project: the project.
        made: its key.
    """

    project: Project
    made: MadeKey


class ShownAttempt(NamedTuple):
    """An attempt to deliver, without what the other side answered: a customer would read with it what a server says
    that only this service can reach.

    Attributes:
        attempt: which one, from 1.
        at: when it had ended.
        status: of the answer, or None if none came.
        error: why none came, in a word, or None.
        seconds: how long it took.
    """

    attempt: int
    at: datetime
    status: int | None
    error: str | None
    seconds: float


class ShownDelivery(NamedTuple):
    """A delivery, and what came of each attempt.

    Attributes:
        delivery: the delivery.
        history: its attempts, the first one first.
    """

    delivery: Delivery
    history: tuple[ShownAttempt, ...]


class Retried(NamedTuple):
    """What is sent once more.

    Attributes:
        retried: how many deliveries.
        has_more: whether there may be more, for another call.
    """

    retried: int
    has_more: bool


@dataclass(frozen=True)
class Listed(Generic[T]):
    """A page of a list.

    Attributes:
        items: what is on it.
        has_more: whether there is more after it.
    """

    items: tuple[T, ...]
    has_more: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Whoami:
    """What callers may know of themselves.

    Attributes:
        authority: who they are and what they may do.
        shown: the key that they call with; None for a session.
        usages: where that key stands in its windows, this request counted.
        used: what it did on each day of this month, in UTC.
    """

    authority: Authority
    shown: ShownKey | None = None
    usages: tuple[Usage, ...] = ()
    used: tuple[UsagePeriod, ...] = ()


def shown(key: ApiKey, now: datetime) -> ShownKey:
    """A record as it is shown."""
    in_force = tuple(
        ShownSecret(each.hint, each.expires_at)
        for each in key.hashes
        if each.expires_at is None or now < each.expires_at
    )
    return ShownKey(
        key=key.principal,
        state=key.state(now),
        secrets=in_force,
        grace_used_at=key.grace_used_at,
        revision=key.revision,
    )
