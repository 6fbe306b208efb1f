"""Key stores: where records live. `KeyStore` is the contract; memory and SQLite are built in."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from datetime import datetime
from typing import Protocol

from ..exceptions import ConfigurationError
from ..model import ApiKey, SecretHash
from ..policy import REMEMBERED_KEYS


class KeyStore(Protocol):
    """What the gate and the key ring ask of a store. Each method may be plain or ``async def``, all of one kind.

    A plain store is taken to block, so that its calls leave the event loop, unless it has an attribute
    ``blocking = False``: then its reads run in place and must take microseconds. Whatever a method raises counts as
    "the store is down": the gate stays closed.

    A record is never written back whole: each method changes what its name says, and nothing else.

    What the gate works out of a record it keeps for as long as `find` gives the very same object. A store may give the
    same one, with the `last_used_at` of earlier, while nothing but that has changed since it was set at all. Then it
    has one method more: ``last_used(key_id)``, the moment as it is now, or None.

    A store that cannot read one key's record raises `exceptions.UnreadableRecord`: that key alone is refused.
    """

    def find(self, key_id: str) -> ApiKey | Awaitable[ApiKey | None] | None:
        """The record with this id as it is now, or None. Called on every request; must not be cached."""

    def add(self, key: ApiKey) -> Awaitable[None] | None:
        """Keep a new record. Raises KeyError if the id is taken."""

    def list(
        self, organization_id: str | None, owner_id: str | None, after: str | None, limit: int
    ) -> Sequence[ApiKey] | Awaitable[Sequence[ApiKey]]:
        """At most `limit` records, oldest first, those behind the key with the id `after`; None does not filter."""

    def touch(self, key_id: str, at: datetime) -> Awaitable[None] | None:
        """Set `last_used_at` alone, never backwards. An unknown id is nothing to complain about."""

    def revoke(self, key_id: str, at: datetime) -> ApiKey | Awaitable[ApiKey | None] | None:
        """Set `revoked_at` unless it is set already, for good; the record as it is now, or None for an unknown id."""

    def rehash(self, key_id: str, old: SecretHash, new: SecretHash) -> Awaitable[None] | None:
        """Put `new` in the place of `old` if it is still there: two processes may try at once."""

    def close(self) -> Awaitable[None] | None:
        """Let go of files and connections. The store may be used again afterwards."""


def open_store(url: str, *, remembered_keys: int = REMEMBERED_KEYS) -> KeyStore:
    """The store that a URL names: ``memory://``, ``sqlite:///file.db``.

    Args:
        url: names it.
        remembered_keys: how many records it keeps decoded, if it decodes any.

    Raises:
        ConfigurationError: no store has this scheme, or it cannot be opened.
    """
    scheme = url.partition(":")[0] if "://" in url else ""
    if url == "memory://":
        from .memory import MemoryStore

        return MemoryStore()
    if scheme == "sqlite":
        from .sqlite import SQLiteStore

        return SQLiteStore.from_url(url, remembered_keys=remembered_keys)
    # The rest of the URL may hold a password.
    raise ConfigurationError(f"no key store for the scheme {scheme!r}; there are memory:// and sqlite:///", key="store")
