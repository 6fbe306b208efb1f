"""Strict sliding windows in bounded memory, by anchored batches. The one home of this arithmetic in Python.

Admitted units are kept in batches. A unit joins the newest batch while less than a sixtieth of the window has passed
since that batch's first unit; otherwise it opens the next batch. A batch expires as a whole, one window's length after
its last unit. So there are at most 61 batches, and two promises hold:

- in any span [t, t + length) no more than `limit` units are ever admitted;
- a request is admitted whenever, in each of its windows, its cost and the units of the last 61/60 lengths fit.

For callers whose requests are at least a sixtieth of the window apart, decisions are exact. Several windows are decided
together: all count the request or none does, and a refused request changes nothing. The time used is never earlier than
a window's newest batch, and a batch more than one length ahead of the clock is dropped: setting a clock back costs at
most one fresh window.

All moments are whole microseconds of whatever clock the caller reads; nothing here reads one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

from ...exceptions import ConfigurationError
from ...model import Charges, Usage, Window
from .batches import asked, charge, give_back, settle, usage
from .charges import Costs, split
from .guests import drop_ended, taken_in
from .packed import BATCH, EMPTY, FIELDS, SECOND, Layout, Slot, mark_of, pack, slot_of, unpack

# How many other layouts a ledger remembers. There is one for each combination of rules and plans in use.
OTHERS = 1000

Decision = tuple[bytes | None, tuple[Usage, ...]]
Decide = Callable[..., Decision]

# Every request comes through here, and the named tuple's own constructor costs twice as much.
_new = tuple.__new__
_pack_batch, _BATCH = BATCH.pack, BATCH.size


def decide(packed: bytes | None, charges: Charges, now: int, shift: int = 0) -> Decision:
    """Decide about one request in all its windows at once.

    Args:
        packed: what the subject has used (see `packed`), or None if nothing is known of it.
        charges: all windows that hold for this request, each with the units that it costs there; no two with the same
            unit, scope and seconds.
        now: in microseconds.
        shift: what to add to a moment of this clock to get Unix microseconds.

    Returns:
        What the subject has used afterwards, or None if nothing changes, because the request is refused or costs
        nothing; and the usage of each window, which includes the cost of an admitted request.
    """
    function, costs = decider(charges)
    return function(packed, costs, now, shift)


@lru_cache(maxsize=4096)
def decider(charges: Charges) -> tuple[Decide, Costs]:
    """What does the work of `decide` for these charges, and what it takes for their costs."""
    windows, costs = split(charges)
    return ledger(windows).decider(costs), costs


def look(packed: bytes | None, windows: tuple[Window, ...], now: int, shift: int = 0) -> tuple[Usage, ...]:
    """The current usage of each window, with `retry_after` for a cost of 1. Arguments as for `decide`."""
    return ledger(windows).look(packed, (0,) * len(windows), now, shift)[1]


def refund(packed: bytes, charges: Iterable[tuple[Window, int]], at: int, now: int) -> bytes:
    """What the subject has used after some of the units that were counted are given back.

    Args:
        packed: what it has used.
        charges: windows, each with how many units of it; the oldest go first. A window whose length has passed since
            `at` stays as it is.
        at: when they were counted (`Usage.at`).
        now: as for `decide`.
    """
    units = {slot_of(window): cost for window, cost in charges}
    held = unpack(packed).items()
    return pack(
        {
            slot: give_back(state, slot[1] * SECOND, units[slot], at, now) if units.get(slot) else state
            for slot, state in held
        }
    )


@lru_cache(maxsize=4096)
def ledger(windows: tuple[Window, ...]) -> Ledger:
    """The ledger for these windows, made once."""
    return Ledger(windows)


class Ledger:
    """What `decide` and `look` need to know about a list of windows, worked out once.

    Args:
        windows: the list.
        slots: the windows that the packed subjects hold, if there are others too: of a rule, or of another plan.

    Raises:
        ConfigurationError: two windows have the same unit, scope and seconds.
    """

    def __init__(self, windows: tuple[Window, ...], slots: tuple[Slot, ...] = ()) -> None:
        self.windows = windows
        own = self._own = {slot_of(window): place for place, window in enumerate(windows)}
        if len(own) < len(windows):
            raise ConfigurationError("two windows have the same seconds", key="limits")
        self._layout = Layout(slots or tuple(own))
        self._size = len(self._layout.mark)
        self._mark, heads = self._layout.mark, self._layout.heads
        self._heads, self._write, self._read = heads.size, heads.pack, self._layout.fields.unpack_from
        self._fresh = pack(dict.fromkeys(self._layout.slots, EMPTY))
        # Where in the packed string each window of the list is, where its fields start, and its place in the list.
        self._terms = [
            (index, index * FIELDS, own[slot], asked(windows[own[slot]]))
            for index, slot in enumerate(self._layout.slots)
            if slot in own
        ]
        self._guests = [last for last, slot in zip(self._layout.lasts, slots, strict=False) if slot not in own]
        self._all: Any = tuple(item for window in windows for item in asked(window))
        written_out = {} if slots or any(each.watching for each in windows) else {1: self._one, 2: self._two}
        self._decide: Decide = written_out.get(len(windows), self._any)
        self._others: dict[bytes, Ledger] = {}
        self._blank: list[Any] = [None] * len(windows)

    def decider(self, costs: Costs) -> Decide:
        """The function that decides about these costs."""
        return self._decide if costs and all(costs) else self._any if any(costs) else self.look

    def look(self, packed: bytes | None, costs: Costs, now: int, shift: int = 0) -> Decision:
        """The usage of each window if so much were asked for. Nothing changes."""
        ledger, packed = self._fit(packed, now)
        return None, ledger.usages(packed, costs, now, shift)

    def _one(self, packed: bytes | None, costs: Costs, now: int, shift: int = 0) -> Decision:
        """One window in which nothing expires; otherwise what `_any` says.

        The usual case, written out for one and for two windows: it takes half the time of `_any`.
        """
        if packed is None or packed[: self._size] != self._mark:
            return self._any(packed, costs, now, shift)
        (cost,) = costs
        window, limit, length, width = self._all
        first, last, count, rest, old, size = self._read(packed)
        if now < last or now >= length + (old if rest else last):
            return self._any(packed, costs, now, shift)
        left = limit - count - rest - cost
        if left < 0:
            return None, self.usages(packed, costs, now, shift)
        older = packed[self._heads :]
        if now - first < width:
            count += cost
        else:
            older += _pack_batch(last, count)
            old = old if rest else last
            first, count, rest, size = now, cost, rest + count, size + 1
        after = self._write(self._mark, first, now, count, rest, old, size)
        return after + older, (
            _new(Usage, (window, left, ((old if rest else now) + length + shift) / SECOND, 0.0, now)),
        )

    def _two(self, packed: bytes | None, costs: Costs, now: int, shift: int = 0) -> Decision:
        """Two windows in which nothing expires, likewise."""
        if packed is None or packed[: self._size] != self._mark:
            return self._any(packed, costs, now, shift)
        cost1, cost2 = costs
        window1, limit1, length1, width1, window2, limit2, length2, width2 = self._all
        first1, last1, count1, rest1, old1, size1, first2, last2, count2, rest2, old2, size2 = self._read(packed)
        end1 = length1 + (old1 if rest1 else last1)
        end2 = length2 + (old2 if rest2 else last2)
        if now < last1 or now < last2 or now >= end1 or now >= end2:
            return self._any(packed, costs, now, shift)
        left1 = limit1 - count1 - rest1 - cost1
        left2 = limit2 - count2 - rest2 - cost2
        if left1 < 0 or left2 < 0:
            # Nothing expires, so there is nothing to settle.
            start = self._heads
            older1 = packed[start : start + size1 * _BATCH]
            state1 = first1, last1, count1, rest1, old1, older1
            state2 = first2, last2, count2, rest2, old2, packed[start + len(older1) :]
            return None, (
                usage(state1, self._all[:4], cost1, now, shift),
                usage(state2, self._all[4:], cost2, now, shift),
            )
        older = packed[self._heads :]
        if now - first2 < width2:
            count2 += cost2
        else:
            older += _pack_batch(last2, count2)
            old2 = old2 if rest2 else last2
            first2, count2, rest2, size2 = now, cost2, rest2 + count2, size2 + 1
        if now - first1 < width1:
            count1 += cost1
        else:
            end = size1 * _BATCH
            older = older[:end] + _pack_batch(last1, count1) + older[end:]
            old1 = old1 if rest1 else last1
            first1, count1, rest1, size1 = now, cost1, rest1 + count1, size1 + 1
        after = self._write(
            self._mark, first1, now, count1, rest1, old1, size1, first2, now, count2, rest2, old2, size2
        )
        return after + older, (
            _new(Usage, (window1, left1, ((old1 if rest1 else now) + length1 + shift) / SECOND, 0.0, now)),
            _new(Usage, (window2, left2, ((old2 if rest2 else now) + length2 + shift) / SECOND, 0.0, now)),
        )

    def _any(self, packed: bytes | None, costs: Costs, now: int, shift: int = 0) -> Decision:
        ledger, packed = self._fit(packed, now)
        return ledger.count(packed, costs, now, shift)

    def count(self, packed: bytes, costs: Costs, now: int, shift: int) -> Decision:
        """Count the costs in any number of windows, or in none. Handles every case."""
        fields, olders = self._layout.open(packed)
        heads, usages = list(fields), self._blank.copy()
        for index, at, place, term in self._terms:
            state = (*fields[at : at + FIELDS - 1], olders[index])
            (*batches, older), told = charge(state, term, costs[place], now, shift)
            if told.retry_after != 0.0 and not told.window.watching:
                return None, self.usages(packed, costs, now, shift)
            heads[at : at + FIELDS] = *batches, len(older) // _BATCH
            olders[index], usages[place] = older, told
        after = self._write(self._mark, *heads) + b"".join(olders)
        for at, length in self._guests:
            if heads[at] + length <= now:
                after = drop_ended(after, self._own, now)
                break
        return after, tuple(usages)

    def usages(self, packed: bytes, costs: Costs, now: int, shift: int) -> tuple[Usage, ...]:
        """The current usage of each window, for these costs."""
        fields, olders = self._layout.open(packed)
        usages = self._blank.copy()
        for index, at, place, term in self._terms:
            state = settle((*fields[at : at + FIELDS - 1], olders[index]), term[2], now)
            usages[place] = usage(state, term, costs[place], now, shift)
        return tuple(usages)

    def _fit(self, packed: bytes | None, now: int) -> tuple[Ledger, bytes]:
        """The ledger for the layout of this string; the string is packed anew if one of these windows is missing in
        it."""
        if packed is None:
            return self, self._fresh
        if packed.startswith(self._mark):
            return self, packed
        mark = mark_of(packed)
        other = self._others.get(mark)
        if other is not None:
            return other, packed
        held = unpack(packed)
        if self._own.keys() <= held.keys():
            if len(self._others) >= OTHERS:
                self._others.clear()
            other = self._others[mark] = Ledger(self.windows, tuple(held))
            return other, packed
        return self._fit(taken_in(held, self._own, now), now)
