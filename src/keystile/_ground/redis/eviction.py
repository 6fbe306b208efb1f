"""What a server does when its memory is full."""

from __future__ import annotations

from typing import Any

from .cluster import Topology
from .servers import Servers

UNTOLD = (
    "the server does not tell what it does when it is full (INFO is forbidden): see that its maxmemory-policy is "
    "noeviction"
)


async def policies_of(links: Any, servers: Servers, topology: Topology | None) -> list[str | None]:
    """The ``maxmemory-policy`` of each server, each once; None for one that does not tell.

    INFO names it as well as CONFIG does, which many who rent out servers forbid.

    Raises:
        StoreUnavailable: a server does not answer.
    """
    found: dict[str | None, None] = {}
    try:
        if topology is not None:
            await topology.look(links.execute)
        for node in ("",) if topology is None else topology.primaries:
            try:
                memory = await links.execute(node, "INFO", "memory")
            except servers.reply:
                found[None] = None
            else:
                found[str(memory.get("maxmemory_policy", "noeviction"))] = None
    except servers.failures as error:
        raise servers.unavailable(error) from None
    return list(found)
