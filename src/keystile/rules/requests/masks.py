"""Keys in places where they do not belong: a path, a request id, a method. The gate masks them in what it writes.

Clients paste keys into wrong places, and more people read logs than may know keys. In the default format the public
part of a key stays visible, so that its owner can be warned. A key of another format is found where its text stands
between delimiters.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from .querykeys import MOST_QUERY

# This many characters of a text are searched; what follows them is not shown.
MOST_TEXT = MOST_QUERY
# No key is shorter, and few names in a path are longer.
SHORTEST = 8
_STARS = "***"
# In many requests, and as long as a key may be: of the form of keys if these have none of their own.
_LONG_WORD = "x-www-form-urlencoded"
# Keys of any format consist of these characters (RFC 6750 section 2.1), and so do names in a path.
_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-._~+"
_RUN = re.compile(f"[{re.escape(_LETTERS)}]{{{SHORTEST},}}")


class Mask:
    """Finds keys within a text.

    Args:
        is_key: whether octets have the form of a key, or begin like one.
        within: finds a key within a text; its first group may be shown. None where only `is_key` knows the form.
        whole: the same for keys that are not cut. None if `within` finds no others.
    """

    def __init__(
        self,
        is_key: Callable[[bytes], object],
        within: re.Pattern[str] | None,
        whole: re.Pattern[str] | None = None,
    ) -> None:
        self._is_key, self._within, self._whole = is_key, within, whole

    def hide(self, text: str) -> str:
        """The text with its keys masked, cut after its first `MOST_TEXT` characters."""
        if len(text) > MOST_TEXT:
            text = text[:MOST_TEXT]
            if self._within is None:  # a key that was cut would not be recognised
                text = text.rstrip(_LETTERS)
            text += "…"
        if self._within is not None:
            # Searching first takes a tenth of the time, and hardly any text holds a key.
            return self._within.sub(rf"\1{_STARS}", text) if self._within.search(text) else text
        return _RUN.sub(lambda found: _STARS if self._is_key(found[0].encode()) else found[0], text)

    def holds(self, text: str) -> bool:
        """Whether this text holds a key."""
        if self._within is not None:
            return self._within.search(text) is not None
        return any(self._is_key(found[0].encode()) for found in _RUN.finditer(text))

    def holds_whole(self, text: str) -> bool:
        """Whether this text holds a key that is not cut."""
        return self.holds(text) if self._whole is None else self._whole.search(text) is not None

    @property
    def is_sure(self) -> bool:
        """Whether what it finds is a key, and not any long word."""
        return not self.holds(_LONG_WORD)

    def in_query(self, octets: bytes) -> bool:
        """Whether a name or a value of a query holds a key, or begins like one."""
        if len(octets) < SHORTEST:
            return False
        return bool(self._is_key(octets)) or self.holds(octets.decode("latin-1"))
