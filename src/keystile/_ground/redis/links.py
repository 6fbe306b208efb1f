"""Connections to Redis or Valkey, and what is sent over them.

A node of a Cluster has a name, ``host:port``. The name of a single server is empty.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..._sync import in_time
from .cluster import Command, Topology, ask
from .servers import Servers, with_sentinels

# Within how many seconds a connection must be made, if there is none, and a command answered.
OPEN_WITHIN = 1.0


class Links:
    """Connections that block, with one client for each node."""

    def __init__(self, servers: Servers) -> None:
        self._servers = servers
        self.clients: dict[str, Any] = {}

    def ask(self, command: Command, script: str) -> Any:
        """What `answer` gives, for a single server. A plain function: a coroutine would cost as much as everything
        else."""
        servers, client = self._servers, self.clients.get("") or self.client("")
        try:
            try:
                return client.execute_command(*command)
            except servers.no_script:
                return client.execute_command(*with_script(command, script))
        except servers.failures as error:
            self._look_at(error, client)
            raise servers.unavailable(error) from None

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

    async def leave(self) -> None:
        """Close the connections to a single server that are not in use: its name may belong to another one by now."""
        self.client("").connection_pool.disconnect(inuse_connections=False)

    def _look_at(self, error: Exception, client: Any) -> None:
        if self._servers.is_replica(error):  # as `leave`
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

    async def leave(self) -> None:
        """As `Links.leave`."""
        await self.client("").connection_pool.disconnect(inuse_connections=False)

    async def close(self) -> None:
        """Close all of them."""
        clients, self.clients = self.clients, {}
        for client in clients.values():
            for each in with_sentinels(client):
                await each.aclose()


async def _asking(client: Any, command: Command) -> Any:
    async with client.pipeline(transaction=False) as pipeline:
        return (await pipeline.execute_command("ASKING").execute_command(*command).execute())[1]


def with_script(command: Command, script: str) -> Command:
    """An EVALSHA for a server that does not know the script yet."""
    return ("EVAL", script, *command[2:])


async def answer(  # noqa: PLR0917 - over what, to whom, and what is sent
    links: Any, servers: Servers, topology: Topology | None, key: bytes, command: Command, script: str | None = None
) -> Any:
    """The reply of the server that holds a key, over either kind of connections.

    Args:
        links, servers, topology: where it is sent.
        key: the key; all others of the command are in its slot.
        command: what is sent.
        script: what the command's hash stands for, if it is an EVALSHA.

    Raises:
        StoreUnavailable: no answer; or the servers' `refused`, if only this call got none.
    """
    again = command if script is None else with_script(command, script)
    try:
        if topology is not None:
            return await ask(topology, servers, links.execute, key, command, again)
        try:
            return await links.execute("", *command)
        except servers.no_script:
            return await links.execute("", *again)
    except servers.failures as error:
        raise servers.unavailable(error) from None


async def open_all(links: Any, servers: Servers, topology: Topology | None, scripts: Iterable[str]) -> None:
    """Connect to every server that holds keys, and load the scripts there."""
    try:
        if topology is not None:
            await topology.look(links.execute)
        for node in ("",) if topology is None else topology.primaries:
            try:
                for script in scripts:
                    await links.execute(node, "SCRIPT", "LOAD", script)
            except servers.failures as error:
                failed = servers.unavailable(error, node)
                if topology is None and not isinstance(failed, servers.refused):
                    raise failed from None
    except servers.failures as error:
        raise servers.unavailable(error) from None
