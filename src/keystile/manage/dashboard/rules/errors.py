"""What operations refuse, for people."""

from __future__ import annotations

from ....exceptions import KeyLimitReached, KeyNotActive, RecordChanged
from .. import texts


def told(error: Exception) -> str:
    """A refusal of an operation, for people."""
    if isinstance(error, RecordChanged):
        return texts.CHANGED
    if isinstance(error, KeyNotActive):
        return texts.NOT_ACTIVE
    if isinstance(error, KeyLimitReached):
        return texts.KEY_LIMIT.format(limit=error.limit)
    return str(error)
