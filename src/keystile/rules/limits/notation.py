"""Limits as people write them, ``"60/minute; 5000/day"``, and which lists of windows are refused."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from ...exceptions import ConfigurationError
from ...model import Window
from .packed import MOST

# Ten years. Anything beyond is a typing error, as is a limit above `packed.MOST`.
LONGEST = 366 * 86_400 * 10
MOST_WINDOWS = 32
"""At most this many windows may hold for one request: a limiter looks at each of them."""
# `limits` reads "60/0minute" as "60/minute".
_ZERO_TIMES = re.compile(r"(?:/|per)\s*0+\s*[a-z]", re.IGNORECASE)


def parse_limits(notation: str | Sequence[str] | None, *, scope: str = "", unit: str = "") -> tuple[Window, ...]:
    """The windows of a notation, as `limits` reads it.

    Args:
        notation: ``"60/minute; 5000/day"`` or a list of such strings; None is no limit at all. ``"0/minute"`` admits
            nothing.
        scope: what the windows belong to; empty for the caller's own.
        unit: what they count; empty for requests.

    Returns:
        The windows in the order in which they are written; empty for no limit.

    Raises:
        ConfigurationError: it cannot be read, or the windows contradict each other.
    """
    if notation is None:
        return ()
    texts = [notation] if isinstance(notation, str) else list(notation)
    if not texts:
        raise ConfigurationError(
            "is empty; leave it out for no limit, or write '0/minute' to admit nothing", key="limits"
        )
    windows = tuple(Window(limit, seconds, scope, unit) for text in texts for limit, seconds in _parsed(text))
    if len(windows) > MOST_WINDOWS:
        raise ConfigurationError(
            f"has more than {MOST_WINDOWS} windows, which is the most that one request may meet", key="limits"
        )
    check_windows(windows)
    return windows


def _parsed(text: str) -> list[tuple[int, int]]:
    from limits import parse_many  # this import takes longer than all the rest of this package

    wrong = ConfigurationError(f"cannot read {text!r}; write '60/minute' or '60/minute; 5000/day'", key="limits")
    if not isinstance(text, str) or _ZERO_TIMES.search(text):
        raise wrong
    try:
        return [(item.amount, item.get_expiry()) for item in parse_many(text)]
    except ValueError:
        raise wrong from None


def check_windows(windows: Sequence[Window], cost: int = 1) -> None:
    """Refuse windows that contradict each other, and a cost that could never be admitted.

    Args:
        windows: all that may hold for one request. Only those with the same scope and unit are compared.
        cost: of the request. It is not compared with a limit of 0, which admits nothing on purpose.

    Raises:
        ConfigurationError: a window is out of range or listed twice, a shorter one allows more than a longer one, or
            the cost is above a limit.
    """
    if isinstance(cost, bool) or not isinstance(cost, int) or cost < 1:
        raise ConfigurationError(f"expected a whole number of at least 1, got {cost!r}", key="cost")
    for window in windows:
        if not 0 <= window.limit <= MOST or not 1 <= window.seconds <= LONGEST:
            raise ConfigurationError(
                f"{_text(window)} is out of range: at most 2**53 units and ten years", key="limits"
            )
        if 0 < window.limit < cost:
            raise ConfigurationError(f"{cost} is above {_text(window)}: it would never be admitted", key="cost")
    kinds: dict[tuple[str, str], list[Window]] = {}
    for window in windows:
        kinds.setdefault((window.scope, window.unit), []).append(window)
    for alike in kinds.values():
        _check_order(sorted(alike, key=lambda each: each.seconds))


def _check_order(windows: list[Window]) -> None:
    for shorter, longer in pairwise(windows):
        if shorter.seconds == longer.seconds:
            raise ConfigurationError(f"{_text(shorter)} and {_text(longer)} have the same seconds", key="limits")
        if shorter.limit > longer.limit:
            raise ConfigurationError(f"{_text(shorter)} allows more than {_text(longer)}", key="limits")


def _text(window: Window) -> str:
    return f"{window.limit} in {window.seconds} seconds"
