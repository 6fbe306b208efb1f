"""What a key may be used for: a list of matches as in rules, of which one must hold for a request.

To be listed is a permission: a path holds only as it is spelled, and a request that can be read in more than one way is
not permitted. ``GET`` holds HEAD too, but not the handshake of a websocket: that is
``WS /path``. A match without a method holds for all of them and for websockets.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..._ground.checks import check_strings
from ...exceptions import ConfigurationError
from ...model import Request
from ...policy import METHODS
from ...policy.matches import Pattern, parse_match
from .canonical import canonical
from .matching import PatternTree

MOST_USES = 100
WEBSOCKET = "WS"


def check_uses(matches: Any) -> tuple[str, ...] | None:
    """The matches as a tuple without repeats, or None for everything; ConfigurationError if one cannot be read."""
    if matches is None:
        return None
    listed = tuple(dict.fromkeys(check_strings(matches, "may")))
    if not 1 <= len(listed) <= MOST_USES:
        raise ConfigurationError(f"expected 1 to {MOST_USES} matches; None is everything", key="may")
    for match in listed:
        _pattern(match)
    return listed


class Uses:
    """What a key may be used for.

    Args:
        matches: as `check_uses` gives them.

    Raises:
        ConfigurationError: one cannot be read.
    """

    def __init__(self, matches: tuple[str, ...]) -> None:
        self._patterns = [_pattern(match) for match in matches]
        self._tree = PatternTree(self._patterns)

    def hold(self, request: Request) -> bool:
        """Whether this request is one of them."""
        if request.unreadable or not canonical(request.path, request.raw_path):
            return False
        websocket = request.scheme in {"ws", "wss"}
        if not websocket and request.method not in METHODS:  # a client may send "WS" as a method, too
            return False
        method = WEBSOCKET if websocket else request.method
        found = (self._patterns[place] for place in self._tree.find(request.path))
        return any(each.names(method) is not None and each.spells(request.path) for each in found)


def confined(match: str, held: Iterable[str]) -> bool:
    """Whether every request that this match permits is permitted by one of the others as well."""
    asked = _pattern(match)
    return any(_holds(_pattern(each), asked) for each in held)


def _holds(wide: Pattern, asked: Pattern) -> bool:
    """Whether one match permits whatever another does."""
    if wide.methods and (not asked.methods or any(wide.names(method) is None for method in asked.methods)):
        return False
    length = len(wide.segments)
    if len(asked.segments) < length or not (wide.below or (len(asked.segments) == length and not asked.below)):
        return False
    if any(each not in {None, other} for each, other in zip(wide.segments, asked.segments, strict=False)):
        return False
    if not wide.below:
        return wide.slash is asked.slash or not length
    return asked.below or len(asked.segments) + asked.slash > length


def _pattern(match: str) -> Pattern:
    methods, space, path = match.partition(" ")
    listed = methods.split(",")
    try:
        if not space or WEBSOCKET not in listed:
            pattern = parse_match(match)
        else:
            listed.remove(WEBSOCKET)
            rest = parse_match(f"{','.join(listed)} {path}" if listed else path)
            pattern = rest._replace(methods=rest.methods | {WEBSOCKET})
    except ConfigurationError as error:
        raise ConfigurationError(error.reason, key="may") from None
    path = "".join(f"/{'x' if segment is None else segment}" for segment in pattern.segments) or "/"
    if not canonical(path):
        reason = "is not canonical: no dot segments, ';', '%', backslash or controls; no request would match it"
        raise ConfigurationError(f"{match!r} {reason}", key="may")
    return pattern
