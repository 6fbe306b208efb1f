"""Key stores: where records are kept. `KeyStore` is the contract; memory and SQLite are built in.

Knows the words, the exceptions, `_sync` and SQLite files (`_ground`); knows no requests and no hashing. A store can be
changed or added here alone, as long as it passes the contract suite (`tests/test_stores.py`). A new column of a record
needs a schema version with a migration (`sqlite`), because files that exist must still be read.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from datetime import datetime
from typing import Protocol

from ..exceptions import ConfigurationError, UnreadableRecord
from ..model import ApiKey, SecretHash
from ..policy import REMEMBERED_KEYS


def ignore(_error: UnreadableRecord) -> None:
    """The `on_unreadable` of a store to which nobody listens."""


class KeyStore(Protocol):
    """What the gate and the key ring ask of a store. Each method may be plain or ``async def``, all of one kind.

    A plain store is expected to block, so its calls leave the event loop. If it has an attribute ``blocking = False``,
    its reads run in place and must take microseconds. Any exception of a method means "the store is down": the gate
    stays closed.

    A record is never written back as a whole: each method changes what its name says, and nothing else.

    The gate keeps what it derives from a record as long as `find` returns the very same object. A store may go on
    returning the same object, with an older `last_used_at`, while nothing else has changed; only the first
    `last_used_at` counts as a change. Such a store has one more method, ``last_used(key_id)``: the current moment, or
    None.

    If a store cannot read one key's record, it raises `exceptions.UnreadableRecord`; only that key is refused. `list`
    leaves such a record out, or nobody could see the other keys any more. A store that does so has an attribute
    ``on_unreadable``, which it calls with the exception.
    """

    def find(self, key_id: str) -> ApiKey | Awaitable[ApiKey | None] | None:
        """The record with this id as it is now, or None. Called on every request; must not be cached."""

    def add(self, key: ApiKey) -> Awaitable[None] | None:
        """Keep a new record. Raises KeyError if the id is taken."""

    def list(
        self, organization_id: str | None, owner_id: str | None, after: str | None, limit: int
    ) -> Sequence[ApiKey] | Awaitable[Sequence[ApiKey]]:
        """At most `limit` records, oldest first, starting after the key with the id `after`. None does not filter."""

    def touch(self, key_id: str, at: datetime) -> Awaitable[None] | None:
        """Set `last_used_at` alone, never backwards. An unknown id is no error."""

    def revoke(self, key_id: str, at: datetime) -> ApiKey | Awaitable[ApiKey | None] | None:
        """Set `revoked_at` for good, unless it is set already. Returns the record as it is now, or None for an unknown
        id. A record that cannot be read is revoked too, before UnreadableRecord says so."""

    def rehash(self, key_id: str, old: SecretHash, new: SecretHash) -> Awaitable[None] | None:
        """Replace `old` by `new`, if `old` is still there: two processes may try at once."""

    def close(self) -> Awaitable[None] | None:
        """Close files and connections. The store may be used again afterwards."""


def open_store(url: str, *, remembered_keys: int = REMEMBERED_KEYS) -> KeyStore:
    """The store that a URL names: ``memory://``, ``sqlite:///file.db``.

    Args:
        url: the URL.
        remembered_keys: how many decoded records it keeps, if it decodes any.

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
