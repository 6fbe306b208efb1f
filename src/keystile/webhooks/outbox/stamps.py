"""Ids and moments, as they stand in rows.

An id is a prefix, the time in milliseconds, and chance; of two ids the later one is greater as text. So a page of a
list is found by the id alone, and what is old is known without a look at it. A moment is whole microseconds since the
epoch.
"""

from __future__ import annotations

import secrets
import string
from datetime import UTC, datetime

_DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase
# 62**8 milliseconds are 6,900 years; 62**14 are 83 bits of chance.
_TIME, _CHANCE = 8, 14

ENDPOINT, MESSAGE, DELIVERY = "ep_", "msg_", "dlv_"


def new_id(prefix: str, now: float) -> str:
    """An id that nothing else has.

    Args:
        prefix: what it is the id of.
        now: Unix seconds.
    """
    return first_id(prefix, now) + "".join(secrets.choice(_DIGITS) for _ in range(_CHANCE))


def first_id(prefix: str, now: float) -> str:
    """What no id of this moment, or of a later one, is before."""
    number, text = max(0, int(now * 1000)), ""
    for _ in range(_TIME):
        number, digit = divmod(number, len(_DIGITS))
        text = _DIGITS[digit] + text
    return prefix + text


def micros(seconds: float) -> int:
    """A moment in a row, of Unix seconds."""
    return round(seconds * 1_000_000)


def seconds(found: int) -> float:
    """Unix seconds, of a moment in a row."""
    return found / 1_000_000


def moment(found: int) -> datetime:
    """A datetime in UTC, of a moment in a row."""
    return datetime.fromtimestamp(found / 1_000_000, UTC)


def maybe(found: int | None) -> datetime | None:
    """The same, or None."""
    return None if found is None else moment(found)
