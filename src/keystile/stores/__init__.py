"""Key stores: where records are kept. `KeyStore` is the contract (`contract`); memory, SQLite, SQL servers and Redis
are built in.

Knows the words, the exceptions, `_sync` and SQLite files (`_ground`); knows no requests and no hashing. A store can be
changed or added here alone, as long as it passes the contract suite (`tests/test_stores.py`, `tests/test_owners.py`).
A new column of a record needs a schema version with a migration (`sqlite.schema`), because files that exist must still
be read.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, cast

from ..exceptions import ConfigurationError
from ..policy import REMEMBERED_KEYS
from .contract import USE_EVERY, Cap, KeyFinder, KeyStore, Written, ignore
from .filters import AuditFilter, KeyFilter

__all__ = [
    "USE_EVERY",
    "AuditFilter",
    "Cap",
    "KeyFilter",
    "KeyFinder",
    "KeyStore",
    "Written",
    "ignore",
    "migration_of",
    "open_store",
]

_SQL = ("postgresql", "mysql", "mariadb")
_REDIS = ("redis", "rediss", "valkey", "valkeys")


def open_store(url: str, *, remembered_keys: int = REMEMBERED_KEYS) -> KeyStore:
    """The store that a URL names: ``memory://``, ``sqlite:///file.db``, ``postgresql://user@host/name``, ``mysql://…``,
    ``redis://…``, and with ``redis+sentinel://`` or ``redis+cluster://`` several of these.

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
    if scheme.partition("+")[0] in _REDIS:
        from .redis import RedisStore

        return RedisStore.from_url(url, remembered_keys=remembered_keys)
    if scheme in _SQL:
        found: KeyStore = _sql(scheme).SQLStore(url, remembered_keys=remembered_keys)
        return found
    raise _unknown(scheme)


def migration_of(url: str) -> Callable[[Callable[[int, int, str], object], bool], int] | None:
    """What brings the database of this store up to date; None for a store that needs no command for that.

    It is called with what is told before each statement (its number, how many there are, its text), and with whether
    that is all that is wanted. It gives the number of statements.

    Raises:
        ConfigurationError: no store has this scheme.
    """
    scheme = url.partition(":")[0] if "://" in url else ""
    if url == "memory://" or scheme == "sqlite" or scheme.partition("+")[0] in _REDIS:
        return None
    if scheme not in _SQL:
        raise _unknown(scheme)
    module = _sql(scheme)
    return lambda tell, dry: cast("int", module.migrate(url, tell, dry=dry))


def _unknown(scheme: str) -> ConfigurationError:
    # The rest of the URL may hold a password.
    there = ", ".join(("memory://", "sqlite:///", *(f"{each}://" for each in (*_SQL, "redis"))))
    return ConfigurationError(f"no key store for the scheme {scheme!r}; there are {there}", key="store")


def _sql(scheme: str) -> Any:
    try:
        return import_module(".sql", __package__)
    except ImportError:
        extra = "sql" if scheme == "postgresql" else "mysql"
    raise ConfigurationError(f"{scheme} needs SQLAlchemy: pip install 'keystile[{extra}]'", key="store")
