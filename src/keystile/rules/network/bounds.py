"""Where requests may come from: the lists of the gate and of every rule that holds, looked at before any key.

Whoever is on a deny list is refused; whoever is left must be on every allow list. A client whose address is unknown is
refused wherever there is a list: it may be on the one, and need not be on the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from ..._ground.checks import errors_under
from ...exceptions import ConfigurationError
from .addresses import MAX_TEXT, Allowlist, parse

Admits = Callable[[str | None], bool]
"""Whether a client with this address, or with an unknown one (None), may send a request."""

REMEMBERED = 256
"""For so many clients each set of lists remembers whether it admits them: some sets hold networks of every length."""


class Lists(NamedTuple):
    """The lists of the gate, or of one rule.

    Attributes:
        key: the setting that they came from, with a dot behind it; empty for the gate.
        allow, deny: None for no such list.
    """

    key: str
    allow: Allowlist | None
    deny: Allowlist | None


def read_lists(key: str, allow: Iterable[str] | None, deny: Iterable[str] | None) -> Lists | None:
    """The lists of one place; None where there are none.

    Args:
        key: the setting that they came from, with a dot behind it; empty for the gate.
        allow, deny: IPv4 or IPv6 addresses or CIDR networks; None for no list.

    Raises:
        ConfigurationError: an entry is not an address or network, or one is both allowed and denied.
    """
    if allow is None and deny is None:
        return None
    found = Lists(key, _read(f"{key}allow", allow), _read(f"{key}deny", deny))
    check_lists(found, found)
    return found


def check_lists(one: Lists, other: Lists) -> None:
    """Refuse two lists that hold for the same requests and contradict each other, naming both.

    Raises:
        ConfigurationError: an entry is allowed and denied, or two allow lists have nothing in common.
    """
    for allowing, denying in ((one, other), (other, one)):
        if allowing.allow is not None and denying.deny is not None:
            entry = allowing.allow.covered(denying.deny)
            if entry is not None:
                reason = f"{entry} would never be admitted: {denying.key}deny holds it, and comes first"
                raise ConfigurationError(reason, key=f"{allowing.key}allow")
    # Of two networks that overlap, one holds the other.
    if one.allow and other.allow and not (one.allow.covered(other.allow) or other.allow.covered(one.allow)):
        reason = f"has nothing in common with {other.key}allow, and both hold for the same requests"
        raise ConfigurationError(f"{reason}: nobody would be admitted", key=f"{one.key}allow")


def admission(lists: Sequence[Lists]) -> Admits | None:
    """What these lists say together; None if there are none."""
    denied = tuple(each.deny for each in lists if each.deny is not None)
    allowed = tuple(each.allow for each in lists if each.allow is not None)

    @lru_cache(maxsize=REMEMBERED)
    def remembered(client: str) -> bool:
        address = parse(client)
        if address is None or any(address in each for each in denied):
            return False
        return all(address in each for each in allowed)

    def admits(client: str | None) -> bool:
        return client is not None and len(client) <= MAX_TEXT and remembered(client)

    return admits if lists else None


def _read(key: str, entries: Iterable[str] | None) -> Allowlist | None:
    if entries is None:
        return None
    with errors_under(key):
        return Allowlist(entries)
