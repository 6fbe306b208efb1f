"""Rules that are ready to hold; and what cannot hold together, which is refused when a table is built, naming both."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Any, NamedTuple

from ...exceptions import ConfigurationError
from ...model import Demand, Reservation, Window
from ...policy import Rule
from ...policy.matches import Pattern
from ..limits.notation import MOST_WINDOWS, check_windows, parse_limits
from ..network.bounds import Lists, read_lists
from .canonical import canonical, repeats

SINGLE = ("public", "cost", "accept", "envelope", "require_json")
"""Members of a rule that can have one value only."""


class Held(NamedTuple):
    """A rule, ready to hold.

    Attributes:
        key: the setting that it came from.
        rule: the rule.
        pattern: what it matches.
        own: what it demands by itself.
        lists: its lists of addresses, or None.
    """

    key: str
    rule: Rule
    pattern: Pattern
    own: Demand
    lists: Lists | None = None


def held(key: str, rule: Rule, root_path: str) -> Held:
    """Read a rule.

    Args:
        key: the setting that it came from.
        rule: the rule.
        root_path: the prefix that is known to be taken off every path; empty if none is.

    Raises:
        ConfigurationError: its limits or lists cannot be read, or no request could match it.
    """
    _check_reach(key, rule, root_path)
    try:
        windows = parse_limits(rule.limits, scope=rule.match)
        check_windows(windows, max(1, rule.cost or 1))
    except ConfigurationError as error:
        raise ConfigurationError(error.reason, key=f"{key}.{error.key}") from None
    lists = read_lists(f"{key}.", rule.allow, rule.deny)
    return Held(key, rule, rule.pattern, _own(rule, windows), lists)


def _own(rule: Rule, windows: tuple[Window, ...]) -> Demand:
    """What a rule demands by itself; in dry run, marked so that it refuses nobody."""
    scopes, watching = frozenset(rule.scopes), not rule.enforce
    reserve = tuple(Reservation(unit, amount, watching) for unit, amount in sorted(rule.reserve.items()))
    if watching:
        watched = tuple(window._replace(watching=True) for window in windows)
        return Demand(False, frozenset(), watched, reserve=reserve, watched=scopes)
    return Demand(False, scopes, windows, reserve=reserve)


def _check_reach(key: str, rule: Rule, root_path: str) -> None:
    path = rule.pattern.example
    if not canonical(path):
        reason = "is not canonical: no '//', dot segments, ';', '%', backslash or controls"
        raise ConfigurationError(f"{rule.match!r} {reason}; no request would match it", key=key)
    if root_path and root_path != "/" and repeats(path, root_path):
        reason = f"holds the root_path {root_path!r}, which is taken off before: no request would match it"
        raise ConfigurationError(f"{rule.match!r} {reason}; leave it out", key=key)


def said(rule: Rule, *, permits: bool = True) -> dict[str, Any]:
    """The members with one value that a rule says; without `permits`, only what it demands."""
    found = {name: value for name in SINGLE if (value := getattr(rule, name)) is not None}
    if rule.scopes or rule.reserve or rule.accept is not None:
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


def reserved_by(rules: Iterable[Held]) -> tuple[Reservation, ...]:
    """What these rules reserve together: of each unit the highest number that an enforced rule asks for. Rules in dry
    run have a say only where no other does."""
    found: dict[str, Reservation] = {}
    for rule in rules:
        for each in rule.own.reserve:
            before = found.get(each.unit)
            if before is None or (each.watching, -each.amount) < (before.watching, -before.amount):
                found[each.unit] = each
    return tuple(found[unit] for unit in sorted(found))


def enforced(rule: Held) -> Held:
    """The rule as it holds where no dry run is permitted."""
    if rule.rule.enforce:
        return rule
    own = rule.own
    windows = tuple(window._replace(watching=False) for window in own.windows)
    reserve = tuple(each._replace(watching=False) for each in own.reserve)
    return rule._replace(own=Demand(False, own.watched, windows, reserve=reserve))


def check_pairs(rules: Sequence[Held]) -> None:
    """Refuse two rules for one path and one method that differ in what can have one value only.

    What is demanded holds with a slash at the end and without, so the slash is no part of the path here; two that are
    public say the same, each of its own spelling.
    """
    before: dict[tuple[Any, ...], tuple[Held, Any]] = {}
    counting: dict[str, list[Held]] = {}
    for rule in rules:
        segments, below = rule.pattern.segments, rule.pattern.below
        for name, value in said(rule.rule).items():
            for method in rule.pattern.methods or ("",):
                known, other = before.setdefault((segments, below, method, name), (rule, value))
                if other != value:
                    reason = f"hold for the same requests, and {name} can have one value only: {other} or {value}"
                    raise ConfigurationError(f"contradicts {known.key}: {_both(known, rule)} {reason}", key=rule.key)
        if rule.own.windows:
            counting.setdefault(rule.rule.match, []).append(rule)
    for same in counting.values():
        for known, rule in combinations(same, 2):
            _check_windows_of_one(known, rule)


def check_together(demand: Demand, rules: Sequence[Held]) -> None:
    """Refuse what no request could meet.

    Args:
        demand: what these rules demand together.
        rules: those that hold for some request, the most specific first.
    """
    if len(demand.windows) > MOST_WINDOWS:
        counting = [rule for rule in rules if rule.own.windows]
        matches = ", ".join(repr(rule.rule.match) for rule in counting)
        reason = f"more than {MOST_WINDOWS} windows cannot hold for one request, and {matches} hold together"
        raise ConfigurationError(reason, key=f"{counting[0].key}.limits")
    for window in demand.windows:
        if 0 < window.limit < demand.cost:
            costly = next(rule for rule in rules if rule.rule.cost == demand.cost)
            tight = next(rule for rule in rules if window in rule.own.windows)
            reason = f"{demand.cost} is above the {window.limit} in {window.seconds} seconds of {tight.key}"
            more = f"({tight.rule.match!r}), which holds for the same requests: it would never be admitted"
            raise ConfigurationError(f"{reason} {more}", key=f"{costly.key}.cost")
    if demand.public is True:
        _check_envelope(rules)


def _check_envelope(rules: Sequence[Held]) -> None:
    """Refuse an envelope that is asked for where a wider rule is public: answers of public paths never get one."""
    asking = None
    for rule in rules:
        if rule.rule.public is True:
            if asking is not None:
                reason = f"{asking.rule.match!r} is public, as {rule.key} ({rule.rule.match!r}) says, and answers of"
                more = "public paths are never enveloped; say public=False if a key is to be asked for"
                raise ConfigurationError(f"{reason} {more}", key=f"{asking.key}.envelope")
            return
        if rule.rule.envelope and asking is None:
            asking = rule


def _check_windows_of_one(known: Held, rule: Held) -> None:
    """Windows of one match are counted under one name: they must fit together as those of one rule do."""
    try:
        check_windows(windows_of((known, rule)))
    except ConfigurationError as error:
        reason = f"contradicts {known.key}: both are for {rule.rule.match!r}, and {error.reason}"
        raise ConfigurationError(reason, key=f"{rule.key}.limits") from None


def _both(one: Held, other: Held) -> str:
    if one.rule.match == other.rule.match:
        return f"{one.rule.match!r} and the same again"
    return f"{one.rule.match!r} and {other.rule.match!r}"
