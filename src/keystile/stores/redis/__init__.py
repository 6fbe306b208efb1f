"""Keys in Redis or Valkey, shared by every process on every machine.

A find is one command: the record stands under the key's id, with what the key inherits from its project and its
organization. The price is paid by whoever changes these: the owner is written first, creations look at it, and the call
returns when each of its keys has the change. So it is complete when the call returns, but not in one step.

`names` and `bodies` say what stands where; `writing`, `admission` and `founding` how several slots of a Cluster are
kept true although no script can write two of them; `operations` is what is done with them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from ..._ground.checks import check_count
from ..._ground.redis.cluster import Topology
from ..._ground.redis.links import AsyncLinks, Links
from ..._ground.redis.servers import Servers
from ..._sync import PerLoop, run_now
from ...exceptions import UnreadableRecord
from ...model import ApiKey, AuditEntry, Project
from ...policy import REMEMBERED_KEYS
from ..contract import Cap, Written, ignore
from ..filters import AuditFilter, KeyFilter
from ..rows import Kept
from .bodies import read_key
from .founding import Founding
from .names import Slot
from .operations.counts import Counts, Credit
from .operations.keys import Keys
from .operations.lists import Lists
from .operations.owners import Owners
from .reading import Reading
from .server import Fitness, OneCall, Server
from .told import Told
from .writing import Writing

P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S")


class Shelf:
    """What a store does, as coroutines: over connections that block these never suspend.

    Args:
        server: where the records are.
        kept: recently decoded records; shared by both kinds of connections.
        credit: which counts were written by calls that failed; shared too.
        remembered_keys: how many.
    """

    def __init__(self, server: Server, kept: Kept, credit: Credit, remembered_keys: int) -> None:
        self.server, self._kept, self._remembered = server, kept, remembered_keys
        self.reading, self.told = Reading(server), Told(server)
        writing = Writing(self.reading, self.told)
        founding = Founding(writing)
        self.keys = Keys(writing, self.told, founding)
        self.owners = Owners(writing, self.told, founding, self.keys)
        self.lists = Lists(self.reading)
        self.counts = Counts(self.reading, self.keys, credit)
        self.on_unreadable: Callable[[UnreadableRecord], object] = ignore

    async def find(self, key_id: str) -> ApiKey | None:
        """The record as it stands there now; the same object for as long as its octets are the same."""
        raw = await self.server.find(Slot("key", key_id).name("record"))
        if raw is None:
            return None
        records = self._kept.records
        known = records.get(key_id)
        if known is not None and known[0][0] == raw:
            return known[1]
        key = self.reading.read(read_key, raw, key_id).key
        records.pop(key_id, None)
        records[key_id] = ((raw,), key)
        if len(records) > self._remembered:
            records.popitem(last=False)
        return key

    async def list(self, wanted: KeyFilter, after: str | None, limit: int) -> Sequence[ApiKey]:
        """Records by age. Those that cannot be read are left out and told to `on_unreadable`."""
        found, broken = await self.lists.page(wanted, after, limit)
        for error in broken:
            self.on_unreadable(error)
        return found

    async def list_audit(self, wanted: AuditFilter, after: str | None, limit: int) -> Sequence[AuditEntry]:
        """Entries, the newest first."""
        return await self.told.list(wanted, after, limit)

    async def advice(self) -> Sequence[str]:
        """What an operator should know of the servers: where writes may be lost, or keys be dropped."""
        return await self.server.advice()

    async def add(self, key: ApiKey, entries: Sequence[AuditEntry], cap: Cap | None = None) -> Written:
        """Keep a new record."""
        return await self.keys.add(key, entries, cap)

    async def add_project(
        self, project: Project, key: ApiKey, entries: Sequence[AuditEntry], cap: Cap | None = None
    ) -> Written:
        """Keep a new project and its key."""
        return await self.keys.add(key, entries, cap, project)


_Operation = Callable[Concatenate[S, P], Coroutine[Any, Any, T]]


def _plain(operation: _Operation[S, P, T], part: str = "") -> Callable[Concatenate[RedisStore, P], T]:
    """An operation of the shelf, or of a part of it, for callers that may block."""

    @wraps(operation)
    def call(self: RedisStore, /, *args: P.args, **named: P.kwargs) -> T:
        shelf: Any = self._shelf
        return run_now(operation(getattr(shelf, part) if part else shelf, *args, **named))

    return call


def _awaited(operation: _Operation[S, P, T], part: str = "") -> Callable[Concatenate[AsyncRedisStore, P], Awaitable[T]]:
    """The same for asyncio."""

    @wraps(operation)
    async def call(self: AsyncRedisStore, /, *args: P.args, **named: P.kwargs) -> T:
        shelf: Any = self._shelf
        return await operation(getattr(shelf, part) if part else shelf, *args, **named)

    return call


class RedisStore:
    """A `KeyStore` in Redis (6.2 or newer) or Valkey.

    For callers that may block: WSGI, and trio through worker threads. Under asyncio use `for_asyncio()`; the gate does
    so by itself. Threads and forked processes may share it; each process opens its own connections.

    Args:
        url: as for `limiters.redis.RedisLimiter`; of the primary, never of a replica.
        remembered_keys: how many decoded records are kept; 2 kB each, and what their metadata needs.
        options: for the driver: ``socket_timeout`` and ``socket_connect_timeout`` (0.25 seconds), ``ssl_ca_certs``...

    Raises:
        ConfigurationError: the URL or an option is wrong, or the driver is not installed.
    """

    blocking = True

    def __init__(self, url: str, *, remembered_keys: int = REMEMBERED_KEYS, **options: Any) -> None:
        check_count(remembered_keys, "remembered_keys")
        self._servers = servers = Servers(url, options, "store", OneCall)
        topology = Topology(servers) if servers.is_cluster else None
        self._links = Links(servers)
        self._links.client(servers.hosts[0] if servers.is_cluster else "")  # finds errors now and not during a request
        fitness, kept, credit = Fitness(topology), Kept(), Credit()
        self._shelf = Shelf(Server(servers, topology, fitness, lambda: self._links), kept, credit, remembered_keys)
        links = PerLoop(lambda: AsyncLinks(servers))
        twin = Shelf(Server(servers, topology, fitness, links.get), kept, credit, remembered_keys)
        self._for_asyncio = AsyncRedisStore(twin, links, servers)

    @classmethod
    def from_url(cls, url: str, *, remembered_keys: int = REMEMBERED_KEYS) -> RedisStore:
        """The store at this URL."""
        return cls(url, remembered_keys=remembered_keys)

    def __repr__(self) -> str:
        return f"RedisStore({self._servers.name!r})"

    def for_asyncio(self) -> AsyncRedisStore:
        """The same keys for an asyncio host; always the same object."""
        return self._for_asyncio

    @property
    def on_unreadable(self) -> Callable[[UnreadableRecord], object]:
        """Called with each record that `list` leaves out because it cannot be read."""
        return self._shelf.on_unreadable

    @on_unreadable.setter
    def on_unreadable(self, told: Callable[[UnreadableRecord], object]) -> None:
        """Call something else."""
        self._shelf.on_unreadable = self._for_asyncio.on_unreadable = told

    advice = _plain(Shelf.advice)
    find, list, list_audit = _plain(Shelf.find), _plain(Shelf.list), _plain(Shelf.list_audit)
    touch, last_used, rehash = _plain(Keys.touch, "keys"), _plain(Keys.last_used, "keys"), _plain(Keys.rehash, "keys")
    add_usage, usage = _plain(Counts.add_usage, "counts"), _plain(Counts.usage, "counts")
    forget_usage = _plain(Counts.forget_usage, "counts")
    add, update, revoke = _plain(Shelf.add), _plain(Keys.update, "keys"), _plain(Keys.revoke, "keys")
    add_project, find_project = _plain(Shelf.add_project), _plain(Owners.find_project, "owners")
    list_projects = _plain(Owners.list_projects, "owners")
    update_project = _plain(Owners.update_project, "owners")
    delete_project = _plain(Owners.delete_project, "owners")
    add_organization = _plain(Owners.add_organization, "owners")
    find_organization = _plain(Owners.find_organization, "owners")
    list_organizations = _plain(Owners.list_organizations, "owners")
    update_organization = _plain(Owners.update_organization, "owners")

    def close(self) -> None:
        """Close the connections."""
        self._links.close()


class AsyncRedisStore:
    """The same for asyncio. Each event loop has its own connections; several loops may use the store at once."""

    def __init__(self, shelf: Shelf, links: PerLoop[AsyncLinks], servers: Servers) -> None:
        self._shelf, self._links, self._servers = shelf, links, servers

    def __repr__(self) -> str:
        return f"AsyncRedisStore({self._servers.name!r})"

    @property
    def on_unreadable(self) -> Callable[[UnreadableRecord], object]:
        """As `RedisStore.on_unreadable`."""
        return self._shelf.on_unreadable

    @on_unreadable.setter
    def on_unreadable(self, told: Callable[[UnreadableRecord], object]) -> None:
        """Call something else."""
        self._shelf.on_unreadable = told

    find, list, list_audit = _awaited(Shelf.find), _awaited(Shelf.list), _awaited(Shelf.list_audit)
    touch, last_used = _awaited(Keys.touch, "keys"), _awaited(Keys.last_used, "keys")
    add_usage, usage = _awaited(Counts.add_usage, "counts"), _awaited(Counts.usage, "counts")
    forget_usage = _awaited(Counts.forget_usage, "counts")
    rehash, update = _awaited(Keys.rehash, "keys"), _awaited(Keys.update, "keys")
    add, revoke = _awaited(Shelf.add), _awaited(Keys.revoke, "keys")
    add_project, find_project = _awaited(Shelf.add_project), _awaited(Owners.find_project, "owners")
    list_projects = _awaited(Owners.list_projects, "owners")
    update_project = _awaited(Owners.update_project, "owners")
    delete_project = _awaited(Owners.delete_project, "owners")
    add_organization = _awaited(Owners.add_organization, "owners")
    find_organization = _awaited(Owners.find_organization, "owners")
    list_organizations = _awaited(Owners.list_organizations, "owners")
    update_organization = _awaited(Owners.update_organization, "owners")

    async def close(self) -> None:
        """Close the running loop's connections."""
        links = self._links.pop()
        if links is not None:
            with suppress(*self._servers.failures):
                await links.close()
