"""A key in the query string, for clients that cannot send it anywhere else. It is taken out, so that no app logs it.

RFC 6750 section 2.3 and OWASP's ASVS advise against it, because URLs end up in logs and histories. It is off by
default. Every caller checks `is_long` before it reads a query.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from itertools import islice

# What servers accept as a whole request line by default, and how many parameters other form parsers accept.
MOST_QUERY, MOST_PARAMETERS = 8192, 1000

UNREAD = (b"?", b"")
"""Stands for a query that is too long to read: nobody knows whether it holds a key. No header has this name."""

_DIGITS = b"0123456789ABCDEFabcdef"
_ESCAPED = re.compile(rb"%[0-9A-Fa-f]{2}")
_OCTETS = {b"%%%c%c" % (high, low): bytes.fromhex(f"{high:c}{low:c}") for high in _DIGITS for low in _DIGITS}


def is_long(query: bytes) -> bool:
    """Whether this query has more bytes or parameters than the gate looks into."""
    return len(query) > MOST_QUERY or query.count(b"&") >= MOST_PARAMETERS


def decoded(octets: bytes) -> bytes:
    """A name or a value of a query, decoded. A "%" that begins no escape stays as it is."""
    if b"+" in octets:
        octets = octets.replace(b"+", b" ")
    # `urllib.parse.unquote_to_bytes` takes ten times as long for percent signs that escape nothing.
    return _ESCAPED.sub(_octet, octets) if b"%" in octets else octets


def _octet(found: re.Match[bytes]) -> bytes:
    return _OCTETS[found[0]]


def without_keys(query: bytes, holds_key: Callable[[bytes], bool]) -> bytes:
    """The query without parameters that hold a key, whatever their names: for URLs in answers.

    Args:
        query: as it was sent, still encoded. If it is too long, the result is empty.
        holds_key: whether these octets hold a key.
    """
    if is_long(query):
        return b""
    return b"&".join(
        [part for part in query.split(b"&") if not any(map(holds_key, map(decoded, part.partition(b"="))))]
    )


def take(query: bytes, parameter: bytes) -> tuple[bytes, list[bytes]]:
    """The query without this parameter, however long the query is; and its first two values, since two are one too
    many.

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
    # A value that is too long is not used.
    return pattern.sub(b"", shown)[1:], [b"" if len(value) > MOST_QUERY else decoded(value) for value in values]


def without_values(query: bytes, parameter: bytes, is_key: Callable[[bytes], bool]) -> bytes:
    """The query without this parameter where its value is a key; elsewhere it stays.

    Args:
        query: as it was sent, still encoded, however long.
        parameter: the name, decoded.
        is_key: whether a decoded value is one. In a query that is too long to look into, every value counts as one.
    """
    if is_long(query):
        return take(query, parameter)[0]
    if parameter not in query and b"%" not in query:
        return query

    def kept(found: re.Match[bytes]) -> bytes:
        return b"" if is_key(decoded((found[1] or b"")[:MOST_QUERY])) else found[0]

    shown = b"&" + query
    rest = _sent(parameter).sub(kept, shown)
    return query if rest == shown else rest[1:]


@lru_cache(maxsize=64)
def _sent(parameter: bytes) -> re.Pattern[bytes]:
    """Finds this parameter, with the "&" before it: each octet of its name plain or escaped, and its value."""
    octets = (b"(?:%b|(?i:%%%02x))" % (re.escape(bytes((octet,))), octet) for octet in parameter)
    return re.compile(rb"&" + b"".join(octets) + rb"(?:=([^&]*+))?(?![^&])")
