"""A chart of bars as SVG: how many requests ended in which way, hour by hour or day by day.

A pure function. What is drawn differs by pattern as well as by colour, and colours come from the stylesheet, so it is
readable in the dark and for those who do not tell red from green. Nothing has a ``style``: the pages forbid it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from markupsafe import Markup

WIDTH, HEIGHT = 720, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 36, 0, 28, 32
_PLOT_WIDTH, _PLOT_HEIGHT = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM
_FLOOR = _TOP + _PLOT_HEIGHT
_LINES = 4
# One refusal among ten thousand requests must still be seen.
_LEAST = 2.0
_UNITS = ("", "k", "M", "G", "T", "P", "E", "Z")

_PATTERNS = Markup(
    '<pattern id="{name}-{place}" width="6" height="6" patternUnits="userSpaceOnUse"{turn}>'
    '<rect class="tone-{outcome}" width="6" height="6"/>{mark}</pattern>'
)
_MARKS = (
    (Markup(""), Markup("")),
    (Markup(' patternTransform="rotate(45)"'), Markup('<rect class="mark" width="2" height="6"/>')),
    (Markup(""), Markup('<circle class="mark" cx="3" cy="3" r="1.4"/>')),
)


class Outcome(NamedTuple):
    """A way in which requests end.

    Attributes:
        name: for the stylesheet.
        label: for people.
    """

    name: str
    label: str


class Bar(NamedTuple):
    """What happened in an hour or on a day.

    Attributes:
        label: which one.
        counts: how many, for each outcome.
        tick: what stands below it on the axis, or "".
    """

    label: str
    counts: tuple[int, ...]
    tick: str = ""


def chart(name: str, title: str, bars: Sequence[Bar], outcomes: Sequence[Outcome]) -> Markup:
    """The chart.

    Args:
        name: unique on its page; ids begin with it.
        title: for those who cannot see it, together with the totals.
        bars: at least one, in the order of time.
        outcomes: at most three; the first stands at the bottom of each bar.
    """
    step, top = scale(max(sum(bar.counts) for bar in bars))
    parts = [*_grid(step, top), *_bars(name, bars, outcomes, top), *_labels(step, top), *_ticks(bars)]
    return Markup(
        '<svg class="chart" viewBox="0 0 {width} {height}" role="img" aria-labelledby="{name}-title {name}-desc">'
        '<title id="{name}-title">{title}</title><desc id="{name}-desc">{totals}</desc>'
        "<defs>{defs}</defs>{parts}</svg>"
    ).format(
        width=WIDTH,
        height=HEIGHT,
        name=name,
        title=title,
        totals=told([sum(column) for column in zip(*(bar.counts for bar in bars), strict=True)], outcomes),
        defs=Markup("").join(_defs(name, outcomes)),
        parts=Markup("").join(parts),
    )


def scale(most: int) -> tuple[int, int]:
    """The distance of the lines, 1, 2 or 5 times a power of ten, and the number at the top of the chart."""
    magnitude = 1
    while True:
        for step in (magnitude, 2 * magnitude, 5 * magnitude):
            if step * _LINES >= most:
                return step, step * max(1, -(-most // step))
        magnitude *= 10


def short(number: int) -> str:
    """A number for the axis: ``20``, ``5k``, ``200M``."""
    place = 0
    while number >= 1000 and number % 1000 == 0 and place < len(_UNITS) - 1:
        number, place = number // 1000, place + 1
    return f"{number}{_UNITS[place]}"


def told(counts: Sequence[int], outcomes: Sequence[Outcome]) -> str:
    """The numbers in words: ``12 admitted, 1 rate limited``."""
    return ", ".join(f"{count:,} {outcome.label.lower()}" for count, outcome in zip(counts, outcomes, strict=True))


def _defs(name: str, outcomes: Sequence[Outcome]) -> Iterator[Markup]:
    for place, (outcome, (turn, mark)) in enumerate(zip(outcomes, _MARKS, strict=False)):
        yield _PATTERNS.format(name=name, place=place, outcome=outcome.name, turn=turn, mark=mark)


def _grid(step: int, top: int) -> Iterator[Markup]:
    for _, y in _lines(step, top):
        yield Markup('<line class="line" x1="0" x2="{}" y1="{}" y2="{}"/>').format(WIDTH, y, y)


def _labels(step: int, top: int) -> Iterator[Markup]:
    """The numbers of the lines, above each: they need no room beside the bars, and may be larger on small screens."""
    for number, y in _lines(step, top):
        if number:
            yield Markup('<text class="label" x="0" y="{}" dy="-0.35em">{}</text>').format(y, short(number))


def _lines(step: int, top: int) -> Iterator[tuple[int, str]]:
    for number in range(0, top + 1, step):
        yield number, _number(_FLOOR - _PLOT_HEIGHT * number / top)


def _bars(name: str, bars: Sequence[Bar], outcomes: Sequence[Outcome], top: int) -> Iterator[Markup]:
    room = _PLOT_WIDTH / len(bars)
    width = _number(room * 0.72)
    for place, bar in enumerate(bars):
        x = _number(_LEFT + room * (place + 0.14))
        foot, rects = float(_FLOOR), []
        for number, count in enumerate(bar.counts):
            if count == 0:
                continue
            height = max(_LEAST, _PLOT_HEIGHT * count / top)
            foot -= height
            rect = Markup('<rect x="{}" y="{}" width="{}" height="{}" rx="1.5" fill="url(#{}-{})"/>')
            rects.append(rect.format(x, _number(foot), width, _number(height), name, number))
        if rects:
            label = f"{bar.label}: {told(bar.counts, outcomes)}"
            yield Markup("<g><title>{}</title>{}</g>").format(label, Markup("").join(rects))


def _ticks(bars: Sequence[Bar]) -> Iterator[Markup]:
    room = _PLOT_WIDTH / len(bars)
    for place, bar in enumerate(bars):
        if bar.tick:
            x = _number(_LEFT + room * (place + 0.5))
            text = Markup('<text class="label" x="{}" y="{}" text-anchor="middle">{}</text>')
            yield text.format(x, HEIGHT - 6, bar.tick)


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
