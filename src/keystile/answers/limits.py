"""What a client learns about its windows: ``Retry-After``, ``X-RateLimit-*``, and the IETF draft's fields if wanted.

``X-RateLimit-Limit``, ``-Remaining`` and ``-Reset`` describe one window. For an admitted request it is the one that
will be full first (least remaining; of equals, the longer); for a refused request, the one with the longest wait. Reset
is the moment when Remaining next grows, in Unix seconds, rounded up.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import AnyStr, Generic

from ..model import Usage
from ..policy import Policy
from ..rules.limits.usages import binding

Fields = list[tuple[str, str]]

SHOWN = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
LIMIT, REMAINING, RESET = NAMES = tuple(name.lower() for name in SHOWN)


def shown_names(policy: Policy) -> tuple[str, ...]:
    """The fields in which answers of a gate may say where a caller stands, as people write them."""
    return (*SHOWN, "RateLimit-Policy", "RateLimit") if policy.ietf_headers else SHOWN


class FieldWriter(Generic[AnyStr]):
    """Writes the header fields for a caller's windows in the text type of one door, with names in lower case.

    Args:
        encode: turns a lower-case str into the door's text: ``str.encode``, or ``str``.
        ietf: add ``RateLimit-Policy`` and ``RateLimit`` (draft-ietf-httpapi-ratelimit-headers-11).
    """

    def __init__(self, encode: Callable[[str], AnyStr], *, ietf: bool) -> None:
        self._encode: Callable[[str], AnyStr] = encode
        self._ietf = ietf
        self._limit: AnyStr = encode(LIMIT)
        self._remaining: AnyStr = encode(REMAINING)
        self._reset: AnyStr = encode(RESET)

    def write(self, usages: Sequence[Usage], now: float) -> list[tuple[AnyStr, AnyStr]]:
        """The fields that say where the caller stands; none if there are no windows.

        Args:
            usages: what the limiter answered.
            now: Unix seconds.
        """
        if not usages:
            return []
        window, remaining, reset_at, retry_after, _ = binding(usages)
        if retry_after:
            reset_at = now + max(1, math.ceil(retry_after))
        encode = self._encode
        found = [
            (self._limit, encode(str(window.limit))),
            (self._remaining, encode(str(remaining))),
            (self._reset, encode(str(math.ceil(reset_at)))),
        ]
        if self._ietf:
            found += [(encode(name), encode(value)) for name, value in _draft(usages, now)]
        return found


def _draft(usages: Sequence[Usage], now: float) -> Fields:
    policies, states = [], []
    for window, remaining, reset_at, *_ in usages:
        name = f'"{window.seconds}s{_quoted(window.scope)}"'
        policies.append(f"{name};q={window.limit};w={window.seconds}")
        states.append(f"{name};r={remaining};t={max(0, math.ceil(reset_at - now))}")
    return [("ratelimit-policy", ", ".join(policies)), ("ratelimit", ", ".join(states))]


def _quoted(scope: str) -> str:
    """A rule's match, reduced to what an RFC 9651 string allows, with a space before it."""
    shown = "".join(letter if " " <= letter <= "~" and letter not in '"\\' else "?" for letter in scope)
    return f" {shown}" if shown else ""
