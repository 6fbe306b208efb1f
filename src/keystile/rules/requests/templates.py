"""Which rules hold for a path template of a framework: ``/v1/users/{id}``, ``/files/{name:path}``.

One template stands for many paths, and not all of them need to meet the same rules. So the template is taken along the
tree of the rules. That gives a path for each set of rules that its paths can meet, and what such a path must bring is
asked of the table itself: nothing is decided here a second time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from ...exceptions import ConfigurationError
from ...model import Demand
from ...policy import METHODS, Rule
from .held import Held
from .matching import PatternTree, Step
from .paths import RuleTable

# {name} and {name:kind}, as Starlette, FastAPI and Litestar write parameters.
_PARAMETER = re.compile(r"\{[^{}/:]+(?::([^{}/]*))?\}")
_MANY = "path"


class Found(NamedTuple):
    """What holds for the paths of a template.

    Attributes:
        rules: those that hold for some of its paths, the most specific first.
        demands: what its paths must bring, each way once.
        strictest: the most that any of them must bring.
    """

    rules: list[Held]
    demands: list[Demand]
    strictest: Demand


class _Walk(NamedTuple):
    """One way to read a template: its steps, and whether its paths end in a slash."""

    steps: tuple[Step, ...]
    slash: bool


def rules_for_template(table: RuleTable, method: str, template: str) -> Found:
    """Which rules hold for the paths of a template, and what they demand.

    Args:
        table: the rules.
        method: as sent, in upper case.
        template: a path with ``{name}`` for one segment or a part of one, and ``{name:path}`` for any number of them;
            relative to the app, as rules are. Other kinds of parameters are taken for one segment.

    Raises:
        ConfigurationError: it is no path, or can meet more sets of rules than can be looked through.
    """
    rules: dict[str, Held] = {}
    demands: dict[Demand, None] = {}
    for path in _paths(table.paths_along, template):
        demands[table.demand(method, path)] = None
        rules |= {held.key: held for held in table.holding(method, path)}
    listed = sorted(rules.values(), key=lambda held: (held.pattern.place, held.pattern.names(method) or 0))
    return Found(listed, list(demands), strictest(list(demands)))


def can_match(rule: Rule, template: str, method: str | None = None) -> bool:
    """Whether a rule can hold for a path of this template, with this method or, if that is None, with any.

    Raises:
        ConfigurationError: as for `rules_for_template`.
    """
    pattern = rule.pattern
    if method is not None and method in METHODS and pattern.names(method) is None:
        return False
    tree = PatternTree([pattern])
    return any(tree.find(path) for path in _paths(tree.paths_along, template))


def strictest(demands: Sequence[Demand]) -> Demand:
    """The most that any of these demands, of each kind; only the places that a key may stand in are those that all of
    them accept, or any if there is none such."""
    first, *others = demands
    if not others:
        return first
    keyed = [each for each in demands if each.public is not True] or list(demands)
    public = min((each.public for each in demands), key=(False, "optional", True).index)
    places = [each.accept for each in keyed]
    scopes = frozenset().union(*(each.scopes for each in demands))
    return Demand(
        public=public,
        scopes=scopes,
        windows=_merged(each.windows for each in demands),
        cost=max(each.cost for each in demands),
        envelope=any(each.envelope for each in demands),
        json=any(each.json for each in demands),
        reserve=_merged(each.reserve for each in demands),
        watched=frozenset().union(*(each.watched for each in demands)) - scopes,
        admits=_together([each.admits for each in demands]),
        would_admit=_together([each.would_admit for each in demands]),
        accept=frozenset.intersection(*places) or frozenset().union(*places),
    )


def _merged(listed: Iterator[tuple[Any, ...]]) -> tuple[Any, ...]:
    return tuple(dict.fromkeys(item for items in listed for item in items))


def _together(lists: Sequence[Callable[[str | None], bool] | None]) -> Callable[[str | None], bool] | None:
    """Lists of addresses that hold together."""
    holding = [each for each in dict.fromkeys(lists) if each is not None]
    return (lambda address: all(admits(address) for admits in holding)) if holding else None


def _paths(along: Callable[[Sequence[Step]], Iterator[str]], template: str) -> Iterator[str]:
    for steps, slash in _walks(template):
        for path in along(steps):
            yield f"{path}/" if slash or not path else path


@lru_cache(maxsize=1024)
def _walks(template: str) -> tuple[_Walk, ...]:
    """The ways to read a template. A parameter of several segments at its end may be empty, or end in a slash."""
    if template and not template.startswith("/"):
        raise ConfigurationError(f"expected a path that begins with '/', got {template!r}", key="template")
    parts = template.split("/")[1:]
    slash = not parts or parts[-1] == ""
    steps = [step for part in (parts[:-1] if parts and slash else parts) for step in _steps(part)]
    if slash or not steps[-1].repeats:
        return (_Walk(tuple(steps), slash),)
    if len(steps) > 1 and steps[-2] is _AROUND:
        return _Walk(tuple(steps), False), _Walk(tuple(steps), True)
    empty, more = steps[:-2], tuple(steps)
    return _Walk(tuple(empty), True), _Walk(more, False), _Walk(more, True)


_ONE, _MORE = Step(None, None), Step(None, None, repeats=True)
# A segment that holds the beginning of a parameter of several segments, and something else.
_AROUND = Step(None, re.compile(".*", re.DOTALL))


def _steps(part: str) -> list[Step]:
    kinds = [found[1] for found in _PARAMETER.finditer(part)]
    if not kinds:
        return [Step(part, None)]
    alone = _PARAMETER.fullmatch(part) is not None
    if _MANY in kinds:
        return [_ONE if alone else _AROUND, _MORE]
    if alone:
        return [_ONE]
    texts = [re.escape(text) for text in re.split(r"\{[^{}/]+\}", part)]
    return [Step(None, re.compile(".+".join(texts), re.DOTALL))]
