"""Rules that cannot hold together: they are refused when the table is built, and the error names both."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

from ...exceptions import ConfigurationError
from ...model import Demand
from ..limits.notation import MOST_WINDOWS, check_windows
from .held import Held, said, windows_of


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
    if demand.public:
        _check_envelope(rules)


def _check_envelope(rules: Sequence[Held]) -> None:
    """Refuse an envelope that is asked for where a wider rule is public: answers of public paths never get one."""
    asking = None
    for rule in rules:
        if rule.rule.public:
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
