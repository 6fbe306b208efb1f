"""The members of a record that a service may set: what each must be, wherever it comes from.

Each check gives the value to keep, or raises ConfigurationError that names the member.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, cast

from ..._ground.checks import check_limits, check_scopes, known
from ..._ground.frozen import frozen
from ...exceptions import ConfigurationError
from ...model import ENVIRONMENTS, Environment
from ...rules.network.addresses import Allowlist
from ...rules.requests.uses import check_uses

MAX_NAME, MAX_METADATA_BYTES, MAX_PAGE = 200, 16_384, 1000
# Every level costs two frames each time a record is read, wherever the host calls the gate.
MAX_LEVELS = 32


class Unset(enum.Enum):
    """The type of `UNSET`."""

    UNSET = "unset"

    def __repr__(self) -> str:
        return self.name


UNSET: Final = Unset.UNSET
"""In place of a value: what is there stays. None clears it."""


def check_text(value: Any, key: str) -> str:
    """A line of text."""
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_NAME or not value.isprintable() or not value.strip():
        raise ConfigurationError(f"expected 1 to {MAX_NAME} printable characters", key=key)
    return value


def check_optional(value: Any, key: str) -> str | None:
    """A line of text, or None."""
    return None if value is None else check_text(value, key)


def check_environment(value: Any) -> Environment:
    """One of the environments."""
    if value not in ENVIRONMENTS:
        raise ConfigurationError(f"expected one of {', '.join(ENVIRONMENTS)}", key="environment")
    return cast("Environment", value)


def check_page(limit: Any) -> int:
    """How many records a page has."""
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= MAX_PAGE:
        raise ConfigurationError(f"expected a whole number from 1 to {MAX_PAGE}", key="limit")
    return limit


def check_seconds(value: Any, most: float, key: str) -> float:
    """A number of seconds from 0 to this many."""
    known = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not known or not 0 <= value <= most:  # which NaN and infinity are not
        raise ConfigurationError(f"expected a number of seconds from 0 to {most}", key=key)
    return float(value)


def without(given: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """A function's arguments without those that are no members of a record."""
    return {name: value for name, value in given.items() if name not in names}


def checked(given: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """The members of a key that are given, each checked; those that are `UNSET` are left out."""
    for name in given:
        if name not in _CHECKS:
            raise ConfigurationError(f"no member of a key; {known(_CHECKS, name)}", key=name)
    return {name: _CHECKS[name](value, now) for name, value in given.items() if value is not UNSET}


def _one_notation(limits: Any) -> str | None:
    listed = check_limits(limits)
    return listed if listed is None or isinstance(listed, str) else "; ".join(listed)


def _expiry(value: Any, now: datetime) -> datetime | None:
    if value is None:
        return None
    if not isinstance(value, datetime) or value.utcoffset() is None:
        raise ConfigurationError("expected a datetime with a time zone", key="expires_at")
    try:
        moment = value.astimezone(UTC)
    except OverflowError:
        raise ConfigurationError("is not within the years 1 to 9999 in UTC", key="expires_at") from None
    if moment <= now:
        raise ConfigurationError("is in the past", key="expires_at")
    return moment


def _metadata(value: Any) -> Mapping[str, Any]:
    try:
        text = json.dumps({} if value is None else value, allow_nan=False)
        again = json.loads(text)
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"expected JSON values: {error}", key="metadata") from None
    if not isinstance(again, dict):
        raise ConfigurationError("expected a mapping", key="metadata")
    if len(text) > MAX_METADATA_BYTES:
        raise ConfigurationError(f"is longer than {MAX_METADATA_BYTES} bytes as JSON", key="metadata")
    if _levels(again) > MAX_LEVELS:
        raise ConfigurationError(f"has more than {MAX_LEVELS} levels", key="metadata")
    return cast("Mapping[str, Any]", frozen(again))


def _levels(value: Any) -> int:
    """How deep containers stand in each other, counted without recursion."""
    levels, containers = 0, [value]
    while containers:
        levels += 1
        inner = (each.values() if isinstance(each, dict) else each for each in containers)
        containers = [item for items in inner for item in items if isinstance(item, (dict, list))]
    return levels


_CHECKS: dict[str, Callable[[Any, datetime], Any]] = {
    "name": lambda value, _now: check_text(value, "name"),
    "organization_id": lambda value, _now: check_optional(value, "organization_id"),
    "project_id": lambda value, _now: check_optional(value, "project_id"),
    "owner_id": lambda value, _now: check_optional(value, "owner_id"),
    "environment": lambda value, _now: check_environment(value),
    "plan": lambda value, _now: check_optional(value, "plan"),
    "limits": lambda value, _now: _one_notation(value),
    "scopes": lambda value, _now: check_scopes(value),
    "may": lambda value, _now: check_uses(value),
    "ip_allowlist": lambda value, _now: None if value is None else Allowlist(value).entries,
    "expires_at": _expiry,
    "metadata": lambda value, _now: _metadata(value),
}
