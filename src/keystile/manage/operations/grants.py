"""Nobody gives, takes or hands on more than they hold.

- A new key reaches no further than its maker: scopes, addresses, end, requests. What is not said of it is as its
  maker's, so that the maker's bounds need not be repeated.
- A change that only narrows a key is free. One that widens it is judged as if the key was made anew: so nobody lifts a
  bound from a key that reaches further than they do.
- A new secret is judged like a new key: whoever gets it can use the key. So is the end of a suspension, which may also
  come with another project.
- Its own plan and limits are given to a key by those with ``plans:manage`` alone.
- A managing key does not change itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ...exceptions import ConfigurationError, NotAllowed
from ...model import ApiKey
from ...rules.grants import Reach, beyond
from ..authority import Authority
from .calls import Call

MOST_ENTRIES, LONGEST = 100, 500
"""So many entries a list has at most, and so many characters each of them."""

_SHOWN = 40
_PLANNED = ("plan", "limits")
_LISTS = ("scopes", "may", "ip_allowlist", "limits")
# What a managing key does not say: it follows from the key.
_FOLLOWS = ("organization_id", "owner_id")


def check_sizes(members: Mapping[str, Any]) -> None:
    """ConfigurationError if a list, or what stands in it, is longer than anybody needs. In code there is no such
    bound: here strangers write, and what was read is remembered."""
    for name in members:
        if len(name) > _SHOWN:
            raise ConfigurationError("no member of a key", key=f"{name[:_SHOWN]}…")
    for name in _LISTS:
        given = members.get(name)
        entries = given if isinstance(given, (list, tuple)) else [given]
        if len(entries) > MOST_ENTRIES or any(isinstance(each, str) and len(each) > LONGEST for each in entries):
            reason = f"expected at most {MOST_ENTRIES} entries of at most {LONGEST} characters"
            raise ConfigurationError(reason, key=name)


def with_own_bounds(call: Call, members: Mapping[str, Any]) -> dict[str, Any]:
    """The members of a new key's record, with those of its maker where nothing is said.

    Raises:
        ConfigurationError: a list is too long, or a managing key says what follows from itself.
    """
    check_sizes(members)
    if call.by_key:
        for name in _FOLLOWS:
            if members.get(name) is not None:
                raise ConfigurationError("follows from the key that asks; leave it out", key=name)
    own = call.authority.reach
    bounds = {
        "ip_allowlist": own.networks,
        "expires_at": own.ends,
        "may": own.uses,
        "owner_id": call.authority.owner_id,
    }
    said = {name: value for name, value in members.items() if name != "owner_id" or value is not None}
    return {name: value for name, value in bounds.items() if value is not None} | said


def check_lasts(authority: Authority, now: datetime) -> None:
    """NotAllowed if whoever asks can give nothing any more: what they make would have ended by now."""
    if authority.expires_at is not None and authority.expires_at <= now:
        raise NotAllowed("more_than_held", "your own end has passed: more than you hold yourself", key="expires_at")


def check_made(authority: Authority, values: Mapping[str, Any]) -> None:
    """NotAllowed if a new key with these members, which are checked, would be more than its maker holds."""
    if any(values.get(name) is not None for name in _PLANNED):
        authority.require("plans:manage")
    scopes = frozenset(values.get("scopes", ()))
    _check(authority, Reach(scopes, values.get("ip_allowlist"), values.get("expires_at"), values.get("may")))


def check_changed(authority: Authority, before: ApiKey, after: ApiKey) -> None:
    """NotAllowed if this change gives a key more than whoever asks for it holds."""
    if any(getattr(before, name) != getattr(after, name) for name in _PLANNED):
        authority.require("plans:manage")
    moved = before.is_suspended and before.project_id != after.project_id
    if moved or beyond(Reach.of(after), Reach.of(before)) is not None:
        _check(authority, Reach.of(after))


def check_held(authority: Authority, key: ApiKey, ends: datetime | None) -> None:
    """NotAllowed if a key that ends at this moment reaches further than whoever asks for its secret."""
    _check(authority, Reach.of(key)._replace(ends=ends))


def check_not_own(call: Call, key_id: str) -> None:
    """NotAllowed if a managing key asks for a change of itself."""
    if call.by_key and key_id == call.authority.id:
        raise NotAllowed("own_key", "a managing key cannot change itself")


def _check(authority: Authority, reach: Reach) -> None:
    more = beyond(reach, authority.reach)
    if more is not None:
        name, reason = more
        raise NotAllowed("more_than_held", f"{reason}: more than you hold yourself", key=name)
