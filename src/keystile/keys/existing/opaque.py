"""Keys that a service gave out before it had keystile, in whatever form they have.

Nothing in such a key says which record it belongs to. So the record's id is made from the key: a MAC of it under the
pepper. Whoever does not know the pepper can make no id, and whoever finds the record has nearly proved the key; the
rest of the same MAC, which the record holds, proves it. That takes microseconds, so there is no argon2 here.

The MAC is taken of a digest of the key. A service that kept SHA-256 or SHA-512 of its keys can bring these alone.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, get_args

from ..._ground.checks import check_all
from ..._ground.subkeys import OPAQUE_LOOKUP, subkey
from ...exceptions import ConfigurationError
from ...model import Environment
from ...policy import MIN_PEPPER_BYTES
from ..format import HINT_LENGTH, ID_LENGTH, PREFIX, UNDERSCORE, WORDS, Parsed, base62

Digest = Literal["sha256", "sha512"]
DIGESTS: tuple[Digest, ...] = get_args(Digest)
# Each pepper costs an unknown key two or three reads of the store.
MOST_PEPPERS = 4
# 16 characters of base62 are 95 bits. A shorter key can be guessed, and would be taken for a name in a path.
SHORTEST, LONGEST = 16, 512
SEPARATORS = ".-_~+"
# 43 characters of base62 are 256 bits.
_DRAWN = 43
# RFC 6750 section 2.1, which is all that a credential may hold.
_LETTER = r"[0-9A-Za-z\-._~+/]"
# The same in a text, where "/" ends a name in a path; and percent-encoded.
_LETTER_WITHIN = r"(?:[0-9A-Za-z\-._~+]|%[0-9A-Fa-f]{2})"
_MARK = "$opaque$"


def digest_of(kind: Digest, raw: bytes) -> bytes:
    """SHA-256 or SHA-512 of a raw key, the whole of it."""
    return hashlib.new(kind, raw, usedforsecurity=False).digest()


class OpaqueFormat:
    """A `KeyFormat` for the keys that a service already has; new ones begin with the prefix, if there is one.

    The first pepper finds new keys, all find old ones. A key is found by the pepper with which it was made or imported,
    for as long as it lives: a pepper can be dropped when the keys from its time are gone.

    Args:
        peppers: server secrets, 1 to 4 of them, at least 16 bytes each, kept outside the store.
        prefix: how every key begins, up to its first underscore. None if they do not begin alike: then secret scanners
            cannot find them, and everything of 16 characters or more is masked in logs.
        separator: where keys have a public part before their last ``.`` (or ``-``, ``_``, ``~``, ``+``), by which the
            service found them: needed to import hashes with a salt.

    Raises:
        ConfigurationError: there is no pepper, or a setting cannot be used.
    """

    def __init__(self, peppers: Sequence[bytes], *, prefix: str | None = None, separator: str | None = None) -> None:
        listed = check_all(peppers, bytes, "peppers")
        if not 1 <= len(listed) <= MOST_PEPPERS:
            reason = f"keys in a form of their own are found and proved by a pepper: expected 1 to {MOST_PEPPERS}"
            raise ConfigurationError(reason, key="peppers")
        if any(len(pepper) < MIN_PEPPER_BYTES for pepper in listed):
            raise ConfigurationError(f"a pepper must have at least {MIN_PEPPER_BYTES} bytes", key="peppers")
        if prefix is not None and (not isinstance(prefix, str) or not PREFIX.fullmatch(prefix)):
            raise ConfigurationError("expected a letter, then at most 19 letters and digits", key="prefix")
        if separator is not None and (not isinstance(separator, str) or separator not in tuple(SEPARATORS)):
            raise ConfigurationError(f"expected one of {' '.join(SEPARATORS)}", key="separator")
        self.prefix, self._separator = prefix, separator
        self._keys = tuple(subkey(pepper, OPAQUE_LOOKUP) for pepper in listed)
        begins = "" if prefix is None else f"{prefix}_"
        self._shape = re.compile(rf"(?=.{{{SHORTEST},{LONGEST}}}\Z){begins}{_LETTER}+=*".encode())
        self.within = re.compile(
            rf"(){_LETTER_WITHIN}{{{SHORTEST},}}+"
            if prefix is None
            else rf"({prefix}{UNDERSCORE})(?:(?!{prefix}{UNDERSCORE}){_LETTER_WITHIN})++",
            re.ASCII | re.IGNORECASE,
        )
        # A short word with the same beginning may be the name of a cookie. The letters that follow change nothing.
        letter = _LETTER_WITHIN.replace("+]", "+/]")
        self.whole = prefix and re.compile(
            rf"{prefix}{UNDERSCORE}{letter}{{{max(1, SHORTEST - len(begins))}}}", re.ASCII | re.IGNORECASE
        )
        least, letters = max(8, SHORTEST - len(prefix or "") - 1), re.escape((separator or "").strip("_-"))
        self.pattern = None if prefix is None else rf"{prefix}_[0-9A-Za-z_{letters}-]{{{least},{LONGEST}}}"
        """A regular expression for secret scanners; None where keys do not begin alike."""

    def mint(self, environment: Environment, draw: Callable[[int], str]) -> str:
        """A new raw key for this environment: 256 random bits behind the prefix."""
        return draw(_DRAWN) if self.prefix is None else f"{self.prefix}_{WORDS[environment]}_{draw(_DRAWN)}"

    def parse(self, raw: bytes) -> Parsed | None:
        """Where a key is kept that was made with the first pepper; None if this cannot be a key."""
        if self._shape.fullmatch(raw) is None:
            return None
        return Parsed(_id_of(self._mac(self._keys[0], "sha256", digest_of("sha256", raw))), _hint_of(raw))

    def candidates(self, raw: bytes) -> tuple[Parsed, ...]:
        """Everywhere this key may be kept, the likeliest first; empty if it cannot be a key."""
        if self._shape.fullmatch(raw) is None:
            return ()
        hint = _hint_of(raw)
        found = [Parsed(_id_of(mac), hint) for mac in self.macs(raw)]
        public = raw.decode().rpartition(self._separator)[0] if self._separator else ""
        return (*found, *(Parsed(each, hint) for each in self.ids_of_public(public))) if public else tuple(found)

    def macs(self, raw: bytes) -> Iterator[bytes]:
        """Every MAC that proves this key, the one of new keys first."""
        digests = [(kind, digest_of(kind, raw)) for kind in DIGESTS]
        for key in self._keys:
            for kind, digest in digests:
                yield self._mac(key, kind, digest)

    def kept(self, kind: Digest, digest: bytes) -> tuple[tuple[str, ...], str]:
        """Where the key with this digest is kept, under each pepper, and the form to store."""
        macs = [self._mac(key, kind, digest) for key in self._keys]
        return tuple(_id_of(mac) for mac in macs), _MARK + macs[0].hex()

    def ids_of_public(self, public: str) -> tuple[str, ...]:
        """Where a key with this public part is kept, under each pepper.

        Raises:
            ConfigurationError: keys have no public part here.
        """
        if self._separator is None:
            reason = "a hash with a salt is found by the key's public part: set the separator of OpaqueFormat"
            raise ConfigurationError(reason, key="hash")
        return tuple(_id_of(self._mac(key, "public part", public.encode(errors="replace"))) for key in self._keys)

    def begins(self, public: str) -> bool:
        """Whether a key can have this public part, the prefix included."""
        return (
            self._shape.fullmatch(f"{public}{self._separator or ''}{'0' * SHORTEST}".encode(errors="replace"))
            is not None
        )

    @staticmethod
    def _mac(key: bytes, kind: str, octets: bytes) -> bytes:
        return hmac.digest(key, kind.encode() + b":" + octets, hashlib.sha256)


class OpaqueHasher:
    """How the keys of an `OpaqueFormat` are kept: as the whole MAC, of which their id is the beginning."""

    blocking = False

    def __init__(self, key_format: OpaqueFormat) -> None:
        self._format = key_format

    def hash(self, raw: bytes) -> str:
        """The hexadecimal MAC, with its mark."""
        return _MARK + next(self._format.macs(raw)).hex()

    def verify(self, stored: str, raw: bytes) -> bool:
        """Whether the key has this MAC under any pepper. All are compared, in constant time."""
        right, text = False, stored.encode(errors="replace")
        for mac in self._format.macs(raw):
            right = hmac.compare_digest(f"{_MARK}{mac.hex()}".encode(), text) or right
        return right

    def needs_rehash(self, stored: str) -> bool:
        """Whether it is not a MAC. One under an older pepper stays: the key's id was made with that pepper too."""
        return not stored.startswith(_MARK)

    def decoy(self) -> str:
        """A random MAC."""
        return _MARK + os.urandom(32).hex()


def _id_of(mac: bytes) -> str:
    # 256 bits are at most 43 digits (62**43 > 2**256); the 44th digit, which pairs add, is always 0.
    return base62(int.from_bytes(mac, "big"), 22)[1 : 1 + ID_LENGTH]


def _hint_of(raw: bytes) -> str:
    return raw[-HINT_LENGTH:].decode()
