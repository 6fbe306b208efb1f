"""What the usages of several windows say together: refused or not, for how long, and by which window."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ...model import Usage


def refuses(usages: Sequence[Usage]) -> bool:
    """Whether one of the windows is full, other than those that only watch."""
    return any(usage.retry_after != 0.0 and not usage.window.watching for usage in usages)


def retry_seconds(usages: Sequence[Usage]) -> int | None:
    """Whole seconds, at least 1, to wait: then it is admitted if nobody else came. None if waiting never helps."""
    wait = 0.0
    for usage in usages:
        if usage.window.watching:
            continue
        if usage.retry_after is None:
            return None
        wait = max(wait, usage.retry_after)
    return max(1, math.ceil(wait))


def binding(usages: Sequence[Usage]) -> Usage:
    """The window to tell the client of.

    Of an admitted request, the one that binds first: least remains in it, and it is the longest of those. Of a refused
    one, the one that must be waited for longest.
    """
    found = usages[0]
    if found.retry_after != 0.0:
        return max(usages, key=_wait)
    least = found.remaining
    for each in usages[1:]:
        if each.retry_after != 0.0:
            return max(usages, key=_wait)
        remaining = each.remaining
        if remaining < least or (remaining == least and each.window.seconds > found.window.seconds):
            found, least = each, remaining
    return found


def _wait(each: Usage) -> tuple[float, int]:
    return math.inf if each.retry_after is None else each.retry_after, each.window.seconds
