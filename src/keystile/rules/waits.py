"""How long the server behind an answer asks to be left alone: ``Retry-After`` and ``Date`` (RFC 9110)."""

from __future__ import annotations

import re
from datetime import UTC
from email.utils import parsedate_to_datetime

MOST_SECONDS = 1_000_000_000
"""About 30 years. Who says more means never; `time.sleep` would refuse a number that is longer still."""
_LONGEST_FIELD = 64
_DIGITS = re.compile(r"[0-9]+")
# A date as HTTP writes it begins with a day: the standard library would read much else.
_DATE = re.compile(r"[A-Z][a-z]{2,8},? [A-Za-z0-9: +-]+")


def retry_after(field: str | None, clock: float) -> float | None:
    """The seconds of ``Retry-After`` (RFC 9110 section 10.2.3), from 0 to `MOST_SECONDS`; None if it says none.

    Args:
        field: its value, a number or a date; None if it is not there.
        clock: Unix seconds of the clock that a date is meant by.
    """
    found = seconds_in(field)
    if found is None and (until := moment_in(field)) is not None:
        found = until - clock
    return None if found is None else min(max(found, 0.0), MOST_SECONDS)


def seconds_in(field: str | None) -> float | None:
    """The whole number that a field is, or None."""
    text = _text(field)
    return float(text) if _DIGITS.fullmatch(text) else None


def moment_in(field: str | None) -> float | None:
    """The Unix seconds of the date that a field is (RFC 9110 section 5.6.7), or None."""
    text = _text(field)
    if not _DATE.fullmatch(text):
        return None
    try:
        read = parsedate_to_datetime(text)
        return (read.replace(tzinfo=UTC) if read.tzinfo is None else read).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _text(field: str | None) -> str:
    return "" if field is None or len(field) > _LONGEST_FIELD else field.strip(" \t")
