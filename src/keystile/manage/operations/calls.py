"""Who calls an operation, and how what it does is run: the same on both doors."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal, ParamSpec, TypeVar

from ..._sync import Offload, inline
from ...exceptions import ConfigurationError, NotFound
from ...keys.changes.fields import check_optional
from ...model import Actor
from ..authority import ALL, Authority
from .shown import Listed

P = ParamSpec("P")
T = TypeVar("T")

MOST_LISTED = 500
"""So many records a page has at most."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of an operation.

    Attributes:
        authority: who calls.
        offload: how the door runs what blocks: `pooled` from ASGI, `inline` from WSGI.
        client: the address that the request came from, as the gate knows it, or None.
        request_id: of the request, as in its answer, or None.
        via: which way it came.
    """

    authority: Authority
    offload: Offload
    client: str | None = None
    request_id: str | None = None
    via: Literal["management", "dashboard"] = "management"

    @property
    def actor(self) -> Actor:
        """Who the audit says has done it."""
        who = self.authority
        return Actor(who.type, who.id, who.name, self.via, self.client, self.request_id)

    @property
    def by_key(self) -> bool:
        """Whether a managing key calls, and not a person."""
        return self.authority.type == "key"

    def organization(self, given: str | None) -> str | None:
        """The organization that this is about; None for all of them, or for none.

        Args:
            given: the one that the caller names, or None: a managing key has one, and cannot name any.
        """
        own = self.authority.organization_ids
        check_optional(given, "organization_id")
        if given is not None and self.by_key:
            raise ConfigurationError("follows from the key that asks; leave it out", key="organization_id")
        if own is ALL:
            return given
        if given is None and len(own) != 1:
            raise ConfigurationError("say which of your organizations", key="organization_id")
        found = next(iter(own)) if given is None else given
        if found not in own:
            raise NotFound("organization", found)
        return found

    async def ask(
        self, plain: Callable[P, T], awaited: Callable[P, Awaitable[T]], *args: P.args, **named: P.kwargs
    ) -> T:
        """What an operation of the gate gives, by that of its two names which fits this door."""
        if self.offload is inline:
            return plain(*args, **named)
        return await awaited(*args, **named)


def check_listed(limit: int) -> int:
    """How many records a page has; ConfigurationError if they are too many."""
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= MOST_LISTED:
        raise ConfigurationError(f"expected a whole number from 1 to {MOST_LISTED}", key="limit")
    return limit


def listed(found: Sequence[T], limit: int) -> Listed[T]:
    """A page, from one record more than it holds, or from all that there are."""
    return Listed(tuple(found[:limit]), len(found) > limit)
