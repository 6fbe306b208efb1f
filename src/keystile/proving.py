"""Proving that a raw key is the one of which a store holds the hash.

A proof is remembered (`hashing.ProofCache`), so that it costs microseconds the second time. Whoever comes with a key
that nothing is remembered of first takes a place in the failure budget of its address, and gets it back unless the
secret proves wrong: an address that guesses is stopped before it costs a hash, and a cached proof never asks the
budget, so that nobody locks out who shares its address.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from ._frozen import HiddenText
from ._sync import Offload, SingleFlight
from .exceptions import Overloaded, StoreBusy
from .hashing import Proof, ProofCache
from .limiters.failsafe import Failsafe
from .model import ApiKey, Reason, SecretHash, Window
from .rules import outcomes
from .rules.keyformat import Parsed
from .rules.ratelimits import refuses, retry_seconds
from .rules.subjects import anonymous_subject
from .workshop import Workshop

# A record may change its hash between the proof and its reading: by a rehash, or a rotation.
TRIES = 3

Proven = tuple[ApiKey, SecretHash]


class Prover:
    """Finds the record of a raw key and proves its secret.

    Args:
        shop: the store, format and hasher.
        find: the store's `find`, adapted.
        find_now: the same as a plain function, if it runs in place: a warm request then awaits nothing.
        limits: where failed proofs are counted.
        budget: the windows for them; empty for no bound.
    """

    def __init__(
        self,
        shop: Workshop,
        find: Callable[..., Awaitable[Any]],
        find_now: Callable[[str], Any] | None,
        limits: Failsafe,
        budget: tuple[Window, ...],
    ) -> None:
        self._shop, self._find, self._find_now, self._limits, self._budget = shop, find, find_now, limits, budget
        self._proofs = ProofCache()
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
            reason = await self._prove_cold(parsed, digest, raw, peer, offload)
            if reason is not None:
                return reason
            proof = self._proofs.find(digest)
        return outcomes.INVALID

    async def _prove_cold(
        self, parsed: Parsed, digest: bytes, raw: bytes, peer: str | None, offload: Offload
    ) -> Reason | None:
        """None if the secret is right, and then that is remembered. Concurrent calls for one key share one run."""

        async def prove() -> bool:
            return await self._compare(parsed, digest, raw, offload)

        async def prove_within_budget() -> Reason | None:
            usages = await self._limits.hit(offload, name, self._budget, 1)
            if refuses(usages):
                return outcomes.too_many_failures(retry_seconds(usages))
            proved = False
            try:
                proved = await self._flights.run(digest, offload, prove)
            except Exception:
                # Nothing was proved, but nothing disproved either. Whoever goes away before the answer is not
                # excused: else guessing would cost nothing that hangs up in time.
                proved = True
                raise
            finally:
                if proved:
                    await self._limits.refund(offload, name, self._budget, 1, usages)
            return None if proved else outcomes.INVALID

        if not self._budget:
            return None if await self._flights.run(digest, offload, prove) else outcomes.INVALID
        name = anonymous_subject(peer)
        return await self._flights.run((digest, name), offload, prove_within_budget)

    async def _compare(self, parsed: Parsed, digest: bytes, raw: bytes, offload: Offload) -> bool:
        key = await self._find(offload, parsed.id)
        candidates = () if key is None else key.hashes
        candidate = next((each for each in candidates if each.hint == parsed.hint), None)
        # One proof always: an unknown id or hint costs what a wrong secret costs.
        proved = await self._verify(self._decoy if candidate is None else candidate.hash, raw, offload)
        if key is None or candidate is None or not proved:
            return False
        self._proofs.remember(digest, Proof(key.id, candidate.hash))
        await self._renew_hash(key, candidate, raw, offload)
        return True

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
