"""What a rule matches: methods, then a path of literal segments, ``{name}`` for any one, and ``/*`` at its end."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from ..exceptions import ConfigurationError

METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"))
"""The methods that rules tell apart (RFC 9110 section 9.1, RFC 5789); they are case-sensitive."""
MOST_SEGMENTS = 16

_MATCH = re.compile(r"(?:([A-Z,-]+) )?(/[^ ]*)")
_TEMPLATE = re.compile(r"\{[A-Za-z_][A-Za-z0-9_]*\}")
# In the order in which one is more specific than the other.
_LITERAL, _ANY, _BELOW = 0, 1, 2


class Pattern(NamedTuple):
    """What a rule matches.

    Attributes:
        methods: the methods, or none for all of them.
        segments: the path, segment by segment; None is any one segment that is not empty.
        below: it holds for everything below this path too.
        slash: the path ends in a slash.
    """

    methods: frozenset[str]
    segments: tuple[str | None, ...]
    below: bool
    slash: bool

    @property
    def is_everything(self) -> bool:
        """Whether everything is below it, but for paths that are too short: ``/*``, ``/{a}/*``."""
        return self.below and not any(self.segments)

    @property
    def place(self) -> tuple[int, ...]:
        """How specific its path is, the smaller the more: compared segment by segment."""
        kinds = [_ANY if segment is None else _LITERAL for segment in self.segments]
        return (*kinds, _BELOW) if self.below else tuple(kinds)

    @property
    def example(self) -> str:
        """A path that it holds for, or that the paths below it begin with; without a slash at its end."""
        return "".join(f"/{'x' if segment is None else segment}" for segment in self.segments) or "/"

    def names(self, method: str) -> int | None:
        """How it names a method: 0 by its name, 1 as the GET that holds HEAD, 2 as one of all; None if it does not."""
        if not self.methods:
            return 2
        if method in self.methods:
            return 0
        return 1 if method == "HEAD" and "GET" in self.methods else None

    def spells(self, path: str) -> bool:
        """Whether a path that it holds for is spelled as it is, with or without a slash at its end."""
        if self.below:
            return path.count("/") > len(self.segments)
        return path.endswith("/") is (self.slash or not self.segments)


@lru_cache(maxsize=1024)
def parse_match(text: str) -> Pattern:
    """The pattern that a match stands for: ``"/v1/*"``, ``"POST,PUT /v1/users/{id}"``.

    Raises:
        ConfigurationError: it cannot be read, or no request could match it. Its key is ``match``.
    """
    found = _MATCH.fullmatch(text)
    if found is None:
        raise _wrong(f"expected '/path' or 'METHOD /path', got {text!r}")
    below = found[2].endswith("/*")
    parts = (found[2][:-2] if below else found[2]).split("/")[1:]
    slash = not below and parts[-1] == ""
    if len(parts) - slash > MOST_SEGMENTS:
        raise _wrong(f"{text!r} has more than {MOST_SEGMENTS} segments")
    segments = tuple(_segment(text, part) for part in (parts[:-1] if slash else parts))
    return Pattern(_methods(text, found[1]), segments, below, slash)


def _methods(text: str, listed: str | None) -> frozenset[str]:
    methods = listed.split(",") if listed else []
    for method in methods:
        if method not in METHODS:
            names = ", ".join(sorted(METHODS))
            raise _wrong(f"{text!r}: {method!r} is not one of {names}: leave it out for a rule that holds for all")
        if methods.count(method) > 1:
            raise _wrong(f"{text!r}: {method!r} stands there twice")
    return frozenset(methods)


def _segment(text: str, part: str) -> str | None:
    if _TEMPLATE.fullmatch(part):
        return None
    if part.startswith(":") or any(sign in part for sign in "<>{}"):
        instead = "{name} for a whole segment that may be anything, or '/*' at the end for everything below"
        raise _wrong(f"{text!r}: {part!r} is no segment of a rule; write {instead}")
    if "*" in part:
        raise _wrong(f"{text!r}: '*' stands only at the end, as '/*'")
    if not part:
        raise _wrong(f"{text!r} has '//' in it: it is not canonical, and no request would match it")
    return part


def _wrong(reason: str) -> ConfigurationError:
    return ConfigurationError(reason, key="match")
