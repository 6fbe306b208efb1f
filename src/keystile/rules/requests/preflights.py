"""CORS preflights, which a browser sends before a request to another origin (Fetch standard, 4.8): is this one, and
what does the answer allow?

A preflight has no credential. So nothing that only looks like one may pass as one to an app, and what the gate answers
allows only what browsers ask for: what comes after it is judged like any request.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from ...model import Asked
from ...policy.origins import EVERY
from .canonical import OVERRIDES

ORIGIN, WANTED, NAMES = "origin", "access-control-request-method", "access-control-request-headers"
MOST_NAMES, MOST_TEXT = 32, 2048
"""How many names of headers are answered, and how many characters they may take together."""

# RFC 9110 section 5.6.2, without the asterisk: in an answer it would stand for every method or name.
_TOKEN = re.compile(r"[!#$%&'+.^_`|~0-9A-Za-z-]{1,64}")


def read_preflight(method: str, lines: Callable[[str], Sequence[str]]) -> Asked | None:
    """What a request asks for as a CORS preflight; None if it is none.

    Args:
        method: of the request, as it was sent.
        lines: gives the value of each line of the header with this lower-case name.
    """
    if method != "OPTIONS":
        return None
    origins, wanted = lines(ORIGIN), lines(WANTED)
    if not (_says_one_thing(origins) and _says_one_thing(wanted)):
        return None
    # No browser sends these with a preflight, which names the headers to come but sends none of them.
    if any(map(lines, OVERRIDES)):
        return None
    return Asked(origins[0], wanted[0], ",".join(lines(NAMES)))


def listed(origin: str, origins: frozenset[str]) -> bool:
    """Whether the pages of this origin may read answers."""
    return origin in origins or EVERY in origins


def granted(
    asked: Asked, known: Iterable[str], holds_key: Callable[[str], bool]
) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """The methods and the names of headers that the answer to a preflight allows; None if it gets no such answer.

    Args:
        asked: what it asks for.
        known: the methods that are known to be used on this path. With them a browser need not ask again.
        holds_key: whether a text holds a key. No key is repeated in an answer.
    """
    if not _TOKEN.fullmatch(asked.method) or holds_key(asked.method):
        return None
    return tuple(sorted({*known, asked.method})), _names(asked.headers, holds_key)


def _names(text: str, holds_key: Callable[[str], bool]) -> tuple[str, ...]:
    """The names in a list; none of them if one cannot be allowed, because a browser then gives up all the same."""
    if len(text) > MOST_TEXT or holds_key(text):
        return ()
    names = [name for part in text.split(",") if (name := part.strip(" \t").lower())]
    if len(names) > MOST_NAMES or not all(map(_TOKEN.fullmatch, names)):
        return ()
    return tuple(dict.fromkeys(names))


def _says_one_thing(values: Sequence[str]) -> bool:
    # Neither value ever holds a comma: where there is one, a server has joined two lines.
    return len(values) == 1 and bool(values[0].strip(" \t")) and "," not in values[0]
