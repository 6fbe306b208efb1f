"""Is a request what a browser asks before it sends one of another origin (Fetch standard, section 4.8)?

It brings no credential, and the app answers it; so nothing that only looks like one may pass as one.
"""

from __future__ import annotations


def is_preflight(method: str, origin: str | None, wanted: str | None) -> bool:
    """Whether this is a CORS preflight.

    Args:
        method: of the request, as it came.
        origin: the value of ``Origin``, or None for none; several lines joined by commas.
        wanted: the same of ``Access-Control-Request-Method``.
    """
    # Neither value ever holds a comma: where there is one, a server has joined two lines.
    return method == "OPTIONS" and all(value and "," not in value for value in (origin, wanted))
