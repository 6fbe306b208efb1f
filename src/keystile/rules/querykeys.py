"""A key in the query string, for the clients that can send it nowhere else: taken out, so that no app logs it.

RFC 6750 section 2.3 and OWASP's ASVS advise against it, since URLs end up in logs and histories; it is off by default.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import unquote_to_bytes


def without_keys(query: bytes, is_key: Callable[[bytes], bool]) -> bytes:
    """The query without parameters that hold a key, whatever they are called: for URLs that answers lead to.

    Args:
        query: as it was sent, still encoded.
        is_key: whether these octets have the form of a key.
    """

    def holds_key(part: bytes) -> bool:
        # A key with white space around it is not admitted, but is as secret as without.
        return any(is_key(unquote_to_bytes(each).strip()) for each in part.replace(b"+", b" ").split(b"="))

    return b"&".join(part for part in query.split(b"&") if not holds_key(part))


def form_of(parameter: str) -> bytes:
    """What stands for this parameter where header names stand; no header can have this name."""
    return b"?" + parameter.encode()


def take(query: bytes, parameter: bytes) -> tuple[bytes, list[bytes]]:
    """The query without this parameter, and the values that it had.

    Args:
        query: as it was sent, still encoded.
        parameter: the name, decoded.
    """
    kept, values = [], []
    for part in query.split(b"&"):
        name, _, value = part.replace(b"+", b" ").partition(b"=")
        if unquote_to_bytes(name) == parameter:
            values.append(unquote_to_bytes(value))
        else:
            kept.append(part)
    return (b"&".join(kept), values) if values else (query, [])
