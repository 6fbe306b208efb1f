"""What is sent to the servers, over either kind of connections, and whether they are down.

While a server is down, all requests but one fail at once. Otherwise each thread would wait for its silence in turn.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from importlib import resources
from typing import Any

from ..._ground.frozen import HiddenBytes
from ..._ground.health import Health
from ..._ground.redis.cluster import Topology
from ..._ground.redis.eviction import UNTOLD, told_by_each
from ..._ground.redis.links import answer, open_all
from ..._ground.redis.roles import REASON, ROLE, is_replica
from ..._ground.redis.servers import CannotWrite, Servers
from ...exceptions import StoreUnavailable
from .advice import advice_on

# What of ``INFO`` is looked at.
_SECTIONS = ("replication", "memory", "persistence")
# The states of at most this many servers are remembered.
NODES = 10_000


class OneCall(StoreUnavailable):
    """This one call got an error for an answer: the store is not down."""


class Script:
    """One of the scripts beside this module."""

    def __init__(self, name: str) -> None:
        self.text = resources.files(__package__).joinpath(name).read_text("utf-8")
        self.sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


ENTER, WRITE, TOUCH = Script("enter.lua"), Script("write.lua"), Script("touch.lua")
MARK, RELEASE, DROP = Script("mark.lua"), Script("release.lua"), Script("drop.lua")
COUNT, COUNTED, FORGET = Script("count.lua"), Script("counted.lua"), Script("forget.lua")
SCRIPTS = (ENTER, WRITE, TOUCH, MARK, RELEASE, DROP, COUNT, COUNTED, FORGET)


class Fitness:
    """Whether each server is up; shared by threads and event loops."""

    def __init__(self, topology: Topology | None) -> None:
        self._topology = topology
        self._nodes: dict[str, Health] = {}

    def of(self, name: bytes) -> Health:
        """The state of the server that holds this."""
        node = "" if self._topology is None else self._topology.node_of(name)
        found = self._nodes.get(node)
        if found is None:
            if len(self._nodes) >= NODES:
                self._nodes = {}
            # What a request could not read is told by the gate.
            found = self._nodes.setdefault(node, Health(lambda _error: None))
        return found


class Server:
    """A single server, the master that Sentinels name, or a Cluster.

    Args:
        servers, topology: where they are.
        fitness: whether they are up.
        links: gives the connections.
    """

    def __init__(self, servers: Servers, topology: Topology | None, fitness: Fitness, links: Callable[[], Any]) -> None:
        self._servers, self._topology, self._fitness, self._links = servers, topology, fitness, links
        # A primary that has become a replica answers a plain read with what it has. GETEX counts as a write, so it
        # refuses. A Cluster's replicas refuse reads anyway.
        self._read_command = "GET" if servers.is_cluster else "GETEX"
        self.name = servers.name

    async def open(self) -> None:
        """Connect, and load the scripts."""
        await open_all(self._links(), self._servers, self._topology, [each.text for each in SCRIPTS])

    async def advice(self) -> list[str]:
        """What an operator should know of the servers, each thing once."""
        told = await told_by_each(self._links(), self._servers, self._topology, self._advice_on)
        return list(dict.fromkeys(said for each in told for said in ([UNTOLD] if each is None else each)))

    async def _advice_on(self, node: str) -> list[str]:
        told = {each: await self._links().execute(node, "INFO", each) for each in _SECTIONS}
        return advice_on(**told, synced=await self._synced(node))

    async def _synced(self, node: str) -> str | None:
        try:
            reply = await self._links().execute(node, "CONFIG", "GET", "appendfsync")
        except self._servers.reply:  # many who rent out servers forbid the question
            return None
        values = list(reply.values()) if isinstance(reply, dict) else list(reply)[1:]
        return values[0].decode() if values and isinstance(values[0], bytes) else None

    async def ask(self, name: bytes, *command: Any) -> Any:
        """The reply to a command about what has this name."""
        return await answer(self._links(), self._servers, self._topology, name, command)

    async def run(self, script: Script, names: Sequence[bytes], *arguments: Any) -> Any:
        """What a script replies; all names are in one slot."""
        command = ("EVALSHA", script.sha, len(names), *names, *arguments)
        return await answer(self._links(), self._servers, self._topology, names[0], command, script.text)

    async def get(self, name: bytes) -> bytes | None:
        """The string with this name."""
        found = await self.ask(name, "GET", name)
        return None if found is None else HiddenBytes(found)

    async def gets(self, groups: Sequence[Sequence[bytes]]) -> list[list[bytes | None]]:
        """The strings with these names; those of a group are in one slot."""
        if self._topology is not None:
            return [await self._gets(names) for names in groups]
        found = iter(await self._gets([name for names in groups for name in names]))
        return [[next(found) for _ in names] for names in groups]

    async def find(self, name: bytes) -> bytes | None:
        """The string with this name, for a request; at once StoreUnavailable if its server is down."""
        health = self._fitness.of(name)
        seen = health.changes
        is_down = seen % 2 == 1
        if is_down and not health.may_probe():
            raise StoreUnavailable(self.name, "is down")
        try:
            found = await self._read(name, is_down)
        except OneCall:
            if is_down:
                health.answered(seen)
            raise
        except StoreUnavailable as error:
            health.failed(seen, error)
            raise
        else:
            if is_down:
                health.answered(seen)
        finally:
            if is_down:
                health.probed()  # also if the request was cancelled
        return None if found is None else HiddenBytes(found)

    async def check_role(self) -> None:
        """Take the server for down if it has become a replica that takes writes: those refuse nothing by themselves."""
        health = self._fitness.of(b"")
        seen = health.changes
        if await self._is_replica():
            error = StoreUnavailable(self.name, REASON)
            health.failed(seen, error)
            raise error

    async def drop(self, names: Sequence[bytes], members: Iterable[bytes]) -> None:
        """Take a member out of each of these zsets, which are in one slot."""
        await self.run(DROP, names, *members)

    async def members(self, name: bytes, beyond: bytes, limit: int, *, newest: bool = False) -> list[bytes]:
        """So many members of a list, beyond this one."""
        command, end = ("ZREVRANGEBYLEX", "-") if newest else ("ZRANGEBYLEX", "+")
        found: list[bytes] = await self.ask(name, command, name, beyond, end, "LIMIT", 0, limit)
        return found

    async def _read(self, name: bytes, was_down: bool) -> Any:
        if was_down and await self._is_replica():
            raise StoreUnavailable(self.name, REASON)
        try:
            return await self.ask(name, self._read_command, name)
        except CannotWrite:
            if await self._is_replica() is not False:
                raise
        return await self.ask(name, "GET", name)

    async def _is_replica(self) -> bool | None:
        """Whether it is one; None if the server does not tell."""
        if self._topology is not None:
            return False
        links = self._links()
        try:
            found = is_replica(await links.execute("", ROLE))
        except self._servers.reply as error:
            return True if self._servers.is_replica(error) else None
        except self._servers.failures as error:
            raise self._servers.unavailable(error) from None
        if found:
            await links.leave()
        return found

    async def _gets(self, names: Sequence[bytes]) -> list[bytes | None]:
        if not names:
            return []
        found = await self.ask(names[0], "MGET", *names)
        return [None if each is None else HiddenBytes(each) for each in found]
