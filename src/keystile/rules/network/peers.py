"""Whether a server has replaced the peer of the socket by what a header says, which anybody could have written."""

from __future__ import annotations

from collections.abc import Sequence

MOST_ENTRIES = 32
"""At most this many entries of a list are read, from the right. No chain of proxies is as long."""

# Of one header, in order, as they came.
Lines = Sequence[bytes]


def port_of(text: str) -> int | None:
    """The port that a server gives as text; None if this is no port."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else None


def is_rewritten(peer: str | None, port: int | None, lines: Lines, *, trusted: bool) -> bool:
    """Whether the server has replaced the peer of the socket by what a header says.

    Some servers (uvicorn, hypercorn, granian, daphne) then give the port 0, which no socket has. But uvicorn takes the
    port from the entry if it has one, whatever number that is. Then the header still shows where the peer comes from.

    Args:
        peer, port: as the server gave them.
        lines: each line of ``X-Forwarded-For``.
        trusted: the peer is one of our proxies. Where several proxies run on one machine, one of them may have written
            this address, but not with the port that it calls from now.
    """
    if port is not None and not 0 < port < 65536:
        return True
    literal = (peer or "").encode("latin-1", "replace")
    text = b",".join(lines) if literal else b""
    if literal not in text or not text:
        return False
    if b" " in literal.translate(_BETWEEN_V6):
        return True  # no socket's address: there is nothing to tell it from what stands around it
    if trusted:
        return port is not None and _has_port(text, literal, port)
    return literal in text.translate(_BETWEEN_V6 if b":" in literal else _BETWEEN).split()


def _has_port(text: bytes, literal: bytes, port: int) -> bool:
    """Whether an entry holds this address with this port. Not looked through if it is there more often than in any
    chain of proxies: then nobody can tell."""
    if text.count(literal) > MOST_ENTRIES:
        return True
    at = text.find(literal)
    while at >= 0:
        end = text.find(b",", at)
        if _number(text[at + len(literal) : end if end >= 0 else None]) == port:
            return True
        at = text.find(literal, end) if end >= 0 else -1
    return False


# Characters that may surround an address and cannot be a part of one.
_BETWEEN_V6 = bytes(
    each if chr(each).isascii() and (chr(each).isalnum() or chr(each) in ".:%_-") else 32 for each in range(256)
)
_BETWEEN = _BETWEEN_V6.replace(b":", b" ")
_NO_DIGITS = bytes(each for each in range(256) if not 48 <= each <= 57)


def _number(text: bytes) -> int | None:
    """What Python's `int` may read it as. `int` accepts blanks, a sign, underscores and any number of zeros."""
    digits = text.translate(None, _NO_DIGITS).lstrip(b"0")
    return int(digits) if 0 < len(digits) < 6 else None
