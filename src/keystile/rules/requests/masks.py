"""Keys where none belong: in a path, a request id, a method. What the gate writes of these shows none.

Clients paste keys into wrong places, and logs are read by more people than may hold keys. Of a key in the default
format its public part stays, so that its owner can be told; one of another format is found where its text stands
between delimiters.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from .querykeys import MOST_QUERY

# So many characters of a text are looked over; what is behind them is not shown.
MOST_TEXT = MOST_QUERY
# No key is shorter, and few names in a path are longer.
SHORTEST = 8
_STARS = "***"
# Of these characters keys of any format are made (RFC 6750 section 2.1), and so are names in a path.
_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-._~+"
_RUN = re.compile(f"[{re.escape(_LETTERS)}]{{{SHORTEST},}}")


class Mask:
    """Finds keys within a text.

    Args:
        is_key: whether octets are a key by their form, or begin like one.
        within: how a key looks within a text, with what may be shown as its first group; None where only `is_key`
            knows.
    """

    def __init__(self, is_key: Callable[[bytes], object], within: re.Pattern[str] | None) -> None:
        self._is_key, self._within = is_key, within

    def hide(self, text: str) -> str:
        """The text without keys, and without what is behind its first `MOST_TEXT` characters."""
        if len(text) > MOST_TEXT:
            text = text[:MOST_TEXT]
            if self._within is None:  # cut through, a key would not be known for one
                text = text.rstrip(_LETTERS)
            text += "…"
        if self._within is not None:
            # To look first takes a tenth of the time, and nearly no text holds one.
            return self._within.sub(rf"\1{_STARS}", text) if self._within.search(text) else text
        return _RUN.sub(lambda found: _STARS if self._is_key(found[0].encode()) else found[0], text)

    def holds(self, text: str) -> bool:
        """Whether a key stands in this text."""
        if self._within is not None:
            return self._within.search(text) is not None
        return any(self._is_key(found[0].encode()) for found in _RUN.finditer(text))

    def in_query(self, octets: bytes) -> bool:
        """Whether a key, or what begins like one, stands in a name or a value of a query."""
        if len(octets) < SHORTEST:
            return False
        return bool(self._is_key(octets)) or self.holds(octets.decode("latin-1"))
