"""Where in a stream of octets is something that may be a key?

The stream is read in blocks, and only one block is in memory, with the end of the one before it. A match may begin in
one block and end in the next; each is found once.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Iterator
from typing import NamedTuple

from .._ground.frozen import HiddenBytes

BLOCK = 1_048_576


class Found(NamedTuple):
    """Something that has the form of a key.

    Attributes:
        line, column: where it begins, from 1; the column in octets.
        raw: the octets.
    """

    line: int
    column: int
    raw: HiddenBytes


def find(blocks: Iterable[bytes], pattern: re.Pattern[bytes], longest: int) -> Iterator[Found]:
    """Every match in the stream, in order.

    Args:
        blocks: the stream.
        pattern: what to look for; nothing that it matches is empty, or holds a line's end.
        longest: no match is longer.
    """
    place = _Place()
    rest = b""
    for block in blocks:
        held = rest + block
        # What begins in the last octets may go on in the next block.
        settled = len(held) - longest
        done = yield from _matches(held, pattern, settled, place)
        cut = max(0, settled, done)
        place.move(held, done, cut)
        rest = held[cut:]
    yield from _matches(rest, pattern, len(rest), place)


def _matches(held: bytes, pattern: re.Pattern[bytes], settled: int, place: _Place) -> Generator[Found, None, int]:
    """Those that begin before `settled`; gives the end of the last one, where the place is then."""
    done = 0
    for match in pattern.finditer(held):
        begin, end = match.span()
        if begin >= settled:
            break
        place.move(held, done, begin)
        yield Found(place.line, place.column, HiddenBytes(match[0]))
        place.move(held, begin, end)
        done = end
    return done


class _Place:
    """Counts the lines, and the octets in the last of them, of all that was passed over."""

    def __init__(self) -> None:
        self.line, self.column = 1, 1

    def move(self, held: bytes, begin: int, end: int) -> None:
        """Pass over these octets; nothing is counted twice, however many keys there are."""
        lines = held.count(b"\n", begin, end)
        self.line += lines
        self.column = end - held.rfind(b"\n", begin, end) if lines else self.column + end - begin
