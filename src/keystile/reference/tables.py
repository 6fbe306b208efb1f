"""Tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

NONE = "\N{EN DASH}"
"""What stands in a cell that holds nothing."""


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table with a line for each row."""
    head, *lines = (f"| {' | '.join(line)} |\n" for line in (titles, *rows))
    return "".join([head, "|---" * len(titles), "|\n", *lines])


def code(*words: str) -> str:
    """The words as code, with commas between them."""
    return ", ".join(f"`{word}`" for word in words)
