"""Which rule holds for a path?

A rule *demands* (scopes, windows, a cost, JSON) or *permits* (public). Routers differ in whether a slash at the end
matters. So a rule demands the same with and without it, and permits only its own spelling. A request that may be read
in two ways (a path that is not canonical, an unknown method) must meet every demand and gets no permission. It is not
refused for that: with the right key it gets through, and then the app may say 404.

The most specific rule decides alone: an exact path before a prefix, the longer prefix before the shorter, a rule with
a method before one without. If a rule would drop the scopes of a wider one in this way, the table is not built.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

from ...exceptions import ConfigurationError
from ...model import Demand
from ...policy import METHODS, Rule
from ..limits.notation import MOST_WINDOWS, check_windows, parse_limits
from .canonical import canonical

MOST_RULE_SEGMENTS = 16
MAX_REMEMBERED = 512

# `GET` also covers HEAD. The empty name stands for rules for every method.
_NAMES = {method: (method, "") for method in METHODS} | {"HEAD": ("HEAD", "GET", ""), "": ("",)}
_WITHOUT_SLASH, _WITH_SLASH = 0, 1


class _Held(NamedTuple):
    """A rule at a place of the table.

    Attributes:
        key: the setting that the rule came from.
        rule: the rule.
        demand: what it asks for.
        respelled: this is the path of a public rule with the other ending (slash or not), so nothing is permitted here.
    """

    key: str
    rule: Rule
    demand: Demand
    respelled: bool = False


# The rules of one path, by method.
_Level = dict[str, _Held]


class _Node:
    """The rules of a path: for the path itself and for everything below, each without and with a slash at the end."""

    __slots__ = ("below", "children", "exact")

    def __init__(self) -> None:
        self.children: dict[str, _Node] = {}
        self.exact: tuple[_Level, _Level] = ({}, {})
        self.below: tuple[_Level, _Level] = ({}, {})


class RuleTable:
    """The rules of a policy, ready to look up.

    Args:
        rules: each with the name of the setting that it came from.
        envelope, require_json: what holds where a rule does not say.

    Raises:
        ConfigurationError: a path cannot be read, two rules for the same requests differ, or one drops the scopes of
            a wider one.
    """

    def __init__(
        self, rules: Iterable[tuple[str, Rule]], *, envelope: bool = False, require_json: bool = False
    ) -> None:
        self._plain = Demand(public=False, scopes=frozenset(), envelope=envelope, json=require_json)
        self._root, self._depth = _Node(), 0
        held = [_Held(key, rule, self._demand_of(key, rule)) for key, rule in rules]
        for each in held:
            self._add(each)
        self.every = self._together(self._plain, [each.demand for each in held])
        """The demand where nobody can tell which rule holds: everything that any rule demands."""
        self.demands = [self._plain, self.every, *(each.demand for each in held)]
        self.most_windows = dict.fromkeys((True, False), 0)
        """How many windows a canonical request can meet on public paths (True) and on others (False)."""
        self._check()
        self._remembered = lru_cache(maxsize=4096)(self._demand)

    def demand(self, method: str, path: str, raw_path: bytes = b"") -> Demand:
        """What a request for this path must have."""
        # Paths repeat. Only short ones are remembered, so that nobody can fill the memory with long ones.
        if len(method) + len(path) + len(raw_path) < MAX_REMEMBERED:
            return self._remembered(method, path, raw_path)
        return self._demand(method, path, raw_path)

    def _demand(self, method: str, path: str, raw_path: bytes) -> Demand:
        if not canonical(path, raw_path):
            return self.every
        levels = self._levels(path)
        if method in METHODS:
            return self._decided(levels, method)
        # Not folded to upper case: one router reads "post" as POST, another does not know it.
        return self._together(self._plain, [held.demand for level in levels for held in level.values()])

    def _levels(self, path: str) -> list[_Level]:
        """The rules of a canonical path, whatever their method, from the least to the most specific path."""
        node = self._root
        levels = [node.below[_WITH_SLASH]]
        # What lies deeper than the deepest rule is not split.
        for segment in path.split("/", self._depth + 1)[1:]:
            if not segment:  # after the slash at the end
                levels.append(node.exact[_WITH_SLASH])
                return levels
            child = node.children.get(segment)
            if child is None:
                return levels
            node = child
            levels.append(node.below[_WITH_SLASH])
        levels[-1] = node.below[_WITHOUT_SLASH]
        levels.append(node.exact[_WITHOUT_SLASH])
        return levels

    def _decided(self, levels: Sequence[_Level], method: str) -> Demand:
        """What the most specific rule says, together with the demands of rules that are public in another spelling."""
        demand, respelled = self._plain, []
        for held in _matching(levels, method):
            if not held.respelled:
                demand = held.demand
                break
            respelled.append(held.demand)
        return self._together(demand, respelled) if respelled else demand

    def _together(self, first: Demand, others: Sequence[Demand]) -> Demand:
        """The first, with everything that the others demand and nothing that they permit."""
        demands = [first, *others]
        windows = dict.fromkeys(window for each in demands for window in each.windows)
        return Demand(
            public=first.public,
            scopes=frozenset(scope for each in demands for scope in each.scopes),
            windows=tuple(windows)[: MOST_WINDOWS + 1],
            cost=max(each.cost for each in demands),
            envelope=first.envelope,
            json=any(each.json for each in demands),
        )

    def _demand_of(self, key: str, rule: Rule) -> Demand:
        try:
            windows = parse_limits(rule.limits, scope=rule.match)
            check_windows(windows, rule.cost)
        except ConfigurationError as error:
            raise ConfigurationError(error.reason, key=f"{key}.{error.key}") from None
        envelope = self._plain.envelope if rule.envelope is None else rule.envelope
        json = self._plain.json if rule.require_json is None else rule.require_json
        return Demand(rule.public, frozenset(rule.scopes), windows, rule.cost, envelope and not rule.public, json)

    def _add(self, held: _Held) -> None:
        rule = held.rule
        is_prefix = rule.path.endswith("/*")
        node = self._node(_segments(held.key, rule))
        spelled, other = node.below if is_prefix else node.exact
        if is_prefix or rule.path.endswith("/"):
            spelled, other = other, spelled
        for known in (spelled.get(rule.method), other.get(rule.method)):
            if known is not None and _contradict(known.rule, rule):
                both = (
                    repr(rule.match)
                    if known.rule.match == rule.match
                    else f"{known.rule.match!r}, with or without a slash"
                )
                raise ConfigurationError(f"contradicts {known.key}: both hold for {both}", key=held.key)
        known = spelled.get(rule.method)
        if known is None or known.respelled or rule.public is not known.rule.public:
            spelled[rule.method] = held
        other.setdefault(rule.method, held._replace(respelled=rule.public))

    def _node(self, segments: Sequence[str]) -> _Node:
        self._depth = max(self._depth, len(segments))
        node = self._root
        for segment in segments:
            node = node.children.setdefault(segment, _Node())
        return node

    def _check(self) -> None:
        """Refuse rules that drop the scopes of a wider rule, and note how many windows a request can meet."""
        for levels in self._kinds():
            for method in {name for level in levels for name in level} | {""}:
                decided = next((held for held in _matching(levels, method) if not held.respelled), None)
                demand = self._decided(levels, method)
                self.most_windows[demand.public] = max(self.most_windows[demand.public], len(demand.windows))
                if decided is None or demand.public:
                    continue
                for held in _matching(levels, method):
                    _check_scopes(decided, held)

    def _kinds(self) -> Iterator[list[_Level]]:
        """The rules for each kind of canonical path: one that a rule names, and one somewhere below it."""
        waiting: list[tuple[_Node, list[_Level]]] = [(self._root, [])]
        while waiting:
            node, above = waiting.pop()
            inside = [*above, node.below[_WITH_SLASH]] if node.below[_WITH_SLASH] else above
            # If a node adds no rule, its paths are of a kind that was listed before.
            if inside is not above or node is self._root:
                yield inside
            if inside is not above or any(node.exact):
                yield [*inside, node.exact[_WITH_SLASH]]
                if node is not self._root:
                    yield [*above, node.below[_WITHOUT_SLASH], node.exact[_WITHOUT_SLASH]]
            waiting += [(child, inside) for child in node.children.values()]


def _matching(levels: Sequence[_Level], method: str) -> Iterator[_Held]:
    """The rules for a method, the most specific first."""
    for level in reversed(levels):
        for name in _NAMES[method]:
            if name in level:
                yield level[name]


def _check_scopes(decided: _Held, wider: _Held) -> None:
    missing = sorted(wider.demand.scopes - decided.demand.scopes)
    if missing:
        raise ConfigurationError(
            f"{decided.rule.match!r} decides alone where {wider.key} ({wider.rule.match!r}) holds too, but lacks its "
            f"scopes: add {', '.join(map(repr, missing))}",
            key=decided.key,
        )


def _contradict(known: Rule, rule: Rule) -> bool:
    """Whether two rules for the same method and path (with or without a slash at the end) contradict each other."""
    if replace(known, match=rule.match) == rule:
        return False
    if known.match == rule.match or not (known.public or rule.public):
        return True
    # Public is only one spelling; what another rule demands holds for both.
    return any(
        not each.public and bool(each.scopes or each.limits is not None or each.cost > 1 or each.require_json)
        for each in (known, rule)
    )


def _segments(key: str, rule: Rule) -> list[str]:
    path = rule.path[:-1] if rule.path.endswith("/*") else rule.path
    if not canonical(path) or "*" in path:
        raise ConfigurationError(
            f"{rule.path!r} is not canonical: write no '//', dot segments, ';', '%', backslash or control characters; "
            "and '*' only as '/*' at the end",
            key=key,
        )
    segments = [segment for segment in path.split("/") if segment]
    if len(segments) > MOST_RULE_SEGMENTS:
        raise ConfigurationError(f"{rule.path!r} has more than {MOST_RULE_SEGMENTS} segments", key=key)
    return segments
