"""What an app must not see of a request, because it would stand in a log or an error report soon.

Where keys are read from, all that has our form goes: right or wrong, whole or cut. In other places a whole key goes,
and what only begins with the same letters stays: it may be a cookie or a campaign of the app's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..requests.credentials import Accepted
from ..requests.querykeys import decoded, is_long, take, without_values
from . import subprotocols
from .basic import decoded as decoded_basic
from .basic import shows_ours

_COOKIE, _AUTHORIZATION, _OFFERED = b"cookie", b"authorization", b"sec-websocket-protocol"
# In a header that carries keys. None that an app reads has so many words: a longer one goes as a whole.
_MOST_WORDS = 64
# Nor do browsers keep so many cookies for one site, or send so many octets of them.
_MOST_COOKIES, _LONGEST_COOKIES = 256, 16_384


class Hiding:
    """Takes keys out of what a door hands on.

    Args:
        accepted: the places that any rule accepts.
        ours: whether octets have our form.
        holds: whether a text holds a whole key.
        everything: look into all places, and not only those that are always emptied.
    """

    def __init__(
        self, accepted: Accepted, ours: Callable[[bytes], bool], holds: Callable[[str], bool], *, everything: bool
    ) -> None:
        self._parameters, self._ours, self._holds, self._everything = accepted.parameters, ours, holds, everything
        self._headers = frozenset(name.replace(b"_", b"-") for name in accepted.wanted) | {_AUTHORIZATION}
        self.needed = everything or accepted.subprotocols or bool(self._parameters)
        """Whether there is anything to take out of any request."""

    def query(self, query: bytes, *, refused: bool) -> bytes:
        """What is left of a query.

        Args:
            query: as it was sent, still encoded.
            refused: no app will see it, so that what stands in a key's place goes, whatever it is.
        """
        for parameter in self._parameters:
            query = take(query, parameter)[0] if refused else without_values(query, parameter, self._shows)
        return self._without_keys(query) if self._everything and query else query

    def _shows(self, value: bytes) -> bool:
        """Whether a value in a key's place shows one, if only to a tolerant reader."""
        return self._ours(value.strip()) or self._holds(_text(value))

    def _without_keys(self, query: bytes) -> bytes:
        """Without parameters that hold a whole key, whatever their names."""
        if not self._holds(_text(decoded(query))):
            return query
        if is_long(query):
            return b""
        return b"&".join([part for part in query.split(b"&") if not self._holds(_text(decoded(part)))])

    def line(self, name: bytes, value: bytes) -> bytes | None:
        """What is left of a header line; None if it goes as a whole.

        Args:
            name: in lower case; underscores count as dashes.
            value: as it was sent.
        """
        text = _text(value)
        name = name.replace(b"_", b"-")
        if name in self._headers:
            return None if self._presents(name, value) or self._holds(text) else value
        if name == _OFFERED:
            return self._offer(value)
        if not self._holds(text):
            return value
        if name != _COOKIE or len(value) > _LONGEST_COOKIES or value.count(b";") >= _MOST_COOKIES:
            return None
        return b";".join([pair for pair in value.split(b";") if not self._holds(_text(pair))]).strip() or None

    def _presents(self, name: bytes, value: bytes) -> bool:
        """Whether any word of a header that carries keys has our form."""
        words = value.replace(b",", b" ").split(None, _MOST_WORDS)
        if len(words) > _MOST_WORDS or any(map(self._ours, words)):
            return True
        if name != _AUTHORIZATION or b"basic" not in [word.lower() for word in words]:
            return False
        # Whoever reads tolerantly finds a pair that the gate would refuse: not padded, without a colon, in pieces.
        return any(map(self._is_pair, words)) or self._is_pair(b"".join(words[1:]))

    def _is_pair(self, word: bytes) -> bool:
        """Whether a key is the user or the password, or stands anywhere in what a word encodes."""
        return shows_ours(word, self._ours) or self._holds(_text(decoded_basic(word)))

    def _offer(self, value: bytes) -> bytes | None:
        words = subprotocols.offered([value])
        if words is None:
            return None
        left = self.subprotocols(words)
        return value if len(left) == len(words) else b", ".join(left) or None

    def subprotocols(self, offered: Sequence[bytes]) -> list[bytes]:
        """What is left of the subprotocols that a client offers."""
        return subprotocols.others(offered, self._ours)


def _text(octets: bytes) -> str:
    return octets.decode("latin-1")
