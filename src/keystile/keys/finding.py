"""Whose key is this? From a raw key to the record that holds its hash, and the proof."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, NamedTuple

from .._sync import Offload
from ..exceptions import ConfigurationError, UnreadableRecord
from ..model import ApiKey, SecretHash
from .format import Parsed
from .workshop import Workshop

# A hash that was imported alone: nobody knows how its key ends.
ANY_HINT = ""

Find = Callable[..., Awaitable[Any]]
"""A store's `find`, adapted."""


class Located(NamedTuple):
    """A record, and the one of its hashes that a key may prove.

    Attributes:
        key: the record.
        secret_hash: the hash.
        hint: how the raw key ends.
    """

    key: ApiKey
    secret_hash: SecretHash
    hint: str


async def locate(find: Find, candidates: Iterable[Parsed], offload: Offload) -> Located | None:
    """The first record where one of these ids leads to, if one of its hashes may be this key's."""
    for parsed in candidates:
        key: ApiKey | None = await find(offload, parsed.id)
        secret_hash = None if key is None else _hash_for(key, parsed.hint)
        if key is not None and secret_hash is not None:
            return Located(key, secret_hash, parsed.hint)
    return None


def _hash_for(key: ApiKey, hint: str) -> SecretHash | None:
    """The one hash to prove, so that a key costs one proof."""
    fitting = [each for each in key.hashes if each.hint in (hint, ANY_HINT)]
    return max(fitting, key=lambda each: len(each.hint), default=None)


def holds_up(shop: Workshop, found: SecretHash) -> bool:
    """Whether proving this secret takes too long for an event loop."""
    return not shop.quick.decides(found) and shop.hasher.blocks(found.hash)


async def proves(shop: Workshop, found: SecretHash, raw: bytes, offload: Offload, key_id: str = "") -> bool:
    """Whether a raw key proves this secret: its quick proof if it has one, else its hash, computed where it holds
    nobody up.

    Args:
        shop: its quick proofs, hasher and pools.
        found: the secret.
        raw: the key.
        offload: how this door runs what blocks.
        key_id: whose hash it is, for the error.

    Raises:
        Overloaded: too much hashing is under way.
        UnreadableRecord: a library that it needs is missing.
    """
    if shop.quick.decides(found):
        return shop.quick.proves(found, raw)
    try:
        if not shop.hasher.blocks(found.hash):
            return shop.hasher.verify(found.hash, raw)
        return await offload.run(shop.hash_pool, shop.hasher.verify, found.hash, raw)
    except ConfigurationError as error:
        reason = error.reason
    raise UnreadableRecord("the key store", key_id, reason)


async def owner_of(shop: Workshop, find: Find, raw: bytes, offload: Offload) -> ApiKey | None:
    """The record that this raw key proves, whatever its state; None if it proves none.

    Raises:
        Overloaded: too much hashing is under way.
    """
    located = await locate(find, shop.candidates(raw), offload)
    if located is None:
        return None
    key = located.key
    return key if await proves(shop, located.secret_hash, raw, offload, key.id) else None
