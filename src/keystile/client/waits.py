"""How long a server says to wait, in seconds from its answer.

``Retry-After`` (RFC 9110 section 10.2.3) counts, in seconds or as a date. Where it is not there, or cannot be read, and
``X-RateLimit-Remaining`` is 0, ``X-RateLimit-Reset`` counts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

MOST_SECONDS = 1_000_000_000
"""About 30 years. Who says more means never; `time.sleep` would refuse a number that is longer still."""
_LONGEST_FIELD = 64
_DIGITS = re.compile(r"[0-9]+")
# A date as HTTP writes it begins with a day: the standard library would read much else.
_DATE = re.compile(r"[A-Z][a-z]{2,8},? [A-Za-z0-9: +-]+")


def told(headers: Mapping[str, str], now: float) -> float | None:
    """How long to wait, or None if the server does not say.

    Args:
        headers: of the answer.
        now: Unix seconds; used where the answer has no ``Date``, which is the clock that wrote the others.
    """
    sent = _date(headers.get("date"))
    clock = now if sent is None else sent
    found = _seconds(headers.get("retry-after"))
    if found is None and (until := _date(headers.get("retry-after"))) is not None:
        found = until - clock
    if found is None and _seconds(headers.get("x-ratelimit-remaining")) == 0:
        found = _reset(_seconds(headers.get("x-ratelimit-reset")), clock)
    return None if found is None else min(max(found, 0.0), MOST_SECONDS)


def _reset(sent: float | None, clock: float) -> float | None:
    """Gates of keystile send Unix seconds. Others send how many are left, and these are never so many."""
    return sent if sent is None or sent < MOST_SECONDS else sent - clock


def _seconds(field: str | None) -> float | None:
    text = "" if field is None or len(field) > _LONGEST_FIELD else field.strip(" \t")
    return float(text) if _DIGITS.fullmatch(text) else None


def _date(field: str | None) -> float | None:
    text = "" if field is None or len(field) > _LONGEST_FIELD else field.strip(" \t")
    if not _DATE.fullmatch(text):
        return None
    try:
        read = parsedate_to_datetime(text)
        return (read.replace(tzinfo=UTC) if read.tzinfo is None else read).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
