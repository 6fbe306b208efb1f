"""Which receiver does a request concern?

Unlike a gate, this middleware lets every other request through. So what an app might take for the path of a receiver
must concern the receiver too: with and without a slash at the end, in letters of any case, and, where the path is not
canonical or another method is named in a header, everything in which the receiver's last segment can be found.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import unquote

from ...exceptions import ConfigurationError
from ...model import Request
from ...policy import METHODS
from ...policy.matches import Pattern
from ...rules.requests.canonical import canonical

MOST_ODD = 1024
"""Characters of a path that is not canonical. In a longer one nothing is looked for: it concerns every receiver."""

# Removed by URL parsers, or the end of a text to some of them.
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class Paths:
    """The paths of receivers, ready to look up.

    Args:
        patterns: one for each receiver, of literal segments; what is found are their places in this sequence.

    Raises:
        ConfigurationError: two of them hold for the same request. Its key is ``match``.
    """

    def __init__(self, patterns: Sequence[Pattern]) -> None:
        self._patterns = patterns
        self._by_path: dict[str, list[int]] = {}
        for place, pattern in enumerate(patterns):
            # No segment of a receiver's is left open.
            path = pattern.example.rstrip("/").casefold()
            known = self._by_path.setdefault(path, [])
            for other in known:
                theirs = patterns[other].methods
                if not (pattern.methods and theirs and pattern.methods.isdisjoint(theirs)):
                    raise ConfigurationError(f"two receivers hold for {path!r}", key="match")
            known.append(place)

    def find(self, request: Request) -> tuple[int, ...]:
        """The receivers that a request concerns; several only where it can be read in more than one way."""
        path = request.path
        if request.unreadable or not canonical(path, request.raw_path):
            return self._possible(path)
        found = self._by_path.get(path.casefold().rstrip("/"))
        if found is None:
            return ()
        if request.method not in METHODS:
            return tuple(found)
        return tuple(place for place in found if self._patterns[place].names(request.method) is not None)

    def _possible(self, path: str) -> tuple[int, ...]:
        if len(path) > MOST_ODD:
            return tuple(range(len(self._patterns)))
        folded = _folded(path)
        return tuple(
            place
            for place, pattern in enumerate(self._patterns)
            if not pattern.segments or _folded(pattern.segments[-1] or "") in folded
        )


def _folded(path: str) -> str:
    """The path as the most tolerant of parsers might read it."""
    for _ in range(3):
        path = unquote(path)
    return _CONTROLS.sub("", path).casefold()
