"""Everything that one subject has used, as one immutable byte string, for a dictionary in memory or a database column.

    mark    its own length (in 16 bits; or 0, followed by the length in 32 bits); then for each window its seconds, the
            length of its name, and its name
    heads   for each window the newest batch (first, last, count), the units of all older batches, the last moment of
            the oldest of these, and the number of older batches
    older   (last, count) of each older batch, oldest first

The mark says which windows these are and never how much they allow, so the count survives a change of plan. Moments are
microseconds in 64 bits, counts go up to 2**53, and a window may span years: nothing here can overflow.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any

from ...model import Window

Slot = tuple[str, int]
"""The name of a window (`slot_of`) and its seconds."""

SECOND = 1_000_000
MOST = 2**53
"""The highest count and the highest limit that every limiter can store."""
FIELDS = 6
BATCH = struct.Struct("<qq")
_SIZE = struct.Struct("<H")
_LONG_SIZE = struct.Struct("<HI")
_SLOT = struct.Struct("<IH")
_LONG_AGO = -(2**62)
LATEST = 2**62
"""No stored moment is later than this."""
UNREADABLE = (struct.error, ValueError, TypeError, AttributeError, LookupError, OverflowError)
"""What the functions of this module and of `windows` raise for a string that `pack` did not make."""


# One window of one subject: first, last and count of its newest batch, the units of all older batches, the last moment
# of the oldest of those (which means nothing if there are none), and (last, count) of each, packed, oldest first.
State = tuple[int, int, int, int, int, bytes]
EMPTY: State = (_LONG_AGO, _LONG_AGO, 0, 0, 0, b"")


def slot_of(window: Window) -> Slot:
    """What tells a window from others of the same subject: its unit, its scope and its seconds, never its limit.

    A window of requests has its scope for a name. No name of one with a unit is the scope of another.
    """
    _, seconds, scope, unit, _ = window
    return (f"\0{unit}\0{scope}" if unit or scope.startswith("\0") else scope), seconds


class Layout:
    """How a certain list of windows is packed: its mark, and the position of everything after the mark."""

    def __init__(self, slots: tuple[Slot, ...]) -> None:
        parts = [(name.encode("utf-8", "surrogatepass"), seconds) for name, seconds in slots]
        body = b"".join(_SLOT.pack(seconds, len(name)) + name for name, seconds in parts)
        self.slots = slots
        # For each window the index of its `last` among the fields, and its length.
        self.lasts = [(index * FIELDS + 1, seconds * SECOND) for index, (_, seconds) in enumerate(slots)]
        self.bare = [b""] * len(slots)
        self.mark = _marked(body)
        self.heads = struct.Struct(f"<{len(self.mark)}s{'5qB' * len(slots)}")
        # Where the mark is known it need not be read.
        self.fields = struct.Struct(f"<{len(self.mark)}x{'5qB' * len(slots)}")

    def open(self, packed: bytes) -> tuple[tuple[Any, ...], list[bytes]]:
        """The fields of all windows in one row, and the older batches of each window."""
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
    # A caller who has used thousands of rules lately has thousands of windows.
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
    """Each window's state. Raises one of UNREADABLE for a string that is not of this form."""
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
    """The moment from which nothing in it counts any more."""
    layout = _layout(mark_of(packed))
    fields = layout.fields.unpack_from(packed)
    return int(max([fields[at] + length for at, length in layout.lasts]))


def forget(packed: bytes | None, forgotten: Collection[Slot]) -> bytes | None:
    """The same without these windows; None if nothing is left."""
    held = {slot: state for slot, state in unpack(packed).items() if slot not in forgotten}
    return pack(held) if held else None
