"""Which one key does a request present, where places differ by path or other credentials may stand in them?

All places that any rule accepts are looked at on every path, and all together hold one key or none
(`requests.credentials`). Only then is it asked whether that key stands where it may on this path.

A credential has *our form* if what stands before its first underscore is our prefix. With ``foreign="ignore"`` what has
another form is the app's own affair, as long as no key of ours stands beside it. A credential of our form is never the
app's affair, however wrong it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from ...policy.places import BASIC, SUBPROTOCOL, Place
from ..requests.credentials import Accepted, Unusable, read
from . import subprotocols
from .basic import key_of

Found = bytes | Unusable
Lines = Sequence[tuple[bytes, bytes]]


class Presented(NamedTuple):
    """What a request presents.

    Attributes:
        key: the key, or why there is none.
        places: where it stands.
    """

    key: Found
    places: frozenset[Place] = frozenset()


class Finder:
    """Finds the one key of a request.

    Args:
        accepted: the places that any rule accepts.
        ours: whether octets have our form.
        is_key: whether octets can be a key: their form and their check are right.
        ignores: what has not our form is the app's affair.
    """

    def __init__(
        self, accepted: Accepted, ours: Callable[[bytes], bool], is_key: Callable[[bytes], bool], *, ignores: bool
    ) -> None:
        self._accepted, self._ours, self._is_key, self._ignores = accepted, ours, is_key, ignores

    def find(self, presented: Lines) -> Presented:
        """The one key.

        Args:
            presented: (lower-case name, value) of each line or parameter, in order of arrival, as for
                `credentials.extract`; of ``Sec-WebSocket-Protocol`` only for websockets, where it may repeat.
        """
        offers = [value for name, value in presented if name == SUBPROTOCOL.header]
        lines = [line for line in presented if line[0] != SUBPROTOCOL.header]
        names = {name for name, _ in lines}
        if len(names) < len(lines) or not names <= self._accepted.headers:
            return Presented(Unusable.AMBIGUOUS)
        found: list[tuple[Place, Found, bool]] = [self._read(name, value) for name, value in lines]
        if offers:
            key = subprotocols.key_among(offers, self._ours)
            found.append((SUBPROTOCOL, key, True))
        found = [each for each in found if each[1] is not Unusable.MISSING]
        return self._among_all(found) if self._ignores else self._one(found)

    def _read(self, name: bytes, value: bytes) -> tuple[Place, Found, bool]:
        """Where a line's key stands, the key, and whether it has our form."""
        token = read(name, value, self._accepted)
        if name != b"authorization":
            return Place(name), token, self._is_ours(token, value.strip(b" \t"))
        scheme, rest = [*value.split(None, 1), b"", b""][:2]
        place = Place(name, scheme.lower())
        if place == BASIC and isinstance(token, bytes):
            token = key_of(token, self._ours)
            return place, token, isinstance(token, bytes)
        return place, token, self._is_ours(token, rest)

    def _is_ours(self, token: Found, text: bytes) -> bool:
        return self._ours(token if isinstance(token, bytes) else text)

    def _one(self, found: Sequence[tuple[Place, Found, bool]]) -> Presented:
        """Whatever its form: more than one are too many."""
        keys = {key for _, key, _ in found}
        if not keys:
            return Presented(Unusable.MISSING)
        if len(keys) > 1 or Unusable.AMBIGUOUS in keys:
            return Presented(Unusable.AMBIGUOUS)
        return Presented(keys.pop(), frozenset(place for place, _, _ in found))

    def _among_all(self, found: Sequence[tuple[Place, Found, bool]]) -> Presented:
        """The one of our form, unless others stand beside it. What may be several joined is not told apart."""
        if any(key is Unusable.AMBIGUOUS for _, key, _ in found):
            return Presented(Unusable.AMBIGUOUS)
        ours = {key for _, key, is_ours in found if is_ours}
        if len(found) > 1 and any(isinstance(key, Unusable) or not self._is_key(key) for key in ours):
            return Presented(Unusable.MALFORMED)  # whatever is good beside it
        mine = [each for each in found if each[2]]
        return self._one(found if mine else [])
