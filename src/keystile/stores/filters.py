"""Which records a list is to hold."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, NamedTuple

from ..model import ApiKey, KeyState

_OWNERS = ("organization_id", "project_id", "owner_id")


class KeyFilter(NamedTuple):
    """Which keys to list; None does not filter.

    Attributes:
        organization_id, project_id, owner_id: only theirs.
        state: only those that are in this state at this moment (`ApiKey.state`); ``"live"`` is active or suspended.
            A key whose project or organization is suspended is suspended.
        search: only those of which a part of the name, or the beginning of the id, or a whole hint is this text. In the
            name, letters are the same in any case: those of A to Z in every store, others as the database knows them.
            Nothing in the text stands for anything else.
    """

    organization_id: str | None = None
    project_id: str | None = None
    owner_id: str | None = None
    state: tuple[KeyState | Literal["live"], datetime] | None = None
    search: str | None = None

    def fits(self, key: ApiKey) -> bool:
        """Whether this key is to be listed, as stores find out that have no queries."""
        if not all(getattr(self, name) in {None, getattr(key, name)} for name in _OWNERS):
            return False
        if self.state is not None:
            state, at = self.state
            if not key.is_live(at) if state == "live" else key.state(at) != state:
                return False
        return self.search is None or (
            self.search.casefold() in key.name.casefold()
            or key.id.startswith(self.search)
            or any(each.hint == self.search for each in key.hashes)
        )


class AuditFilter(NamedTuple):
    """Which entries to list; None does not filter.

    Attributes:
        organization_id: only its own.
        target: only those that have a target with this id.
        event: only this event.
    """

    organization_id: str | None = None
    target: str | None = None
    event: str | None = None
