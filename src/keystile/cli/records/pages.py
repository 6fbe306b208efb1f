"""Lists come in pages: `--limit`, `--after` and `--all`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import click

from ...keys.changes.fields import MAX_PAGE
from ..opening import called

Command = TypeVar("Command", bound=Callable[..., Any])

_USUAL = 100


class Part(NamedTuple):
    """Which part of a list to show.

    Attributes:
        limit: at most so many; None if nobody said.
        after: the id of the last record before it.
        everything: all records that follow.
    """

    limit: int | None
    after: str | None
    everything: bool

    @property
    def most(self) -> int:
        """How many records a page has."""
        return MAX_PAGE if self.everything else self.limit or _USUAL


def page_options(check: Callable[..., Any] | None = None) -> Callable[[Command], Command]:
    """Give a command `--limit`, `--after` and `--all`, as its arguments `limit`, `after` and `everything`.

    Args:
        check: click's callback for the id in `--after`, or None.
    """
    options = (
        click.option("--all", "everything", is_flag=True, help="Show all of them, however many there are."),
        click.option(
            "--after",
            metavar="ID",
            callback=check,
            help="Start after this one: the last one of the previous page.",
        ),
        click.option(
            "--limit",
            type=click.IntRange(1, MAX_PAGE),
            metavar="NUMBER",
            help=f"Show at most this many; default: {_USUAL}.",
        ),
    )

    def decorated(command: Command) -> Command:
        for option in options:
            command = option(command)
        return command

    return decorated


def part_of(limit: int | None, after: str | None, everything: bool) -> Part:
    """What the options say; click.UsageError if they contradict each other."""
    if everything and limit is not None:
        raise click.UsageError("--limit and --all contradict each other; leave one of them out")
    return Part(limit, after, everything)


def pages(found: Callable[..., Sequence[Any]], wanted: Part) -> Iterator[Sequence[Any]]:
    """The pages that are asked for, at least one. If there are more, a note says how to go on.

    Args:
        found: gives a page, from `after` and `limit`.
        wanted: which part of the list.
    """
    after, count = wanted.after, 0
    while True:
        page = called(found, after=after, limit=wanted.most)
        yield page
        count += len(page)
        if len(page) < wanted.most:
            break
        after = page[-1].id
        if not wanted.everything:
            if called(found, after=after, limit=1):
                click.echo(f"There are more: --after {after}", err=True)
            return
        _progress(f"\r{count:,} so far")
    if count > wanted.most:
        _progress(f"\r{count:,} in all \n")


def _progress(text: str) -> None:
    """For people who look on while the list goes elsewhere."""
    if sys.stderr is not None and sys.stderr.isatty() and sys.stdout is not None and not sys.stdout.isatty():
        click.echo(text, nl=False, err=True)
