"""Key stores: where records are kept. `KeyStore` is the contract (`contract`); memory, SQLite and Redis are built in.

Knows the words, the exceptions, `_sync` and SQLite files (`_ground`); knows no requests and no hashing. A store can be
changed or added here alone, as long as it passes the contract suite (`tests/test_stores.py`, `tests/test_owners.py`).
A new column of a record needs a schema version with a migration (`sqlite.schema`), because files that exist must still
be read.
"""

from __future__ import annotations

from ..exceptions import ConfigurationError
from ..policy import REMEMBERED_KEYS
from .contract import AuditFilter, Cap, KeyFilter, KeyFinder, KeyStore, Written, ignore

__all__ = ["AuditFilter", "Cap", "KeyFilter", "KeyFinder", "KeyStore", "Written", "ignore", "open_store"]


def open_store(url: str, *, remembered_keys: int = REMEMBERED_KEYS) -> KeyStore:
    """The store that a URL names: ``memory://``, ``sqlite:///file.db``; ``redis://`` or ``rediss://``,
    and with ``redis+sentinel://`` or ``redis+cluster://`` several of them.

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
    if scheme.partition("+")[0] in {"redis", "rediss", "valkey", "valkeys"}:
        from .redis import RedisStore

        return RedisStore.from_url(url, remembered_keys=remembered_keys)
    # The rest of the URL may hold a password.
    raise ConfigurationError(
        f"no key store for the scheme {scheme!r}; there are memory://, sqlite:/// and redis://", key="store"
    )
