"""Quick proofs: a second form of a key beside its hash, which a new process can check without argon2.

It is an HMAC-SHA256 of the raw key under a part of a pepper. Where a secret has one that a pepper of ours made, it
decides alone, both ways, and costs microseconds; the hash is not tried. It stands in the secret's own record
(`model.SecretHash.quick`), so it ends with that secret.

Nothing is lost by it, because only keys that keystile made have one: 190 random bits cannot be searched, by argon2 or
without it. That is why there must be peppers, and no `accept_crc`: then whoever made a key that passes its check had a
pepper. Keys that were imported are marked, and never get one.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Sequence
from dataclasses import replace

from .._ground.subkeys import QUICK_PROOF, subkey
from ..model import SecretHash

# Stands in place of the quick proof of a secret that keystile did not make.
_NEVER = "$quick$never"


class QuickProofs:
    """Makes and checks quick proofs.

    Args:
        peppers: the first makes, all check. Without any nothing is made, and what a store holds is not believed.
        imports: mark every key instead, because it is brought in.
    """

    def __init__(self, peppers: Sequence[bytes] = (), *, imports: bool = False) -> None:
        # A proof names its pepper, so that one of a pepper that is not ours any more is told from a wrong one.
        keys = [subkey(each, QUICK_PROOF) for each in peppers]
        self._keys = {f"$quick${hmac.digest(key, b'', hashlib.sha256)[:8].hex()}$": key for key in keys}
        self._newest, self._imports = next(iter(self._keys), ""), imports
        self.on = bool(keys)
        """Whether there are any."""

    def made(self, raw: bytes) -> str | None:
        """What stands beside the hash of a new key; None where there are no quick proofs."""
        if self._imports:
            return _NEVER
        return self._mac(self._newest, raw) if self.on else None

    def decides(self, found: SecretHash) -> bool:
        """Whether this secret has one that a pepper of ours made, so that its hash is not asked."""
        return self.on and found.quick is not None and _mark(found.quick) in self._keys

    def proves(self, found: SecretHash, raw: bytes) -> bool:
        """Whether a raw key is the one, for a secret of which `decides` says so; in constant time."""
        quick = found.quick or ""
        return hmac.compare_digest(self._mac(_mark(quick), raw).encode(), quick.encode(errors="replace"))

    def renewed(self, found: SecretHash, raw: bytes, *, adopted: bool) -> SecretHash:
        """The same secret, which this raw key has just proved, with its quick proof by the newest pepper.

        Args:
            found: the secret.
            raw: the raw key.
            adopted: whether another program made its hash: then it never gets one.
        """
        if adopted:
            return replace(found, quick=_NEVER)
        if not self.on or found.quick == _NEVER or (found.quick or "").startswith(self._newest):
            return found
        return replace(found, quick=self.made(raw))

    def decoy(self) -> SecretHash:
        """A secret that no key proves, and that costs as much to try as a real one."""
        return SecretHash("", "", quick=self._newest + os.urandom(32).hex())

    def _mac(self, mark: str, raw: bytes) -> str:
        return mark + hmac.digest(self._keys[mark], raw, hashlib.sha256).hex()


def _mark(quick: str) -> str:
    """What names the pepper: ``$quick$``, 16 digits, ``$``."""
    return quick[:24]
