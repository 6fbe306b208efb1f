"""Is this request a CORS preflight, which a browser sends before a request to another origin (Fetch standard, 4.8)?

A preflight has no credential, and where the policy lets it pass, the app answers it. So nothing that only looks like a
preflight may pass as one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .canonical import OVERRIDES

ORIGIN, WANTED = "origin", "access-control-request-method"


def is_preflight(method: str, lines: Callable[[str], Sequence[str]]) -> bool:
    """Whether this is a CORS preflight.

    Args:
        method: of the request, as it was sent.
        lines: gives the value of each line of the header with this lower-case name.
    """
    return (
        method == "OPTIONS"
        and _says_one_thing(lines(ORIGIN))
        and _says_one_thing(lines(WANTED))
        # No browser sends these with a preflight, which names the headers to come but sends none of them.
        and not any(map(lines, OVERRIDES))
    )


def _says_one_thing(values: Sequence[str]) -> bool:
    # Neither value ever holds a comma: where there is one, a server has joined two lines.
    return len(values) == 1 and bool(values[0].strip(" \t")) and "," not in values[0]
