"""One rule, ready to hold: what it matches, what it demands by itself, what it says of all that has one value."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from ...exceptions import ConfigurationError
from ...model import Demand, Window
from ...policy import Rule
from ...policy.matches import Pattern
from ..limits.notation import MOST_WINDOWS, check_windows, parse_limits
from .canonical import canonical, repeats

SINGLE = ("public", "cost", "envelope", "require_json")
"""Members of a rule that can have one value only."""


class Held(NamedTuple):
    """A rule, ready to hold.

    Attributes:
        key: the setting that it came from.
        rule: the rule.
        pattern: what it matches.
        own: what it demands by itself.
    """

    key: str
    rule: Rule
    pattern: Pattern
    own: Demand


def held(key: str, rule: Rule, root_path: str) -> Held:
    """Read a rule.

    Args:
        key: the setting that it came from.
        rule: the rule.
        root_path: the prefix that is known to be taken off every path; empty if none is.

    Raises:
        ConfigurationError: its limits cannot be read, or no request could match it.
    """
    _check_reach(key, rule, root_path)
    try:
        windows = parse_limits(rule.limits, scope=rule.match)
        check_windows(windows, max(1, rule.cost or 1))
    except ConfigurationError as error:
        raise ConfigurationError(error.reason, key=f"{key}.{error.key}") from None
    return Held(key, rule, rule.pattern, Demand(False, frozenset(rule.scopes), windows))


def _check_reach(key: str, rule: Rule, root_path: str) -> None:
    path = "".join(f"/{'x' if segment is None else segment}" for segment in rule.pattern.segments) or "/"
    if not canonical(path):
        reason = "is not canonical: no '//', dot segments, ';', '%', backslash or controls"
        raise ConfigurationError(f"{rule.match!r} {reason}; no request would match it", key=key)
    if root_path and root_path != "/" and repeats(path, root_path):
        reason = f"holds the root_path {root_path!r}, which is taken off before: no request would match it"
        raise ConfigurationError(f"{rule.match!r} {reason}; leave it out", key=key)


def said(rule: Rule, *, permits: bool = True) -> dict[str, Any]:
    """The members with one value that a rule says; without `permits`, only what it demands."""
    found = {name: value for name in SINGLE if (value := getattr(rule, name)) is not None}
    if rule.scopes:
        found.setdefault("public", False)
    if not permits:
        if rule.public:
            del found["public"]
        if rule.cost == 0:
            del found["cost"]
    return found


def windows_of(rules: Iterable[Held]) -> tuple[Window, ...]:
    """All windows, one time each; no more than show that they are too many."""
    return tuple(dict.fromkeys(window for each in rules for window in each.own.windows))[: MOST_WINDOWS + 1]
