"""A `KeyStore` of which every method suspends, like those of a network driver."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio.lowlevel

from keystile.stores.memory import MemoryStore


class AsyncStore:
    """Records in memory behind ``async def`` methods."""

    find: Callable[..., Any]
    close: Callable[..., Any]

    def __init__(self) -> None:
        self.inner = MemoryStore()


def _suspending(name: str) -> Callable[..., Any]:
    async def method(self: AsyncStore, *args: Any, **named: Any) -> Any:
        await anyio.lowlevel.checkpoint()
        return getattr(self.inner, name)(*args, **named)

    return method


for _name, _member in vars(MemoryStore).items():
    if callable(_member) and not _name.startswith("_"):
        setattr(AsyncStore, _name, _suspending(_name))
