"""Which node of a Redis Cluster holds which key, and how to find out.

When one node fails, the drivers' own Cluster clients close every connection and read the map again for everybody. Here
a node is a server like any other, so a node that is down concerns only its own keys. A node says where a key has
moved; the call is then sent once more, to that node, because it did nothing on the first one.
"""

from __future__ import annotations

import binascii
from collections.abc import Awaitable, Callable
from typing import Any

from ...exceptions import StoreUnavailable
from .servers import Servers

SLOTS = 16384
# At most this many nodes are asked for the map, so that a call is bounded in a large Cluster too.
ASKED = 4

Execute = Callable[..., Awaitable[Any]]
Command = tuple[str | bytes, ...]


def slot_of(key: bytes) -> int:
    """The slot of a key: that of the text between its first braces, if there is any."""
    tag = key.partition(b"{")[2].partition(b"}")
    return binascii.crc_hqx(tag[0] if tag[0] and tag[1] else key, 0) % SLOTS


class Topology:
    """The map of a Cluster; shared by every thread and event loop.

    Args:
        servers: names the first nodes to ask.
    """

    def __init__(self, servers: Servers) -> None:
        self._servers = servers
        self._slots: list[str] = []
        self.nodes = tuple(servers.hosts)
        """Every known node; at first those of the URL."""
        self.suspects: set[str] = set()
        """Nodes that failed, so that the map is read again before they are asked."""

    @property
    def primaries(self) -> list[str]:
        """The nodes that hold keys, as far as the map is known."""
        return list(dict.fromkeys(filter(None, self._slots)))

    def node_of(self, key: bytes) -> str:
        """The node that holds this key; empty if that is not known."""
        return self._slots[slot_of(key)] if self._slots else ""

    def needs_look(self, key: bytes) -> bool:
        """Whether the map has to be read before this key's node is asked."""
        node = self.node_of(key)
        return not node or node in self.suspects

    def moved(self, slot: int, node: str) -> None:
        """Note that a slot has moved to another node."""
        if self._slots and slot < SLOTS:
            self._slots[slot] = node
            if node not in self.nodes:
                self.nodes = (*self.nodes, node)

    async def look(self, execute: Execute) -> None:
        """Read the map from the first node that has it; raises the last failure if none has."""
        # Those that failed come last.
        asked = sorted(self.nodes, key=self.suspects.__contains__)[:ASKED]
        failure: Exception | None = None
        for node in asked:
            try:
                self._learn(await execute(node, "CLUSTER", "SLOTS"), node)
            except self._servers.failures as error:
                failure = error
                self.suspects.add(node)
            else:
                return
        # Rotated, so that in a large Cluster other nodes are asked next time.
        self.nodes = self.nodes[ASKED:] + self.nodes[:ASKED]
        raise failure or StoreUnavailable(self._servers.name, "knows no node")

    def _learn(self, rows: Any, asked: str) -> None:
        slots = [""] * SLOTS
        for first, last, primary, *_ in rows:
            host = primary[0].decode() if isinstance(primary[0], bytes) else primary[0]
            # A node that does not know its own name gets the name under which it was reached.
            name = self._servers.node(host if host and host != "?" else asked.rpartition(":")[0], int(primary[1]))
            slots[first : last + 1] = [name] * (last + 1 - first)
        found = tuple(dict.fromkeys(filter(None, slots)))
        if not found:
            raise ValueError("a map without nodes")
        self._slots, self.nodes = slots, (*found, *(each for each in self._servers.hosts if each not in found))
        self.suspects.clear()


async def ask(  # noqa: PLR0917 - where, how, and what is sent
    topology: Topology, servers: Servers, execute: Execute, key: bytes, command: Command, again: Command
) -> Any:
    """The answer of the node that holds a key.

    Args:
        topology, servers: the Cluster.
        execute: sends a command to a node; with ``asking=True`` for a key that is on its way there.
        key: the key.
        command: what is sent.
        again: the same command for a node that does not know the script.
    """
    if topology.needs_look(key):
        await topology.look(execute)
    node, asking = topology.node_of(key), False
    if not node:
        raise StoreUnavailable(servers.name, "no node holds this key")
    for last in (False, True):
        try:
            try:
                return await execute(node, *command, asking=asking)
            except servers.no_script:
                return await execute(node, *again, asking=asking)
        except servers.failures as error:
            redirected = servers.elsewhere(error, node)
            if redirected is None or last:
                failed = servers.unavailable(error, node)
                if not isinstance(failed, servers.refused):
                    topology.suspects.add(node)
                raise failed from None
            slot, node, asking = redirected
            if not asking:
                topology.moved(slot, node)
    raise AssertionError("the second try always ends")
