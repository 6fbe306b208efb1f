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
        place.pass_over(held[:cut])
        rest = held[cut:]
    yield from _matches(rest, pattern, len(rest), place)


def _matches(held: bytes, pattern: re.Pattern[bytes], settled: int, place: _Place) -> Generator[Found, None, int]:
    """Those that begin before `settled`; gives the end of the last one."""
    done = 0
    for match in pattern.finditer(held):
        if match.start() >= settled:
            break
        yield Found(*place.of(held, match.start()), HiddenBytes(match[0]))
        done = match.end()
    return done


class _Place:
    """Counts the lines, and the octets since the last line's end, of all that was passed over."""

    def __init__(self) -> None:
        self._line, self._column = 1, 1

    def of(self, held: bytes, at: int) -> tuple[int, int]:
        """Line and column of a place in what comes next."""
        lines = held.count(b"\n", 0, at)
        begins = held.rfind(b"\n", 0, at) + 1
        return self._line + lines, at - begins + (1 if lines else self._column)

    def pass_over(self, octets: bytes) -> None:
        """Count these as passed."""
        self._line, self._column = self.of(octets, len(octets))
