"""The signed text of a place in a sorted list.

The signature binds a cursor to the list it was made for (route, other parameters, owner). The text is checked as it was
received, before anything is decoded, because base64 has many texts for the same bytes.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import b64decode, b64encode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from math import isfinite
from operator import itemgetter
from typing import Any, NoReturn
from uuid import UUID

from .._ground.checks import check_all
from .._ground.subkeys import CURSOR, subkey
from ..exceptions import ConfigurationError, InvalidRequest
from ..policy import MIN_PEPPER_BYTES

Filters = tuple[tuple[bytes, bytes], ...]
"""Query parameters, decoded, as often and in the order in which they were sent."""

MAX_CURSOR = 4096  # a cursor is sent in a query, and servers refuse a request line of about 8 KiB
_VERSION = b"\x01"
# RFC 2104 section 5: at least half of the hash's output. In base64 that is 22 characters.
_MAC_BYTES, _MAC_LENGTH = 16, 22
_JSON = (type(None), bool, int, float, str)
_TAGGED: dict[type, tuple[str, Callable[[Any], str], Callable[[str], Any]]] = {
    bytes: ("b", lambda value: b64encode(value).decode(), b64decode),
    datetime: ("t", datetime.isoformat, datetime.fromisoformat),
    date: ("d", date.isoformat, date.fromisoformat),
    Decimal: ("n", str, Decimal),
    UUID: ("u", str, UUID),
}
_READERS = {tag: read for tag, _, read in _TAGGED.values()}


def _encoded(value: Any) -> Any:
    # Exact types only, because a subclass (an enum, a timestamp of pandas) would come back as something else. The
    # exception is UUID: asyncpg has a subclass of its own with the same meaning.
    kind = UUID if isinstance(value, UUID) else type(value)
    if not (value.is_finite() if kind is Decimal else kind is not float or isfinite(value)):
        raise ValueError(f"a sort key cannot be {value}")
    if kind in _JSON:
        return value
    if kind not in _TAGGED:
        raise TypeError(f"a sort key cannot be of the type {kind.__name__}")
    tag, write, _ = _TAGGED[kind]
    return [tag, write(value)]


def _check_length(length: int) -> None:
    if length > MAX_CURSOR:
        raise ValueError(f"the sort keys are too long for a cursor of {MAX_CURSOR} characters")


def _usable(secrets: Sequence[bytes]) -> tuple[bytes, ...]:
    listed = check_all(secrets, bytes, "cursor_secrets")
    if not listed:
        raise ConfigurationError("cursors need a secret: set cursor_secrets, or peppers", key="cursor_secrets")
    if any(len(secret) < MIN_PEPPER_BYTES for secret in listed):
        raise ConfigurationError(f"expected at least {MIN_PEPPER_BYTES} bytes", key="cursor_secrets")
    return listed


def refuse_cursor(parameter: str) -> NoReturn:
    """Raise InvalidRequest, with the same reason whatever is wrong, so that nobody learns anything by trying.

    Args:
        parameter: the name of the parameter that held the cursor.
    """
    raise InvalidRequest("expected the cursor of a page of this list, asked for in the same way", parameter=parameter)


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in a sorted list. Its text holds the sort keys, readable for all; the signature covers the rest as well.

    Args:
        after: the sort keys of the last item that was seen, the unique one last. Each is None, a bool, int, float,
            str, bytes, datetime, date, Decimal or UUID.
        route: the path of the list.
        filters: the other parameters of the query. The order of different names does not matter. How often and in
            which order a name is repeated does matter: such values may be a list.
        owner: who may continue from here.
    """

    after: tuple[Any, ...]
    route: str
    filters: Filters
    owner: str

    def sign(self, secrets: Sequence[bytes]) -> str:
        """The text of this place: at most `MAX_CURSOR` characters of URL-safe base64 (RFC 4648 section 5).

        Args:
            secrets: at least 16 bytes each; the first signs. They may be used for something else as well.

        Raises:
            TypeError: a sort key has a type that cursors do not hold.
            ValueError: a sort key is not finite, or the sort keys together are too long.
            ConfigurationError: there is no usable secret.
        """
        secret = _usable(secrets)[0]
        # First what is far too long, before anything is made of it.
        _check_length(sum(len(key) for key in self.after if isinstance(key, (str, bytes))))
        # Not as ASCII: JSON's escapes are longer, and would merge two lone surrogates into one character.
        keys = json.dumps([_encoded(key) for key in self.after], separators=(",", ":"), ensure_ascii=False)
        payload = urlsafe_b64encode(_VERSION + keys.encode("utf-8", "surrogatepass")).rstrip(b"=")
        _check_length(len(payload) + _MAC_LENGTH)
        return (payload + self._mac(secret, payload)).decode()

    @classmethod
    def verify(
        cls, text: str, secrets: Sequence[bytes], *, route: str, filters: Filters, owner: str, parameter: str
    ) -> Cursor:
        """The place in a text that was signed with one of the secrets for this route, these filters and this owner.

        Raises:
            InvalidRequest: it was not. It names this parameter and gives the same reason whatever is wrong.
            ConfigurationError: there is no usable secret.
        """
        listed = _usable(secrets)
        if not _MAC_LENGTH < len(text) <= MAX_CURSOR or not text.isascii():
            refuse_cursor(parameter)
        payload, mac = text[:-_MAC_LENGTH].encode(), text[-_MAC_LENGTH:].encode()
        bound, right = cls((), route, filters, owner), False
        for secret in listed:
            right = hmac.compare_digest(bound._mac(secret, payload), mac) or right
        # What passes was made here, so only its version can be unexpected.
        decoded = urlsafe_b64decode(payload + b"=" * (-len(payload) % 4)) if right else b""
        if not decoded.startswith(_VERSION):
            refuse_cursor(parameter)
        keys = json.loads(decoded[1:].decode("utf-8", "surrogatepass"))
        after = tuple(_READERS[key[0]](key[1]) if isinstance(key, list) else key for key in keys)
        return cls(after, route, filters, owner)

    def _mac(self, secret: bytes, payload: bytes) -> bytes:
        named = sorted(self.filters, key=itemgetter(0))
        context = [text.encode("utf-8", "surrogatepass") for text in (self.route, self.owner)]
        parts = [payload, *context, *(part for pair in named for part in pair)]
        # With the lengths included, no two lists of parts give the same bytes.
        message = b"".join([len(part).to_bytes(8, "big") + part for part in parts])
        key = subkey(secret, CURSOR)
        return urlsafe_b64encode(hmac.digest(key, message, hashlib.sha256)[:_MAC_BYTES]).rstrip(b"=")
