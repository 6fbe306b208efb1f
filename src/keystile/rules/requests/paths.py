"""What a path demands: the rules that hold for it, added up.

Every rule that matches holds: scopes and windows of all of them. What can have one value only (public, cost, envelope,
JSON) comes from the most specific rule that says it: literal segments before ``{name}`` before ``/*``, then a rule with
the method before one without. Two that differ at equal specificity are refused when the table is built.

A rule *demands* or *permits* (public). Routers differ in whether a slash at the end matters, so a rule demands the
same with and without it, and permits only what is spelled as it is. A path that is not canonical, or a method that is
none of HTTP's, can be read in more than one way: it meets every demand and no permission. It is not refused for that:
it authenticates, and then the app may say 404.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from ...exceptions import ConfigurationError
from ...model import Demand
from ...policy import METHODS, Rule
from ...policy.matches import Pattern
from ..limits.notation import MOST_WINDOWS, check_windows, parse_limits
from .canonical import canonical
from .matching import PatternTree

MAX_REMEMBERED = 512
"""Paths with so many characters are not remembered, so that nobody fills the memory with long ones."""

# Members of a rule that can have one value only.
_SINGLE = ("public", "cost", "envelope", "require_json")


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


class RuleTable:
    """The rules of a policy, ready to look up.

    Args:
        rules: each with the name of the setting that it came from.
        envelope, require_json: what holds where no rule says.

    Raises:
        ConfigurationError: a rule cannot be read or matches nothing, or two of equal specificity differ.
    """

    def __init__(
        self, rules: Iterable[tuple[str, Rule]], *, envelope: bool = False, require_json: bool = False
    ) -> None:
        self._defaults: dict[str, Any] = {"public": False, "cost": 1}
        self._defaults |= {"envelope": envelope, "require_json": require_json}
        listed = [_held(key, rule) for key, rule in rules]
        # From here on a rule's place says how specific its path is.
        self._rules = sorted(listed, key=lambda held: held.pattern.place)
        _check_contradictions(self._rules)
        self._tree = PatternTree([held.pattern for held in self._rules])
        self._added = lru_cache(maxsize=4096)(self._add_up)
        self._remembered = lru_cache(maxsize=4096)(self._demand)
        self.every = self._all_of(self._rules)
        """What is demanded where no rule can be told: everything that any rule demands."""
        self.demands, self.most_windows = [self.every], {True: 0, False: 0}
        """What requests can meet; and how many windows, on public paths (True) and on others (False)."""
        self._look_through()

    def demand(self, method: str, path: str, raw_path: bytes = b"") -> Demand:
        """What a request for this path must bring."""
        if len(method) + len(path) + len(raw_path) < MAX_REMEMBERED:
            return self._remembered(method, path, raw_path)
        return self._demand(method, path, raw_path)

    def holding(self, method: str, path: str, raw_path: bytes = b"") -> list[Held]:
        """The rules that hold for a request, the most specific first; all of them, if no rule can be told."""
        if not canonical(path, raw_path):
            return list(self._rules)
        found = [self._rules[place] for place in sorted(self._tree.find(path))]
        if method not in METHODS:
            return found
        return sorted(
            (held for held in found if held.pattern.names(method) is not None),
            key=lambda held: (held.pattern.place, held.pattern.names(method)),
        )

    def _demand(self, method: str, path: str, raw_path: bytes) -> Demand:
        if not canonical(path, raw_path):
            return self.every
        found = tuple(sorted(self._tree.find(path)))
        if method not in METHODS:
            # Not folded: where one router takes "post" for POST, another takes it for nothing that it knows.
            return self._all_of([self._rules[place] for place in found])
        # Only two things of the path still matter: a slash at its end, and whether anything lies in between.
        spelled = tuple(self._rules[place].pattern.spells(path) for place in found)
        return self._added(found, spelled, method)

    def _add_up(self, found: tuple[int, ...], spelled: tuple[bool, ...], method: str) -> Demand:
        """What rules demand together, and what the most specific of them permit."""
        holding: list[tuple[Held, bool]] = []
        for place, exactly in zip(found, spelled, strict=True):
            if self._rules[place].pattern.names(method) is not None:
                holding.append((self._rules[place], exactly))
        holding.sort(key=lambda each: (each[0].pattern.place, each[0].pattern.names(method)))
        said = dict(self._defaults)
        for held, exactly in reversed(holding):
            said.update(_said(held.rule, permits=exactly))
        public = said["public"]
        scopes = () if public else (scope for held, _ in holding for scope in held.own.scopes)
        return Demand(
            public=public,
            scopes=frozenset(scopes),
            windows=_windows(held.own for held, _ in holding),
            cost=said["cost"],
            envelope=said["envelope"] and not public,
            json=said["require_json"],
        )

    def _all_of(self, rules: Sequence[Held]) -> Demand:
        """All that these rules demand, and nothing that they permit."""
        costs = [held.rule.cost for held in rules if held.rule.cost is not None]
        return Demand(
            public=False,
            scopes=frozenset(scope for held in rules for scope in held.own.scopes),
            windows=_windows(held.own for held in rules),
            cost=max([1, *costs]),
            envelope=self._defaults["envelope"],
            json=self._defaults["require_json"] or any(held.rule.require_json for held in rules),
        )

    def _look_through(self) -> None:
        """Note what requests can meet, and refuse what no limiter could count."""
        demands: dict[Demand, None] = {}
        for meeting in self._tree.meetings():
            found = tuple(sorted(meeting))
            for method in self._telling(found):
                for exactly in (True, False):
                    demand = self._added(found, (exactly,) * len(found), method)
                    demands[demand] = None
                    self._check_cost(demand, found)
                    most = self.most_windows
                    most[demand.public] = max(most[demand.public], len(demand.windows))
        self.demands += demands

    def _check_cost(self, demand: Demand, found: Sequence[int]) -> None:
        """Refuse a cost that a window of another rule would never admit."""
        for window in demand.windows:
            if 0 < window.limit < demand.cost:
                costly = next(self._rules[place] for place in found if self._rules[place].rule.cost == demand.cost)
                raise ConfigurationError(
                    f"{demand.cost} is above the {window.limit} that {window.scope!r} allows for the same requests: it "
                    "would never be admitted",
                    key=f"{costly.key}.cost",
                )

    def _telling(self, found: tuple[int, ...]) -> set[str]:
        """A method for each way in which these rules can tell methods apart."""
        named = {method for place in found for method in self._rules[place].pattern.methods}
        other = next((method for method in METHODS if method not in named and method != "HEAD"), None)
        return {*named, *(["HEAD"] if "GET" in named else []), *([other] if other else [])}


def _held(key: str, rule: Rule) -> Held:
    try:
        _check_canonical(rule)
        windows = parse_limits(rule.limits, scope=rule.match)
        check_windows(windows, max(1, rule.cost or 1))
    except ConfigurationError as error:
        raise ConfigurationError(error.reason, key=f"{key}.{error.key}") from None
    return Held(key, rule, rule.pattern, Demand(False, frozenset(rule.scopes), windows))


def _check_canonical(rule: Rule) -> None:
    path = "".join(f"/{segment or 'x'}" for segment in rule.pattern.segments) or "/"
    if not canonical(path):
        reason = "is not canonical: no '//', dot segments, ';', '%', backslash or controls"
        raise ConfigurationError(f"{rule.match!r} {reason}; no request would match it", key="match")


def _said(rule: Rule, *, permits: bool) -> dict[str, Any]:
    """The single-valued members that a rule says; one that permits says so only for what is spelled as it is."""
    said = {name: value for name in _SINGLE if (value := getattr(rule, name)) is not None}
    if rule.scopes:
        said.setdefault("public", False)
    if rule.public and not permits:
        del said["public"]
    return said


def _windows(demands: Iterable[Demand]) -> tuple[Any, ...]:
    """All windows, one time each; no more than show that they are too many."""
    return tuple(dict.fromkeys(window for each in demands for window in each.windows))[: MOST_WINDOWS + 1]


def _check_contradictions(rules: Sequence[Held]) -> None:
    """Refuse two rules for one path and one method that differ in what can have one value only."""
    said: dict[tuple[Any, ...], Held] = {}
    for held in rules:
        pattern = held.pattern
        for name, value in _said(held.rule, permits=True).items():
            # Public is one spelling alone; what is demanded holds with a slash and without.
            spelling = pattern.slash if name == "public" and value else None
            for method in pattern.methods or ("",):
                known = said.setdefault((pattern.place, pattern.segments, method, name, spelling), held)
                if getattr(known.rule, name) != value:
                    raise ConfigurationError(
                        f"contradicts {known.key}: {known.rule.match!r} and {held.rule.match!r} hold for the same "
                        f"requests, and {name} can have one value only",
                        key=held.key,
                    )
