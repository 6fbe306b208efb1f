"""Who manages keys, whose keys they may see, and what they may hand on.

A host says so for its own sessions: it makes an `Authority`. For a managing key it follows from the key's record.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal, TypeVar, get_args

from .._ground.checks import check_choice, check_scopes, check_strings
from ..exceptions import ConfigurationError, NotAllowed
from ..keys.changes.fields import check_optional, check_text
from ..model import Principal
from ..rules.grants import Reach
from ..rules.network.addresses import Allowlist
from ..rules.requests.uses import check_uses

T = TypeVar("T")
Right = Literal["keys:read", "keys:manage", "plans:manage", "webhooks:read", "webhooks:manage", "audit:read"]
RIGHTS: tuple[Right, ...] = get_args(Right)
"""What somebody may be allowed to do. A managing key holds them as scopes of these names."""
_HOLDS = {"keys:read": ("keys:manage",), "webhooks:read": ("webhooks:manage",)}


class Everything(enum.Enum):
    """The type of `ALL`."""

    ALL = "all"

    def __repr__(self) -> str:
        return self.name


ALL: Final = Everything.ALL
"""In place of a set: every organization, or every scope."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """Somebody who manages keys.

    Args:
        id: who it is, as the host's own id; of a managing key, its id.
        name: for people; it stands in the audit.
        organization_ids: the organizations that it sees, or `ALL`. Of every other one it learns nothing, not even that
            it exists. Empty: it sees nothing but itself.
        may: which of `RIGHTS` it has. ``"keys:manage"`` holds ``"keys:read"``, and ``"webhooks:manage"`` holds
            ``"webhooks:read"``.
        type: ``"session"`` for a person whom the host has logged in, ``"key"`` for a managing key.
        scopes: what keys may be given. `ALL` is every scope, but for those of `RIGHTS` that it does not have itself.
        networks: keys may be given addresses within these alone; None is anywhere.
        expires_at: keys may not be given a later end; None is any, and none.
        uses: keys may be given a `may` within these matches alone; None is any.
        owner_id: whom the keys belong to that it makes, if nobody says so; a managing key cannot say so.
        project_id: of a managing key, the project that it belongs to.

    Raises:
        ConfigurationError: a value cannot be used.
    """

    id: str
    name: str
    organization_ids: frozenset[str] | Everything
    may: frozenset[str]
    type: Literal["key", "session"] = "session"
    scopes: frozenset[str] | Everything = ALL
    networks: tuple[str, ...] | None = None
    expires_at: datetime | None = None
    uses: tuple[str, ...] | None = None
    owner_id: str | None = None
    project_id: str | None = None

    def __post_init__(self) -> None:
        check_text(self.id, "id")
        check_text(self.name, "name")
        check_choice(self.type, Literal["key", "session"], "type")
        check_optional(self.owner_id, "owner_id")
        check_optional(self.project_id, "project_id")
        checked = {
            "organization_ids": _names(self.organization_ids),
            "may": _rights(self.may),
            "scopes": ALL if self.scopes is ALL else frozenset(check_scopes(self.scopes)),
            "networks": None if self.networks is None else _named("networks", _entries, self.networks),
            "expires_at": _end(self.expires_at),
            "uses": _named("uses", check_uses, self.uses),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    def can(self, right: Right) -> bool:
        """Whether it has this right."""
        return right in self.may or any(wider in self.may for wider in _HOLDS.get(right, ()))

    def require(self, right: Right) -> None:
        """NotAllowed unless it has this right, and an organization or more to use it for."""
        if not self.can(right):
            raise NotAllowed("insufficient_scope", f"this needs {right}", required_scopes=(right,))
        if self.organization_ids is not ALL and not self.organization_ids:
            raise NotAllowed("organization_required", "it belongs to no organization, so there is nothing to manage")

    def sees(self, organization_id: str | None) -> bool:
        """Whether what belongs to this organization is shown to it. What belongs to none is shown to `ALL` alone."""
        return self.organization_ids is ALL or organization_id in self.organization_ids

    def holds_still(self, before: Authority) -> bool:
        """Whether this is who it was, and sees and may do what it did: what was begun may go on."""
        return (self.id, self.type, self.organization_ids) == (before.id, before.type, before.organization_ids) and (
            before.may <= self.may
        )

    @property
    def reach(self) -> Reach:
        """The most that a key may reach that it makes, changes or gets the secret of."""
        lacking = frozenset(right for right in RIGHTS if not self.can(right))
        scopes = None if self.scopes is ALL else self.scopes
        return Reach(scopes, self.networks, self.expires_at, self.uses, lacking)


def authority_of(principal: Principal) -> Authority:
    """What a managing key may do: its own scopes, within its organization, and no more than it is itself.

    With the older secret of a rotated key, its end is that of this secret: so it makes nothing that lasts longer.

    Args:
        principal: who is calling, as ``current().principal`` says.
    """
    organization = principal.organization_id
    return Authority(
        id=principal.id,
        name=principal.name,
        organization_ids=frozenset() if organization is None else frozenset((organization,)),
        may=frozenset(principal.scopes) & frozenset(RIGHTS),
        type="key",
        scopes=frozenset(principal.scopes),
        networks=principal.ip_allowlist,
        expires_at=principal.expires_at,
        uses=principal.may,
        owner_id=principal.owner_id,
        project_id=principal.project_id,
    )


def _names(given: Any) -> frozenset[str] | Everything:
    if isinstance(given, Everything):
        return ALL
    return frozenset(check_text(each, "organization_ids") for each in check_strings(given, "organization_ids"))


def _rights(given: Any) -> frozenset[str]:
    found = frozenset(check_strings(given, "may"))
    if not found <= frozenset(RIGHTS):
        raise ConfigurationError(f"expected some of {', '.join(RIGHTS)}", key="may")
    return found


def _entries(given: Any) -> tuple[str, ...]:
    return Allowlist(given).entries


def _named(name: str, check: Callable[[Any], T], given: Any) -> T:
    """What a check gives that calls this member by another name."""
    try:
        return check(given)
    except ConfigurationError as error:
        raise ConfigurationError(error.reason, key=name) from None


def _end(given: Any) -> datetime | None:
    if given is not None and (not isinstance(given, datetime) or given.utcoffset() is None):
        raise ConfigurationError("expected a datetime with a time zone", key="expires_at")
    return None if given is None else given.astimezone(UTC)
