"""Keys in this process's memory: for tests, demonstrations, and services that load their keys at start."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from .. import _sync
from ..model import ApiKey, SecretHash


class MemoryStore:
    """A `KeyStore` that is gone when the process ends, and that no other process sees."""

    blocking = False

    def __init__(self) -> None:
        self._keys: dict[str, ApiKey] = {}
        self._lock = _sync.Lock()

    def find(self, key_id: str) -> ApiKey | None:
        """The record, or None."""
        return self._keys.get(key_id)

    def add(self, key: ApiKey) -> None:
        """Keep a new record; KeyError if the id is taken."""
        with self._lock:
            if key.id in self._keys:
                raise KeyError(key.id)
            self._keys[key.id] = key

    def list(
        self,
        organization_id: str | None = None,
        owner_id: str | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> Sequence[ApiKey]:
        """Records by age."""
        with self._lock:
            known = sorted(self._keys.values(), key=_age)
        start = self._keys.get(after) if after is not None else None
        found = [
            key
            for key in known
            if (organization_id is None or key.organization_id == organization_id)
            and (owner_id is None or key.owner_id == owner_id)
            and (after is None or (start is not None and _age(key) > _age(start)))
        ]
        return found[:limit]

    def touch(self, key_id: str, at: datetime) -> None:
        """Set `last_used_at`, never backwards."""
        self._change(key_id, lambda key: key if _used_since(key, at) else replace(key, last_used_at=at))

    def revoke(self, key_id: str, at: datetime) -> ApiKey | None:
        """Set `revoked_at` for good."""
        return self._change(key_id, lambda key: key if key.revoked_at else replace(key, revoked_at=at))

    def rehash(self, key_id: str, old: SecretHash, new: SecretHash) -> None:
        """Put one hash in another's place."""
        self._change(
            key_id, lambda key: replace(key, hashes=tuple(new if each == old else each for each in key.hashes))
        )

    def close(self) -> None:
        """Nothing to let go of."""

    def _change(self, key_id: str, change: Callable[[ApiKey], ApiKey]) -> ApiKey | None:
        with self._lock:
            key = self._keys.get(key_id)
            if key is not None:
                key = self._keys[key_id] = change(key)
        return key


def _age(key: ApiKey) -> tuple[datetime, str]:
    return key.created_at, key.id


def _used_since(key: ApiKey, at: datetime) -> bool:
    return key.last_used_at is not None and key.last_used_at >= at
