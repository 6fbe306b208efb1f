"""Proving that a raw key is the one whose hash a store holds.

A proof is remembered (`hashing.ProofCache`), so that it costs microseconds the second time. A key without a remembered
proof is subject to the failure budget of its address, and waits for one of the few places where hashes are computed.
Only then is it looked up whether there is such a key at all. A remembered proof never asks the budget, so that nobody
can lock out others who share their address.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import replace
from functools import partial
from typing import Any

from .._sync import Offload, Place, SingleFlight, at_once, worker_count
from ..exceptions import Overloaded, StoreBusy
from ..keys.finding import Located, holds_up, locate, proves
from ..keys.format import Parsed
from ..keys.hashing import Proof, ProofCache
from ..keys.workshop import READ_PATIENCE, STORE_SLOTS, Workshop
from ..model import ApiKey, Reason, SecretHash
from ..rules import outcomes
from ..rules.limits.quotas import Quotas
from .budget import FailureBudget

# A record's hash may change between the proof and the reading of the record: by a rehash, or a rotation.
TRIES = 3
_HASHING, _LOOKING = "hashing", "looking"

Proven = tuple[ApiKey, SecretHash]
Candidates = tuple[Parsed, ...]


class Prover:
    """Finds the record of a raw key and proves its secret.

    Args:
        shop: the store, format and hasher.
        budget: says who may try, and counts the failures.
        remembered: how many proofs are remembered.
    """

    def __init__(self, shop: Workshop, budget: FailureBudget, remembered: int) -> None:
        self._shop, self._budget = shop, budget
        blocking = getattr(shop.store, "blocking", True)
        self._find = shop.adapted("find", blocking=blocking, patience=READ_PATIENCE)
        # As a plain function, if it runs in place: then a warm request awaits nothing.
        self.find_now: Callable[[str], Any] | None = at_once(shop.store.find, blocking=blocking)
        self._proofs, self.remembered = ProofCache(remembered), remembered
        self.digest = self._proofs.digest
        """Gives what stands for a raw key here; called once for each request."""
        self.find, self.proofs = self._proofs.find, self._proofs.open()
        """The proofs, for `lanes`."""
        self.forget_lanes = self._proofs.forget_lanes
        self._flights = SingleFlight()
        self._decoy = shop.decoy()

    def count_by(self, quotas: Quotas) -> None:
        """Count failures in other windows from now on."""
        self._budget.quotas = quotas

    def prove_now(self, digest: bytes) -> Proven | None:
        """What `prove` gives for a key that was proved before, if that needs no waiting, else None."""
        proof = self._proofs.find(digest)
        if proof is None or self.find_now is None:
            return None
        try:
            key = self.find_now(proof.key_id)
        except StoreBusy:
            return None
        return None if key is None else _matching(key, proof)

    async def prove(self, raw: bytes, digest: bytes, peer: str | None, offload: Offload) -> Proven | Reason:
        """The record whose secret this is and the hash that it proves, or why not.

        Unknown, malformed and wrong keys get one reason. The record is always one that was read for this very request.
        """
        proof = self._proofs.find(digest)
        for _ in range(TRIES):
            if proof is not None:
                key = await self._find(offload, proof.key_id)
                proven = None if key is None else _matching(key, proof)
                if proven is not None:
                    return proven
            candidates = self._shop.candidates(raw)
            if not candidates:
                return outcomes.INVALID
            found = await self._prove_cold(candidates, digest, raw, proof, peer, offload)
            if isinstance(found, Reason):
                return found
            proof = found
        return outcomes.INVALID

    async def _prove_cold(  # noqa: PLR0917 - what a proof needs
        self, candidates: Candidates, digest: bytes, raw: bytes, stale: Proof | None, peer: str | None, offload: Offload
    ) -> Proof | Reason:
        """A proof newer than the stale one. Concurrent calls for one key share one run."""

        async def prove(name: Hashable, until: float) -> Proof | None:
            known = self._proofs.find(digest)
            if known is not None and known is not stale:
                return known  # another request proved it while this one waited
            return await self._flights.run(
                digest, offload, partial(self._run, candidates, digest, raw, name, until, offload)
            )

        return await self._budget.spend(peer, digest, offload, prove)

    async def _run(  # noqa: PLR0917 - as `_prove_cold`
        self, candidates: Candidates, digest: bytes, raw: bytes, name: Hashable, until: float, offload: Offload
    ) -> Proof | None:
        """Do one run, when its turn has come if it takes long."""
        if self._shop.quick.on or not self._shop.hasher.blocking:
            located = await self._located(candidates, name, until, offload)
            if not holds_up(self._shop, self._decoy if located is None else located.secret_hash):
                return await self._compare(located, digest, raw, offload)
        place = await self._enter(_HASHING, worker_count(), name, until, offload)
        try:
            return await self._compare(await locate(self._find, candidates, offload), digest, raw, offload)
        finally:
            self._budget.places.leave(place)

    async def _located(self, candidates: Candidates, name: Hashable, until: float, offload: Offload) -> Located | None:
        """The record of a key that no hashing place kept waiting. Where the store takes its time, first uses wait for
        it in turn: all at once would be refused as too many."""
        if self.find_now is not None:
            return await locate(self._find, candidates, offload)
        place = await self._enter(_LOOKING, STORE_SLOTS, name, until, offload)
        try:
            return await locate(self._find, candidates, offload)
        finally:
            self._budget.places.leave(place)

    async def _enter(self, what: Hashable, count: int, name: Hashable, until: float, offload: Offload) -> Place:
        return await self._budget.places.enter(what, count, name, offload, max(0.0, until - time.monotonic()))

    async def _compare(self, located: Located | None, digest: bytes, raw: bytes, offload: Offload) -> Proof | None:
        # Always exactly one proof: an unknown id or hint must cost as much as a wrong secret. With quick proofs that
        # is a quick one, as for every key that has been used since.
        if located is None:
            await proves(self._shop, self._decoy, raw, offload)
            return None
        if not await proves(self._shop, located.secret_hash, raw, offload, located.key.id):
            return None
        proof = Proof(located.key.id, located.secret_hash.hash)
        self._proofs.remember(digest, proof)
        await self._renew(located, raw, offload)
        return proof

    async def _renew(self, located: Located, raw: bytes, offload: Offload) -> None:
        """Make anew what was made of a proved key with other settings: its hash, its quick proof. The request does not
        fail if this fails."""
        shop, (key, old, hint) = self._shop, located
        new = shop.quick.renewed(old, raw, adopted=shop.hasher.adopted(old.hash))
        if shop.hasher.needs_rehash(old.hash):
            renewed = await self._rehashed(old, raw, offload)
            new = new if renewed is None else replace(new, hash=renewed, hint=hint)
        if new != old:
            shop.renew_hash(key.id, old, new)

    async def _rehashed(self, old: SecretHash, raw: bytes, offload: Offload) -> str | None:
        """Another hash of a proved key; None if there is no room for it now: the next proof will try again."""
        shop, place = self._shop, None
        if shop.quick.decides(old):  # it has no place, and waits for none: after a restart all keys come at once
            place = self._budget.places.take(_HASHING, worker_count())
            if place is None:
                return None
        try:
            return await offload.run(shop.hash_pool, shop.hasher.hash, raw)
        except Overloaded:
            return None
        finally:
            if place is not None:
                self._budget.places.leave(place)


def _matching(key: ApiKey, proof: Proof) -> Proven | None:
    """The record with the hash that was proved, if the record still holds that hash."""
    for secret_hash in key.hashes:
        if secret_hash.hash == proof.hash:
            return key, secret_hash
    return None
