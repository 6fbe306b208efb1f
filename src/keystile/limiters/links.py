"""Connections to Redis or Valkey, and what is sent over them.

A node of a Cluster has a name, ``host:port``. The name of a single server is empty.
"""

from __future__ import annotations

from typing import Any

from .._sync import in_time
from ..exceptions import StoreUnavailable
from . import NotCounted
from .cluster import Topology, ask
from .script import SCRIPT, Command, with_script
from .servers import Servers, with_sentinels

# Within how many seconds a connection must be made, if there is none, and a command answered.
OPEN_WITHIN = 1.0


class Links:
    """Connections that block, with one client for each node."""

    def __init__(self, servers: Servers) -> None:
        self._servers = servers
        self.clients: dict[str, Any] = {}

    def ask(self, command: Command) -> bytes:
        """What `answer` gives, for a single server. A plain function: a coroutine would cost as much as everything
        else."""
        servers, client = self._servers, self.clients.get("") or self.client("")
        try:
            try:
                reply = client.execute_command(*command)
            except servers.no_script:
                reply = client.execute_command(*with_script(command))
        except servers.failures as error:
            self._look_at(error, client)
            raise servers.unavailable(error) from None
        if not isinstance(reply, bytes):
            raise StoreUnavailable(servers.name, "malformed reply")
        return reply

    async def execute(self, node: str, *command: Any, asking: bool = False) -> Any:
        """The reply to a command."""
        client = self.clients.get(node) or self.client(node)
        try:
            if not asking:
                return client.execute_command(*command)
            with client.pipeline(transaction=False) as pipeline:
                return pipeline.execute_command("ASKING").execute_command(*command).execute()[1]
        except self._servers.reply as error:
            self._look_at(error, client)
            raise

    def client(self, node: str) -> Any:
        """The client of a node."""
        return self.clients.setdefault(node, self._servers.connect(node))

    def close(self) -> None:
        """Close all of them."""
        clients, self.clients = self.clients, {}
        for client in clients.values():
            for each in with_sentinels(client):
                each.close()

    def _look_at(self, error: Exception, client: Any) -> None:
        if self._servers.is_replica(error):  # the name may belong to another server by now
            client.connection_pool.disconnect(inuse_connections=False)


class AsyncLinks:
    """The same for one event loop. Time in which the loop did not run is not counted against a server."""

    def __init__(self, servers: Servers) -> None:
        self._servers = servers
        self.clients: dict[str, Any] = {}
        # The nodes that have answered.
        self._open: set[str] = set()

    async def execute(self, node: str, *command: Any, asking: bool = False) -> Any:
        """The reply to a command."""
        # Making a client imports the driver. That must not use up the server's time to answer.
        client = self.clients.get(node) or self.client(node)
        within = self._servers.timeout
        if node not in self._open:
            within = max(within, OPEN_WITHIN)
        try:
            sent = _asking(client, command) if asking else client.execute_command(*command)
            reply = await in_time(within, sent)
        except self._servers.reply as error:
            if self._servers.is_replica(error):
                await client.connection_pool.disconnect(inuse_connections=False)
            raise
        self._open.add(node)
        return reply

    def client(self, node: str) -> Any:
        """The client of a node."""
        return self.clients.setdefault(node, self._servers.connect_async(node))

    async def close(self) -> None:
        """Close all of them."""
        clients, self.clients = self.clients, {}
        for client in clients.values():
            for each in with_sentinels(client):
                await each.aclose()


async def _asking(client: Any, command: Command) -> Any:
    async with client.pipeline(transaction=False) as pipeline:
        return (await pipeline.execute_command("ASKING").execute_command(*command).execute())[1]


async def answer(links: Any, servers: Servers, topology: Topology | None, command: Command) -> bytes:
    """The script's reply, over either kind of connections.

    Raises:
        StoreUnavailable: no answer; NotCounted if only this call got none.
    """
    try:
        if topology is not None:
            reply = await ask(topology, servers, links.execute, command, with_script(command))
        else:
            try:
                reply = await links.execute("", *command)
            except servers.no_script:
                reply = await links.execute("", *with_script(command))
    except servers.failures as error:
        raise servers.unavailable(error) from None
    if not isinstance(reply, bytes):
        raise StoreUnavailable(servers.name, "malformed reply")
    return reply


async def open_all(links: Any, servers: Servers, topology: Topology | None) -> None:
    """Connect to every server that holds windows, and load the script there."""
    try:
        if topology is not None:
            await topology.look(links.execute)
        for node in ("",) if topology is None else topology.primaries:
            try:
                await links.execute(node, "SCRIPT", "LOAD", SCRIPT)
            except servers.failures as error:
                failed = servers.unavailable(error, node)
                if topology is None and not isinstance(failed, NotCounted):
                    raise failed from None
    except servers.failures as error:
        raise servers.unavailable(error) from None
