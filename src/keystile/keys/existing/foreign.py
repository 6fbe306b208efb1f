"""Hashes of keys that another program made: read, proved, and replaced by our own when their key is first used.

What is read: argon2 (id, i, d) and bcrypt, as they are and as Django keeps them (``argon2$…``, ``bcrypt$…``,
``bcrypt_sha256$…``), Django's ``pbkdf2_sha256$…``, and SHA-256 and SHA-512 without a salt, in hexadecimal digits (also
as ``sha512$$…``). What has no salt is not kept as it came: it is hashed once more with the gate's own hasher.

A hash says itself how much work it is. Beyond the bounds here it is refused, when it is imported and when it is read:
otherwise whoever can write to the store could have every process work for minutes.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable
from functools import partial
from typing import Any

from argon2 import PasswordHasher
from argon2.low_level import Type

from ...exceptions import ConfigurationError
from ..hashing import Hasher, affordable, verified
from .opaque import DIGESTS, Digest, digest_of

# About a second of work each; bcrypt's usual cost is 12, and Django 6 makes 1,200,000 iterations.
MAX_BCRYPT_COST, MAX_ITERATIONS = 14, 2_000_000
MAX_LENGTH = 512
# bcrypt reads no more of a key than this, so a longer key would prove any other that begins alike.
_BCRYPT_READS = 72
_MARK = "$foreign$"

_PLAIN = re.compile(r"(?:sha(?:256|512)\$\$)?([0-9a-f]{64}|[0-9a-f]{128})", re.IGNORECASE)
_ARGON2 = re.compile(r"(?:argon2)?(\$argon2(?:id|i|d)\$[\x21-\x7e]+)")
_BCRYPT = re.compile(r"(?:(bcrypt|bcrypt_sha256)\$)?(\$2[aby]\$([0-9]{2})\$[./0-9A-Za-z]{53})")
_PBKDF2 = re.compile(r"pbkdf2_sha256\$([0-9]{1,10})\$([\x21-\x23\x25-\x7e]{1,128})\$([0-9A-Za-z+/]{43}=)")
_EVERY_KIND = frozenset(Type)

Proves = Callable[[bytes], bool]


def plain_digest(text: str) -> tuple[Digest, bytes] | None:
    """The kind and the octets of a digest without a salt; None if this is another hash."""
    found = _PLAIN.fullmatch(text)
    if found is None:
        return None
    kind: Digest = "sha256" if len(found[1]) == 64 else "sha512"
    return None if text[:3].lower() == "sha" and not text.lower().startswith(kind) else (kind, bytes.fromhex(found[1]))


class AdoptingHasher:
    """The gate's own hasher, which proves what other programs hashed as well, and has that hashed anew.

    Args:
        own: makes new hashes.
    """

    def __init__(self, own: Hasher) -> None:
        self.own = own

    def hash(self, raw: bytes) -> str:
        """The form to store, by the gate's own hasher."""
        return self.own.hash(raw)

    def decoy(self) -> str:
        """A hash of the gate's own kind that no key proves."""
        return self.own.decoy()

    @property
    def blocking(self) -> bool:
        """As the gate's own; `blocks` says it of one hash."""
        return self.own.blocking

    def blocks(self, stored: str) -> bool:
        """Whether proving this hash takes too long for an event loop."""
        return self.own.blocking or self.adopted(stored)

    def adopt(self, text: str) -> str:
        """The form in which to store a hash that another program made.

        Raises:
            ConfigurationError: it is not known what made it, it is too much work, or a library for it is missing.
        """
        plain = plain_digest(text)
        if plain is not None:
            kind, digest = plain
            return f"{_MARK}{kind}:{self.own.hash(digest)}"
        _reader(text)
        return _MARK + text

    def verify(self, stored: str, raw: bytes) -> bool:
        """Whether the key proves the hash. Never raises because of what the store holds.

        Raises:
            Overloaded: the machine cannot compute it now.
            ConfigurationError: a library for it is missing.
        """
        if not stored.startswith(_MARK):
            return self.own.verify(stored, raw)
        text = stored[len(_MARK) :]
        kind, colon, inner = text.partition(":")
        if colon and kind in DIGESTS:
            return self.own.verify(inner, digest_of(kind, raw))
        try:
            proves = _reader(text)
        except _Unusable:
            return False
        # bcrypt ends at a NUL, and to PBKDF2 a key and the same with NULs behind it are one (RFC 2104 section 2).
        return b"\0" not in raw and proves(raw)

    def needs_rehash(self, stored: str) -> bool:
        """Whether another program made it, or our own hasher with other settings."""
        return self.adopted(stored) or self.own.needs_rehash(stored)

    @staticmethod
    def adopted(stored: str) -> bool:
        """Whether another program made this hash."""
        return stored.startswith(_MARK)


class _Unusable(ConfigurationError):
    """Nothing will ever prove this hash here."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, key="hash")


def _reader(text: str) -> Proves:
    """What proves this hash. Nothing of the hash is in the error."""
    if len(text) > MAX_LENGTH:
        raise _Unusable(f"is longer than {MAX_LENGTH} characters")
    if found := _ARGON2.fullmatch(text):
        return _argon2(found[1])
    if found := _BCRYPT.fullmatch(text):
        return _bcrypt(found[2], int(found[3]), shortened=found[1] == "bcrypt_sha256")
    if found := _PBKDF2.fullmatch(text):
        return _pbkdf2(int(found[1]), found[2], found[3])
    raise _Unusable("is of no kind that can be read: argon2, bcrypt, sha256, sha512 or Django's pbkdf2_sha256")


def _argon2(text: str) -> Proves:
    if not affordable(text, _EVERY_KIND):
        raise _Unusable("has argon2 parameters that cannot be read, or that are above the ceiling")
    return partial(verified, PasswordHasher(), text)


def _bcrypt(text: str, cost: int, *, shortened: bool) -> Proves:
    if not 4 <= cost <= MAX_BCRYPT_COST:
        raise _Unusable(f"has the bcrypt cost {cost}; expected 4 to {MAX_BCRYPT_COST}")
    checkpw = _library().checkpw

    def proves(raw: bytes) -> bool:
        given = binascii.hexlify(digest_of("sha256", raw)) if shortened else raw
        if len(given) > _BCRYPT_READS:
            return False
        try:
            return bool(checkpw(given, text.encode()))
        except ValueError:  # a salt that bcrypt cannot read
            return False

    return proves


def _library() -> Any:
    try:
        import bcrypt
    except ImportError:
        reason = "bcrypt hashes need a library: install keystile[bcrypt]"
        raise ConfigurationError(reason, key="hash") from None
    return bcrypt


def _pbkdf2(iterations: int, salt: str, encoded: str) -> Proves:
    if not 1 <= iterations <= MAX_ITERATIONS:
        raise _Unusable(f"has {iterations} iterations; expected 1 to {MAX_ITERATIONS}")
    expected = base64.b64decode(encoded)

    def proves(raw: bytes) -> bool:
        return hmac.compare_digest(hashlib.pbkdf2_hmac("sha256", raw, salt.encode(), iterations), expected)

    return proves
