"""The store of ids that a setting names."""

from __future__ import annotations

from typing import Any

from ... import _sync
from ..._ground.urls import place_of
from ...exceptions import ConfigurationError
from .ids import IdStore
from .memory import MemoryIds


def open_ids(given: Any) -> IdStore:
    """The store of ids that a URL names, ``memory://`` or ``sqlite:///file.db``, or the one that was given.

    Raises:
        ConfigurationError: no store has this scheme, it cannot be opened, or it is no store of ids.
    """
    if isinstance(given, str):
        return _open(given)
    if not all(callable(getattr(given, name, None)) for name in ("begin", "end", "close")):
        raise ConfigurationError(f"expected a URL or an IdStore, got {type(given).__name__}", key="ids")
    if _sync.is_async(given.begin) != _sync.is_async(given.end):
        raise ConfigurationError("begin and end must be of one kind: both plain or both async", key="ids")
    found: IdStore = given
    return found


def _open(url: str) -> IdStore:
    if url == "memory://":
        return MemoryIds()
    if url.startswith("sqlite:"):
        from .sqlite import SQLiteIds

        return SQLiteIds.from_url(url)
    raise ConfigurationError(f"no store of ids for {place_of(url)!r}; there are memory:// and sqlite:///", key="ids")
