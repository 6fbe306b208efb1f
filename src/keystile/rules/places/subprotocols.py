"""A key among the subprotocols of a websocket, the one place where a page's script can put it (RFC 6455 section 1.9).

The client offers ``keystile`` and the key, and others if it likes. A server must choose one of what was offered, or
browsers drop the connection; it must never be the key, which would then stand in the answer. So where the app chooses
none, the answer is ``keystile``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from ..requests.credentials import MAX_CREDENTIAL, Unusable

OURS = "keystile"
"""The subprotocol that is offered beside a key."""
# In bytes and in commas, of all lines together: nobody offers so many.
MOST_OFFERED = 8192
MOST_COMMAS = 128

_OURS = OURS.encode()
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


def offered(lines: Sequence[bytes]) -> list[bytes] | None:
    """What a client offers, in order; None if that is too much, or cannot be read."""
    if sum(map(len, lines)) > MOST_OFFERED or sum(line.count(b",") for line in lines) > MOST_COMMAS:
        return None
    listed = [word.strip(b" \t") for line in lines for word in line.split(b",")]
    found = [word for word in listed if word]  # RFC 9110 section 5.6.1: empty elements have no meaning
    return found if all(map(_TOKEN.fullmatch, found)) else None


def key_among(lines: Sequence[bytes], ours: Callable[[bytes], bool]) -> bytes | Unusable:
    """The key among them: exactly one has our form, and ``keystile`` is offered with it.

    Args:
        lines: each line of ``Sec-WebSocket-Protocol``.
        ours: whether octets have our form.
    """
    found = offered(lines)
    if found is None:
        return Unusable.AMBIGUOUS
    keys = [word for word in found if word != _OURS and ours(word)]
    if not keys:
        return Unusable.MISSING
    if len(keys) > 1 or _OURS not in found:
        return Unusable.AMBIGUOUS
    return keys[0] if len(keys[0]) <= MAX_CREDENTIAL else Unusable.MALFORMED


def others(words: Sequence[bytes], ours: Callable[[bytes], bool]) -> list[bytes]:
    """What is left for the app: where a key is offered, what is neither a key nor ``keystile``; else all of it."""
    left = [word for word in words if word == _OURS or not ours(word)]
    return [word for word in left if word != _OURS] if len(left) < len(words) else left
