"""What servers tell of themselves, as what they do when their memory is full."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from .cluster import Topology
from .servers import Servers

T = TypeVar("T")

UNTOLD = (
    "the server does not tell what it does when it is full (INFO is forbidden): see that its maxmemory-policy is "
    "noeviction"
)


def policy_in(memory: Mapping[str, Any]) -> str:
    """The ``maxmemory-policy`` in the section "memory" of INFO. CONFIG names it too, but many who rent out servers
    forbid that."""
    return str(memory.get("maxmemory_policy", "noeviction"))


async def told_by_each(
    links: Any, servers: Servers, topology: Topology | None, ask: Callable[[str], Awaitable[T]]
) -> list[T | None]:
    """What each server tells; None for one that refuses to.

    Args:
        links: the connections.
        servers, topology: where the servers are.
        ask: asks the node with this name; ``""`` is the only server.

    Raises:
        StoreUnavailable: a server does not answer.
    """
    found: list[T | None] = []
    try:
        if topology is not None:
            await topology.look(links.execute)
        for node in ("",) if topology is None else topology.primaries:
            try:
                found.append(await ask(node))
            except servers.reply:
                found.append(None)
    except servers.failures as error:
        raise servers.unavailable(error) from None
    return found
