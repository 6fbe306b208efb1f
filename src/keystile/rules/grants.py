"""What a key can reach, and whether that is more than somebody holds: nobody grants more than they hold.

Each part is compared on its own. What two entries of a list hold only together counts as more than either of them.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from ..model import Principal
from .network.addresses import Allowlist
from .requests.uses import confined

# So many names a reason has, and so much of each.
_FEW, _SHOWN = 5, 64


class Reach(NamedTuple):
    """What a key can reach, or what somebody may hand on.

    Attributes:
        scopes: these, or None for every scope.
        networks: it is used from these alone, or None for anywhere.
        ends: when it ends, or None for never.
        uses: the requests that it may make, as matches of rules, or None for all.
        lacking: scopes that are not held even though `scopes` is None.
    """

    scopes: frozenset[str] | None = None
    networks: tuple[str, ...] | None = None
    ends: datetime | None = None
    uses: tuple[str, ...] | None = None
    lacking: frozenset[str] = frozenset()

    @classmethod
    def of(cls, key: Principal) -> Reach:
        """What this key can reach."""
        return cls(frozenset(key.scopes), key.ip_allowlist, key.expires_at, key.may)


def beyond(asked: Reach, held: Reach) -> tuple[str, str] | None:
    """The member of a key's record by which one reach is more than another, and why; None if it is not."""
    scopes = (asked.scopes or frozenset()) & held.lacking
    if held.scopes is not None:
        scopes = scopes | ((asked.scopes or frozenset()) - held.scopes)
    if scopes or (asked.scopes is None and (held.scopes is not None or held.lacking)):
        return "scopes", f"holds {_listed(scopes)}" if scopes else "holds every scope"
    if (outside := _outside(asked.networks, held.networks)) is not None:
        return "ip_allowlist", outside
    if held.ends is not None and (asked.ends is None or asked.ends > held.ends):
        return "expires_at", "is later"
    if held.uses is not None and (more := _more(asked.uses, held.uses)) is not None:
        return "may", more
    return None


def _outside(asked: tuple[str, ...] | None, held: tuple[str, ...] | None) -> str | None:
    if held is None:
        return None
    if asked is None:
        return "is not restricted to addresses"
    entry = Allowlist(asked).outside(Allowlist(held))
    return None if entry is None else f"holds {entry}"


def _more(asked: tuple[str, ...] | None, held: tuple[str, ...]) -> str | None:
    if asked is None:
        return "is not restricted to requests"
    match = next((each for each in asked if not confined(each, held)), None)
    return None if match is None else f"holds {match[:_SHOWN]!r}"


def _listed(scopes: frozenset[str]) -> str:
    """The first few, cut: a client may have sent anything."""
    shown = [scope[:_SHOWN] for scope in sorted(scopes)[:_FEW]]
    return ", ".join(shown if len(scopes) <= _FEW else [*shown, "…"])
