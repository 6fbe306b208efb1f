"""Windows in Redis or Valkey, shared by every process on every machine.

One script decides and counts all windows of a request in one command (`script`, `windows.lua`). A command is never sent
twice: after a timeout or a broken connection nobody knows whether it was counted. The only exceptions are answers which
say that nothing was done: the server does not know the script, or the key is on another node.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from .._ground.redis.cluster import Topology
from .._ground.redis.eviction import UNTOLD, policy_in, told_by_each
from .._ground.redis.links import AsyncLinks, Links, answer, open_all
from .._ground.redis.servers import Servers
from .._sync import PerLoop, run_now
from ..exceptions import StoreUnavailable
from ..model import Charge, Usage, Window
from ..rules.limits.charges import asking, check_costs
from . import NotCounted, Usages, ignore
from .script import FORGET, HIT, LOOK, REFUND, SCRIPT, arguments, is_unreadable, key_of, usages

# Every window has a time to live, so that a policy for such keys alone drops them as well.
_EVICTS = (
    "maxmemory-policy is {}: a server that is full forgets windows (keystile:1:*), and callers get more than their "
    "limits; set noeviction"
)


class RedisLimiter:
    """A `RateLimiter` in Redis (5 or newer) or Valkey: strict windows, decided by one command a request.

    For callers that may block: WSGI, and trio through worker threads. Under asyncio use `for_asyncio()`. Threads and
    forked processes may share it; each process opens its own connections.

    Args:
        url: ``redis://``, ``rediss://``, ``redis+unix://``, ``redis+sentinel://host:port,host:port/name`` or
            ``redis+cluster://host:port,host:port``, with credentials as `limits` reads them; the same with ``valkey``.
        options: for the driver: ``socket_timeout`` and ``socket_connect_timeout`` (0.25 seconds), ``ssl_ca_certs``...

    Raises:
        ConfigurationError: the URL or an option is wrong, or the driver is not installed.
    """

    blocking = True

    def __init__(self, url: str, **options: Any) -> None:
        self._servers = servers = Servers(url, options, "limiter", NotCounted)
        self._topology = Topology(servers) if servers.is_cluster else None
        self._links = Links(servers)
        self._links.client(servers.hosts[0] if servers.is_cluster else "")  # finds errors now and not during a request
        self.on_unreadable: Callable[[str], object] = ignore
        """Called with a subject for which something was stored that is not ours, so that it started afresh."""
        self._for_asyncio = AsyncRedisLimiter(url, _topology=self._topology, **options)

    @classmethod
    def from_url(cls, url: str, **options: Any) -> RedisLimiter:
        """The limiter at this URL."""
        return cls(url, **options)

    def __repr__(self) -> str:
        return f"RedisLimiter({self._servers.name!r})"

    def for_asyncio(self) -> AsyncRedisLimiter:
        """The same windows for an asyncio host; always the same object."""
        return self._for_asyncio

    def node_of(self, subject: str) -> str:
        """The server that holds a subject's windows; empty, except in a Cluster whose map is known."""
        return "" if self._topology is None else self._topology.node_of(key_of(subject))

    def open(self) -> None:
        """Connect before the first request; raises as `hit`."""
        run_now(open_all(self._links, self._servers, self._topology, [SCRIPT]))

    def advice(self) -> list[str]:
        """What an operator should know of the servers; raises as `hit`."""
        told = run_now(told_by_each(self._links, self._servers, self._topology, self._policy))
        said = [UNTOLD if each is None else _EVICTS.format(each) for each in told if each != "noeviction"]
        return list(dict.fromkeys(said))

    async def _policy(self, node: str) -> str:
        return policy_in(await self._links.execute(node, "INFO", "memory"))

    def hit(self, subject: str, charges: Sequence[Charge]) -> tuple[Usage, ...]:
        """Count each cost in its window if all fit, otherwise none.

        Args:
            subject: whose windows.
            charges: all windows that hold for this request, each with its cost.

        Returns:
            The usage of each window. The request is admitted if every `retry_after` of those that do not only watch
            is 0.

        Raises:
            StoreUnavailable: no answer; nobody knows whether it was counted.
            NotCounted: this one call was refused; nothing was counted.
        """
        return self._ask(HIT, subject, charges)

    def peek(self, subject: str, windows: Sequence[Window]) -> tuple[Usage, ...]:
        """Where each window stands, with `retry_after` for a cost of 1. Counts nothing; raises as `hit`."""
        return self._ask(LOOK, subject, asking(windows))

    def refund(self, subject: str, charges: Sequence[Charge], at: int) -> None:
        """Take back units that a hit counted at this moment, the oldest first; raises as `hit`."""
        check_costs(cost for _, cost in charges)
        self._ask(REFUND, subject, charges, at)

    def reset(self, subject: str, windows: Sequence[Window]) -> None:
        """Forget what was counted in these windows; raises as `hit`."""
        self._ask(FORGET, subject, asking(windows))

    def close(self) -> None:
        """Close the connections. The limiter may be used again."""
        self._links.close()

    def _ask(self, act: int, subject: str, charges: Sequence[Charge], at: int = 0) -> tuple[Usage, ...]:
        command = arguments(act, subject, charges, at)
        if self._topology is None:
            reply = self._links.ask(command, SCRIPT)
        else:
            reply = run_now(answer(self._links, self._servers, self._topology, key_of(subject), command, SCRIPT))
        return _read(reply, charges, self._servers, subject, self.on_unreadable)


class AsyncRedisLimiter:
    """The same for asyncio. Each event loop has its own connections; several loops may use the limiter at once.

    Arguments, errors and methods as `RedisLimiter`. Here ``socket_timeout`` bounds a whole call, and time in which the
    loop did not run does not count.
    """

    bounded = True

    def __init__(self, url: str, *, _topology: Topology | None = None, **options: Any) -> None:
        self._servers = servers = Servers(url, options, "limiter", NotCounted)
        self._topology = (_topology or Topology(servers)) if servers.is_cluster else None
        self._links: PerLoop[AsyncLinks] = PerLoop(lambda: AsyncLinks(servers))
        self.on_unreadable: Callable[[str], object] = ignore
        """As `RedisLimiter.on_unreadable`."""

    @classmethod
    def from_url(cls, url: str, **options: Any) -> AsyncRedisLimiter:
        """The limiter at this URL."""
        return cls(url, **options)

    def __repr__(self) -> str:
        return f"AsyncRedisLimiter({self._servers.name!r})"

    def node_of(self, subject: str) -> str:
        """As `RedisLimiter.node_of`."""
        return "" if self._topology is None else self._topology.node_of(key_of(subject))

    async def open(self) -> None:
        """As `RedisLimiter.open`, for the running loop."""
        await open_all(self._links.get(), self._servers, self._topology, [SCRIPT])

    async def hit(self, subject: str, charges: Sequence[Charge]) -> tuple[Usage, ...]:
        """As `RedisLimiter.hit`."""
        return await self._ask(HIT, subject, charges)

    async def peek(self, subject: str, windows: Sequence[Window]) -> tuple[Usage, ...]:
        """As `RedisLimiter.peek`."""
        return await self._ask(LOOK, subject, asking(windows))

    async def refund(self, subject: str, charges: Sequence[Charge], at: int) -> None:
        """As `RedisLimiter.refund`."""
        check_costs(cost for _, cost in charges)
        await self._ask(REFUND, subject, charges, at)

    async def reset(self, subject: str, windows: Sequence[Window]) -> None:
        """As `RedisLimiter.reset`."""
        await self._ask(FORGET, subject, asking(windows))

    async def close(self) -> None:
        """Close the running loop's connections. The limiter may be used again."""
        links = self._links.pop()
        if links is not None:
            with suppress(*self._servers.failures):
                await links.close()

    async def _ask(self, act: int, subject: str, charges: Sequence[Charge], at: int = 0) -> tuple[Usage, ...]:
        command = arguments(act, subject, charges, at)
        reply = await answer(self._links.get(), self._servers, self._topology, key_of(subject), command, SCRIPT)
        return _read(reply, charges, self._servers, subject, self.on_unreadable)


def _read(
    reply: Any, charges: Sequence[Charge], servers: Servers, subject: str, on_unreadable: Callable[[str], object]
) -> Usages:
    if not isinstance(reply, bytes):
        raise StoreUnavailable(servers.name, "malformed reply")
    try:
        found = usages(reply, charges)
    except ValueError as error:
        raise servers.unavailable(error) from None
    if is_unreadable(reply):
        on_unreadable(subject)
    return found
