"""What a path demands: the rules that hold for it, added up.

Every rule that matches holds: scopes and windows of all of them. What can have one value only (public, cost, envelope,
JSON) comes from the most specific rule that says it: literal segments before ``{name}`` before ``/*``, then a rule with
the method before one without. Two that differ at equal specificity are refused when the table is built.

A rule *demands* or *permits* (public, a cost of 0). Routers differ in whether a slash at the end matters, so a rule
demands the same with and without it, and permits only what is spelled as it is. A path that is not canonical, or a
method that is none of HTTP's, can be read in more than one way: it meets every demand and no permission. It is not
refused for that: it authenticates, and then the app may say 404.

A rule in dry run demands what it says, marked so that it refuses nobody. For what can be read in more than one way the
mark does not hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import combinations
from typing import Any

from ...model import Demand
from ...policy import METHODS, Rule
from ...policy.places import Place, places_of
from ..network.bounds import Lists, admission, check_lists, read_lists
from .canonical import canonical
from .held import Held, check_pairs, check_together, enforced, held, reserved_by, said, windows_of
from .matching import PatternTree, Step

MAX_REMEMBERED = 512
"""Paths with so many characters are not remembered, so that nobody fills the memory with long ones."""
REMEMBERED = 4096
"""Of so many requests what they must bring is remembered, and of so many sets of rules that hold together."""


class RuleTable:
    """The rules of a policy, ready to look up.

    Args:
        rules: each with the name of the setting that it came from.
        envelope, require_json: what holds where no rule says.
        root_path: the prefix that is known to be taken off every path; empty if none is.
        lists: the addresses that are allowed and denied on every path; None for no such list.
        accept: where keys are read from where no rule says.

    Raises:
        ConfigurationError: a rule or a list cannot be read or matches nothing, or two cannot hold together.
    """

    def __init__(
        self,
        rules: Iterable[tuple[str, Rule]],
        *,
        envelope: bool = False,
        require_json: bool = False,
        root_path: str = "",
        lists: tuple[Iterable[str] | None, Iterable[str] | None] = (None, None),
        accept: Iterable[str] = (),
    ) -> None:
        own = read_lists("", *lists)
        self._lists = () if own is None else (own,)
        self._admission = lru_cache(maxsize=REMEMBERED)(admission)
        self._defaults: dict[str, Any] = {"public": False, "cost": 1, "accept": tuple(accept)}
        self._defaults |= {"envelope": envelope, "require_json": require_json}
        listed = [held(key, rule, root_path) for key, rule in rules]
        # From here on a rule's place says how specific its path is.
        self.rules = sorted(listed, key=lambda each: each.pattern.place)
        """All of them, the most specific first."""
        check_pairs(self.rules)
        self._tree = PatternTree([each.pattern for each in self.rules])
        self._permitting = {place for place, each in enumerate(self.rules) if each.rule.public or each.rule.cost == 0}
        self._added = lru_cache(maxsize=REMEMBERED)(self._add_up)
        self.met: dict[tuple[str, str, bytes], Demand] = {}
        """What requests that came before must bring, by method, path and raw path."""
        self.every = self._all_of(self.rules)
        """What is demanded where no rule can be told: everything that any rule demands."""
        self.demands, self.most_windows = [self.every], {True: 0, False: 0}
        """What requests can meet; and how many windows, on public paths (True) and on others (False)."""
        self.reserving: dict[tuple[str, ...], int] = {}
        """Which units requests with a key reserve together, and with how many windows of rules."""
        self._look_through()

    def demand(self, method: str, path: str, raw_path: bytes = b"") -> Demand:
        """What a request for this path must bring."""
        asked = method, path, raw_path
        found = self.met.get(asked)
        if found is None:
            found = self._demand(method, path, raw_path)
            if len(method) + len(path) + len(raw_path) < MAX_REMEMBERED:
                if len(self.met) >= REMEMBERED:
                    self.met.clear()
                self.met[asked] = found
        return found

    def holding(self, method: str, path: str, raw_path: bytes = b"") -> list[Held]:
        """The rules that hold for a request, the most specific first; all of them, if no rule can be told."""
        if not canonical(path, raw_path):
            return list(self.rules)
        found = sorted(self._tree.find(path))
        return [self.rules[place] for place in (self._ordered(found, method) if method in METHODS else found)]

    def methods(self, path: str, raw_path: bytes = b"") -> frozenset[str]:
        """The methods that rules for this path name."""
        if not canonical(path, raw_path):
            return frozenset()
        return frozenset().union(*(self.rules[place].pattern.methods for place in self._tree.find(path)))

    def paths_along(self, steps: Sequence[Step]) -> Iterator[str]:
        """A path for each set of rules that paths of these steps can meet, without a slash at its end."""
        return self._tree.paths_along(steps)

    def lists_of(self, rules: Iterable[Held]) -> tuple[Lists, ...]:
        """The lists of addresses that hold where these rules do: theirs, and the gate's before them."""
        return (*self._lists, *(each.lists for each in rules if each.lists is not None))

    def _demand(self, method: str, path: str, raw_path: bytes) -> Demand:
        if not canonical(path, raw_path):
            return self.every
        found = tuple(sorted(self._tree.find(path)))
        if method not in METHODS:
            # Not folded: where one router takes "post" for POST, another takes it for nothing that it knows.
            return self._all_of([self.rules[place] for place in found])
        return self._added(found, self._spelled(found, path), method)

    def _spelled(self, found: tuple[int, ...], path: str) -> tuple[bool, ...]:
        """Whether a path is spelled as each of these rules is, of those for which that matters."""
        permitting = self._permitting
        return tuple([place not in permitting or self.rules[place].pattern.spells(path) for place in found])

    def _ordered(self, found: Iterable[int], method: str) -> list[int]:
        """Those of these rules that hold for a method of HTTP, the most specific first."""
        ranks = []
        for place in found:
            pattern = self.rules[place].pattern
            named = pattern.names(method)
            if named is not None:
                ranks.append((pattern.place, named, place))
        return [place for _, _, place in sorted(ranks)]

    def _add_up(self, found: tuple[int, ...], spelled: tuple[bool, ...], method: str) -> Demand:
        """What rules demand together, and what the most specific of them permit."""
        exactly = dict(zip(found, spelled, strict=True))
        ordered = self._ordered(found, method)
        holding = [self.rules[place] for place in ordered]
        values = dict(self._defaults)
        for place in reversed(ordered):
            values.update(said(self.rules[place].rule, permits=exactly[place]))
        public = values["public"]
        keyed = [] if public else holding
        scopes = frozenset(scope for each in keyed for scope in each.own.scopes)
        return Demand(
            public=public,
            scopes=scopes,
            windows=windows_of(holding),
            cost=values["cost"],
            envelope=values["envelope"] and public is not True,
            json=values["require_json"],
            reserve=reserved_by([] if public is True else holding),
            watched=frozenset(scope for each in keyed for scope in each.own.watched) - scopes,
            admits=self._admission(self.lists_of(each for each in holding if each.rule.enforce)),
            would_admit=self._admission(tuple(each.lists for each in holding if each.lists and not each.rule.enforce)),
            accept=places_of(values["accept"]),
        )

    def _all_of(self, rules: Sequence[Held]) -> Demand:
        """All that these rules demand, and nothing that they permit."""
        demanding = [enforced(each) for each in rules]
        return Demand(
            public=False,
            scopes=frozenset(scope for each in rules for scope in each.rule.scopes),
            windows=windows_of(demanding),
            cost=max((each.rule.cost or 1 for each in rules), default=1),
            envelope=self._defaults["envelope"],
            json=self._defaults["require_json"] or any(each.rule.require_json for each in rules),
            reserve=reserved_by(demanding),
            admits=self._admission(self.lists_of(rules)),
            accept=self._common(rules),
        )

    def _common(self, rules: Sequence[Held]) -> frozenset[Place]:
        """The places that all of these rules accept, and the gate too where it may be that none of them says."""
        saying = [each for each in rules if each.rule.accept is not None]
        named = [places_of(each.rule.accept or ()) for each in saying]
        if rules is self.rules or all(each.pattern.methods for each in saying):
            named.append(places_of(self._defaults["accept"]))
        return frozenset.intersection(*named)

    def _look_through(self) -> None:
        """Note what requests can meet, and refuse rules that cannot hold together."""
        met: dict[tuple[tuple[int, ...], tuple[bool, ...]], None] = {((), ()): None}
        for path in self._tree.paths():
            found = tuple(sorted(self._tree.find(path)))
            met[found, self._spelled(found, path or "/")] = met[found, self._spelled(found, f"{path}/")] = None
        demands: dict[Demand, None] = {}
        together: dict[tuple[Lists, Lists], None] = {}
        for found, spelled in met:
            for method in _told_apart([self.rules[place] for place in found]):
                demand = self._add_up(found, spelled, method)
                holding = [self.rules[place] for place in self._ordered(found, method)]
                check_together(demand, holding)
                together.update(dict.fromkeys(combinations(self.lists_of(holding), 2)))
                demands[demand] = None
        for pair in together:
            check_lists(*pair)
        self.demands += demands
        for demand in demands:
            # Where a key is optional, the windows count by address or by caller.
            for anonymous in (True, False) if demand.public == "optional" else (demand.public is True,):
                self.most_windows[anonymous] = max(self.most_windows[anonymous], len(demand.windows))
            if demand.public is not True:
                units = tuple(each.unit for each in demand.reserve)
                self.reserving[units] = max(self.reserving.get(units, 0), len(demand.windows))


def _told_apart(rules: Iterable[Held]) -> set[str]:
    """A method for each way in which these rules tell methods apart."""
    named = {method for each in rules for method in each.pattern.methods}
    other = next((method for method in sorted(METHODS - {"HEAD"}) if method not in named), None)
    return {*named, *(["HEAD"] if "GET" in named else []), *([other] if other else [])}
