"""Tables for people: aligned columns that fit the terminal.

Columns take the room that there is, the first ones first. What does not fit is cut where that leaves a meaning; else
the column is left out. An id is never cut. Nothing that stands in a record reaches the terminal as a control character.
"""

from __future__ import annotations

import shutil
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

NOTHING, _CUT, _GAP = "-", "…", "  "
# The width of a terminal that does not say.
_USUAL, _LEAST = 80, 20


class Column(NamedTuple):
    """A column of a table.

    Attributes:
        title: its head.
        cell: the text for a record; empty if there is nothing to say.
        least: to how many characters it may be cut; None if it must stay whole.
        stays: whether it is there in every table, also if it is empty.
    """

    title: str
    cell: Callable[[Any], str]
    least: int | None = None
    stays: bool = False


class Layout(NamedTuple):
    """What of a table fits.

    Attributes:
        columns: those that are shown.
        widths: of each.
        left_out: the titles of columns that say something but do not fit.
    """

    columns: tuple[Column, ...]
    widths: tuple[int, ...]
    left_out: tuple[str, ...]


def terminal_width() -> int:
    """How wide a table may be: as wide as the terminal or COLUMNS says, else 80."""
    return max(_LEAST, shutil.get_terminal_size((_USUAL, 24)).columns)


def layout(columns: Sequence[Column], records: Sequence[Any], width: int) -> Layout:
    """The columns that say something of these records, as they fit the width; the first ones first."""
    texts = {each: [_text(each, record) for record in records] for each in columns}
    said = [each for each in columns if each.stays or any(text != NOTHING for text in texts[each])]
    natural = {each: max(map(_wide, (each.title, *texts[each]))) for each in said}
    least = {each: _least(each, natural[each]) for each in said}
    taken = [each for each in said if each.stays]
    for each in said:
        if not each.stays and _total([least[other] for other in (*taken, each)]) <= width:
            taken.append(each)
    kept = [each for each in said if each in taken]
    widths = _shrunk([natural[each] for each in kept], [least[each] for each in kept], width)
    return Layout(tuple(kept), tuple(widths), tuple(each.title for each in said if each not in taken))


def lines(found: Layout, records: Iterable[Any], *, head: bool = True) -> Iterator[str]:
    """The lines of a table."""
    if head:
        yield _line([each.title for each in found.columns], found)
    for record in records:
        yield _line([_text(each, record) for each in found.columns], found)


def pairs(rows: Iterable[tuple[str, str]], width: int) -> Iterator[str]:
    """Names and their values, which go on below where they are long; a word is never cut."""
    listed = [(name, printable(value) or NOTHING) for name, value in rows]
    indent = max((_wide(name) for name, _ in listed), default=0) + len(_GAP)
    for name, value in listed:
        first, *more = _folded(value, width - indent)
        yield f"{_padded(name, indent)}{first}"
        yield from (" " * indent + line for line in more)


def printable(text: str) -> str:
    """The text with everything escaped that a terminal might obey."""
    return text if text.isprintable() else "".join(each if each.isprintable() else _escaped(each) for each in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


def _text(column: Column, record: Any) -> str:
    return printable(column.cell(record)) or NOTHING


def _least(column: Column, wide: int) -> int:
    return wide if column.least is None else min(wide, max(column.least, _wide(column.title)))


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + len(_GAP) * (len(widths) - 1)


def _shrunk(widths: Sequence[int], least: Sequence[int], most: int) -> list[int]:
    """Widths that fit, where the least ones do: the widest column that can gives first."""
    found = list(widths)
    while _total(found) > most:
        free = [at for at, wide in enumerate(found) if wide > least[at]]
        if not free:
            break
        found[max(free, key=found.__getitem__)] -= 1
    return found


def _line(cells: Sequence[str], found: Layout) -> str:
    shown = (
        _padded(cell if column.least is None else _cut(cell, width), width)
        for cell, column, width in zip(cells, found.columns, found.widths, strict=True)
    )
    return _GAP.join(shown).rstrip()


def _padded(text: str, width: int) -> str:
    return text + " " * (width - _wide(text))


def _cut(text: str, width: int) -> str:
    if _wide(text) <= width:
        return text
    kept = ""
    for each in text:
        if _wide(kept + each) >= width:
            break
        kept += each
    return kept + _CUT


def _folded(text: str, width: int) -> list[str]:
    found = [""]
    for word in text.split(" "):
        if found[-1] and _wide(found[-1]) + 1 + _wide(word) > width:
            found.append(word)
        else:
            found[-1] = f"{found[-1]} {word}" if found[-1] else word
    return found


def _wide(text: str) -> int:
    """How many columns of a terminal the text takes."""
    return len(text) if text.isascii() else sum(map(_columns, text))


def _columns(character: str) -> int:
    if unicodedata.category(character) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1
