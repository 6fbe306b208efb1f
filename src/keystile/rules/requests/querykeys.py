"""A key in the query string, for the clients that can send it nowhere else: taken out, so that no app logs it.

RFC 6750 section 2.3 and OWASP's ASVS advise against it, since URLs end up in logs and histories; it is off by default.
Whoever looks into a query asks first whether it is too long for that.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from itertools import islice

# What servers take for a whole request line by default, and what other parsers of forms take for parameters.
MOST_QUERY, MOST_PARAMETERS = 8192, 1000

UNREAD = (b"?", b"")
"""What a query that is too long presents: not a key, but nobody can say that there is none. No header has this name."""

_DIGITS = b"0123456789ABCDEFabcdef"
_ESCAPED = re.compile(rb"%[0-9A-Fa-f]{2}")
_OCTETS = {b"%%%c%c" % (high, low): bytes.fromhex(f"{high:c}{low:c}") for high in _DIGITS for low in _DIGITS}


def is_long(query: bytes) -> bool:
    """Whether this query has more bytes or parameters than the gate looks into."""
    return len(query) > MOST_QUERY or query.count(b"&") >= MOST_PARAMETERS


def decoded(octets: bytes) -> bytes:
    """A name or a value of a query as it was meant; what is no escape stays as it is."""
    if b"+" in octets:
        octets = octets.replace(b"+", b" ")
    # `urllib.parse.unquote_to_bytes` takes ten times as long for signs that escape nothing.
    return _ESCAPED.sub(_octet, octets) if b"%" in octets else octets


def _octet(found: re.Match[bytes]) -> bytes:
    return _OCTETS[found[0]]


def without_keys(query: bytes, holds_key: Callable[[bytes], bool]) -> bytes:
    """The query without parameters that hold a key, whatever they are called: for URLs that answers lead to.

    Args:
        query: as it was sent, still encoded; nothing of one that is too long is kept.
        holds_key: whether there is a key in these octets.
    """
    if is_long(query):
        return b""
    return b"&".join(
        [part for part in query.split(b"&") if not any(map(holds_key, map(decoded, part.partition(b"="))))]
    )


def form_of(parameter: str) -> bytes:
    """What stands for this parameter where header names stand; no header can have this name."""
    return b"?" + parameter.encode()


def take(query: bytes, parameter: bytes) -> tuple[bytes, list[bytes]]:
    """The query without this parameter, however long it is, and the first two values that it had: two are too many.

    Args:
        query: as it was sent, still encoded.
        parameter: the name, decoded: letters, digits, ``_``, ``-`` and ``.``.
    """
    if parameter not in query and b"%" not in query:
        return query, []
    shown, pattern = b"&" + query, _sent(parameter)
    values = [found[1] or b"" for found in islice(pattern.finditer(shown), 2)]
    if not values:
        return query, []
    # What stands in a query that is too long is not used.
    return pattern.sub(b"", shown)[1:], [b"" if len(value) > MOST_QUERY else decoded(value) for value in values]


@lru_cache(maxsize=64)
def _sent(parameter: bytes) -> re.Pattern[bytes]:
    """This parameter and the sign before it: each octet of its name as it is or escaped, and the value."""
    octets = (b"(?:%b|(?i:%%%02x))" % (re.escape(bytes((octet,))), octet) for octet in parameter)
    return re.compile(rb"&" + b"".join(octets) + rb"(?:=([^&]*+))?(?![^&])")
