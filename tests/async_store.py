"""A `KeyStore` of which every method suspends, like those of a network driver."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import anyio.lowlevel

from keystile.model import ApiKey, SecretHash
from keystile.stores.memory import MemoryStore


class AsyncStore:
    """Records in memory behind ``async def`` methods."""

    def __init__(self) -> None:
        self.inner = MemoryStore()

    async def find(self, key_id: str) -> ApiKey | None:
        await anyio.lowlevel.checkpoint()
        return self.inner.find(key_id)

    async def last_used(self, key_id: str) -> datetime | None:
        await anyio.lowlevel.checkpoint()
        return self.inner.last_used(key_id)

    async def add(self, key: ApiKey) -> None:
        await anyio.lowlevel.checkpoint()
        self.inner.add(key)

    async def list(
        self, organization_id: str | None, owner_id: str | None, after: str | None, limit: int
    ) -> Sequence[ApiKey]:
        await anyio.lowlevel.checkpoint()
        return self.inner.list(organization_id, owner_id, after, limit)

    async def touch(self, key_id: str, at: datetime) -> None:
        await anyio.lowlevel.checkpoint()
        self.inner.touch(key_id, at)

    async def revoke(self, key_id: str, at: datetime) -> ApiKey | None:
        await anyio.lowlevel.checkpoint()
        return self.inner.revoke(key_id, at)

    async def rehash(self, key_id: str, old: SecretHash, new: SecretHash) -> None:
        await anyio.lowlevel.checkpoint()
        self.inner.rehash(key_id, old, new)

    async def close(self) -> None:
        await anyio.lowlevel.checkpoint()
