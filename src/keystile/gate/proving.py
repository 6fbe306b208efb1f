"""Proving that a raw key is the one of which a store holds the hash.

A proof is remembered (`hashing.ProofCache`), so that it costs microseconds the second time. Whoever comes with a key
that nothing is remembered of has to keep to the failure budget of its address, and waits for one of the few places
where hashes are computed; only then it is looked up whether there is such a key at all. A cached proof never asks the
budget, so that nobody locks out who shares its address.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Hashable
from functools import partial
from typing import Any

from .._ground.frozen import HiddenText
from .._sync import Offload, SingleFlight, worker_count
from ..exceptions import Overloaded, StoreBusy
from ..keys.format import Parsed
from ..keys.hashing import Proof, ProofCache
from ..keys.workshop import Workshop
from ..model import ApiKey, Reason, SecretHash
from ..rules import outcomes
from .budget import FailureBudget

# A record may change its hash between the proof and its reading: by a rehash, or a rotation.
TRIES = 3
_HASHING = "hashing"

Proven = tuple[ApiKey, SecretHash]


class Prover:
    """Finds the record of a raw key and proves its secret.

    Args:
        shop: the store, format and hasher.
        find: the store's `find`, adapted.
        find_now: the same as a plain function, if it runs in place: a warm request then awaits nothing.
        budget: says who may try, and counts the failures.
        remembered: how many proofs.
    """

    def __init__(
        self,
        shop: Workshop,
        find: Callable[..., Awaitable[Any]],
        find_now: Callable[[str], Any] | None,
        budget: FailureBudget,
        remembered: int,
    ) -> None:
        self._shop, self._find, self._find_now, self._budget = shop, find, find_now, budget
        self._proofs = ProofCache(remembered)
        self.digest = self._proofs.digest
        """What stands for a raw key here: made once a request."""
        self._flights = SingleFlight()
        self._decoy = HiddenText(shop.hasher.decoy())

    def prove_now(self, digest: bytes) -> Proven | None:
        """What `prove` gives for a key that was proved before, if that needs no waiting; else None."""
        proof = self._proofs.find(digest)
        if proof is None or self._find_now is None:
            return None
        try:
            key = self._find_now(proof.key_id)
        except StoreBusy:
            return None
        return None if key is None else _matching(key, proof)

    async def prove(self, raw: bytes, digest: bytes, peer: str | None, offload: Offload) -> Proven | Reason:
        """The record whose secret this is and the hash that it proves, or why not.

        Unknown, malformed and wrong are one reason. The record is always one that was read for this very request.
        """
        proof = self._proofs.find(digest)
        for _ in range(TRIES):
            if proof is not None:
                key = await self._find(offload, proof.key_id)
                proven = None if key is None else _matching(key, proof)
                if proven is not None:
                    return proven
            parsed = self._shop.key_format.parse(raw)
            if parsed is None:
                return outcomes.INVALID
            found = await self._prove_cold(parsed, digest, raw, proof, peer, offload)
            if isinstance(found, Reason):
                return found
            proof = found
        return outcomes.INVALID

    async def _prove_cold(  # noqa: PLR0917 - what a proof is about
        self, parsed: Parsed, digest: bytes, raw: bytes, stale: Proof | None, peer: str | None, offload: Offload
    ) -> Proof | Reason:
        """A proof that is newer than the stale one. Concurrent calls for one key share one run."""

        async def prove(name: Hashable, until: float) -> Proof | None:
            known = self._proofs.find(digest)
            if known is not None and known is not stale:
                return known  # somebody else was first while this one waited
            return await self._flights.run(
                digest, offload, partial(self._run, parsed, digest, raw, name, until, offload)
            )

        return await self._budget.spend(peer, digest, offload, prove)

    async def _run(  # noqa: PLR0917 - likewise
        self, parsed: Parsed, digest: bytes, raw: bytes, name: Hashable, until: float, offload: Offload
    ) -> Proof | None:
        """One run, when it is its turn."""
        if not self._shop.hasher.blocking:
            return await self._compare(parsed, digest, raw, offload)
        places, seconds = self._budget.places, max(0.0, until - time.monotonic())
        place = await places.enter(_HASHING, worker_count(), name, offload, seconds)
        try:
            return await self._compare(parsed, digest, raw, offload)
        finally:
            places.leave(place)

    async def _compare(self, parsed: Parsed, digest: bytes, raw: bytes, offload: Offload) -> Proof | None:
        key = await self._find(offload, parsed.id)
        candidates = () if key is None else key.hashes
        candidate = next((each for each in candidates if each.hint == parsed.hint), None)
        # One proof always: an unknown id or hint costs what a wrong secret costs.
        proved = await self._verify(self._decoy if candidate is None else candidate.hash, raw, offload)
        if key is None or candidate is None or not proved:
            return None
        proof = Proof(key.id, candidate.hash)
        self._proofs.remember(digest, proof)
        await self._renew_hash(key, candidate, raw, offload)
        return proof

    async def _verify(self, stored: str, raw: bytes, offload: Offload) -> bool:
        hasher = self._shop.hasher
        if not hasher.blocking:
            return hasher.verify(stored, raw)
        return await offload.run(self._shop.hash_pool, hasher.verify, stored, raw)

    async def _renew_hash(self, key: ApiKey, old: SecretHash, raw: bytes, offload: Offload) -> None:
        """Hash a proved key anew if it was hashed with other settings. The request does not fail over it."""
        shop = self._shop
        if not shop.hasher.needs_rehash(old.hash):
            return
        try:
            renewed = await offload.run(shop.hash_pool, shop.hasher.hash, raw)
        except Overloaded:
            return  # the next first use will do it
        shop.later(shop.store.rehash, key.id, old, SecretHash(renewed, old.hint, old.expires_at))


def _matching(key: ApiKey, proof: Proof) -> Proven | None:
    """The record with the hash that was proved, if it still holds it."""
    for secret_hash in key.hashes:
        if secret_hash.hash == proof.hash:
            return key, secret_hash
    return None
