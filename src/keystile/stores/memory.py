"""Keys in this process's memory: for tests, demonstrations, and services that load their keys at start."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from .. import _sync
from ..model import ApiKey, SecretHash


class MemoryStore:
    """A `KeyStore` that no other process sees, and that is gone when the process ends."""

    blocking = False

    def __init__(self) -> None:
        self._keys: dict[str, ApiKey] = {}
        # Kept apart from the records, which stay the same objects: what the gate derives from them is derived once.
        self._used: dict[str, datetime] = {}
        self._lock = _sync.Lock()

    def find(self, key_id: str) -> ApiKey | None:
        """The record, or None. Its `last_used_at` is the first one; `last_used` gives the last."""
        return self._keys.get(key_id)

    def last_used(self, key_id: str) -> datetime | None:
        """When the key was used last."""
        return self._used.get(key_id)

    def add(self, key: ApiKey) -> None:
        """Keep a new record; KeyError if the id is taken."""
        with self._lock:
            if key.id in self._keys:
                raise KeyError(key.id)
            self._keys[key.id] = key
            if key.last_used_at is not None:
                self._used[key.id] = key.last_used_at

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
        return [self._shown(key) for key in found[:limit]]

    def touch(self, key_id: str, at: datetime) -> None:
        """Set `last_used_at`, never backwards."""
        with self._lock:
            key, before = self._keys.get(key_id), self._used.get(key_id)
            if key is None or (before is not None and before >= at):
                return
            self._used[key_id] = at
            if before is None:  # the first use counts as a change of the record
                self._keys[key_id] = replace(key, last_used_at=at)

    def revoke(self, key_id: str, at: datetime) -> ApiKey | None:
        """Set `revoked_at` for good."""
        key = self._change(key_id, lambda key: key if key.revoked_at else replace(key, revoked_at=at))
        return None if key is None else self._shown(key)

    def rehash(self, key_id: str, old: SecretHash, new: SecretHash) -> None:
        """Replace one hash by another."""
        self._change(
            key_id, lambda key: replace(key, hashes=tuple(new if each == old else each for each in key.hashes))
        )

    def close(self) -> None:
        """Nothing to close."""

    def _shown(self, key: ApiKey) -> ApiKey:
        return replace(key, last_used_at=self._used.get(key.id))

    def _change(self, key_id: str, change: Callable[[ApiKey], ApiKey]) -> ApiKey | None:
        with self._lock:
            key = self._keys.get(key_id)
            if key is not None:
                key = self._keys[key_id] = change(key)
        return key


def _age(key: ApiKey) -> tuple[datetime, str]:
    return key.created_at, key.id
