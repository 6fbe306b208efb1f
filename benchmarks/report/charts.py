"""Pictures of tables: bars with their bounds, as SVG by hand. A picture brings its own ground, so that it can be read
on a light page and on a dark one, and follows what the reader's system prefers."""

from __future__ import annotations

from xml.sax.saxutils import escape

from .tables import Bar, Table, shown

ROW, TEXT, WIDE, RIGHT = 22, 390, 820, 70
_STYLE = """<style>
.g{fill:#fff;stroke:#d0d7de}.t{fill:#1f2328;font:12px system-ui,sans-serif}.h{font-weight:600;font-size:13px}
.o{fill:#1f6feb}.p{fill:#8c959f}.w{stroke:#1f2328;stroke-width:1}.u{fill:#59636e}
@media (prefers-color-scheme:dark){.g{fill:#161b22;stroke:#3d444d}.t{fill:#e6edf3}.o{fill:#58a6ff}.p{fill:#6e7681}
.w{stroke:#e6edf3}.u{fill:#9198a1}}
</style>"""


def drawn(table: Table) -> str:
    """The SVG of a table. Bars that are far longer than most are cut off: their figures say how long they are."""
    height = 56 + ROW * len(table.bars)
    end = _end(table.bars)
    title = escape(table.title)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDE} {height}" role="img" aria-label="{title}">',
        _STYLE,
        f'<rect class="g" x=".5" y=".5" width="{WIDE - 1}" height="{height - 1}" rx="6"/>',
        f'<text class="t h" x="14" y="24">{title}</text>',
        f'<text class="t u" x="14" y="41">{escape(table.unit)}</text>',
    ]
    for number, bar in enumerate(table.bars):
        parts += _bar(bar, 50 + ROW * number, (WIDE - TEXT - RIGHT) / end)
    return "\n".join([*parts, "</svg>", ""])


def _end(bars: list[Bar]) -> float:
    """What the whole width means: no more than four times the middle one of all."""
    lengths = sorted(max(bar.spread.middle, 0.0) for bar in bars)
    return max(min(lengths[-1], 4 * lengths[len(lengths) // 2]), 1e-9) * 1.05


def _bar(bar: Bar, top: int, scale: float) -> list[str]:
    room = WIDE - TEXT - RIGHT
    middle, low, high = (min(max(each * scale, 0), room) for each in bar.spread)
    parts = [
        f'<text class="t" x="{TEXT - 8}" y="{top + 14}" text-anchor="end">{escape(bar.label.replace("`", ""))}</text>',
        f'<rect class="{"o" if bar.ours else "p"}" x="{TEXT}" y="{top + 3}" width="{middle:.1f}" height="14"/>',
    ]
    if high - low > 1:
        parts.append(
            f'<path class="w" d="M{TEXT + low:.1f} {top + 10}H{TEXT + high:.1f}M{TEXT + low:.1f} {top + 7}v6'
            f'M{TEXT + high:.1f} {top + 7}v6"/>'
        )
    number = escape(shown(bar.spread.middle))
    parts.append(f'<text class="t" x="{TEXT + max(middle, high) + 6:.1f}" y="{top + 14}">{number}</text>')
    return parts
