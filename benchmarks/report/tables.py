"""What a part of the report is: tables for people, and figures that are compared with the aims."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from benchmarks.harness import Spread

Figures = dict[str, float]


class Bar(NamedTuple):
    """A line of a picture."""

    label: str
    spread: Spread
    ours: bool


@dataclass
class Table:
    """A table, and the picture of it.

    Attributes:
        slug: what its picture's file is called.
        bars: what the picture shows, in this unit.
    """

    slug: str
    title: str
    note: str
    head: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)
    unit: str = "µs"
    bars: list[Bar] = field(default_factory=list)

    def add(self, label: str, *cells: str, bar: Spread | None = None, ours: bool = True) -> None:
        self.rows.append((label, *cells))
        if bar is not None:
            self.bars.append(Bar(label, bar, ours))

    def markdown(self, level: str = "##") -> str:
        lines = [f"{level} {self.title}", "", self.note, "", "| " + " | ".join(self.head) + " |"]
        lines.append("|" + "---|" * len(self.head))
        lines += ["| " + " | ".join(row) + " |" for row in self.rows]
        return "\n".join(lines)


def shown(value: float) -> str:
    """A figure with as many digits as mean something."""
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def spread(found: Spread) -> tuple[str, str]:
    """The median, and the bounds."""
    return shown(found.middle), f"{shown(found.low)} to {shown(found.high)}"


def calm(found: Spread) -> tuple[str, str]:
    """The fifth percentile, and the median."""
    return shown(found.middle), shown(found.high)


def percent(found: Spread) -> tuple[str, str]:
    return f"{found.middle:.0%}", f"{found.low:.0%} to {found.high:.0%}"
