"""How long a server says to wait, in seconds from its answer.

``Retry-After`` (RFC 9110 section 10.2.3) counts, in seconds or as a date. Where it is not there, or cannot be read, and
``X-RateLimit-Remaining`` is 0, ``X-RateLimit-Reset`` counts.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..rules.waits import MOST_SECONDS, moment_in, retry_after, seconds_in


def told(headers: Mapping[str, str], now: float) -> float | None:
    """How long to wait, or None if the server does not say.

    Args:
        headers: of the answer.
        now: Unix seconds; used where the answer has no ``Date``, which is the clock that wrote the others.
    """
    sent = moment_in(headers.get("date"))
    clock = now if sent is None else sent
    found = retry_after(headers.get("retry-after"), clock)
    if found is None and seconds_in(headers.get("x-ratelimit-remaining")) == 0:
        found = _reset(seconds_in(headers.get("x-ratelimit-reset")), clock)
    return None if found is None else min(max(found, 0.0), MOST_SECONDS)


def _reset(sent: float | None, clock: float) -> float | None:
    """Gates of keystile send Unix seconds. Others send how many are left, and these are never so many."""
    return sent if sent is None or sent < MOST_SECONDS else sent - clock
