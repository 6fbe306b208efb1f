"""Which patterns hold for a path.

A request may meet several patterns (`policy.matches`). They are found in one walk along a tree, one step for each
segment, and never further than the deepest pattern: what a stranger adds behind that is not looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ...exceptions import ConfigurationError
from ...policy.matches import Pattern

MOST_MEETINGS = 100_000
"""So many sets of patterns that one path can meet are looked through when a table is built, and one for each place."""

# A segment that no pattern names: none has a space.
_UNNAMED = " "


class Step(NamedTuple):
    """A part of a path template.

    Attributes:
        literal: the segment; None for one that may differ.
        looks: what such a segment looks like; None for anything.
        repeats: it stands for any number of segments, or none.
    """

    literal: str | None
    looks: re.Pattern[str] | None
    repeats: bool = False

    def admits(self, segment: str) -> bool:
        """Whether it may be this segment."""
        if self.literal is not None:
            return segment == self.literal
        return self.looks is None or self.looks.fullmatch(segment) is not None


class _Node:
    """One place in the tree: where its patterns lead on, which end here, and which hold for everything below."""

    __slots__ = ("any", "below", "here", "literal")

    def __init__(self) -> None:
        self.literal: dict[str, _Node] = {}
        self.any: _Node | None = None
        self.here: tuple[int, ...] = ()
        self.below: tuple[int, ...] = ()

    def step(self, segment: str | None) -> _Node:
        """Where this segment of a pattern leads, made if need be."""
        if segment is not None:
            return self.literal.setdefault(segment, _Node())
        if self.any is None:
            self.any = _Node()
        return self.any


class PatternTree:
    """Patterns, ready to be found by path.

    Args:
        patterns: what is found are their places in this sequence.
    """

    def __init__(self, patterns: Sequence[Pattern]) -> None:
        self._root = _Node()
        self._depth = max((len(pattern.segments) for pattern in patterns), default=0)
        # Each place in the tree, and what is below it.
        self._nodes = 2 * (1 + sum(len(pattern.segments) for pattern in patterns))
        for place, pattern in enumerate(patterns):
            node = self._root
            for segment in pattern.segments:
                node = node.step(segment)
            if pattern.below:
                node.below += (place,)
            else:
                node.here += (place,)

    def find(self, path: str) -> list[int]:
        """The places of all patterns that hold for a canonical path, whatever their methods; in no order."""
        # What is deeper than the deepest pattern is not looked at.
        parts = path[1:].split("/", self._depth + 1)[: self._depth + 1]
        if not parts[-1]:
            parts.pop()
        nodes, found = [self._root], list[int]()
        for part in parts:
            following = []
            for node in nodes:
                found += node.below
                literal = node.literal.get(part)
                if literal is not None:
                    following.append(literal)
                if node.any is not None:
                    following.append(node.any)
            nodes = following
        for node in nodes:
            found += node.below
            found += node.here
        return found

    def paths(self) -> Iterator[str]:
        """A path for each set of patterns that one path can meet, without a slash at its end.

        Raises:
            ConfigurationError: there are more than can be looked through.
        """
        waiting: list[tuple[list[_Node], str, bool]] = [([self._root], "", False)]
        for _ in range(self._nodes + MOST_MEETINGS):
            if not waiting:
                return
            nodes, path, under = waiting.pop()
            yield path
            under = under or any(node.below for node in nodes)
            others = [node.any for node in nodes if node.any is not None]
            for part in dict.fromkeys(part for node in nodes for part in node.literal):
                following = [*(node.literal[part] for node in nodes if part in node.literal), *others]
                waiting.append((following, f"{path}/{part}", under))
            if others or (nodes and under):
                waiting.append((others, f"{path}/{_UNNAMED}", under))
        raise _too_many()

    def paths_along(self, steps: Sequence[Step]) -> Iterator[str]:
        """A path for each set of patterns that paths of these steps can meet, without a slash at its end.

        Raises:
            ConfigurationError: there are more than can be looked through.
        """
        waiting: list[tuple[list[_Node], str, frozenset[int], int]] = [([self._root], "", frozenset(), 0)]
        seen = set()
        for _ in range((self._nodes + MOST_MEETINGS) * (len(steps) + 1)):
            if not waiting:
                return
            nodes, path, found, at = waiting.pop()
            below = found.union(*(node.below for node in nodes))
            state = (frozenset(map(id, nodes)), below, at)
            if state in seen:
                continue
            seen.add(state)
            if at == len(steps):
                yield path
                continue
            step = steps[at]
            if step.repeats:
                waiting.append((nodes, path, found, at + 1))
            after = at if step.repeats else at + 1
            waiting += [(following, f"{path}/{part}", below, after) for following, part in _onward(nodes, step)]
        raise _too_many()


def _onward(nodes: Sequence[_Node], step: Step) -> Iterator[tuple[list[_Node], str]]:
    """Where a step can lead from these places, each with a segment that leads there."""
    others = [node.any for node in nodes if node.any is not None]
    named = dict.fromkeys(part for node in nodes for part in node.literal if step.admits(part))
    for part in named:
        yield [*(node.literal[part] for node in nodes if part in node.literal), *others], part
    if step.literal is None:
        yield others, _UNNAMED
    elif not named:
        yield others, step.literal


def _too_many() -> ConfigurationError:
    return ConfigurationError("they overlap in more ways than can be looked through", key="rules")
