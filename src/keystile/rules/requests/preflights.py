"""Is a request what a browser asks before it sends one of another origin (Fetch standard, section 4.8)?

It brings no credential, and where the policy lets it pass the app answers it; so nothing that only looks like one may
pass as one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

ORIGIN, WANTED = "origin", "access-control-request-method"
# What makes an app treat a request as one of another method. No browser sends these with a preflight: it names the
# headers that are to come, and sends none of them.
OVERRIDES = ("x-http-method-override", "x-http-method", "x-method-override")


def is_preflight(method: str, lines: Callable[[str], Sequence[str]]) -> bool:
    """Whether this is a CORS preflight.

    Args:
        method: of the request, as it came.
        lines: gives the value of each line with this lower-case header name.
    """
    return (
        method == "OPTIONS"
        and _says_one_thing(lines(ORIGIN))
        and _says_one_thing(lines(WANTED))
        and not any(map(lines, OVERRIDES))
    )


def _says_one_thing(values: Sequence[str]) -> bool:
    # Neither value ever holds a comma: where there is one, a server has joined two lines.
    return len(values) == 1 and bool(values[0].strip(" \t")) and "," not in values[0]
