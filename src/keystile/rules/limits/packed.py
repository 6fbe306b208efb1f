"""All that one subject has used, as one immutable byte string: from a dictionary in memory to a column of a database.

    mark    its own length (in 16 bits; or 0, and then in 32); then for each window its seconds, the length of its
            scope, and its scope
    heads   for each window the newest batch (first, last, count), the units of all older batches, the last moment of
            the oldest of these, and how many they are
    older   (last, count) of each older batch, oldest first

The mark says which windows these are and never how much they allow, so that a plan may change and the count stays.
Moments are microseconds in 64 bits, counts go up to 2**53, and a window may span years: nothing here can overflow.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any

Slot = tuple[str, int]
"""The scope and the seconds of a window."""

SECOND = 1_000_000
FIELDS = 6
BATCH = struct.Struct("<qq")
_SIZE = struct.Struct("<H")
_LONG_SIZE = struct.Struct("<HI")
_SLOT = struct.Struct("<IH")
_LONG_AGO = -(2**62)
LATEST = 2**62
"""No moment that is ever kept comes after this."""
UNREADABLE = (struct.error, ValueError, TypeError, AttributeError, LookupError, OverflowError)
"""What the functions of this module and of `rules.windows` raise for something that `pack` did not make."""


# One window of one subject: first, last and count of its newest batch, the units of all older batches, the last moment
# of the oldest of those (which means nothing if there are none), and (last, count) of each, packed, oldest first.
State = tuple[int, int, int, int, int, bytes]
EMPTY: State = (_LONG_AGO, _LONG_AGO, 0, 0, 0, b"")


class Layout:
    """How certain windows are packed: their mark, and where everything stands behind it."""

    def __init__(self, slots: tuple[Slot, ...]) -> None:
        parts = [(scope.encode("utf-8", "surrogatepass"), seconds) for scope, seconds in slots]
        body = b"".join(_SLOT.pack(seconds, len(scope)) + scope for scope, seconds in parts)
        self.slots = slots
        # For each window where among the fields its `last` stands, and its length.
        self.lasts = [(index * FIELDS + 1, seconds * SECOND) for index, (_, seconds) in enumerate(slots)]
        self.bare = [b""] * len(slots)
        self.mark = _marked(body)
        self.heads = struct.Struct(f"<{len(self.mark)}s{'5qB' * len(slots)}")
        # What a mark says need not be read where the mark is known.
        self.fields = struct.Struct(f"<{len(self.mark)}x{'5qB' * len(slots)}")

    def open(self, packed: bytes) -> tuple[tuple[Any, ...], list[bytes]]:
        """The fields of each window, all in a row; and each one's older batches."""
        fields = self.fields.unpack_from(packed)
        at = self.heads.size
        if len(packed) == at:
            return fields, self.bare.copy()
        olders = []
        for size in fields[FIELDS - 1 :: FIELDS]:
            start, at = at, at + size * BATCH.size
            olders.append(packed[start:at])
        return fields, olders


def _marked(body: bytes) -> bytes:
    size = _SIZE.size + len(body)
    # Callers who used thousands of rules of late hold thousands of windows.
    return _SIZE.pack(size) + body if size < 2**16 else _LONG_SIZE.pack(0, _LONG_SIZE.size + len(body)) + body


@lru_cache(maxsize=4096)
def _layout(mark: bytes) -> Layout:
    slots, at = [], _SIZE.size if any(mark[: _SIZE.size]) else _LONG_SIZE.size
    while at < len(mark):
        seconds, size = _SLOT.unpack_from(mark, at)
        at += _SLOT.size + size
        slots.append((mark[at - size : at].decode("utf-8", "surrogatepass"), seconds))
    return Layout(tuple(slots))


def mark_of(packed: bytes) -> bytes:
    """Which windows these are."""
    return packed[: packed[0] | packed[1] << 8 or _LONG_SIZE.unpack_from(packed)[1]]


def unpack(packed: bytes | None) -> dict[Slot, State]:
    """Each window's state; one of UNREADABLE is raised for what is no such string."""
    if packed is None:
        return {}
    layout = _layout(mark_of(packed))
    fields, olders = layout.open(packed)
    if layout.heads.size + sum(map(len, olders)) != len(packed):
        raise ValueError("not of this form")
    return {
        slot: (*fields[at : at + FIELDS - 1], older)
        for slot, at, older in zip(layout.slots, range(0, len(fields), FIELDS), olders, strict=True)
    }


def pack(held: Mapping[Slot, State]) -> bytes:
    """The same windows in one byte string."""
    layout = Layout(tuple(held))
    fields: list[int] = []
    for *batches, older in held.values():
        fields += (*batches, len(older) // BATCH.size)
    return layout.heads.pack(layout.mark, *fields) + b"".join(state[-1] for state in held.values())


def ends(packed: bytes) -> int:
    """The moment from which nothing of it counts any more."""
    layout = _layout(mark_of(packed))
    fields = layout.fields.unpack_from(packed)
    return int(max([fields[at] + length for at, length in layout.lasts]))


def forget(packed: bytes | None, forgotten: Collection[Slot]) -> bytes | None:
    """The same without these windows; None if that leaves nothing."""
    held = {slot: state for slot, state in unpack(packed).items() if slot not in forgotten}
    return pack(held) if held else None
