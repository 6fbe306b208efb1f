"""Keys at rest, and the cache of proofs.

A hasher turns a raw key into the form that the store keeps, and proves a raw key against it. argon2id is the default: a
stolen store reveals nothing, even about keys that a service made itself. It costs milliseconds, so `ProofCache`
remembers which hash a raw key proved: the proof, never the verdict. Revocation, expiry and everything else are read
from the record on every request.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from collections import OrderedDict
from collections.abc import Callable, Container
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import VerificationError
from argon2.low_level import Type, error_to_str

from .._ground.checks import check_between
from ..exceptions import ConfigurationError, Overloaded
from ..policy import MIN_PEPPER_BYTES, REMEMBERED_KEYS

# The highest parameters of a stored hash that are computed. Otherwise anybody who can write to the store could have
# every process allocate gigabytes. Real parameters are far lower.
MAX_MEMORY_KIB, MAX_TIME, MAX_LANES = 262_144, 16, 16
# Each may be as high as that, but not all at once: KiB that are filled in all passes together, about a second of work.
# Lanes share the memory, so they add none.
MAX_FILLED_KIB = 4 * MAX_MEMORY_KIB
# ARGON2_MEMORY_ALLOCATION_ERROR: says nothing about the key.
_NO_MEMORY = error_to_str(-22)

HasherName = Literal["argon2id", "hmac-sha256"]


class Hasher(Protocol):
    """How keys are kept at rest.

    Attributes:
        blocking: whether `hash` and `verify` take too long for an event loop.
    """

    @property
    def blocking(self) -> bool:
        """True: run it in the bounded pool. False: run it in place."""

    def hash(self, raw: bytes) -> str:
        """The form to store."""

    def verify(self, stored: str, raw: bytes) -> bool:
        """Whether the raw key is the one that was hashed. Never raises, whatever the store holds.

        Raises:
            Overloaded: the machine cannot compute it now.
        """

    def needs_rehash(self, stored: str) -> bool:
        """Whether this hash was made with other settings than the current ones."""

    def decoy(self) -> str:
        """A hash that no key proves, and that costs as much to try as a real one."""


class Argon2Hasher:
    """argon2id by argon2-cffi (RFC 9106).

    Args:
        memory_kib, time_cost, parallelism: OWASP's first choice by default: 19 MiB, 2 passes, 1 lane.

    Raises:
        ConfigurationError: argon2 cannot use a parameter, or it is above the ceiling for stored hashes.
    """

    blocking = True

    def __init__(self, *, memory_kib: int = 19_456, time_cost: int = 2, parallelism: int = 1) -> None:
        check_between(parallelism, 1, MAX_LANES, "parallelism")
        check_between(time_cost, 1, MAX_TIME, "time_cost")
        check_between(memory_kib, 8 * parallelism, MAX_MEMORY_KIB, "memory_kib")
        if memory_kib * time_cost > MAX_FILLED_KIB:
            reason = f"{time_cost} passes over memory_kib={memory_kib} are too much work: expected at most"
            raise ConfigurationError(f"{reason} {MAX_FILLED_KIB // memory_kib}", key="time_cost")
        self._argon2 = PasswordHasher(
            time_cost=time_cost, memory_cost=memory_kib, parallelism=parallelism, hash_len=32, salt_len=16, type=Type.ID
        )

    def hash(self, raw: bytes) -> str:
        """The key as a PHC string with a fresh salt."""
        return self._argon2.hash(raw)

    def verify(self, stored: str, raw: bytes) -> bool:
        """Whether the key proves the hash. A hash of another kind or above the ceiling is not tried."""
        return affordable(stored) and verified(self._argon2, stored, raw)

    def needs_rehash(self, stored: str) -> bool:
        """Whether the stored parameters are not this hasher's."""
        return self._argon2.check_needs_rehash(stored)

    def decoy(self) -> str:
        """A well-formed PHC string over random octets."""
        a = self._argon2
        salt, digest = (base64.b64encode(os.urandom(size)).rstrip(b"=").decode() for size in (a.salt_len, a.hash_len))
        return f"$argon2id$v=19$m={a.memory_cost},t={a.time_cost},p={a.parallelism}${salt}${digest}"


def affordable(stored: str, kinds: Container[Type] = (Type.ID,)) -> bool:
    """Whether this is argon2 of one of these kinds, with parameters below the ceiling."""
    try:
        found = extract_parameters(stored)
    except ValueError:
        return False
    return (
        found.type in kinds
        and found.memory_cost <= MAX_MEMORY_KIB
        and found.time_cost <= MAX_TIME
        and found.parallelism <= MAX_LANES
        and found.memory_cost * found.time_cost <= MAX_FILLED_KIB
    )


def verified(argon2: PasswordHasher, stored: str, raw: bytes) -> bool:
    """Whether the key proves this hash, which `affordable` has seen.

    Raises:
        Overloaded: there is no memory for it now.
    """
    try:
        return argon2.verify(stored, raw)
    except (VerificationError, ValueError) as error:  # a mismatch, or a text that argon2 cannot read
        if str(error) == _NO_MEMORY:
            raise Overloaded(_NO_MEMORY) from None
        return False


class HmacHasher:
    """HMAC-SHA256 under a server secret: microseconds instead of milliseconds, for large fleets.

    Only for generated keys: 190 bits of entropy cannot be searched (OWASP ASVS 6.5.2 asks for 112), and without the
    pepper nobody can even try keys against a stolen store. It reads only hashes that it made itself, so choose it
    before you make keys.

    Args:
        peppers: at least 16 bytes each, kept outside the store. The first signs, all verify; a key that an older one
            proved is hashed anew with the first. Losing them loses every key.

    Raises:
        ConfigurationError: there is no pepper, or one is too short or not bytes.
    """

    blocking = False
    _MARK = "$hmac-sha256$"

    def __init__(self, *peppers: bytes) -> None:
        if not peppers or any(not isinstance(each, bytes) or len(each) < MIN_PEPPER_BYTES for each in peppers):
            raise ConfigurationError(f"expected at least {MIN_PEPPER_BYTES} bytes", key="peppers")
        # A stored hash names its pepper by a MAC of the empty text, so that one comparison decides.
        self._peppers = {self._MARK + hmac.digest(each, b"", hashlib.sha256)[:4].hex() + "$": each for each in peppers}
        self._newest = next(iter(self._peppers))

    def hash(self, raw: bytes) -> str:
        """The hexadecimal MAC, with its mark."""
        return self._mac(self._newest, raw)

    def verify(self, stored: str, raw: bytes) -> bool:
        """Whether the key has this MAC, in constant time."""
        mark = stored[: len(self._newest)]
        expected = self._mac(mark if mark in self._peppers else self._newest, raw)
        return hmac.compare_digest(expected.encode(), stored.encode(errors="replace"))

    def needs_rehash(self, stored: str) -> bool:
        """Whether it was made with a pepper other than the first."""
        return not stored.startswith(self._newest)

    def decoy(self) -> str:
        """A random MAC."""
        return self._newest + os.urandom(32).hex()

    def _mac(self, mark: str, raw: bytes) -> str:
        return mark + hmac.digest(self._peppers[mark], raw, hashlib.sha256).hex()


@dataclass(slots=True)
class Proof:
    """What a raw key proved: the id it names, and the stored hash that it matched.

    Attributes:
        lanes: what the gate has worked out for whoever presents it (`gate.lanes`).
    """

    key_id: str
    hash: str
    lanes: dict[int, Any] = field(default_factory=dict, compare=False)

    def __repr__(self) -> str:
        return f"Proof({self.key_id!r})"


class ProofCache:
    """Which raw key proved which hash, for the most recently used ones.

    Raw keys are not kept: an entry is found by a BLAKE2b of the key under a random key of this process, so a memory
    dump holds nothing to replay. An entry alone admits nobody: it counts only while the record that was read for this
    very request still holds the same hash.

    Args:
        capacity: how many proofs are kept (see `policy.Policy.remembered_keys` for the memory they need).
    """

    def __init__(self, capacity: int = REMEMBERED_KEYS) -> None:
        self._capacity = capacity
        self._keyed = hashlib.blake2b(key=os.urandom(32), digest_size=16)
        self._proofs: OrderedDict[bytes, Proof] = OrderedDict()

    def digest(self, raw: bytes) -> bytes:
        """The digest that stands for the raw key in this cache."""
        keyed = self._keyed.copy()
        keyed.update(raw)
        return keyed.digest()

    def open(self) -> tuple[Callable[[], Any], Callable[[bytes], Proof | None], Callable[[bytes], None]]:
        """The parts of `digest` and `find`, for whoever cannot afford their frames: what makes a hash that is to be fed
        and digested, what finds a proof, and what makes it the most recently used one or raises KeyError."""
        return self._keyed.copy, self._proofs.get, self._proofs.move_to_end

    def find(self, digest: bytes) -> Proof | None:
        """The proof, which becomes the most recently used one."""
        proof = self._proofs.get(digest)
        if proof is not None:
            try:  # noqa: SIM105 - `suppress` would cost as much as the look-up
                self._proofs.move_to_end(digest)
            except KeyError:  # another thread removed it in between
                pass
        return proof

    def remember(self, digest: bytes, proof: Proof) -> None:
        """Keep a proof. If there are too many, the least recently used one is dropped."""
        self._proofs[digest] = proof
        if len(self._proofs) > self._capacity:
            self._proofs.popitem(last=False)

    def forget_lanes(self) -> None:
        """Drop what the gate has worked out beside the proofs, which stay."""
        for proof in list(self._proofs.values()):
            proof.lanes.clear()

    def __len__(self) -> int:
        return len(self._proofs)
