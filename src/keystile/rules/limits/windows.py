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

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from ...exceptions import ConfigurationError
from ...model import Usage, Window
from .batches import asked, give_back, settle, usage
from .packed import BATCH, EMPTY, FIELDS, SECOND, Layout, Slot, State, mark_of, pack, unpack

# How many other layouts a ledger remembers. There is one for each combination of rules and plans in use.
OTHERS = 1000
# How many windows of other requests a subject keeps; those that end last stay. Its state is read and written as a
# whole, so it must not grow with the number of rules.
MOST_GUESTS = 256

Decision = tuple[bytes | None, tuple[Usage, ...]]

# Every request comes through here, and the named tuple's own constructor costs twice as much.
_new = tuple.__new__
_pack_batch, _BATCH = BATCH.pack, BATCH.size


def decide(packed: bytes | None, windows: tuple[Window, ...], cost: int, now: int, shift: int = 0) -> Decision:
    """Decide about one request in all its windows at once.

    Args:
        packed: what the subject has used (see `packed`), or None if nothing is known of it.
        windows: all that hold for this request; no two with the same scope and seconds.
        cost: units, at least 1.
        now: in microseconds.
        shift: what to add to a moment of this clock to get Unix microseconds.

    Returns:
        What the subject has used afterwards, or None if the request is refused and nothing changes; and the usage of
        each window, which includes the cost of an admitted request.
    """
    return ledger(windows).decide(packed, cost, now, shift)


def look(packed: bytes | None, windows: tuple[Window, ...], now: int, shift: int = 0) -> tuple[Usage, ...]:
    """The current usage of each window, with `retry_after` for a cost of 1. Arguments as for `decide`."""
    return ledger(windows).look(packed, now, shift)


def refund(packed: bytes, windows: Sequence[Window], units: int, at: int, now: int) -> bytes:
    """What the subject has used after some of the units that these windows counted are given back.

    Args:
        packed: what it has used.
        windows: the windows. One whose length has passed since `at` stays as it is.
        units: how many, in each window; the oldest go first.
        at: when they were counted (`Usage.at`).
        now: as for `decide`.
    """
    slots = {(window.scope, window.seconds) for window in windows}
    held = unpack(packed).items()
    return pack(
        {slot: give_back(state, slot[1] * SECOND, units, at, now) if slot in slots else state for slot, state in held}
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
        ConfigurationError: two windows have the same scope and seconds.
    """

    def __init__(self, windows: tuple[Window, ...], slots: tuple[Slot, ...] = ()) -> None:
        self.windows = windows
        self._own = {(window.scope, window.seconds): window for window in windows}
        if len(self._own) < len(windows):
            raise ConfigurationError("two windows have the same seconds", key="limits")
        self._layout = Layout(slots or tuple(self._own))
        self._size = len(self._layout.mark)
        self._mark, heads = self._layout.mark, self._layout.heads
        self._heads, self._write, self._read = heads.size, heads.pack, self._layout.fields.unpack_from
        self._fresh = pack(dict.fromkeys(self._layout.slots, EMPTY))
        # For each packed window: where its fields start, and its limit and length; None if it is not in the list.
        self._terms = [
            (index * FIELDS, asked(self._own[slot]) if slot in self._own else None)
            for index, slot in enumerate(self._layout.slots)
        ]
        listed = [slot for slot in self._layout.slots if slot in self._own]
        self._order = None if listed == list(self._own) else [listed.index(slot) for slot in self._own]
        self._guests = [last for last, slot in zip(self._layout.lasts, slots, strict=False) if slot not in self._own]
        self._all: Any = tuple(item for window in windows for item in asked(window))
        written_out = {1: self._decide_one, 2: self._decide_two} if not slots else {}
        # Does the work of the function `decide`.
        self.decide: Callable[..., Decision] = written_out.get(len(windows), self._decide_any)
        self._others: dict[bytes, Ledger] = {}

    def look(self, packed: bytes | None, now: int, shift: int = 0) -> tuple[Usage, ...]:
        """Does the work of the function `look`."""
        ledger, packed = self._fit(packed, now)
        return ledger.usages(packed, 1, now, shift)

    def _decide_one(self, packed: bytes | None, cost: int, now: int, shift: int = 0) -> Decision:
        """One window in which nothing expires; otherwise what `_decide_any` says.

        The usual case, written out for one and for two windows: it takes half the time of `_decide_any`.
        """
        if packed is None or packed[: self._size] != self._mark:
            return self._decide_any(packed, cost, now, shift)
        window, limit, length, width = self._all
        first, last, count, rest, old, size = self._read(packed)
        if now < last or now >= length + (old if rest else last):
            return self._decide_any(packed, cost, now, shift)
        left = limit - count - rest - cost
        if left < 0:
            return None, self.usages(packed, cost, now, shift)
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

    def _decide_two(self, packed: bytes | None, cost: int, now: int, shift: int = 0) -> Decision:
        """Two windows in which nothing expires, likewise."""
        if packed is None or packed[: self._size] != self._mark:
            return self._decide_any(packed, cost, now, shift)
        window1, limit1, length1, width1, window2, limit2, length2, width2 = self._all
        first1, last1, count1, rest1, old1, size1, first2, last2, count2, rest2, old2, size2 = self._read(packed)
        end1 = length1 + (old1 if rest1 else last1)
        end2 = length2 + (old2 if rest2 else last2)
        if now < last1 or now < last2 or now >= end1 or now >= end2:
            return self._decide_any(packed, cost, now, shift)
        left1 = limit1 - count1 - rest1 - cost
        left2 = limit2 - count2 - rest2 - cost
        if left1 < 0 or left2 < 0:
            # Nothing expires, so there is nothing to settle.
            start = self._heads
            older1 = packed[start : start + size1 * _BATCH]
            state1 = first1, last1, count1, rest1, old1, older1
            state2 = first2, last2, count2, rest2, old2, packed[start + len(older1) :]
            return None, (
                usage(state1, self._all[:4], cost, now, shift),
                usage(state2, self._all[4:], cost, now, shift),
            )
        older = packed[self._heads :]
        if now - first2 < width2:
            count2 += cost
        else:
            older += _pack_batch(last2, count2)
            old2 = old2 if rest2 else last2
            first2, count2, rest2, size2 = now, cost, rest2 + count2, size2 + 1
        if now - first1 < width1:
            count1 += cost
        else:
            end = size1 * _BATCH
            older = older[:end] + _pack_batch(last1, count1) + older[end:]
            old1 = old1 if rest1 else last1
            first1, count1, rest1, size1 = now, cost, rest1 + count1, size1 + 1
        after = self._write(
            self._mark, first1, now, count1, rest1, old1, size1, first2, now, count2, rest2, old2, size2
        )
        return after + older, (
            _new(Usage, (window1, left1, ((old1 if rest1 else now) + length1 + shift) / SECOND, 0.0, now)),
            _new(Usage, (window2, left2, ((old2 if rest2 else now) + length2 + shift) / SECOND, 0.0, now)),
        )

    def _decide_any(self, packed: bytes | None, cost: int, now: int, shift: int = 0) -> Decision:
        ledger, packed = self._fit(packed, now)
        return ledger.count(packed, cost, now, shift)

    def count(self, packed: bytes, cost: int, now: int, shift: int) -> Decision:
        """Count the cost in all of any number of windows, or in none. Handles every case."""
        fields = list(self._read(packed))
        # The new heads, then the older batches that are copied and those that are added.
        parts, usages = [b""], []
        copied = end = self._heads
        for at, term in self._terms:
            first, last, count, rest, oldest, size = fields[at : at + FIELDS]
            start, end = end, end + size * _BATCH
            if term is None:
                continue
            window, limit, length, width = term
            if count and (last > now or last + length <= now or (rest and oldest + length <= now)):
                state = (first, last, count, rest, oldest, packed[start:end])
                first, last, count, rest, oldest, older = settle(state, length, now)
                parts += packed[copied:start], older
                size, copied = len(older) // _BATCH, end
            left = limit - count - rest - cost
            if left < 0:
                return None, self.usages(packed, cost, now, shift)
            moment = max(now, last)
            if moment - first < width:
                count += cost
            else:
                if count:
                    parts += packed[copied:end], _pack_batch(last, count)
                    copied = end
                    oldest = oldest if rest else last
                    rest, size = rest + count, size + 1
                first, count = moment, cost
            fields[at : at + FIELDS] = first, moment, count, rest, oldest, size
            usages.append(
                _new(Usage, (window, left, ((oldest if rest else moment) + length + shift) / SECOND, 0.0, now))
            )
        parts[0] = self._write(self._mark, *fields)
        parts.append(packed[copied:])
        after = b"".join(parts)
        for at, length in self._guests:
            if fields[at] + length <= now:
                after = self._without_guests(after, now)
                break
        return after, self._ordered(usages)

    def usages(self, packed: bytes, cost: int, now: int, shift: int) -> tuple[Usage, ...]:
        """The current usage of each window, for this cost."""
        fields, olders = self._layout.open(packed)
        usages = []
        for (at, term), older in zip(self._terms, olders, strict=False):
            if term is not None:
                state = settle((*fields[at : at + FIELDS - 1], older), term[2], now)
                usages.append(usage(state, term, cost, now, shift))
        return self._ordered(usages)

    def _ordered(self, usages: list[Usage]) -> tuple[Usage, ...]:
        return tuple(usages) if self._order is None else tuple([usages[index] for index in self._order])

    def _without_guests(self, packed: bytes, now: int) -> bytes:
        """The packed string without windows that are not in the list and have expired."""
        held = unpack(packed).items()
        return pack({slot: state for slot, state in held if slot in self._own or _counts(slot, state, now)})

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
        guests = {slot: state for slot, state in held.items() if slot not in self._own and _counts(slot, state, now)}
        if len(guests) > MOST_GUESTS:
            guests = dict(sorted(guests.items(), key=_end)[-MOST_GUESTS:])
        packed = pack({slot: held.get(slot, EMPTY) for slot in self._own} | guests)
        return self._fit(packed, now)


def _counts(slot: Slot, state: State, now: int) -> bool:
    return state[1] + slot[1] * SECOND > now


def _end(held: tuple[Slot, State]) -> int:
    (_, seconds), state = held
    return state[1] + seconds * SECOND
