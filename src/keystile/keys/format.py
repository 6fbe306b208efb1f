"""What a raw key looks like: ``<prefix>_<live|stage|test>_<id><secret><check>``, base62.

The id (12 characters) is public and finds the record. The secret (32 characters, 190 bits) proves the key. The check
(6 characters) catches typing errors before they cost a store read. With a pepper the check is keyed: nobody outside can
make a string that reaches the hasher. The separators are underscores, so that a double click selects the whole key.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import zlib
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, Protocol

from .._ground.checks import check_all
from ..exceptions import ConfigurationError
from ..model import Environment
from ..policy import MIN_PEPPER_BYTES

BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
ID_LENGTH = 12
SECRET_LENGTH = 32
CHECK_LENGTH = 6
HINT_LENGTH = 4

WORDS: dict[Environment, str] = {"production": "live", "staging": "stage", "development": "test"}
UNDERSCORE = "(?:_|%(?:25)*5f)"
PREFIX = re.compile(r"[A-Za-z][A-Za-z0-9]{0,19}")
ID = re.compile(rf"[0-9A-Za-z]{{{ID_LENGTH}}}")

KeyFormatName = Literal["opaque"]


class Parsed(NamedTuple):
    """What a well-formed key says about itself.

    Attributes:
        id: finds the record.
        hint: the raw key's last characters, which select one of the record's hashes.
    """

    id: str
    hint: str


class KeyFormat(Protocol):
    """How raw keys are made and read. Implement it to go on using the keys that a service already has.

    Where the id of a key does not follow from its secret, there may be one more method, ``renew(key_id, environment,
    draw)``, which makes a new raw key with an id that there is already. Without it keys cannot be rotated.
    """

    def mint(self, environment: Environment, draw: Callable[[int], str]) -> str:
        """A new raw key. `draw(n)` gives n fresh random base62 characters."""

    def parse(self, raw: bytes) -> Parsed | None:
        """The id and hint of a raw key, or None if it is not well-formed or its check fails."""


# Two digits at a time, so that a flood of malformed keys costs as little as possible.
_PAIRS = [high + low for high in BASE62 for low in BASE62]


def base62(number: int, pairs: int) -> str:
    """A non-negative number in base62 with twice `pairs` digits: padded on the left with ``0``, or its last digits."""
    text = ""
    for _ in range(pairs):
        number, pair = divmod(number, 3844)
        text = _PAIRS[pair] + text
    return text


def crc_check(body: bytes) -> str:
    """CRC32 (IEEE) of the bytes in 6 base62 digits: it catches typing errors, not attackers."""
    crc = zlib.crc32(body)
    return _PAIRS[crc // 3844**2] + _PAIRS[crc // 3844 % 3844] + _PAIRS[crc % 3844]


def keyed_check(body: bytes, pepper: bytes) -> str:
    """The first 6 base62 digits of HMAC-SHA256: without the pepper nobody can make one."""
    # 256 bits are at most 43 digits (62**43 > 2**256); the 44th digit, which pairs add, is always 0.
    return base62(int.from_bytes(hmac.digest(pepper, body, hashlib.sha256), "big"), 22)[1 : 1 + CHECK_LENGTH]


class PrefixedFormat:
    """The default `KeyFormat`.

    Args:
        prefix: names the service in each key, so that people and secret scanners recognise it: a letter, then at
            most 19 letters and digits.
        peppers: server secrets for the keyed check, at least 16 bytes each. The first signs, all verify.
        accept_crc: with peppers, accept the CRC32 check as well, while old keys are in use.

    Raises:
        ConfigurationError: a setting cannot be used.
    """

    def __init__(self, prefix: str, peppers: Sequence[bytes] = (), *, accept_crc: bool = False) -> None:
        if not isinstance(prefix, str) or not PREFIX.fullmatch(prefix):
            raise ConfigurationError("expected a letter, then at most 19 letters and digits", key="prefix")
        listed = check_all(peppers, bytes, "peppers")
        if any(len(pepper) < MIN_PEPPER_BYTES for pepper in listed):
            raise ConfigurationError(f"a pepper must have at least {MIN_PEPPER_BYTES} bytes", key="peppers")
        if not isinstance(accept_crc, bool):
            raise ConfigurationError(f"expected true or false, got {accept_crc!r}", key="accept_crc")
        if accept_crc and not listed:
            raise ConfigurationError(
                "has no meaning without peppers, where CRC32 is the only check; leave it out", key="accept_crc"
            )
        self.prefix = prefix
        # Within a text, in any case, and even in a path that was encoded twice. The id may be shown, the rest may not.
        # A key ends where the next one begins.
        letter = rf"(?:(?!{prefix}{UNDERSCORE})[0-9a-z])"
        self.within = re.compile(
            rf"({prefix}{UNDERSCORE}(?:live|stage|test){UNDERSCORE}{letter}{{{ID_LENGTH}}}){letter}++",
            re.ASCII | re.IGNORECASE,
        )
        self.pattern = rf"{prefix}_(?:live|stage|test)_[0-9A-Za-z]{{{ID_LENGTH + SECRET_LENGTH + CHECK_LENGTH}}}"
        """A regular expression for secret scanners, without look-around, which many of them do not know."""
        self._peppers = listed
        self._accept_crc = accept_crc or not listed
        self._shape = re.compile(
            rf"{prefix}_(?:live|stage|test)_([0-9A-Za-z]{{{ID_LENGTH}}})"
            rf"[0-9A-Za-z]{{{SECRET_LENGTH}}}([0-9A-Za-z]{{{CHECK_LENGTH}}})".encode()
        )

    def mint(self, environment: Environment, draw: Callable[[int], str]) -> str:
        """A new raw key for this environment."""
        return self.renew(draw(ID_LENGTH), environment, draw)

    def renew(self, key_id: str, environment: Environment, draw: Callable[[int], str]) -> str:
        """A new raw key with an id that there is already."""
        body = f"{self.prefix}_{WORDS[environment]}_{key_id}{draw(SECRET_LENGTH)}"
        check = keyed_check(body.encode(), self._peppers[0]) if self._peppers else crc_check(body.encode())
        return body + check

    def parse(self, raw: bytes) -> Parsed | None:
        """The id and hint of a raw key whose shape and check are right, else None. The environment has no meaning
        here."""
        shape = self._shape.fullmatch(raw)
        if shape is None or not self._checks(raw[:-CHECK_LENGTH], shape[2]):
            return None
        return Parsed(shape[1].decode(), raw[-HINT_LENGTH:].decode())

    def _checks(self, body: bytes, check: bytes) -> bool:
        right = self._accept_crc and crc_check(body).encode() == check
        for pepper in self._peppers:
            right = hmac.compare_digest(keyed_check(body, pepper).encode(), check) or right
        return right
