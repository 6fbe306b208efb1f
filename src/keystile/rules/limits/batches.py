"""One window: which of its batches still count, and what that means for the next request (see `windows`)."""

from __future__ import annotations

from collections.abc import Sequence

from ...model import Usage, Window
from .packed import BATCH, EMPTY, MOST, SECOND, State
from .usages import refuses

BATCHES = 60
"""A batch takes in units for this fraction of the window's length: 1/60."""

# A refusal builds a named tuple for each window. The tuple's own constructor costs twice as much.
_new = tuple.__new__

Asked = tuple[Window, int, int, int]


def asked(window: Window) -> Asked:
    """A window with its limit, its length and the width of a batch, both in microseconds."""
    length = window.seconds * SECOND
    return window, window.limit, length, -(-length // BATCHES)


def settle(state: State, length: int, now: int) -> State:
    """The state without the batches that have expired, and without those from before the clock was set back."""
    first, last, count, rest, oldest, older = state
    if last <= now < last + length and (not rest or now < oldest + length):
        return state
    while last > now + length:
        if not older:
            return EMPTY
        # The batch before it is closed: its first moment is not stored, so nothing can join it.
        last, count = BATCH.unpack_from(older, len(older) - BATCH.size)
        first, rest, older = last - length, rest - count, older[: -BATCH.size]
    gone = max(now, last) - length
    if last <= gone:
        return EMPTY
    leaving = 0
    for oldest, units in BATCH.iter_unpack(older):
        if oldest > gone:
            break
        leaving += BATCH.size
        rest -= units
    return first, last, count, rest, oldest, older[leaving:]


def charge(state: State, term: Asked, cost: int, now: int, shift: int) -> tuple[State, Usage]:
    """Count a cost in the state, if it fits or the window only watches; and where the caller stands then.

    Beyond its limit a watching window counts up to MOST units, which is as much as can be stored.
    """
    window, limit, length, width = term
    first, last, count, rest, oldest, older = state
    if not (last <= now < last + length and (not rest or now < oldest + length)):
        first, last, count, rest, oldest, older = state = settle(state, length, now)
    left, wait = limit - count - rest - cost, None
    if left < 0 or not cost:
        found = usage(state, term, cost, now, shift)
        wait, cost = found.retry_after, min(cost, MOST - count - rest)
        if cost <= 0 or not (window.watching or wait == 0.0):
            return state, found
    moment = max(now, last)
    if moment - first < width:
        count += cost
    else:
        if count:
            oldest, older = oldest if rest else last, older + BATCH.pack(last, count)
            rest += count
        first, count = moment, cost
    state = first, moment, count, rest, oldest, older
    if left < 0:
        return state, usage(state, term, 0, now, shift)._replace(retry_after=wait)
    return state, _new(Usage, (window, left, ((oldest if rest else moment) + length + shift) / SECOND, 0.0, now))


def give_back(state: State, length: int, units: int, at: int, now: int) -> State:
    """The state after giving back some of the units that were counted at the moment `at`.

    The oldest units go first, even if other requests used them: the units that stay expire later than those that were
    really used, so the limit still holds in every span. If the window's length has passed since `at`, or nothing in the
    state is as recent as that, those units no longer count, and the state stays as it is.
    """
    first, last, count, rest, oldest, older = settle(state, length, now)
    if last < at or max(now, last) >= at + length:
        return state
    while units and older:
        oldest, held = BATCH.unpack_from(older)
        taken = min(units, held)
        units, rest = units - taken, rest - taken
        older = (BATCH.pack(oldest, held - taken) if taken < held else b"") + older[BATCH.size :]
    if units >= count:
        return EMPTY
    return first, last, count - units, rest, BATCH.unpack_from(older)[0] if older else oldest, older


def usage(state: State, term: Asked, cost: int, now: int, shift: int) -> Usage:
    """The usage to report for a settled state when a request asks for this cost; for 0, whether one unit is free."""
    window, limit, length, _ = term
    used, cost = state[2] + state[3], cost or 1
    wait: float | None = 0.0
    if cost > limit:
        wait = None
    elif used + cost > limit:
        wait = (_end(state, used + cost - limit) + length - now) / SECOND
    grows = now
    if used and limit:
        # After a limit was lowered, more may be in use than it allows.
        grows = _end(state, max(1, used - limit + 1)) + length
    return _new(Usage, (window, max(0, limit - used), (grows + shift) / SECOND, wait, now))


def is_possible(usages: Sequence[Usage], costs: Sequence[int], *, counted: bool) -> bool:
    """Whether a decision is plausible. One made from octets that only look like a subject's state may not be.

    Args:
        usages, costs: of each window.
        counted: the costs were counted.
    """
    for (window, remaining, _, wait, _), cost in zip(usages, costs):  # noqa: B905 - doubles the time, on every hit's path
        if wait != 0.0 or remaining > window.limit - cost:
            break
    else:
        if counted:
            return True
    for usage, cost in zip(usages, costs, strict=True):
        window, remaining, _, wait, _ = usage
        # Of a watching window nothing may remain, whatever it costs.
        if remaining and remaining > window.limit - (cost if counted else 0):
            return False
        if wait and not 0.0 < wait <= 2 * window.seconds:
            return False
    return counted or not any(costs) or refuses(usages)


def _end(state: State, units: int) -> int:
    """The last moment of the batch that has to expire until this many of the oldest units are gone."""
    _, last, _, rest, oldest, older = state
    if units > rest:
        return last
    if units == 1:
        return oldest
    for last, count in BATCH.iter_unpack(older):  # noqa: B007 - it is what is returned
        units -= count
        if units <= 0:
            break
    return last
